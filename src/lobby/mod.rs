//! The lobby: where users make rooms, enter and leave them, and see what has happened in theirs.
//!
//! Whatever changes a room takes the room's turn, changes it in one transaction, tells it, and only then gives the
//! turn back: so everybody hears of it in the order of its number. Over the size of a quiet room, comings and goings
//! are counted instead of told, and take no number.

pub mod http;
pub mod socket;
pub mod store;
pub mod views;

use crate::{
    app::App,
    auth::AuthUser,
    error::{Error, Result, violates},
    payload::{Fields, Length},
    presence::typing,
    realtime::ConnectionId,
    rooms::{
        self, Membership, ROLES, Role, Room, RoomId, RoomRef, RoomType, Slug,
        permissions::Action,
        store::{self as rows, Count, NewRoomRow},
    },
    users::{self, User, UserId},
};
use chrono::Utc;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use std::collections::HashSet;
use uuid::Uuid;
use views::Joined;

const ROOM_NAME: Length = Length::new(1, 100);
const TOPIC: Length = Length::new(0, 250);

/// What a client wants to make, checked for form.
#[derive(Debug)]
pub struct NewRoom {
    name: Option<String>,
    kind: RoomType,
    slug: Option<Slug>,
    participants: Vec<String>,
    client_room_id: Option<String>,
    /// What the caller should know though it worked.
    pub warnings: Vec<String>,
}

impl NewRoom {
    /// Reads `{name, participants?, type?, slug?, clientRoomId?}`; a direct room needs no name.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with every fault.
    pub fn read(mut fields: Fields, most_participants: usize) -> Result<Self> {
        let kinds = [("group", RoomType::Group), ("public", RoomType::Public), ("direct", RoomType::Direct)];
        let kind = fields.word("type", &kinds).unwrap_or(RoomType::Group);
        let name = if kind == RoomType::Direct { fields.name("name", ROOM_NAME) } else { Some(fields.required_name("name", ROOM_NAME)) };
        let slug = fields.text("slug", Length::new(1, 64));
        let parsed = slug.as_deref().and_then(Slug::parse);
        if slug.is_some() && parsed.is_none() {
            fields.fault("slug", "invalid", "Letters, digits, dots, dashes and underscores are allowed, and no UUID.");
        }
        let participants = fields.texts("participants", most_participants, Length::new(1, 128));
        let client_room_id = fields.text("clientRoomId", Length::new(1, 64));
        let warnings = fields.finish()?;
        Ok(Self { name, kind, slug: parsed, participants, client_room_id, warnings })
    }
}

/// What a client wants to change, checked for form.
#[derive(Debug, Default)]
pub struct RoomChange {
    name: Option<String>,
    topic: Option<String>,
    archived: Option<bool>,
}

impl RoomChange {
    /// Reads `{name?, topic?, archived?}`.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with every fault.
    pub fn read(mut fields: Fields) -> Result<Self> {
        let change = Self { name: fields.name("name", ROOM_NAME), topic: fields.name("topic", TOPIC), archived: fields.flag("archived") };
        fields.finish()?;
        Ok(change)
    }
}

/// Makes a room, with its maker and participants in it at once. The same direct room, or the same `clientRoomId` of
/// one maker, is made once: the second answer is the first room and `false`.
///
/// # Errors
/// `USER_NOT_FOUND` for participants, `CONFLICT` for a slug that is taken, `IDEMPOTENCY_MISMATCH`.
pub async fn create(app: &App, maker: &AuthUser, new: NewRoom) -> Result<(Room, bool)> {
    let mut members = users::resolve(app, &new.participants).await?;
    members.retain(|id| id != maker.id());
    if new.kind == RoomType::Direct && members.len() != 1 {
        return Err(Error::field("participants", "invalid", "A direct room has exactly one other participant."));
    }
    members.insert(0, maker.id().clone());
    let id = RoomId(match (&new.kind, &new.client_room_id) {
        (RoomType::Direct, _) => id_of("direct", &sorted(&members)),
        (_, Some(client_room_id)) => id_of("room", &[maker.id().as_str(), client_room_id]),
        (_, None) => Uuid::now_v7(),
    });

    let turn = app.turns.take(id, app.patience()).await?;
    let mut tx = app.db.begin().await?;
    let row = NewRoomRow {
        id,
        slug: new.slug.as_ref().map(Slug::as_str),
        kind: new.kind,
        name: new.name.as_deref(),
        created_by: maker.id(),
        member_count: i32::try_from(members.len()).map_err(Error::internal)?,
    };
    let made = match rows::make(&mut tx, &row).await {
        Err(error) if violates(&error, "rooms_slug_key") => return Err(Error::Conflict("This slug is taken.")),
        made => made?,
    };
    if !made {
        drop(tx);
        let found = rooms::find(app, maker.id(), &RoomRef::Id(id)).await.map_err(|_| Error::IdempotencyMismatch)?;
        if new.kind != RoomType::Direct && (found.room.kind != new.kind || found.room.name != new.name) {
            return Err(Error::IdempotencyMismatch);
        }
        return Ok((views::with_last_message(app, found.room).await?, false));
    }
    let ids: Vec<String> = members.iter().map(|id| id.as_str().to_owned()).collect();
    rows::add_first_members(&mut tx, id, &ids, (new.kind != RoomType::Direct).then_some(maker.id())).await?;
    tx.commit().await?;

    let room = rooms::find(app, maker.id(), &RoomRef::Id(id)).await?.room;
    let told = json!({ "roomId": id, "room": room, "members": members, "createdBy": maker.id(), "timestamp": crate::time::format(Utc::now()) });
    for member in &members {
        app.realtime.attach(member, id);
        app.realtime.tell_user(member, "chat:room:created", &told);
    }
    drop(turn);
    tracing::info!(room.id = %id, user.id = %maker.id(), members = members.len(), "a room was made");
    Ok((room, true))
}

/// Enters a room. Entering again is silent and answers the same snapshot. Over a socket the snapshot is also told to
/// that connection; a new membership is told to all connections of the user, and to the other members.
///
/// # Errors
/// `ROOM_NOT_FOUND`, also for private rooms; `BANNED`, `ROOM_ARCHIVED`.
pub async fn join(app: &App, user: &AuthUser, room: &RoomRef, from: Option<ConnectionId>) -> Result<Joined> {
    let seat = match (rooms::find(app, user.id(), room).await, room) {
        (Err(Error::RoomNotFound), RoomRef::Slug(slug)) if app.settings.chat.auto_create_rooms => make_on_demand(app, user, slug).await?,
        (found, _) => found?,
    };
    let id = seat.room.id;
    let turn = app.turns.take(id, app.patience()).await?;
    let mut tx = app.db.begin().await?;
    let room = rows::lock(&mut tx, id).await?.ok_or(Error::RoomNotFound)?;
    match rows::state(&mut tx, id, user.id()).await?.as_deref() {
        Some("joined") => {
            drop(tx);
            let joined = views::joined(app, user.id(), &RoomRef::Id(id)).await?;
            if let Some(connection) = from {
                app.realtime.tell_connection(user.id(), connection, "chat:room:joined", &joined);
            }
            return Ok(joined);
        }
        Some("banned") => return Err(Error::Banned),
        _ if seat.room.kind != RoomType::Public => return Err(Error::RoomNotFound),
        _ if seat.room.archived_at.is_some() => return Err(Error::RoomArchived),
        _ => {}
    }
    let entered = enter(app, &mut tx, id, &room, user.id(), Role::Member).await?;
    tx.commit().await?;
    let joined = welcome(app, id, &user.user, &entered).await?;
    drop(turn);
    Ok(joined)
}

/// A public room for a slug that a client of the seed's gateway simply joins; whoever comes second finds it.
async fn make_on_demand(app: &App, user: &AuthUser, slug: &Slug) -> Result<rooms::Seat> {
    let new = NewRoom {
        name: Some(slug.as_str().to_owned()),
        kind: RoomType::Public,
        slug: Some(slug.clone()),
        participants: Vec::new(),
        client_room_id: None,
        warnings: Vec::new(),
    };
    match create(app, user, new).await {
        Ok(_) | Err(Error::Conflict(_)) => rooms::find(app, user.id(), &RoomRef::Slug(slug.clone())).await,
        Err(error) => Err(error),
    }
}

/// A membership that has just begun.
struct Entered {
    membership: Membership,
    count: Count,
    /// Whether the others are told, and so whether it has a number.
    told: bool,
}

async fn enter(app: &App, tx: &mut PgConnection, room: RoomId, before: &Count, user: &UserId, role: Role) -> Result<Entered> {
    let told = before.member_count < app.settings.chat.quiet_room_size;
    let count = rows::count(tx, room, i64::from(told), 1).await?;
    let membership = rows::put_member(tx, room, user, role, if told { count.last_seq } else { 0 }, count.last_seq).await?;
    Ok(Entered { membership, count, told })
}

/// Tells the others first, who then are all but the newcomer, and then the newcomer.
async fn welcome(app: &App, room: RoomId, user: &User, entered: &Entered) -> Result<Joined> {
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
    let joined = views::joined(app, &user.id, &RoomRef::Id(room)).await?;
    app.realtime.tell_user(&user.id, "chat:room:joined", &joined);
    tracing::info!(room.id = %room, user.id = %user.id, members = entered.count.member_count, "a user joined a room");
    Ok(joined)
}

/// Leaves a room: the membership ends.
///
/// # Errors
/// `ROOM_NOT_FOUND`, `NOT_A_MEMBER`, `FORBIDDEN` for a direct room.
pub async fn leave(app: &App, user: &AuthUser, room: &RoomRef) -> Result<RoomId> {
    let seat = rooms::find(app, user.id(), room).await?;
    seat.membership()?;
    if seat.room.kind == RoomType::Direct {
        return Err(Error::Forbidden("a direct room cannot be left"));
    }
    end_membership(app, seat.room.id, user.id(), "left").await?;
    Ok(seat.room.id)
}

async fn end_membership(app: &App, room: RoomId, user: &UserId, reason: &str) -> Result<()> {
    let turn = app.turns.take(room, app.patience()).await?;
    let mut tx = app.db.begin().await?;
    let before = rows::lock(&mut tx, room).await?.ok_or(Error::RoomNotFound)?;
    if rows::state(&mut tx, room, user).await?.as_deref() != Some("joined") {
        return Err(Error::NotAMember);
    }
    let told = before.member_count <= app.settings.chat.quiet_room_size;
    let count = rows::count(&mut tx, room, i64::from(told), -1).await?;
    rows::end_membership(&mut tx, room, user, if told { count.last_seq } else { 0 }).await?;
    tx.commit().await?;

    typing::forget(app, room, user);
    app.realtime.detach(user, room);
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
    let seat = rooms::find(app, caller.id(), room).await?;
    let mine = seat.require(Action::Invite)?.role;
    if seat.room.kind == RoomType::Direct {
        return Err(Error::Forbidden("a direct room has two members"));
    }
    let user = users::resolve(app, &[name.to_owned()]).await?.pop().ok_or(Error::NotFound)?;
    let id = seat.room.id;
    let turn = app.turns.take(id, app.patience()).await?;
    let mut tx = app.db.begin().await?;
    let before = rows::lock(&mut tx, id).await?.ok_or(Error::RoomNotFound)?;
    let present = rows::membership(&mut *tx, id, &user).await?;
    let changes = present.as_ref().is_none_or(|present| role.is_some_and(|role| role != present.role));
    if let (Some(present), false) = (&present, changes) {
        return Ok((user, present.clone()));
    }
    let given = role.unwrap_or(Role::Member);
    let is_promotion = role.is_some_and(|role| role != Role::Member) || present.is_some();
    if is_promotion && (mine < Action::SetRole.least_role() || given >= mine || present.as_ref().is_some_and(|present| present.role >= mine)) {
        return Err(Error::Forbidden("you may only give roles below your own, to members below you"));
    }
    if present.is_some() {
        let count = rows::count(&mut tx, id, 1, 0).await?;
        let membership = rows::set_role(&mut tx, id, &user, given, count.last_seq).await?;
        tx.commit().await?;
        let told = json!({ "roomId": id, "seq": count.last_seq, "userId": user, "membership": membership, "reason": "role", "by": caller.id() });
        app.realtime.tell_room(id, Some(count.last_seq), "chat:room:member", &told);
        drop(turn);
        return Ok((user, membership));
    }
    if rows::state(&mut tx, id, &user).await?.as_deref() == Some("banned") {
        return Err(Error::Banned);
    }
    if seat.room.archived_at.is_some() {
        return Err(Error::RoomArchived);
    }
    let entered = enter(app, &mut tx, id, &before, &user, given).await?;
    let profile = users::store::find(&mut *tx, &user).await?.ok_or_else(|| Error::UserNotFound(vec![name.to_owned()]))?;
    tx.commit().await?;
    welcome(app, id, &profile, &entered).await?;
    drop(turn);
    Ok((user, entered.membership))
}

/// Takes somebody out of a room, or oneself.
///
/// # Errors
/// `FORBIDDEN` for members who are not below the caller, `USER_NOT_FOUND` for those who are not in the room.
pub async fn remove_member(app: &App, caller: &AuthUser, room: &RoomRef, name: &str) -> Result<()> {
    let seat = rooms::find(app, caller.id(), room).await?;
    if name == caller.id().as_str() {
        leave(app, caller, &RoomRef::Id(seat.room.id)).await?;
        return Ok(());
    }
    let mine = seat.require(Action::Remove)?.role;
    let unknown = || Error::UserNotFound(vec![name.chars().take(128).collect()]);
    let user = UserId::parse(name).ok_or_else(unknown)?;
    let theirs = rows::membership(&app.db, seat.room.id, &user).await?.ok_or_else(unknown)?;
    if theirs.role >= mine || seat.room.kind == RoomType::Direct {
        return Err(Error::Forbidden("only members below you can be removed"));
    }
    end_membership(app, seat.room.id, &user, "removed").await
}

/// Renames a room, changes what it is about, archives it or opens it again.
///
/// # Errors
/// `FORBIDDEN` below the role of an admin.
pub async fn update(app: &App, caller: &AuthUser, room: &RoomRef, change: RoomChange) -> Result<Room> {
    let seat = rooms::find(app, caller.id(), room).await?;
    seat.require(Action::Update)?;
    let id = seat.room.id;
    let turn = app.turns.take(id, app.patience()).await?;
    let mut tx = app.db.begin().await?;
    rows::lock(&mut tx, id).await?.ok_or(Error::RoomNotFound)?;
    let count = rows::count(&mut tx, id, 1, 0).await?;
    rows::update(&mut tx, id, change.name.as_deref(), change.topic.as_deref(), change.archived).await?;
    tx.commit().await?;
    let room = rooms::find(app, caller.id(), &RoomRef::Id(id)).await?.room;
    let room = views::with_last_message(app, room).await?;
    let told = json!({ "roomId": id, "seq": count.last_seq, "room": room, "by": caller.id() });
    app.realtime.tell_room(id, Some(count.last_seq), "chat:room:updated", &told);
    drop(turn);
    Ok(room)
}

/// Takes a room from everybody.
///
/// # Errors
/// `FORBIDDEN` for everybody but its owner; the default room stays.
pub async fn delete(app: &App, caller: &AuthUser, room: &RoomRef) -> Result<()> {
    let seat = rooms::find(app, caller.id(), room).await?;
    seat.require(Action::Delete)?;
    let id = seat.room.id;
    if id == app.default_room {
        return Err(Error::Forbidden("the default room stays"));
    }
    let turn = app.turns.take(id, app.patience()).await?;
    let mut tx = app.db.begin().await?;
    rows::lock(&mut tx, id).await?.ok_or(Error::RoomNotFound)?;
    let count = rows::count(&mut tx, id, 1, 0).await?;
    rows::delete(&mut tx, id, count.last_seq).await?;
    tx.commit().await?;
    let told = json!({
        "roomId": id,
        "userId": null,
        "self": true,
        "reason": "room_deleted",
        "seq": count.last_seq,
        "memberCount": 0,
        "timestamp": crate::time::format(Utc::now()),
    });
    app.realtime.tell_room(id, Some(count.last_seq), "chat:room:left", &told);
    app.realtime.dissolve(id);
    drop(turn);
    tracing::info!(room.id = %id, user.id = %caller.id(), "a room was deleted");
    Ok(())
}

/// Quiet rooms whose size changed since it was last told.
#[derive(Default)]
pub struct QuietRooms(std::sync::Mutex<HashSet<RoomId>>);

impl QuietRooms {
    fn note(&self, room: RoomId) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(room);
    }
}

/// Tells the members of quiet rooms how many they are: for a task that calls it every five seconds.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn tell_sizes(app: &App) -> Result<()> {
    let rooms: Vec<Uuid> = app.quiet_rooms.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).drain().map(|room| room.0).collect();
    if rooms.is_empty() {
        return Ok(());
    }
    for room in rows::with_ids(&app.db, &rooms).await? {
        let room = views::with_last_message(app, room).await?;
        app.realtime.tell_room(room.id, None, "chat:room:updated", &json!({ "roomId": room.id, "room": room }));
    }
    Ok(())
}

fn sorted(members: &[UserId]) -> Vec<&str> {
    let mut ids: Vec<&str> = members.iter().map(UserId::as_str).collect();
    ids.sort_unstable();
    ids
}

/// A room's id that is a function of what makes it unique (`UUIDv8`, RFC 9562).
fn id_of(kind: &str, parts: &[&str]) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(kind);
    for part in parts {
        hash.update([0]);
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    Uuid::new_v8(bytes)
}
