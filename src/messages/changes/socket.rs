//! Edits and deletion over Socket.IO: translation only.

use super::{
    Edit, Edited, MessageEdited,
    deletion::{Deleted, Deletion, MessagesDeleted, delete},
    edit,
};
use crate::{
    config::MAX_CONTENT,
    error::{Error, Result},
    limits::Class,
    messages::MENTIONS,
    socket::{Answer, Event, Incoming, Outcome, ServerEvent},
    specs::schemas::shape,
};
use futures_util::{FutureExt, future::BoxFuture};
use schemars::JsonSchema;
use uuid::Uuid;

/// `chat:message:edit`.
pub const EDIT: Event = Event {
    name: "chat:message:edit",
    class: Class::Edit,
    about: "Says something else in place of what one said. To say the same again is no change.",
    payload: shape::<EditMessage>,
    answer: shape::<Edited>,
    refusals: &[
        Error::MessageNotFound,
        Error::NotAMember,
        Error::Banned,
        Error::RoomArchived,
        Error::Forbidden(""),
        Error::Muted,
        Error::Conflict(""),
        Error::EditWindowClosed,
    ],
    open: false,
    overtakes: false,
    handler: on_edit,
};

/// `chat:message:delete`.
pub const DELETE: Event = Event {
    name: "chat:message:delete",
    class: Class::Edit,
    about: "Deletes a message, one's own or as a moderator. A stub without content stays.",
    payload: shape::<DeleteMessage>,
    answer: shape::<Deleted>,
    refusals: &[Error::MessageNotFound, Error::NotAMember, Error::Banned, Error::RoomArchived, Error::Forbidden("")],
    open: false,
    overtakes: false,
    handler: on_delete,
};

/// What members hear.
pub const TOLD: &[ServerEvent] = &[
    ServerEvent { name: "chat:message:edited", about: "A message says something else. To the members of the room.", payload: shape::<MessageEdited> },
    ServerEvent { name: "chat:message:deleted", about: "Messages were deleted. To the members of the room.", payload: shape::<MessagesDeleted> },
];

/// What `chat:message:edit` brings.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct EditMessage {
    /// Which message.
    pub message_id: Uuid,
    /// What it says from now on.
    #[schemars(length(min = 1, max = MAX_CONTENT))]
    pub content: String,
    /// The ids of the users that it mentions from now on; without it they stay.
    #[schemars(length(max = MENTIONS), inner(length(min = 1, max = 128)))]
    pub mentions: Option<Vec<String>>,
    /// The `rev` that the message must have: otherwise `CONFLICT`.
    #[schemars(range(min = 0))]
    pub expected_rev: Option<i64>,
}

/// What `chat:message:delete` brings.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct DeleteMessage {
    /// Which message.
    pub message_id: Uuid,
    /// Why, for all to read.
    #[schemars(length(max = 500))]
    pub reason: Option<String>,
}

/// `chat:message:edit`.
fn on_edit(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let new = Edit::read(incoming.fields()?, incoming.app.settings.chat.max_content)?;
        let (edited, warnings) = edit(&incoming.app, &*incoming.user()?, new).await?;
        Ok(Answer::of(&edited)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:message:delete`.
fn on_delete(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let mut deletion = Deletion::read(incoming.fields()?)?;
        let warnings = std::mem::take(&mut deletion.warnings);
        let deleted = delete(&incoming.app, &*incoming.user()?, deletion).await?;
        Ok(Answer::of(&deleted)?.warn(warnings).into())
    }
    .boxed()
}
