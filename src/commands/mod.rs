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
    pool::Pool,
};
use sqlx::{PgConnection, postgres::PgConnectOptions};

/// Connects to the database of a command, which says its name there.
async fn connect(settings: DatabaseSettings, command: &str) -> Result<PgConnection, Failure> {
    database::inspect(&options(settings, command)?, true).await.map_err(Failure::Unavailable)
}

/// Connects to the database of a command that needs several connections, or transactions.
async fn pool(settings: DatabaseSettings, command: &str) -> Result<Pool, Failure> {
    let options = options(settings.clone(), command)?;
    database::inspect(&options, true).await.map_err(Failure::Unavailable)?;
    Ok(Pool::new(options, &settings))
}

/// How a command connects to its database.
fn options(mut settings: DatabaseSettings, command: &str) -> Result<PgConnectOptions, Failure> {
    read_secret(&mut settings.database_url, settings.database_url_file.as_ref(), "DATABASE_URL").map_err(Failure::Misconfigured)?;
    let url = settings.database_url.ok_or_else(|| Failure::Misconfigured("DATABASE_URL is missing".to_owned()))?;
    let options = database::options(&url, settings.database_timeout).map_err(Failure::Misconfigured)?;
    Ok(options.application_name(&format!("ires-chat {command}")))
}

/// A failure of something that was tried.
fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}
