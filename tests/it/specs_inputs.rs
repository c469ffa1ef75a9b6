//! What is read is what the contract says: no field that nobody knows, none that is not told, and the limits as told.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::specs::operations;
use crate::support::{
    Reply, TestApp,
    contract::{asyncapi, openapi, payload_of, properties, resolved},
    json::{members, text},
};

/// The events that clients may emit.
pub fn events() -> Vec<&'static str> {
    let operations = asyncapi()["operations"].as_object().unwrap().values();
    operations
        .filter(|operation| operation["action"] == "receive")
        .map(|operation| text(&resolved(asyncapi(), &operation["messages"][0])["name"]))
        .collect()
}

/// The first of a schema's choices that is not `null`.
fn substance<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let schema = resolved(document, schema);
    let choices = schema["anyOf"].as_array().into_iter().flatten();
    choices.map(|choice| resolved(document, choice)).find(|choice| choice["type"] == "object" || choice["type"] == "string").unwrap_or(schema)
}

/// The object that an event brings.
fn object_of(event: &str) -> &'static Value {
    let schema = resolved(asyncapi(), payload_of(event).unwrap());
    let choices = schema["anyOf"].as_array().into_iter().flatten();
    choices.map(|choice| resolved(asyncapi(), choice)).find(|choice| choice["type"] == "object").unwrap_or(schema)
}

/// Fields that must be there, whatever else is.
fn required(schema: &Value) -> BTreeSet<&str> {
    [&schema["required"], &schema["else"]["required"]].into_iter().filter_map(Value::as_array).flatten().map(text).collect()
}

/// A value of no kind that a field could have; a place in a list that holds texts is not looked at.
fn wrong(schema: &Value) -> Value {
    let kinds = schema["type"].to_string();
    if kinds.contains("boolean") || kinds.contains("integer") || kinds.contains("object") { json!("x") } else { json!(5) }
}

/// What a field has one too many of, if there is a limit to it.
fn too_long(schema: &Value) -> Option<Value> {
    if let Some(most) = schema["maxLength"].as_u64() {
        return Some(json!("x".repeat(usize::try_from(most).unwrap() + 1)));
    }
    schema["maxItems"]
        .as_u64()
        .map(|most| (0..=most).map(|number| if schema["items"]["type"] == "object" { json!({}) } else { json!(format!("u{number}")) }).collect())
}

/// What a field has just enough of.
fn long_enough(schema: &Value) -> Option<Value> {
    Some(json!("x".repeat(usize::try_from(schema["maxLength"].as_u64()?).unwrap())))
}

/// Every name that a field has anywhere.
fn every_name() -> BTreeSet<&'static str> {
    let mut names: BTreeSet<&str> = events().into_iter().flat_map(|event| properties(asyncapi(), payload_of(event).unwrap()).into_keys()).collect();
    for (.., body) in bodies() {
        names.extend(properties(openapi(), body).into_keys());
    }
    names
}

/// Routes that take a body, with addresses of what need not exist, and the body.
fn bodies() -> Vec<(Method, String, &'static Value)> {
    let address = |path: &str| path.replace("{room}", "general").replace("{id}", "01890a5d-ac96-774b-bcce-b302099a8057").replace("{user}", "bob");
    let with_body = operations().filter(|(.., operation)| operation.get("requestBody").is_some());
    with_body
        .map(|(method, path, operation)| {
            (method, address(path), resolved(openapi(), &operation["requestBody"]["content"]["application/json"]["schema"]))
        })
        .collect()
}

fn faults<'a>(error: &'a Value, field: &str) -> Vec<&'a str> {
    error["fields"][field].as_array().into_iter().flatten().map(|fault| text(&fault["code"])).collect()
}

#[tokio::test]
async fn every_event_knows_the_fields_that_it_is_said_to_know_and_no_others() {
    let app = TestApp::start().await;
    let socket = app.user("alice").await.connect().await;
    for event in events() {
        let known = properties(asyncapi(), payload_of(event).unwrap());
        for (name, schema) in &known {
            let error = socket.emit_err(event, &json!({ *name: wrong(substance(asyncapi(), schema)) })).await;
            assert!(!faults(&error, name).is_empty(), "{event} does not look at {name}: {error}");
        }
        let everything: Map<String, Value> = every_name().into_iter().map(|name| (name.to_owned(), json!([[[]]]))).collect();
        if known.is_empty() {
            continue;
        }
        let error = socket.emit_err(event, &Value::Object(everything)).await;
        let unknown: Vec<&str> = members(&error["fields"]).into_iter().filter(|name| !known.contains_key(name)).collect();
        assert!(unknown.is_empty(), "{event} reads {unknown:?}, of which the contract says nothing");
    }
}

#[tokio::test]
async fn every_event_needs_the_fields_that_it_is_said_to_need() {
    let app = TestApp::start().await;
    let socket = app.user("alice").await.connect().await;
    for event in events() {
        let needed = required(object_of(event));
        // Where one of several fields is enough, no one of them is required.
        let any = ["chat:read", "chat:room:mute", "status:subscribe"].contains(&event);
        if needed.is_empty() {
            continue;
        }
        let error = socket.emit_err(event, &json!({})).await;
        let missing: BTreeSet<&str> = members(&error["fields"]).into_iter().filter(|name| faults(&error, name).contains(&"required")).collect();
        assert!(missing == needed || any && missing.is_superset(&needed), "{event} needs {missing:?}, and is said to need {needed:?}");
    }
}

#[tokio::test]
async fn every_event_has_the_limits_that_it_is_said_to_have() {
    let app = TestApp::start().await;
    let socket = app.user("alice").await.connect().await;
    let mut limits = 0;
    for event in events() {
        for (name, schema) in properties(asyncapi(), payload_of(event).unwrap()) {
            let schema = substance(asyncapi(), schema);
            // The limit of an event's bytes comes first.
            let Some(value) = too_long(schema).filter(|value| value.to_string().len() < 60_000) else { continue };
            let ack = socket.emit(event, &json!({ name: value })).await;
            assert!(faults(&ack["error"], name).contains(&"too_long"), "{event} has another limit of {name}: {ack}");
            if let Some(value) = long_enough(schema) {
                let ack = socket.emit(event, &json!({ name: value })).await;
                assert!(!faults(&ack["error"], name).contains(&"too_long"), "{event} has another limit of {name}: {ack}");
            }
            limits += 1;
        }
    }
    assert!(limits > 30, "{limits}");
}

#[tokio::test]
async fn every_body_has_the_fields_and_the_limits_that_it_is_said_to_have() {
    let app = TestApp::start().await;
    // Of a type that may ask every route.
    let alice = app.administrator("alice").await;
    let send = async |method: &Method, address: &str, body: &Value| {
        let request = app.http.request(method.clone(), format!("{}{address}", app.base())).bearer_auth(&alice.token);
        Reply::of(request.json(body)).await
    };
    for (method, address, schema) in bodies() {
        for (name, property) in properties(openapi(), schema) {
            let property = substance(openapi(), property);
            let reply = send(&method, &address, &json!({ name: wrong(property) })).await;
            assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{method} {address} {name}");
            assert!(!faults(&reply.body, name).is_empty(), "{method} {address} does not look at {name}: {}", reply.text);
            if let Some(value) = too_long(property) {
                let reply = send(&method, &address, &json!({ name: value })).await;
                assert!(faults(&reply.body, name).contains(&"too_long"), "{method} {address} has another limit of {name}: {}", reply.text);
            }
        }
        let needed = required(schema);
        if !needed.is_empty() {
            let reply = send(&method, &address, &json!({})).await;
            assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{method} {address}");
            assert_eq!(members(&reply.body["fields"]).into_iter().collect::<BTreeSet<_>>(), needed, "{method} {address}");
        }
    }
}
