//! Receipts over Socket.IO: translation only.

use super::{Mark, Marked, MarkersMoved, mark, mark_unread};
use crate::{
    error::{Error, Result},
    limits::Class,
    payload::Length,
    rooms::RoomRef,
    socket::{Answer, Event, Incoming, Outcome, ServerEvent},
    specs::schemas::shape,
};
use futures_util::{FutureExt, future::BoxFuture};
use schemars::JsonSchema;

/// `chat:read`.
pub const READ: Event = Event {
    name: "chat:read",
    class: Class::Read,
    about: "Says how far one has read a room, or how far its messages have arrived. Markers only move on.",
    payload: shape::<MarkRead>,
    answer: shape::<Marked>,
    refusals: &[Error::RoomNotFound, Error::NotAMember, Error::Banned],
    open: false,
    overtakes: false,
    handler: on_read,
};

/// `chat:unread:mark`.
pub const UNREAD: Event = Event {
    name: "chat:unread:mark",
    class: Class::Read,
    about: "Makes a message and all after it unread for oneself; what others know stays.",
    payload: shape::<MarkUnread>,
    answer: shape::<Marked>,
    refusals: &[Error::RoomNotFound, Error::NotAMember, Error::Banned],
    open: false,
    overtakes: false,
    handler: on_unread,
};

/// What members hear.
pub const TOLD: &[ServerEvent] = &[ServerEvent {
    name: "chat:read",
    about: "Somebody's markers moved. To the member's other sockets at once, with what is unread; to the other members at most once a second.",
    payload: shape::<MarkersMoved>,
}];

/// What `chat:read` brings: one of the two numbers, or both.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct MarkRead {
    /// The room's id or slug.
    #[schemars(length(min = 1, max = 64))]
    pub room_id: String,
    /// Everything up to this number was read.
    #[schemars(range(min = 0))]
    pub seq: Option<i64>,
    /// Everything up to this number has reached this device.
    #[schemars(range(min = 0))]
    pub delivered_seq: Option<i64>,
    /// Whether others may know: `public` unless said otherwise.
    pub visibility: Option<Visibility>,
}

/// Who may know how far one has read.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Visibility {
    /// All members.
    Public,
    /// Oneself.
    Private,
}

/// What `chat:unread:mark` brings.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct MarkUnread {
    /// The room's id or slug.
    #[schemars(length(min = 1, max = 64))]
    pub room_id: String,
    /// The number of the first message that is unread again.
    #[schemars(range(min = 1))]
    pub seq: i64,
}

/// `chat:read`.
fn on_read(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let mut read = Mark::read(incoming.fields()?)?;
        let warnings = std::mem::take(&mut read.warnings);
        let Incoming { app, connection, .. } = incoming;
        let marked = mark(&app, &*connection.user()?, Some(connection.id), &read).await?;
        Ok(Answer::of(&marked)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:unread:mark`.
fn on_unread(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let mut fields = incoming.fields()?;
        let (room, seq) = (fields.required_text("roomId", Length::new(1, 64)), fields.required_seq("seq", 1));
        let warnings = fields.finish()?;
        let Incoming { app, connection, .. } = incoming;
        let marked = mark_unread(&app, &*connection.user()?, Some(connection.id), &RoomRef::parse(&room)?, seq).await?;
        Ok(Answer::of(&marked)?.warn(warnings).into())
    }
    .boxed()
}
