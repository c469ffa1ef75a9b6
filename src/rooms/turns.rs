//! Turns: what happens in one room is told in the order in which it was committed.
//!
//! Postgres hands out a room's numbers in commit order, but two tasks that commit one after the other may reach the
//! fan-out the other way round. So whoever writes to a room holds its turn from before the commit until everybody
//! has been told. Rooms do not wait for one another.

use super::RoomId;
use crate::error::{Error, Result};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::timeout,
};

/// The turns of all rooms that somebody is writing to, or of other things whose order counts.
pub struct Turns<K = RoomId> {
    rooms: Arc<Mutex<HashMap<K, Arc<AsyncMutex<()>>>>>,
}

/// The turn of one room, until it is dropped.
pub struct Turn<K: Eq + Hash = RoomId> {
    room: K,
    guard: Option<OwnedMutexGuard<()>>,
    rooms: Arc<Mutex<HashMap<K, Arc<AsyncMutex<()>>>>>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { rooms: Arc::default() }
    }
}

impl<K: Eq + Hash + Clone> Turns<K> {
    /// Waits for a room's turn.
    ///
    /// # Errors
    /// `UNAVAILABLE` if it does not come in time.
    pub async fn take(&self, room: K, patience: Duration) -> Result<Turn<K>> {
        let waiting = timeout(patience, self.entry(room.clone()).lock_owned()).await;
        waiting.map(|guard| self.turn(room, guard)).map_err(|_| Error::Unavailable)
    }

    /// Takes a room's turn if nobody has it.
    pub fn try_take(&self, room: K) -> Option<Turn<K>> {
        self.entry(room.clone()).try_lock_owned().ok().map(|guard| self.turn(room, guard))
    }

    fn entry(&self, room: K) -> Arc<AsyncMutex<()>> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.entry(room).or_default().clone()
    }

    fn turn(&self, room: K, guard: OwnedMutexGuard<()>) -> Turn<K> {
        Turn { room, guard: Some(guard), rooms: self.rooms.clone() }
    }
}

impl<K: Eq + Hash> Drop for Turn<K> {
    fn drop(&mut self) {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        self.guard = None;
        // Only the map holds it now: nobody waits, and nobody can begin to while the map is locked.
        if rooms.get(&self.room).is_some_and(|entry| Arc::strong_count(entry) == 1) {
            rooms.remove(&self.room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[tokio::test]
    async fn a_turn_is_held_by_one_and_leaves_nothing_behind() {
        let (turns, room) = (Turns::default(), RoomId(Uuid::nil()));

        let turn = turns.take(room, Duration::from_secs(1)).await.ok();

        assert!(turn.is_some());
        assert!(turns.try_take(room).is_none());
        assert!(turns.take(room, Duration::from_millis(1)).await.is_err());
        drop(turn);
        assert!(turns.try_take(room).is_some());
        assert!(turns.rooms.lock().unwrap().is_empty());
    }
}
