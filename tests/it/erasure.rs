//! Export and erasure of accounts: `GET /users/me/export`, `DELETE /users/me`, `user export`, `user erase`.

use serde_json::{Value, json};

use crate::support::{
    Finished, TestApp, TestUser, eventually, ires_chat,
    json::{int, text},
    token,
};

const PASSWORD: &str = "correct horse battery staple";

fn user(app: &TestApp, arguments: &[&str]) -> Finished {
    let arguments: Vec<_> = ["user"].iter().chain(arguments).copied().collect();
    ires_chat(&arguments, &[("DATABASE_URL", app.database.url())])
}

async fn erase(user: &TestUser, body: Value) -> crate::support::Reply {
    user.send_body(reqwest::Method::DELETE, "/users/me", body.to_string()).await
}

fn assert_sound(app: &TestApp) {
    let doctor = ires_chat(&["doctor"], &[("DATABASE_URL", app.database.url())]);
    assert_eq!(doctor.code, Some(0), "{}{}", doctor.stdout, doctor.stderr);
}

/// How often a text is anywhere in the database, but for the id of its user.
async fn occurrences(app: &TestApp, what: &str) -> i64 {
    app.number(&format!(
        "SELECT (SELECT count(*) FROM users WHERE concat(username, name, avatar_url) LIKE '%{what}%')
             + (SELECT count(*) FROM messages WHERE concat(content, delete_reason) LIKE '%{what}%')
             + (SELECT count(*) FROM message_edits WHERE content LIKE '%{what}%')
             + (SELECT count(*) FROM room_members WHERE ban_reason LIKE '%{what}%')"
    ))
    .await
}

#[tokio::test]
async fn an_erased_account_is_gone_at_once_and_what_it_said_stays_under_no_name() {
    let app = TestApp::start().await;
    let (erin, bob) = (app.register("erin-the-great").await, app.user("bob").await);
    let room = erin.create_room_with("den", &[&bob]).await;
    let direct = erin.post("/rooms", &json!({ "type": "direct", "participants": ["bob"] })).await.expect(201);
    let said = erin.say(&room, "I was here").await;
    erin.put(&format!("/rooms/{room}/read"), &json!({ "seq": said["seq"] })).await.expect(200);
    let (erins, bobs) = (erin.connect().await, bob.connect().await);
    assert_eq!(erase(&erin, json!({ "confirm": "wrong password" })).await.refused(401), "INVALID_CREDENTIALS");

    let gone = erase(&erin, json!({ "confirm": PASSWORD })).await.expect(202);

    assert_eq!(gone, json!({ "messages": "keep" }));
    assert_eq!(erins.expect("system:error").await["code"], "AUTH_REVOKED");
    assert_eq!(erin.get("/users/me").await.refused(401), "AUTH_REVOKED");
    let refresh = json!({ "refreshToken": erin.login["refreshToken"] });
    assert_eq!(app.post("/api/v1/auth/refresh", &refresh).await.status, 401);
    let login = json!({ "username": "erin-the-great", "password": PASSWORD });
    assert_eq!(app.post("/api/v1/auth/login", &login).await.refused(401), "INVALID_CREDENTIALS");
    let owner = bobs.expect_where("chat:room:member", |told| told["reason"] == "owner").await;
    assert_eq!(owner["userId"], "bob", "the room passes on");
    bobs.expect_where("chat:room:left", |left| left["roomId"] == room.as_str() && left["userId"] == erin.id.as_str()).await;
    bobs.expect_where("chat:room:left", |left| left["roomId"] == direct["id"]).await;
    let message = bob.get(&format!("/messages/{}", text(&said["id"]))).await.expect(200);
    assert_eq!((text(&message["content"]), text(&message["sender"]["name"])), ("I was here", "Deleted user"));
    let stub = bob.get(&format!("/users/{}", erin.id)).await.expect(200);
    assert_eq!(stub, json!({ "id": erin.id, "username": null, "name": "Deleted user", "avatarUrl": null, "userType": "user" }));
    assert_eq!(occurrences(&app, "erin-the-great").await, 0);
    let left = format!(
        "SELECT (SELECT count(*) FROM sessions WHERE user_id = '{id}') + (SELECT count(*) FROM last_seen WHERE user_id = '{id}')",
        id = erin.id
    );
    assert_eq!(app.number(&left).await, 0);
    let marked =
        format!("SELECT count(*) FROM room_members WHERE user_id = '{}' AND GREATEST(read_seq, public_read_seq, delivered_seq) > 0", erin.id);
    eventually("the end of markers", async || app.number(&marked).await == 0).await;
    app.register("erin-the-great").await;
    assert_sound(&app);
}

#[tokio::test]
async fn with_its_messages_an_account_leaves_stubs_and_takes_its_reactions_back() {
    let app = TestApp::start().await;
    let (erin, bob) = (app.user("erin").await, app.user("bob").await);
    let room = bob.create_room_with("den", &[&erin]).await;
    let (erins, bobs) = (erin.connect().await, bob.connect().await);
    let (first, bobs_own) = (erins.say(&room, "a secret").await, bobs.say(&room, "no secret").await);
    erins.emit_ok("chat:message:edit", &json!({ "messageId": first["id"], "content": "the secret" })).await;
    erins.emit_ok("chat:reaction:add", &json!({ "messageId": bobs_own["id"], "emoji": "👍" })).await;
    bobs.emit_ok("chat:reaction:add", &json!({ "messageId": bobs_own["id"], "emoji": "👍" })).await;
    erins.say(&room, "another secret").await;
    assert_eq!(erase(&erin, json!({ "confirm": "bob", "messages": "delete" })).await.refused(400), "VALIDATION_ERROR");
    assert_eq!(erase(&erin, json!({ "confirm": "erin", "messages": "burn" })).await.refused(400), "VALIDATION_ERROR");
    assert_eq!(erase(&erin, json!({})).await.refused(400), "VALIDATION_ERROR");
    assert_eq!(erin.get("/users/me").await.status, 200, "refused is refused");

    erase(&erin, json!({ "confirm": "erin", "messages": "delete" })).await.expect(202);

    let removed = bobs.expect("chat:reaction:removed").await;
    assert_eq!((text(&removed["userId"]), &removed["counts"]["👍"]), ("erin", &json!(1)));
    let deleted = bobs.expect("chat:message:deleted").await;
    assert_eq!((text(&deleted["deletedBy"]), deleted["messageIds"].as_array().unwrap().len()), ("author", 2), "{deleted}");
    assert_eq!(int(&deleted["seq"]), int(&removed["seq"]) + 1);
    assert_eq!(occurrences(&app, "secret").await, 1, "what others said");
    assert_eq!(bob.history(&room).await.iter().filter(|message| message["deletedAt"].is_string()).count(), 2);
    assert_sound(&app);
}

/// What somebody says when they delete a message is said, too.
#[tokio::test]
async fn with_its_messages_go_the_reasons_for_which_an_account_deleted_some() {
    let app = TestApp::start().await;
    let (erin, bob) = (app.user("erin").await, app.user("bob").await);
    let room = bob.create_room_with("den", &[&erin]).await;
    let (erins, bobs) = (erin.connect().await, bob.connect().await);
    let first = bobs.say(&room, "root").await;
    let reply = erins.emit_ok("chat:message", &json!({ "roomId": room, "content": "a reply", "threadRootId": first["id"] })).await;
    bobs.emit_ok("chat:message", &json!({ "roomId": room, "content": "another", "threadRootId": first["id"] })).await;
    let moderated = erins.say(&room, "moderated").await;
    erins.emit_ok("chat:message:delete", &json!({ "messageId": reply["id"], "reason": "I told a secret" })).await;
    bobs.emit_ok("chat:message:delete", &json!({ "messageId": moderated["id"], "reason": "off topic" })).await;
    assert_eq!(occurrences(&app, "secret").await, 1);

    erase(&erin, json!({ "confirm": "erin", "messages": "delete" })).await.expect(202);

    bobs.expect_where("chat:message:deleted", |told| told["messageIds"] == json!([reply["id"]]) && told.get("reason").is_none()).await;
    assert_eq!((occurrences(&app, "secret").await, occurrences(&app, "off topic").await), (0, 1), "a moderator's stays");
    assert_eq!(bob.get(&format!("/messages/{}", text(&first["id"]))).await.expect(200)["thread"]["replyCount"], 1);
    let changed = bob.get(&format!("/rooms/{room}/changes?since=5")).await.expect(200);
    let stub = changed["messages"].as_array().unwrap().iter().find(|message| message["id"] == reply["id"]).unwrap();
    assert!(stub["deletedAt"].is_string() && !stub.to_string().contains("secret"), "{stub}");
    eventually("the end", async || app.number("SELECT count(*) FROM erasures WHERE finished_at IS NOT NULL").await == 1).await;
    assert_sound(&app);
}

/// For a moment after the order another server may serve the user, who comes into a room there, speaks, and goes.
#[tokio::test]
async fn what_was_done_in_the_moment_after_the_order_goes_too() {
    let app = TestApp::start().await;
    let bob = app.user("bob").await;
    let mut people = 0;
    // The moment is three seconds. On a machine that stands still for so long it is missed: then somebody else tries.
    let erin = loop {
        people += 1;
        let erin = app.user(&format!("erin{people}")).await;
        let id = &erin.id;
        let (public, _den) = (bob.create_public_room("square").await, bob.create_room_with("den", &[&erin]).await);
        bob.say(&public, "hello").await;

        erase(&erin, json!({ "confirm": id, "messages": "delete" })).await.expect(202);
        let nil = "00000000-0000-0000-0000-000000000000";
        let order = format!("SELECT count(*) FROM erasures WHERE user_id = '{id}'");
        let moment = format!("{order} AND (done_room_id <> '{nil}' OR now() > ordered_at + interval '1.5 s')");
        eventually("a moment", async || app.number(&moment).await == 1).await;
        app.execute(&format!(
            "INSERT INTO room_members (room_id, user_id, state) VALUES ('{public}', '{id}', 'left');
             INSERT INTO messages (room_id, seq, id, author_id, type, content, rev)
                 VALUES ('{public}', 2, gen_random_uuid(), '{id}', 'text', 'a secret of {id}', 2);
             UPDATE rooms SET last_seq = 2, last_message_seq = 2 WHERE id = '{public}'"
        ))
        .await;
        if app.number(&format!("{order} AND now() < ordered_at + interval '3 s'")).await == 1 {
            break erin;
        }
    };

    let end = format!("SELECT count(*) FROM erasures WHERE user_id = '{}' AND finished_at IS NOT NULL", erin.id);
    eventually("the end", async || app.number(&end).await == 1).await;
    assert_eq!(occurrences(&app, &format!("secret of {}", erin.id)).await, 0);
    assert_sound(&app);
}

/// The surrounding system may go on to issue tokens for a subject.
#[tokio::test]
async fn a_token_of_an_erased_subject_does_not_make_the_account_anew() {
    let app = TestApp::with(&[("CHAT_REGISTRATION", "off")]).await;
    let (erin, bob) = (app.user("erin").await, app.user("bob").await);
    erin.connect().await;
    erase(&erin, json!({ "confirm": "erin" })).await.expect(202);
    let joined = "SELECT count(*) FROM room_members WHERE user_id = 'erin' AND state = 'joined'";
    eventually("the end of memberships", async || app.number(joined).await == 0).await;

    let named = token::with(&json!({ "sub": "erin", "name": "Erin again", "exp": 4_000_000_000_u64, "jti": "new" }));
    let again = app.holder("erin", named.clone());

    assert_eq!(again.get("/users/me").await.refused(401), "AUTH_REVOKED");
    assert_eq!(again.dial().refusal_code().await, "AUTH_REVOKED");
    assert_eq!(bob.get("/users/erin").await.expect(200)["name"], "Deleted user");
    assert_eq!(app.number(joined).await, 0);
    let room = bob.create_room("den").await;
    assert_eq!(bob.put(&format!("/rooms/{room}/members/erin"), &json!({})).await.refused(404), "USER_NOT_FOUND");
    let participants = json!({ "name": "den", "participants": ["erin", "somebody-new"] });
    assert_eq!(bob.post("/rooms", &participants).await.refused(404), "USER_NOT_FOUND");
    assert_eq!(user(&app, &["activate", "erin"]).code, Some(1));
    assert_eq!(again.get("/users/me").await.refused(401), "AUTH_REVOKED");
    assert_sound(&app);
}

#[tokio::test]
async fn an_operator_erases_for_good_and_more_than_once_is_no_more_than_once() {
    let app = TestApp::start().await;
    let (erin, bob) = (app.user("erin").await, app.user("bob").await);
    let room = bob.create_room_with("den", &[&erin]).await;
    erin.say(&room, "a secret").await;
    let bobs = bob.connect().await;

    let kept = user(&app, &["erase", "erin"]);
    assert_eq!((kept.code, kept.stdout.as_str()), (Some(0), "erased\n"), "{}", kept.stderr);
    bobs.expect("chat:room:left").await;
    assert_eq!(occurrences(&app, "a secret").await, 1);
    let seq = int(&bob.room(&room).await["lastSeq"]);
    assert_eq!(user(&app, &["erase", "erin"]).code, Some(0));
    assert_eq!(int(&bob.room(&room).await["lastSeq"]), seq, "nothing is done twice");
    let deleted = user(&app, &["erase", "erin", "--messages", "delete"]);
    assert_eq!(deleted.code, Some(0), "{}", deleted.stderr);

    bobs.expect("chat:message:deleted").await;
    assert_eq!(occurrences(&app, "a secret").await, 0);
    assert_eq!(user(&app, &["erase", "nobody"]).code, Some(1));
    assert_eq!(user(&app, &["erase", "erin", "--messages", "burn"]).code, Some(2));
    assert_sound(&app);
}

/// Whoever has a token of somebody's must not learn the password from it either.
#[tokio::test]
async fn guesses_at_the_password_by_way_of_an_erasure_are_limited_as_log_ins_are() {
    let app = TestApp::with(&[("CHAT_LIMITS", "on"), ("CHAT_LIMIT_LOGIN", "3/1/1h")]).await;
    let erin = app.register("erin").await;
    for guess in ["a guess", "another guess"] {
        assert_eq!(erase(&erin, json!({ "confirm": guess })).await.refused(401), "INVALID_CREDENTIALS");
    }

    assert_eq!(erase(&erin, json!({ "confirm": PASSWORD })).await.refused(429), "RATE_LIMITED");
    erin.get("/users/me").await.expect(200);
}

/// Another server may serve somebody for a moment longer, and requests may be under way.
#[tokio::test]
async fn who_still_believes_an_erased_session_gives_the_account_nothing_back() {
    let app = TestApp::start().await;
    let (_second, base) = app.second_server();
    let erin = app.user("erin").await;
    let there = erin.at(&base);
    there.patch("/users/me/presence", &json!({ "invisible": true })).await.expect(200);
    there.patch("/users/me", &json!({ "name": "Erin" })).await.expect(200);

    erase(&erin, json!({ "confirm": "erin" })).await.expect(202);
    let (named, hidden) = (json!({ "name": "Erin" }), json!({ "invisible": true }));
    let (named, _) = tokio::join!(there.patch("/users/me", &named), there.patch("/users/me/presence", &hidden));

    assert_eq!(named.refused(401), "AUTH_REVOKED");
    let stub = "SELECT count(*) FROM users WHERE id = 'erin' AND name = 'Deleted user' AND NOT invisible AND invisible_changed_at IS NULL";
    assert_eq!(app.number(stub).await, 1);
}

/// Whoever cleans up after a server writes when its users were last seen.
#[tokio::test]
async fn the_end_of_a_dead_server_says_nothing_of_who_was_erased_at_it() {
    let app = TestApp::with(&[("CHAT_PRESENCE_GRACE", "100ms")]).await;
    let (erin, _bob) = (app.user("erin").await, app.user("bob").await);
    erase(&erin, json!({ "confirm": "erin" })).await.expect(202);
    eventually("the end", async || app.number("SELECT count(*) FROM erasures WHERE finished_at IS NOT NULL").await == 1).await;

    app.execute(
        "INSERT INTO connections (id, node_id, user_id, since, shown, version)
         SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000001', id, now(), true, 1 FROM UNNEST(ARRAY['erin', 'bob']) AS id;
         INSERT INTO nodes (id, started_at, lease_until, version) VALUES ('00000000-0000-0000-0000-000000000001', now(), now(), 1)",
    )
    .await;

    eventually("the removal of the node", async || app.number("SELECT count(*) FROM nodes").await == 1).await;
    assert_eq!(app.number("SELECT count(*) FROM last_seen WHERE user_id = 'bob'").await, 1);
    assert_eq!(app.number("SELECT count(*) FROM last_seen WHERE user_id = 'erin'").await, 0);
}

/// The order is in the database, and each room that is done: whoever is killed amid it goes on after the last one.
#[tokio::test]
async fn an_erasure_that_no_server_finished_is_finished_by_the_next() {
    let mut app = TestApp::start().await;
    let (erin, bob) = (app.user("erin").await, app.user("bob").await);
    let mut rooms = Vec::new();
    for number in 0..8 {
        let room = bob.create_room_with(&format!("den {number}"), &[&erin]).await;
        erin.say(&room, "a secret").await;
        rooms.push(room);
    }
    app.kill_9();
    let ordered = user(&app, &["erase", "erin", "--messages", "delete"]);
    assert_eq!(ordered.code, Some(0), "{}", ordered.stderr);
    assert!(ordered.stdout.contains("as soon as a server"), "{}", ordered.stdout);
    assert_eq!(occurrences(&app, "a secret").await, 8);

    // Killed several times in the middle of it.
    for _ in 0..3 {
        app.start_again();
        let done = "SELECT count(*) FROM room_members WHERE user_id = 'erin' AND state = 'left'";
        eventually("a beginning", async || app.number(done).await > 0).await;
        app.kill_9();
    }
    app.start_again();

    eventually("the end", async || app.number("SELECT count(*) FROM erasures WHERE finished_at IS NOT NULL").await == 1).await;
    assert_eq!(occurrences(&app, "a secret").await, 0);
    let bob = bob.at(app.base());
    for room in rooms {
        // Left once, deleted once.
        assert_eq!(int(&bob.room(&room).await["lastSeq"]), 3, "{room}");
    }
    assert_sound(&app);
}

/// All pages of an export, put together.
async fn export(user: &TestUser) -> Value {
    let (mut all, mut cursor) = (json!({}), String::new());
    loop {
        let page = user.get(&format!("/users/me/export{cursor}")).await.expect(200);
        for (name, part) in page.as_object().unwrap() {
            match part.as_array() {
                Some(items) => {
                    let known = all.as_object_mut().unwrap().entry(name.as_str()).or_insert(json!([]));
                    known.as_array_mut().unwrap().extend(items.iter().cloned());
                }
                None if name == "profile" => all["profile"] = part.clone(),
                None => {}
            }
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("?cursor={next}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn an_export_holds_all_that_is_kept_of_its_user_and_no_secret() {
    let app = TestApp::start().await;
    let (erin, bob) = (app.register("erin").await, app.user("bob").await);
    let (room, left) = (bob.create_room_with("den", &[&erin]).await, bob.create_public_room("left").await);
    erin.join(&left).await;
    let there = erin.say(&left, "said where I am no more").await;
    erin.leave(&left).await;
    let (erins, bobs) = (erin.connect().await, bob.connect().await);
    let first = erins.say(&room, "first").await;
    for content in ["second", "third"] {
        erins.emit_ok("chat:message:edit", &json!({ "messageId": first["id"], "content": content })).await;
    }
    let bobs_own = bobs.say(&room, "not mine").await;
    erins.emit_ok("chat:reaction:add", &json!({ "messageId": bobs_own["id"], "emoji": "👍" })).await;
    erins.emit_ok("chat:message:pin", &json!({ "messageId": bobs_own["id"] })).await;
    erins.emit_ok("chat:read", &json!({ "roomId": room, "seq": bobs_own["seq"] })).await;
    erins.emit_ok("status:update", &json!({ "invisible": true })).await;
    for (by, reason) in [(&erins, "I told a secret"), (&bobs, "off topic")] {
        let gone = erins.say(&room, "gone").await;
        by.emit_ok("chat:message:delete", &json!({ "messageId": gone["id"], "reason": reason })).await;
    }

    let all = export(&erin).await;

    assert_eq!((text(&all["profile"]["username"]), &all["profile"]["hasPassword"]), ("erin", &json!(true)));
    assert_eq!(all["profile"]["invisible"], true);
    assert_eq!(all["sessions"].as_array().unwrap().len(), 1);
    let states: Vec<&str> = all["memberships"].as_array().unwrap().iter().map(|membership| text(&membership["state"])).collect();
    assert_eq!(states.iter().filter(|state| **state == "joined").count(), 2, "general and den: {states:?}");
    assert_eq!(states.iter().filter(|state| **state == "left").count(), 1);
    let messages = all["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 4, "{messages:?}");
    let reasons: Vec<&str> = messages.iter().filter_map(|message| message["deleteReason"].as_str()).collect();
    assert_eq!(reasons, ["I told a secret"], "what others say of it is theirs");
    for (id, content) in [(&first["id"], "third"), (&there["id"], "said where I am no more")] {
        assert!(messages.iter().any(|message| message["id"] == *id && message["content"] == content), "{content}: {messages:?}");
    }
    let edits: Vec<&str> = all["edits"].as_array().unwrap().iter().map(|edit| text(&edit["content"])).collect();
    assert_eq!(edits, ["first", "second"]);
    assert_eq!(all["reactions"][0]["messageId"], bobs_own["id"]);
    assert_eq!(all["pins"][0]["messageId"], bobs_own["id"]);
    let marked = all["memberships"].as_array().unwrap().iter().find(|membership| membership["roomId"] == room.as_str()).unwrap();
    for marker in ["readSeq", "deliveredSeq", "publicReadSeq", "publicDeliveredSeq"] {
        assert_eq!(marked[marker], bobs_own["seq"], "{marker}");
    }
    let whole = all.to_string();
    assert!(!whole.contains("not mine") && !whole.contains("$argon2") && !whole.contains(text(&erin.login["refreshToken"])), "{whole}");
    let printed = user(&app, &["export", &erin.id]);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    assert!(printed.stdout.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{}", printed.stdout);
    assert!(printed.stdout.contains("said where I am no more") && !printed.stdout.contains("$argon2"), "{}", printed.stdout);
    assert_eq!(user(&app, &["export", "nobody"]).code, Some(1));
}

/// More than a page of everything, in a room whose numbers are mostly those of others.
#[tokio::test]
async fn an_export_of_much_comes_in_pages_each_thing_once() {
    let app = TestApp::start().await;
    let (erin, bob) = (app.user("erin").await, app.user("bob").await);
    let room = bob.create_room_with("den", &[&erin]).await;
    app.execute(&format!(
        "INSERT INTO messages (room_id, seq, id, author_id, type, content, rev, edit_count, edited_at)
         SELECT '{room}', s, gen_random_uuid(), CASE WHEN s % 100 = 0 THEN 'erin' ELSE 'bob' END, 'text', 'text ' || s, s,
             CASE WHEN s = 100 THEN 250 ELSE 0 END, CASE WHEN s = 100 THEN now() END
         FROM generate_series(1, 25000) s;
         INSERT INTO message_edits (message_id, number, content, said_at, replaced_by)
         SELECT id, n, 'edit ' || n, now(), 'erin' FROM messages, generate_series(1, 250) n WHERE room_id = '{room}' AND seq = 100;
         UPDATE rooms SET last_seq = 25000, last_message_seq = 25000 WHERE id = '{room}'"
    ))
    .await;

    let all = export(&erin).await;

    let seqs: Vec<i64> = all["messages"].as_array().unwrap().iter().map(|message| int(&message["seq"])).collect();
    assert_eq!(seqs, (1..=250).map(|number| number * 100).collect::<Vec<_>>());
    let numbers: Vec<i64> = all["edits"].as_array().unwrap().iter().map(|edit| int(&edit["number"])).collect();
    assert_eq!(numbers, (1..=250).collect::<Vec<_>>());
    for cursor in ["", "x", "c2FpZDp4", "ZXhwb3J0OnNhaWQ6eDoxOjA"] {
        assert_eq!(erin.get(&format!("/users/me/export?cursor={cursor}")).await.refused(400), "VALIDATION_ERROR", "{cursor:?}");
    }
    assert_eq!(app.get("/api/v1/users/me/export").await.status, 401);
}
