//! What a user sees of rooms: the list of them, or one of them.

use crate::{
    app::App,
    error::{Error, Result},
    messages,
    pool::Pool,
    receipts::{self, Read, Unread, store::Marker},
    rooms::{self, Membership, Room, RoomId, RoomRef, Seat, members::store::MemberRow, permissions, store::Position},
    time::Time,
    users::{User, UserId},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};
use std::collections::{HashMap, HashSet};

/// Most bytes of last messages in one list of rooms: half of what may wait for a socket, for `session.ready` must not make a client one
/// that reads too slowly.
const PREVIEWS: usize = 512 << 10;

/// A room as one of its members sees it in a list.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RoomOverview")]
pub struct Overview {
    /// The room.
    #[serde(flatten)]
    pub room: Room,
    /// The asker's membership; `null` in a public room that the asker is not in.
    pub membership: Option<Membership>,
    /// How far the asker has read.
    pub read: Read,
    /// What came since then.
    #[serde(flatten)]
    pub unread: Unread,
    /// What the asker may do.
    pub can: Vec<&'static str>,
}

/// A member in the list of them.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Who.
    pub user: User,
    /// The standing.
    pub role: rooms::Role,
    /// Since when.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub joined_at: DateTime<Utc>,
    /// Until when this member may not send.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub muted_until: Option<DateTime<Utc>>,
}

impl From<MemberRow> for Member {
    fn from(MemberRow { user, role, joined_at, muted_until }: MemberRow) -> Self {
        Self { user, role, joined_at, muted_until }
    }
}

/// A page of the rooms that a user is in, newest activity first.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn rooms_of(app: &App, user: &UserId, after: Option<Position>, limit: i64) -> Result<Vec<Overview>> {
    overviews(&app.db, user, rooms::store::seats_of(&app.db, user, after, limit).await?).await
}

/// A page of all public rooms, newest activity first.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn public_rooms(app: &App, user: &UserId, after: Option<Position>, limit: i64) -> Result<Vec<Overview>> {
    overviews(&app.db, user, rooms::store::public_seats(&app.db, user, after, limit).await?).await
}

/// One room.
///
/// # Errors
/// `ROOM_NOT_FOUND`.
pub async fn overview(app: &App, user: &UserId, room: &RoomRef) -> Result<Overview> {
    let seat = rooms::find(app, user, room).await?;
    overviews(&app.db, user, vec![seat]).await?.pop().ok_or(Error::RoomNotFound)
}

async fn overviews(db: &Pool, user: &UserId, seats: Vec<Seat>) -> Result<Vec<Overview>> {
    let mut overviews = overviews_of_each(&mut *db.lend().await?, seats.into_iter().map(|seat| (user, seat)).collect()).await?;
    shed_previews(&mut overviews);
    Ok(overviews)
}

/// Leaves out last messages from where, in the order of the list, they become too much for one answer: anybody may put a user into rooms
/// whose last messages are as large as can be.
pub fn shed_previews(overviews: &mut [Overview]) {
    let mut total = 0;
    for Overview { room, .. } in overviews {
        total += room.last_message.as_ref().map_or(0, |message| message.get().len());
        if total > PREVIEWS {
            room.last_message = None;
        }
    }
}

/// Rooms, each as somebody sees it, in the same order.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn overviews_of_each<'a>(db: &mut PgConnection, mut seats: Vec<(&'a UserId, Seat)>) -> Result<Vec<Overview>> {
    // Who is banned would otherwise read on, a message at a time.
    add_last_messages(&mut *db, seats.iter_mut().filter(|(_, seat)| !seat.is_banned).map(|(_, seat)| &mut seat.room)).await?;
    // Most rooms of most users have nothing new.
    let news = |(user, seat): &(&'a UserId, Seat)| {
        let (read, last) = (seat.membership.as_ref()?.read_seq, seat.room.last_message_seq?);
        (read < last).then_some(Marker { user, room: seat.room.id, seq: read })
    };
    let (places, markers): (Vec<usize>, Vec<Marker<'_>>) = seats.iter().enumerate().filter_map(|(place, seat)| Some((place, news(seat)?))).unzip();
    let mut unread: HashMap<usize, Unread> = places.into_iter().zip(receipts::unread_of_each(db, &markers).await?).collect();
    let overview = |(place, (_, Seat { room, membership, is_banned })): (usize, (&'a UserId, Seat))| Overview {
        read: Read::of(membership.as_ref()),
        unread: unread.remove(&place).unwrap_or_default(),
        can: match &membership {
            Some(membership) => permissions::can(membership.role, &room),
            None if is_banned => Vec::new(),
            None => vec!["join"],
        },
        room,
        membership,
    };
    Ok(seats.into_iter().enumerate().map(overview).collect())
}

/// A page of a room's members, by user id, for a room that the caller was found to be in.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn members(app: &App, room: RoomId, after: &str, limit: i64) -> Result<Vec<Member>> {
    let rows = rooms::members::store::members(&app.db, &[room.0], after, limit).await?;
    Ok(rows.into_iter().map(|(_, row)| row.into()).collect())
}

/// Fills in a room's last message.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn with_last_message(db: impl PgExecutor<'_>, mut room: Room) -> Result<Room> {
    add_last_messages(db, std::iter::once(&mut room)).await?;
    Ok(room)
}

/// Fills in the last messages of rooms; the same room may come more than once.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn add_last_messages<'a>(db: impl PgExecutor<'_>, rooms: impl Iterator<Item = &'a mut Room>) -> Result<()> {
    let mut rooms: Vec<&mut Room> = rooms.collect();
    let places: HashSet<(RoomId, i64)> = rooms.iter().filter_map(|room| Some((room.id, room.last_message_seq?))).collect();
    let places: Vec<(RoomId, i64)> = places.into_iter().collect();
    let found: HashMap<_, _> = messages::last_of(db, &places).await?.into_iter().collect();
    for room in &mut rooms {
        room.last_message = found.get(&room.id).cloned();
    }
    Ok(())
}
