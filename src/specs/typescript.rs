//! TypeScript: the types of all that is sent and read, and the two maps of events that socket.io-client takes.

use super::schemas::{Schemas, shape};
use crate::{
    error::ErrorBody,
    routes::Route,
    socket::{Event, ServerEvent},
};
use serde_json::{Map, Value};
use std::fmt::Write as _;

const HEAD: &str = "// Made by `ires-chat spec typescript`: do not edit.
//
// const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io('http://localhost:3000/chat', { auth: { token } });

/** What an acknowledgement brings: every event is answered exactly once. */
export type Ack<T> = { ok: true; data: T; warnings?: string[] } | { ok: false; error: ErrorBody };
";

/// The declarations.
pub fn declarations(events: &[Event], told: &[&[ServerEvent]], routes: &[Route]) -> String {
    let mut schemas = Schemas::default();
    schemas.sent(shape::<ErrorBody>);
    let mut text = HEAD.to_owned();
    let mut maps = String::from("\n/** What the server tells. */\nexport interface ServerToClientEvents {\n");
    for event in told.iter().copied().flatten() {
        let payload = type_of(&schemas.sent(event.payload));
        comment(&mut maps, Some(event.about), "  ");
        _ = writeln!(maps, "  '{}': (payload: {payload}) => void;", event.name);
    }
    maps += "}\n\n/** What clients emit. */\nexport interface ClientToServerEvents {\n";
    for event in events {
        let (payload, answer) = (type_of(&schemas.read(event.payload)), type_of(&schemas.sent(event.answer)));
        comment(&mut maps, Some(event.about), "  ");
        _ = writeln!(maps, "  '{}': (payload: {payload}, ack: (answer: Ack<{answer}>) => void) => void;", event.name);
    }
    maps += "}\n";
    for route in routes {
        for shape in route.operation.answers.iter().filter_map(|(.., shape)| *shape) {
            schemas.sent(shape);
        }
    }
    for (name, schema) in schemas.finish() {
        text.push('\n');
        comment(&mut text, schema["description"].as_str(), "");
        match schema.get("properties").and_then(Value::as_object) {
            Some(properties) => {
                _ = writeln!(text, "export interface {name} {}", object(properties, &schema, ""));
            }
            None => _ = writeln!(text, "export type {name} = {};", type_of(&schema)),
        }
    }
    text + &maps
}

/// A schema as a type.
fn type_of(schema: &Value) -> String {
    let any_of = |choices: &Vec<Value>| {
        let mut types: Vec<String> = choices.iter().map(type_of).collect();
        types.dedup();
        types.join(" | ")
    };
    if let Some(path) = schema["$ref"].as_str() {
        return path.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some(value) = schema.get("const") {
        return literal(value);
    }
    if let Some(Value::Array(values)) = schema.get("enum") {
        return values.iter().map(literal).collect::<Vec<_>>().join(" | ");
    }
    if let Some(Value::Array(choices)) = schema.get("anyOf").or(schema.get("oneOf")) {
        return any_of(choices);
    }
    match &schema["type"] {
        Value::Array(kinds) => {
            let one = |kind: &Value| {
                let mut schema = schema.clone();
                schema["type"] = kind.clone();
                schema
            };
            any_of(&kinds.iter().map(one).collect())
        }
        Value::String(kind) => match kind.as_str() {
            "integer" => "number".to_owned(),
            "array" => match type_of(&schema["items"]) {
                items if items.contains(" | ") => format!("({items})[]"),
                items => format!("{items}[]"),
            },
            "object" => match (schema["properties"].as_object(), &schema["additionalProperties"]) {
                (Some(properties), _) => object(properties, schema, "").replace('\n', " ").replace("   ", " ").replace("  ", " "),
                (None, values @ Value::Object(_)) => format!("Record<string, {}>", type_of(values)),
                (None, Value::Bool(false)) => "Record<string, never>".to_owned(),
                _ => "Record<string, unknown>".to_owned(),
            },
            kind => kind.to_owned(),
        },
        _ => "unknown".to_owned(),
    }
}

fn object(properties: &Map<String, Value>, schema: &Value, indent: &str) -> String {
    if properties.is_empty() {
        return "{}".to_owned();
    }
    let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name));
    let mut text = "{\n".to_owned();
    for (name, property) in properties {
        comment(&mut text, property["description"].as_str(), &format!("{indent}  "));
        let mark = if required(name) { "" } else { "?" };
        _ = writeln!(text, "{indent}  {name}{mark}: {};", type_of(property));
    }
    text + indent + "}"
}

fn comment(text: &mut String, about: Option<&str>, indent: &str) {
    if let Some(about) = about {
        _ = writeln!(text, "{indent}/** {} */", about.replace('\n', " ").replace("*/", "* /"));
    }
}

fn literal(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| format!("'{text}'"))
}
