//! Presence over Socket.IO: translation only.

use super::{
    Status,
    subscriptions::{self, Subscribed, subscribe},
    typing::{self, TypingStatus},
    update, visibility, word,
};
use crate::{
    error::{Error, Result},
    limits::Class,
    payload::Length,
    rooms::{self, RoomRef},
    socket::{Answer, Dropped, Event, Incoming, Outcome, ServerEvent},
    specs::schemas::{Nothing, shape},
};
use futures_util::{FutureExt, future::BoxFuture};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// `status:update`.
pub const UPDATE: Event = Event {
    name: "status:update",
    class: Class::Presence,
    about: "Shows or hides this socket: a user is online while one of their sockets is shown. Or makes the user invisible, on all devices.",
    payload: shape::<UpdateStatus>,
    answer: shape::<Updated>,
    refusals: &[],
    open: false,
    overtakes: false,
    handler: on_update,
};

/// `status:subscribe`.
pub const SUBSCRIBE: Event = Event {
    name: "status:subscribe",
    class: Class::Any,
    about: "Tells this socket from now on when these users come and go, though no room be shared, and answers who is here now.",
    payload: shape::<Subscribe>,
    answer: shape::<Subscribed>,
    refusals: &[Error::UserNotFound(Vec::new()), Error::RoomNotFound, Error::NotAMember, Error::Banned],
    open: false,
    overtakes: false,
    handler: on_subscribe,
};

/// `status:typing`.
pub const TYPING: Event = Event {
    name: "status:typing",
    class: Class::Typing,
    about: "Tells the other members of a room that one is typing. It ends by itself after 7 s, or with a message.",
    payload: shape::<Typing>,
    answer: shape::<Typed>,
    refusals: &[Error::RoomNotFound, Error::NotAMember, Error::Banned],
    open: false,
    overtakes: true,
    handler: on_typing,
};

/// What members hear.
pub const TOLD: &[ServerEvent] = &[
    ServerEvent {
        name: "status:online",
        about: "Somebody came. To who shares a room of up to 200 members, or subscribed.",
        payload: shape::<Status>,
    },
    ServerEvent {
        name: "status:offline",
        about: "Somebody went. To who shares a room of up to 200 members, or subscribed.",
        payload: shape::<Status>,
    },
    ServerEvent {
        name: "status:typing",
        about: "Somebody is typing, or no longer is. To the other members of the room; the first to be left out under load.",
        payload: shape::<TypingStatus>,
    },
];

/// What `status:update` brings: one of the two, or both.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", example = json!({ "isOnline": true }))]
pub struct UpdateStatus {
    /// Whether this socket counts.
    pub is_online: Option<bool>,
    /// Whether one looks offline to others, whatever one's sockets say, until one says otherwise.
    pub invisible: Option<bool>,
}

/// What `status:update` comes to.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "StatusUpdated")]
pub enum Updated {
    /// It counts.
    Done {
        /// What this socket makes its user for others: `online` or `offline`.
        #[schemars(extend("enum" = ["online", "offline"]))]
        status: &'static str,
        /// Whether one looks offline to others.
        invisible: bool,
    },
    /// There were too many.
    Dropped(Dropped),
}

/// What `status:typing` comes to.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Typed {
    /// The others are told.
    Done(Nothing),
    /// There were too many.
    Dropped(Dropped),
}

/// What `status:subscribe` brings: one of the two lists, or both.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Subscribe {
    /// Ids of users.
    #[schemars(length(max = subscriptions::USERS), inner(length(min = 1, max = 128)))]
    pub user_ids: Option<Vec<String>>,
    /// Ids or slugs of rooms that one is in.
    #[schemars(length(max = subscriptions::ROOMS), inner(length(min = 1, max = 64)))]
    pub room_ids: Option<Vec<String>>,
}

/// What `status:typing` brings.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Typing {
    /// The room's id or slug; without it the default room is meant.
    #[schemars(length(min = 1, max = 64))]
    pub room_id: Option<String>,
    /// Whether one types.
    pub is_typing: bool,
}

/// `status:update`.
fn on_update(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let mut fields = incoming.fields()?;
        if !fields.is_given("isOnline") && !fields.is_given("invisible") {
            fields.fault("isOnline", "required", "This field or invisible is required.");
        }
        let (is_online, invisible) = (fields.flag("isOnline"), fields.flag("invisible"));
        let warnings = fields.finish()?;
        let user = incoming.user()?;
        let Incoming { app, connection, .. } = &incoming;
        // Who becomes invisible is hidden before anything else is shown.
        if invisible == Some(true) {
            visibility::set(app, user.id(), true).await?;
        }
        if let Some(is_online) = is_online {
            update(app, connection, user.id(), is_online);
        }
        if invisible == Some(false) {
            visibility::set(app, user.id(), false).await?;
        }
        let done = Updated::Done { status: word(connection.is_shown()), invisible: connection.is_invisible() };
        Ok(Answer::of(&done)?.warn(warnings).into())
    }
    .boxed()
}

/// `status:subscribe`.
fn on_subscribe(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let mut fields = incoming.fields()?;
        if !fields.is_given("userIds") && !fields.is_given("roomIds") {
            fields.fault("userIds", "required", "This field or roomIds is required.");
        }
        let users = fields.texts("userIds", subscriptions::USERS, Length::new(1, 128));
        let rooms = fields.texts("roomIds", subscriptions::ROOMS, Length::new(1, 64));
        let warnings = fields.finish()?;
        let rooms: Vec<RoomRef> = rooms.iter().map(|room| RoomRef::parse(room)).collect::<Result<_>>()?;
        let user = incoming.user()?;
        let subscribed = subscribe(&incoming.app, &incoming.connection, user.id(), &users, &rooms).await?;
        Ok(Answer::of(&subscribed)?.warn(warnings).into())
    }
    .boxed()
}

/// `status:typing`.
fn on_typing(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let mut fields = incoming.fields()?;
        let room = fields.text("roomId", Length::new(1, 64));
        let is_typing = fields.required_flag("isTyping");
        let warnings = fields.finish()?;
        let room = rooms::named_or_default(&incoming.app, room.as_deref())?;
        let user = incoming.user()?;
        typing::update(&incoming.app, &incoming.connection, &user, room, is_typing).await?;
        Ok(Answer::of(&Typed::Done(Nothing {}))?.warn(warnings).into())
    }
    .boxed()
}
