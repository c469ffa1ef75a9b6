//! Presence over Socket.IO: translation only.

use super::{typing, update, word};
use crate::{
    error::Result,
    payload::Length,
    rooms,
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
