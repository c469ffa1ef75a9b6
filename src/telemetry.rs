//! Logs, on stderr. Nothing that is enabled here prints a token, a password or a message's text.

use crate::config::{LogFormat, LogSettings};
use std::io::{IsTerminal, stderr};
use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};

/// Begins to log.
///
/// # Errors
/// One line about a `RUST_LOG` that cannot be read.
pub fn init(settings: &LogSettings) -> Result<(), String> {
    let mut filter = settings.rust_log.clone();
    if settings.debug.as_deref().is_some_and(|debug| debug.split(',').any(|name| name.trim().starts_with("socket.io"))) {
        filter.push_str(",ires_chat=debug");
    }
    let filter = EnvFilter::try_new(&filter).map_err(|error| format!("RUST_LOG: {error}"))?;
    let json = match settings.log_format {
        LogFormat::Json => true,
        LogFormat::Pretty => false,
        LogFormat::Auto => !stderr().is_terminal(),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let lines = if json { lines.json().flatten_event(true).boxed() } else { lines.with_ansi(stderr().is_terminal()).boxed() };
    tracing_subscriber::registry().with(lines.with_filter(filter_fn(is_discreet)).with_filter(filter)).try_init().map_err(|error| error.to_string())
}

/// socketioxide and engineioxide print whole packets, the token in CONNECT among them, from debug on, and a line at
/// ERROR for each of 300,000 packets that one request may hold: we log what matters of sockets ourselves. sqlx, hyper and
/// rustls print what they exchange: their details stay out whatever the filter says.
fn is_discreet(metadata: &Metadata<'_>) -> bool {
    const SILENT: [&str; 2] = ["socketioxide", "engineioxide"];
    const TALKATIVE: [&str; 5] = ["tungstenite", "tokio_tungstenite", "sqlx", "hyper", "rustls"];
    let comes_from = |names: &[&str]| names.iter().any(|name| metadata.target().starts_with(name));
    !comes_from(&SILENT) && (*metadata.level() <= Level::WARN || !comes_from(&TALKATIVE))
}
