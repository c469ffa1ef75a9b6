//! Retention: contract section 4, `chat:message:deleted` of many, and section 9.

use serde_json::{Value, json};

use sqlx::{Connection, PgConnection};

use crate::support::{
    Database, Finished, TestApp, TestSocket, TestUser, eventually, ids, ires_chat,
    json::{int, text},
};

fn retention(app: &TestApp, arguments: &[&str]) -> Finished {
    let arguments: Vec<_> = ["retention", "run"].iter().chain(arguments).copied().collect();
    ires_chat(&arguments, &[("DATABASE_URL", app.database.url())])
}

/// Fails unless the books are right.
fn assert_sound(app: &TestApp) {
    let doctor = ires_chat(&["doctor"], &[("DATABASE_URL", app.database.url())]);
    assert_eq!(doctor.code, Some(0), "{}{}", doctor.stdout, doctor.stderr);
}

/// Everything that was said in a room up to a number, a year ago.
async fn age(app: &TestApp, room: &str, until: i64) {
    app.execute(&format!("UPDATE messages SET created_at = created_at - interval '366 days' WHERE room_id = '{room}' AND seq <= {until}")).await;
}

/// A room in which a thread has gone on for a year, and which was told so; the number of the last old message.
async fn old_room(alice: &TestUser, socket: &TestSocket) -> (String, Value, i64) {
    let room = alice.create_room("den").await;
    let first = socket.say(&room, "secret beginning").await;
    let reply = json!({ "roomId": room, "content": "secret reply", "threadRootId": first["id"] });
    let old = socket.emit_ok("chat:message", &reply).await;
    socket.emit_ok("chat:message:edit", &json!({ "messageId": old["id"], "content": "secret edit" })).await;
    socket.emit_ok("chat:reaction:add", &json!({ "messageId": first["id"], "emoji": "👍" })).await;
    socket.emit_ok("chat:message:pin", &json!({ "messageId": first["id"] })).await;
    let last = socket.say(&room, "secret end").await;
    socket.emit_ok("chat:message", &json!({ "roomId": room, "content": "young reply", "threadRootId": first["id"] })).await;
    (room, first, int(&last["seq"]))
}

#[tokio::test]
async fn what_is_too_old_goes_under_one_number_and_is_told_by_one_event() {
    let database = Database::migrated().await;
    // The lock of whoever sweeps: held until there is something old.
    let mut held = PgConnection::connect(database.url()).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(7598247067590877556)").execute(&mut held).await.unwrap();
    let app = TestApp::on(database, &[("CHAT_RETENTION", "365d")]);
    let alice = app.user("alice").await;
    let socket = alice.connect().await;
    let (room, first, last) = old_room(&alice, &socket).await;
    age(&app, &room, last).await;
    let before = int(&alice.room(&room).await["lastSeq"]);
    held.close().await.unwrap();

    let told = socket.expect("chat:message:deleted").await;

    assert_eq!((int(&told["seq"]), text(&told["deletedBy"]), &told["reason"]), (before + 1, "retention", &Value::Null));
    assert_eq!((told["messageIds"].as_array().unwrap().len(), &told["messageIds"][0]), (3, &first["id"]));
    assert_eq!(int(&told["messageSeqs"][2]), last);
    let changes = alice.get(&format!("/rooms/{room}/changes?since={before}")).await.expect(200);
    assert_eq!((&changes["limited"], int(&changes["toSeq"])), (&json!(false), before + 1));
    assert_eq!(changes["messages"].as_array().unwrap().len(), 3, "{changes}");
    for message in changes["messages"].as_array().unwrap() {
        assert_eq!((text(&message["content"]), text(&message["deletedBy"]), int(&message["rev"])), ("", "retention", before + 1));
    }
    let thread = alice.get(&format!("/messages/{}/thread", text(&first["id"]))).await.expect(200);
    assert_eq!(int(&thread["root"]["thread"]["replyCount"]), 1, "the young reply is there: {thread}");
    let dump = "SELECT (SELECT count(*) FROM messages WHERE content LIKE '%secret%') + (SELECT count(*) FROM message_edits) + (SELECT count(*) FROM reactions)";
    assert_eq!(app.number(dump).await, 0);
    socket.say(&room, "still here").await;
    assert_eq!(int(&alice.room(&room).await["lastSeq"]), before + 2, "numbers stay dense");
    assert_sound(&app);
}

#[tokio::test]
async fn the_command_deletes_by_hand_and_a_sync_finds_it() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let (room, _, last) = old_room(&alice, &alice.connect().await).await;
    let other = alice.create_room("other").await;
    alice.say(&other, "old, too").await;
    age(&app, &room, last).await;
    age(&app, &other, 100).await;
    let before = int(&alice.room(&room).await["lastSeq"]);

    let dry = retention(&app, &["--older-than", "365d", "--dry-run"]);
    assert_eq!(int(&alice.room(&room).await["lastSeq"]), before, "a dry run changes nothing");
    let one = retention(&app, &["--older-than", "365d", "--room", &room]);
    let again = retention(&app, &["--older-than", "365d", "--room", &room]);

    assert_eq!((dry.code, one.code, again.code), (Some(0), Some(0), Some(0)), "{}{}", dry.stderr, one.stderr);
    assert!(dry.stdout.contains(&format!("room {room}: 3 messages would be deleted")) && dry.stdout.contains("\n4 messages"), "{}", dry.stdout);
    assert_eq!(one.stdout, format!("room {room}: 3 messages deleted\n3 messages deleted\n"));
    assert_eq!(again.stdout, "0 messages deleted\n");
    assert_eq!(alice.history(&other).await[0]["content"], "old, too", "another room");
    let changes = alice.get(&format!("/rooms/{room}/changes?since={before}")).await.expect(200);
    assert_eq!((int(&changes["toSeq"]), ids(&changes["messages"]).len()), (before + 1, 3));
    assert_sound(&app);
}

#[tokio::test]
async fn a_sweep_that_cannot_be_meant_is_refused() {
    let app = TestApp::start().await;

    for (arguments, code) in [
        (vec!["--older-than", "5m"], 2),
        (vec!["--older-than", "soon"], 2),
        (vec![], 2),
        (vec!["--older-than", "1h", "--room", "nowhere"], 1),
        (vec!["--older-than", "1h", "--room", "01890a5d-ac96-774b-bcce-b302099a8057"], 1),
        (vec!["--older-than", "1h", "--room", "a b"], 1),
    ] {
        let refused = retention(&app, &arguments);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(code), ""), "{arguments:?}: {}", refused.stderr);
    }
}

/// Many more than are deleted under one number, in a room whose members were away: whatever they ask for, they end with stubs.
#[tokio::test]
async fn after_thousands_were_deleted_a_sync_is_complete_or_says_what_is_missing() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    app.execute(&format!(
        "INSERT INTO messages (room_id, seq, id, author_id, type, content, rev, created_at)
         SELECT '{room}', s, gen_random_uuid(), 'alice', 'text', 'old', s, now() - interval '2 years' FROM generate_series(1, 2600) s;
         INSERT INTO messages (room_id, seq, id, author_id, type, content, rev) VALUES ('{room}', 2601, gen_random_uuid(), 'alice', 'text', 'young', 2601);
         UPDATE rooms SET last_seq = 2601, last_message_seq = 2601 WHERE id = '{room}'"
    ))
    .await;

    let swept = retention(&app, &["--older-than", "365d"]);

    assert_eq!(swept.stdout, format!("room {room}: 2600 messages deleted\n2600 messages deleted\n"), "{}", swept.stderr);
    assert_eq!(int(&alice.room(&room).await["lastSeq"]), 2601 + 6, "500 under one number");
    for limit in [1, 100, 700, 1000] {
        let changes = alice.get(&format!("/rooms/{room}/changes?since=2601&limit={limit}")).await.expect(200);
        // Six numbers hold more than an answer does: the newest of them are there as a whole.
        assert_eq!((&changes["limited"], int(&changes["toSeq"])), (&json!(true), 2607), "{limit}");
        let (newest, until) = (changes["messages"].as_array().unwrap(), int(&changes["gap"]["until"]));
        let expected = if until == 2606 { 100 } else { 100 + 500 * usize::try_from(2606 - until).unwrap() };
        assert_eq!(newest.len(), expected, "limit {limit}, until {until}");
    }
    let (mut since, mut seen) = (2601, 0);
    loop {
        let page = alice.get(&format!("/rooms/{room}/changes?since={since}&until=2607&limit=10")).await.expect(200);
        seen += page["messages"].as_array().unwrap().len();
        since = int(&page["toSeq"]);
        if page["hasMore"] == false {
            break;
        }
    }
    assert_eq!((seen, since), (2600, 2607));
    assert_sound(&app);
}

#[tokio::test]
async fn the_index_of_searches_forgets_what_was_deleted_together() {
    let app = TestApp::with(&[("CHAT_SEARCH_BLOCK", "8")]).await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    app.execute(&format!(
        "INSERT INTO messages (room_id, seq, id, author_id, type, content, rev, created_at)
         SELECT '{room}', s, gen_random_uuid(), 'alice', 'text', 'xylophone ' || s, s, now() - interval '2 years' FROM generate_series(1, 450) s;
         UPDATE rooms SET last_seq = 450, last_message_seq = 450 WHERE id = '{room}'"
    ))
    .await;
    alice.say(&room, "hello").await;
    let indexed = format!("SELECT COALESCE(max(indexed_seq), 0) FROM search_rooms WHERE room_id = '{room}'");
    eventually("an index", async || app.number(&indexed).await >= 450).await;
    let postings = format!("SELECT count(*) FROM search_postings p JOIN search_segments s ON s.id = p.segment_id WHERE s.room_id = '{room}'");
    assert!(app.number(&postings).await > 100);

    assert!(retention(&app, &["--older-than", "365d"]).stdout.contains("450 messages"));
    alice.say(&room, "hello again").await;

    // All of them, though more changed under one number than the worker looks at together.
    eventually("a small index", async || app.number(&postings).await < 20).await;
    assert_sound(&app);
}
