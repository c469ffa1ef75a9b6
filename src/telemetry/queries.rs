//! What sqlx says of its work, in our words: which queries were slow, and how long connections of the pool were waited for.
//!
//! Its own line on a slow query has the whole statement. Ours has its beginning, by which it is found in `sqlx-data.json`, never a
//! parameter, and the trace that it was done for.

use crate::{metrics, trace::TRACE};
use std::time::Duration;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit, display},
};
use tracing_subscriber::{
    Layer,
    filter::{Filtered, Targets},
    layer::Context,
    registry::LookupSpan,
};

/// Where sqlx tells of queries,
pub const QUERIES: &str = "sqlx::query";
/// and of connections.
const CONNECTIONS: &str = "sqlx::pool::acquire";
/// Most characters that are shown of a query.
const SHOWN: usize = 100;

/// Listens to sqlx.
pub struct Queries;

/// The layer. It must be the last one: it says something while it listens, and the layers before it have heard what it
/// listens to by then.
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> Filtered<Queries, Targets, S> {
    Queries.with_filter(Targets::new().with_targets([(QUERIES, Level::WARN), (CONNECTIONS, Level::TRACE)]))
}

impl<S: Subscriber> Layer<S> for Queries {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        if event.metadata().target() == CONNECTIONS {
            metrics::ACQUIRE.observe(said.elapsed.as_secs_f64());
        } else {
            metrics::SLOW_QUERIES.inc();
            let trace = TRACE.try_with(Clone::clone).ok();
            let trace = trace.as_ref().map(display);
            let ms = u64::try_from(said.elapsed.as_millis()).ok();
            tracing::warn!(trace.id = trace, query = said.query, ms, rows = said.rows, "a query was slow");
        }
    }
}

/// The fields that matter.
#[derive(Default)]
struct Said {
    query: String,
    elapsed: Duration,
    rows: u64,
}

impl Said {
    /// The beginning of a query, on one line. The first four words stand alone where there are no more.
    fn note(&mut self, query: &str) {
        let words: Vec<&str> = query.split_whitespace().collect();
        let beginning: String = words.join(" ").chars().take(SHOWN).collect();
        if beginning.len() > self.query.len() {
            self.query = beginning;
        }
    }
}

impl Visit for Said {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if ["elapsed_secs", "acquired_after_secs"].contains(&field.name()) {
            self.elapsed = Duration::try_from_secs_f64(value).unwrap_or_default();
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "rows_returned" || field.name() == "rows_affected" {
            self.rows = self.rows.max(value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if ["summary", "db.statement"].contains(&field.name()) {
            self.note(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
