//! Messages over REST: translation only.

use super::{
    Message, NewMessage, changes, first_at, first_unread,
    history::{Anchor, Page, get, history},
    pins, reactions, send,
    socket::MESSAGE,
    threads,
};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{Body, Caller, Path, Query},
    limits::Class,
    rooms::{self, RoomRef},
    routes::{Operation, Routes},
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json, value::RawValue};
use std::sync::Arc;
use uuid::Uuid;

/// `/rooms/{id}/messages` and `/messages/{id}`, and what is below them.
pub fn routes() -> Routes {
    Routes::of("messages")
        .get("/rooms/{room}/messages", Class::Any, list, {
            let list = Operation::new("listMessages", "What was said in a room, ascending: one of the anchors at most; without one the newest.");
            anchored(list)
                .query("at", "Around the first message at or after a time.", json!({ "type": "string", "format": "date-time" }))
                .query("first_unread", "Around the first message that the caller has not read.", json!({ "type": "string" }))
                .gives::<Page>()
                .refuses(&[Error::NotAMember, Error::Banned])
        })
        .post("/rooms/{room}/messages", Class::Message, create, {
            let key = json!({ "type": "string", "minLength": 1, "maxLength": 64 });
            Operation::new("sendMessage", MESSAGE.about)
                .parameter(json!({ "name": "Idempotency-Key", "in": "header", "description": "The same as `clientMsgId`.", "schema": key }))
                .body_of(&MESSAGE)
                .answers::<Message>(StatusCode::CREATED, "It is stored and told.")
                .answers::<Message>(StatusCode::OK, "It was so already: the first message again.")
                .refuses_like(&MESSAGE)
        })
        .get("/messages/{id}", Class::Any, read, Operation::new("getMessage", "One message.").gives::<Message>())
        .merge(changes::http::routes())
        .merge(reactions::http::routes())
        .merge(pins::http::routes())
        .merge(threads::http::routes())
}

/// Takes `limit` and what [`anchor`] reads.
pub fn anchored(operation: Operation) -> Operation {
    let number = || json!({ "type": "integer", "minimum": 0 });
    let operation = operation.limited(50, 100).query("before", "Those before a number.", number());
    operation.query("after", "Those after a number.", number()).query("around", "Those on both sides of a number.", number())
}

/// A message's id in a path.
///
/// # Errors
/// `MESSAGE_NOT_FOUND` for what cannot be the id of any message.
pub fn message_id(text: &str) -> Result<Uuid> {
    text.parse().map_err(|_| Error::MessageNotFound)
}

/// `before`, `after` or `around`, one of them at most.
///
/// # Errors
/// `VALIDATION_ERROR`.
pub fn anchor(query: &Query) -> Result<Option<Anchor>> {
    let (before, after, around) = (query.parsed::<i64>("before")?, query.parsed::<i64>("after")?, query.parsed::<i64>("around")?);
    let given = [before, after, around].into_iter().flatten().count();
    if given > 1 {
        return Err(only_one());
    }
    for (name, value) in [("before", before), ("after", after), ("around", around)] {
        if value.is_some_and(|seq| seq < 0) {
            return Err(Error::field(name, "range", "A message's number is not negative."));
        }
    }
    Ok(before.map(Anchor::Before).or(after.map(Anchor::After)).or(around.map(Anchor::Around)))
}

fn only_one() -> Error {
    Error::field("before", "invalid", "Only one of before, after, around, at and first_unread may be given.")
}

async fn list(State(app): State<App>, Caller(caller): Caller, Path(room): Path<String>, query: Query) -> Result<Response> {
    let room = RoomRef::parse(&room)?;
    let limit = query.limit(50, 100)?;
    let numbered = anchor(&query)?;
    let at = query.parsed::<DateTime<Utc>>("at")?;
    let unread = query.text("first_unread").is_some_and(|value| value != "false");
    if [numbered.is_some(), at.is_some(), unread].iter().filter(|given| **given).count() > 1 {
        return Err(only_one());
    }
    let anchor = match numbered {
        Some(anchor) => anchor,
        None if at.is_none() && !unread => Anchor::Newest,
        None => {
            let seat = rooms::find(&app, caller.id(), &room).await?;
            let read_seq = seat.membership()?.read_seq;
            let found = match at {
                Some(time) => first_at(&app, seat.room.id, time).await?,
                None => first_unread(&app, &seat.room, caller.id(), read_seq).await?,
            };
            let anchor = found.map_or(Anchor::Newest, Anchor::Around);
            return encoded(&history(&app, caller.id(), &RoomRef::Id(seat.room.id), anchor, limit).await?);
        }
    };
    encoded(&history(&app, caller.id(), &room, anchor, limit).await?)
}

/// A page as JSON, written into a buffer that need not grow: pages are large, and copying costs more than encoding.
fn encoded(page: &Page) -> Result<Response> {
    let content: usize = page.messages.iter().map(|message| message.content.len()).sum();
    let mut json = Vec::with_capacity(1_024 + 640 * page.messages.len() + content);
    serde_json::to_writer(&mut json, page).map_err(Error::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

async fn create(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(room): Path<String>,
    headers: HeaderMap,
    Body(mut fields): Body,
) -> Result<(StatusCode, Json<Arc<RawValue>>)> {
    if let Some(key) = headers.get("idempotency-key") {
        let key = key.to_str().map_err(|_| Error::field("Idempotency-Key", "invalid", "Visible ASCII characters are expected."))?;
        fields.put("clientMsgId", Value::String(key.to_owned()));
    }
    // The room of the path counts, whatever the body says.
    fields.take("roomId");
    let new = NewMessage::read(fields, &app.settings.chat)?.in_room(room);
    let stored = send(&app, caller, new).await?;
    let status = if stored.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(stored.message)))
}

async fn read(State(app): State<App>, Caller(caller): Caller, Path(id): Path<String>) -> Result<Json<Message>> {
    Ok(Json(get(&app, caller.id(), message_id(&id)?).await?))
}
