//! Receipts over REST: translation only.

use super::{Mark, Marked, ReadBy, mark, read_by, socket::READ};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{Body, Caller, Path, Query},
    limits::Class,
    rooms::RoomRef,
    routes::{Operation, Routes},
};
use axum::{Json, extract::State};
use serde_json::Value;

/// `/rooms/{id}/read` and `/rooms/{id}/messages/{seq}/receipts`.
pub fn routes() -> Routes {
    Routes::of("receipts").put("/rooms/{room}/read", Class::Read, on_mark, Operation::new("markRead", READ.about).body_of(&READ).like(&READ)).get(
        "/rooms/{room}/messages/{seq}/receipts",
        Class::Any,
        list,
        {
            let list = Operation::new("listReceipts", "Who has read a message and lets others know, by user id, and how many they are.");
            list.paged(50).gives::<ReadBy>().refuses(&[Error::NotAMember, Error::Banned])
        },
    )
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
