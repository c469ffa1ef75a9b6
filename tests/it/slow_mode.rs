//! Slow mode: a wait between two messages of one member of a room. Contract section 8.

use serde_json::{Value, json};

use crate::support::{Den, TestSocket, TestUser, code, eventually, json::int};

fn message(den: &Den, content: &str) -> Value {
    json!({ "roomId": den.room, "content": content })
}

/// Says something that must be too early, and gives how long to wait.
async fn too_early(socket: &TestSocket, payload: &Value) -> i64 {
    let error = socket.emit_err("chat:message", payload).await;
    assert_eq!((code(&error), &error["retryable"]), ("RATE_LIMITED", &json!(true)), "{error}");
    int(&error["retryAfterMs"])
}

async fn slow_den(seconds: u32) -> Den {
    let den = Den::start().await;
    den.owner.emit_ok("chat:room:update", &json!({ "roomId": den.room, "slowMode": seconds })).await;
    den
}

#[tokio::test]
async fn members_wait_between_messages_and_moderators_do_not() {
    let den = slow_den(3_600).await;
    den.app.execute("UPDATE room_members SET role = 'moderator' WHERE user_id = 'carol'").await;

    den.member.say(&den.room, "one").await;
    let wait = too_early(&den.member, &message(&den, "two")).await;
    let over_rest = den.bob.post(&format!("/rooms/{}/messages", den.room), &json!({ "content": "two" })).await;

    assert!((3_590_000..=3_600_000).contains(&wait), "{wait}");
    assert_eq!(over_rest.refused(429), "RATE_LIMITED");
    assert_ne!(over_rest.header("retry-after"), "");
    for socket in [&den.owner, &den.watcher] {
        socket.say(&den.room, "I need not").await;
        socket.say(&den.room, "wait").await;
    }
    // Nor does anybody elsewhere.
    den.member.say("general", "here").await;
    den.member.say("general", "I speak").await;
    assert_eq!(den.alice.history(&den.room).await.len(), 5);
}

#[tokio::test]
async fn it_is_told_to_the_room_shown_in_it_and_ends_when_it_is_taken_back() {
    let den = slow_den(60).await;
    let told = den.member.expect("chat:room:updated").await;
    assert_eq!((&told["room"]["slowMode"], &told["by"]), (&json!(60), &json!("alice")));
    assert_eq!(den.bob.room(&den.room).await["slowMode"], 60);
    let before = den.last_seq().await;
    // The same again changes nothing.
    den.owner.emit_ok("chat:room:update", &json!({ "roomId": den.room, "slowMode": 60 })).await;
    assert_eq!(den.last_seq().await, before);
    den.member.say(&den.room, "one").await;
    too_early(&den.member, &message(&den, "two")).await;

    let room = den.alice.patch(&format!("/rooms/{}", den.room), &json!({ "slowMode": 0, "name": "fast" })).await.expect(200);

    assert_eq!(room["slowMode"], 0);
    den.member.say(&den.room, "two").await;
    den.member.say(&den.room, "three").await;
}

#[tokio::test]
async fn moderators_make_a_room_slow_and_change_nothing_else() {
    let den = Den::start().await;
    den.app.execute("UPDATE room_members SET role = 'moderator' WHERE user_id = 'carol'").await;
    let update = |change: Value| {
        let mut payload = json!({ "roomId": den.room });
        payload.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        payload
    };

    assert_eq!(den.member.code_of("chat:room:update", &update(json!({ "slowMode": 5 }))).await, "FORBIDDEN");
    assert_eq!(den.watcher.code_of("chat:room:update", &update(json!({ "slowMode": 5, "name": "x" }))).await, "FORBIDDEN");
    assert_eq!(den.watcher.code_of("chat:room:update", &update(json!({}))).await, "FORBIDDEN");
    assert_eq!(den.watcher.emit_ok("chat:room:update", &update(json!({ "slowMode": 21_600 }))).await["slowMode"], 21_600);
    for bad in [json!(-1), json!(21_601), json!("5"), json!(1.5)] {
        assert_eq!(den.owner.code_of("chat:room:update", &update(json!({ "slowMode": bad }))).await, "VALIDATION_ERROR", "{bad}");
    }
}

#[tokio::test]
async fn who_waits_as_long_as_is_said_is_heard() {
    let den = slow_den(3_600).await;
    den.member.say(&den.room, "one").await;
    let two = json!({ "roomId": den.room, "content": "two", "clientMsgId": "two" });

    let wait = too_early(&den.member, &two).await;
    // The time that was said, and a moment less.
    den.app.execute(&format!("UPDATE slow_turns SET taken_at = taken_at - interval '{} milliseconds'", wait - 60_000)).await;
    too_early(&den.member, &two).await;
    den.app.execute("UPDATE slow_turns SET taken_at = taken_at - interval '1 minute'").await;
    let stored = den.member.emit_ok("chat:message", &two).await;

    assert_eq!((&stored["content"], &stored["duplicate"]), (&json!("two"), &Value::Null));
}

/// An answer was lost: the message is there, and its repeat is no second one.
#[tokio::test]
async fn a_repeat_is_answered_and_takes_no_turn() {
    let den = slow_den(3_600).await;
    let one = json!({ "roomId": den.room, "content": "one", "clientMsgId": "one" });
    let first = den.member.emit_ok("chat:message", &one).await;

    let again = den.member.emit_ok("chat:message", &one).await;

    assert_eq!((&again["id"], &again["duplicate"]), (&first["id"], &json!(true)));
    too_early(&den.member, &message(&den, "two")).await;
}

/// A turn whose message never came to be does not silence its member for hours.
#[tokio::test]
async fn a_turn_without_its_message_is_soon_free_again() {
    let den = slow_den(3_600).await;
    den.member.say(&den.room, "one").await;
    den.app.execute("UPDATE slow_turns SET message_id = gen_random_uuid()").await;
    assert!(too_early(&den.member, &message(&den, "at once")).await <= 10_000);

    den.app.execute("UPDATE slow_turns SET taken_at = taken_at - interval '10 seconds'").await;

    den.member.say(&den.room, "later").await;
    too_early(&den.member, &message(&den, "again")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_messages_at_once_one_is_stored_also_at_two_servers_and_after_a_restart() {
    let den = slow_den(3_600).await;
    let (_second, other) = den.app.second_server();
    let there = den.bob.at(&other).connect().await;

    let posted: Vec<_> =
        (0..25).flat_map(|n| [&den.member, &there].map(|socket| (socket, socket.post("chat:message", &message(&den, &format!("{n}")))))).collect();
    let mut accepted = 0;
    for (socket, id) in posted {
        accepted += usize::from(socket.ack(id).await["ok"] == true);
    }
    assert_eq!((accepted, den.alice.history(&den.room).await.len()), (1, 1));

    let Den { mut app, bob, room, .. } = den;
    app.restart();
    let socket = bob.at(app.base()).connect().await;
    too_early(&socket, &json!({ "roomId": room, "content": "after the restart" })).await;
}

/// What one server made slow, the other knows within a second or so.
#[tokio::test]
async fn another_server_learns_of_it() {
    let den = Den::start().await;
    let (_second, other) = den.app.second_server();
    let bob: TestUser = den.bob.at(&other);
    den.owner.emit_ok("chat:room:update", &json!({ "roomId": den.room, "slowMode": 3_600 })).await;

    let socket = bob.connect().await;
    eventually("a refusal", async || socket.emit("chat:message", &message(&den, "x")).await["ok"] == false).await;

    too_early(&socket, &message(&den, "x")).await;
}

/// Who may not speak at all is told that, whatever the room's mode.
#[tokio::test]
async fn strangers_and_the_muted_are_refused_as_ever() {
    let den = slow_den(3_600).await;
    let stranger = den.app.user("stranger").await.connect().await;
    assert_eq!(stranger.code_of("chat:message", &message(&den, "x")).await, "ROOM_NOT_FOUND");
    den.owner.emit_ok("chat:room:mute", &den.upon("bob", json!({ "durationMs": 60_000 }))).await;

    assert_eq!(den.member.code_of("chat:message", &message(&den, "x")).await, "MUTED");
}
