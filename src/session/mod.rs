//! The life of a socket: admitted, authenticated, told what it needs to begin, watched, and closed.
//!
//! A socket is admitted in socketioxide's connect middleware, which runs before the client is told that it is
//! connected: that is where its events are registered, for those that come before would be lost. Its lane opens when
//! it is connected, and the first thing in the lane is who it is.

pub mod notices;

use crate::{
    app::App,
    auth::{self, AuthUser, http::LogOut, require_user_type},
    error::{Error, Result},
    gathering::Gathering,
    limits::{Class, Slot, http::Visitor},
    lobby::{self, views::Overview},
    messages, metrics,
    payload::Length,
    pool::Pool,
    presence,
    realtime::{Connection, ConnectionId, Realtime, notification},
    receipts, rooms,
    socket::{Answer, Dispatcher, Event, Incoming, Lane, Outcome, ServerEvent},
    specs::schemas::{Nothing, shape},
    sync,
    time::every,
    trace::TraceId,
    users::{UserId, UserType},
};
use chrono::{TimeDelta, Utc};
use futures_util::{FutureExt, future::BoxFuture};
use notices::{Authenticated, Features, Limits, LogIn, LoggedOut, SessionReady, TokenExpiring};
use serde_json::{Value, json};
use socketioxide::{
    extract::{Extension, SocketRef},
    socket::DisconnectReason,
};
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::sleep;

/// Most rooms in `session.ready`; the others are listed over REST.
const READY_ROOMS: i64 = 1_000;
/// How often sockets and typing are looked after.
const TICK: Duration = Duration::from_millis(250);
/// How often rooms that were made slow elsewhere are looked for.
const SLOW_EVERY: Duration = Duration::from_secs(1);
/// How often quiet rooms tell their size (the contract's 5 s).
const SIZES_EVERY: u32 = 5;
/// How often expired sessions are removed: every hour.
const EXPIRED_EVERY: u32 = 3_600;
/// How often sessions that have upgraded are forgotten: every 5 s.
const CLEAN_EVERY: u32 = 20;
/// How often buckets that are full again are forgotten: every minute.
const FORGET_EVERY: u32 = 240;
/// How long a socket may take from its admission to its connection.
const ADMISSION: Duration = Duration::from_secs(30);

/// Every event that clients may emit: dispatch and `AsyncAPI` are made of this.
pub static EVENTS: &[Event] = &[
    messages::socket::MESSAGE,
    messages::changes::socket::EDIT,
    messages::changes::socket::DELETE,
    messages::pins::socket::PIN,
    messages::pins::socket::UNPIN,
    messages::reactions::socket::ADD,
    messages::reactions::socket::REMOVE,
    presence::socket::TYPING,
    presence::socket::SUBSCRIBE,
    presence::socket::UPDATE,
    receipts::socket::READ,
    receipts::socket::UNREAD,
    lobby::socket::CREATE,
    lobby::socket::JOIN,
    lobby::socket::LEAVE,
    lobby::socket::UPDATE,
    lobby::socket::INVITE,
    lobby::socket::KICK,
    lobby::socket::BAN,
    lobby::socket::UNBAN,
    lobby::socket::MUTE,
    lobby::socket::ROLE,
    sync::socket::SYNC,
    LOGIN,
    LOGOUT,
];

/// Every event that the server tells.
pub static TOLD: &[&[ServerEvent]] = &[
    messages::socket::TOLD,
    messages::changes::socket::TOLD,
    messages::pins::socket::TOLD,
    messages::reactions::socket::TOLD,
    presence::socket::TOLD,
    receipts::socket::TOLD,
    lobby::socket::TOLD,
    notices::TOLD,
];

/// `auth:login`.
const LOGIN: Event = Event {
    name: "auth:login",
    class: Class::Connect,
    about: "Says who one is, or brings a new token before the old one expires. A socket stays that of one user.",
    payload: shape::<LogIn>,
    answer: shape::<Authenticated>,
    refusals: &[Error::TokenInvalid(""), Error::TokenExpired, Error::UserTypeInvalid, Error::IdentityMismatch, Error::ConnectionLimit],
    open: true,
    overtakes: false,
    handler: on_login,
};

/// `auth:logout`.
const LOGOUT: Event = Event {
    name: "auth:logout",
    class: Class::Any,
    about: "Ends the session, or all sessions of the user, and closes their sockets.",
    payload: shape::<Option<LogOut>>,
    answer: shape::<Nothing>,
    refusals: &[],
    open: false,
    overtakes: false,
    handler: on_logout,
};

/// Admits a socket: finds out who it is, makes its lane, registers its events. In strict mode an error refuses it,
/// with a message that begins with the code, for Socket.IO carries no more.
///
/// # Errors
/// What `connect_error` will say.
pub async fn admit(app: App, socket: SocketRef, auth: Option<Value>, strict: bool) -> Result<(), String> {
    let authorization = socket.req_parts().headers.get("authorization").and_then(|value| value.to_str().ok());
    let token = presented_token(authorization, auth.as_ref());
    let visitor = socket.req_parts().extensions.get::<Visitor>().cloned().ok_or("INTERNAL_ERROR: a handshake without an address")?;
    // The handshake has paid for its first namespace.
    let refusal = if visitor.is_new() { None } else { app.limits.take_of_address(Class::Connect, visitor.address()).refusal() };
    let found = match (&token, refusal) {
        (_, Some(error)) => Err(error),
        (Some(token), None) => enter(&app, token, socket.ns()).await,
        (None, None) => Err(Error::TokenMissing),
    };
    if let (true, Err(error)) = (strict, &found) {
        let (code, _) = error.code();
        metrics::note_error(code);
        tracing::info!(code, "a connection is refused in the handshake");
        return Err(format!("{code}: {error}"));
    }
    let (upgrades, nest_exceptions) = (app.realtime.upgrades.clone(), app.settings.sockets.compat_nest_exception);
    let connection = Connection::new(socket.clone(), visitor.address(), Lane::default(), upgrades, nest_exceptions);
    socket.extensions.insert(connection.id);
    socket.on_fallback(Dispatcher { app: app.clone(), connection: Arc::downgrade(&connection), events: EVENTS });
    let (left, id) = (app.clone(), connection.id);
    socket.on_disconnect(async move |reason: DisconnectReason| leave(&left, id, reason));
    if let Some(token) = token {
        connection.lane.begin_with(begin(app.clone(), Arc::downgrade(&connection), found, token));
    }
    metrics::CONNECTIONS.inc();
    app.realtime.add(connection);
    Ok(())
}

/// The client has been told that it is connected.
pub fn connected(app: &App, Extension(id): &Extension<ConnectionId>) {
    if let Some(connection) = app.realtime.connection(*id) {
        connection.lane.open();
    }
}

/// `auth.token` of the handshake, or a bearer token of its HTTP request. What is no text is no valid token either.
pub(crate) fn presented_token(authorization: Option<&str>, auth: Option<&Value>) -> Option<String> {
    let given = auth.and_then(|auth| auth.get("token")).filter(|token| !token.is_null());
    let given = given.map(|token| token.as_str().map_or_else(|| token.to_string(), str::to_owned));
    let header = || {
        let value = authorization?;
        value.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("bearer ")).map(|_| value[7..].to_owned())
    };
    given.or_else(header).filter(|token| !token.is_empty())
}

/// Finds out who holds a token, and whether such a user is admitted to a namespace: `/admin` is for admins.
async fn log_in(app: &App, token: &str, claimed_type: Option<&str>, namespace: &str) -> Result<AuthUser> {
    // Many frontends pass their whole Authorization header on.
    let user = auth::authenticate(app, token.strip_prefix("Bearer ").unwrap_or(token)).await?;
    // REST lets clocks differ by more; here it would be cut at once, and come back again and again.
    if has_expired(app, &user) {
        return Err(Error::TokenExpired);
    }
    require_user_type(&user, claimed_type)?;
    if namespace == "/admin" && user.user.user_type != UserType::Admin {
        return Err(Error::UserTypeInvalid);
    }
    Ok(user)
}

/// Somebody who may come in, with a place among the connections of their user.
type Entrant = (AuthUser, Slot<UserId>);

/// Finds out who holds the token that a socket brought, and gives it a place.
async fn enter(app: &App, token: &str, namespace: &str) -> Result<Entrant> {
    let user = app.in_time(log_in(app, token, None, namespace)).await?;
    let slot = app.limits.connect_user(user.id())?;
    Ok((user, slot))
}

/// The first thing in the lane of a socket that brought a token.
fn begin(app: App, connection: Weak<Connection>, found: Result<Entrant>, token: String) -> BoxFuture<'static, ()> {
    async move {
        let Some(connection) = connection.upgrade() else { return };
        // While its first token waited for the database, the client may have logged in with another.
        if connection.known_user().is_some() || connection.is_closed() {
            return;
        }
        let established = match found {
            Ok(entrant) => app.in_time(establish(&app, &connection, entrant)).await,
            Err(error) => Err(error),
        };
        match established {
            Ok(()) => {}
            Err(Error::Unavailable) => {
                if connection.wait_for_database() {
                    connection.emit_error(&Error::Unavailable.into_body(TraceId::current()));
                }
                tokio::spawn(try_again(app, Arc::downgrade(&connection), token));
            }
            Err(error) => connection.refuse(error),
        }
    }
    .boxed()
}

/// A socket whose token could not be checked, for want of a database, is let in when it is back.
async fn try_again(app: App, connection: Weak<Connection>, token: String) {
    sleep(Duration::from_secs(1)).await;
    let Some(known) = connection.upgrade() else { return };
    let found = enter(&app, &token, known.namespace()).await;
    if known.is_connected() && !known.is_closed() {
        known.lane.begin_with(begin(app, connection, found, token));
    }
}

/// Makes a socket that of a user: attaches it to the user's rooms, sends `session.ready`, and lets what happened
/// meanwhile follow.
async fn establish(app: &App, connection: &Arc<Connection>, (user, slot): Entrant) -> Result<()> {
    let user = Arc::new(user);
    if !app.realtime.close_gate(connection, &user, slot) {
        return Ok(());
    }
    let mut gate = Gated { app, connection, open: false };
    loop {
        let overviews = app.arrivals.ask(Arrival { connection: connection.clone(), user: user.id().clone() }).await?;
        let last_seqs: HashMap<_, _> = overviews.iter().map(|overview| (overview.room.id, overview.room.last_seq)).collect();
        if app.realtime.open(connection, &last_seqs, &ready(app, connection, &user, &overviews)) {
            break;
        }
    }
    gate.open = true;
    presence::update(app, connection, user.id(), true);
    tracing::info!(connection.id = %connection.id, user.id = %user.id(), session.id = %user.session_id, namespace = connection.namespace(), "a user connected");
    Ok(())
}

/// Somebody who has just authenticated, on a connection whose gate is closed.
#[derive(Clone)]
pub struct Arrival {
    connection: Arc<Connection>,
    user: UserId,
}

/// The line in which arrivals wait to be attached to their rooms, and for what there is to see in them.
pub type Arrivals = Gathering<Arrival, Vec<Overview>>;

/// Opens the line.
pub fn arrivals(db: Pool, realtime: Arc<Realtime>, patience: Duration) -> Arrivals {
    Gathering::start(patience, move |arrivals| let_in(db.clone(), realtime.clone(), arrivals))
}

/// Attaches connections to their rooms, and only then reads what there is to see: whatever happens from now on waits behind
/// their gates.
async fn let_in(db: Pool, realtime: Arc<Realtime>, arrivals: Vec<Arrival>) -> Result<Vec<Vec<Overview>>> {
    let users: Vec<&UserId> = arrivals.iter().map(|arrival| &arrival.user).collect();
    let found = rooms::members::store::rooms_of_each(&db, &users).await?;
    realtime.attach_gated(found.into_iter().map(|(place, room)| (&arrivals[place].connection, room)));
    let seats = rooms::store::seats_of_each(&db, &users, READY_ROOMS).await?;
    let (places, seats): (Vec<usize>, Vec<_>) = seats.into_iter().map(|(place, seat)| (place, (users[place], seat))).unzip();
    let mut overviews: Vec<Vec<Overview>> = arrivals.iter().map(|_| Vec::new()).collect();
    for (place, overview) in places.into_iter().zip(lobby::views::overviews_of_each(&mut *db.lend().await?, seats).await?) {
        overviews[place].push(overview);
    }
    for overviews in &mut overviews {
        lobby::views::shed_previews(overviews);
    }
    Ok(overviews)
}

/// Gives a connection up as nobody's again when establishing it fails, or is cancelled.
struct Gated<'a> {
    app: &'a App,
    connection: &'a Connection,
    open: bool,
}

impl Drop for Gated<'_> {
    fn drop(&mut self) {
        if !self.open {
            self.app.realtime.abandon_gate(self.connection);
        }
    }
}

fn ready(app: &App, connection: &Connection, user: &AuthUser, rooms: &[Overview]) -> Value {
    let data = SessionReady {
        protocol: 1,
        user: &user.user,
        connection_id: connection.id,
        session_id: user.session_id,
        token_expires_at: user.expires_at,
        server_time: Utc::now(),
        epoch: app.epoch,
        limits: Limits::of(app, user.user.user_type),
        features: Features { registration: !app.accounts_live_elsewhere(), auto_create_rooms: app.settings.chat.auto_create_rooms },
        default_room_id: app.default_room,
        invisible: connection.is_invisible(),
        rooms,
    };
    notification("session.ready", "success", "Authenticated.", &data)
}

/// `auth:login {token, userType?}`.
fn on_login(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let mut fields = incoming.fields()?;
        let token = fields.required_text("token", Length::new(1, 100_000));
        let user_type = fields.text("userType", Length::new(1, 32));
        let warnings = fields.finish()?;
        let Incoming { app, connection, .. } = incoming;
        if connection.is_closed() {
            return Err(Error::Revoked);
        }
        let found = log_in(&app, &token, user_type.as_deref(), connection.namespace()).await;
        // Only now: an earlier log-in that took too long to be answered may just have been done.
        let known = connection.known_user();
        let user = match found {
            Ok(user) => user,
            // Who is in stays in; who is not, is out.
            Err(error) if known.is_some() || matches!(error, Error::Unavailable) => return Err(error),
            Err(error) => return Ok(Outcome::Refused(error)),
        };
        let authenticated =
            |user: &AuthUser| Authenticated { user: user.user.clone(), session_id: user.session_id, token_expires_at: user.expires_at };
        let mut data = authenticated(&user);
        match known {
            Some(known) if known.id() != user.id() => return Err(Error::IdentityMismatch),
            Some(_) => {
                data = authenticated(&connection.renew(Arc::new(user)));
                connection.notify("auth.login", "success", "Authenticated.", &data);
            }
            None => {
                let slot = match app.limits.connect_user(user.id()) {
                    Ok(slot) => slot,
                    Err(error) => return Ok(Outcome::Refused(error)),
                };
                establish(&app, &connection, (user, slot)).await?;
            }
        }
        Ok(Answer::of(&data)?.warn(warnings).into())
    }
    .boxed()
}

/// `auth:logout {allDevices?}`.
fn on_logout(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        if incoming.payload.is_null() {
            incoming.payload = json!({});
        }
        let mut fields = incoming.fields()?;
        let all_devices = fields.flag("allDevices").unwrap_or_default();
        let warnings = fields.finish()?;
        let Incoming { app, connection, .. } = incoming;
        let user = connection.user()?;
        connection.set_logs_out(true);
        auth::log_out(&app, &user, all_devices).await?;
        connection.notify("auth.logout", "info", "Logged out.", &LoggedOut { session_id: user.session_id, all_devices });
        presence::update(&app, &connection, user.id(), false);
        Ok(Answer::of(&Nothing {})?.warn(warnings).then_close().into())
    }
    .boxed()
}

/// A socket is gone: nothing of it stays.
fn leave(app: &App, id: ConnectionId, reason: DisconnectReason) {
    let Some(connection) = app.realtime.remove(id) else { return };
    app.presence.subscriptions.forget(id);
    let seconds = connection.opened.elapsed().as_secs_f64();
    metrics::DISCONNECTIONS.get_or_create(&[("reason", name_of(reason))]).inc();
    if let Some(user) = connection.known_user() {
        tracing::info!(connection.id = %id, user.id = %user.id(), ?reason, seconds, "a user disconnected");
        presence::end(app, &connection, user.id());
        if app.realtime.connections_of(user.id()).is_empty() {
            presence::typing::forget_everywhere(app, user.id());
        }
    } else {
        tracing::info!(connection.id = %id, ?reason, seconds, "a connection ended without having authenticated");
    }
}

/// What a reason is called in metrics.
fn name_of(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::TransportClose => "transport_close",
        DisconnectReason::TransportError => "transport_error",
        DisconnectReason::HeartbeatTimeout => "heartbeat_timeout",
        DisconnectReason::ClientNSDisconnect => "client",
        DisconnectReason::ServerNSDisconnect => "server",
        DisconnectReason::ClosingServer => "stopping",
        DisconnectReason::PacketParsingError | DisconnectReason::MultipleHttpPollingError => "protocol",
    }
}

/// Looks after sockets and typing for as long as the server runs.
pub async fn watch(app: App) {
    let mut ticks = every(TICK);
    let mut count: u32 = 0;
    loop {
        ticks.tick().await;
        count = count.wrapping_add(1);
        for connection in app.realtime.connections() {
            look_after(&app, &connection);
        }
        presence::typing::tick(&app);
        if count.is_multiple_of(CLEAN_EVERY) {
            app.realtime.upgrades.clean();
        }
        if count.is_multiple_of(FORGET_EVERY) {
            app.limits.forget_idle();
        }
    }
}

/// Asks the database from time to time, for as long as the server runs: in a task of its own, since sockets and typing do not wait
/// for a database that does not answer.
pub async fn ask_around(app: App) {
    let mut ticks = every(SLOW_EVERY);
    let (mut count, mut ended): (u32, _) = (0, None);
    loop {
        ticks.tick().await;
        count = count.wrapping_add(1);
        match app.in_time(lobby::elsewhere::heed(&app, ended)).await {
            Ok(next) => ended = Some(next),
            Err(error) => tracing::debug!(%error, "who is out of rooms could not be looked for"),
        }
        if let Err(error) = app.in_time(app.slow_rooms.refresh(&app.db)).await {
            tracing::debug!(%error, "rooms in slow mode could not be looked for");
        }
        if count.is_multiple_of(SIZES_EVERY)
            && let Err(error) = app.in_time(lobby::tell_sizes(&app)).await
        {
            tracing::warn!(%error, "the sizes of quiet rooms could not be told");
        }
        if count.is_multiple_of(EXPIRED_EVERY)
            && let Err(error) = auth::remove_expired(&app).await
        {
            tracing::warn!(%error, "expired sessions could not be removed");
        }
    }
}

/// Whether a token ended so long ago that no socket stays for it.
fn has_expired(app: &App, user: &AuthUser) -> bool {
    user.expires_at - Utc::now() < -within(app.settings.auth.token_grace)
}

fn within(limit: Duration) -> TimeDelta {
    TimeDelta::from_std(limit).unwrap_or(TimeDelta::MAX)
}

fn look_after(app: &App, connection: &Connection) {
    let settings = &app.settings.auth;
    if !connection.is_connected() {
        if connection.opened.elapsed() > ADMISSION {
            leave(app, connection.id, DisconnectReason::TransportClose);
        }
    } else if connection.is_closed() {
        connection.close();
    } else if let Some(user) = connection.known_user() {
        let left = user.expires_at - Utc::now();
        if has_expired(app, &user) {
            connection.refuse(Error::TokenExpired);
        } else if left <= within(settings.token_expiring_notice) && !connection.awaits_snapshot() && connection.take_expiring_notice() {
            let data = TokenExpiring { in_ms: left.num_milliseconds().max(0), token_expires_at: user.expires_at };
            connection.notify("auth.expiring", "warning", "The token expires: emit auth:login with a new one.", &data);
        }
    } else if connection.opened.elapsed() > settings.auth_timeout && !connection.waits_for_database() {
        connection.refuse(Error::AuthTimeout);
    }
}
