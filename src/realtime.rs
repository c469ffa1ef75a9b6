//! What the server says unasked: to a room, to a user, to one connection.
//!
//! A payload is encoded once, whoever hears it. A connection that has just authenticated is *attached* to its rooms
//! before its snapshot is read; until the snapshot is sent, what it would hear waits behind a gate and follows the
//! snapshot, so that nothing falls between the two and the snapshot is the first thing that a client sees.
//!
//! Names of Socket.IO rooms are made here and only here (`room:<id>`, `user:<id>`), so that no text of a client
//! can become one.

use crate::{
    auth::AuthUser,
    error::{Error, ErrorBody, trace_id},
    rooms::RoomId,
    socket::Lane,
    users::{User, UserId},
};
use chrono::Utc;
use futures_util::FutureExt;
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::{json, value::RawValue};
use socketioxide::{BroadcastError, SendError, SocketError, SocketIo, extract::SocketRef};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use uuid::Uuid;

/// Most events that wait behind one gate; with more the snapshot is read again instead.
const GATE_LIMIT: usize = 1_000;

/// The name of a connection; unlike the engine's session id it may be shown.
pub type ConnectionId = Uuid;

/// One socket in one namespace.
pub struct Connection {
    /// A random name.
    pub id: ConnectionId,
    /// The lane in which its events are answered.
    pub lane: Lane,
    /// When it came.
    pub opened: Instant,
    socket: SocketRef,
    nest_exceptions: bool,
    closed: AtomicBool,
    is_slow: AtomicBool,
    identity: RwLock<Identity>,
}

/// What cannot be encoded.
struct Unsendable;

impl Serialize for Unsendable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("this is never sent"))
    }
}

/// What a connection knows about who it is.
#[derive(Default)]
struct Identity {
    user: Option<Arc<AuthUser>>,
    expiring_told: bool,
    waits_for_database: bool,
    showing: Showing,
}

/// Whether a connection counts for its user's presence.
#[derive(Default, PartialEq)]
enum Showing {
    #[default]
    Hidden,
    Shown,
    /// It has ended, and counts no more.
    Gone,
}

impl Connection {
    /// A connection that has not authenticated yet.
    pub fn new(socket: SocketRef, lane: Lane, nest_exceptions: bool) -> Self {
        Self {
            id: Uuid::new_v4(),
            lane,
            opened: Instant::now(),
            socket,
            nest_exceptions,
            closed: AtomicBool::new(false),
            is_slow: AtomicBool::new(false),
            identity: RwLock::default(),
        }
    }

    /// Who it is.
    ///
    /// # Errors
    /// `AUTH_REQUIRED` before it authenticated, `UNAVAILABLE` while its token cannot be checked, `AUTH_REVOKED` after it
    /// was closed.
    pub fn user(&self) -> Result<Arc<AuthUser>, Error> {
        if self.is_closed() {
            return Err(Error::Revoked);
        }
        let identity = self.read();
        let unknown = || if identity.waits_for_database { Error::Unavailable } else { Error::AuthRequired };
        identity.user.clone().ok_or_else(unknown)
    }

    /// Who it is, if it is anybody.
    pub fn known_user(&self) -> Option<Arc<AuthUser>> {
        self.read().user.clone()
    }

    /// Remembers who it is, or a later expiry of the same.
    pub fn set_user(&self, user: Arc<AuthUser>) {
        let mut identity = self.write();
        identity.user = Some(user);
        identity.expiring_told = false;
        identity.waits_for_database = false;
    }

    /// Whether it must be told now that its token expires; true once a token.
    pub fn take_expiring_notice(&self) -> bool {
        !std::mem::replace(&mut self.write().expiring_told, true)
    }

    /// Counts it for its user's presence, or no longer. `count` runs if that is a change, before there can be another.
    pub fn set_visible(&self, visible: bool, count: impl FnOnce()) {
        let mut identity = self.write();
        let showing = if visible { Showing::Shown } else { Showing::Hidden };
        if identity.showing != Showing::Gone && identity.showing != showing {
            identity.showing = showing;
            count();
        }
    }

    /// Counts it no more, whatever is still being done for it.
    pub fn retire(&self, count: impl FnOnce()) {
        if std::mem::replace(&mut self.write().showing, Showing::Gone) == Showing::Shown {
            count();
        }
    }

    /// Whether its token could not be checked yet, for want of a database.
    pub fn waits_for_database(&self) -> bool {
        self.read().waits_for_database
    }

    /// Notes that its token could not be checked yet; says whether that is news.
    pub fn wait_for_database(&self) -> bool {
        !std::mem::replace(&mut self.write().waits_for_database, true)
    }

    /// Whether it may do nothing more. Every handler asks first: a socket whose buffer is full cannot be closed at
    /// once, but it can be ignored.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether the engine still has it.
    pub fn is_connected(&self) -> bool {
        self.socket.connected()
    }

    /// The namespace that it is in.
    pub fn namespace(&self) -> &str {
        self.socket.ns()
    }

    /// Whether it is attached to a room.
    pub fn hears(&self, room: RoomId) -> bool {
        let name = room_name(room);
        self.socket.rooms().iter().any(|room| *room == name)
    }

    /// Sends one event to it alone.
    pub fn emit(&self, event: &str, payload: &(impl Serialize + ?Sized)) {
        if let Err(error) = self.socket.emit(event, payload) {
            self.not_sent(&error);
        }
    }

    /// Something could not be sent to it. If its buffer is full it reads too slowly and has missed something: better it
    /// is closed and comes again than that it goes on with a hole. It hears nothing more, and is told as soon as
    /// there is room.
    pub fn not_sent(&self, error: &SendError) {
        let full = matches!(error, SendError::Socket(SocketError::InternalChannelFull));
        if full && !self.is_slow.swap(true, Ordering::AcqRel) {
            self.closed.store(true, Ordering::Release);
            self.socket.leave_all();
            tracing::warn!(connection.id = %self.id, "a client reads too slowly and is closed");
        }
    }

    /// Whether its buffer is full. What cannot be encoded is not sent, but room for it is looked for first.
    fn is_full(&self) -> Option<SendError> {
        let error = self.socket.emit("", &Unsendable).err()?;
        matches!(error, SendError::Socket(SocketError::InternalChannelFull)).then_some(error)
    }

    /// Sends `system:error`, and its twin for clients of `NestJS`.
    pub fn emit_error(&self, error: &ErrorBody) {
        self.emit("system:error", error);
        if self.nest_exceptions {
            self.emit("exception", &json!({ "status": "error", "message": error.message(), "code": error.code() }));
        }
    }

    /// Sends `system:notification`.
    pub fn notify(&self, kind: &str, level: &str, message: &str, data: &impl Serialize) {
        let notification = json!({
            "id": Uuid::now_v7(),
            "type": kind,
            "level": level,
            "message": message,
            "success": level != "warning",
            "data": data,
            "timestamp": crate::time::format(Utc::now()),
        });
        self.emit("system:notification", &notification);
    }

    /// Says why, and closes it.
    pub fn refuse(&self, error: Error) {
        let body = error.into_body(trace_id());
        tracing::info!(connection.id = %self.id, code = body.code(), "a connection is refused");
        self.emit_error(&body);
        self.close();
    }

    /// Ends it: from now on it can do nothing more, even if the engine cannot close it yet. Whoever looks after
    /// connections tries again until it can.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if self.is_slow.load(Ordering::Acquire) {
            if self.is_full().is_some() {
                return;
            }
            self.emit_error(&Error::SlowConsumer.into_body(trace_id()));
        }
        if let Err(error) = self.socket.clone().disconnect() {
            tracing::debug!(connection.id = %self.id, %error, "a connection could not be closed yet");
        }
    }

    fn join(&self, room: String) {
        if self.socket.connected() && !self.is_closed() {
            self.socket.join(room);
            // A join that raced with the disconnect would leave a ghost in the room.
            if !self.socket.connected() {
                self.socket.leave_all();
            }
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Identity> {
        self.identity.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Identity> {
        self.identity.write().unwrap_or_else(PoisonError::into_inner)
    }
}

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
        self.tell_rooms(&[room], seq, event, payload, None);
    }

    /// Tells everybody in any of these rooms once, but not this user.
    pub fn tell_others(&self, rooms: &[RoomId], user: &UserId, event: &'static str, payload: &impl Serialize) {
        self.tell_rooms(rooms, None, event, payload, Some(user));
    }

    fn tell_rooms(&self, rooms: &[RoomId], seq: Option<i64>, event: &'static str, payload: &impl Serialize, except: Option<&UserId>) {
        // Socketioxide takes no room at all for every room there is.
        if rooms.is_empty() {
            return;
        }
        let Some(payload) = encoded(payload) else { return };
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
            match audience.emit(event, &payload).now_or_never() {
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

    /// Tells one connection of a user.
    pub fn tell_connection(&self, user: &UserId, id: ConnectionId, event: &'static str, payload: &impl Serialize) {
        if let Some(connection) = self.connections_of(user).into_iter().find(|connection| connection.id == id) {
            connection.emit(event, payload);
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
        if let Some(user) = connection.known_user()
            && let Some(of_user) = connections.by_user.get_mut(user.id())
        {
            of_user.retain(|other| other.id != id);
            if of_user.is_empty() {
                connections.by_user.remove(user.id());
            }
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
            let mut gate = lock(gate);
            let stays: Vec<RoomId> = rooms.into_iter().filter(|room| !gate.left.contains(room)).collect();
            gate.rooms.extend(stays);
        }
    }

    /// Opens the gate: sends the snapshot, then what waited and is not in it, then attaches for good. Says no, and
    /// keeps the gate closed and empty, when so much waited that the snapshot should be read again. For a connection
    /// that went meanwhile nothing happens.
    pub fn open(&self, connection: &Connection, last_seqs: &HashMap<RoomId, i64>, snapshot: impl FnOnce(&Connection)) -> bool {
        let mut gates = self.gates.write().unwrap_or_else(PoisonError::into_inner);
        {
            let Some(gate) = gates.get(&connection.id) else { return true };
            let mut gate = lock(gate);
            if std::mem::take(&mut gate.overflown) {
                gate.waiting.clear();
                return false;
            }
        }
        let Some(gate) = gates.remove(&connection.id) else { return true };
        let gate = gate.into_inner().unwrap_or_else(PoisonError::into_inner);
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
        if let Some(of_user) = user.and_then(|user| connections.by_user.get_mut(user.id())) {
            of_user.retain(|other| other.id != connection.id);
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
