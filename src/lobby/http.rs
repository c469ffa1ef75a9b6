//! Rooms and members over REST: translation only.

use super::{
    NewRoom, RoomChange, create, delete,
    membership::{join, leave, put_member},
    moderation::{ban, bans, kick, mute, read_reason, read_until, unban},
    payloads::Left,
    snapshots::Joined,
    socket::{BAN, CREATE, INVITE, JOIN, KICK, LEAVE, MUTE, UNBAN, UPDATE},
    update,
    views::{self, Member, Overview},
};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{Body, Caller, OptionalBody, Page, Path, Query},
    limits::Class,
    payload::Fields,
    presence::{self, RoomPresence},
    rooms::{
        self, ROLES, Room, RoomId, RoomRef,
        members::{Ban, Standing},
        store::Position,
    },
    routes::{Operation, Routes},
};
use axum::{Json, extract::State, http::StatusCode};
use chrono::DateTime;
use serde_json::json;

/// `/rooms…`, but for messages.
pub fn routes() -> Routes {
    Routes::of("rooms")
        .get("/rooms", Class::Any, list, {
            let scope = json!({ "type": "string", "enum": ["mine", "public"], "default": "mine" });
            let list = Operation::new("listRooms", "The caller's rooms, or all public ones, newest activity first.");
            list.query("scope", "Which rooms.", scope).paged(50).gives::<Page<Overview>>()
        })
        .post("/rooms", Class::Create, on_create, {
            let create = Operation::new("createRoom", CREATE.about).body_of(&CREATE).refuses_like(&CREATE);
            let create = create.answers::<Room>(StatusCode::CREATED, "It is made.");
            create.answers::<Room>(StatusCode::OK, "This direct room, or this `clientRoomId`, was there.")
        })
        .get("/rooms/{room}", Class::Any, read, Operation::new("getRoom", "One room, as the caller sees it.").gives::<Overview>())
        .patch("/rooms/{room}", Class::Join, on_update, Operation::new("updateRoom", UPDATE.about).body_of(&UPDATE).like(&UPDATE))
        .delete(
            "/rooms/{room}",
            Class::Join,
            on_delete,
            Operation::new("deleteRoom", "Takes a room from everybody.").gives_nothing().refuses_like(&UPDATE),
        )
        .post("/rooms/{room}/join", Class::Join, on_join, Operation::new("joinRoom", JOIN.about).like(&JOIN))
        .post("/rooms/{room}/leave", Class::Join, on_leave, Operation::new("leaveRoom", LEAVE.about).like(&LEAVE))
        .get("/rooms/{room}/members", Class::Any, list_members, {
            let list = Operation::new("listMembers", "The members of a room, by user id.").paged(50);
            list.gives::<Page<Member>>().refuses(&[Error::NotAMember, Error::Banned])
        })
        .put(
            "/rooms/{room}/members/{user}",
            Class::Join,
            on_put_member,
            Operation::new("putMember", INVITE.about).optional_body_of(&INVITE).like(&INVITE),
        )
        .delete("/rooms/{room}/members/{user}", Class::Join, on_remove_member, {
            let remove = Operation::new("removeMember", "Takes a member out of a room, or leaves it if it is oneself.");
            remove.optional_body_of(&KICK).gives_nothing().refuses_like(&KICK)
        })
        .get("/rooms/{room}/bans", Class::Any, list_bans, {
            Operation::new("listBans", "Who is banned from a room, by user id.").paged(50).gives::<Page<Ban>>().refuses_like(&UPDATE)
        })
        .put("/rooms/{room}/bans/{user}", Class::Join, on_ban, Operation::new("ban", BAN.about).optional_body_of(&BAN).like(&BAN))
        .delete("/rooms/{room}/bans/{user}", Class::Join, on_unban, Operation::new("unban", UNBAN.about).gives_nothing().refuses_like(&UNBAN))
        .put("/rooms/{room}/mutes/{user}", Class::Join, on_mute, Operation::new("mute", MUTE.about).body_of(&MUTE).like(&MUTE))
        .delete(
            "/rooms/{room}/mutes/{user}",
            Class::Join,
            on_unmute,
            Operation::new("unmute", "Lets a member speak again.").gives_nothing().refuses_like(&MUTE),
        )
        .get("/rooms/{room}/presence", Class::Any, read_presence, {
            let read = Operation::new("getRoomPresence", "Who of a room's members is here; in rooms of more than 200 only how many.");
            read.gives::<RoomPresence>().refuses(&[Error::NotAMember, Error::Banned])
        })
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

pub(crate) fn read_position(text: &str) -> Option<Position> {
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

async fn on_leave(State(app): State<App>, Caller(caller): Caller, Path(room): Path<String>) -> Result<Json<Left>> {
    let room_id = leave(&app, &caller, &RoomRef::parse(&room)?).await?;
    Ok(Json(Left { room_id }))
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
