//! Plans that were made while the database was empty, and are kept: a server that has run since its first day must not read whole
//! tables when they have grown. Nothing analyses the tables here, as if they had grown within the last minute.

use serde_json::json;
use sqlx::Row;

use crate::support::{TestApp, TestSocket, TestUser, eventually, json::text};

/// Postgres settles on one plan for all arguments after five executions.
const UNTIL_SETTLED: usize = 7;
/// Rows of each table that come between.
const ROWS: i64 = 30_000;

/// What people do all day, once.
async fn a_day(alice: &TestUser, socket: &TestSocket, room: &str) {
    let first = socket.say(room, "Good morning").await;
    let id = text(&first["id"]);
    socket.emit_ok("chat:message", &json!({ "roomId": room, "content": "Good morning to you", "threadRootId": id })).await;
    socket.emit_ok("chat:message", &json!({ "roomId": room, "content": "and again", "clientMsgId": id })).await;
    socket.emit_ok("chat:message:edit", &json!({ "messageId": id, "content": "Good evening" })).await;
    socket.emit_ok("chat:reaction:add", &json!({ "messageId": id, "emoji": "👍" })).await;
    socket.emit_ok("chat:message:pin", &json!({ "messageId": id })).await;
    socket.emit_ok("chat:read", &json!({ "roomId": room, "seq": first["seq"] })).await;
    socket.emit_ok("chat:sync", &json!({ "rooms": { (room): 1 } })).await;
    socket.emit_ok("chat:room:join", &json!(room)).await;
    for path in [
        format!("/rooms/{room}/messages?limit=20"),
        format!("/rooms/{room}/messages?first_unread=true&limit=20"),
        format!("/rooms/{room}/changes?since=1"),
        format!("/rooms/{room}/members"),
        format!("/rooms/{room}/threads"),
        format!("/messages/{id}"),
        format!("/messages/{id}/edits"),
        format!("/messages/{id}/thread"),
        "/rooms?scope=mine".to_owned(),
        "/rooms?scope=public".to_owned(),
        format!("/rooms/{room}/presence"),
    ] {
        alice.get(&path).await.expect(200);
    }
    socket.emit_ok("chat:message:delete", &json!({ "messageId": id })).await;
    // Somebody comes.
    alice.connect().await.close().await;
}

#[tokio::test]
async fn plans_made_on_an_empty_database_read_no_table_or_index_as_a_whole_when_it_has_grown() {
    let mut app = TestApp::start().await;
    let (alice, other) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&other]).await;
    let socket = alice.connect().await;
    for _ in 0..UNTIL_SETTLED {
        a_day(&alice, &socket, &room).await;
    }
    app.execute(&format!(
        "INSERT INTO users (id, name) SELECT 'u' || n, 'Name ' || n FROM generate_series(1, {ROWS}) n;
         INSERT INTO sessions (id, user_id, token_key, expires_at)
             SELECT gen_random_uuid(), id, sha256(id::bytea), now() + interval '1 day' FROM users WHERE id LIKE 'u%';
         INSERT INTO rooms (id, type, name, created_by, last_seq, last_message_seq)
             SELECT gen_random_uuid(), 'group', 'Room ' || n, 'u' || n, 1, 1 FROM generate_series(1, {ROWS}) n;
         INSERT INTO room_members (room_id, user_id) SELECT id, created_by FROM rooms WHERE created_by LIKE 'u%';
         INSERT INTO messages (room_id, seq, id, author_id, type, content, rev)
             SELECT id, 1, gen_random_uuid(), created_by, 'text', 'hello', 1 FROM rooms WHERE created_by LIKE 'u%';
         INSERT INTO reactions (message_id, emoji, user_id, room_id, seq) SELECT id, ':x:', author_id, room_id, 1 FROM messages WHERE author_id LIKE 'u%';
         INSERT INTO message_edits (message_id, number, content, said_at, replaced_by) SELECT id, 1, 'x', now(), author_id FROM messages WHERE author_id LIKE 'u%';
         INSERT INTO last_seen (user_id, last_seen_at) SELECT id, now() FROM users WHERE id LIKE 'u%'"
    ))
    .await;
    let written = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'last_seen'";
    eventually("statistics of the writes", async || app.number(written).await >= ROWS).await;
    app.writers_are_gone().await;
    let read = "SELECT relname::text, seq_tup_read FROM pg_stat_user_tables WHERE relname <> '_sqlx_migrations'
        UNION ALL SELECT indexrelname::text, idx_tup_read FROM pg_stat_user_indexes ORDER BY 1";
    let before = app.rows(read).await;

    for _ in 0..2 {
        a_day(&alice, &socket, &room).await;
    }

    // Statistics reach the view when a connection ends.
    drop(socket);
    app.stop();
    let used = "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'messages'";
    eventually("statistics of the reads", async || app.number(used).await > 20).await;
    app.writers_are_gone().await;
    let mut scanned = Vec::new();
    for (before, after) in before.iter().zip(&app.rows(read).await) {
        let rows = after.get::<i64, _>(1) - before.get::<i64, _>(1);
        if rows >= ROWS {
            scanned.push((after.get::<String, _>(0), rows));
        }
    }
    assert!(scanned.is_empty(), "rows were read one by one: {scanned:?}");
}
