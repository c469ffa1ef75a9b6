//! Receipts over REST: translation only.

use super::{Mark, Marked, ReadBy, mark, read_by};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{Body, Caller, Path, Query},
    limits::{Class, http::Routes},
    rooms::RoomRef,
};
use axum::{Json, extract::State};
use serde_json::Value;

/// `/rooms/{id}/read` and `/rooms/{id}/messages/{seq}/receipts`.
pub fn routes() -> Routes {
    Routes::new().put("/rooms/{room}/read", Class::Read, on_mark).get("/rooms/{room}/messages/{seq}/receipts", Class::Any, list)
}

async fn on_mark(State(app): State<App>, Caller(caller): Caller, Path(room): Path<String>, Body(mut fields): Body) -> Result<Json<Marked>> {
    RoomRef::parse(&room)?;
    // The room of the path counts, whatever the body says.
    fields.put("roomId", Value::String(room));
    Ok(Json(mark(&app, &caller, None, &Mark::read(fields)?).await?))
}

async fn list(State(app): State<App>, Caller(caller): Caller, Path((room, seq)): Path<(String, String)>, query: Query) -> Result<Json<ReadBy>> {
    let limit = query.limit(50, 100)?;
    let after = query.cursor("receipts", |id| Some(id.to_owned()))?.unwrap_or_default();
    let seq = seq.parse().map_err(|_| Error::MessageNotFound)?;
    Ok(Json(read_by(&app, caller.id(), &RoomRef::parse(&room)?, seq, &after, limit).await?))
}
