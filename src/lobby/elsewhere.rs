//! What other servers did: whoever is out of a room hears nothing more of it here either, a second later, and nobody hears of a room
//! that is gone.

use super::{
    close,
    membership::{End, MemberLeft},
};
use crate::{
    app::App,
    database,
    error::Result,
    presence::typing,
    receipts,
    rooms::{
        RoomId,
        members::store::{self as members, Ended},
        store as rows,
    },
    users::UserId,
};
use chrono::{DateTime, Utc};

/// Takes those out of rooms here who are out of them since a time, and says from when to look next time.
///
/// # Errors
/// `UNAVAILABLE` without the database, or if a room's turn does not come in time.
pub async fn heed(app: &App, since: Option<DateTime<Utc>>) -> Result<DateTime<Utc>> {
    let (since, next) = database::look_since(&app.db, since).await?;
    for Ended { room_id, user_id } in members::ended_since(&app.db, since).await? {
        match user_id {
            Some(user) => end(app, room_id, &user).await?,
            None if app.realtime.is_heard(room_id) => close(app, room_id, None),
            None => {}
        }
    }
    Ok(next)
}

async fn end(app: &App, room: RoomId, user: &UserId) -> Result<()> {
    if !app.realtime.connections_of(user).iter().any(|connection| connection.hears(room)) {
        return Ok(());
    }
    // Whoever comes in again does so in a turn of the room, and is heard from then on.
    let _turn = app.turns.take(room, app.patience()).await?;
    let Some(standing) = members::standing(&app.db, room, user).await?.filter(|standing| !standing.is_joined()) else { return Ok(()) };
    let member_count = rows::with_ids(&app.db, &[room.0]).await?.pop().map_or(0, |room| room.member_count);
    app.realtime.detach(user, room);
    typing::forget(app, room, user);
    receipts::telling::forget(app, room, user);
    let left = MemberLeft {
        room_id: room,
        user_id: Some(user),
        is_self: true,
        reason: if standing.is_banned() { End::Banned } else { End::Left },
        by: None,
        note: None,
        seq: None,
        member_count,
        timestamp: Utc::now(),
    };
    app.realtime.tell_user(user, "chat:room:left", &left);
    tracing::info!(room.id = %room, user.id = %user, "a user is out of a room at another server");
    Ok(())
}
