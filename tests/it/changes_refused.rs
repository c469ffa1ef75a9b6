//! Changes of messages that are refused: contract section 4, and "not there" and "not yours" are one answer.

use serde_json::{Value, json};

use super::changes::{den, path};
use crate::support::{TestApp, json::int};

#[tokio::test]
async fn what_was_deleted_is_neither_edited_nor_reacted_to_nor_pinned() {
    let den = den().await;
    let said = den.hers.say(&den.room, "one").await;
    den.hers.emit_ok("chat:message:delete", &json!({ "messageId": said["id"] })).await;

    for (event, payload) in every_act(&said) {
        if event != "chat:message:delete" {
            assert_eq!(den.hers.code_of(event, &payload).await, "MESSAGE_NOT_FOUND", "{event}");
        }
    }
}

/// Every event that changes a message.
fn every_act(message: &Value) -> [(&'static str, Value); 6] {
    let id = &message["id"];
    [
        ("chat:message:edit", json!({ "messageId": id, "content": "x" })),
        ("chat:message:delete", json!({ "messageId": id })),
        ("chat:reaction:add", json!({ "messageId": id, "emoji": "👍" })),
        ("chat:reaction:remove", json!({ "messageId": id, "emoji": "👍" })),
        ("chat:message:pin", json!({ "messageId": id })),
        ("chat:message:unpin", json!({ "messageId": id })),
    ]
}

#[tokio::test]
async fn guests_the_muted_former_members_and_strangers_change_nothing() {
    let den = den().await;
    let said = den.his.say(&den.room, "one").await;
    let eve = den.app.user("eve").await.connect().await;
    for (event, payload) in every_act(&said) {
        assert_eq!(eve.code_of(event, &payload).await, "MESSAGE_NOT_FOUND", "{event}");
    }
    for (state, code) in [
        ("role = 'guest'", "FORBIDDEN"),
        ("role = 'member', muted_until = now() + interval '1 hour'", "MUTED"),
        ("muted_until = NULL, state = 'left'", "MESSAGE_NOT_FOUND"),
        ("state = 'banned'", "MESSAGE_NOT_FOUND"),
    ] {
        den.let_bob_be(state).await;
        for (event, payload) in every_act(&said) {
            if (event, code) != ("chat:message:delete", "MUTED") {
                assert_eq!(den.his.code_of(event, &payload).await, code, "{event} when {state}");
            }
        }
    }
    assert_eq!(den.last_seq().await, int(&said["seq"]));
    // Whoever was muted may take back what they said.
    den.let_bob_be("state = 'joined', muted_until = now() + interval '1 hour'").await;
    den.his.emit_ok("chat:message:delete", &json!({ "messageId": said["id"] })).await;
    den.hers.expect("chat:message:deleted").await;
}

#[tokio::test]
async fn in_a_public_room_those_outside_are_told_why() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_public_room("square").await;
    let (said, his) = (alice.say(&room, "one").await, bob.connect().await);

    for (event, payload) in every_act(&said) {
        assert_eq!(his.code_of(event, &payload).await, "NOT_A_MEMBER", "{event}");
    }
    bob.join(&room).await;
    app.execute("UPDATE room_members SET state = 'banned' WHERE user_id = 'bob'").await;
    for (event, payload) in every_act(&said) {
        assert_eq!(his.code_of(event, &payload).await, "BANNED", "{event}");
    }
}

#[tokio::test]
async fn in_an_archived_room_nothing_is_changed() {
    let den = den().await;
    let said = den.hers.say(&den.room, "one").await;
    den.alice.patch(&format!("/rooms/{}", den.room), &json!({ "archived": true })).await.expect(200);

    for (event, payload) in every_act(&said) {
        assert_eq!(den.hers.code_of(event, &payload).await, "ROOM_ARCHIVED", "{event}");
    }
    assert_eq!(den.alice.get(&path(&said)).await.expect(200), said);
}

#[tokio::test]
async fn a_message_that_never_was_is_not_found_by_either_way() {
    let den = den().await;
    let never = json!({ "id": "01890a5d-ac96-774b-bcce-b302099a8057" });
    for (event, payload) in every_act(&never) {
        assert_eq!(den.hers.code_of(event, &payload).await, "MESSAGE_NOT_FOUND", "{event}");
    }
    for id in ["01890a5d-ac96-774b-bcce-b302099a8057", "x", "%00", "' OR 1=1"] {
        let path = format!("/messages/{id}");
        assert_eq!(den.alice.patch(&path, &json!({ "content": "x" })).await.refused(404), "MESSAGE_NOT_FOUND");
        assert_eq!(den.alice.delete(&path).await.refused(404), "MESSAGE_NOT_FOUND");
        assert_eq!(den.alice.put(&format!("{path}/reactions/x"), &json!({})).await.refused(404), "MESSAGE_NOT_FOUND");
        assert_eq!(den.alice.put(&format!("{path}/pin"), &json!({})).await.refused(404), "MESSAGE_NOT_FOUND");
        for list in ["edits", "reactions", "thread"] {
            assert_eq!(den.alice.get(&format!("{path}/{list}")).await.refused(404), "MESSAGE_NOT_FOUND", "{list}");
        }
    }
}
