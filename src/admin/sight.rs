//! What an operator sees of the connections, and what has changed since the last look.
//!
//! Connections are shown once they have authenticated, and only so many of them: the page walks over all that it shows for each
//! that comes or goes.

use crate::{
    auth::AuthUser,
    realtime::{Connection, ConnectionId},
    rooms::RoomId,
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Most connections that are shown.
const SHOWN: usize = 1_000;
/// Most rooms that are shown of one connection.
const ROOMS: usize = 50;
/// From how many changes on a look leaves the others to the next one, so that a storm of them is told piece by piece.
const CHANGES: usize = 500;

/// What was seen.
#[derive(Default)]
pub struct Sight {
    shown: HashMap<ConnectionId, Shown>,
    /// All connections, shown or not; none before the first look.
    known: Option<HashSet<ConnectionId>>,
    came: usize,
    went: usize,
}

struct Shown {
    namespace: String,
    transport: &'static str,
    rooms: Vec<RoomId>,
}

/// Something that happened to a connection.
pub struct Change {
    /// The namespace that it is in.
    pub namespace: String,
    /// Which it is.
    pub id: ConnectionId,
    /// What happened.
    pub what: What,
}

/// What happened.
pub enum What {
    /// It is there.
    Came(Arc<Connection>, Arc<AuthUser>, Vec<RoomId>),
    /// It goes on on this transport.
    Upgraded(&'static str),
    /// It hears of a room.
    Entered(RoomId),
    /// It hears of it no more.
    Left(RoomId),
    /// It is there no more.
    Went,
}

impl Sight {
    /// Looks at all connections, and says what has changed. The first look shows all that there is to show.
    pub fn look(&mut self, connections: &[Arc<Connection>]) -> Vec<Change> {
        let most = if self.known.is_some() { CHANGES } else { usize::MAX };
        let mut changes = Vec::new();
        let present: HashMap<ConnectionId, &Connection> = connections.iter().map(|connection| (connection.id, &**connection)).collect();
        self.shown.retain(|id, shown| if changes.len() < most { shown.compare(*id, present.get(id).copied(), &mut changes) } else { true });
        for connection in connections {
            if changes.len() >= most || self.shown.len() >= SHOWN {
                break;
            }
            if !self.shown.contains_key(&connection.id)
                && let Some(user) = connection.known_user()
            {
                let shown = Shown::of(connection);
                let what = What::Came(connection.clone(), user, shown.rooms.clone());
                changes.push(Change { namespace: shown.namespace.clone(), id: connection.id, what });
                self.shown.insert(connection.id, shown);
            }
        }
        self.count(present.into_keys().collect());
        changes
    }

    fn count(&mut self, present: HashSet<ConnectionId>) {
        if let Some(known) = &self.known {
            self.came += present.difference(known).count();
            self.went += known.difference(&present).count();
        }
        self.known = Some(present);
    }

    /// How many connections came and went since this was last asked.
    pub fn take_counts(&mut self) -> (usize, usize) {
        (std::mem::take(&mut self.came), std::mem::take(&mut self.went))
    }
}

impl Shown {
    fn of(connection: &Connection) -> Self {
        Self { namespace: connection.namespace().to_owned(), transport: connection.transport(), rooms: connection.first_rooms(ROOMS) }
    }

    /// Notes what changed of a connection; says whether it is still there.
    fn compare(&mut self, id: ConnectionId, connection: Option<&Connection>, changes: &mut Vec<Change>) -> bool {
        let mut note = |what| changes.push(Change { namespace: self.namespace.clone(), id, what });
        let Some(connection) = connection else {
            self.rooms.iter().for_each(|room| note(What::Left(*room)));
            note(What::Went);
            return false;
        };
        let now = Self::of(connection);
        if now.transport != self.transport {
            note(What::Upgraded(now.transport));
        }
        self.rooms.iter().filter(|room| !now.rooms.contains(room)).for_each(|room| note(What::Left(*room)));
        now.rooms.iter().filter(|room| !self.rooms.contains(room)).for_each(|room| note(What::Entered(*room)));
        *self = now;
        true
    }
}
