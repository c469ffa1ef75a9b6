//! Time: how it is written (RFC 3339, UTC, milliseconds, as in `2026-11-22T21:37:57.123Z`), and what is done every so often.

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serializer;
use std::{borrow::Cow, time::Duration};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Ticks at once, and then every so often. What came late is not caught up with: whatever it was that held all up, nobody is helped by a
/// rush after it.
pub fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// For `#[serde(with = "crate::time")]`.
///
/// # Errors
/// Only those of the serializer.
pub fn serialize<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*time))
}

/// The text of a time.
pub fn format(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// How times are described: for `#[schemars(with = "crate::time::Time")]`.
pub struct Time;

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A time, RFC 3339 in UTC with milliseconds.",
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$",
            "examples": ["2026-11-22T21:37:57.123Z"],
        })
    }
}

/// The same for a time that may be missing: `#[serde(with = "crate::time::option")]`.
pub mod option {
    use super::{DateTime, Serializer, Utc};

    /// Writes the time, or `null`.
    ///
    /// # Errors
    /// Only those of the serializer.
    pub fn serialize<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }
}
