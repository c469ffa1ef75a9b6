//! A room with 200,000 messages: history costs the same at every depth, and is right there. Contract sections 7 and 9.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::support::{TestApp, TestUser, json::int, queries};

const LENGTH: i64 = 200_000;

/// What one page may read of the messages' table and its index.
const BUFFERS: i64 = 20;

/// A room of that length, and another one whose messages lie before it, all of many authors.
async fn deep_room(app: &TestApp) -> (TestUser, String) {
    let alice = app.user("alice").await;
    let (room, other) = (alice.create_room("deep").await, alice.create_room("other").await);
    let insert = |room: &str, length: i64| {
        format!(
            "INSERT INTO messages (room_id, seq, rev, id, author_id, type, content, created_at)
                 SELECT '{room}', n, n, gen_random_uuid(), 'u' || (n % 500 + 1), 'text',
                     'Message ' || n || ' of a conversation in which every line says about as much as this one.', now() - ({length} - n) * interval '1 s'
                 FROM generate_series(1, {length}) AS n;
             UPDATE rooms SET last_seq = {length}, last_message_seq = {length} WHERE id = '{room}';"
        )
    };
    app.execute("INSERT INTO users (id, name) SELECT 'u' || n, 'Name ' || n FROM generate_series(1, 10000) AS n").await;
    app.execute(&(insert(&other, LENGTH / 10) + &insert(&room, LENGTH))).await;
    app.execute("ANALYZE").await;
    (alice, room)
}

/// The plan of a statement after it has run.
async fn explain(db: &mut PgConnection, query: &str, arguments: &[String]) -> Value {
    db.execute(AssertSqlSafe(format!("PREPARE asked AS {query}"))).await.unwrap();
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE asked ({})", arguments.join(", "));
    let row = db.fetch_one(AssertSqlSafe(explain)).await.unwrap();
    db.execute("DEALLOCATE asked").await.unwrap();
    row.get::<Value, _>(0)[0]["Plan"].clone()
}

/// The node and all below it.
fn nodes(plan: &Value) -> Vec<&Value> {
    let below = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    std::iter::once(plan).chain(below).collect()
}

/// The arguments with which a statement that reads history looks for 50 messages around a number (and for one more, to know
/// whether there is more); none for other statements.
fn arguments(query: &str, parameters: usize, room: &str, seq: i64) -> Vec<Vec<String>> {
    let list = |arguments: &[&str]| arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>();
    let (room, seq) = (format!("'{room}'"), seq.to_string());
    if query.contains("AS older LIMIT $4") {
        return vec![
            list(&[&room, "'alice'", &seq, "51", "0", "0"]),
            list(&[&room, "'alice'", "0", "0", &seq, "51"]),
            list(&[&room, "'alice'", &seq, "26", &seq, "26"]),
        ];
    }
    if query.contains("AS s (room_id, after, until, most, place)") {
        let array = |value: &str| format!("ARRAY[{value}]");
        let stretch = |after: &str, until: &str| vec![format!("{}::uuid[]", array(&room)), array(after), array(until), array("51")];
        return vec![stretch("0", &seq), stretch(&seq, "9223372036854775807")];
    }
    if query.contains("author_id <> $3") {
        return vec![list(&[&room, &seq, "'alice'", "9223372036854775807"])];
    }
    let is_about_history =
        !["pinned_at IS NOT NULL", "reply_count > 0", "thread_root_id = $3", "AND rev", "id = ANY($2)"].iter().any(|other| query.contains(other));
    if is_about_history && parameters <= 2 && query.contains("FROM messages") && query.contains("room_id = $1") && !query.starts_with("WITH") {
        return vec![list(&[room.as_str(), seq.as_str()][..parameters])];
    }
    Vec::new()
}

#[tokio::test]
async fn a_page_reads_a_handful_of_blocks_by_one_index_at_every_depth() {
    let app = TestApp::start().await;
    let (_, room) = deep_room(&app).await;
    let mut db = PgConnection::connect(app.database.url()).await.unwrap();
    let statements: Vec<_> = queries().into_iter().filter(|(query, parameters)| !arguments(query, *parameters, &room, 0).is_empty()).collect();
    let pages = statements.iter().filter(|(_, parameters)| *parameters >= 4).count();
    assert!(pages == 3 && statements.len() >= 6, "pages, the first unread message, snapshots, and what finds their places: {statements:?}");

    // A statement is planned for its arguments at first, and for any arguments once it has been used often.
    for mode in ["force_custom_plan", "force_generic_plan"] {
        db.execute(AssertSqlSafe(format!("SET plan_cache_mode = {mode}"))).await.unwrap();
        for seq in [0, 51, LENGTH / 2, LENGTH - 50, LENGTH, i64::MAX] {
            for (query, parameters) in &statements {
                for arguments in arguments(query, *parameters, &room, seq) {
                    let plan = explain(&mut db, query, &arguments).await;
                    let context = format!("{mode} {arguments:?}\n{query}\n{plan:#}");
                    let mut found = 0;
                    for node in nodes(&plan) {
                        let kind = node["Node Type"].as_str().unwrap();
                        // What was found may be put in order, but not the room.
                        assert!(!kind.contains("Sort") || int(&node["Actual Rows"]) <= 102, "{context}");
                        if node["Relation Name"] == "messages" {
                            found += 1;
                            assert!(kind.starts_with("Index") && node["Index Name"] == "messages_pkey", "{kind} in {context}");
                            let buffers = int(&node["Shared Hit Blocks"]) + int(&node["Shared Read Blocks"]);
                            assert!(buffers <= BUFFERS, "{buffers} blocks in {context}");
                        }
                    }
                    assert!(found > 0, "{context}");
                }
            }
        }
    }
}

/// What a room has besides its history is read by an index of its own, however long the room is.
#[tokio::test]
async fn threads_pins_and_changes_read_a_handful_of_blocks_by_an_index_of_their_own() {
    let app = TestApp::start().await;
    let (_, room) = deep_room(&app).await;
    app.execute(&format!(
        "INSERT INTO messages (room_id, seq, rev, id, author_id, type, content, thread_root_id)
             SELECT '{room}', n, n, gen_random_uuid(), 'u1', 'text', 'reply', root.id
             FROM (SELECT gen_random_uuid() AS id) AS root, generate_series({LENGTH} + 1, {LENGTH} + 50000) AS n;
         UPDATE messages SET reply_count = 1, last_reply_seq = seq WHERE room_id = '{room}' AND seq % 40 = 0;
         UPDATE messages SET rev = {LENGTH} + 50000 + seq WHERE room_id = '{room}' AND seq % 1000 = 0;
         UPDATE messages SET pinned_at = now() WHERE room_id = '{room}' AND seq % 2000 = 0"
    ))
    .await;
    app.execute("VACUUM ANALYZE messages").await;
    let id: sqlx::types::Uuid = app.rows("SELECT thread_root_id FROM messages WHERE thread_root_id IS NOT NULL LIMIT 1").await[0].get(0);
    let (room, id, end) = (format!("'{room}'"), format!("'{id}'"), LENGTH + 25_000);
    let list = |arguments: &[&str]| arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>();
    let mut db = PgConnection::connect(app.database.url()).await.unwrap();
    db.execute("SET plan_cache_mode = force_generic_plan").await.unwrap();

    for (part, index, arguments) in [
        ("thread_root_id = $3 AND seq", "messages_thread_idx", list(&[&room, "'alice'", &id, &end.to_string(), "26", &end.to_string(), "26"])),
        ("m.reply_count > 0", "messages_threads_idx", list(&[&room, &end.to_string(), "50"])),
        ("(m.pinned_at, m.seq) <", "messages_pins_idx", list(&[&room, "now()", "9223372036854775807", "50"])),
        ("AND pinned_at IS NOT NULL", "messages_pins_idx", list(&[&room])),
        ("AND rev <> seq", "messages_changed_idx", list(&[&room, &(end + 25_100).to_string(), &(end + 26_100).to_string()])),
        ("AND rev = seq", "messages_pkey", list(&[&room, &(end - 100).to_string(), &(end + 100).to_string()])),
    ] {
        let examines = |query: &str| query.starts_with("-- Reads everything.");
        let found = queries().into_iter().find(|(query, _)| query.contains(part) && !examines(query));
        let (query, _) = found.unwrap_or_else(|| panic!("no query has {part:?}"));
        let plan = explain(&mut db, &query, &arguments).await;
        let read: Vec<_> = nodes(&plan).into_iter().filter(|node| node["Relation Name"] == "messages").collect();
        assert!(!read.is_empty(), "{plan:#}");
        for node in read {
            // A bitmap is made of the index below it.
            let name = if node["Node Type"] == "Bitmap Heap Scan" { &node["Plans"][0]["Index Name"] } else { &node["Index Name"] };
            assert_eq!(name, index, "{query}\n{plan:#}");
            let buffers = int(&node["Shared Hit Blocks"]) + int(&node["Shared Read Blocks"]);
            // Pins and roots are strewn over the room: a block for each.
            assert!(buffers <= 120, "{buffers} blocks in {query}\n{plan:#}");
        }
    }
}

#[tokio::test]
async fn pages_are_right_at_every_depth() {
    let app = TestApp::start().await;
    let (alice, room) = deep_room(&app).await;
    let at = app.rows(&format!("SELECT created_at FROM messages WHERE room_id = '{room}' AND seq = 100000")).await;
    let at = at[0].get::<chrono::DateTime<chrono::Utc>, _>(0).to_rfc3339_opts(chrono::SecondsFormat::Micros, true);

    for (anchor, first, last) in [
        ("", 199_951, 200_000),
        ("before=9223372036854775807&", 199_951, 200_000),
        ("before=200001&", 199_951, 200_000),
        ("before=200000&", 199_950, 199_999),
        ("before=100000&", 99_950, 99_999),
        ("before=52&", 2, 51),
        ("before=51&", 1, 50),
        ("before=31&", 1, 30),
        ("after=0&", 1, 50),
        ("after=1&", 2, 51),
        ("after=100000&", 100_001, 100_050),
        ("after=199949&", 199_950, 199_999),
        ("after=199950&", 199_951, 200_000),
        ("after=199970&", 199_971, 200_000),
        ("around=100000&", 99_976, 100_025),
        (&format!("at={at}&"), 99_976, 100_025),
        ("around=1&", 1, 26),
        ("around=200000&", 199_976, 200_000),
    ] {
        let page = alice.get(&format!("/rooms/{room}/messages?{anchor}limit=50")).await.expect(200);
        let messages = page["messages"].as_array().unwrap();
        let seqs: Vec<_> = messages.iter().map(|message| int(&message["seq"])).collect();
        assert_eq!(seqs, (first..=last).collect::<Vec<_>>(), "{anchor}");
        assert!(messages.iter().all(|message| message["content"].as_str().unwrap().starts_with(&format!("Message {} ", message["seq"]))), "{anchor}");
        let bounds = json!({ "oldestSeq": first, "newestSeq": last, "hasOlder": first > 1, "hasNewer": last < LENGTH });
        assert_eq!(page["page"], bounds, "{anchor}");
    }
}
