//! Rooms and members over REST: translation only.

use super::{
    NewRoom, RoomChange, create, delete,
    membership::{join, leave, put_member},
    moderation::{ban, bans, kick, mute, read_reason, read_until, unban},
    snapshots::Joined,
    update,
    views::{self, Member, Overview},
};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{Body, Caller, OptionalBody, Page, Path, Query},
    limits::{Class, http::Routes},
    payload::Fields,
    presence::{self, RoomPresence},
    rooms::{
        self, ROLES, Room, RoomId, RoomRef,
        members::{Ban, Standing},
        store::Position,
    },
};
use axum::{Json, extract::State, http::StatusCode};
use chrono::DateTime;
use serde_json::{Value, json};

/// `/rooms…`, but for messages.
pub fn routes() -> Routes {
    Routes::new()
        .get("/rooms", Class::Any, list)
        .post("/rooms", Class::Create, on_create)
        .get("/rooms/{room}", Class::Any, read)
        .patch("/rooms/{room}", Class::Join, on_update)
        .delete("/rooms/{room}", Class::Join, on_delete)
        .post("/rooms/{room}/join", Class::Join, on_join)
        .post("/rooms/{room}/leave", Class::Join, on_leave)
        .get("/rooms/{room}/members", Class::Any, list_members)
        .put("/rooms/{room}/members/{user}", Class::Join, on_put_member)
        .delete("/rooms/{room}/members/{user}", Class::Join, on_remove_member)
        .get("/rooms/{room}/bans", Class::Any, list_bans)
        .put("/rooms/{room}/bans/{user}", Class::Join, on_ban)
        .delete("/rooms/{room}/bans/{user}", Class::Join, on_unban)
        .put("/rooms/{room}/mutes/{user}", Class::Join, on_mute)
        .delete("/rooms/{room}/mutes/{user}", Class::Join, on_unmute)
        .get("/rooms/{room}/presence", Class::Any, read_presence)
}

async fn list(State(app): State<App>, Caller(caller): Caller, query: Query) -> Result<Json<Page<Overview>>> {
    let limit = query.limit(50, 100)?;
    let mine = match query.text("scope") {
        None | Some("mine") => true,
        Some("public") => false,
        Some(_) => return Err(Error::field("scope", "invalid", "One of these is expected: mine, public.")),
    };
    // Either list has an order of its own, and so cursors of its own.
    let page = if mine {
        let after = query.cursor("mine", read_position)?;
        let rooms = views::rooms_of(&app, caller.id(), after, limit).await?;
        Page::new("mine", rooms, limit, |last| write_position((last.room.last_activity_at, last.room.id)))
    } else {
        let after = query.cursor("public", read_position)?;
        let rooms = views::public_rooms(&app, caller.id(), after, limit).await?;
        Page::new("public", rooms, limit, |last| write_position((last.room.listed_at, last.room.id)))
    };
    Ok(Json(page))
}

fn write_position((time, id): Position) -> String {
    format!("{} {id}", time.timestamp_micros())
}

fn read_position(text: &str) -> Option<Position> {
    let (time, id) = text.split_once(' ')?;
    // Postgres has fewer times than chrono.
    let micros = time.parse().ok().filter(|micros| (0..=253_402_300_799_000_000).contains(micros))?;
    Some((DateTime::from_timestamp_micros(micros)?, RoomId(id.parse().ok()?)))
}

async fn on_create(State(app): State<App>, Caller(caller): Caller, Body(fields): Body) -> Result<(StatusCode, Json<Room>)> {
    let new = NewRoom::read(fields, app.settings.chat.max_participants as usize)?;
    let (room, is_new) = create(&app, &caller, new).await?;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(room)))
}

async fn read(State(app): State<App>, Caller(caller): Caller, Path(room): Path<String>) -> Result<Json<Overview>> {
    Ok(Json(views::overview(&app, caller.id(), &RoomRef::parse(&room)?).await?))
}

async fn on_update(State(app): State<App>, Caller(caller): Caller, Path(room): Path<String>, Body(fields): Body) -> Result<Json<Room>> {
    Ok(Json(update(&app, &caller, &RoomRef::parse(&room)?, RoomChange::read(fields)?).await?))
}

async fn on_delete(State(app): State<App>, Caller(caller): Caller, Path(room): Path<String>) -> Result<StatusCode> {
    delete(&app, &caller, &RoomRef::parse(&room)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn on_join(State(app): State<App>, Caller(caller): Caller, Path(room): Path<String>) -> Result<Json<Joined>> {
    Ok(Json(join(&app, &caller, &RoomRef::parse(&room)?, None, None).await?))
}

async fn on_leave(State(app): State<App>, Caller(caller): Caller, Path(room): Path<String>) -> Result<Json<Value>> {
    let id = leave(&app, &caller, &RoomRef::parse(&room)?).await?;
    Ok(Json(json!({ "roomId": id })))
}

async fn list_members(State(app): State<App>, Caller(caller): Caller, Path(room): Path<String>, query: Query) -> Result<Json<Page<Member>>> {
    let limit = query.limit(50, 100)?;
    let after = query.cursor("members", |id| Some(id.to_owned()))?;
    let seat = rooms::find(&app, caller.id(), &RoomRef::parse(&room)?).await?;
    seat.membership()?;
    let members = views::members(&app, seat.room.id, after.as_deref().unwrap_or(""), limit).await?;
    Ok(Json(Page::new("members", members, limit, |member| member.user.id.as_str().to_owned())))
}

async fn on_put_member(
    State(app): State<App>,
    Caller(caller): Caller,
    Path((room, user)): Path<(String, String)>,
    OptionalBody(fields): OptionalBody,
) -> Result<Json<Standing>> {
    let role = optional(fields, |fields| fields.word("role", &ROLES))?;
    Ok(Json(put_member(&app, &caller, &RoomRef::parse(&room)?, &user, role).await?))
}

/// Removing oneself is leaving.
async fn on_remove_member(
    State(app): State<App>,
    Caller(caller): Caller,
    Path((room, user)): Path<(String, String)>,
    OptionalBody(fields): OptionalBody,
) -> Result<StatusCode> {
    let (room, reason) = (RoomRef::parse(&room)?, optional(fields, read_reason)?);
    if user == caller.id().as_str() {
        leave(&app, &caller, &room).await?;
    } else {
        kick(&app, &caller, &room, &user, reason.as_deref()).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn list_bans(State(app): State<App>, Caller(caller): Caller, Path(room): Path<String>, query: Query) -> Result<Json<Page<Ban>>> {
    let limit = query.limit(50, 100)?;
    let after = query.cursor("bans", |id| Some(id.to_owned()))?;
    let bans = bans(&app, &caller, &RoomRef::parse(&room)?, after.as_deref().unwrap_or(""), limit).await?;
    Ok(Json(Page::new("bans", bans, limit, |ban| ban.user.id.as_str().to_owned())))
}

async fn on_ban(
    State(app): State<App>,
    Caller(caller): Caller,
    Path((room, user)): Path<(String, String)>,
    OptionalBody(fields): OptionalBody,
) -> Result<Json<Standing>> {
    let reason = optional(fields, read_reason)?;
    Ok(Json(ban(&app, &caller, &RoomRef::parse(&room)?, &user, reason.as_deref()).await?))
}

async fn on_unban(State(app): State<App>, Caller(caller): Caller, Path((room, user)): Path<(String, String)>) -> Result<StatusCode> {
    unban(&app, &caller, &RoomRef::parse(&room)?, &user).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn on_mute(
    State(app): State<App>,
    Caller(caller): Caller,
    Path((room, user)): Path<(String, String)>,
    Body(mut fields): Body,
) -> Result<Json<Standing>> {
    let until = read_until(&mut fields);
    fields.finish()?;
    Ok(Json(mute(&app, &caller, &RoomRef::parse(&room)?, &user, until).await?))
}

async fn on_unmute(State(app): State<App>, Caller(caller): Caller, Path((room, user)): Path<(String, String)>) -> Result<StatusCode> {
    mute(&app, &caller, &RoomRef::parse(&room)?, &user, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads one field of a body that may be missing.
fn optional<T>(fields: Option<Fields>, field: impl FnOnce(&mut Fields) -> Option<T>) -> Result<Option<T>> {
    let Some(mut fields) = fields else { return Ok(None) };
    let value = field(&mut fields);
    fields.finish()?;
    Ok(value)
}

async fn read_presence(State(app): State<App>, Caller(caller): Caller, Path(room): Path<String>) -> Result<Json<RoomPresence>> {
    Ok(Json(presence::of_room(&app, caller.id(), &RoomRef::parse(&room)?).await?))
}
