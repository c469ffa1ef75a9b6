//! What makes a frontend of the seed's gateway work by changing one URL: the rows marked (compat).

use serde_json::{Value, json};

use crate::support::{TestApp, token};

/// Seed, System Events: `system:error`; (compat) mirrored as Nest's `exception`.
#[tokio::test]
async fn every_system_error_is_mirrored_as_exception_when_the_switch_is_on() {
    let app = TestApp::with(&[("CHAT_COMPAT_NEST_EXCEPTION", "true")]).await;
    let socket = app.user("alice").await.connect().await;

    let error = socket.emit_err("chat:message", &json!({})).await;

    let exception = socket.expect("exception").await;
    assert_eq!((&exception["status"], &exception["code"]), (&json!("error"), &error["code"]));
    assert_eq!(exception["message"], error["message"]);
}

#[tokio::test]
async fn errors_of_the_connection_are_mirrored_too() {
    let app = TestApp::with(&[("CHAT_COMPAT_NEST_EXCEPTION", "true")]).await;

    let socket = app.dial().token(&token::expiring("alice", -3600)).open().await.unwrap();

    assert_eq!(socket.expect("exception").await["code"], "AUTH_TOKEN_EXPIRED");
    socket.disconnected().await;
}

#[tokio::test]
async fn there_is_no_exception_event_when_the_switch_is_off() {
    let app = TestApp::start().await;
    let socket = app.user("alice").await.connect().await;

    socket.emit_err("chat:message", &json!({})).await;

    socket.expect_silence("exception").await;
}

/// The seed's client reads `error.message` and `error.code`.
#[tokio::test]
async fn a_system_error_has_the_seeds_message_and_code_and_everything_of_the_contract() {
    let app = TestApp::start().await;
    let socket = app.user("alice").await.connect().await;

    let message = json!({ "clientMsgId": "m1", "content": 5 });
    socket.emit_no_ack("chat:message", &message);

    let error = socket.expect("system:error").await;
    crate::support::json::assert_members(&error, &["code", "message", "status", "retryable", "event", "fields"]);
    crate::support::json::assert_members(&error, &["traceId", "timestamp", "ref"]);
    assert_eq!((&error["event"], &error["ref"]), (&json!("chat:message"), &json!("m1")));
    assert_eq!((&error["status"], &error["retryable"]), (&json!(400), &Value::Bool(false)));
}
