//! Typing indicators: the seed's `status:typing`, contract section 4, "Typing".

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestSocket,
    json::{assert_members, int},
};

async fn den(app: &TestApp) -> (TestSocket, TestSocket, String) {
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    (alice.connect().await, bob.connect().await, room)
}

fn typing(room: &str, is_typing: bool) -> Value {
    json!({ "roomId": room, "isTyping": is_typing })
}

/// Seed, Status Events: `status:typing`, "Typing indicator", both ways.
#[tokio::test]
async fn status_typing_reaches_the_other_members_and_not_oneself() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;

    alice.emit_ok("status:typing", &typing(&room, true)).await;

    let told = bob.expect("status:typing").await;
    assert_members(&told, &["roomId", "userId", "user", "isTyping", "ttlMs", "timestamp"]);
    assert_eq!((&told["roomId"], &told["userId"]), (&json!(room), &json!("alice")));
    assert_eq!((&told["isTyping"], int(&told["ttlMs"])), (&json!(true), 7000));
    assert_members(&told["user"], &["id", "name"]);
    alice.expect_silence("status:typing").await;
}

#[tokio::test]
async fn the_end_of_typing_is_told() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    alice.emit_ok("status:typing", &typing(&room, true)).await;
    assert_eq!(bob.expect("status:typing").await["isTyping"], true);

    alice.emit_ok("status:typing", &typing(&room, false)).await;

    assert_eq!(bob.expect("status:typing").await["isTyping"], false);
}

#[tokio::test]
async fn typing_expires_by_itself() {
    let app = TestApp::with(&[("CHAT_TYPING_TTL", "300ms")]).await;
    let (alice, bob, room) = den(&app).await;

    alice.emit_ok("status:typing", &typing(&room, true)).await;

    assert_eq!(bob.expect("status:typing").await["ttlMs"], 300);
    assert_eq!(bob.expect("status:typing").await["isTyping"], false);
}

/// Two indicators, the first one renewed: the other one ends first.
#[tokio::test]
async fn typing_that_is_renewed_does_not_expire() {
    let app = TestApp::with(&[("CHAT_TYPING_TTL", "7s")]).await;
    let (alice, bob, room) = den(&app).await;
    let second = app.user("carol").await;
    app.user("alice").await.put(&format!("/rooms/{room}/members/carol"), &json!({})).await.expect(200);
    let carol = second.connect().await;
    alice.emit_ok("status:typing", &typing(&room, true)).await;
    carol.emit_ok("status:typing", &typing(&room, true)).await;

    let renew = async {
        loop {
            alice.emit_ok("status:typing", &typing(&room, true)).await;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    };
    let ended = bob.expect_where("status:typing", |told| told["isTyping"] == false);
    let ended = tokio::select! { ended = ended => ended, () = renew => unreachable!() };

    assert_eq!(ended["userId"], "carol");
}

#[tokio::test]
async fn a_message_clears_typing() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    alice.emit_ok("status:typing", &typing(&room, true)).await;
    assert_eq!(bob.expect("status:typing").await["isTyping"], true);

    alice.say(&room, "done").await;

    bob.expect("chat:message").await;
    assert_eq!(bob.expect("status:typing").await["isTyping"], false);
    let snapshot = app.user("bob").await.join(&room).await;
    assert_eq!(snapshot["typing"], json!([]));
}

#[tokio::test]
async fn a_lost_connection_clears_typing() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    alice.emit_ok("status:typing", &typing(&room, true)).await;
    assert_eq!(bob.expect("status:typing").await["isTyping"], true);

    drop(alice);

    assert_eq!(bob.expect("status:typing").await["isTyping"], false);
}

#[tokio::test]
async fn typing_without_a_room_is_told_in_the_default_room() {
    let app = TestApp::start().await;
    let (alice, bob, _) = den(&app).await;

    alice.emit_ok("status:typing", &json!({ "isTyping": true })).await;

    let general = app.user("bob").await.room("general").await;
    assert_eq!(bob.expect("status:typing").await["roomId"], general["id"]);
}

#[tokio::test]
async fn typing_is_neither_stored_nor_numbered() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let reader = app.user("bob").await;
    let before = reader.room(&room).await["lastSeq"].clone();

    alice.emit_ok("status:typing", &typing(&room, true)).await;

    let told = bob.expect("status:typing").await;
    assert_eq!(told.get("seq"), None);
    assert_eq!(reader.room(&room).await["lastSeq"], before);
    assert_eq!(reader.history(&room).await.len(), 0);
}

#[tokio::test]
async fn who_is_no_member_does_not_type_into_a_room() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let (square, den) = (alice.create_public_room("square").await, alice.create_room("den").await);
    let (watcher, eve) = (alice.connect().await, app.user("eve").await.connect().await);

    assert_eq!(eve.code_of("status:typing", &typing(&square, true)).await, "NOT_A_MEMBER");
    assert_eq!(eve.code_of("status:typing", &typing(&den, true)).await, "ROOM_NOT_FOUND");

    watcher.expect_silence("status:typing").await;
}

#[tokio::test]
async fn who_leaves_a_room_stops_typing_there() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    alice.emit_ok("status:typing", &typing(&room, true)).await;
    assert_eq!(bob.expect("status:typing").await["isTyping"], true);

    alice.emit_ok("chat:room:leave", &json!(room)).await;

    bob.expect("chat:room:left").await;
    let snapshot = app.user("bob").await.join(&room).await;
    assert_eq!(snapshot["typing"], json!([]));
}
