//! `ires-chat migrate`: the schema, in the table that sqlx-cli uses too.

use super::{connect, failed, open, say};
use crate::Failure;
use clap::{Args, Subcommand};
use ires_chat::{config::DatabaseSettings, database};

/// What to do.
#[derive(Subcommand)]
pub enum Migrate {
    /// Apply what is missing
    #[command(after_help = "Example:\n  ires-chat migrate run")]
    Run(DatabaseSettings),
    /// List all migrations and which of them the database has
    #[command(after_help = "Example:\n  ires-chat migrate info")]
    Info(DatabaseSettings),
    /// Give a role what a running server needs, and no more: with `CHAT_MIGRATE=off` it can run as that role
    #[command(after_help = "Example:\n  ires-chat migrate grant chat_server")]
    Grant(Grant),
}

/// To whom.
#[derive(Args)]
pub struct Grant {
    /// The role, which must exist
    role: String,
    #[command(flatten)]
    database: DatabaseSettings,
}

/// Does it.
pub async fn run(migrate: Migrate) -> Result<(), Failure> {
    match migrate {
        Migrate::Run(settings) => {
            let mut db = connect(settings, "migrate").await?;
            let before = database::migration_states(&mut db).await.map_err(failed)?;
            database::migrate(&mut db).await.map_err(failed)?;
            for state in before.iter().filter(|state| !state.applied) {
                say(format_args!("applied {} {}", state.version, state.description))?;
            }
            say("the database is up to date")
        }
        Migrate::Grant(grant) => {
            let mut db = open(grant.database, "migrate").await?;
            let granted = database::grant(&mut db, &grant.role).await.map_err(failed)?;
            granted.iter().try_for_each(|statement| say(format_args!("{statement};")))
        }
        Migrate::Info(settings) => {
            let mut db = connect(settings, "migrate").await?;
            for state in database::migration_states(&mut db).await.map_err(failed)? {
                let word = match (state.applied, state.differs) {
                    (true, true) => "installed (different checksum)",
                    (true, false) => "installed",
                    (false, _) => "pending",
                };
                say(format_args!("{}/{word} {}", state.version, state.description))?;
            }
            Ok(())
        }
    }
}
