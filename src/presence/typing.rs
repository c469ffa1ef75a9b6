//! Typing: told at once, stored nowhere, over after a few seconds unless renewed.

use crate::{
    app::App,
    auth::AuthUser,
    error::Result,
    realtime::{Connection, wire::Outbox},
    rooms::{self, RoomId, RoomRef},
    time::Time,
    users::UserId,
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Who is typing where, on this process.
#[derive(Default)]
pub struct Typing {
    rooms: Mutex<HashMap<RoomId, HashMap<UserId, Entry>>>,
}

struct Entry {
    until: Instant,
    name: Option<String>,
}

impl Typing {
    /// Who is typing in a room.
    pub fn in_room(&self, room: RoomId) -> Vec<UserId> {
        self.lock().get(&room).map(|users| users.keys().cloned().collect()).unwrap_or_default()
    }

    fn begin(&self, room: RoomId, user: &UserId, name: Option<String>, until: Instant) {
        self.lock().entry(room).or_default().insert(user.clone(), Entry { until, name });
    }

    fn end(&self, room: RoomId, user: &UserId) -> Option<Entry> {
        let mut rooms = self.lock();
        let users = rooms.get_mut(&room)?;
        let entry = users.remove(user)?;
        if users.is_empty() {
            rooms.remove(&room);
        }
        Some(entry)
    }

    fn take_expired(&self) -> Vec<(RoomId, UserId, Option<String>)> {
        let now = Instant::now();
        let mut expired = Vec::new();
        self.lock().retain(|room, users| {
            users.retain(|user, entry| {
                let over = entry.until <= now;
                if over {
                    expired.push((*room, user.clone(), entry.name.take()));
                }
                !over
            });
            !users.is_empty()
        });
        expired
    }

    fn rooms_of(&self, user: &UserId) -> Vec<RoomId> {
        self.lock().iter().filter(|(_, users)| users.contains_key(user)).map(|(room, _)| *room).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RoomId, HashMap<UserId, Entry>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the other members that somebody is typing, or no longer is. A room that the connection hears needs no
/// look-up, so typing goes on while the database is away.
///
/// # Errors
/// `ROOM_NOT_FOUND` or `NOT_A_MEMBER`.
pub async fn update(app: &App, connection: &Connection, user: &AuthUser, room: RoomRef, is_typing: bool) -> Result<()> {
    let room = match room {
        RoomRef::Id(id) if connection.hears(id) => id,
        other => {
            let seat = rooms::find(app, user.id(), &other).await?;
            seat.membership()?;
            seat.room.id
        }
    };
    let ttl = app.settings.chat.typing_ttl;
    if is_typing && connection.is_invisible() {
        // That somebody types says that they are here.
        return Ok(());
    }
    if is_typing {
        app.typing.begin(room, user.id(), user.user.name.clone(), Instant::now() + ttl);
        tell(app, room, user.id(), user.user.name.as_deref(), Some(ttl));
    } else {
        forget(app, room, user.id());
    }
    Ok(())
}

/// Somebody who sends a message has stopped typing it, and who leaves a room types there no more.
pub fn forget(app: &App, room: RoomId, user: &UserId) {
    if let Some(entry) = app.typing.end(room, user) {
        tell(app, room, user, entry.name.as_deref(), None);
    }
}

/// Somebody who is gone types nowhere.
pub fn forget_everywhere(app: &App, user: &UserId) {
    for room in app.typing.rooms_of(user) {
        forget(app, room, user);
    }
}

/// Ends what was not renewed.
pub fn tick(app: &App) {
    for (room, user, name) in app.typing.take_expired() {
        tell(app, room, &user, name.as_deref(), None);
    }
}

/// `status:typing` as others hear it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TypingStatus<'a> {
    /// Where.
    room_id: RoomId,
    /// Who.
    user_id: &'a UserId,
    /// The same, with a name to show.
    user: Typist<'a>,
    /// Whether they type.
    is_typing: bool,
    /// How long this holds unless it is said again, in milliseconds.
    #[schemars(with = "u64")]
    ttl_ms: u128,
    /// When this became so.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    timestamp: DateTime<Utc>,
}

/// Who types.
#[derive(Serialize, JsonSchema)]
struct Typist<'a> {
    id: &'a UserId,
    name: Option<&'a str>,
}

fn tell(app: &App, room: RoomId, user: &UserId, name: Option<&str>, ttl: Option<Duration>) {
    let payload = TypingStatus {
        room_id: room,
        user_id: user,
        user: Typist { id: user, name },
        is_typing: ttl.is_some(),
        ttl_ms: ttl.map_or(0, |ttl| ttl.as_millis()),
        timestamp: Utc::now(),
    };
    let mut outbox = Outbox::default();
    app.realtime.tell_others(&[room], user, "status:typing", &payload, true, &mut outbox);
    outbox.flush_now();
}
