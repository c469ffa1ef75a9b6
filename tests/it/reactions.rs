//! Reactions: contract section 4.

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestSocket, TestUser,
    json::{int, is_time, text, texts},
};

struct Den {
    app: TestApp,
    alice: TestUser,
    bob: TestUser,
    hers: TestSocket,
    his: TestSocket,
    room: String,
    said: Value,
}

/// Alice and Bob, connected, and something that Alice said.
async fn den() -> Den {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (hers, his) = (alice.connect().await, bob.connect().await);
    let said = hers.say(&room, "hello").await;
    his.expect("chat:message").await;
    Den { app, alice, bob, hers, his, room, said }
}

impl Den {
    fn with(&self, emoji: &str) -> Value {
        json!({ "messageId": self.said["id"], "emoji": emoji })
    }

    fn path(&self) -> String {
        format!("/messages/{}", text(&self.said["id"]))
    }

    async fn read(&self, asker: &TestUser) -> Value {
        asker.get(&self.path()).await.expect(200)
    }
}

/// An emoji as it stands in a path.
fn encoded(emoji: &str) -> String {
    emoji.bytes().fold(String::new(), |path, byte| format!("{path}%{byte:02X}"))
}

#[tokio::test]
async fn a_reaction_is_told_and_counted() {
    let den = den().await;

    let done = den.his.emit_ok("chat:reaction:add", &den.with("👍")).await;

    let counts = json!({ "👍": 1 });
    assert_eq!(done, json!({ "changed": true, "counts": counts, "seq": int(&den.said["seq"]) + 1 }));
    let told = json!({
        "messageId": den.said["id"], "roomId": den.room, "seq": done["seq"], "messageSeq": den.said["seq"], "emoji": "👍",
        "userId": "bob", "counts": counts,
    });
    for socket in [&den.hers, &den.his] {
        assert_eq!(socket.expect("chat:reaction:added").await, told);
    }
    let read = den.read(&den.alice).await;
    assert_eq!((&read["reactions"], &read["rev"]), (&counts, &done["seq"]));
    assert_eq!(den.alice.history(&den.room).await, [read]);
}

#[tokio::test]
async fn to_react_twice_is_one_reaction_and_to_take_it_back_twice_too() {
    let den = den().await;
    den.his.emit_ok("chat:reaction:add", &den.with("👍")).await;
    den.hers.emit_ok("chat:reaction:add", &den.with("👍")).await;

    let again = den.his.emit_ok("chat:reaction:add", &den.with("👍")).await;
    assert_eq!(again, json!({ "changed": false, "counts": { "👍": 2 }, "seq": null }));

    let gone = den.his.emit_ok("chat:reaction:remove", &den.with("👍")).await;
    assert_eq!((&gone["changed"], &gone["counts"]), (&json!(true), &json!({ "👍": 1 })));
    let again = den.his.emit_ok("chat:reaction:remove", &den.with("👍")).await;
    assert_eq!(again, json!({ "changed": false, "counts": { "👍": 1 }, "seq": null }));
    den.hers.emit_ok("chat:reaction:remove", &den.with("👍")).await;

    den.his.settle().await;
    assert_eq!((den.his.seen("chat:reaction:added").len(), den.his.seen("chat:reaction:removed").len()), (2, 2));
    assert_eq!(den.his.seen("chat:reaction:removed")[1]["counts"], json!({}));
    assert_eq!(den.read(&den.bob).await["reactions"], json!({}));
}

#[tokio::test]
async fn ones_own_reactions_are_shown_to_oneself_only() {
    let den = den().await;
    for emoji in ["👍", ":party:"] {
        den.his.emit_ok("chat:reaction:add", &den.with(emoji)).await;
    }
    den.hers.emit_ok("chat:reaction:add", &den.with("👍")).await;

    let (hers, his) = (den.read(&den.alice).await, den.read(&den.bob).await);

    assert_eq!((&hers["ownReactions"], &his["ownReactions"]), (&json!(["👍"]), &json!(["👍", ":party:"])));
    assert_eq!(hers["reactions"], json!({ "👍": 2, ":party:": 1 }));
    assert_eq!(den.bob.history(&den.room).await, [his]);
    let eve = den.app.user("eve").await;
    den.alice.put(&format!("/rooms/{}/members/eve", den.room), &json!({})).await.expect(200);
    assert_eq!(den.read(&eve).await.get("ownReactions"), None);
    assert_eq!(den.bob.room(&den.room).await["lastMessage"].get("ownReactions"), None, "what all see alike has nobody's own");
}

#[tokio::test]
async fn at_most_twenty_different_emoji_are_at_a_message() {
    let den = den().await;
    for number in 0..20 {
        den.hers.emit_ok("chat:reaction:add", &den.with(&format!(":e{number}:"))).await;
    }

    let refused = den.his.emit_err("chat:reaction:add", &den.with(":e20:")).await;

    assert_eq!((&refused["code"], refused["fields"]["emoji"][0]["code"].as_str()), (&json!("VALIDATION_ERROR"), Some("range")));
    let done = den.his.emit_ok("chat:reaction:add", &den.with(":e7:")).await;
    assert_eq!(done["counts"][":e7:"], 2);
    den.hers.emit_ok("chat:reaction:remove", &den.with(":e0:")).await;
    den.his.emit_ok("chat:reaction:add", &den.with(":e20:")).await;
}

#[tokio::test]
async fn what_is_no_emoji_is_refused() {
    let den = den().await;
    for emoji in ["", " ", "a b", "a\tb", "a\u{0}b", "\u{1b}", "\u{202e}x", &"x".repeat(65), &"👍".repeat(17)] {
        assert_eq!(den.hers.code_of("chat:reaction:add", &den.with(emoji)).await, "VALIDATION_ERROR", "{emoji:?}");
        if !emoji.is_empty() {
            let path = format!("{}/reactions/{}", den.path(), encoded(emoji));
            assert_eq!(den.alice.put(&path, &json!({})).await.refused(400), "VALIDATION_ERROR", "{emoji:?}");
        }
    }
    for emoji in ["👩‍👩‍👧‍👦", "❤️", ":party_parrot:", "+1", "a/b", "\"", "%"] {
        let path = format!("{}/reactions/{}", den.path(), encoded(emoji));
        assert_eq!(den.alice.put(&path, &json!({})).await.expect(200)["counts"][emoji], 1, "{emoji:?}");
    }
}

#[tokio::test]
async fn over_rest_it_is_the_same_reaction() {
    let den = den().await;
    let path = format!("{}/reactions/{}", den.path(), encoded("👍"));

    let done = den.bob.put(&path, &json!({})).await.expect(200);
    assert_eq!(den.hers.expect("chat:reaction:added").await["seq"], done["seq"]);
    assert_eq!(den.bob.put(&path, &json!({})).await.expect(200)["changed"], false);
    assert_eq!(den.his.emit_ok("chat:reaction:add", &den.with("👍")).await["changed"], false);

    let gone = den.bob.delete(&path).await.expect(200);
    assert_eq!(den.hers.expect("chat:reaction:removed").await["seq"], gone["seq"]);
    assert_eq!(gone["counts"], json!({}));
}

#[tokio::test]
async fn members_read_who_reacted_page_by_page() {
    let den = den().await;
    for (socket, emoji) in [(&den.his, ":b:"), (&den.hers, ":a:"), (&den.hers, ":b:")] {
        socket.emit_ok("chat:reaction:add", &den.with(emoji)).await;
    }
    let path = format!("{}/reactions", den.path());
    let who = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|one| format!("{} {}", text(&one["emoji"]), text(&one["user"]["id"]))).collect()
    };

    let all = den.bob.get(&path).await.expect(200);

    assert_eq!(who(&all), [":a: alice", ":b: alice", ":b: bob"]);
    assert!(is_time(&all["items"][0]["createdAt"]), "{all}");
    assert_eq!(who(&den.bob.get(&format!("{path}?emoji=:b:")).await.expect(200)), [":b: alice", ":b: bob"]);
    let mut cursor = String::new();
    let mut paged = Vec::new();
    for _ in 0..3 {
        let page = den.bob.get(&format!("{path}?limit=1{cursor}")).await.expect(200);
        paged.extend(who(&page));
        cursor = format!("&cursor={}", text(&page["nextCursor"]));
    }
    assert_eq!(paged, who(&all));
    assert_eq!(texts(&den.bob.get(&format!("{path}?limit=1{cursor}")).await.expect(200)["items"], "emoji"), Vec::<&str>::new());
    for bad in ["cursor=x", "limit=0", "emoji=a%20b", "emoji="] {
        assert_eq!(den.bob.get(&format!("{path}?{bad}")).await.refused(400), "VALIDATION_ERROR", "{bad}");
    }
    assert_eq!(den.app.user("eve").await.get(&path).await.refused(404), "MESSAGE_NOT_FOUND");
}
