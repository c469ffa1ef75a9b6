//! The commands, one file each.

pub mod bench;
pub mod config;
pub mod dev;
pub mod doctor;
pub mod health;
pub mod migrate;
pub mod serve;
pub mod spec;
pub mod token;
pub mod user;

use crate::Failure;
use ires_chat::{
    config::{DatabaseSettings, read_secret},
    database,
};
use sqlx::PgConnection;

/// Connects to the database of a command.
async fn connect(mut settings: DatabaseSettings) -> Result<PgConnection, Failure> {
    read_secret(&mut settings.database_url, settings.database_url_file.as_ref(), "DATABASE_URL").map_err(Failure::Misconfigured)?;
    let url = settings.database_url.ok_or_else(|| Failure::Misconfigured("DATABASE_URL is missing".to_owned()))?;
    let options = database::options(&url, settings.database_timeout).map_err(Failure::Misconfigured)?;
    database::inspect(&options, true).await.map_err(Failure::Unavailable)
}

/// A failure of something that was tried.
fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}
