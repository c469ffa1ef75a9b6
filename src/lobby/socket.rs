//! Rooms over Socket.IO: translation only.

use super::{
    NewRoom, RoomChange, create,
    membership::{join, leave, put_member},
    moderation::{ban, kick, mute, read_reason, read_until, unban},
    roles::set_role,
    update,
};
use crate::{
    app::App,
    auth::AuthUser,
    error::{Error, Result},
    payload::{Fields, Length},
    rooms::{ROLES, RoomRef},
    socket::{Answer, Incoming, Outcome},
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use std::sync::Arc;

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

/// `chat:room:update`.
pub fn on_update(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let mut fields = incoming.fields()?;
        let name = fields.required_text("roomId", ROOM_NAME);
        let mut change = RoomChange::read(fields)?;
        let warnings = std::mem::take(&mut change.warnings);
        let room = update(&incoming.app, &*incoming.user()?, &RoomRef::parse(&name)?, change).await?;
        Ok(Answer::of(&room)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:room:invite`.
pub fn on_invite(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (Upon { app, caller, room, user }, role, warnings) = Upon::read(incoming, |fields| fields.word("role", &ROLES))?;
        Ok(Answer::of(&put_member(&app, &caller, &room, &user, role).await?)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:room:kick`.
pub fn on_kick(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (Upon { app, caller, room, user }, reason, warnings) = Upon::read(incoming, read_reason)?;
        Ok(Answer::of(&kick(&app, &caller, &room, &user, reason.as_deref()).await?)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:room:ban`.
pub fn on_ban(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (Upon { app, caller, room, user }, reason, warnings) = Upon::read(incoming, read_reason)?;
        Ok(Answer::of(&ban(&app, &caller, &room, &user, reason.as_deref()).await?)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:room:unban`.
pub fn on_unban(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (Upon { app, caller, room, user }, (), warnings) = Upon::read(incoming, |_| ())?;
        Ok(Answer::of(&unban(&app, &caller, &room, &user).await?)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:room:mute`.
pub fn on_mute(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (Upon { app, caller, room, user }, until, warnings) = Upon::read(incoming, read_until)?;
        Ok(Answer::of(&mute(&app, &caller, &room, &user, until).await?)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:room:role`.
pub fn on_role(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (Upon { app, caller, room, user }, role, warnings) = Upon::read(incoming, |fields| fields.word("role", &ROLES))?;
        let role = role.ok_or_else(|| Error::field("role", "required", "This field is required."))?;
        let standing = set_role(&app, &caller, &room, &user, role).await?;
        Ok(Answer::of(&standing)?.warn(warnings).into())
    }
    .boxed()
}

/// What all events have in which one user does something to another: `{roomId, userId, …}`.
struct Upon {
    app: App,
    caller: Arc<AuthUser>,
    room: RoomRef,
    user: String,
}

impl Upon {
    /// Reads it, and what else an event has; the texts are warnings.
    fn read<T>(mut incoming: Incoming, rest: impl FnOnce(&mut Fields) -> T) -> Result<(Self, T, Vec<String>)> {
        let mut fields = incoming.fields()?;
        let (room, user) = (fields.required_text("roomId", ROOM_NAME), fields.required_text("userId", USER_NAME));
        let rest = rest(&mut fields);
        let warnings = fields.finish()?;
        let (caller, room) = (incoming.user()?, RoomRef::parse(&room)?);
        Ok((Self { app: incoming.app, caller, room, user }, rest, warnings))
    }
}

/// How long a user's id or name may be.
const USER_NAME: Length = Length::new(1, 128);
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
