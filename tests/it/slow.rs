//! A client that reads too slowly: promise P5, no silent gap, and nobody else notices.

use serde_json::json;

use crate::support::{TestApp, json::int};

/// More than the server keeps for one socket and the kernel buffers of both sides hold together.
const MESSAGES: usize = 4_000;

#[tokio::test]
async fn p5_who_reads_too_slowly_is_closed_with_slow_consumer_and_never_has_a_hole() {
    let app = TestApp::with(&[("CHAT_SOCKET_BUFFER", "128"), ("RUST_LOG", "warn")]).await;
    let (alice, bob, carol) = (app.user("alice").await, app.user("bob").await, app.user("carol").await);
    let room = alice.create_room_with("den", &[&bob, &carol]).await;
    let (sender, slow, quick) = (alice.connect().await, bob.connect().await, carol.connect().await);
    slow.settle().await;

    slow.read(false);
    let content = "x".repeat(3_900);
    let mut said = 0;
    // No longer than it takes: who takes nothing for ten seconds is closed without a word.
    while said < MESSAGES && !app.logs().contains("a client reads too slowly") {
        said += 50;
        // A few at a time, so that it is the slow one alone who falls behind.
        let sent: Vec<_> = (0..50).map(|_| sender.post("chat:message", &json!({ "roomId": room, "content": content }))).collect();
        for id in sent {
            assert_eq!(sender.ack(id).await["ok"], true);
        }
    }
    sender.say(&room, "and something that the slow one misses").await;
    slow.read(true);

    assert_eq!(slow.expect("system:error").await["code"], "SLOW_CONSUMER");
    slow.disconnected().await;
    let heard: Vec<i64> = slow.seen("chat:message").iter().map(|message| int(&message["seq"])).collect();
    assert!(!heard.is_empty() && heard.len() <= said, "{} of {said}", heard.len());
    assert!(heard.is_sorted_by(|a, b| a + 1 == *b), "a hole: {heard:?}");
    assert_eq!(quick.expect_count("chat:message", said + 1).await.len(), said + 1);
    let back = bob.connect().await;
    back.say(&room, "back again").await;
}
