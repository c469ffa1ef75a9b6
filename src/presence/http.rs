//! Presence over REST: translation only.

use super::{
    Status, of,
    visibility::{self, OwnStatus},
};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{Body, Caller, Path, Query},
    limits::Class,
    routes::{Operation, Routes},
};
use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// Most users in one question.
const USERS: usize = 100;

/// `/users/me/presence`, `/users/{id}/presence` and `/presence`.
pub fn routes() -> Routes {
    Routes::of("presence")
        .get("/users/me/presence", Class::Any, read_own, {
            Operation::new("getOwnPresence", "Whether others see that the caller is here.").gives::<OwnStatus>()
        })
        .patch("/users/me/presence", Class::Presence, change_own, {
            let change = Operation::new("changeOwnPresence", "Lets the caller look offline to others, or no longer.");
            change.body::<ChangeVisibility>().gives::<OwnStatus>()
        })
        .get("/users/{id}/presence", Class::Any, read, Operation::new("getPresence", "Whether a user is here, and when they were last seen.").gives::<Status>())
        .get("/presence", Class::Any, list, {
            let ids = json!({ "name": "userIds", "in": "query", "required": true, "description": "Up to 100 ids, with commas between them.", "schema": { "type": "string" } });
            let list = Operation::new("listPresence", "The same for several users.").parameter(ids);
            list.gives::<Statuses>().refuses(&[Error::UserNotFound(Vec::new())])
        })
}

/// The presence of several users.
#[derive(Serialize, JsonSchema)]
pub struct Statuses {
    /// In the order of their ids.
    items: Vec<Status>,
}

/// Whether one looks offline to others.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct ChangeVisibility {
    /// Whether one does, whatever one's sockets say.
    pub invisible: bool,
}

async fn read_own(State(app): State<App>, Caller(caller): Caller) -> Result<Json<OwnStatus>> {
    Ok(Json(visibility::own(&app, caller.id()).await?))
}

async fn change_own(State(app): State<App>, Caller(caller): Caller, Body(fields): Body) -> Result<Json<OwnStatus>> {
    visibility::set(&app, caller.id(), visibility::read(fields)?).await?;
    Ok(Json(visibility::own(&app, caller.id()).await?))
}

async fn read(State(app): State<App>, Caller(_): Caller, Path(id): Path<String>) -> Result<Json<Status>> {
    let unknown = || Error::UserNotFound(vec![id.chars().take(128).collect()]);
    if id.contains('\0') {
        return Err(unknown());
    }
    of(&app, std::slice::from_ref(&id)).await?.pop().map(Json).ok_or_else(unknown)
}

async fn list(State(app): State<App>, Caller(_): Caller, query: Query) -> Result<Json<Statuses>> {
    let ids = query.text("userIds").ok_or_else(|| Error::field("userIds", "required", "This parameter is required."))?;
    let mut users: Vec<String> = ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
    users.sort_unstable();
    users.dedup();
    if users.is_empty() || users.len() > USERS {
        return Err(Error::field("userIds", "range", format!("1 to {USERS} ids are allowed.")));
    }
    Ok(Json(Statuses { items: of(&app, &users).await? }))
}
