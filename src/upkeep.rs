//! What the server does of its own accord: it carries out erasures, and deletes what has become too old.
//!
//! Of several servers on one database one does it: whoever holds an advisory lock, on a connection of its own. When that server,
//! or its connection, is gone, another takes over. Each step is harmless when it is done twice.

use crate::{
    app::App,
    database,
    error::Result,
    privacy,
    retention::{self, Sweep},
};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often it is looked whether there is something to do, and whether the lock is free.
const TICK: Duration = Duration::from_secs(1);
/// How often retention looks through all rooms, and so by how much longer than it may a message is kept.
const SWEEP: Duration = Duration::from_hours(1);
/// After a failure the next look comes sooner.
const RETRY: Duration = Duration::from_mins(1);

/// Looks after what is kept for as long as the server runs.
pub async fn run(app: App, options: PgConnectOptions) {
    let options = options.application_name("ires-chat upkeep");
    let mut next_sweep = Instant::now();
    loop {
        let ended = match app.in_time(async { Ok(PgConnection::connect_with(&options).await?) }).await {
            Ok(mut lock) => work(&app, &mut lock, &mut next_sweep).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "upkeep lost the database");
        }
        sleep(TICK).await;
    }
}

async fn work(app: &App, lock: &mut PgConnection, next_sweep: &mut Instant) -> Result<()> {
    let mut is_ours = false;
    loop {
        // While the connection stands, so does the lock.
        app.in_time(async { Ok(lock.ping().await?) }).await?;
        is_ours = is_ours || app.in_time(database::take_upkeep_lock(lock)).await?;
        if is_ours {
            privacy::carry_out(app).await?;
            if *next_sweep <= Instant::now() {
                *next_sweep = Instant::now() + sweep(app).await;
            }
        }
        sleep(TICK).await;
    }
}

/// Deletes what has become too old, if anything ever does; says when to look again.
async fn sweep(app: &App) -> Duration {
    let Some(age) = app.settings.chat.retention else { return SWEEP };
    let swept = async {
        let sweep = Sweep { db: &app.db, live: Some(app), before: retention::older_than(&app.db, age).await?, room: None, dry: false };
        sweep.run(|_, _| {}).await
    };
    match swept.await {
        Ok(()) => SWEEP,
        Err(error) => {
            tracing::warn!(%error, "retention was interrupted, and goes on later");
            RETRY
        }
    }
}
