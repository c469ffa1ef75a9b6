//! One socket in one namespace: who it is, and whether it may still do anything.

use super::{
    frames::{self, News},
    wire::{Outbox, RequestWire, TooSlow, Upgrades, Wire},
};
use crate::{
    auth::AuthUser,
    error::{Error, ErrorBody},
    limits::Slot,
    metrics,
    rooms::RoomId,
    socket::Lane,
    trace::TraceId,
    users::UserId,
};
use axum::extract::ConnectInfo;
use bytes::Bytes;
use chrono::Utc;
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::{Value, json, value::RawValue};
use socketioxide::{
    SendError, SocketError, TransportType,
    extract::{AckSender, SocketRef},
};
use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
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
    /// Where it came from.
    pub address: IpAddr,
    pub(super) socket: SocketRef,
    /// Rooms in whose audience it is.
    pub(super) rooms: Mutex<Vec<RoomId>>,
    me: Weak<Self>,
    upgrades: Arc<Upgrades>,
    nest_exceptions: bool,
    closed: AtomicBool,
    is_slow: AtomicBool,
    /// Whether it is logging out, and told so by whoever does that.
    logs_out: AtomicBool,
    gone: AtomicBool,
    voice: Mutex<Voice>,
    identity: RwLock<Identity>,
}

/// How it is spoken to.
#[derive(Default)]
struct Voice {
    gate: Option<Gate>,
    road: Road,
}

/// The way that events take to the client.
#[derive(Default)]
enum Road {
    /// Through the engine: polling, and the first word on every wire.
    #[default]
    Engine,
    /// The engine still has to write the last that it was given: what comes after it waits.
    Turning { wire: Arc<Wire>, waiting: Vec<Bytes> },
    /// Framed here, and straight to the wire.
    Wire(Arc<Wire>),
}

/// What waits until a connection has had its snapshot.
#[derive(Default)]
struct Gate {
    /// Whether it heard nothing before: then whatever waits may be dropped, for its snapshot can be read again.
    is_first: bool,
    left: HashSet<RoomId>,
    waiting: Vec<Waiting>,
    overflown: bool,
}

/// A connection whose news wait until a room's snapshot was sent, or this is dropped.
pub struct Held<'a>(&'a Connection);

struct Waiting {
    place: Option<(RoomId, i64)>,
    event: &'static str,
    payload: Arc<RawValue>,
}

/// An acknowledgement that is due.
pub struct Ack {
    /// The way through the engine.
    pub sender: AckSender,
    /// The number that the client gave it; none if it does not wait.
    pub id: Option<i64>,
}

/// One packet on its way to one client.
enum Packet<'a> {
    Event(&'a str, &'a RawValue),
    Ack(Ack, &'a RawValue),
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
pub(super) struct Identity {
    pub user: Option<Arc<AuthUser>>,
    /// Its place among the connections of that user.
    slot: Option<Slot<UserId>>,
    expiring_told: bool,
    waits_for_database: bool,
    showing: Showing,
}

/// What decides whether a connection counts for its user's presence.
#[derive(Default, Clone, Copy, PartialEq)]
struct Showing {
    /// Its client wants it to.
    asked: bool,
    /// Its user does not.
    invisible: bool,
    /// It has ended, and counts no more.
    gone: bool,
}

impl Showing {
    fn counts(self) -> bool {
        self.asked && !self.invisible && !self.gone
    }
}

impl Connection {
    /// A connection that has not authenticated yet.
    pub fn new(socket: SocketRef, address: IpAddr, lane: Lane, upgrades: Arc<Upgrades>, nest_exceptions: bool) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            id: Uuid::new_v4(),
            lane,
            opened: Instant::now(),
            address,
            socket,
            rooms: Mutex::default(),
            me: me.clone(),
            upgrades,
            nest_exceptions,
            closed: AtomicBool::new(false),
            is_slow: AtomicBool::new(false),
            logs_out: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            voice: Mutex::default(),
            identity: RwLock::default(),
        })
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

    /// Remembers who it is for the first time, and the place that it takes.
    pub(super) fn become_user(&self, user: Arc<AuthUser>, slot: Slot<UserId>) {
        let mut identity = self.write();
        identity.showing.invisible = user.invisible;
        identity.user = Some(user);
        identity.slot = Some(slot);
        identity.expiring_told = false;
        identity.waits_for_database = false;
    }

    /// Lets it stay as long as another token of its user lasts, and makes it one of that token's session; unless the token that it
    /// has lasts as long. Gives what counts now.
    pub fn renew(&self, user: Arc<AuthUser>) -> Arc<AuthUser> {
        let mut identity = self.write();
        if let Some(known) = identity.user.as_ref().filter(|known| known.expires_at >= user.expires_at) {
            return known.clone();
        }
        identity.expiring_told = false;
        identity.user.insert(user).clone()
    }

    /// Is nobody's again; says whose it was, if it was anybody's, and gives the place back.
    pub(super) fn take_user(&self) -> Option<Arc<AuthUser>> {
        let mut identity = self.write();
        identity.slot = None;
        identity.user.take()
    }

    /// Gives back the place among the connections of its user, who it is known to have been.
    fn give_back_slot(&self) {
        self.write().slot = None;
    }

    /// Whether it must be told now that its token expires; true once a token.
    pub fn take_expiring_notice(&self) -> bool {
        !std::mem::replace(&mut self.write().expiring_told, true)
    }

    /// Counts it for its user's presence, or no longer. `count` is told whether it counted and whether it does; it runs if
    /// something changed, before there can be another change.
    pub fn set_visible(&self, visible: bool, count: impl FnOnce(bool, bool)) {
        self.show(|showing| showing.asked = visible, count);
    }

    /// The same for what its user wants of all connections.
    pub fn set_invisible(&self, invisible: bool, count: impl FnOnce(bool, bool)) {
        self.show(|showing| showing.invisible = invisible, count);
    }

    /// Counts it no more, whatever is still being done for it.
    pub fn retire(&self, count: impl FnOnce(bool, bool)) {
        self.show(|showing| showing.gone = true, count);
    }

    fn show(&self, change: impl FnOnce(&mut Showing), count: impl FnOnce(bool, bool)) {
        let mut identity = self.write();
        let before = identity.showing;
        change(&mut identity.showing);
        if identity.showing != before && !before.gone {
            count(before.counts(), identity.showing.counts());
        }
    }

    /// Whether it counts for its user's presence.
    pub fn is_shown(&self) -> bool {
        self.read().showing.counts()
    }

    /// Whether its user wants to look offline to others.
    pub fn is_invisible(&self) -> bool {
        self.read().showing.invisible
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

    /// Notes whether it is logging out: then the end of its session is told by that, and not as if somebody else had ended it.
    pub fn set_logs_out(&self, logs_out: bool) {
        self.logs_out.store(logs_out, Ordering::Release);
    }

    /// Whether it is.
    pub fn logs_out(&self) -> bool {
        self.logs_out.load(Ordering::Acquire)
    }

    /// Whether the engine still has it.
    pub fn is_connected(&self) -> bool {
        self.socket.connected()
    }

    /// The namespace that it is in.
    pub fn namespace(&self) -> &str {
        self.socket.ns()
    }

    /// How it is connected, in the protocol's words.
    pub fn transport(&self) -> &'static str {
        match self.socket.transport_type() {
            TransportType::Websocket => "websocket",
            TransportType::Polling => "polling",
        }
    }

    /// What the client's program calls itself.
    pub fn user_agent(&self) -> Option<&str> {
        self.socket.req_parts().headers.get("user-agent")?.to_str().ok()
    }

    /// The first of the rooms in whose audience it is.
    pub fn first_rooms(&self, most: usize) -> Vec<RoomId> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).iter().take(most).copied().collect()
    }

    /// How many bytes wait for the client to read them.
    pub fn backlog(&self) -> usize {
        match &self.voice().road {
            Road::Wire(wire) | Road::Turning { wire, .. } => wire.queued(),
            Road::Engine => 0,
        }
    }

    /// Whether it is in a room's audience.
    pub fn hears(&self, room: RoomId) -> bool {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).contains(&room)
    }

    /// Sends one event to it alone.
    pub fn emit(&self, event: &'static str, payload: &(impl Serialize + ?Sized)) {
        if let Some(payload) = frames::encoded(payload) {
            metrics::note_deliveries(event, 1);
            self.send(&mut self.voice(), Packet::Event(event, &payload), None);
        }
    }

    /// Answers one of its events.
    pub fn acknowledge(&self, ack: Ack, answer: &impl Serialize, outbox: &mut Outbox) {
        if ack.id.is_some()
            && let Some(answer) = frames::encoded(answer)
        {
            self.send(&mut self.voice(), Packet::Ack(ack, &answer), Some(outbox));
        }
    }

    /// Tells it what is told to several.
    pub(super) fn hear(&self, news: &mut News<'_>, outbox: &mut Outbox) {
        if self.is_closed() {
            return;
        }
        let mut voice = self.voice();
        if let Some(gate) = &mut voice.gate {
            for told in news.events {
                let place = news.room.and_then(|room| Some((room, told.seq?)));
                gate.push(Waiting { place, event: told.event, payload: told.payload.clone() });
            }
            if gate.overflown && !gate.is_first {
                self.let_go(&mut voice, None, outbox);
            }
            return;
        }
        if let Road::Wire(wire) = &voice.road {
            if news.is_passing && wire.is_behind() {
                return;
            }
            let pushed = wire.push(news.frames(self.namespace()), outbox);
            self.check(&voice, &pushed);
        } else {
            for told in news.events {
                self.send(&mut voice, Packet::Event(told.event, &told.payload), Some(outbox));
            }
        }
    }

    /// Sends a packet on the road that it is on. On a WebSocket the first one goes through the engine, which may have
    /// packets of its own before it, and marks the place after which everything goes straight to the wire. The mark is a
    /// tab between two tokens: JSON allows it, and no encoder here or in the engine writes one.
    fn send(&self, voice: &mut Voice, packet: Packet<'_>, outbox: Option<&mut Outbox>) {
        match &mut voice.road {
            Road::Wire(wire) => {
                let frame = packet.framed(self.namespace());
                let pushed = if let Some(outbox) = outbox {
                    wire.push(frame, outbox)
                } else {
                    let mut outbox = Outbox::default();
                    let pushed = wire.push(frame, &mut outbox);
                    outbox.flush_now();
                    pushed
                };
                self.check(voice, &pushed);
            }
            Road::Turning { wire, waiting } => {
                let behind = waiting.iter().map(Bytes::len).sum::<usize>() >= wire.limit();
                if !behind {
                    waiting.push(packet.framed(self.namespace()));
                }
                self.check(voice, &if behind { Err(TooSlow) } else { Ok(()) });
            }
            Road::Engine => {
                let mut marked = None;
                if let Some(wire) = self.wire()
                    && let Some((start, payload)) = packet.marked(self.namespace())
                {
                    let me = self.me.clone();
                    let turn = move || me.upgrade().into_iter().for_each(|connection| connection.turn());
                    wire.when_written(start, Box::new(turn));
                    voice.road = Road::Turning { wire, waiting: Vec::new() };
                    marked = Some(payload);
                }
                let sent = match packet {
                    Packet::Event(event, payload) => self.socket.emit(event, marked.as_deref().unwrap_or(payload)),
                    Packet::Ack(ack, payload) => ack.sender.send(marked.as_deref().unwrap_or(payload)),
                };
                if let Err(error) = sent {
                    self.not_sent(&error);
                }
            }
        }
    }

    /// The connection's wire, if it is a WebSocket by now.
    fn wire(&self) -> Option<Arc<Wire>> {
        if self.socket.transport_type() != TransportType::Websocket {
            return None;
        }
        let handshake = self.socket.req_parts();
        if handshake.uri.query().is_some_and(|query| query.contains("transport=websocket")) {
            handshake.extensions.get::<ConnectInfo<RequestWire>>().map(|wire| wire.0.0.clone())
        } else {
            self.upgrades.of(self.socket.id.as_str())
        }
    }

    /// The engine has written its last: from now on everything goes straight to the wire, beginning with what waited.
    fn turn(&self) {
        let mut outbox = Outbox::default();
        let mut voice = self.voice();
        if let Road::Turning { wire, waiting } = std::mem::take(&mut voice.road) {
            let pushed = waiting.into_iter().try_for_each(|frame| wire.push(frame, &mut outbox));
            voice.road = Road::Wire(wire);
            tracing::trace!(connection.id = %self.id, "a connection is told on its wire");
            self.check(&voice, &pushed);
        }
        drop(voice);
        outbox.flush_now();
        if self.is_closed() {
            self.close();
        }
    }

    /// If it reads too slowly it has missed something: better it is closed and comes again than that it goes on with a
    /// hole. It is told so after everything that it did not miss, and hears nothing more.
    fn check(&self, voice: &Voice, pushed: &Result<(), TooSlow>) {
        if pushed.is_ok() || self.is_slow.swap(true, Ordering::AcqRel) {
            return;
        }
        self.note_slow();
        let (Road::Wire(wire) | Road::Turning { wire, .. }) = &voice.road else { return };
        let error = frames::encoded(&Error::SlowConsumer.into_body(TraceId::current()));
        let mut last = error.map(|error| Packet::Event("system:error", &error).framed(self.namespace()).to_vec()).unwrap_or_default();
        last.extend(frames::GOODBYE);
        wire.end_with(last.into());
    }

    /// Something could not be given to the engine. If its buffer is full the client reads too slowly, as in [`check`]; it
    /// is told as soon as there is room.
    ///
    /// [`check`]: Self::check
    fn not_sent(&self, error: &SendError) {
        let full = matches!(error, SendError::Socket(SocketError::InternalChannelFull));
        if full && !self.is_slow.swap(true, Ordering::AcqRel) {
            self.note_slow();
        }
    }

    /// It reads too slowly, and can do nothing more.
    fn note_slow(&self) {
        self.closed.store(true, Ordering::Release);
        metrics::SLOW_CONSUMERS.inc();
        tracing::warn!(connection.id = %self.id, "a client reads too slowly and is closed");
    }

    /// Whether the engine's buffer for it is full. What cannot be encoded is not sent, but room for it is looked for first.
    fn is_full(&self) -> bool {
        let sent = self.socket.emit("", &Unsendable);
        matches!(sent, Err(SendError::Socket(SocketError::InternalChannelFull)))
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
        self.emit("system:notification", &notification(kind, level, message, data));
    }

    /// Says why, and closes it.
    pub fn refuse(&self, error: Error) {
        let trace = TraceId::current();
        let body = error.into_body(trace.clone());
        tracing::info!(trace.id = %trace, connection.id = %self.id, code = body.code(), "a connection is refused");
        self.emit_error(&body);
        self.close();
    }

    /// Ends it: from now on it can do nothing more, even if the engine cannot close it yet. Whoever looks after
    /// connections tries again until it can.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let is_slow = self.is_slow.load(Ordering::Acquire);
        match &self.voice().road {
            // The goodbye must not overtake what still waits.
            Road::Turning { .. } => return,
            // The wire ends by itself.
            Road::Wire(_) if is_slow => return,
            Road::Engine if is_slow && self.is_full() => return,
            Road::Engine | Road::Wire(_) => {}
        }
        if is_slow {
            self.emit_error(&Error::SlowConsumer.into_body(TraceId::current()));
        }
        if let Err(error) = self.socket.clone().disconnect() {
            tracing::debug!(connection.id = %self.id, %error, "a connection could not be closed yet");
        }
    }

    /// The engine's name of its session, if it polls.
    pub fn polling_session(&self) -> Option<&str> {
        (self.socket.transport_type() == TransportType::Polling).then(|| self.socket.id.as_str())
    }

    /// Closes its transport, so that the client comes again by itself: after a goodbye to the namespace, as [`close`] says it, it
    /// would stay away. Says whether all that it was told has left; until then it may be asked again. (One that polls is not closed
    /// here: its poll ends.)
    ///
    /// [`close`]: Self::close
    pub fn send_away(&self) -> bool {
        let wire = match &self.voice().road {
            // Something that it was told is still on its way through the engine.
            Road::Turning { .. } => None,
            Road::Wire(wire) => Some(wire.clone()),
            Road::Engine => self.wire(),
        };
        wire.is_some_and(|wire| {
            wire.end_with(Bytes::from_static(&frames::GOODBYE));
            !wire.is_behind()
        })
    }

    /// Whether it has authenticated and waits for its first snapshot, which must be the first thing that it hears.
    pub fn awaits_snapshot(&self) -> bool {
        self.voice().gate.as_ref().is_some_and(|gate| gate.is_first)
    }

    /// Lets what it hears wait, until the gate is opened.
    pub(super) fn close_gate(&self) {
        self.voice().gate = Some(Gate { is_first: true, ..Gate::default() });
    }

    /// Gives the gate up, and what waits behind it.
    pub(super) fn abandon_gate(&self) {
        self.voice().gate = None;
    }

    /// Opens the gate: sends the snapshot, then what waited and is not in it. Says no, and keeps the gate closed and
    /// empty, when so much waited that the snapshot should be read again.
    pub(super) fn open_gate(&self, snapshot: &RawValue, last_seqs: &HashMap<RoomId, i64>) -> bool {
        let mut voice = self.voice();
        let Some(gate) = &mut voice.gate else { return true };
        if std::mem::take(&mut gate.overflown) {
            gate.waiting.clear();
            return false;
        }
        let mut outbox = Outbox::default();
        metrics::note_deliveries("system:notification", 1);
        self.send(&mut voice, Packet::Event("system:notification", snapshot), Some(&mut outbox));
        let is_told = |(room, seq): (RoomId, i64)| last_seqs.get(&room).is_some_and(|last| seq <= *last);
        self.let_go(&mut voice, Some(&is_told), &mut outbox);
        drop(voice);
        outbox.flush_now();
        true
    }

    /// Lets what it hears wait while a room's snapshot is read, unless it waits already for another.
    pub fn hold(&self) -> Option<Held<'_>> {
        let mut voice = self.voice();
        if voice.gate.is_some() {
            return None;
        }
        voice.gate = Some(Gate::default());
        Some(Held(self))
    }

    /// Opens the gate and sends what waits behind it, but for what the client was told already.
    fn let_go(&self, voice: &mut Voice, is_told: Option<&dyn Fn((RoomId, i64)) -> bool>, outbox: &mut Outbox) {
        for Waiting { place, event, payload } in voice.gate.take().map(|gate| gate.waiting).unwrap_or_default() {
            if !place.zip(is_told).is_some_and(|(place, is_told)| is_told(place)) {
                self.send(voice, Packet::Event(event, &payload), Some(outbox));
            }
        }
    }

    /// The user came into a room: what a gate knows of it is out of date.
    pub(super) fn came(&self, room: RoomId) {
        if let Some(gate) = &mut self.voice().gate {
            gate.left.remove(&room);
        }
    }

    /// The user is no longer in a room: nothing more of it is heard, nor what still waits.
    pub(super) fn left(&self, room: RoomId) {
        if let Some(gate) = &mut self.voice().gate {
            gate.left.insert(room);
            gate.waiting.retain(|waiting| waiting.place.is_none_or(|(place, _)| place != room));
        }
    }

    /// Whether the user left a room while the gate was closed.
    pub(super) fn has_left(&self, room: RoomId) -> bool {
        self.voice().gate.as_ref().is_some_and(|gate| gate.left.contains(&room))
    }

    /// It has ended: it joins no audience any more.
    pub(super) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
        self.give_back_slot();
    }

    /// Whether it has ended.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Whether it is a connection of this user.
    pub(super) fn is_of(&self, user: &UserId) -> bool {
        self.read().user.as_ref().is_some_and(|own| own.id() == user)
    }

    fn voice(&self) -> MutexGuard<'_, Voice> {
        self.voice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Identity> {
        self.identity.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Identity> {
        self.identity.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// Past the limit only what may be dropped is dropped.
    fn push(&mut self, waiting: Waiting) {
        self.overflown |= self.waiting.len() >= GATE_LIMIT;
        if !(self.overflown && self.is_first) {
            self.waiting.push(waiting);
        }
    }
}

impl Held<'_> {
    /// Sends a snapshot of a room up to a number, then what waited and is not in it. Says no when so much waited that it was
    /// let go before.
    pub fn release_after(self, event: &'static str, snapshot: &impl Serialize, (room, last_seq): (RoomId, i64)) -> bool {
        let Some(snapshot) = frames::encoded(snapshot) else { return false };
        let mut outbox = Outbox::default();
        let mut voice = self.0.voice();
        if voice.gate.is_none() {
            return false;
        }
        metrics::note_deliveries(event, 1);
        self.0.send(&mut voice, Packet::Event(event, &snapshot), Some(&mut outbox));
        self.0.let_go(&mut voice, Some(&|(place, seq)| place == room && seq <= last_seq), &mut outbox);
        drop(voice);
        outbox.flush_now();
        true
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut outbox = Outbox::default();
        let mut voice = self.0.voice();
        if voice.gate.as_ref().is_some_and(|gate| !gate.is_first) {
            self.0.let_go(&mut voice, None, &mut outbox);
        }
        drop(voice);
        outbox.flush_now();
    }
}

impl Packet<'_> {
    fn framed(&self, namespace: &str) -> Bytes {
        let mut frame = Vec::new();
        match self {
            Self::Event(event, payload) => frames::append_event(&mut frame, namespace, event, payload),
            Self::Ack(ack, payload) => frames::append_ack(&mut frame, namespace, ack.id.unwrap_or_default(), payload),
        }
        frame.into()
    }

    /// The payload with a mark, and the start of the packet's text by which the mark is known.
    fn marked(&self, namespace: &str) -> Option<(Box<[u8]>, Box<RawValue>)> {
        let (Self::Event(_, payload) | Self::Ack(_, payload)) = self;
        let rest = payload.get().strip_prefix('{')?;
        let marked = RawValue::from_string(format!("{{\t{rest}")).ok()?;
        let namespace = frames::prefix(namespace);
        let start = match self {
            Self::Event(event, _) => format!("2{namespace}[\"{event}\",{{\t"),
            Self::Ack(ack, _) => format!("3{namespace}{}[{{\t", ack.id.unwrap_or_default()),
        };
        Some((start.into_bytes().into(), marked))
    }
}

/// A `system:notification`.
pub fn notification(kind: &str, level: &str, message: &str, data: &impl Serialize) -> Value {
    json!({
        "id": Uuid::now_v7(),
        "type": kind,
        "level": level,
        "message": message,
        "success": level != "warning",
        "data": data,
        "timestamp": crate::time::format(Utc::now()),
    })
}
