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
        let (room, warnings) = named_room(payload, &["since"])?;
        let joined = join(&app, &*connection.user()?, &room, Some(connection.id)).await?;
        Ok(Answer::of(&joined)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:room:leave`.
pub fn on_leave(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let Incoming { app, connection, payload } = incoming;
        let (room, warnings) = named_room(payload, &[])?;
        let id = leave(&app, &*connection.user()?, &room).await?;
        Ok(Answer::of(&json!({ "roomId": id }))?.warn(warnings).into())
    }
    .boxed()
}

/// Reads `"room"` or `{roomId}`: the seed's clients send the bare name.
fn named_room(payload: Value, also: &[&'static str]) -> Result<(RoomRef, Vec<String>)> {
    let payload = match payload {
        Value::String(name) => json!({ "roomId": name }),
        object @ Value::Object(_) => object,
        _ => return Err(Error::PayloadInvalid("a room's id or slug, or {roomId}, is expected".into())),
    };
    let mut fields = Fields::of(payload)?;
    let name = fields.required_text("roomId", Length::new(1, 64));
    for name in also {
        fields.take(name);
    }
    let warnings = fields.finish()?;
    Ok((RoomRef::parse(&name)?, warnings))
}
