//! Users who want to look offline: issue 5, part 3, contract section 5.

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestSocket, TestUser, eventually,
    json::{assert_members, texts},
};

async fn about(socket: &TestSocket, event: &str, user: &str) -> Value {
    socket.expect_where(event, |status| status["userId"] == user).await
}

/// Alice and Bob share a den. Nothing about Alice may be told any more when this has been heard.
async fn den(app: &TestApp) -> (TestUser, TestUser, String) {
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    (alice, bob, room)
}

/// Proves that whatever was told before has arrived: somebody else's edge is heard.
async fn all_is_told(app: &TestApp, watcher: &TestSocket) {
    let mark = app.user("mark").await.connect().await;
    about(watcher, "status:online", "mark").await;
    mark.close().await;
    about(watcher, "status:offline", "mark").await;
}

fn edges(socket: &TestSocket) -> Vec<Value> {
    let mut all = socket.seen("status:online");
    all.append(&mut socket.seen("status:offline"));
    all.retain(|edge| edge["userId"] == "alice");
    all
}

async fn last_seen(asker: &TestUser) -> Value {
    asker.get("/users/alice/presence").await.expect(200)["lastSeenAt"].clone()
}

async fn looks_offline(asker: &TestUser, socket: &TestSocket, room: &str) {
    let one = asker.get("/users/alice/presence").await.expect(200);
    assert_eq!((&one["isOnline"], &one["status"]), (&json!(false), &json!("offline")));
    assert_eq!(asker.get("/presence?userIds=alice").await.expect(200)["items"][0]["isOnline"], false);
    let of_room = asker.get(&format!("/rooms/{room}/presence")).await.expect(200);
    assert_eq!((&of_room["onlineCount"], texts(&of_room["items"], "status")), (&json!(1), vec!["offline", "online"]), "{of_room}");
    let joined = socket.emit_ok("chat:room:join", &json!(room)).await;
    assert_eq!((&joined["presence"], &joined["typing"]), (&json!(["bob"]), &json!([])));
    let subscribed = socket.emit_ok("status:subscribe", &json!({ "userIds": ["alice"], "roomIds": [room] })).await;
    assert_eq!((&subscribed["users"][0]["status"], &subscribed["rooms"][0]["onlineCount"]), (&json!("offline"), &json!(1)));
}

#[tokio::test]
async fn an_invisible_user_looks_offline_everywhere_and_the_change_is_one_edge() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let (watcher, phone, desk) = (bob.connect().await, alice.connect().await, alice.connect().await);
    about(&watcher, "status:online", "alice").await;
    phone.emit_ok("status:typing", &json!({ "roomId": room, "isTyping": true })).await;
    assert_eq!(watcher.expect("status:typing").await["isTyping"], true);

    let done = phone.emit_ok("status:update", &json!({ "invisible": true })).await;

    assert_eq!((&done["status"], &done["invisible"]), (&json!("offline"), &json!(true)));
    let told = about(&watcher, "status:offline", "alice").await;
    assert_eq!(watcher.expect("status:typing").await["isTyping"], false);
    looks_offline(&bob, &watcher, &room).await;
    assert_eq!(last_seen(&bob).await, told["lastSeenAt"]);
    // Whatever the sockets do.
    desk.emit_ok("status:update", &json!({ "isOnline": false })).await;
    assert_eq!(desk.emit_ok("status:update", &json!({ "isOnline": true })).await["status"], "offline");
    let third = alice.connect().await;
    desk.close().await;
    looks_offline(&bob, &watcher, &room).await;
    all_is_told(&app, &watcher).await;
    assert_eq!(edges(&watcher)[1..], [told]);

    third.emit_ok("status:update", &json!({ "invisible": false })).await;

    about(&watcher, "status:online", "alice").await;
    all_is_told(&app, &watcher).await;
    assert_eq!(edges(&watcher).len(), 3);
    assert_eq!(bob.get("/users/alice/presence").await.expect(200)["isOnline"], true);
}

#[tokio::test]
async fn an_invisible_user_talks_and_is_not_seen_to_be_there() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let watcher = bob.connect().await;
    alice.connect().await.close().await;
    let before = about(&watcher, "status:offline", "alice").await["lastSeenAt"].clone();
    alice.patch("/users/me/presence", &json!({ "invisible": true })).await.expect(200);

    let hidden = alice.connect().await;
    hidden.emit_ok("status:typing", &json!({ "roomId": room, "isTyping": true })).await;
    hidden.say(&room, "It is me").await;

    assert_eq!(watcher.expect("chat:message").await["content"], "It is me");
    watcher.expect_silence("status:typing").await;
    looks_offline(&bob, &watcher, &room).await;
    hidden.close().await;
    all_is_told(&app, &watcher).await;
    assert_eq!(edges(&watcher).len(), 2, "one coming and one going, before");
    assert_eq!(last_seen(&bob).await, before);
}

#[tokio::test]
async fn the_own_devices_know_and_the_setting_outlasts_the_server() {
    let mut app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let (phone, desk) = (alice.connect().await, alice.connect().await);
    assert_eq!(phone.ready["invisible"], false);

    let changed = alice.patch("/users/me/presence", &json!({ "invisible": true })).await.expect(200);

    assert_members(&changed, &["userId", "isOnline", "status", "lastSeenAt", "invisible", "timestamp", "serverTime"]);
    assert_eq!((&changed["invisible"], &changed["isOnline"]), (&json!(true), &json!(false)));
    for socket in [&phone, &desk] {
        let told = socket.expect_notification("presence.visibility").await;
        assert_eq!(told["data"], json!({ "invisible": true }));
    }
    // What is so already is told to nobody.
    alice.patch("/users/me/presence", &json!({ "invisible": true })).await.expect(200);
    phone.settle().await;
    assert_eq!(phone.seen("system:notification").iter().filter(|told| told["type"] == "presence.visibility").count(), 1);

    app.restart();
    let (alice, bob) = (alice.at(app.base()), bob.at(app.base()));
    let watcher = bob.connect().await;
    let back = alice.connect().await;
    assert_eq!(back.ready["invisible"], true);
    assert_eq!(alice.get("/users/me/presence").await.expect(200)["invisible"], true);
    all_is_told(&app, &watcher).await;
    assert!(watcher.seen("status:online").iter().all(|edge| edge["userId"] != "alice"));
    // What is another's is not shown.
    assert_eq!(bob.get("/users/me/presence").await.expect(200)["invisible"], false);
    assert_eq!(bob.get("/users/alice/presence").await.expect(200).get("invisible"), None);
}

#[tokio::test]
async fn a_wrong_setting_is_refused() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;

    for body in [json!({}), json!({ "invisible": null }), json!({ "invisible": "yes" }), json!({ "invisible": 1 })] {
        let refused = alice.patch("/users/me/presence", &body).await.expect(400);
        assert_eq!((&refused["code"], refused["fields"].get("invisible").is_some()), (&json!("VALIDATION_ERROR"), true), "{refused}");
    }
    assert_eq!(app.get("/api/v1/users/me/presence").await.refused(401), "AUTH_TOKEN_MISSING");
    assert_eq!(alice.get("/users/me/presence").await.expect(200)["invisible"], false);
}

#[tokio::test]
async fn who_becomes_invisible_at_one_server_is_so_at_all() {
    let app = TestApp::start().await;
    let (_second, base) = app.second_server_with(&[("CHAT_PRESENCE_GRACE", "100ms")]);
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let (here, there) = (bob.connect().await, bob.at(&base).connect().await);
    let desk = alice.at(&base).connect().await;
    for watcher in [&here, &there] {
        about(watcher, "status:online", "alice").await;
    }
    // The first server knows of the desk now. Before it hides the phone, the second one must be able to know of that, too.
    let phone = alice.connect().await;
    let both = "SELECT count(*) FROM connections WHERE user_id = 'alice'";
    eventually("the phone beside the desk", async || app.number(both).await == 2).await;

    alice.patch("/users/me/presence", &json!({ "invisible": true })).await.expect(200);

    for watcher in [&here, &there] {
        about(watcher, "status:offline", "alice").await;
    }
    for own in [&phone, &desk] {
        own.expect_notification("presence.visibility").await;
    }
    desk.emit_ok("status:update", &json!({ "invisible": false })).await;
    for watcher in [&here, &there] {
        about(watcher, "status:online", "alice").await;
        assert_eq!(edges(watcher).len(), 3);
    }
}
