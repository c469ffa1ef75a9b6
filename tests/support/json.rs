//! Looking into answers.

use serde_json::Value;

/// The code of a failure: of an ack, of a `system:error` or of a REST body.
///
/// # Panics
/// If there is none, showing what was there instead.
pub fn code(answer: &Value) -> &str {
    let error = answer.get("error").unwrap_or(answer);
    match error["code"].as_str() {
        Some(code) => code,
        None => panic!("expected a failure with a code, got {answer}"),
    }
}

/// The given member of every item, as text.
pub fn texts<'a>(items: &'a Value, member: &str) -> Vec<&'a str> {
    let items = items.as_array().unwrap_or_else(|| panic!("expected a list, got {items}"));
    items.iter().map(|item| text(&item[member])).collect()
}

/// The ids of a list, in its order.
pub fn ids(items: &Value) -> Vec<&str> {
    texts(items, "id")
}

/// The text of a JSON string.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("expected a string, got {value}"))
}

/// The number of a JSON integer.
pub fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("expected a whole number, got {value}"))
}

/// Whether the value is a UUID in the usual spelling.
pub fn has_uuid(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 36 && uuid::Uuid::parse_str(text).is_ok())
}

/// Whether the value is RFC 3339 in UTC with exactly three digits of milliseconds.
pub fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        text.len() == "2026-01-01T00:00:00.000Z".len()
            && text.as_bytes()[19] == b'.'
            && text.ends_with('Z')
            && chrono::DateTime::parse_from_rfc3339(text).is_ok()
    })
}

/// The names of an object's members.
pub fn members(value: &Value) -> Vec<&str> {
    let object = value.as_object().unwrap_or_else(|| panic!("expected an object, got {value}"));
    object.keys().map(String::as_str).collect()
}

/// Fails unless the object has each of the members (null counts as there).
pub fn assert_members(value: &Value, expected: &[&str]) {
    let present = members(value);
    let missing: Vec<_> = expected.iter().filter(|name| !present.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?} missing in {value}");
}
