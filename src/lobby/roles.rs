//! Roles: who gives which, and who owns a room.
//!
//! A room that has an owner keeps exactly one: ownership passes on in the transaction in which it ends, by the owner's
//! hand, when the owner leaves, or when the owner is deactivated. The default room is made without an owner; one that an
//! operator gives it passes it on by hand only.

use super::{Change, moderation};
use crate::{
    app::App,
    auth::AuthUser,
    error::{Error, Result},
    rooms::{
        Role, RoomId, RoomRef,
        members::{Standing, store as members},
        permissions::Action,
        store as rows,
    },
    time::{Time, every},
    users::{self, UserId},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// How often deactivated owners are looked for.
const DEACTIVATED_EVERY: Duration = Duration::from_secs(1);
/// How far back one looks for them, after the first look: much longer than a look and what it finds may take.
const LATELY: Duration = Duration::from_mins(1);
/// How far back the first look goes.
const EVER: Duration = Duration::from_hours(24 * 365 * 1_000);

/// Gives a member another role. The role of the owner is given by the owner, who then is an admin.
///
/// # Errors
/// `FORBIDDEN` for roles, and members, that are not below the caller; `USER_NOT_FOUND` for who is no member.
pub async fn set_role(app: &App, caller: &AuthUser, room: &RoomRef, name: &str, role: Role) -> Result<Standing> {
    let (change, member) = moderation::begin_upon_member(app, caller, room, Action::SetRole, name).await?;
    give(app, caller, change, &member, role).await
}

/// Gives a member another role, within a change that the caller has begun.
pub(super) async fn give(app: &App, caller: &AuthUser, mut change: Change, member: &Standing, role: Role) -> Result<Standing> {
    let (room, mine) = (change.seat.room.id, change.seat.require(Action::SetRole)?.role);
    if role == Role::Owner && mine == Role::Owner && member.role < mine {
        return transfer(app, caller, change, member).await;
    }
    if member.role >= mine || role >= mine {
        return Err(Error::Forbidden("you may only give roles below your own, to members below you"));
    }
    if role == member.role {
        return Ok(member.clone());
    }
    let seq = rows::count(&mut change.tx, room, 1, 0).await?.last_seq;
    let standing = members::set_role(&mut change.tx, room, &member.user_id, role, seq).await?;
    let turn = change.commit().await?;
    tell(app, room, seq, &standing, "role", Some(caller.id()), None);
    drop(turn);
    Ok(standing)
}

/// Makes another member the owner: one act under one number, in which the old owner becomes an admin.
async fn transfer(app: &App, caller: &AuthUser, mut change: Change, member: &Standing) -> Result<Standing> {
    change.seat.require(Action::Transfer)?;
    if !users::store::is_active(&mut change.tx, &member.user_id).await? {
        return Err(Error::Forbidden("a deactivated user cannot own a room"));
    }
    pass_on(app, change, caller.id(), &member.user_id, Some(caller.id())).await
}

/// Makes the owner an admin and another member the owner. In this order, for a room never has two.
async fn pass_on(app: &App, mut change: Change, owner: &UserId, heir: &UserId, by: Option<&UserId>) -> Result<Standing> {
    let room = change.seat.room.id;
    let seq = rows::count(&mut change.tx, room, 1, 0).await?.last_seq;
    let former = members::set_role(&mut change.tx, room, owner, Role::Admin, seq).await?;
    let standing = members::set_role(&mut change.tx, room, heir, Role::Owner, seq).await?;
    let turn = change.commit().await?;
    tell(app, room, seq, &standing, "owner", by, Some(&former));
    drop(turn);
    tracing::info!(room.id = %room, user.id = %heir, "a room has another owner");
    Ok(standing)
}

/// Who owns a room after this owner.
pub(super) async fn heir(app: &App, change: &mut Change, owner: &UserId, must_be_active: bool) -> Result<Option<UserId>> {
    let room = change.seat.room.id;
    if room == app.default_room { Ok(None) } else { members::heir(&mut change.tx, room, owner, must_be_active).await }
}

/// Passes on what deactivated owners own, for as long as the server runs.
pub async fn watch(app: App) {
    let mut ticks = every(DEACTIVATED_EVERY);
    let mut within = EVER;
    loop {
        ticks.tick().await;
        within = match pass_on_from_deactivated(&app, within).await {
            Ok(()) => LATELY,
            Err(error) => {
                tracing::debug!(%error, "the rooms of deactivated owners could not be passed on");
                EVER
            }
        };
    }
}

/// Passes on the rooms of owners who were deactivated within a time, on whatever server or by whatever command.
async fn pass_on_from_deactivated(app: &App, within: Duration) -> Result<()> {
    for (room, owner) in members::owners_deactivated_within(&app.db, within).await? {
        app.in_time(pass_on_from(app, room, &owner)).await?;
    }
    Ok(())
}

async fn pass_on_from(app: &App, room: RoomId, owner: &UserId) -> Result<()> {
    let mut change = match Change::begin(app, owner, room).await {
        Err(Error::RoomNotFound) => return Ok(()),
        change => change?,
    };
    let is_owner = change.seat.membership.as_ref().is_some_and(|membership| membership.role == Role::Owner);
    if is_owner && let Some(heir) = heir(app, &mut change, owner, true).await? {
        pass_on(app, change, owner, &heir, None).await?;
    }
    Ok(())
}

/// `chat:room:member`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberChanged<'a> {
    /// Where.
    room_id: RoomId,
    /// The number of the change.
    seq: i64,
    /// Who.
    user_id: &'a UserId,
    /// Where they stand now.
    membership: &'a Standing,
    /// What became of them.
    #[schemars(extend("enum" = ["banned", "unbanned", "muted", "unmuted", "role", "owner"]))]
    reason: &'a str,
    /// By whom; `null` when ownership passed on by itself.
    by: Option<&'a UserId>,
    /// Where the one stands now who owned the room until now.
    #[serde(skip_serializing_if = "Option::is_none")]
    former_owner: Option<&'a Standing>,
    /// When.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    timestamp: DateTime<Utc>,
}

/// Tells the members where one of them, or somebody who is banned, stands from now on. `former_owner` is who owned the room
/// until now and is still in it.
pub(super) fn tell(app: &App, room: RoomId, seq: i64, standing: &Standing, reason: &str, by: Option<&UserId>, former_owner: Option<&Standing>) {
    let told =
        MemberChanged { room_id: room, seq, user_id: &standing.user_id, membership: standing, reason, by, former_owner, timestamp: Utc::now() };
    app.realtime.tell_room(room, Some(seq), "chat:room:member", &told);
}
