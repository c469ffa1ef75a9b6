//! Who is in a room, over REST: contract section 7.

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestUser,
    json::{assert_members, int, text},
};

async fn members(user: &TestUser, room: &str) -> Vec<String> {
    let listed = user.get(&format!("/rooms/{room}/members")).await.expect(200);
    let items = listed["items"].as_array().unwrap();
    items.iter().map(|item| text(&item["user"]["id"]).to_owned()).collect()
}

async fn role_of(user: &TestUser, room: &str) -> Value {
    user.room(room).await["membership"]["role"].clone()
}

#[tokio::test]
async fn members_are_listed_with_role_and_time_page_by_page() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_public_room("square").await;
    for name in ["b", "c", "d", "e"] {
        app.user(name).await.join(&room).await;
    }

    let mut path = format!("/rooms/{room}/members?limit=2");
    let mut seen = Vec::new();
    loop {
        let page = alice.get(&path).await.expect(200);
        for item in page["items"].as_array().unwrap() {
            assert_members(item, &["user", "role", "joinedAt"]);
            seen.push(text(&item["user"]["id"]).to_owned());
        }
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/rooms/{room}/members?limit=2&cursor={cursor}");
    }

    seen.sort_unstable();
    assert_eq!(seen, ["alice", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn a_member_brings_another_in_and_live_sockets_hear_it() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room("den").await;
    let (watcher, added) = (alice.connect().await, bob.connect().await);

    let membership = alice.put(&format!("/rooms/{room}/members/bob"), &json!({})).await.expect(200);

    assert_members(&membership, &["userId", "role", "joinedAt"]);
    assert_eq!((text(&membership["userId"]), text(&membership["role"])), ("bob", "member"));
    assert_eq!(watcher.expect("chat:room:joined").await["userId"], "bob");
    watcher.say(&room, "welcome").await;
    added.expect("chat:message").await;
    assert_eq!(members(&bob, &room).await.len(), 2);
}

#[tokio::test]
async fn the_body_of_an_invitation_may_be_missing() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    app.user("bob").await;
    let room = alice.create_room("den").await;

    let request = alice.request(reqwest::Method::PUT, &format!("/rooms/{room}/members/bob"));

    crate::support::Reply::of(request).await.expect(200);
    assert_eq!(members(&alice, &room).await, ["alice", "bob"]);
}

#[tokio::test]
async fn a_removed_member_hears_nothing_more_at_once() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (watcher, removed) = (alice.connect().await, bob.connect().await);
    watcher.say(&room, "together").await;
    removed.expect("chat:message").await;

    alice.delete(&format!("/rooms/{room}/members/bob")).await.expect(204);
    watcher.say(&room, "alone").await;

    let left = removed.expect("chat:room:left").await;
    assert_eq!((text(&left["reason"]), &left["self"]), ("removed", &json!(true)));
    assert_eq!(watcher.expect("chat:room:left").await["reason"], "removed");
    removed.expect_silence("chat:message").await;
    assert_eq!(bob.get(&format!("/rooms/{room}")).await.refused(404), "ROOM_NOT_FOUND");
}

#[tokio::test]
async fn removing_oneself_is_leaving() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let watcher = alice.connect().await;

    bob.delete(&format!("/rooms/{room}/members/bob")).await.expect(204);

    assert_eq!(watcher.expect("chat:room:left").await["reason"], "left");
}

#[tokio::test]
async fn roles_are_given_from_above_only() {
    let app = TestApp::start().await;
    let (alice, bob, carol) = (app.user("alice").await, app.user("bob").await, app.user("carol").await);
    let room = alice.create_room_with("den", &[&bob, &carol]).await;
    let path = |id: &str| format!("/rooms/{room}/members/{id}");

    alice.put(&path("bob"), &json!({ "role": "moderator" })).await.expect(200);

    assert_eq!(role_of(&bob, &room).await, "moderator");
    for (who, whom, role) in [(&bob, "bob", "owner"), (&bob, "alice", "guest"), (&carol, "bob", "member")] {
        let reply = who.put(&path(whom), &json!({ "role": role })).await;
        assert_eq!(reply.refused(403), "FORBIDDEN", "{} makes {whom} {role}", who.id);
    }
    assert_eq!(role_of(&alice, &room).await, "owner");
    assert_eq!(alice.put(&path("bob"), &json!({ "role": "emperor" })).await.refused(400), "VALIDATION_ERROR");
}

#[tokio::test]
async fn a_member_may_not_remove_another_and_nobody_the_owner() {
    let app = TestApp::start().await;
    let (alice, bob, carol) = (app.user("alice").await, app.user("bob").await, app.user("carol").await);
    let room = alice.create_room_with("den", &[&bob, &carol]).await;

    assert_eq!(bob.delete(&format!("/rooms/{room}/members/carol")).await.refused(403), "FORBIDDEN");
    assert_eq!(bob.delete(&format!("/rooms/{room}/members/alice")).await.refused(403), "FORBIDDEN");

    assert_eq!(members(&alice, &room).await.len(), 3);
}

#[tokio::test]
async fn unknown_users_and_non_members_are_told_apart_for_members_only() {
    let app = TestApp::start().await;
    let (alice, eve) = (app.user("alice").await, app.user("eve").await);
    let room = alice.create_room("den").await;

    let unknown = alice.put(&format!("/rooms/{room}/members/nobody"), &json!({})).await;
    assert_eq!(unknown.refused(404), "USER_NOT_FOUND");
    let absent = alice.delete(&format!("/rooms/{room}/members/eve")).await;
    assert!([404, 403].contains(&absent.status), "{}", absent.text);
    assert_eq!(eve.put(&format!("/rooms/{room}/members/eve"), &json!({})).await.refused(404), "ROOM_NOT_FOUND");
    assert_eq!(eve.delete(&format!("/rooms/{room}/members/alice")).await.refused(404), "ROOM_NOT_FOUND");
}

#[tokio::test]
async fn bringing_the_same_user_in_twice_is_one_membership_and_one_number() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    app.user("bob").await;
    let room = alice.create_room("den").await;
    let before = int(&alice.room(&room).await["lastSeq"]);
    let (path, empty) = (format!("/rooms/{room}/members/bob"), json!({}));

    let (one, two) = tokio::join!(alice.put(&path, &empty), alice.put(&path, &empty));

    assert_eq!(one.expect(200)["joinedAt"], two.expect(200)["joinedAt"]);
    let after = alice.room(&room).await;
    assert_eq!((int(&after["memberCount"]), int(&after["lastSeq"])), (2, before + 1));
}

#[tokio::test]
async fn nobody_joins_or_leaves_a_direct_room() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    for name in ["bob", "carol"] {
        app.user(name).await;
    }
    let room = alice.post("/rooms", &json!({ "type": "direct", "participants": ["bob"] })).await.expect(201);
    let id = text(&room["id"]);

    let added = alice.put(&format!("/rooms/{id}/members/carol"), &json!({})).await;

    assert_eq!(added.refused(403), "FORBIDDEN");
    assert_eq!(members(&alice, id).await.len(), 2);
}

#[tokio::test]
async fn a_member_id_may_be_any_text_in_the_address() {
    let app = TestApp::start().await;
    let (alice, odd) = (app.user("alice").await, app.user("a/b?c#d%é").await);
    let room = alice.create_room("den").await;
    let path = format!("/rooms/{room}/members/a%2Fb%3Fc%23d%25%C3%A9");

    alice.put(&path, &json!({})).await.expect(200);
    assert_eq!(role_of(&odd, &room).await, "member");

    alice.delete(&path).await.expect(204);
    assert_eq!(members(&alice, &room).await, ["alice"]);
}
