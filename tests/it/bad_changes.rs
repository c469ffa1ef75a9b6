//! What a client may get wrong in the events that change a message: cases for [`bad_input`](super::bad_input).

use serde_json::json;

use super::bad_input::{Case, UNKNOWN_ROOM, VALIDATION, case};

/// The events that change a message.
pub const CHANGES: [&str; 6] =
    ["chat:message:edit", "chat:message:delete", "chat:message:pin", "chat:message:unpin", "chat:reaction:add", "chat:reaction:remove"];

/// Payloads of the right kind with one field that is wrong.
pub fn wrong_changes() -> Vec<Case> {
    let mut cases = Vec::new();
    for event in CHANGES {
        for id in ["null", "5", "[]", "{}", r#""""#, r#""x""#, r#""a\u0000b""#, r#""\ud800""#, r#""' OR 1=1""#] {
            cases.push(case(event, format!(r#"{{"messageId":{id},"content":"x","emoji":"x"}}"#), VALIDATION));
        }
        cases.push(case(event, r#"{"content":"x","emoji":"x"}"#, VALIDATION));
        cases.push(case(event, json!({ "messageId": UNKNOWN_ROOM, "content": "x", "emoji": "x" }), "MESSAGE_NOT_FOUND"));
    }
    let with = |field: &str, value: &str| {
        let mut fields = vec![("messageId", format!("{UNKNOWN_ROOM:?}")), ("content", r#""x""#.to_owned()), ("emoji", r#""x""#.to_owned())];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value.to_owned()));
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        format!("{{{}}}", fields.join(","))
    };
    for value in ["null", "5", "[]", r#""""#, r#""  ""#, r#""a\u0000b""#, r#""\ud800""#] {
        cases.push(case("chat:message:edit", with("content", value), VALIDATION));
        cases.push(case("chat:reaction:add", with("emoji", value), VALIDATION));
        cases.push(case("chat:reaction:remove", with("emoji", value), VALIDATION));
    }
    cases.push(case("chat:message:edit", with("content", &format!("{:?}", "x".repeat(4001))), VALIDATION));
    for value in [r#""1""#, "-1", "1.5", "9223372036854775808", "{}"] {
        cases.push(case("chat:message:edit", with("expectedRev", value), VALIDATION));
    }
    for value in [r#""a""#, "{}", "[5]", r#"["\u0000"]"#] {
        cases.push(case("chat:message:edit", with("mentions", value), VALIDATION));
    }
    for value in ["5", "[]", r#""\u0000""#] {
        cases.push(case("chat:message:delete", with("reason", value), VALIDATION));
    }
    cases.push(case("chat:message:delete", with("reason", &format!("{:?}", "x".repeat(501))), VALIDATION));
    for value in [r#""a b""#, r#""\t""#, r#""\u202e""#] {
        cases.push(case("chat:reaction:add", with("emoji", value), VALIDATION));
    }
    cases.push(case("chat:reaction:add", with("emoji", &format!("{:?}", "x".repeat(65))), VALIDATION));
    cases
}
