//! `ires-chat retention`: deletes what has become too old, once, by hand.

use super::{failed, pool, say};
use crate::Failure;
use clap::{Args, Subcommand};
use ires_chat::{
    config::{DatabaseSettings, age},
    retention::{self, Sweep},
};
use std::time::Duration;

/// What to do.
#[derive(Subcommand)]
pub enum Retention {
    /// Delete messages that are older than so long, in all rooms
    #[command(
        after_help = "Examples:\n  ires-chat retention run --older-than 365d --dry-run\n  ires-chat retention run --older-than 90d --room general"
    )]
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
        Some(name) => Some(retention::find_room(&db, name).await.map_err(failed)?),
        None => None,
    };
    let before = retention::older_than(&db, old.older_than).await.map_err(failed)?;
    let word = if old.dry_run { "would be deleted" } else { "deleted" };
    let (mut total, mut last, mut said) = (0, None, Ok(()));
    let mut tell = |(room, messages)| {
        // Nobody who reads it is no reason to leave the other rooms as they are.
        if said.is_ok() {
            said = say(format_args!("room {room}: {messages} messages {word}"));
        }
    };
    let sweep = Sweep { db: &db, live: None, before, room, dry: old.dry_run };
    let swept = sweep.run(|room, messages| {
        total += messages;
        match &mut last {
            Some((same, so_far)) if *same == room => *so_far += messages,
            _ => last.replace((room, messages)).map_or((), &mut tell),
        }
    });
    let ended = swept.await;
    last.into_iter().for_each(&mut tell);
    ended.map_err(failed)?;
    said.and_then(|()| say(format_args!("{total} messages {word}")))
}
