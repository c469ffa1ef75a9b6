//! Spans for OpenTelemetry, in a build with the feature `otel`: a collector of a few lines gets them. Issue 5, item 5.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

use reqwest::Method;
use serde_json::json;

use crate::support::{Reply, TestApp, eventually};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Where the collector listens, and the paths and bodies of what it was sent.
fn collector() -> (String, Arc<Mutex<Vec<(String, Vec<u8>)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let received = Arc::new(Mutex::new(Vec::new()));
    let sent = received.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sent = sent.clone();
            thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                while let Some((path, length)) = head(&mut stream) {
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).unwrap();
                    sent.lock().unwrap().push((path, body));
                    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n").unwrap();
                }
            });
        }
    });
    (url, received)
}

/// The path of a request, and how long its body is.
fn head(stream: &mut impl BufRead) -> Option<(String, usize)> {
    let (mut path, mut length) = (String::new(), 0);
    for line in stream.lines().map_while(Result::ok) {
        if line.is_empty() {
            return Some((path, length));
        }
        if let Some(rest) = line.strip_prefix("POST ") {
            path = rest.split(' ').next()?.to_owned();
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    None
}

/// Whether bytes are in a protobuf message: texts and ids stand in it as they are.
fn holds(body: &[u8], bytes: &[u8]) -> bool {
    body.windows(bytes.len()).any(|window| window == bytes)
}

#[tokio::test]
async fn spans_of_requests_and_events_reach_a_collector_under_their_traces() {
    let (url, received) = collector();
    let app = TestApp::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), ("OTEL_BSP_SCHEDULE_DELAY", "100"), ("RUST_LOG", "warn")]).await;
    let alice = app.user("alice").await;
    let request = alice.request(Method::GET, "/rooms/nowhere").header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"));
    Reply::of(request).await.refused(404);
    let socket = alice.connect().await;
    let error = socket.emit_err("chat:room:join", &json!("nowhere")).await;
    socket.say("general", "the words nobody else may read").await;

    let bytes = |hex: &str| -> Vec<u8> { (0..16).map(|place| u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).unwrap()).collect() };
    let event_trace = bytes(error["traceId"].as_str().unwrap());
    let got = |wanted: &[&[u8]]| {
        let received = received.lock().unwrap();
        received.iter().any(|(path, body)| path == "/v1/traces" && wanted.iter().all(|bytes| holds(body, bytes)))
    };
    eventually("the request's span", async || got(&[&bytes(TRACE), &bytes(TRACE)[..8], b"request", b"/api/v1/rooms/{room}", b"ires-chat"])).await;
    eventually("the event's span", async || got(&[&event_trace, b"event", b"chat:room:join"])).await;
    assert!(!got(&[b"the words nobody else may read"]) && !got(&[alice.token.as_bytes()]));
}
