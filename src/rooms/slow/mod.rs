//! Slow mode: in some rooms who stands below a moderator waits between two messages.
//!
//! A message of such a member takes their turn before it goes to the journal, in one statement that lets one of several at once
//! have it, whichever server they are at. A turn belongs to a message: the same message again, after a lost answer, needs no
//! other, and a turn whose message was not stored after all is free again [soon](store::IN_DOUBT). Which rooms are slow is
//! remembered, so that messages elsewhere cost nothing.

pub mod store;

use super::RoomId;
use crate::{
    error::{Error, Result},
    pool::Pool,
    users::UserId,
};
use std::{
    collections::HashSet,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use uuid::Uuid;

/// The longest wait, in seconds: six hours.
pub const LONGEST: i64 = 21_600;

/// The rooms that are in slow mode.
#[derive(Default)]
pub struct SlowRooms(RwLock<Known>);

#[derive(Default)]
struct Known {
    rooms: HashSet<RoomId>,
    /// How often this server changed them.
    changes: u64,
}

impl SlowRooms {
    /// Learns what other servers changed: for a task that calls it every second.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn refresh(&self, db: &Pool) -> Result<()> {
        let changes = self.read().changes;
        let rooms = store::rooms(db).await?;
        let mut known = self.write();
        // What this server changed meanwhile may not have been seen.
        if known.changes == changes {
            known.rooms = rooms.into_iter().collect();
        }
        Ok(())
    }

    /// This server changed a room.
    pub fn note(&self, room: RoomId, is_slow: bool) {
        let mut known = self.write();
        known.changes += 1;
        if is_slow {
            known.rooms.insert(room);
        } else {
            known.rooms.remove(&room);
        }
    }

    fn contains(&self, room: RoomId) -> bool {
        self.read().rooms.contains(&room)
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the author's turn for a message, if the room is slow. Whoever may not speak there at all is not told here.
    ///
    /// # Errors
    /// `RATE_LIMITED` before the author's wait is over.
    pub async fn take_turn(&self, db: &Pool, room: RoomId, author: &UserId, message: Uuid) -> Result<()> {
        if !self.contains(room) || store::take_turn(db, room, author, message).await? {
            return Ok(());
        }
        match store::wait(db, room, author, message).await? {
            Some(ms) => Err(Error::RateLimited { retry_after_ms: u64::try_from(ms).unwrap_or_default().max(1) }),
            None => Ok(()),
        }
    }
}
