//! Reactions over Socket.IO: translation only.

use super::{Reacted, ReactionMoved, add, read, remove};
use crate::{
    error::{Error, Result},
    limits::Class,
    socket::{Answer, Event, Incoming, Outcome, ServerEvent},
    specs::schemas::shape,
};
use futures_util::{FutureExt, future::BoxFuture};
use schemars::JsonSchema;
use uuid::Uuid;

/// `chat:reaction:add`.
pub const ADD: Event = Event {
    name: "chat:reaction:add",
    class: Class::Reaction,
    about: "Reacts to a message. A second time is no change.",
    payload: shape::<React>,
    answer: shape::<Reacted>,
    refusals: &[Error::MessageNotFound, Error::NotAMember, Error::Banned, Error::RoomArchived, Error::Forbidden(""), Error::Muted],
    open: false,
    overtakes: false,
    handler: on_add,
};

/// `chat:reaction:remove`.
pub const REMOVE: Event = Event {
    name: "chat:reaction:remove",
    class: Class::Reaction,
    about: "Takes a reaction back. One that is not there is no change.",
    payload: shape::<React>,
    answer: shape::<Reacted>,
    refusals: &[Error::MessageNotFound, Error::NotAMember, Error::Banned, Error::RoomArchived, Error::Forbidden(""), Error::Muted],
    open: false,
    overtakes: false,
    handler: on_remove,
};

/// What members hear.
pub const TOLD: &[ServerEvent] = &[
    ServerEvent { name: "chat:reaction:added", about: "Somebody reacted. To the members of the room.", payload: shape::<ReactionMoved> },
    ServerEvent {
        name: "chat:reaction:removed",
        about: "Somebody took a reaction back. To the members of the room.",
        payload: shape::<ReactionMoved>,
    },
];

/// What `chat:reaction:add` and `chat:reaction:remove` bring.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct React {
    /// To which message.
    pub message_id: Uuid,
    /// An emoji or a `:shortcode:` of up to 64 bytes, without spaces and control characters.
    #[schemars(length(min = 1, max = 64))]
    pub emoji: String,
}

/// `chat:reaction:add`.
fn on_add(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (id, emoji, warnings) = read(incoming.fields()?)?;
        let reacted = add(&incoming.app, &*incoming.user()?, id, &emoji).await?;
        Ok(Answer::of(&reacted)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:reaction:remove`.
fn on_remove(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (id, emoji, warnings) = read(incoming.fields()?)?;
        let reacted = remove(&incoming.app, &*incoming.user()?, id, &emoji).await?;
        Ok(Answer::of(&reacted)?.warn(warnings).into())
    }
    .boxed()
}
