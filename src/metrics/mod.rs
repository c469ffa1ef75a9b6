//! Metrics: how the server is doing, in numbers, for Prometheus.
//!
//! What happens is counted where it happens, once for all who are told something and never for each of them: by an addition, for a [`Histogram`]
//! under a short lock, and with labels after a look-up. How things stand (connections, queues, the pool) is looked at when somebody [asks](http).
//!
//! Labels are names that stand in this program or in its settings: nothing that a client chooses, and no id, becomes one. An event that is not known is
//! counted as `unknown`.

pub mod http;
mod page;

pub use page::note_start;

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};
use std::{sync::LazyLock, time::Instant};

/// Numbers by names that stand in this program: the type keeps out whatever a client made up.
pub type ByName<const LABELS: usize, Instrument> = Family<[(&'static str, &'static str); LABELS], Instrument>;

/// The name under which all events are counted that are not known.
pub const UNKNOWN: &str = "unknown";

/// Events that clients emitted.
static RECEIVED: LazyLock<ByName<1, Counter>> = LazyLock::new(Family::default);
/// Answers to events, by the code of the error or `OK`.
static ACKS: LazyLock<ByName<2, Counter>> = LazyLock::new(Family::default);
/// Time from an event's arrival to its answer.
static ACK_LATENCY: LazyLock<ByName<1, Histogram>> = LazyLock::new(|| Family::new_with_constructor(times));
/// Events on their way to clients, each counted for every connection that is told, by name.
static DELIVERIES: LazyLock<ByName<1, Counter>> = LazyLock::new(Family::default);
/// Errors, by code: on sockets and over REST.
static ERRORS: LazyLock<ByName<1, Counter>> = LazyLock::new(Family::default);
/// Connections that were admitted to a namespace.
pub static CONNECTIONS: LazyLock<Counter> = LazyLock::new(Counter::default);
/// Connections that ended, by reason.
pub static DISCONNECTIONS: LazyLock<ByName<1, Counter>> = LazyLock::new(Family::default);
/// Clients that were closed because they read too slowly.
pub static SLOW_CONSUMERS: LazyLock<Counter> = LazyLock::new(Counter::default);
/// Connections that are told something at once.
pub static FAN_OUT: LazyLock<Histogram> = LazyLock::new(sizes);
/// Messages that were stored and told.
pub static MESSAGES: LazyLock<Counter> = LazyLock::new(Counter::default);
/// Messages in one statement of the journal.
pub static BATCH: LazyLock<Histogram> = LazyLock::new(sizes);
/// How long one statement of the journal took, its commit included.
pub static COMMIT: LazyLock<Histogram> = LazyLock::new(times);
/// Users who came, and who went.
pub static PRESENCE_EDGES: LazyLock<ByName<1, Counter>> = LazyLock::new(Family::default);
/// Transactions that are about to begin: they wait for a connection, or for the answer to their first word.
pub static BEGINNING: LazyLock<Gauge> = LazyLock::new(Gauge::default);
/// How long whoever needed a connection of the pool waited for it.
pub static ACQUIRE: LazyLock<Histogram> = LazyLock::new(times);
/// Queries that took longer than `CHAT_SLOW_QUERY`.
pub static SLOW_QUERIES: LazyLock<Counter> = LazyLock::new(Counter::default);

/// Somebody who is counted in a gauge until this is dropped.
pub struct Held(&'static Gauge);

impl Held {
    /// Counts one more.
    pub fn one_more(gauge: &'static Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Of seconds.
fn times() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0])
}

/// Of numbers of things.
fn sizes() -> Histogram {
    Histogram::new([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0])
}

/// A number of things, as histograms take it.
#[expect(clippy::cast_precision_loss, reason = "what is shown need not be exact beyond fifteen digits")]
pub fn size(things: usize) -> f64 {
    things as f64
}

/// An event came, of this name or [`UNKNOWN`].
pub fn note_event(event: &'static str) {
    RECEIVED.get_or_create(&[("event", event)]).inc();
}

/// An event that arrived then is answered, by the code of an error or `OK`.
pub fn note_answer(event: &'static str, code: &'static str, arrived: Instant) {
    ACK_LATENCY.get_or_create(&[("event", event)]).observe(arrived.elapsed().as_secs_f64());
    ACKS.get_or_create(&[("event", event), ("code", code)]).inc();
}

/// So many deliveries of an event are on their way.
pub fn note_deliveries(event: &'static str, deliveries: usize) {
    DELIVERIES.get_or_create(&[("event", event)]).inc_by(deliveries as u64);
}

/// An error is shown to a client.
pub fn note_error(code: &'static str) {
    ERRORS.get_or_create(&[("code", code)]).inc();
}
