//! Threads: contract section 4, "Threads are one level deep".

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestSocket, TestUser, ids,
    json::{int, text},
};

struct Den {
    app: TestApp,
    alice: TestUser,
    hers: TestSocket,
    his: TestSocket,
    room: String,
}

async fn den() -> Den {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (hers, his) = (alice.connect().await, bob.connect().await);
    Den { app, alice, hers, his, room }
}

impl Den {
    fn in_thread(&self, root: &Value, content: &str) -> Value {
        json!({ "roomId": self.room, "content": content, "threadRootId": root["id"] })
    }

    async fn reply(&self, socket: &TestSocket, root: &Value, content: &str) -> Value {
        socket.emit_ok("chat:message", &self.in_thread(root, content)).await
    }

    async fn read(&self, message: &Value) -> Value {
        self.alice.get(&format!("/messages/{}", text(&message["id"]))).await.expect(200)
    }

    async fn thread(&self, message: &Value, query: &str) -> Value {
        self.alice.get(&format!("/messages/{}/thread?{query}", text(&message["id"]))).await.expect(200)
    }
}

fn contents(page: &Value) -> Vec<&str> {
    page["messages"].as_array().unwrap().iter().map(|message| text(&message["content"])).collect()
}

#[tokio::test]
async fn the_root_of_a_thread_counts_its_replies() {
    let den = den().await;
    let root = den.hers.say(&den.room, "question").await;
    assert_eq!(den.read(&root).await.get("thread"), None);

    let first = den.reply(&den.his, &root, "one").await;
    let second = den.reply(&den.hers, &root, "two").await;
    let third = den.reply(&den.his, &first, "three: to a reply, and so in the same thread").await;

    assert_eq!(third["threadRootId"], root["id"]);
    let read = den.read(&root).await;
    assert_eq!(read["thread"], json!({ "replyCount": 3, "lastReplyAt": third["createdAt"], "participants": ["bob", "alice"] }));
    assert_eq!((&read["seq"], &read["rev"]), (&root["seq"], &third["seq"]), "the row has the number of its last change");
    assert_eq!(den.alice.history(&den.room).await, [read, first, second, third]);
    assert_eq!(den.his.expect_where("chat:message", |message| message["content"] == "two").await["threadRootId"], root["id"]);
}

/// Replies that are stored by one statement are counted together.
#[tokio::test]
async fn many_replies_at_once_are_all_counted() {
    let den = den().await;
    let (root, other) = (den.hers.say(&den.room, "question").await, den.hers.say(&den.room, "another").await);
    let mut sent = Vec::new();
    for number in 0..60 {
        sent.push((&den.hers, den.hers.post("chat:message", &den.in_thread(&root, &number.to_string()))));
        sent.push((&den.his, den.his.post("chat:message", &den.in_thread(if number % 2 == 0 { &other } else { &root }, &number.to_string()))));
    }
    let mut last = [0, 0];
    for (socket, id) in sent {
        let ack = socket.ack(id).await;
        assert_eq!(ack["ok"], true, "{ack}");
        let which = usize::from(ack["data"]["threadRootId"] == other["id"]);
        last[which] = last[which].max(int(&ack["data"]["seq"]));
    }

    for (root, count, last) in [(&root, 90, last[0]), (&other, 30, last[1])] {
        let read = den.read(root).await;
        assert_eq!((int(&read["thread"]["replyCount"]), int(&read["rev"])), (count, last));
    }
    assert_eq!(den.read(&other).await["thread"]["participants"], json!(["bob"]));
}

#[tokio::test]
async fn the_first_fifty_who_reply_are_its_participants() {
    let den = den().await;
    let root = den.hers.say(&den.room, "question").await;
    den.reply(&den.his, &root, "first").await;
    let others = "SELECT array_agg('u' || n ORDER BY n) FROM generate_series(1, 48) AS n";
    den.app
        .execute(&format!("UPDATE messages SET thread_participants = thread_participants || ({others}) WHERE thread_participants IS NOT NULL"))
        .await;

    den.reply(&den.hers, &root, "fiftieth").await;
    let eve = den.app.user("eve").await;
    den.alice.put(&format!("/rooms/{}/members/eve", den.room), &json!({})).await.expect(200);
    eve.post(&format!("/rooms/{}/messages", den.room), &den.in_thread(&root, "one more")).await.expect(201);

    let thread = den.read(&root).await["thread"].clone();
    let participants = thread["participants"].as_array().unwrap();
    assert_eq!((participants.len(), &participants[0], &participants[49], &thread["replyCount"]), (50, &json!("bob"), &json!("alice"), &json!(3)));
}

#[tokio::test]
async fn a_deleted_reply_is_counted_no_more_and_stays_as_a_stub() {
    let den = den().await;
    let root = den.hers.say(&den.room, "question").await;
    let (first, second) = (den.reply(&den.his, &root, "one").await, den.reply(&den.hers, &root, "two").await);

    let done = den.hers.emit_ok("chat:message:delete", &json!({ "messageId": second["id"] })).await;

    let read = den.read(&root).await;
    assert_eq!((&read["thread"]["replyCount"], &read["thread"]["lastReplyAt"]), (&json!(1), &first["createdAt"]));
    assert_eq!(read["rev"], done["seq"]);
    assert_eq!(contents(&den.thread(&root, "").await), ["one", ""]);

    den.his.emit_ok("chat:message:delete", &json!({ "messageId": first["id"] })).await;
    let read = den.read(&root).await;
    assert_eq!((&read["thread"]["replyCount"], &read["thread"]["lastReplyAt"]), (&json!(0), &Value::Null), "it had replies");
    let threads = den.alice.get(&format!("/rooms/{}/threads", den.room)).await.expect(200);
    assert_eq!(threads["items"], json!([]));
    den.reply(&den.his, &root, "three").await;
    assert_eq!(den.read(&root).await["thread"]["replyCount"], 1);
}

#[tokio::test]
async fn a_thread_is_read_page_by_page_from_its_root_or_a_reply() {
    let den = den().await;
    let (root, other) = (den.hers.say(&den.room, "question").await, den.hers.say(&den.room, "another").await);
    let mut replies = Vec::new();
    for number in 0..5 {
        replies.push(den.reply(&den.his, &root, &number.to_string()).await);
        den.reply(&den.his, &other, "elsewhere").await;
    }
    let seq = |number: usize| int(&replies[number]["seq"]);

    for (query, expected, older, newer) in [
        (String::new(), &["0", "1", "2", "3", "4"][..], false, false),
        ("limit=2".into(), &["3", "4"], true, false),
        (format!("limit=2&before={}", seq(3)), &["1", "2"], true, true),
        (format!("limit=3&before={}", seq(3)), &["0", "1", "2"], false, true),
        (format!("limit=2&after={}", seq(0)), &["1", "2"], true, true),
        ("limit=2&after=0".into(), &["0", "1"], false, true),
        (format!("limit=5&after={}", seq(3)), &["4"], true, false),
        (format!("limit=3&around={}", seq(2)), &["1", "2", "3"], true, true),
        (format!("after={}", seq(4)), &[], true, false),
        (format!("before={}", seq(0)), &[], false, true),
    ] {
        let page = den.thread(&root, &query).await;
        assert_eq!(contents(&page), expected, "{query}");
        assert_eq!((&page["page"]["hasOlder"], &page["page"]["hasNewer"]), (&json!(older), &json!(newer)), "{query}");
        assert_eq!(page["root"], den.read(&root).await);
    }
    assert_eq!(den.thread(&replies[2], "").await, den.thread(&root, "").await);
    let lone = den.thread(&den.hers.say(&den.room, "alone").await, "").await;
    assert_eq!((contents(&lone), &lone["page"]["hasOlder"]), (vec![], &json!(false)));
    let path = format!("/messages/{}/thread", text(&root["id"]));
    for bad in ["limit=0", "limit=101", "before=-1", "before=1&after=1", "after=x"] {
        assert_eq!(den.alice.get(&format!("{path}?{bad}")).await.refused(400), "VALIDATION_ERROR", "{bad}");
    }
    assert_eq!(den.app.user("eve").await.get(&path).await.refused(404), "MESSAGE_NOT_FOUND");
}

#[tokio::test]
async fn the_threads_of_a_room_are_listed_by_their_latest_reply() {
    let den = den().await;
    let mut roots = Vec::new();
    for number in 0..4 {
        roots.push(den.hers.say(&den.room, &number.to_string()).await);
    }
    for number in [2, 0, 1, 2] {
        den.reply(&den.his, &roots[number], "re").await;
    }
    let expected = [2, 1, 0].map(|number: usize| text(&roots[number]["id"]));
    let path = format!("/rooms/{}/threads", den.room);

    let all = den.alice.get(&path).await.expect(200);

    assert_eq!((ids(&all["items"]), &all["nextCursor"]), (expected.to_vec(), &Value::Null));
    assert_eq!(all["items"][0]["thread"]["replyCount"], 2);
    let first = den.alice.get(&format!("{path}?limit=2")).await.expect(200);
    let rest = den.alice.get(&format!("{path}?limit=2&cursor={}", text(&first["nextCursor"]))).await.expect(200);
    assert_eq!([ids(&first["items"]), ids(&rest["items"])].concat(), expected);
    assert_eq!(den.alice.get(&format!("{path}?cursor=x")).await.refused(400), "VALIDATION_ERROR");
    assert_eq!(den.app.user("eve").await.get(&path).await.refused(404), "ROOM_NOT_FOUND");
}
