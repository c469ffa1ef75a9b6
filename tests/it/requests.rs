//! HTTP as an attacker writes it, byte by byte: where a request ends is never in doubt, and no spelling of a path leads elsewhere.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{LIMIT, TestApp, TestUser, within};

/// The status, and everything that came until the connection ended.
async fn raw(app: &TestApp, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(app.base().trim_start_matches("http://")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within(LIMIT, "the end of the connection", stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default(), answer)
}

/// A request with these lines of headers besides a token.
fn request(user: &TestUser, line: &str, headers: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n{headers}\r\n", user.token)
}

#[tokio::test]
async fn what_ends_where_is_never_in_doubt() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let send = "POST /api/v1/rooms/general/messages";
    assert_eq!(raw(&app, &(request(&alice, send, "Content-Length: 15\r\n") + "{\"content\":\"a\"}")).await.0, 201);

    for headers in [
        "Content-Length: 15\r\nContent-Length: 16\r\n",
        "Content-Length: +15\r\n",
        "Content-Length: 0x0f\r\n",
        "Content-Length : 15\r\n",
        "Content-Length: 15\r\n folded\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "X-A: a\0b\r\n",
    ] {
        let (status, answer) = raw(&app, &(request(&alice, send, headers) + "{\"content\":\"b\"} ")).await;
        assert_eq!((status, answer.matches("HTTP/1.1").count()), (400, 1), "{headers:?}: {answer}");
    }
    for method in ["TRACE", "CONNECT", "PROPFIND", "get"] {
        assert_eq!(raw(&app, &request(&alice, &format!("{method} /api/v1/rooms"), "")).await.0, 405, "{method}");
    }
    assert_eq!(alice.history("general").await.len(), 1, "nothing was smuggled in");
}

#[tokio::test]
async fn no_spelling_of_a_path_leads_elsewhere() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    assert_eq!(raw(&app, &request(&alice, "GET /api/v1/rooms/general", "")).await.0, 200);
    for path in [
        "/api/v1/../../etc/passwd",
        "/docs/../Cargo.toml",
        "/docs/%2e%2e/Cargo.toml",
        "/api/v1/rooms/%2e%2e",
        "/api/v1/rooms/..%2fgeneral",
        "/api/v1/rooms/general%00",
        "/api/v1/rooms/general%2f",
        "/api/v1/rooms/%2567eneral",
        "/api/v1/rooms/GENERAL",
        "/api/v1/rooms/general;x=1",
        "/api/v1/users/%ff",
        "/api/v1/users/__proto__",
        "/API/v1/rooms/general",
        "//api/v1/rooms/general",
        "//socket.io/?EIO=4&transport=polling",
        "/socket%2eio/?EIO=4&transport=polling",
        "/SOCKET.IO/?EIO=4&transport=polling",
        "/.git/config",
    ] {
        let (status, answer) = raw(&app, &request(&alice, &format!("GET {path}"), "")).await;
        assert_eq!(status, 404, "{path}: {answer}");
    }
}

/// Of what comes twice the last counts, for whoever looks at it.
#[tokio::test]
async fn a_parameter_that_comes_twice_is_one_value() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    alice.say("general", "one").await;
    alice.say("general", "two").await;

    let page = alice.get("/rooms/general/messages?limit=0&limit=1").await.expect(200);

    assert_eq!(page["messages"].as_array().unwrap().len(), 1);
    assert_eq!(alice.get("/rooms/general/messages?limit=1&limit=0").await.refused(400), "VALIDATION_ERROR");
}

#[tokio::test]
async fn the_demo_page_is_served_by_dev_alone_and_shows_texts_as_text() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/").await.status, 404);

    let page = concat!(include_str!("../../web/demo.html"), include_str!("../../web/demo.js"));
    assert!(page.contains("textContent"));
    for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("] {
        assert!(!page.contains(way), "{way}");
    }
}
