//! Changes of messages that meet: each is done as a whole or not at all, and everybody hears of it in one order.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    SLACK, TestApp, TestSocket, TestUser, cluster, eventually_within, ires_chat,
    json::{int, text},
};

/// So many people in one room, all connected.
struct Crowd {
    people: Vec<TestUser>,
    sockets: Vec<TestSocket>,
    room: String,
}

async fn crowd(app: &TestApp, count: usize) -> Crowd {
    let mut people = Vec::new();
    for number in 0..count {
        people.push(app.user(&format!("one{number}")).await);
    }
    let others: Vec<_> = people[1..].iter().collect();
    let room = people[0].create_room_with("den", &others).await;
    let mut sockets = Vec::new();
    for person in &people {
        sockets.push(person.connect().await);
    }
    Crowd { people, sockets, room }
}

impl Crowd {
    async fn read(&self, message: &Value) -> Value {
        self.people[0].get(&format!("/messages/{}", text(&message["id"]))).await.expect(200)
    }

    /// Fails unless everything that a socket heard of the room has the next number.
    async fn was_heard_without_holes(&self, socket: &TestSocket) {
        socket.settle().await;
        let events = socket.everything();
        let seqs: Vec<_> = events.iter().filter(|event| event["roomId"] == self.room.as_str()).filter_map(|event| event["seq"].as_i64()).collect();
        assert!(seqs.is_sorted_by(|a, b| a + 1 == *b), "{seqs:?}");
        assert_eq!(seqs.last().copied(), Some(int(&self.people[0].room(&self.room).await["lastSeq"])));
    }
}

/// Counts of replies, reactions and edits agree with the rows that they count.
fn assert_healthy(app: &TestApp) {
    let doctor = ires_chat(&["doctor"], &[("DATABASE_URL", app.database.url())]);
    assert_eq!(doctor.code, Some(0), "{}{}", doctor.stdout, doctor.stderr);
}

#[tokio::test]
async fn of_two_edits_of_one_revision_one_is_a_conflict() {
    let app = TestApp::start().await;
    let crowd = crowd(&app, 2).await;
    let (first, second) = (&crowd.sockets[0], crowd.people[0].connect().await);
    let said = first.say(&crowd.room, "0").await;
    let mut rev = said["rev"].clone();
    for round in 1..=10 {
        let edit = |content: String| json!({ "messageId": said["id"], "content": content, "expectedRev": rev });
        let (one, other) =
            (first.post("chat:message:edit", &edit(format!("a{round}"))), second.post("chat:message:edit", &edit(format!("b{round}"))));

        let (one, other) = (first.ack(one).await, second.ack(other).await);

        let (won, lost) = if one["ok"] == true { (one, other) } else { (other, one) };
        assert_eq!((&won["ok"], &lost["error"]["code"]), (&json!(true), &json!("CONFLICT")), "{won} {lost}");
        rev = won["data"]["rev"].clone();
        let told = crowd.sockets[1].expect("chat:message:edited").await;
        assert_eq!((&told["seq"], &told["editCount"]), (&rev, &json!(round)));
    }
    crowd.was_heard_without_holes(&crowd.sockets[1]).await;
    assert_healthy(&app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_who_react_at_once_are_counted_as_fifty() {
    let app = TestApp::start().await;
    let crowd = crowd(&app, 50).await;
    let said = crowd.sockets[0].say(&crowd.room, "vote").await;
    let vote = json!({ "messageId": said["id"], "emoji": "👍" });

    // Everybody twice, as after a lost answer.
    let sent: Vec<_> =
        crowd.sockets.iter().map(|socket| [socket.post("chat:reaction:add", &vote), socket.post("chat:reaction:add", &vote)]).collect();

    let mut seqs = HashSet::new();
    for (socket, [one, again]) in crowd.sockets.iter().zip(sent) {
        let (one, again) = (socket.ack(one).await, socket.ack(again).await);
        assert_eq!((&one["data"]["changed"], &again["data"]["changed"]), (&json!(true), &json!(false)), "{one} {again}");
        seqs.insert(int(&one["data"]["seq"]));
    }
    let first = int(&said["seq"]) + 1;
    assert_eq!(seqs, (first..first + 50).collect());
    let told = crowd.sockets[7].expect_count("chat:reaction:added", 50).await;
    let counts: Vec<_> = told.iter().map(|told| int(&told["counts"]["👍"])).collect();
    assert_eq!(counts, (1..=50).collect::<Vec<_>>(), "in the order of the numbers");
    assert_eq!(crowd.read(&said).await["reactions"], json!({ "👍": 50 }));
    crowd.was_heard_without_holes(&crowd.sockets[7]).await;
    assert_healthy(&app);
}

#[tokio::test]
async fn a_reaction_that_meets_the_deletion_leaves_nothing_behind() {
    let app = TestApp::start().await;
    let crowd = crowd(&app, 3).await;
    for _ in 0..10 {
        let said = crowd.sockets[0].say(&crowd.room, "gone").await;
        let reaction = json!({ "messageId": said["id"], "emoji": "👍" });
        let reacted = crowd.sockets[1].post("chat:reaction:add", &reaction);
        let deleted = crowd.sockets[0].post("chat:message:delete", &json!({ "messageId": said["id"] }));

        let (reacted, deleted) = (crowd.sockets[1].ack(reacted).await, crowd.sockets[0].ack(deleted).await);

        assert_eq!(deleted["ok"], true, "{deleted}");
        if reacted["ok"] == true {
            assert!(int(&reacted["data"]["seq"]) < int(&deleted["data"]["seq"]));
        } else {
            assert_eq!(reacted["error"]["code"], "MESSAGE_NOT_FOUND");
        }
        let stub = crowd.read(&said).await;
        assert_eq!((&stub["reactions"], &stub["content"]), (&json!({}), &json!("")));
    }
    assert_eq!(app.number("SELECT count(*) FROM reactions").await, 0);
    crowd.was_heard_without_holes(&crowd.sockets[2]).await;
    assert_healthy(&app);
}

/// The journal writes the roots of threads too: between edits, reactions and deletions, and they all agree in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_meet_changes_of_their_root_are_all_counted() {
    let app = TestApp::start().await;
    let crowd = crowd(&app, 4).await;
    let said = crowd.sockets[0].say(&crowd.room, "root").await;
    let reply = |who: usize, number: i32| json!({ "roomId": crowd.room, "content": format!("{who} {number}"), "threadRootId": said["id"] });
    let mut sent = Vec::new();
    for number in 0..30 {
        for who in [1, 2] {
            sent.push((who, crowd.sockets[who].post("chat:message", &reply(who, number))));
        }
        let edit = json!({ "messageId": said["id"], "content": format!("root {number}") });
        sent.push((0, crowd.sockets[0].post("chat:message:edit", &edit)));
        let reaction = json!({ "messageId": said["id"], "emoji": format!(":e{}:", number % 5) });
        sent.push((2, crowd.sockets[2].post(if number % 2 == 0 { "chat:reaction:add" } else { "chat:reaction:remove" }, &reaction)));
    }
    for (who, id) in sent {
        let ack = crowd.sockets[who].ack(id).await;
        assert_eq!(ack["ok"], true, "{ack}");
        if ack["data"]["threadRootId"].is_string() && int(&ack["data"]["seq"]) % 3 == 0 {
            crowd.sockets[who].post("chat:message:delete", &json!({ "messageId": ack["data"]["id"] }));
        }
    }
    for socket in &crowd.sockets {
        socket.settle().await;
    }

    let root = crowd.read(&said).await;
    let living = format!("SELECT count(*) FROM messages WHERE thread_root_id = '{}' AND deleted_at IS NULL", text(&said["id"]));
    assert_eq!(int(&root["thread"]["replyCount"]), app.number(&living).await);
    assert_eq!((&root["content"], &root["editCount"]), (&json!("root 29"), &json!(30)));
    crowd.was_heard_without_holes(&crowd.sockets[3]).await;
    assert_healthy(&app);
}

/// P1, P9: each gets its one answer, what was acknowledged is there, and nothing is there by half.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_changes_while_postgres_is_killed_are_answered_and_done_whole_or_not_at_all() {
    let postgres = cluster::exclusive();
    let app = TestApp::on_cluster(&postgres, &[]).await;
    let crowd = crowd(&app, 3).await;
    let (author, other) = (&crowd.sockets[0], &crowd.sockets[1]);
    let mut messages = Vec::new();
    for number in 0..3 {
        messages.push(author.say(&crowd.room, &number.to_string()).await);
    }
    for (round, said) in messages.iter().enumerate() {
        let mut sent = Vec::new();
        for number in 0..40 {
            let edit = json!({ "messageId": said["id"], "content": format!("{round} {number}") });
            sent.push((author, author.post("chat:message:edit", &edit)));
            let reaction = json!({ "messageId": said["id"], "emoji": format!(":e{}:", number / 2) });
            sent.push((other, other.post(if number % 2 == 0 { "chat:reaction:add" } else { "chat:reaction:remove" }, &reaction)));
        }
        author.ack(sent[10].1).await;
        postgres.kill();
        postgres.start_again();

        let mut acked = Value::Null;
        for (socket, id) in &sent {
            // They are answered one after the other, and each may wait for the database as long as it has patience.
            let ack = socket.ack_if_any(*id, Duration::from_mins(1)).await.expect("an answer");
            assert!(ack["ok"] == true || ack["error"]["code"] == "UNAVAILABLE", "{ack}");
            if ack["ok"] == true && ack["data"]["editCount"].is_i64() {
                acked = ack["data"].clone();
            }
            assert_eq!(socket.ack_count(*id), 1);
        }
        let works = async || author.emit("chat:message:edit", &json!({ "messageId": said["id"], "content": "after" })).await["ok"] == true;
        eventually_within(Duration::from_secs(5) + SLACK, "an acknowledged edit", works).await;
        let read = crowd.read(said).await;
        assert!(int(&read["rev"]) > int(&acked["rev"]) && int(&read["editCount"]) > int(&acked["editCount"]), "{acked} is lost in {read}");
    }
    // What was heard is stored: the last that was heard of each message is not beyond its row.
    crowd.sockets[2].settle().await;
    for told in crowd.sockets[2].seen("chat:message:edited") {
        let said = messages.iter().find(|said| said["id"] == told["messageId"]).unwrap();
        assert!(int(&crowd.read(said).await["rev"]) >= int(&told["seq"]));
    }
    assert_healthy(&app);
}
