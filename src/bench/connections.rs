//! Many connections: what each costs while it is idle, and how fast they come.

use super::{
    Faults, Outcome, Target, Usage, Workload,
    client::{self, Client},
};
use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    task::{JoinSet, spawn_local},
    time::sleep,
};

const IDLE: usize = 5_000;
const STORM: usize = 3_000;
const AT_A_TIME: usize = 64;
const ROOMS: usize = 100;
/// How long a server has to become quiet.
const SETTLING: Duration = Duration::from_secs(5);

/// Connects users to their rooms, so many at a time; says how long it took.
async fn arrive(target: &Target, count: usize, variant: i64) -> Result<(Vec<Rc<Client>>, Duration), String> {
    let buffer = Rc::new(RefCell::new(vec![0; client::BUFFER]));
    let start = Instant::now();
    let mut clients = Vec::with_capacity(count);
    let mut arriving = JoinSet::new();
    for place in 0..count {
        if arriving.len() >= AT_A_TIME {
            take(&mut arriving, &mut clients).await?;
        }
        let (target, buffer) = (target.clone(), buffer.clone());
        // The first of each room makes it.
        let variant = if variant == 0 && place >= ROOMS { 1 } else { variant };
        arriving.spawn_local(async move {
            let (client, _) =
                client::enter(&target, &buffer, &format!("bench-idle-{place}"), variant, &format!("bench-idle-{}", place % ROOMS)).await?;
            let client = Rc::new(client);
            let listening = client.clone();
            // Whatever the server says is read, pings are answered; the task ends with the connection.
            spawn_local(async move { while listening.read(&buffer, |_| {}).await.is_ok() {} });
            Ok(client)
        });
    }
    while !arriving.is_empty() {
        take(&mut arriving, &mut clients).await?;
    }
    Ok((clients, start.elapsed()))
}

async fn take(arriving: &mut JoinSet<Result<Rc<Client>, String>>, clients: &mut Vec<Rc<Client>>) -> Result<(), String> {
    if let Some(arrived) = arriving.join_next().await {
        clients.push(arrived.map_err(|error| error.to_string())??);
    }
    Ok(())
}

/// Idle connections, and how much memory each takes.
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
pub async fn idle(target: &Target) -> Result<Outcome, String> {
    let before = target.server.map(Usage::of).unwrap_or_default();
    let (clients, _) = arrive(target, IDLE, 0).await?;
    sleep(SETTLING).await;
    let used = target.server.map(Usage::of).unwrap_or_default().since(before);
    let quiet = target.server.map(Usage::of).unwrap_or_default();
    sleep(SETTLING).await;
    let idle_cpu = target.server.map(Usage::of).unwrap_or_default().since(quiet).cpu_ms;
    let figures = vec![
        ("KiB/connection".to_owned(), used.rss_kib / clients.len() as f64),
        ("server ms/s when idle".to_owned(), idle_cpu / SETTLING.as_secs_f64()),
    ];
    Ok(Outcome { workload: Workload::S3, figures, faults: Faults::default() })
}

/// A storm of connections of users who have been there before, with new tokens; the first visit is measured too.
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
pub async fn storm(target: &Target) -> Result<Outcome, String> {
    let (clients, first) = arrive(target, STORM, 0).await?;
    drop(clients);
    // Their presence ends too.
    sleep(SETTLING * 2).await;
    target.prepare()?;
    let usage = || (target.server.map(Usage::of).unwrap_or_default(), target.postgres.map(Usage::of).unwrap_or_default());
    let before = usage();
    let (clients, again) = arrive(target, STORM, 2).await?;
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
