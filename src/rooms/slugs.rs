//! Slugs in use: a frontend may address every message by one, and none of them should cost a look-up.

use super::{RoomId, store};
use crate::{
    error::{Error, Result},
    pool::Pool,
    recent::Recent,
};
use std::time::Duration;

/// How long a slug may still mean a room that was deleted by another server.
const SLUG_LIFE: Duration = Duration::from_secs(5);

/// Most slugs that are remembered.
const SLUGS: usize = 10_000;

/// The ids behind slugs that were used lately. Only ids are kept: who may do what there is asked anew each time.
pub struct Slugs(Recent<String, RoomId>);

impl Default for Slugs {
    fn default() -> Self {
        Self(Recent::new(SLUG_LIFE, SLUGS))
    }
}

impl Slugs {
    /// The room that a slug means.
    ///
    /// # Errors
    /// `ROOM_NOT_FOUND`, or `UNAVAILABLE` without the database.
    pub async fn id(&self, db: &Pool, slug: &str) -> Result<RoomId> {
        let slug = slug.to_owned();
        if let Some(room) = self.0.get(&slug) {
            return Ok(room);
        }
        let room = store::id_of_slug(db, &slug).await?.ok_or(Error::RoomNotFound)?;
        self.0.put(slug, room);
        Ok(room)
    }

    /// A room is deleted: its slug may be given to another.
    pub fn forget(&self, room: RoomId) {
        self.0.forget(|known| *known == room);
    }
}
