//! `ires-chat doctor`: every invariant, broken by hand, is found and named. Contract section 9.

use ires_chat::database::MIGRATIONS;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, migrate::Migrate};

use crate::support::{
    Database, Den, TestApp,
    clock::Clock,
    eventually, ires_chat,
    json::{int, text},
    search::SMALL_BLOCKS,
};

/// What the doctor says of a database: its exit code, and the invariants that are broken, with examples.
fn examined(app: &TestApp, arguments: &[&str]) -> (Option<i32>, Vec<(String, String)>) {
    let arguments: Vec<_> = ["doctor", "--json"].iter().chain(arguments).copied().collect();
    let finished = ires_chat(&arguments, &[("DATABASE_URL", app.database.url())]);
    let said: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{}{}", finished.stdout, finished.stderr));
    let findings = said["findings"].as_array().unwrap().iter();
    let broken = findings.filter(|finding| int(&finding["broken"]) > 0);
    (finished.code, broken.map(|finding| (text(&finding["invariant"]).to_owned(), finding["examples"].to_string())).collect())
}

/// A room in which everything has happened that the books tell of: its id, that of a root, and of its reply.
async fn lively(app: &TestApp) -> (String, String, String) {
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (alices, bobs) = (alice.connect().await, bob.connect().await);
    let first = alices.say(&room, "root").await;
    let reply = bobs.emit_ok("chat:message", &json!({ "roomId": room, "content": "reply", "threadRootId": first["id"] })).await;
    bobs.emit_ok("chat:message:edit", &json!({ "messageId": reply["id"], "content": "better reply" })).await;
    alices.emit_ok("chat:reaction:add", &json!({ "messageId": reply["id"], "emoji": "👍" })).await;
    let gone = alices.say(&room, "gone").await;
    alices.emit_ok("chat:message:delete", &json!({ "messageId": gone["id"] })).await;
    alices.emit_ok("chat:read", &json!({ "roomId": room, "seq": 1 })).await;
    alices.emit_ok("chat:room:update", &json!({ "roomId": room, "name": "lair" })).await;
    alices.emit_ok("chat:room:role", &json!({ "roomId": room, "userId": "bob", "role": "admin" })).await;
    let last_but_one = alices.say(&room, "last but one").await;
    alices.emit_ok("chat:message", &json!({ "roomId": room, "content": "last", "replyTo": last_but_one["id"] })).await;
    (room, text(&first["id"]).to_owned(), text(&reply["id"]).to_owned())
}

/// What the first migrations made, as servers of that time left it: renamings took numbers and kept them nowhere.
const OLD: &str = "
    INSERT INTO users (id) VALUES ('alice'), ('bob');
    INSERT INTO rooms (id, slug, type, name, created_by, member_count, last_seq, last_message_seq)
    VALUES ('01890a5d-ac96-774b-bcce-b30209000001', 'renamed-last', 'group', 'x', 'alice', 2, 3, 2),
        ('01890a5d-ac96-774b-bcce-b30209000002', 'renamed-before', 'group', 'x', 'alice', 2, 4, 4),
        ('01890a5d-ac96-774b-bcce-b30209000003', 'never-renamed', 'group', 'x', 'alice', 2, 3, 2);
    INSERT INTO room_members (room_id, user_id, role, changed_seq)
    SELECT id, 'alice', 'owner', 0 FROM rooms UNION ALL SELECT id, 'bob', 'member', CASE slug WHEN 'never-renamed' THEN 3 ELSE 0 END FROM rooms;
    INSERT INTO messages (room_id, seq, id, author_id, type, content, rev)
    SELECT id, seq, gen_random_uuid(), 'alice', 'text', 'hello', seq
    FROM rooms JOIN (VALUES ('renamed-last', 1), ('renamed-last', 2), ('renamed-before', 1), ('renamed-before', 4), ('never-renamed', 1), ('never-renamed', 2))
        AS said (slug, seq) USING (slug)";

#[tokio::test]
async fn an_old_database_is_healthy_once_it_is_migrated_and_whoever_was_away_misses_nothing() {
    let database = Database::empty().await;
    let mut db = PgConnection::connect(database.url()).await.unwrap();
    db.ensure_migrations_table(&MIGRATIONS.table_name).await.unwrap();
    for migration in MIGRATIONS.iter().filter(|migration| migration.version < 20_261_126_000_000) {
        db.apply(&MIGRATIONS.table_name, migration).await.unwrap();
    }
    db.execute(OLD).await.unwrap();
    let mut app = TestApp::on(database, &[]);
    assert_eq!(examined(&app, &[]), (Some(0), Vec::new()), "migrated");

    let bob = app.user("bob").await;
    for (room, last) in [("renamed-last", 3), ("renamed-before", 4), ("never-renamed", 3)] {
        let changes = bob.get(&format!("/rooms/{room}/changes?since=1")).await.expect(200);
        assert_eq!((int(&changes["toSeq"]), changes["messages"].as_array().unwrap().len()), (last, 1), "{changes}");
        assert_eq!(int(&bob.say(room, "it goes on").await["seq"]), last + 1);
    }
    app.stop();
    assert_eq!(examined(&app, &[]), (Some(0), Vec::new()), "used");
    app.execute("DELETE FROM messages WHERE content = 'it goes on'").await;
    assert_eq!(examined(&app, &[]).0, Some(1), "what is lost from now on is missed");
}

#[tokio::test]
async fn every_broken_invariant_is_found_and_says_where() {
    let mut app = TestApp::start().await;
    let (room, first, reply) = lively(&app).await;
    // Nobody mends or indexes anything meanwhile.
    app.stop();
    assert_eq!(examined(&app, &[]), (Some(0), Vec::new()), "healthy");
    let ghost = "01890a5d-ac96-774b-bcce-b302099a8057";
    let cases = [
        ("every room counts its members right", &room, format!("UPDATE rooms SET member_count = 7 WHERE id = '{room}'")),
        ("every room has one owner, where somebody is", &room, format!("UPDATE room_members SET role = 'admin' WHERE room_id = '{room}'")),
        ("every room knows its last message", &room, format!("UPDATE rooms SET last_message_seq = 1 WHERE id = '{room}'")),
        ("every room's last number is that of something", &room, format!("UPDATE rooms SET last_seq = last_seq + 1 WHERE id = '{room}'")),
        (
            "no marker is ahead of its room's last number",
            &"'bob'".to_owned(),
            format!("UPDATE room_members SET read_seq = 999 WHERE room_id = '{room}' AND user_id = 'bob'"),
        ),
        (
            "of erased accounts a stub is left",
            &"'bob'".to_owned(),
            "UPDATE users SET erased_at = now(), deactivated_at = now(), username = NULL WHERE id = 'bob'".to_owned(),
        ),
        (
            "every connection has its server",
            &"'bob'".to_owned(),
            format!("INSERT INTO connections (id, node_id, user_id, since, shown, version) VALUES ('{ghost}', '{ghost}', 'bob', now(), true, 1)"),
        ),
        ("the database says which history it holds", &"0 rows".to_owned(), "DELETE FROM database_identity".to_owned()),
        ("everything has its room, its author and its message", &reply, format!("UPDATE messages SET author_id = 'nobody' WHERE id = '{reply}'")),
        ("everything has its room, its author and its message", &"'alice'".to_owned(), format!("UPDATE reactions SET room_id = '{ghost}'")),
        ("everything has its room, its author and its message", &"'nobody'".to_owned(), "UPDATE reactions SET user_id = 'nobody'".to_owned()),
        (
            "everything has its room, its author and its message",
            &ghost.to_owned(),
            format!("UPDATE messages SET reply_to = '{ghost}' WHERE content = 'last'"),
        ),
        (
            "after its last change every number of a room is that of a message",
            &room,
            "DELETE FROM messages WHERE content = 'last but one'".to_owned(),
        ),
        ("every reply has its root", &reply, format!("UPDATE messages SET thread_root_id = '{ghost}' WHERE id = '{reply}'")),
        ("nothing is ahead of its room's last number", &first, format!("UPDATE messages SET rev = 999 WHERE id = '{first}'")),
        (
            "every number is that of one thing",
            &first,
            format!("UPDATE room_members SET changed_seq = 1 WHERE room_id = '{room}' AND user_id = 'bob'"),
        ),
        (
            "every number is that of one thing",
            &"a change of the room".to_owned(),
            format!("UPDATE rooms SET changed_seq = (SELECT seq FROM reactions) WHERE id = '{room}'"),
        ),
        ("every number is that of one thing", &first, format!("UPDATE messages SET rev = (SELECT seq FROM reactions) WHERE id = '{first}'")),
        (
            "every number is that of one thing",
            &"'bob'".to_owned(),
            format!(
                "UPDATE room_members SET changed_seq = (SELECT max(rev) FROM messages WHERE rev <> seq) WHERE room_id = '{room}' AND user_id = 'bob'"
            ),
        ),
        ("every root of a thread counts its replies right", &first, format!("UPDATE messages SET reply_count = 2 WHERE id = '{first}'")),
        ("every message counts its reactions right", &reply, "DELETE FROM reactions".to_owned()),
        ("every earlier text of a message is kept until it is deleted", &reply, "DELETE FROM message_edits".to_owned()),
        ("deleted messages hold nothing", &room, "UPDATE messages SET content = 'x' WHERE deleted_at IS NOT NULL".to_owned()),
        (
            "the index of searches is of what is there",
            &room,
            format!("INSERT INTO search_rooms VALUES ('{room}', 999, 0) ON CONFLICT (room_id) DO UPDATE SET indexed_seq = 999"),
        ),
        ("the index of searches is of what is there", &"segment 77".to_owned(), "INSERT INTO search_postings VALUES (77, 1, '\\x0001')".to_owned()),
    ];
    let tables = [
        "users",
        "rooms",
        "room_members",
        "messages",
        "message_edits",
        "reactions",
        "database_identity",
        "search_rooms",
        "search_postings",
        "connections",
    ];
    let keep = tables.map(|table| format!("CREATE TABLE kept.{table} AS TABLE public.{table};")).concat();
    app.execute(&format!("CREATE SCHEMA kept; {keep}")).await;

    for (invariant, named, sql) in cases {
        app.execute(&format!("SET session_replication_role = replica; {sql}")).await;
        let (code, broken) = examined(&app, &[]);
        assert_eq!(code, Some(1), "{sql}");
        let found = broken.iter().find(|(found, _)| found == invariant).unwrap_or_else(|| panic!("{sql}: {broken:?}"));
        assert!(found.1.contains(named.as_str()), "{sql}: {found:?}");
        let restore = tables.map(|table| format!("DELETE FROM public.{table}; INSERT INTO public.{table} SELECT * FROM kept.{table};")).concat();
        app.execute(&format!("SET session_replication_role = replica; {restore}")).await;
    }

    assert_eq!(examined(&app, &[]), (Some(0), Vec::new()), "healthy again");
}

/// A search would miss what is not there, without a word.
#[tokio::test]
async fn an_index_of_searches_that_lost_something_is_found() {
    let mut app = TestApp::with(SMALL_BLOCKS).await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    let first = alice.say(&room, "needle").await;
    for _ in 0..8 {
        alice.say(&room, "hay").await;
    }
    // How many of the others are, depends on when it began: too few for a block wait.
    eventually("the index", async || app.number("SELECT COALESCE(max(indexed_seq), 0) FROM search_rooms").await >= 1).await;
    app.stop();
    assert_eq!(examined(&app, &[]), (Some(0), Vec::new()), "healthy");

    for (lost, said) in [("DELETE FROM search_postings", "has no lists"), ("DELETE FROM search_segments", "is in none")] {
        app.execute(lost).await;

        let (code, broken) = examined(&app, &[]);

        let [(invariant, examples)] = &broken[..] else { panic!("{lost}: {broken:?}") };
        assert_eq!((code, invariant.as_str()), (Some(1), "the index of searches is of what is there"));
        assert!([said, &room, text(&first["id"])].iter().all(|part| examples.contains(part)), "{lost}: {examples}");
    }
}

/// Where comings and goings take no number, those who go take nothing away with them that had one.
#[tokio::test]
async fn a_large_room_in_which_somebody_came_and_went_unnumbered_is_healthy() {
    let den = Den::of_kind("public", &[("CHAT_QUIET_ROOM_SIZE", "2")]).await;
    for name in ["dave", "erin", "frank"] {
        den.app.user(name).await.join(&den.room).await;
    }
    let muted = async |user: &str| den.owner.emit_ok("chat:room:mute", &den.upon(user, json!({ "durationMs": 60_000 }))).await;
    let cases = [("dave", "chat:room:kick"), ("erin", "chat:room:ban")];

    for (user, going) in cases {
        muted(user).await;
        den.owner.emit_ok(going, &den.upon(user, json!({}))).await;

        assert_eq!(examined(&den.app, &[]), (Some(0), Vec::new()), "{going}");
    }
    den.owner.emit_ok("chat:room:unban", &den.upon("erin", json!({}))).await;
    den.app.user("erin").await.join(&den.room).await;
    assert_eq!(examined(&den.app, &[]), (Some(0), Vec::new()), "who came back");
}

#[tokio::test]
async fn the_schema_that_the_doctor_expects_is_what_the_migrations_make() {
    let database = Database::migrated().await;
    let mut db = PgConnection::connect(database.url()).await.unwrap();

    let made: Vec<String> = sqlx::query_scalar(
        "SELECT format('column %s.%s', table_name, column_name) COLLATE \"C\" AS thing
         FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
         WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
         UNION ALL SELECT format('index %s', indexname) FROM pg_indexes WHERE schemaname = 'public'
         UNION ALL SELECT format('view %s', viewname) FROM pg_views WHERE schemaname = 'public'
         UNION ALL SELECT format('constraint %s', conname) FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f')
         ORDER BY thing",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();

    let made: Vec<&str> = made.iter().map(String::as_str).filter(|thing| !thing.contains("_sqlx_migrations")).collect();
    let expected: Vec<&str> = include_str!("../../src/doctor/schema.txt").lines().collect();
    assert_eq!(made, expected, "write what is made into src/doctor/schema.txt");
}

#[tokio::test]
async fn the_ground_that_the_data_stand_on_is_examined_too() {
    let app = TestApp::start().await;
    let mut db = app.sql().await;
    let cases = [
        ("the schema is that of this program", "index messages_thread_idx is missing", "SELECT 1", "DROP INDEX messages_thread_idx"),
        (
            "the schema is that of this program",
            "column users.invisible is missing",
            "CREATE INDEX messages_thread_idx ON messages (thread_root_id, seq) WHERE thread_root_id IS NOT NULL",
            "ALTER TABLE users RENAME COLUMN invisible TO hidden",
        ),
        (
            "a crash loses nothing that was acknowledged",
            "synchronous_commit is off",
            "ALTER TABLE users RENAME COLUMN hidden TO invisible",
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$",
        ),
        (
            "every index and every constraint is valid",
            "messages_seq_check of messages",
            "ALTER TABLE messages DROP CONSTRAINT messages_seq_check",
            "ALTER TABLE messages ADD CONSTRAINT messages_seq_check CHECK (seq > 0) NOT VALID",
        ),
        (
            "the schema is that of this program",
            "20990101000001",
            "SELECT 1",
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (20990101000001, 'x', true, '', 0)",
        ),
        (
            "the schema is that of this program",
            "20261127000011",
            "DELETE FROM _sqlx_migrations WHERE version = 20990101000001",
            "UPDATE _sqlx_migrations SET checksum = '' WHERE version = 20261127000011",
        ),
        ("the schema is that of this program", "is missing", "SELECT 1", "DELETE FROM _sqlx_migrations WHERE version = 20261127000011"),
    ];

    for (invariant, named, before, sql) in cases {
        db.execute(AssertSqlSafe(format!("{before}; {sql}"))).await.unwrap();
        let (code, broken) = examined(&app, &["--quick"]);
        let found = broken.iter().find(|(found, _)| found == invariant).unwrap_or_else(|| panic!("{sql}: {broken:?}"));
        assert!(code == Some(1) && found.1.contains(named), "{sql}: {found:?}");
    }
}

#[tokio::test]
async fn clocks_that_differ_are_found_too() {
    let Some(clock) = Clock::right("the doctor's look at clocks") else { return };
    let database = Database::migrated().await;
    let environment = [&clock.environment()[..], &[("DATABASE_URL", database.url())]].concat();

    for (seconds, code) in [(0, 0), (60, 1), (-60, 1)] {
        clock.set(seconds);
        let found = ires_chat(&["doctor", "--quick"], &environment);
        assert_eq!(found.code, Some(code), "at {seconds}: {}{}", found.stdout, found.stderr);
        assert_eq!(found.stdout.contains(" ms ahead"), seconds != 0, "at {seconds}: {}", found.stdout);
    }
}

#[tokio::test]
async fn a_quick_look_leaves_the_messages_out() {
    let database = Database::migrated().await;
    let environment = [("DATABASE_URL", database.url())];

    let (quick, whole) = (ires_chat(&["doctor", "--quick"], &environment), ires_chat(&["doctor"], &environment));

    assert_eq!((quick.code, whole.code), (Some(0), Some(0)), "{}{}", quick.stdout, whole.stdout);
    assert!(whole.stdout.contains("deleted messages hold nothing") && !quick.stdout.contains("deleted messages hold nothing"));
    assert!(quick.stdout.lines().count() > 8, "{}", quick.stdout);
}
