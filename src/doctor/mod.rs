//! The doctor: proves that the database holds what the program promises, and names what is wrong.
//!
//! Each invariant is looked at in one statement, and so in one snapshot: it may be asked of a database in use.

mod store;

use crate::{
    database::{self, MigrationState},
    error::{Error, Result},
    search,
};
use chrono::{TimeDelta, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use store::Found;

/// What the [migrations](database::MIGRATIONS) make, a thing a line; a test compares it with what they do make.
const SCHEMA: &str = include_str!("schema.txt");

/// By how much the clocks of this machine and of the database may differ: tokens and times are judged by both.
const CLOCKS: TimeDelta = TimeDelta::seconds(5);

/// An invariant, and how often it is broken.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What must hold.
    pub invariant: &'static str,
    /// How many rows break it; 1,000 may be more.
    pub broken: i64,
    /// What is wrong with some of them.
    pub examples: Vec<String>,
}

impl Finding {
    fn of(invariant: &'static str, Found { broken, examples }: Found) -> Self {
        Self { invariant, broken, examples }
    }

    fn told(invariant: &'static str, examples: Vec<String>) -> Self {
        Self { invariant, broken: i64::try_from(examples.len()).unwrap_or(i64::MAX), examples }
    }
}

/// What is worth knowing, and wrong in no case.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notes {
    /// Messages that are not in the index of searches yet.
    pub messages_not_indexed: i64,
    /// Erasures that a running server has still to finish.
    pub unfinished_erasures: i64,
}

/// Examines where the data stand: schema, settings, clocks. It takes no time.
///
/// # Errors
/// Those of the database.
pub async fn examine_ground(db: &mut PgConnection) -> Result<Vec<Finding>> {
    let states = database::migration_states(db).await.map_err(Error::internal)?;
    let faults = states.iter().filter_map(|state| fault(state).map(|fault| format!("migration {} {}", state.version, fault)));
    let mut findings = vec![Finding::told("the schema is that of this program", faults.collect())];
    if findings[0].broken > 0 {
        return Ok(findings);
    }
    let there = store::things(db).await?;
    let missing: Vec<String> =
        SCHEMA.lines().filter(|thing| !there.iter().any(|it| it == thing)).map(|thing| format!("{thing} is missing")).collect();
    if !missing.is_empty() {
        findings[0] = Finding::told("the schema is that of this program", missing);
        return Ok(findings);
    }
    findings.push(Finding::of("every index and every constraint is valid", store::schema(db).await?));
    findings.push(Finding::of("a crash loses nothing that was acknowledged", store::settings(db).await?));
    let before = Utc::now();
    let theirs = store::clock(db).await?;
    let (ahead, behind) = (theirs - Utc::now(), before - theirs);
    let differs = (ahead > CLOCKS || behind > CLOCKS).then(|| format!("the database's is {} ms ahead", (theirs - before).num_milliseconds()));
    findings.push(Finding::told("the clocks of this machine and of the database agree", differs.into_iter().collect()));
    Ok(findings)
}

fn fault(state: &MigrationState) -> Option<&'static str> {
    match (state.applied, state.differs, state.description.as_str()) {
        (false, ..) => Some("is missing: run `ires-chat migrate run`"),
        (_, true, _) => Some("is not the one that this program knows"),
        (.., database::UNKNOWN) => Some("is of a newer program"),
        _ => None,
    }
}

/// Examines the books, room by room: counts, numbers, markers. It looks into an index, or at a table that is small.
///
/// # Errors
/// Those of the database.
pub async fn examine_rooms(db: &mut PgConnection) -> Result<Vec<Finding>> {
    Ok(vec![
        Finding::of("the database says which history it holds", store::identity(db).await?),
        Finding::of("every room counts its members right", store::members(db).await?),
        Finding::of("every room has one owner, where somebody is", store::owners(db).await?),
        Finding::of("every room knows its last message", store::last_messages(db).await?),
        Finding::of("every room's last number is that of something", store::unexplained_last(db).await?),
        Finding::of("no marker is ahead of its room's last number", store::markers(db).await?),
        Finding::of("of erased accounts a stub is left", store::stubs(db).await?),
        Finding::of("every connection has its server", store::connections(db).await?),
    ])
}

/// Examines all messages and what belongs to them: minutes on a large database.
///
/// # Errors
/// Those of the database.
pub async fn examine_messages(db: &mut PgConnection) -> Result<Vec<Finding>> {
    Ok(vec![
        Finding::of("everything has its room, its author and its message", store::orphans(db).await?),
        Finding::of("every reply has its root", store::threads(db).await?),
        Finding::of("nothing is ahead of its room's last number", store::beyond_last(db).await?),
        Finding::of("after its last change every number of a room is that of a message", store::holes(db).await?),
        Finding::of("every number is that of one thing", store::doubled(db).await?),
        Finding::of("every root of a thread counts its replies right", store::replies(db).await?),
        Finding::of("every message counts its reactions right", store::reactions(db).await?),
        Finding::of("every earlier text of a message is kept until it is deleted", store::edits(db).await?),
        Finding::of("deleted messages hold nothing", store::remains(db).await?),
        Finding::of("the index of searches is of what is there", store::index_of_searches(db).await?),
    ])
}

/// What else is worth knowing.
///
/// # Errors
/// Those of the database.
pub async fn notes(db: &mut PgConnection) -> Result<Notes> {
    Ok(Notes { messages_not_indexed: search::store::waiting(&mut *db).await?, unfinished_erasures: store::unfinished(db).await? })
}
