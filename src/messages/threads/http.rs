//! Threads over REST: translation only.

use super::{ThreadPage, of_room, read};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{Caller, Page, Path, Query},
    limits::Class,
    messages::{
        Message,
        history::Anchor,
        http::{anchor, anchored, message_id},
    },
    rooms::RoomRef,
    routes::{Operation, Routes},
};
use axum::{Json, extract::State};

/// `/messages/{id}/thread` and `/rooms/{id}/threads`.
pub fn routes() -> Routes {
    Routes::of("messages")
        .get("/messages/{id}/thread", Class::Any, on_read, {
            anchored(Operation::new("getThread", "A page of the thread that a message is in, ascending, and its root.")).gives::<ThreadPage>()
        })
        .get("/rooms/{room}/threads", Class::Any, on_list, {
            let list = Operation::new("listThreads", "The roots of a room's threads, the latest reply first.").paged(50);
            list.gives::<Page<Message>>().refuses(&[Error::NotAMember, Error::Banned])
        })
}

async fn on_read(State(app): State<App>, Caller(caller): Caller, Path(id): Path<String>, query: Query) -> Result<Json<ThreadPage>> {
    let limit = query.limit(50, 100)?;
    let anchor = anchor(&query)?.unwrap_or(Anchor::Newest);
    Ok(Json(read(&app, caller.id(), message_id(&id)?, anchor, limit).await?))
}

async fn on_list(State(app): State<App>, Caller(caller): Caller, Path(room): Path<String>, query: Query) -> Result<Json<Page<Message>>> {
    let limit = query.limit(50, 100)?;
    let before = query.cursor("threads", |seq| seq.parse().ok())?.unwrap_or(i64::MAX);
    let roots = of_room(&app, caller.id(), &RoomRef::parse(&room)?, before, limit).await?;
    Ok(Json(Page::within("threads", roots, limit, |(seq, _)| seq.to_string(), |(_, root)| root.weight()).map(|(_, root)| root)))
}
