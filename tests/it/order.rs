//! One order for all: promise P3, contract section 1, "One dense number per room", and section 4, "Order".

use serde_json::{Value, json};

use crate::support::{TestApp, TestSocket, TestUser, json::int};

fn seqs(events: &[Value]) -> Vec<i64> {
    events.iter().map(|event| int(&event["seq"])).collect()
}

fn contents(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| event["content"].as_str().unwrap().to_owned()).collect()
}

async fn den(app: &TestApp, names: &[&str]) -> (Vec<TestUser>, String) {
    let mut users = Vec::new();
    for name in names {
        users.push(app.user(name).await);
    }
    let others: Vec<_> = users[1..].iter().collect();
    let room = users[0].create_room_with("den", &others).await;
    (users, room)
}

fn burst(socket: &TestSocket, room: &str, sender: &str, count: usize) -> Vec<u64> {
    let message = |number| json!({ "roomId": room, "content": format!("{sender} {number}") });
    (0..count).map(|number| socket.post("chat:message", &message(number))).collect()
}

/// Issue 2: a burst of 500 messages from one socket arrives in order at every member.
#[tokio::test]
async fn p3_a_burst_of_500_arrives_in_order_at_every_member() {
    let app = TestApp::start().await;
    let (users, room) = den(&app, &["alice", "bob", "carol"]).await;
    let (alice, bob) = (users[0].connect().await, users[1].connect().await);
    let carol = users[2].dial().polling().open_ready().await;

    let sent = burst(&alice, &room, "alice", 500);

    let expected: Vec<_> = (0..500).map(|number| format!("alice {number}")).collect();
    for socket in [&alice, &bob, &carol] {
        let heard = socket.expect_count("chat:message", 500).await;
        assert_eq!(contents(&heard), expected);
        let seqs = seqs(&heard);
        assert!(seqs.is_sorted_by(|a, b| a + 1 == *b), "not dense: {seqs:?}");
    }
    for id in sent {
        assert_eq!(alice.ack(id).await["ok"], true);
        assert_eq!(alice.ack_count(id), 1);
    }
    assert_eq!(contents(&users[1].history(&room).await), expected);
}

/// Issue 2: two sockets sending to one room see one and the same order.
#[tokio::test]
async fn p3_two_senders_at_once_see_one_order_and_it_is_that_of_history() {
    let app = TestApp::start().await;
    let (users, room) = den(&app, &["alice", "bob", "carol"]).await;
    let mut sockets = Vec::new();
    for user in &users {
        sockets.push(user.connect().await);
    }

    burst(&sockets[0], &room, "alice", 200);
    burst(&sockets[1], &room, "bob", 200);

    let first = sockets[0].expect_count("chat:message", 400).await;
    for socket in &sockets[1..] {
        assert_eq!(contents(&socket.expect_count("chat:message", 400).await), contents(&first));
    }
    assert_eq!(contents(&users[2].history(&room).await), contents(&first));
    for sender in ["alice", "bob"] {
        let own: Vec<_> = contents(&first).into_iter().filter(|text| text.starts_with(sender)).collect();
        assert_eq!(own, (0..200).map(|number| format!("{sender} {number}")).collect::<Vec<_>>());
    }
}

/// The numbers of messages, joins and leaves are one sequence without holes or repeats.
#[tokio::test]
async fn p3_seq_is_dense_over_messages_joins_leaves_and_renamings() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_public_room("square").await;
    let watcher = alice.connect().await;
    let before = int(&alice.room(&room).await["lastSeq"]);
    for name in ["a", "b", "c", "d", "e"] {
        let user = app.user(name).await;
        let socket = user.connect().await;
        socket.emit_ok("chat:room:join", &json!(room)).await;
        socket.say(&room, "one").await;
        user.say(&room, "two").await;
        alice.patch(&format!("/rooms/{room}"), &json!({ "name": format!("square {name}") })).await.expect(200);
        socket.emit_ok("chat:room:leave", &json!(room)).await;
    }
    watcher.settle().await;

    let mut numbers = Vec::new();
    for event in ["chat:message", "chat:room:joined", "chat:room:left", "chat:room:updated"] {
        numbers.extend(seqs(&watcher.seen(event)));
    }

    let in_order = numbers.clone();
    numbers.sort_unstable();
    assert_eq!(numbers, (before + 1..=before + 25).collect::<Vec<_>>(), "{in_order:?}");
    assert_eq!(int(&alice.room(&room).await["lastSeq"]), before + 25);
}

/// Events of one room reach a socket in the order of their numbers, whatever they are.
#[tokio::test]
async fn p3_events_of_a_room_arrive_in_the_order_of_their_numbers() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_public_room("square").await;
    let (watcher, talker) = (alice.connect().await, alice.connect().await);
    let mut others = Vec::new();
    for number in 0..8 {
        others.push(app.user(&format!("u{number}")).await.connect().await);
    }

    burst(&talker, &room, "alice", 50);
    let joins: Vec<_> = others.iter().map(|socket| socket.post("chat:room:join", &json!(room))).collect();
    burst(&talker, &room, "alice", 50);
    for (socket, id) in others.iter().zip(joins) {
        socket.ack(id).await;
    }
    watcher.expect_count("chat:message", 100).await;
    watcher.expect_count("chat:room:joined", 8).await;

    let numbered: Vec<_> = watcher.everything().iter().filter(|event| event["roomId"] == room.as_str()).map(|event| int(&event["seq"])).collect();
    assert!(numbered.is_sorted_by(|a, b| a + 1 == *b), "{numbered:?}");
}

/// Contract 4: two events of one socket for one room keep their order, of whatever kind they are.
#[tokio::test]
async fn p3_join_message_and_leave_sent_at_once_take_effect_in_their_order() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_public_room("square").await;
    let (watcher, bob) = (alice.connect().await, app.user("bob").await.connect().await);

    let ids = [
        bob.post("chat:message", &json!({ "roomId": room, "content": "too early" })),
        bob.post("chat:room:join", &json!(room)),
        bob.post("chat:message", &json!({ "roomId": room, "content": "in time" })),
        bob.post("chat:room:leave", &json!(room)),
        bob.post("chat:message", &json!({ "roomId": room, "content": "too late" })),
    ];

    let mut answers = Vec::new();
    for id in ids {
        answers.push(bob.ack(id).await["ok"] == true);
    }
    assert_eq!(answers, [false, true, true, true, false]);
    watcher.expect("chat:room:left").await;
    assert_eq!(contents(&watcher.seen("chat:message")), ["in time"]);
}

/// Events sent as soon as CONNECT is answered, before `session.ready`, are neither lost nor overtaken.
#[tokio::test]
async fn p3_events_sent_right_after_connecting_are_all_served_in_order() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let watcher = alice.connect().await;
    for round in 0..10 {
        let eager = alice.dial().open().await.unwrap();
        let sent = burst(&eager, "general", &format!("round {round}"), 20);
        for id in sent {
            assert_eq!(eager.ack(id).await["ok"], true);
        }
    }
    let heard = contents(&watcher.expect_count("chat:message", 200).await);
    let expected: Vec<_> = (0..10).flat_map(|round| (0..20).map(move |number| format!("round {round} {number}"))).collect();
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn p3_the_numbers_go_on_after_a_restart() {
    let mut app = TestApp::start().await;
    let alice = app.user("alice").await;
    let last = int(&alice.connect().await.say("general", "before").await["seq"]);

    app.restart();

    let alice = alice.at(app.base());
    assert_eq!(int(&alice.connect().await.say("general", "after").await["seq"]), last + 1);
}
