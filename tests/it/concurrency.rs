//! The same thing done twice at once: nothing is stored by half or twice, and the numbers stay dense.

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestSocket, ires_chat,
    json::{int, text},
};

/// `memberCount` is the number of members, and `lastSeq` the number of what was told.
async fn assert_books_balance(app: &TestApp) {
    let wrong = "SELECT count(*) FROM rooms r WHERE member_count <>
        (SELECT count(*) FROM room_members m WHERE m.room_id = r.id AND m.state = 'joined')";
    assert_eq!(app.number(wrong).await, 0, "a memberCount is wrong");
    let beyond = "SELECT count(*) FROM rooms r WHERE last_seq <
        (SELECT coalesce(max(seq), 0) FROM messages m WHERE m.room_id = r.id)";
    assert_eq!(app.number(beyond).await, 0, "a lastSeq is wrong");
    let doctor = ires_chat(&["doctor"], &[("DATABASE_URL", app.database.url())]);
    assert_eq!(doctor.code, Some(0), "{}", doctor.stdout);
}

#[tokio::test]
async fn joining_twice_at_once_is_one_membership_and_one_announcement() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_public_room("square").await;
    let (watcher, one, two) = (alice.connect().await, bob.connect().await, bob.connect().await);
    let payload = json!(room);

    let (a, b, c) = tokio::join!(one.emit("chat:room:join", &payload), two.emit("chat:room:join", &payload), bob.join(&room),);

    assert_eq!((&a["ok"], &b["ok"], &c["self"]), (&json!(true), &json!(true), &json!(true)));
    watcher.expect("chat:room:joined").await;
    watcher.expect_silence("chat:room:joined").await;
    assert_eq!(alice.room(&room).await["memberCount"], 2);
    assert_books_balance(&app).await;
}

#[tokio::test]
async fn leaving_twice_at_once_is_one_leaving() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (watcher, one, two) = (alice.connect().await, bob.connect().await, bob.connect().await);
    let payload = json!(room);

    let (a, b) = tokio::join!(one.emit("chat:room:leave", &payload), two.emit("chat:room:leave", &payload));

    assert_ne!(a["ok"], b["ok"], "{a} {b}");
    watcher.expect("chat:room:left").await;
    watcher.expect_silence("chat:room:left").await;
    assert_books_balance(&app).await;
}

/// Whatever wins, an acked message is in history and a refused one is not.
#[tokio::test]
async fn leaving_and_sending_at_once_is_one_or_the_other() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_public_room("square").await;
    let (talker, leaver) = (bob.connect().await, bob.connect().await);
    let mut acked = Vec::new();
    for round in 0..10 {
        leaver.emit_ok("chat:room:join", &json!(room)).await;
        let sent: Vec<_> = (0..5).map(|n| spoken(&talker, &room, &format!("{round}.{n}"))).collect();
        leaver.emit_ok("chat:room:leave", &json!(room)).await;
        for id in sent {
            let ack = talker.ack(id).await;
            let refused = ack["error"]["code"] == "NOT_A_MEMBER";
            assert!(ack["ok"] == true || refused, "{ack}");
            acked.extend(ack["data"]["content"].as_str().map(str::to_owned));
        }
    }

    let history = alice.history(&room).await;

    assert_eq!(history.iter().map(|message| text(&message["content"])).collect::<Vec<_>>(), acked);
    assert_books_balance(&app).await;
}

fn spoken(socket: &TestSocket, room: &str, content: &str) -> u64 {
    socket.post("chat:message", &json!({ "roomId": room, "content": content }))
}

#[tokio::test]
async fn joins_leaves_and_messages_of_many_at_once_keep_the_books() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_public_room("square").await;
    let watcher = alice.connect().await;
    let mut sockets = Vec::new();
    for number in 0..10 {
        sockets.push(app.user(&format!("u{number}")).await.connect().await);
    }

    let mut posted = Vec::new();
    for round in 0..5 {
        for (number, socket) in sockets.iter().enumerate() {
            posted.push((number, socket.post("chat:room:join", &json!(room))));
            posted.push((number, spoken(socket, &room, &format!("{number} {round}"))));
            posted.push((number, socket.post("chat:room:leave", &json!(room))));
        }
    }
    for (number, id) in posted {
        assert_eq!(sockets[number].ack(id).await["ok"], true);
    }
    watcher.settle().await;

    let events = watcher.everything();
    let told: Vec<i64> = events.iter().filter(|event| event["roomId"] == room.as_str()).map(|event| int(&event["seq"])).collect();
    assert_eq!(told.len(), 150, "10 users, 5 times: joined, said, left");
    assert!(told.is_sorted_by(|a, b| a + 1 == *b), "{told:?}");
    assert_eq!(alice.room(&room).await["memberCount"], 1);
    assert_books_balance(&app).await;
}

#[tokio::test]
async fn deleting_a_room_while_others_speak_in_it_loses_nobody_an_answer() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let talker = bob.connect().await;

    let sent: Vec<_> = (0..50).map(|number| spoken(&talker, &room, &number.to_string())).collect();
    alice.delete(&format!("/rooms/{room}")).await.expect(204);

    for id in sent {
        let ack: Value = talker.ack(id).await;
        assert!(ack["ok"] == true || ack["error"]["code"] == "ROOM_NOT_FOUND", "{ack}");
    }
    assert_books_balance(&app).await;
}

#[tokio::test]
async fn a_newcomer_arriving_many_times_at_once_is_one_user_in_the_default_room() {
    let app = TestApp::start().await;
    let newcomer = app.stranger("newcomer");
    let (dial, before) = (newcomer.dial(), app.number("SELECT count(*) FROM users").await);

    let (a, b, c, d) = tokio::join!(dial.open_ready(), dial.open_ready(), newcomer.get("/users/me"), newcomer.get("/rooms"));

    assert_eq!((&a.ready["user"], &b.ready["user"]), (&c.expect(200), &a.ready["user"].clone()));
    d.expect(200);
    assert_eq!(app.number("SELECT count(*) FROM users").await, before + 1);
    assert_eq!(newcomer.room("general").await["memberCount"], 1);
    assert_books_balance(&app).await;
}

/// Attached before the snapshot is read, and events that arrive meanwhile follow it: nothing falls between.
#[tokio::test]
async fn nothing_falls_between_session_ready_and_the_events_after_it() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let talker = alice.connect().await;
    for round in 0..10 {
        let sent: Vec<_> = (0..20).map(|n| spoken(&talker, &room, &format!("{round}.{n}"))).collect();
        let late = bob.connect().await;
        for id in sent {
            talker.ack(id).await;
        }
        let last = int(&alice.room(&room).await["lastSeq"]);
        late.settle().await;
        let rooms = late.ready["rooms"].as_array().unwrap();
        let known = int(&rooms.iter().find(|one| one["id"] == room.as_str()).unwrap()["lastSeq"]);
        let heard: Vec<_> = late.seen("chat:message").iter().map(|m| int(&m["seq"])).filter(|seq| *seq > known).collect();
        assert_eq!(heard, (known + 1..=last).collect::<Vec<_>>(), "the snapshot reached to {known}");
    }
}
