//! A storm of log-ins is nobody else's trouble: `promises.md`, "Log-in".

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{PASSWORD, Reply, TestApp, TestSocket, eventually};

/// What a message takes at the median of many, while `going_on` says so, and at least of so many.
async fn median(socket: &TestSocket, least: usize, mut going_on: impl FnMut() -> bool) -> Duration {
    let mut times = Vec::new();
    while times.len() < least || going_on() {
        let begun = Instant::now();
        socket.say("general", "how quick is this?").await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_log_ins_at_once_do_not_delay_a_message_and_those_beyond_the_queue_come_again() {
    let app = TestApp::start().await;
    let socket = app.register("alice").await.connect().await;

    // Other tests begin and end beside this one: it is tried up to three times.
    let mut took = Vec::new();
    for _ in 0..3 {
        let quiet = median(&socket, 30, || false).await;
        let busy = median_in_a_storm(&app, &socket).await;
        took.push((quiet, busy));
        // A single hash takes longer than this, and hundreds wait.
        if busy < quiet * 5 + Duration::from_millis(50) {
            let alice = json!({ "username": "alice", "password": PASSWORD });
            return eventually("a log-in", async || app.post("/api/v1/auth/login", &alice).await.status == 200).await;
        }
    }
    panic!("a message took, without and with a storm, {took:?}");
}

/// What a message takes at the median while two hundred log in, of whom those are sent away that are too many.
async fn median_in_a_storm(app: &TestApp, socket: &TestSocket) -> Duration {
    let mut log_ins = tokio::task::JoinSet::new();
    for number in 0..200 {
        let url = format!("{}/api/v1/auth/login", app.base());
        let username = if number % 2 == 0 { "alice" } else { "nobody" };
        log_ins.spawn(Reply::of(app.http.post(url).json(&json!({ "username": username, "password": "not the password" }))));
    }
    let mut answered: Vec<Reply> = Vec::new();
    let busy = median(socket, 1, || {
        answered.extend(std::iter::from_fn(|| log_ins.try_join_next()).map(Result::unwrap));
        answered.len() < 200
    })
    .await;

    let (hashed, sent_away): (Vec<_>, Vec<_>) = answered.iter().partition(|reply| reply.status == 401);
    assert!(hashed.len() >= 10, "{} were hashed", hashed.len());
    assert!(!sent_away.is_empty(), "there were more than may wait");
    for reply in sent_away {
        assert_eq!(reply.refused(503), "UNAVAILABLE");
        assert_eq!((reply.header("retry-after"), &reply.body["retryable"]), ("1", &json!(true)));
    }
    busy
}
