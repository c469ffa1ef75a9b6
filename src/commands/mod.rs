//! The commands, one file each.

pub mod backup;
pub mod bench;
pub mod config;
pub mod dev;
pub mod doctor;
pub mod health;
pub mod migrate;
pub mod retention;
pub mod serve;
pub mod spec;
pub mod token;
pub mod user;

use crate::Failure;
use ires_chat::{
    config::{DatabaseSettings, read_secret},
    database,
};
use sqlx::{PgConnection, PgPool, postgres::PgConnectOptions};
use std::{
    fmt::Display,
    io::{ErrorKind, Write, stdout},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Connects to the database of a command, which says its name there.
async fn connect(settings: DatabaseSettings, command: &str) -> Result<PgConnection, Failure> {
    database::inspect(&options(settings, command)?, true).await.map_err(Failure::Unavailable)
}

/// Connects to the database of a command that needs several connections, or transactions.
async fn pool(settings: DatabaseSettings, command: &str) -> Result<PgPool, Failure> {
    let options = options(settings.clone(), command)?;
    database::inspect(&options, true).await.map_err(Failure::Unavailable)?;
    Ok(database::pool(options, &settings))
}

/// How a command connects to its database.
fn options(mut settings: DatabaseSettings, command: &str) -> Result<PgConnectOptions, Failure> {
    read_secret(&mut settings.database_url, settings.database_url_file.as_ref(), "DATABASE_URL").map_err(Failure::Misconfigured)?;
    let url = settings.database_url.ok_or_else(|| Failure::Misconfigured("DATABASE_URL is missing".to_owned()))?;
    let options = database::options(&url, settings.database_timeout).map_err(Failure::Misconfigured)?;
    Ok(options.application_name(&format!("ires-chat {command}")))
}

/// Says something on the output: the only way in which commands do.
///
/// With [`Failure::Unheard`] nobody reads any more. Who only has things to say ends then, quietly and with exit code 0, for whoever reads
/// decides how much; who changes something finishes it first, and what is found to be wrong is still told by the exit code.
fn say(text: impl Display) -> Result<(), Failure> {
    writeln!(stdout(), "{text}").map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::Unheard,
        _ => failed(format!("the output cannot be written: {error}")),
    })
}

/// A failure of something that was tried.
fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}

/// SIGTERM and SIGINT, from now on.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let of = |kind| signal(kind).map_err(failed);
        Ok(Self { terminate: of(SignalKind::terminate())?, interrupt: of(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Does something that may be given up, unless one of them comes first.
    async fn or<T>(&mut self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            done = work => done,
            () = self.next() => Err(failed("interrupted")),
        }
    }
}
