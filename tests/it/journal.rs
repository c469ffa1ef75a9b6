//! The journal in trouble: what becomes of messages when the connection to Postgres breaks while they are committed, goes
//! silent, or is slow; when the database refuses one of them, or has no space left; and when another server writes to the same
//! rooms. Promises P1 to P4, P9 and P10.

use std::{
    fs,
    ops::Range,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::support::{
    Database, Load, SLACK, TestApp, TestSocket, TestUser, cluster, eventually, eventually_within,
    json::{int, text},
    proxy::{Cut, Flow, Proxy},
    takes_less_than,
};

/// Contract of P9: refusals come, and recovery is there, within five seconds.
const BOUND: Duration = Duration::from_secs(5);

/// People in one room. The last of them only listens.
struct Room {
    id: String,
    people: Vec<TestUser>,
    listener: TestSocket,
}

async fn room(app: &TestApp, speakers: usize) -> Room {
    let mut people = Vec::new();
    for number in 0..=speakers {
        people.push(app.user(&format!("speaker{number}")).await);
    }
    let others: Vec<_> = people[1..].iter().collect();
    let id = people[0].create_room_with("den", &others).await;
    let listener = people[speakers].connect().await;
    Room { id, people, listener }
}

impl Room {
    fn speakers(&self) -> Vec<TestUser> {
        self.people[..self.people.len() - 1].to_vec()
    }

    async fn sockets(&self) -> Vec<TestSocket> {
        let mut sockets = Vec::new();
        for speaker in &self.speakers() {
            sockets.push(speaker.connect().await);
        }
        sockets
    }

    fn message(&self, tag: &str) -> Value {
        json!({ "roomId": self.id, "content": tag, "clientMsgId": tag })
    }

    fn burst(&self, socket: &TestSocket, tag: &str, numbers: Range<usize>) -> Vec<u64> {
        numbers.map(|number| socket.post("chat:message", &self.message(&format!("{tag} {number}")))).collect()
    }

    /// History, which is dense, has nothing twice, and is what the listener heard, once each and in this order.
    async fn history_as_it_was_heard(&self) -> Vec<Value> {
        let history = self.people[0].history(&self.id).await;
        let seqs: Vec<_> = history.iter().map(|message| int(&message["seq"])).collect();
        assert_eq!(seqs, (1..=i64::try_from(history.len()).unwrap()).collect::<Vec<_>>());
        let mut tags = contents(&history);
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), history.len(), "a message is stored twice");
        self.listener.settle().await;
        assert_eq!(contents(&self.listener.seen("chat:message")), contents(&history));
        assert_eq!(self.listener.seen("chat:message"), history);
        history
    }
}

fn contents(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| text(&message["content"])).collect()
}

/// A server whose way to Postgres leads through a proxy.
async fn proxied(settings: &[(&str, &str)]) -> (TestApp, Proxy) {
    let database = Database::migrated().await;
    let proxy = Proxy::before(database.url()).await;
    let settings = [settings, &[("DATABASE_URL", proxy.url.as_str())]].concat();
    (TestApp::on(database, &settings), proxy)
}

/// Makes every statement that stores messages take so many seconds more. Meanwhile the next batch gathers, and there is time
/// for something to happen in the middle of a statement.
async fn dawdle(app: &TestApp, seconds: f32) {
    let trigger = format!(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END';
         CREATE TRIGGER dawdle AFTER INSERT ON messages FOR EACH STATEMENT EXECUTE FUNCTION dawdle()"
    );
    app.execute(&trigger).await;
}

/// The first message of a burst is committed without the others, which gather meanwhile: the cut meets one statement or the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_messages_whose_commit_was_not_confirmed_are_told_and_acked_once() {
    let (app, proxy) = proxied(&[]).await;
    let room = room(&app, 2).await;
    let sockets = room.sockets().await;
    dawdle(&app, 0.2).await;
    let mut cuts = 0;
    for spared in [0, 1] {
        for cut in Cut::ALL {
            proxy.cut(cut, spared);
            let tag = |who: usize| format!("{who} {cut:?} {spared}");
            let before = proxy.stores();
            let mut sent = [room.burst(&sockets[0], &tag(0), 0..1), Vec::new()];
            eventually("the first statement", async || proxy.stores() > before).await;
            sent[0].extend(room.burst(&sockets[0], &tag(0), 1..40));
            sent[1].extend(room.burst(&sockets[1], &tag(1), 0..40));

            for (socket, ids) in sockets.iter().zip(&sent) {
                for id in ids {
                    let ack = socket.ack(*id).await;
                    assert!(ack["ok"] == true && ack["data"].get("duplicate").is_none(), "{cut:?} {spared}: {ack}");
                }
                socket.settle().await;
                assert!(ids.iter().all(|id| socket.ack_count(*id) == 1), "{cut:?} {spared}");
            }
            cuts += 1;
            assert_eq!(proxy.cuts(), cuts, "{cut:?} {spared}");
        }
    }

    let history = room.history_as_it_was_heard().await;
    for who in ["0", "1"] {
        let own: Vec<_> = contents(&history).into_iter().filter(|tag| tag.starts_with(who)).collect();
        let rounds = [0, 1].into_iter().flat_map(|spared| Cut::ALL.map(|cut| format!("{who} {cut:?} {spared}")));
        let expected: Vec<_> = rounds.flat_map(|tag| (0..40).map(move |number| format!("{tag} {number}"))).collect();
        assert_eq!(own, expected);
    }
}

/// It is found, but it is not new: everybody has heard it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_a_repeat_among_messages_whose_commit_was_not_confirmed_is_not_told_again() {
    let (app, proxy) = proxied(&[]).await;
    let room = room(&app, 1).await;
    let socket = &room.sockets().await[0];
    let first = socket.emit_ok("chat:message", &room.message("first")).await;

    for (number, cut) in Cut::ALL.into_iter().enumerate() {
        proxy.cut(cut, 0);
        let repeat = socket.emit_ok("chat:message", &room.message("first")).await;
        assert_eq!((&repeat["seq"], &repeat["duplicate"]), (&first["seq"], &json!(true)), "{cut:?}");
        assert_eq!(proxy.cuts(), number + 1);
    }
    socket.emit_ok("chat:message", &room.message("last")).await;

    assert_eq!(room.history_as_it_was_heard().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_thirty_cuts_during_commits_under_load_lose_and_double_nothing_and_fail_nobody() {
    let (app, proxy) = proxied(&[("CHAT_DATABASE_TIMEOUT", "1m")]).await;
    let room = room(&app, 4).await;
    let base = Arc::new(Mutex::new(app.base().to_owned()));
    let load = Load::begin(room.speakers(), &room.id, &base);

    for number in 0..30 {
        load.acked(load.acked_so_far() + 10).await;
        proxy.cut(Cut::ALL[number % 4], 0);
        proxy.has_cut(number + 1).await;
    }
    load.acked(load.acked_so_far() + 10).await;

    let tally = load.finish().await;
    tally.compare(&room.history_as_it_was_heard().await);
    assert_eq!(tally.retries.load(Ordering::Relaxed), 0, "somebody had to send again");
}

async fn a_silent_network_is_told_and_survived(flow: Flow) {
    let (app, proxy) = proxied(&[]).await;
    let room = room(&app, 1).await;
    let socket = &room.sockets().await[0];
    dawdle(&app, 0.2).await;
    socket.emit_ok("chat:message", &room.message("before")).await;

    takes_less_than(BOUND + SLACK, "a refusal, or what came after it,", async || {
        proxy.set(flow);
        let begun = Instant::now();
        let ack = socket.emit("chat:message", &room.message("during")).await;
        let refused = begun.elapsed();
        assert_eq!((&ack["error"]["code"], &ack["error"]["retryable"]), (&json!("UNAVAILABLE"), &json!(true)), "{ack}");

        proxy.set(Flow::Everything);
        let begun = Instant::now();
        eventually("an acked message", async || socket.emit("chat:message", &room.message("after")).await["ok"] == true).await;
        refused.max(begun.elapsed())
    })
    .await;
    socket.emit_ok("chat:message", &room.message("during")).await;
    assert_eq!(room.history_as_it_was_heard().await.len(), 3);
}

/// When it is back the statement arrives, long after the server has given up its connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_a_network_that_goes_silent_is_told_within_5_seconds_and_survived() {
    a_silent_network_is_told_and_survived(Flow::Nothing).await;
}

/// Half-open: the message is stored, and its author is told that nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_answers_that_do_not_come_are_told_within_5_seconds_and_survived() {
    a_silent_network_is_told_and_survived(Flow::Questions).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_silences_under_load_lose_and_double_nothing() {
    let (app, proxy) = proxied(&[("CHAT_DATABASE_TIMEOUT", "2s")]).await;
    let room = room(&app, 4).await;
    dawdle(&app, 0.1).await;
    let base = Arc::new(Mutex::new(app.base().to_owned()));
    let load = Load::begin(room.speakers(), &room.id, &base);

    for flow in [Flow::Nothing, Flow::Questions, Flow::Nothing, Flow::Questions] {
        load.acked(load.acked_so_far() + 20).await;
        let refused = load.tally.retries.load(Ordering::Relaxed);
        proxy.set(flow);
        eventually_within(BOUND + SLACK, "refusals", async || load.tally.retries.load(Ordering::Relaxed) >= refused + 4).await;
        proxy.set(Flow::Everything);
    }
    load.acked(load.acked_so_far() + 20).await;

    let tally = load.finish().await;
    tally.compare(&room.history_as_it_was_heard().await);
}

/// Makes the database refuse what begins with `poison`, and sends it among hundreds of others.
async fn one_bad_row_harms_no_other(refusal: &str) {
    // However many statements it takes to find them all: here nobody is told that it takes too long.
    let app = TestApp::with(&[("CHAT_DATABASE_TIMEOUT", "1m")]).await;
    let room = room(&app, 6).await;
    let sockets = room.sockets().await;
    app.execute(refusal).await;

    let is_bad = |number: usize| number % 10 == 7;
    let content = |who: usize, number: usize| format!("{} {who} {number}", if is_bad(number) { "poison" } else { "good" });
    let mut sent = Vec::new();
    for number in 0..50 {
        for (who, socket) in sockets.iter().enumerate() {
            sent.push((who, number, socket.post("chat:message", &room.message(&content(who, number)))));
        }
    }

    for (who, number, id) in &sent {
        let ack = sockets[*who].ack(*id).await;
        if is_bad(*number) {
            assert_eq!(ack["error"]["code"], "INTERNAL_ERROR", "{ack}");
        } else {
            assert_eq!(ack["data"]["content"], content(*who, *number), "{ack}");
        }
    }
    let history = room.history_as_it_was_heard().await;
    for who in 0..sockets.len() {
        let own: Vec<_> = contents(&history).into_iter().filter(|tag| tag.starts_with(&format!("good {who} "))).collect();
        let good = (0..50).filter(|number| !is_bad(*number)).map(|number| content(who, number));
        assert_eq!(own, good.collect::<Vec<_>>());
    }
    assert_eq!(history.len(), 6 * 45);
}

#[tokio::test]
async fn p4_a_message_that_breaks_a_constraint_fails_alone_among_hundreds() {
    one_bad_row_harms_no_other("ALTER TABLE messages ADD CHECK (content NOT LIKE 'poison%')").await;
}

/// `RAISE EXCEPTION` has a code of its own, unless the trigger names another.
#[tokio::test]
async fn p4_a_message_that_a_trigger_refuses_fails_alone_among_hundreds() {
    let refusal = "
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not here''; END';
        CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW WHEN (NEW.content LIKE 'poison%') EXECUTE FUNCTION refuse()";
    one_bad_row_harms_no_other(refusal).await;
}

/// It is found in a few statements, rather than by one for every message, which would take longer than anybody waits.
#[tokio::test]
async fn p4_one_bad_message_in_a_slow_database_makes_nobody_wait_for_long() {
    let app = TestApp::start().await;
    let room = room(&app, 1).await;
    let socket = &room.sockets().await[0];
    app.execute("ALTER TABLE messages ADD CHECK (content NOT LIKE 'poison%')").await;
    dawdle(&app, 0.05).await;

    let first = room.burst(socket, "first", 0..100);
    let bad = socket.post("chat:message", &room.message("poison"));
    let last = room.burst(socket, "last", 0..100);

    for id in first.into_iter().chain(last) {
        let ack = socket.ack(id).await;
        assert_eq!(ack["ok"], true, "{ack}");
    }
    assert_eq!(socket.ack(bad).await["error"]["code"], "INTERNAL_ERROR");
    assert_eq!(room.history_as_it_was_heard().await.len(), 200);
}

/// Fills the room's database until it refuses, sees what that means for a server, and makes room again.
async fn without_space_nothing_is_lost_and_space_is_all_it_takes(app: &TestApp, fill: impl AsyncFn(), free: &str) {
    let room = room(app, 1).await;
    let socket = &room.sockets().await[0];
    // Five to a page: what fits into the last one has to be filled as well.
    let message = |tag: &str| json!({ "roomId": room.id, "content": format!("{tag:x<1500}"), "clientMsgId": tag });
    for number in 0..20 {
        socket.emit_ok("chat:message", &message(&format!("before {number}"))).await;
    }
    fill().await;

    let mut begun = Instant::now();
    let mut ack = json!({ "ok": true });
    let mut acked = 20;
    while ack["ok"] == true && acked < 200 {
        begun = Instant::now();
        ack = socket.emit("chat:message", &message(&format!("filling {acked}"))).await;
        acked += usize::from(ack["ok"] == true);
    }
    assert_eq!((&ack["error"]["code"], &ack["error"]["retryable"]), (&json!("UNAVAILABLE"), &json!(true)), "{ack}");
    assert!(begun.elapsed() < BOUND + SLACK, "answered after {:?} only", begun.elapsed());
    begun = Instant::now();
    let sent: Vec<_> = (0..50).map(|number| socket.post("chat:message", &message(&format!("during {number}")))).collect();
    for id in &sent {
        assert_eq!(socket.ack(*id).await["error"]["code"], "UNAVAILABLE");
    }
    assert!(begun.elapsed() < BOUND + SLACK, "answered after {:?} only", begun.elapsed());
    assert_eq!(room.history_as_it_was_heard().await.len(), acked, "all that was acked can be read, and nothing else is there");

    app.execute(free).await;
    let works = async || socket.emit("chat:message", &message("after")).await["ok"] == true;
    eventually_within(BOUND + SLACK, "an acked message", works).await;
    for number in 0..50 {
        socket.emit_ok("chat:message", &message(&format!("during {number}"))).await;
    }
    assert_eq!(room.history_as_it_was_heard().await.len(), acked + 51);
}

/// Programs of Postgres whose server alone sees a disk of eight megabytes, in a mount namespace that goes with its last process.
/// No privilege is needed where Linux lets users have namespaces.
fn programs_with_a_small_disk(real: &str, dir: &Path) -> (PathBuf, PathBuf) {
    let (programs, disk) = (dir.join("bin"), dir.join("disk"));
    fs::create_dir(&programs).unwrap();
    fs::create_dir(&disk).unwrap();
    for name in ["initdb", "pg_ctl", "psql"] {
        symlink(format!("{real}/{name}"), programs.join(name)).unwrap();
    }
    // The first namespace may mount, as its root; Postgres refuses root, and gets a second one, in which it is itself again.
    let disk_text = disk.display();
    let script = format!(
        r#"#!/bin/sh
[ "$1" = --version ] && exec {real}/postgres "$@"
inner='mount -t tmpfs -o size=8m,mode=700 tmpfs {disk_text} && user=$1 group=$2 && shift 2 &&
    exec unshare --user --map-user="$user" --map-group="$group" -- {real}/postgres "$@"'
exec unshare --user --map-root-user --mount -- /bin/sh -c "$inner" sh "$(id -u)" "$(id -g)" "$@"
"#
    );
    let program = programs.join("postgres");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    (programs, disk)
}

#[tokio::test]
async fn p10_a_full_disk_is_told_and_loses_nothing_and_space_is_all_it_takes() {
    let (dir, any) = (cluster::TempDir::new(), Database::empty().await);
    let mut db = PgConnection::connect(any.url()).await.unwrap();
    let real: String = sqlx::query_scalar("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetch_one(&mut db).await.unwrap();
    let (programs, disk) = programs_with_a_small_disk(&real, dir.path());
    let postgres = match cluster::with_programs(programs) {
        Ok(postgres) => postgres,
        Err(error) => return println!("skipped: no small disk can be had here: {error}"),
    };
    let app = TestApp::on_cluster(&postgres, &[]).await;
    app.execute(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.display())).await;
    app.execute(
        "ALTER TABLE messages SET TABLESPACE small;
         ALTER INDEX messages_pkey SET TABLESPACE small;
         ALTER INDEX messages_id_key SET TABLESPACE small;
         CREATE TABLE ballast (content text) WITH (autovacuum_enabled = false) TABLESPACE small",
    )
    .await;

    // What a statement that fails has taken of the disk stays taken.
    let fill = async || {
        let filled = sqlx::raw_sql("INSERT INTO ballast SELECT repeat('x', 1900) FROM generate_series(1, 10000)");
        let error = filled.execute(&mut app.sql().await).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), "53100", "{error}");
    };
    without_space_nothing_is_lost_and_space_is_all_it_takes(&app, fill, "DROP TABLE ballast").await;
}

/// The same where no small disk can be had: as Postgres says it, though the disk is not full.
#[tokio::test]
async fn p10_a_database_that_says_disk_full_is_believed_until_it_takes_messages_again() {
    // The default: a message is tried as long as that, and then refused.
    let app = TestApp::with(&[("CHAT_DATABASE_TIMEOUT", "4s")]).await;
    let fill = async || {
        let refusal = "
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN RAISE EXCEPTION ''could not extend file: No space left on device'' USING ERRCODE = ''53100''; END';
            CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION refuse()";
        app.execute(refusal).await;
    };
    without_space_nothing_is_lost_and_space_is_all_it_takes(&app, fill, "DROP TRIGGER refuse ON messages").await;
}

/// Every sender goes through the rooms in an order of its own, so that batches of the two servers meet the rooms' rows in all
/// orders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_two_servers_that_write_to_20_rooms_fail_nobody_and_keep_every_order() {
    const ROOMS: usize = 20;
    const SENDERS: usize = 8;
    const ROUNDS: usize = 15;
    // Nobody is refused for the time that a slow machine takes; servers that wait for one another are, all the same, by Postgres.
    let app = TestApp::with(&[("RUST_LOG", "warn"), ("CHAT_DATABASE_TIMEOUT", "1m")]).await;
    let (_second, other) = app.second_server();
    let at = |user: &TestUser, server: usize| user.at([app.base(), &other][server]);
    let mut users = Vec::new();
    for number in 0..SENDERS {
        users.push(app.user(&format!("sender{number}")).await);
    }
    let others: Vec<_> = users[1..].iter().collect();
    let mut rooms = Vec::new();
    for number in 0..ROOMS {
        rooms.push(users[0].create_room_with(&format!("room {number}"), &others).await);
    }
    let mut sockets = Vec::new();
    for (sender, user) in users.iter().enumerate() {
        sockets.push(at(user, sender % 2).connect().await);
    }
    let listeners = [at(&users[0], 0).connect().await, at(&users[0], 1).connect().await];

    let send = async |sender: usize| {
        for round in 0..ROUNDS {
            let order = (0..ROOMS).map(|step| (step * [1, 3, 7, 9, 11, 13, 17, 19][sender] + sender + round) % ROOMS);
            let message = |room: usize| json!({ "roomId": rooms[room], "content": format!("{sender} {round}"), "clientMsgId": format!("{round}") });
            let sent: Vec<_> = order.map(|room| sockets[sender].post("chat:message", &message(room))).collect();
            for id in sent {
                let ack = sockets[sender].ack(id).await;
                assert_eq!(ack["ok"], true, "{ack}");
            }
        }
    };
    futures_util::future::join_all((0..SENDERS).map(send)).await;

    for listener in &listeners {
        listener.settle().await;
    }
    for room in &rooms {
        let history = users[0].history(room).await;
        let seqs: Vec<_> = history.iter().map(|message| int(&message["seq"])).collect();
        assert_eq!(seqs, (1..=i64::try_from(SENDERS * ROUNDS).unwrap()).collect::<Vec<_>>());
        for sender in 0..SENDERS {
            let own: Vec<_> = contents(&history).into_iter().filter(|content| content.starts_with(&format!("{sender} "))).collect();
            assert_eq!(own, (0..ROUNDS).map(|round| format!("{sender} {round}")).collect::<Vec<_>>());
        }
        for (server, listener) in listeners.iter().enumerate() {
            let heard: Vec<_> = listener.seen("chat:message").into_iter().filter(|message| message["roomId"] == room.as_str()).collect();
            let is_from_here = |message: &&Value| text(&message["content"])[..1].parse::<usize>().unwrap() % 2 == server;
            assert_eq!(heard, history.iter().filter(is_from_here).cloned().collect::<Vec<_>>(), "heard at server {server}");
        }
    }
}

#[tokio::test]
async fn a_slow_database_makes_larger_batches_and_fails_nobody() {
    let app = TestApp::start().await;
    let room = room(&app, 5).await;
    let sockets = room.sockets().await;
    dawdle(&app, 0.3).await;

    let sent: Vec<_> = sockets.iter().enumerate().map(|(who, socket)| room.burst(socket, &format!("{who}"), 0..100)).collect();

    for (socket, ids) in sockets.iter().zip(&sent) {
        let mut seqs = Vec::new();
        for id in ids {
            let ack = socket.ack(*id).await;
            assert_eq!(ack["ok"], true, "{ack}");
            seqs.push(int(&ack["data"]["seq"]));
        }
        assert!(seqs.is_sorted(), "{seqs:?}");
    }
    assert_eq!(room.history_as_it_was_heard().await.len(), 500);
    let commits = app.number("SELECT count(DISTINCT xmin::text) FROM messages").await;
    println!("500 messages in {commits} commits");
    assert!(commits <= 15, "{commits} commits");
}
