//! What came while a client was away: `chat:sync` and `GET /rooms/{id}/changes`. Contract section 6. Members are in
//! [`super::sync_members`], what is too much for one answer in [`super::sync_limits`], what is refused in [`super::sync_refused`].

use serde_json::{Value, json};

use crate::support::{
    Den, TestSocket,
    json::{assert_members, int, is_time, text, texts},
    mirror::assert_changes,
};

/// Alice's room, which Bob knows up to `since`, and in which Alice and Bob had each said something by then.
pub struct Away {
    pub den: Den,
    pub hers: Value,
    pub his: Value,
    pub since: i64,
}

/// Asks for one room and gives its changes.
pub async fn changes(socket: &TestSocket, room: &str, since: i64) -> Value {
    let answer = socket.emit_ok("chat:sync", &json!({ "rooms": { room: since } })).await;
    assert_members(&answer, &["epoch", "rooms", "gone", "more"]);
    assert_eq!((&answer["gone"], &answer["more"]), (&json!([]), &json!([])), "{answer:.1000}");
    assert_eq!(answer["rooms"].as_array().unwrap().len(), 1);
    answer["rooms"][0].clone()
}

pub fn id(message: &Value) -> Value {
    json!({ "messageId": message["id"] })
}

impl Away {
    pub async fn from(den: Den) -> Self {
        let (hers, his) = (den.owner.say(&den.room, "hers").await, den.member.say(&den.room, "his").await);
        let since = den.last_seq().await;
        Self { den, hers, his, since }
    }

    pub async fn start() -> Self {
        Self::from(Den::start().await).await
    }

    /// What Bob missed: all of it, under the numbers from `since` up to the last.
    pub async fn missed(&self) -> Value {
        let missed = changes(&self.den.member, &self.den.room, self.since).await;
        assert_changes(&missed, self.since, None);
        assert_eq!((&missed["limited"], missed.get("reset"), missed.get("hasMore")), (&json!(false), None, None), "{missed:.1000}");
        assert_eq!(int(&missed["toSeq"]), self.den.last_seq().await);
        missed
    }

    /// The same, where only messages were touched: exactly these, each as Bob reads it now.
    pub async fn missed_messages(&self, touched: &[&Value]) -> Vec<Value> {
        let missed = self.missed().await;
        assert_eq!(missed["members"], json!([]));
        let messages = missed["messages"].as_array().unwrap();
        let mut expected = Vec::new();
        for message in touched {
            expected.push(self.den.bob.get(&format!("/messages/{}", text(&message["id"]))).await.expect(200));
        }
        assert_eq!(*messages, expected);
        messages.clone()
    }

    /// The same, where only memberships were touched: of exactly these users.
    pub async fn missed_members(&self, touched: &[&str]) -> Vec<Value> {
        let missed = self.missed().await;
        assert_eq!(missed["messages"], json!([]));
        assert_eq!(texts(&missed["members"], "userId"), touched);
        missed["members"].as_array().unwrap().clone()
    }

    pub async fn by_alice(&self, event: &str, payload: &Value) -> Value {
        self.den.owner.emit_ok(event, payload).await
    }
}

// ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn nothing_new_is_an_answer_without_items() {
    let away = Away::start().await;

    let missed = away.missed().await;

    assert_eq!((int(&missed["fromSeq"]), int(&missed["toSeq"])), (away.since, away.since));
    assert_eq!((&missed["messages"], &missed["members"]), (&json!([]), &json!([])));
    assert_eq!(missed["room"], away.den.bob.room(&away.den.room).await);
}

#[tokio::test]
async fn a_new_message_comes_as_it_is_read() {
    let away = Away::start().await;

    let said =
        away.by_alice("chat:message", &json!({ "roomId": away.den.room, "content": "new", "mentions": ["bob"], "metadata": { "a": 1 } })).await;

    let messages = away.missed_messages(&[&said]).await;
    assert_eq!((&messages[0]["content"], int(&messages[0]["seq"])), (&json!("new"), away.since + 1));
}

#[tokio::test]
async fn an_edit_comes_with_the_message_as_it_is_now_and_once_however_often() {
    let away = Away::start().await;
    for content in ["one", "two"] {
        away.by_alice("chat:message:edit", &json!({ "messageId": away.hers["id"], "content": content })).await;
    }

    let messages = away.missed_messages(&[&away.hers]).await;

    assert_eq!((&messages[0]["content"], &messages[0]["editCount"], int(&messages[0]["rev"])), (&json!("two"), &json!(2), away.since + 2));
}

#[tokio::test]
async fn a_deletion_comes_as_a_stub_also_of_what_was_never_seen() {
    let away = Away::start().await;
    let brief = away.by_alice("chat:message", &json!({ "roomId": away.den.room, "content": "brief" })).await;
    away.by_alice("chat:message:delete", &json!({ "messageId": away.his["id"], "reason": "rude" })).await;
    away.by_alice("chat:message:delete", &id(&brief)).await;

    let messages = away.missed_messages(&[&away.his, &brief]).await;

    assert!(messages.iter().all(|stub| stub["content"] == "" && is_time(&stub["deletedAt"])), "{messages:?}");
    assert_eq!((&messages[0]["deletedBy"], &messages[0]["deleteReason"]), (&json!("moderator"), &json!("rude")));
}

#[tokio::test]
async fn reactions_come_with_ones_own_and_so_does_that_they_were_taken_back() {
    let away = Away::start().await;
    let yes = json!({ "messageId": away.hers["id"], "emoji": "👍" });
    away.by_alice("chat:reaction:add", &yes).await;
    away.den.member.emit_ok("chat:reaction:add", &yes).await;
    away.den.watcher.emit_ok("chat:reaction:add", &json!({ "messageId": away.hers["id"], "emoji": "👎" })).await;

    let messages = away.missed_messages(&[&away.hers]).await;

    assert_eq!((&messages[0]["reactions"], &messages[0]["ownReactions"]), (&json!({ "👍": 2, "👎": 1 }), &json!(["👍"])));
    let carols = changes(&away.den.watcher, &away.den.room, away.since).await;
    assert_eq!(carols["messages"][0]["ownReactions"], json!(["👎"]));
    away.den.member.emit_ok("chat:reaction:remove", &yes).await;
    let messages = away.missed_messages(&[&away.hers]).await;
    assert_eq!((&messages[0]["reactions"], messages[0].get("ownReactions")), (&json!({ "👍": 1, "👎": 1 }), None));
}

#[tokio::test]
async fn a_pin_comes_and_so_does_that_it_was_taken_off() {
    let away = Away::start().await;
    away.by_alice("chat:message:pin", &id(&away.his)).await;
    let messages = away.missed_messages(&[&away.his]).await;
    assert_eq!((is_time(&messages[0]["pinnedAt"]), &messages[0]["pinnedBy"]), (true, &json!("alice")));

    away.by_alice("chat:message:unpin", &id(&away.his)).await;

    let messages = away.missed_messages(&[&away.his]).await;
    assert_eq!((messages[0].get("pinnedAt"), int(&messages[0]["rev"])), (None, away.since + 2));
}

/// A reply changes two messages under one number, and so does its deletion.
#[tokio::test]
async fn a_reply_brings_the_root_of_its_thread_and_so_does_its_deletion() {
    let away = Away::start().await;
    let reply = json!({ "roomId": away.den.room, "content": "re", "threadRootId": away.his["id"] });
    let reply = away.by_alice("chat:message", &reply).await;

    let by_seq = |missed: &Value| {
        let mut messages = missed["messages"].as_array().unwrap().clone();
        messages.sort_by_key(|message| int(&message["seq"]));
        messages
    };
    let missed = by_seq(&away.missed().await);
    assert_eq!(missed, away.den.bob.history(&away.den.room).await[1..]);
    assert_eq!((&missed[0]["thread"]["replyCount"], &missed[0]["rev"]), (&json!(1), &reply["seq"]));

    away.by_alice("chat:message:delete", &id(&reply)).await;

    let missed = by_seq(&away.missed().await);
    assert_eq!(missed, away.den.bob.history(&away.den.room).await[1..]);
    assert_eq!((&missed[0]["thread"]["replyCount"], &missed[0]["rev"], &missed[1]["content"]), (&json!(0), &json!(away.since + 2), &json!("")));
}

#[tokio::test]
async fn what_changed_comes_in_the_order_of_the_last_changes() {
    let away = Away::start().await;
    let new = away.by_alice("chat:message", &json!({ "roomId": away.den.room, "content": "new" })).await;
    away.by_alice("chat:message:pin", &id(&away.his)).await;
    away.by_alice("chat:message:pin", &id(&new)).await;
    away.by_alice("chat:message:pin", &id(&away.hers)).await;

    away.missed_messages(&[&away.his, &new, &away.hers]).await;
}

// ── the question ─────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn several_rooms_are_answered_at_once_and_no_others() {
    let away = Away::start().await;
    let (alice, bob) = (&away.den.alice, &away.den.bob);
    let other = alice.create_room_with("other", &[bob]).await;
    alice.post("/rooms", &json!({ "name": "square", "type": "public", "slug": "square" })).await.expect(201);
    bob.join("square").await;
    let unasked = alice.create_room_with("unasked", &[bob]).await;
    for room in [&away.den.room, &other, "square", &unasked] {
        alice.say(room, room).await;
    }

    let rooms = json!({ (away.den.room.as_str()): away.since, (other.as_str()): 0, "square": 0, "general": 0 });
    let answer = away.den.member.emit_ok("chat:sync", &json!({ "rooms": rooms })).await;

    assert_eq!((&answer["gone"], &answer["more"]), (&json!([]), &json!([])));
    let mut found = Vec::new();
    for changes in answer["rooms"].as_array().unwrap() {
        let id = text(&changes["roomId"]);
        let since = if id == away.den.room { away.since } else { 0 };
        assert_changes(changes, since, None);
        assert_eq!(changes["room"], bob.room(id).await);
        assert_eq!(changes["messages"], json!(bob.history(id).await.iter().filter(|one| int(&one["seq"]) > since).collect::<Vec<_>>()));
        found.push(changes["room"]["slug"].as_str().unwrap_or(id).to_owned());
    }
    found.sort_unstable();
    let mut expected = [away.den.room.as_str(), &other, "square", "general"];
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_epoch_is_that_of_session_ready() {
    let away = Away::start().await;
    let ask = json!({ "rooms": { (away.den.room.as_str()): 0 } });

    let answer = away.den.member.emit_ok("chat:sync", &ask).await;

    assert!(crate::support::has_uuid(&answer["epoch"]), "{answer}");
    assert_eq!(answer["epoch"], away.den.member.ready["epoch"]);
}

#[tokio::test]
async fn fields_that_are_not_known_are_named_in_a_warning() {
    let away = Away::start().await;

    let ack = away.den.member.emit("chat:sync", &json!({ "rooms": { (away.den.room.as_str()): 0 }, "sinceWhen": 5 })).await;

    assert!(ack["ok"] == true && ack["warnings"].to_string().contains("sinceWhen"), "{ack}");
}

/// Nothing is kept in memory for it, and nothing expires.
#[tokio::test]
async fn what_was_missed_is_there_after_a_restart_and_for_guests_and_the_muted() {
    let mut away = Away::start().await;
    let new = away.by_alice("chat:message", &json!({ "roomId": away.den.room, "content": "new" })).await;
    away.by_alice("chat:room:mute", &away.den.upon("bob", json!({ "durationMs": 600_000 }))).await;
    away.by_alice("chat:room:role", &away.den.upon("bob", json!({ "role": "guest" }))).await;
    let before = away.missed().await;

    away.den.app.restart();

    let bob = away.den.bob.at(away.den.app.base()).connect().await;
    let after = changes(&bob, &away.den.room, away.since).await;
    assert_eq!((&after, &after["messages"][0]["id"]), (&before, &new["id"]));
    assert_eq!(texts(&after["members"], "userId"), ["bob"]);
}

/// Who is in a room sees all of it, also what happened while they were not.
#[tokio::test]
async fn who_was_out_for_a_while_gets_that_while_too() {
    let away = Away::from(Den::of_kind("public", &[]).await).await;
    away.den.bob.leave(&away.den.room).await;
    let said = away.by_alice("chat:message", &json!({ "roomId": away.den.room, "content": "without bob" })).await;
    away.by_alice("chat:message:pin", &id(&away.his)).await;

    away.den.bob.join(&away.den.room).await;

    let missed = away.missed().await;
    assert_eq!(texts(&missed["messages"], "id"), [text(&said["id"]), text(&away.his["id"])]);
    assert_eq!((texts(&missed["members"], "userId"), int(&missed["members"][0]["seq"])), (vec!["bob"], away.since + 4));
}

#[tokio::test]
async fn rest_answers_the_same() {
    let away = Away::start().await;
    away.by_alice("chat:message", &json!({ "roomId": away.den.room, "content": "new" })).await;
    away.by_alice("chat:room:kick", &away.den.upon("carol", json!({}))).await;
    away.den.member.emit_ok("chat:reaction:add", &json!({ "messageId": away.hers["id"], "emoji": "👍" })).await;
    let path = format!("/rooms/{}/changes", away.den.room);

    for (since, limit) in [(away.since, 1_000), (0, 2), (0, 1), (away.since + 3, 1), (99, 2)] {
        let ask = json!({ "rooms": { (away.den.room.as_str()): since }, "limit": limit });
        let over_socket = away.den.member.emit_ok("chat:sync", &ask).await;
        let over_rest = away.den.bob.get(&format!("{path}?since={since}&limit={limit}")).await.expect(200);
        assert_eq!(over_rest, over_socket["rooms"][0], "since {since}, limit {limit}");
    }
    assert_eq!(away.den.bob.get(&format!("{path}?since={}", away.since)).await.expect(200), away.missed().await);
}
