//! Hearing of users with whom no room is shared: `status:subscribe`, contract sections 4 and 5.

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestSocket, TestUser,
    json::{assert_members, texts},
};

async fn about(socket: &TestSocket, event: &str, user: &str) -> Value {
    socket.expect_where(event, |status| status["userId"] == user).await
}

/// Two who share no room.
async fn strangers(app: &TestApp) -> (TestUser, TestUser) {
    let (alice, eve) = (app.user("alice").await, app.user("eve").await);
    alice.leave("general").await;
    (alice, eve)
}

#[tokio::test]
async fn a_subscriber_is_told_who_is_here_and_of_every_edge_after_it() {
    let app = TestApp::start().await;
    let (alice, eve) = strangers(&app).await;
    let (watcher, other) = (eve.connect().await, eve.connect().await);

    let answer = watcher.emit_ok("status:subscribe", &json!({ "userIds": ["alice", "eve"] })).await;

    assert_eq!((texts(&answer["users"], "userId"), texts(&answer["users"], "status")), (vec!["alice", "eve"], vec!["offline", "online"]));
    assert_members(&answer["users"][0], &["userId", "isOnline", "status", "lastSeenAt", "timestamp", "serverTime"]);
    assert_eq!(answer["rooms"], json!([]));
    let socket = alice.connect().await;
    assert_eq!(about(&watcher, "status:online", "alice").await["isOnline"], true);
    socket.close().await;
    about(&watcher, "status:offline", "alice").await;
    other.expect_silence("status:offline").await;
    assert!(other.seen("status:online").iter().all(|edge| edge["userId"] != "alice"), "only the socket that asked is told");
}

#[tokio::test]
async fn who_also_shares_a_room_is_told_of_once() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let watcher = bob.connect().await;
    for _ in 0..2 {
        watcher.emit_ok("status:subscribe", &json!({ "userIds": ["alice"] })).await;
    }

    let _alice = alice.connect().await;
    about(&watcher, "status:online", "alice").await;
    let _carol = app.user("carol").await.connect().await;

    about(&watcher, "status:online", "carol").await;
    assert_eq!(watcher.seen("status:online").iter().filter(|edge| edge["userId"] == "alice").count(), 1);
}

/// A user in a room that is too large for edges is still told to those who asked.
#[tokio::test]
async fn a_subscription_reaches_where_a_large_room_does_not() {
    let app = TestApp::with(&[("CHAT_QUIET_ROOM_SIZE", "2")]).await;
    let (alice, bob, carol) = (app.user("alice").await, app.user("bob").await, app.user("carol").await);
    let (subscriber, other) = (bob.connect().await, carol.connect().await);
    subscriber.emit_ok("status:subscribe", &json!({ "userIds": ["alice"] })).await;

    let _alice = alice.connect().await;

    about(&subscriber, "status:online", "alice").await;
    other.expect_silence("status:online").await;
}

#[tokio::test]
async fn rooms_are_answered_with_their_members_presence() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (watcher, _bob) = (alice.connect().await, bob.connect().await);
    about(&watcher, "status:online", "bob").await;

    let answer = watcher.emit_ok("status:subscribe", &json!({ "roomIds": [room] })).await;

    let shown = &answer["rooms"][0];
    assert_eq!((&shown["roomId"], &shown["onlineCount"], &shown["memberCount"]), (&json!(room), &json!(2), &json!(2)));
    assert_eq!(texts(&shown["items"], "userId"), ["alice", "bob"]);
    assert_eq!(answer["users"], json!([]));
}

/// The other socket, which asked for the same, hears the edge.
#[tokio::test]
async fn a_subscription_ends_with_its_socket() {
    let app = TestApp::start().await;
    let (alice, eve) = strangers(&app).await;
    let (first, second) = (eve.connect().await, eve.connect().await);
    for socket in [&first, &second] {
        socket.emit_ok("status:subscribe", &json!({ "userIds": ["alice"] })).await;
    }
    first.close().await;
    let back = eve.connect().await;

    let _alice = alice.connect().await;

    about(&second, "status:online", "alice").await;
    back.settle().await;
    assert!(back.seen("status:online").iter().all(|edge| edge["userId"] != "alice"));
}

#[tokio::test]
async fn a_socket_hears_of_500_users_and_no_more() {
    let app = TestApp::start().await;
    let watcher = app.user("alice").await.connect().await;
    app.execute("INSERT INTO users (id) SELECT 'u' || n FROM generate_series(1, 501) AS n").await;
    let users = |from: usize, to: usize| json!({ "userIds": (from..=to).map(|n| format!("u{n}")).collect::<Vec<_>>() });

    assert_eq!(watcher.emit_ok("status:subscribe", &users(1, 300)).await["users"].as_array().unwrap().len(), 300);
    for (from, to) in [(1, 501), (301, 501)] {
        let error = watcher.emit_err("status:subscribe", &users(from, to)).await;
        assert_eq!((&error["code"], &error["fields"]["userIds"][0]["code"]), (&json!("VALIDATION_ERROR"), &json!("too_long")), "{error}");
    }
    watcher.emit_ok("status:subscribe", &users(201, 500)).await;
    assert_eq!(watcher.code_of("status:subscribe", &users(501, 501)).await, "VALIDATION_ERROR");
}

#[tokio::test]
async fn what_one_may_not_see_cannot_be_subscribed_to_and_spoils_the_whole() {
    let app = TestApp::start().await;
    let (alice, eve) = strangers(&app).await;
    let (square, den) = (alice.create_public_room("square").await, alice.create_room("den").await);
    let watcher = eve.connect().await;

    for (room, code) in [(square.as_str(), "NOT_A_MEMBER"), (&den, "ROOM_NOT_FOUND"), ("no-slug", "ROOM_NOT_FOUND"), ("a b", "ROOM_NOT_FOUND")] {
        assert_eq!(watcher.code_of("status:subscribe", &json!({ "userIds": ["alice"], "roomIds": [room] })).await, code);
    }
    let error = watcher.emit_err("status:subscribe", &json!({ "userIds": ["alice", "nobody"] })).await;
    assert_eq!(error["code"], "USER_NOT_FOUND");
    assert!(error["message"].as_str().unwrap().contains("nobody"), "{error}");

    let _alice = alice.connect().await;
    let _carol = app.user("carol").await.connect().await;
    about(&watcher, "status:online", "carol").await;
    assert!(watcher.seen("status:online").iter().all(|edge| edge["userId"] != "alice"), "nothing of a refused subscription stands");
}
