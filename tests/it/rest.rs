//! What every REST answer keeps to: contract sections 1 and 7.

use reqwest::Method;
use serde_json::json;

use crate::support::{
    Reply, TestApp,
    json::{is_time, text},
};

#[tokio::test]
async fn every_reply_carries_a_request_id_and_a_refusal_repeats_it() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;

    let fine = alice.get("/users/me").await;
    let refused = alice.get("/rooms/nowhere").await;
    let elsewhere = app.get("/livez").await;

    for reply in [&fine, &refused, &elsewhere] {
        assert!(!reply.header("x-request-id").is_empty(), "{reply:?}");
    }
    assert_eq!(refused.body["traceId"], refused.header("x-request-id"));
    assert_ne!(fine.header("x-request-id"), refused.header("x-request-id"));
}

#[tokio::test]
async fn a_callers_request_id_is_no_way_into_the_logs() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let forged = "x".repeat(5000);

    let request = alice.request(Method::GET, "/rooms/nowhere").header("x-request-id", &forged);
    let reply = Reply::of(request).await;

    assert_eq!(reply.status, 404);
    assert!(reply.header("x-request-id").len() < 200);
    assert!(!app.logs().contains(&forged));
}

#[tokio::test]
async fn a_refusal_is_a_problem_in_the_one_shape() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;

    let reply = alice.post("/rooms", &json!({ "name": 5, "type": "cave" })).await;

    assert_eq!(reply.refused(400), "VALIDATION_ERROR");
    assert_eq!(reply.body["fields"]["name"][0]["code"], "type");
    assert_eq!(reply.body["fields"]["type"][0]["code"], "invalid");
    assert!(!text(&reply.body["fields"]["name"][0]["message"]).is_empty());
    assert!(is_time(&reply.body["timestamp"]), "{}", reply.text);
    assert_eq!(reply.body["retryable"], false);
}

#[tokio::test]
async fn unknown_routes_are_not_found_and_wrong_methods_not_allowed() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;

    for path in ["/nonsense", "/rooms/general/nonsense", "/", "/users/a/b/c", "/auth", "/rooms/general/"] {
        assert_eq!(alice.get(path).await.refused(404), "NOT_FOUND", "{path}");
    }
    for (method, path) in [(Method::DELETE, "/rooms"), (Method::PUT, "/users/me"), (Method::GET, "/auth/login")] {
        let reply = Reply::of(alice.request(method, path)).await;
        assert_eq!(reply.refused(405), "METHOD_NOT_ALLOWED", "{path}");
        assert!(!reply.header("allow").is_empty(), "{path}");
    }
    assert_eq!(app.get("/nonsense").await.refused(404), "NOT_FOUND");
    assert_eq!(app.get("/").await.status, 404);
}

#[tokio::test]
async fn every_route_asks_for_a_token() {
    let app = TestApp::start().await;
    let none = app.holder("", String::new());
    let room = "01890a5d-ac96-774b-bcce-b302099a8057";
    for path in [
        "/users/me",
        "/users/alice",
        "/users/me/export",
        "/users/alice/export",
        "/users?q=a",
        "/users/alice/presence",
        "/presence?userIds=a",
        "/auth/sessions",
        "/rooms",
        "/rooms/general",
        &format!("/rooms/{room}"),
        "/rooms/general/members",
        "/rooms/general/messages",
        "/rooms/general/changes?since=0",
        "/rooms/general/presence",
        "/search?q=a",
        "/retention",
        &format!("/messages/{room}"),
    ] {
        let reply = Reply::of(app.http.get(format!("{}/api/v1{path}", app.base()))).await;
        assert_eq!(reply.refused(401), "AUTH_TOKEN_MISSING", "{path}");
    }
    for path in ["/rooms", "/rooms/general/join", "/rooms/general/leave", "/rooms/general/messages", "/retention", "/auth/logout"] {
        let reply = app.post(&format!("/api/v1{path}"), &json!({ "content": "x", "name": "x" })).await;
        assert_eq!(reply.refused(401), "AUTH_TOKEN_MISSING", "{path}");
    }
    for (method, path) in [
        (Method::PATCH, "/users/me"),
        (Method::DELETE, "/users/me"),
        (Method::DELETE, "/users/alice"),
        (Method::PATCH, "/rooms/general"),
        (Method::DELETE, "/rooms/general"),
        (Method::PUT, "/rooms/general/members/a"),
        (Method::DELETE, "/rooms/general/members/a"),
        (Method::DELETE, "/auth/sessions/a"),
    ] {
        let reply = Reply::of(none.request(method, path)).await;
        assert_eq!(reply.status, 401, "{path}: {}", reply.text);
    }
}

#[tokio::test]
async fn an_authorization_header_of_another_kind_is_refused() {
    let app = TestApp::start().await;
    for value in ["Basic YTpi", "Bearer", "Bearer ", "bearer", "Token x", "Bearer a b"] {
        let request = app.http.get(format!("{}/api/v1/users/me", app.base())).header("authorization", value);
        let reply = Reply::of(request).await;
        assert!(reply.refused(401).starts_with("AUTH_TOKEN_"), "{value}: {}", reply.text);
    }
}

/// RFC 9110: the name of a scheme is case-insensitive.
#[tokio::test]
async fn the_word_bearer_may_be_written_in_any_case() {
    let app = TestApp::start().await;
    let token = crate::support::token::of("alice");
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let request = app.http.get(format!("{}/api/v1/users/me", app.base()));
        Reply::of(request.header("authorization", format!("{scheme} {token}"))).await.expect(200);
    }
}

#[tokio::test]
async fn livez_and_readyz_need_no_token() {
    let app = TestApp::start().await;

    assert_eq!(app.get("/livez").await.expect(200)["status"], "ok");
    assert_eq!(app.get("/readyz").await.expect(200)["status"], "ready");
}

#[tokio::test]
async fn errors_tell_nothing_of_the_inside() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let odd = "'; DROP TABLE rooms; --<script>alert(1)</script>";
    let bodies = [
        alice.get("/rooms/nowhere").await.text,
        alice.post("/rooms", &json!({ "name": "x", "slug": "general" })).await.text,
        alice.post("/rooms", &json!({ "name": "x", "participants": [odd] })).await.text,
        alice.get("/users?q=%00").await.text,
        alice.send_body(Method::POST, "/rooms", "{").await.text,
    ];
    for body in bodies {
        for word in ["SELECT", "INSERT", "_key", "_pkey", "_fkey", "sqlx", "postgres", ".rs", "panicked", "column"] {
            assert!(!body.contains(word), "{word} in {body}");
        }
    }
}

#[tokio::test]
async fn unknown_fields_are_ignored_over_rest_too() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;

    let room = alice.post("/rooms", &json!({ "name": "den", "owner": "bob", "memberCount": 9 })).await.expect(201);

    assert_eq!((&room["memberCount"], &room["createdBy"]), (&json!(1), &json!("alice")));
}

/// A message over REST obeys the same rules as one over a socket.
#[tokio::test]
async fn both_transports_refuse_alike() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let (room, square) = (alice.create_room("den").await, app.user("bob").await.create_public_room("sq").await);
    let socket = alice.connect().await;
    for (room, content) in [
        (room.as_str(), json!("")),
        (&room, json!(5)),
        (&room, json!("a\u{0}")),
        (&room, json!("x".repeat(4001))),
        (&square, json!("x")),
        ("nowhere", json!("x")),
        ("01890a5d-ac96-774b-bcce-b302099a8057", json!("x")),
    ] {
        let over_rest = alice.post(&format!("/rooms/{room}/messages"), &json!({ "content": content })).await;
        let over_socket = socket.emit_err("chat:message", &json!({ "roomId": room, "content": content })).await;
        for member in ["code", "status", "message", "retryable", "fields"] {
            assert_eq!(over_rest.body[member], over_socket[member], "{room} {content}");
        }
    }
}
