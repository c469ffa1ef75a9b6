//! What the logs say, and what they never say: the seed's "Monitoring and Logging" and "Debug Mode", contract
//! section 9, "Logs".

use serde_json::{Value, json};

use crate::support::{PASSWORD, TestApp, eventually, token};

/// A session in which everything loggable happens; gives the secrets that must not show.
async fn busy_session(app: &TestApp) -> Vec<String> {
    let alice = app.register("alice").await;
    let (bob, room) = (app.user("bob").await, alice.create_public_room("square").await);
    let socket = alice.connect().await;
    let polling = bob.dial().polling().open_ready().await;
    polling.emit_ok("chat:room:join", &json!(room)).await;
    socket.say(&room, "the words nobody else may read").await;
    alice.say(&room, "the words nobody else may read, over REST").await;
    let nul = json!({ "roomId": room, "content": "the words nobody else may read\u{0}" });
    socket.emit_err("chat:message", &nul).await;
    let late = app.dial().open().await.unwrap();
    late.emit_ok("auth:login", &json!({ "token": bob.token })).await;
    let forged = format!("{}x", alice.token);
    app.dial().token(&forged).refusal_code().await;
    app.holder("x", forged.clone()).get("/users/me").await.expect(401);
    let refresh = alice.login["refreshToken"].as_str().unwrap().to_owned();
    app.post("/api/v1/auth/refresh", &json!({ "refreshToken": refresh })).await.expect(200);
    let change = json!({ "currentPassword": PASSWORD, "newPassword": "the next password" });
    let changed = alice.put("/users/me/password", &change).await.expect(200);
    let next = changed["refreshToken"].as_str().unwrap().to_owned();
    socket.close().await;
    let secrets = [&alice.token, &bob.token, &forged, &refresh, &next].map(|token| signature(token).to_owned());
    let words = ["words nobody else", "correct horse battery", "the next password", crate::support::token::SECRET];
    secrets.into_iter().chain(words.map(str::to_owned)).collect()
}

/// The part of a token that makes it one.
fn signature(token: &str) -> &str {
    token.rsplit('.').next().unwrap_or(token)
}

async fn assert_silent_about_secrets(settings: &[(&str, &str)]) {
    let app = TestApp::with(settings).await;
    let secrets = busy_session(&app).await;
    eventually("a log line about the end", async || app.logs().contains("disconnect")).await;
    let logs = app.logs();
    for secret in secrets {
        let line = logs.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "{settings:?} lets {secret} into the logs");
    }
}

#[tokio::test]
async fn tokens_passwords_and_messages_are_in_no_log() {
    assert_silent_about_secrets(&[]).await;
}

/// Seed, Debug Mode: `DEBUG=socket.io:*`, translated to our own redacting targets.
#[tokio::test]
async fn tokens_passwords_and_messages_are_in_no_log_with_the_seeds_debug() {
    assert_silent_about_secrets(&[("DEBUG", "socket.io:*")]).await;
}

/// The libraries' own lines are held back too: socketioxide would print CONNECT packets with their tokens.
#[tokio::test]
async fn tokens_passwords_and_messages_are_in_no_log_at_any_level() {
    assert_silent_about_secrets(&[("RUST_LOG", "debug")]).await;
    assert_silent_about_secrets(&[("RUST_LOG", "trace")]).await;
}

#[tokio::test]
async fn the_seeds_debug_shows_every_event() {
    let app = TestApp::with(&[("DEBUG", "socket.io:*"), ("RUST_LOG", "info")]).await;
    let socket = app.user("alice").await.connect().await;

    socket.emit_ok("status:typing", &json!({ "isTyping": true })).await;

    eventually("a line about the event", async || app.logs().contains("status:typing")).await;
}

/// Seed, Monitoring: "Connection/disconnection events", "Message routing", "Error tracking".
#[tokio::test]
async fn connections_messages_refusals_and_disconnections_have_a_line_each() {
    let app = TestApp::with(&[("LOG_FORMAT", "json"), ("RUST_LOG", "info,ires_chat=debug")]).await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    let socket = alice.connect().await;
    socket.say(&room, "hello").await;
    socket.emit_err("chat:message", &json!({})).await;
    socket.close().await;

    eventually("the lines", async || {
        let logs = app.logs();
        let about = |words: &[&str]| logs.lines().any(|line| words.iter().all(|word| line.contains(word)));
        about(&["alice", "connected"]) && about(&[&room, "seq"]) && about(&["VALIDATION_ERROR"]) && about(&["disconnected"])
    })
    .await;
}

#[tokio::test]
async fn json_logs_are_json_line_by_line() {
    let app = TestApp::with(&[("LOG_FORMAT", "json")]).await;
    busy_session(&app).await;
    eventually("a log line about the end", async || app.logs().contains("disconnect")).await;

    let logs = app.logs();
    let (whole, _) = logs.rsplit_once('\n').unwrap();

    for line in whole.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()), "{line}");
    }
}

/// User input is escaped: nobody writes a line of their own into the log.
#[tokio::test]
async fn nobody_can_write_a_line_of_their_own_into_the_log() {
    let app = TestApp::with(&[("LOG_FORMAT", "pretty"), ("RUST_LOG", "info")]).await;
    let claims = json!({ "sub": "alice", "name": "A\nFORGED line one", "exp": token::seconds_from_now(60) });
    app.holder("alice", token::with(&claims)).get("/users/me").await;
    let socket = app.user("bob").await.connect().await;
    socket.emit_err("chat:room:join", &json!("x\nFORGED line two")).await;
    socket.emit_err("chat:message", &json!({ "clientMsgId": "x\nFORGED line three\u{1b}[2J" })).await;
    for event in ["chat:nonsense\nFORGED line four", "\u{1b}[2Jchat"] {
        let socket = app.user("bob").await.connect().await;
        socket.ack_if_any(socket.post(event, &json!({})), crate::support::LIMIT).await;
    }

    let logs = app.logs();

    assert!(logs.lines().all(|line| !line.starts_with("FORGED")), "{logs}");
    assert!(!logs.contains("\u{1b}[2J"), "an escape sequence of a client reached the terminal");
}
