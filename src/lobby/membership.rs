//! Who comes into a room, who goes, and with which role.

use super::{Change, create_on_demand};
use crate::{
    app::App,
    auth::AuthUser,
    error::{Error, Result},
    lobby::snapshots::{self, Joined},
    payload::Fields,
    presence::typing,
    realtime::{Connection, ConnectionId},
    receipts,
    rooms::{
        self, Membership, ROLES, Role, Room, RoomId, RoomRef, RoomType, Seat,
        permissions::Action,
        store::{self as rows, Count},
    },
    users::{self, User, UserId},
};
use chrono::Utc;
use serde_json::json;
use sqlx::PgConnection;

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
    admit(&mut change, user.id()).await?;
    let entered = enter(app, &mut change.tx, &change.seat.room, user.id(), Role::Member).await?;
    let turn = change.commit().await?;
    let joined = welcome(app, id, &user.user, &entered, since).await?;
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

/// Checks that somebody who is not in the room may come in.
async fn admit(change: &mut Change, user: &UserId) -> Result<()> {
    if rows::is_banned(&mut change.tx, change.seat.room.id, user).await? {
        return Err(Error::Banned);
    }
    if change.seat.room.archived_at.is_some() { Err(Error::RoomArchived) } else { Ok(()) }
}

/// A membership that has just begun.
struct Entered {
    membership: Membership,
    count: Count,
    /// Whether the others are told, and so whether it has a number.
    told: bool,
}

async fn enter(app: &App, tx: &mut PgConnection, room: &Room, user: &UserId, role: Role) -> Result<Entered> {
    let told = room.member_count < app.settings.chat.quiet_room_size;
    let count = rows::count(tx, room.id, i64::from(told), 1).await?;
    let membership = rows::put_member(tx, room.id, user, role, if told { count.last_seq } else { 0 }, count.last_seq).await?;
    Ok(Entered { membership, count, told })
}

/// Tells the others first, who then are all but the newcomer, and then the newcomer.
async fn welcome(app: &App, room: RoomId, user: &User, entered: &Entered, since: Option<i64>) -> Result<Joined> {
    if entered.told {
        let told = json!({
            "roomId": room,
            "seq": entered.count.last_seq,
            "userId": user.id,
            "user": user,
            "role": entered.membership.role,
            "memberCount": entered.count.member_count,
            "timestamp": crate::time::format(Utc::now()),
        });
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

/// Leaves a room: the membership ends.
///
/// # Errors
/// `ROOM_NOT_FOUND`, `NOT_A_MEMBER`, `FORBIDDEN` for a direct room.
pub async fn leave(app: &App, user: &AuthUser, room: &RoomRef) -> Result<RoomId> {
    let found = rooms::find(app, user.id(), room).await?;
    let change = Change::begin(app, user.id(), found.room.id).await?;
    change.seat.membership()?;
    if change.seat.room.kind == RoomType::Direct {
        return Err(Error::Forbidden("a direct room cannot be left"));
    }
    end_membership(app, change, user.id(), "left").await?;
    Ok(found.room.id)
}

/// Takes somebody out of a room, or oneself.
///
/// # Errors
/// `FORBIDDEN` for members who are not below the caller, `USER_NOT_FOUND` for those who are not in the room.
pub async fn remove_member(app: &App, caller: &AuthUser, room: &RoomRef, name: &str) -> Result<()> {
    if name == caller.id().as_str() {
        leave(app, caller, room).await?;
        return Ok(());
    }
    let found = rooms::find(app, caller.id(), room).await?;
    let mut change = Change::begin(app, caller.id(), found.room.id).await?;
    let mine = change.seat.require(Action::Remove)?.role;
    let unknown = || Error::UserNotFound(vec![name.chars().take(128).collect()]);
    let user = UserId::parse(name).ok_or_else(unknown)?;
    let theirs = rows::membership(&mut *change.tx, found.room.id, &user).await?.ok_or_else(unknown)?;
    if theirs.role >= mine || change.seat.room.kind == RoomType::Direct {
        return Err(Error::Forbidden("only members below you can be removed"));
    }
    end_membership(app, change, &user, "removed").await
}

async fn end_membership(app: &App, mut change: Change, user: &UserId, reason: &str) -> Result<()> {
    let room = change.seat.room.id;
    let told = change.seat.room.member_count <= app.settings.chat.quiet_room_size;
    let count = rows::count(&mut change.tx, room, i64::from(told), -1).await?;
    rows::end_membership(&mut change.tx, room, user, if told { count.last_seq } else { 0 }).await?;
    // Before the commit: should its answer be lost, nobody who is out may hear on.
    app.realtime.detach(user, room);
    let turn = match change.commit().await {
        Ok(turn) => turn,
        Err(error) => {
            match rows::membership(&app.db, room, user).await {
                Ok(Some(_)) => app.realtime.attach(user, room),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(room.id = %room, user.id = %user, %error, "whether a user is still in a room is not known: they hear nothing of it");
                }
            }
            return Err(error);
        }
    };

    typing::forget(app, room, user);
    receipts::telling::forget(app, room, user);
    let seq = told.then_some(count.last_seq);
    let mut left = json!({
        "roomId": room,
        "userId": user,
        "reason": reason,
        "seq": seq,
        "memberCount": count.member_count,
        "timestamp": crate::time::format(Utc::now()),
    });
    if told {
        app.realtime.tell_room(room, seq, "chat:room:left", &left);
    } else {
        app.quiet_rooms.note(room);
    }
    left["self"] = true.into();
    app.realtime.tell_user(user, "chat:room:left", &left);
    drop(turn);
    tracing::info!(room.id = %room, user.id = %user, reason, "a user left a room");
    Ok(())
}

/// Brings somebody in, or gives a member another role.
///
/// # Errors
/// `FORBIDDEN` without the right to, `USER_NOT_FOUND`, `BANNED` for a user who is banned.
pub async fn put_member(app: &App, caller: &AuthUser, room: &RoomRef, name: &str, fields: Option<Fields>) -> Result<(UserId, Membership)> {
    let role = match fields {
        Some(mut fields) => {
            let role = fields.word("role", &ROLES);
            fields.finish()?;
            role
        }
        None => None,
    };
    let found = rooms::find(app, caller.id(), room).await?;
    found.require(Action::Invite)?;
    let user = users::resolve(app, &[name.to_owned()]).await?.pop().ok_or(Error::NotFound)?;
    let mut change = Change::begin(app, caller.id(), found.room.id).await?;
    let id = found.room.id;
    let present = rows::membership(&mut *change.tx, id, &user).await?;
    check_role(&change.seat, present.as_ref(), role)?;
    match (present, role) {
        (Some(present), Some(role)) if role != present.role => {
            let count = rows::count(&mut change.tx, id, 1, 0).await?;
            let membership = rows::set_role(&mut change.tx, id, &user, role, count.last_seq).await?;
            let turn = change.commit().await?;
            let told = json!({ "roomId": id, "seq": count.last_seq, "userId": user, "membership": membership, "reason": "role", "by": caller.id() });
            app.realtime.tell_room(id, Some(count.last_seq), "chat:room:member", &told);
            drop(turn);
            Ok((user, membership))
        }
        (Some(present), _) => Ok((user, present)),
        (None, role) => {
            admit(&mut change, &user).await?;
            let entered = enter(app, &mut change.tx, &change.seat.room, &user, role.unwrap_or(Role::Member)).await?;
            let profile = users::store::find(&mut *change.tx, &user).await?.ok_or_else(|| Error::UserNotFound(vec![name.to_owned()]))?;
            let turn = change.commit().await?;
            welcome(app, id, &profile, &entered, None).await?;
            drop(turn);
            Ok((user, entered.membership))
        }
    }
}

/// Who may bring in whom, and give whom which role: members bring in members, and from admins on roles below one's
/// own are given to members below oneself.
fn check_role(seat: &Seat, present: Option<&Membership>, role: Option<Role>) -> Result<()> {
    let mine = seat.require(Action::Invite)?.role;
    if seat.room.kind == RoomType::Direct {
        return Err(Error::Forbidden("a direct room has two members"));
    }
    let (before, after) = (present.map_or(Role::Member, |present| present.role), role.unwrap_or(Role::Member));
    let gives_role = role.is_some() && before != after;
    if gives_role && (mine < Action::SetRole.least_role() || before >= mine || after >= mine) {
        return Err(Error::Forbidden("you may only give roles below your own, to members below you"));
    }
    Ok(())
}
