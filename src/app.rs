//! Everything that a request may need, in one cheap handle.

use crate::{
    auth::{Identities, Sessions, passwords::Passwords, tokens::Keys},
    config::{Settings, Switch},
    lobby::{QuietRooms, snapshots::Snapshots},
    messages::journal::Journal,
    presence::{Presence, typing::Typing},
    realtime::Realtime,
    receipts::Receipts,
    rooms::{RoomId, Slugs, turns::Turns},
    search::Search,
    session::Arrivals,
};
use sqlx::PgPool;
use std::{ops::Deref, sync::Arc, time::Duration};
use uuid::Uuid;

/// A handle to the running server's parts.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts.
pub struct Parts {
    /// The settings, checked.
    pub settings: Settings,
    /// Where everything is kept.
    pub db: PgPool,
    /// Signs and verifies access tokens.
    pub keys: Keys,
    /// Hashes passwords.
    pub passwords: Passwords,
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
