//! Rooms over Socket.IO: translation only.

use super::{
    NewRoom, RoomChange, RoomCreated, RoomUpdated, create,
    membership::{MemberLeft, join, leave, put_member},
    moderation::{ban, kick, mute, read_reason, read_until, unban},
    payloads::{CreateRoom, Invite, JoinRoom, LeaveRoom, Left, Mute, Named, Remove, RoomJoined, SetRole, Unban, UpdateRoom},
    roles::{MemberChanged, set_role},
    snapshots::View,
    update,
};
use crate::{
    app::App,
    auth::AuthUser,
    error::{Error, Result},
    limits::Class,
    payload::{Fields, Length},
    rooms::{ROLES, Room, RoomRef, members::Standing},
    socket::{Answer, Event, Incoming, Outcome, ServerEvent},
    specs::schemas::shape,
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use std::sync::Arc;

/// `chat:room:create`.
pub const CREATE: Event = Event {
    name: "chat:room:create",
    class: Class::Create,
    about: "Makes a room, with its maker and participants in it at once.",
    payload: shape::<CreateRoom>,
    answer: shape::<Room>,
    refusals: &[Error::UserNotFound(Vec::new()), Error::Conflict(""), Error::IdempotencyMismatch],
    open: false,
    overtakes: false,
    handler: on_create,
};

/// `chat:room:join`.
pub const JOIN: Event = Event {
    name: "chat:room:join",
    class: Class::Join,
    about: "Enters a public room, or a room that one is in already: that is silent, and answers the same snapshot.",
    payload: shape::<Named<JoinRoom>>,
    answer: shape::<View>,
    refusals: &[Error::RoomNotFound, Error::Banned, Error::RoomArchived],
    open: false,
    overtakes: false,
    handler: on_join,
};

/// `chat:room:leave`.
pub const LEAVE: Event = Event {
    name: "chat:room:leave",
    class: Class::Join,
    about: "Leaves a room: the membership ends.",
    payload: shape::<Named<LeaveRoom>>,
    answer: shape::<Left>,
    refusals: &[Error::RoomNotFound, Error::NotAMember, Error::Banned, Error::Forbidden("")],
    open: false,
    overtakes: false,
    handler: on_leave,
};

/// `chat:room:update`.
pub const UPDATE: Event = Event {
    name: "chat:room:update",
    class: Class::Join,
    about: "Renames a room, changes what it is about, archives it or opens it again, makes its members wait between messages.",
    payload: shape::<UpdateRoom>,
    answer: shape::<Room>,
    refusals: &[Error::RoomNotFound, Error::NotAMember, Error::Banned, Error::Forbidden("")],
    open: false,
    overtakes: false,
    handler: on_update,
};

/// `chat:room:invite`.
pub const INVITE: Event = Event {
    name: "chat:room:invite",
    class: Class::Join,
    about: "Brings somebody in, or gives a member another role.",
    payload: shape::<Invite>,
    answer: shape::<Standing>,
    refusals: &[Error::RoomNotFound, Error::NotAMember, Error::Banned, Error::Forbidden(""), Error::UserNotFound(Vec::new()), Error::RoomArchived],
    open: false,
    overtakes: false,
    handler: on_invite,
};

/// `chat:room:kick`.
pub const KICK: Event = Event {
    name: "chat:room:kick",
    class: Class::Join,
    about: "Takes a member out of a room.",
    payload: shape::<Remove>,
    answer: shape::<Standing>,
    refusals: &[Error::RoomNotFound, Error::NotAMember, Error::Banned, Error::Forbidden(""), Error::UserNotFound(Vec::new())],
    open: false,
    overtakes: false,
    handler: on_kick,
};

/// `chat:room:ban`.
pub const BAN: Event = Event {
    name: "chat:room:ban",
    class: Class::Join,
    about: "Keeps somebody out of a room, a member or anybody else, until the ban is lifted.",
    payload: shape::<Remove>,
    answer: shape::<Standing>,
    refusals: &[Error::RoomNotFound, Error::NotAMember, Error::Banned, Error::Forbidden(""), Error::UserNotFound(Vec::new())],
    open: false,
    overtakes: false,
    handler: on_ban,
};

/// `chat:room:unban`.
pub const UNBAN: Event = Event {
    name: "chat:room:unban",
    class: Class::Join,
    about: "Lifts a ban. Its user may come in again, and is not in.",
    payload: shape::<Unban>,
    answer: shape::<Standing>,
    refusals: &[Error::RoomNotFound, Error::NotAMember, Error::Banned, Error::Forbidden(""), Error::UserNotFound(Vec::new())],
    open: false,
    overtakes: false,
    handler: on_unban,
};

/// `chat:room:mute`.
pub const MUTE: Event = Event {
    name: "chat:room:mute",
    class: Class::Join,
    about: "Silences a member until a time, or no longer.",
    payload: shape::<Mute>,
    answer: shape::<Standing>,
    refusals: &[Error::RoomNotFound, Error::NotAMember, Error::Banned, Error::Forbidden(""), Error::UserNotFound(Vec::new())],
    open: false,
    overtakes: false,
    handler: on_mute,
};

/// `chat:room:role`.
pub const ROLE: Event = Event {
    name: "chat:room:role",
    class: Class::Join,
    about: "Gives a member another role; that of the owner passes the room on.",
    payload: shape::<SetRole>,
    answer: shape::<Standing>,
    refusals: &[Error::RoomNotFound, Error::NotAMember, Error::Banned, Error::Forbidden(""), Error::UserNotFound(Vec::new())],
    open: false,
    overtakes: false,
    handler: on_role,
};

/// What members hear.
pub const TOLD: &[ServerEvent] = &[
    ServerEvent {
        name: "chat:room:created",
        about: "A room was made. To all sockets of its maker and of every participant.",
        payload: shape::<RoomCreated>,
    },
    ServerEvent {
        name: "chat:room:joined",
        about: "Somebody entered a room: a snapshot to who did, a note to the other members if the membership is new.",
        payload: shape::<RoomJoined>,
    },
    ServerEvent {
        name: "chat:room:left",
        about: "A membership ended. To the members and, with `self`, to all sockets of who is out.",
        payload: shape::<MemberLeft>,
    },
    ServerEvent {
        name: "chat:room:updated",
        about: "A room changed. To its members. In rooms of more than 200 also its new size, at most every 5 s.",
        payload: shape::<RoomUpdated>,
    },
    ServerEvent {
        name: "chat:room:member",
        about: "Somebody's standing changed: a role, a mute, a ban of an outsider. To the members.",
        payload: shape::<MemberChanged>,
    },
];

/// `chat:room:create`.
fn on_create(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
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
fn on_join(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
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
fn on_leave(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let Incoming { app, connection, payload } = incoming;
        let mut fields = room_fields(payload)?;
        let name = fields.required_text("roomId", ROOM_NAME);
        let warnings = fields.finish()?;
        let id = leave(&app, &*connection.user()?, &RoomRef::parse(&name)?).await?;
        Ok(Answer::of(&Left { room_id: id })?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:room:update`.
fn on_update(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
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
fn on_invite(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (Upon { app, caller, room, user }, role, warnings) = Upon::read(incoming, |fields| fields.word("role", &ROLES))?;
        Ok(Answer::of(&put_member(&app, &caller, &room, &user, role).await?)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:room:kick`.
fn on_kick(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (Upon { app, caller, room, user }, reason, warnings) = Upon::read(incoming, read_reason)?;
        Ok(Answer::of(&kick(&app, &caller, &room, &user, reason.as_deref()).await?)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:room:ban`.
fn on_ban(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (Upon { app, caller, room, user }, reason, warnings) = Upon::read(incoming, read_reason)?;
        Ok(Answer::of(&ban(&app, &caller, &room, &user, reason.as_deref()).await?)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:room:unban`.
fn on_unban(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (Upon { app, caller, room, user }, (), warnings) = Upon::read(incoming, |_| ())?;
        Ok(Answer::of(&unban(&app, &caller, &room, &user).await?)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:room:mute`.
fn on_mute(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (Upon { app, caller, room, user }, until, warnings) = Upon::read(incoming, read_until)?;
        Ok(Answer::of(&mute(&app, &caller, &room, &user, until).await?)?.warn(warnings).into())
    }
    .boxed()
}

/// `chat:room:role`.
fn on_role(incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let (Upon { app, caller, room, user }, role, warnings) = Upon::read(incoming, |fields| fields.required_word("role", &ROLES))?;
        let role = role.ok_or_else(|| Error::internal("a role that was read is missing"))?;
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
