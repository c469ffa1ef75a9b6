//! Pins: contract section 4.

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestSocket, TestUser, ids,
    json::{is_time, text},
};

/// Alice and Bob, connected, in a room of their own.
async fn den(app: &TestApp) -> (TestUser, TestSocket, TestSocket, String) {
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    (alice.clone(), alice.connect().await, bob.connect().await, room)
}

fn which(message: &Value) -> Value {
    json!({ "messageId": message["id"] })
}

#[tokio::test]
async fn a_pin_is_told_shown_and_taken_off_again() {
    let app = TestApp::start().await;
    let (alice, hers, his, room) = den(&app).await;
    let said = hers.say(&room, "rules").await;

    let done = his.emit_ok("chat:message:pin", &which(&said)).await;

    assert_eq!(done["changed"], true);
    let told = json!({ "messageId": said["id"], "roomId": room, "seq": done["seq"], "messageSeq": said["seq"], "by": "bob" });
    assert_eq!(hers.expect("chat:message:pinned").await, told);
    let pins = alice.get(&format!("/rooms/{room}/pins")).await.expect(200);
    let pinned = &pins["items"][0];
    assert_eq!((&pinned["id"], &pinned["pinnedBy"], &pinned["rev"]), (&said["id"], &json!("bob"), &done["seq"]));
    assert!(is_time(&pinned["pinnedAt"]), "{pins}");
    assert_eq!(alice.history(&room).await, std::slice::from_ref(pinned));

    let off = hers.emit_ok("chat:message:unpin", &which(&said)).await;

    let told = json!({ "messageId": said["id"], "roomId": room, "seq": off["seq"], "messageSeq": said["seq"], "by": "alice" });
    assert_eq!(his.expect("chat:message:unpinned").await, told);
    assert_eq!(alice.get(&format!("/rooms/{room}/pins")).await.expect(200)["items"], json!([]));
    let read = &alice.history(&room).await[0];
    assert!(read.get("pinnedAt").is_none() && read.get("pinnedBy").is_none() && read["rev"] == off["seq"], "{read}");
}

#[tokio::test]
async fn to_pin_twice_or_to_unpin_what_is_not_pinned_changes_nothing() {
    let app = TestApp::start().await;
    let (_, hers, his, room) = den(&app).await;
    let said = hers.say(&room, "rules").await;
    let nothing = json!({ "changed": false, "seq": null });

    assert_eq!(hers.emit_ok("chat:message:unpin", &which(&said)).await, nothing);
    hers.emit_ok("chat:message:pin", &which(&said)).await;
    his.expect("chat:message:pinned").await;
    assert_eq!(his.emit_ok("chat:message:pin", &which(&said)).await, nothing);

    his.expect_silence("chat:message:pinned").await;
    his.expect_silence("chat:message:unpinned").await;
}

#[tokio::test]
async fn pins_over_rest_are_the_same_and_the_last_is_listed_first() {
    let app = TestApp::start().await;
    let (alice, _, his, room) = den(&app).await;
    let mut said = Vec::new();
    for number in 0..3 {
        said.push(alice.say(&room, &number.to_string()).await);
    }
    for number in [1, 0, 2] {
        let path = format!("/messages/{}/pin", text(&said[number]["id"]));
        let done = alice.put(&path, &json!({})).await.expect(200);
        assert_eq!(his.expect("chat:message:pinned").await["seq"], done["seq"]);
    }
    let expected = [2, 0, 1].map(|number: usize| text(&said[number]["id"]));

    let all = alice.get(&format!("/rooms/{room}/pins")).await.expect(200);
    assert_eq!(ids(&all["items"]), expected);
    let first = alice.get(&format!("/rooms/{room}/pins?limit=2")).await.expect(200);
    let rest = alice.get(&format!("/rooms/{room}/pins?limit=2&cursor={}", text(&first["nextCursor"]))).await.expect(200);
    assert_eq!([ids(&first["items"]), ids(&rest["items"])].concat(), expected);

    let path = format!("/messages/{}/pin", text(&said[0]["id"]));
    assert_eq!(alice.delete(&path).await.expect(200)["changed"], true);
    assert_eq!(alice.delete(&path).await.expect(200)["changed"], false);
    assert_eq!(alice.get(&format!("/rooms/{room}/pins?cursor=x")).await.refused(400), "VALIDATION_ERROR");
    let eve = app.user("eve").await;
    assert_eq!(eve.get(&format!("/rooms/{room}/pins")).await.refused(404), "ROOM_NOT_FOUND");
}

#[tokio::test]
async fn a_room_has_at_most_a_hundred_pins() {
    let app = TestApp::start().await;
    let (alice, hers, _, room) = den(&app).await;
    let first = hers.say(&room, "first").await;
    for number in 0..99 {
        hers.emit_no_ack("chat:message", &json!({ "roomId": room, "content": number.to_string() }));
    }
    let last = hers.say(&room, "last").await;
    app.execute(&format!("UPDATE messages SET pinned_at = now(), pinned_by = 'alice' WHERE room_id = '{room}' AND content <> 'last'")).await;

    assert_eq!(hers.code_of("chat:message:pin", &which(&last)).await, "CONFLICT");

    hers.emit_ok("chat:message:unpin", &which(&first)).await;
    hers.emit_ok("chat:message:pin", &which(&last)).await;
    assert_eq!(alice.get(&format!("/rooms/{room}/pins?limit=100")).await.expect(200)["items"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn both_members_of_a_direct_room_may_pin() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.post("/rooms", &json!({ "type": "direct", "participants": ["bob"] })).await.expect(201);
    let said = alice.say(text(&room["id"]), "hi").await;

    assert!(bob.room(text(&room["id"])).await["can"].to_string().contains("pin"));
    bob.connect().await.emit_ok("chat:message:pin", &which(&said)).await;
}
