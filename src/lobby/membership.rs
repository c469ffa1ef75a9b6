//! Who comes into a room, and who goes. What members do with one another there is in [`moderation`](super::moderation).
//!
//! A coming or going is one act under one number: a new membership is told as `chat:room:joined`, its end as
//! `chat:room:left`, each once to everybody in the room and to whom it concerns.

use super::{Change, create_on_demand, roles};
use crate::{
    app::App,
    auth::AuthUser,
    error::{Error, Result},
    lobby::snapshots::{self, Joined},
    presence::typing,
    realtime::{Connection, ConnectionId},
    receipts,
    rooms::{
        self, Role, Room, RoomId, RoomRef, RoomType,
        members::{Standing, store as members},
        permissions::Action,
        store::{self as rows, Count},
        turns::Turn,
    },
    time::Time,
    users::{self, User, UserId},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

/// Enters a room. Entering again is silent and answers the same snapshot. Over a socket the snapshot is also told to
/// that connection; a new membership is told to all connections of the user, and to the other members. With `since` the
/// snapshot has the messages after that number, if they are few enough.
///
/// # Errors
/// `ROOM_NOT_FOUND`, also for private rooms; `BANNED`, `ROOM_ARCHIVED`.
pub async fn join(app: &App, user: &AuthUser, room: &RoomRef, from: Option<ConnectionId>, since: Option<i64>) -> Result<Joined> {
    let connection = from.and_then(|id| app.realtime.connection(id));
    if let Some(connection) = &connection
        && let Some(joined) = join_again(app, user, room, connection, since).await?
    {
        return Ok(joined);
    }
    let seat = match (rooms::find(app, user.id(), room).await, room) {
        (Err(Error::RoomNotFound), RoomRef::Slug(slug)) if app.settings.chat.auto_create_rooms => create_on_demand(app, user, slug).await?,
        (found, _) => found?,
    };
    let mut change = Change::begin(app, user.id(), seat.room.id).await?;
    let id = change.seat.room.id;
    if change.seat.membership.is_some() {
        // Attached already, unless the answer to an earlier join was lost together with the database.
        app.realtime.attach(user.id(), id);
        // Who holds a connection and waits for another one would make everybody wait once the pool is empty.
        let turn = change.abandon().await?;
        let joined = snapshots::joined(app, user.id(), &RoomRef::Id(id), since).await?;
        if let Some(connection) = connection {
            connection.emit("chat:room:joined", &joined);
        }
        drop(turn);
        return Ok(joined);
    }
    let former = members::standing(&mut *change.tx, id, user.id()).await?;
    let role = role_at_the_door(app, &change.seat.room, former.as_ref())?;
    let entered = enter(app, &mut change, user.id(), role).await?;
    let turn = change.commit().await?;
    let joined = welcome(app, id, &user.user, &entered, user.id(), since).await?;
    drop(turn);
    Ok(joined)
}

/// Shows a room to a connection that hears it already, as after every reconnect: nothing changes, so nobody else has to wait
/// for it. What happens in the room while the snapshot is read follows the snapshot.
async fn join_again(app: &App, user: &AuthUser, room: &RoomRef, connection: &Connection, since: Option<i64>) -> Result<Option<Joined>> {
    let Some(held) = connection.hold() else { return Ok(None) };
    let joined = match snapshots::joined(app, user.id(), room, since).await {
        Err(Error::RoomNotFound | Error::NotAMember) => return Ok(None),
        joined => joined?,
    };
    // What is in the snapshot and was not told yet is told, and waits, before the turn comes: it would be heard twice.
    let _turn = app.turns.take(joined.room_id, app.patience()).await?;
    let told = connection.hears(joined.room_id) && held.release_after("chat:room:joined", &joined, (joined.room_id, joined.last_seq));
    Ok(told.then_some(joined))
}

/// Which role somebody has who comes into a room, if none is given: a member's. Who was a guest comes back as one, for else
/// leaving would make a member of a guest; who comes into a room that everybody has left owns it, but for the default room,
/// which nobody owns by chance.
///
/// # Errors
/// `BANNED`, `ROOM_ARCHIVED`.
fn role_at_the_door(app: &App, room: &Room, former: Option<&Standing>) -> Result<Role> {
    if former.is_some_and(Standing::is_banned) {
        return Err(Error::Banned);
    }
    if room.archived_at.is_some() {
        return Err(Error::RoomArchived);
    }
    let was_guest = former.is_some_and(|former| former.role == Role::Guest);
    let is_deserted = room.member_count == 0 && room.id != app.default_room;
    Ok(if is_deserted {
        Role::Owner
    } else if was_guest {
        Role::Guest
    } else {
        Role::Member
    })
}

/// A membership that has just begun.
struct Entered {
    standing: Standing,
    count: Count,
    /// Whether the others are told, and so whether it has a number.
    told: bool,
}

async fn enter(app: &App, change: &mut Change, user: &UserId, role: Role) -> Result<Entered> {
    let room = &change.seat.room;
    let told = room.member_count < app.settings.chat.quiet_room_size;
    let count = rows::count(&mut change.tx, room.id, i64::from(told), 1).await?;
    let standing = members::put(&mut change.tx, room.id, user, role, if told { count.last_seq } else { 0 }, count.last_seq).await?;
    Ok(Entered { standing, count, told })
}

/// `chat:room:joined` as the other members hear it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberJoined<'a> {
    /// Where.
    room_id: RoomId,
    /// The number of the change.
    seq: i64,
    /// Who came.
    user_id: &'a UserId,
    /// The same, to be shown.
    user: &'a User,
    /// In which role.
    role: Role,
    /// Who brought them in, or themselves.
    by: &'a UserId,
    /// How many members the room has now.
    member_count: i32,
    /// When.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    timestamp: DateTime<Utc>,
}

/// Tells the others first, who then are all but the newcomer, and then the newcomer.
async fn welcome(app: &App, room: RoomId, user: &User, entered: &Entered, by: &UserId, since: Option<i64>) -> Result<Joined> {
    if entered.told {
        let told = MemberJoined {
            room_id: room,
            seq: entered.count.last_seq,
            user_id: &user.id,
            user,
            role: entered.standing.role,
            by,
            member_count: entered.count.member_count,
            timestamp: Utc::now(),
        };
        app.realtime.tell_room(room, Some(entered.count.last_seq), "chat:room:joined", &told);
    } else {
        app.quiet_rooms.note(room);
    }
    app.realtime.attach(&user.id, room);
    let joined = snapshots::joined(app, &user.id, &RoomRef::Id(room), since).await?;
    app.realtime.tell_user(&user.id, "chat:room:joined", &joined);
    tracing::info!(room.id = %room, user.id = %user.id, members = entered.count.member_count, "a user joined a room");
    Ok(joined)
}

/// Leaves a room: the membership ends. What an owner leaves falls to the next in rank.
///
/// # Errors
/// `ROOM_NOT_FOUND`, `NOT_A_MEMBER`, `FORBIDDEN` for a direct room.
pub async fn leave(app: &App, user: &AuthUser, room: &RoomRef) -> Result<RoomId> {
    let found = rooms::find(app, user.id(), room).await?;
    let change = Change::begin(app, user.id(), found.room.id).await?;
    let role = change.seat.membership()?.role;
    if change.seat.room.kind == RoomType::Direct {
        return Err(Error::Forbidden("a direct room cannot be left"));
    }
    end(app, change, user.id(), role, Ending::Left).await?;
    Ok(found.room.id)
}

/// Ends the membership of somebody whose account was erased, if they are in the room; here also in a direct one.
///
/// # Errors
/// `UNAVAILABLE` without the database, or if the room's turn does not come in time.
pub async fn end_for_good(app: &App, user: &UserId, room: RoomId) -> Result<()> {
    let change = match Change::begin(app, user, room).await {
        Err(Error::RoomNotFound) => return Ok(()),
        change => change?,
    };
    match &change.seat.membership {
        Some(membership) => {
            let role = membership.role;
            end(app, change, user, role, Ending::Left).await.map(drop)
        }
        None => change.abandon().await.map(drop),
    }
}

/// Why somebody is in a room no longer.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "EndOfMembership")]
pub enum End {
    /// They left.
    Left,
    /// Somebody took them out.
    Removed,
    /// Somebody banned them.
    Banned,
    /// The room is gone.
    RoomDeleted,
}

/// `chat:room:left`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberLeft<'a> {
    /// Where.
    pub(super) room_id: RoomId,
    /// Who; `null` when the room is gone.
    pub(super) user_id: Option<&'a UserId>,
    /// Whether it is the one who hears it.
    #[serde(rename = "self", skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_self: bool,
    /// Why.
    pub(super) reason: End,
    /// By whom; missing when the room is gone, and when it happened at another server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<&'a UserId>,
    /// The reason that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<&'a str>,
    /// The number of the change; `null` in large rooms, where it is told to the leaver only, and when it happened at another server.
    pub(super) seq: Option<i64>,
    /// How many members the room has now.
    pub(super) member_count: i32,
    /// When.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub(super) timestamp: DateTime<Utc>,
}

/// How a membership ends.
#[derive(Clone, Copy)]
pub(super) enum Ending<'a> {
    /// By the member.
    Left,
    /// By somebody above, for a reason that may be given.
    Removed { by: &'a UserId, note: Option<&'a str> },
    /// Likewise, and for good.
    Banned { by: &'a UserId, note: Option<&'a str> },
}

impl Ending<'_> {
    fn reason(self) -> End {
        match self {
            Self::Left => End::Left,
            Self::Removed { .. } => End::Removed,
            Self::Banned { .. } => End::Banned,
        }
    }
}

/// Ends the membership of somebody who has this role, and tells everybody who is left, and then the leaver.
pub(super) async fn end(app: &App, mut change: Change, user: &UserId, role: Role, ending: Ending<'_>) -> Result<Standing> {
    let room = change.seat.room.id;
    let told = change.seat.room.member_count <= app.settings.chat.quiet_room_size;
    let heir = if role == Role::Owner { roles::heir(app, &mut change, user, false).await? } else { None };
    let count = rows::count(&mut change.tx, room, i64::from(told) + i64::from(heir.is_some()), -1).await?;
    let seq = told.then_some(count.last_seq - i64::from(heir.is_some()));
    let changed_seq = seq.unwrap_or_default();
    let ended = match ending {
        Ending::Left | Ending::Removed { .. } => members::end(&mut change.tx, room, user, changed_seq).await?,
        Ending::Banned { by, note } => members::ban(&mut change.tx, room, user, by, note, changed_seq).await?,
    };
    let owner = match heir {
        Some(heir) => Some(members::set_role(&mut change.tx, room, &heir, Role::Owner, count.last_seq).await?),
        None => None,
    };
    let turn = commit_without(app, change, user).await?;
    typing::forget(app, room, user);
    receipts::telling::forget(app, room, user);
    tell_end(app, room, user, seq, count.member_count, ending);
    if let Some(owner) = owner {
        roles::tell(app, room, count.last_seq, &owner, "owner", None, None);
    }
    drop(turn);
    tracing::info!(room.id = %room, user.id = %user, reason = ?ending.reason(), "a user left a room");
    Ok(ended)
}

/// Commits a change after which somebody is out. They hear nothing more of the room even before the commit: should its answer
/// be lost, nobody who is out may hear on. And again after it, for a connection that came in meanwhile, and was still found to be in.
async fn commit_without(app: &App, change: Change, user: &UserId) -> Result<Turn> {
    let room = change.seat.room.id;
    app.realtime.detach(user, room);
    let committed = change.commit().await;
    app.realtime.detach(user, room);
    if committed.is_err() {
        match members::standing(&app.db, room, user).await {
            Ok(Some(standing)) if standing.is_joined() => app.realtime.attach(user, room),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(room.id = %room, user.id = %user, %error, "whether a user is still in a room is not known: they hear nothing of it");
            }
        }
    }
    committed
}

fn tell_end(app: &App, room: RoomId, user: &UserId, seq: Option<i64>, member_count: i32, ending: Ending<'_>) {
    let (by, note) = match ending {
        Ending::Left => (user, None),
        Ending::Removed { by, note } | Ending::Banned { by, note } => (by, note),
    };
    let left = MemberLeft {
        room_id: room,
        user_id: Some(user),
        is_self: false,
        reason: ending.reason(),
        by: Some(by),
        note,
        seq,
        member_count,
        timestamp: Utc::now(),
    };
    if seq.is_some() {
        app.realtime.tell_room(room, seq, "chat:room:left", &left);
    } else {
        app.quiet_rooms.note(room);
    }
    app.realtime.tell_user(user, "chat:room:left", &MemberLeft { is_self: true, ..left });
}

/// Brings somebody in, or gives a member another role. Members bring in members; who gives a role must be allowed to, and
/// stand above it.
///
/// # Errors
/// `FORBIDDEN` without the right to, `USER_NOT_FOUND`, `BANNED` for a user who is banned.
pub async fn put_member(app: &App, caller: &AuthUser, room: &RoomRef, name: &str, role: Option<Role>) -> Result<Standing> {
    let found = rooms::find(app, caller.id(), room).await?;
    found.require(Action::Invite)?;
    let user = users::resolve(app, &[name.to_owned()]).await?.pop().ok_or(Error::NotFound)?;
    let mut change = Change::begin(app, caller.id(), found.room.id).await?;
    let mine = change.seat.require(Action::Invite)?.role;
    if change.seat.room.kind == RoomType::Direct {
        return Err(Error::Forbidden("a direct room has two members"));
    }
    let id = found.room.id;
    let standing = members::standing(&mut *change.tx, id, &user).await?;
    if let Some(present) = standing.as_ref().filter(|standing| standing.is_joined()) {
        return match role {
            Some(role) if role != present.role => roles::give(app, caller, change, present, role).await,
            _ => Ok(present.clone()),
        };
    }
    let usual = role_at_the_door(app, &change.seat.room, standing.as_ref())?;
    let role = role.unwrap_or(usual);
    if role != usual && (mine < Action::SetRole.least_role() || role >= mine) {
        return Err(Error::Forbidden("you may only give roles below your own"));
    }
    let entered = enter(app, &mut change, &user, role).await?;
    let profile = users::store::find(&mut *change.tx, &user).await?.ok_or_else(|| Error::UserNotFound(vec![name.to_owned()]))?;
    let turn = change.commit().await?;
    welcome(app, id, &profile, &entered, caller.id(), None).await?;
    drop(turn);
    Ok(entered.standing)
}
