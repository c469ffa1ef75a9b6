//! What the server says unasked: to a room, to a user, to one connection.
//!
//! A payload is encoded once, whoever hears it. A connection that has just authenticated is *attached* to its rooms
//! before its snapshot is read; until the snapshot is sent, what it would hear waits behind a gate and follows the
//! snapshot, so that nothing falls between the two and the snapshot is the first thing that a client sees.
//!
//! Names of Socket.IO rooms are made here and only here (`room:<id>`, `user:<id>`), so that no text of a client
//! can become one.

mod connection;

pub use connection::{Connection, ConnectionId};

use crate::{
    auth::AuthUser,
    error::Error,
    rooms::RoomId,
    users::{User, UserId},
};
use futures_util::FutureExt;
use serde::Serialize;
use serde_json::value::RawValue;
use socketioxide::{BroadcastError, SocketError, SocketIo};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock},
};
use uuid::Uuid;

/// Most events that wait behind one gate; with more the snapshot is read again instead.
const GATE_LIMIT: usize = 1_000;

/// All connections of this process, and the way to them.
#[derive(Default)]
pub struct Realtime {
    io: OnceLock<SocketIo>,
    namespaces: Vec<String>,
    connections: Mutex<Connections>,
    gates: RwLock<HashMap<ConnectionId, Mutex<Gate>>>,
}

#[derive(Default)]
struct Connections {
    all: HashMap<ConnectionId, Arc<Connection>>,
    by_user: HashMap<UserId, Vec<Arc<Connection>>>,
}

/// What waits until a connection has had its snapshot.
struct Gate {
    user: UserId,
    rooms: HashSet<RoomId>,
    left: HashSet<RoomId>,
    waiting: Vec<Waiting>,
    overflown: bool,
}

struct Waiting {
    place: Option<(RoomId, i64)>,
    event: &'static str,
    payload: Arc<RawValue>,
}

impl Realtime {
    /// Prepares for these namespaces.
    pub fn new(namespaces: Vec<String>) -> Self {
        Self { namespaces, ..Self::default() }
    }

    /// Gets the way to the sockets, once the server is assembled.
    pub fn connect(&self, io: SocketIo) {
        let _ = self.io.set(io);
    }

    /// Tells everybody in a room. `seq` is the room's number of what is told, if it has one.
    pub fn tell_room(&self, room: RoomId, seq: Option<i64>, event: &'static str, payload: &impl Serialize) {
        if let Some(payload) = encoded(payload) {
            self.tell_encoded(room, seq, event, &payload);
        }
    }

    /// Tells everybody in a room what is encoded already.
    pub fn tell_encoded(&self, room: RoomId, seq: Option<i64>, event: &'static str, payload: &Arc<RawValue>) {
        self.tell_rooms(&[room], seq, event, payload, None);
    }

    /// Tells everybody in any of these rooms once, but not this user.
    pub fn tell_others(&self, rooms: &[RoomId], user: &UserId, event: &'static str, payload: &impl Serialize) {
        if let Some(payload) = encoded(payload) {
            self.tell_rooms(rooms, None, event, &payload, Some(user));
        }
    }

    fn tell_rooms(&self, rooms: &[RoomId], seq: Option<i64>, event: &'static str, payload: &Arc<RawValue>, except: Option<&UserId>) {
        // Socketioxide takes no room at all for every room there is.
        if rooms.is_empty() {
            return;
        }
        let Some(io) = self.io.get() else { return };
        // Held until all is sent: a gate opens either before or after, never in between.
        let gates = self.gates.read().unwrap_or_else(PoisonError::into_inner);
        for gate in gates.values() {
            let mut gate = lock(gate);
            if Some(&gate.user) != except && rooms.iter().any(|room| gate.rooms.contains(room)) {
                gate.push(Waiting { place: seq.and_then(|seq| Some((*rooms.first()?, seq))), event, payload: payload.clone() });
            }
        }
        let names: Vec<String> = rooms.iter().map(|room| room_name(*room)).collect();
        for namespace in &self.namespaces {
            let Some(mut audience) = io.of(namespace).map(|io| io.within(names.clone())) else { continue };
            if let Some(user) = except {
                audience = audience.except(user_name(user));
            }
            // The local adapter never waits.
            match audience.emit(event, payload).now_or_never() {
                Some(Err(BroadcastError::Socket(errors))) if errors.iter().any(|error| matches!(error, SocketError::InternalChannelFull)) => {
                    self.close_slow(rooms);
                }
                // Those who are just leaving, most often.
                Some(Err(error)) => tracing::debug!(event, %error, "some connections could not be told"),
                Some(Ok(())) | None => {}
            }
        }
    }

    /// A broadcast does not say whom it could not reach: finds those whose buffers are full.
    fn close_slow(&self, rooms: &[RoomId]) {
        for connection in self.connections() {
            if rooms.iter().any(|room| connection.hears(*room))
                && let Some(error) = connection.is_full()
            {
                connection.not_sent(&error);
            }
        }
    }

    /// Tells all connections of a user.
    pub fn tell_user(&self, user: &UserId, event: &'static str, payload: &impl Serialize) {
        let Some(payload) = encoded(payload) else { return };
        let gates = self.gates.read().unwrap_or_else(PoisonError::into_inner);
        for connection in self.connections_of(user) {
            match gates.get(&connection.id) {
                Some(gate) => lock(gate).push(Waiting { place: None, event, payload: payload.clone() }),
                None => connection.emit(event, &payload),
            }
        }
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
        self.gates.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let mut connections = lock(&self.connections);
        let connection = connections.all.remove(&id)?;
        if let Some(user) = connection.known_user() {
            connections.part(user.id(), id);
        }
        Some(connection)
    }

    /// Makes a connection that of a user, behind a gate: from now on what the user hears waits for [`open`](Self::open).
    /// A connection that is gone stays gone: then this says no.
    pub fn close_gate(&self, connection: &Arc<Connection>, user: &Arc<AuthUser>) -> bool {
        let mut gates = self.gates.write().unwrap_or_else(PoisonError::into_inner);
        let mut connections = lock(&self.connections);
        if !connections.all.contains_key(&connection.id) {
            return false;
        }
        let gate = Gate { user: user.id().clone(), rooms: HashSet::new(), left: HashSet::new(), waiting: Vec::new(), overflown: false };
        gates.insert(connection.id, Mutex::new(gate));
        connection.set_user(user.clone());
        connections.by_user.entry(user.id().clone()).or_default().push(connection.clone());
        true
    }

    /// Attaches a gated connection to the rooms that its user was just found to be in.
    pub fn attach_gated(&self, id: ConnectionId, rooms: Vec<RoomId>) {
        let gates = self.gates.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(&id) {
            let Gate { rooms: attached, left, .. } = &mut *lock(gate);
            attached.extend(rooms.into_iter().filter(|room| !left.contains(room)));
        }
    }

    /// Opens the gate: sends the snapshot, then what waited and is not in it, then attaches for good. Says no, and
    /// keeps the gate closed and empty, when so much waited that the snapshot should be read again. For a connection
    /// that went meanwhile nothing happens.
    pub fn open(&self, connection: &Connection, last_seqs: &HashMap<RoomId, i64>, snapshot: impl FnOnce(&Connection)) -> bool {
        let mut gates = self.gates.write().unwrap_or_else(PoisonError::into_inner);
        let Some(gate) = gates.remove(&connection.id) else { return true };
        let mut gate = gate.into_inner().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut gate.overflown) {
            gate.waiting.clear();
            gates.insert(connection.id, Mutex::new(gate));
            return false;
        }
        snapshot(connection);
        for waiting in gate.waiting {
            let told = waiting.place.is_some_and(|(room, seq)| last_seqs.get(&room).is_some_and(|last| seq <= *last));
            if !told {
                connection.emit(waiting.event, &waiting.payload);
            }
        }
        connection.join(user_name(&gate.user));
        for room in gate.rooms {
            connection.join(room_name(room));
        }
        true
    }

    /// Gives up a gated connection whose snapshot could not be read, so that it can be tried again.
    pub fn abandon_gate(&self, connection: &Connection) {
        self.gates.write().unwrap_or_else(PoisonError::into_inner).remove(&connection.id);
        let mut connections = lock(&self.connections);
        let user = connection.write().user.take();
        if let Some(user) = user {
            connections.part(user.id(), connection.id);
        }
    }

    /// Attaches all connections of a user to a room.
    pub fn attach(&self, user: &UserId, room: RoomId) {
        let gates = self.gates.read().unwrap_or_else(PoisonError::into_inner);
        for connection in self.connections_of(user) {
            match gates.get(&connection.id) {
                Some(gate) => {
                    let mut gate = lock(gate);
                    gate.left.remove(&room);
                    gate.rooms.insert(room);
                }
                None => connection.join(room_name(room)),
            }
        }
    }

    /// Takes all connections of a user out of a room: they hear nothing more of it.
    pub fn detach(&self, user: &UserId, room: RoomId) {
        let gates = self.gates.read().unwrap_or_else(PoisonError::into_inner);
        for connection in self.connections_of(user) {
            match gates.get(&connection.id) {
                Some(gate) => {
                    let mut gate = lock(gate);
                    gate.left.insert(room);
                    gate.rooms.remove(&room);
                    gate.waiting.retain(|waiting| waiting.place.is_none_or(|(place, _)| place != room));
                }
                None => connection.socket.leave(room_name(room)),
            }
        }
    }

    /// Takes everybody out of a room.
    pub fn dissolve(&self, room: RoomId) {
        let gates = self.gates.read().unwrap_or_else(PoisonError::into_inner);
        for gate in gates.values() {
            let mut gate = lock(gate);
            gate.left.insert(room);
            gate.rooms.remove(&room);
        }
        for connection in self.connections() {
            connection.socket.leave(room_name(room));
        }
    }

    /// Closes a user's connections of one session, or all of them, but one, and says why.
    pub fn end_sessions(&self, user: &UserId, session: Option<Uuid>, except: Option<ConnectionId>) {
        for connection in self.connections_of(user) {
            let ended = connection.known_user().is_some_and(|user| session.is_none_or(|session| user.session_id == session));
            if ended && Some(connection.id) != except && !connection.is_closed() {
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

impl Gate {
    fn push(&mut self, waiting: Waiting) {
        if self.waiting.len() < GATE_LIMIT {
            self.waiting.push(waiting);
        } else {
            self.overflown = true;
        }
    }
}

fn encoded(payload: &impl Serialize) -> Option<Arc<RawValue>> {
    match serde_json::value::to_raw_value(payload) {
        Ok(raw) => Some(raw.into()),
        Err(error) => {
            tracing::error!(%error, "a payload could not be encoded");
            None
        }
    }
}

fn room_name(room: RoomId) -> String {
    format!("room:{room}")
}

fn user_name(user: &UserId) -> String {
    format!("user:{}", user.as_str())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
