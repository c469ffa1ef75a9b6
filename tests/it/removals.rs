//! Two servers on one database: who is out of a room at one is out at both. `promises.md`, "Rooms": removed members hear nothing more,
//! at once, on all nodes.

use serde_json::{Value, json};

use crate::support::{TestApp, TestSocket, TestUser, json::text};

/// What a socket has heard in a room.
fn heard(socket: &TestSocket, room: &str) -> Vec<String> {
    let messages = socket.seen("chat:message").into_iter().filter(|message| message["roomId"] == room);
    messages.map(|message| text(&message["content"]).to_owned()).collect()
}

async fn hears(socket: &TestSocket, speaker: &TestUser, room: &str, content: &str) {
    speaker.say(room, content).await;
    socket.expect_where("chat:message", |message| message["content"] == content).await;
}

async fn is_out(socket: &TestSocket, room: &str) -> Value {
    socket.expect_where("chat:room:left", |left| left["roomId"] == room).await
}

#[tokio::test]
async fn who_is_out_of_a_room_at_one_server_hears_nothing_more_of_it_at_another() {
    let app = TestApp::start().await;
    let (_second, base) = app.second_server();
    let (alice, bob, carol) = (app.user("alice").await, app.user("bob").await.at(&base), app.user("carol").await.at(&base));
    let mut rooms = Vec::new();
    for name in ["kicked", "banned", "left", "deleted", "staying"] {
        rooms.push(alice.create_room_with(name, &[&bob, &carol]).await);
    }
    let [kicked, banned, left, deleted, staying] = &rooms[..] else { unreachable!() };
    let (here, there, other) = (alice.connect().await, bob.connect().await, carol.connect().await);
    for room in &rooms {
        hears(&there, &carol, room, "before").await;
    }

    here.emit_ok("chat:room:kick", &json!({ "roomId": kicked, "userId": "bob" })).await;
    here.emit_ok("chat:room:ban", &json!({ "roomId": banned, "userId": "bob" })).await;
    bob.at(app.base()).leave(left).await;
    alice.delete(&format!("/rooms/{deleted}")).await;

    for (room, reason, members) in [(kicked, "left", 2), (banned, "banned", 2), (left, "left", 2)] {
        let told = is_out(&there, room).await;
        assert_eq!((&told["self"], &told["userId"], &told["reason"]), (&json!(true), &json!("bob"), &json!(reason)), "{told}");
        assert_eq!((&told["seq"], &told["memberCount"]), (&Value::Null, &json!(members)), "{told}");
    }
    for socket in [&there, &other] {
        assert_eq!(is_out(socket, deleted).await["reason"], "room_deleted");
    }
    for room in [kicked, banned, left] {
        hears(&other, &carol, room, "behind his back").await;
    }
    hears(&there, &carol, staying, "after").await;
    for room in [kicked, banned, left] {
        assert_eq!(heard(&there, room), ["before"]);
    }
}

#[tokio::test]
async fn who_leaves_at_one_server_and_comes_again_at_another_hears_on() {
    let app = TestApp::start().await;
    let (_second, base) = app.second_server();
    let (alice, bob) = (app.user("alice").await.at(&base), app.user("bob").await.at(&base));
    let (square, mark) = (alice.create_public_room("square").await, alice.create_room_with("mark", &[&bob]).await);
    bob.join(&square).await;
    let there = bob.connect().await;

    bob.at(app.base()).leave(&square).await;
    bob.join(&square).await;
    bob.at(app.base()).leave(&mark).await;

    // What was done before was looked at with it, or before.
    is_out(&there, &mark).await;
    hears(&there, &alice, &square, "welcome back").await;
}
