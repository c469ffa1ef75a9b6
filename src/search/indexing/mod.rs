//! The worker that writes the index of searches, some time after messages were told.
//!
//! How far each room's index has come is in the database, in the row that whoever writes it holds: a server that was killed, or
//! was not there, is caught up with by any other, and two do not disturb each other. Rooms in which something was told are looked
//! at soon; all others once a minute.
//!
//! It gives way: it has one connection of its own, does little at a time, and rests after that, the longer the more is being
//! told. Its commits do not wait for the disk: what a crash takes is written once more.

mod room;
pub(super) mod store;

use crate::{
    app::App,
    error::{Error, Result},
    realtime::Lately,
    rooms::RoomId,
};
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use store::Progress;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

/// How often it is looked for what was told.
const TICK: Duration = Duration::from_millis(250);
/// How often all rooms are looked at.
const SWEEP: Duration = Duration::from_mins(1);
/// Rooms that are looked at together.
const TOGETHER: usize = 500;
/// What a sweep finds is indexed when it is at least this part of a block: it may be long until the block is full.
const PART: i64 = 8;
/// How many events a second make it rest once more as long as it worked.
const BUSY: f64 = 50.0;
/// How long one step may take, and how long after a failure the next one is tried.
const STEP: Duration = Duration::from_mins(1);
const RECONNECT: Duration = Duration::from_secs(1);

/// How far the index is behind.
#[derive(Default)]
pub struct Lag(Mutex<Option<Behind>>);

/// What waits to be indexed, beyond what is read message by message anyway.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SearchBehind")]
pub struct Behind {
    /// Rooms,
    pub rooms_behind: usize,
    /// and messages in them.
    pub messages_behind: i64,
}

impl Lag {
    /// As of a moment ago; nothing before all rooms were looked at for the first time.
    pub fn get(&self) -> Option<Behind> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, behind: Option<Behind>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = behind;
    }
}

/// Writes the index for as long as the server runs.
pub async fn run(app: App, options: PgConnectOptions) {
    let options = options.application_name("ires-chat search").options([
        ("statement_timeout", "60000"),
        ("lock_timeout", "2000"),
        ("synchronous_commit", "off"),
    ]);
    let mut worker =
        Worker { app, behind: HashMap::new(), queue: VecDeque::new(), queued: HashSet::new(), swept: None, measured: (Instant::now(), 0), rate: 0.0 };
    loop {
        let ended = match in_time(async { Ok(PgConnection::connect_with(&options).await?) }).await {
            Ok(mut db) => worker.work(&mut db).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "the index of searches lost the database");
        }
        sleep(RECONNECT).await;
    }
}

/// What one step gives, as long as it may take.
async fn in_time<T>(step: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(STEP, step).await.unwrap_or(Err(Error::Unavailable))
}

struct Worker {
    app: App,
    /// Rooms that are behind, and by how many messages.
    behind: HashMap<RoomId, i64>,
    /// The same rooms, and those whose index is stale, in the order in which it is their turn.
    queue: VecDeque<RoomId>,
    queued: HashSet<RoomId>,
    /// When all rooms were last looked at.
    swept: Option<Instant>,
    /// When it was last measured how much is told, and how much had been told then.
    measured: (Instant, u64),
    /// Events a second.
    rate: f64,
}

impl Worker {
    async fn work(&mut self, db: &mut PgConnection) -> Result<()> {
        loop {
            let begun = Instant::now();
            if self.swept.is_none_or(|swept| swept.elapsed() >= SWEEP) {
                self.sweep(db).await?;
            } else {
                let rooms: Vec<Uuid> = self.lately().take().into_iter().map(|room| room.0).collect();
                for some in rooms.chunks(TOGETHER) {
                    self.look_at(db, some, 1).await?;
                }
            }
            self.rest(begun.elapsed().max(TICK / 2)).await;
            // Some of it at a time: what is told meanwhile is looked at, too.
            for _ in 0..TOGETHER {
                let Some(room) = self.queue.pop_front() else { break };
                let begun = Instant::now();
                self.step(db, room).await?;
                self.rest(begun.elapsed()).await;
                if begun.elapsed() > TICK {
                    break;
                }
            }
        }
    }

    fn lately(&self) -> &Lately {
        &self.app.realtime.lately
    }

    /// Looks at all rooms, in the order of their ids.
    async fn sweep(&mut self, db: &mut PgConnection) -> Result<()> {
        self.lately().take();
        let mut after = Uuid::nil();
        loop {
            let begun = Instant::now();
            let rooms = in_time(store::rooms_after(&mut *db, after, i64::try_from(TOGETHER).unwrap_or(i64::MAX))).await?;
            let Some(last) = rooms.last() else { break };
            after = *last;
            self.look_at(db, &rooms, PART).await?;
            self.rest(begun.elapsed()).await;
        }
        self.swept = Some(Instant::now());
        self.report();
        Ok(())
    }

    /// Puts those of the rooms into the queue for which there is something to do: at least a part of a block.
    async fn look_at(&mut self, db: &mut PgConnection, rooms: &[Uuid], part: i64) -> Result<()> {
        let block = i64::from(self.app.settings.database.search_block);
        for Progress { room, is_deleted, last_message_seq, indexed_seq, is_stale } in in_time(store::progress(&mut *db, rooms)).await? {
            let waiting = last_message_seq - indexed_seq;
            let is_due = if is_deleted { indexed_seq > 0 } else { is_stale || waiting >= (block / part).max(1) };
            self.behind.remove(&room);
            if !is_deleted && waiting >= block {
                self.behind.insert(room, waiting);
            }
            if is_due && self.queued.insert(room) {
                self.queue.push_back(room);
            }
        }
        self.report();
        Ok(())
    }

    /// Does a little of what there is to do in a room, and puts it into the queue again if there is more.
    async fn step(&mut self, db: &mut PgConnection, room: RoomId) -> Result<()> {
        let block = i64::from(self.app.settings.database.search_block);
        self.queued.remove(&room);
        // If somebody else is at it, it is seen later how far they came.
        let left = in_time(room::index(db, room, (block / PART).max(1))).await?;
        let Some(left) = left else { return Ok(()) };
        self.behind.remove(&room);
        if left.messages >= block {
            self.behind.insert(room, left.messages);
        }
        if (left.messages >= block || left.is_stale) && self.queued.insert(room) {
            self.queue.push_back(room);
        }
        self.report();
        Ok(())
    }

    fn report(&self) {
        let behind = Behind { rooms_behind: self.behind.len(), messages_behind: self.behind.values().sum() };
        self.app.search.lag.set(self.swept.map(|_| behind));
    }

    /// Rests after work of some length: the longer, the more is told meanwhile.
    async fn rest(&mut self, worked: Duration) {
        let begun = Instant::now();
        loop {
            let (at, told) = self.measured;
            let (elapsed, now) = (at.elapsed().as_secs_f64(), self.lately().told());
            if elapsed >= TICK.as_secs_f64() {
                #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
                let rate = (now - told) as f64 / elapsed;
                // A moment's pause is not the end of a busy time.
                self.rate = rate.max(self.rate * 0.8);
                self.measured = (Instant::now(), now);
            }
            let due = worked.mul_f64(1.0 + self.rate / BUSY);
            let left = due.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return;
            }
            sleep(left.min(TICK)).await;
        }
    }
}
