//! Presence: who is here, who was last here when, and who is typing.
//!
//! A user is online while at least one connection that did not say `isOnline: false` is live. Others are told on the
//! first and the last of them only, and of the last only after a grace, so that reloading a page is silent. Edges
//! are told one after the other by one task, so that nobody sees them the wrong way round.

pub mod http;
pub mod socket;
pub mod store;
pub mod subscriptions;
pub mod typing;

use crate::{
    app::App,
    error::{Error, Result},
    metrics,
    realtime::{Connection, wire::Outbox},
    rooms::{self, RoomId, RoomRef},
    time::Time,
    users::UserId,
};
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use subscriptions::Subscriptions;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::sleep_until,
};

/// How often the time of somebody's last action is written.
const WRITE_EVERY: TimeDelta = TimeDelta::seconds(60);

/// Most edges that are told together.
const TOGETHER: usize = 512;

/// For how long edges gather after others were told.
const MOMENT: Duration = Duration::from_millis(100);

/// Who is here, on this process.
pub struct Presence {
    /// Who wants to hear of whom.
    pub subscriptions: Subscriptions,
    users: Mutex<HashMap<UserId, Online>>,
    edges: UnboundedSender<Edge>,
}

/// A user who is here, or was until a moment ago.
struct Online {
    connections: usize,
    leaves_at: Option<Instant>,
    seen_at: DateTime<Utc>,
    written_at: DateTime<Utc>,
}

/// Somebody, and when they were last seen.
type Seen = (UserId, Option<DateTime<Utc>>);

/// Somebody came or went.
pub struct Edge {
    user: UserId,
    online: bool,
    at: DateTime<Utc>,
}

/// What is told of a user.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Who.
    pub user_id: UserId,
    /// Whether they are here.
    pub is_online: bool,
    /// The same as a word: `online` or `offline`.
    #[schemars(extend("enum" = ["online", "offline"]))]
    pub status: &'static str,
    /// When they were last seen; `null` is never.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub last_seen_at: Option<DateTime<Utc>>,
    /// When this became so, or was asked.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub timestamp: DateTime<Utc>,
    /// The server's clock, for clients that show "5 minutes ago".
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub server_time: DateTime<Utc>,
}

impl Status {
    fn new(user_id: UserId, is_online: bool, last_seen_at: Option<DateTime<Utc>>, timestamp: DateTime<Utc>) -> Self {
        Self { user_id, is_online, status: word(is_online), last_seen_at, timestamp, server_time: Utc::now() }
    }
}

/// `online` or `offline`.
pub fn word(is_online: bool) -> &'static str {
    if is_online { "online" } else { "offline" }
}

impl Presence {
    /// Nobody is here yet. The edges that come back are for [`tell_edges`].
    pub fn new() -> (Self, UnboundedReceiver<Edge>) {
        let (edges, receiver) = unbounded_channel();
        (Self { subscriptions: Subscriptions::default(), users: Mutex::default(), edges }, receiver)
    }

    /// A connection of a user came, or shows itself again.
    pub fn come(&self, user: &UserId) {
        let now = Utc::now();
        let mut users = self.lock();
        let first = !users.contains_key(user);
        let online = users.entry(user.clone()).or_insert(Online { connections: 0, leaves_at: None, seen_at: now, written_at: now });
        online.connections += 1;
        online.leaves_at = None;
        online.seen_at = now;
        if first {
            self.tell(user, true, now);
        }
    }

    /// A connection of a user went: after the grace the user goes, too, if it was the last.
    pub fn go(&self, user: &UserId, grace: Duration) {
        let now = Utc::now();
        let mut users = self.lock();
        let Some(online) = users.get_mut(user) else { return };
        online.connections = online.connections.saturating_sub(1);
        online.seen_at = now;
        if online.connections > 0 {
            return;
        }
        if grace.is_zero() {
            users.remove(user);
            self.tell(user, false, now);
        } else {
            online.leaves_at = Some(Instant::now() + grace);
        }
    }

    /// A user did something.
    pub fn touch(&self, user: &UserId) {
        if let Some(online) = self.lock().get_mut(user) {
            online.seen_at = Utc::now();
        }
    }

    /// Lets those go whose grace is over, and returns whose last action should be written.
    pub fn tick(&self) -> Vec<(UserId, DateTime<Utc>)> {
        let now = Instant::now();
        let mut users = self.lock();
        let gone: Vec<UserId> =
            users.iter().filter(|(_, online)| online.leaves_at.is_some_and(|at| at <= now)).map(|(user, _)| user.clone()).collect();
        for user in gone {
            if let Some(online) = users.remove(&user) {
                self.tell(&user, false, online.seen_at);
            }
        }
        let mut due = Vec::new();
        for (user, online) in users.iter_mut().filter(|(_, online)| online.seen_at - online.written_at > WRITE_EVERY) {
            online.written_at = online.seen_at;
            due.push((user.clone(), online.seen_at));
        }
        due
    }

    /// Everybody who is here, with the time of their last action, for the last words of a server that stops.
    pub fn everybody(&self) -> Vec<(UserId, DateTime<Utc>)> {
        self.lock().iter().map(|(user, online)| (user.clone(), online.seen_at)).collect()
    }

    /// Which of these users are here.
    pub fn online_among<'a>(&self, users: impl IntoIterator<Item = &'a UserId>) -> Vec<UserId> {
        let online = self.lock();
        users.into_iter().filter(|user| online.contains_key(*user)).cloned().collect()
    }

    fn tell(&self, user: &UserId, online: bool, at: DateTime<Utc>) {
        // The receiver ends with the server.
        let _ = self.edges.send(Edge { user: user.clone(), online, at });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Online>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes and tells edges, in their order, for as long as the server runs. When many come and go at the same time those of a
/// moment are told together.
pub async fn tell_edges(app: App, mut edges: UnboundedReceiver<Edge>) {
    let mut gathered = Vec::new();
    while edges.recv_many(&mut gathered, TOGETHER).await > 0 {
        let begun = tokio::time::Instant::now();
        if let Err(error) = tell_together(&app, &gathered).await {
            tracing::warn!(edges = gathered.len(), %error, "presence edges could not be told");
        }
        gathered.clear();
        sleep_until(begun + MOMENT).await;
    }
}

async fn tell_together(app: &App, edges: &[Edge]) -> Result<()> {
    let mut seen: HashMap<&UserId, DateTime<Utc>> = HashMap::new();
    for edge in edges {
        let at = seen.entry(&edge.user).or_insert(edge.at);
        *at = edge.at.max(*at);
    }
    store::write(&app.db, seen.iter().map(|(user, at)| (*user, *at))).await?;
    let users: Vec<&UserId> = edges.iter().map(|edge| &edge.user).collect();
    let mut rooms = vec![Vec::new(); edges.len()];
    for (place, room) in rooms::store::rooms_up_to(&app.db, &users, app.settings.chat.quiet_room_size).await? {
        rooms[place].push(room);
    }
    let mut outbox = Outbox::default();
    for (edge, rooms) in edges.iter().zip(&rooms) {
        let status = Status::new(edge.user.clone(), edge.online, Some(edge.at), edge.at);
        let event = if edge.online { "status:online" } else { "status:offline" };
        metrics::PRESENCE_EDGES.add(word(edge.online), 1);
        tracing::debug!(user.id = %edge.user, event, rooms = rooms.len(), "a presence edge is told");
        let watchers = app.presence.subscriptions.of(&edge.user);
        app.realtime.tell_watchers(rooms, &watchers, &edge.user, event, &status, &mut outbox);
    }
    outbox.flush().done().await;
    Ok(())
}

/// Shows or hides a connection: what `status:update` asks for.
pub fn update(app: &App, connection: &Connection, user: &UserId, is_online: bool) {
    connection.set_visible(is_online, || if is_online { app.presence.come(user) } else { app.presence.go(user, Duration::ZERO) });
}

/// The presence of users, in the order they were asked for.
///
/// # Errors
/// `USER_NOT_FOUND`, naming those who do not exist.
pub async fn of(app: &App, ids: &[String]) -> Result<Vec<Status>> {
    Ok(shown(app, ids, &seen(app, ids).await?))
}

/// When these users were last seen.
async fn seen(app: &App, ids: &[String]) -> Result<Vec<Seen>> {
    let seen = store::read(&app.db, ids).await?;
    let missing: Vec<String> = ids.iter().filter(|id| !seen.iter().any(|(user, _)| user.as_str() == *id)).cloned().collect();
    if !missing.is_empty() {
        return Err(Error::UserNotFound(missing));
    }
    Ok(seen)
}

/// Who of them is here now, in the order they were asked for.
fn shown(app: &App, ids: &[String], seen: &[Seen]) -> Vec<Status> {
    let now = Utc::now();
    let online = app.presence.online_among(seen.iter().map(|(user, _)| user));
    let status = |(user, last): &Seen| Status::new(user.clone(), online.contains(user), *last, now);
    ids.iter().filter_map(|id| seen.iter().find(|(user, _)| user.as_str() == id)).map(status).collect()
}

/// The presence of a room's members.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomPresence {
    /// Where.
    pub room_id: RoomId,
    /// Each of them, in a room that is not too large.
    pub items: Vec<Status>,
    /// How many of them are here.
    pub online_count: usize,
    /// How many they are.
    pub member_count: i32,
}

/// The presence of a room's members: each of them in a room that is not too large, else only how many.
///
/// # Errors
/// `ROOM_NOT_FOUND`, `NOT_A_MEMBER`.
pub async fn of_room(app: &App, user: &UserId, room: &RoomRef) -> Result<RoomPresence> {
    let seat = rooms::find(app, user, room).await?;
    seat.membership()?;
    let (room_id, most) = (seat.room.id, app.settings.chat.quiet_room_size);
    let here: Vec<String> = app.presence.everybody().into_iter().map(|(user, _)| user.as_str().to_owned()).collect();
    let online_count = rooms::store::members_among(&app.db, room_id, &here).await?.len();
    let items = if seat.room.member_count <= most {
        let members = rooms::store::members(&app.db, &[room_id.0], "", i64::from(most)).await?;
        let ids: Vec<String> = members.into_iter().map(|(_, member)| member.user.id.as_str().to_owned()).collect();
        of(app, &ids).await?
    } else {
        Vec::new()
    };
    Ok(RoomPresence { room_id, items, online_count, member_count: seat.room.member_count })
}
