//! Messages over Socket.IO: translation only.

use super::{ATTACHMENTS, MENTIONS, Message, NewMessage, draft, journal::Stored};
use crate::{
    config::MAX_CONTENT,
    error::{Error, Result},
    limits::Class,
    realtime::wire::Outbox,
    socket::{Answer, Event, Incoming, Outcome, Reply, ServerEvent},
    specs::schemas::shape,
};
use futures_util::{FutureExt, future::BoxFuture};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// `chat:message`.
pub const MESSAGE: Event = Event {
    name: "chat:message",
    class: Class::Message,
    about: "Says something in a room. It is committed before it is told and answered.",
    payload: shape::<SendMessage>,
    answer: shape::<Message>,
    refusals: &[
        Error::RoomNotFound,
        Error::NotAMember,
        Error::Banned,
        Error::Muted,
        Error::RoomArchived,
        Error::Forbidden(""),
        Error::MessageNotFound,
        Error::IdempotencyMismatch,
    ],
    open: false,
    overtakes: true,
    handler: on_message,
};

/// What members hear.
pub const TOLD: &[ServerEvent] = &[ServerEvent {
    name: "chat:message",
    about: "Something was said. To all sockets of all members of the room, the sender's included.",
    payload: shape::<Message>,
}];

/// What `chat:message` brings.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", example = json!({ "roomId": "general", "content": "Hello", "clientMsgId": "b7e23ec2" }))]
pub struct SendMessage {
    /// The room's id or slug; without it the default room is meant.
    #[schemars(length(min = 1, max = 64))]
    pub room_id: Option<String>,
    /// The text: counted trimmed, stored as sent. How long it may be can be set; `session.ready` says it.
    #[schemars(length(min = 1, max = MAX_CONTENT))]
    pub content: String,
    /// Makes the send repeatable: the same again is stored and told once.
    #[schemars(length(min = 1, max = 64))]
    pub client_msg_id: Option<String>,
    /// `text`, or a word of the frontend's own.
    #[schemars(length(min = 1, max = 32), pattern("^[A-Za-z0-9._-]*$"))]
    pub r#type: Option<String>,
    /// The message that it answers.
    pub reply_to: Option<Uuid>,
    /// The thread that it belongs to: its root, or any reply.
    pub thread_root_id: Option<Uuid>,
    /// The ids of the users that it mentions; who is no member is left out, with a warning.
    #[schemars(length(max = MENTIONS), inner(length(min = 1, max = 128)))]
    pub mentions: Option<Vec<String>>,
    /// Stored as they are.
    #[schemars(length(max = ATTACHMENTS))]
    pub attachments: Option<Vec<Map<String, Value>>>,
    /// The frontend's own.
    pub metadata: Option<Map<String, Value>>,
}

/// `chat:message`.
fn on_message(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let new = NewMessage::read(incoming.fields()?, &incoming.app.settings.chat)?;
        let Incoming { app, connection, .. } = incoming;
        let (draft, warnings) = draft(&app, connection.user()?, new).await?;
        let place = app.journal.reserve(&draft).await?;
        let hand_on = move |reply: Reply| {
            let told = move |stored: Result<Stored>, outbox: &mut Outbox| {
                reply(stored.map(|stored| Answer::encoded(stored.message).warn(warnings)), outbox);
            };
            app.journal.submit(place, draft, Box::new(told));
        };
        Ok(Outcome::Later(Box::new(hand_on)))
    }
    .boxed()
}
