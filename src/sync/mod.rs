//! Sync: what happened in rooms while somebody was away, as it is now.
//!
//! Rows carry the number of their last change, so any absence, of a second or of a year, is answered from the rows alone:
//! nothing is kept in memory for it, and nothing expires. An answer is one snapshot of the database, complete up to
//! `toSeq`: whoever applies it, and then the events with higher numbers, sees the room as it is. Where too much
//! happened it says so, and which numbers are missing.

pub mod http;
pub mod socket;
mod window;

use crate::{
    app::App,
    auth::AuthUser,
    database,
    error::{Error, Result},
    lobby::views::{self, Overview},
    messages::{self, reactions},
    rooms::{
        self, RoomId, RoomRef, Seat,
        members::{self, store as rows},
    },
    users::UserId,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use sqlx::PgConnection;
use std::collections::VecDeque;
use window::{Item, Limits, newest, oldest};

/// Most rooms in one question.
pub const ROOMS: usize = 1_000;
/// Most changes in one answer (the contract's section 6).
pub const ITEMS: i64 = 1_000;
/// Most bytes of changes in one answer (likewise).
const BYTES: usize = 512 << 10;
/// One snapshot for everything that is read.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// What happened in one room.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// Where.
    room_id: RoomId,
    /// Everything after this number,
    from_seq: i64,
    /// up to this one.
    to_seq: i64,
    /// Whether something is missing: see `gap`.
    limited: bool,
    /// What is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<Gap>,
    /// Whether the client knows of numbers that the room has not reached: what it has is of another history.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    reset: bool,
    /// Whether another page follows, where pages were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    has_more: Option<bool>,
    /// The room as the caller sees it.
    room: Overview,
    /// Messages that changed, in their present state, by the number of their last change.
    #[schemars(with = "Vec<messages::Message>")]
    messages: Vec<Box<RawValue>>,
    /// Memberships that changed, likewise.
    #[schemars(with = "Vec<members::Moved>")]
    members: Vec<Box<RawValue>>,
}

/// Numbers whose changes are missing.
#[derive(Debug, Serialize, JsonSchema)]
struct Gap {
    /// After this one,
    since: i64,
    /// up to this one.
    until: i64,
}

/// What happened in several rooms.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Synced {
    /// Which history this is: with another one than before, drop what you have.
    epoch: uuid::Uuid,
    /// What happened in each room.
    rooms: Vec<Changes>,
    /// Rooms that the caller is not in (any more), as the client named them.
    gone: Vec<String>,
    /// Rooms for which there was no room in this answer, likewise.
    more: Vec<String>,
}

/// What one room's changes are made of, before the rest of what its member sees of it is added.
struct Read {
    seat: Seat,
    from_seq: i64,
    to_seq: i64,
    gap: Option<Gap>,
    reset: bool,
    has_more: Option<bool>,
    items: Vec<Item>,
}

/// What happened in rooms since the numbers that a client knows, at most so much for each.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn sync(app: &App, caller: &AuthUser, known: Vec<(String, i64)>, limit: i64) -> Result<Synced> {
    let parsed: Vec<Option<RoomRef>> = known.iter().map(|(name, _)| RoomRef::parse(name).ok()).collect();
    let (places, asked): (Vec<usize>, Vec<_>) =
        parsed.iter().enumerate().filter_map(|(place, room)| Some((place, (caller.id(), room.as_ref()?)))).unzip();
    let mut tx = database::begin(&app.db, SNAPSHOT).await?;
    let mut seats: Vec<Option<Seat>> = known.iter().map(|_| None).collect();
    for (place, seat) in rooms::store::find_each(&mut *tx, &asked).await? {
        seats[places[place]] = Some(seat).filter(|seat| seat.membership.is_some());
    }
    let (mut read, mut gone, mut more) = (Vec::new(), Vec::new(), Vec::new());
    let mut left = Limits { items: usize::try_from(ITEMS).unwrap_or_default(), bytes: BYTES };
    let mut is_full = false;
    for ((name, since), seat) in known.into_iter().zip(seats) {
        let Some(seat) = seat else {
            gone.push(name);
            continue;
        };
        let is_quiet = since == seat.room.last_seq;
        if is_full && !is_quiet {
            more.push(name);
            continue;
        }
        let room = read_since(&mut tx, caller.id(), seat, since, limit).await?;
        let has_company = read.iter().any(|other: &Read| !other.items.is_empty());
        if has_company && !left.hold(&room.items) {
            is_full = true;
            more.push(name);
            continue;
        }
        left.take(&room.items);
        read.push(room);
    }
    let rooms = complete(&mut tx, caller.id(), read).await?;
    tx.commit().await?;
    Ok(Synced { epoch: app.epoch, rooms, gone, more })
}

/// What happened in one room: everything since a number, or the newest of it; with `until` the oldest, page by page.
///
/// # Errors
/// `ROOM_NOT_FOUND`, `NOT_A_MEMBER`, `BANNED`; `UNAVAILABLE` without the database.
pub async fn changes(app: &App, caller: &AuthUser, room: &RoomRef, since: i64, until: Option<i64>, limit: i64) -> Result<Changes> {
    let mut tx = database::begin(&app.db, SNAPSHOT).await?;
    let seat = rooms::store::find(&mut *tx, caller.id(), room).await?.ok_or(Error::RoomNotFound)?;
    seat.membership()?;
    let read = match until {
        Some(until) => read_page(&mut tx, caller.id(), seat, since, until, limit).await?,
        None => read_since(&mut tx, caller.id(), seat, since, limit).await?,
    };
    let complete = complete(&mut tx, caller.id(), vec![read]).await?.pop();
    tx.commit().await?;
    complete.ok_or(Error::RoomNotFound)
}

/// Everything since a number if it is not too much, else the newest of it.
async fn read_since(db: &mut PgConnection, asker: &UserId, seat: Seat, since: i64, limit: i64) -> Result<Read> {
    let last = seat.room.last_seq;
    let reset = since > last;
    let from_seq = if reset { 0 } else { since };
    let limits = Limits { items: usize::try_from(limit).unwrap_or_default(), bytes: BYTES };
    let all = between(db, asker, seat.room.id, from_seq, last, true).await?.filter(|items| items.len() <= limits.items);
    let (items, after) = match all {
        Some(items) => (items, from_seq),
        None => latest(db, asker, seat.room.id, from_seq.max(last - limit), last).await?,
    };
    let (items, until) = newest(items, after, limits);
    let gap = (until > from_seq || reset).then_some(Gap { since: from_seq, until });
    Ok(Read { seat, from_seq: since, to_seq: last, gap, reset, has_more: None, items })
}

/// Everything since a number, or since half as far back, and so on, until it is not too much: a number changes at least one thing,
/// and many where many messages were deleted at once.
async fn latest(db: &mut PgConnection, asker: &UserId, room: RoomId, mut after: i64, last: i64) -> Result<(Vec<Item>, i64)> {
    loop {
        if let Some(items) = between(db, asker, room, after, last, last - after > 1).await? {
            return Ok((items, after));
        }
        after = last - (last - after) / 2;
    }
}

/// The oldest changes between two numbers.
async fn read_page(db: &mut PgConnection, asker: &UserId, seat: Seat, since: i64, until: i64, limit: i64) -> Result<Read> {
    let until = until.min(seat.room.last_seq);
    let end = until.min(since.saturating_add(limit));
    let limits = Limits { items: usize::try_from(limit).unwrap_or_default(), bytes: BYTES };
    let items = if since < end { between(db, asker, seat.room.id, since, end, false).await?.unwrap_or_default() } else { Vec::new() };
    let (items, to_seq) = oldest(items, end.max(since), limits);
    Ok(Read { seat, from_seq: since, to_seq, gap: None, reset: false, has_more: Some(to_seq < until), items })
}

/// Everything whose last change has a number after one and up to another. If that is more than an answer ever holds, the oldest of
/// it, or, where only the whole is asked for, nothing.
async fn between(db: &mut PgConnection, asker: &UserId, room: RoomId, after: i64, until: i64, whole: bool) -> Result<Option<Vec<Item>>> {
    if after >= until {
        return Ok(Some(Vec::new()));
    }
    let too_many = |count: usize| whole && i64::try_from(count).is_ok_and(|count| count > ITEMS);
    // Those first: they are what the walk through the others passes over.
    let changed = messages::store::changed(&mut *db, room, after, until).await?;
    if too_many(changed.len()) {
        return Ok(None);
    }
    let unchanged = messages::store::unchanged(&mut *db, room, after, until).await?;
    let members = rows::changed(&mut *db, room, after, until).await?;
    if too_many(changed.len() + unchanged.len() + members.len()) {
        return Ok(None);
    }
    let messages = reactions::with_own(&mut *db, asker, changed.into_iter().chain(unchanged).collect()).await?;
    let messages =
        messages.iter().map(|message| Ok(Item { seq: message.rev, is_message: true, text: to_raw_value(message).map_err(Error::internal)? }));
    let members = members.iter().map(|member| Ok(Item { seq: member.seq, is_message: false, text: to_raw_value(member).map_err(Error::internal)? }));
    messages.chain(members).collect::<Result<_>>().map(Some)
}

/// Adds what members see of their rooms, in the same snapshot.
async fn complete(db: &mut PgConnection, caller: &UserId, read: Vec<Read>) -> Result<Vec<Changes>> {
    let seats = read.iter().map(|read| (caller, read.seat.clone())).collect();
    let mut overviews = VecDeque::from(views::overviews_of_each(db, seats).await?);
    let changes = |read: Read| {
        let room = overviews.pop_front().ok_or_else(|| Error::internal("a room without its overview"))?;
        let (messages, members): (Vec<Item>, Vec<Item>) = read.items.into_iter().partition(|item| item.is_message);
        let texts = |items: Vec<Item>| items.into_iter().map(|item| item.text).collect();
        Ok(Changes {
            room_id: room.room.id,
            from_seq: read.from_seq,
            to_seq: read.to_seq,
            limited: read.gap.is_some(),
            gap: read.gap,
            reset: read.reset,
            has_more: read.has_more,
            room,
            messages: texts(messages),
            members: texts(members),
        })
    };
    read.into_iter().map(changes).collect()
}
