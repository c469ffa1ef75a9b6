//! Receipts: how far each member has read a room, and how far what was said there has reached them.
//!
//! A member has two pairs of markers, *read* and *delivered*: their own, which their devices share, and what others may know. A
//! public mark moves both on, a private one only the member's own, and [`mark_unread`] sets their own read marker back. What
//! others know never goes back. Markers take no number of the room and never wait for its messages, nor messages for them.
//!
//! What is unread is derived from the own read marker, here and nowhere else ([`unread_of_each`]): messages after it that are
//! neither the member's own nor deleted.

pub mod http;
pub mod socket;
pub mod store;
pub mod telling;

use crate::{
    app::App,
    auth::AuthUser,
    error::{Error, Result},
    extract::Page,
    payload::{Fields, Length},
    realtime::ConnectionId,
    rooms::{self, Membership, RoomId, RoomRef, turns::Turns},
    time::Time,
    users::UserId,
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::PgExecutor;
use store::{Advance, Marker, Moved, Reader, UNREAD_CAP};
use telling::{News, Tellings};

/// What is under way with markers.
#[derive(Default)]
pub struct Receipts {
    /// Keeps what a member's devices hear of the member's markers in a room in the order in which they moved.
    turns: Turns<(RoomId, UserId)>,
    tellings: Tellings,
}

/// A member's own markers, as shown with a room.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ReadMarkers")]
pub struct Read {
    /// Everything up to here was read.
    pub seq: i64,
    /// Everything up to here has reached a device.
    pub delivered_seq: i64,
}

impl Read {
    /// The markers of somebody who may be no member.
    pub fn of(membership: Option<&Membership>) -> Self {
        membership.map_or(Self { seq: 0, delivered_seq: 0 }, |membership| Self { seq: membership.read_seq, delivered_seq: membership.delivered_seq })
    }
}

/// What a member has not read.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unread {
    /// Messages after the read marker that are neither the member's own nor deleted, up to 1,000.
    #[serde(rename = "unread")]
    pub messages: i64,
    /// Whether there are, or may be, more than that: only the 10,000 numbers after the marker are looked into.
    #[serde(rename = "unreadCapped", skip_serializing_if = "std::ops::Not::not")]
    pub is_capped: bool,
    /// How many of them mention the member.
    pub mentions: i64,
}

/// What is unread after markers, in their order.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn unread_of_each(db: impl PgExecutor<'_>, markers: &[Marker<'_>]) -> Result<Vec<Unread>> {
    let mut unread = vec![Unread::default(); markers.len()];
    if markers.is_empty() {
        return Ok(unread);
    }
    for row in store::unread(db, markers).await? {
        if let Some(unread) = usize::try_from(row.place - 1).ok().and_then(|place| unread.get_mut(place)) {
            let is_capped = row.messages > UNREAD_CAP || row.is_cut;
            *unread = Unread { messages: row.messages.min(UNREAD_CAP), is_capped, mentions: row.mentions };
        }
    }
    Ok(unread)
}

/// What a client has read or received, checked for form.
#[derive(Debug)]
pub struct Mark {
    room: RoomRef,
    read: Option<i64>,
    delivered: Option<i64>,
    is_public: bool,
    /// What the caller should know though it worked.
    pub warnings: Vec<String>,
}

impl Mark {
    /// Reads `{roomId, seq?, deliveredSeq?, visibility?: public|private}`, one of the two numbers being needed.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with every fault; `ROOM_NOT_FOUND` for what cannot be the name of any room.
    pub fn read(mut fields: Fields) -> Result<Self> {
        let room = fields.required_text("roomId", Length::new(1, 64));
        let has_number = fields.is_given("seq") || fields.is_given("deliveredSeq");
        let (read, delivered) = (fields.seq("seq"), fields.seq("deliveredSeq"));
        if !has_number {
            fields.fault("seq", "required", "This field or deliveredSeq is required.");
        }
        let is_public = fields.word("visibility", &[("public", true), ("private", false)]).unwrap_or(true);
        let warnings = fields.finish()?;
        Ok(Self { room: RoomRef::parse(&room)?, read, delivered, is_public, warnings })
    }
}

/// Where a member's own markers are now, and what is unread after them.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Marked {
    /// Where.
    room_id: RoomId,
    /// Everything up to here was read.
    read_seq: i64,
    /// Everything up to here has reached a device.
    delivered_seq: i64,
    #[serde(flatten)]
    unread: Unread,
}

/// Notes what a member has read or received. Markers only move on: a lower number is a success that changes nothing. What was
/// read was also delivered.
///
/// # Errors
/// `ROOM_NOT_FOUND`, `NOT_A_MEMBER`; `VALIDATION_ERROR` beyond the room's last number, which nobody can have heard of.
pub async fn mark(app: &App, user: &AuthUser, from: Option<ConnectionId>, mark: &Mark) -> Result<Marked> {
    let room = id_of(app, user.id(), &mark.room).await?;
    let _turn = app.receipts.turns.take((room, user.id().clone()), app.patience()).await?;
    let to = Advance { read: mark.read, delivered: mark.delivered, is_public: mark.is_public };
    if let Some(moved) = store::advance(&app.db, room, user.id(), &to).await? {
        return told(app, user.id(), from, room, &moved).await;
    }
    unmoved(app, user.id(), room, [("seq", mark.read), ("deliveredSeq", mark.delivered)]).await
}

/// Makes a message and all after it unread again. Only the member's own marker is set, wherever it was; others never learn of it.
///
/// # Errors
/// `ROOM_NOT_FOUND`, `NOT_A_MEMBER`; `VALIDATION_ERROR` beyond the room's last number.
pub async fn mark_unread(app: &App, user: &AuthUser, from: Option<ConnectionId>, room: &RoomRef, seq: i64) -> Result<Marked> {
    let room = id_of(app, user.id(), room).await?;
    let _turn = app.receipts.turns.take((room, user.id().clone()), app.patience()).await?;
    if let Some(moved) = store::set(&app.db, room, user.id(), seq - 1).await? {
        return told(app, user.id(), from, room, &moved).await;
    }
    unmoved(app, user.id(), room, [("seq", Some(seq)), ("seq", None)]).await
}

async fn id_of(app: &App, user: &UserId, room: &RoomRef) -> Result<RoomId> {
    match room {
        RoomRef::Id(id) => Ok(*id),
        slug @ RoomRef::Slug(_) => Ok(rooms::find(app, user, slug).await?.room.id),
    }
}

/// `chat:read`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MarkersMoved<'a> {
    /// Where.
    room_id: RoomId,
    /// Whose markers.
    user_id: &'a UserId,
    /// Everything up to here was read.
    read_seq: i64,
    /// Everything up to here has reached a device.
    delivered_seq: i64,
    /// For the member's own devices. Missing when it could not be counted: the marker has moved all the same.
    #[serde(flatten)]
    unread: Option<Unread>,
    /// When they moved.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    at: DateTime<Utc>,
}

/// Tells the member's other devices at once, and lets the room know.
async fn told(app: &App, user_id: &UserId, from: Option<ConnectionId>, room_id: RoomId, moved: &Moved) -> Result<Marked> {
    if moved.is_public && moved.member_count <= app.settings.chat.quiet_room_size {
        telling::note(app, room_id, user_id, News { read_seq: moved.public_read_seq, delivered_seq: moved.public_delivered_seq, at: moved.at });
    }
    let Moved { read_seq, delivered_seq, at, .. } = *moved;
    let marked = marked(app, user_id, room_id, (read_seq, delivered_seq), moved.last_message_seq).await;
    if moved.is_own {
        let unread = marked.as_ref().ok().map(|marked| marked.unread);
        app.realtime.tell_other_devices(user_id, from, "chat:read", &MarkersMoved { room_id, user_id, read_seq, delivered_seq, unread, at });
    }
    marked
}

/// Says why nothing moved: because the markers are there or further already, or because they may not.
async fn unmoved(app: &App, user: &UserId, room: RoomId, asked: [(&'static str, Option<i64>); 2]) -> Result<Marked> {
    let seat = rooms::find(app, user, &RoomRef::Id(room)).await?;
    let read = Read::of(Some(seat.membership()?));
    if let Some((field, _)) = asked.iter().find(|(_, seq)| seq.is_some_and(|seq| seq > seat.room.last_seq)) {
        return Err(Error::field(field, "range", format!("The last number in this room is {}.", seat.room.last_seq)));
    }
    marked(app, user, room, (read.seq, read.delivered_seq), seat.room.last_message_seq).await
}

async fn marked(app: &App, user: &UserId, room: RoomId, (read_seq, delivered_seq): (i64, i64), last: Option<i64>) -> Result<Marked> {
    // Most marks are those of somebody who has read everything.
    let marker = last.is_some_and(|last| read_seq < last).then_some(Marker { user, room, seq: read_seq });
    let unread = unread_of_each(&app.db, marker.as_slice()).await?.pop().unwrap_or_default();
    Ok(Marked { room_id: room, read_seq, delivered_seq, unread })
}

/// Somebody who has read a message, as others may know it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Who.
    user_id: UserId,
    /// How far they have read.
    read_seq: i64,
    /// Since when.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    read_at: Option<DateTime<Utc>>,
}

impl From<Reader> for Receipt {
    fn from(Reader { user_id, read_seq, read_at }: Reader) -> Self {
        Self { user_id, read_seq, read_at }
    }
}

/// Who has read a message.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReadBy {
    #[serde(flatten)]
    page: Page<Receipt>,
    /// How many have read the message and let others know.
    read_count: i64,
    /// How many it has reached.
    delivered_count: i64,
    /// How many members the room has.
    member_count: i32,
}

/// A page of the members who have read a message and let others know, by user id, and how many they are. Reads the rows of all
/// members of the room, about a millisecond for a thousand of them.
///
/// # Errors
/// `ROOM_NOT_FOUND`, `NOT_A_MEMBER`, `MESSAGE_NOT_FOUND`.
pub async fn read_by(app: &App, asker: &UserId, room: &RoomRef, seq: i64, after: &str, limit: i64) -> Result<ReadBy> {
    let seat = rooms::find(app, asker, room).await?;
    seat.membership()?;
    if !store::is_message(&app.db, seat.room.id, seq).await? {
        return Err(Error::MessageNotFound);
    }
    let readers = store::readers(&app.db, seat.room.id, seq, after, limit).await?;
    let counts = store::counts(&app.db, seat.room.id, seq).await?;
    let page = Page::new("receipts", readers.into_iter().map(Receipt::from).collect(), limit, |last: &Receipt| last.user_id.as_str().to_owned());
    Ok(ReadBy { page, read_count: counts.read, delivered_count: counts.delivered, member_count: seat.room.member_count })
}
