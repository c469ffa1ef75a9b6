//! Making, reading, changing and deleting rooms: the seed's `chat:room:create` and `chat:room:created`, contract
//! sections 4 and 7.

use serde_json::{Value, json};

use crate::support::{
    TestApp, has_uuid, ids,
    json::{assert_members, int, is_time, text, texts},
};

/// Seed, Chat Events: `chat:room:create` and `chat:room:created`.
#[tokio::test]
async fn chat_room_create_tells_chat_room_created_to_every_participant_and_attaches_them() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await.connect().await, app.user("bob").await.connect().await);
    let new = json!({ "name": "Support Room", "participants": ["bob"] });

    let room = alice.emit_ok("chat:room:create", &new).await;

    for socket in [&alice, &bob] {
        let created = socket.expect("chat:room:created").await;
        assert_members(&created, &["roomId", "room", "members", "createdBy", "timestamp"]);
        assert_eq!((&created["roomId"], &created["room"]["id"]), (&room["id"], &room["id"]));
        assert_eq!(created["createdBy"], "alice");
        let mut members: Vec<_> = created["members"].as_array().unwrap().clone();
        members.sort_by_key(Value::to_string);
        assert_eq!(members, [json!("alice"), json!("bob")]);
    }
    alice.say(text(&room["id"]), "welcome").await;
    assert_eq!(bob.expect("chat:message").await["content"], "welcome");
}

#[tokio::test]
async fn a_room_has_every_member_of_the_contract() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await.connect().await;

    let room = alice.emit_ok("chat:room:create", &json!({ "name": "Den" })).await;

    assert_members(&room, &["id", "slug", "type", "name", "topic", "createdBy", "createdAt"]);
    assert_members(&room, &["archivedAt", "memberCount", "lastSeq", "lastMessage"]);
    assert_eq!((text(&room["type"]), text(&room["name"])), ("group", "Den"));
    assert_eq!((int(&room["memberCount"]), text(&room["createdBy"])), (1, "alice"));
    assert!(has_uuid(&room["id"]) && is_time(&room["createdAt"]), "{room}");
}

#[tokio::test]
async fn all_devices_of_a_participant_hear_of_the_new_room_and_strangers_do_not() {
    let app = TestApp::start().await;
    let (alice, bob, eve) = (app.user("alice").await, app.user("bob").await, app.user("eve").await);
    let (phone, desk, stranger) = (bob.connect().await, bob.connect().await, eve.connect().await);

    let room = alice.create_room_with("den", &[&bob]).await;

    for device in [&phone, &desk] {
        assert_eq!(device.expect("chat:room:created").await["roomId"], room.as_str());
    }
    stranger.expect_silence("chat:room:created").await;
}

#[tokio::test]
async fn unknown_participants_are_named_and_no_room_is_made() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    app.user("bob").await;
    let new = json!({ "name": "den", "participants": ["bob", "nobody", "no-one"] });

    let error = alice.connect().await.emit_err("chat:room:create", &new).await;

    assert_eq!(error["code"], "USER_NOT_FOUND");
    let told = error.to_string();
    assert!(told.contains("nobody") && told.contains("no-one"), "{told}");
    assert_eq!(app.number("SELECT count(*) FROM rooms WHERE name = 'den'").await, 0);
}

/// Contract 4: where accounts live elsewhere an id not seen yet becomes a user without a profile.
#[tokio::test]
async fn unseen_participants_become_users_where_accounts_live_elsewhere() {
    let app = TestApp::with(&[("CHAT_REGISTRATION", "off")]).await;
    let alice = app.user("alice").await;
    let new = json!({ "name": "den", "participants": ["not-seen-yet"] });

    let room = alice.post("/rooms", &new).await.expect(201);

    assert_eq!(room["memberCount"], 2);
    let seen = app.stranger("not-seen-yet").connect().await;
    assert!(ids(&seen.ready["rooms"]).contains(&text(&room["id"])));
}

#[tokio::test]
async fn participants_may_be_user_names_of_own_accounts() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.register("Bob").await);

    let room = alice.post("/rooms", &json!({ "name": "den", "participants": ["bob"] })).await.expect(201);

    assert!(ids(&bob.connect().await.ready["rooms"]).contains(&text(&room["id"])));
}

#[tokio::test]
async fn a_participant_named_twice_or_the_creator_himself_counts_once() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    app.user("bob").await;
    let new = json!({ "name": "den", "participants": ["bob", "alice", "bob"] });

    let room = alice.post("/rooms", &new).await.expect(201);

    assert_eq!(room["memberCount"], 2);
}

/// Contract 4: the same two users always get the same room.
#[tokio::test]
async fn direct_rooms_are_canonical() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let with = |other: &str| json!({ "name": "x", "type": "direct", "participants": [other] });

    let first = alice.post("/rooms", &with("bob")).await.expect(201);
    let again = alice.post("/rooms", &with("bob")).await.expect(200);
    let other_way = bob.post("/rooms", &with("alice")).await.expect(200);

    assert_eq!((&again["id"], &other_way["id"]), (&first["id"], &first["id"]));
    assert_eq!((&first["type"], &first["memberCount"]), (&json!("direct"), &json!(2)));
}

#[tokio::test]
async fn a_direct_room_needs_no_name_and_exactly_one_other() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    app.user("bob").await;
    app.user("carol").await;
    alice.post("/rooms", &json!({ "type": "direct", "participants": ["bob"] })).await.expect(201);

    for participants in [json!([]), json!(["alice"]), json!(["bob", "carol"])] {
        let reply = alice.post("/rooms", &json!({ "type": "direct", "participants": participants })).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{participants}");
    }
}

#[tokio::test]
async fn the_same_direct_room_made_by_both_at_once_is_one_room() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let with = |other: &str| json!({ "type": "direct", "participants": [other] });
    let (to_bob, to_alice) = (with("bob"), with("alice"));

    let (one, two, three) = tokio::join!(alice.post("/rooms", &to_bob), bob.post("/rooms", &to_alice), alice.post("/rooms", &to_bob),);

    assert_eq!((&one.body["id"], &one.body["id"]), (&two.body["id"], &three.body["id"]));
    let mut statuses = [one.status, two.status, three.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 201]);
    assert_eq!(app.number("SELECT count(*) FROM rooms WHERE type = 'direct'").await, 1);
}

#[tokio::test]
async fn a_slug_names_a_room_wherever_an_id_does() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let new = json!({ "name": "Room 123", "slug": "room-123", "type": "public" });
    let room = alice.post("/rooms", &new).await.expect(201);
    let (socket, bob) = (alice.connect().await, app.user("bob").await);

    assert_eq!(alice.room("room-123").await["id"], room["id"]);
    assert_eq!(bob.join("room-123").await["roomId"], room["id"]);
    assert_eq!(alice.say("room-123", "by slug").await["roomId"], room["id"]);
    assert_eq!(socket.say("room-123", "by slug").await["roomId"], room["id"]);
    assert_eq!(bob.history("room-123").await.len(), 2);
    assert_eq!(bob.get("/rooms/room-123/members").await.expect(200)["items"].as_array().unwrap().len(), 2);
    bob.get("/rooms/room-123/presence").await.expect(200);
    alice.patch("/rooms/room-123", &json!({ "topic": "t" })).await.expect(200);
    assert_eq!(bob.leave("room-123").await["roomId"], room["id"]);
}

#[tokio::test]
async fn a_slug_is_taken_once_also_when_two_take_it_at_once() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let new = json!({ "name": "den", "slug": "den" });

    let (one, two) = tokio::join!(alice.post("/rooms", &new), bob.post("/rooms", &new));

    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!(alice.post("/rooms", &json!({ "name": "x", "slug": "general" })).await.refused(409), "CONFLICT");
}

#[tokio::test]
async fn a_slug_that_could_be_mistaken_is_refused() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
    for slug in ["", " ", "a b", "a/b", "ü", "a\u{0}", uuid, &"x".repeat(65), "user:bob", "../x"] {
        let reply = alice.post("/rooms", &json!({ "name": "den", "slug": slug })).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{slug:?}");
    }
}

#[tokio::test]
async fn names_have_1_to_100_characters_and_no_tricks() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    for name in ["x", &"é".repeat(100), "עברית 🏠", "<b>bold</b>"] {
        let room = alice.post("/rooms", &json!({ "name": name })).await.expect(201);
        assert_eq!(room["name"], name);
    }

    for name in ["", "   ", &"x".repeat(101), "a\u{0}b", "a\u{202e}b", "a\nb", "a\u{1b}[31m"] {
        let reply = alice.post("/rooms", &json!({ "name": name })).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{name:?}");
    }
}

#[tokio::test]
async fn a_room_is_read_with_what_it_means_to_the_reader() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_public_room("square").await;
    alice.say(&room, "hello").await;

    let (hers, his) = (alice.room(&room).await, bob.room(&room).await);

    assert_members(&hers, &["id", "name", "membership", "read", "unread", "mentions", "can"]);
    assert_eq!((&hers["membership"]["role"], &hers["unread"]), (&json!("owner"), &json!(0)));
    assert_eq!(his["membership"], Value::Null);
}

/// A private room that the caller may not see answers exactly like a room that does not exist.
#[tokio::test]
async fn a_private_room_is_indistinguishable_from_none_over_rest() {
    let app = TestApp::start().await;
    let (alice, eve) = (app.user("alice").await, app.user("eve").await);
    let room = alice.post("/rooms", &json!({ "name": "den", "slug": "den" })).await.expect(201);
    let none = "01890a5d-ac96-774b-bcce-b302099a8057";

    for (there, absent) in [(text(&room["id"]), none), ("den", "no-den")] {
        for path in ["", "/members", "/messages", "/presence", "/messages/1/receipts"] {
            let private = eve.get(&format!("/rooms/{there}{path}")).await;
            let absent = eve.get(&format!("/rooms/{absent}{path}")).await;
            assert_eq!(private.refused(404), "ROOM_NOT_FOUND");
            assert_eq!(without_ids(&private.body), without_ids(&absent.body));
        }
        for path in ["/join", "/leave", "/messages"] {
            let body = json!({ "content": "x" });
            let private = eve.post(&format!("/rooms/{there}{path}"), &body).await;
            let absent = eve.post(&format!("/rooms/{absent}{path}"), &body).await;
            assert_eq!(private.refused(404), "ROOM_NOT_FOUND");
            assert_eq!(without_ids(&private.body), without_ids(&absent.body));
        }
    }
}

fn without_ids(error: &Value) -> Value {
    let mut error = error.clone();
    for name in ["traceId", "timestamp", "instance"] {
        error.as_object_mut().unwrap().remove(name);
    }
    error
}

#[tokio::test]
async fn renaming_and_a_topic_are_told_to_the_members_with_a_seq() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (member, before) = (bob.connect().await, int(&alice.room(&room).await["lastSeq"]));

    let change = json!({ "name": "Lair", "topic": "dragons" });
    let changed = alice.patch(&format!("/rooms/{room}"), &change).await.expect(200);

    assert_eq!((text(&changed["name"]), text(&changed["topic"])), ("Lair", "dragons"));
    let told = member.expect("chat:room:updated").await;
    assert_eq!((int(&told["seq"]), text(&told["room"]["name"])), (before + 1, "Lair"));
    assert_eq!(told["by"], "alice");
}

#[tokio::test]
async fn only_those_who_may_change_or_delete_a_room() {
    let app = TestApp::start().await;
    let (alice, bob, eve) = (app.user("alice").await, app.user("bob").await, app.user("eve").await);
    let path = format!("/rooms/{}", alice.create_room_with("den", &[&bob]).await);
    let change = json!({ "name": "Lair" });

    assert_eq!(bob.patch(&path, &change).await.refused(403), "FORBIDDEN");
    assert_eq!(bob.delete(&path).await.refused(403), "FORBIDDEN");
    assert_eq!(eve.patch(&path, &change).await.refused(404), "ROOM_NOT_FOUND");
    assert_eq!(eve.delete(&path).await.refused(404), "ROOM_NOT_FOUND");
}

#[tokio::test]
async fn a_deleted_room_is_gone_for_everybody_and_its_members_are_told() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let member = bob.connect().await;

    alice.delete(&format!("/rooms/{room}")).await.expect(204);

    let left = member.expect("chat:room:left").await;
    assert_eq!((text(&left["roomId"]), text(&left["reason"])), (room.as_str(), "room_deleted"));
    assert_eq!(bob.get(&format!("/rooms/{room}")).await.refused(404), "ROOM_NOT_FOUND");
    let spoken = json!({ "roomId": room, "content": "anybody?" });
    assert_eq!(member.code_of("chat:message", &spoken).await, "ROOM_NOT_FOUND");
}

#[tokio::test]
async fn rooms_are_listed_by_newest_activity_page_by_page() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let mut rooms = Vec::new();
    for name in ["one", "two", "three"] {
        rooms.push(alice.create_room(name).await);
    }
    for room in &rooms {
        alice.say(room, "hello").await;
    }
    alice.say(&rooms[0], "again").await;

    let first = alice.get("/rooms?scope=mine&limit=2").await.expect(200);
    let next = format!("/rooms?scope=mine&limit=2&cursor={}", text(&first["nextCursor"]));
    let second = alice.get(&next).await.expect(200);

    assert_eq!(texts(&first["items"], "name"), ["one", "three"]);
    assert_eq!(texts(&second["items"], "name")[0], "two");
    assert_members(&first["items"][0], &["lastMessage", "unread", "membership"]);
    assert_eq!(first["items"][0]["lastMessage"]["content"], "again");
}

#[tokio::test]
async fn public_rooms_are_listed_to_everybody_and_private_ones_are_not() {
    let app = TestApp::start().await;
    let (alice, eve) = (app.user("alice").await, app.user("eve").await);
    let (square, den) = (alice.create_public_room("square").await, alice.create_room("den").await);

    let public = eve.get("/rooms?scope=public").await.expect(200);
    let mine = eve.get("/rooms?scope=mine").await.expect(200);

    assert!(ids(&public["items"]).contains(&square.as_str()));
    assert!(!ids(&public["items"]).contains(&den.as_str()));
    assert!(!ids(&mine["items"]).contains(&square.as_str()));
}
