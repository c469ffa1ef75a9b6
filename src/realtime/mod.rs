//! What the server says unasked: to a room, to a user, to one connection.
//!
//! A payload is encoded and framed once, whoever hears it. Every room has an *audience*, the connections of its
//! members, and each connection has a [wire](wire::Wire) of its own on which the frames leave.
//!
//! A connection that has just authenticated is attached to its rooms before its snapshot is read; until the snapshot is
//! sent, what it would hear waits behind a gate and follows the snapshot, so that nothing falls between the two and the
//! snapshot is the first thing that a client sees.

mod connection;
mod frames;
mod lately;
pub mod wire;

pub use connection::{Ack, Connection, ConnectionId, notification};
pub use frames::Told;
pub use lately::Lately;

use crate::{
    auth::{AuthUser, Which},
    error::Error,
    limits::Slot,
    metrics,
    rooms::RoomId,
    users::{User, UserId},
};
use frames::{News, encoded};
use serde::Serialize;
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use wire::{Outbox, Upgrades};

/// Where the log lines are of what is told to several.
pub const TELLING: &str = "ires_chat::realtime::telling";

/// All connections of this process, and the way to them.
#[derive(Default)]
pub struct Realtime {
    /// Where sessions went that began by polling.
    pub upgrades: Arc<Upgrades>,
    /// Where something was told lately.
    pub lately: Lately,
    connections: Mutex<Connections>,
    audiences: RwLock<HashMap<RoomId, Vec<Arc<Connection>>>>,
}

#[derive(Default)]
struct Connections {
    all: HashMap<ConnectionId, Arc<Connection>>,
    by_user: HashMap<UserId, Vec<Arc<Connection>>>,
}

impl Realtime {
    /// Tells everybody in a room. `seq` is the room's number of what is told, if it has one.
    pub fn tell_room(&self, room: RoomId, seq: Option<i64>, event: &'static str, payload: &impl Serialize) {
        let Some(payload) = encoded(payload) else { return };
        let mut outbox = Outbox::default();
        self.tell_all(room, &[Told { seq, event, payload }], &mut outbox);
        outbox.flush_now();
    }

    /// Tells everybody in a room several things that are encoded already, in this order. They leave with the outbox.
    pub fn tell_all(&self, room: RoomId, events: &[Told], outbox: &mut Outbox) {
        self.lately.note(room, events.len());
        let mut news = News::new(events, Some(room), false);
        // Held until all is told: who leaves hears nothing more once the leaving is done.
        let audiences = self.audiences();
        let audience = audiences.get(&room).map_or(&[][..], Vec::as_slice);
        for connection in audience {
            connection.hear(&mut news, outbox);
        }
        let connections = audience.len();
        drop(audiences);
        note_told(events, connections);
        tracing::debug!(target: TELLING, { room.id = %room, events = events.len(), connections }, "a room was told");
    }

    /// Tells everybody in any of these rooms once, but not this user. What is *passing* need not reach who is behind. It leaves
    /// with the outbox.
    pub fn tell_others(&self, rooms: &[RoomId], user: &UserId, event: &'static str, payload: &impl Serialize, passing: bool, outbox: &mut Outbox) {
        let Some(payload) = encoded(payload) else { return };
        let events = [Told { seq: None, event, payload }];
        self.tell_once(rooms, &[], user, &mut News::new(&events, None, passing), outbox);
    }

    /// The same for what must reach everybody, and for these connections besides, wherever they are.
    pub fn tell_watchers(
        &self,
        rooms: &[RoomId],
        watchers: &[ConnectionId],
        user: &UserId,
        event: &'static str,
        payload: &impl Serialize,
        outbox: &mut Outbox,
    ) {
        let Some(payload) = encoded(payload) else { return };
        let events = [Told { seq: None, event, payload }];
        self.tell_once(rooms, watchers, user, &mut News::new(&events, None, false), outbox);
    }

    fn tell_once(&self, rooms: &[RoomId], watchers: &[ConnectionId], user: &UserId, news: &mut News<'_>, outbox: &mut Outbox) {
        let mut told = HashSet::new();
        let may_repeat = rooms.len() > 1 || !watchers.is_empty();
        let mut connections = 0;
        let mut tell = |connection: &Arc<Connection>| {
            if !connection.is_of(user) && (!may_repeat || told.insert(connection.id)) {
                connections += 1;
                connection.hear(news, outbox);
            }
        };
        let audiences = self.audiences();
        rooms.iter().filter_map(|room| audiences.get(room)).flatten().for_each(&mut tell);
        drop(audiences);
        watchers.iter().filter_map(|id| self.connection(*id)).for_each(|connection| tell(&connection));
        note_told(news.events, connections);
        tracing::debug!(target: TELLING, { user.id = %user, rooms = rooms.len(), connections }, "others were told of a user");
    }

    /// Tells all connections of a user.
    pub fn tell_user(&self, user: &UserId, event: &'static str, payload: &impl Serialize) {
        self.tell_other_devices(user, None, event, payload);
    }

    /// Tells all connections of a user but the one that it comes from.
    pub fn tell_other_devices(&self, user: &UserId, from: Option<ConnectionId>, event: &'static str, payload: &impl Serialize) {
        let Some(payload) = encoded(payload) else { return };
        let events = [Told { seq: None, event, payload }];
        let mut news = News::new(&events, None, false);
        let mut outbox = Outbox::default();
        let connections = self.connections_of(user);
        let others = connections.iter().filter(|connection| Some(connection.id) != from);
        note_told(&events, others.map(|connection| connection.hear(&mut news, &mut outbox)).count());
        outbox.flush_now();
    }

    /// Whether anybody would hear what is told in a room.
    pub fn is_heard(&self, room: RoomId) -> bool {
        self.audiences().contains_key(&room)
    }

    /// A connection that is there.
    pub fn connection(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        lock(&self.connections).all.get(&id).cloned()
    }

    /// Takes in a connection that has not authenticated.
    pub fn add(&self, connection: Arc<Connection>) {
        lock(&self.connections).all.insert(connection.id, connection);
    }

    /// Forgets a connection; says who it was.
    pub fn remove(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        let connection = {
            let mut connections = lock(&self.connections);
            let connection = connections.all.remove(&id)?;
            if let Some(user) = connection.known_user() {
                connections.part(user.id(), id);
            }
            connection
        };
        connection.set_gone();
        self.withdraw(&connection);
        Some(connection)
    }

    /// Makes a connection that of a user, behind a gate: from now on what the user hears waits for [`open`](Self::open).
    /// A connection that is gone stays gone, and one that is somebody's stays theirs: then this says no.
    pub fn close_gate(&self, connection: &Arc<Connection>, user: &Arc<AuthUser>, slot: Slot<UserId>) -> bool {
        let mut connections = lock(&self.connections);
        if !connections.all.contains_key(&connection.id) || connection.known_user().is_some() {
            return false;
        }
        connection.close_gate();
        connection.become_user(user.clone(), slot);
        connections.by_user.entry(user.id().clone()).or_default().push(connection.clone());
        true
    }

    /// Attaches gated connections to the rooms that their users were just found to be in.
    pub fn attach_gated<'a>(&self, found: impl Iterator<Item = (&'a Arc<Connection>, RoomId)>) {
        let mut audiences = self.audiences_mut();
        for (connection, room) in found {
            if !connection.has_left(room) {
                enter(&mut audiences, connection, room);
            }
        }
    }

    /// Opens the gate: sends the snapshot, a `system:notification`, then what waited and is not in it. Says no, and
    /// keeps the gate closed and empty, when so much waited that the snapshot should be read again. For a connection that
    /// went meanwhile nothing happens.
    pub fn open(&self, connection: &Connection, last_seqs: &HashMap<RoomId, i64>, snapshot: &Value) -> bool {
        encoded(snapshot).is_none_or(|snapshot| connection.open_gate(&snapshot, last_seqs))
    }

    /// Gives up a gated connection whose snapshot could not be read, so that it can be tried again.
    pub fn abandon_gate(&self, connection: &Connection) {
        let mut connections = lock(&self.connections);
        if let Some(user) = connection.take_user() {
            connections.part(user.id(), connection.id);
        }
        drop(connections);
        self.withdraw(connection);
        connection.abandon_gate();
    }

    /// Attaches all connections of a user to a room.
    pub fn attach(&self, user: &UserId, room: RoomId) {
        let mut audiences = self.audiences_mut();
        for connection in self.connections_of(user) {
            connection.came(room);
            enter(&mut audiences, &connection, room);
        }
    }

    /// Takes all connections of a user out of a room: they hear nothing more of it.
    pub fn detach(&self, user: &UserId, room: RoomId) {
        let mut audiences = self.audiences_mut();
        for connection in self.connections_of(user) {
            connection.left(room);
            leave(&mut audiences, &connection, room);
        }
    }

    /// Takes everybody out of a room.
    pub fn dissolve(&self, room: RoomId) {
        let mut audiences = self.audiences_mut();
        // Also those who were found to be in the room and are not attached yet.
        for connection in self.connections() {
            connection.left(room);
        }
        for connection in audiences.remove(&room).unwrap_or_default() {
            lock(&connection.rooms).retain(|other| *other != room);
        }
    }

    /// Takes a connection out of all audiences.
    fn withdraw(&self, connection: &Connection) {
        let mut audiences = self.audiences_mut();
        let rooms = lock(&connection.rooms).clone();
        for room in rooms {
            leave(&mut audiences, connection, room);
        }
    }

    /// Closes a user's connections of some sessions, and says why; but not those that are logging out.
    pub fn end_sessions(&self, user: &UserId, which: Which) {
        for connection in self.connections_of(user) {
            let ended = connection.known_user().is_some_and(|user| which.includes(user.session_id));
            if ended && !connection.logs_out() && !connection.is_closed() {
                connection.refuse(Error::Revoked);
            }
        }
    }

    /// Shows a changed profile in what the user's connections say from now on.
    pub fn renew_profile(&self, profile: &User) {
        for connection in self.connections_of(&profile.id) {
            let mut identity = connection.write();
            if let Some(user) = &identity.user {
                identity.user = Some(Arc::new(AuthUser { user: profile.clone(), ..AuthUser::clone(user) }));
            }
        }
    }

    /// All connections of a user.
    pub fn connections_of(&self, user: &UserId) -> Vec<Arc<Connection>> {
        lock(&self.connections).by_user.get(user).cloned().unwrap_or_default()
    }

    /// All connections.
    pub fn connections(&self) -> Vec<Arc<Connection>> {
        lock(&self.connections).all.values().cloned().collect()
    }

    /// How many users have connections.
    pub fn user_count(&self) -> usize {
        lock(&self.connections).by_user.len()
    }

    fn audiences(&self) -> RwLockReadGuard<'_, HashMap<RoomId, Vec<Arc<Connection>>>> {
        self.audiences.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn audiences_mut(&self) -> RwLockWriteGuard<'_, HashMap<RoomId, Vec<Arc<Connection>>>> {
        self.audiences.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    /// Takes a connection from its user.
    fn part(&mut self, user: &UserId, id: ConnectionId) {
        if let Some(of_user) = self.by_user.get_mut(user) {
            of_user.retain(|other| other.id != id);
            if of_user.is_empty() {
                self.by_user.remove(user);
            }
        }
    }
}

/// Counts what was told to so many connections, once for all of them.
fn note_told(events: &[Told], connections: usize) {
    metrics::FAN_OUT.observe(metrics::size(connections));
    for run in events.chunk_by(|one, next| one.event == next.event) {
        metrics::note_deliveries(run[0].event, run.len() * connections);
    }
}

/// Puts a connection into a room's audience, unless it has ended: it would stay there for ever.
fn enter(audiences: &mut HashMap<RoomId, Vec<Arc<Connection>>>, connection: &Arc<Connection>, room: RoomId) {
    let mut rooms = lock(&connection.rooms);
    if !connection.is_gone() && !rooms.contains(&room) {
        rooms.push(room);
        audiences.entry(room).or_default().push(connection.clone());
    }
}

fn leave(audiences: &mut HashMap<RoomId, Vec<Arc<Connection>>>, connection: &Connection, room: RoomId) {
    lock(&connection.rooms).retain(|other| *other != room);
    if let Some(audience) = audiences.get_mut(&room) {
        if let Some(place) = audience.iter().position(|other| other.id == connection.id) {
            audience.swap_remove(place);
        }
        if audience.is_empty() {
            audiences.remove(&room);
        }
    }
}

/// Locks what a panic may have left: whatever is kept so is whole at any moment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
