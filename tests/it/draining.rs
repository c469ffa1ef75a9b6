//! Stopping: promise P8. Nothing that was begun is lost, nothing new is begun, and nobody keeps the server from ending.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Executor, PgConnection};
use tokio::task::JoinSet;

use crate::support::{LIMIT, Refusal, Reply, TestApp, TestSocket, TestUser, cluster, code, eventually, json::int, within};

/// Promise P8: however it is, the server has ended after this time.
const BOUND: Duration = Duration::from_secs(15);

/// For a server at which a change is held up for as long as the test needs: it waits for a row for half of the one, and stops for
/// the other.
const PATIENT: [(&str, &str); 2] = [("CHAT_DATABASE_TIMEOUT", "2m"), ("CHAT_DRAIN_TIMEOUT", "3m")];

/// The transport closed, which makes clients come back; not the namespace, which makes them stay away.
fn comes_back_after(end: &str) -> bool {
    ["websocket", "engine closed", "poll "].iter().any(|begin| end.starts_with(begin))
}

/// A change of a room that is under way until the connection is told to commit: somebody else holds the room's row.
struct UnderWay {
    holder: PgConnection,
    change: tokio::task::JoinHandle<Reply>,
}

impl UnderWay {
    async fn begin(app: &TestApp, user: &TestUser, room: &str) -> Self {
        let mut holder = app.sql().await;
        holder.execute("BEGIN").await.unwrap();
        sqlx::query("UPDATE rooms SET topic = 'held' WHERE id = $1::uuid").bind(room).execute(&mut holder).await.unwrap();
        let (user, path) = (user.clone(), format!("/rooms/{room}"));
        let change = tokio::spawn(async move { user.patch(&path, &json!({ "name": "renamed" })).await });
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("a change that waits", async || app.number(waiting).await > 0).await;
        Self { holder, change }
    }

    async fn finish(mut self) -> Reply {
        self.holder.execute("COMMIT").await.unwrap();
        self.change.await.unwrap()
    }
}

/// Asks the server to end, and waits until it begins nothing more.
async fn begin_to_drain(app: &mut TestApp, socket: &TestSocket) {
    app.begin_to_stop();
    let refused = async || socket.emit("status:typing", &json!({ "isTyping": true })).await["ok"] == false;
    eventually("a refusal", refused).await;
}

#[tokio::test]
async fn p8_a_server_that_stops_finishes_what_was_begun_and_begins_nothing_more() {
    let mut app = TestApp::with(&PATIENT).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (a, b) = (alice.connect().await, bob.connect().await);
    let under_way = UnderWay::begin(&app, &alice, &room).await;

    begin_to_drain(&mut app, &b).await;

    assert_eq!(app.get("/readyz").await.expect(503)["status"], "draining");
    assert_eq!(app.get("/livez").await.status, 200);
    let refused = a.emit_err("chat:message", &json!({ "roomId": "general", "content": "too late" })).await;
    assert_eq!((code(&refused), &refused["retryable"], &refused["status"]), ("SERVER_DRAINING", &json!(true), &json!(503)));
    assert!(int(&refused["retryAfterMs"]) > 0);
    let reply = bob.post("/rooms", &json!({ "name": "too late" })).await;
    assert_eq!(reply.refused(503), "SERVER_DRAINING");
    assert!(!reply.header("retry-after").is_empty());
    bob.get("/rooms").await.expect(200);
    for dial in [bob.dial(), bob.dial().polling()] {
        assert_eq!(dial.open().await.err(), Some(Refusal::Status(503)));
    }
    assert!(a.is_live() && b.is_live(), "they are closed at the end");

    under_way.finish().await.expect(200);

    assert_eq!(b.expect("chat:room:updated").await["room"]["name"], "renamed");
    let told = b.expect_notification("server.draining").await;
    assert!((500..=6_000).contains(&int(&told["data"]["reconnectInMs"])), "{told}");
    for socket in [a, b] {
        let end = socket.disconnected().await;
        assert!(comes_back_after(&end), "{end}");
    }
    assert_eq!(app.ended(BOUND).await.code(), Some(0));
    assert_eq!(app.number("SELECT count(*) FROM messages WHERE content = 'too late'").await, 0);
}

/// Each message has a tag of its own, and after the end everybody knows what became of theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_of_a_burst_in_which_the_server_stops_every_event_is_answered_once_or_its_connection_has_ended() {
    let mut app = TestApp::with(&[&PATIENT[..], &[("RUST_LOG", "warn")]].concat()).await;
    let mut users = Vec::new();
    for number in 0..8 {
        users.push(app.user(&format!("u{number}")).await);
    }
    let room = users[0].create_room_with("den", &users[1..].iter().collect::<Vec<_>>()).await;
    let mut sockets = Vec::new();
    for user in &users {
        sockets.push(user.connect().await);
    }
    let held = users[0].create_room("held").await;
    let under_way = UnderWay::begin(&app, &users[0], &held).await;
    let mut sent = Vec::new();
    let say = |sent: &mut Vec<_>, who: usize| {
        let tag = format!("{who}-{}", sent.len());
        let id = sockets[who].post("chat:message", &json!({ "roomId": room, "content": tag, "clientMsgId": tag }));
        sent.push((who, id, tag));
    };
    for _ in 0..600 {
        (0..sockets.len()).for_each(|who| say(&mut sent, who));
    }
    sockets[0].ack(sent[0].1).await;

    app.begin_to_stop();
    // A server that was quicker with all of that than this test is has more to refuse.
    let refusal = async {
        loop {
            say(&mut sent, 0);
            for (who, id, _) in &sent {
                if sockets[*who].ack_count(*id) > 0 && sockets[*who].ack(*id).await["ok"] == false {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(LIMIT, "a refusal", refusal).await;
    under_way.finish().await.expect(200);

    // They go on, so that some come while it drains, however quick it is.
    while sockets.iter().any(TestSocket::is_live) {
        (0..sockets.len()).filter(|who| sockets[*who].is_live()).for_each(|who| say(&mut sent, who));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for socket in &sockets {
        let end = socket.disconnected().await;
        assert!(comes_back_after(&end), "{end}");
    }
    assert_eq!(app.ended(BOUND).await.code(), Some(0));
    app.start_again();
    let history = users[0].at(app.base()).history(&room).await;
    let stored: HashMap<&str, i64> = history.iter().map(|message| (message["content"].as_str().unwrap(), int(&message["seq"]))).collect();
    assert_eq!(stored.len(), history.len(), "something is stored twice");
    let (mut acked, mut refused, mut unknown) = (0, 0, 0);
    for (who, id, tag) in &sent {
        match sockets[*who].ack_count(*id) {
            0 => unknown += 1,
            1 => {
                let ack = sockets[*who].ack(*id).await;
                if ack["ok"] == true {
                    assert_eq!(stored.get(tag.as_str()), Some(&int(&ack["data"]["seq"])), "{tag} was acked and is lost");
                    acked += 1;
                } else {
                    assert_eq!(code(&ack["error"]), "SERVER_DRAINING");
                    assert!(!stored.contains_key(tag.as_str()), "{tag} was refused and is stored");
                    refused += 1;
                }
            }
            more => panic!("{tag} has {more} acks"),
        }
    }
    for socket in &sockets {
        let heard = socket.seen("chat:message");
        assert!(heard.iter().all(|message| stored.contains_key(message["content"].as_str().unwrap())), "P4");
    }
    println!("{acked} acked, {refused} refused, {unknown} unknown");
    assert!(acked > 0 && refused > 0);
}

/// While load balancers take notice, everything is served.
#[tokio::test]
async fn p8_for_the_drain_delay_it_is_not_ready_and_serves_all_the_same() {
    const DELAY: Duration = Duration::from_secs(4);
    // On a machine that stands still for so long there is no such time: then once more.
    loop {
        let mut app = TestApp::with(&[("CHAT_DRAIN_DELAY", "4s")]).await;
        let alice = app.user("alice").await;
        let socket = alice.connect().await;
        let ready = app.http.get(format!("{}/readyz", app.base()));
        let is_ready = async || Reply::try_of(ready.try_clone().unwrap()).await.is_some_and(|reply| reply.status == 200);
        let begun = Instant::now();

        app.begin_to_stop();
        eventually("503", async || !is_ready().await).await;

        let said = socket.post("chat:message", &json!({ "content": "still here" }));
        let said = socket.ack_if_any(said, LIMIT).await;
        let made = Reply::try_of(alice.request(Method::POST, "/rooms").json(&json!({ "name": "still here" }))).await;
        let late = alice.dial().try_open_ready().await;
        if begun.elapsed() >= DELAY {
            continue;
        }
        assert_eq!(said.unwrap()["ok"], true);
        made.unwrap().expect(201);
        for socket in [socket, late.unwrap()] {
            socket.expect_notification("server.draining").await;
            socket.disconnected().await;
        }
        assert_eq!(app.ended(BOUND).await.code(), Some(0));
        return;
    }
}

#[tokio::test]
async fn p8_who_polls_hears_all_and_is_closed_so_that_it_comes_back() {
    let mut app = TestApp::with(&PATIENT).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let polling = bob.dial().polling().open_ready().await;
    let under_way = UnderWay::begin(&app, &alice, &room).await;
    begin_to_drain(&mut app, &polling).await;

    under_way.finish().await.expect(200);

    polling.expect("chat:room:updated").await;
    polling.expect_notification("server.draining").await;
    assert_eq!(polling.disconnected().await, "engine closed");
    assert_eq!(app.ended(BOUND).await.code(), Some(0));
}

/// All at once they would all come back at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_sockets_are_closed_at_random_moments_and_told_random_times() {
    // To a machine that stands still for a moment they may all seem to end in it: but not each time.
    let mut took = Vec::new();
    while took.iter().all(|took| *took <= Duration::from_millis(250)) {
        assert!(took.len() < 3, "all within {took:?}");
        took.push(time_of_closing_a_hundred().await);
    }
}

async fn time_of_closing_a_hundred() -> Duration {
    let mut app = TestApp::with(&[("RUST_LOG", "warn")]).await;
    let alice = app.user("alice").await;
    let mut open = Vec::new();
    for number in 0..100 {
        let dial = if number % 4 == 0 { alice.dial().polling() } else { alice.dial() };
        open.push(dial.open_ready().await);
    }
    // The first would have waited for long, had they not all come before.
    let mut sockets = JoinSet::new();
    for socket in open {
        sockets.spawn(async move {
            let told = socket.expect_notification("server.draining").await;
            socket.disconnected().await;
            (int(&told["data"]["reconnectInMs"]), Instant::now())
        });
    }

    app.begin_to_stop();

    let ended = sockets.join_all().await;
    let waits: HashSet<i64> = ended.iter().map(|(wait, _)| *wait).collect();
    assert!(waits.len() > 50, "{waits:?}");
    let moments: Vec<Instant> = ended.iter().map(|(_, moment)| *moment).collect();
    assert_eq!(app.ended(BOUND).await.code(), Some(0));
    *moments.iter().max().unwrap() - *moments.iter().min().unwrap()
}

#[tokio::test]
async fn p8_a_client_that_takes_nothing_does_not_keep_the_server_from_ending() {
    let mut app = TestApp::with(&[("CHAT_SOCKET_BACKLOG", "100000000"), ("RUST_LOG", "warn,ires_chat=trace")]).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (sender, stuck) = (alice.connect().await, bob.connect().await);
    stuck.settle().await;
    stuck.read(false);
    let content = "x".repeat(3_900);
    // More than the buffers of both kernels hold.
    for _ in 0..40 {
        let sent: Vec<_> = (0..50).map(|_| sender.post("chat:message", &json!({ "roomId": room, "content": content }))).collect();
        for id in sent {
            assert_eq!(sender.ack(id).await["ok"], true);
        }
    }

    app.begin_to_stop();

    assert_eq!(app.ended(BOUND).await.code(), Some(0));
    assert!(stuck.is_live(), "it has not read its end");
}

#[tokio::test]
async fn p8_a_second_signal_ends_it_at_once() {
    let mut app = TestApp::with(&PATIENT).await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    let socket = alice.connect().await;
    let under_way = UnderWay::begin(&app, &alice, &room).await;
    begin_to_drain(&mut app, &socket).await;

    app.begin_to_stop();

    // What is under way would be waited for until its row is free, or for longer than that.
    assert_eq!(app.ended(Duration::from_secs(10)).await.code(), Some(1));
    eventually("its last line", async || app.logs().contains("second signal")).await;
    under_way.change.abort();
}

#[tokio::test]
async fn p8_while_postgres_is_frozen_what_waits_is_refused_and_the_server_ends_in_time() {
    let postgres = cluster::exclusive();
    let mut app = TestApp::on_cluster(&postgres, &[]).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (socket, polling) = (alice.connect().await, bob.dial().polling().open_ready().await);
    socket.say(&room, "before").await;
    postgres.freeze();
    let sent: Vec<u64> = (0..20).map(|n| socket.post("chat:message", &json!({ "roomId": room, "content": n.to_string() }))).collect();
    app.begin_to_stop();
    let begun = Instant::now();

    for id in sent {
        let refused: Value = socket.ack(id).await;
        assert!(["UNAVAILABLE", "SERVER_DRAINING"].contains(&code(&refused["error"])), "{refused}");
    }

    assert_eq!(app.ended(BOUND).await.code(), Some(0));
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    for end in [socket.disconnected().await, polling.disconnected().await] {
        assert!(comes_back_after(&end), "{end}");
    }
}

#[tokio::test]
async fn last_seen_is_written_of_everybody_who_is_here_when_the_server_stops() {
    let mut app = TestApp::start().await;
    let socket = app.user("alice").await.connect().await;
    let seen = "SELECT count(*) FROM last_seen WHERE user_id = 'alice' AND last_seen_at > now() - interval '1 minute'";
    eventually("a first time", async || app.number(seen).await == 1).await;
    // Only once a minute while the server runs.
    app.execute("UPDATE last_seen SET last_seen_at = now() - interval '1 hour'").await;

    app.begin_to_stop();

    assert_eq!(app.ended(BOUND).await.code(), Some(0));
    assert_eq!(app.number(seen).await, 1);
    drop(socket);
}
