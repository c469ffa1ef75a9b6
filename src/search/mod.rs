//! Search: which messages hold some words, in the rooms that somebody is in, the newest first.
//!
//! Sending pays nothing for it. A worker, [`indexing`], reads what was said some time later and keeps lists of messages for each
//! *token*: three letters in a row, or one or two ideographs. These lists only say where to look. What they say is read again in
//! the messages themselves, in one snapshot of the database with the caller's memberships, so an edited or deleted text is not found
//! from the moment of the change on; and what is not in the lists yet is read message by message, so a message is found as soon as
//! it is acknowledged. However far the worker is behind, results are the same; they only take longer.
//!
//! A search does a bounded amount of work: see its module `hunt`.

mod folding;
pub mod http;
mod hunt;
pub mod indexing;
mod postings;
mod query;
pub mod store;
mod tokens;

use crate::{
    app::App,
    database,
    error::{Error, Result},
    extract::{PAGE_BYTES, fitting},
    messages::{self, Message, reactions},
    rooms::{self, RoomId, RoomRef},
    users::UserId,
};
use chrono::{DateTime, TimeDelta, Utc};
use hunt::{Hunt, Key, Quarry};
use indexing::Lag;
pub use query::{Highlight, Terms};
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::HashMap, time::Duration};
use store::Filter;
use tokio::{sync::Semaphore, time::timeout};
use uuid::Uuid;

/// Searches that are under way at the same time: others wait, and the rest of the server has connections left.
const TOGETHER: usize = 4;
/// Most rooms that one search looks into: the most recently active ones.
const ROOMS: i64 = 5_000;
/// How long a search may take. Before that it makes do with what it has found, unless it cannot get on.
const PATIENCE: Duration = Duration::from_secs(3);
/// One snapshot for everything that is read.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// What searches share.
pub struct Search {
    slots: Semaphore,
    /// How far the index is behind.
    pub lag: Lag,
}

impl Default for Search {
    fn default() -> Self {
        Self { slots: Semaphore::new(TOGETHER), lag: Lag::default() }
    }
}

/// What is looked for, and where.
pub struct Question {
    /// All of these.
    pub terms: Terms,
    /// In this room only.
    pub room: Option<RoomRef>,
    /// By this author.
    pub from: Option<UserId>,
    /// Said before this time.
    pub before: Option<DateTime<Utc>>,
    /// Said at this time or after.
    pub after: Option<DateTime<Utc>>,
    /// What follows this place.
    pub position: Option<Position>,
    /// Most results.
    pub limit: usize,
}

/// A place among the results of a search in all rooms, or in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    key: Key,
    room: Option<RoomId>,
}

impl Position {
    /// Reads what [`Display`](std::fmt::Display) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (time, room, seq) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let (time, of_room) = if time == "room" { (0, Some(RoomId(room))) } else { (time.parse().ok()?, None) };
        // It must be a time that can be asked for.
        let is_time = DateTime::from_timestamp_micros(time).is_some_and(|time| time.timestamp() >= 0);
        (parts.next().is_none() && is_time && seq >= 0).then_some(Self { key: Key { time, room, seq }, room: of_room })
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Key { time, room, seq } = self.key;
        if self.room.is_some() { write!(f, "room:{room}:{seq}") } else { write!(f, "{time}:{room}:{seq}") }
    }
}

/// A message that was found.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// Where it was said.
    room_id: RoomId,
    /// The message, as in history.
    message: Message,
    /// Where in its content the terms are.
    highlights: Vec<Highlight>,
}

/// Searches what the asker may see. The results are the newest first; there may be fewer of them than were asked for, though more
/// follow.
///
/// # Errors
/// `ROOM_NOT_FOUND`, `NOT_A_MEMBER` or `BANNED` for the room, `VALIDATION_ERROR` for a position in another room; `RATE_LIMITED` for
/// the asker's fourth at once; `UNAVAILABLE` when it takes too long, or there are too many searches.
pub async fn search(app: &App, asker: &UserId, question: Question) -> Result<(Vec<Found>, Option<Position>)> {
    let place = app.limits.search(asker)?;
    let slot = timeout(PATIENCE, app.search.slots.acquire()).await.map_err(|_| Error::Unavailable)?.map_err(Error::internal)?;
    let found = timeout(PATIENCE, find(app, asker, &question)).await.map_err(|_| Error::Unavailable)?;
    drop((slot, place));
    found
}

async fn find(app: &App, asker: &UserId, question: &Question) -> Result<(Vec<Found>, Option<Position>)> {
    let mut tx = database::begin(&app.db, SNAPSHOT).await?;
    let room = match &question.room {
        Some(room) => {
            let seat = rooms::store::find(&mut *tx, asker, room).await?.ok_or(Error::RoomNotFound)?;
            seat.membership()?;
            Some(seat.room.id)
        }
        None => None,
    };
    if question.position.is_some_and(|position| position.room != room) {
        return Err(Error::field("cursor", "invalid", "This is a cursor of another search."));
    }
    let before = question.position.map_or(Key::END, |position| position.key);
    let quarry = Quarry {
        terms: &question.terms,
        tokens: question.terms.tokens(question.from.as_ref()),
        filter: filter(question, before, room.is_some()),
        before,
        is_in_one_room: room.is_some(),
        limit: question.limit,
    };
    let places = store::places(&mut *tx, asker, room, ROOMS).await?;
    let (keys, next) = Hunt::begin(&mut tx, quarry, &places).await?.run().await?;
    let places: Vec<(RoomId, i64)> = keys.iter().map(|key| (RoomId(key.room), key.seq)).collect();
    let messages = messages::store::at(&mut *tx, &places).await?;
    let messages = reactions::with_own(&mut *tx, asker, messages).await?;
    tx.commit().await?;
    let mut by_place: HashMap<(Uuid, i64), Message> = messages.into_iter().map(|message| ((message.room_id.0, message.seq), message)).collect();
    let mut found: Vec<(Key, Message)> = keys.into_iter().filter_map(|key| Some((key, by_place.remove(&(key.room, key.seq))?))).collect();
    let fitting = fitting(&found, PAGE_BYTES, |(_, message)| message.weight());
    let next = if fitting < found.len() { Some(found[fitting - 1].0) } else { next };
    found.truncate(fitting);
    let shown = |(_, message): (Key, Message)| Found { room_id: message.room_id, highlights: question.terms.highlights(&message.content), message };
    Ok((found.into_iter().map(shown).collect(), next.map(|key| Position { key, room })))
}

/// Within which times the rest of the results is.
fn filter(question: &Question, before: Key, is_in_one_room: bool) -> Filter<'_> {
    let until = question.before.map_or(DateTime::<Utc>::MAX_UTC, |before| before - TimeDelta::microseconds(1));
    let reached = DateTime::from_timestamp_micros(before.time).filter(|_| !is_in_one_room && before != Key::END);
    Filter {
        author: question.from.as_ref(),
        after: question.after.unwrap_or(DateTime::UNIX_EPOCH),
        until: reached.map_or(until, |reached| until.min(reached)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written_and_nothing_else_is() {
        let room = Uuid::from_u128(7);
        for position in [
            Position { key: Key { time: 1_700_000_000_000_000, room, seq: 5 }, room: None },
            Position { key: Key { time: 0, room, seq: i64::MAX }, room: Some(RoomId(room)) },
        ] {
            assert_eq!(Position::parse(&position.to_string()), Some(position));
        }
        for bad in [
            "",
            "::",
            "room",
            "room:x:1",
            "1:2:3",
            &format!("x:{room}:1"),
            &format!("{}:{room}:1", i64::MAX),
            &format!("-5:{room}:1"),
            &format!("5:{room}:-1"),
            &format!("5:{room}:1:1"),
        ] {
            assert_eq!(Position::parse(bad), None, "{bad}");
        }
    }
}
