//! Metrics: how the server is doing, in numbers, for Prometheus.
//!
//! What happens is counted where it happens, by an addition or two to a number of this process, once for all who are told something
//! and never for each of them. How things stand (connections, queues, the pool) is looked at when somebody [asks](http).
//!
//! Labels are names that stand in this program or in its settings: nothing that a client chooses, and no id, becomes one. An event that is not known is
//! counted as `unknown`.

pub mod http;
mod instruments;
mod page;
mod text;

pub use instruments::{ByName, Counter, Gauge, Histogram};
pub use page::note_start;

use crate::error::CODES;

/// What is counted of one event that clients emit.
pub struct EventCounts {
    /// How often it came.
    pub received: Counter,
    /// How long after that it was answered.
    pub latency: Histogram,
    /// How often the answer was yes.
    pub accepted: Counter,
    refused: [Counter; CODES.len()],
}

impl EventCounts {
    const fn new() -> Self {
        Self { received: Counter::new(), latency: Histogram::seconds(), accepted: Counter::new(), refused: [const { Counter::new() }; CODES.len()] }
    }

    /// How often the answer was no, for this reason.
    pub fn refused(&self, code: &str) -> &Counter {
        &self.refused[place_of(code)]
    }
}

/// Room for so many events that clients may emit; the last one is that of the unknown.
const EVENTS: usize = 64;

static EVENT_COUNTS: [EventCounts; EVENTS] = [const { EventCounts::new() }; EVENTS];

/// The counts of the event at this place among those that are known; of all others together.
pub fn of_event(place: Option<usize>) -> &'static EventCounts {
    &EVENT_COUNTS[place.unwrap_or(EVENTS).min(EVENTS - 1)]
}

/// Errors, by code: on sockets and over REST.
static ERRORS: [Counter; CODES.len()] = [const { Counter::new() }; CODES.len()];

/// How many errors of a code there were.
pub fn errors(code: &str) -> &'static Counter {
    &ERRORS[place_of(code)]
}

/// A code's place among all of them. What is none would be a fault of ours, as is the last one, `INTERNAL_ERROR`.
fn place_of(code: &str) -> usize {
    CODES.iter().position(|known| *known == code).unwrap_or(CODES.len() - 1)
}

/// Connections that were admitted to a namespace.
pub static CONNECTIONS: Counter = Counter::new();
/// Connections that ended, by reason.
pub static DISCONNECTIONS: ByName = ByName::new();
/// Clients that were closed because they read too slowly.
pub static SLOW_CONSUMERS: Counter = Counter::new();
/// Events on their way to clients, each counted for every connection that is told, by name.
pub static DELIVERIES: ByName = ByName::new();
/// Connections that are told something at once.
pub static FAN_OUT: Histogram = Histogram::things();
/// Messages that were stored and told.
pub static MESSAGES: Counter = Counter::new();
/// Messages in one statement of the journal.
pub static BATCH: Histogram = Histogram::things();
/// How long one statement of the journal took, its commit included.
pub static COMMIT: Histogram = Histogram::seconds();
/// Users who came, and who went.
pub static PRESENCE_EDGES: ByName = ByName::new();
/// Transactions that are about to begin: they wait for a connection, or for the answer to their first word.
pub static BEGINNING: Gauge = Gauge::new();
/// How long whoever needed a connection of the pool waited for it.
pub static ACQUIRE: Histogram = Histogram::seconds();
/// Queries that took longer than `CHAT_SLOW_QUERY`.
pub static SLOW_QUERIES: Counter = Counter::new();
