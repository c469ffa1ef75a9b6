//! Slugs in use: a frontend may address every message by one, and none of them should cost a look-up.

use super::{RoomId, store};
use crate::error::{Error, Result};
use sqlx::PgPool;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a slug may still mean a room that was deleted by another server.
const SLUG_LIFE: Duration = Duration::from_secs(5);
/// Most slugs that are kept.
const SLUGS: usize = 10_000;

/// The ids behind slugs that were used lately, for frontends that address every message by one. Only ids are kept: who
/// may do what there is asked anew each time.
#[derive(Default)]
pub struct Slugs {
    known: Mutex<HashMap<String, (RoomId, Instant)>>,
}

impl Slugs {
    /// The room that a slug means.
    ///
    /// # Errors
    /// `ROOM_NOT_FOUND`, or `UNAVAILABLE` without the database.
    pub async fn id(&self, db: &PgPool, slug: &str) -> Result<RoomId> {
        if let Some((room, since)) = self.lock().get(slug)
            && since.elapsed() < SLUG_LIFE
        {
            return Ok(*room);
        }
        let room = store::id_of_slug(db, slug).await?.ok_or(Error::RoomNotFound)?;
        let mut known = self.lock();
        if known.len() >= SLUGS {
            known.clear();
        }
        known.insert(slug.to_owned(), (room, Instant::now()));
        Ok(room)
    }

    /// A room is deleted: its slug may be given to another.
    pub fn forget(&self, room: RoomId) {
        self.lock().retain(|_, (known, _)| *known != room);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (RoomId, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
