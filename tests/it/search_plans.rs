//! How much a search reads of a large room: a handful of blocks by its indexes, whatever is asked for.

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::support::{
    TestApp, TestUser,
    json::int,
    queries,
    search::{is_indexed, search, seqs, token},
};

const LENGTH: i64 = 20_000;

/// A room of that length, in the index but for its end, and another one before it.
async fn large_room() -> (TestApp, TestUser, String) {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let (other, room) = (alice.create_room("other").await, alice.create_room("large").await);
    for (room, length) in [(&other, LENGTH / 10), (&room, LENGTH)] {
        app.execute(&format!(
            "INSERT INTO messages (room_id, seq, rev, id, author_id, type, content, created_at)
                 SELECT '{room}', n, n, gen_random_uuid(), 'u' || n % 500, 'text',
                     'common ' || md5(n::text) || CASE n % 5000 WHEN 77 THEN ' zugzwang' ELSE '' END, now() - ({length} - n) * interval '1 s'
                 FROM generate_series(1, {length}) AS n;
             UPDATE rooms SET last_seq = {length}, last_message_seq = {length} WHERE id = '{room}';"
        ))
        .await;
        alice.say(room, "the last").await;
        is_indexed(&app, room).await;
    }
    app.execute(&format!(
        "INSERT INTO messages (room_id, seq, rev, id, author_id, type, content) SELECT '{room}', {LENGTH} + n, {LENGTH} + n, gen_random_uuid(), 'u1', 'text', 'common'
             FROM generate_series(2, 500) AS n;
         UPDATE rooms SET last_seq = {LENGTH} + 500, last_message_seq = {LENGTH} + 500 WHERE id = '{room}'"
    ))
    .await;
    app.execute("ANALYZE").await;
    (app, alice, room)
}

/// The node and all below it.
fn nodes(plan: &Value) -> Vec<&Value> {
    let below = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    std::iter::once(plan).chain(below).collect()
}

async fn explain(db: &mut PgConnection, part: &str, arguments: &str) -> Value {
    let (query, _) = queries().into_iter().find(|(query, _)| query.contains(part)).unwrap_or_else(|| panic!("no query has {part:?}"));
    db.execute(AssertSqlSafe(format!("PREPARE asked AS {query}"))).await.unwrap();
    let row = db.fetch_one(AssertSqlSafe(format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked ({arguments})"))).await.unwrap();
    db.execute("DEALLOCATE asked").await.unwrap();
    row.get::<Value, _>(0)[0]["Plan"].clone()
}

#[tokio::test]
async fn every_statement_of_a_search_reads_a_handful_of_blocks_by_an_index() {
    let (app, _, room) = large_room().await;
    let mut db = PgConnection::connect(app.database.url()).await.unwrap();
    // As on the server's own connections.
    db.execute("SET enable_seqscan = off; SET random_page_cost = 1.1").await.unwrap();
    let all = app.rows(&format!("SELECT id FROM search_segments WHERE room_id = '{room}' ORDER BY first_seq")).await;
    let segments: Vec<String> = all.iter().map(|row| row.get::<i64, _>(0).to_string()).collect();
    assert!((1..=8).contains(&segments.len()), "{segments:?}");
    let (largest, segments) = (&segments[0], segments.join(", "));
    let [com, zug] = ["com", "zug"].map(token);
    let times = "'-infinity', 'infinity'";
    let seqs = |count: i64| (1..=count).map(|n| (n * 9).to_string()).collect::<Vec<_>>().join(", ");
    let repeated = |value: &str, count: usize| vec![value; count].join(", ");
    let quoted = format!("'{room}'");

    for mode in ["force_custom_plan", "force_generic_plan"] {
        db.execute(AssertSqlSafe(format!("SET plan_cache_mode = {mode}"))).await.unwrap();
        for (part, table, index, most, arguments) in [
            (
                "FROM search_segments\n               WHERE room_id = a.room_id",
                "search_segments",
                "search_segments_room_id_key",
                5,
                format!("ARRAY[{quoted}]::uuid[], {times}"),
            ),
            (
                "FROM search_postings\n               WHERE segment_id = first.segment_id",
                "search_postings",
                "search_postings_pkey",
                60,
                format!("ARRAY[{segments}], ARRAY[{com}, {zug}]"),
            ),
            ("LEFT JOIN search_postings", "search_postings", "search_postings_pkey", 12, format!("{largest}, ARRAY[{com}, {zug}]")),
            (
                "AS a (place, room_id, seq)",
                "messages",
                "messages_pkey",
                500,
                format!("ARRAY[{}], ARRAY[{}]::uuid[], ARRAY[{}], NULL, {times}", repeated("1", 100), repeated(&quoted, 100), seqs(100)),
            ),
            (
                "AS a (room_id, after, until, place)\n           CROSS JOIN LATERAL (\n               SELECT *\n               FROM messages\n               WHERE room_id = a.room_id AND seq > a.after AND seq <= a.until AND created_at",
                "messages",
                "messages_pkey",
                30,
                format!("ARRAY[{quoted}]::uuid[], ARRAY[{LENGTH}], ARRAY[{LENGTH} + 400], NULL, {times}, 100"),
            ),
            ("LEFT JOIN LATERAL (SELECT indexed_seq", "search_rooms", "search_rooms_pkey", 10, "'alice', NULL, 1000".to_owned()),
            ("AND rev <= $3 AND rev <> seq AND (edited_at", "messages", "messages_changed_idx", 10, format!("{quoted}, 0, {LENGTH}, 200")),
            (
                "AND seq <= $3\n           ORDER BY seq\n           LIMIT $4",
                "messages",
                "messages_pkey",
                30,
                format!("{quoted}, 5000, {LENGTH}, 256"),
            ),
        ] {
            let plan = explain(&mut db, part, &arguments).await;
            let read: Vec<_> = nodes(&plan).into_iter().filter(|node| node["Relation Name"] == table).collect();
            assert!(!read.is_empty(), "{mode} {part}\n{plan:#}");
            for node in read {
                let name = if node["Node Type"] == "Bitmap Heap Scan" { &node["Plans"][0]["Index Name"] } else { &node["Index Name"] };
                assert_eq!(name, index, "{mode} {part}\n{plan:#}");
                let buffers = int(&node["Shared Hit Blocks"]) + int(&node["Shared Read Blocks"]);
                assert!(buffers <= most, "{mode}: {buffers} blocks for {part}\n{plan:#}");
            }
        }
    }
}

#[tokio::test]
async fn frequent_rare_and_absent_words_are_right_in_a_large_room() {
    let (_app, alice, room) = large_room().await;
    for rest in [String::new(), format!("&roomId={room}")] {
        let page = alice.get(&format!("/search?q=common&limit=50{rest}")).await.expect(200);
        assert_eq!(page["items"].as_array().unwrap().len(), 50);
        let newest: Vec<i64> = (0..50).map(|back| LENGTH + 500 - back).collect();
        assert_eq!(seqs(page["items"].as_array().unwrap()), newest);

        let rare = search(&alice, "zugzwang", &rest).await;
        let of_room: Vec<i64> = seqs(&rare).into_iter().filter(|seq| *seq > 4_000).collect();
        assert_eq!(of_room, [15_077, 10_077, 5_077]);

        assert_eq!(search(&alice, "zugzwand", &rest).await, Vec::<Value>::new());
        // All of its parts are there, and never together: candidates by the thousand.
        assert_eq!(search(&alice, "\"common common\"", &rest).await, Vec::<Value>::new());
        assert_eq!(search(&alice, "common zugzwang", &format!("{rest}&from=u77")).await.len(), rare.len());
    }
}
