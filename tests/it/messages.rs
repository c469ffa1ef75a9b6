//! `chat:message`, both ways: the seed's Event Reference, "Send/receive chat messages", and contract section 4.

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestSocket, code, has_uuid,
    json::{assert_members, int, is_time},
};

/// Alice and Bob, connected, in a room of their own.
async fn den(app: &TestApp) -> (TestSocket, TestSocket, String) {
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    (alice.connect().await, bob.connect().await, room)
}

/// Seed, Chat Events: `chat:message`.
#[tokio::test]
async fn chat_message_reaches_every_member_and_the_sender_as_one_and_the_same() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;

    let acked = alice.say(&room, "Hello, world!").await;

    assert_eq!(bob.expect("chat:message").await, acked);
    assert_eq!(alice.expect("chat:message").await, acked);
}

#[tokio::test]
async fn a_message_has_every_member_of_the_contract() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    alice.say(&room, "Hello, world!").await;

    let message = bob.expect("chat:message").await;

    assert_members(&message, &["id", "roomId", "seq", "rev", "sender", "content", "type", "replyTo"]);
    assert_members(&message, &["threadRootId", "mentions", "attachments", "reactions", "createdAt"]);
    assert_members(&message, &["editedAt", "deletedAt", "senderId", "timestamp"]);
    assert_members(&message["sender"], &["id", "name", "avatarUrl", "userType"]);
    assert_eq!((&message["senderId"], &message["sender"]["id"]), (&json!("alice"), &json!("alice")));
    assert_eq!((&message["roomId"], &message["type"]), (&json!(room), &json!("text")));
    assert_eq!((&message["rev"], &message["timestamp"]), (&message["seq"], &message["createdAt"]));
    assert!(has_uuid(&message["id"]) && is_time(&message["createdAt"]), "{message}");
    assert_eq!((&message["mentions"], &message["attachments"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn all_devices_of_all_members_hear_a_message_once() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let second = app.user("bob").await.connect().await;
    let own = app.user("alice").await.connect().await;

    let message = alice.say(&room, "to all").await;

    for socket in [&alice, &bob, &second, &own] {
        assert_eq!(socket.expect("chat:message").await["id"], message["id"]);
        socket.expect_silence("chat:message").await;
    }
}

#[tokio::test]
async fn who_is_no_member_hears_nothing() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let eve = app.user("eve").await.connect().await;

    alice.say(&room, "between us").await;

    bob.expect("chat:message").await;
    eve.expect_silence("chat:message").await;
}

/// Contract 4: without `roomId` a message goes to the default room, stored and numbered like any other.
#[tokio::test]
async fn a_message_without_a_room_goes_to_the_default_room() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await.connect().await);

    let message = alice.connect().await.emit_ok("chat:message", &json!({ "content": "hi all" })).await;

    assert_eq!(bob.expect("chat:message").await, message);
    let general = alice.room("general").await;
    assert_eq!((&message["roomId"], &message["seq"]), (&general["id"], &general["lastSeq"]));
    assert_eq!(alice.history("general").await.last(), Some(&message));
}

#[tokio::test]
async fn the_default_room_can_have_another_name() {
    let app = TestApp::with(&[("CHAT_DEFAULT_ROOM", "lobby")]).await;
    let alice = app.user("alice").await;

    let message = alice.connect().await.emit_ok("chat:message", &json!({ "content": "hi" })).await;

    assert_eq!(message["roomId"], alice.room("lobby").await["id"]);
    assert_eq!(alice.get("/rooms/general").await.refused(404), "ROOM_NOT_FOUND");
}

#[tokio::test]
async fn a_message_sent_without_asking_for_an_ack_is_a_message_all_the_same() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;

    alice.emit_no_ack("chat:message", &json!({ "roomId": room, "content": "no callback" }));

    assert_eq!(bob.expect("chat:message").await["content"], "no callback");
}

/// A failure without a callback is still told once, as `system:error`.
#[tokio::test]
async fn a_refused_message_without_an_ack_is_told_as_system_error_to_its_sender_alone() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;

    alice.emit_no_ack("chat:message", &json!({ "roomId": room, "content": 5 }));

    assert_eq!(code(&alice.expect("system:error").await), "VALIDATION_ERROR");
    alice.say(&room, "next").await;
    bob.expect("chat:message").await;
    bob.expect_silence("system:error").await;
}

#[tokio::test]
async fn a_message_posted_over_rest_is_heard_on_sockets() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let author = app.user("alice").await;

    let posted = author.say(&room, "over REST").await;

    assert_eq!(bob.expect("chat:message").await, posted);
    assert_eq!(alice.expect("chat:message").await, posted);
    let id = posted["id"].as_str().unwrap();
    assert_eq!(author.get(&format!("/messages/{id}")).await.expect(200), posted);
}

#[tokio::test]
async fn a_message_can_be_read_alone_by_members_only() {
    let app = TestApp::start().await;
    let (alice, _bob, room) = den(&app).await;
    let message = alice.say(&room, "secret").await;
    let path = format!("/messages/{}", message["id"].as_str().unwrap());

    app.user("bob").await.get(&path).await.expect(200);

    let eve = app.user("eve").await;
    assert_eq!(eve.get(&path).await.refused(404), "MESSAGE_NOT_FOUND");
    let unknown = eve.get("/messages/00000000-0000-7000-8000-000000000000").await;
    assert_eq!(unknown.refused(404), "MESSAGE_NOT_FOUND");
}

/// `senderId`, `seq`, `role`, `createdAt` in a payload are ignored, and named in `warnings`.
#[tokio::test]
async fn what_a_client_may_not_decide_is_ignored_and_named_in_warnings() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let forged = json!({
        "roomId": room, "content": "hi", "senderId": "bob", "seq": 999, "role": "owner",
        "createdAt": "2000-01-01T00:00:00.000Z", "id": "x", "sender": { "id": "bob" },
    });

    let ack = alice.emit("chat:message", &forged).await;

    assert_eq!(ack["ok"], true, "{ack}");
    let warnings = ack["warnings"].to_string();
    for name in ["senderId", "seq", "role", "createdAt", "sender"] {
        assert!(warnings.contains(name), "{name} is not in {warnings}");
    }
    let heard = bob.expect("chat:message").await;
    assert_eq!((&heard["senderId"], &heard["sender"]["id"]), (&json!("alice"), &json!("alice")));
    assert!(int(&heard["seq"]) < 999 && heard["createdAt"].as_str() > Some("2020"), "{heard}");
}

#[tokio::test]
async fn a_message_without_unknown_fields_has_no_warnings() {
    let app = TestApp::start().await;
    let (alice, _bob, room) = den(&app).await;

    let ack = alice.emit("chat:message", &json!({ "roomId": room, "content": "hi" })).await;

    assert!(ack.get("warnings").is_none_or(|warnings| warnings == &json!([])), "{ack}");
}

#[tokio::test]
async fn a_slug_is_accepted_in_place_of_the_id_and_the_answer_has_the_id() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await.connect().await);

    let message = alice.connect().await.say("general", "by slug").await;

    assert_eq!(message["roomId"], alice.room("general").await["id"]);
    assert_eq!(bob.expect("chat:message").await["id"], message["id"]);
}

#[tokio::test]
async fn mentions_are_the_members_named_and_the_others_are_reported() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    app.user("eve").await;
    let message = json!({ "roomId": room, "content": "hey", "mentions": ["bob", "eve", "ghost"] });

    let ack = alice.emit("chat:message", &message).await;

    assert_eq!(ack["data"]["mentions"], json!(["bob"]), "{ack}");
    let warnings = ack["warnings"].to_string();
    assert!(warnings.contains("eve") && warnings.contains("ghost") && !warnings.contains("bob"), "{ack}");
    assert_eq!(bob.expect("chat:message").await["mentions"], json!(["bob"]));
}

#[tokio::test]
async fn a_reply_names_the_message_that_it_answers() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let question = alice.say(&room, "well?").await;

    let reply = json!({ "roomId": room, "content": "yes", "replyTo": question["id"] });
    bob.emit_ok("chat:message", &reply).await;

    let heard = alice.expect_where("chat:message", |message| message["content"] == "yes").await;
    assert!(heard["replyTo"].to_string().contains(question["id"].as_str().unwrap()), "{heard}");
}

#[tokio::test]
async fn a_reply_to_a_message_of_another_room_is_refused() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let elsewhere = bob.say("general", "elsewhere").await;

    for target in [elsewhere["id"].clone(), json!("00000000-0000-7000-8000-000000000000")] {
        let reply = json!({ "roomId": room, "content": "yes", "replyTo": target });
        let refused = alice.code_of("chat:message", &reply).await;
        assert!(["MESSAGE_NOT_FOUND", "VALIDATION_ERROR"].contains(&&*refused), "{refused}");
    }
}

#[tokio::test]
async fn type_metadata_and_attachments_come_back_as_they_were_sent() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let metadata = json!({ "colour": "blue", "deep": { "list": [1, 2.5, null, true] } });
    let attachment = json!({ "url": "https://example.org/a.png", "name": "a.png" });

    let message = json!({ "roomId": room, "content": "look", "metadata": metadata, "attachments": [attachment] });
    alice.emit_ok("chat:message", &message).await;

    let heard = bob.expect("chat:message").await;
    assert_eq!(heard["attachments"][0]["url"], "https://example.org/a.png", "{heard}");
    assert_eq!(app.user("bob").await.history(&room).await.last(), Some(&heard));
}

#[tokio::test]
async fn a_guest_only_reads() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app).await;
    let path = format!("/rooms/{room}/members/bob");
    app.user("alice").await.put(&path, &json!({ "role": "guest" })).await.expect(200);

    let spoken = json!({ "roomId": room, "content": "may I?" });

    assert_eq!(bob.code_of("chat:message", &spoken).await, "FORBIDDEN");
    alice.say(&room, "no").await;
    bob.expect("chat:message").await;
}

#[tokio::test]
async fn a_room_that_was_archived_can_only_be_read() {
    let app = TestApp::start().await;
    let (alice, _bob, room) = den(&app).await;
    alice.say(&room, "last words").await;
    let owner = app.user("alice").await;
    owner.patch(&format!("/rooms/{room}"), &json!({ "archived": true })).await.expect(200);

    let refused = alice.code_of("chat:message", &json!({ "roomId": room, "content": "one more" })).await;

    assert_eq!(refused, "ROOM_ARCHIVED");
    assert_eq!(owner.history(&room).await.len(), 1);
}

#[tokio::test]
async fn a_message_to_a_public_room_that_one_is_not_in_is_refused() {
    let app = TestApp::start().await;
    let room = app.user("alice").await.create_public_room("square").await;
    let bob = app.user("bob").await.connect().await;

    let refused = bob.code_of("chat:message", &json!({ "roomId": room, "content": "x" })).await;

    assert_eq!(refused, "NOT_A_MEMBER");
}

#[tokio::test]
async fn the_last_message_of_a_room_is_shown_in_its_listing() {
    let app = TestApp::start().await;
    let (alice, _bob, room) = den(&app).await;
    alice.say(&room, "one").await;
    let last: Value = alice.say(&room, "two").await;

    let shown = app.user("bob").await.room(&room).await;

    assert_eq!(shown["lastMessage"]["id"], last["id"]);
    assert_eq!((&shown["lastSeq"], &shown["unread"]), (&last["seq"], &json!(2)));
}
