//! `ires-chat retention`: deletes what has become too old, once, by hand.

use super::{failed, pool};
use crate::Failure;
use clap::{Args, Subcommand};
use ires_chat::{
    config::{DatabaseSettings, age},
    pool::Pool,
    retention::{self, Sweep},
    rooms::{RoomId, RoomRef, store},
};
use std::time::Duration;

/// What to do.
#[derive(Subcommand)]
pub enum Retention {
    /// Delete messages that are older than so long, in all rooms
    Run(Old),
}

/// Which messages.
#[derive(Args)]
pub struct Old {
    /// How old messages may be, such as 365d
    #[arg(long, value_parser = age)]
    older_than: Duration,
    /// Only in this room, an id or a slug
    #[arg(long)]
    room: Option<String>,
    /// Only count them
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

/// Does it. Prints a line for each room in which something was too old.
pub async fn run(Retention::Run(old): Retention) -> Result<(), Failure> {
    let db = pool(old.database, "retention").await?;
    let room = match &old.room {
        Some(name) => Some(find(&db, name).await?),
        None => None,
    };
    let before = retention::older_than(old.older_than).map_err(failed)?;
    let word = if old.dry_run { "would be deleted" } else { "deleted" };
    let mut total = 0;
    let sweep = Sweep { db: &db, live: None, before, room, dry: old.dry_run };
    let swept = sweep.run(|room, messages| {
        total += messages;
        println!("room {room}: {messages} messages {word}");
    });
    swept.await.map_err(failed)?;
    println!("{total} messages {word}");
    Ok(())
}

async fn find(db: &Pool, name: &str) -> Result<RoomId, Failure> {
    let found = match RoomRef::parse(name).map_err(failed)? {
        RoomRef::Id(id) => store::exists(db, id).await.map_err(failed)?.then_some(id),
        RoomRef::Slug(slug) => store::id_of_slug(db, slug.as_str()).await.map_err(failed)?,
    };
    found.ok_or_else(|| failed("there is no such room"))
}
