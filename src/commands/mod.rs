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
    error::Error,
    pool::Pool,
};
use sqlx::{PgConnection, postgres::PgConnectOptions};
use std::{
    error::Error as Cause,
    fmt::Display,
    io::{ErrorKind, Write, stdout},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Connects to the database of a command, which says its name there. It may be any database.
async fn connect(settings: DatabaseSettings, command: &str) -> Result<PgConnection, Failure> {
    database::inspect(&options(settings, command)?, true).await.map_err(Failure::Unavailable)
}

/// The same to one that has our schema.
async fn open(settings: DatabaseSettings, command: &str) -> Result<PgConnection, Failure> {
    let mut db = connect(settings, command).await?;
    database::expect_schema(&mut db).await.map_err(failed)?;
    Ok(db)
}

/// The same for a command that needs several connections, or transactions.
async fn pool(settings: DatabaseSettings, command: &str) -> Result<Pool, Failure> {
    open(settings.clone(), command).await?;
    Ok(Pool::new(options(settings.clone(), command)?, &settings))
}

/// How a command connects to its database.
fn options(mut settings: DatabaseSettings, command: &str) -> Result<PgConnectOptions, Failure> {
    read_secret(&mut settings.database_url, settings.database_url_file.as_ref(), "DATABASE_URL").map_err(Failure::Misconfigured)?;
    let url =
        settings.database_url.ok_or_else(|| Failure::Misconfigured("DATABASE_URL is missing: set it to the database of your server".to_owned()))?;
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

/// A failure of something that was tried. An operator is told what a client need not know: the cause of a fault of ours.
fn failed(error: impl Into<Box<dyn Cause + Send + Sync>>) -> Failure {
    let error = error.into();
    match error.downcast_ref() {
        Some(Error::Unavailable) => Failure::Unavailable("the database does not answer, or is held up by somebody else".to_owned()),
        Some(Error::Internal(cause)) => Failure::Failed(format!("the database does not do it: {cause}")),
        Some(Error::Validation(fields)) => {
            let faults = fields.iter().flat_map(|(name, faults)| faults.iter().map(move |fault| format!("{name}: {}", fault.message)));
            Failure::Failed(faults.collect::<Vec<_>>().join(" "))
        }
        _ => Failure::Failed(error.to_string()),
    }
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
