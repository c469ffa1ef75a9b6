//! Namespace `/admin`, as `@socket.io/admin-ui` 0.5 speaks it: events and fields are those of its `lib/typed-events.ts`.
//!
//! The page logs in with the `auth` of its CONNECT, is told `config`, `all_sockets` and, every two seconds, `server_stats`, and
//! then what changes. Of what it may ask, `_disconnect` of a connection or of a whole user (its *client*) is served, if it may do
//! more than look. The others it could only do by halves: to join, leave or speak is a matter of members here, whom rooms count and
//! number.

use super::{
    Admin, Credentials, Entry, NAMESPACE,
    sight::{Change, Sight, What},
};
use crate::{
    app::App,
    auth::AuthUser,
    error::{Error, Result},
    limits::{Class, Source, address, http::Visitor},
    metrics,
    realtime::{Connection, ConnectionId},
    rooms::{self, RoomId},
    time::every,
    trace::TraceId,
};
use chrono::{SubsecRound, TimeDelta, Utc};
use serde_json::{Value, json};
use socketioxide::{
    SendError, SocketIo,
    extract::{AckSender, Event, Extension, SocketRef, TryData},
    handler::ConnectHandler,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// How often connections are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After how many looks the numbers are told: the original's two seconds.
const STATS_EVERY: u64 = 4;
/// Most names of rooms that are kept for one operator.
const NAMES: usize = 100_000;
/// Most characters of a client's own words.
const WORDS: usize = 256;

/// Serves the namespace, if a password is set; otherwise there is none.
pub fn open(app: &App, io: &SocketIo) {
    let Some(admin) = Admin::new(&app.settings.admin).map(Arc::new) else { return };
    let (admitting, showing) = ((app.clone(), admin.clone()), (app.clone(), admin));
    let door = async move |socket: SocketRef, TryData(credentials): TryData<Credentials>| {
        let (app, admin) = admitting;
        admit(app, admin, &socket, &credentials.unwrap_or_default())
    };
    let view = async move |socket: SocketRef, Extension(entry): Extension<Arc<Entry>>| {
        let (app, admin) = showing;
        watch(&app, &admin, socket, &entry).await;
    };
    io.ns(NAMESPACE, view.with(door));
}

/// Lets an operator in, or says what `connect_error` will say: the page knows the one sentence `invalid credentials`, upon which it
/// asks for them again.
fn admit(app: App, admin: Arc<Admin>, socket: &SocketRef, credentials: &Credentials) -> Result<(), String> {
    let visitor = socket.req_parts().extensions.get::<Visitor>().ok_or("INTERNAL_ERROR: a handshake without an address")?;
    let address = visitor.address();
    match within_limits(&app, visitor, credentials).and_then(|()| admin.enter(credentials)) {
        Ok(entry) => {
            tracing::info!(%address, logs_in = entry.session.is_some(), "an operator looks at the Admin UI");
            socket.extensions.insert(Arc::new(entry));
        }
        Err(error) => {
            let (code, _) = error.code();
            metrics::note_error(code);
            tracing::info!(%address, code, "an operator is refused at the Admin UI");
            return Err(if matches!(error, Error::InvalidCredentials) { "invalid credentials".into() } else { format!("{code}: {error}") });
        }
    }
    socket.on_fallback(async move |socket: SocketRef, Event(name): Event, TryData(order): TryData<Order>, ack: AckSender| {
        answer(&socket, &name, obey(&app, &admin, address, &name, order.ok()), ack);
    });
    Ok(())
}

/// An attempt at the password takes a token of the address as every log-in does; the handshake has paid for the first one without.
fn within_limits(app: &App, visitor: &Visitor, credentials: &Credentials) -> Result<()> {
    let (is_new, address) = (visitor.is_new(), visitor.address());
    let class = if credentials.is_guess() { Class::Login } else { Class::Connect };
    if is_new && !credentials.is_guess() {
        return Ok(());
    }
    let Some(error) = app.limits.take_of_address(class, address).refusal() else { return Ok(()) };
    app.limits.note_refusal(class, &Source::Address(address::source(address)));
    Err(error)
}

/// What comes with `_disconnect`: the namespace, whether all of the client's connections are meant, and the connection.
type Order = (String, bool, String);

/// Does what the page asks for; says how many connections it closed.
fn obey(app: &App, admin: &Admin, address: IpAddr, name: &str, order: Option<Order>) -> Result<usize> {
    if let Some(error) = app.limits.take_of_address(Class::Connect, address).refusal() {
        return Err(error);
    }
    match name {
        "emit" | "join" | "leave" | "_disconnect" if admin.settings.admin_readonly => Err(Error::Forbidden("this Admin UI only looks")),
        "emit" | "join" | "leave" => Err(Error::Forbidden("who is in a room, and what is said there, is up to its members")),
        "_disconnect" => {
            let (namespace, whole_client, id) =
                order.ok_or_else(|| Error::PayloadInvalid("a namespace, true or false, and the id of a connection are expected".into()))?;
            disconnect(app, &namespace, whole_client, &id)
        }
        _ => Err(Error::UnknownEvent),
    }
}

fn disconnect(app: &App, namespace: &str, whole_client: bool, id: &str) -> Result<usize> {
    let found = id.parse::<ConnectionId>().ok().and_then(|id| app.realtime.connection(id));
    let connection = found.filter(|connection| connection.namespace() == namespace).ok_or(Error::NotFound)?;
    let user = connection.known_user();
    let closing = match &user {
        Some(user) if whole_client => app.realtime.connections_of(user.id()),
        _ => vec![connection],
    };
    for connection in &closing {
        tracing::info!(connection.id = %connection.id, "an operator disconnects a client");
        connection.refuse(Error::Forbidden("stay connected; an operator closed this connection"));
    }
    Ok(closing.len())
}

/// Answers as the chat does, though the page asks for no acknowledgement. What cannot be told to a page that does not read is not.
fn answer(socket: &SocketRef, name: &str, done: Result<usize>, ack: AckSender) {
    let answer = match done {
        Ok(closed) => json!({ "ok": true, "data": { "closed": closed } }),
        Err(error) => {
            let shown: String = name.chars().take(64).collect();
            let body = error.into_body(TraceId::current()).about(&shown, None);
            tracing::info!(event = ?shown, code = body.code(), "the Admin UI is refused something");
            let _ = socket.emit("system:error", &body);
            json!({ "ok": false, "error": body })
        }
    };
    let _ = ack.send(&answer);
}

/// Shows everything to one operator, until the page is gone, reads too slowly, or the log-in is over.
async fn watch(app: &App, admin: &Admin, socket: SocketRef, entry: &Entry) {
    if let Err(error) = show(app, admin, &socket, entry).await {
        tracing::info!(%error, "an Admin UI reads too slowly and is closed");
    }
    // The engine cannot close it while its buffer is full.
    while socket.connected() && socket.clone().disconnect().is_err() {
        sleep(LOOK_EVERY).await;
    }
}

async fn show(app: &App, admin: &Admin, socket: &SocketRef, entry: &Entry) -> Result<(), SendError> {
    if let Some(session) = &entry.session {
        socket.emit("session", session)?;
    }
    socket.emit("config", &json!({ "supportedFeatures": features(admin) }))?;
    let (mut sight, mut names, mut is_listed) = (Sight::default(), Names::default(), false);
    let mut ticks = every(LOOK_EVERY);
    for looks in 0_u64.. {
        ticks.tick().await;
        if !socket.connected() || entry.until <= Instant::now() {
            break;
        }
        let connections = app.realtime.connections();
        let changes = sight.look(&connections);
        names.learn(app, &changes).await;
        // The page turns to the namespace of the first connection of a list: it is told lists until one is in them.
        if looks == 0 || !(is_listed || changes.is_empty()) {
            let sockets: Vec<Value> = changes.iter().filter_map(|change| names.shown(change)).collect();
            is_listed = !sockets.is_empty();
            socket.emit("all_sockets", &(sockets,))?;
        } else {
            changes.iter().try_for_each(|change| tell(socket, change, &names))?;
        }
        if looks.is_multiple_of(STATS_EVERY) {
            socket.emit("server_stats", &stats(app, admin, &connections, sight.take_counts()))?;
        }
    }
    Ok(())
}

/// What this server can do: the page shows no buttons for the rest. Without `ALL_EVENTS` it would show neither connections nor rooms;
/// the events themselves are not told all the same, for they hold what members say to each other.
fn features(admin: &Admin) -> Vec<&'static str> {
    let mut features = vec!["AGGREGATED_EVENTS", "ALL_EVENTS"];
    if !admin.settings.admin_readonly {
        features.push("DISCONNECT");
    }
    features
}

fn tell(socket: &SocketRef, change: &Change, names: &Names) -> Result<(), SendError> {
    let Change { namespace, id, what } = change;
    let now = crate::time::format(Utc::now());
    match what {
        What::Came(..) => socket.emit("socket_connected", &(names.shown(change), now)),
        What::Upgraded(transport) => socket.emit("socket_updated", &json!({ "id": id, "nsp": namespace, "transport": transport })),
        What::Entered(room) => socket.emit("room_joined", &(namespace, names.of(*room), id, now)),
        What::Left(room) => socket.emit("room_left", &(namespace, names.of(*room), id, now)),
        // Why, is in the log.
        What::Went => socket.emit("socket_disconnected", &(namespace, id, "gone", now)),
    }
}

/// A connection, as the page shows it. What the page calls its client is the user.
fn shown(connection: &Connection, AuthUser { user, .. }: &AuthUser, rooms: &[String]) -> Value {
    let opened = Utc::now() - TimeDelta::from_std(connection.opened.elapsed()).unwrap_or_default();
    let agent: Option<String> = connection.user_agent().map(|agent| agent.chars().take(WORDS).collect());
    json!({
        "id": connection.id,
        "clientId": user.id,
        "transport": connection.transport(),
        "nsp": connection.namespace(),
        "data": { "userId": user.id, "name": user.name, "userType": user.user_type },
        // Of the headers and parameters, many of which are nobody's business, the one that tells clients apart.
        "handshake": {
            "address": connection.address,
            "headers": { "user-agent": agent },
            "query": {},
            "issued": opened.timestamp_millis(),
            "time": crate::time::format(opened),
        },
        "rooms": rooms,
    })
}

/// The numbers of this process. Bytes are not counted here.
fn stats(app: &App, admin: &Admin, connections: &[Arc<Connection>], (came, went): (usize, usize)) -> Value {
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let second = Utc::now().trunc_subsecs(0).timestamp_millis();
    let event = |kind: &str, count: usize| (count > 0).then(|| json!({ "timestamp": second, "type": kind, "count": count }));
    let events: Vec<Value> = [event("rawConnection", came), event("rawDisconnection", went)].into_iter().flatten().collect();
    let mut counts: BTreeMap<&str, usize> = app.settings.sockets.namespaces.iter().map(|namespace| (namespace.as_str(), 0)).collect();
    for connection in connections {
        *counts.entry(connection.namespace()).or_default() += 1;
    }
    counts.insert(NAMESPACE, admin.watchers());
    let namespaces: Vec<Value> = counts.iter().map(|(name, count)| json!({ "name": name, "socketsCount": count })).collect();
    json!({
        "serverId": hostname,
        "hostname": hostname,
        "pid": std::process::id(),
        "uptime": admin.started.elapsed().as_secs_f64(),
        "clientsCount": connections.len() + admin.watchers(),
        "pollingClientsCount": connections.iter().filter(|connection| connection.transport() == "polling").count(),
        "aggregatedEvents": events,
        "namespaces": namespaces,
    })
}

/// What rooms are called: by their slug or else their id. The page knows a room by nothing else, so a name must not change.
#[derive(Default)]
struct Names(HashMap<RoomId, String>);

impl Names {
    /// Finds out how the rooms are called that changes are about. Without the database it is their id.
    async fn learn(&mut self, app: &App, changes: &[Change]) {
        if self.0.len() > NAMES {
            self.0.clear();
        }
        let rooms = changes.iter().flat_map(|change| match &change.what {
            What::Came(_, _, rooms) => rooms.as_slice(),
            What::Entered(room) | What::Left(room) => std::slice::from_ref(room),
            What::Upgraded(_) | What::Went => &[],
        });
        let unknown: HashSet<Uuid> = rooms.filter(|room| !self.0.contains_key(room)).map(|room| room.0).collect();
        if unknown.is_empty() {
            return;
        }
        let unknown: Vec<Uuid> = unknown.into_iter().collect();
        self.0.extend(unknown.iter().map(|id| (RoomId(*id), id.to_string())));
        if let Ok(Ok(rooms)) = timeout(app.patience(), rooms::store::with_ids(&app.db, &unknown)).await {
            self.0.extend(rooms.into_iter().filter_map(|room| Some((room.id, room.slug?))));
        }
    }

    fn of(&self, room: RoomId) -> String {
        self.0.get(&room).cloned().unwrap_or_else(|| room.to_string())
    }

    /// The connection that came, if one did.
    fn shown(&self, change: &Change) -> Option<Value> {
        let What::Came(connection, user, rooms) = &change.what else { return None };
        let rooms: Vec<String> = rooms.iter().map(|room| self.of(*room)).collect();
        Some(shown(connection, user, &rooms))
    }
}
