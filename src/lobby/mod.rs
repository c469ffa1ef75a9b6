//! The lobby: where users make rooms, enter and leave them, and see what has happened in theirs.
//!
//! Whatever changes a room takes the room's turn, changes it in one transaction, tells it, and only then gives the
//! turn back: so everybody hears of it in the order of its number. Over the size of a quiet room, comings and goings
//! are counted instead of told, and take no number.

pub mod elsewhere;
pub mod http;
pub mod membership;
pub mod moderation;
pub mod payloads;
pub mod roles;
pub mod snapshots;
pub mod socket;
pub mod views;

use crate::{
    app::App,
    auth::AuthUser,
    error::{Error, Result, violates},
    ids::derived,
    payload::{Fields, Length},
    rooms::{
        self, Room, RoomId, RoomRef, RoomType, Seat, Slug,
        changes::Change,
        members,
        permissions::Action,
        slow,
        store::{self as rows, NewRoomRow},
    },
    time::Time,
    users::{self, UserId},
};
use chrono::{DateTime, Utc};
use membership::{End, MemberLeft};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};
use uuid::Uuid;

const ROOM_NAME: Length = Length::new(1, 100);
const TOPIC: Length = Length::new(0, 250);
/// In how many memberships those who are online may be looked for at a time: a tenth of a second of the database's. Rooms for
/// which that does not suffice have their turn the next time.
const LOOK_UPS: usize = 100_000;

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
    slow_mode: Option<i32>,
    /// What the caller should know though it worked.
    pub warnings: Vec<String>,
}

impl RoomChange {
    /// Reads `{name?, topic?, archived?, slowMode?}`.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with every fault.
    pub fn read(mut fields: Fields) -> Result<Self> {
        let (name, topic, archived) = (fields.name("name", ROOM_NAME), fields.name("topic", TOPIC), fields.flag("archived"));
        let slow_mode = fields.number("slowMode", 0, slow::LONGEST).and_then(|seconds| i32::try_from(seconds).ok());
        Ok(Self { name, topic, archived, slow_mode, warnings: fields.finish()? })
    }

    /// Slow mode keeps order; the rest is what the room is.
    fn allowed(&self, seat: &Seat) -> Result<()> {
        let is_only_slow = self.slow_mode.is_some() && self.name.is_none() && self.topic.is_none() && self.archived.is_none();
        seat.require(if is_only_slow { Action::Slow } else { Action::Update }).map(|_| ())
    }

    fn changes_nothing(&self, room: &Room) -> bool {
        let same = |new: &Option<String>, old: &Option<String>| new.is_none() || new == old;
        same(&self.name, &room.name)
            && same(&self.topic, &room.topic)
            && self.archived.is_none_or(|archived| archived == room.archived_at.is_some())
            && self.slow_mode.is_none_or(|seconds| seconds == room.slow_mode)
    }
}

/// `chat:room:created`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomCreated<'a> {
    /// The room's id.
    room_id: RoomId,
    /// The room.
    room: &'a Room,
    /// Who is in it.
    members: &'a [UserId],
    /// Who made it.
    created_by: &'a UserId,
    /// When.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    timestamp: DateTime<Utc>,
}

/// `chat:room:updated`. In large rooms it also tells how many are there and online: without `seq` and `by`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomUpdated<'a> {
    /// The room's id.
    room_id: RoomId,
    /// The number of the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<i64>,
    /// The room as it is now.
    room: &'a Room,
    /// Who changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a UserId>,
    /// How many of its members are online, where they are counted instead of told.
    #[serde(skip_serializing_if = "Option::is_none")]
    online_count: Option<i64>,
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
        (RoomType::Direct, _) => derived("direct", &sorted(&members)),
        (_, Some(client_room_id)) => derived("room", &[maker.id().as_str(), client_room_id]),
        (_, None) => Uuid::now_v7(),
    });

    let ids: Vec<String> = members.iter().map(|id| id.as_str().to_owned()).collect();
    let turn = app.turns.take(id, app.patience()).await?;
    let mut tx = app.begin().await?;
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
        // Attached already, unless the answer to the first call was lost together with the database.
        for member in members::store::members_among(&app.db, id, &ids).await? {
            app.realtime.attach(&member, id);
        }
        let found = rooms::find(app, maker.id(), &RoomRef::Id(id)).await.map_err(|_| Error::IdempotencyMismatch)?;
        if new.kind != RoomType::Direct && (found.room.kind != new.kind || found.room.name != new.name) {
            return Err(Error::IdempotencyMismatch);
        }
        return Ok((views::with_last_message(&app.db, found.room).await?, false));
    }
    members::store::add_first_members(&mut tx, id, &ids, (new.kind != RoomType::Direct).then_some(maker.id())).await?;
    let room = rows::find(&mut *tx, maker.id(), &RoomRef::Id(id)).await?.ok_or(Error::RoomNotFound)?.room;
    tx.commit().await?;

    let told = RoomCreated { room_id: id, room: &room, members: &members, created_by: maker.id(), timestamp: Utc::now() };
    for member in &members {
        app.realtime.attach(member, id);
        app.realtime.tell_user(member, "chat:room:created", &told);
    }
    drop(turn);
    tracing::info!(room.id = %id, user.id = %maker.id(), members = members.len(), "a room was made");
    Ok((room, true))
}

/// A public room for a slug that a client of the seed's gateway simply joins; whoever comes second finds it.
async fn create_on_demand(app: &App, user: &AuthUser, slug: &Slug) -> Result<Seat> {
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

/// Renames a room, changes what it is about, archives it or opens it again, makes its members slow. What changes nothing is told to
/// nobody.
///
/// # Errors
/// `FORBIDDEN` below the role of an admin, or of a moderator for slow mode.
pub async fn update(app: &App, caller: &AuthUser, room: &RoomRef, new: RoomChange) -> Result<Room> {
    let id = rooms::find(app, caller.id(), room).await?.room.id;
    let mut change = Change::begin(app, caller.id(), id).await?;
    new.allowed(&change.seat)?;
    if new.changes_nothing(&change.seat.room) {
        return views::with_last_message(&mut *change.tx, change.seat.room).await;
    }
    let count = rows::count(&mut change.tx, id, 1, 0).await?;
    rows::update(&mut change.tx, id, new.name.as_deref(), new.topic.as_deref(), new.archived, count.last_seq).await?;
    if let Some(seconds) = new.slow_mode {
        slow::store::set(&mut change.tx, id, seconds).await?;
    }
    let room = rows::find(&mut *change.tx, caller.id(), &RoomRef::Id(id)).await?.ok_or(Error::RoomNotFound)?.room;
    let room = views::with_last_message(&mut *change.tx, room).await?;
    let turn = change.commit().await?;
    app.slow_rooms.note(id, room.slow_mode > 0);
    let told = RoomUpdated { room_id: id, seq: Some(count.last_seq), room: &room, by: Some(caller.id()), online_count: None };
    app.realtime.tell_room(id, Some(count.last_seq), "chat:room:updated", &told);
    drop(turn);
    Ok(room)
}

/// Takes a room from everybody.
///
/// # Errors
/// `FORBIDDEN` for everybody but its owner; the default room stays.
pub async fn delete(app: &App, caller: &AuthUser, room: &RoomRef) -> Result<()> {
    let id = rooms::find(app, caller.id(), room).await?.room.id;
    let mut change = Change::begin(app, caller.id(), id).await?;
    change.seat.require(Action::Delete)?;
    if id == app.default_room {
        return Err(Error::Forbidden("the default room stays"));
    }
    let count = rows::count(&mut change.tx, id, 1, 0).await?;
    rows::delete(&mut change.tx, id, count.last_seq).await?;
    let turn = change.commit().await?;
    close(app, id, Some(count.last_seq));
    drop(turn);
    tracing::info!(room.id = %id, user.id = %caller.id(), "a room was deleted");
    Ok(())
}

/// Tells everybody in a room that it is gone, and nothing more of it.
fn close(app: &App, room: RoomId, seq: Option<i64>) {
    let told = MemberLeft {
        room_id: room,
        user_id: None,
        is_self: true,
        reason: End::RoomDeleted,
        by: None,
        note: None,
        seq,
        member_count: 0,
        timestamp: Utc::now(),
    };
    app.realtime.tell_room(room, seq, "chat:room:left", &told);
    app.realtime.dissolve(room);
    app.slugs.forget(room);
}

/// Quiet rooms whose size changed since it was last told.
#[derive(Default)]
pub struct QuietRooms(Mutex<HashSet<RoomId>>);

impl QuietRooms {
    fn note(&self, room: RoomId) {
        self.lock().insert(room);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<RoomId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the members of quiet rooms how many they are, and how many of them are online: for a task that calls it every five
/// seconds.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn tell_sizes(app: &App) -> Result<()> {
    let mut changed: HashSet<RoomId> = app.quiet_rooms.lock().drain().collect();
    changed.extend(app.presence.take_crowds((LOOK_UPS / app.presence.count_users().max(1)).max(1)));
    changed.retain(|room| app.realtime.is_heard(*room));
    if changed.is_empty() {
        return Ok(());
    }
    let changed: Vec<Uuid> = changed.into_iter().map(|room| room.0).collect();
    let online: HashMap<RoomId, i64> = members::store::count_among(&app.db, &changed, &app.presence.everybody()).await?.into_iter().collect();
    let mut rooms = rows::with_ids(&app.db, &changed).await?;
    views::add_last_messages(&app.db, rooms.iter_mut()).await?;
    for room in rooms {
        let online_count = Some(online.get(&room.id).copied().unwrap_or_default());
        app.realtime.tell_room(room.id, None, "chat:room:updated", &RoomUpdated { room_id: room.id, seq: None, room: &room, by: None, online_count });
    }
    Ok(())
}

fn sorted(members: &[UserId]) -> Vec<&str> {
    let mut ids: Vec<&str> = members.iter().map(UserId::as_str).collect();
    ids.sort_unstable();
    ids
}
