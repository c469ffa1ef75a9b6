//! What a user sees of rooms: the list of them, one of them, and the snapshot on entering.

use super::store;
use crate::{
    app::App,
    error::{Error, Result},
    messages::{self, Anchor, Message, Page},
    rooms::{self, Membership, Room, RoomId, RoomRef, Seat, permissions, store::Position},
    users::{User, UserId},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use sqlx::PgExecutor;
use std::collections::HashMap;

/// Messages in the snapshot on entering a room.
const SNAPSHOT_MESSAGES: i64 = 30;
/// Most messages in it for a client that says how far it has read.
const SINCE_MESSAGES: i64 = 100;
/// Members in it.
const SNAPSHOT_MEMBERS: i64 = 50;

/// A room as one of its members sees it in a list.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// The room.
    #[serde(flatten)]
    pub room: Room,
    /// The asker's membership; `null` in a public room that the asker is not in.
    pub membership: Option<Membership>,
    /// How far the asker has read.
    pub read: Read,
    /// Messages since then, up to 1,000.
    pub unread: i64,
    /// Whether there are more than that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unread_capped: bool,
    /// How many of them mention the asker.
    pub mentions: i64,
    /// What the asker may do.
    pub can: Vec<&'static str>,
}

/// A read marker.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Read {
    /// Everything up to here was read.
    pub seq: i64,
}

/// What a user is shown on entering a room.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    room_id: RoomId,
    user_id: UserId,
    #[serde(rename = "self")]
    is_self: bool,
    room: Room,
    membership: Membership,
    last_seq: i64,
    read: Read,
    members: Vec<Member>,
    presence: Vec<UserId>,
    typing: Vec<UserId>,
    messages: Vec<Message>,
    has_older: bool,
    #[serde(with = "crate::time")]
    timestamp: DateTime<Utc>,
}

impl Joined {
    /// Which room it is.
    pub fn room_id(&self) -> RoomId {
        self.room_id
    }
}

/// A member in the list of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Who.
    pub user: User,
    /// The standing.
    pub role: rooms::Role,
    /// Since when.
    #[serde(with = "crate::time")]
    pub joined_at: DateTime<Utc>,
}

/// A page of the rooms that a user is in, newest activity first.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn rooms_of(app: &App, user: &UserId, after: Option<Position>, limit: i64) -> Result<Vec<Overview>> {
    overviews(app, user, rooms::store::seats_of(&app.db, user, after, limit).await?).await
}

/// A page of all public rooms, newest activity first.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn public_rooms(app: &App, user: &UserId, after: Option<Position>, limit: i64) -> Result<Vec<Overview>> {
    overviews(app, user, rooms::store::public_seats(&app.db, user, after, limit).await?).await
}

/// One room.
///
/// # Errors
/// `ROOM_NOT_FOUND`.
pub async fn overview(app: &App, user: &UserId, room: &RoomRef) -> Result<Overview> {
    let seat = rooms::find(app, user, room).await?;
    overviews(app, user, vec![seat]).await?.pop().ok_or(Error::RoomNotFound)
}

async fn overviews(app: &App, user: &UserId, mut seats: Vec<Seat>) -> Result<Vec<Overview>> {
    add_last_messages(&app.db, seats.iter_mut().map(|seat| &mut seat.room)).await?;
    let markers: Vec<_> = seats.iter().filter_map(|seat| Some((seat.room.id, seat.membership.as_ref()?.read_seq))).collect();
    let unread = if markers.is_empty() { Vec::new() } else { store::unread(&app.db, user, &markers).await? };
    let mut unread: HashMap<RoomId, store::Unread> = unread.into_iter().map(|unread| (unread.room, unread)).collect();
    let overview = |Seat { room, membership }| {
        let (messages, mentions) = unread.remove(&room.id).map_or((0, 0), |unread| (unread.messages, unread.mentions));
        Overview {
            read: Read { seq: membership.as_ref().map_or(0, |membership: &Membership| membership.read_seq) },
            unread: messages.min(store::UNREAD_CAP),
            unread_capped: messages > store::UNREAD_CAP,
            mentions,
            can: membership.as_ref().map_or_else(|| vec!["join"], |membership| permissions::can(membership.role, &room)),
            room,
            membership,
        }
    };
    Ok(seats.into_iter().map(overview).collect())
}

/// Everything after `since`, if that is not too much, else the newest messages.
async fn snapshot_messages(app: &App, room: RoomId, since: Option<i64>) -> Result<Page> {
    if let Some(since) = since {
        let page = messages::page(app, room, Anchor::After(since), SINCE_MESSAGES).await?;
        if !page.page.has_newer {
            return Ok(page);
        }
    }
    messages::page(app, room, Anchor::Newest, SNAPSHOT_MESSAGES).await
}

/// What a member is shown on entering.
///
/// # Errors
/// `ROOM_NOT_FOUND`, `NOT_A_MEMBER`.
pub async fn joined(app: &App, user: &UserId, room: &RoomRef, since: Option<i64>) -> Result<Joined> {
    let seat = rooms::find(app, user, room).await?;
    let membership = seat.membership()?.clone();
    let id = seat.room.id;
    let page = snapshot_messages(app, id, since).await?;
    let members = members(app, id, "", SNAPSHOT_MEMBERS).await?;
    let room = with_last_message(&app.db, seat.room).await?;
    Ok(Joined {
        room_id: id,
        user_id: user.clone(),
        is_self: true,
        last_seq: room.last_seq,
        room,
        read: Read { seq: membership.read_seq },
        membership,
        presence: app.presence.online_among(members.iter().map(|member| &member.user.id)),
        members,
        typing: app.typing.in_room(id),
        has_older: page.page.has_older,
        messages: page.messages,
        timestamp: Utc::now(),
    })
}

/// A page of a room's members, by user id, for a room that the caller was found to be in.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn members(app: &App, room: RoomId, after: &str, limit: i64) -> Result<Vec<Member>> {
    let rows = rooms::store::members(&app.db, room, after, limit).await?;
    Ok(rows.into_iter().map(|row| Member { user: row.user, role: row.role, joined_at: row.joined_at }).collect())
}

/// Fills in a room's last message.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn with_last_message(db: impl PgExecutor<'_>, mut room: Room) -> Result<Room> {
    add_last_messages(db, std::iter::once(&mut room)).await?;
    Ok(room)
}

/// Fills in the last messages of rooms.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn add_last_messages<'a>(db: impl PgExecutor<'_>, rooms: impl Iterator<Item = &'a mut Room>) -> Result<()> {
    let mut rooms: Vec<&mut Room> = rooms.collect();
    let places: Vec<(RoomId, i64)> = rooms.iter().filter_map(|room| Some((room.id, room.last_message_seq?))).collect();
    let mut found: HashMap<_, _> = messages::last_of(db, &places).await?.into_iter().collect();
    for room in &mut rooms {
        room.last_message = found.remove(&room.id);
    }
    Ok(())
}

/// The presence of a room's members: each of them in a room that is not too large, else only how many.
///
/// # Errors
/// `ROOM_NOT_FOUND`, `NOT_A_MEMBER`.
pub async fn presence(app: &App, user: &UserId, room: &RoomRef) -> Result<serde_json::Value> {
    let seat = rooms::find(app, user, room).await?;
    seat.membership()?;
    let here: Vec<String> = app.presence.everybody().into_iter().map(|(user, _)| user.as_str().to_owned()).collect();
    let online = rooms::store::members_among(&app.db, seat.room.id, &here).await?;
    let items = if seat.room.member_count <= app.settings.chat.quiet_room_size {
        let members = members(app, seat.room.id, "", i64::from(app.settings.chat.quiet_room_size)).await?;
        let ids: Vec<String> = members.into_iter().map(|member| member.user.id.as_str().to_owned()).collect();
        crate::presence::of(app, &ids).await?
    } else {
        Vec::new()
    };
    Ok(json!({ "items": items, "onlineCount": online.len(), "memberCount": seat.room.member_count }))
}
