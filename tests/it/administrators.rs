//! What administrators, users of type `admin`, may do over REST: `GET /users/{id}/export`, `DELETE /users/{id}`, `/retention`.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::support::{
    Reply, TestApp, TestUser, eventually, ires_chat,
    json::{int, text},
};

const NONE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
/// Everything that only administrators may ask for, in a form that is good.
const ACTS: [(&str, &str); 5] =
    [("GET", "/users/{id}/export"), ("GET", "/users/{id}/export?cursor=x"), ("DELETE", "/users/{id}"), ("GET", "/retention"), ("POST", "/retention")];

async fn ask(user: &TestUser, method: &str, path: &str, body: &Value) -> Reply {
    let request = user.request(method.parse().unwrap(), path);
    Reply::of(if method == "GET" { request } else { request.json(body) }).await
}

async fn erase(admin: &TestUser, id: &str, body: Value) -> Reply {
    admin.send_body(Method::DELETE, &format!("/users/{id}"), body.to_string()).await
}

/// Waits until no sweep is under way, and gives the last one.
async fn swept(admin: &TestUser) -> Value {
    let latest = async || admin.get("/retention").await.expect(200)["run"].clone();
    eventually("the end of the sweep", async || latest().await["state"] != "running").await;
    latest().await
}

/// Something that was said so many times two years ago, in a room of its own.
async fn old_room(app: &TestApp, owner: &TestUser, messages: i64) -> String {
    let room = owner.create_room("old").await;
    app.execute(&format!(
        "INSERT INTO messages (room_id, seq, id, author_id, type, content, rev, created_at)
         SELECT '{room}', s, gen_random_uuid(), '{}', 'text', 'a secret', s, now() - interval '2 years' FROM generate_series(1, {messages}) s;
         UPDATE rooms SET last_seq = {messages}, last_message_seq = {messages} WHERE id = '{room}'",
        owner.id
    ))
    .await;
    room
}

async fn living(app: &TestApp, room: &str) -> i64 {
    app.number(&format!("SELECT count(*) FROM messages WHERE room_id = '{room}' AND deleted_at IS NULL")).await
}

fn assert_sound(app: &TestApp) {
    let doctor = ires_chat(&["doctor"], &[("DATABASE_URL", app.database.url())]);
    assert_eq!(doctor.code, Some(0), "{}{}", doctor.stdout, doctor.stderr);
}

/// The lines of a log in JSON that say this, with these fields.
fn lines(app: &TestApp, words: &str, fields: &Value) -> usize {
    let logs = app.logs();
    let lines = logs.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == words && fields.as_object().unwrap().iter().all(|(name, value)| line[name] == *value)).count()
}

#[tokio::test]
async fn nobody_else_may_and_nobody_else_learns_who_is_there() {
    let app = TestApp::start().await;
    let (alice, bot) = (app.user("alice").await, app.user_of_type("robot", "bot").await);
    let admin = app.administrator("root").await;
    // The owner of a room is no administrator.
    alice.create_room("den").await;

    for caller in [&alice, &bot] {
        for (method, path) in ACTS {
            let mut answers = Vec::new();
            for id in ["root", "nobody", "alice", "%00", "%ff"] {
                // What is wrong with a request is not told either.
                for body in [json!({ "confirm": "root", "olderThan": "1h", "dryRun": true }), json!({})] {
                    let mut reply = ask(caller, method, &path.replace("{id}", id), &body).await;
                    assert_eq!(reply.refused(403), "FORBIDDEN", "{method} {path} {id}");
                    let answer = reply.body.as_object_mut().unwrap();
                    for member in ["traceId", "timestamp"] {
                        answer.remove(member);
                    }
                    answers.push(reply.body);
                }
            }
            answers.dedup();
            assert_eq!(answers.len(), 1, "{method} {path}: {answers:?}");
        }
    }

    let users = app.number("SELECT count(*) FROM users WHERE erased_at IS NULL").await;
    assert_eq!(users, 3, "refused is refused");
    admin.get("/users/alice/export").await.expect(200);
    assert_eq!(admin.get("/retention").await.expect(200), json!({ "run": null }));
}

/// Rights come from what is known of a user, as long as it is so.
#[tokio::test]
async fn who_is_no_administrator_any_more_may_no_longer() {
    let app = TestApp::start().await;
    let (admin, _alice) = (app.administrator("root").await, app.user("alice").await);
    admin.get("/users/alice/export").await.expect(200);

    app.execute("UPDATE users SET user_type = 'user' WHERE id = 'root'").await;

    // The server believes what it found for a second.
    eventually("the end of it", async || admin.get("/users/alice/export").await.status == 403).await;
}

#[tokio::test]
async fn an_administrator_is_shown_what_is_kept_of_a_user_as_the_user_is_and_the_log_says_so() {
    let app = TestApp::with(&[("LOG_FORMAT", "json")]).await;
    let (admin, erin, bob) = (app.administrator("root").await, app.register("erin").await, app.user("bob").await);
    let room = erin.create_room_with("den", &[&bob]).await;
    erin.say(&room, "a secret of mine").await;
    bob.say(&room, "not hers").await;
    let (own, hers) = ("/users/me/export", format!("/users/{}/export", erin.id));

    let (mut cursor, mut pages, mut whole) = (String::new(), 0, String::new());
    loop {
        let page = admin.get(&format!("{hers}{cursor}")).await;
        assert_eq!(page.body, erin.get(&format!("{own}{cursor}")).await.expect(200), "{cursor:?}");
        pages += 1;
        whole += &page.text;
        match page.expect(200)["nextCursor"].as_str() {
            Some(next) => cursor = format!("?cursor={next}"),
            None => break,
        }
    }

    assert!(whole.contains("a secret of mine") && whole.contains("\"erin\"") && !whole.contains("not hers"), "{whole}");
    assert!(!whole.contains("$argon2") && !whole.contains(text(&erin.login["refreshToken"])), "{whole}");
    let shown = "an administrator was shown what is kept of a user";
    eventually("the lines", async || lines(&app, shown, &json!({ "by": "root", "user.id": erin.id })) == pages).await;
    assert_eq!(lines(&app, shown, &json!({})), pages, "who looks at what is their own is nobody's business");
    assert!(!app.logs().contains("a secret of mine"));
}

#[tokio::test]
async fn an_export_that_cannot_be_meant_is_refused() {
    let app = TestApp::start().await;
    let admin = app.administrator("root").await;
    let (erin, bob) = (app.user("erin").await, app.user("bob").await);
    let next = |page: Value| text(&page["nextCursor"]).to_owned();
    let (erins, bobs) = (next(admin.get("/users/erin/export").await.expect(200)), next(bob.get("/users/me/export").await.expect(200)));
    admin.get(&format!("/users/erin/export?cursor={erins}")).await.expect(200);
    admin.get(&format!("/users/bob/export?cursor={bobs}")).await.expect(200);

    for unknown in ["nobody", "%00", &"x".repeat(129)] {
        assert_eq!(admin.get(&format!("/users/{unknown}/export")).await.refused(404), "USER_NOT_FOUND", "{unknown}");
    }
    assert_eq!(admin.get(&format!("/users/nobody/export?cursor={erins}")).await.refused(404), "USER_NOT_FOUND");
    for (whose, cursor) in [("erin", bobs.as_str()), ("bob", &erins), ("bob", "x"), ("bob", ""), ("root", &erins)] {
        let refused = admin.get(&format!("/users/{whose}/export?cursor={cursor}")).await;
        assert_eq!(refused.refused(400), "VALIDATION_ERROR", "{whose} {cursor}");
    }
    assert_eq!(erin.get(&format!("/users/me/export?cursor={bobs}")).await.refused(400), "VALIDATION_ERROR");
    assert_eq!(bob.get(&format!("/users/me/export?cursor={erins}")).await.refused(400), "VALIDATION_ERROR");
}

#[tokio::test]
async fn an_administrator_erases_an_account_for_good_and_more_than_once_is_no_more_than_once() {
    let app = TestApp::with(&[("LOG_FORMAT", "json")]).await;
    let (admin, erin, bob) = (app.administrator("root").await, app.register("erin").await, app.user("bob").await);
    let room = bob.create_room_with("den", &[&erin]).await;
    erin.say(&room, "a secret").await;
    let (erins, bobs) = (erin.connect().await, bob.connect().await);

    let kept = erase(&admin, &erin.id, json!({ "confirm": erin.id })).await.expect(202);

    assert_eq!(kept, json!({ "messages": "keep" }));
    assert_eq!(erins.expect("system:error").await["code"], "AUTH_REVOKED");
    assert_eq!(erin.get("/users/me").await.refused(401), "AUTH_REVOKED");
    bobs.expect_where("chat:room:left", |left| left["roomId"] == room.as_str() && left["userId"] == erin.id.as_str()).await;
    assert_eq!(bob.history(&room).await[0]["content"], "a secret");
    let page = admin.get(&format!("/users/{}/export", erin.id)).await.expect(200);
    assert_eq!((&page["profile"]["name"], &page["profile"]["hasPassword"]), (&json!("Deleted user"), &json!(false)));
    let seq = int(&bob.room(&room).await["lastSeq"]);
    erase(&admin, &erin.id, json!({ "confirm": erin.id, "messages": "keep" })).await.expect(202);
    assert_eq!(int(&bob.room(&room).await["lastSeq"]), seq, "nothing is done twice");
    let deleted = erase(&admin, &erin.id, json!({ "confirm": erin.id, "messages": "delete" })).await.expect(202);
    assert_eq!(deleted, json!({ "messages": "delete" }));
    assert_eq!(bobs.expect("chat:message:deleted").await["deletedBy"], "author");
    eventually("the end", async || app.number("SELECT count(*) FROM erasures WHERE finished_at IS NOT NULL").await == 1).await;
    let said = |messages: &str| lines(&app, "an account was erased", &json!({ "by": "root", "user.id": erin.id, "messages": messages }));
    eventually("the last line", async || said("Delete") == 1).await;
    assert_eq!(said("Keep"), 2, "a line for each order:\n{}", app.logs());
    assert_sound(&app);
}

#[tokio::test]
async fn an_erasure_by_an_administrator_that_cannot_be_meant_is_refused() {
    let app = TestApp::start().await;
    let admin = app.administrator("root").await;
    let (erin, _other) = (app.user("erin").await, app.administrator("other").await);

    for body in [
        json!({ "confirm": "root" }),
        json!({ "confirm": "ERIN" }),
        json!({ "confirm": "" }),
        json!({ "confirm": 5 }),
        json!({}),
        json!({ "confirm": "erin", "messages": "burn" }),
    ] {
        assert_eq!(erase(&admin, "erin", body.clone()).await.refused(400), "VALIDATION_ERROR", "{body}");
    }
    assert_eq!(admin.delete("/users/erin").await.refused(400), "PAYLOAD_INVALID");
    for unknown in ["nobody", "%00", &"x".repeat(129)] {
        assert_eq!(erase(&admin, unknown, json!({ "confirm": unknown })).await.refused(404), "USER_NOT_FOUND", "{unknown}");
    }
    // Their own they erase as everybody does, which asks for a password where there is one.
    assert_eq!(erase(&admin, "root", json!({ "confirm": "root" })).await.refused(403), "FORBIDDEN");
    for user in [&erin, &admin] {
        user.get("/users/me").await.expect(200);
    }

    erase(&admin, "other", json!({ "confirm": "other" })).await.expect(202);
    erase(&admin, "me", json!({ "confirm": "root" })).await.expect(202);
    assert_eq!(admin.get("/retention").await.refused(401), "AUTH_REVOKED");
}

#[tokio::test]
async fn a_sweep_is_counted_first_then_done_and_told_and_the_log_says_who_ordered_it() {
    let app = TestApp::with(&[("LOG_FORMAT", "json")]).await;
    let (admin, alice) = (app.administrator("root").await, app.user("alice").await);
    let (room, other) = (old_room(&app, &alice, 700).await, old_room(&app, &alice, 2).await);
    alice.say(&room, "young").await;
    let socket = alice.connect().await;

    let all = admin.post("/retention", &json!({ "olderThan": "365d", "dryRun": true })).await.expect(200);
    let one = admin.post("/retention", &json!({ "olderThan": "365d", "dryRun": true, "roomId": other })).await.expect(200);

    assert_eq!((text(&all["state"]), int(&all["messages"]), int(&all["rooms"]), text(&all["by"])), ("finished", 702, 2, "root"), "{all}");
    assert_eq!(all["byRoom"], json!([{ "roomId": room, "messages": 700 }, { "roomId": other, "messages": 2 }]));
    assert_eq!((int(&one["messages"]), &one["roomId"], &one["dryRun"]), (2, &json!(other), &json!(true)), "{one}");
    assert_eq!(living(&app, &room).await, 701, "nothing was deleted");
    assert_eq!(admin.get("/retention").await.expect(200)["run"], Value::Null, "a count is no sweep");

    let begun = admin.post("/retention", &json!({ "olderThan": "365d", "roomId": room })).await.expect(202);

    assert_eq!((text(&begun["state"]), &begun["dryRun"], &begun["endedAt"]), ("running", &json!(false), &Value::Null), "{begun}");
    let told = socket.expect("chat:message:deleted").await;
    assert_eq!((text(&told["roomId"]), text(&told["deletedBy"]), int(&told["seq"])), (room.as_str(), "retention", 702), "{told}");
    assert_eq!(int(&socket.expect("chat:message:deleted").await["seq"]), 703);
    let ended = swept(&admin).await;
    assert_eq!((text(&ended["state"]), int(&ended["messages"]), int(&ended["rooms"])), ("finished", 700, 1), "{ended}");
    assert!(ended["endedAt"].is_string() && ended["startedAt"] == begun["startedAt"] && ended["before"] == begun["before"], "{ended}");
    assert_eq!((living(&app, &room).await, living(&app, &other).await), (1, 2), "another room");
    admin.post("/retention", &json!({ "olderThan": "365d", "roomId": room })).await.expect(202);
    assert_eq!(int(&swept(&admin).await["messages"]), 0, "nothing is done twice");
    let said = |words: &str, fields: Value| lines(&app, words, &fields);
    eventually("the last line", async || said("a sweep that was ordered is finished", json!({ "messages": 0 })) == 1).await;
    assert_eq!(said("an administrator ordered a sweep", json!({ "by": "root", "room.id": room, "dry": false })), 2, "{}", app.logs());
    assert_eq!(said("an administrator ordered a sweep", json!({ "by": "root", "dry": true })), 2);
    assert_eq!(said("a sweep that was ordered is finished", json!({ "by": "root", "messages": 700, "rooms": 1 })), 1);
    assert!(!app.logs().contains("a secret"));
    assert_sound(&app);
}

#[tokio::test]
async fn a_sweep_by_an_administrator_that_cannot_be_meant_is_refused() {
    let app = TestApp::start().await;
    let (admin, alice) = (app.administrator("root").await, app.user("alice").await);
    let room = old_room(&app, &alice, 1).await;

    for old in [json!("5m"), json!("0s"), json!("59m"), json!("soon"), json!("-1d"), json!(""), json!("100000d"), json!(365), Value::Null] {
        for dry in [false, true] {
            let refused = admin.post("/retention", &json!({ "olderThan": old, "dryRun": dry })).await;
            assert_eq!(refused.refused(400), "VALIDATION_ERROR", "{old}");
            assert!(refused.body["fields"]["olderThan"].is_array(), "{}", refused.text);
        }
    }
    for (field, wrong) in [("dryRun", json!("yes")), ("roomId", json!(5)), ("roomId", json!("")), ("roomId", json!("a\u{0}b"))] {
        let refused = admin.post("/retention", &json!({ "olderThan": "1h", field: wrong })).await;
        assert_eq!(refused.refused(400), "VALIDATION_ERROR", "{field} {wrong}");
    }
    for nowhere in ["nowhere", "a b", NONE] {
        let refused = admin.post("/retention", &json!({ "olderThan": "1h", "roomId": nowhere })).await;
        assert_eq!(refused.refused(404), "ROOM_NOT_FOUND", "{nowhere}");
    }

    assert_eq!((living(&app, &room).await, &admin.get("/retention").await.expect(200)["run"]), (1, &Value::Null));
}

#[tokio::test]
async fn one_sweep_runs_at_a_time_and_a_server_that_stops_ends_it_between_two_acts() {
    let mut app = TestApp::with(&[("CHAT_DATABASE_TIMEOUT", "2m")]).await;
    let (admin, alice) = (app.administrator("root").await, app.user("alice").await);
    let room = old_room(&app, &alice, 20_000).await;
    let order = json!({ "olderThan": "365d" });
    let socket = alice.connect().await;
    // The second act waits until the server has heard that it is to stop.
    let mut held = app.sql().await;
    let second = format!("BEGIN; SELECT FROM messages WHERE room_id = '{room}' AND seq = 501 FOR UPDATE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(second)).execute(&mut held).await.unwrap();
    admin.post("/retention", &order).await.expect(202);
    socket.expect("chat:message:deleted").await;

    assert_eq!(admin.post("/retention", &order).await.refused(409), "CONFLICT");
    let count = json!({ "olderThan": "365d", "dryRun": true, "roomId": "general" });
    admin.post("/retention", &count).await.expect(200);
    let under_way = async || admin.get("/retention").await.expect(200)["run"].clone();
    eventually("how far it has come", async || int(&under_way().await["messages"]) == 500).await;
    let run = under_way().await;
    assert_eq!((text(&run["state"]), int(&run["rooms"])), ("running", 1), "{run}");
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("the second act", async || app.number(waiting).await > 0).await;
    app.begin_to_stop();
    let refused = async || socket.emit("status:typing", &json!({ "isTyping": true })).await["ok"] == false;
    eventually("a refusal", refused).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut held).await.unwrap();
    assert_eq!(app.ended(Duration::from_secs(15)).await.code(), Some(0));

    eventually("its line", async || app.logs().contains("a sweep that was ordered was interrupted")).await;
    let left = living(&app, &room).await;
    assert!((500..20_000).contains(&left) && left % 500 == 0, "{left}");
    socket.disconnected().await;
    let told: Vec<i64> = socket.seen("chat:message:deleted").iter().map(|told| int(&told["seq"])).collect();
    assert_eq!(told, (20_001..=20_000 + (20_000 - left) / 500).collect::<Vec<_>>(), "what was deleted was told");
    app.start_again();
    let admin = admin.at(app.base());
    assert_eq!(admin.get("/retention").await.expect(200)["run"], Value::Null, "an order does not outlive its server");
    assert_eq!(living(&app, &room).await, left);
    // It goes on where the last one ended.
    app.execute(&format!("UPDATE messages SET created_at = now() WHERE room_id = '{room}' AND seq > {}", 20_000 - left + 700)).await;
    admin.post("/retention", &order).await.expect(202);
    assert_eq!(int(&swept(&admin).await["messages"]), 700);
    assert_sound(&app);
}

#[tokio::test]
async fn a_count_that_takes_too_long_is_answered_in_time_and_says_so() {
    let app = TestApp::start().await;
    let (admin, alice) = (app.administrator("root").await, app.user("alice").await);
    old_room(&app, &alice, 3).await;
    let count = json!({ "olderThan": "365d", "dryRun": true });
    assert_eq!(int(&admin.post("/retention", &count).await.expect(200)["messages"]), 3);
    let mut held = PgConnection::connect(app.database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE messages IN ACCESS EXCLUSIVE MODE").execute(&mut held).await.unwrap();

    let counted = admin.post("/retention", &count).await.expect(200);

    assert_eq!((text(&counted["state"]), int(&counted["messages"])), ("interrupted", 0), "{counted}");
}

/// What it cannot do now, a sweep does not go on to try.
#[tokio::test]
async fn a_sweep_that_fails_says_so_and_may_be_ordered_again() {
    let app = TestApp::start().await;
    let (admin, alice) = (app.administrator("root").await, app.user("alice").await);
    let room = old_room(&app, &alice, 3).await;
    let mut held = PgConnection::connect(app.database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE messages IN EXCLUSIVE MODE").execute(&mut held).await.unwrap();
    admin.post("/retention", &json!({ "olderThan": "365d" })).await.expect(202);

    assert_eq!(text(&swept(&admin).await["state"]), "interrupted");
    sqlx::raw_sql("ROLLBACK").execute(&mut held).await.unwrap();
    admin.post("/retention", &json!({ "olderThan": "365d" })).await.expect(202);

    assert_eq!(text(&swept(&admin).await["state"]), "finished");
    assert_eq!(living(&app, &room).await, 0);
}
