//! Sync over REST: translation only.

use super::{Changes, ITEMS, changes};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{Caller, Path, Query},
    limits::{Class, http::Routes},
    rooms::RoomRef,
};
use axum::{Json, extract::State};

/// `/rooms/{id}/changes`.
pub fn routes() -> Routes {
    Routes::new().get("/rooms/{room}/changes", Class::Any, read)
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
