//! Retention: messages that have become too old are deleted, in all rooms, deleted ones included.
//!
//! It deletes as moderators do: a stub stays, so that numbers are dense and a sync says what is gone, and up to
//! [`AT_ONCE`] messages of a room go under one number, told by one event. Pinned messages are no exception: what is promised to
//! be gone after a year must not depend on who pinned it. How far each room has been swept is noted, so that a look at a room in
//! which nothing is due costs two look-ups in an index. Besides what is set, administrators may [order] a sweep.

pub mod http;
mod orders;
mod store;

pub use orders::{Order, OrderedSweep, Run, order};

use crate::{
    app::App,
    database,
    error::{Error, Result},
    messages::changes::deletion::{AT_ONCE, DeletedBy, delete_many, delete_untold},
    pool::Pool,
    rooms::{self, RoomId, RoomRef},
};
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// Rooms that are looked at together.
const TOGETHER: i64 = 500;

/// Which messages are too old, and what is done with them.
pub struct Sweep<'a> {
    /// Where they are.
    pub db: &'a Pool,
    /// The server that tells of it; without one clients learn of it by their next sync.
    pub live: Option<&'a App>,
    /// Messages stored before this go.
    pub before: DateTime<Utc>,
    /// Only in this room.
    pub room: Option<RoomId>,
    /// Whether they are only counted.
    pub dry: bool,
}

/// The time before which messages are older than this, by the clock that gave them theirs.
///
/// # Errors
/// `VALIDATION_ERROR` for a time before the calendar's beginning, `UNAVAILABLE` without the database.
pub async fn older_than(db: &Pool, age: Duration) -> Result<DateTime<Utc>> {
    let (now, age) = (database::now(db).await?, TimeDelta::from_std(age).ok());
    age.and_then(|age| now.checked_sub_signed(age)).ok_or_else(|| Error::field("olderThan", "range", "This is too long ago."))
}

/// The room that somebody means who may see all, deleted ones included.
///
/// # Errors
/// `ROOM_NOT_FOUND`.
pub async fn find_room(db: &Pool, name: &str) -> Result<RoomId> {
    let found = match RoomRef::parse(name)? {
        RoomRef::Id(id) => rooms::store::exists(db, id).await?.then_some(id),
        RoomRef::Slug(slug) => rooms::store::id_of_slug(db, slug.as_str()).await?,
    };
    found.ok_or(Error::RoomNotFound)
}

impl Sweep<'_> {
    /// Goes through the rooms, one after the other, and says whenever some messages of a room were too old how many.
    ///
    /// # Errors
    /// `UNAVAILABLE` without the database, `SERVER_DRAINING`; what was deleted stays deleted, and the next sweep goes on there.
    pub async fn run(&self, mut swept: impl FnMut(RoomId, usize)) -> Result<()> {
        let mut after = Uuid::nil();
        loop {
            let rooms = store::rooms_after(self.db, after, self.room, self.before, TOGETHER).await?;
            let Some((last, _)) = rooms.last() else { return Ok(()) };
            after = last.0;
            for (room, _) in rooms.into_iter().filter(|(_, is_due)| *is_due) {
                self.sweep(room, &mut swept).await?;
            }
        }
    }

    /// Sweeps a room. It rests after each batch as long as that took: nobody is in a hurry.
    async fn sweep(&self, room: RoomId, swept: &mut impl FnMut(RoomId, usize)) -> Result<()> {
        let mut after = store::swept(self.db, room).await?;
        loop {
            let begun = Instant::now();
            let most = i64::try_from(AT_ONCE).unwrap_or(i64::MAX);
            let mut next = store::next(self.db, room, after, self.before, most).await?;
            // A clock that was set back may have made an older one after a younger one: it goes together with that.
            let old = next.iter().position(|message| !message.is_old).unwrap_or(next.len());
            let is_all = old < AT_ONCE;
            next.truncate(old);
            let Some(last) = next.last() else { return Ok(()) };
            after = last.seq;
            let ids: Vec<Uuid> = next.iter().filter(|message| !message.is_gone).map(|message| message.id).collect();
            let messages = self.delete(room, &ids).await?;
            if messages > 0 {
                swept(room, messages);
            }
            if !self.dry {
                store::note(self.db, room, after).await?;
            }
            if is_all {
                return Ok(());
            }
            sleep(begun.elapsed()).await;
        }
    }

    async fn delete(&self, room: RoomId, ids: &[Uuid]) -> Result<usize> {
        match self.live {
            _ if self.dry => Ok(ids.len()),
            Some(app) => {
                // A server that stops waits until what it has deleted is told, and deletes nothing more.
                let _work = app.draining.begin()?;
                app.in_time(delete_many(app, room, ids, DeletedBy::Retention)).await
            }
            None => Ok(delete_untold(self.db, room, ids, DeletedBy::Retention).await?.map_or(0, |told| told.count())),
        }
    }
}
