//! Who owns a room: passed on by hand, left behind, or taken from who may not come in. Contract section 2.

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestUser, eventually, ires_chat,
    json::{int, text},
};

async fn den(app: &TestApp, names: &[&str]) -> (Vec<TestUser>, String) {
    let mut users = Vec::new();
    for name in names {
        users.push(app.user(name).await);
    }
    let others: Vec<_> = users[1..].iter().collect();
    let room = users[0].create_room_with("den", &others).await;
    (users, room)
}

async fn owners(app: &TestApp, room: &str) -> i64 {
    app.number(&format!("SELECT count(*) FROM room_members WHERE room_id = '{room}' AND role = 'owner' AND state = 'joined'")).await
}

async fn role_of(user: &TestUser, room: &str) -> Value {
    user.room(room).await["membership"]["role"].clone()
}

/// One act, one number, both told in it: no moment without an owner or with two.
#[tokio::test]
async fn ownership_is_passed_on_in_one_event() {
    let app = TestApp::start().await;
    let (users, room) = den(&app, &["alice", "bob", "carol"]).await;
    let (alice, bob, carol) = (users[0].connect().await, users[1].connect().await, users[2].connect().await);
    let before = int(&users[0].room(&room).await["lastSeq"]);

    let standing = alice.emit_ok("chat:room:role", &json!({ "roomId": room, "userId": "bob", "role": "owner" })).await;

    assert_eq!((text(&standing["userId"]), text(&standing["role"])), ("bob", "owner"));
    for socket in [&alice, &bob, &carol] {
        let told = socket.expect("chat:room:member").await;
        assert_eq!((int(&told["seq"]), text(&told["reason"]), text(&told["by"])), (before + 1, "owner", "alice"));
        assert_eq!((&told["userId"], &told["membership"]["role"]), (&json!("bob"), &json!("owner")));
        assert_eq!((&told["formerOwner"]["userId"], &told["formerOwner"]["role"]), (&json!("alice"), &json!("admin")));
        socket.expect_silence("chat:room:member").await;
    }
    assert_eq!((role_of(&users[0], &room).await, role_of(&users[1], &room).await), (json!("admin"), json!("owner")));
    let numbered = format!("SELECT count(*) FROM room_members WHERE room_id = '{room}' AND changed_seq = {}", before + 1);
    assert_eq!(app.number(&numbered).await, 2, "both rows have the number under which they changed");
    assert_eq!(users[0].delete(&format!("/rooms/{room}")).await.refused(403), "FORBIDDEN");
}

#[tokio::test]
async fn ownership_is_passed_on_over_rest_too() {
    let app = TestApp::start().await;
    let (users, room) = den(&app, &["alice", "bob"]).await;

    users[0].put(&format!("/rooms/{room}/members/bob"), &json!({ "role": "owner" })).await.expect(200);

    assert_eq!((role_of(&users[0], &room).await, role_of(&users[1], &room).await), (json!("admin"), json!("owner")));
    let absent = users[1].put(&format!("/rooms/{room}/members/carol"), &json!({ "role": "owner" })).await;
    assert_eq!(absent.refused(404), "USER_NOT_FOUND");
    app.user("carol").await;
    let outsider = users[1].put(&format!("/rooms/{room}/members/carol"), &json!({ "role": "owner" })).await;
    assert_eq!(outsider.refused(403), "FORBIDDEN", "it passes to a member only");
}

#[tokio::test]
async fn of_two_transfers_at_once_one_counts() {
    let app = TestApp::start().await;
    let (users, room) = den(&app, &["alice", "bob", "carol"]).await;
    let (phone, desk) = (users[0].connect().await, users[0].connect().await);

    let asked = [("bob", &phone), ("carol", &desk)]
        .map(|(user, socket)| (socket, socket.post("chat:room:role", &json!({ "roomId": room, "userId": user, "role": "owner" }))));

    let mut answers = Vec::new();
    for (socket, id) in asked {
        answers.push(socket.ack(id).await);
    }
    assert_eq!(answers.iter().filter(|ack| ack["ok"] == true).count(), 1, "{answers:?}");
    assert!(answers.iter().any(|ack| ack["error"]["code"] == "FORBIDDEN"), "{answers:?}");
    assert_eq!(owners(&app, &room).await, 1);
}

#[tokio::test]
async fn a_deactivated_member_is_not_made_the_owner() {
    let app = TestApp::start().await;
    let (users, room) = den(&app, &["alice", "bob"]).await;
    app.execute("UPDATE users SET deactivated_at = now() WHERE id = 'bob'").await;

    let reply = users[0].put(&format!("/rooms/{room}/members/bob"), &json!({ "role": "owner" })).await;

    assert_eq!(reply.refused(403), "FORBIDDEN");
    assert_eq!(role_of(&users[0], &room).await, "owner");
}

/// What an owner leaves falls to the highest, and among equals to who has been there longest; each under its own number.
#[tokio::test]
async fn when_the_owner_leaves_the_next_in_rank_owns_the_room() {
    let app = TestApp::start().await;
    let (users, room) = den(&app, &["alice", "bob", "carol", "dave"]).await;
    app.execute(
        "UPDATE room_members SET joined_at = joined_at - interval '1 day' WHERE user_id = 'dave';
         UPDATE room_members SET role = 'moderator' WHERE user_id IN ('carol', 'dave')",
    )
    .await;
    let (alice, bob) = (users[0].connect().await, users[1].connect().await);
    let before = int(&users[0].room(&room).await["lastSeq"]);

    alice.emit_ok("chat:room:leave", &json!(room)).await;

    let left = bob.expect("chat:room:left").await;
    let owner = bob.expect("chat:room:member").await;
    assert_eq!((int(&left["seq"]), int(&left["memberCount"])), (before + 1, 3));
    assert_eq!((int(&owner["seq"]), text(&owner["reason"]), &owner["by"]), (before + 2, "owner", &Value::Null));
    assert_eq!((text(&owner["userId"]), text(&owner["membership"]["role"])), ("dave", "owner"));
    assert_eq!(owner.get("formerOwner"), None);
    assert_eq!(int(&alice.expect("chat:room:left").await["seq"]), before + 1);
    alice.expect_silence("chat:room:member").await;
    assert_eq!(owners(&app, &room).await, 1);
    assert_eq!(int(&users[1].room(&room).await["lastSeq"]), before + 2);
}

#[tokio::test]
async fn when_the_last_member_leaves_the_room_stays_and_who_comes_in_next_owns_it() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_public_room("square").await;

    alice.leave(&room).await;

    let empty = bob.room(&room).await;
    assert_eq!((int(&empty["memberCount"]), owners(&app, &room).await), (0, 0));
    bob.join(&room).await;
    alice.join(&room).await;
    assert_eq!((role_of(&bob, &room).await, role_of(&alice, &room).await), (json!("owner"), json!("member")));
}

#[tokio::test]
async fn owner_and_heir_leaving_at_once_leave_one_owner() {
    let app = TestApp::start().await;
    let (users, room) = den(&app, &["alice", "bob", "carol", "dave"]).await;
    let (alice, bob) = (users[0].connect().await, users[1].connect().await);

    let (one, two) = (alice.post("chat:room:leave", &json!(room)), bob.post("chat:room:leave", &json!(room)));
    assert_eq!((&alice.ack(one).await["ok"], &bob.ack(two).await["ok"]), (&json!(true), &json!(true)));

    assert_eq!((role_of(&users[2], &room).await, owners(&app, &room).await), (json!("owner"), 1));
}

#[tokio::test]
async fn when_the_owner_is_deactivated_another_member_owns_the_room() {
    let app = TestApp::start().await;
    let (users, room) = den(&app, &["alice", "bob", "carol"]).await;
    let (alone, bob) = (users[0].create_room("alone").await, users[1].connect().await);
    let before = int(&users[1].room(&room).await["lastSeq"]);

    let done = ires_chat(&["user", "deactivate", "alice"], &[("DATABASE_URL", app.database.url())]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);

    let told = bob.expect("chat:room:member").await;
    assert_eq!((int(&told["seq"]), text(&told["reason"]), text(&told["userId"])), (before + 1, "owner", "bob"));
    assert_eq!((&told["formerOwner"]["userId"], &told["formerOwner"]["role"], &told["by"]), (&json!("alice"), &json!("admin"), &Value::Null));
    assert_eq!((owners(&app, &room).await, owners(&app, &alone).await), (1, 1), "where nobody else is, nothing changes");
}

#[tokio::test]
async fn rooms_of_owners_deactivated_while_no_server_ran_are_passed_on_at_the_next_start() {
    let mut app = TestApp::start().await;
    let (users, room) = den(&app, &["alice", "bob"]).await;
    app.stop();
    app.execute("UPDATE users SET deactivated_at = now() - interval '1 year' WHERE id = 'alice'").await;

    app.start_again();

    let bob = users[1].at(app.base());
    eventually("bob's ownership", async || role_of(&bob, &room).await == "owner").await;
}

/// The default room is made without an owner. One that an operator gives it keeps order there like any other.
#[tokio::test]
async fn in_the_default_room_roles_count_and_nobody_inherits_it() {
    let app = TestApp::start().await;
    let (alice, bob, carol) = (app.user("alice").await, app.user("bob").await, app.user("carol").await);
    let bobs = bob.connect().await;
    assert_eq!(owners(&app, text(&alice.room("general").await["id"])).await, 0);
    app.execute("UPDATE room_members SET role = 'owner' WHERE user_id = 'alice' AND room_id = (SELECT id FROM rooms WHERE slug = 'general')").await;

    let alices = alice.connect().await;
    alices.emit_ok("chat:room:role", &json!({ "roomId": "general", "userId": "carol", "role": "moderator" })).await;
    let carols = carol.connect().await;
    carols.emit_ok("chat:room:kick", &json!({ "roomId": "general", "userId": "bob" })).await;
    assert_eq!(bobs.expect("chat:room:left").await["reason"], "removed");
    carols.emit_ok("chat:room:ban", &json!({ "roomId": "general", "userId": "bob" })).await;
    assert_eq!(carols.expect("chat:room:member").await["reason"], "banned");
    assert_eq!(bobs.code_of("chat:room:join", &json!("general")).await, "BANNED");
    assert_eq!(bobs.code_of("chat:message", &json!({ "content": "x" })).await, "BANNED");
    assert_eq!(alice.delete("/rooms/general").await.refused(403), "FORBIDDEN");

    alices.emit_ok("chat:room:leave", &json!("general")).await;
    carols.expect_where("chat:room:left", |left| left["userId"] == "alice").await;
    carols.expect_silence("chat:room:member").await;
    assert_eq!(role_of(&carol, "general").await, "moderator");
    assert_eq!(bob.connect().await.ready["rooms"], json!([]), "a banned user is not put back into it");
}
