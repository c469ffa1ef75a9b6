//! Who is kept out of a room: `chat:room:ban`, `chat:room:unban`, and their routes. Contract section 4.

use serde_json::{Value, json};

use crate::support::{
    Den, TestUser, assert_standing,
    json::{int, is_time, text, texts},
};

#[tokio::test]
async fn a_banned_member_of_a_private_room_cannot_tell_it_from_none() {
    let den = Den::start().await;
    let before = den.last_seq().await;

    let standing = den.owner.emit_ok("chat:room:ban", &den.upon("bob", json!({ "reason": "spam" }))).await;

    assert_standing(&standing, "bob", "member", "banned");
    let left = den.watcher.expect("chat:room:left").await;
    assert_eq!((text(&left["reason"]), text(&left["note"]), int(&left["seq"])), ("banned", "spam", before + 1));
    assert_eq!(den.member.expect("chat:room:left").await["reason"], "banned");
    den.watcher.expect_silence("chat:room:member").await;
    for (event, payload) in [
        ("chat:room:join", json!(den.room)),
        ("chat:room:leave", json!(den.room)),
        ("chat:message", json!({ "roomId": den.room, "content": "x" })),
        ("status:typing", json!({ "roomId": den.room, "isTyping": true })),
        ("chat:room:unban", den.upon("bob", json!({}))),
    ] {
        assert_eq!(den.member.code_of(event, &payload).await, "ROOM_NOT_FOUND", "{event}");
    }
    for path in ["", "/members", "/messages", "/bans", "/presence"] {
        assert_eq!(den.bob.get(&format!("/rooms/{}{path}", den.room)).await.refused(404), "ROOM_NOT_FOUND", "{path}");
    }
    assert_eq!(den.owner.code_of("chat:room:invite", &den.upon("bob", json!({}))).await, "BANNED");
}

#[tokio::test]
async fn in_a_public_room_a_banned_user_is_told_banned() {
    let den = Den::of_kind("public", &[]).await;
    den.owner.emit_ok("chat:room:ban", &den.upon("bob", json!({}))).await;

    for (event, payload) in [
        ("chat:room:join", json!(den.room)),
        ("chat:room:leave", json!(den.room)),
        ("chat:message", json!({ "roomId": den.room, "content": "x" })),
        ("status:typing", json!({ "roomId": den.room, "isTyping": true })),
        ("chat:room:invite", den.upon("bob", json!({}))),
    ] {
        assert_eq!(den.member.code_of(event, &payload).await, "BANNED", "{event}");
    }
    assert_eq!(den.bob.post(&format!("/rooms/{}/join", den.room), &json!({})).await.refused(403), "BANNED");
    for path in ["/members", "/messages", "/presence"] {
        assert_eq!(den.bob.get(&format!("/rooms/{}{path}", den.room)).await.refused(403), "BANNED", "{path}");
    }
    // Nor does the room itself, or the list of rooms, tell what is said there.
    den.owner.say(&den.room, "without bob").await;
    let listed = async |user: &TestUser| {
        let rooms = user.get("/rooms?scope=public").await.expect(200);
        rooms["items"].as_array().unwrap().iter().find(|room| room["id"] == den.room.as_str()).unwrap().clone()
    };
    let passer_by = den.app.user("dave").await;
    for seen in [passer_by.room(&den.room).await, listed(&passer_by).await] {
        assert_eq!(seen["lastMessage"]["content"], "without bob", "{seen}");
    }
    for seen in [den.bob.room(&den.room).await, listed(&den.bob).await] {
        assert_eq!((&seen["can"], &seen["membership"], &seen["lastMessage"]), (&json!([]), &Value::Null, &Value::Null));
    }
}

/// A ban works on those who never were there, and is lifted again: each time one number, told to the members once.
#[tokio::test]
async fn who_never_was_a_member_is_banned_and_let_in_again() {
    let den = Den::of_kind("public", &[]).await;
    let dave = den.app.user("dave").await.connect().await;
    let before = den.last_seq().await;

    let banned = den.owner.emit_ok("chat:room:ban", &den.upon("dave", json!({}))).await;
    let again = den.owner.emit_ok("chat:room:ban", &den.upon("dave", json!({}))).await;

    assert_standing(&banned, "dave", "member", "banned");
    assert_eq!(again, banned);
    let told = den.watcher.expect("chat:room:member").await;
    assert_eq!((int(&told["seq"]), text(&told["reason"]), text(&told["userId"]), text(&told["by"])), (before + 1, "banned", "dave", "alice"));
    assert_eq!(told["membership"], banned);
    assert_eq!(den.changed_seq("dave").await, before + 1);
    assert_eq!(dave.code_of("chat:room:join", &json!(den.room)).await, "BANNED");
    assert_eq!(int(&den.alice.room(&den.room).await["memberCount"]), 3);

    let unbanned = den.owner.emit_ok("chat:room:unban", &den.upon("dave", json!({}))).await;
    let again = den.owner.emit_ok("chat:room:unban", &den.upon("dave", json!({}))).await;

    assert_standing(&unbanned, "dave", "member", "left");
    assert_eq!(again, unbanned);
    let told = den.watcher.expect("chat:room:member").await;
    assert_eq!((int(&told["seq"]), text(&told["reason"]), &told["membership"]), (before + 2, "unbanned", &unbanned));
    den.watcher.expect_silence("chat:room:member").await;
    den.watcher.expect_silence("chat:room:left").await;
    dave.expect_silence("chat:room:member").await;
    assert_eq!(den.changed_seq("dave").await, before + 2);
    dave.emit_ok("chat:room:join", &json!(den.room)).await;
    assert_eq!(den.last_seq().await, before + 3);
}

#[tokio::test]
async fn who_was_never_there_has_no_ban_to_be_lifted() {
    let den = Den::start().await;
    den.app.user("dave").await;

    for nobody in ["dave", "nobody"] {
        assert_eq!(den.owner.code_of("chat:room:unban", &den.upon(nobody, json!({}))).await, "USER_NOT_FOUND", "{nobody}");
    }
    assert_eq!(den.owner.code_of("chat:room:ban", &den.upon("nobody", json!({}))).await, "USER_NOT_FOUND");
    // A member is not banned either: nothing to lift, and no harm done.
    den.owner.emit_ok("chat:room:kick", &den.upon("bob", json!({}))).await;
    assert_standing(&den.owner.emit_ok("chat:room:unban", &den.upon("bob", json!({}))).await, "bob", "member", "left");
}

#[tokio::test]
async fn where_accounts_live_elsewhere_somebody_may_be_banned_before_they_were_ever_seen() {
    let den = Den::of_kind("public", &[("CHAT_REGISTRATION", "off")]).await;

    den.owner.emit_ok("chat:room:ban", &den.upon("troll", json!({}))).await;

    let troll = den.app.stranger("troll").connect().await;
    assert_eq!(troll.code_of("chat:room:join", &json!(den.room)).await, "BANNED");
}

#[tokio::test]
async fn a_ban_sent_twice_at_once_is_one_ban_and_one_number() {
    let den = Den::start().await;
    let before = den.last_seq().await;
    let second = den.alice.connect().await;
    let payload = den.upon("bob", json!({}));

    let (one, two) = (den.owner.post("chat:room:ban", &payload), second.post("chat:room:ban", &payload));
    assert_eq!(den.owner.ack(one).await["data"], second.ack(two).await["data"]);

    assert_eq!(den.last_seq().await, before + 1);
    let room = den.alice.room(&den.room).await;
    assert_eq!(int(&room["memberCount"]), 2);
}

/// Whoever wins, a banned user is not in the room afterwards.
#[tokio::test]
async fn a_join_and_a_ban_at_once_leave_a_banned_user_outside() {
    let den = Den::of_kind("public", &[]).await;
    for round in 0..10 {
        let dave = den.app.user(&format!("dave{round}")).await.connect().await;
        let (joined, banned) =
            (dave.post("chat:room:join", &json!(den.room)), den.owner.post("chat:room:ban", &den.upon(&format!("dave{round}"), json!({}))));
        assert_eq!(den.owner.ack(banned).await["ok"], true);
        let joined = dave.ack(joined).await;
        assert!(joined["ok"] == true || joined["error"]["code"] == "BANNED", "{joined}");
        let spoken = json!({ "roomId": den.room, "content": "x" });
        assert_eq!(dave.code_of("chat:message", &spoken).await, "BANNED");
        let heard = den.owner.say(&den.room, "gone?").await;
        den.watcher.expect_where("chat:message", |message| message["id"] == heard["id"]).await;
        dave.settle().await;
        assert_eq!(dave.seen("chat:message").len(), 0, "round {round}");
    }
    assert_eq!(den.alice.room(&den.room).await["memberCount"], 3);
}

#[tokio::test]
async fn bans_are_listed_for_moderators_page_by_page() {
    let den = Den::start().await;
    for name in ["d1", "d2", "d3"] {
        den.app.user(name).await;
        den.alice.put(&format!("/rooms/{}/bans/{name}", den.room), &json!({ "reason": name })).await.expect(200);
    }
    let path = format!("/rooms/{}/bans", den.room);

    let first = den.alice.get(&format!("{path}?limit=2")).await.expect(200);
    let second = den.alice.get(&format!("{path}?limit=2&cursor={}", text(&first["nextCursor"]))).await.expect(200);

    let items: Vec<Value> = [&first, &second].iter().flat_map(|page| page["items"].as_array().unwrap().clone()).collect();
    assert_eq!(items.len(), 3);
    for (item, name) in items.iter().zip(["d1", "d2", "d3"]) {
        assert_eq!((text(&item["user"]["id"]), text(&item["by"]), text(&item["reason"])), (name, "alice", name));
        assert!(is_time(&item["bannedAt"]), "{item}");
    }
    assert_eq!(den.bob.get(&path).await.refused(403), "FORBIDDEN");
    assert_eq!(den.app.user("dave").await.get(&path).await.refused(404), "ROOM_NOT_FOUND");
    assert_eq!(den.alice.get(&format!("{path}?cursor=x")).await.refused(400), "VALIDATION_ERROR");
    den.alice.delete(&format!("{path}/d2")).await.expect(204);
    den.alice.delete(&format!("{path}/d2")).await.expect(204);
    assert_eq!(den.alice.delete(&format!("{path}/nobody")).await.refused(404), "USER_NOT_FOUND");
    let left = den.alice.get(&path).await.expect(200);
    let users: Vec<Value> = left["items"].as_array().unwrap().iter().map(|item| item["user"].clone()).collect();
    assert_eq!(texts(&json!(users), "id"), ["d1", "d3"]);
}
