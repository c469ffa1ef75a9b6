//! A disk without space: promise P10. It is a small one in memory, which only root may mount.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{Load, TestApp, cluster, eventually_within, ires_chat, npm};

const BOUND: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p10_on_a_full_disk_sends_are_refused_nothing_acked_is_lost_and_all_works_again_with_space() {
    let Some(postgres) = cluster::on_small_disk(160) else {
        return npm::skip("a full disk", "only root may mount one");
    };
    let app = TestApp::on_cluster(&postgres, &[("RUST_LOG", "warn")]).await;
    let mut users = Vec::new();
    for number in 0..4 {
        users.push(app.user(&format!("talker{number}")).await);
    }
    let room = users[0].create_room_with("load", &users[1..].iter().collect::<Vec<_>>()).await;
    let probe = app.user("probe").await;
    let (den, socket) = (probe.create_room("den").await, probe.connect().await);
    let load = Load::begin(users.clone(), &room, &Arc::new(Mutex::new(app.base().to_owned())));
    load.acked(100).await;

    postgres.fill_disk();
    let large = json!({ "roomId": den, "content": "x".repeat(3_900) });
    let refused: Mutex<Value> = Mutex::default();
    eventually_within(BOUND, "a refusal", async || {
        let ack = socket.emit("chat:message", &large).await;
        *refused.lock().unwrap() = ack["error"].clone();
        ack["ok"] == false
    })
    .await;

    let refused = refused.into_inner().unwrap();
    assert_eq!((&refused["code"], &refused["retryable"]), (&json!("UNAVAILABLE"), &json!(true)), "{refused}");
    assert_eq!(app.get("/livez").await.status, 200);

    postgres.empty_disk();
    // Postgres ends when there is no space for its journal: then it is started again, as an operator would.
    eventually_within(BOUND, "an acked message", async || {
        if !postgres.runs() {
            postgres.start_again();
        }
        socket.emit("chat:message", &large).await["ok"] == true
    })
    .await;
    load.acked(load.acked_so_far() + 50).await;
    load.finish().await.compare(&users[0].history(&room).await);
    let doctor = ires_chat(&["doctor"], &[("DATABASE_URL", app.database.url())]);
    assert_eq!(doctor.code, Some(0), "{}", doctor.stdout);
}
