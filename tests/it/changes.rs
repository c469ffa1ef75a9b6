//! Edits and deletion: contract sections 4 and 7.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestSocket, TestUser,
    json::{assert_members, int, is_time, text, texts},
};

/// Alice, who owns the room, and Bob, connected, in a room of their own.
pub struct Den {
    pub app: TestApp,
    pub alice: TestUser,
    pub bob: TestUser,
    pub hers: TestSocket,
    pub his: TestSocket,
    pub room: String,
}

async fn den_with(settings: &[(&str, &str)]) -> Den {
    let app = TestApp::with(settings).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (hers, his) = (alice.connect().await, bob.connect().await);
    Den { app, alice, bob, hers, his, room }
}

pub async fn den() -> Den {
    den_with(&[]).await
}

fn edit(message: &Value, content: &str) -> Value {
    json!({ "messageId": message["id"], "content": content })
}

pub fn path(message: &Value) -> String {
    format!("/messages/{}", text(&message["id"]))
}

impl Den {
    pub async fn last_seq(&self) -> i64 {
        int(&self.alice.room(&self.room).await["lastSeq"])
    }

    /// What `bob` is in the room's list of members.
    pub async fn let_bob_be(&self, state: &str) {
        self.app.execute(&format!("UPDATE room_members SET {state} WHERE room_id = '{}' AND user_id = 'bob'", self.room)).await;
    }
}

#[tokio::test]
async fn an_edit_is_told_to_every_member_and_read_from_then_on() {
    let den = den().await;
    let said = den.hers.say(&den.room, "helo").await;

    let done = den.hers.emit_ok("chat:message:edit", &edit(&said, "hello")).await;

    assert_eq!((&done["id"], &done["changed"], &done["editCount"]), (&said["id"], &json!(true), &json!(1)));
    assert_eq!((int(&done["seq"]), &done["rev"]), (int(&said["seq"]) + 1, &done["seq"]));
    assert!(is_time(&done["editedAt"]), "{done}");
    let told = json!({
        "messageId": said["id"], "roomId": den.room, "seq": done["seq"], "messageSeq": said["seq"], "content": "hello",
        "mentions": [], "editedAt": done["editedAt"], "editCount": 1,
    });
    for socket in [&den.his, &den.hers] {
        assert_eq!(socket.expect("chat:message:edited").await, told);
    }
    let read = den.bob.get(&path(&said)).await.expect(200);
    assert_eq!((&read["content"], &read["seq"], &read["rev"]), (&json!("hello"), &said["seq"], &done["rev"]));
    assert_eq!((&read["editedAt"], &read["editCount"]), (&done["editedAt"], &json!(1)));
    assert_eq!(den.bob.history(&den.room).await, std::slice::from_ref(&read));
    assert_eq!(den.bob.room(&den.room).await["lastMessage"], read);
}

#[tokio::test]
async fn an_edit_over_rest_is_the_same_and_is_heard_on_sockets() {
    let den = den().await;
    let said = den.alice.say(&den.room, "helo").await;

    let done = den.alice.patch(&path(&said), &json!({ "content": "hello", "expectedRev": said["rev"] })).await.expect(200);

    let told = den.his.expect("chat:message:edited").await;
    assert_eq!((&told["seq"], &told["content"]), (&done["seq"], &json!("hello")));
    assert_members(&done, &["id", "changed", "seq", "rev", "editedAt", "editCount"]);
}

#[tokio::test]
async fn the_same_words_again_are_no_edit() {
    let den = den().await;
    let said = den.hers.say(&den.room, "helo").await;
    let first = den.hers.emit_ok("chat:message:edit", &edit(&said, "hello")).await;
    den.his.expect("chat:message:edited").await;

    // Also by somebody who did not hear the answer, and so still expects the first revision.
    let again = json!({ "messageId": said["id"], "content": "hello", "expectedRev": said["rev"] });
    let second = den.hers.emit_ok("chat:message:edit", &again).await;

    assert_eq!((&second["changed"], &second["seq"]), (&json!(false), &Value::Null));
    for member in ["id", "rev", "editedAt", "editCount"] {
        assert_eq!(second[member], first[member], "{member}");
    }
    den.his.expect_silence("chat:message:edited").await;
    assert_eq!(den.last_seq().await, int(&first["seq"]));
}

#[tokio::test]
async fn only_the_author_edits_whatever_the_role() {
    let den = den().await;
    let (hers, his) = (den.hers.say(&den.room, "hers").await, den.his.say(&den.room, "his").await);

    assert_eq!(den.his.code_of("chat:message:edit", &edit(&hers, "x")).await, "FORBIDDEN");
    assert_eq!(den.hers.code_of("chat:message:edit", &edit(&his, "x")).await, "FORBIDDEN");
    assert_eq!(den.alice.patch(&path(&his), &json!({ "content": "x" })).await.refused(403), "FORBIDDEN");

    assert_eq!(den.last_seq().await, int(&his["seq"]));
}

#[tokio::test]
async fn an_edit_of_another_revision_than_expected_is_a_conflict() {
    let den = den().await;
    let said = den.hers.say(&den.room, "one").await;
    let with_rev = |content: &str, rev: &Value| json!({ "messageId": said["id"], "content": content, "expectedRev": rev });
    let done = den.hers.emit_ok("chat:message:edit", &with_rev("two", &said["rev"])).await;

    assert_eq!(den.hers.code_of("chat:message:edit", &with_rev("three", &said["rev"])).await, "CONFLICT");
    assert_eq!(den.alice.get(&path(&said)).await.expect(200)["content"], "two");

    den.hers.emit_ok("chat:message:edit", &with_rev("three", &done["rev"])).await;
}

#[tokio::test]
async fn what_a_message_said_before_is_read_by_members_only() {
    let den = den().await;
    let bobs = json!({ "roomId": den.room, "content": "one", "mentions": ["bob"] });
    let said = den.hers.emit_ok("chat:message", &bobs).await;
    let first = den.hers.emit_ok("chat:message:edit", &edit(&said, "two")).await;
    let empty = json!({ "messageId": said["id"], "content": "three", "mentions": [] });
    den.hers.emit_ok("chat:message:edit", &empty).await;
    let edits = format!("{}/edits", path(&said));

    let all = den.bob.get(&edits).await.expect(200);

    assert_eq!(texts(&all["items"], "content"), ["one", "two"]);
    assert_eq!((&all["items"][0]["number"], &all["items"][1]["number"]), (&json!(1), &json!(2)));
    assert_eq!((&all["items"][0]["mentions"], &all["items"][1]["mentions"]), (&json!(["bob"]), &json!(["bob"])));
    assert_eq!((&all["items"][0]["saidAt"], &all["items"][1]["saidAt"]), (&said["createdAt"], &first["editedAt"]));
    assert_eq!((&all["items"][0]["replacedAt"], &all["items"][0]["replacedBy"]), (&first["editedAt"], &json!("alice")));
    let page = den.bob.get(&format!("{edits}?limit=1")).await.expect(200);
    let next = den.bob.get(&format!("{edits}?limit=1&cursor={}", text(&page["nextCursor"]))).await.expect(200);
    assert_eq!((texts(&page["items"], "content"), texts(&next["items"], "content")), (vec!["one"], vec!["two"]));
    assert_eq!(den.bob.get(&format!("{edits}?cursor=x")).await.refused(400), "VALIDATION_ERROR");
    let eve = den.app.user("eve").await;
    assert_eq!(eve.get(&edits).await.refused(404), "MESSAGE_NOT_FOUND");
}

#[tokio::test]
async fn mentions_are_kept_or_replaced_and_strangers_are_reported() {
    let den = den().await;
    let bobs = json!({ "roomId": den.room, "content": "one", "mentions": ["bob"] });
    let said = den.hers.emit_ok("chat:message", &bobs).await;

    den.hers.emit_ok("chat:message:edit", &edit(&said, "two")).await;
    assert_eq!(den.his.expect("chat:message:edited").await["mentions"], json!(["bob"]));

    let others = json!({ "messageId": said["id"], "content": "two", "mentions": ["alice", "ghost"] });
    let ack = den.hers.emit("chat:message:edit", &others).await;
    assert!(ack["warnings"].to_string().contains("ghost"), "{ack}");
    assert_eq!(den.his.expect("chat:message:edited").await["mentions"], json!(["alice"]));
    assert_eq!(den.bob.get(&path(&said)).await.expect(200)["mentions"], json!(["alice"]));
}

#[tokio::test]
async fn after_the_window_nothing_is_edited_any_more() {
    let den = den_with(&[("CHAT_EDIT_WINDOW", "10m")]).await;
    let said = den.hers.say(&den.room, "one").await;
    den.hers.emit_ok("chat:message:edit", &edit(&said, "two")).await;
    den.app.execute("UPDATE messages SET created_at = created_at - interval '11 minutes'").await;

    let refused = den.hers.emit_err("chat:message:edit", &edit(&said, "three")).await;

    assert_eq!((&refused["code"], &refused["status"]), (&json!("EDIT_WINDOW_CLOSED"), &json!(403)));
    den.hers.emit_ok("chat:message:delete", &json!({ "messageId": said["id"] })).await;
}

#[tokio::test]
async fn a_deleted_message_leaves_a_stub_and_nothing_of_its_text() {
    let den = den().await;
    let said = den
        .hers
        .emit_ok(
            "chat:message",
            &json!({ "roomId": den.room, "content": "secret one", "mentions": ["bob"], "attachments": [{ "secret": 1 }], "metadata": { "secret": 1 } }),
        )
        .await;
    den.hers.emit_ok("chat:message:edit", &edit(&said, "secret two")).await;
    den.his.emit_ok("chat:reaction:add", &json!({ "messageId": said["id"], "emoji": "👍" })).await;
    den.his.emit_ok("chat:message:pin", &json!({ "messageId": said["id"] })).await;

    let done = den.hers.emit_ok("chat:message:delete", &json!({ "messageId": said["id"], "reason": "typo" })).await;

    assert_eq!((&done["id"], &done["changed"]), (&said["id"], &json!(true)));
    let told = json!({
        "roomId": den.room, "seq": done["seq"], "messageIds": [said["id"]], "messageSeqs": [said["seq"]],
        "deletedBy": "author", "reason": "typo",
    });
    for socket in [&den.his, &den.hers] {
        assert_eq!(socket.expect("chat:message:deleted").await, told);
    }
    let stub = den.bob.get(&path(&said)).await.expect(200);
    assert_eq!((&stub["content"], &stub["rev"], &stub["deletedBy"]), (&json!(""), &done["seq"], &json!("author")));
    assert_eq!((&stub["mentions"], &stub["attachments"], &stub["reactions"]), (&json!([]), &json!([]), &json!({})));
    assert!(is_time(&stub["deletedAt"]) && stub.get("metadata").is_none() && stub.get("pinnedAt").is_none(), "{stub}");
    assert_eq!(den.bob.history(&den.room).await, [stub]);
    assert_eq!(den.bob.get(&format!("{}/edits", path(&said))).await.expect(200)["items"], json!([]));
    for table in ["messages", "message_edits", "reactions"] {
        let left = format!("SELECT count(*) FROM {table} AS one WHERE one::text LIKE '%secret%' OR one::text LIKE '%👍%'");
        assert_eq!(den.app.number(&left).await, 0, "{table}");
    }
}

#[tokio::test]
async fn to_delete_again_is_no_deletion() {
    let den = den().await;
    let said = den.hers.say(&den.room, "one").await;
    let which = json!({ "messageId": said["id"] });
    let first = den.hers.emit_ok("chat:message:delete", &which).await;
    den.his.expect("chat:message:deleted").await;

    let second = den.hers.emit_ok("chat:message:delete", &which).await;

    assert_eq!(second, json!({ "id": said["id"], "changed": false, "seq": null }));
    den.his.expect_silence("chat:message:deleted").await;
    assert_eq!(den.last_seq().await, int(&first["seq"]));
}

#[tokio::test]
async fn a_moderator_deletes_what_others_said_and_a_member_does_not() {
    let den = den().await;
    let said = den.hers.say(&den.room, "one").await;
    let which = json!({ "messageId": said["id"], "reason": "off topic" });
    assert_eq!(den.his.code_of("chat:message:delete", &which).await, "FORBIDDEN");
    den.alice.put(&format!("/rooms/{}/members/bob", den.room), &json!({ "role": "moderator" })).await.expect(200);

    den.his.emit_ok("chat:message:delete", &which).await;

    let told = den.hers.expect("chat:message:deleted").await;
    assert_eq!((&told["deletedBy"], &told["reason"]), (&json!("moderator"), &json!("off topic")));
    let stub = den.alice.get(&path(&said)).await.expect(200);
    assert_eq!((&stub["deletedBy"], &stub["deleteReason"]), (&json!("moderator"), &json!("off topic")));
}

#[tokio::test]
async fn what_may_be_done_is_among_what_one_can() {
    let den = den().await;
    assert!(den.bob.room(&den.room).await["can"].to_string().contains("\"pin\""));
    assert!(!den.bob.room(&den.room).await["can"].to_string().contains("\"moderate\""));
    assert!(den.alice.room(&den.room).await["can"].to_string().contains("\"moderate\""));
}

#[tokio::test]
async fn a_deletion_over_rest_may_give_a_reason_or_none() {
    let den = den().await;
    let (one, two) = (den.alice.say(&den.room, "one").await, den.alice.say(&den.room, "two").await);

    let done = den.alice.delete(&path(&one)).await.expect(200);
    den.alice.send_body(Method::DELETE, &path(&two), r#"{"reason":"late"}"#).await.expect(200);

    let told = den.his.expect("chat:message:deleted").await;
    assert_eq!((&told["seq"], &told["reason"]), (&done["seq"], &Value::Null));
    assert_eq!(den.his.expect("chat:message:deleted").await["reason"], "late");
    assert_eq!(den.alice.send_body(Method::DELETE, &path(&two), r#"{"reason":5}"#).await.refused(400), "VALIDATION_ERROR");
}

/// A repeat finds the first message whatever became of it.
#[tokio::test]
async fn a_repeat_of_what_was_edited_or_deleted_answers_the_first() {
    let den = den().await;
    let message = json!({ "roomId": den.room, "content": "one", "clientMsgId": "1" });
    let said = den.hers.emit_ok("chat:message", &message).await;
    den.hers.emit_ok("chat:message:edit", &edit(&said, "two")).await;

    let again = den.hers.emit_ok("chat:message", &message).await;
    assert_eq!((&again["id"], &again["duplicate"], &again["content"]), (&said["id"], &json!(true), &json!("two")));

    den.hers.emit_ok("chat:message:delete", &json!({ "messageId": said["id"] })).await;
    let again = den.hers.emit_ok("chat:message", &message).await;
    assert_eq!((&again["id"], &again["duplicate"], &again["content"]), (&said["id"], &json!(true), &json!("")));
    assert_eq!(den.alice.history(&den.room).await.len(), 1);
}

/// Everything that is told takes the room's next number, and a row has that of its last change.
#[tokio::test]
async fn p3_seq_is_dense_over_everything_that_becomes_of_a_message() {
    let den = den().await;
    let said = den.hers.say(&den.room, "one").await;
    let reply = json!({ "roomId": den.room, "content": "re", "threadRootId": said["id"] });
    let reply = den.his.emit_ok("chat:message", &reply).await;
    let mut seqs = vec![int(&said["seq"]), int(&reply["seq"])];
    for (event, payload) in [
        ("chat:message:edit", edit(&said, "two")),
        ("chat:reaction:add", json!({ "messageId": said["id"], "emoji": "👍" })),
        ("chat:reaction:remove", json!({ "messageId": said["id"], "emoji": "👍" })),
        ("chat:message:pin", json!({ "messageId": said["id"] })),
        ("chat:message:unpin", json!({ "messageId": said["id"] })),
    ] {
        let done = den.hers.emit_ok(event, &payload).await;
        seqs.push(int(&done["seq"]));
        assert_eq!(den.bob.get(&path(&said)).await.expect(200)["rev"], done["seq"], "{event}");
    }
    let done = den.his.emit_ok("chat:message:delete", &json!({ "messageId": reply["id"] })).await;
    seqs.push(int(&done["seq"]));
    // The stub, and the root that counts it no more.
    for message in [&said, &reply] {
        assert_eq!(den.bob.get(&path(message)).await.expect(200)["rev"], done["seq"]);
    }
    assert!(seqs.is_sorted_by(|a, b| a + 1 == *b), "{seqs:?}");
    assert_eq!(den.last_seq().await, *seqs.last().unwrap());
    den.his.settle().await;
    let heard: Vec<_> = den.his.everything().iter().filter(|event| event["roomId"] == den.room).map(|event| int(&event["seq"])).collect();
    assert!(heard.ends_with(&seqs), "{heard:?}");
}
