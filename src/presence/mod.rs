//! Presence: who is here, who was last here when, and who is typing.
//!
//! A user is online while at least one connection that did not say `isOnline: false` is live on any of the [nodes], and is not
//! [invisible](visibility). Others are told on the first and the last of them only, and of the last only after a grace, so that
//! reloading a page is silent. Every process tells its own sockets the [edges] that it sees, each once.

pub mod edges;
pub mod http;
mod last_seen;
pub mod nodes;
pub mod socket;
pub mod store;
pub mod subscriptions;
pub mod typing;
pub mod visibility;

use crate::{
    app::App,
    error::{Error, Result},
    realtime::{Connection, lock},
    rooms::{self, RoomId, RoomRef},
    time::Time,
    users::UserId,
};
use chrono::{DateTime, Utc};
use edges::Edge;
use last_seen::Passing;
use nodes::{Ledger, Row};
use schemars::JsonSchema;
use serde::Serialize;
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};
use subscriptions::Subscriptions;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use uuid::Uuid;

/// Who is here, at this process and at others.
pub struct Presence {
    /// Who wants to hear of whom.
    pub subscriptions: Subscriptions,
    /// This process, as others know it.
    node: Uuid,
    /// What others are to know of its sockets.
    ledger: Ledger,
    /// Held while the node writes; true when it has given up its lease.
    stopped: tokio::sync::Mutex<bool>,
    users: Mutex<HashMap<UserId, Online>>,
    /// Those who act over REST only.
    passing: Mutex<HashMap<UserId, Passing>>,
    edges: UnboundedSender<Edge>,
    /// Large rooms in which somebody came or went since their members were told how many are here.
    crowds: Mutex<HashSet<RoomId>>,
    /// Held while a setting is written or read, until the sockets are as it says.
    settings: tokio::sync::Mutex<()>,
}

/// A user who is here, or was until a moment ago.
struct Online {
    /// Connections of this process.
    ours: usize,
    /// Connections of others.
    theirs: usize,
    leaves_at: Option<Instant>,
    seen_at: DateTime<Utc>,
    /// What of it was written, or is another node's to write.
    written_at: DateTime<Utc>,
}

/// At which process a connection is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Whose {
    Ours,
    Theirs,
}

/// How a connection went.
#[derive(Clone, Copy)]
struct Departure {
    /// When.
    at: DateTime<Utc>,
    /// For how long its user looks online all the same.
    grace: Duration,
}

impl Departure {
    /// Somebody who wants to look offline does so now.
    fn at_once() -> Self {
        Self { at: Utc::now(), grace: Duration::ZERO }
    }
}

/// Somebody, and when they were last seen.
type Seen = (UserId, Option<DateTime<Utc>>);

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
    /// Nobody is here yet. The edges that come back are for [`edges::tell`].
    pub fn new() -> (Self, UnboundedReceiver<Edge>) {
        let (edges, receiver) = unbounded_channel();
        let presence = Self {
            subscriptions: Subscriptions::default(),
            node: Uuid::new_v4(),
            ledger: Ledger::default(),
            stopped: tokio::sync::Mutex::default(),
            users: Mutex::default(),
            passing: Mutex::default(),
            edges,
            crowds: Mutex::default(),
            settings: tokio::sync::Mutex::default(),
        };
        (presence, receiver)
    }

    /// A connection of this process came, changed what it shows, or ended.
    fn count(&self, row: Row, was_here: bool, departure: Departure) {
        match (was_here, row.is_here()) {
            (false, true) => self.come(&row.user, Whose::Ours),
            (true, false) => self.go(&row.user, departure, Whose::Ours),
            _ => {}
        }
        self.ledger.note(row);
    }

    /// A connection of a user came, or shows itself again.
    fn come(&self, user: &UserId, whose: Whose) {
        let now = Utc::now();
        let mut users = self.lock();
        let first = !users.contains_key(user);
        let online = users.entry(user.clone()).or_insert(Online { ours: 0, theirs: 0, leaves_at: None, seen_at: now, written_at: now });
        online.leaves_at = None;
        match whose {
            Whose::Ours => {
                online.ours += 1;
                online.seen_at = now;
            }
            Whose::Theirs => online.theirs += 1,
        }
        if first {
            self.tell(Edge { user: user.clone(), online: true, at: now, is_ours: whose == Whose::Ours });
        }
    }

    /// A connection of a user went: after the grace the user goes, too, if it was the last.
    fn go(&self, user: &UserId, departure: Departure, whose: Whose) {
        let mut users = self.lock();
        let Some(online) = users.get_mut(user) else { return };
        online.seen_at = online.seen_at.max(departure.at);
        match whose {
            Whose::Ours => online.ours = online.ours.saturating_sub(1),
            Whose::Theirs => {
                online.theirs = online.theirs.saturating_sub(1);
                online.written_at = online.written_at.max(departure.at);
            }
        }
        if online.ours + online.theirs > 0 {
            return;
        }
        if departure.grace.is_zero() {
            if let Some(online) = users.remove(user) {
                self.tell(online.leaves(user));
            }
        } else {
            online.leaves_at = Some(Instant::now() + departure.grace);
        }
    }

    /// A user did something.
    pub fn touch(&self, user: &UserId) {
        if let Some(online) = self.lock().get_mut(user) {
            online.seen_at = Utc::now();
        }
    }

    /// Lets those go whose grace was over at a time.
    fn let_go(&self, until: Instant) {
        self.lock().retain(|user, online| {
            let goes = online.leaves_at.is_some_and(|at| at <= until);
            if goes {
                self.tell(online.leaves(user));
            }
            !goes
        });
    }

    /// Everybody who is here, at whatever process.
    pub fn everybody(&self) -> Vec<String> {
        self.lock().keys().map(|user| user.as_str().to_owned()).collect()
    }

    /// How many are here.
    pub fn count_users(&self) -> usize {
        self.lock().len()
    }

    /// Which of these users are here.
    pub fn online_among<'a>(&self, users: impl IntoIterator<Item = &'a UserId>) -> Vec<UserId> {
        let online = self.lock();
        users.into_iter().filter(|user| online.contains_key(*user)).cloned().collect()
    }

    /// Some of the large rooms in which somebody came or went: they are to be told how many are here.
    pub fn take_crowds(&self, most: usize) -> Vec<RoomId> {
        let mut crowds = lock(&self.crowds);
        let taken: Vec<RoomId> = crowds.iter().take(most).copied().collect();
        crowds.retain(|room| !taken.contains(room));
        taken
    }

    fn tell(&self, edge: Edge) {
        // The receiver ends with the server.
        let _ = self.edges.send(edge);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Online>> {
        lock(&self.users)
    }
}

impl Online {
    /// The user's last edge.
    fn leaves(&self, user: &UserId) -> Edge {
        Edge { user: user.clone(), online: false, at: self.seen_at, is_ours: self.seen_at > self.written_at }
    }
}

/// Shows or hides a connection: what `status:update` asks for.
pub fn update(app: &App, connection: &Connection, user: &UserId, is_online: bool) {
    connection.set_visible(is_online, |was, is| app.presence.count(Row::of(connection, user, is), was, Departure::at_once()));
}

/// A connection has ended. Its user goes after a grace, if it was the last.
///
/// Those whom a server that stops sends away go all together, when its lease ends: the first of them have as long to come back
/// as the last, and the server's successor knows who was here.
pub fn end(app: &App, connection: &Connection, user: &UserId) {
    if app.draining.sends_away() {
        return;
    }
    connection.retire(|was, _| {
        let departure = Departure { at: Utc::now(), grace: app.settings.chat.presence_grace };
        let row = Row { ended_at: Some(departure.at), ..Row::of(connection, user, was) };
        app.presence.count(row, was, departure);
    });
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
    pub online_count: i64,
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
    let (items, online_count) = if seat.room.member_count <= most {
        let members = rooms::members::store::members(&app.db, &[room_id.0], "", i64::from(most)).await?;
        let ids: Vec<String> = members.into_iter().map(|(_, member)| member.user.id.as_str().to_owned()).collect();
        let items = of(app, &ids).await?;
        let online = items.iter().filter(|status| status.is_online).count();
        (items, i64::try_from(online).unwrap_or(i64::MAX))
    } else {
        let counts = rooms::members::store::count_among(&app.db, &[room_id.0], &app.presence.everybody()).await?;
        (Vec::new(), counts.first().map_or(0, |(_, count)| *count))
    };
    Ok(RoomPresence { room_id, items, online_count, member_count: seat.room.member_count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn a_user_is_here_while_a_connection_of_any_process_is_and_who_saw_the_last_one_go_writes_it() {
        let (presence, mut edges) = Presence::new();
        let alice = UserId::parse("alice").unwrap();
        let at = Utc::now() + TimeDelta::seconds(1);
        let gone = |seconds: i64| Departure { at: at + TimeDelta::seconds(seconds), grace: Duration::ZERO };
        for last in [Whose::Ours, Whose::Theirs] {
            presence.come(&alice, Whose::Theirs);
            presence.come(&alice, Whose::Ours);
            presence.go(&alice, gone(0), if last == Whose::Ours { Whose::Theirs } else { Whose::Ours });
            assert_eq!(presence.everybody(), ["alice"]);
            presence.go(&alice, gone(5), last);

            assert!(presence.everybody().is_empty());
            let (came, went) = (edges.try_recv().unwrap(), edges.try_recv().unwrap());
            assert!(came.online && !went.online && edges.try_recv().is_err());
            assert_eq!((went.at, went.is_ours), (at + TimeDelta::seconds(5), last == Whose::Ours));
        }
    }
}
