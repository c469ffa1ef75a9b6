//! Presence over several servers on one database, and over the death of one: issue 5, part 3, contract section 5.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use sqlx::Row;

use crate::support::{
    Running, TestApp, TestSocket, TestUser, cluster, eventually, eventually_within, ires_chat,
    json::{int, is_time, text, texts},
};

/// Longer than the second for which a server pauses after it could not write, so that each is patient until the other has a lease; and
/// than a busy machine may stand still, which would end that of a server that lives.
const LEASE: (&str, &str) = ("CHAT_NODE_LEASE", "8s");

/// Two servers on one database; where the second one listens.
struct Pair {
    app: TestApp,
    second: Running,
    base: String,
}

impl Pair {
    async fn start(settings: &[(&str, &str)]) -> Self {
        Self::beside(TestApp::with(settings).await, settings)
    }

    fn beside(app: TestApp, settings: &[(&str, &str)]) -> Self {
        let settings: Vec<_> = [("CHAT_PRESENCE_GRACE", "100ms")].iter().chain(settings).copied().collect();
        let (second, base) = app.second_server_with(&settings);
        Self { app, second, base }
    }

    /// Somebody who is at the second server.
    async fn user(&self, id: &str) -> TestUser {
        self.app.user(id).await.at(&self.base)
    }
}

async fn about(socket: &TestSocket, event: &str, user: &str) -> Value {
    socket.expect_where(event, |status| status["userId"] == user).await
}

/// How often a socket heard that somebody came, and that they went.
fn edges(socket: &TestSocket, user: &str) -> (usize, usize) {
    let count = |event: &str| socket.seen(event).iter().filter(|edge| edge["userId"] == user).count();
    (count("status:online"), count("status:offline"))
}

async fn is_online(asker: &TestUser, user: &str) -> bool {
    asker.get(&format!("/users/{user}/presence")).await.expect(200)["isOnline"] == true
}

#[tokio::test]
async fn who_is_at_any_server_is_online_and_every_listener_hears_each_edge_once() {
    let pair = Pair::start(&[]).await;
    let (bob, carol) = (pair.app.user("bob").await, pair.user("carol").await);
    let (here, there) = (bob.connect().await, carol.connect().await);
    let alice = pair.user("alice").await;

    let desk = alice.connect().await;
    for listener in [&here, &there] {
        about(listener, "status:online", "alice").await;
    }
    let phone = alice.at(pair.app.base()).connect().await;
    // With a grace this short the second server knows of the phone in time only when that is written already.
    let both = "SELECT count(*) FROM connections WHERE user_id = 'alice'";
    eventually("the phone beside the desk", async || pair.app.number(both).await == 2).await;
    desk.close().await;
    let ended = "SELECT count(*) FROM connections WHERE user_id = 'alice' AND ended_at IS NOT NULL";
    eventually("the end of one of two", async || pair.app.number(ended).await == 1).await;
    assert!(is_online(&bob, "alice").await && is_online(&carol, "alice").await);
    phone.close().await;

    let told = [about(&here, "status:offline", "alice").await, about(&there, "status:offline", "alice").await];
    assert_eq!(told[0]["lastSeenAt"], told[1]["lastSeenAt"]);
    assert!(is_time(&told[0]["lastSeenAt"]), "{}", told[0]);
    for asker in [&bob, &carol] {
        let asked = asker.get("/users/alice/presence").await.expect(200);
        assert_eq!((&asked["isOnline"], &asked["lastSeenAt"]), (&json!(false), &told[0]["lastSeenAt"]));
    }
    let _dave = pair.user("dave").await.connect().await;
    for listener in [&here, &there] {
        about(listener, "status:online", "dave").await;
        assert_eq!(edges(listener, "alice"), (1, 1));
    }
}

#[tokio::test]
async fn whatever_shows_who_is_here_counts_all_servers() {
    let pair = Pair::start(&[]).await;
    let (bob, alice, loner) = (pair.app.user("bob").await, pair.user("alice").await, pair.user("loner").await);
    let room = bob.create_room_with("den", &[&alice]).await;
    loner.leave("general").await;
    let (watcher, _alice, far) = (bob.connect().await, alice.connect().await, loner.connect().await);
    about(&watcher, "status:online", "alice").await;
    eventually("the loner", async || is_online(&bob, "loner").await).await;

    let of_room = bob.get(&format!("/rooms/{room}/presence")).await.expect(200);
    let several = bob.get("/presence?userIds=alice,loner").await.expect(200);
    let joined = watcher.emit_ok("chat:room:join", &json!(room)).await;
    let subscribed = watcher.emit_ok("status:subscribe", &json!({ "userIds": ["loner"], "roomIds": [room] })).await;

    assert_eq!((&of_room["onlineCount"], texts(&of_room["items"], "status")), (&json!(2), vec!["online", "online"]));
    assert_eq!(texts(&several["items"], "status"), ["online", "online"]);
    assert!(joined["presence"].as_array().unwrap().contains(&json!("alice")), "{}", joined["presence"]);
    assert_eq!((&subscribed["users"][0]["status"], &subscribed["rooms"][0]["onlineCount"]), (&json!("online"), &json!(2)));
    far.close().await;
    about(&watcher, "status:offline", "loner").await;
}

#[tokio::test]
async fn hiding_the_last_shown_socket_of_all_servers_is_the_edge() {
    let pair = Pair::start(&[("CHAT_PRESENCE_GRACE", "1m")]).await;
    let (here, there) = (pair.app.user("bob").await.connect().await, pair.user("carol").await.connect().await);
    let alice = pair.user("alice").await;
    let phone = alice.at(pair.app.base()).connect().await;
    // The second server knows of the phone before it has the desk to hide.
    for listener in [&here, &there] {
        about(listener, "status:online", "alice").await;
    }
    let desk = alice.connect().await;

    desk.emit_ok("status:update", &json!({ "isOnline": false })).await;
    let hidden = "SELECT count(*) FROM connections WHERE user_id = 'alice' AND NOT shown";
    eventually("one hidden socket", async || pair.app.number(hidden).await == 1).await;
    phone.emit_ok("status:update", &json!({ "isOnline": false })).await;

    // Without the grace: that is for sockets that are lost.
    for listener in [&here, &there] {
        about(listener, "status:offline", "alice").await;
    }
    phone.emit_ok("status:update", &json!({ "isOnline": true })).await;
    for listener in [&here, &there] {
        about(listener, "status:online", "alice").await;
        assert_eq!(edges(listener, "alice"), (2, 1));
    }
}

#[tokio::test]
async fn users_who_change_the_server_within_the_grace_never_went() {
    let pair = Pair::start(&[("CHAT_PRESENCE_GRACE", "6s")]).await;
    let (here, there) = (pair.app.user("bob").await.connect().await, pair.user("carol").await.connect().await);
    let (alice, dave) = (pair.user("alice").await, pair.user("dave").await);
    let (first, gone) = (alice.connect().await, dave.connect().await);
    for listener in [&here, &there] {
        about(listener, "status:online", "alice").await;
        about(listener, "status:online", "dave").await;
    }

    first.close().await;
    let _second = alice.at(pair.app.base()).connect().await;
    gone.close().await;

    // Who went later, and stayed away, is told.
    for listener in [&here, &there] {
        about(listener, "status:offline", "dave").await;
        assert_eq!(edges(listener, "alice"), (1, 0));
    }
}

#[tokio::test]
async fn the_users_of_a_killed_server_go_when_its_lease_is_over_and_were_last_seen_when_it_was_renewed() {
    let pair = Pair::start(&[LEASE]).await;
    let (bob, alice) = (pair.app.user("bob").await, pair.user("alice").await);
    let (watcher, _alice, hidden) = (bob.connect().await, alice.connect().await, pair.user("mia").await.connect().await);
    about(&watcher, "status:online", "alice").await;
    about(&watcher, "status:online", "mia").await;
    hidden.emit_ok("status:update", &json!({ "isOnline": false })).await;
    about(&watcher, "status:offline", "mia").await;
    let lease = "SELECT renewed_at, extract(epoch FROM lease_until - renewed_at)::bigint FROM nodes
        WHERE id = (SELECT node_id FROM connections WHERE user_id = 'alice')";
    let lease = &pair.app.rows(lease).await[0];
    let renewed: DateTime<Utc> = lease.get(0);
    assert_eq!(lease.get::<i64, _>(1), 8, "it is as it was set");

    drop(pair.second);

    let after = Utc::now();
    let told = about(&watcher, "status:offline", "alice").await;
    let seen = DateTime::parse_from_rfc3339(text(&told["lastSeenAt"])).unwrap();
    assert!((renewed.timestamp_millis()..=after.timestamp_millis()).contains(&seen.timestamp_millis()), "{renewed} {told} {after}");
    eventually("one node", async || pair.app.number("SELECT count(*) FROM nodes").await == 1).await;
    let asked = bob.get("/users/alice/presence").await.expect(200);
    assert_eq!((&asked["isOnline"], &asked["lastSeenAt"]), (&json!(false), &told["lastSeenAt"]));
    assert_eq!(pair.app.number("SELECT count(*) FROM connections WHERE user_id <> 'bob'").await, 0);
    assert_eq!((edges(&watcher, "alice"), edges(&watcher, "mia")), ((1, 1), (1, 1)));
}

#[tokio::test]
async fn the_users_of_a_frozen_server_go_and_come_again_when_it_wakes() {
    let pair = Pair::start(&[LEASE]).await;
    let (bob, alice, carol) = (pair.app.user("bob").await, pair.user("alice").await, pair.user("carol").await);
    let (beside, watcher, socket) = (carol.connect().await, bob.connect().await, alice.connect().await);
    for listener in [&watcher, &beside] {
        about(listener, "status:online", "alice").await;
    }
    about(&beside, "status:online", "bob").await;

    kill_process(pair.second.pid(), Signal::STOP).unwrap();
    about(&watcher, "status:offline", "alice").await;
    kill_process(pair.second.pid(), Signal::CONT).unwrap();

    about(&watcher, "status:online", "alice").await;
    assert_eq!(edges(&watcher, "alice"), (2, 1));
    socket.close().await;
    for listener in [&watcher, &beside] {
        about(listener, "status:offline", "alice").await;
    }
    assert_eq!((edges(&beside, "alice"), edges(&beside, "bob")), ((1, 1), (1, 0)), "who was frozen with them saw them all the time");
}

#[tokio::test]
async fn the_users_of_a_server_that_stops_go_after_the_grace_and_not_only_when_its_lease_would_be_over() {
    let pair = Pair::start(&[("CHAT_NODE_LEASE", "1h")]).await;
    let (bob, alice) = (pair.app.user("bob").await, pair.user("alice").await);
    let (watcher, _alice) = (bob.connect().await, alice.connect().await);
    about(&watcher, "status:online", "alice").await;
    let before = bob.get("/users/alice/presence").await.expect(200);

    assert_eq!(pair.second.end(Signal::TERM).code(), Some(0));

    let told = about(&watcher, "status:offline", "alice").await;
    assert!(text(&told["lastSeenAt"]) >= text(&before["serverTime"]), "{told} {before}");
    eventually("one node", async || pair.app.number("SELECT count(*) FROM nodes").await == 1).await;
    let asked = bob.get("/users/alice/presence").await.expect(200);
    assert!(text(&asked["lastSeenAt"]) >= text(&told["lastSeenAt"]), "{asked} {told}");
}

/// Friends in small dens, of whom one does not come back after the server has ended, in whatever way.
async fn nobody_hears_of_those_who_come_back(settings: &[(&str, &str)], end: impl AsyncFn(&mut TestApp), after: impl AsyncFn(&TestApp)) {
    const DENS: usize = 15;
    const FRIENDS: usize = 12;
    const TOTAL: i64 = 180;
    let mut app = TestApp::with(&[settings, &[("CHAT_QUIET_ROOM_SIZE", "50")]].concat()).await;
    let users: Vec<TestUser> = join_all((0..DENS * FRIENDS).map(async |n| app.user(&format!("u{n}")).await)).await;
    for den in users.chunks(FRIENDS) {
        den[0].create_room_with("den", &den[1..].iter().collect::<Vec<_>>()).await;
    }
    let before = join_all(users.iter().map(TestUser::connect)).await;
    let hears = async || before[..FRIENDS].iter().any(|friend| !friend.seen("status:online").is_empty());
    eventually("edges, which are told here", hears).await;
    eventually("all rows", async || app.number("SELECT count(*) FROM connections").await == TOTAL).await;

    end(&mut app).await;
    app.start_again();
    let back = join_all(users[1..].iter().map(|user| user.at(app.base())).map(async |user| user.connect().await)).await;

    after(&app).await;
    let gone = eventually_within(Duration::from_secs(40), "who is gone", async || !back[0].seen("status:offline").is_empty());
    gone.await;
    for (number, socket) in back.iter().enumerate() {
        socket.settle().await;
        let is_friend = number < FRIENDS - 1;
        let offline = socket.seen("status:offline");
        assert_eq!(texts(&json!(offline), "userId"), if is_friend { vec!["u0"] } else { vec![] }, "at {number}");
        assert_eq!(socket.seen("status:online"), Vec::<Value>::new(), "at {number}");
    }
}

/// Issue 5, part 3: 180 clients come back, and there are no more presence events than there must be: those about who does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_and_a_restart_nobody_hears_of_those_who_come_back_in_time() {
    let settings = [("CHAT_NODE_LEASE", "1h"), ("CHAT_PRESENCE_GRACE", "1s")];
    // The lease of the one that was killed is over when all are back, however long that takes.
    let lease_ends = async |app: &TestApp| {
        assert_eq!(app.execute("UPDATE nodes SET lease_until = now() WHERE started_at < (SELECT max(started_at) FROM nodes)").await, 1);
    };
    nobody_hears_of_those_who_come_back(&settings, async |app| app.kill_9(), lease_ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_stop_and_a_restart_nobody_hears_of_those_who_come_back_in_time() {
    let settings = [("CHAT_NODE_LEASE", "1h"), ("CHAT_PRESENCE_GRACE", "20s")];
    nobody_hears_of_those_who_come_back(&settings, async |app| assert_eq!(app.stop().code(), Some(0)), async |_| {}).await;
}

/// Somebody who does not come back after a restart was last seen before it.
#[tokio::test]
async fn a_server_that_starts_cleans_up_after_one_that_died_long_ago() {
    let mut app = TestApp::with(&[("CHAT_NODE_LEASE", "1s")]).await;
    app.execute("INSERT INTO users (id) VALUES ('old')").await;
    let _alice = app.user("alice").await.connect().await;
    eventually("a row", async || app.number("SELECT count(*) FROM connections").await == 1).await;
    app.kill_9();
    app.execute(
        "UPDATE nodes SET renewed_at = now() - interval '1 hour', lease_until = now() - interval '1 hour';
         DELETE FROM last_seen",
    )
    .await;

    app.start_again();

    assert_eq!(app.number("SELECT count(*) FROM connections").await, 0);
    assert_eq!(app.number("SELECT count(*) FROM nodes").await, 1);
    let hour_ago = "SELECT count(*) FROM last_seen WHERE user_id = 'alice' AND last_seen_at < now() - interval '59 minutes'";
    assert_eq!(app.number(hour_ago).await, 1);
    assert!(!is_online(&app.user("bob").await, "alice").await);
}

async fn outage(hurt: impl Fn(&cluster::Server), during: impl AsyncFn(&Pair)) {
    let postgres = cluster::exclusive();
    let settings = [LEASE, ("CHAT_PRESENCE_GRACE", "500ms")];
    let pair = Pair::beside(TestApp::on_cluster(&postgres, &settings).await, &settings);
    let (bob, alice, carol) = (pair.app.user("bob").await, pair.user("alice").await, pair.user("carol").await);
    let (watcher, socket, leaver) = (bob.connect().await, alice.connect().await, carol.connect().await);
    about(&watcher, "status:online", "alice").await;
    about(&watcher, "status:online", "carol").await;

    hurt(&postgres);
    leaver.close().await;
    during(&pair).await;
    postgres.start_again();

    about(&watcher, "status:offline", "carol").await;
    let rows = "SELECT count(DISTINCT user_id) FROM ops_online_users WHERE user_id IN ('alice', 'bob')";
    eventually("the rows of those who stayed", async || pair.app.number(rows).await == 2).await;
    assert!(is_online(&bob, "alice").await);
    assert_eq!((edges(&watcher, "alice"), edges(&watcher, "carol")), ((1, 0), (1, 1)), "an outage is no edge");
    socket.close().await;
    about(&watcher, "status:offline", "alice").await;
    let doctor = ires_chat(&["doctor"], &[("DATABASE_URL", pair.app.database.url())]);
    assert_eq!(doctor.code, Some(0), "{}", doctor.stdout);
}

/// A crash empties the tables: every server writes them anew.
#[tokio::test]
async fn p9_a_crash_of_postgres_makes_nobody_come_or_go() {
    outage(cluster::Server::kill, async |_| {}).await;
}

/// Longer than a lease: whose lease ran out meanwhile could not renew it, and is not dead.
#[tokio::test]
async fn p9_while_postgres_is_away_presence_stays_and_who_went_is_told_of_afterwards() {
    outage(cluster::Server::stop, async |pair| {
        let stopped = Instant::now();
        let alice = pair.app.holder("alice", crate::support::token::of("alice"));
        eventually("an outage that is noticed", async || alice.get("/users/bob/presence").await.status == 503).await;
        // It is time itself that has to pass: that of a lease.
        tokio::time::sleep(Duration::from_millis(8_100).saturating_sub(stopped.elapsed())).await;
    })
    .await;
}

#[tokio::test]
async fn operators_see_who_is_online_where_and_since_when() {
    let app = TestApp::start().await;
    let begun = Utc::now() - TimeDelta::seconds(1);
    let alice = app.user("alice").await;
    let (phone, _desk, bob) = (alice.connect().await, alice.connect().await, app.user("bob").await.connect().await);
    bob.emit_ok("status:update", &json!({ "isOnline": false })).await;

    let seen = "SELECT user_id, connections, is_shown, since, node_started_at FROM ops_online_users ORDER BY user_id";
    let shows = async |expected: &[(&str, i32, bool)]| {
        let rows = app.rows(seen).await;
        rows.iter().all(|row| row.get::<DateTime<Utc>, _>("since") >= begun.max(row.get("node_started_at")))
            && rows.iter().map(|row| (row.get::<&str, _>(0), row.get::<i32, _>(1), row.get::<bool, _>(2))).eq(expected.iter().copied())
    };

    eventually("both", async || shows(&[("alice", 2, true), ("bob", 1, false)]).await).await;
    phone.close().await;
    drop(bob);
    eventually("one device of one", async || shows(&[("alice", 1, true)]).await).await;
    app.execute(
        "INSERT INTO connections (id, node_id, user_id, since, shown, version) VALUES (gen_random_uuid(), gen_random_uuid(), 'bob', now(), true, 1)",
    )
    .await;
    let doctor = ires_chat(&["doctor"], &[("DATABASE_URL", app.database.url())]);
    assert!(doctor.code == Some(1) && doctor.stdout.contains("BROKEN every connection has its server"), "{}", doctor.stdout);
}

#[tokio::test]
async fn a_server_that_stops_leaves_nobody_online_and_says_when_they_were_last_seen() {
    let mut app = TestApp::with(&[("CHAT_NODE_LEASE", "1h")]).await;
    let _alice = app.user("alice").await.connect().await;
    eventually("a row", async || app.number("SELECT count(*) FROM ops_online_users").await == 1).await;
    app.execute("UPDATE last_seen SET last_seen_at = now() - interval '1 day'").await;

    app.stop();

    assert_eq!(app.number("SELECT count(*) FROM ops_online_users").await, 0);
    assert_eq!(app.number("SELECT count(*) FROM last_seen WHERE last_seen_at > now() - interval '1 minute'").await, 1);
}

/// Contract 5: rooms over the quiet size get counts, not edges.
#[tokio::test]
async fn in_a_large_room_it_is_told_how_many_are_online() {
    let app = TestApp::with(&[("CHAT_QUIET_ROOM_SIZE", "2")]).await;
    let alice = app.user("alice").await;
    let room = alice.create_public_room("square").await;
    for name in ["bob", "carol"] {
        app.user(name).await.join(&room).await;
    }
    let watcher = alice.connect().await;
    let told = |online: i64| {
        let watcher = &watcher;
        let fits = move |told: &Value, room: &str| told["roomId"] == room && told["onlineCount"] == online;
        let room = room.clone();
        async move { watcher.expect_where("chat:room:updated", |told| fits(told, &room)).await }
    };

    let bob = app.user("bob").await.connect().await;
    let both = told(2).await;
    bob.close().await;
    let one = told(1).await;

    assert_eq!((both.get("seq"), int(&both["room"]["memberCount"]), one.get("seq")), (None, 3, None), "{both} {one}");
    watcher.expect_silence("status:online").await;
    watcher.expect_silence("status:offline").await;
}
