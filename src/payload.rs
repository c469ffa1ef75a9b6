//! Reading what clients send, field by field: every fault of a payload is found and named at once, and fields
//! that nobody asked for are named in a warning. Socket events and REST bodies are read by the same code.

use crate::{
    error::{Error, FieldFault, Result},
    names::{deceives, shows},
    plain::Plain,
};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use std::{borrow::Cow, collections::BTreeMap};

/// An object that is being read. Ask for each field, then [`finish`](Self::finish).
pub struct Fields {
    object: Map<String, Value>,
    faults: BTreeMap<Cow<'static, str>, Vec<FieldFault>>,
}

/// How long a text may be, in characters, after trimming: what is counted is what can be seen.
#[derive(Clone, Copy)]
pub struct Length {
    /// The fewest characters.
    pub min: usize,
    /// The most characters.
    pub max: usize,
}

impl Length {
    /// From `min` to `max` characters, both included.
    pub const fn new(min: usize, max: usize) -> Self {
        Self { min, max }
    }
}

impl Fields {
    /// Begins to read an object.
    ///
    /// # Errors
    /// `PAYLOAD_INVALID` if it is something else.
    pub fn of(payload: Value) -> Result<Self> {
        match payload {
            Value::Object(object) => Ok(Self { object, faults: BTreeMap::new() }),
            other => Err(Error::PayloadInvalid(format!("an object is expected, not {}", kind(&other)).into())),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with every fault that was found.
    pub fn finish(self) -> Result<Vec<String>> {
        if self.faults.is_empty() {
            let mut unknown: Vec<String> = self.object.into_iter().map(|(name, _)| name).collect();
            unknown.truncate(20);
            Ok(unknown.iter().map(|name| format!("The field {:?} is not known and was ignored.", shortened(name))).collect())
        } else {
            Err(Error::Validation(self.faults))
        }
    }

    /// Notes a fault of a field.
    pub fn fault(&mut self, name: &'static str, code: &'static str, message: impl Into<Cow<'static, str>>) {
        self.faults.entry(name.into()).or_default().push(FieldFault { code, message: message.into() });
    }

    /// Takes a field; `null` counts as absent.
    pub fn take(&mut self, name: &'static str) -> Option<Value> {
        self.object.remove(name).filter(|value| !value.is_null())
    }

    /// Whether a field was sent, be it as `null`.
    pub fn has(&self, name: &'static str) -> bool {
        self.object.contains_key(name)
    }

    /// Adds a field that came by another way, a header for instance.
    pub fn put(&mut self, name: &'static str, value: Value) {
        self.object.insert(name.to_owned(), value);
    }

    /// A text that must be there. Faults are noted and an empty text returned, so that reading goes on.
    pub fn required_text(&mut self, name: &'static str, length: Length) -> String {
        if let Some(value) = self.take(name) {
            self.checked_text(name, value, length).unwrap_or_default()
        } else {
            self.fault(name, "required", "This field is required.");
            String::new()
        }
    }

    /// A text that may be missing.
    pub fn text(&mut self, name: &'static str, length: Length) -> Option<String> {
        let value = self.take(name)?;
        self.checked_text(name, value, length)
    }

    /// A name of something: a text that can be seen, without characters that [deceive](deceives).
    pub fn name(&mut self, name: &'static str, length: Length) -> Option<String> {
        let text = self.text(name, length)?;
        if text.chars().any(deceives) {
            self.fault(name, "invalid", "Control, direction and invisible characters are not allowed here.");
            return None;
        }
        if length.min > 0 && !text.chars().any(shows) {
            self.fault(name, "too_short", "A name that can be seen is needed.");
            return None;
        }
        Some(text.trim().to_owned())
    }

    /// Like [`name`](Self::name), and must be there.
    pub fn required_name(&mut self, name: &'static str, length: Length) -> String {
        if self.object.get(name).is_none_or(Value::is_null) {
            self.fault(name, "required", "This field is required.");
        }
        self.name(name, length).unwrap_or_default()
    }

    /// A yes or no that may be missing.
    pub fn flag(&mut self, name: &'static str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(flag) => Some(flag),
            other => {
                self.wrong_kind(name, "a boolean", &other);
                None
            }
        }
    }

    /// A yes or no that must be there.
    pub fn required_flag(&mut self, name: &'static str) -> bool {
        if self.object.get(name).is_none_or(Value::is_null) {
            self.fault(name, "required", "This field is required.");
        }
        self.flag(name).unwrap_or_default()
    }

    /// A number of a room that must be there: `least` or more.
    pub fn required_seq(&mut self, name: &'static str, least: i64) -> i64 {
        if !self.has(name) {
            self.fault(name, "required", "This field is required.");
        }
        let seq = self.seq(name).unwrap_or(least);
        if seq < least {
            self.fault(name, "range", format!("A whole number from {least} on is expected."));
        }
        seq
    }

    /// A number of a room that may be missing: 0 or more.
    pub fn seq(&mut self, name: &'static str) -> Option<i64> {
        let value = self.take(name)?;
        let seq = value.as_i64().filter(|seq| *seq >= 0);
        match (&value, seq) {
            (Value::Number(_), None) => self.fault(name, "range", "A whole number from 0 on is expected."),
            (Value::Number(_), Some(_)) => {}
            (other, _) => self.wrong_kind(name, "a number", other),
        }
        seq
    }

    /// A whole number that may be missing: from `least` to `most`.
    pub fn number(&mut self, name: &'static str, least: i64, most: i64) -> Option<i64> {
        let value = self.take(name)?;
        if !value.is_number() {
            self.wrong_kind(name, "a number", &value);
            return None;
        }
        let number = value.as_i64().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.fault(name, "range", format!("A whole number from {least} to {most} is expected."));
        }
        number
    }

    /// A time that may be missing.
    pub fn time(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
        let text = self.text(name, Length::new(1, 64))?;
        let time = DateTime::parse_from_rfc3339(&text).ok();
        if time.is_none() {
            self.fault(name, "invalid", "A time as in 2026-01-31T12:00:00.000Z is expected.");
        }
        Some(time?.to_utc())
    }

    /// A UUID that may be missing.
    pub fn uuid(&mut self, name: &'static str) -> Option<uuid::Uuid> {
        let text = self.text(name, Length::new(1, 64))?;
        let id = text.parse().ok();
        if id.is_none() {
            self.fault(name, "invalid", "An id is expected.");
        }
        id
    }

    /// A UUID that must be there.
    pub fn required_uuid(&mut self, name: &'static str) -> uuid::Uuid {
        if !self.is_given(name) {
            self.fault(name, "required", "This field is required.");
        }
        self.uuid(name).unwrap_or_default()
    }

    /// Whether a field has a value; `null` counts as absent.
    pub fn is_given(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(|value| !value.is_null())
    }

    /// One of some words.
    pub fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name, Length::new(1, 64))?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let list = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
            self.fault(name, "invalid", format!("One of these is expected: {list}."));
        }
        found
    }

    /// One of some words, and must be there. `None` only with a fault.
    pub fn required_word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        if !self.is_given(name) {
            self.fault(name, "required", "This field is required.");
        }
        self.word(name, words)
    }

    /// A list of texts, without repeats, in the order they were sent.
    pub fn texts(&mut self, name: &'static str, most: usize, length: Length) -> Vec<String> {
        let Some(value) = self.take(name) else { return Vec::new() };
        let Value::Array(items) = value else {
            self.wrong_kind(name, "an array", &value);
            return Vec::new();
        };
        if items.len() > most {
            self.fault(name, "too_long", format!("At most {most} items are allowed."));
            return Vec::new();
        }
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match self.checked_text(name, item, length) {
                Some(text) if !texts.contains(&text) => texts.push(text),
                Some(_) => {}
                None => break,
            }
        }
        texts
    }

    /// A list of objects, kept as they are. `None` when missing or empty.
    pub fn objects(&mut self, name: &'static str, most: usize) -> Option<Value> {
        let value = self.take(name)?;
        match &value {
            Value::Array(items) if items.is_empty() => return None,
            Value::Array(items) if items.len() > most => self.fault(name, "too_long", format!("At most {most} items are allowed.")),
            Value::Array(items) if items.iter().all(Value::is_object) => {}
            Value::Array(_) => self.fault(name, "type", "Every item must be an object."),
            other => self.wrong_kind(name, "an array", other),
        }
        self.without_nul(name, value)
    }

    /// An object, kept as it is.
    pub fn object(&mut self, name: &'static str) -> Option<Value> {
        let value = self.take(name)?;
        if !value.is_object() {
            self.wrong_kind(name, "an object", &value);
        }
        self.without_nul(name, value)
    }

    fn checked_text(&mut self, name: &'static str, value: Value, length: Length) -> Option<String> {
        let Value::String(text) = value else {
            self.wrong_kind(name, "a string", &value);
            return None;
        };
        let count = text.trim().chars().count();
        if text.contains('\0') {
            self.fault(name, "nul", "NUL characters cannot be stored.");
        } else if count < length.min {
            self.fault(name, "too_short", format!("At least {} characters are needed.", length.min));
        } else if count > length.max || text.len() > length.max.saturating_mul(8) {
            self.fault(name, "too_long", format!("At most {} characters are allowed.", length.max));
        } else {
            return Some(text);
        }
        None
    }

    fn without_nul(&mut self, name: &'static str, value: Value) -> Option<Value> {
        if holds_nul(&value) {
            self.fault(name, "nul", "NUL characters cannot be stored.");
            return None;
        }
        Some(value)
    }

    fn wrong_kind(&mut self, name: &'static str, expected: &str, got: &Value) {
        self.fault(name, "type", format!("This must be {expected}, not {}.", kind(got)));
    }
}

/// Parses JSON from outside.
///
/// # Errors
/// `VALIDATION_ERROR` for a lone surrogate, which is a fault of one text; `PAYLOAD_INVALID` for what is not JSON,
/// is nested deeper than 128 levels (`serde_json`'s limit), or has a name that is [reserved](crate::plain::RESERVED).
pub fn parse(json: &[u8]) -> Result<Value> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let Plain(parsed) = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let reason = error.inner().to_string();
        if reason.contains("surrogate") || reason.contains("unexpected end of hex escape") {
            let path = error.path().to_string();
            let fault = FieldFault { code: "surrogate", message: "A lone surrogate is not text.".into() };
            Error::Validation(BTreeMap::from([(shortened(&path).to_owned().into(), vec![fault])]))
        } else if reason.contains("recursion limit") {
            Error::PayloadInvalid("it is nested too deep".into())
        } else if reason.contains("reserved name") {
            Error::PayloadInvalid("it has a reserved name".into())
        } else {
            Error::PayloadInvalid("it is not valid JSON".into())
        }
    })?;
    reader.end().map_err(|_| Error::PayloadInvalid("something follows the JSON".into()))?;
    Ok(parsed)
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(object) => object.iter().any(|(name, item)| name.contains('\0') || holds_nul(item)),
        _ => false,
    }
}

/// About how many bytes a value takes as JSON.
pub fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 3,
        Value::Array(items) => items.iter().map(weight).sum::<usize>() + 2,
        Value::Object(object) => object.iter().map(|(name, item)| name.len() + 4 + weight(item)).sum::<usize>() + 2,
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn shortened(text: &str) -> &str {
    text.char_indices().nth(64).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_weighs_about_what_its_json_takes() {
        for value in ["{}", "[]", "[1,2,3]", r#"{"name":"x","list":["abc",null,true,{"deep":[[]]}]}"#] {
            let value: Value = serde_json::from_str(value).unwrap();
            let (weight, length) = (weight(&value), value.to_string().len());
            assert!(weight >= length && weight <= 2 + length * 6, "{value}: {weight} for {length}");
        }
    }
}
