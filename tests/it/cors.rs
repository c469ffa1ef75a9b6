//! Who may call from a browser: the seed's `FRONTEND_URL` ("CORS Errors") and `cors: { origin, credentials: true }`, and `promises.md`, "Origin".

use reqwest::Method;

use crate::support::{Refusal, Reply, TestApp, TestUser};

const HOME: &str = "https://chat.example.org";

async fn app() -> TestApp {
    TestApp::with(&[("FRONTEND_URL", "https://chat.example.org, http://localhost:5173")]).await
}

async fn asked_from(user: &TestUser, origin: &str) -> Reply {
    Reply::of(user.request(Method::GET, "/users/me").header("origin", origin)).await
}

async fn preflight(app: &TestApp, path: &str, origin: &str) -> Reply {
    let request = app.http.request(Method::OPTIONS, format!("{}{path}", app.base()));
    let request = request.header("origin", origin).header("access-control-request-method", "POST");
    Reply::of(request.header("access-control-request-headers", "authorization,content-type,idempotency-key")).await
}

/// Origins that look like the configured one and are not.
const FOREIGN: [&str; 17] = [
    "https://evil.example",
    "http://chat.example.org",
    "https://chat.example.org.evil.example",
    "https://evilchat.example.org",
    "https://chat.example.org:8443",
    "https://chat.example.orgx",
    "https://user@chat.example.org",
    "https://chat.example.org/",
    "https://chat.example.org.",
    "https://chat.example.org:443",
    "https://chat.example.org, https://evil.example",
    "https://evil.example, https://chat.example.org",
    "chat.example.org",
    "file://",
    "",
    "null",
    "*",
];

/// Seed, Configuration: `FRONTEND_URL=http://localhost:3000` is the default.
#[tokio::test]
async fn frontend_url_is_localhost_3000_unless_it_is_set() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;

    let reply = asked_from(&alice, "http://localhost:3000").await;

    assert_eq!(reply.header("access-control-allow-origin"), "http://localhost:3000");
}

#[tokio::test]
async fn the_exact_origin_is_echoed_with_credentials_over_rest() {
    let app = app().await;
    let alice = app.user("alice").await;
    for origin in [HOME, "http://localhost:5173"] {
        let reply = asked_from(&alice, origin).await;
        assert_eq!(reply.header("access-control-allow-origin"), origin);
        assert_eq!(reply.header("access-control-allow-credentials"), "true");
        assert!(reply.header("vary").to_lowercase().contains("origin"));
    }
}

#[tokio::test]
async fn a_foreign_origin_gets_no_permission_over_rest() {
    let app = app().await;
    let alice = app.user("alice").await;
    for origin in FOREIGN {
        let reply = asked_from(&alice, origin).await;
        assert_eq!(reply.header("access-control-allow-origin"), "", "{origin}");
        let reply = preflight(&app, "/api/v1/rooms", origin).await;
        assert_eq!(reply.header("access-control-allow-origin"), "", "{origin}");
    }
}

#[tokio::test]
async fn a_browser_may_ask_before_it_calls() {
    let app = app().await;
    for path in ["/api/v1/rooms", "/api/v1/auth/login", "/socket.io/?EIO=4&transport=polling"] {
        let reply = preflight(&app, path, HOME).await;
        assert!([200, 204].contains(&reply.status), "{path}: {}", reply.status);
        assert_eq!(reply.header("access-control-allow-origin"), HOME, "{path}");
        assert_eq!(reply.header("access-control-allow-credentials"), "true", "{path}");
        assert!(reply.header("access-control-allow-headers").to_lowercase().contains("authorization"), "{path}");
        assert!(reply.header("access-control-allow-methods").contains("POST"), "{path}");
    }
}

#[tokio::test]
async fn a_browser_may_read_the_request_id_and_refusals() {
    let app = app().await;
    let bad = app.holder("alice", "nonsense".to_owned());

    let reply = asked_from(&bad, HOME).await;

    assert_eq!(reply.status, 401);
    assert_eq!(reply.header("access-control-allow-origin"), HOME);
    assert!(reply.header("access-control-expose-headers").to_lowercase().contains("x-request-id"));
}

#[tokio::test]
async fn polling_echoes_the_exact_origin_with_credentials() {
    let app = app().await;
    let url = format!("{}/socket.io/?EIO=4&transport=polling", app.base());

    let home = Reply::of(app.http.get(&url).header("origin", HOME)).await;
    assert_eq!((home.status, home.header("access-control-allow-origin")), (200, HOME));
    assert_eq!(home.header("access-control-allow-credentials"), "true");

    for origin in FOREIGN {
        let reply = Reply::of(app.http.get(&url).header("origin", origin)).await;
        assert_eq!((reply.refused(403), reply.header("access-control-allow-origin")), ("FORBIDDEN", ""), "{origin}");
    }
}

/// What needs no permission of CORS, a POST of plain text above all, does nothing either: who knows a session can use it from nowhere else.
#[tokio::test]
async fn a_foreign_page_neither_reads_nor_writes_in_a_polling_session() {
    let app = app().await;
    let alice = app.user("alice").await;
    let url = format!("{}/socket.io/?EIO=4&transport=polling", app.base());
    let opened = Reply::of(app.http.get(&url)).await.text;
    let session: serde_json::Value = serde_json::from_str(&opened[1..]).unwrap();
    let url = format!("{url}&sid={}", session["sid"].as_str().unwrap());
    let connect = format!("40/chat,{{\"token\":\"{}\"}}", alice.token);

    for origin in FOREIGN {
        let written = app.http.post(&url).header("origin", origin).header("content-type", "text/plain").body(connect.clone());
        assert_eq!(Reply::of(written).await.refused(403), "FORBIDDEN", "{origin}");
        assert_eq!(Reply::of(app.http.get(&url).header("origin", origin)).await.refused(403), "FORBIDDEN", "{origin}");
    }
    let written = app.http.post(&url).header("origin", HOME).body(connect);
    assert_eq!(Reply::of(written).await.status, 200, "the session stands");
}

#[tokio::test]
async fn a_browser_is_allowed_the_methods_and_headers_of_the_contract_and_no_others() {
    let app = app().await;
    let reply = preflight(&app, "/api/v1/rooms", HOME).await;
    let list = |name: &str| -> Vec<String> { reply.header(name).split(',').map(|item| item.trim().to_lowercase()).collect() };
    assert_eq!(list("access-control-allow-methods"), ["get", "post", "put", "patch", "delete"]);
    assert_eq!(list("access-control-allow-headers"), ["authorization", "content-type", "idempotency-key", "x-request-id", "traceparent"]);
}

/// CORS does not cover the upgrade, so the server looks at the origin itself.
#[tokio::test]
async fn a_websocket_from_a_foreign_origin_is_403() {
    let app = app().await;
    let alice = app.user("alice").await;
    for origin in FOREIGN {
        let refusal = alice.dial().header("origin", origin).open().await.err();
        assert_eq!(refusal, Some(Refusal::Status(403)), "{origin}");
    }
}

#[tokio::test]
async fn a_websocket_from_a_configured_origin_or_from_no_browser_is_let_in() {
    let app = app().await;
    let alice = app.user("alice").await;

    alice.dial().header("origin", HOME).open_ready().await;
    alice.dial().header("origin", "http://localhost:5173").open_ready().await;
    alice.dial().open_ready().await;
}
