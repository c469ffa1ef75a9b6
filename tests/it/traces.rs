//! The name of a request: from its headers to its error, its log lines and its slow queries. Issue 5, item 5.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row;

use crate::support::{LIMIT, Reply, TestApp, eventually, within};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const JSON_LINES: [(&str, &str); 2] = [("LOG_FORMAT", "json"), ("RUST_LOG", "info,ires_chat=debug")];

/// The lines that belong to a trace.
fn lines_of(app: &TestApp, trace: &str) -> Vec<Value> {
    let lines = app.logs().lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>();
    lines.into_iter().filter(|line| line["trace.id"] == trace || line["span"]["trace.id"] == trace).collect()
}

fn message(line: &Value) -> &str {
    line["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_traceparent_is_in_the_error_and_in_every_line_of_its_request() {
    let app = TestApp::with(&JSON_LINES).await;
    let alice = app.user("alice").await;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");

    let request = alice.request(Method::GET, "/rooms/nowhere").header("traceparent", parent).header("x-request-id", "mine-1");
    let refused = Reply::of(request).await;

    assert_eq!(refused.refused(404), "ROOM_NOT_FOUND");
    assert_eq!(refused.body["traceId"], TRACE);
    assert_eq!(refused.header("x-request-id"), "mine-1", "it is answered as it came");
    let lines = || lines_of(&app, TRACE);
    eventually("its last line", async || lines().iter().any(|line| message(line) == "a request was answered")).await;
    let lines = lines();
    let refusals: Vec<_> = lines.iter().filter(|line| message(line) == "a request is refused").collect();
    assert_eq!(refusals.len(), 1, "{lines:?}");
    assert_eq!(refusals[0]["code"], "ROOM_NOT_FOUND");
    assert_eq!(refusals[0]["span"]["request.id"], "mine-1");
    assert_eq!(refusals[0]["span"]["route"], "/api/v1/rooms/{room}");
}

#[tokio::test]
async fn a_request_id_alone_is_the_trace_and_a_bad_header_is_none() {
    let app = TestApp::with(&JSON_LINES).await;
    let alice = app.user("alice").await;
    let ask = async |headers: &[(&str, &str)]| {
        let request = headers.iter().fold(alice.request(Method::GET, "/rooms/nowhere"), |request, (name, value)| request.header(*name, *value));
        Reply::of(request).await
    };

    let named = ask(&[("x-request-id", "mine-2")]).await;
    assert_eq!((&named.body["traceId"], named.header("x-request-id")), (&json!("mine-2"), "mine-2"));
    let bad = ask(&[("traceparent", &format!("00-{}-b7ad6b7169203331-01", "0".repeat(32))), ("x-request-id", "no good")]).await;
    let trace = bad.body["traceId"].as_str().unwrap();
    assert_eq!((trace.len(), bad.header("x-request-id")), (32, trace));
    assert_ne!(trace, "0".repeat(32));
}

/// Changes a room while somebody else holds it, and finds who waits by the name of the trace that `begin` gives.
async fn is_seen_waiting(app: &TestApp, room: &str, change: impl Future<Output = String>) {
    let mut holder = app.sql().await;
    sqlx::raw_sql("BEGIN").execute(&mut holder).await.unwrap();
    sqlx::query("SELECT 1 FROM rooms WHERE id = $1::uuid FOR UPDATE").bind(room).execute(&mut holder).await.unwrap();
    let waiting = async {
        let names = "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let mut found = Vec::new();
        let look = async {
            while found.is_empty() {
                found = app.rows(names).await;
            }
        };
        within(LIMIT, "who waits", look).await;
        let name = found[0].get::<String, _>(0);
        sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
        name
    };
    let (trace, name) = tokio::join!(change, waiting);
    assert_eq!(name, format!("ires-chat {trace}"));
    let named = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = '{name}'");
    assert_eq!(app.number(&named).await, 0, "the name stays when the transaction is over");
}

#[tokio::test]
async fn postgres_shows_the_trace_of_whoever_waits_for_a_lock() {
    let app = TestApp::with(&[("CHAT_DATABASE_TIMEOUT", "30s")]).await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    let path = format!("/rooms/{room}");

    is_seen_waiting(&app, &room, async {
        let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
        let request = alice.request(Method::PATCH, &path).header("traceparent", parent).json(&json!({ "name": "lair" }));
        Reply::of(request).await.expect(200);
        TRACE.to_owned()
    })
    .await;
    // Its name is as long as one may be, and Postgres keeps 63 bytes.
    is_seen_waiting(&app, &room, async {
        let request = alice.request(Method::PATCH, &path).header("x-request-id", "x".repeat(64)).json(&json!({ "name": "cave" }));
        Reply::of(request).await.expect(200);
        "x".repeat(53)
    })
    .await;
}

#[tokio::test]
async fn a_message_over_rest_is_logged_under_its_requests_trace() {
    let app = TestApp::with(&JSON_LINES).await;
    let alice = app.user("alice").await;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");

    let request = alice.request(Method::POST, "/rooms/general/messages").header("traceparent", parent).json(&json!({ "content": "hello" }));
    Reply::of(request).await.expect(201);

    eventually("the line", async || lines_of(&app, TRACE).iter().any(|line| message(line) == "a message was stored and told")).await;
}

#[tokio::test]
async fn an_events_error_is_found_in_the_log_by_its_trace() {
    let app = TestApp::with(&JSON_LINES).await;
    let socket = app.user("alice").await.connect().await;

    let mut traces = Vec::new();
    for (event, payload) in [("chat:room:join", json!("nowhere")), ("chat:message", json!({ "content": "" })), ("chat:nonsense", json!({}))] {
        let error = socket.emit_err(event, &payload).await;
        traces.push((event, error["traceId"].as_str().unwrap().to_owned()));
    }
    socket.say("general", "hello").await;

    for (event, trace) in traces {
        eventually("the lines", async || {
            let lines = lines_of(&app, &trace);
            let of = |words: &str| lines.iter().filter(|line| message(line) == words).count();
            of("an event arrived") == 1 && of("an event is refused") == 1 && lines.iter().all(|line| line.to_string().contains(event))
        })
        .await;
    }
}

/// Somebody holds a row that a request needs: the query that waits is slow, and says for whom it was asked.
#[tokio::test]
async fn a_slow_query_has_a_line_with_its_beginning_and_its_trace_and_no_parameters() {
    let slow = [("CHAT_SLOW_QUERY", "1s"), ("CHAT_DATABASE_TIMEOUT", "30s"), ("CHAT_METRICS_TOKEN", "a-token-for-prometheus-alone")];
    let app = TestApp::with(&[&JSON_LINES[..], &slow].concat()).await;
    let alice = app.user("alice").await;
    let (room, socket) = (alice.create_room("den").await, alice.connect().await);
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let mut holder = app.sql().await;
    let lock = format!("BEGIN; UPDATE rooms SET topic = topic WHERE id = '{room}'; SELECT 1");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut holder).await.unwrap();

    let request = alice.request(Method::PATCH, &format!("/rooms/{room}")).header("traceparent", parent).json(&json!({ "topic": "a-topic-to-hide" }));
    let (renamed, waited) = tokio::join!(Reply::of(request), async {
        // It must have waited for so long.
        let waits = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
            AND query_start < clock_timestamp() - interval '1.1 s'";
        eventually("somebody who has waited", async || !app.rows(waits).await.is_empty()).await;
        let query: String = app.rows(waits).await[0].get(0);
        sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
        query.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    renamed.expect(200);
    socket.expect("chat:room:updated").await;

    eventually("its last line", async || lines_of(&app, TRACE).iter().any(|line| message(line) == "a request was answered")).await;
    let lines = lines_of(&app, TRACE);
    // On a machine that is slow for a moment others are slow, too.
    let query = |line: &Value| line["query"].as_str().unwrap_or_default().to_owned();
    let slow: Vec<_> = lines.iter().filter(|line| message(line) == "a query was slow" && waited.starts_with(&query(line))).collect();
    assert_eq!(slow.len(), 1, "{lines:?}");
    assert!(slow[0]["ms"].as_u64().unwrap() >= 1_000 && slow[0]["level"] == "WARN", "{}", slow[0]);
    let query = query(slow[0]);
    assert!(query.len() > 20 && query.len() <= 100 && !query.contains('\n'), "{query}");
    assert!(!app.logs().contains("a-topic-to-hide"));
    assert!(!app.logs().contains("slow statement"), "sqlx's own line has the whole statement");
}
