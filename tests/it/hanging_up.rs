//! Clients that hang up in the middle of a request leave nothing behind that others would meet.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use sqlx::Connection;

use crate::support::{
    Database, TestApp, eventually,
    proxy::{Flow, Proxy},
};

/// How many connections of the server are in a transaction that waits for what comes next.
async fn left_in_a_transaction(database: &Database) -> i64 {
    let mut db = sqlx::PgConnection::connect(database.url()).await.unwrap();
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name ~ '^ires-chat( |$)' AND state LIKE 'idle in transaction%'";
    sqlx::query_scalar(count).fetch_one(&mut db).await.unwrap()
}

/// A connection of the pool that is in a transaction of which nobody knows would swallow what the next ones write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_given_up_while_its_transaction_begins_leaves_the_connection_without_one() {
    let database = Database::migrated().await;
    let proxy = Proxy::before(database.url()).await;
    let app = TestApp::on(database, &[("DATABASE_URL", &proxy.url), ("CHAT_DATABASE_CONNECTIONS", "2"), ("RUST_LOG", "warn")]);
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    let path = format!("/rooms/{room}/changes?since=0");
    let ask = || tokio::spawn(alice.request(Method::GET, &path).send());

    // Both connections are warm, so that the next thing they are used for is the transaction itself.
    let (mut asked, mut attempts) = (Vec::new(), 0);
    while left_in_a_transaction(&app.database).await < 2 {
        attempts += 1;
        assert!(attempts <= 30, "no request was caught while its transaction began");
        proxy.set(Flow::Everything);
        // So many that both are needed.
        let answers = join_all((0..8).map(|_| ask())).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().unwrap().status().is_success()));
        // They are asked whether they live when they are given back, and again when they have rested for a second.
        tokio::time::sleep(Duration::from_millis(100)).await;
        proxy.set(Flow::Questions);
        asked = vec![ask(), ask()];
        let begun = Instant::now();
        while left_in_a_transaction(&app.database).await < 2 && begun.elapsed().as_secs() < 2 {}
    }
    asked.iter().for_each(tokio::task::JoinHandle::abort);
    // The server has heard that they hung up when it answers whoever comes later on the same wire.
    app.get("/livez").await.expect(200);
    proxy.set(Flow::Everything);

    eventually("the end of the transactions", async || left_in_a_transaction(&app.database).await == 0).await;
    for name in ["one", "two", "three"] {
        alice.patch("/users/me", &json!({ "name": name })).await.expect(200);
        assert_eq!(app.number(&format!("SELECT count(*) FROM users WHERE id = 'alice' AND name = '{name}'")).await, 1);
    }
}
