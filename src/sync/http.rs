//! Sync over REST: translation only.

use super::{Changes, ITEMS, changes};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{Caller, Path, Query},
    limits::Class,
    rooms::RoomRef,
    routes::{Operation, Routes},
};
use axum::{Json, extract::State};
use serde_json::json;

/// `/rooms/{id}/changes`.
pub fn routes() -> Routes {
    Routes::of("sync").get("/rooms/{room}/changes", Class::Any, read, {
        let number = json!({ "type": "integer", "minimum": 0 });
        let since = json!({ "name": "since", "in": "query", "required": true, "description": "The last number that one knows.", "schema": number });
        Operation::new("listChanges", "What happened in a room since a number, however long ago, as it is now.")
            .parameter(since)
            .query("until", "Page by page up to this number, the oldest first.", number)
            .limited(ITEMS, ITEMS)
            .gives::<Changes>()
            .refuses(&[Error::NotAMember, Error::Banned])
    })
}

async fn read(State(app): State<App>, Caller(caller): Caller, Path(room): Path<String>, query: Query) -> Result<Json<Changes>> {
    let room = RoomRef::parse(&room)?;
    let since = number(&query, "since")?.ok_or_else(|| Error::field("since", "required", "This parameter is required."))?;
    let until = number(&query, "until")?;
    Ok(Json(changes(&app, &caller, &room, since, until, query.limit(ITEMS, ITEMS)?).await?))
}

fn number(query: &Query, name: &'static str) -> Result<Option<i64>> {
    let seq = query.parsed::<i64>(name)?;
    if seq.is_some_and(|seq| seq < 0) { Err(Error::field(name, "range", "A number of a room is not negative.")) } else { Ok(seq) }
}
