//! The same message sent again is the same message: promise P2, contract section 4, "Idempotent send".

use serde_json::{Value, json};

use crate::support::{Reply, TestApp, TestUser};

fn tagged(room: &str, id: &str, content: &str) -> Value {
    json!({ "roomId": room, "clientMsgId": id, "content": content })
}

async fn den(app: &TestApp) -> (TestUser, TestUser, String) {
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    (alice, bob, room)
}

#[tokio::test]
async fn p2_a_message_sent_again_is_the_first_one_and_nobody_hears_it_twice() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let (from, to) = (alice.connect().await, bob.connect().await);
    let first = from.emit("chat:message", &tagged(&room, "m1", "hello")).await;
    assert_eq!(to.expect("chat:message").await["clientMsgId"], "m1");

    let again = from.emit("chat:message", &tagged(&room, "m1", "hello")).await;

    assert_eq!((&again["ok"], &again["data"]["id"]), (&json!(true), &first["data"]["id"]));
    assert_eq!(again["data"]["seq"], first["data"]["seq"]);
    assert_eq!((is_duplicate(&first), is_duplicate(&again)), (false, true), "{again}");
    to.expect_silence("chat:message").await;
    assert_eq!(bob.history(&room).await.len(), 1);
}

/// `duplicate: true` stands in the ack, beside the data or in it.
fn is_duplicate(ack: &Value) -> bool {
    ack["duplicate"] == true || ack["data"]["duplicate"] == true
}

#[tokio::test]
async fn p2_the_same_id_with_other_content_is_a_mismatch_and_changes_nothing() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let socket = alice.connect().await;
    socket.emit_ok("chat:message", &tagged(&room, "m1", "hello")).await;

    let other = socket.code_of("chat:message", &tagged(&room, "m1", "good-bye")).await;

    assert_eq!(other, "IDEMPOTENCY_MISMATCH");
    let history = bob.history(&room).await;
    assert_eq!((history.len(), &history[0]["content"]), (1, &json!("hello")));
}

#[tokio::test]
async fn p2_an_id_counts_only_together_with_its_author_and_its_room() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let other_room = alice.create_room_with("other", &[&bob]).await;
    let (a, b) = (alice.connect().await, bob.connect().await);

    let one = a.emit_ok("chat:message", &tagged(&room, "m1", "one")).await;
    let two = b.emit_ok("chat:message", &tagged(&room, "m1", "two")).await;
    let three = a.emit_ok("chat:message", &tagged(&other_room, "m1", "three")).await;

    assert!(one["id"] != two["id"] && one["id"] != three["id"]);
    assert_eq!(bob.history(&room).await.len(), 2);
}

#[tokio::test]
async fn p2_the_same_message_many_times_at_once_is_stored_once() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let (one, two, to) = (alice.connect().await, alice.connect().await, bob.connect().await);
    let message = tagged(&room, "m1", "hello");

    let sent: Vec<_> = (0..20).map(|_| (one.post("chat:message", &message), two.post("chat:message", &message))).collect();

    let mut ids = Vec::new();
    for (a, b) in sent {
        ids.push(one.ack(a).await["data"]["id"].clone());
        ids.push(two.ack(b).await["data"]["id"].clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "one message has several ids: {ids:?}");
    assert_eq!(to.expect("chat:message").await["id"], ids[0]);
    to.expect_silence("chat:message").await;
    let history = bob.history(&room).await;
    assert_eq!((history.len(), &history[0]["seq"]), (1, &alice.room(&room).await["lastSeq"]));
}

#[tokio::test]
async fn p2_two_contents_with_one_id_at_once_are_one_message_and_mismatches() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let (one, two) = (alice.connect().await, alice.connect().await);

    let (this, that) = (tagged(&room, "m1", "this"), tagged(&room, "m1", "that"));
    let (a, b) = tokio::join!(one.emit("chat:message", &this), two.emit("chat:message", &that));

    assert_ne!(a["ok"], b["ok"], "{a} {b}");
    let refused = if a["ok"] == true { &b } else { &a };
    assert_eq!(refused["error"]["code"], "IDEMPOTENCY_MISMATCH");
    assert_eq!(bob.history(&room).await.len(), 1);
}

#[tokio::test]
async fn p2_a_refused_message_does_not_use_up_its_id() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let socket = alice.connect().await;
    let empty = socket.code_of("chat:message", &tagged(&room, "m1", "")).await;
    assert_eq!(empty, "VALIDATION_ERROR");

    let sent = socket.emit("chat:message", &tagged(&room, "m1", "now with text")).await;

    assert!(sent["ok"] == true && !is_duplicate(&sent), "{sent}");
    assert_eq!(bob.history(&room).await.len(), 1);
}

#[tokio::test]
async fn p2_a_retry_after_a_restart_finds_the_first_one() {
    let mut app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let first = alice.connect().await.emit_ok("chat:message", &tagged(&room, "m1", "hello")).await;

    app.kill_9();
    app.start_again();

    let (alice, bob) = (alice.at(app.base()), bob.at(app.base()));
    let again = alice.connect().await.emit("chat:message", &tagged(&room, "m1", "hello")).await;
    assert!(is_duplicate(&again), "{again}");
    assert_eq!(again["data"]["id"], first["id"]);
    assert_eq!(bob.history(&room).await.len(), 1);
}

/// Contract 7: the header `Idempotency-Key` is the `clientMsgId`.
#[tokio::test]
async fn p2_the_idempotency_key_of_rest_and_the_client_msg_id_of_sockets_are_one() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let socket = alice.connect().await;
    let keyed = async |content: &str| {
        let request = alice.request(reqwest::Method::POST, &format!("/rooms/{room}/messages"));
        Reply::of(request.header("Idempotency-Key", "m1").json(&json!({ "content": content }))).await
    };

    let first = keyed("hello").await.expect(201);
    let repeat = keyed("hello").await.expect(200);
    let over_socket = socket.emit("chat:message", &tagged(&room, "m1", "hello")).await;

    assert_eq!((&repeat["id"], &repeat["duplicate"]), (&first["id"], &json!(true)));
    assert!(is_duplicate(&over_socket) && over_socket["data"]["id"] == first["id"], "{over_socket}");
    assert_eq!(keyed("something else").await.refused(409), "IDEMPOTENCY_MISMATCH");
    assert_eq!(bob.history(&room).await.len(), 1);
}

#[tokio::test]
async fn p2_a_client_msg_id_has_1_to_64_characters() {
    let app = TestApp::start().await;
    let (alice, _bob, room) = den(&app).await;
    let socket = alice.connect().await;
    for good in ["x", &"é".repeat(64), "9f1c-…", "'; DROP TABLE messages; --"] {
        let sent = socket.emit_ok("chat:message", &tagged(&room, good, "fine")).await;
        assert_eq!(sent["clientMsgId"], good);
    }

    for bad in ["", &"x".repeat(65), "a\u{0}b"] {
        let refused = socket.code_of("chat:message", &tagged(&room, bad, "bad")).await;
        assert_eq!(refused, "VALIDATION_ERROR", "{bad:?}");
    }
}

/// The id is no secret, but nobody can use another's: it counts only together with its author.
#[tokio::test]
async fn p2_somebody_elses_id_gives_a_message_of_ones_own() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let (a, b) = (alice.connect().await, bob.connect().await);
    let hers = a.emit_ok("chat:message", &tagged(&room, "m1", "hello")).await;

    let his = b.emit("chat:message", &tagged(&room, "m1", "hello")).await;

    assert!(!is_duplicate(&his) && his["data"]["id"] != hers["id"], "{his}");
    assert_eq!(his["data"]["senderId"], "bob");
}

/// Contract 4: `clientRoomId` does the same for a new room.
#[tokio::test]
async fn a_room_created_again_with_its_client_room_id_is_the_first_one() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = json!({ "name": "den", "clientRoomId": "r1" });

    let first = alice.post("/rooms", &room).await.expect(201);
    let again = alice.post("/rooms", &room).await.expect(200);
    let over_socket = alice.connect().await.emit_ok("chat:room:create", &room).await;
    let another = app.user("bob").await.post("/rooms", &room).await.expect(201);

    assert_eq!(again["id"], first["id"]);
    assert_eq!(over_socket["id"], first["id"]);
    assert_ne!(another["id"], first["id"]);
}
