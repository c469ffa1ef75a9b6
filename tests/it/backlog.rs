//! What waits for clients that read slowly: how much memory it takes, what is left out, and how it ends. Promise P5.

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestSocket,
    json::{int, text},
};

/// Large messages fill the system's buffers with few statements.
const LARGE: usize = 50_000;
const SETTINGS: [(&str, &str); 2] = [("CHAT_MAX_CONTENT", "60000"), ("RUST_LOG", "warn")];

/// Sends messages, waits for their acks, and gives the number of the last.
async fn send(socket: &TestSocket, room: &str, count: usize, size: usize) -> i64 {
    let message = json!({ "roomId": room, "content": "x".repeat(size) });
    let sent: Vec<_> = (0..count).map(|_| socket.post("chat:message", &message)).collect();
    let mut last = 0;
    for id in sent {
        let ack = socket.ack(id).await;
        assert_eq!(ack["ok"], true, "{ack}");
        last = int(&ack["data"]["seq"]);
    }
    last
}

/// What a socket has heard begins with the first message and has no hole; this is how many there are.
fn dense(socket: &TestSocket) -> usize {
    let heard: Vec<i64> = socket.seen("chat:message").iter().map(|message| int(&message["seq"])).collect();
    assert!(heard.iter().zip(1..).all(|(seq, expected)| *seq == expected), "a hole: {heard:?}");
    heard.len()
}

/// Each may keep `CHAT_SOCKET_BACKLOG` waiting, one megabyte; without that limit it would be forty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_what_waits_for_clients_that_stopped_reading_is_bounded_and_nobody_else_waits() {
    let app = TestApp::with(&SETTINGS).await;
    let (alice, bob, carol, dave) = (app.user("alice").await, app.user("bob").await, app.user("carol").await, app.user("dave").await);
    let room = alice.create_room_with("den", &[&bob, &carol, &dave]).await;
    let (sender, quick) = (alice.connect().await, dave.connect().await);
    let (slow, stuck) = (bob.connect().await, carol.connect().await);
    for _ in 0..10 {
        send(&sender, &room, 10, LARGE).await;
    }
    slow.settle().await;
    stuck.settle().await;

    slow.read(false);
    stuck.read(false);
    let id = text(&slow.ready["connectionId"]);
    let before = app.resident();
    let mut peak = before;
    let mut last = 0;
    for _ in 0..80 {
        last = send(&sender, &room, 10, LARGE).await;
        quick.expect_where("chat:message", |message| message["seq"] == last).await;
        peak = peak.max(app.resident());
        if app.logs().lines().any(|line| line.contains("reads too slowly") && line.contains(id)) {
            // In time for the last words, which are kept for ten seconds. The other one goes on as before.
            slow.read(true);
        }
    }
    println!("{before} MiB before, {peak} MiB at most");
    assert!(peak < before + 24, "{before} MiB became {peak} MiB");

    stuck.read(true);
    assert_eq!(slow.expect("system:error").await["code"], "SLOW_CONSUMER");
    slow.disconnected().await;
    stuck.disconnected().await;
    let all = dense(&quick);
    assert_eq!((all, last), (900, 900));
    for behind in [&slow, &stuck] {
        let heard = dense(behind);
        assert!((100..all).contains(&heard), "{heard} of {all}");
    }
    assert!(sender.is_live() && quick.is_live());
}

/// Typing is of the moment: it would only delay the messages for which a client waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_who_is_behind_hears_every_message_and_no_typing_until_it_keeps_up_again() {
    let settings = [&SETTINGS[..], &[("CHAT_SOCKET_BACKLOG", "67108864")]].concat();
    let app = TestApp::with(&settings).await;
    let (alice, bob, carol) = (app.user("alice").await, app.user("bob").await, app.user("carol").await);
    let room = alice.create_room_with("den", &[&bob, &carol]).await;
    let (quick, slow, typist) = (alice.connect().await, bob.connect().await, carol.connect().await);
    let typing = |is_typing: bool| json!({ "roomId": room, "isTyping": is_typing });
    slow.settle().await;

    slow.read(false);
    for _ in 0..40 {
        send(&quick, &room, 10, LARGE).await;
    }
    for _ in 0..5 {
        typist.emit_ok("status:typing", &typing(true)).await;
        typist.emit_ok("status:typing", &typing(false)).await;
    }
    let last = send(&quick, &room, 1, 1).await;

    let told = quick.expect_count("status:typing", 10).await;
    assert!(told.iter().enumerate().all(|(number, told)| told["isTyping"] == (number % 2 == 0)), "{told:?}");
    slow.read(true);
    slow.expect_where("chat:message", |message| message["seq"] == last).await;
    assert_eq!((dense(&slow), last), (401, 401));
    assert_eq!(slow.seen("status:typing"), Vec::<Value>::new());
    typist.emit_ok("status:typing", &typing(true)).await;
    assert_eq!(slow.expect("status:typing").await["isTyping"], true);
}

#[tokio::test]
async fn p5_who_polls_too_slowly_is_closed_with_slow_consumer_and_never_has_a_hole() {
    let app = TestApp::with(&[("CHAT_SOCKET_BUFFER", "64"), ("RUST_LOG", "warn")]).await;
    let (alice, bob, carol) = (app.user("alice").await, app.user("bob").await, app.user("carol").await);
    let room = alice.create_room_with("den", &[&bob, &carol]).await;
    let (sender, quick) = (alice.connect().await, carol.connect().await);
    let slow = bob.dial().polling().open_ready().await;
    slow.settle().await;

    slow.read(false);
    for _ in 0..30 {
        send(&sender, &room, 10, 10).await;
    }
    slow.read(true);

    assert_eq!(slow.expect("system:error").await["code"], "SLOW_CONSUMER");
    slow.disconnected().await;
    let heard = dense(&slow);
    assert!((1..300).contains(&heard), "{heard} of 300");
    quick.expect_count("chat:message", 300).await;
    assert_eq!(dense(&quick), 300);
    let back = bob.dial().polling().open_ready().await;
    back.say(&room, "back again").await;
}
