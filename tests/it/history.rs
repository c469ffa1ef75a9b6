//! Reading back: pages of history by `seq`, contract section 7.

use serde_json::{Value, json};

use crate::support::{TestApp, TestUser, json::int};

/// A room with messages "1" to "30", and who wrote them.
async fn chronicle(app: &TestApp) -> (TestUser, String) {
    let alice = app.user("alice").await;
    let room = alice.create_room("chronicle").await;
    for number in 1..=30 {
        alice.say(&room, &number.to_string()).await;
    }
    (alice, room)
}

async fn page(user: &TestUser, room: &str, query: &str) -> Value {
    user.get(&format!("/rooms/{room}/messages?{query}")).await.expect(200)
}

fn contents(page: &Value) -> Vec<i64> {
    let messages = page["messages"].as_array().unwrap();
    messages.iter().map(|message| message["content"].as_str().unwrap().parse().unwrap()).collect()
}

fn bounds(page: &Value) -> (bool, bool) {
    (page["page"]["hasOlder"].as_bool().unwrap(), page["page"]["hasNewer"].as_bool().unwrap())
}

/// The `seq` of the message with this content.
async fn seq_of(user: &TestUser, room: &str, content: i64) -> i64 {
    let (history, content) = (user.history(room).await, content.to_string());
    int(&history.iter().find(|message| message["content"] == content.as_str()).unwrap()["seq"])
}

#[tokio::test]
async fn without_an_anchor_the_newest_messages_come_in_ascending_order() {
    let app = TestApp::start().await;
    let (alice, room) = chronicle(&app).await;

    let newest = page(&alice, &room, "limit=10").await;

    assert_eq!(contents(&newest), (21..=30).collect::<Vec<_>>());
    assert_eq!(bounds(&newest), (true, false));
    let messages = newest["messages"].as_array().unwrap();
    assert_eq!(newest["page"]["oldestSeq"], messages[0]["seq"]);
    assert_eq!(newest["page"]["newestSeq"], messages[9]["seq"]);
}

#[tokio::test]
async fn before_walks_back_to_the_beginning_without_gap_or_overlap() {
    let app = TestApp::start().await;
    let (alice, room) = chronicle(&app).await;
    let mut all = Vec::new();
    let mut query = "limit=7".to_owned();
    loop {
        let older = page(&alice, &room, &query).await;
        all.splice(0..0, contents(&older));
        if !bounds(&older).0 {
            break;
        }
        query = format!("limit=7&before={}", older["page"]["oldestSeq"]);
    }
    assert_eq!(all, (1..=30).collect::<Vec<_>>());
}

#[tokio::test]
async fn after_walks_forward_to_the_end_without_gap_or_overlap() {
    let app = TestApp::start().await;
    let (alice, room) = chronicle(&app).await;
    let mut all = Vec::new();
    let mut after = 0;
    loop {
        let newer = page(&alice, &room, &format!("limit=7&after={after}")).await;
        all.extend(contents(&newer));
        if !bounds(&newer).1 {
            break;
        }
        after = int(&newer["page"]["newestSeq"]);
    }
    assert_eq!(all, (1..=30).collect::<Vec<_>>());
}

#[tokio::test]
async fn around_shows_both_sides() {
    let app = TestApp::start().await;
    let (alice, room) = chronicle(&app).await;
    let middle = seq_of(&alice, &room, 15).await;

    let around = page(&alice, &room, &format!("around={middle}&limit=5")).await;

    let shown = contents(&around);
    assert!(shown.len() <= 5 && shown.contains(&15) && shown[0] < 15 && shown[shown.len() - 1] > 15, "{shown:?}");
    assert_eq!(bounds(&around), (true, true));
}

#[tokio::test]
async fn at_a_time_the_messages_from_there_are_shown() {
    let app = TestApp::start().await;
    let (alice, room) = chronicle(&app).await;
    let history = alice.history(&room).await;
    let time = history[19]["createdAt"].as_str().unwrap();

    let at = page(&alice, &room, &format!("at={time}&limit=10")).await;

    assert!(contents(&at).contains(&20), "{:?}", contents(&at));
}

#[tokio::test]
async fn first_unread_begins_where_the_reader_has_not_been() {
    let app = TestApp::start().await;
    let (alice, room) = chronicle(&app).await;
    app.user("bob").await;
    alice.put(&format!("/rooms/{room}/members/bob"), &json!({})).await.expect(200);
    alice.say(&room, "31").await;

    let unread = page(&app.user("bob").await, &room, "first_unread&limit=5").await;

    assert!(!contents(&unread).is_empty(), "{unread}");
}

#[tokio::test]
async fn an_empty_room_has_an_empty_page() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_room("empty").await;

    for query in ["", "before=1", "after=0", "around=1", "limit=1"] {
        let empty = page(&alice, &room, query).await;
        assert_eq!((contents(&empty), bounds(&empty)), (vec![], (false, false)), "{query}");
    }
}

#[tokio::test]
async fn a_page_has_1_to_100_messages() {
    let app = TestApp::start().await;
    let (alice, room) = chronicle(&app).await;
    assert_eq!(contents(&page(&alice, &room, "limit=1").await), [30]);
    assert_eq!(contents(&page(&alice, &room, "limit=100").await).len(), 30);

    for limit in ["0", "-1", "101", "1000000000", "9223372036854775808", "ten", "", "1.5", "1e2", "%00"] {
        let reply = alice.get(&format!("/rooms/{room}/messages?limit={limit}")).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{limit}");
    }
}

#[tokio::test]
async fn the_anchors_exclude_each_other() {
    let app = TestApp::start().await;
    let (alice, room) = chronicle(&app).await;
    let time = "at=2026-01-01T00:00:00Z";
    for query in ["before=5&after=2", "around=5&before=9", &format!("after=1&{time}"), "first_unread&before=3"] {
        let reply = alice.get(&format!("/rooms/{room}/messages?{query}")).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{query}");
    }
}

#[tokio::test]
async fn bad_anchors_are_400_and_never_an_empty_page() {
    let app = TestApp::start().await;
    let (alice, room) = chronicle(&app).await;
    for query in ["before=x", "before=-1", "after=-1", "before=1.5", "around=", "before=9223372036854775808"] {
        let reply = alice.get(&format!("/rooms/{room}/messages?{query}")).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{query}");
    }
    for query in ["at=yesterday", "at=", "at=2026-13-01T00:00:00Z", "before=%00", "after=1%27--"] {
        let reply = alice.get(&format!("/rooms/{room}/messages?{query}")).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{query}");
    }
}

#[tokio::test]
async fn history_beyond_either_end_is_empty_and_says_where_there_is_more() {
    let app = TestApp::start().await;
    let (alice, room) = chronicle(&app).await;

    let beyond = page(&alice, &room, "after=1000000").await;
    let before_all = page(&alice, &room, "before=1").await;

    assert_eq!((contents(&beyond), contents(&before_all)), (vec![], vec![]));
    assert_eq!((bounds(&beyond).1, bounds(&before_all).0), (false, false));
}

/// Contract 7: a bad cursor is 400, never an empty page.
#[tokio::test]
async fn bad_cursors_of_lists_are_400() {
    let app = TestApp::start().await;
    let (alice, room) = chronicle(&app).await;
    let members = format!("/rooms/{room}/members");
    for path in ["/rooms?scope=mine", "/rooms?scope=public", "/auth/sessions?", "/users?q=a", &format!("{members}?")] {
        for cursor in ["x", "%00", "-1", "!!!!", "%27", "eyJhIjoxfQ", &"A".repeat(2000)] {
            let reply = alice.get(&format!("{path}&cursor={cursor}")).await;
            assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{path} {cursor}");
        }
        for limit in ["0", "-1", "101", "1000000000", "x"] {
            let reply = alice.get(&format!("{path}&limit={limit}")).await;
            assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{path} {limit}");
        }
    }
}

/// A cursor of one list is no cursor of another.
#[tokio::test]
async fn foreign_cursors_are_400_or_harmless() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    for name in ["one", "two", "three"] {
        alice.create_room(name).await;
    }
    let rooms = alice.get("/rooms?scope=mine&limit=1").await.expect(200);
    let cursor = rooms["nextCursor"].as_str().unwrap();

    for path in ["/auth/sessions", "/users"] {
        let reply = alice.get(&format!("{path}?q=a&cursor={cursor}")).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{path}");
    }
}

#[tokio::test]
async fn scope_is_one_of_two() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;

    assert_eq!(alice.get("/rooms?scope=all").await.refused(400), "VALIDATION_ERROR");

    alice.get("/rooms").await.expect(200);
}

#[tokio::test]
async fn a_public_rooms_history_is_for_whom_the_contract_says() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let square = alice.create_public_room("square").await;
    alice.say(&square, "hello").await;

    let reply = app.user("bob").await.get(&format!("/rooms/{square}/messages")).await;

    let as_reader = reply.status == 200 && reply.body["messages"][0]["content"] == "hello";
    assert!(as_reader || (reply.status == 403 && reply.body["code"] == "NOT_A_MEMBER"), "{}", reply.text);
}
