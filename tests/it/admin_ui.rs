//! The protocol of Socket.IO's Admin UI on `/admin`, in the frames of its page. See README, "The Admin UI".

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{AdminUi, Finished, Refusal, TestApp, bound, cluster::TempDir, eventually, ires_chat, npm, token};

const PASSWORD: &str = AdminUi::PASSWORD;

async fn watched(settings: &[(&str, &str)]) -> TestApp {
    TestApp::with(&[&[("CHAT_ADMIN_PASSWORD", PASSWORD)], settings].concat()).await
}

fn credentials() -> Value {
    json!({ "username": "admin", "password": PASSWORD })
}

// ── who may look ─────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn without_a_password_there_is_no_such_namespace() {
    let app = TestApp::start().await;

    for auth in [credentials(), json!({}), json!({ "username": "admin", "password": "" }), json!({ "token": token::of("alice") })] {
        assert_eq!(AdminUi::open(&app, &auth).await.err().as_deref(), Some("Invalid namespace"), "{auth}");
    }
}

#[tokio::test]
async fn only_the_name_with_the_password_or_a_session_let_anybody_in() {
    let app = watched(&[("CHAT_ADMIN_USERNAME", "root")]).await;

    for auth in [
        json!({}),
        json!({ "username": "root" }),
        json!({ "password": PASSWORD }),
        json!({ "username": "root", "password": "" }),
        json!({ "username": "root", "password": &PASSWORD[1..] }),
        json!({ "username": "root", "password": format!("{PASSWORD} ") }),
        json!({ "username": "admin", "password": PASSWORD }),
        json!({ "username": ["root"], "password": [PASSWORD] }),
        json!({ "sessionId": "" }),
        json!({ "sessionId": null }),
        json!({ "sessionId": true }),
        json!({ "sessionId": "00000000000000000000000000000000" }),
        json!({ "token": token::with(&json!({ "sub": "root", "userType": "admin", "exp": token::seconds_from_now(60) })) }),
    ] {
        assert_eq!(AdminUi::open(&app, &auth).await.err().as_deref(), Some("invalid credentials"), "{auth}");
    }

    let mut admin = AdminUi::open(&app, &json!({ "username": "root", "password": PASSWORD })).await.unwrap();
    admin.expect("session").await;
}

#[tokio::test]
async fn a_session_lets_in_again_until_its_time_is_over_and_is_another_for_each_log_in() {
    let app = watched(&[("CHAT_ADMIN_SESSION_TTL", "8s")]).await;
    let (mut first, session) = AdminUi::log_in(&app).await;
    let (_second, other) = AdminUi::log_in(&app).await;
    assert!(session != other && session.len() >= 32, "{session} {other}");

    let mut again = AdminUi::open(&app, &json!({ "sessionId": session })).await.unwrap();
    again.expect("server_stats").await;
    assert!(!again.everything().contains("\"session\""), "a session that is known is not told again");

    // Those who look by it are sent away, and nobody comes in by it any more.
    first.disconnected().await;
    again.disconnected().await;
    assert_eq!(AdminUi::open(&app, &json!({ "sessionId": session })).await.err().as_deref(), Some("invalid credentials"));
}

#[tokio::test]
async fn too_many_attempts_at_the_password_are_refused_and_who_is_in_comes_back() {
    let app = watched(&[("CHAT_LIMITS", "on"), ("CHAT_LIMIT_LOGIN", "3/1/1h")]).await;
    let (_admin, session) = AdminUi::log_in(&app).await;
    for guess in ["one", "two"] {
        let refused = AdminUi::open(&app, &json!({ "username": "admin", "password": guess })).await;
        assert_eq!(refused.err().as_deref(), Some("invalid credentials"));
    }

    let refused = AdminUi::open(&app, &credentials()).await.err().unwrap();
    assert!(refused.starts_with("RATE_LIMITED: "), "{refused}");

    AdminUi::open(&app, &json!({ "sessionId": session })).await.unwrap();
}

#[tokio::test]
async fn guesses_at_sessions_are_limited_too() {
    let app = watched(&[("CHAT_LIMITS", "on"), ("CHAT_LIMIT_CONNECT", "2/1/1h")]).await;
    let mut guesser = AdminUi::dial(&app).await;
    let guess = json!({ "sessionId": "a guess" });

    // The first of a connection is paid for with the handshake.
    assert_eq!(guesser.join(&guess).await.unwrap_err(), "invalid credentials");
    assert_eq!(guesser.join_again(&guess).await.unwrap_err(), "invalid credentials");

    let refused = guesser.join_again(&guess).await.unwrap_err();
    assert!(refused.starts_with("RATE_LIMITED: "), "{refused}");
}

#[tokio::test]
async fn only_so_many_look_at_once_and_a_place_is_given_back() {
    let app = watched(&[]).await;
    let mut watching = Vec::new();
    for _ in 0..16 {
        watching.push(AdminUi::open(&app, &credentials()).await.unwrap());
    }

    let refused = AdminUi::open(&app, &credentials()).await.err().unwrap();
    assert!(refused.starts_with("CONNECTION_LIMIT: "), "{refused}");

    watching.pop();
    eventually("a place", async || AdminUi::open(&app, &credentials()).await.is_ok()).await;
}

#[tokio::test]
async fn the_page_must_come_from_an_origin_of_frontend_url() {
    let app = watched(&[("FRONTEND_URL", "https://chat.example.org,https://admin.example.org")]).await;
    let from = |origin: &str| [("origin".to_owned(), origin.to_owned())];

    let mut own = AdminUi::dial_from(&app, &from("https://admin.example.org")).await.unwrap();
    own.join(&credentials()).await.unwrap();

    assert_eq!(AdminUi::dial_from(&app, &from("https://admin.socket.io")).await.err(), Some(Refusal::Status(403)));
}

// ── what is seen ─────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn who_logs_in_is_shown_what_the_server_can_do_who_is_connected_and_its_numbers() {
    let app = watched(&[]).await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    let (socket, polling) = (alice.connect().await, app.user("bob").await.dial().polling().header("user-agent", "bobs").open_ready().await);

    let (mut admin, _) = AdminUi::log_in(&app).await;
    let config = admin.expect("config").await;
    let [sockets] = &admin.expect("all_sockets").await[..] else { panic!("one argument is expected") };
    let stats = admin.expect("server_stats").await[0].clone();

    assert_eq!(config, [json!({ "supportedFeatures": ["AGGREGATED_EVENTS", "ALL_EVENTS"] })]);
    let sockets = sockets.as_array().unwrap();
    assert_eq!(sockets.len(), 2, "{sockets:?}");
    let of = |id: &str| sockets.iter().find(|socket| socket["clientId"] == id).unwrap();
    let (alices, bobs) = (of("alice"), of("bob"));
    assert_eq!((&alices["id"], &alices["nsp"], &alices["transport"]), (&socket.ready["connectionId"], &json!("/chat"), &json!("websocket")));
    assert_eq!(alices["data"], json!({ "userId": "alice", "name": alices["data"]["name"], "userType": "user" }));
    assert_eq!(alices["handshake"]["address"], "127.0.0.1");
    assert!(alices["handshake"]["issued"].is_u64() && alices["handshake"]["time"].is_string(), "{alices}");
    let rooms: BTreeSet<&str> = alices["rooms"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(rooms, BTreeSet::from(["general", room.as_str()]), "by slug, or else by id");
    assert_eq!((&bobs["id"], &bobs["transport"]), (&polling.ready["connectionId"], &json!("polling")));
    assert_eq!(bobs["handshake"]["headers"], json!({ "user-agent": "bobs" }));
    assert_eq!((&stats["clientsCount"], &stats["pollingClientsCount"], &stats["pid"]), (&json!(3), &json!(1), &json!(app.pid())));
    assert_eq!(stats["namespaces"], json!([{ "name": "/admin", "socketsCount": 1 }, { "name": "/chat", "socketsCount": 2 }]));
    assert!(stats["uptime"].as_f64().unwrap() > 0.0 && stats["hostname"].is_string() && stats["serverId"].is_string(), "{stats}");
    assert_eq!(stats["aggregatedEvents"], json!([]));
}

#[tokio::test]
async fn what_changes_is_told() {
    let app = watched(&[]).await;
    let _carol = app.user("carol").await.connect().await;
    let (mut admin, _) = AdminUi::log_in(&app).await;
    admin.expect_where("all_sockets", |sockets| sockets[0].as_array().unwrap().len() == 1).await;
    let mut bob = app.user("bob").await.dial().polling().open_ready().await;
    let id = bob.ready["connectionId"].clone();

    let came = admin.expect("socket_connected").await;
    assert_eq!((&came[0]["id"], &came[0]["transport"], &came[0]["rooms"]), (&id, &json!("polling"), &json!(["general"])));
    assert!(came[1].as_str().unwrap().ends_with('Z'), "a time: {came:?}");

    bob.upgrade().await;
    let upgraded = admin.expect("socket_updated").await;
    assert_eq!(upgraded, [json!({ "id": id, "nsp": "/chat", "transport": "websocket" })]);

    let room = app.user("alice").await.create_public_room("square").await;
    bob.emit_ok("chat:room:join", &json!(room)).await;
    let joined = admin.expect("room_joined").await;
    assert_eq!(joined[..3], [json!("/chat"), json!(room), id.clone()]);

    bob.emit_ok("chat:room:leave", &json!(room)).await;
    let left = admin.expect("room_left").await;
    assert_eq!(left[..3], joined[..3]);

    bob.close().await;
    assert_eq!(admin.expect("room_left").await[..3], [json!("/chat"), json!("general"), id.clone()]);
    assert_eq!(admin.expect("socket_disconnected").await[..3], [json!("/chat"), id, json!("gone")]);
}

#[tokio::test]
async fn comings_and_goings_are_counted_and_nobody_is_shown_before_they_authenticated() {
    let app = watched(&[]).await;
    let (mut admin, _) = AdminUi::log_in(&app).await;
    assert_eq!(admin.expect("all_sockets").await, [json!([])]);
    let nobody = app.dial().open().await.unwrap();
    let counted = |kind: &'static str| {
        move |arguments: &[Value]| {
            arguments[0]["aggregatedEvents"].as_array().unwrap().iter().any(|event| event["type"] == kind && event["count"] == 1)
        }
    };

    let stats = admin.expect_where("server_stats", counted("rawConnection")).await;
    assert_eq!(stats[0]["namespaces"][1], json!({ "name": "/chat", "socketsCount": 1 }));
    nobody.close().await;
    admin.expect_where("server_stats", counted("rawDisconnection")).await;

    // The page finds out from a list which namespace to show: the first who is there is told in one.
    let _alice = app.user("alice").await.connect().await;
    assert_eq!(admin.expect("all_sockets").await[0][0]["clientId"], "alice");
    let _bob = app.user("bob").await.connect().await;
    assert_eq!(admin.expect("socket_connected").await[0]["clientId"], "bob");
}

/// Contract section 1, "Names": the engine's id is a secret of its session. And nobody's words, tokens or cookies are an operator's business.
#[tokio::test]
async fn no_secret_and_no_word_of_what_is_said_is_shown() {
    let app = watched(&[]).await;
    let alice = app.user("alice").await;
    let early = alice.dial().header("cookie", "a=secret-cookie").header("authorization", &format!("Bearer {}", alice.token)).open_ready().await;
    let (mut admin, _) = AdminUi::log_in(&app).await;
    admin.expect("all_sockets").await;
    let late = alice.connect().await;
    admin.expect("socket_connected").await;
    late.say("general", "words that nobody else may read").await;
    early.expect_where("chat:message", |message| message["content"] == "words that nobody else may read").await;
    late.close().await;
    admin.expect("socket_disconnected").await;
    admin.expect("server_stats").await;

    let told = admin.everything();

    assert!(told.contains("alice") && told.contains(early.ready["connectionId"].as_str().unwrap()));
    let sid = early.handshake()["sid"].as_str().unwrap().to_owned();
    for secret in [sid.as_str(), alice.token.rsplit('.').next().unwrap(), "secret-cookie", "nobody else", early.ready["sessionId"].as_str().unwrap()]
    {
        assert!(!told.contains(secret), "{secret} is shown in {told}");
    }
}

// ── what may be done ─────────────────────────────────────────────────────────────────────────────────────────────

/// Everything that the page may ask for, about one connection.
fn orders(id: &Value) -> [Value; 8] {
    [
        json!(["_disconnect", "/chat", false, id]),
        json!(["_disconnect", "/chat", true, id]),
        json!(["_disconnect", "/chat", false]),
        json!(["emit", "/chat", "general", "chat:message", { "content": "forged" }]),
        json!(["emit", "/chat", null, "chat:message", { "content": "forged" }]),
        json!(["join", "/chat", "general", id]),
        json!(["leave", "/chat", "general", id]),
        json!(["leave", "/chat", "general"]),
    ]
}

#[tokio::test]
async fn it_only_looks_unless_it_is_told_otherwise() {
    let app = watched(&[]).await;
    let alice = app.user("alice").await.connect().await;
    let (mut admin, _) = AdminUi::log_in(&app).await;

    for order in orders(&alice.ready["connectionId"]) {
        assert_eq!(admin.refusal_of(&order).await, "FORBIDDEN", "{order}");
    }

    assert_eq!(admin.refusal_of(&json!(["chat:message", { "content": "hello" }])).await, "UNKNOWN_EVENT");
    alice.expect_silence("chat:message").await;
    assert!(alice.is_live());
}

#[tokio::test]
async fn where_it_may_one_connection_is_closed_and_told_so() {
    let app = watched(&[("CHAT_ADMIN_READONLY", "false")]).await;
    let alice = app.user("alice").await;
    let (one, two) = (alice.connect().await, alice.connect().await);
    let (mut admin, _) = AdminUi::log_in(&app).await;
    assert_eq!(admin.expect("config").await[0]["supportedFeatures"], json!(["AGGREGATED_EVENTS", "ALL_EVENTS", "DISCONNECT"]));
    admin.expect("all_sockets").await;

    let done = admin.ask(&json!(["_disconnect", "/chat", false, one.ready["connectionId"]])).await;

    assert_eq!(done, json!({ "ok": true, "data": { "closed": 1 } }));
    assert_eq!(one.expect("system:error").await["code"], "FORBIDDEN");
    one.disconnected().await;
    two.say("general", "still here").await;
    assert_eq!(admin.expect("socket_disconnected").await[1], one.ready["connectionId"]);
    // They are not banned: they may come again.
    alice.connect().await;
}

#[tokio::test]
async fn a_client_is_a_user_and_all_connections_of_one_can_be_closed_together() {
    let app = watched(&[("CHAT_ADMIN_READONLY", "false")]).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await.connect().await);
    let (one, two) = (alice.connect().await, alice.dial().polling().open_ready().await);
    let (mut admin, _) = AdminUi::log_in(&app).await;

    let done = admin.ask(&json!(["_disconnect", "/chat", true, one.ready["connectionId"]])).await;

    assert_eq!(done["data"]["closed"], 2);
    for socket in [one, two] {
        assert_eq!(socket.expect("system:error").await["code"], "FORBIDDEN");
        socket.disconnected().await;
    }
    bob.say("general", "still here").await;
}

#[tokio::test]
async fn what_it_could_only_do_by_halves_is_refused_also_where_it_may_disconnect() {
    let app = watched(&[("CHAT_ADMIN_READONLY", "false")]).await;
    let alice = app.user("alice").await.connect().await;
    let id = &alice.ready["connectionId"];
    let (mut admin, _) = AdminUi::log_in(&app).await;

    for order in &orders(id)[3..] {
        assert_eq!(admin.refusal_of(order).await, "FORBIDDEN", "{order}");
    }
    for (order, code) in [
        (json!(["_disconnect", "/chat", false]), "PAYLOAD_INVALID"),
        (json!(["_disconnect"]), "PAYLOAD_INVALID"),
        (json!(["_disconnect", "/chat", "yes", id]), "PAYLOAD_INVALID"),
        (json!(["_disconnect", "/chat", false, "general"]), "NOT_FOUND"),
        (json!(["_disconnect", "/chat", false, "00000000-0000-4000-8000-000000000000"]), "NOT_FOUND"),
        (json!(["_disconnect", "/", false, id]), "NOT_FOUND"),
        (json!(["disconnect", "/chat", false, id]), "UNKNOWN_EVENT"),
    ] {
        assert_eq!(admin.refusal_of(&order).await, code, "{order}");
    }

    alice.expect_silence("chat:message").await;
}

#[tokio::test]
async fn what_it_asks_for_is_limited_by_its_address() {
    let app = watched(&[("CHAT_LIMITS", "on"), ("CHAT_LIMIT_CONNECT", "3/1/1h")]).await;
    let (mut admin, _) = AdminUi::log_in(&app).await;
    let order = json!(["join", "/chat", "general"]);
    assert_eq!([admin.refusal_of(&order).await, admin.refusal_of(&order).await], ["FORBIDDEN"; 2]);

    assert_eq!(admin.refusal_of(&order).await, "RATE_LIMITED");
}

// ── settings, logs, and the official client ──────────────────────────────────────────────────────────────────────

#[test]
fn the_chat_and_the_admin_ui_cannot_both_have_the_namespace() {
    let good = [("DATABASE_URL", "postgres://127.0.0.1:1/none"), ("JWT_SECRET", token::SECRET), ("CHAT_NAMESPACES", "/chat,/admin")];
    assert_eq!(ires_chat(&["config", "check"], &good).code, Some(0), "the chat alone may have it");

    let refused = ires_chat(&["config", "check"], &[&good[..], &[("CHAT_ADMIN_PASSWORD", PASSWORD)]].concat());

    assert_eq!(refused.code, Some(78), "{}", refused.stderr);
    assert!(refused.stderr.contains("CHAT_NAMESPACES") && refused.stderr.contains("CHAT_ADMIN_PASSWORD"), "{}", refused.stderr);
    assert_eq!(refused.stderr.trim().lines().count(), 1, "{}", refused.stderr);
}

#[tokio::test]
async fn the_password_may_come_from_a_file() {
    let dir = TempDir::new();
    let file = dir.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();

    let app = TestApp::with(&[("CHAT_ADMIN_PASSWORD_FILE", file.to_str().unwrap())]).await;

    AdminUi::log_in(&app).await;
}

#[tokio::test]
async fn passwords_and_sessions_are_in_no_log_at_any_level() {
    let app = watched(&[("RUST_LOG", "trace"), ("CHAT_ADMIN_READONLY", "false")]).await;
    let alice = app.user("alice").await.connect().await;
    let wrong = json!({ "username": "typed-into-the-wrong-field", "password": "a wrong password" });
    assert!(AdminUi::open(&app, &wrong).await.is_err());
    let (mut admin, session) = AdminUi::log_in(&app).await;
    AdminUi::open(&app, &json!({ "sessionId": session })).await.unwrap();
    assert!(AdminUi::open(&app, &json!({ "sessionId": "a-stale-session" })).await.is_err());
    admin.ask(&json!(["_disconnect", "/chat", false, alice.ready["connectionId"]])).await;

    eventually("the lines", async || {
        let logs = app.logs();
        ["an operator looks at the Admin UI", "an operator is refused at the Admin UI", "an operator disconnects a client"]
            .iter()
            .all(|line| logs.contains(line))
    })
    .await;
    let logs = app.logs();
    for secret in [PASSWORD, "a wrong password", "typed-into-the-wrong-field", session.as_str(), "a-stale-session"] {
        let line = logs.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the logs");
    }
}

/// The page's own way: socket.io-client with the options of its `App.vue`.
#[tokio::test]
async fn the_official_client_looks_as_the_page_does() {
    let directory = match npm::install("tests/node", "node-admin") {
        Ok(directory) => directory,
        Err(reason) => return npm::skip("the Admin UI's protocol with the official socket.io-client", &reason),
    };
    let app = watched(&[("CHAT_ADMIN_READONLY", "false")]).await;
    let arguments = ["admin.cjs", app.base(), PASSWORD, &app.user("alice").await.token];

    let node: Finished = bound("node").args(arguments).current_dir(directory).output().unwrap().into();

    assert_eq!(node.code, Some(0), "{}{}", node.stdout, node.stderr);
    assert!(node.stdout.lines().filter(|line| line.starts_with("ok ")).count() >= 6, "{}", node.stdout);
}
