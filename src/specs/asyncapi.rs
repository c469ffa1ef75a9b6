//! `AsyncAPI` 3.1: the events of both directions. A client's event is an operation that the server receives, and its
//! acknowledgement the operation's reply; an event of the server is an operation that it sends.

use super::{codes, info, refusal, schemas::Schemas};
use crate::{
    error::ErrorBody,
    socket::{Event, ServerEvent, any_refusals},
    specs::schemas::shape,
};
use serde_json::{Map, Value, json};

const ABOUT: &str = "The events of Socket.IO (protocol 5, Engine.IO 4): an unmodified socket.io-client 4.x in namespace `/chat`. An operation \
    that this document calls *receive* is an event that a client emits, and its *reply* what the acknowledgement's callback gets, exactly once; \
    *send* is an event that a client hears. The payload is the first argument of the event.\n\n\
    A failure is also told as `system:error`. An event that is not here is refused with `UNKNOWN_EVENT`. Fields that are not here are ignored and \
    named in `warnings`. Limits are those that a server has unless it is set up otherwise; `session.ready` announces them.";

/// Where messages are in the document.
const MESSAGES: &str = "#/channels/chat/messages/";

/// The document.
pub fn document(events: &[Event], told: &[&[ServerEvent]]) -> Value {
    let mut schemas = Schemas::default();
    let (mut messages, mut operations) = (Map::new(), Map::new());
    schemas.sent(shape::<ErrorBody>);
    for event in events {
        let (emit, ack) = (key("emit", event.name), key("ack", event.name));
        messages.insert(emit.clone(), json!({ "name": event.name, "summary": event.about, "payload": schemas.read(event.payload) }));
        messages
            .insert(ack.clone(), json!({ "name": event.name, "summary": "The acknowledgement.", "payload": acknowledgement(event, &mut schemas) }));
        let mut operation = operation("receive", event.about, &emit);
        operation["reply"] = json!({ "channel": { "$ref": "#/channels/chat" }, "messages": [{ "$ref": format!("{MESSAGES}{ack}") }] });
        if event.open {
            operation["description"] = "Answered also before the socket has authenticated.".into();
        }
        operations.insert(emit, operation);
    }
    for event in told.iter().copied().flatten() {
        let on = key("on", event.name);
        messages.insert(on.clone(), json!({ "name": event.name, "summary": event.about, "payload": schemas.sent(event.payload) }));
        operations.insert(on.clone(), operation("send", event.about, &on));
    }
    json!({
        "asyncapi": "3.1.0",
        "info": info(ABOUT),
        "defaultContentType": "application/json",
        "servers": {
            "chat": {
                "host": "localhost:3000",
                "pathname": "/socket.io/",
                "protocol": "ws",
                "description": "Also by HTTP long polling, with upgrade.",
                "security": [{ "$ref": "#/components/securitySchemes/bearer" }],
            },
        },
        "channels": { "chat": channel(&messages) },
        "operations": operations,
        "components": {
            "schemas": schemas.finish(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "`auth: { token }` of the handshake, or the header; or later, by `auth:login`.",
                },
            },
        },
    })
}

fn channel(messages: &Map<String, Value>) -> Value {
    let query = json!({ "type": "object", "properties": { "EIO": { "const": "4" }, "transport": { "enum": ["websocket", "polling"] } }, "required": ["EIO", "transport"] });
    json!({
        "address": "/chat",
        "title": "The namespace",
        "servers": [{ "$ref": "#/servers/chat" }],
        "messages": messages,
        "bindings": { "ws": { "method": "GET", "query": query, "bindingVersion": "0.1.0" } },
    })
}

fn operation(action: &str, about: &str, message: &str) -> Value {
    json!({ "action": action, "summary": about, "channel": { "$ref": "#/channels/chat" }, "messages": [{ "$ref": format!("{MESSAGES}{message}") }] })
}

fn acknowledgement(event: &Event, schemas: &mut Schemas) -> Value {
    let all = any_refusals(event.open);
    json!({
        "oneOf": [
            {
                "type": "object",
                "properties": {
                    "ok": { "type": "boolean", "const": true },
                    "data": schemas.sent(event.answer),
                    "warnings": { "type": "array", "items": { "type": "string" } },
                },
                "required": ["ok", "data"],
                "additionalProperties": false,
            },
            {
                "type": "object",
                "properties": {
                    "ok": { "type": "boolean", "const": false },
                    "error": refusal("ErrorBody", &codes(event.refusals.iter().chain(&all))),
                },
                "required": ["ok", "error"],
                "additionalProperties": false,
            },
        ],
    })
}

/// `emit` and `chat:room:join` are `emitChatRoomJoin`.
fn key(kind: &str, event: &str) -> String {
    let mut key = kind.to_owned();
    for word in event.split(':') {
        let mut letters = word.chars();
        key.extend(letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters));
    }
    key
}
