//! Everything that a request may need, in one cheap handle.

use crate::{
    auth::{Identities, Sessions, passwords::Passwords, tokens::Keys},
    config::{Settings, Switch},
    database,
    draining::Draining,
    error::{Error, Result},
    limits::Limits,
    lobby::{QuietRooms, snapshots::Snapshots},
    messages::journal::Journal,
    pool::{Pool, Transaction},
    presence::{Presence, typing::Typing},
    realtime::Realtime,
    receipts::Receipts,
    retention::OrderedSweep,
    rooms::{RoomId, Slugs, slow::SlowRooms, turns::Turns},
    search::Search,
    session::Arrivals,
};
use std::{ops::Deref, sync::Arc, time::Duration};
use tokio::time::timeout;
use uuid::Uuid;

/// A handle to the running server's parts.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts.
pub struct Parts {
    /// The settings, checked.
    pub settings: Settings,
    /// Where everything is kept.
    pub db: Pool,
    /// Signs and verifies access tokens.
    pub keys: Keys,
    /// Hashes passwords.
    pub passwords: Passwords,
    /// How much anybody may do.
    pub limits: Limits,
    /// Whether the server stops, and what is under way.
    pub draining: Draining,
    /// Finds out who holds tokens.
    pub identities: Identities,
    /// Who was found lately.
    pub sessions: Sessions,
    /// Lets connections in.
    pub arrivals: Arrivals,
    /// Reads what members are shown of their rooms.
    pub snapshots: Snapshots,
    /// Writes messages.
    pub journal: Journal,
    /// Reaches the sockets.
    pub realtime: Arc<Realtime>,
    /// Keeps what is told of a room in order.
    pub turns: Arc<Turns>,
    /// Which rooms the slugs mean.
    pub slugs: Slugs,
    /// Which rooms are in slow mode.
    pub slow_rooms: SlowRooms,
    /// Who is here.
    pub presence: Presence,
    /// Who is typing.
    pub typing: Typing,
    /// Whose markers moved.
    pub receipts: Receipts,
    /// Which large rooms changed their size.
    pub quiet_rooms: QuietRooms,
    /// What searches share.
    pub search: Search,
    /// The sweep that an administrator ordered.
    pub ordered_sweep: OrderedSweep,
    /// The room that everybody is in.
    pub default_room: RoomId,
    /// Which history this database holds.
    pub epoch: Uuid,
}

impl App {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// What the database answers, as long as somebody waits for it.
    ///
    /// # Errors
    /// Those of the answer; `UNAVAILABLE` when it takes too long.
    pub async fn in_time<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        timeout(self.patience(), answer).await.unwrap_or(Err(Error::Unavailable))
    }

    /// Begins a transaction, as every transaction of the pool is begun: see [`database::begin`].
    ///
    /// # Errors
    /// `UNAVAILABLE` without the database.
    pub async fn begin(&self) -> Result<Transaction> {
        database::begin(&self.db, "BEGIN").await
    }

    /// How long the database may take before somebody who waits is told `UNAVAILABLE`.
    pub fn patience(&self) -> Duration {
        self.settings.database.database_timeout
    }

    /// Whether users come from another system.
    pub fn accounts_live_elsewhere(&self) -> bool {
        self.settings.auth.registration == Switch::Off
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
