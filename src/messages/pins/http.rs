//! Pins over REST: translation only.

use super::{
    Pinned, list, pin,
    socket::{PIN, UNPIN},
    store::Position,
    unpin,
};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{Caller, Page, Path, Query},
    limits::Class,
    messages::{Message, http::message_id},
    rooms::RoomRef,
    routes::{Operation, Routes},
};
use axum::{Json, extract::State};
use chrono::DateTime;

/// `/messages/{id}/pin` and `/rooms/{id}/pins`.
pub fn routes() -> Routes {
    Routes::of("messages")
        .put("/messages/{id}/pin", Class::Edit, on_pin, Operation::new("pinMessage", PIN.about).like(&PIN))
        .delete("/messages/{id}/pin", Class::Edit, on_unpin, Operation::new("unpinMessage", UNPIN.about).like(&UNPIN))
        .get("/rooms/{room}/pins", Class::Any, on_list, {
            let list = Operation::new("listPins", "The pinned messages of a room, the last pinned first.").paged(50);
            list.gives::<Page<Message>>().refuses(&[Error::NotAMember, Error::Banned])
        })
}

async fn on_pin(State(app): State<App>, Caller(caller): Caller, Path(id): Path<String>) -> Result<Json<Pinned>> {
    Ok(Json(pin(&app, &caller, message_id(&id)?).await?))
}

async fn on_unpin(State(app): State<App>, Caller(caller): Caller, Path(id): Path<String>) -> Result<Json<Pinned>> {
    Ok(Json(unpin(&app, &caller, message_id(&id)?).await?))
}

async fn on_list(State(app): State<App>, Caller(caller): Caller, Path(room): Path<String>, query: Query) -> Result<Json<Page<Message>>> {
    let limit = query.limit(50, 100)?;
    let after = query.cursor("pins", read_position)?;
    let messages = list(&app, caller.id(), &RoomRef::parse(&room)?, after, limit).await?;
    Ok(Json(Page::within("pins", messages, limit, write_position, Message::weight)))
}

fn write_position(message: &Message) -> String {
    format!("{} {}", message.pinned_at.unwrap_or_default().timestamp_micros(), message.seq)
}

pub(crate) fn read_position(text: &str) -> Option<Position> {
    let (time, seq) = text.split_once(' ')?;
    // Postgres has fewer times than chrono.
    let micros = time.parse().ok().filter(|micros| (0..=253_402_300_799_000_000).contains(micros))?;
    Some((DateTime::from_timestamp_micros(micros)?, seq.parse().ok()?))
}
