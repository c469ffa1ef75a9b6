//! `ires-chat migrate`: the schema, in the table that sqlx-cli uses too.

use super::{connect, failed};
use crate::Failure;
use clap::Subcommand;
use ires_chat::{config::DatabaseSettings, database};

/// What to do.
#[derive(Subcommand)]
pub enum Migrate {
    /// Apply what is missing
    Run(DatabaseSettings),
    /// List all migrations and which of them the database has
    Info(DatabaseSettings),
}

/// Does it.
pub async fn run(migrate: Migrate) -> Result<(), Failure> {
    match migrate {
        Migrate::Run(settings) => {
            let mut db = connect(settings).await?;
            let before = database::migration_states(&mut db).await.map_err(failed)?;
            database::migrate(&mut db).await.map_err(failed)?;
            for state in before.iter().filter(|state| !state.applied) {
                println!("applied {} {}", state.version, state.description);
            }
            println!("the database is up to date");
        }
        Migrate::Info(settings) => {
            let mut db = connect(settings).await?;
            for state in database::migration_states(&mut db).await.map_err(failed)? {
                let word = match (state.applied, state.differs) {
                    (true, true) => "installed (different checksum)",
                    (true, false) => "installed",
                    (false, _) => "pending",
                };
                println!("{}/{word} {}", state.version, state.description);
            }
        }
    }
    Ok(())
}
