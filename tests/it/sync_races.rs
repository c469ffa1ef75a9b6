//! Sync while others write: promise P6, "no row ever appears later below a cursor".

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    Dice, TestApp, TestSocket, TestUser,
    json::{int, text},
    mirror::assert_changes,
};

/// How many write, and how often each.
const WRITERS: usize = 8;
const WRITES: usize = 60;
/// How many answers are looked at, at least: as long as there are fewer, others go on writing, up to ten times as long.
const ANSWERS: usize = 20;

/// Says, edits and deletes, one after the other, until there are enough answers; gives the number of each change.
async fn write(user: TestUser, room: String, seed: u64, enough: Arc<AtomicBool>) -> Vec<i64> {
    let (socket, mut dice) = (user.connect().await, Dice::new(seed));
    let (mut said, mut numbers): (Vec<Value>, Vec<i64>) = (Vec::new(), Vec::new());
    for nth in (0..10 * WRITES).take_while(|nth| *nth < WRITES || !enough.load(Ordering::Relaxed)) {
        let content = format!("{} {nth}", user.id);
        let (event, payload) = match (said.len(), dice.below(5)) {
            (0, _) | (_, 0 | 1) => ("chat:message", json!({ "roomId": room, "content": content })),
            (_, 2 | 3) => ("chat:message:edit", json!({ "messageId": dice.pick(&said), "content": content })),
            (count, _) => ("chat:message:delete", json!({ "messageId": said.swap_remove(dice.below(count)) })),
        };
        let done = socket.emit_ok(event, &payload).await;
        if event == "chat:message" {
            said.push(done["id"].clone());
        }
        numbers.push(int(&done["seq"]));
    }
    numbers
}

/// The changes since a number, over the socket or, every other time, over REST.
async fn poll(user: &TestUser, socket: &TestSocket, room: &str, since: i64, nth: usize) -> Value {
    if nth.is_multiple_of(2) {
        return user.get(&format!("/rooms/{room}/changes?since={since}")).await.expect(200);
    }
    socket.emit_ok("chat:sync", &json!({ "rooms": { room: since } })).await["rooms"][0].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_no_change_ever_appears_below_a_number_that_a_poller_was_given() {
    let app = TestApp::with(&[("RUST_LOG", "warn")]).await;
    let (alice, mut writers) = (app.user("alice").await, Vec::new());
    for number in 0..WRITERS {
        writers.push(app.user(&format!("writer{number}")).await);
    }
    let room = alice.create_room_with("den", &writers.iter().collect::<Vec<_>>()).await;
    let socket = alice.connect().await;
    let (mut writing, enough) = (JoinSet::new(), Arc::<AtomicBool>::default());
    for (seed, writer) in (0..).zip(writers) {
        writing.spawn(write(writer, room.clone(), seed, enough.clone()));
    }

    let (mut cursor, mut known, mut answers, mut written) = (0, BTreeMap::new(), 0, Vec::new());
    for nth in 0.. {
        let is_last = writing.is_empty();
        let changes = poll(&alice, &socket, &room, cursor, nth).await;
        // The bounds are checked there: everything has a number above the one that was known, and up to the new one.
        assert_changes(&changes, cursor, None);
        assert_eq!(changes["limited"], false);
        cursor = int(&changes["toSeq"]);
        answers += usize::from(changes["messages"] != json!([]));
        enough.store(answers >= ANSWERS, Ordering::Relaxed);
        for message in changes["messages"].as_array().unwrap() {
            known.insert(text(&message["id"]).to_owned(), message.clone());
        }
        while let Some(done) = writing.try_join_next() {
            written.extend(done.unwrap());
        }
        if is_last {
            break;
        }
    }

    written.sort_unstable();
    assert!(answers >= ANSWERS, "only {answers} answers had something new");
    assert_eq!(written, (1..=cursor).collect::<Vec<_>>(), "every change has a number of its own");
    let mut known: Vec<Value> = known.into_values().collect();
    known.sort_by_key(|message| int(&message["seq"]));
    assert_eq!(known, alice.history(&room).await, "who applied every answer has everything");
}

/// Whoever was told of a change finds it by sync, at once.
#[tokio::test]
async fn what_was_acknowledged_or_heard_is_in_the_next_answer() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (hers, his) = (alice.connect().await, bob.connect().await);
    for number in 1..=30 {
        let content = json!(number.to_string());
        let sent = hers.post("chat:message", &json!({ "roomId": room, "content": content }));
        let socket = if number % 2 == 0 {
            his.expect_where("chat:message", |message| message["content"] == content).await;
            &his
        } else {
            assert_eq!(hers.ack(sent).await["ok"], true);
            &hers
        };
        let answer = socket.emit_ok("chat:sync", &json!({ "rooms": { (room.as_str()): number - 1 } })).await;
        assert_eq!(answer["rooms"][0]["messages"][0]["content"], content);
    }
}

/// One answer is of one moment, also while the room changes under it: what it says of the room is what it says in items.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_an_answer_is_of_one_moment() {
    let app = TestApp::with(&[("RUST_LOG", "warn")]).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (writer, joiner) = (bob.connect().await, app.user("carol").await);
    let said = writer.say(&room, "0").await;
    let enough = Arc::<AtomicBool>::default();
    let is_enough = enough.clone();
    let writing = tokio::spawn(async move {
        for number in (1..=3_000).take_while(|number| *number <= 300 || !is_enough.load(Ordering::Relaxed)) {
            writer.emit_ok("chat:message:edit", &json!({ "messageId": said["id"], "content": number.to_string() })).await;
        }
    });
    let (owner, den) = (alice.clone(), room.clone());
    let moving = tokio::spawn(async move {
        while !writing.is_finished() {
            owner.put(&format!("/rooms/{den}/members/{}", joiner.id), &json!({})).await.expect(200);
            owner.delete(&format!("/rooms/{den}/members/{}", joiner.id)).await.expect(204);
        }
        writing.await.unwrap();
    });
    let socket = alice.connect().await;

    let mut moments = 0;
    while !moving.is_finished() {
        let changes = socket.emit_ok("chat:sync", &json!({ "rooms": { (room.as_str()): 0 } })).await["rooms"][0].take();
        assert_changes(&changes, 0, None);
        let shown = &changes["room"];
        assert_eq!(shown["lastMessage"], changes["messages"][0], "the last message, in the room and as an item");
        let carol = changes["members"].as_array().unwrap().first();
        let is_in = carol.is_some_and(|carol| carol["state"] == "joined");
        assert_eq!(shown["memberCount"], 2 + i32::from(is_in), "{changes:.2000}");
        moments += 1;
        enough.store(moments >= ANSWERS, Ordering::Relaxed);
    }
    moving.await.unwrap();
    assert!(moments >= ANSWERS, "only {moments} answers");
}
