//! No small request makes a huge answer: messages as large as can be, as an attacker would leave them everywhere, end pages earlier, and
//! leave nobody's `session.ready` larger than what may wait for a socket. P7.

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestUser,
    json::{int, text, texts},
};

/// What one page may hold: a mebibyte of messages, and what is around them.
const PAGE: usize = 1_100_000;
const LARGE: usize = 60_000;
const COUNT: i64 = 24;

fn large(number: i64) -> Value {
    json!({ "content": format!("needle {number}"), "metadata": { "junk": "x".repeat(LARGE) } })
}

/// A room of Alice's in which so many large messages were said, each of them pinned and in the thread of the first.
async fn heavy_room(app: &TestApp) -> (TestUser, String, String) {
    let alice = app.user("alice").await;
    let room = alice.create_room("heavy").await;
    let first = text(&alice.say(&room, "first").await["id"]).to_owned();
    for number in 0..COUNT {
        let mut message = large(number);
        message["threadRootId"] = json!(first);
        let said = alice.post(&format!("/rooms/{room}/messages"), &message).await.expect(201);
        alice.put(&format!("/messages/{}/pin", text(&said["id"])), &json!({})).await.expect(200);
    }
    (alice, room, first)
}

/// Reads a list by its cursors, none of its pages being too large, and gives what it says of each item.
async fn all_pages(asker: &TestUser, path: &str, about: impl Fn(&Value) -> i64) -> Vec<i64> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = asker.get(&format!("{path}limit=100{cursor}")).await;
        assert!(page.text.len() < PAGE, "{path}: {} bytes", page.text.len());
        let page = page.expect(200);
        found.extend(page["items"].as_array().unwrap().iter().map(&about));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

#[tokio::test]
async fn pages_of_large_messages_end_earlier_and_leave_nothing_out() {
    let app = TestApp::start().await;
    let (alice, room, first) = heavy_room(&app).await;
    let seqs: Vec<i64> = alice.history(&room).await.iter().map(|message| int(&message["seq"])).collect();
    assert_eq!(seqs.len(), usize::try_from(COUNT).unwrap() + 1, "reading on after a number brings all of them");
    let last = seqs[seqs.len() - 1];

    for list in [format!("/rooms/{room}/messages"), format!("/messages/{first}/thread")] {
        let newest = alice.get(&format!("{list}?limit=100")).await;
        assert!(newest.text.len() < PAGE, "{list}: {} bytes", newest.text.len());
        let (newest, middle) = (newest.expect(200), seqs[seqs.len() / 2]);
        assert_eq!((&newest["page"]["newestSeq"], &newest["page"]["hasOlder"]), (&json!(last), &json!(true)), "{list}");
        let older = alice.get(&format!("{list}?limit=100&before={}", newest["page"]["oldestSeq"])).await.expect(200);
        assert_eq!((&older["page"]["hasOlder"], &older["page"]["hasNewer"]), (&json!(false), &json!(true)), "{list}");
        let both = texts(&older["messages"], "id").len() + texts(&newest["messages"], "id").len();
        assert!(both >= seqs.len() - 1 && both <= seqs.len(), "{list}: {both}");
        let oldest = alice.get(&format!("{list}?limit=100&after=0")).await;
        assert!(oldest.text.len() < PAGE, "{list}: {} bytes", oldest.text.len());
        assert_eq!(oldest.expect(200)["page"]["hasNewer"], true, "{list}");
        let around = alice.get(&format!("{list}?limit=100&around={middle}")).await;
        assert!(around.text.len() < PAGE, "{list}: {} bytes", around.text.len());
        let around = around.expect(200);
        assert!(around["messages"].as_array().unwrap().iter().any(|message| message["seq"] == middle), "{list}: what was asked for is there");
        assert_eq!((&around["page"]["hasOlder"], &around["page"]["hasNewer"]), (&json!(true), &json!(true)), "{list}");
    }

    let newest_first: Vec<i64> = seqs[1..].iter().rev().copied().collect();
    let seq = |message: &Value| int(&message["seq"]);
    assert_eq!(all_pages(&alice, &format!("/rooms/{room}/pins?"), seq).await, newest_first);
    assert_eq!(all_pages(&alice, &format!("/search?q=needle&roomId={room}&"), |found| int(&found["message"]["seq"])).await, newest_first);
}

#[tokio::test]
async fn threads_with_large_roots_are_listed_page_by_page() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_room("heavy").await;
    let mut roots = Vec::new();
    for number in 0..COUNT {
        let said = alice.post(&format!("/rooms/{room}/messages"), &large(number)).await.expect(201);
        alice.post(&format!("/rooms/{room}/messages"), &json!({ "content": "reply", "threadRootId": said["id"] })).await.expect(201);
        roots.insert(0, int(&said["seq"]));
    }

    assert_eq!(all_pages(&alice, &format!("/rooms/{room}/threads?"), |root| int(&root["seq"])).await, roots);
}

/// Anybody may put a user into rooms: what was said last there must not make the user one who reads too slowly.
#[tokio::test]
async fn what_others_leave_in_rooms_makes_no_session_ready_too_large() {
    let app = TestApp::start().await;
    let (eve, bob) = (app.user("eve").await, app.user("bob").await);
    for number in 0..COUNT {
        let room = eve.create_room_with(&format!("trap {number}"), &[&bob]).await;
        eve.post(&format!("/rooms/{room}/messages"), &large(number)).await.expect(201);
    }

    let socket = bob.connect().await;
    let listed = bob.get("/rooms?limit=100").await.expect(200);

    for rooms in [&socket.ready["rooms"], &listed["items"]] {
        assert_eq!(texts(rooms, "id").len(), usize::try_from(COUNT).unwrap() + 1, "all rooms are there");
        let previews: Vec<bool> = rooms.as_array().unwrap().iter().map(|room| room["lastMessage"].is_object()).collect();
        assert!(previews[0] && rooms.to_string().len() < 600_000, "{previews:?}, {} bytes", rooms.to_string().len());
        assert!(rooms.as_array().unwrap().iter().all(|room| room["unread"] == i64::from(room["slug"] != "general")), "what is unread is told");
    }
}

#[tokio::test]
async fn a_room_of_large_messages_can_be_entered() {
    let app = TestApp::start().await;
    let (_, room, _) = heavy_room(&app).await;
    let socket = app.user("alice").await.connect().await;

    for payload in [json!(room), json!({ "roomId": room, "since": 1 })] {
        let joined = socket.emit_ok("chat:room:join", &payload).await;

        let messages = joined["messages"].as_array().unwrap();
        assert!(joined.to_string().len() < PAGE / 2 && !messages.is_empty(), "{} bytes", joined.to_string().len());
        let newest = &messages[messages.len() - 1]["content"];
        assert_eq!((newest, &joined["hasOlder"]), (&json!(format!("needle {}", COUNT - 1)), &json!(true)));
    }
}
