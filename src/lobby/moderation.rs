//! Keeping order in a room: members are removed, banned and silenced by those who stand above them.
//!
//! Nobody acts upon an equal, upon somebody above, or upon themselves. An act has one number and is told once: the end of a
//! membership as `chat:room:left`, everything else as `chat:room:member`. Doing again what is done changes nothing, and
//! is told to nobody.

use super::{
    Change,
    membership::{Ending, end},
    roles::tell,
};
use crate::{
    app::App,
    auth::AuthUser,
    error::{Error, Result},
    payload::{Fields, Length},
    rooms::{
        self, RoomId, RoomRef, RoomType,
        members::{Ban, Standing, store as members},
        permissions::Action,
        store as rows,
    },
    users::{self, UserId},
};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// How long a reason may be.
pub(super) const REASON: Length = Length::new(1, 250);
/// The last time that RFC 3339 can write, in milliseconds: a mute until then is one for good.
const FOR_GOOD_MS: i64 = 253_402_300_799_999;

/// Reads the reason of a removal or a ban, which may be missing.
pub fn read_reason(fields: &mut Fields) -> Option<String> {
    fields.name("reason", REASON)
}

/// Reads how long a mute lasts: `until`, a time, or `durationMs`. `null` or 0 ends it.
pub fn read_until(fields: &mut Fields) -> Option<DateTime<Utc>> {
    let now = Utc::now();
    match (fields.has("until"), fields.has("durationMs")) {
        (true, false) => {
            let until = fields.time("until")?;
            if until <= now {
                fields.fault("until", "range", "A time to come is expected, or null.");
            }
            Some(for_good().map_or(until, |last| until.min(last)).trunc_subsecs(3))
        }
        (false, true) => {
            let duration = TimeDelta::milliseconds(fields.seq("durationMs").filter(|ms| *ms > 0)?.min(FOR_GOOD_MS));
            let until = now.checked_add_signed(duration).map(|until| until.trunc_subsecs(3));
            for_good().map(|last| until.map_or(last, |until| until.min(last)))
        }
        (false, false) => {
            fields.fault("until", "required", "A time, or durationMs, is required; null ends the mute.");
            None
        }
        (true, true) => {
            fields.fault("durationMs", "invalid", "Either until or durationMs is expected, not both.");
            None
        }
    }
}

fn for_good() -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(FOR_GOOD_MS)
}

/// Takes a member out of a room.
///
/// # Errors
/// `FORBIDDEN` for oneself and for members who are not below the caller, `USER_NOT_FOUND` for those who are not in the room.
pub async fn kick(app: &App, caller: &AuthUser, room: &RoomRef, name: &str, reason: Option<&str>) -> Result<Standing> {
    let (change, member) = begin_upon_member(app, caller, room, Action::Remove, name).await?;
    end(app, change, &member.user_id, member.role, Ending::Removed { by: caller.id(), note: reason }).await
}

/// Keeps somebody out of a room, a member or anybody else, until the ban is lifted.
///
/// # Errors
/// `FORBIDDEN` for oneself and for members who are not below the caller, `USER_NOT_FOUND`.
pub async fn ban(app: &App, caller: &AuthUser, room: &RoomRef, name: &str, reason: Option<&str>) -> Result<Standing> {
    let id = permitted(app, caller, room, Action::Ban).await?;
    let user = users::resolve(app, &[name.to_owned()]).await?.pop().ok_or(Error::NotFound)?;
    let (mut change, standing) = begin_upon(app, caller, id, Action::Ban, &user).await?;
    match standing {
        Some(standing) if standing.is_banned() => Ok(standing),
        Some(member) if member.is_joined() => end(app, change, &user, member.role, Ending::Banned { by: caller.id(), note: reason }).await,
        _ => {
            let seq = rows::count(&mut change.tx, id, 1, 0).await?.last_seq;
            let standing = members::ban(&mut change.tx, id, &user, caller.id(), reason, seq).await?;
            commit(app, caller, change, seq, &standing, "banned").await?;
            Ok(standing)
        }
    }
}

/// Lifts a ban. Its user may come in again, and is not in.
///
/// # Errors
/// `FORBIDDEN`, `USER_NOT_FOUND` for who never was in the room nor banned from it.
pub async fn unban(app: &App, caller: &AuthUser, room: &RoomRef, name: &str) -> Result<Standing> {
    let id = permitted(app, caller, room, Action::Ban).await?;
    let user = parse(name)?;
    let (mut change, standing) = begin_upon(app, caller, id, Action::Ban, &user).await?;
    let standing = standing.ok_or_else(|| unknown(name))?;
    if !standing.is_banned() {
        return Ok(standing);
    }
    let seq = rows::count(&mut change.tx, id, 1, 0).await?.last_seq;
    let standing = members::unban(&mut change.tx, id, &user, seq).await?;
    commit(app, caller, change, seq, &standing, "unbanned").await?;
    Ok(standing)
}

/// A page of a room's bans, by user id.
///
/// # Errors
/// `ROOM_NOT_FOUND`, `NOT_A_MEMBER`, `FORBIDDEN`.
pub async fn bans(app: &App, caller: &AuthUser, room: &RoomRef, after: &str, limit: i64) -> Result<Vec<Ban>> {
    let id = permitted(app, caller, room, Action::Ban).await?;
    members::bans(&app.db, id, after, limit).await
}

/// Silences a member until a time, or no longer.
///
/// # Errors
/// `FORBIDDEN` for oneself and for members who are not below the caller, `USER_NOT_FOUND` for those who are not in the room.
pub async fn mute(app: &App, caller: &AuthUser, room: &RoomRef, name: &str, until: Option<DateTime<Utc>>) -> Result<Standing> {
    let (mut change, member) = begin_upon_member(app, caller, room, Action::Mute, name).await?;
    let is_done = if until.is_some() { member.muted_until == until } else { !member.is_muted() };
    if is_done {
        return Ok(member);
    }
    let id = change.seat.room.id;
    let seq = rows::count(&mut change.tx, id, 1, 0).await?.last_seq;
    let standing = members::mute(&mut change.tx, id, &member.user_id, until, seq).await?;
    commit(app, caller, change, seq, &standing, if until.is_some() { "muted" } else { "unmuted" }).await?;
    Ok(standing)
}

/// Commits an act, and tells it.
async fn commit(app: &App, caller: &AuthUser, change: Change, seq: i64, standing: &Standing, reason: &'static str) -> Result<()> {
    let room = change.seat.room.id;
    let turn = change.commit().await?;
    tell(app, room, seq, standing, reason, Some(caller.id()), None);
    drop(turn);
    tracing::info!(room.id = %room, user.id = %standing.user_id, by = %caller.id(), reason, "a moderator acted");
    Ok(())
}

/// The room, if the caller may do this there: asked before anybody waits for its turn, and again when it has come.
async fn permitted(app: &App, caller: &AuthUser, room: &RoomRef, action: Action) -> Result<RoomId> {
    let found = rooms::find(app, caller.id(), room).await?;
    found.require(action)?;
    Ok(found.room.id)
}

/// Begins an act upon a member of a room.
pub(super) async fn begin_upon_member(app: &App, caller: &AuthUser, room: &RoomRef, action: Action, name: &str) -> Result<(Change, Standing)> {
    let id = permitted(app, caller, room, action).await?;
    let (change, standing) = begin_upon(app, caller, id, action, &parse(name)?).await?;
    let member = standing.filter(Standing::is_joined).ok_or_else(|| unknown(name))?;
    Ok((change, member))
}

/// Begins an act upon somebody who, if they are in the room, stands below the caller.
async fn begin_upon(app: &App, caller: &AuthUser, room: RoomId, action: Action, user: &UserId) -> Result<(Change, Option<Standing>)> {
    if user == caller.id() {
        return Err(Error::Forbidden("nobody does this to themselves"));
    }
    let mut change = Change::begin(app, caller.id(), room).await?;
    let mine = change.seat.require(action)?.role;
    if change.seat.room.kind == RoomType::Direct {
        return Err(Error::Forbidden("a direct room has two members, neither above the other"));
    }
    let standing = members::standing(&mut *change.tx, room, user).await?;
    if standing.as_ref().is_some_and(|standing| standing.is_joined() && standing.role >= mine) {
        return Err(Error::Forbidden("this is only done to members below you"));
    }
    Ok((change, standing))
}

fn parse(name: &str) -> Result<UserId> {
    UserId::parse(name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Error {
    Error::UserNotFound(vec![name.chars().take(128).collect()])
}
