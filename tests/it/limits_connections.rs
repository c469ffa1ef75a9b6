//! How many connections a user, and an address, may have at once. Contract sections 3 and 8.

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{LIMIT, Refusal, TestApp, TestSocket, TestUser, code, eventually, token, within};

async fn limited(settings: &[(&str, &str)]) -> TestApp {
    TestApp::with(&[&[("CHAT_LIMITS", "on")], settings].concat()).await
}

/// For many at once, of whom none is to be closed for being late.
const UNHURRIED: [(&str, &str); 2] = [("CHAT_CONNECT_TIMEOUT", "1m"), ("CHAT_AUTH_TIMEOUT", "1m")];

async fn gets_in(user: &TestUser) -> bool {
    user.dial().try_open_ready().await.is_some()
}

/// A connection that has the user's one place itself, as soon as that is free.
async fn the_one_place(user: &TestUser, polling: bool) -> TestSocket {
    eventually("the one place", async || gets_in(user).await).await;
    let dial = if polling { user.dial().polling() } else { user.dial() };
    let first = async {
        loop {
            let opened = dial.open().await.unwrap();
            if opened.is_ready().await {
                return opened;
            }
        }
    };
    within(LIMIT, "the one place", first).await
}

#[tokio::test]
async fn a_user_has_so_many_connections_and_the_next_one_is_told_and_closed() {
    let app = limited(&[("CHAT_CONNECTIONS_PER_USER", "2")]).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let (one, two) = (alice.connect().await, alice.dial().polling().open_ready().await);

    assert_eq!(alice.dial().refusal_code().await, "CONNECTION_LIMIT");
    let late = app.dial().open().await.unwrap();
    let error = late.emit_err("auth:login", &json!({ "token": alice.token })).await;
    assert_eq!((code(&error), &error["status"], &error["retryable"]), ("CONNECTION_LIMIT", &json!(429), &json!(true)));
    assert!(error["retryAfterMs"].is_u64(), "{error}");
    late.disconnected().await;

    // Those who are in stay in, may log in again, and others come in.
    one.emit_ok("auth:login", &json!({ "token": token::expiring("alice", 900) })).await;
    one.say("general", "still here").await;
    two.say("general", "I, too").await;
    bob.connect().await;
}

#[tokio::test]
async fn in_strict_mode_the_limit_is_told_in_the_handshake() {
    let app = limited(&[("CHAT_CONNECTIONS_PER_USER", "1"), ("CHAT_AUTH_MODE", "strict")]).await;
    let alice = app.user("alice").await;
    let _one = alice.connect().await;

    let Err(Refusal::ConnectError(message)) = alice.dial().open().await else { panic!("it was let in") };

    assert!(message.starts_with("CONNECTION_LIMIT: "), "{message}");
}

#[tokio::test]
async fn a_place_is_given_back_however_a_connection_ends() {
    let app = limited(&[("CHAT_CONNECTIONS_PER_USER", "1"), ("CHAT_LIMIT_CONNECT", "off")]).await;
    let alice = app.user("alice").await;
    let again = async |how: &str| eventually(&format!("a place after {how}"), async || gets_in(&alice).await).await;

    the_one_place(&alice, false).await.close().await;
    again("a polite end").await;
    drop(the_one_place(&alice, false).await);
    again("a lost connection").await;
    let left = the_one_place(&alice, true).await;
    left.send_raw("41/chat,");
    again("leaving the namespace").await;
    let kept = the_one_place(&alice, false).await;
    kept.emit_ok("auth:logout", &json!({})).await;
    let alice = alice.with_token(token::expiring("alice", 1_200));
    eventually("a place after logging out", async || gets_in(&alice).await).await;
}

/// At a server of its own, whose patience with connections that do live is short, too.
#[tokio::test]
async fn a_place_is_given_back_by_a_dead_connection() {
    let settings = [("CHAT_CONNECTIONS_PER_USER", "1"), ("CHAT_LIMIT_CONNECT", "off"), ("CHAT_PING_INTERVAL", "300ms"), ("CHAT_PING_TIMEOUT", "3s")];
    let app = limited(&settings).await;
    let alice = app.user("alice").await;
    let dead = the_one_place(&alice, false).await;

    dead.stop_answering_pings();

    eventually("a place after a dead connection", async || gets_in(&alice).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_who_connect_at_once_never_exceed_the_limit() {
    let app = limited(&[&[("CHAT_CONNECTIONS_PER_USER", "5")], &UNHURRIED[..]].concat()).await;
    let alice = app.user("alice").await;
    let mut opening = JoinSet::new();
    for number in 0..50 {
        let (dial, late, token) = (alice.dial(), app.dial(), alice.token.clone());
        opening.spawn(async move {
            if number % 2 == 0 {
                let socket = dial.open().await.unwrap();
                return (socket.is_ready().await, socket);
            }
            let socket = late.open().await.unwrap();
            let ack = socket.emit("auth:login", &json!({ "token": token })).await;
            (ack["ok"] == true, socket)
        });
    }

    let sockets = opening.join_all().await;

    assert_eq!(sockets.iter().filter(|(is_in, _)| *is_in).count(), 5);
    for (is_in, socket) in &sockets {
        if !is_in {
            assert_eq!(code(&socket.expect("system:error").await), "CONNECTION_LIMIT");
        }
    }
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_the_next_handshake_is_refused() {
    let settings =
        [("CHAT_CONNECTIONS_PER_IP", "3"), ("CHAT_LIMIT_CONNECT", "off"), ("CHAT_TRUSTED_PROXIES", "127.0.0.1"), ("CHAT_CONNECT_TIMEOUT", "4s")];
    let app = limited(&settings).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let (one, three) = (alice.connect().await, alice.connect().await);
    let _two = bob.dial().polling().open_ready().await;

    let refused = app.get("/socket.io/?EIO=4&transport=polling").await;
    assert_eq!(refused.refused(429), "CONNECTION_LIMIT");
    assert_ne!(refused.header("retry-after"), "");
    assert_eq!(bob.dial().open().await.err(), Some(Refusal::Status(429)));
    bob.dial().header("X-Forwarded-For", "203.0.113.1").open_ready().await;
    alice.say("general", "requests are no connections").await;

    // One that is lost; and one that has taken its place, and names no namespace in time.
    drop(one);
    eventually("a place after a lost connection", async || gets_in(&bob).await).await;
    let nameless = async {
        loop {
            if let Ok(opened) = app.dial().open_transport().await {
                return opened;
            }
        }
    };
    within(LIMIT, "the one place", nameless).await.disconnected().await;
    eventually("a place after the timeout", async || gets_in(&bob).await).await;
    drop(three);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_handshakes_at_once_never_exceed_the_limit_of_their_address() {
    let app = limited(&[&[("CHAT_CONNECTIONS_PER_IP", "7"), ("CHAT_CONNECTIONS_PER_USER", "50")], &UNHURRIED[..]].concat()).await;
    let alice = app.user("alice").await;
    let mut opening = JoinSet::new();
    for number in 0..50 {
        let dial = if number % 2 == 0 { alice.dial() } else { alice.dial().polling() };
        opening.spawn(async move { dial.open().await });
    }

    let sockets = opening.join_all().await;

    assert_eq!(sockets.iter().filter(|opened| opened.is_ok()).count(), 7);
    for refusal in sockets.iter().filter_map(|opened| opened.as_ref().err()) {
        assert_eq!(*refusal, Refusal::Status(429));
    }
}
