//! Pins: the messages that a room keeps at hand.

pub mod http;
pub mod socket;
pub mod store;

use super::{Message, MessageId, changes::MessageChange, reactions::with_own};
use crate::{
    app::App,
    auth::AuthUser,
    error::{Error, Result},
    payload::Fields,
    rooms::{self, RoomId, RoomRef, permissions::Action},
    users::UserId,
};
use schemars::JsonSchema;
use serde::Serialize;
use store::Position;
use uuid::Uuid;

/// Most pins of a room.
pub const PINS: i64 = 100;

/// Reads `{messageId}`; says also what the caller should know though it worked.
///
/// # Errors
/// `VALIDATION_ERROR` with every fault.
pub fn read(mut fields: Fields) -> Result<(Uuid, Vec<String>)> {
    let id = fields.required_uuid("messageId");
    Ok((id, fields.finish()?))
}

/// What pinning or unpinning came to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Pinned {
    /// Whether it was otherwise before.
    pub changed: bool,
    /// The number of the change; `null` when there was none.
    pub seq: Option<i64>,
}

/// `chat:message:pinned` and `chat:message:unpinned`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PinMoved<'a> {
    /// Which message.
    message_id: MessageId,
    /// Where.
    room_id: RoomId,
    /// The number of the change.
    seq: i64,
    /// The number that the message was born with.
    message_seq: i64,
    /// By whom.
    by: &'a UserId,
}

/// Pins a message. A second time is no change.
///
/// # Errors
/// Those of [`MessageChange::begin_aloud`]; `CONFLICT` when the room has as many pins as it may.
pub async fn pin(app: &App, caller: &AuthUser, id: Uuid) -> Result<Pinned> {
    let mut change = MessageChange::begin_aloud(app, caller, id).await?;
    change.room.seat.require(Action::Pin)?;
    if change.message.pinned_at.is_some() {
        change.abandon().await?;
        return Ok(Pinned { changed: false, seq: None });
    }
    let room = change.room_id();
    if store::count(&mut *change.room.tx, room).await? >= PINS {
        return Err(Error::Conflict("The room has 100 pinned messages, and no room for more."));
    }
    set(app, change, caller, "chat:message:pinned").await
}

/// Takes the pin off a message. A message without one is no change.
///
/// # Errors
/// Those of [`MessageChange::begin_aloud`].
pub async fn unpin(app: &App, caller: &AuthUser, id: Uuid) -> Result<Pinned> {
    let change = MessageChange::begin_aloud(app, caller, id).await?;
    change.room.seat.require(Action::Pin)?;
    if change.message.pinned_at.is_none() {
        change.abandon().await?;
        return Ok(Pinned { changed: false, seq: None });
    }
    set(app, change, caller, "chat:message:unpinned").await
}

/// Turns a message from pinned to not pinned, or the other way.
async fn set(app: &App, mut change: MessageChange, caller: &AuthUser, event: &'static str) -> Result<Pinned> {
    let pinned_by = change.message.pinned_at.is_none().then_some(caller.id());
    let (id, seq) = (change.message.id, change.take_seq().await?);
    store::set(&mut change.room.tx, id, pinned_by, seq).await?;
    let told = PinMoved { message_id: id, room_id: change.room_id(), seq, message_seq: change.message.seq, by: caller.id() };
    change.finish(app, seq, event, &told).await?;
    Ok(Pinned { changed: true, seq: Some(seq) })
}

/// A page of the pinned messages of a room, the last pinned first, for one of its members.
///
/// # Errors
/// `ROOM_NOT_FOUND`, `NOT_A_MEMBER`.
pub async fn list(app: &App, asker: &UserId, room: &RoomRef, after: Option<Position>, limit: i64) -> Result<Vec<Message>> {
    let seat = rooms::find(app, asker, room).await?;
    seat.membership()?;
    with_own(&app.db, asker, store::list(&app.db, seat.room.id, after, limit).await?).await
}
