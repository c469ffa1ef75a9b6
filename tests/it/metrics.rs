//! What operators measure: `GET /metrics`, the dashboard, and their description. Issue 5, item 5; contract section 9, "Metrics".

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use crate::support::{
    AdminUi, Reply, TestApp, contract, eventually, has_uuid, ires_chat,
    prometheus::{Family, Scrape},
    token::SECRET,
};

const TOKEN: &str = "a-token-for-prometheus-alone";

async fn measured(settings: &[(&str, &str)]) -> TestApp {
    TestApp::with(&[&[("CHAT_METRICS_TOKEN", TOKEN)], settings].concat()).await
}

async fn ask(app: &TestApp, authorization: &str) -> Reply {
    Reply::of(app.http.get(format!("{}/metrics", app.base())).header("authorization", authorization)).await
}

async fn scrape(app: &TestApp) -> Scrape {
    let reply = ask(app, &format!("Bearer {TOKEN}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    Scrape::read(&reply.text)
}

#[tokio::test]
async fn only_who_has_the_token_reads_the_metrics() {
    let app = measured(&[]).await;

    assert_eq!(app.get("/metrics").await.refused(401), "AUTH_TOKEN_MISSING");
    for wrong in [format!("Bearer {TOKEN}x"), format!("Bearer {}", &TOKEN[1..]), format!("Basic {TOKEN}"), "Bearer ".to_owned()] {
        let refused = ask(&app, &wrong).await;
        assert_eq!(refused.status, 401, "{wrong}");
        assert!(!refused.text.contains("ires_chat_"));
    }
    let alice = app.user("alice").await;
    assert_eq!(ask(&app, &format!("Bearer {}", alice.token)).await.refused(401), "AUTH_TOKEN_INVALID");
    scrape(&app).await;
}

#[tokio::test]
async fn who_guesses_the_token_is_slowed_down() {
    let app = measured(&[("CHAT_LIMITS", "on"), ("CHAT_LIMIT_CONNECT", "3/1/1h")]).await;

    for _ in 0..3 {
        assert_eq!(ask(&app, "Bearer a-guess").await.refused(401), "AUTH_TOKEN_INVALID");
    }

    assert_eq!(ask(&app, "Bearer a-guess").await.refused(429), "RATE_LIMITED");
    scrape(&app).await;
}

#[tokio::test]
async fn who_guesses_the_password_of_the_admin_ui_is_counted() {
    let app = measured(&[("CHAT_ADMIN_PASSWORD", AdminUi::PASSWORD)]).await;
    let refused = async || scrape(&app).await.sum("ires_chat_errors_total", &[("code", "INVALID_CREDENTIALS")]);
    AdminUi::log_in(&app).await;
    assert!(refused().await.abs() < 0.5);

    AdminUi::open(&app, &json!({ "username": "admin", "password": "a guess" })).await.err().unwrap();

    assert!((refused().await - 1.0).abs() < 0.5);
}

/// A stranger behind a proxy on the same machine has the machine's own address: it gives no right.
#[tokio::test]
async fn where_there_is_no_token_there_are_no_metrics() {
    let app = TestApp::start().await;

    assert_eq!(app.get("/metrics").await.refused(404), "NOT_FOUND");
    assert_eq!(ask(&app, "Bearer ").await.refused(404), "NOT_FOUND");
}

#[test]
fn a_short_token_stops_the_start() {
    let settings = [("DATABASE_URL", "postgres://127.0.0.1:1/none"), ("JWT_SECRET", SECRET), ("CHAT_METRICS_TOKEN", "guess-me")];

    let finished = ires_chat(&["serve"], &settings);

    assert_eq!(finished.code, Some(78), "{}", finished.stderr);
    assert!(finished.stderr.contains("CHAT_METRICS_TOKEN") && !finished.stderr.contains("guess-me"), "{}", finished.stderr);
}

/// Everything that leaves a mark, by people with odd names; gives the ids that must not show.
async fn busy_run(app: &TestApp) -> Vec<String> {
    let (alice, bob) = (app.register("alice-in-chains").await, app.user("bob-the-builder").await);
    let room = alice.create_room_with("the-secret-den", &[&bob]).await;
    let (socket, polling) = (alice.connect().await, bob.dial().polling().open_ready().await);
    let message = socket.say(&room, "hello").await;
    polling.expect("chat:message").await;
    socket.emit_ok("chat:reaction:add", &json!({ "messageId": message["id"], "emoji": ":chains:" })).await;
    socket.emit_err("chat:message", &json!({ "roomId": room })).await;
    socket.emit_err(&format!("chat:{room}"), &json!({})).await;
    socket.emit_ok("status:typing", &json!({ "roomId": room, "isTyping": true })).await;
    alice.say(&room, "and over REST").await;
    alice.get("/rooms/nowhere-at-all").await.refused(404);
    bob.get(&format!("/{room}")).await.refused(404);
    _ = app.http.request("BUILDER".parse().unwrap(), format!("{}/api/v1/rooms/{room}", app.base())).send().await;
    app.dial().token("forged").refusal_code().await;
    socket.close().await;
    vec![room, "alice-in-chains".into(), "bob-the-builder".into(), "secret-den".into(), "chains".into(), "BUILDER".into(), "127.0.0.1".into()]
}

#[tokio::test]
async fn no_label_holds_an_id_or_anything_else_that_a_client_chose() {
    let app = measured(&[]).await;
    let secrets = busy_run(&app).await;
    eventually("the end of a connection", async || scrape(&app).await.sum("ires_chat_disconnections_total", &[]) > 0.0).await;

    let scrape = scrape(&app).await;

    let routes: BTreeSet<&str> = contract::openapi()["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let events = event_names();
    for (name, labels, _) in scrape.0.values().flat_map(|family| &family.samples) {
        for (label, value) in labels {
            let is_known = match label.as_str() {
                "event" => value == "unknown" || value == "exception" || events.contains(value.as_str()),
                "route" => ["none", "/metrics"].contains(&value.as_str()) || routes.contains(value.as_str()),
                "code" => value.chars().all(|c| c.is_ascii_uppercase() || c == '_'),
                "namespace" => value == "/chat",
                "version" => value == env!("CARGO_PKG_VERSION"),
                "le" | "status" | "method" | "class" | "reason" | "transport" | "authenticated" | "state" => value.len() < 20,
                _ => false,
            };
            assert!(is_known, "{name} has {label}={value}");
            assert!(!has_uuid(&json!(value)) && !secrets.iter().any(|secret| value.contains(secret)), "{name} has {label}={value}");
        }
    }
    assert!(scrape.sum("ires_chat_events_received_total", &[("event", "unknown")]) >= 1.0);
    assert!(scrape.sum("ires_chat_http_requests_total", &[("method", "other")]) >= 1.0);
}

/// All events of both directions.
fn event_names() -> BTreeSet<&'static str> {
    let messages = contract::asyncapi()["channels"]["chat"]["messages"].as_object().unwrap();
    let names = messages.values().filter_map(|message| message["name"].as_str());
    names.collect()
}

#[tokio::test]
async fn what_happens_is_counted() {
    let app = measured(&[]).await;
    let (alice, bob, carol) = (app.user("alice").await, app.user("bob").await, app.user("carol").await);
    let room = alice.create_room_with("den", &[&bob, &carol]).await;
    let (socket, listener) = (alice.connect().await, bob.connect().await);
    let polling = carol.dial().polling().open_ready().await;
    let late = app.dial().open().await.unwrap();
    let before = scrape(&app).await;
    assert!(before.sum("ires_chat_connections", &[("transport", "websocket"), ("authenticated", "true")]) >= 2.0);
    assert!(before.sum("ires_chat_connections", &[("transport", "polling")]) >= 1.0);
    assert!(before.sum("ires_chat_connections", &[("authenticated", "false"), ("namespace", "/chat")]) >= 1.0);
    assert!(before.sum("ires_chat_connected_users", &[]) >= 3.0);

    for number in 0..20 {
        socket.say(&room, &format!("message {number}")).await;
    }
    socket.emit_err("chat:message", &json!({ "roomId": room, "content": "" })).await;
    listener.expect_count("chat:message", 20).await;
    polling.expect_count("chat:message", 20).await;
    late.emit_err("chat:message", &json!({ "content": "who am I" })).await;
    let after = scrape(&app).await;

    let more = |name: &str, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);
    let message = ("event", "chat:message");
    for (name, labels, expected) in [
        ("ires_chat_events_received_total", vec![message], 22.0),
        ("ires_chat_acks_total", vec![message, ("code", "OK")], 20.0),
        ("ires_chat_acks_total", vec![message, ("code", "VALIDATION_ERROR")], 1.0),
        ("ires_chat_acks_total", vec![message, ("code", "AUTH_REQUIRED")], 1.0),
        ("ires_chat_ack_latency_seconds_count", vec![message], 22.0),
        ("ires_chat_errors_total", vec![("code", "VALIDATION_ERROR")], 1.0),
        ("ires_chat_deliveries_total", vec![message], 60.0),
        ("ires_chat_deliveries_total", vec![("event", "system:error")], 2.0),
        ("ires_chat_messages_total", vec![], 20.0),
        ("ires_chat_journal_batch_messages_sum", vec![], 20.0),
        ("ires_chat_connections_total", vec![], 0.0),
        ("ires_chat_slow_consumers_total", vec![], 0.0),
        ("ires_chat_http_requests_total", vec![("route", "/metrics"), ("method", "GET"), ("status", "200")], 1.0),
    ] {
        assert!((more(name, &labels) - expected).abs() < 0.5, "{name} {labels:?}: {} and not {expected}", more(name, &labels));
    }
    let batches = more("ires_chat_journal_commit_seconds_count", &[]);
    assert!((1.0..=20.0).contains(&batches) && more("ires_chat_fanout_connections_count", &[]) >= batches);
    assert!(more("ires_chat_journal_commit_seconds_sum", &[]) > 0.0 && more("ires_chat_ack_latency_seconds_sum", &[message]) > 0.0);
}

#[tokio::test]
async fn limits_presence_the_pool_and_the_process_are_measured() {
    let app = measured(&[("CHAT_LIMITS", "on"), ("CHAT_LIMIT_MESSAGE", "1/1/1h"), ("CHAT_CONNECTIONS_PER_USER", "1")]).await;
    let alice = app.user("alice").await;
    let socket = alice.connect().await;
    socket.say("general", "one").await;
    socket.emit_err("chat:message", &json!({ "content": "two" })).await;
    assert_eq!(alice.dial().refusal_code().await, "CONNECTION_LIMIT");
    alice.get("/rooms").await.expect(200);
    alice.create_room("den").await;
    socket.close().await;

    eventually("presence edges", async || scrape(&app).await.sum("ires_chat_presence_edges_total", &[("status", "offline")]) >= 1.0).await;
    let scrape = scrape(&app).await;

    for (name, labels) in [
        ("ires_chat_rate_limited_total", vec![("class", "message")]),
        ("ires_chat_connections_refused_total", vec![]),
        ("ires_chat_presence_edges_total", vec![("status", "online")]),
        ("ires_chat_disconnections_total", vec![("reason", "client")]),
        ("ires_chat_database_acquire_seconds_count", vec![]),
        ("ires_chat_database_connections_max", vec![]),
        ("ires_chat_http_request_seconds_count", vec![("route", "/api/v1/rooms")]),
        ("ires_chat_build_info", vec![]),
        ("process_cpu_seconds_total", vec![]),
        ("process_resident_memory_bytes", vec![]),
        ("process_open_fds", vec![]),
        ("process_max_fds", vec![]),
        ("process_start_time_seconds", vec![]),
        ("ires_chat_runtime_workers", vec![]),
        ("ires_chat_runtime_tasks", vec![]),
        ("ires_chat_runtime_busy_seconds_total", vec![]),
    ] {
        assert!(scrape.sum(name, &labels) > 0.0, "{name} {labels:?} is 0");
    }
}

/// The metric that a family, or a name in a query, belongs to.
fn family_of(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

fn names_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("ires_chat_") || word.starts_with("process_")).collect()
}

/// Every `expr` in a dashboard.
fn queries(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(members) => {
            let own = members.get("expr").and_then(Value::as_str);
            own.into_iter().chain(members.values().flat_map(queries)).collect()
        }
        Value::Array(items) => items.iter().flat_map(queries).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn the_dashboard_and_the_readme_name_every_metric_and_no_others() {
    let app = measured(&[]).await;
    busy_run(&app).await;
    // What has no number yet is not shown; these are the last to have one.
    let late = ["ires_chat_disconnections_total", "ires_chat_presence_edges_total", "ires_chat_search_rooms_behind"];
    eventually("a number of everything", async || {
        let scrape = scrape(&app).await;
        late.iter().all(|name| scrape.0.contains_key(*name))
    })
    .await;
    let scrape = scrape(&app).await;
    let read = |path: &str| fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let dashboard: Value = serde_json::from_str(&read("ops/grafana/ires-chat.json")).unwrap();
    let queries = queries(&dashboard).join("\n");
    let shown: BTreeSet<&str> = names_in(&queries).into_iter().map(family_of).collect();
    let readme = read("README.md");
    let described: BTreeSet<&str> = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next()).collect();
    let exported: BTreeSet<&str> = scrape.0.keys().map(String::as_str).collect();

    assert_eq!(shown.difference(&exported).collect::<Vec<_>>(), Vec::<&&str>::new(), "on the dashboard, and not exported");
    assert_eq!(exported.difference(&shown).collect::<Vec<_>>(), Vec::<&&str>::new(), "exported, and not on the dashboard");
    assert_eq!(exported.difference(&described).collect::<Vec<_>>(), Vec::<&&str>::new(), "exported, and not in the README");
    assert!(scrape.0.values().all(|Family { help, .. }| !help.is_empty()));
}
