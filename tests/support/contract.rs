//! The contract, as it is committed in `tests/snapshots`: everything that the suite hears is held against it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, LazyLock, RwLock},
};

use jsonschema::Validator;
use serde_json::{Value, json};

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let read = |text| serde_json::from_str(text).unwrap();
    Contract {
        openapi: read(include_str!("../snapshots/openapi.json")),
        asyncapi: read(include_str!("../snapshots/asyncapi.json")),
        validators: RwLock::default(),
    }
});

struct Contract {
    openapi: Value,
    asyncapi: Value,
    /// By document and place in it.
    validators: RwLock<HashMap<String, Arc<Validator>>>,
}

/// The routes, as committed.
pub fn openapi() -> &'static Value {
    &CONTRACT.openapi
}

/// The events, as committed.
pub fn asyncapi() -> &'static Value {
    &CONTRACT.asyncapi
}

/// The payload of an event that clients emit.
pub fn payload_of(event: &str) -> Option<&'static Value> {
    asyncapi().pointer(&format!("/channels/chat/messages/{}/payload", key("emit", event)))
}

/// A schema of a document with what it refers to in place of the reference.
pub fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(path) => resolved(document, document.pointer(&path[1..]).unwrap_or_else(|| panic!("nothing is at {path}"))),
        None => schema,
    }
}

/// What an event that came breaks, in a line.
pub fn check_event(event: &str, payload: &Value) -> Result<(), String> {
    let place = format!("/channels/chat/messages/{}/payload", key("on", event));
    check(asyncapi(), &place, payload).map_err(|fault| format!("the event {event} is not as AsyncAPI says: {fault}"))
}

/// What the answer to an event breaks. `sent` is the JSON text of the event.
pub fn check_ack(sent: &str, ack: &Value) -> Result<(), String> {
    let sent: Value = serde_json::from_str(sent).unwrap_or_default();
    let event = sent[0].as_str().unwrap_or_default();
    let branch = usize::from(ack["ok"] == false);
    let place = format!("/channels/chat/messages/{}/payload/oneOf/{branch}", key("ack", event));
    let fault = if asyncapi().pointer(&place).is_some() {
        check(asyncapi(), &place, ack).err()
    } else if branch == 1 {
        check(asyncapi(), "/components/schemas/ErrorBody", &ack["error"]).err()
    } else {
        Some("no such event is known".to_owned())
    };
    let fault = fault.or_else(|| if branch == 0 { unknown_fields(event, &sent[1], ack) } else { None });
    fault.map_or(Ok(()), |fault| Err(format!("the ack of {event} is not as AsyncAPI says: {fault}")))
}

/// Fields that were accepted are known to the contract, and of others there was a warning.
fn unknown_fields(event: &str, payload: &Value, ack: &Value) -> Option<String> {
    let fields = payload.as_object()?;
    let known = properties(asyncapi(), payload_of(event)?);
    let unknown: BTreeSet<String> = fields.keys().filter(|name| !known.contains_key(name.as_str())).map(|name| format!("{name:?}")).collect();
    let warnings = ack["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let warned: BTreeSet<String> =
        warnings.filter_map(|text| Some(text.strip_prefix("The field ")?.strip_suffix(" is not known and was ignored.")?.to_owned())).collect();
    let few = fields.len() <= 20 && fields.keys().all(|name| name.chars().count() <= 64);
    (few && unknown != warned).then(|| format!("the unknown fields are {unknown:?}, and the warnings name {warned:?}"))
}

/// The fields of an object, or of the objects among several choices.
pub fn properties<'a>(document: &'a Value, schema: &'a Value) -> HashMap<&'a str, &'a Value> {
    let schema = resolved(document, schema);
    if let Some(choices) = schema["anyOf"].as_array() {
        return choices.iter().flat_map(|choice| properties(document, choice)).collect();
    }
    schema["properties"].as_object().into_iter().flatten().map(|(name, property)| (name.as_str(), property)).collect()
}

/// What an HTTP answer breaks, in a line. Requests of what is no route, and answers of the engine, are not looked at.
pub fn check_reply(method: &str, path: &str, status: u16, kind: &str, body: &str) -> Result<(), String> {
    if !path.starts_with("/api/") || ["HEAD", "OPTIONS"].contains(&method) {
        return Ok(());
    }
    let value: Value = serde_json::from_str(body).unwrap_or_default();
    let Some(place) = operation(method, path) else {
        let is_refused = [404, 405].contains(&status);
        let fault =
            if is_refused { check(openapi(), "/components/schemas/Problem", &value).err() } else { Some("no such route is known".to_owned()) };
        return fault.map_or(Ok(()), |fault| Err(format!("{method} {path:.200} answered {status}, not as OpenAPI says: {fault}")));
    };
    let response = format!("{place}/responses/{status}");
    let fault = match openapi().pointer(&response) {
        None => Some("this status is not known".to_owned()),
        Some(known) if known.get("content").is_none() => (!body.is_empty()).then(|| "there should be no body".to_owned()),
        Some(_) => check(openapi(), &format!("{response}/content/{}/schema", escaped(kind)), &value).err(),
    };
    fault.map_or(Ok(()), |fault| Err(format!("{method} {path:.200} answered {status}, not as OpenAPI says: {fault}; it was {body:.600}")))
}

/// Where a route is in the document: literal segments go before parameters.
fn operation(method: &str, path: &str) -> Option<String> {
    let segments: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        parts.len() == segments.len()
            && parts.iter().zip(&segments).all(|(part, segment)| part == segment || (part.starts_with('{') && !segment.is_empty()))
    };
    let paths = openapi()["paths"].as_object().unwrap();
    let found = paths.keys().filter(|template| fits(template)).min_by_key(|template| template.matches('{').count())?;
    let place = format!("/paths/{}/{}", escaped(found), method.to_lowercase());
    openapi().pointer(&place).map(|_| place)
}

fn check(document: &'static Value, place: &str, value: &Value) -> Result<(), String> {
    let Some(validator) = validator(document, place) else { return Err(format!("nothing is known of {place}")) };
    if validator.is_valid(value) {
        return Ok(());
    }
    Err(explain(document, document.pointer(place).unwrap(), value))
}

/// The validator for what is at a place, made when it is first needed.
fn validator(document: &'static Value, place: &str) -> Option<Arc<Validator>> {
    let name = format!("{}{place}", document.get("openapi").is_some());
    if let Some(known) = CONTRACT.validators.read().unwrap().get(&name) {
        return Some(known.clone());
    }
    let made = Arc::new(compiled(document, document.pointer(place)?));
    CONTRACT.validators.write().unwrap().insert(name, made.clone());
    Some(made)
}

/// A validator for a schema of a document.
pub fn compiled(document: &Value, schema: &Value) -> Validator {
    let root = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "allOf": [schema], "components": document["components"] });
    jsonschema::options().should_validate_formats(true).build(&root).unwrap_or_else(|error| panic!("{error} in {schema}"))
}

/// The first faults; where there are choices, those of the choice that comes closest.
fn explain(document: &Value, schema: &Value, value: &Value) -> String {
    let schema = resolved(document, schema);
    let choices = schema["oneOf"].as_array().or(schema["anyOf"].as_array()).cloned().unwrap_or_else(|| vec![schema.clone()]);
    let faults = choices.iter().map(|choice| {
        let validator = compiled(document, choice);
        let faults: Vec<String> = validator.iter_errors(value).map(|error| format!("{} {error:.300}", error.instance_path())).collect();
        faults
    });
    let closest = faults.min_by_key(Vec::len).unwrap_or_default();
    closest.into_iter().take(3).collect::<Vec<_>>().join("; ")
}

/// The document's name for an event: `emit` and `chat:room:join` are `emitChatRoomJoin`.
fn key(kind: &str, event: &str) -> String {
    let capital = |word: &str| word.get(..1).map(|first| first.to_uppercase() + &word[1..]).unwrap_or_default();
    event.split(':').fold(kind.to_owned(), |key, word| key + &capital(word))
}

fn escaped(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}
