//! Reactions over REST: translation only.

use super::{
    Emoji, Reacted, Reaction, add, list, remove,
    socket::{ADD, REMOVE},
};
use crate::{
    app::App,
    error::Result,
    extract::{Caller, Page, Path, Query},
    limits::Class,
    messages::http::message_id,
    routes::{Operation, Routes},
};
use axum::{Json, extract::State};
use serde_json::json;

/// `/messages/{id}/reactions`.
pub fn routes() -> Routes {
    Routes::of("messages")
        .get("/messages/{id}/reactions", Class::Any, on_list, {
            let list = Operation::new("listReactions", "Who reacted to a message, by emoji and user id.");
            list.query("emoji", "Those with one emoji.", json!({ "type": "string" })).paged(50).gives::<Page<Reaction>>()
        })
        .put("/messages/{id}/reactions/{emoji}", Class::Reaction, on_add, Operation::new("addReaction", ADD.about).like(&ADD))
        .delete("/messages/{id}/reactions/{emoji}", Class::Reaction, on_remove, Operation::new("removeReaction", REMOVE.about).like(&REMOVE))
}

async fn on_add(State(app): State<App>, Caller(caller): Caller, Path((id, emoji)): Path<(String, String)>) -> Result<Json<Reacted>> {
    Ok(Json(add(&app, &caller, message_id(&id)?, &Emoji::check(&emoji)?).await?))
}

async fn on_remove(State(app): State<App>, Caller(caller): Caller, Path((id, emoji)): Path<(String, String)>) -> Result<Json<Reacted>> {
    Ok(Json(remove(&app, &caller, message_id(&id)?, &Emoji::check(&emoji)?).await?))
}

async fn on_list(State(app): State<App>, Caller(caller): Caller, Path(id): Path<String>, query: Query) -> Result<Json<Page<Reaction>>> {
    let limit = query.limit(50, 100)?;
    let emoji = query.text("emoji").map(Emoji::check).transpose()?;
    // No emoji has a space in it.
    let after = query.cursor("reactions", |text| text.split_once(' ').map(|(emoji, user)| (emoji.to_owned(), user.to_owned())))?.unwrap_or_default();
    let reactions = list(&app, caller.id(), message_id(&id)?, emoji.as_ref(), (&after.0, &after.1), limit).await?;
    Ok(Json(Page::new("reactions", reactions, limit, |last| format!("{} {}", last.emoji, last.user.id))))
}
