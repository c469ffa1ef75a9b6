//! What the logs say, and what they never say: the seed's "Monitoring and Logging" and "Debug Mode", contract
//! section 9, "Logs".

use serde_json::{Value, json};

use crate::support::{PASSWORD, TestApp, TestSocket, TestUser, eventually, token};

/// What is said, in all its places.
const WORDS: &str = "the words nobody else may read";
const METRICS: &str = "a-token-for-prometheus-alone";

/// A session in which everything loggable happens; gives the secrets that must not show.
async fn busy_session(app: &TestApp) -> Vec<String> {
    let alice = app.register("alice").await;
    let (bob, room) = (app.user("bob").await, alice.create_public_room("square").await);
    let socket = alice.connect().await;
    let polling = bob.dial().polling().open_ready().await;
    polling.emit_ok("chat:room:join", &json!(room)).await;
    let message = socket.say(&room, WORDS).await;
    let refresh = texts(&alice, &socket, &room, &message).await;
    let tokens = tokens(app, &alice, &bob).await;
    let sids = [&socket, &polling].map(|socket| socket.handshake()["sid"].as_str().unwrap().to_owned());
    socket.close().await;
    let words = [WORDS, "correct horse battery", "wrong horse battery", "the next password", crate::support::token::SECRET, METRICS];
    words.into_iter().map(str::to_owned).chain(tokens).chain(sids).chain([refresh]).collect()
}

/// Texts in every place that takes one, some of them refused.
async fn texts(alice: &TestUser, socket: &TestSocket, room: &str, message: &Value) -> String {
    alice.say(room, &format!("{WORDS}, over REST")).await;
    socket.emit_err("chat:message", &json!({ "roomId": room, "content": format!("{WORDS}\u{0}") })).await;
    socket.emit_err("chat:message", &json!({ "roomId": "nowhere", "content": WORDS })).await;
    let more = json!({ "roomId": room, "content": "with more", "metadata": { WORDS: WORDS }, "attachments": [{ "name": WORDS }] });
    socket.emit_ok("chat:message", &more).await;
    let id = &message["id"];
    socket.emit_ok("chat:message:edit", &json!({ "messageId": id, "content": format!("{WORDS}, changed") })).await;
    socket.emit_err("chat:message:edit", &json!({ "messageId": id, "content": format!("{WORDS}\u{0}") })).await;
    socket.emit_ok("chat:room:update", &json!({ "roomId": room, "topic": WORDS })).await;
    socket.emit_ok("chat:message:delete", &json!({ "messageId": id, "reason": WORDS })).await;
    alice.get(&format!("/search?q={}", WORDS.replace(' ', "%20"))).await.expect(200);
    alice.get(&format!("/search?q={}&limit=-1", WORDS.replace(' ', "%20"))).await.refused(400);
    alice.patch("/users/me", &json!({ "name": WORDS })).await.expect(200);
    alice.post(&format!("/rooms/{room}/messages"), &json!({ "content": [WORDS] })).await.refused(400);
    alice.login["refreshToken"].as_str().unwrap().to_owned()
}

/// Tokens and passwords in every place that takes one, good and bad.
async fn tokens(app: &TestApp, alice: &TestUser, bob: &TestUser) -> Vec<String> {
    let late = app.dial().open().await.unwrap();
    late.emit_ok("auth:login", &json!({ "token": bob.token })).await;
    let forged = format!("{}x", alice.token);
    let expired = token::expiring("alice", -3_600);
    app.dial().token(&forged).refusal_code().await;
    app.dial().header("authorization", &format!("Bearer {expired}")).refusal_code().await;
    late.emit_err("auth:login", &json!({ "token": forged })).await;
    app.holder("x", forged.clone()).get("/users/me").await.expect(401);
    app.holder("x", METRICS.to_owned()).get("/users/me").await.expect(401);
    let wrong = json!({ "username": "alice", "password": "wrong horse battery" });
    app.post("/api/v1/auth/login", &wrong).await.expect(401);
    app.post("/api/v1/auth/register", &wrong).await.expect(409);
    let metrics = async |token: &str| app.http.get(format!("{}/metrics", app.base())).bearer_auth(token).send().await.unwrap().status();
    assert_eq!((metrics(METRICS).await.as_u16(), metrics(&forged).await.as_u16()), (200, 401));
    let refresh = json!({ "refreshToken": alice.login["refreshToken"] });
    let renewed = app.post("/api/v1/auth/refresh", &refresh).await.expect(200);
    app.post("/api/v1/auth/refresh", &json!({ "refreshToken": "made-up-refresh-token" })).await.expect(401);
    let change = json!({ "currentPassword": PASSWORD, "newPassword": "the next password" });
    let changed = alice.put("/users/me/password", &change).await.expect(200);
    let next = changed["refreshToken"].as_str().unwrap().to_owned();
    let newest = renewed["refreshToken"].as_str().unwrap().to_owned();
    let signatures = [&alice.token, &bob.token, &forged, &expired].map(|token| signature(token).to_owned());
    signatures.into_iter().chain([newest, next, "made-up-refresh-token".to_owned()]).collect()
}

/// The part of a token that makes it one.
fn signature(token: &str) -> &str {
    token.rsplit('.').next().unwrap_or(token)
}

async fn assert_silent_about_secrets(settings: &[(&str, &str)]) {
    let app = TestApp::with(&[&[("CHAT_METRICS_TOKEN", METRICS)], settings].concat()).await;
    let secrets = busy_session(&app).await;
    eventually("a log line about the end", async || app.logs().contains("disconnect")).await;
    let logs = app.logs();
    for line in ["a message was stored and told", "an event is refused", "a request is refused"] {
        assert!(logs.contains(line), "{settings:?} hides more than secrets: {line}");
    }
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
    for format in ["json", "pretty"] {
        assert_silent_about_secrets(&[("RUST_LOG", "trace"), ("DEBUG", "*"), ("LOG_FORMAT", format)]).await;
    }
    assert_silent_about_secrets(&[("RUST_LOG", "debug"), ("CHAT_SLOW_QUERY", "0s")]).await;
}

#[tokio::test]
async fn the_seeds_debug_shows_every_event() {
    let app = TestApp::with(&[("DEBUG", "socket.io:*"), ("RUST_LOG", "info")]).await;
    let socket = app.user("alice").await.connect().await;

    socket.emit_ok("status:typing", &json!({ "isTyping": true })).await;

    eventually("a line about the event", async || app.logs().contains("status:typing")).await;
    assert!(!app.logs().contains("a room was told"), "that is socket.io-adapter");
}

#[tokio::test]
async fn the_seeds_debug_may_leave_something_out_and_show_what_is_told() {
    let app = TestApp::with(&[("DEBUG", "socket.io*,-socket.io:socket"), ("RUST_LOG", "info")]).await;
    let socket = app.user("alice").await.connect().await;

    socket.say("general", "hello").await;

    eventually("a line about the telling", async || app.logs().contains("a room was told")).await;
    assert!(!app.logs().contains("an event arrived"));
}

/// Seed, Monitoring: "Connection/disconnection events", "Message routing", "Error tracking".
#[tokio::test]
async fn connections_messages_refusals_tellings_and_disconnections_have_one_line_each() {
    let app = TestApp::with(&[("LOG_FORMAT", "json"), ("RUST_LOG", "info,ires_chat=debug")]).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (socket, listener) = (alice.connect().await, bob.connect().await);
    let message = socket.say(&room, "hello").await;
    listener.expect("chat:message").await;
    socket.emit_err("chat:message", &json!({})).await;
    alice.get("/rooms/nowhere").await.refused(404);
    socket.close().await;

    let lines = async || -> Vec<Value> { app.logs().lines().filter_map(|line| serde_json::from_str(line).ok()).collect() };
    let of = async |words: &str, fields: Value| -> usize {
        let fits = |line: &&Value| line["message"] == words && fields.as_object().unwrap().iter().all(|(name, value)| line[name] == *value);
        lines().await.iter().filter(fits).count()
    };
    eventually("the last line", async || of("a user disconnected", json!({ "user.id": "alice" })).await > 0).await;
    for (words, fields) in [
        ("a user connected", json!({ "user.id": "alice", "namespace": "/chat" })),
        ("a message was stored and told", json!({ "room.id": room, "user.id": "alice", "seq": message["seq"], "bytes": 5 })),
        ("a room was told", json!({ "room.id": room, "events": 1, "connections": 2 })),
        ("an event is refused", json!({ "code": "VALIDATION_ERROR", "event": "\"chat:message\"" })),
        ("a request is refused", json!({ "code": "ROOM_NOT_FOUND" })),
        ("a user disconnected", json!({ "user.id": "alice" })),
    ] {
        assert_eq!(of(words, fields).await, 1, "{words}:\n{}", app.logs());
    }
    let ended = lines().await.into_iter().find(|line| line["message"] == "a user disconnected").unwrap();
    assert!(ended["reason"].is_string() && ended["seconds"].is_f64(), "{ended}");
    let stored = lines().await.into_iter().find(|line| line["message"] == "a message was stored and told").unwrap();
    assert!(stored["ms"].is_u64() && stored["trace.id"].as_str().is_some_and(|trace| trace.len() == 32), "{stored}");
}

#[tokio::test]
async fn json_logs_are_json_line_by_line() {
    let app = TestApp::with(&[("LOG_FORMAT", "json"), ("CHAT_METRICS_TOKEN", METRICS)]).await;
    busy_session(&app).await;
    eventually("a log line about the end", async || app.logs().contains("disconnect")).await;

    let logs = app.logs();
    let (whole, _) = logs.rsplit_once('\n').unwrap();

    for line in whole.lines() {
        let read: Value = serde_json::from_str(line).unwrap_or_default();
        assert!(read["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
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
