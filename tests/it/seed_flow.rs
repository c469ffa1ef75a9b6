//! The seed's usage examples, one after the other, as its frontend would run them. (`node.rs` does the same with
//! the official client.)

use serde_json::json;

use crate::support::{TestApp, json::text, token};

/// Seed, Usage: "Authentication", "Chat Functionality" and "Status Updates" in one session.
#[tokio::test]
async fn the_seeds_flow_from_connecting_to_logging_out() {
    let app = TestApp::start().await;
    for id in ["user1", "user2"] {
        app.user(id).await;
    }
    let one = app.dial().token(&token::of("user1")).open_ready().await;
    let two = app.dial().token(&token::of("user2")).open_ready().await;
    one.expect_where("status:online", |status| status["userId"] == "user2").await;

    one.emit_ok("auth:login", &json!({ "token": token::of("user1"), "userType": "user" })).await;
    one.expect_where("system:notification", |told| told["success"] != false).await;

    let room = one.emit_ok("chat:room:create", &json!({ "name": "Support Room", "participants": ["user1", "user2"] })).await;
    assert_eq!(two.expect("chat:room:created").await["room"]["name"], "Support Room");
    let room = text(&room["id"]);
    two.emit_ok("chat:room:join", &json!(room)).await;
    assert_eq!(two.expect("chat:room:joined").await["roomId"], room);

    one.emit_ok("status:typing", &json!({ "roomId": room, "isTyping": true })).await;
    assert_eq!(two.expect("status:typing").await["userId"], "user1");
    one.emit_ok("chat:message", &json!({ "content": "Hello, world!", "roomId": room })).await;
    assert_eq!(two.expect("chat:message").await["content"], "Hello, world!");

    two.emit_ok("chat:room:leave", &json!(room)).await;
    assert_eq!(one.expect("chat:room:left").await["userId"], "user2");
    two.emit_ok("status:update", &json!({ "isOnline": true })).await;
    two.emit_ok("auth:logout", &json!({})).await;
    one.expect_where("status:offline", |status| status["userId"] == "user2").await;
    two.disconnected().await;
}

/// Seed, System Events: `system:notification`, "General system notification".
#[tokio::test]
async fn the_answer_to_auth_login_is_a_system_notification_that_reads_as_an_auth_result() {
    let app = TestApp::start().await;
    let socket = app.dial().open().await.unwrap();

    socket.emit_no_ack("auth:login", &json!({ "token": token::of("alice"), "userType": "user" }));

    let result = socket.expect("system:notification").await;
    assert_eq!((&result["success"], &result["level"]), (&json!(true), &json!("success")));
    assert!(!text(&result["message"]).is_empty());
}

/// Seed, System Events: `system:error`, "Error notification".
#[tokio::test]
async fn the_answer_to_a_bad_auth_login_is_a_system_error_with_message_and_code() {
    let app = TestApp::start().await;
    let socket = app.dial().open().await.unwrap();

    socket.emit_no_ack("auth:login", &json!({ "token": "your-jwt-token", "userType": "user" }));

    let error = socket.expect("system:error").await;
    assert_eq!(error["code"], "AUTH_TOKEN_INVALID");
    assert!(!text(&error["message"]).is_empty());
}
