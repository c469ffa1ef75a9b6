//! Logs, on stderr. Nothing that is enabled here prints a token, a password or a message's text.
//!
//! A line can be read alone, and has fields to search by: `room.id`, `user.id`, `connection.id`, and the `trace.id` of the request or event that it belongs to,
//! which its error has, too.

mod debug;
#[cfg(feature = "otel")]
mod otel;
mod panics;
mod queries;

use crate::config::{LogFormat, LogSettings};
use std::io::{IsTerminal, stderr};
use tracing::{Level, Metadata, Span, level_filters::LevelFilter, log};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, filter_fn},
    layer::{Filter, SubscriberExt},
    util::SubscriberInitExt,
};

/// Begins to log.
///
/// # Errors
/// One line about a `RUST_LOG` that cannot be read, or about a collector that cannot be reached.
pub fn init(settings: &LogSettings) -> Result<(), String> {
    let filter = EnvFilter::try_new(&settings.rust_log).map_err(|error| format!("RUST_LOG: {error}"))?;
    let filter = filter.or(debug::targets(settings.debug.as_deref().unwrap_or_default()));
    let loudest = Filter::<Registry>::max_level_hint(&filter).unwrap_or(LevelFilter::TRACE);
    let json = match settings.log_format {
        LogFormat::Json => true,
        LogFormat::Pretty => false,
        LogFormat::Auto => !stderr().is_terminal(),
    };
    // Nor is that nobody reads them any more a reason to panic, which a word about it on stderr would do.
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).log_internal_errors(false);
    let lines = if json { lines.json().flatten_event(true).with_span_list(false).boxed() } else { lines.with_ansi(stderr().is_terminal()).boxed() };
    let layers = tracing_subscriber::registry().with(lines.with_filter(filter_fn(is_discreet)).with_filter(filter));
    #[cfg(feature = "otel")]
    let layers = layers.with(otel::layer()?);
    layers.with(queries::layer()).try_init().map_err(|error| error.to_string())?;
    // Nobody listens to the `log` crate but the lines. Left as wide open as for the loudest listener, it would ask all of them about each
    // frame that tungstenite has a word on.
    log::set_max_level(loudest.to_string().parse().unwrap_or(log::LevelFilter::Trace));
    panics::log();
    Ok(())
}

/// Puts a request's span below that of the caller who sent this `traceparent`, where spans are sent to a collector.
pub fn continue_from(span: &Span, traceparent: &str) {
    #[cfg(feature = "otel")]
    otel::continue_from(span, traceparent);
    #[cfg(not(feature = "otel"))]
    let _ = (span, traceparent);
}

/// Ends telemetry: what was not sent yet is sent.
pub fn finish() {
    #[cfg(feature = "otel")]
    otel::finish();
}

/// socketioxide and engineioxide print whole packets, the token in CONNECT among them, from debug on, and a line at
/// ERROR for each of 300,000 packets that one request may hold: we log what matters of sockets ourselves. So it is with slow
/// [queries]. sqlx, hyper and rustls print what they exchange: their details stay out whatever the filter says.
fn is_discreet(metadata: &Metadata<'_>) -> bool {
    const SILENT: [&str; 3] = ["socketioxide", "engineioxide", queries::QUERIES];
    const TALKATIVE: [&str; 5] = ["tungstenite", "tokio_tungstenite", "sqlx", "hyper", "rustls"];
    let comes_from = |names: &[&str]| names.iter().any(|name| metadata.target().starts_with(name));
    !comes_from(&SILENT) && (*metadata.level() <= Level::WARN || !comes_from(&TALKATIVE))
}
