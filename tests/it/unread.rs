//! What is unread, which is derived from the read marker, and marking it as unread again: contract sections 4 and 6.

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestSocket, TestUser,
    json::{int, texts},
};

/// A room of Alice and Bob in which Alice has said so many things, numbered from 1.
async fn den(app: &TestApp, messages: usize) -> (TestUser, TestUser, String) {
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    for number in 1..=messages {
        alice.say(&room, &number.to_string()).await;
    }
    (alice, bob, room)
}

fn at(room: &str, seq: i64) -> Value {
    json!({ "roomId": room, "seq": seq })
}

/// What the room's overview says: read up to, unread, mentions.
async fn overview(user: &TestUser, room: &str) -> (i64, i64, i64) {
    let shown = user.room(room).await;
    (int(&shown["read"]["seq"]), int(&shown["unread"]), int(&shown["mentions"]))
}

/// What a mark was answered with, likewise.
async fn marked(socket: &TestSocket, event: &str, payload: &Value) -> (i64, i64, i64) {
    let answer = socket.emit_ok(event, payload).await;
    (int(&answer["readSeq"]), int(&answer["unread"]), int(&answer["mentions"]))
}

#[tokio::test]
async fn unread_falls_by_reading_and_not_by_sending() {
    let app = TestApp::start().await;
    let (_, bob, room) = den(&app, 3).await;
    let reader = bob.connect().await;
    assert_eq!(overview(&bob, &room).await, (0, 3, 0));

    reader.say(&room, "mine").await;
    assert_eq!(overview(&bob, &room).await, (0, 3, 0), "saying something moves nothing, and is not unread");
    assert_eq!(marked(&reader, "chat:read", &at(&room, 2)).await, (2, 1, 0));
    assert_eq!(overview(&bob, &room).await, (2, 1, 0));

    assert_eq!(marked(&reader, "chat:read", &at(&room, 4)).await, (4, 0, 0));
    assert_eq!(overview(&bob, &room).await, (4, 0, 0));
}

#[tokio::test]
async fn deleted_messages_are_not_unread() {
    let app = TestApp::start().await;
    let (_, bob, room) = den(&app, 4).await;
    let reader = bob.connect().await;
    assert_eq!(overview(&bob, &room).await, (0, 4, 0));

    app.execute(&format!("UPDATE messages SET deleted_at = now() WHERE room_id = '{room}' AND seq IN (1, 3)")).await;

    assert_eq!(overview(&bob, &room).await, (0, 2, 0));
    assert_eq!(marked(&reader, "chat:read", &at(&room, 2)).await, (2, 1, 0));
}

#[tokio::test]
async fn mentions_are_counted_in_the_same_way() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app, 1).await;
    for _ in 0..2 {
        let message = json!({ "content": "@bob", "mentions": ["bob"] });
        alice.post(&format!("/rooms/{room}/messages"), &message).await.expect(201);
    }
    let (reader, device) = (bob.connect().await, bob.connect().await);
    assert_eq!(overview(&bob, &room).await, (0, 3, 2));

    assert_eq!(marked(&reader, "chat:read", &at(&room, 2)).await, (2, 1, 1));

    assert_eq!(int(&device.expect("chat:read").await["mentions"]), 1);
}

#[tokio::test]
async fn more_than_a_thousand_are_not_counted_one_by_one() {
    let app = TestApp::start().await;
    let (_, bob, room) = den(&app, 0).await;
    app.execute(&format!(
        "INSERT INTO messages (room_id, seq, rev, id, author_id, type, content)
             SELECT '{room}', n, n, gen_random_uuid(), 'alice', 'text', 'x' FROM generate_series(1, 1002) AS n;
         UPDATE rooms SET last_seq = 1002, last_message_seq = 1002 WHERE id = '{room}'"
    ))
    .await;
    let reader = bob.connect().await;

    let shown = bob.room(&room).await;
    assert_eq!((&shown["unread"], &shown["unreadCapped"]), (&json!(1000), &json!(true)));
    let capped = reader.emit_ok("chat:read", &at(&room, 1)).await;
    assert_eq!((&capped["unread"], &capped["unreadCapped"]), (&json!(1000), &json!(true)), "1,001 are left");
    let exact = reader.emit_ok("chat:read", &at(&room, 2)).await;
    assert_eq!((&exact["unread"], exact.get("unreadCapped")), (&json!(1000), None), "1,000 are left");
}

/// A bot that says a great many things and reads none.
#[tokio::test]
async fn only_the_next_ten_thousand_numbers_are_looked_into() {
    let app = TestApp::start().await;
    let (_, bob, room) = den(&app, 0).await;
    app.execute(&format!(
        "INSERT INTO messages (room_id, seq, rev, id, author_id, type, content)
             SELECT '{room}', n, n, gen_random_uuid(), CASE WHEN n IN (9999, 10001) THEN 'alice' ELSE 'bob' END, 'text', 'x'
             FROM generate_series(1, 10001) AS n;
         UPDATE rooms SET last_seq = 10001, last_message_seq = 10001 WHERE id = '{room}'"
    ))
    .await;
    let reader = bob.connect().await;

    let shown = bob.room(&room).await;
    assert_eq!((&shown["unread"], &shown["unreadCapped"]), (&json!(1), &json!(true)), "what is beyond may be unread, too");
    let exact = reader.emit_ok("chat:read", &at(&room, 1)).await;
    assert_eq!((&exact["unread"], exact.get("unreadCapped")), (&json!(2), None));
    let last = reader.emit_ok("chat:read", &at(&room, 10_000)).await;
    assert_eq!((&last["unread"], last.get("unreadCapped")), (&json!(1), None));
}

#[tokio::test]
async fn reading_goes_on_after_ten_thousand_numbers_without_anything_unread() {
    let app = TestApp::start().await;
    let (_, bob, room) = den(&app, 0).await;
    app.execute(&format!(
        "INSERT INTO messages (room_id, seq, rev, id, author_id, type, content)
             SELECT '{room}', n, n, gen_random_uuid(), CASE n WHEN 10002 THEN 'alice' ELSE 'bob' END, 'text', 'x'
             FROM generate_series(1, 10002) AS n;
         UPDATE rooms SET last_seq = 10002, last_message_seq = 10002 WHERE id = '{room}'"
    ))
    .await;

    let page = bob.get(&format!("/rooms/{room}/messages?first_unread=true&limit=10")).await.expect(200);

    let seqs: Vec<i64> = page["messages"].as_array().unwrap().iter().map(|message| int(&message["seq"])).collect();
    assert_eq!(seqs, (9_996..=10_002).collect::<Vec<_>>(), "around the last number that was looked into");
}

#[tokio::test]
async fn what_was_said_before_one_came_is_not_unread() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let square = alice.create_public_room("square").await;
    alice.say(&square, "early").await;
    let bob = app.user("bob").await;

    let joined = bob.join(&square).await;

    assert_eq!(joined["read"], json!({ "seq": joined["lastSeq"], "deliveredSeq": joined["lastSeq"] }));
    alice.say(&square, "late").await;
    assert_eq!(overview(&bob, &square).await.1, 1);
    let ready = bob.connect().await.ready.clone();
    let shown = ready["rooms"].as_array().unwrap().iter().find(|shown| shown["id"] == square).unwrap();
    assert_eq!((&shown["read"], &shown["unread"]), (&joined["read"], &json!(1)));
}

#[tokio::test]
async fn a_message_and_all_after_it_are_marked_as_unread() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app, 5).await;
    let (reader, device) = (bob.connect().await, bob.connect().await);
    reader.emit_ok("chat:read", &at(&room, 5)).await;
    device.expect("chat:read").await;

    let answer = reader.emit_ok("chat:unread:mark", &at(&room, 3)).await;

    assert_eq!(answer, json!({ "roomId": room, "readSeq": 2, "deliveredSeq": 5, "unread": 3, "mentions": 0 }));
    let told = device.expect("chat:read").await;
    assert_eq!((&told["userId"], int(&told["readSeq"]), int(&told["unread"])), (&json!("bob"), 2, 3));
    assert_eq!(overview(&bob, &room).await, (2, 3, 0));
    let page = bob.get(&format!("/rooms/{room}/messages?first_unread=true&limit=1")).await.expect(200);
    assert_eq!(page["messages"][0]["seq"], 3);
    alice.say(&room, "6").await;
    assert_eq!(overview(&bob, &room).await, (2, 4, 0));
    assert_eq!(marked(&reader, "chat:read", &at(&room, 4)).await, (4, 2, 0), "and it moves on from there");
}

/// Others hear of the public mark before and of the one after, which goes beyond: what lies between is the member's own affair.
#[tokio::test]
async fn others_never_learn_that_something_was_marked_as_unread() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app, 5).await;
    let (watcher, reader) = (alice.connect().await, bob.connect().await);
    reader.emit_ok("chat:read", &at(&room, 4)).await;
    assert_eq!(int(&watcher.expect("chat:read").await["readSeq"]), 4);

    reader.emit_ok("chat:unread:mark", &at(&room, 1)).await;
    let receipts = alice.get(&format!("/rooms/{room}/messages/4/receipts")).await.expect(200);
    reader.emit_ok("chat:read", &at(&room, 3)).await;
    reader.emit_ok("chat:read", &at(&room, 5)).await;

    assert_eq!(texts(&receipts["items"], "userId"), ["bob"], "the public marker stays");
    assert_eq!(int(&watcher.expect("chat:read").await["readSeq"]), 5);
    watcher.expect_silence("chat:read").await;
}

#[tokio::test]
async fn marking_the_same_again_is_a_success_that_nobody_hears() {
    let app = TestApp::start().await;
    let (_, bob, room) = den(&app, 3).await;
    let (reader, device) = (bob.connect().await, bob.connect().await);
    reader.emit_ok("chat:unread:mark", &at(&room, 3)).await;
    device.expect("chat:read").await;

    assert_eq!(marked(&reader, "chat:unread:mark", &at(&room, 3)).await, (2, 1, 0));

    device.expect_silence("chat:read").await;
}

#[tokio::test]
async fn only_what_there_is_can_be_marked_as_unread() {
    let app = TestApp::start().await;
    let (_, bob, room) = den(&app, 3).await;
    let reader = bob.connect().await;

    for seq in [0, -1, 4, i64::MAX, i64::MIN] {
        let error = reader.emit_err("chat:unread:mark", &at(&room, seq)).await;
        assert_eq!((&error["code"], &error["fields"]["seq"][0]["code"]), (&json!("VALIDATION_ERROR"), &json!("range")), "{seq}");
    }

    assert_eq!(overview(&bob, &room).await, (0, 3, 0));
}

/// One's own messages and deleted ones are not unread, so a look for the first unread one passes over them.
#[tokio::test]
async fn the_first_unread_message_is_one_that_counts_as_unread() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app, 2).await;
    bob.put(&format!("/rooms/{room}/read"), &json!({ "seq": 2 })).await.expect(200);
    bob.say(&room, "3").await;
    alice.say(&room, "4").await;
    alice.say(&room, "5").await;
    app.execute(&format!("UPDATE messages SET deleted_at = now() WHERE room_id = '{room}' AND seq = 4")).await;

    let page = bob.get(&format!("/rooms/{room}/messages?first_unread=true&limit=1")).await.expect(200);

    assert_eq!(page["messages"][0]["seq"], 5);
    assert_eq!(overview(&bob, &room).await.1, 1);
}

#[tokio::test]
async fn markers_and_what_is_unread_outlive_the_server() {
    let mut app = TestApp::start().await;
    let (_, bob, room) = den(&app, 3).await;
    bob.put(&format!("/rooms/{room}/read"), &json!({ "seq": 2 })).await.expect(200);

    app.kill_9();
    app.start_again();

    let back = app.user("bob").await;
    assert_eq!(overview(&back, &room).await, (2, 1, 0));
}
