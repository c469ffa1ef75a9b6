//! Limits before anybody has authenticated: by the client's address, which nobody chooses for themselves. Contract section 8.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Refusal, Reply, TestApp, code, eventually, token};

const PASSWORD: &str = "correct horse battery staple";

async fn limited(settings: &[(&str, &str)]) -> TestApp {
    TestApp::with(&[&[("CHAT_LIMITS", "on")], settings].concat()).await
}

/// Logs in as somebody who may not exist, with these addresses in `X-Forwarded-For`, one header each.
async fn log_in(app: &TestApp, username: &str, forwarded: &[&str]) -> Reply {
    let body = json!({ "username": username, "password": PASSWORD });
    let request = app.http.post(format!("{}/api/v1/auth/login", app.base())).json(&body);
    Reply::of(forwarded.iter().fold(request, |request, line| request.header("X-Forwarded-For", *line))).await
}

/// What is refused in the end, when so many were heard and no more than may be: one more each twelve seconds, where a busy machine takes
/// so long.
async fn refusal(begun: Instant, heard: &mut u64, attempt: impl AsyncFn() -> Reply) -> Reply {
    loop {
        let reply = attempt().await;
        if reply.status == 429 {
            return reply;
        }
        *heard += 1;
        assert!(*heard <= 5 + begun.elapsed().as_secs() / 12, "{heard} were heard: {}", reply.text);
    }
}

#[tokio::test]
async fn an_address_logs_in_and_registers_five_times_a_minute() {
    let app = limited(&[]).await;
    let (begun, mut heard) = (Instant::now(), 5);
    app.register("alice").await;
    for _ in 0..2 {
        app.log_in("alice").await;
        assert_eq!(log_in(&app, "nobody", &[]).await.refused(401), "INVALID_CREDENTIALS");
    }

    let refused = refusal(begun, &mut heard, async || log_in(&app, "alice", &[]).await).await;

    assert_eq!(refused.refused(429), "RATE_LIMITED");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=12).contains(&seconds), "{seconds}");
    assert_eq!(refused.header("ratelimit-policy"), "\"login\";q=5;w=60");
    let account = json!({ "username": "bob", "password": PASSWORD });
    let registration = refusal(begun, &mut heard, async || app.post("/api/v1/auth/register", &account).await).await;
    assert_eq!(registration.refused(429), "RATE_LIMITED");
    // Who has a token is not asked for an address.
    app.user("carol").await.connect().await;
}

#[tokio::test]
async fn nobody_gets_another_address_by_saying_so() {
    let app = limited(&[("CHAT_LIMIT_LOGIN", "2/1/1h")]).await;
    assert_eq!(log_in(&app, "a", &["203.0.113.1"]).await.status, 401);
    assert_eq!(log_in(&app, "b", &["203.0.113.2"]).await.status, 401);

    assert_eq!(log_in(&app, "c", &["203.0.113.3"]).await.status, 429);
    // Whoever forgot to name their proxy is told, once.
    assert_eq!(log_in(&app, "d", &["203.0.113.4"]).await.status, 429);
    let told = || app.logs().matches("CHAT_TRUSTED_PROXIES").count();
    eventually("a warning", async || told() > 0).await;
    assert_eq!(told(), 1);
}

#[tokio::test]
async fn behind_trusted_proxies_the_rightmost_hop_that_is_none_counts() {
    let app = limited(&[("CHAT_LIMIT_LOGIN", "1/1/1h"), ("CHAT_TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8")]).await;
    // Each is another client: its first attempt is heard.
    for client in [&["203.0.113.1"][..], &["203.0.113.2, 10.0.0.7"], &["203.0.113.3", "10.0.0.7"], &["2001:db8:1:1::1"], &["10.0.0.9"], &[]] {
        assert_eq!(log_in(&app, "a", client).await.status, 401, "{client:?}");
    }
    // Each is one of those again, whatever it puts in front or however it is written.
    for client in [
        &["203.0.113.1"][..],
        &["198.51.100.9, 203.0.113.1"],
        &["198.51.100.10, 203.0.113.2, 10.0.0.8"],
        &["198.51.100.11", "203.0.113.3", "10.0.0.7"],
        &["::ffff:203.0.113.1"],
        &["203.0.113.1:4711"],
        &["2001:db8:1:1:ffff::2"],
        &["unknown"],
        &["198.51.100.13, unknown"],
    ] {
        assert_eq!(log_in(&app, "b", client).await.status, 429, "{client:?}");
    }
    assert_eq!(log_in(&app, "c", &["2001:db8:1:2::1"]).await.status, 401, "another /64");
}

/// promises.md: per account and per address; delay, not lock-out.
#[tokio::test]
async fn an_attacked_account_answers_later_and_still_lets_its_owner_in() {
    let app = limited(&[("CHAT_LIMIT_LOGIN", "3/1/1h"), ("CHAT_TRUSTED_PROXIES", "127.0.0.1")]).await;
    app.register("alice").await;
    for (username, expected) in [("alice", 200), ("nobody", 401)] {
        let wrong = json!({ "username": username, "password": "wrong password" });
        for host in 1..=3 {
            let request = app.http.post(format!("{}/api/v1/auth/login", app.base())).header("X-Forwarded-For", format!("203.0.113.{host}"));
            assert_eq!(Reply::of(request.json(&wrong)).await.status, 401);
        }
        let begun = Instant::now();

        let reply = log_in(&app, username, &["198.51.100.1"]).await;

        assert_eq!(reply.status, expected, "{username}: {}", reply.text);
        assert!(begun.elapsed() > Duration::from_millis(1_900), "{username}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn handshakes_of_an_address_have_a_rate() {
    let app = limited(&[("CHAT_LIMIT_CONNECT", "3/1/1h"), ("CHAT_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let alice = app.user("alice").await;
    for _ in 0..2 {
        alice.connect().await.close().await;
    }
    alice.dial().polling().open_ready().await;

    assert_eq!(alice.dial().open().await.err(), Some(Refusal::Status(429)));
    let refused = app.get("/socket.io/?EIO=4&transport=polling").await;
    assert_eq!(refused.refused(429), "RATE_LIMITED");
    assert_ne!(refused.header("retry-after"), "");
    alice.dial().header("X-Forwarded-For", "203.0.113.1").open_ready().await;
}

/// One handshake, and connecting again and again on it.
#[tokio::test]
async fn further_connects_of_one_handshake_count_like_handshakes() {
    let app = limited(&[("CHAT_LIMIT_CONNECT", "3/1/1h")]).await;
    let alice = app.user("alice").await;
    let socket = alice.dial().open_transport().await.unwrap();
    let connect = format!("40/chat,{}", json!({ "token": alice.token }));
    // The engine ignores a CONNECT as long as it is busy with the goodbye before it, and one while there is a connection.
    let connect_until = async |event: &str| {
        let asking = async {
            loop {
                socket.send_raw(&connect);
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            heard = socket.expect(event) => heard,
            () = asking => unreachable!("nothing ends it"),
        }
    };
    for count in 1..=3 {
        assert_eq!(connect_until("system:notification").await["type"], "session.ready");
        socket.send_raw("41/chat,");
        assert_eq!(socket.seen("system:error").len(), 0, "{count}");
    }

    assert_eq!(code(&connect_until("system:error").await), "RATE_LIMITED");
}

#[tokio::test]
async fn what_a_socket_says_before_it_authenticates_counts_for_its_address() {
    let app = limited(&[("CHAT_LIMIT_CONNECT", "4/1/1h")]).await;
    let socket = app.dial().open().await.unwrap();
    assert_eq!(socket.code_of("chat:message", &json!({ "content": "x" })).await, "AUTH_REQUIRED");
    assert_eq!(socket.code_of("status:typing", &json!({ "isTyping": true })).await, "AUTH_REQUIRED");
    assert_eq!(socket.code_of("no:such:event", &json!({})).await, "AUTH_REQUIRED");

    for event in ["chat:message", "status:typing", "auth:login"] {
        assert_eq!(socket.code_of(event, &json!({ "token": token::of("alice") })).await, "RATE_LIMITED", "{event}");
    }
    assert_eq!(app.dial().open().await.err(), Some(Refusal::Status(429)));
}

#[tokio::test]
async fn bad_tokens_and_refreshes_count_for_the_address_and_good_tokens_do_not() {
    let app = limited(&[("CHAT_LIMIT_CONNECT", "4/1/1h")]).await;
    let (alice, eve) = (app.user("alice").await, app.holder("eve", "no.good.token".into()));
    assert_eq!(eve.get("/rooms").await.refused(401), "AUTH_TOKEN_INVALID");
    assert_eq!(app.get("/api/v1/rooms").await.refused(401), "AUTH_TOKEN_MISSING");
    let refresh = async || app.post("/api/v1/auth/refresh", &json!({ "refreshToken": "guess" })).await;
    assert_eq!(refresh().await.refused(401), "AUTH_TOKEN_INVALID");
    assert_eq!(eve.get("/rooms").await.refused(401), "AUTH_TOKEN_INVALID");

    assert_eq!(eve.get("/rooms").await.refused(429), "RATE_LIMITED");
    assert_eq!(refresh().await.refused(429), "RATE_LIMITED");
    for _ in 0..10 {
        alice.get("/rooms").await.expect(200);
    }
}

/// A method that a route does not have, and a route that is not there, are what they were.
#[tokio::test]
async fn limits_change_no_answer_to_what_is_not_there() {
    let app = limited(&[]).await;
    let alice = app.user("alice").await;
    for (method, path, status) in [(Method::PUT, "/rooms", 405), (Method::GET, "/nowhere", 404), (Method::HEAD, "/rooms", 200)] {
        assert_eq!(Reply::of(alice.request(method.clone(), path)).await.status, status, "{method} {path}");
    }
    assert_eq!(app.get("/api/v1/rooms").await.body["code"], Value::from("AUTH_TOKEN_MISSING"));
}
