//! Nodes: the servers on one database, and whose sockets each of them has.
//!
//! Every server is a node with a lease that it renews. It writes down its sockets, all that came and went in a moment by one
//! statement, beside the way of any message; and every second it reads what the others wrote, so that a user is here who has a
//! socket anywhere. What is written are states and not steps: it can be written and read again, after an outage for instance.
//!
//! A node that dies renews its lease no more. When that is over its sockets are gone, its users stay for the grace of a reload,
//! and then whoever notices removes its rows. So a server that is started again soon finds its users where the last one left
//! them, and tells nobody anything. A server that stops ends its lease itself; one that was frozen, and finds its rows removed,
//! writes them again.

pub mod store;

use super::{Departure, Presence, Whose, last_seen, visibility};
use crate::{
    app::App,
    error::Result,
    realtime::{Connection, ConnectionId},
    time::every,
    users::UserId,
};
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use store::{News, Seen, Writing};
use tokio::time::sleep;
use uuid::Uuid;

/// How long what became of sockets gathers before it is written.
const MOMENT: Duration = Duration::from_millis(250);

/// How often other nodes are looked at, and how long a failure is waited after.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Most rows in one statement: thousands may come at once, and others use the database, too.
const TOGETHER: usize = 2_048;

/// How long at least the rows of sockets that ended stay for others to read; who looks more rarely reads everything anew.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// A socket as other nodes may know it.
#[derive(Debug, Clone)]
pub struct Row {
    /// The connection.
    pub id: ConnectionId,
    /// Whose it is.
    pub user: UserId,
    /// When it came.
    pub since: DateTime<Utc>,
    /// Whether it is to make its user online.
    pub shown: bool,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

impl Row {
    /// A connection of this process, as it is now.
    pub fn of(connection: &Connection, user: &UserId, shown: bool) -> Self {
        let age = TimeDelta::from_std(connection.opened.elapsed()).unwrap_or_default();
        Self { id: connection.id, user: user.clone(), since: Utc::now() - age, shown, ended_at: None }
    }

    /// Whether it makes its user online.
    pub fn is_here(&self) -> bool {
        self.shown && self.ended_at.is_none()
    }
}

/// What became of this process's sockets and is still to be written: the last of each.
#[derive(Default)]
pub struct Ledger(Mutex<HashMap<ConnectionId, Row>>);

impl Ledger {
    /// Notes what became of a socket.
    pub fn note(&self, row: Row) {
        self.lock().insert(row.id, row);
    }

    fn take(&self, most: usize) -> Vec<Row> {
        let mut rows = self.lock();
        if rows.len() <= most {
            return std::mem::take(&mut *rows).into_values().collect();
        }
        let ids: Vec<ConnectionId> = rows.keys().take(most).copied().collect();
        ids.iter().filter_map(|id| rows.remove(id)).collect()
    }

    /// What could not be written is written later, unless more became of it meanwhile.
    fn put_back(&self, taken: Vec<Row>) {
        let mut rows = self.lock();
        for row in taken {
            rows.entry(row.id).or_insert(row);
        }
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectionId, Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// This process as a node: what it has written, and what it knows of the others.
pub struct Node {
    started_at: DateTime<Utc>,
    version: i64,
    swept: i64,
    /// Since when what ended up to which number waits to be removed.
    sweeping: (Instant, i64),
    /// Whether others must read all of its sockets: after it was given a row.
    is_new: bool,
    renewed: Option<Instant>,
    /// When the last look at the others that succeeded began.
    looked: Option<Instant>,
    /// Until when no other node is taken for dead: who had no lease itself does not know whether they could renew theirs.
    patient_until: Option<Instant>,
    others: HashMap<Uuid, Other>,
    invisible_until: Option<DateTime<Utc>>,
}

/// Another node: up to which writing it was read, and its sockets that make their users online.
#[derive(Default)]
struct Other {
    version: i64,
    here: HashMap<ConnectionId, UserId>,
}

/// Makes this process a node, and learns who is here: on other servers, and who was until a moment ago on one that is gone.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn enter(app: &App) -> Result<Node> {
    let mut node = Node {
        started_at: Utc::now(),
        version: 0,
        swept: 0,
        sweeping: (Instant::now(), 0),
        is_new: true,
        renewed: None,
        looked: None,
        patient_until: None,
        others: HashMap::new(),
        invisible_until: None,
    };
    node.register(app).await?;
    node.write(app).await?;
    node.look(app).await?;
    Ok(node)
}

/// Keeps the lease, writes and reads, and lets those go whose grace is over, until the server stops.
pub async fn keep(app: App, mut node: Node) {
    let mut ticks = every(MOMENT);
    loop {
        ticks.tick().await;
        let stopped = app.presence.stopped.lock().await;
        if *stopped {
            return;
        }
        let done = node.go_on(&app).await;
        drop(stopped);
        app.presence.let_go(node.known_until());
        if let Err(error) = done {
            tracing::debug!(%error, "connections could not be written or read");
            sleep(LOOK_EVERY).await;
        }
    }
}

/// The server stops: its users were last seen now, and its lease ends. For the grace of a reload they still look online.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn leave(app: &App) -> Result<()> {
    let mut stopped = app.presence.stopped.lock().await;
    *stopped = true;
    last_seen::write_all(app).await?;
    app.in_time(store::end_lease(&app.db, app.presence.node)).await
}

impl Node {
    async fn go_on(&mut self, app: &App) -> Result<()> {
        let is_due = self.renewed.is_none_or(|renewed| renewed.elapsed() >= app.settings.chat.node_lease / 3);
        if is_due || !app.presence.ledger.is_empty() {
            self.write(app).await?;
        }
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            self.look(app).await?;
            self.invisible_until = Some(app.in_time(visibility::learn(app, self.invisible_until)).await?);
            app.in_time(last_seen::write_due(app)).await?;
        }
        Ok(())
    }

    /// Up to when it is known who came to other nodes: nobody is let go who may have.
    fn known_until(&self) -> Instant {
        let now = Instant::now();
        if self.others.is_empty() { now } else { self.looked.unwrap_or(now) }
    }

    async fn register(&mut self, app: &App) -> Result<()> {
        app.in_time(store::register(&app.db, app.presence.node, self.started_at, app.settings.chat.node_lease)).await?;
        self.is_new = true;
        Ok(())
    }

    /// Writes what became of this process's sockets, or all that is known of them, and renews the lease.
    async fn write(&mut self, app: &App) -> Result<()> {
        let ledger = &app.presence.ledger;
        let mut rows = ledger.take(if self.is_new { usize::MAX } else { TOGETHER });
        if self.is_new {
            rows = with_all(app, rows);
        }
        let (sweep_at, swept) = self.sweeping;
        let sweeps = sweep_at.elapsed() >= SWEEP_EVERY;
        if self.is_new || !rows.is_empty() {
            // Another number each time, for a writing that seems to have failed may have been read.
            self.version += 1;
        }
        if self.is_new {
            self.swept = self.version;
        } else if sweeps {
            self.swept = self.swept.max(swept);
        }
        let lease = app.settings.chat.node_lease;
        let writing = Writing { node: app.presence.node, version: self.version, swept: self.swept, lease, rows: &rows };
        match app.in_time(store::write(&app.db, &writing)).await {
            Ok(Some(was_over)) => {
                self.renewed = Some(Instant::now());
                self.is_new = false;
                if sweeps {
                    self.sweeping = (Instant::now(), self.version);
                }
                if was_over {
                    self.be_patient(app);
                }
                Ok(())
            }
            Ok(None) => {
                tracing::warn!("the lease of this server was over, or a crash of Postgres has ended it: a new one begins");
                ledger.put_back(rows);
                self.be_patient(app);
                self.renewed = None;
                self.register(app).await
            }
            Err(error) => {
                ledger.put_back(rows);
                Err(error)
            }
        }
    }

    fn be_patient(&mut self, app: &App) {
        self.patient_until = Some(Instant::now() + app.settings.chat.node_lease);
    }

    /// Looks at the other nodes: what they wrote, and who is gone.
    async fn look(&mut self, app: &App) -> Result<()> {
        let (begun, is_first) = (Instant::now(), self.looked.is_none());
        let grace = app.settings.chat.presence_grace;
        let nodes = app.in_time(store::nodes(&app.db)).await?;
        if !nodes.iter().any(|node| node.id == app.presence.node && node.left_ms > 0) {
            self.be_patient(app);
            self.renewed = None;
        }
        let others = || nodes.iter().filter(|node| node.id != app.presence.node);
        for node in others() {
            // Of one that was gone before, only who may still come back is of interest.
            let is_of_interest = node.left_ms > 0 || is_first && !rest(grace, node).is_zero();
            if is_of_interest && self.others.get(&node.id).is_none_or(|known| known.version < node.version) {
                self.read(app, node.id).await?;
            }
        }
        if self.patient_until.is_none_or(|until| until <= begun) {
            self.forget_gone(&app.presence, &nodes, grace);
            if others().any(|node| node.left_ms <= 0 && rest(grace, node).is_zero()) {
                let removed = app.in_time(store::remove_over(&app.db, grace)).await?;
                tracing::info!(removed, "servers that are gone were cleaned up after");
            }
        }
        self.looked = Some(begun);
        Ok(())
    }

    /// Reads what a node wrote since it was last read.
    async fn read(&mut self, app: &App, node: Uuid) -> Result<()> {
        let known = self.others.get(&node).map_or(0, |other| other.version);
        let mut news = app.in_time(store::news_of(&app.db, node, known)).await?;
        let mut is_all = known == 0;
        if news.as_ref().is_some_and(|news| news.swept > known) && !is_all {
            (news, is_all) = (app.in_time(store::news_of(&app.db, node, 0)).await?, true);
        }
        if let Some(news) = news {
            self.others.entry(node).or_default().take_in(&app.presence, news, is_all, app.settings.chat.presence_grace);
        }
        Ok(())
    }

    /// The users of nodes that are gone were there until the lease was over, and may come back for the rest of the grace.
    fn forget_gone(&mut self, presence: &Presence, nodes: &[Seen], grace: Duration) {
        self.others.retain(|id, other| {
            let found = nodes.iter().find(|node| node.id == *id);
            if found.is_some_and(|node| node.left_ms > 0) {
                return true;
            }
            let (at, grace) = found.map_or((Utc::now(), grace), |node| (node.renewed_at, rest(grace, node)));
            tracing::info!(node.id = %id, connections = other.here.len(), "another server is gone");
            for user in other.here.values() {
                presence.go(user, Departure { at, grace }, Whose::Theirs);
            }
            false
        });
    }
}

/// What is left of the grace of those who were at a node.
fn rest(grace: Duration, node: &Seen) -> Duration {
    let ago = Duration::from_millis(u64::try_from(-node.left_ms).unwrap_or_default());
    grace.saturating_sub(ago)
}

/// All sockets of this process, besides what became of others.
fn with_all(app: &App, rows: Vec<Row>) -> Vec<Row> {
    let mut all: HashMap<ConnectionId, Row> = rows.into_iter().map(|row| (row.id, row)).collect();
    for connection in app.realtime.connections() {
        if let Some(user) = connection.known_user() {
            all.insert(connection.id, Row::of(&connection, user.id(), connection.is_shown()));
        }
    }
    all.into_values().collect()
}

impl Other {
    /// Takes in what was read: all of a node's sockets, or what became of some of them.
    fn take_in(&mut self, presence: &Presence, news: News, is_all: bool, grace: Duration) {
        self.version = news.version;
        let mut unseen: HashMap<ConnectionId, UserId> = if is_all { std::mem::take(&mut self.here) } else { HashMap::new() };
        for row in news.rows {
            let known = unseen.remove(&row.id).or_else(|| self.here.remove(&row.id));
            let went = row.ended_at.map_or(Departure::at_once(), |at| Departure { at, grace });
            match (known.is_some(), row.is_here()) {
                (false, true) => presence.come(&row.user, Whose::Theirs),
                (true, false) => presence.go(&row.user, went, Whose::Theirs),
                // It came and went between two looks.
                (false, false) if row.shown && !is_all => {
                    presence.come(&row.user, Whose::Theirs);
                    presence.go(&row.user, went, Whose::Theirs);
                }
                _ => {}
            }
            if row.is_here() {
                self.here.insert(row.id, row.user);
            }
        }
        for user in unseen.into_values() {
            presence.go(&user, Departure { at: Utc::now(), grace }, Whose::Theirs);
        }
    }
}
