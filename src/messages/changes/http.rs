//! Edits and deletion over REST: translation only.

use super::{
    Earlier, Edit, Edited,
    deletion::{Deleted, Deletion, delete},
    edit, edits,
    socket::{DELETE, EDIT},
};
use crate::{
    app::App,
    error::Result,
    extract::{Body, Caller, OptionalBody, Page, Path, Query},
    limits::Class,
    messages::http::message_id,
    payload::Fields,
    routes::{Operation, Routes},
};
use axum::{Json, extract::State};
use serde_json::json;

/// `/messages/{id}` to be changed, and what it said before.
pub fn routes() -> Routes {
    Routes::of("messages")
        .patch("/messages/{id}", Class::Edit, on_edit, Operation::new("editMessage", EDIT.about).body_of(&EDIT).like(&EDIT))
        .delete("/messages/{id}", Class::Edit, on_delete, Operation::new("deleteMessage", DELETE.about).optional_body_of(&DELETE).like(&DELETE))
        .get(
            "/messages/{id}/edits",
            Class::Any,
            list,
            Operation::new("listEdits", "What a message said before, oldest first.").paged(50).gives::<Page<Earlier>>(),
        )
}

async fn on_edit(State(app): State<App>, Caller(caller): Caller, Path(id): Path<String>, Body(mut fields): Body) -> Result<Json<Edited>> {
    fields.put("messageId", json!(message_id(&id)?));
    let (edited, _) = edit(&app, &caller, Edit::read(fields, app.settings.chat.max_content)?).await?;
    Ok(Json(edited))
}

async fn on_delete(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    OptionalBody(fields): OptionalBody,
) -> Result<Json<Deleted>> {
    let mut fields = fields.map_or_else(|| Fields::of(json!({})), Ok)?;
    fields.put("messageId", json!(message_id(&id)?));
    Ok(Json(delete(&app, &caller, Deletion::read(fields)?).await?))
}

async fn list(State(app): State<App>, Caller(caller): Caller, Path(id): Path<String>, query: Query) -> Result<Json<Page<Earlier>>> {
    let limit = query.limit(50, 100)?;
    let after = query.cursor("edits", |number| number.parse().ok())?.unwrap_or_default();
    let earlier = edits(&app, caller.id(), message_id(&id)?, after, limit).await?;
    Ok(Json(Page::new("edits", earlier, limit, |last| last.number.to_string())))
}
