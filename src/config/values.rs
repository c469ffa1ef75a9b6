//! The values of settings: secrets that hide themselves, and what is parsed from a text.

use std::{fmt, str::FromStr, time::Duration};
use tracing_subscriber::EnvFilter;

/// A text that never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: only for where it is used.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// Looks whether a filter of log lines can be read, so that whoever checks the settings hears of it before a server does.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Parses `500ms`, `5s`, `10m`, `1h`, `30d`; a bare number is seconds.
///
/// # Errors
/// What is expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    number
        .parse::<u64>()
        .ok()
        .filter(|_| milliseconds > 0)
        .and_then(|number| number.checked_mul(milliseconds))
        .filter(|total| *total <= 10 * 365 * 86_400_000)
        .map(Duration::from_millis)
        .ok_or_else(|| "a duration such as 500ms, 5s, 10m, 1h or 30d is expected".to_owned())
}

/// Parses how long messages are kept: an hour or more, so that a slip does not delete what was just said.
///
/// # Errors
/// What is expected.
pub fn age(text: &str) -> Result<Duration, String> {
    let age = duration(text).ok().filter(|age| *age >= Duration::from_hours(1));
    age.ok_or_else(|| "an hour or more is expected, such as 90d or 12h".to_owned())
}

/// Parses a duration of at least a second.
pub(super) fn lease(text: &str) -> Result<Duration, String> {
    let lease = duration(text)?;
    if lease < Duration::from_secs(1) { Err("at least 1s is expected".to_owned()) } else { Ok(lease) }
}

/// Parses an origin as browsers send it (RFC 6454): scheme, host, port, and nothing after.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let text = text.trim().trim_end_matches('/');
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '*', '?', '#', '@', ' ']) => Ok(text.to_ascii_lowercase()),
        _ => Err("an origin such as https://app.example.com is expected (no path, no *)".to_owned()),
    }
}

/// Parses the name of a namespace.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.starts_with('/') && text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || "/_-".contains(c)) {
        Ok(text.to_owned())
    } else {
        Err("a namespace such as /chat is expected".to_owned())
    }
}

/// Parses a room's slug.
///
/// # Errors
/// What is expected.
pub fn slug(text: &str) -> Result<String, String> {
    crate::rooms::Slug::parse(text)
        .map(|slug| slug.as_str().to_owned())
        .ok_or_else(|| "1 to 64 letters, digits, dots, dashes and underscores are expected".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_seconds_are_understood() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert_eq!(duration("30d"), Ok(Duration::from_hours(720)));
        for bad in ["", "s", "-1s", "1 s", "1w", "99999999999999999999s", "1.5s"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn origins_are_exact() {
        assert_eq!(origin("http://localhost:3000/"), Ok("http://localhost:3000".to_owned()));
        for bad in ["*", "localhost", "http://", "https://a.example/path", "https://*.example", "null"] {
            assert!(origin(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_secret_hides_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[hidden]");
    }
}
