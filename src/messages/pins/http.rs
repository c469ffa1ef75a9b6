//! Pins over REST: translation only.

use super::{Pinned, list, pin, store::Position, unpin};
use crate::{
    app::App,
    error::Result,
    extract::{Caller, Page, Path, Query},
    limits::{Class, http::Routes},
    messages::{Message, http::message_id},
    rooms::RoomRef,
};
use axum::{Json, extract::State};
use chrono::DateTime;

/// `/messages/{id}/pin` and `/rooms/{id}/pins`.
pub fn routes() -> Routes {
    Routes::new().put("/messages/{id}/pin", Class::Edit, on_pin).delete("/messages/{id}/pin", Class::Edit, on_unpin).get(
        "/rooms/{room}/pins",
        Class::Any,
        on_list,
    )
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
    Ok(Json(Page::new("pins", messages, limit, write_position)))
}

fn write_position(message: &Message) -> String {
    format!("{} {}", message.pinned_at.unwrap_or_default().timestamp_micros(), message.seq)
}

fn read_position(text: &str) -> Option<Position> {
    let (time, seq) = text.split_once(' ')?;
    // Postgres has fewer times than chrono.
    let micros = time.parse().ok().filter(|micros| (0..=253_402_300_799_000_000).contains(micros))?;
    Some((DateTime::from_timestamp_micros(micros)?, seq.parse().ok()?))
}
