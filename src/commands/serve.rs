//! `ires-chat serve`: the server, from the Postgres of `DATABASE_URL`.

use super::failed;
use crate::{Failure, init_logs};
use axum::Router;
use ires_chat::{
    app::App,
    config::{HttpSettings, Settings},
    server,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Runs until SIGTERM or SIGINT.
pub async fn run(settings: Settings) -> Result<(), Failure> {
    let settings = settings.check().map_err(Failure::Misconfigured)?;
    let listener = bind(&settings.http).await?;
    init_logs(&settings.log)?;
    tracing::info!(settings = ?settings, "the settings");
    if settings.auth.allow_weak_secret {
        tracing::warn!("CHAT_ALLOW_WEAK_SECRET is on: whoever guesses JWT_SECRET can be anybody");
    }
    let app = server::prepare(settings).await.map_err(Failure::Unavailable)?;
    listen(listener, app, Router::new(), |address| println!("ires-chat listens on http://{address}")).await
}

/// Takes the port, before anything else is begun.
pub async fn bind(settings: &HttpSettings) -> Result<TcpListener, Failure> {
    let address = (settings.host, settings.port);
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Failure::Unavailable(format!("port {} is in use: end the program that has it, or set PORT", settings.port)),
        _ => Failure::Unavailable(format!("{}:{} cannot be listened on: {error}", settings.host, settings.port)),
    })
}

/// Serves until a signal, and says where.
pub async fn listen(listener: TcpListener, app: App, pages: Router<App>, announce: impl FnOnce(std::net::SocketAddr)) -> Result<(), Failure> {
    let address = listener.local_addr().map_err(failed)?;
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = stop.send(true);
    });
    // Connections that come from now on wait in the listener's backlog.
    announce(address);
    server::serve(listener, app, pages, stopped).await.map_err(failed)
}
