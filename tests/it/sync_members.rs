//! What came while a client was away, of members and of the room itself: `chat:sync`, contract section 6. Messages are in
//! [`super::sync`].

use serde_json::{Value, json};

use super::sync::{Away, changes};
use crate::support::{
    Den, assert_standing,
    json::{assert_members, int, is_time, text},
};

#[tokio::test]
async fn who_came_and_who_went_comes_as_they_stand_now() {
    let away = Away::from(Den::of_kind("public", &[]).await).await;
    for (user, comes_back) in [("dave", false), ("erin", true), ("frank", false)] {
        let user = away.den.app.user(user).await;
        user.join(&away.den.room).await;
        if !comes_back {
            user.leave(&away.den.room).await;
        }
    }
    away.den.app.user("frank").await.join(&away.den.room).await;
    away.by_alice("chat:room:kick", &away.den.upon("carol", json!({}))).await;

    let members = away.missed_members(&["dave", "erin", "frank", "carol"]).await;

    for (member, (state, number)) in members.iter().zip([("left", 2), ("joined", 3), ("joined", 6), ("left", 7)]) {
        assert_standing(member, text(&member["userId"]), "member", state);
        assert_eq!(int(&member["seq"]), away.since + number, "{member}");
        assert_members(&member["user"], &["id", "username", "name", "avatarUrl", "userType"]);
    }
    assert_eq!(away.missed().await["room"]["memberCount"], 4);
}

#[tokio::test]
async fn bans_come_also_of_who_was_never_in_the_room_and_so_does_their_end() {
    let away = Away::start().await;
    away.den.app.user("dave").await;
    away.by_alice("chat:room:ban", &away.den.upon("carol", json!({}))).await;
    away.by_alice("chat:room:ban", &away.den.upon("dave", json!({}))).await;
    let members = away.missed_members(&["carol", "dave"]).await;
    assert!(members.iter().all(|member| member["state"] == "banned"), "{members:?}");

    away.by_alice("chat:room:unban", &away.den.upon("carol", json!({}))).await;

    let members = away.missed_members(&["dave", "carol"]).await;
    assert_eq!((&members[0]["state"], &members[1]["state"]), (&json!("banned"), &json!("left")));
}

#[tokio::test]
async fn roles_and_mutes_come_and_so_do_their_ends() {
    let away = Away::start().await;
    away.by_alice("chat:room:role", &away.den.upon("bob", json!({ "role": "moderator" }))).await;
    let muted = away.by_alice("chat:room:mute", &away.den.upon("carol", json!({ "durationMs": 600_000 }))).await;
    let members = away.missed_members(&["bob", "carol"]).await;
    assert_eq!((&members[0]["role"], &members[1]["mutedUntil"]), (&json!("moderator"), &muted["mutedUntil"]));
    assert_eq!(away.missed().await["room"]["membership"]["role"], "moderator", "one's own place in the room");

    away.by_alice("chat:room:mute", &away.den.upon("carol", json!({ "until": null }))).await;
    away.by_alice("chat:room:role", &away.den.upon("bob", json!({ "role": "member" }))).await;

    let members = away.missed_members(&["carol", "bob"]).await;
    assert_eq!((&members[0]["mutedUntil"], &members[1]["role"]), (&Value::Null, &json!("member")));
}

#[tokio::test]
async fn a_new_owner_comes_with_the_old_one() {
    let away = Away::start().await;
    away.by_alice("chat:room:role", &away.den.upon("bob", json!({ "role": "owner" }))).await;

    let missed = away.missed().await;

    let mut members: Vec<_> =
        missed["members"].as_array().unwrap().iter().map(|one| (text(&one["userId"]), text(&one["role"]), int(&one["seq"]))).collect();
    members.sort_unstable();
    assert_eq!(members, [("alice", "admin", away.since + 1), ("bob", "owner", away.since + 1)]);

    away.den.member.emit_ok("chat:room:leave", &json!(away.den.room)).await;

    let members = changes(&away.den.watcher, &away.den.room, away.since).await["members"].clone();
    let members: Vec<_> = members.as_array().unwrap().iter().map(|one| (text(&one["userId"]), text(&one["state"]), int(&one["seq"]))).collect();
    assert_eq!(members, [("bob", "left", away.since + 2), ("alice", "joined", away.since + 3)]);
}

#[tokio::test]
async fn a_new_name_topic_and_the_end_come_with_the_room() {
    let away = Away::start().await;
    let room = |new: Value| {
        let mut new = new;
        new["roomId"] = json!(away.den.room);
        new
    };
    away.by_alice("chat:room:update", &room(json!({ "name": "lair" }))).await;
    away.by_alice("chat:room:update", &room(json!({ "topic": "bears" }))).await;
    away.by_alice("chat:room:update", &room(json!({ "archived": true }))).await;

    let missed = away.missed().await;

    assert_eq!((&missed["messages"], &missed["members"]), (&json!([]), &json!([])));
    assert_eq!((int(&missed["toSeq"]), &missed["room"]["name"], &missed["room"]["topic"]), (away.since + 3, &json!("lair"), &json!("bears")));
    assert!(is_time(&missed["room"]["archivedAt"]));
}

#[tokio::test]
async fn the_room_comes_with_what_is_unread_and_up_to_where_one_has_read() {
    let away = Away::start().await;
    away.den.member.emit_ok("chat:read", &json!({ "roomId": away.den.room, "seq": 2 })).await;
    away.by_alice("chat:message", &json!({ "roomId": away.den.room, "content": "@bob", "mentions": ["bob"] })).await;
    let last = away.by_alice("chat:message", &json!({ "roomId": away.den.room, "content": "last" })).await;

    let missed = away.missed().await;

    let shown = &missed["room"];
    assert_eq!(*shown, away.den.bob.room(&away.den.room).await);
    assert_eq!((&shown["read"]["seq"], &shown["unread"], &shown["mentions"]), (&json!(2), &json!(2), &json!(1)));
    assert_eq!((&shown["lastSeq"], &shown["lastMessage"]["id"]), (&last["seq"], &last["id"]));
    // Markers are no events of the room.
    away.den.member.emit_ok("chat:read", &json!({ "roomId": away.den.room, "seq": last["seq"] })).await;
    let missed = away.missed().await;
    assert_eq!((&missed["toSeq"], &missed["room"]["unread"]), (&last["seq"], &json!(0)));
}

/// Who comes and goes in a large room is not told, and so it is not to be missed; the count is right, and what is told comes.
#[tokio::test]
async fn comings_and_goings_in_a_quiet_room_are_counted_only() {
    let away = Away::from(Den::of_kind("public", &[("CHAT_QUIET_ROOM_SIZE", "3")]).await).await;
    for user in ["dave", "erin"] {
        away.den.app.user(user).await.join(&away.den.room).await;
    }
    away.by_alice("chat:room:role", &away.den.upon("dave", json!({ "role": "moderator" }))).await;

    let members = away.missed_members(&["dave"]).await;

    assert_eq!((&members[0]["role"], int(&members[0]["seq"])), (&json!("moderator"), away.since + 1));
    assert_eq!(away.missed().await["room"]["memberCount"], 5);
    away.by_alice("chat:room:kick", &away.den.upon("erin", json!({}))).await;
    let missed = away.missed().await;
    assert_eq!((&missed["room"]["memberCount"], int(&missed["toSeq"])), (&json!(4), away.since + 1));
}
