//! Stopping (promise P8): nothing that was begun is lost, and clients come back by themselves, not all at once.
//!
//! In this order: load balancers are told, and served for a while yet; nothing new is begun; what was begun is committed,
//! told and acknowledged; every socket hears `server.draining`, and its transport is closed at a random moment; the lease
//! is given up; the requests that are still read end. Each step has its time, so that neither a database that
//! is away nor a client that takes nothing keeps the server from ending.

use crate::{app::App, error::Error, presence, session::notices::ServerDraining, time::every};
use rand::random_range;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How many sockets may end, and come back, in a while: 200 a second, up to what [`DrainSettings::drain_spread`] makes of more.
///
/// [`DrainSettings::drain_spread`]: crate::draining::DrainSettings::drain_spread
const PER_SOCKET: Duration = Duration::from_millis(5);
/// How long any client waits before it comes back, for a restart takes as long.
const RESTART: Duration = Duration::from_millis(500);
/// How often it is looked whose moment has come.
const TICK: Duration = Duration::from_millis(20);

/// Stops everything but the listening, and that at last. Says by when the server must have ended.
pub async fn drain(app: &App) -> Instant {
    let settings = &app.settings.draining;
    app.draining.leave();
    tracing::info!(delay = ?settings.drain_delay, "the server stops: it is not ready any more");
    tokio::time::sleep(settings.drain_delay).await;

    let whole = settings.drain_timeout;
    let (end, last, spread) = (Instant::now() + whole, whole / 8, settings.drain_spread.min(whole / 2));
    let until = end - 2 * last - spread;
    if !app.draining.finish(until - Instant::now()).await {
        tracing::warn!("not everything that was begun could be finished in time");
    }
    app.ordered_sweep.end(Err(Error::Draining));
    app.journal.finish(until - Instant::now()).await;

    let sockets = app.realtime.connections().len();
    let window = spread.min(PER_SOCKET.saturating_mul(u32::try_from(sockets).unwrap_or(u32::MAX)));
    tell(app, window);
    tracing::info!(sockets, within = ?window, "all that was begun is done: the sockets are closed");
    send_away(app, window, last).await;
    give_up_lease(app, last).await;
    app.draining.end();
    end
}

/// Tells every socket that the server restarts, and when to come back.
fn tell(app: &App, window: Duration) {
    let connections = app.realtime.connections();
    for connection in connections.iter().filter(|connection| !connection.awaits_snapshot()) {
        let wait = RESTART + random_range(Duration::ZERO..=window);
        let data = ServerDraining { reconnect_in_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) };
        connection.notify("server.draining", "info", "The server restarts: the connection comes back in a moment.", &data);
    }
}

/// Closes the transport of every socket at a moment of its own, and waits a while until all have heard their last. Those who have
/// just been let in are among them.
async fn send_away(app: &App, window: Duration, patience: Duration) {
    let begun = Instant::now();
    app.draining.close(window);
    let mut ticks = every(TICK);
    loop {
        ticks.tick().await;
        let (passed, mut all_away) = (begun.elapsed(), true);
        for connection in app.realtime.connections() {
            all_away &= match connection.polling_session() {
                Some(session) => app.draining.has_ended(session),
                None => app.draining.moment(&connection.id, window) <= passed && connection.send_away(),
            };
        }
        if all_away || passed > window + patience {
            return;
        }
    }
}

async fn give_up_lease(app: &App, limit: Duration) {
    if !matches!(timeout(limit, presence::nodes::leave(app)).await, Ok(Ok(()))) {
        tracing::warn!("when users were last seen could not be written: they look online until the lease is over");
    }
}
