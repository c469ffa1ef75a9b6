//! Rooms over Socket.IO: translation only.

use super::{
    NewRoom, create,
    membership::{join, leave},
};
use crate::{
    error::{Error, Result},
    payload::{Fields, Length},
    rooms::RoomRef,
    socket::{Answer, Incoming, Outcome},
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};

/// `chat:room:create`.
pub fn on_create(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let most = incoming.app.settings.chat.max_participants as usize;
        let mut new = NewRoom::read(incoming.fields()?, most)?;
        let warnings = std::mem::take(&mut new.warnings);
        let (room, _) = create(&incoming.app, &*incoming.user()?, new).await?;
        Ok(Answer::of(&room)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:room:join`.
pub fn on_join(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let Incoming { app, connection, payload } = incoming;
        let mut fields = room_fields(payload)?;
        let (name, since) = (fields.required_text("roomId", ROOM_NAME), fields.seq("since"));
        let warnings = fields.finish()?;
        let joined = join(&app, &*connection.user()?, &RoomRef::parse(&name)?, Some(connection.id), since).await?;
        Ok(Answer::of(&joined)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:room:leave`.
pub fn on_leave(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let Incoming { app, connection, payload } = incoming;
        let mut fields = room_fields(payload)?;
        let name = fields.required_text("roomId", ROOM_NAME);
        let warnings = fields.finish()?;
        let id = leave(&app, &*connection.user()?, &RoomRef::parse(&name)?).await?;
        Ok(Answer::of(&json!({ "roomId": id }))?.warn(warnings).into())
    }
    .boxed()
}

/// How long the name of a room may be: an id or a slug.
const ROOM_NAME: Length = Length::new(1, 64);

/// Reads `"room"` or `{roomId, …}`: the seed's clients send the bare name.
fn room_fields(payload: Value) -> Result<Fields> {
    match payload {
        Value::String(name) => Fields::of(json!({ "roomId": name })),
        object @ Value::Object(_) => Fields::of(object),
        _ => Err(Error::PayloadInvalid("a room's id or slug, or {roomId}, is expected".into())),
    }
}
