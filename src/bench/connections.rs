//! Many connections: what each costs while it is idle, and how fast they come.

use super::{
    Faults, Outcome, Target, Workload,
    client::{self, Client},
    tally::Histogram,
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    task::{JoinSet, spawn_local},
    time::sleep,
};

const IDLE: usize = 5_000;
const STORM: usize = 3_000;
const CROWD: usize = 10_000;
const AT_A_TIME: usize = 64;
/// Of the crowd that comes back, as far as their machines would have it at the same time.
const CROWD_AT_A_TIME: usize = 512;
const ROOMS: usize = 100;
/// How long a server has to become quiet.
const SETTLING: Duration = Duration::from_secs(5);
/// Between two messages of those who talk while others come.
const PACE: Duration = Duration::from_millis(20);

/// Connections that listen and answer pings, each in a task of its own; dropping them ends them.
type Connected = JoinSet<()>;

/// Connects users to their rooms, so many at a time; says how long it took.
async fn arrive(target: &Target, count: usize, at_a_time: usize, variant: i64) -> Result<(Connected, Duration), String> {
    let buffer = Rc::new(RefCell::new(vec![0; client::BUFFER]));
    let start = Instant::now();
    let mut connected = Connected::new();
    let mut arriving = JoinSet::new();
    for place in 0..count {
        // Whoever makes a room comes before those who join it.
        let most = if place == ROOMS { 1 } else { at_a_time };
        while arriving.len() >= most {
            take(&mut arriving, &mut connected, &buffer).await?;
        }
        let (target, buffer) = (target.clone(), buffer.clone());
        // The first of each room makes it.
        let variant = if variant == 0 && place >= ROOMS { 1 } else { variant };
        arriving.spawn_local(async move {
            let room = format!("bench-idle-{}", place % ROOMS);
            client::enter(&target, &buffer, &format!("bench-idle-{place}"), variant, &room).await.map(|(client, _)| client)
        });
    }
    while !arriving.is_empty() {
        take(&mut arriving, &mut connected, &buffer).await?;
    }
    Ok((connected, start.elapsed()))
}

async fn take(arriving: &mut JoinSet<Result<Client, String>>, connected: &mut Connected, buffer: &Rc<RefCell<Vec<u8>>>) -> Result<(), String> {
    if let Some(arrived) = arriving.join_next().await {
        let (client, buffer) = (arrived.map_err(|error| error.to_string())??, buffer.clone());
        connected.spawn_local(async move { while client.read(&buffer, |_| {}).await.is_ok() {} });
    }
    Ok(())
}

/// Idle connections, and how much memory each takes.
pub async fn idle(target: &Target) -> Result<Outcome, String> {
    let before = target.usage();
    let (clients, _) = arrive(target, IDLE, AT_A_TIME, 0).await?;
    sleep(SETTLING).await;
    let used = target.usage().since(before);
    let quiet = target.usage();
    sleep(SETTLING).await;
    let idle_cpu = target.usage().since(quiet).cpu_ms;
    let figures = vec![
        ("KiB/connection".to_owned(), per(used.rss_kib, clients.len())),
        ("server ms/s when idle".to_owned(), idle_cpu / SETTLING.as_secs_f64()),
    ];
    Ok(Outcome { workload: Workload::S3, figures, faults: Faults::default() })
}

/// A storm of connections of users who have been there before, with new tokens; the first visit is measured too.
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
pub async fn storm(target: &Target) -> Result<Outcome, String> {
    let (clients, first) = arrive(target, STORM, AT_A_TIME, 0).await?;
    drop(clients);
    // Their presence ends too.
    sleep(SETTLING * 2).await;
    target.prepare()?;
    let usage = || (target.usage(), target.postgres_usage());
    let before = usage();
    let (clients, again) = arrive(target, STORM, AT_A_TIME, 2).await?;
    let after = usage();
    let count = clients.len() as f64;
    let figures = vec![
        ("connections/s".to_owned(), count / again.as_secs_f64()),
        ("first visits/s".to_owned(), count / first.as_secs_f64()),
        ("server ms/1k connections".to_owned(), after.0.since(before.0).cpu_ms / count * 1_000.0),
        ("Postgres ms/1k connections".to_owned(), after.1.since(before.1).cpu_ms / count * 1_000.0),
    ];
    Ok(Outcome { workload: Workload::S5, figures, faults: Faults::default() })
}

/// Ten thousand connections that break all at once and come back, while two others talk.
pub async fn crowd(target: &Target) -> Result<Outcome, String> {
    let before = target.usage();
    let (clients, _) = arrive(target, CROWD, AT_A_TIME, 0).await?;
    sleep(SETTLING).await;
    target.prepare()?;
    let used = target.usage().since(before);
    let talk = Rc::new(Talk::default());
    let talking = spawn_local(talk.clone().go_on(target.clone()));
    sleep(SETTLING).await;
    let quiet = talk.acks.take();
    drop(clients);
    let (clients, again) = arrive(target, CROWD, CROWD_AT_A_TIME, 0).await?;
    let storm = talk.acks.take();
    talk.is_over.set(true);
    talking.await.map_err(|error| error.to_string())??;
    let figures = vec![
        ("KiB/connection".to_owned(), per(used.rss_kib, clients.len())),
        ("seconds until all are back".to_owned(), again.as_secs_f64()),
        ("others' ack p50 ms before".to_owned(), quiet.quantile(0.5)),
        ("others' ack p50 ms meanwhile".to_owned(), storm.quantile(0.5)),
        ("others' ack p99 ms before".to_owned(), quiet.quantile(0.99)),
        ("others' ack p99 ms meanwhile".to_owned(), storm.quantile(0.99)),
    ];
    Ok(Outcome { workload: Workload::S6, figures, faults: Faults::default() })
}

/// Somebody who says something from time to time.
#[derive(Default)]
struct Talk {
    acks: RefCell<Histogram>,
    is_over: Cell<bool>,
}

impl Talk {
    async fn go_on(self: Rc<Self>, target: Target) -> Result<(), String> {
        let buffer = RefCell::new(vec![0; client::BUFFER]);
        let (client, room) = client::enter(&target, &buffer, "bench-talker", 0, "bench-talk").await?;
        let mut ack = 10_u64;
        while !self.is_over.get() {
            let begin = Instant::now();
            ack += 1;
            let sent = client.send(&format!(r#"42/chat,{ack}["chat:message",{{"roomId":"{room}","content":"How is everybody?"}}]"#));
            sent.map_err(|error| error.to_string())?;
            let (expected, mut is_acked) = (format!("43/chat,{ack}"), false);
            while !is_acked {
                let read = client.read(&buffer, |text| is_acked |= text.starts_with(expected.as_bytes())).await;
                read.map_err(|error| format!("the talker lost its connection: {error}"))?;
            }
            self.acks.borrow_mut().record(u64::try_from(begin.elapsed().as_micros()).unwrap_or_default());
            sleep(PACE).await;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn per(sum: f64, count: usize) -> f64 {
    sum / count as f64
}
