//! Everything that a caller may get wrong over REST, for every route that takes a body: issue 2, item 6.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Reply, TestApp, TestUser, json::text};

/// Every route that takes a body, with a good one. `{room}` stands for a room's id.
fn routes() -> Vec<(Method, &'static str, Value)> {
    vec![
        (Method::POST, "/auth/register", json!({ "username": "someone", "password": "long enough" })),
        (Method::POST, "/auth/login", json!({ "username": "someone", "password": "long enough" })),
        (Method::POST, "/auth/refresh", json!({ "refreshToken": "x" })),
        (Method::PATCH, "/users/me", json!({ "name": "A" })),
        (Method::PUT, "/users/me/password", json!({ "currentPassword": "long enough", "newPassword": "long enough" })),
        (Method::POST, "/rooms", json!({ "name": "den" })),
        (Method::PATCH, "/rooms/{room}", json!({ "name": "lair" })),
        (Method::PUT, "/rooms/{room}/members/bob", json!({ "role": "member" })),
        (Method::POST, "/rooms/{room}/messages", json!({ "content": "hi" })),
        (Method::PUT, "/rooms/{room}/read", json!({ "seq": 0 })),
    ]
}

async fn scene(app: &TestApp) -> (TestUser, String) {
    let alice = app.user("alice").await;
    app.user("bob").await;
    let room = alice.create_room("den").await;
    (alice, room)
}

#[tokio::test]
async fn bodies_that_are_no_json_or_no_object_are_payload_invalid() {
    let app = TestApp::start().await;
    let (alice, room) = scene(&app).await;
    let deep = format!(r#"{{"name":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for (method, path, _) in routes() {
        let path = path.replace("{room}", &room);
        for body in ["{", "nonsense", "{\"a\":}", "[]", "5", "null", "\"text\"", "{}}", &deep, "{\"name\":1e999}"] {
            let reply = alice.send_body(method.clone(), &path, body).await;
            assert_eq!(reply.refused(400), "PAYLOAD_INVALID", "{method} {path} {body:.60}");
        }
        let reply = alice.send_body(method.clone(), &path, b"{\"name\":\"\xff\xfe\"}".as_slice()).await;
        assert_eq!(reply.refused(400), "PAYLOAD_INVALID", "{method} {path}: invalid UTF-8");
    }
}

#[tokio::test]
async fn an_empty_body_where_one_is_due_is_payload_invalid() {
    let app = TestApp::start().await;
    let (alice, room) = scene(&app).await;
    for (method, path, _) in routes() {
        if path.contains("/members/") {
            continue; // There the body may be missing.
        }
        let reply = alice.send_body(method.clone(), &path.replace("{room}", &room), "").await;
        assert_eq!(reply.refused(400), "PAYLOAD_INVALID", "{method} {path}");
    }
}

#[tokio::test]
async fn nul_and_half_surrogates_are_validation_errors_in_every_text() {
    let app = TestApp::start().await;
    let (alice, room) = scene(&app).await;
    for (method, path, good) in routes() {
        let path = path.replace("{room}", &room);
        for (field, _) in good.as_object().unwrap() {
            for bad in [r"long enough\u0000", r"long enough\ud800"] {
                let mut body = good.clone();
                body[field] = json!("@");
                let body = body.to_string().replace("\"@\"", &format!("\"{bad}\""));
                let reply = alice.send_body(method.clone(), &path, body).await;
                assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{method} {path} {field} {bad}");
                assert!(reply.body["fields"][field].is_array(), "{}", reply.text);
            }
        }
    }
}

#[tokio::test]
async fn wrong_types_are_validation_errors_that_name_the_field() {
    let app = TestApp::start().await;
    let (alice, room) = scene(&app).await;
    for (method, path, good) in routes() {
        let path = path.replace("{room}", &room);
        for (field, _) in good.as_object().unwrap() {
            let kinds = [json!(5), json!([]), json!({ "a": 1 }), json!(true)];
            for wrong in kinds.into_iter().filter(|wrong| !(wrong.is_number() && good[field].is_number())) {
                let mut body = good.clone();
                body[field] = wrong.clone();
                let reply = alice.send_body(method.clone(), &path, body.to_string()).await;
                assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{method} {path} {field} {wrong}");
                assert_eq!(reply.body["fields"][field][0]["code"], "type", "{}", reply.text);
            }
        }
    }
}

#[tokio::test]
async fn a_body_of_a_megabyte_is_payload_too_large() {
    let app = TestApp::start().await;
    let (alice, room) = scene(&app).await;
    for (method, path, _) in routes() {
        let path = path.replace("{room}", &room);
        let huge = json!({ "content": "x".repeat(1_000_000) }).to_string();
        let reply = alice.send_body(method.clone(), &path, huge).await;
        assert_eq!(reply.refused(413), "PAYLOAD_TOO_LARGE", "{method} {path}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_say_it_is_json_is_refused_or_read_but_never_a_crash() {
    let app = TestApp::start().await;
    let (alice, room) = scene(&app).await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""] {
        let request = alice.request(Method::POST, &format!("/rooms/{room}/messages"));
        let reply = Reply::of(request.header("content-type", kind).body(r#"{"content":"x"}"#)).await;
        assert!([201, 400, 415].contains(&reply.status), "{kind}: {}", reply.text);
    }
}

#[tokio::test]
async fn ids_in_addresses_that_nobody_has_are_404_or_400() {
    let app = TestApp::start().await;
    let (alice, room) = scene(&app).await;
    let long = "x".repeat(3000);
    for id in ["nowhere", "%20", "%C3%28", "%00", "..%2F..%2Fetc", "-1", "%F0%9F%8E%88", &long, "1%27%20OR%201=1"] {
        for path in ["/rooms/ID", "/rooms/ID/messages", "/rooms/ID/members", "/messages/ID", "/users/ID", "/users/ID/presence"] {
            let reply = alice.get(&path.replace("ID", id)).await;
            assert!([400, 404].contains(&reply.status), "{path} {id:.30}: {} {}", reply.status, reply.text);
            assert!(reply.body["code"].is_string(), "{path} {id:.30}: {}", reply.text);
        }
        let member = alice.delete(&format!("/rooms/{room}/members/{id}")).await;
        assert!([400, 404].contains(&member.status), "{id:.30}: {}", member.text);
    }
}

#[tokio::test]
async fn odd_queries_are_400_or_harmless() {
    let app = TestApp::start().await;
    let (alice, _) = scene(&app).await;
    for query in ["/users", "/users?q=", "/users?q=%00", "/users?q=%FF", "/presence", "/presence?userIds=", "/presence?userIds=%00"] {
        let reply = alice.get(query).await;
        assert!([200, 400].contains(&reply.status), "{query}: {}", reply.text);
        assert!(reply.status == 200 || reply.body["code"] == "VALIDATION_ERROR", "{query}: {}", reply.text);
    }
    let many: Vec<_> = (0..2000).map(|number| format!("u{number}")).collect();
    let reply = alice.get(&format!("/presence?userIds={}", many.join(","))).await;
    assert!([200, 400].contains(&reply.status), "{}", reply.text);
}

#[tokio::test]
async fn an_idempotency_key_that_is_no_good_is_refused() {
    let app = TestApp::start().await;
    let (alice, room) = scene(&app).await;
    let path = format!("/rooms/{room}/messages");
    for key in [String::new(), "x".repeat(65)] {
        let request = alice.request(Method::POST, &path).header("idempotency-key", &key);
        let reply = Reply::of(request.json(&json!({ "content": "x" }))).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{key}");
    }
    assert_eq!(alice.history(&room).await.len(), 0);
}

/// Another user is served while somebody sends half a request and waits.
#[tokio::test]
async fn a_slow_caller_holds_up_nobody() {
    use tokio_tungstenite::tungstenite::http::Uri;
    let app = TestApp::start().await;
    let (alice, room) = scene(&app).await;
    let address: Uri = app.base().parse().unwrap();
    let mut slow = Vec::new();
    for _ in 0..50 {
        let stream = tokio::net::TcpStream::connect(address.authority().unwrap().as_str()).await.unwrap();
        stream.writable().await.unwrap();
        stream.try_write(b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").unwrap();
        slow.push(stream);
    }

    let message = alice.say(&room, "quick").await;

    assert_eq!(text(&message["content"]), "quick");
}
