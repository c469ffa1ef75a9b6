//! What was acked stays: promises P1 to P4 under `kill -9` of the server, and of Postgres, in the middle of a load.

use std::sync::{Arc, Mutex};

use sqlx::{Connection, PgConnection};

use crate::support::{Database, Load, TestApp, TestUser, cluster, eventually, ires_chat, token};

/// People who talk in one room.
async fn talkers(app: &TestApp, count: usize) -> (Vec<TestUser>, String) {
    let mut users = Vec::new();
    for number in 0..count {
        users.push(app.user(&format!("talker{number}")).await);
    }
    let others: Vec<_> = users[1..].iter().collect();
    let room = users[0].create_room_with("load", &others).await;
    (users, room)
}

/// Counts, numbers and references add up.
fn assert_healthy(app: &TestApp) {
    let doctor = ires_chat(&["doctor"], &[("DATABASE_URL", app.database.url())]);
    assert_eq!(doctor.code, Some(0), "{}", doctor.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_kill_9_of_the_server_loses_no_acked_message_doubles_none_and_keeps_the_order() {
    let mut app = TestApp::start().await;
    let (users, room) = talkers(&app, 4).await;
    let base = Arc::new(Mutex::new(app.base().to_owned()));
    let load = Load::begin(users.clone(), &room, &base);

    for _ in 0..5 {
        load.acked(load.acked_so_far() + 150).await;
        app.kill_9();
        app.start_again();
        app.base().clone_into(&mut base.lock().unwrap());
    }
    load.acked(load.acked_so_far() + 50).await;

    let tally = load.finish().await;
    tally.compare(&users[0].at(app.base()).history(&room).await);
    assert_healthy(&app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_kill_9_of_postgres_loses_no_acked_message_doubles_none_and_keeps_the_order() {
    let postgres = cluster::exclusive();
    let app = TestApp::on_cluster(&postgres, &[]).await;
    let (users, room) = talkers(&app, 4).await;
    let base = Arc::new(Mutex::new(app.base().to_owned()));
    let load = Load::begin(users.clone(), &room, &base);

    for _ in 0..3 {
        load.acked(load.acked_so_far() + 150).await;
        postgres.kill();
        postgres.start_again();
    }
    load.acked(load.acked_so_far() + 50).await;

    let tally = load.finish().await;
    tally.compare(&users[0].history(&room).await);
    assert_healthy(&app);
}

/// A frontend's view: what a member saw before the kill is still there after it, with the same numbers.
#[tokio::test]
async fn p1_what_was_heard_before_the_kill_is_in_history_after_it() {
    let mut app = TestApp::start().await;
    let (users, room) = talkers(&app, 2).await;
    let (from, to) = (users[0].connect().await, users[1].connect().await);
    for number in 0..20 {
        from.post("chat:message", &serde_json::json!({ "roomId": room, "content": format!("{number}") }));
    }
    to.expect_where("chat:message", |message| message["content"] == "5").await;

    app.kill_9();
    let heard = to.seen("chat:message");
    app.start_again();

    let history = users[1].at(app.base()).history(&room).await;
    assert_eq!(history[..heard.len()], heard, "P4: nothing is delivered that is not stored");
}

/// `synchronous_commit = off` lost 24 of 6,360 acknowledged rows at one kill.
#[tokio::test]
async fn p15_a_database_that_may_lose_what_was_acked_is_refused_unless_told_otherwise() {
    let database = Database::migrated().await;
    let lossy = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$";
    sqlx::raw_sql(lossy).execute(&mut PgConnection::connect(database.url()).await.unwrap()).await.unwrap();

    let refused = ires_chat(&["serve"], &[("DATABASE_URL", database.url()), ("JWT_SECRET", token::SECRET), ("PORT", "0")]);

    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("synchronous_commit is off"), "{}", refused.stderr);
    let app = TestApp::on(database, &[("CHAT_ALLOW_UNSAFE_DATABASE", "true")]);
    app.user("alice").await.get("/rooms").await.expect(200);
}

/// SIGTERM is a polite end: exit code 0, and what was acked is there.
#[tokio::test]
async fn sigterm_in_the_middle_of_a_burst_loses_nothing_that_was_acked() {
    let mut app = TestApp::start().await;
    let (users, room) = talkers(&app, 2).await;
    let socket = users[0].connect().await;
    let message = |number: i32| serde_json::json!({ "roomId": room, "content": number.to_string() });
    let sent: Vec<_> = (0..200).map(|number| socket.post("chat:message", &message(number))).collect();
    socket.ack(sent[20]).await;

    let status = app.stop();

    assert_eq!(status.code(), Some(0));
    eventually("the end of the connection", async || !socket.is_live()).await;
    let mut acked = 0;
    for id in sent {
        // Some were refused by a server that had begun to stop, and some not even answered.
        acked += usize::from(socket.ack_count(id) > 0 && socket.ack(id).await["ok"] == true);
    }
    app.start_again();
    let history = users[0].at(app.base()).history(&room).await;
    assert!(acked > 20 && history.len() >= acked, "{acked} acked, {} stored", history.len());
    for (number, message) in history.iter().enumerate() {
        assert_eq!(message["content"], number.to_string());
    }
}
