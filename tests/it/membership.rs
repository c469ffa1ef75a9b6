//! Joining and leaving: the seed's `chat:room:join`, `chat:room:joined`, `chat:room:leave`, `chat:room:left`, and
//! contract section 4.

use serde_json::{Value, json};

use crate::support::{
    TestApp,
    json::{assert_members, int, text},
};

/// Seed, Chat Events: `chat:room:join` (its form with a bare string) and `chat:room:joined`.
#[tokio::test]
async fn chat_room_join_with_a_bare_string_answers_chat_room_joined_with_a_snapshot() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.post("/rooms", &json!({ "name": "R", "slug": "room-123", "type": "public" })).await.expect(201);
    alice.say("room-123", "first").await;
    let bob = app.user("bob").await.connect().await;

    let acked = bob.emit_ok("chat:room:join", &json!("room-123")).await;

    let joined = bob.expect("chat:room:joined").await;
    assert_members(&joined, &["roomId", "userId", "room", "membership", "lastSeq", "read", "members"]);
    assert_members(&joined, &["presence", "typing", "messages", "hasOlder", "timestamp"]);
    assert_eq!((&joined["self"], &joined["roomId"]), (&json!(true), &room["id"]));
    assert_members(&joined["membership"], &["role", "joinedAt"]);
    assert_eq!(joined["messages"][0]["content"], "first");
    assert_eq!((&acked["roomId"], &acked["messages"]), (&joined["roomId"], &joined["messages"]));
}

#[tokio::test]
async fn the_snapshot_is_complete_up_to_its_last_seq_and_live_from_there() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_public_room("square").await;
    for number in 0..35 {
        alice.say(&room, &format!("{number}")).await;
    }
    let bob = app.user("bob").await.connect().await;

    let snapshot = bob.emit_ok("chat:room:join", &json!({ "roomId": room })).await;
    let next = alice.say(&room, "live").await;

    let messages = snapshot["messages"].as_array().unwrap();
    assert_eq!((messages.len(), &snapshot["hasOlder"]), (30, &json!(true)));
    assert_eq!((&messages[0]["content"], &messages[29]["content"]), (&json!("5"), &json!("34")));
    assert_eq!(int(&next["seq"]), int(&snapshot["lastSeq"]) + 1);
    assert_eq!(bob.expect("chat:message").await["id"], next["id"]);
}

#[tokio::test]
async fn a_snapshot_since_a_number_has_all_that_came_after_it_or_the_newest() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_public_room("square").await;
    for number in 1..=105 {
        alice.say(&room, &format!("{number}")).await;
    }
    let socket = alice.connect().await;
    for (since, first, count) in [(100, 101, 5), (5, 6, 100), (4, 76, 30), (105, 0, 0)] {
        let joined = socket.emit_ok("chat:room:join", &json!({ "roomId": room, "since": since })).await;
        let messages = joined["messages"].as_array().unwrap();
        assert_eq!((messages.len(), messages.first().map_or(0, |message| int(&message["seq"]))), (count, first), "since {since}");
    }
    for since in [json!(-1), json!(1.5), json!("1"), json!(1e300)] {
        let error = socket.emit_err("chat:room:join", &json!({ "roomId": room, "since": since })).await;
        assert_eq!((&error["code"], error["fields"]["since"].is_array()), (&json!("VALIDATION_ERROR"), true), "{since}");
    }
}

#[tokio::test]
async fn the_snapshot_says_who_is_there_who_is_online_and_who_is_typing() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_public_room("square").await;
    app.user("carol").await.join(&room).await;
    let socket = alice.connect().await;
    socket.emit_ok("status:typing", &json!({ "roomId": room, "isTyping": true })).await;

    let snapshot = app.user("bob").await.connect().await.emit_ok("chat:room:join", &json!(room)).await;

    assert_eq!(snapshot["members"].as_array().unwrap().len(), 3, "{snapshot}");
    let online = snapshot["presence"].as_array().unwrap();
    assert!(online.contains(&json!("alice")) && !online.contains(&json!("carol")), "{snapshot}");
    assert_eq!(snapshot["typing"], json!(["alice"]));
}

/// A small delta to the others, and only for a new membership: joining again is silent.
#[tokio::test]
async fn the_others_are_told_of_a_new_member_once() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_public_room("square").await;
    let (watcher, bob) = (alice.connect().await, app.user("bob").await.connect().await);
    let before = int(&alice.room(&room).await["lastSeq"]);

    bob.emit_ok("chat:room:join", &json!(room)).await;
    bob.emit_ok("chat:room:join", &json!(room)).await;

    let told = watcher.expect("chat:room:joined").await;
    assert_members(&told, &["roomId", "seq", "userId", "user", "role", "memberCount", "timestamp"]);
    assert_eq!((text(&told["userId"]), text(&told["role"])), ("bob", "member"));
    assert_eq!((int(&told["memberCount"]), int(&told["seq"])), (2, before + 1));
    assert_eq!(told.get("self"), None);
    watcher.expect_silence("chat:room:joined").await;
    assert_eq!(bob.seen("chat:room:joined").len(), 2, "the joiner gets a snapshot at every join");
    assert_eq!(int(&alice.room(&room).await["lastSeq"]), before + 1);
}

#[tokio::test]
async fn joining_attaches_the_users_other_devices_as_well() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_public_room("square").await;
    let (phone, desk) = (bob.connect().await, bob.connect().await);

    phone.emit_ok("chat:room:join", &json!(room)).await;
    alice.say(&room, "welcome").await;

    desk.expect("chat:message").await;
    phone.expect("chat:message").await;
}

#[tokio::test]
async fn a_private_room_cannot_be_joined_or_told_from_none() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    let (watcher, eve) = (alice.connect().await, app.user("eve").await.connect().await);

    for there in [room.as_str(), "01890a5d-ac96-774b-bcce-b302099a8057", "no-such-slug"] {
        for event in ["chat:room:join", "chat:room:leave"] {
            assert_eq!(eve.code_of(event, &json!(there)).await, "ROOM_NOT_FOUND");
            assert_eq!(eve.code_of(event, &json!({ "roomId": there })).await, "ROOM_NOT_FOUND");
        }
        for event in ["chat:message", "status:typing"] {
            let payload = json!({ "roomId": there, "content": "x", "isTyping": true });
            assert_eq!(eve.code_of(event, &payload).await, "ROOM_NOT_FOUND");
        }
    }

    watcher.expect_silence("chat:room:joined").await;
    watcher.expect_silence("status:typing").await;
}

/// Ids from clients are never socketioxide's own room names.
#[tokio::test]
async fn internal_channels_cannot_be_joined_as_rooms() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    let eve = app.user("eve").await.connect().await;
    for name in ["user:alice".to_owned(), format!("room:{room}"), "/chat".to_owned(), String::new()] {
        let refused = eve.code_of("chat:room:join", &json!(name)).await;
        assert!(["ROOM_NOT_FOUND", "VALIDATION_ERROR"].contains(&&*refused), "{name}: {refused}");
    }

    alice.connect().await.say(&room, "private").await;

    eve.expect_silence("chat:message").await;
}

/// Seed, Chat Events: `chat:room:leave` and `chat:room:left`.
#[tokio::test]
async fn chat_room_leave_ends_the_membership_and_tells_chat_room_left_to_all() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (stays, leaves, second) = (alice.connect().await, bob.connect().await, bob.connect().await);
    let before = int(&alice.room(&room).await["lastSeq"]);

    let acked = leaves.emit_ok("chat:room:leave", &json!(room)).await;

    assert_eq!(acked["roomId"], room.as_str());
    for socket in [&stays, &leaves, &second] {
        let left = socket.expect("chat:room:left").await;
        assert_members(&left, &["roomId", "userId", "reason", "seq", "memberCount", "timestamp"]);
        assert_eq!((text(&left["userId"]), text(&left["reason"])), ("bob", "left"));
        assert_eq!((int(&left["seq"]), int(&left["memberCount"])), (before + 1, 1));
    }
    assert_eq!(leaves.seen("chat:room:left")[0]["self"], true);
    assert_ne!(stays.seen("chat:room:left")[0]["self"], true);
}

#[tokio::test]
async fn who_left_hears_and_says_nothing_more_on_any_device() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (phone, desk, stays) = (bob.connect().await, bob.connect().await, alice.connect().await);
    phone.emit_ok("chat:room:leave", &json!({ "roomId": room })).await;

    stays.say(&room, "gone?").await;

    stays.expect("chat:message").await;
    phone.expect_silence("chat:message").await;
    desk.expect_silence("chat:message").await;
    let spoken = json!({ "roomId": room, "content": "still here" });
    assert_eq!(desk.code_of("chat:message", &spoken).await, "ROOM_NOT_FOUND");
    assert_eq!(bob.get(&format!("/rooms/{room}/messages")).await.refused(404), "ROOM_NOT_FOUND");
}

#[tokio::test]
async fn leaving_a_room_that_one_is_not_in_is_refused() {
    let app = TestApp::start().await;
    let room = app.user("alice").await.create_public_room("square").await;
    let bob = app.user("bob").await.connect().await;

    assert_eq!(bob.code_of("chat:room:leave", &json!(room)).await, "NOT_A_MEMBER");
}

#[tokio::test]
async fn joining_over_rest_attaches_live_sockets_at_once() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_public_room("square").await;
    let (watcher, live) = (alice.connect().await, bob.connect().await);

    let snapshot = bob.join(&room).await;
    watcher.say(&room, "welcome").await;

    assert_eq!((&snapshot["roomId"], &snapshot["self"]), (&json!(room), &json!(true)));
    assert_eq!(watcher.expect("chat:room:joined").await["userId"], "bob");
    assert_eq!(live.expect("chat:message").await["content"], "welcome");
}

#[tokio::test]
async fn leaving_over_rest_detaches_live_sockets_at_once() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (watcher, live) = (alice.connect().await, bob.connect().await);

    bob.leave(&room).await;
    watcher.say(&room, "gone?").await;

    assert_eq!(live.expect("chat:room:left").await["self"], true);
    assert_eq!(watcher.expect("chat:room:left").await["userId"], "bob");
    live.expect_silence("chat:message").await;
}

#[tokio::test]
async fn coming_back_to_a_public_room_is_a_new_membership() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_public_room("square").await;
    bob.join(&room).await;
    bob.leave(&room).await;
    let watcher = alice.connect().await;

    bob.join(&room).await;

    assert_eq!(watcher.expect("chat:room:joined").await["memberCount"], 2);
    assert_eq!(alice.room(&room).await["memberCount"], 2);
}

/// (compat) `chat:room:join` of an unknown slug creates a public room.
#[tokio::test]
async fn joining_an_unknown_slug_creates_a_public_room_when_the_switch_is_on() {
    let app = TestApp::with(&[("CHAT_AUTO_CREATE_ROOMS", "true")]).await;
    let (alice, bob) = (app.user("alice").await.connect().await, app.user("bob").await.connect().await);

    let made = alice.emit_ok("chat:room:join", &json!("room-123")).await;
    let joined = bob.emit_ok("chat:room:join", &json!("room-123")).await;

    assert_eq!((&made["room"]["slug"], &made["room"]["type"]), (&json!("room-123"), &json!("public")));
    assert_eq!(joined["roomId"], made["roomId"]);
    let uuid = json!("01890a5d-ac96-774b-bcce-b302099a8057");
    assert_eq!(bob.code_of("chat:room:join", &uuid).await, "ROOM_NOT_FOUND");
}

#[tokio::test]
async fn an_unknown_slug_joined_by_many_at_once_is_one_room() {
    let app = TestApp::with(&[("CHAT_AUTO_CREATE_ROOMS", "true")]).await;
    let mut sockets = Vec::new();
    for name in ["a", "b", "c", "d"] {
        sockets.push(app.user(name).await.connect().await);
    }

    let asked: Vec<_> = sockets.iter().map(|socket| socket.post("chat:room:join", &json!("fresh"))).collect();

    let mut rooms = Vec::new();
    for (socket, id) in sockets.iter().zip(asked) {
        let ack = socket.ack(id).await;
        assert_eq!(ack["ok"], true, "{ack}");
        rooms.push(text(&ack["data"]["roomId"]).to_owned());
    }
    rooms.dedup();
    assert_eq!(rooms.len(), 1, "{rooms:?}");
    assert_eq!(app.user("a").await.room("fresh").await["memberCount"], 4);
}

#[tokio::test]
async fn joining_an_unknown_slug_is_refused_when_the_switch_is_off() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await.connect().await;

    assert_eq!(alice.code_of("chat:room:join", &json!("room-123")).await, "ROOM_NOT_FOUND");
}

/// Contract 4: entering the default room at first sight is a membership without `seq` or announcement.
#[tokio::test]
async fn a_new_user_is_in_the_default_room_without_a_word() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let watcher = alice.connect().await;
    let before = alice.room("general").await;

    let newcomer = app.stranger("newcomer").connect().await;

    newcomer.say("general", "hello").await;
    watcher.expect("chat:message").await;
    watcher.expect_silence("chat:room:joined").await;
    let after = alice.room("general").await;
    assert_eq!(int(&after["lastSeq"]), int(&before["lastSeq"]) + 1);
    assert_eq!(int(&after["memberCount"]), int(&before["memberCount"]) + 1);
}

#[tokio::test]
async fn who_left_the_default_room_is_not_put_back_into_it() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    alice.leave("general").await;

    let again = alice.connect().await;

    let rooms: Vec<&Value> = again.ready["rooms"].as_array().unwrap().iter().collect();
    assert!(rooms.iter().all(|room| room["slug"] != "general"), "{rooms:?}");
    assert_eq!(again.code_of("chat:message", &json!({ "content": "x" })).await, "NOT_A_MEMBER");
}

/// Contract 4: over `CHAT_QUIET_ROOM_SIZE` members joins and leaves are neither told one by one nor numbered.
#[tokio::test]
async fn in_a_large_room_joins_and_leaves_are_quiet_and_unnumbered() {
    let app = TestApp::with(&[("CHAT_QUIET_ROOM_SIZE", "3")]).await;
    let alice = app.user("alice").await;
    let room = alice.create_public_room("square").await;
    for name in ["b", "c", "d"] {
        app.user(name).await.join(&room).await;
    }
    let (watcher, before) = (alice.connect().await, int(&alice.room(&room).await["lastSeq"]));

    let late = app.user("late").await;
    late.join(&room).await;

    // That the watcher came is told in the same way, maybe before.
    let told = watcher.expect_where("chat:room:updated", |told| told["roomId"] == room.as_str() && told["room"]["memberCount"] == 5).await;
    assert_eq!(told.get("seq"), None, "{told}");
    late.leave(&room).await;
    watcher.say(&room, "still numbered").await;
    assert_eq!(int(&watcher.expect("chat:message").await["seq"]), before + 1);
    watcher.expect_silence("chat:room:joined").await;
    watcher.expect_silence("chat:room:left").await;
}
