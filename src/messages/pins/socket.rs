//! Pins over Socket.IO: translation only.

use super::{PinMoved, Pinned, pin, read, unpin};
use crate::{
    error::{Error, Result},
    limits::Class,
    socket::{Answer, Event, Incoming, Outcome, ServerEvent},
    specs::schemas::shape,
};
use futures_util::{FutureExt, future::BoxFuture};
use schemars::JsonSchema;
use uuid::Uuid;

/// `chat:message:pin`.
pub const PIN: Event = Event {
    name: "chat:message:pin",
    class: Class::Edit,
    about: "Pins a message. A second time is no change.",
    payload: shape::<PinMessage>,
    answer: shape::<Pinned>,
    refusals: &[
        Error::MessageNotFound,
        Error::NotAMember,
        Error::Banned,
        Error::RoomArchived,
        Error::Forbidden(""),
        Error::Muted,
        Error::Conflict(""),
    ],
    open: false,
    overtakes: false,
    handler: on_pin,
};

/// `chat:message:unpin`.
pub const UNPIN: Event = Event {
    name: "chat:message:unpin",
    class: Class::Edit,
    about: "Takes the pin off a message. Without one it is no change.",
    payload: shape::<PinMessage>,
    answer: shape::<Pinned>,
    refusals: &[Error::MessageNotFound, Error::NotAMember, Error::Banned, Error::RoomArchived, Error::Forbidden(""), Error::Muted],
    open: false,
    overtakes: false,
    handler: on_unpin,
};

/// What members hear.
pub const TOLD: &[ServerEvent] = &[
    ServerEvent { name: "chat:message:pinned", about: "A message was pinned. To the members of the room.", payload: shape::<PinMoved> },
    ServerEvent { name: "chat:message:unpinned", about: "A message is no longer pinned. To the members of the room.", payload: shape::<PinMoved> },
];

/// What `chat:message:pin` and `chat:message:unpin` bring.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct PinMessage {
    /// Which message.
    pub message_id: Uuid,
}

/// `chat:message:pin`.
fn on_pin(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (id, warnings) = read(incoming.fields()?)?;
        let pinned = pin(&incoming.app, &*incoming.user()?, id).await?;
        Ok(Answer::of(&pinned)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:message:unpin`.
fn on_unpin(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (id, warnings) = read(incoming.fields()?)?;
        let unpinned = unpin(&incoming.app, &*incoming.user()?, id).await?;
        Ok(Answer::of(&unpinned)?.warn(warnings).into())
    }
    .boxed()
}
