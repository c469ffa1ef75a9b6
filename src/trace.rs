//! Traces: the name that a request, or an event, has in its errors and log lines, and in the systems around this one.

use serde::{Serialize, Serializer};
use std::{fmt, sync::Arc};

/// The name of one request or event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceId(Name);

/// It becomes a text when it is shown: most events have nothing to show it in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    /// As W3C Trace Context has them: 16 bytes, in 32 hexadecimal digits.
    Id(u128),
    /// As a caller chose it.
    Given(Arc<str>),
}

tokio::task_local! {
    /// The trace that this task serves.
    pub static TRACE: TraceId;
}

impl TraceId {
    /// A new one.
    pub fn random() -> Self {
        Self(Name::Id(rand::random()))
    }

    /// That of the request or event which this task serves, or a new one.
    pub fn current() -> Self {
        TRACE.try_with(Clone::clone).unwrap_or_else(|_| Self::random())
    }

    /// What a caller chose as the name of a request, if it is a decent one.
    pub fn parse(name: &str) -> Option<Self> {
        let is_decent = (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        is_decent.then(|| Self(Name::Given(name.into())))
    }

    /// The trace of a `traceparent` header (<https://www.w3.org/TR/trace-context/#traceparent-header>): `00-<trace>-<parent>-<flags>`. A later
    /// version may have more behind that; what breaks the rules is as good as none.
    pub fn of_parent(header: &str) -> Option<Self> {
        let is_hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let id = |text: &str, length: usize| u128::from_str_radix(text, 16).ok().filter(|id| *id != 0 && is_hex(text, length));
        let parts: Vec<&str> = header.splitn(5, '-').collect();
        let [version, trace, parent, flags, ref rest @ ..] = parts[..] else { return None };
        let known = is_hex(version, 2) && version != "ff" && (version != "00" || rest.is_empty());
        (known && id(parent, 16).is_some() && is_hex(flags, 2)).then(|| id(trace, 32)).flatten().map(|id| Self(Name::Id(id)))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Name::Id(id) => write!(f, "{id:032x}"),
            Name::Given(name) => f.write_str(name),
        }
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decent_traceparent_names_the_trace() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        for header in [format!("00-{trace}-b7ad6b7169203331-01"), format!("cc-{trace}-b7ad6b7169203331-00-what-comes-later")] {
            assert_eq!(TraceId::of_parent(&header).map(|id| id.to_string()).as_deref(), Some(trace), "{header}");
        }
        for header in [
            "",
            "00",
            &format!("00-{trace}-b7ad6b7169203331"),
            &format!("00-{trace}-b7ad6b7169203331-01-more"),
            &format!("ff-{trace}-b7ad6b7169203331-01"),
            &format!("00-{trace}-0000000000000000-01"),
            &format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            &format!("00-{}-b7ad6b7169203331-01", trace.to_uppercase()),
            &format!("00-{}é-b7ad6b7169203331-01", &trace[..30]),
        ] {
            assert_eq!(TraceId::of_parent(header), None, "{header}");
        }
    }

    #[test]
    fn a_name_of_the_callers_is_short_and_plain() {
        assert!(TraceId::parse("req-1.a_B").is_some());
        for name in ["", "a b", "a\nb", "é", &"x".repeat(65)] {
            assert_eq!(TraceId::parse(name), None, "{name:?}");
        }
        assert_eq!(TraceId::random().to_string().len(), 32);
    }
}
