//! The benchmark's load: what the server is for, measured from outside.
//!
//! Clients speak raw Engine.IO and Socket.IO frames over `WebSocket`s to any server that understands `chat:room:join` and
//! `chat:message` in namespace `/chat`: ours, and those that it is compared with. Every message carries a tag (its sender,
//! its number, the time at which it should have left), so whoever receives it can tell what was lost, doubled or out of order
//! without remembering any text. All clients run on one thread, since they share a small machine with what they measure.

mod client;
mod connections;
mod flood;
mod history;
mod messages;
pub mod process;
mod search;
mod tally;

pub use process::{Usage, raise_open_files};
pub use tally::Histogram;

use crate::{
    auth::tokens::Keys,
    users::{UserId, UserType},
};
use chrono::{TimeDelta, Utc};
use clap::ValueEnum;
use messages::{Pace, Shape};
use serde::Serialize;
use std::{net::SocketAddr, ops::AddAssign, sync::Arc, time::Duration};
use tokio::task::LocalSet;

/// What is done to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize)]
#[value(rename_all = "verbatim")]
pub enum Workload {
    /// 100 rooms of 10 members, one sender a room, 4 unacknowledged messages at a time
    S1w4,
    /// The same, 1 message at a time
    S1w1,
    /// The same, 1,000 messages/s in all whatever the server does: the latency figure
    S1r,
    /// One room of 500 members, 5 senders, 4 messages at a time each
    S2w4,
    /// The same, 50 messages/s in all
    S2r,
    /// S1r at 400 messages/s; again while one client floods the server with 100,000 events, and again while it never stops
    F,
    /// 5,000 idle connections in 100 rooms: memory
    S3,
    /// 3,000 connections (connect, token, join), 64 at a time, of users who were there before
    S5,
    /// 10,000 connections that break all at once and come back, while others talk
    S6,
    /// History over REST: the last 50 messages of a room, and 50 at several depths
    H,
    /// Searches, history and changes over REST, of each room alone and of all together: do they stay as fast as a room grows?
    Q,
}

/// A server under load.
#[derive(Clone)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// Signs the clients' tokens.
    pub keys: Arc<Keys>,
    /// Its process, to see what it uses.
    pub server: Option<u32>,
    /// Its Postgres.
    pub postgres: Option<u32>,
    /// The rooms of which H reads the history, and Q too: how many messages, and the room's name. [`READER`] is a member.
    pub history: Vec<(u64, String)>,
    /// What is done once everybody is in place, before anything is measured: the database can gather statistics, as it does by
    /// itself in the first minutes.
    pub prepared: Option<Preparation>,
}

/// Something that blocks for a while.
pub type Preparation = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// What was done.
    pub workload: Workload,
    /// Figures by name; names say the unit.
    pub figures: Vec<(String, f64)>,
    /// What must not happen, counted.
    pub faults: Faults,
}

/// What a chat server must not do.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Faults {
    /// Messages that a member did not get.
    pub lost: u64,
    /// Messages that a member got twice.
    pub duplicated: u64,
    /// Messages that a member got after a later one of the same sender.
    pub disordered: u64,
    /// Rooms whose members disagree on the order.
    pub disagreeing: u64,
    /// Messages that were refused.
    pub refused: u64,
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.disordered += other.disordered;
        self.disagreeing += other.disagreeing;
        self.refused += other.refused;
    }
}

impl Outcome {
    /// A figure by its name.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

/// The user who reads the history.
pub const READER: &str = "bench-reader";

impl Target {
    fn prepare(&self) -> Result<(), String> {
        self.prepared.as_ref().map_or(Ok(()), |prepare| prepare())
    }

    /// What the server has used so far; nothing if its process is not known.
    fn usage(&self) -> Usage {
        self.server.map(Usage::of).unwrap_or_default()
    }

    /// The same of its Postgres.
    fn postgres_usage(&self) -> Usage {
        self.postgres.map(Usage::of).unwrap_or_default()
    }

    /// A token for a user; another one for each `variant`.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn token(&self, user: &str, variant: i64) -> Result<String, String> {
        let user = UserId::parse(user).ok_or("not a user's id")?;
        let now = Utc::now();
        let ends = now + TimeDelta::hours(2) + TimeDelta::seconds(variant);
        self.keys.mint(&user, UserType::User, None, None, now, ends).map_err(|error| error.to_string())
    }
}

/// Puts a server under load for about this long, and says what was seen.
///
/// # Errors
/// What went wrong, in one line: the server was not there, or ended.
pub fn run(target: &Target, workload: Workload, duration: Duration) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let many = |pace| Shape { rooms: 100, members: 10, senders: 1, pace };
    let hot = |pace| Shape { rooms: 1, members: 500, senders: 5, pace };
    LocalSet::new().block_on(&runtime, async {
        match workload {
            Workload::S1w4 => messages::run(target, workload, many(Pace::Window(4)), duration).await,
            Workload::S1w1 => messages::run(target, workload, many(Pace::Window(1)), duration).await,
            Workload::S1r => messages::run(target, workload, many(Pace::Rate(1_000)), duration).await,
            Workload::S2w4 => messages::run(target, workload, hot(Pace::Window(4)), duration).await,
            Workload::S2r => messages::run(target, workload, hot(Pace::Rate(50)), duration).await,
            Workload::F => flood::run(target, workload, many(Pace::Rate(400)), duration).await,
            Workload::S3 => connections::idle(target).await,
            Workload::S5 => connections::storm(target).await,
            Workload::S6 => connections::crowd(target).await,
            Workload::H => history::run(target, duration).await,
            Workload::Q => search::run(target, duration).await,
        }
    })
}
