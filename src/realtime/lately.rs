//! Where something was told lately: for work that follows what happens and must not slow it down.

use crate::rooms::RoomId;
use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Rooms in which something was told, and how much was told in all.
#[derive(Default)]
pub struct Lately {
    rooms: Mutex<HashSet<RoomId>>,
    told: AtomicU64,
}

impl Lately {
    /// Something was told in a room.
    pub fn note(&self, room: RoomId, events: usize) {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).insert(room);
        self.told.fetch_add(u64::try_from(events).unwrap_or_default(), Ordering::Relaxed);
    }

    /// The rooms in which something was told since this was last asked.
    pub fn take(&self) -> HashSet<RoomId> {
        std::mem::take(&mut self.rooms.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many events were told to rooms since the start.
    pub fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }
}
