//! Handshakes and upgrades as an attacker writes them: whatever the engine takes for one takes its place, is told on its own wire, and
//! leaves nothing behind. `promises.md`, "Input"; promise P7.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};

use crate::support::{LIMIT, Raw, Refusal, TestApp, json::text, websocket, within};

const LIMITED: [(&str, &str); 3] = [("CHAT_LIMITS", "on"), ("CHAT_CONNECTIONS_PER_IP", "1"), ("CHAT_TRUSTED_PROXIES", "127.0.0.1")];

/// Of what comes twice, or is spelled in another way, the engine has an opinion: it must be ours.
#[tokio::test]
async fn no_spelling_of_a_handshake_comes_in_without_a_place() {
    let app = TestApp::with(&LIMITED).await;
    let spellings = [
        "EIO=4&transport=polling",
        "EIO=4&transport=polling&transport=polling",
        "EIO=4&transport=polling&transport=websocket",
        "EIO=4&transport=polling&%73id=x",
        "EIO=4&transport=polling&x=1&x=2&%74ransport=websocket",
        "EIO=4&transport=polling&%ff=%zz",
        "EIO=4&EIO=4&transport=polling=websocket",
    ];
    for (number, query) in spellings.iter().enumerate() {
        let shake = async || {
            let request = app.http.get(format!("{}/socket.io/?{query}", app.base()));
            request.header("X-Forwarded-For", format!("203.0.113.{number}")).send().await.unwrap().status().as_u16()
        };
        assert_eq!((shake().await, shake().await), (200, 429), "{query}");
    }
    // And as a WebSocket, at once.
    let base = app.base().replacen("http", "ws", 1);
    for (number, query) in ["transport=websocket", "transport=websocket&transport=websocket", "transport=websocket&%73id=x"].iter().enumerate() {
        let headers = [("X-Forwarded-For".to_owned(), format!("198.51.100.{number}"))];
        let url = format!("{base}/socket.io/?EIO=4&{query}");
        let mut first = websocket::open(&url, &headers).await.unwrap();
        assert_eq!(websocket::open(&url, &headers).await.err(), Some(Refusal::Status(429)), "{query}");
        // It is a handshake like any other: who comes by it is known by address.
        first.send("40/chat,".into()).await.unwrap();
        let answer = answer(&mut first, "4").await;
        assert!(answer.starts_with("40/chat,"), "{query}: {answer}");
    }
}

/// A session has one place. As many connections as it likes to begin an upgrade on would be as many without one.
#[tokio::test]
async fn a_session_asks_for_one_upgrade_at_a_time() {
    let app = TestApp::with(&LIMITED).await;
    let alice = app.user("alice").await;
    let mut moving = alice.dial().polling().open_ready().await;
    let url = format!("{}/socket.io/?EIO=4&transport=websocket&sid={}", app.base().replacen("http", "ws", 1), text(&moving.handshake()["sid"]));

    moving.upgrade().await;

    for _ in 0..3 {
        assert_eq!(websocket::open(&url, &[]).await.err(), Some(Refusal::Status(429)));
    }
    moving.say("general", "untroubled").await;
}

/// The wire of a session that began by polling is the one that it went on on. Frames on the other one would be read as the answer to
/// whoever asks next there: behind a proxy that is somebody else.
#[tokio::test]
async fn a_session_is_told_on_the_wire_that_it_is_on_whatever_else_its_query_says() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let opened = app.get("/socket.io/?EIO=4&transport=polling&x=transport=websocket").await;
    let handshake: Value = serde_json::from_str(&opened.text[1..]).unwrap();
    let url = format!("{}/socket.io/?EIO=4&transport=websocket&sid={}", app.base().replacen("http", "ws", 1), text(&handshake["sid"]));
    let mut socket = websocket::open(&url, &[]).await.unwrap();
    websocket::probe(&mut socket).await;
    socket.send("5".into()).await.unwrap();
    socket.send(format!("40/chat,{}", json!({ "token": alice.token })).into()).await.unwrap();
    answer(&mut socket, "40/chat,").await;
    socket.send("42/chat,7[\"status:update\",{\"isOnline\":true}]".into()).await.unwrap();

    let ack = answer(&mut socket, "43/chat,7").await;

    assert!(ack.starts_with("43/chat,7[{\"ok\":true"), "{ack}");
}

/// The next packet that begins like this.
async fn answer(socket: &mut websocket::Stream, begin: &str) -> String {
    let reading = async {
        loop {
            let packet = socket.next().await.unwrap().unwrap().into_text().unwrap();
            if packet.starts_with(begin) {
                return packet.to_string();
            }
        }
    };
    within(LIMIT, begin, reading).await
}

/// Anybody may ask to go on with a session, under any name, as often as they like on one connection.
#[tokio::test]
async fn sessions_that_are_none_leave_nothing_in_memory() {
    let app = TestApp::with(&[("RUST_LOG", "warn")]).await;
    let long = "a".repeat(30_000);
    let ask = |number: usize| format!("GET /socket.io/?EIO=4&transport=websocket&sid={number}{long} HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut raw = Raw::sending(&app, ask(0)).await;
    raw.until("Session ID unknown", 1).await;
    let before = app.resident();

    for hundred in 0..20 {
        raw.send((0..100).map(|number| ask(hundred * 100 + number)).collect::<String>()).await;
        raw.until("Session ID unknown", 100).await;
    }

    // Sixty megabytes were asked for; the connection is still open.
    let grown = app.resident().saturating_sub(before);
    assert!(grown < 30, "{grown} MB more");
    raw.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    raw.until("\"ok\"", 1).await;
}
