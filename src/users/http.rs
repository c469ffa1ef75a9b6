//! Users over REST: translation only.

use super::{ProfileChange, User, get, search, update};
use crate::{
    app::App,
    error::Result,
    extract::{Body, Caller, Page, Path, Query},
    limits::{Class, http::Routes},
};
use axum::{Json, extract::State};

/// `/users…`.
pub fn routes() -> Routes {
    Routes::new().get("/users", Class::Any, list).get("/users/me", Class::Any, read_own).patch("/users/me", Class::Any, change_own).get(
        "/users/{id}",
        Class::Any,
        read,
    )
}

async fn read_own(State(app): State<App>, Caller(caller): Caller) -> Result<Json<User>> {
    Ok(Json(get(&app, caller.id().as_str()).await?))
}

async fn change_own(State(app): State<App>, Caller(caller): Caller, Body(fields): Body) -> Result<Json<User>> {
    Ok(Json(update(&app, caller.id(), ProfileChange::read(fields)?).await?))
}

async fn read(State(app): State<App>, Caller(_): Caller, Path(id): Path<String>) -> Result<Json<User>> {
    Ok(Json(get(&app, &id).await?))
}

async fn list(State(app): State<App>, Caller(_): Caller, query: Query) -> Result<Json<Page<User>>> {
    let limit = query.limit(20, 100)?;
    let after = query.cursor("users", |id| Some(id.to_owned()))?;
    let users = search(&app, query.text("q").unwrap_or(""), after.as_deref(), limit).await?;
    Ok(Json(Page::new("users", users, limit, |user| user.id.as_str().to_owned())))
}
