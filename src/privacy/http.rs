//! Export and erasure over REST: translation only.

use super::{
    Farewell, Messages, dismiss,
    export::{Export, Position, page},
    leave, show,
};
use crate::{
    app::App,
    auth::Administrator,
    error::{Error, Result},
    extract::{Body, Caller, Path, Query, cursor},
    limits::Class,
    routes::{Operation, Routes},
    users::{self, UserId},
};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// What a user may have done with all that is kept of them, and an administrator with what is kept of others.
pub fn routes() -> Routes {
    Routes::of("users")
        .get("/users/me/export", Class::Any, on_export, {
            let about = "All that is kept of the caller, page by page. A page may be empty: go on until there is no `nextCursor`.";
            let export = Operation::new("exportOwnData", about).gives::<Export>();
            export.query("cursor", "The `nextCursor` of the page before.", json!({ "type": "string" }))
        })
        .get("/users/{id}/export", Class::Any, on_show, {
            let about = "The same of any user, for administrators. The log notes each page.";
            let export = Operation::new("exportData", about).gives::<Export>().refuses(&[Error::Forbidden("")]);
            export.query("cursor", "The `nextCursor` of the page before.", json!({ "type": "string" }))
        })
        .delete("/users/me", Class::Login, on_erase, {
            let about = "Erases the caller's account for good. It is gone at once; memberships and messages follow within moments.";
            let erase = Operation::new("eraseOwnAccount", about).body::<Erase>();
            erase.answers::<Erasing>(StatusCode::ACCEPTED, "The account is gone.").refuses(&[Error::InvalidCredentials])
        })
        .delete("/users/{id}", Class::Edit, on_dismiss, {
            let about =
                "The same to another user's account, for administrators. To ask for it again changes nothing, but for messages that were kept.";
            let erase = Operation::new("eraseAccount", about).body::<Erase>();
            erase.answers::<Erasing>(StatusCode::ACCEPTED, "The account is gone.").refuses(&[Error::Forbidden("")])
        })
}

/// A wish that an account be erased.
#[derive(JsonSchema)]
#[schemars(example = json!({ "confirm": "correct horse", "messages": "keep" }))]
pub struct Erase {
    /// Of one's own account: its password, or the id where the server keeps none. Of another's: that user's id.
    #[schemars(length(min = 1, max = 1_000))]
    pub confirm: String,
    /// What becomes of what the user said; `keep` without it.
    pub messages: Option<Messages>,
}

/// An erasure that has begun.
#[derive(Serialize, JsonSchema)]
pub struct Erasing {
    /// What becomes of what the user said.
    messages: Messages,
}

async fn on_export(State(app): State<App>, Caller(caller): Caller, query: Query) -> Result<Json<Export>> {
    let at = position(&query, caller.id())?;
    Ok(shown(caller.id(), page(&app.db, caller.id(), at).await?))
}

async fn on_show(State(app): State<App>, by: Administrator, Path(id): Path<String>, query: Query) -> Result<Json<Export>> {
    let user = users::get(&app, &id).await?.id;
    let at = position(&query, &user)?;
    Ok(shown(&user, show(&app, &by, &user, at).await?))
}

/// The name of the list in its cursors: that of one user begins no page of another's.
fn list(user: &UserId) -> String {
    format!("export of {}", user.as_str())
}

fn position(query: &Query, user: &UserId) -> Result<Position> {
    Ok(query.cursor(&list(user), |text| text.parse().ok())?.unwrap_or(Position::FIRST))
}

fn shown(user: &UserId, (mut export, next): (Export, Option<Position>)) -> Json<Export> {
    export.next_cursor = next.map(|next| cursor(&list(user), &next.to_string()));
    Json(export)
}

async fn on_erase(State(app): State<App>, Caller(caller): Caller, Body(fields): Body) -> Result<(StatusCode, Json<Erasing>)> {
    let messages = leave(&app, &caller, Farewell::read(fields)?).await?;
    Ok((StatusCode::ACCEPTED, Json(Erasing { messages })))
}

async fn on_dismiss(State(app): State<App>, by: Administrator, Path(id): Path<String>, Body(fields): Body) -> Result<(StatusCode, Json<Erasing>)> {
    let farewell = Farewell::read(fields)?;
    let user = users::get(&app, &id).await?.id;
    let messages = dismiss(&app, &by, &user, farewell).await?;
    Ok((StatusCode::ACCEPTED, Json(Erasing { messages })))
}
