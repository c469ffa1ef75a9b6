//! The schema as an operator meets it in `psql`, and that no query walks through a big table: issue 2, item 5,
//! contract section 9.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::support::{TestApp, eventually, queries};

#[tokio::test]
async fn every_table_and_column_has_a_comment() {
    let app = TestApp::start().await;
    let bare = "
        SELECT c.relname || coalesce('.' || a.attname, '') AS name
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relkind IN ('r', 'v', 'm', 'p')
          AND c.relname <> '_sqlx_migrations'
          AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL)";

    let names: Vec<String> = app.rows(bare).await.iter().map(|row| row.get("name")).collect();

    assert_eq!(names, Vec::<String>::new(), "without a comment");
}

#[tokio::test]
async fn a_comment_says_more_than_the_name() {
    let app = TestApp::start().await;
    let short = "
        SELECT count(*) FROM pg_description d JOIN pg_class c ON c.oid = d.objoid
        WHERE c.relnamespace = 'public'::regnamespace AND length(description) < 8";

    assert_eq!(app.number(short).await, 0);
}

/// Enough rows that the planner would be foolish to read them all.
const FILL: &str = "
    INSERT INTO users (id, username, name)
        SELECT 'u' || n, 'user' || n, 'Name ' || n FROM generate_series(1, 20000) n;
    INSERT INTO sessions (id, user_id, token_key, expires_at)
        SELECT gen_random_uuid(), 'u' || n, sha256(n::text::bytea), now() + interval '1 day' FROM generate_series(1, 20000) n;
    INSERT INTO refresh_tokens (hash, session_id, expires_at)
        SELECT sha256(id::text::bytea), id, expires_at FROM sessions;
    INSERT INTO rooms (id, slug, type, name, created_by, last_seq, last_activity_at)
        SELECT gen_random_uuid(), 'r' || n, CASE n % 3 WHEN 0 THEN 'public' ELSE 'group' END, 'Room ' || n, 'u' || n, 40,
               now() - n * interval '1 s'
        FROM generate_series(1, 5000) n;
    INSERT INTO room_members (room_id, user_id)
        SELECT r.id, 'u' || ((row_number() OVER () * 7 + m) % 20000 + 1) FROM rooms r, generate_series(1, 10) m
        ON CONFLICT DO NOTHING;
    INSERT INTO messages (room_id, seq, id, author_id, type, content, rev)
        SELECT r.id, s, gen_random_uuid(), 'u' || (s % 100), 'text', 'message ' || s, s FROM rooms r, generate_series(1, 40) s;
    INSERT INTO message_edits (message_id, number, content, said_at, replaced_by)
        SELECT id, 1, 'before', now(), author_id FROM messages WHERE seq <= 4;
    INSERT INTO reactions (message_id, emoji, user_id, room_id, seq)
        SELECT id, ':e' || e || ':', 'u' || e, room_id, 1 FROM messages, generate_series(1, 3) e WHERE seq <= 4;
    INSERT INTO last_seen (user_id, last_seen_at) SELECT id, now() FROM users ON CONFLICT DO NOTHING;
    INSERT INTO nodes (id, started_at, lease_until) SELECT gen_random_uuid(), now(), now() FROM generate_series(1, 200) n;
    INSERT INTO connections (id, node_id, user_id, since, shown, version)
        SELECT gen_random_uuid(), nodes.id, 'u' || n, now(), true, n FROM nodes, generate_series(1, 100) n;
    INSERT INTO search_rooms (room_id, indexed_seq) SELECT id, 40 FROM rooms;
    INSERT INTO search_segments (room_id, first_seq, last_seq, first_at, last_at, disorder_ms, postings)
        SELECT id, s, s + 9, now(), now(), 0, 100 FROM rooms, generate_series(1, 31, 10) s;
    INSERT INTO search_postings (segment_id, token, messages) SELECT id, t, '\\x0001' FROM search_segments, generate_series(1, 10) t;
    ANALYZE;";

/// The plan that serves any parameters.
async fn plan(db: &mut PgConnection, query: &str, parameters: usize) -> String {
    let nulls = vec!["NULL"; parameters].join(", ");
    let execute = if parameters == 0 { "asked".to_owned() } else { format!("asked({nulls})") };
    db.execute(AssertSqlSafe(format!("PREPARE asked AS {query}"))).await.unwrap();
    let rows = db.fetch_all(AssertSqlSafe(format!("EXPLAIN EXECUTE {execute}"))).await.unwrap();
    db.execute("DEALLOCATE asked").await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n")
}

/// Issue 2, item 5: paged by keyset on one index: no OFFSET, no sequential scan.
#[tokio::test]
async fn no_query_reads_a_whole_big_table() {
    let mut app = TestApp::start().await;
    app.user("alice").await;
    // Nobody removes anything of what the planner is to find.
    app.stop();
    app.execute(FILL).await;
    let mut db = PgConnection::connect(app.database.url()).await.unwrap();
    db.execute("SET plan_cache_mode = force_generic_plan").await.unwrap();

    let queries = queries();
    assert!(queries.len() > 20, "sqlx-data.json holds {} queries", queries.len());
    for (query, parameters) in queries {
        assert!(!query.to_uppercase().contains("OFFSET"), "{query}");
        let verb = query.split_whitespace().next().unwrap();
        // What examines the whole database says so in its first line.
        if !["SELECT", "WITH", "INSERT", "UPDATE", "DELETE"].contains(&verb) || query.starts_with("-- Reads everything.") {
            continue;
        }
        let plan = plan(&mut db, &query, parameters).await;
        for table in [
            "messages",
            "message_edits",
            "reactions",
            "room_members",
            "rooms",
            "users",
            "sessions",
            "refresh_tokens",
            "last_seen",
            "connections",
            "search_rooms",
            "search_segments",
            "search_postings",
        ] {
            let scan = format!("Seq Scan on {table}");
            let found = plan.lines().any(|line| line.contains(&format!("{scan} ")));
            assert!(!found, "{scan} in\n{query}\n{plan}");
        }
    }
}

/// The same seen from outside: reading history and listings over REST makes Postgres scan no big table.
#[tokio::test]
async fn pages_over_rest_read_a_big_table_by_its_index_only() {
    let mut app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    app.execute(FILL).await;
    app.execute(&format!(
        "INSERT INTO messages (room_id, seq, id, author_id, type, content, rev)
         SELECT '{room}', s, gen_random_uuid(), 'alice', 'text', 'x', s FROM generate_series(41, 5000) s;
         UPDATE rooms SET last_seq = 5000, last_message_seq = 5000 WHERE id = '{room}'"
    ))
    .await;
    app.writers_are_gone().await;
    let scans = "SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables WHERE relname IN ('messages', 'room_members')";
    let before = app.number(scans).await;

    for query in ["limit=50", "before=2500&limit=50", "after=2500&limit=50", "around=2500&limit=50"] {
        let page = alice.get(&format!("/rooms/{room}/messages?{query}")).await.expect(200);
        assert_eq!(page["messages"].as_array().unwrap().len(), 50, "{query}");
    }
    for path in ["/rooms?scope=mine", "/rooms?scope=public", &format!("/rooms/{room}/members"), "/users?q=user1"] {
        alice.get(path).await.expect(200);
    }

    // Statistics reach the view when a connection ends.
    app.stop();
    let used = "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'messages'";
    eventually("statistics of the reads", async || app.number(used).await >= 4).await;
    app.writers_are_gone().await;
    assert_eq!(app.number(scans).await, before, "a big table was read as a whole");
}
