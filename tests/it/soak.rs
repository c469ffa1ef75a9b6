//! The server as it lives: people talk, come and go, log in, flood it, and it and Postgres are killed. In the end nothing acknowledged is
//! lost, nothing is there twice, the order is kept, the doctor is content, and memory is where it was.
//!
//! Six seconds as part of the suite, which is too short for memory; `IRES_TEST_SOAK=20m cargo test --test it soak:: -- --nocapture` for what only shows after a while.

use std::{
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use crate::support::{Load, Reply, TestApp, TestUser, cluster, eventually, ires_chat, json::text};

/// Limits as in production, wide enough for the talkers; who floods is cut off.
const SETTINGS: [(&str, &str); 8] = [
    ("CHAT_LIMITS", "on"),
    ("CHAT_LIMIT_MESSAGE", "30/20"),
    ("CHAT_LIMIT_ANY", "200/100"),
    ("CHAT_LIMIT_LOGIN", "1000/1000"),
    ("CHAT_LIMIT_CONNECT", "5000/1000"),
    ("CHAT_CONNECTIONS_PER_IP", "1000"),
    // What a talker does not hear in time it hears after its next reconnect.
    ("CHAT_DATABASE_TIMEOUT", "2s"),
    ("RUST_LOG", "warn"),
];
const TALKERS: usize = 6;
const COMERS: usize = 4;
/// What memory may grow by, in MiB, beside a tenth of what there is: what is remembered of who was here lately.
const GROWTH: u64 = 16;
/// From which length on memory must be flat.
const FLAT_FROM: Duration = Duration::from_mins(2);

/// What all who take part share.
struct Stage {
    base: Arc<Mutex<String>>,
    over: AtomicBool,
    visits: AtomicUsize,
    log_ins: AtomicUsize,
    floods: AtomicUsize,
}

impl Stage {
    fn base(&self) -> String {
        self.base.lock().unwrap().clone()
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

fn length() -> Duration {
    let text = env::var("IRES_TEST_SOAK").unwrap_or_else(|_| "6s".to_owned());
    let (number, unit) = text.split_at(text.len() - 1);
    let number = number.parse().unwrap_or_else(|_| panic!("IRES_TEST_SOAK is {text}, not something like 90s or 20m"));
    Duration::from_secs(if unit == "m" { number * 60 } else { number })
}

/// Somebody who comes, looks around, and hangs up, over and over.
async fn come_and_go(stage: Arc<Stage>, user: TestUser, room: String) {
    while !stage.is_over() {
        if let Some(socket) = user.at(&stage.base()).dial().try_open_ready().await {
            let joined = socket.post("chat:room:join", &json!(room));
            if socket.ack_if_any(joined, Duration::from_secs(4)).await.is_some() {
                stage.visits.fetch_add(1, Ordering::Relaxed);
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Somebody who logs in and out, over and over.
async fn log_in_and_out(stage: Arc<Stage>, user: TestUser) {
    let account = json!({ "username": "visitor", "password": "correct horse battery staple" });
    while !stage.is_over() {
        let user = user.at(&stage.base());
        let login = Reply::try_of(user.request(Method::POST, "/auth/login").json(&account)).await.filter(|reply| reply.status == 200);
        if let Some(login) = login {
            let visitor = user.with_token(text(&login.body["accessToken"]).to_owned());
            if Reply::try_of(visitor.request(Method::POST, "/auth/logout")).await.is_some_and(|reply| reply.status == 204) {
                stage.log_ins.fetch_add(1, Ordering::Relaxed);
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Somebody who sends as fast as can be until cut off, over and over.
async fn flood(stage: Arc<Stage>, user: TestUser) {
    while !stage.is_over() {
        if let Some(socket) = user.at(&stage.base()).dial().try_open_ready().await {
            for _ in 0..50 {
                for _ in 0..200 {
                    socket.post("status:typing", &json!({ "isTyping": true }));
                    socket.post("chat:unheard:of", &json!({ "junk": "x".repeat(500) }));
                }
                sleep(Duration::from_millis(5)).await;
                if !socket.is_live() || stage.is_over() {
                    break;
                }
            }
            stage.floods.fetch_add(usize::from(!socket.is_live()), Ordering::Relaxed);
        }
        sleep(Duration::from_millis(500)).await;
    }
}

fn median(sizes: &[u64]) -> u64 {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    sizes[sizes.len() / 2]
}

async fn begin(app: &TestApp) -> (Arc<Stage>, Load, JoinSet<()>, TestUser, String) {
    let mut talkers = Vec::new();
    for number in 0..=TALKERS + COMERS {
        talkers.push(app.user(&format!("talker{number}")).await);
    }
    let others: Vec<_> = talkers[1..].iter().collect();
    let room = talkers[0].create_room_with("soak", &others).await;
    app.register("visitor").await;
    let base = Arc::new(Mutex::new(app.base().to_owned()));
    let (over, zero) = (AtomicBool::new(false), AtomicUsize::default);
    let stage = Arc::new(Stage { base: base.clone(), over, visits: zero(), log_ins: zero(), floods: zero() });
    let mut extras = JoinSet::new();
    extras.spawn(flood(stage.clone(), talkers.pop().unwrap()));
    for user in talkers.split_off(TALKERS) {
        extras.spawn(come_and_go(stage.clone(), user, room.clone()));
    }
    let reader = talkers[0].clone();
    extras.spawn(log_in_and_out(stage.clone(), reader.clone()));
    let load = Load::begin(talkers, &room, &base);
    (stage, load, extras, reader, room)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_floods_and_kills_leave_nothing_lost_and_memory_flat() {
    let length = length();
    let pause = (length / 8).clamp(Duration::from_millis(1_200), Duration::from_secs(40));
    let postgres = cluster::exclusive();
    let mut app = TestApp::on_cluster(&postgres, &SETTINGS).await;
    let (stage, load, mut extras, reader, room) = begin(&app).await;

    // For a third of the time the server is killed, too; then it lives, and its memory is looked at.
    let begun = Instant::now();
    while begun.elapsed() < length / 3 {
        sleep(pause).await;
        app.kill_9();
        app.start_again();
        app.base().clone_into(&mut stage.base.lock().unwrap());
        load.acked(load.acked_so_far() + 20).await;
    }
    let (mut sizes, mut killed) = (Vec::new(), Instant::now());
    while begun.elapsed() < length || sizes.len() < 8 {
        sleep(length / 50).await;
        sizes.push(app.resident());
        if killed.elapsed() > pause {
            postgres.kill();
            postgres.start_again();
            load.acked(load.acked_so_far() + 20).await;
            killed = Instant::now();
        }
    }

    let (visits, log_ins, floods) = (&stage.visits, &stage.log_ins, &stage.floods);
    let all_got_in = async || [visits, log_ins, floods].iter().all(|count| count.load(Ordering::Relaxed) > 0);
    eventually("somebody of each kind to get in", all_got_in).await;
    stage.over.store(true, Ordering::Relaxed);
    let tally = load.finish().await;
    while let Some(ended) = extras.join_next().await {
        ended.unwrap();
    }
    println!("{visits:?} visits, {log_ins:?} log-ins, {floods:?} floods cut off, MiB: {sizes:?}");
    // Read at a server without limits: it is more than anybody may read at once.
    let (_unlimited, elsewhere) = app.second_server();
    tally.compare(&reader.at(&elsewhere).history(&room).await);
    let doctor = ires_chat(&["doctor"], &[("DATABASE_URL", app.database.url())]);
    assert_eq!(doctor.code, Some(0), "{}", doctor.stdout);
    assert!(!app.logs().contains("panicked"), "something panicked");
    let (early, late) = (median(&sizes[sizes.len() / 4..sizes.len() / 2]), median(&sizes[sizes.len() * 3 / 4..]));
    // A server that has just begun grows until every cache and thread has what it needs.
    assert!(length < FLAT_FROM || late <= early + early / 10 + GROWTH, "{early} MiB became {late} MiB: {sizes:?}");
}
