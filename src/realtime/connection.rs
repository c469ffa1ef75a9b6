//! One socket in one namespace: who it is, and whether it may still do anything.

use super::room_name;
use crate::{
    auth::AuthUser,
    error::{Error, ErrorBody, trace_id},
    rooms::RoomId,
    socket::Lane,
};
use chrono::Utc;
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::json;
use socketioxide::{SendError, SocketError, extract::SocketRef};
use std::{
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use uuid::Uuid;

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
    pub(super) socket: SocketRef,
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
pub(super) struct Identity {
    pub user: Option<Arc<AuthUser>>,
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
    pub(super) fn is_full(&self) -> Option<SendError> {
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

    /// Attaches it to a Socket.IO room.
    pub(super) fn join(&self, room: String) {
        if self.socket.connected() && !self.is_closed() {
            self.socket.join(room);
            // A join that raced with the disconnect would leave a ghost in the room.
            if !self.socket.connected() {
                self.socket.leave_all();
            }
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Identity> {
        self.identity.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Identity> {
        self.identity.write().unwrap_or_else(PoisonError::into_inner)
    }
}
