//! Transports, namespaces, heartbeats: the seed's "WebSocket Configuration" and "Connection Errors", and the
//! beginning of contract section 3.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Refusal, TestApp, eventually, json::text, token, websocket, within};

/// Seed, WebSocket Configuration: `pingTimeout: 60000`, `pingInterval: 25000`, `maxHttpBufferSize: 1e6`.
#[tokio::test]
async fn the_handshake_announces_the_seeds_ping_interval_ping_timeout_and_payload_size() {
    let app = TestApp::start().await;

    let handshake = app.user("alice").await.connect().await.handshake();

    assert_eq!(handshake["pingInterval"], 25_000);
    assert_eq!(handshake["pingTimeout"], 60_000);
    assert_eq!(handshake["maxPayload"], 1_000_000);
}

#[tokio::test]
async fn the_settings_change_what_the_handshake_announces() {
    let settings = [("CHAT_PING_INTERVAL", "7s"), ("CHAT_PING_TIMEOUT", "9500ms"), ("CHAT_MAX_PAYLOAD", "200000")];
    let app = TestApp::with(&settings).await;

    let handshake = app.user("alice").await.connect().await.handshake();

    assert_eq!(handshake["pingInterval"], 7_000);
    assert_eq!(handshake["pingTimeout"], 9_500);
    assert_eq!(handshake["maxPayload"], 200_000);
}

/// Seed, WebSocket Configuration: `transports: ['websocket', 'polling']`.
#[tokio::test]
async fn both_transports_serve_the_same_chat() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let polling = alice.dial().polling().open_ready().await;
    let websocket = bob.connect().await;

    let one = polling.say("general", "from polling").await;
    let two = websocket.say("general", "from websocket").await;

    for socket in [&polling, &websocket] {
        assert_eq!(socket.expect("chat:message").await["id"], one["id"]);
        assert_eq!(socket.expect("chat:message").await["id"], two["id"]);
    }
    assert_eq!(polling.handshake()["upgrades"], json!(["websocket"]));
}

/// Seed, WebSocket Configuration: `upgradeTimeout` belongs to this change of transport.
#[tokio::test]
async fn a_polling_session_moves_to_a_websocket_and_misses_nothing() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await.connect().await, app.user("bob").await);
    let mut moving = bob.dial().polling().open_ready().await;
    alice.say("general", "before").await;
    moving.expect_where("chat:message", |message| message["content"] == "before").await;

    let during: Vec<_> = (0..20).map(|n| during(&alice, n)).collect();
    moving.upgrade().await;
    for id in during {
        alice.ack(id).await;
    }

    let message = moving.say("general", "after").await;
    alice.expect_where("chat:message", |heard| heard["id"] == message["id"]).await;
    let heard = moving.expect_count("chat:message", 22).await;
    let contents: Vec<_> = heard[1..21].iter().map(|message| text(&message["content"])).collect();
    assert_eq!(contents, (0..20).map(|n| format!("during {n}")).collect::<Vec<_>>());
}

/// The short way of what is told to many, straight to the connection, is a matter of speed: without a look into the log nobody
/// would notice that it was not taken.
#[tokio::test]
async fn a_websocket_is_told_on_its_own_wire_also_after_an_upgrade() {
    let app = TestApp::with(&[("RUST_LOG", "ires_chat::realtime=trace")]).await;
    let (alice, bob) = (app.user("alice").await.connect().await, app.user("bob").await);
    let on_wires = || app.logs().matches("a connection is told on its wire").count();
    alice.settle().await;
    eventually("a wire", async || on_wires() == 1).await;

    let mut moving = bob.dial().polling().open_ready().await;
    moving.settle().await;
    assert_eq!(on_wires(), 1);
    moving.upgrade().await;
    moving.say("general", "hello").await;

    eventually("another wire", async || on_wires() == 2).await;
}

/// Seed, WebSocket Configuration: `upgradeTimeout: 10000`. Who begins an upgrade and does not finish it is cut, and
/// comes again with another session (engineioxide gives up both transports).
#[tokio::test]
async fn an_upgrade_that_is_not_finished_in_time_is_given_up() {
    let app = TestApp::with(&[("CHAT_UPGRADE_TIMEOUT", "300ms")]).await;
    let alice = app.user("alice").await;
    let polling = alice.dial().polling().open_ready().await;

    let mut websocket = polling.open_upgrade().await;

    // Without the setting it would take 10 s.
    within(Duration::from_secs(9), "the end of the unfinished upgrade", websocket::ended(&mut websocket)).await;
    let again = alice.dial().polling().open_ready().await;
    again.say("general", "polling again").await;
    again.expect("chat:message").await;
}

fn during(socket: &crate::support::TestSocket, number: usize) -> u64 {
    let content = format!("during {number}");
    socket.post("chat:message", &json!({ "roomId": "general", "content": content }))
}

#[tokio::test]
async fn a_transport_that_is_not_configured_is_refused() {
    let websocket_only = TestApp::with(&[("CHAT_TRANSPORTS", "websocket")]).await;
    let alice = websocket_only.user("alice").await;
    assert_eq!(alice.dial().polling().open().await.err(), Some(Refusal::Status(400)));
    alice.connect().await;

    let polling_only = TestApp::with(&[("CHAT_TRANSPORTS", "polling")]).await;
    let alice = polling_only.user("alice").await;
    assert_eq!(alice.dial().open().await.err(), Some(Refusal::Status(400)));
    alice.dial().polling().open_ready().await;
}

#[tokio::test]
async fn an_unknown_session_or_engine_version_is_refused() {
    let app = TestApp::start().await;
    for query in ["EIO=4&transport=polling&sid=nobody", "EIO=3&transport=polling", "transport=polling", "EIO=4"] {
        let reply = app.get(&format!("/socket.io/?{query}")).await;
        assert_eq!(reply.status, 400, "{query}: {}", reply.text);
    }
}

/// Seed, Troubleshooting: "Namespace Errors: verify you're connecting to the correct namespace".
#[tokio::test]
async fn a_namespace_that_is_not_served_is_refused_with_a_connect_error() {
    let app = TestApp::start().await;
    for namespace in ["/", "/nonsense", "/chat2", "/admin", "/__proto__"] {
        let dial = app.user("alice").await.dial().namespace(namespace);
        let refusal = dial.open().await.err();
        assert!(matches!(refusal, Some(Refusal::ConnectError(_))), "{namespace}: {refusal:?}");
    }
}

/// Seed, WebSocket Configuration: `namespace: '/'`; contract 3: adding it serves the same handlers there.
#[tokio::test]
async fn the_root_namespace_serves_the_same_chat_when_it_is_added() {
    let app = TestApp::with(&[("CHAT_NAMESPACES", "/chat,/")]).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let at_root = alice.dial().namespace("/").open_ready().await;
    let at_chat = bob.connect().await;

    at_root.say("general", "from the root").await;
    at_chat.say("general", "from /chat").await;

    assert_eq!(at_chat.expect("chat:message").await["content"], "from the root");
    assert_eq!(at_root.expect_count("chat:message", 2).await[1]["content"], "from /chat");
}

#[tokio::test]
async fn many_connects_on_one_transport_trouble_nobody() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let greedy = alice.dial().open_transport().await.unwrap();
    for number in 0..200 {
        greedy.send_raw(&format!("40/nonsense-{number},"));
        greedy.send_raw(&format!("40/chat,{}", json!({ "token": alice.token })));
    }

    let other = app.user("bob").await.connect().await;

    other.say("general", "untroubled").await;
    other.expect("chat:message").await;
}

#[tokio::test]
async fn who_joins_no_namespace_is_cut_after_the_connect_timeout() {
    let app = TestApp::with(&[("CHAT_CONNECT_TIMEOUT", "3s")]).await;
    let joined = app.user("alice").await.connect().await;
    let idle = app.dial().open_transport().await.unwrap();

    // Without the setting it would take 10 s.
    within(Duration::from_secs(9), "the end of who joins nothing", idle.disconnected()).await;

    joined.settle().await;
}

#[tokio::test]
async fn the_server_pings_and_keeps_who_answers() {
    let app = TestApp::with(&[("CHAT_PING_INTERVAL", "100ms"), ("CHAT_PING_TIMEOUT", "7s")]).await;
    let answering = app.user("alice").await.connect().await;
    let deaf = app.user("bob").await.connect().await;

    deaf.stop_answering_pings();

    deaf.disconnected().await;
    answering.pinged().await;
    answering.settle().await;
}

/// Seed, Error Handling: "Connection Errors: network issues and disconnections".
#[tokio::test]
async fn a_lost_connection_is_no_leaving_and_the_next_one_finds_everything() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    drop(bob.connect().await);
    alice.say(&room, "while you were away").await;

    let back = bob.connect().await;

    let rooms = back.ready["rooms"].as_array().unwrap();
    let den = rooms.iter().find(|one| one["id"] == room.as_str()).expect("still a member");
    assert_eq!(den["lastMessage"]["content"], "while you were away");
    assert_eq!(den["unread"], 1);
    alice.connect().await.say(&room, "and back").await;
    back.expect_where("chat:message", |message| message["content"] == "and back").await;
}

#[tokio::test]
async fn a_polling_session_that_says_goodbye_is_over() {
    let app = TestApp::start().await;
    let watcher = app.user("bob").await.connect().await;
    let polling = app.user("alice").await.dial().polling().open_ready().await;
    watcher.expect_where("status:online", |status| status["userId"] == "alice").await;

    polling.send_raw("41/chat,");

    watcher.expect_where("status:offline", |status| status["userId"] == "alice").await;
}

/// Contract 1, Names: the engine's socket id is a secret of its session.
#[tokio::test]
async fn the_engines_socket_id_is_told_to_nobody() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await.connect().await, app.user("bob").await.connect().await);
    alice.say("general", "hello").await;
    alice.emit_ok("status:typing", &json!({ "isTyping": true })).await;
    bob.expect("chat:message").await;
    bob.expect("status:typing").await;

    let sid = alice.handshake();
    let sid = text(&sid["sid"]);

    let everything: Vec<Value> = [bob.everything(), alice.everything()].concat();
    assert!(!Value::from(everything).to_string().contains(sid));
    assert!(!bob.ready.to_string().contains(sid));
    assert!(!app.logs().contains(sid), "an engine id is in the logs");
}

#[tokio::test]
async fn a_client_that_speaks_no_protocol_is_closed_and_nobody_else_notices() {
    let app = TestApp::start().await;
    let other = app.user("bob").await.connect().await;
    for nonsense in ["", "9", "4", "49", "42", "42/chat", "42/chat,[", "42/chat,{}", "42/chat,[]", "42/chat,[5]", "x"] {
        let socket = app.user("alice").await.connect().await;
        socket.send_raw(nonsense);
        socket.send_binary(&[0xff, 0xfe]);
    }

    other.say("general", "untroubled").await;
}

/// A token in the query of the address would end up in logs: only `auth` and the header count.
#[tokio::test]
async fn the_servers_answer_to_a_refused_connection_does_not_repeat_the_token() {
    let app = TestApp::with(&[("CHAT_AUTH_MODE", "strict")]).await;
    let token = token::expiring("alice", -3600);

    let refusal = app.dial().token(&token).open().await.err();

    let Some(Refusal::ConnectError(message)) = refusal else { panic!("{refusal:?}") };
    assert!(message.starts_with("AUTH_TOKEN_EXPIRED"), "{message}");
    assert!(!message.contains(&token));
    eventually("the log line", async || app.logs().contains("AUTH_TOKEN_EXPIRED")).await;
    assert!(!app.logs().contains(&token));
}
