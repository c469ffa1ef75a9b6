//! Search over REST: translation only.

use super::{Found, Position, Question, Terms, query::LENGTH, search};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{Caller, Page, Query},
    limits::Class,
    rooms::RoomRef,
    routes::{Operation, Routes},
    users::UserId,
};
use axum::{Json, extract::State};
use chrono::{DateTime, Datelike, Utc};
use serde_json::json;

/// `/search`.
pub fn routes() -> Routes {
    Routes::of("search").get("/search", Class::Any, list, {
        let q = json!({ "type": "string", "minLength": 1, "maxLength": LENGTH });
        let about = "Words, and phrases within quotation marks: all of them must be there.";
        let time = || json!({ "type": "string", "format": "date-time" });
        Operation::new("search", "Messages that the caller may see and that hold some words, newest first.")
            .parameter(json!({ "name": "q", "in": "query", "required": true, "description": about, "schema": q }))
            .query("roomId", "In one room: its id or slug.", json!({ "type": "string" }))
            .query("from", "Said by one user: the id.", json!({ "type": "string" }))
            .query("before", "Said before a time.", time())
            .query("after", "Said after a time.", time())
            .paged(20)
            .gives::<Page<Found>>()
            .refuses(&[Error::RoomNotFound, Error::NotAMember, Error::Banned])
    })
}

async fn list(State(app): State<App>, Caller(caller): Caller, query: Query) -> Result<Json<Page<Found>>> {
    let q = query.text("q").ok_or_else(|| Error::field("q", "required", "This parameter is required."))?;
    let author = |id: &str| UserId::parse(id).ok_or_else(|| Error::field("from", "invalid", "This is not the id of a user."));
    let limit = query.limit(20, 100)?;
    let question = Question {
        terms: Terms::read(q)?,
        room: query.text("roomId").map(RoomRef::parse).transpose()?,
        from: query.text("from").map(author).transpose()?,
        before: time(&query, "before")?,
        after: time(&query, "after")?,
        position: query.cursor("search", Position::parse)?,
        limit: usize::try_from(limit).unwrap_or_default(),
    };
    let (found, next) = search(&app, caller.id(), question).await?;
    Ok(Json(Page::until("search", found, next.map(|position| position.to_string()))))
}

/// A time that messages can have.
fn time(query: &Query, name: &'static str) -> Result<Option<DateTime<Utc>>> {
    let time = query.parsed::<DateTime<Utc>>(name)?;
    match time {
        Some(time) if !(1..=9_999).contains(&time.year()) => Err(Error::field(name, "range", "A time of the years 1 to 9999 is expected.")),
        time => Ok(time),
    }
}
