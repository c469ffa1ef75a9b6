//! Requests that are no good: slow, huge, ambiguous or too many; and the headers that protect those who are good. Issue 5, item 7.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{Raw, Reply, TestApp, eventually};

/// A request that has begun and does not go on.
const HALF: &str = "GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ";
const WHOLE: &str = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

/// A busy machine may take this much longer than what was set: that is still less than what would be without the setting, ten seconds.
const SLACK: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_half_requests_are_closed_in_time_while_others_are_served() {
    let app = TestApp::with(&[("CHAT_HEAD_TIMEOUT", "1s"), ("RUST_LOG", "warn")]).await;
    let alice = app.user("alice").await;
    let socket = alice.connect().await;
    let mut slow = JoinSet::new();
    for _ in 0..1_000 {
        let mut raw = Raw::sending(&app, HALF).await;
        slow.spawn(async move {
            // Trickling does not help.
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                raw.send("a").await;
            }
            raw.until_closed().await
        });
    }

    socket.say("general", "untroubled").await;
    alice.get("/rooms").await.expect(200);

    for (reply, lived) in slow.join_all().await {
        assert_eq!(reply, "");
        assert!(lived > Duration::from_millis(900) && lived < Duration::from_secs(1) + SLACK, "{lived:?}");
    }
    socket.settle().await;
}

#[tokio::test]
async fn a_body_that_does_not_end_is_408_over_rest_and_polling() {
    let app = TestApp::with(&[("CHAT_BODY_TIMEOUT", "2s")]).await;
    let polling = app.user("alice").await.dial().polling().open_ready().await;
    let session = polling.handshake()["sid"].as_str().unwrap().to_owned();
    let paths = ["/api/v1/auth/login".to_owned(), format!("/socket.io/?EIO=4&transport=polling&sid={session}")];
    let stuck = paths.map(async |path| {
        let mut raw = Raw::sending(&app, format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n4")).await;
        raw.send("{").await;

        let (reply, lived) = raw.until_closed().await;

        assert!(reply.starts_with("HTTP/1.1 408 ") && reply.contains("\"code\":\"REQUEST_TIMEOUT\""), "{path}: {reply}");
        assert!(lived > Duration::from_millis(1_900) && lived < Duration::from_secs(2) + SLACK, "{lived:?}");
    });
    join_all(stuck).await;
    polling.settle().await;
    // Who takes time before the last byte, and comes in time, is served: there is enough of it by default.
    let app = TestApp::start().await;
    let mut raw = Raw::sending(&app, "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    raw.send("}").await;
    assert!(raw.until_closed().await.0.contains("VALIDATION_ERROR"));
}

#[tokio::test]
async fn a_connection_that_rests_is_closed_and_a_socket_that_rests_is_not() {
    let app = TestApp::with(&[("CHAT_IDLE_TIMEOUT", "3s"), ("CHAT_HEAD_TIMEOUT", "2s")]).await;
    let alice = app.user("alice").await;
    let (socket, polling) = (alice.connect().await, alice.dial().polling().open_ready().await);

    let (resting, silent) = (Raw::sending(&app, [WHOLE, WHOLE].concat()).await, Raw::open(&app).await);
    let ((reply, lived), (nothing, _)) = tokio::join!(resting.until_closed(), silent.until_closed());

    assert_eq!(reply.matches("HTTP/1.1 200").count(), 2, "{reply}");
    assert!(lived > Duration::from_millis(2_900) && lived < Duration::from_secs(3) + SLACK, "{lived:?}");
    assert_eq!(nothing, "");
    for socket in [socket, polling] {
        socket.say("general", "still here").await;
    }
}

#[tokio::test]
async fn an_address_has_so_many_connections_that_are_no_sockets() {
    let app = TestApp::with(&[("CHAT_LIMITS", "on"), ("CHAT_REQUESTS_PER_IP", "10")]).await;
    let alice = app.stranger("alice");
    let sockets = [alice.connect().await, alice.connect().await];
    let mut resting = Vec::new();
    let mut refused = None;
    for _ in 0..10 {
        let mut raw = Raw::sending(&app, WHOLE).await;
        let reply = raw.until("\r\n\r\n", 1).await;
        if reply.contains("200 OK") {
            resting.push(raw);
        } else {
            refused = Some(reply);
        }
    }
    // A connection of the harness' own may be among the ten.
    if refused.is_none() {
        refused = Some(Raw::open(&app).await.until_closed().await.0);
    }

    let refused = refused.unwrap();
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("Retry-After"), "{refused}");
    assert!((8..=10).contains(&resting.len()), "{}", resting.len());
    for socket in &sockets {
        socket.settle().await;
    }
    resting.pop();
    eventually("a place that was given back", async || {
        let mut raw = Raw::sending(&app, WHOLE).await;
        raw.until("\r\n\r\n", 1).await.contains("200 OK")
    })
    .await;
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let app = TestApp::start().await;
    let long = "a".repeat(33_000);
    let cases = [
        format!("GET /livez HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /livez HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(101)),
    ];
    for case in cases {
        let (reply, _) = Raw::sending(&app, &case).await.until_closed().await;
        assert!(reply.starts_with("HTTP/1.1 431 "), "{case:.60}: {reply}");
    }
    let fits = format!("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: {}\r\n\r\n", "a".repeat(30_000));
    assert!(Raw::sending(&app, &fits).await.until_closed().await.0.starts_with("HTTP/1.1 200 "));
}

/// What a proxy might read in another way must not hide a second request (RFC 9112, sections 6.1, 6.3 and 11.2).
#[tokio::test]
async fn ambiguous_requests_smuggle_nothing() {
    let app = TestApp::start().await;
    let post = "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\n";
    let hidden = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let heads = [
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "Content-Length: 2, 3\r\n\r\n{}",
        "Content-Length: +2\r\n\r\n{}",
        "Content-Length: 0x2\r\n\r\n{}",
        "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
        "Content-Length: 2\r\n Transfer-Encoding: chunked\r\n\r\n{}",
    ];
    for head in heads {
        let (reply, _) = Raw::sending(&app, format!("{post}{head}{hidden}")).await.until_closed().await;
        assert!(reply.starts_with("HTTP/1.1 4"), "{head:?}: {reply}");
        assert!(!reply.contains("200 OK"), "{head:?}: the hidden request was answered: {reply}");
    }
    let plain = format!("{post}Content-Length: 2\r\n\r\n{{}}GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(Raw::sending(&app, plain).await.until_closed().await.0.contains("200 OK"), "a second request is answered where it is one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_pipelined_requests_is_answered_one_by_one_and_nobody_else_waits() {
    let app = TestApp::with(&[("RUST_LOG", "warn")]).await;
    let socket = app.user("alice").await.connect().await;
    let mut floods = Vec::new();
    for _ in 0..4 {
        floods.push(Raw::sending(&app, WHOLE.repeat(2_000)).await);
    }

    socket.say("general", "untroubled").await;

    for mut flood in floods {
        flood.until("{\"status\":\"ok\"}", 2_000).await;
    }
}

/// OWASP REST Security Cheat Sheet, "Security headers".
#[tokio::test]
async fn every_reply_has_the_headers_that_protect_browsers() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let request = |method: Method, path: &str| app.http.request(method, format!("{}{path}", app.base()));
    let polling = "/socket.io/?EIO=4&transport=polling";
    let replies = [
        alice.get("/users/me").await,
        app.get("/api/v1/users/me").await,
        app.get("/nowhere").await,
        app.get("/livez").await,
        app.get("/openapi.json").await,
        app.get(polling).await,
        app.get("/socket.io/?EIO=4&transport=polling&sid=none").await,
        Reply::of(request(Method::POST, polling).header("origin", "https://evil.example")).await,
        Reply::of(
            request(Method::OPTIONS, "/api/v1/rooms").header("origin", "http://localhost:3000").header("access-control-request-method", "POST"),
        )
        .await,
    ];
    for reply in &replies {
        let guarded = [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ];
        for (name, value) in guarded {
            assert_eq!(reply.header(name), value, "{name} of {}", reply.url);
        }
        assert!(reply.header("vary").to_lowercase().contains("origin"), "{}: {}", reply.url, reply.header("vary"));
        for name in ["server", "x-powered-by", "strict-transport-security"] {
            assert_eq!(reply.header(name), "", "{name} of {}", reply.url);
        }
    }
}

#[tokio::test]
async fn pages_have_strict_policies_of_their_own_and_the_client_may_be_loaded_from_elsewhere() {
    let app = TestApp::start().await;

    let docs = app.get("/docs").await;
    let client = app.get("/socket.io/socket.io.js").await;

    let policy = docs.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(docs.header("x-content-type-options"), "nosniff");
    assert_eq!(client.header("cross-origin-resource-policy"), "cross-origin");
    assert!(client.header("cache-control").contains("max-age"));
}

#[tokio::test]
async fn browsers_are_told_to_keep_to_https_where_the_operator_says_so() {
    let app = TestApp::with(&[("CHAT_HSTS", "365d")]).await;

    assert_eq!(app.get("/livez").await.header("strict-transport-security"), "max-age=31536000");
}

#[tokio::test]
async fn upgrades_that_are_no_websockets_are_refused_and_those_that_are_not_finished_end() {
    let app = TestApp::with(&[("CHAT_HEAD_TIMEOUT", "2s"), ("CHAT_CONNECT_TIMEOUT", "2s")]).await;
    let alice = app.user("alice").await;
    let upgrade = |more: &str| {
        format!("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{more}\r\n")
    };

    let (refused, _) = Raw::sending(&app, upgrade("Connection: close\r\n")).await.until_closed().await;
    // A handshake that is right, and then not one frame.
    let silent = Raw::sending(&app, upgrade("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n")).await;
    let (opened, _) = silent.until_closed().await;

    assert!(refused.starts_with("HTTP/1.1 4"), "{refused}");
    assert!(opened.starts_with("HTTP/1.1 101 ") && !opened.contains("nosniff"), "{opened}");
    alice.connect().await.say("general", "untroubled").await;
}

/// In one frame, and in so many small ones that together they are more than a message may have.
#[tokio::test]
async fn frames_of_eight_megabytes_end_their_connection_and_no_other() {
    let app = TestApp::with(&[("CHAT_MAX_PAYLOAD", "100000")]).await;
    let alice = app.user("alice").await;
    let other = alice.connect().await;
    let (huge, fragments) = (app.user("bob").await.connect().await, app.user("carol").await.connect().await);

    huge.post("chat:message", &json!({ "roomId": "general", "content": "x".repeat(8_000_000) }));
    fragments.send_fragments("42/chat,[\"chat:message\",{\"content\":\"", 200_000);

    huge.disconnected().await;
    fragments.disconnected().await;
    other.say("general", "untroubled").await;
}
