//! `ires-chat serve`: the server, from the Postgres of `DATABASE_URL`.

use super::{Signals, failed, say};
use crate::{Failure, init_logs};
use axum::Router;
use ires_chat::{
    app::App,
    config::{HttpSettings, Settings},
    database,
    draining::DrainSettings,
    server,
    systemd::Systemd,
};
use std::{net::SocketAddr, pin::pin, time::Duration};
use tokio::{net::TcpListener, sync::watch};

/// What the end may take when all is drained: connections to the database are closed, what is left of telemetry is sent.
const LAST: Duration = Duration::from_secs(5);
/// Why it ends by itself.
const REPLACED: &str = "the database holds another history than before, such as a restored backup: start the server anew";

/// Runs until SIGTERM or SIGINT.
pub async fn run(settings: Settings) -> Result<(), Failure> {
    let settings = settings.check().map_err(Failure::Misconfigured)?;
    let listener = bind(&settings.http).await?;
    init_logs(&settings.log)?;
    tracing::info!(settings = ?settings, "the settings");
    if settings.auth.allow_weak_secret {
        tracing::warn!("CHAT_ALLOW_WEAK_SECRET is on: whoever guesses JWT_SECRET can be anybody");
    }
    let systemd = Systemd::of_environment();
    let app = prepare(settings, &systemd).await?;
    listen(listener, app, Router::new(), &systemd, |address| say(format_args!("ires-chat listens on http://{address}"))).await
}

/// Takes the port, before anything else is begun.
pub async fn bind(settings: &HttpSettings) -> Result<TcpListener, Failure> {
    let address = (settings.host, settings.port);
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Failure::Unavailable(format!("port {} is in use: end the program that has it, or set PORT", settings.port)),
        _ => Failure::Unavailable(format!("{}:{} cannot be listened on: {error}", settings.host, settings.port)),
    })
}

/// Gets a server ready, which takes as long as the migrations do.
pub async fn prepare(settings: Settings, systemd: &Systemd) -> Result<App, Failure> {
    tokio::select! {
        prepared = server::prepare(settings) => prepared.map_err(Failure::Unavailable),
        never = systemd.keep_starting("Getting the database ready") => match never {},
    }
}

/// Serves until a signal, and says where. A second signal ends it at once.
///
/// It ends as well when the database holds another history all of a sudden: its clients are to start over, and so must all that it knows of
/// that database.
pub async fn listen(
    listener: TcpListener,
    app: App,
    pages: Router<App>,
    systemd: &Systemd,
    announce: impl FnOnce(SocketAddr) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let address = listener.local_addr().map_err(failed)?;
    let DrainSettings { drain_delay, drain_timeout, .. } = app.settings.draining;
    let (db, history) = (app.db.clone(), app.epoch);
    let mut signals = Signals::new()?;
    let (stop, stopped) = watch::channel(false);
    let mut serving = pin!(server::serve(listener, app, pages, stopped));
    // Connections that come from now on wait in the listener's backlog.
    if announce(address).is_err() {
        tracing::debug!("nobody reads where it listens");
    }
    systemd.ready(&format!("Serving on http://{address}"));
    let why = tokio::select! {
        ended = serving.as_mut() => return ended.map_err(failed),
        () = signals.next() => Ok(()),
        () = database::is_replaced(&db, history) => Err(Failure::Unavailable(REPLACED.to_owned())),
        never = systemd.keep_watch() => match never {},
    };
    systemd.stopping("Finishing what was begun, and sending clients away", drain_delay + drain_timeout + LAST);
    let _ = stop.send(true);
    tokio::select! {
        ended = serving => ended.map_err(failed).and(why),
        () = signals.next() => Err(Failure::Failed("ended by a second signal, before all was finished".to_owned())),
        never = systemd.keep_watch() => match never {},
    }
}
