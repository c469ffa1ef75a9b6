//! Users over REST: translation only.

use super::{NAME, PICTURE, ProfileChange, User, get, search, update};
use crate::{
    app::App,
    error::Result,
    extract::{Body, Caller, Page, Path, Query},
    limits::Class,
    routes::{Operation, Routes},
};
use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde_json::json;

/// `/users…`.
pub fn routes() -> Routes {
    Routes::of("users")
        .get("/users", Class::Any, list, {
            let list = Operation::new("listUsers", "Users whose user name or name begins with something, by id.");
            list.query("q", "What it begins with.", json!({ "type": "string" })).paged(20).gives::<Page<User>>()
        })
        .get("/users/me", Class::Any, read_own, Operation::new("getOwnProfile", "Who calls.").gives::<User>())
        .patch(
            "/users/me",
            Class::Any,
            change_own,
            Operation::new("changeOwnProfile", "Changes what others see of the caller.").body::<ChangeProfile>().gives::<User>(),
        )
        .get("/users/{id}", Class::Any, read, Operation::new("getUser", "One user.").gives::<User>())
}

/// A change of one's own profile; what is missing stays.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct ChangeProfile {
    /// The name to show.
    #[schemars(length(min = 1, max = NAME.max))]
    pub name: Option<String>,
    /// Where the picture is: an http or https URL.
    #[schemars(length(min = 1, max = PICTURE.max), pattern("^https?://"))]
    pub avatar_url: Option<String>,
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
