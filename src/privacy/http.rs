//! Export and erasure over REST: translation only.

use super::{
    Farewell, Messages,
    export::{Export, Position, page},
    leave,
};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{Body, Caller, Query, cursor},
    limits::Class,
    routes::{Operation, Routes},
};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// The name of the list, in its cursors.
const EXPORT: &str = "export";

/// What a user may have done with all that is kept of them.
pub fn routes() -> Routes {
    Routes::of("users")
        .get("/users/me/export", Class::Any, on_export, {
            let about = "All that is kept of the caller, page by page. A page may be empty: go on until there is no `nextCursor`.";
            let export = Operation::new("exportOwnData", about).gives::<Export>();
            export.query("cursor", "The `nextCursor` of the page before.", json!({ "type": "string" }))
        })
        .delete("/users/me", Class::Login, on_erase, {
            let about = "Erases the caller's account for good. It is gone at once; memberships and messages follow within moments.";
            let erase = Operation::new("eraseOwnAccount", about).body::<Erase>();
            erase.answers::<Erasing>(StatusCode::ACCEPTED, "The account is gone.").refuses(&[Error::InvalidCredentials])
        })
}

/// A wish to be erased.
#[derive(JsonSchema)]
#[schemars(example = json!({ "confirm": "correct horse", "messages": "keep" }))]
pub struct Erase {
    /// The password of an account of the server's own; else the caller's id.
    #[schemars(length(min = 1, max = 1_000))]
    pub confirm: String,
    /// What becomes of what the caller said; `keep` without it.
    pub messages: Option<Messages>,
}

/// An erasure that has begun.
#[derive(Serialize, JsonSchema)]
pub struct Erasing {
    /// What becomes of what the caller said.
    messages: Messages,
}

async fn on_export(State(app): State<App>, Caller(caller): Caller, query: Query) -> Result<Json<Export>> {
    let at = query.cursor(EXPORT, |text| text.parse().ok())?.unwrap_or(Position::FIRST);
    let (mut export, next) = page(&app.db, caller.id(), at).await?;
    export.next_cursor = next.map(|next| cursor(EXPORT, &next.to_string()));
    Ok(Json(export))
}

async fn on_erase(State(app): State<App>, Caller(caller): Caller, Body(fields): Body) -> Result<(StatusCode, Json<Erasing>)> {
    let messages = leave(&app, &caller, Farewell::read(fields)?).await?;
    Ok((StatusCode::ACCEPTED, Json(Erasing { messages })))
}
