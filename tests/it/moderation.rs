//! Keeping order: `chat:room:update`, `:invite`, `:kick`, `:mute`, and their routes. Contract section 4. Bans are in [`super::bans`].

use serde_json::{Value, json};

use crate::support::{
    Den, assert_standing,
    json::{int, is_time, text},
};

#[tokio::test]
async fn chat_room_update_renames_and_archives_and_is_told_with_its_number() {
    let den = Den::start().await;
    let before = den.last_seq().await;

    let named = den.owner.emit_ok("chat:room:update", &json!({ "roomId": den.room, "name": "lair", "topic": "bears" })).await;
    let archived = den.owner.emit("chat:room:update", &json!({ "roomId": den.room, "archived": true, "colour": "red" })).await;

    let same = json!({ "roomId": den.room, "name": "lair", "archived": true });
    assert_eq!(den.owner.emit_ok("chat:room:update", &same).await, archived["data"], "nothing new, no number");

    assert_eq!((text(&named["name"]), text(&named["topic"])), ("lair", "bears"));
    assert!(is_time(&archived["data"]["archivedAt"]), "{archived}");
    assert_eq!(archived["warnings"].as_array().unwrap().len(), 1, "{archived}");
    for (seq, name) in [(before + 1, "lair"), (before + 2, "lair")] {
        let told = den.watcher.expect("chat:room:updated").await;
        assert_eq!((int(&told["seq"]), text(&told["room"]["name"]), text(&told["by"])), (seq, name, "alice"));
    }
    let changed = den.app.number(&format!("SELECT changed_seq FROM rooms WHERE id = '{}'", den.room)).await;
    assert_eq!(changed, before + 2);
    let spoken = json!({ "roomId": den.room, "content": "x" });
    assert_eq!(den.member.code_of("chat:message", &spoken).await, "ROOM_ARCHIVED");
    assert_eq!(den.owner.code_of("chat:room:invite", &den.upon("dave", json!({}))).await, "USER_NOT_FOUND");
    den.app.user("dave").await;
    assert_eq!(den.owner.code_of("chat:room:invite", &den.upon("dave", json!({}))).await, "ROOM_ARCHIVED");
    // Order is kept also where nobody speaks any more: what was said can still be read.
    den.owner.emit_ok("chat:room:kick", &den.upon("bob", json!({}))).await;
}

#[tokio::test]
async fn chat_room_invite_brings_somebody_in_who_hears_at_once() {
    let den = Den::start().await;
    let dave = den.app.user("dave").await.connect().await;
    let before = den.last_seq().await;

    let standing = den.member.emit_ok("chat:room:invite", &den.upon("dave", json!({}))).await;
    let again = den.member.emit_ok("chat:room:invite", &den.upon("dave", json!({}))).await;
    den.owner.say(&den.room, "welcome").await;

    assert_standing(&standing, "dave", "member", "joined");
    assert_eq!(again, standing);
    let told = den.watcher.expect("chat:room:joined").await;
    assert_eq!((text(&told["userId"]), text(&told["by"]), int(&told["seq"])), ("dave", "bob", before + 1));
    den.watcher.expect_silence("chat:room:member").await;
    den.watcher.expect_silence("chat:room:joined").await;
    let joined = dave.expect("chat:room:joined").await;
    assert_eq!((&joined["self"], int(&joined["lastSeq"])), (&json!(true), before + 1));
    dave.expect("chat:message").await;
    assert_eq!(den.changed_seq("dave").await, before + 1);
}

#[tokio::test]
async fn an_invitation_may_carry_a_role_below_ones_own_from_admins_on() {
    let den = Den::start().await;
    for user in ["dave", "erin"] {
        den.app.user(user).await;
    }

    let by_member = den.member.code_of("chat:room:invite", &den.upon("dave", json!({ "role": "moderator" }))).await;
    let by_owner = den.owner.emit_ok("chat:room:invite", &den.upon("dave", json!({ "role": "moderator" }))).await;

    assert_eq!(by_member, "FORBIDDEN");
    assert_standing(&by_owner, "dave", "moderator", "joined");
    assert_eq!(den.watcher.expect("chat:room:joined").await["role"], "moderator");
    assert_eq!(den.owner.code_of("chat:room:invite", &den.upon("erin", json!({ "role": "owner" }))).await, "FORBIDDEN");
    assert_eq!(den.owner.code_of("chat:room:invite", &den.upon("nobody", json!({}))).await, "USER_NOT_FOUND");
}

#[tokio::test]
async fn chat_room_kick_ends_a_membership_and_is_told_with_its_reason() {
    let den = Den::start().await;
    let before = den.last_seq().await;

    let standing = den.owner.emit_ok("chat:room:kick", &den.upon("bob", json!({ "reason": "too loud" }))).await;

    assert_standing(&standing, "bob", "member", "left");
    for socket in [&den.watcher, &den.member] {
        let left = socket.expect("chat:room:left").await;
        assert_eq!((text(&left["userId"]), text(&left["reason"]), text(&left["by"])), ("bob", "removed", "alice"));
        assert_eq!((text(&left["note"]), int(&left["seq"]), int(&left["memberCount"])), ("too loud", before + 1, 2));
        socket.expect_silence("chat:room:member").await;
    }
    assert_eq!(den.member.seen("chat:room:left")[0]["self"], true);
    assert_eq!(den.changed_seq("bob").await, before + 1);
    assert_eq!(den.owner.code_of("chat:room:kick", &den.upon("bob", json!({}))).await, "USER_NOT_FOUND");
    den.owner.emit_ok("chat:room:invite", &den.upon("bob", json!({}))).await;
}

/// The promise "at once": what came before the end of the membership is all heard, what came after it by nobody who is out, on
/// any device.
async fn who_is_out_hears_nothing_above_the_number(event: &str, reason: &str) {
    let den = Den::of_kind("public", &[]).await;
    let (desk, hammer) = (den.bob.dial().polling().open_ready().await, den.alice.connect().await);
    let speak = |number: usize| den.owner.post("chat:message", &json!({ "roomId": den.room, "content": format!("m{number}") }));
    let mut sent: Vec<u64> = (0..200).map(speak).collect();
    den.member.expect("chat:message").await;

    let blow = hammer.post(event, &den.upon("bob", json!({})));
    sent.extend((200..400).map(speak));
    assert_eq!(hammer.ack(blow).await["ok"], true);
    sent.extend((400..500).map(speak));

    for id in sent {
        assert_eq!(den.owner.ack(id).await["ok"], true);
    }
    let end = den.watcher.expect_where("chat:room:left", |left| left["userId"] == "bob").await;
    let heard = den.watcher.expect_count("chat:message", 500).await;
    assert!(heard.iter().filter(|message| int(&message["seq"]) > int(&end["seq"])).count() >= 100);
    for socket in [&den.member, &desk] {
        let left = socket.expect("chat:room:left").await;
        assert_eq!((&left["self"], text(&left["reason"]), &left["seq"]), (&json!(true), reason, &end["seq"]));
        socket.settle().await;
        let of_room = socket.everything().into_iter().filter(|event| event["roomId"] == den.room.as_str());
        let numbers: Vec<i64> = of_room.filter_map(|event| event["seq"].as_i64()).collect();
        assert_eq!(numbers, (1..=int(&end["seq"])).collect::<Vec<_>>(), "everything up to the end, and nothing above it");
    }
}

#[tokio::test]
async fn a_kicked_member_hears_nothing_more_amid_a_load_of_messages() {
    who_is_out_hears_nothing_above_the_number("chat:room:kick", "removed").await;
}

#[tokio::test]
async fn a_banned_member_hears_nothing_more_amid_a_load_of_messages() {
    who_is_out_hears_nothing_above_the_number("chat:room:ban", "banned").await;
}

#[tokio::test]
async fn a_muted_member_hears_and_does_not_speak_until_it_is_lifted() {
    let den = Den::start().await;
    let before = den.last_seq().await;

    let muted = den.owner.emit_ok("chat:room:mute", &den.upon("bob", json!({ "durationMs": 600_000 }))).await;

    assert_standing(&muted, "bob", "member", "joined");
    assert!(is_time(&muted["mutedUntil"]), "{muted}");
    for socket in [&den.watcher, &den.member] {
        let told = socket.expect("chat:room:member").await;
        assert_eq!((int(&told["seq"]), text(&told["reason"]), &told["membership"]), (before + 1, "muted", &muted));
    }
    assert_eq!(den.changed_seq("bob").await, before + 1);
    let spoken = json!({ "roomId": den.room, "content": "x" });
    assert_eq!(den.member.code_of("chat:message", &spoken).await, "MUTED");
    den.owner.say(&den.room, "quiet at last").await;
    den.member.expect("chat:message").await;
    let listed = den.alice.get(&format!("/rooms/{}/members", den.room)).await.expect(200);
    let listed = listed["items"].as_array().unwrap().iter().find(|item| item["user"]["id"] == "bob").unwrap().clone();
    assert_eq!(listed["mutedUntil"], muted["mutedUntil"]);

    for ending in [json!({ "until": null }), json!({ "durationMs": 0 }), json!({ "durationMs": null })] {
        let unmuted = den.owner.emit_ok("chat:room:mute", &den.upon("bob", ending)).await;
        assert_eq!(unmuted["mutedUntil"], Value::Null);
    }

    let told = den.watcher.expect("chat:room:member").await;
    assert_eq!((text(&told["reason"]), &told["membership"]["mutedUntil"]), ("unmuted", &Value::Null));
    den.watcher.expect_silence("chat:room:member").await;
    den.member.say(&den.room, "thank you").await;
}

#[tokio::test]
async fn a_mute_ends_by_itself_or_never() {
    let den = Den::start().await;
    let spoken = json!({ "roomId": den.room, "content": "x" });
    let begun = chrono::Utc::now();
    let muted = den.owner.emit_ok("chat:room:mute", &den.upon("bob", json!({ "durationMs": 600_000 }))).await;
    let since = text(&muted["mutedUntil"]).parse::<chrono::DateTime<chrono::Utc>>().unwrap() - chrono::TimeDelta::minutes(10);
    // What is told has no digits below a millisecond.
    assert!(since >= begun - chrono::TimeDelta::milliseconds(1) && since <= chrono::Utc::now(), "{muted}");
    assert_eq!(den.member.code_of("chat:message", &spoken).await, "MUTED");

    // Now that he was seen to be silent, the end may come near.
    den.app.execute("UPDATE room_members SET muted_until = now() + interval '1 s' WHERE user_id = 'bob' AND muted_until IS NOT NULL").await;

    let speaks = async || den.member.emit("chat:message", &spoken).await["ok"] == true;
    crate::support::eventually("the end of the mute", speaks).await;

    for good in [json!({ "until": "9999-12-31T23:59:59.999Z" }), json!({ "until": "9999-12-31T23:59:59-12:00" }), json!({ "durationMs": i64::MAX })] {
        let muted = den.owner.emit_ok("chat:room:mute", &den.upon("bob", good)).await;
        assert_eq!(muted["mutedUntil"], "9999-12-31T23:59:59.999Z");
    }
    assert_eq!(den.member.code_of("chat:message", &spoken).await, "MUTED");
    den.watcher.expect_count("chat:room:member", 2).await;
    den.watcher.settle().await;
    assert_eq!(den.watcher.seen("chat:room:member").len(), 2, "the same mute again is told to nobody");
}

#[tokio::test]
async fn mutes_over_rest() {
    let den = Den::start().await;
    let path = format!("/rooms/{}/mutes/bob", den.room);

    let muted = den.alice.put(&path, &json!({ "until": "2100-01-01T00:00:00Z" })).await.expect(200);

    assert_standing(&muted, "bob", "member", "joined");
    assert_eq!(muted["mutedUntil"], "2100-01-01T00:00:00.000Z");
    assert_eq!(den.watcher.expect("chat:room:member").await["reason"], "muted");
    den.alice.delete(&path).await.expect(204);
    assert_eq!(den.watcher.expect("chat:room:member").await["reason"], "unmuted");
    for body in [
        json!({}),
        json!({ "until": "yesterday" }),
        json!({ "until": "2001-01-01T00:00:00Z" }),
        json!({ "durationMs": -1 }),
        json!({ "durationMs": 1.5 }),
    ] {
        assert_eq!(den.alice.put(&path, &body).await.refused(400), "VALIDATION_ERROR", "{body}");
    }
    assert_eq!(den.alice.put(&format!("/rooms/{}/mutes/dave", den.room), &json!({ "durationMs": 1 })).await.refused(404), "USER_NOT_FOUND");
    assert_eq!(den.bob.put(&format!("/rooms/{}/mutes/carol", den.room), &json!({ "durationMs": 1 })).await.refused(403), "FORBIDDEN");
}

#[tokio::test]
async fn a_removal_over_rest_may_give_its_reason() {
    let den = Den::start().await;
    let path = format!("/rooms/{}/members/bob", den.room);
    let long = json!({ "reason": "x".repeat(251) });
    assert_eq!(den.alice.send_body(reqwest::Method::DELETE, &path, long.to_string()).await.refused(400), "VALIDATION_ERROR");

    den.alice.send_body(reqwest::Method::DELETE, &path, r#"{"reason":"too loud"}"#).await.expect(204);

    assert_eq!(den.member.expect("chat:room:left").await["note"], "too loud");
}

/// Who stands where is everybody's to know; what a member has pinned is not.
#[tokio::test]
async fn a_members_own_settings_are_not_told_to_others() {
    let den = Den::start().await;
    den.app.execute("UPDATE room_members SET pinned = true WHERE user_id = 'bob'").await;

    let standing = den.owner.emit_ok("chat:room:role", &den.upon("bob", json!({ "role": "moderator" }))).await;

    assert_eq!((standing.get("pinned"), den.watcher.expect("chat:room:member").await["membership"].get("pinned")), (None, None));
}

/// Numbers stay dense over everything that moderators do, and each is told once.
#[tokio::test]
async fn every_act_takes_one_number_and_is_told_once() {
    let den = Den::of_kind("public", &[]).await;
    for name in ["dave", "erin"] {
        den.app.user(name).await;
    }
    let before = den.last_seq().await;
    for (event, payload) in [
        ("chat:room:invite", den.upon("dave", json!({}))),
        ("chat:room:role", den.upon("dave", json!({ "role": "moderator" }))),
        ("chat:room:mute", den.upon("dave", json!({ "durationMs": 60_000 }))),
        ("chat:room:mute", den.upon("dave", json!({ "durationMs": 0 }))),
        ("chat:room:ban", den.upon("dave", json!({}))),
        ("chat:room:unban", den.upon("dave", json!({}))),
        ("chat:room:ban", den.upon("erin", json!({}))),
        ("chat:room:kick", den.upon("bob", json!({}))),
        ("chat:room:update", json!({ "roomId": den.room, "topic": "order" })),
        ("chat:room:role", den.upon("carol", json!({ "role": "owner" }))),
    ] {
        den.owner.emit_ok(event, &payload).await;
    }
    den.watcher.settle().await;

    let heard = den.watcher.everything();
    let numbers: Vec<i64> = heard.iter().filter(|event| event["roomId"] == den.room.as_str()).filter_map(|event| event["seq"].as_i64()).collect();
    assert_eq!(numbers, (before + 1..=before + 10).collect::<Vec<_>>());
    assert_eq!(den.last_seq().await, before + 10);
}

/// Contract 4: over `CHAT_QUIET_ROOM_SIZE` members comings and goings are quiet, whoever brings them about; what changes a
/// standing is told all the same.
#[tokio::test]
async fn in_a_large_room_goings_are_quiet_and_changes_of_standing_are_told() {
    let den = Den::of_kind("public", &[("CHAT_QUIET_ROOM_SIZE", "2")]).await;
    for name in ["dave", "erin"] {
        den.app.user(name).await.join(&den.room).await;
    }
    let before = den.last_seq().await;

    den.owner.emit_ok("chat:room:kick", &den.upon("bob", json!({}))).await;
    den.owner.emit_ok("chat:room:ban", &den.upon("dave", json!({}))).await;

    let left = den.member.expect("chat:room:left").await;
    assert_eq!((text(&left["reason"]), &left["seq"]), ("removed", &Value::Null));
    assert_eq!((den.last_seq().await, den.changed_seq("dave").await), (before, 0));
    den.owner.emit_ok("chat:room:role", &den.upon("erin", json!({ "role": "moderator" }))).await;
    den.owner.emit_ok("chat:room:mute", &den.upon("carol", json!({ "durationMs": 60_000 }))).await;
    den.owner.emit_ok("chat:room:unban", &den.upon("dave", json!({}))).await;
    den.owner.emit_ok("chat:room:leave", &json!(den.room)).await;
    for (seq, reason, user) in [(1, "role", "erin"), (2, "muted", "carol"), (3, "unbanned", "dave"), (4, "owner", "erin")] {
        let told = den.watcher.expect("chat:room:member").await;
        assert_eq!((int(&told["seq"]) - before, text(&told["reason"]), text(&told["userId"])), (seq, reason, user));
    }
    den.watcher.expect_silence("chat:room:left").await;
}

#[tokio::test]
async fn after_moderation_the_books_agree() {
    let den = Den::of_kind("public", &[]).await;
    den.owner.emit_ok("chat:room:ban", &den.upon("bob", json!({}))).await;
    den.owner.emit_ok("chat:room:role", &den.upon("carol", json!({ "role": "owner" }))).await;
    den.owner.emit_ok("chat:room:leave", &json!(den.room)).await;

    let doctor = crate::support::ires_chat(&["doctor"], &[("DATABASE_URL", den.app.database.url())]);

    assert_eq!(doctor.code, Some(0), "{}{}", doctor.stdout, doctor.stderr);
}
