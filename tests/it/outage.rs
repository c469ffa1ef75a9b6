//! While Postgres is away: promise P9, issue 2, item 7. Each test has a cluster of its own to hurt.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    Database, Reply, SLACK, Stopwatch, TestApp, TestSocket, TestUser, cluster, code, eventually, eventually_within,
    json::{int, text},
    prometheus::Scrape,
    proxy::Proxy,
};

/// Contract of P9: refusals come, and recovery is there, within five seconds.
const BOUND: Duration = Duration::from_secs(5);

struct Scene {
    postgres: cluster::Server,
    app: TestApp,
    alice: TestUser,
    socket: TestSocket,
    other: TestSocket,
    room: String,
    said: Value,
}

async fn scene() -> Scene {
    let postgres = cluster::exclusive();
    let app = TestApp::on_cluster(&postgres, &[("CHAT_AUTH_TIMEOUT", "3s"), ("CHAT_TYPING_TTL", "2s")]).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (socket, other) = (alice.connect().await, bob.connect().await);
    let said = socket.say(&room, "before").await;
    Scene { postgres, app, alice, socket, other, room, said }
}

impl Scene {
    fn message(&self, id: &str) -> Value {
        json!({ "roomId": self.room, "content": id, "clientMsgId": id })
    }

    /// A send is refused in time, as something to try again. (After a kill of Postgres's first process another one
    /// may still commit what it is at, rightly: then the next send is looked at.)
    async fn send_is_refused_in_time(&self, id: &str) {
        let mut ack = Value::Null;
        for attempt in 0..20 {
            let id = if attempt == 0 { id.to_owned() } else { format!("{id} {attempt}") };
            let begun = Stopwatch::start();
            ack = self.socket.emit("chat:message", &self.message(&id)).await;
            assert!(begun.elapsed() < BOUND + SLACK, "answered after {:?} only", begun.elapsed());
            if ack["ok"] == false {
                break;
            }
        }
        assert_eq!(ack["error"]["code"], "UNAVAILABLE", "{ack}");
        assert_eq!((&ack["error"]["retryable"], &ack["error"]["status"]), (&json!(true), &json!(503)));
        assert!(int(&ack["error"]["retryAfterMs"]) > 0, "{ack}");
    }

    async fn readyz_turns(&self, status: u16) {
        let what = format!("/readyz {status}");
        eventually_within(BOUND + SLACK, &what, async || self.app.get("/readyz").await.status == status).await;
    }

    /// Live, not ready; typing goes on, and ends; and who does not authenticate is not kept.
    async fn serves_what_needs_no_database(&self) {
        assert_eq!(self.app.get("/livez").await.status, 200);
        let nobody = self.app.dial().open().await.unwrap();
        let typing = json!({ "roomId": self.room, "isTyping": true });
        self.socket.emit_ok("status:typing", &typing).await;
        self.other.expect_where("status:typing", |told| told["isTyping"] == true).await;
        let begun = Stopwatch::start();
        self.other.expect_where("status:typing", |told| told["isTyping"] == false).await;
        assert_eq!(code(&nobody.expect("system:error").await), "AUTH_TIMEOUT");
        nobody.disconnected().await;
        assert!(begun.elapsed() < Duration::from_secs(3) + 2 * SLACK, "{:?}", begun.elapsed());
    }

    async fn works_again_by_itself(&self) {
        let works = async || self.socket.emit("chat:message", &self.message("after")).await["ok"] == true;
        eventually_within(BOUND + SLACK, "an acked message", works).await;
        self.readyz_turns(200).await;
    }

    /// Everything acked is stored, what was heard is stored, and nothing is stored twice. A refused message may be
    /// stored (its commit may have been under way) but then it was sent again with its id, and is there once.
    async fn nothing_is_lost_or_doubled(&self) {
        let history = self.alice.history(&self.room).await;
        let contents: Vec<_> = history.iter().map(|message| text(&message["content"])).collect();
        for once in ["before", "during", "after"] {
            assert_eq!(contents.iter().filter(|content| **content == once).count(), 1, "{contents:?}");
        }
        self.other.settle().await;
        for heard in self.other.seen("chat:message") {
            assert!(history.contains(&heard), "{heard} was heard and is not stored");
        }
        let seqs: Vec<_> = history.iter().map(|message| int(&message["seq"])).collect();
        assert!(seqs.is_sorted_by(|a, b| a + 1 == *b), "{seqs:?}");
    }

    async fn goes_through_an_outage(&self, hurt: impl Fn(&cluster::Server), mend: impl Fn(&cluster::Server)) {
        hurt(&self.postgres);
        self.send_is_refused_in_time("during").await;
        self.readyz_turns(503).await;
        self.serves_what_needs_no_database().await;
        mend(&self.postgres);
        self.works_again_by_itself().await;
        self.the_refused_one_can_be_sent_again().await;
        self.nothing_is_lost_or_doubled().await;
    }

    async fn the_refused_one_can_be_sent_again(&self) {
        self.socket.emit_ok("chat:message", &self.message("during")).await;
    }
}

#[tokio::test]
async fn p9_postgres_stopped_and_started_again() {
    scene().await.goes_through_an_outage(cluster::Server::stop, cluster::Server::start_again).await;
}

#[tokio::test]
async fn p9_postgres_killed_and_started_again() {
    scene().await.goes_through_an_outage(cluster::Server::kill, cluster::Server::start_again).await;
}

/// A frozen peer keeps TCP open: only a time limit around each call helps.
#[tokio::test]
async fn p9_postgres_frozen_and_thawed() {
    scene().await.goes_through_an_outage(cluster::Server::freeze, cluster::Server::thaw).await;
}

#[tokio::test]
async fn p9_restarted_between_two_messages() {
    let scene = scene().await;

    scene.postgres.stop();
    scene.postgres.start_again();

    scene.works_again_by_itself().await;
    scene.the_refused_one_can_be_sent_again().await;
    scene.nothing_is_lost_or_doubled().await;
}

#[tokio::test]
async fn p9_connections_terminated() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (socket, other) = (alice.connect().await, bob.connect().await);
    for round in 0..5 {
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        app.rows(cut).await;
        let tag = format!("round {round}");
        let message = json!({ "roomId": room, "content": tag, "clientMsgId": tag });
        let works = async || socket.emit("chat:message", &message).await["ok"] == true;
        eventually_within(BOUND + SLACK, "an acked message", works).await;
        other.expect_where("chat:message", |heard| heard["content"] == tag).await;
    }
    // Whoever gets a connection that was cut is told to try again.
    let history = format!("/rooms/{room}/messages");
    let reads = async || bob.get(&history).await.body["messages"].as_array().is_some_and(|messages| messages.len() == 5);
    eventually_within(BOUND + SLACK, "the history", reads).await;
    assert_eq!(app.get("/readyz").await.status, 200);
}

/// A restart ends all connections at once: whoever asks first finds it out for all.
#[tokio::test]
async fn p9_connections_that_were_all_ended_refuse_one_request_and_not_one_each() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    for _ in 0..3 {
        assert!(join_all((0..24).map(|_| alice.get("/rooms"))).await.iter().all(|reply| reply.status == 200));
        let cut = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'ires-chat'";
        assert!(app.rows(cut).await.len() >= 4);

        let mut refused = 0;
        for _ in 0..12 {
            refused += usize::from(alice.get("/rooms").await.status == 503);
        }
        assert!(refused <= 1, "{refused} of 12");
    }
}

const METRICS: &str = "a-token-for-prometheus-alone";

/// How many connections of the pool are in this state.
async fn connections(app: &TestApp, state: &str) -> f64 {
    let page = Reply::of(app.http.get(format!("{}/metrics", app.base())).bearer_auth(METRICS)).await;
    Scrape::read(&page.text).sum("ires_chat_database_connections", &[("state", state)])
}

/// The connections that were open go silent, and nobody says so; new ones are served. Some are used at that moment, some are being given
/// back, some rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_connections_that_went_silent_are_replaced_and_keep_no_place() {
    let database = Database::migrated().await;
    let proxy = Proxy::before(database.url()).await;
    let app = TestApp::on(database, &[("DATABASE_URL", &proxy.url), ("CHAT_DATABASE_CONNECTIONS", "4"), ("CHAT_METRICS_TOKEN", METRICS)]);
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    let history = format!("/rooms/{room}/messages");
    let reads = |count: usize| join_all((0..count).map(|_| alice.get(&history)));
    assert!(reads(12).await.iter().all(|reply| reply.status == 200));

    let readers = reads(100);
    let silence = async {
        tokio::task::yield_now().await;
        alice.get("/rooms").await.expect(200);
        proxy.silence_the_open();
        eventually_within(BOUND + SLACK, "an answer", async || alice.get("/rooms").await.status == 200).await;
    };
    _ = tokio::join!(readers, silence);

    eventually("the end of the silent connections", async || connections(&app, "used").await == 0.0).await;
    assert!(reads(12).await.iter().all(|reply| reply.status == 200));
    assert_eq!(app.get("/readyz").await.status, 200);
}

/// Those that rest, and are found silent when somebody wants one, cost that one little time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_resting_connections_that_went_silent_hold_nobody_up_for_long() {
    let database = Database::migrated().await;
    let proxy = Proxy::before(database.url()).await;
    let app = TestApp::on(database, &[("DATABASE_URL", &proxy.url), ("CHAT_METRICS_TOKEN", METRICS)]);
    let alice = app.user("alice").await;
    for _ in 0..3 {
        join_all((0..16).map(|_| alice.get("/rooms"))).await;
    }
    assert!(connections(&app, "idle").await > 4.0);
    proxy.silence_the_open();

    eventually_within(BOUND + SLACK, "an answer", async || alice.get("/rooms").await.status == 200).await;
    for _ in 0..3 {
        let begun = Stopwatch::start();
        alice.get("/rooms").await.expect(200);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}

/// Many sends at once while nothing answers: each is refused in time, none is acked, and the server goes on.
#[tokio::test]
async fn p9_a_burst_while_postgres_is_frozen_is_refused_as_a_whole() {
    let scene = scene().await;
    scene.postgres.freeze();
    let begun = Stopwatch::start();

    let sent: Vec<_> = (0..100).map(|n| scene.socket.post("chat:message", &scene.message(&format!("m{n}")))).collect();

    for id in sent {
        assert_eq!(scene.socket.ack(id).await["error"]["code"], "UNAVAILABLE");
    }
    assert!(begun.elapsed() < BOUND + SLACK, "{:?}", begun.elapsed());
    scene.postgres.thaw();
    scene.works_again_by_itself().await;
}

#[tokio::test]
async fn p9_rest_answers_503_with_retry_after() {
    let scene = scene().await;
    scene.postgres.stop();

    for path in ["/rooms", "/users?q=a", &format!("/rooms/{}/messages", scene.room), &format!("/rooms/{}/changes?since=0", scene.room)] {
        let begun = Stopwatch::start();
        let reply = scene.alice.get(path).await;
        assert_eq!(reply.refused(503), "UNAVAILABLE", "{path}");
        assert!(begun.elapsed() < BOUND + SLACK, "{path}: {:?}", begun.elapsed());
        assert!(!reply.header("retry-after").is_empty(), "{path}");
    }
    let login = json!({ "username": "a", "password": "long enough" });
    assert_eq!(scene.app.post("/api/v1/auth/login", &login).await.refused(503), "UNAVAILABLE");
}

/// Who connects meanwhile is told so and may come again, rather than be let in half or called an impostor.
#[tokio::test]
async fn p9_who_connects_while_postgres_is_away_is_told_unavailable() {
    let scene = scene().await;
    scene.postgres.stop();

    let early = scene.alice.dial().open().await.unwrap();

    assert_eq!(early.expect("system:error").await["code"], "UNAVAILABLE");
    scene.postgres.start_again();
    scene.works_again_by_itself().await;
    early.expect_notification("session.ready").await;
    early.settle().await;
}

/// Every event gets its one ack also then.
#[tokio::test]
async fn p9_every_event_is_answered_while_postgres_is_away() {
    let scene = scene().await;
    scene.postgres.stop();
    for (event, payload) in [
        ("chat:room:create", json!({ "name": "x" })),
        ("chat:room:join", json!("some-room")),
        ("chat:room:leave", json!(scene.room)),
        ("chat:message", json!({ "content": "x" })),
        ("chat:message:edit", json!({ "messageId": scene.said["id"], "content": "x" })),
        ("chat:message:delete", json!({ "messageId": scene.said["id"] })),
        ("chat:message:pin", json!({ "messageId": scene.said["id"] })),
        ("chat:message:unpin", json!({ "messageId": scene.said["id"] })),
        ("chat:reaction:add", json!({ "messageId": scene.said["id"], "emoji": "👍" })),
        ("chat:reaction:remove", json!({ "messageId": scene.said["id"], "emoji": "👍" })),
        ("chat:room:update", json!({ "roomId": scene.room, "name": "x" })),
        ("chat:room:invite", json!({ "roomId": scene.room, "userId": "bob" })),
        ("chat:room:kick", json!({ "roomId": scene.room, "userId": "bob" })),
        ("chat:room:ban", json!({ "roomId": scene.room, "userId": "bob" })),
        ("chat:room:unban", json!({ "roomId": scene.room, "userId": "bob" })),
        ("chat:room:mute", json!({ "roomId": scene.room, "userId": "bob", "durationMs": 1000 })),
        ("chat:room:role", json!({ "roomId": scene.room, "userId": "bob", "role": "admin" })),
        ("chat:read", json!({ "roomId": scene.room, "seq": 1 })),
        ("status:subscribe", json!({ "userIds": ["alice"] })),
        ("chat:unread:mark", json!({ "roomId": scene.room, "seq": 1 })),
        ("chat:sync", json!({ "rooms": { (scene.room.as_str()): 0 } })),
    ] {
        let ack = scene.socket.emit(event, &payload).await;
        assert_eq!((&ack["error"]["code"], &ack["error"]["retryable"]), (&json!("UNAVAILABLE"), &json!(true)), "{event}");
    }
    assert!(scene.socket.is_live() && scene.other.is_live());
    scene.postgres.start_again();
    scene.works_again_by_itself().await;
    assert_eq!(scene.alice.room(&scene.room).await["memberCount"], 2);
}
