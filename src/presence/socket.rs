//! Presence over Socket.IO: translation only.

use super::{
    subscriptions::{self, subscribe},
    typing, update, word,
};
use crate::{
    error::Result,
    payload::Length,
    rooms::{self, RoomRef},
    socket::{Answer, Incoming, Outcome},
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::json;

/// `status:update`.
pub fn on_update(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let mut fields = incoming.fields()?;
        let is_online = fields.required_flag("isOnline");
        let warnings = fields.finish()?;
        let user = incoming.user()?;
        update(&incoming.app, &incoming.connection, user.id(), is_online);
        Ok(Answer::of(&json!({ "status": word(is_online) }))?.warn(warnings).into())
    }
    .boxed()
}

/// `status:subscribe`.
pub fn on_subscribe(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
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
pub fn on_typing(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let mut fields = incoming.fields()?;
        let room = fields.text("roomId", Length::new(1, 64));
        let is_typing = fields.required_flag("isTyping");
        let warnings = fields.finish()?;
        let room = rooms::named_or_default(&incoming.app, room.as_deref())?;
        let user = incoming.user()?;
        typing::update(&incoming.app, &incoming.connection, &user, room, is_typing).await?;
        Ok(Answer::of(&json!({}))?.warn(warnings).into())
    }
    .boxed()
}
