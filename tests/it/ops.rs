//! What an operator sees of a running server in `psql`: views, names of connections, time limits. Contract section 9.

use serde_json::json;
use sqlx::Row;

use crate::support::{TestApp, eventually, ires_chat, json::text};

#[tokio::test]
async fn ops_rooms_shows_what_the_rooms_are_like() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let said = alice.say(&room, "hello").await;
    alice.patch(&format!("/rooms/{room}"), &json!({ "slowMode": 30 })).await.expect(200);

    let rows = app
        .rows(&format!("SELECT name, type, members, owner, last_number, last_message_at, archived, slow_mode_seconds, not_indexed FROM ops_rooms WHERE id = '{room}'"))
        .await;

    let row = &rows[0];
    assert_eq!((row.get::<&str, _>("name"), row.get::<&str, _>("owner"), row.get::<i32, _>("members")), ("den", "alice", 2));
    assert_eq!((row.get::<i64, _>("last_number"), row.get::<i32, _>("slow_mode_seconds"), row.get::<i64, _>("not_indexed")), (2, 30, 1));
    let at: chrono::DateTime<chrono::Utc> = row.get("last_message_at");
    assert!(text(&said["createdAt"]).starts_with(&at.format("%Y-%m-%dT%H:%M:%S").to_string()), "{at}");
    alice.delete(&format!("/rooms/{room}")).await;
    assert_eq!(app.number(&format!("SELECT count(*) FROM ops_rooms WHERE id = '{room}'")).await, 0);
}

#[tokio::test]
async fn ops_message_rate_counts_the_last_hour_without_walking_through_the_messages() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    alice.say(&room, "one").await;
    bob.say(&room, "two").await;
    alice.say("general", "three").await;
    alice.say(&room, "old").await;
    app.execute("UPDATE messages SET created_at = now() - interval '2 hours' WHERE content = 'old'").await;

    let rows = app.rows("SELECT sum(messages)::bigint, max(rooms), max(authors) FROM ops_message_rate").await;

    assert_eq!(rows[0].get::<i64, _>(0), 3);
    app.execute(
        "INSERT INTO rooms (id, type, name, last_seq, last_message_seq, last_activity_at)
             SELECT gen_random_uuid(), 'group', 'r' || n, 40, 40, now() - interval '1 day' FROM generate_series(1, 2000) n;
         INSERT INTO messages (room_id, seq, id, author_id, type, content, rev)
             SELECT id, s, gen_random_uuid(), 'alice', 'text', 'x', s FROM rooms, generate_series(1, 40) s WHERE name LIKE 'r%';
         ANALYZE",
    )
    .await;
    let plan = app.rows("EXPLAIN SELECT * FROM ops_message_rate").await;
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    assert!(plan.iter().any(|line| line.contains("messages_pkey")) && !plan.iter().any(|line| line.contains("Seq Scan on messages")), "{plan:#?}");
}

#[tokio::test]
async fn ops_slow_rooms_shows_who_waits() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    alice.patch(&format!("/rooms/{room}"), &json!({ "slowMode": 600 })).await.expect(200);
    bob.say(&room, "now I wait").await;

    let rows = app.rows("SELECT name, seconds, members, waiting FROM ops_slow_rooms").await;

    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(
        (row.get::<&str, _>("name"), row.get::<i32, _>("seconds"), row.get::<i32, _>("members"), row.get::<i64, _>("waiting")),
        ("den", 600, 2, 1)
    );
}

/// Whoever looks into `pg_stat_activity` sees which connection is which.
#[tokio::test]
async fn every_connection_says_what_it_is() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    alice.say(&room, "hello").await;

    for name in ["ires-chat", "ires-chat journal", "ires-chat search", "ires-chat upkeep"] {
        let there = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = '{name}'");
        eventually(name, async || app.number(&there).await > 0).await;
    }
    // The test's own are nameless, and those that asked before may still be on their way out.
    let nameless = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND backend_type = 'client backend' AND application_name NOT LIKE 'ires-chat%'";
    eventually("no connection without a name", async || app.number(nameless).await == 0).await;
}

/// A row that somebody holds makes nobody wait for ever: time limits of the connections, as their statements show them.
#[tokio::test]
async fn who_waits_for_a_row_is_told_so_in_time() {
    let app = TestApp::with(&[("CHAT_DATABASE_TIMEOUT", "3s")]).await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    let mut holder = app.sql().await;
    sqlx::raw_sql("BEGIN").execute(&mut holder).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("SELECT 1 FROM rooms WHERE id = '{room}' FOR UPDATE"))).execute(&mut holder).await.unwrap();

    let refused = alice.patch(&format!("/rooms/{room}"), &json!({ "name": "lair" })).await;

    assert_eq!(refused.refused(503), "UNAVAILABLE");
    eventually("its line", async || app.logs().contains("lock timeout")).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    alice.patch(&format!("/rooms/{room}"), &json!({ "name": "lair" })).await.expect(200);
}

/// A long migration, or a doctor on a large database, is not a slow request.
#[tokio::test]
async fn a_command_waits_for_a_lock_longer_than_a_request_would() {
    let app = TestApp::start().await;
    let mut holder = app.sql().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE rooms IN ACCESS EXCLUSIVE MODE").execute(&mut holder).await.unwrap();
    let url = app.database.url().to_owned();
    let doctor = std::thread::spawn(move || ires_chat(&["doctor"], &[("DATABASE_URL", &url), ("CHAT_DATABASE_TIMEOUT", "200ms")]));
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ires-chat doctor' AND datname = current_database()
        AND wait_event_type = 'Lock' AND query_start < now() - interval '500 ms'";
    eventually("a doctor that waits", async || app.number(waits).await == 1).await;

    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();

    assert_eq!(doctor.join().unwrap().code, Some(0));
}
