//! One socket in one namespace: who it is, and whether it may still do anything. What it is told leaves by its [`voice`], and waits
//! behind a [`gate`] while a snapshot is read.

mod gate;
mod voice;

pub use voice::Ack;

use super::wire::Upgrades;
use crate::{
    auth::AuthUser,
    error::{Error, ErrorBody},
    limits::Slot,
    rooms::RoomId,
    socket::Lane,
    trace::TraceId,
    users::UserId,
};
use chrono::Utc;
use serde::Serialize;
use serde_json::{Value, json};
use socketioxide::{TransportType, extract::SocketRef};
use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use uuid::Uuid;
use voice::Voice;

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
    pub(in crate::realtime) socket: SocketRef,
    /// Rooms in whose audience it is.
    pub(in crate::realtime) rooms: Mutex<Vec<RoomId>>,
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

/// What a connection knows about who it is.
#[derive(Default)]
pub(in crate::realtime) struct Identity {
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
    pub(in crate::realtime) fn become_user(&self, user: Arc<AuthUser>, slot: Slot<UserId>) {
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
    pub(in crate::realtime) fn take_user(&self) -> Option<Arc<AuthUser>> {
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

    /// Whether it is in a room's audience.
    pub fn hears(&self, room: RoomId) -> bool {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).contains(&room)
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

    /// The engine's name of its session, if it polls.
    pub fn polling_session(&self) -> Option<&str> {
        (self.socket.transport_type() == TransportType::Polling).then(|| self.socket.id.as_str())
    }

    /// It has ended: it joins no audience any more.
    pub(in crate::realtime) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
        self.give_back_slot();
    }

    /// Whether it has ended.
    pub(in crate::realtime) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Whether it is a connection of this user.
    pub(in crate::realtime) fn is_of(&self, user: &UserId) -> bool {
        self.read().user.as_ref().is_some_and(|own| own.id() == user)
    }

    pub(in crate::realtime) fn read(&self) -> RwLockReadGuard<'_, Identity> {
        self.identity.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::realtime) fn write(&self) -> RwLockWriteGuard<'_, Identity> {
        self.identity.write().unwrap_or_else(PoisonError::into_inner)
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
