//! A running server needs no right to change the schema: `migrate grant`. Promises, "Operation": a role without DDL.

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::support::{Database, TestApp, cluster, eventually, ires_chat};

/// A migrated database in a cluster of its own, and the URL under which the role of servers comes in.
async fn granted() -> (cluster::Server, Database, String) {
    let server = cluster::exclusive();
    let database = Database::on(&server).await;
    let environment = [("DATABASE_URL", database.url())];
    assert_eq!(ires_chat(&["migrate", "run"], &environment).code, Some(0));
    let mut owner = PgConnection::connect(database.url()).await.unwrap();
    owner.execute("CREATE ROLE chat_server LOGIN").await.unwrap();
    let granted = ires_chat(&["migrate", "grant", "chat_server"], &environment);
    assert_eq!(granted.code, Some(0), "{}", granted.stderr);
    assert!(granted.stdout.contains("GRANT SELECT, INSERT, UPDATE ON public.messages TO chat_server;"), "{}", granted.stdout);
    let url = database.url().replacen("ires_chat@", "chat_server@", 1);
    (server, database, url)
}

#[tokio::test]
async fn a_server_does_all_its_work_as_a_role_without_ddl() {
    let (_server, database, url) = granted().await;
    let settings = [("DATABASE_URL", url.as_str()), ("CHAT_MIGRATE", "off"), ("CHAT_SEARCH_BLOCK", "1"), ("CHAT_RETENTION", "365d")];
    let app = TestApp::on(database, &settings);
    let (alice, bob) = (app.register("alice").await, app.user("bob").await);

    let room = alice.create_room_with("den", &[&bob]).await;
    let (alices, bobs) = (alice.connect().await, bob.connect().await);
    let said = alices.say(&room, "something to be found").await;
    bobs.emit_ok("chat:message", &json!({ "roomId": room, "content": "reply", "threadRootId": said["id"] })).await;
    alices.emit_ok("chat:message:edit", &json!({ "messageId": said["id"], "content": "something else to be found" })).await;
    bobs.emit_ok("chat:reaction:add", &json!({ "messageId": said["id"], "emoji": "👍" })).await;
    alices.emit_ok("chat:message:pin", &json!({ "messageId": said["id"] })).await;
    bobs.emit_ok("chat:read", &json!({ "roomId": room, "seq": 1 })).await;
    alices.emit_ok("chat:room:update", &json!({ "roomId": room, "slowMode": 1 })).await;
    eventually("an index", async || app.number("SELECT count(*) FROM search_postings").await > 0).await;
    // It may have been indexed before it was edited.
    let found = async || alice.get("/search?q=else").await.expect(200)["items"].as_array().unwrap().len();
    eventually("what was edited", async || found().await == 1).await;
    bobs.emit_ok("chat:reaction:remove", &json!({ "messageId": said["id"], "emoji": "👍" })).await;
    alices.emit_ok("chat:message:delete", &json!({ "messageId": said["id"] })).await;
    alices.emit_ok("chat:room:update", &json!({ "roomId": room, "slowMode": 0 })).await;
    alices.emit_ok("chat:room:ban", &json!({ "roomId": room, "userId": "bob" })).await;
    alice.post("/auth/refresh", &json!({ "refreshToken": alice.login["refreshToken"] })).await.expect(200);
    let erased = json!({ "confirm": "bob", "messages": "delete" }).to_string();
    bob.send_body(reqwest::Method::DELETE, "/users/me", erased).await.expect(202);
    eventually("the end", async || app.number("SELECT count(*) FROM erasures WHERE finished_at IS NOT NULL").await == 1).await;
    alice.get("/users/me/export").await.expect(200);
    alice.delete(&format!("/rooms/{room}")).await;
    alice.post("/auth/logout", &json!({})).await;

    assert!(!app.logs().contains("permission denied"), "{}", app.logs());
    let doctor = ires_chat(&["doctor"], &[("DATABASE_URL", &url)]);
    assert_eq!(doctor.code, Some(0), "{}{}", doctor.stdout, doctor.stderr);
}

#[tokio::test]
async fn that_role_cannot_change_the_schema_nor_remove_what_stays_for_ever() {
    let (_server, database, url) = granted().await;
    let mut owner = PgConnection::connect(database.url()).await.unwrap();
    let mut role = PgConnection::connect(&url).await.unwrap();

    for denied in [
        "CREATE TABLE mine (x integer)",
        "DROP TABLE messages",
        "ALTER TABLE users ADD COLUMN x integer",
        "CREATE INDEX mine ON messages (content)",
        "TRUNCATE messages",
        "TRUNCATE search_postings",
        "DELETE FROM messages",
        "DELETE FROM users",
        "UPDATE database_identity SET epoch = gen_random_uuid()",
        "DELETE FROM _sqlx_migrations",
        "CREATE SCHEMA mine",
        "SET ROLE ires_chat",
    ] {
        let refused = role.execute(AssertSqlSafe(denied)).await.unwrap_err();
        assert_eq!(refused.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref(), Some("42501"), "{denied}: {refused}");
    }
    for allowed in ["SELECT * FROM _sqlx_migrations", "SELECT * FROM ops_rooms", "DELETE FROM last_seen", "SELECT * FROM database_identity"] {
        role.execute(AssertSqlSafe(allowed)).await.unwrap_or_else(|error| panic!("{allowed}: {error}"));
    }
    owner.execute("CREATE TABLE of_a_later_migration (x integer)").await.unwrap();
    role.execute("INSERT INTO of_a_later_migration VALUES (1)").await.unwrap();
    let environment = [("DATABASE_URL", url.as_str())];
    assert_eq!(ires_chat(&["migrate", "run"], &environment).code, Some(1));
    assert_eq!(ires_chat(&["migrate", "info"], &environment).code, Some(0));
}

#[tokio::test]
async fn rights_are_not_taken_from_the_owner_nor_given_to_nobody() {
    let (_server, database, _) = granted().await;
    let environment = [("DATABASE_URL", database.url())];

    for role in ["ires_chat", "nobody_at_all", "", "a; DROP TABLE messages"] {
        let refused = ires_chat(&["migrate", "grant", role], &environment);
        assert_eq!(refused.code, Some(1), "{role:?}: {}", refused.stdout);
    }

    assert_eq!(ires_chat(&["doctor"], &environment).code, Some(0));
}
