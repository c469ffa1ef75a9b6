//! Accounts and sessions over REST: translation only.

use super::{
    Credentials, LoggedIn, NewPassword, PASSWORD, Registration, Session, change_password, log_in, log_out, refresh, register, revoke_session,
    sessions,
};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{Body, Caller, OptionalBody, Page, Path, Query},
    limits::Class,
    payload::Length,
    routes::{Operation, Routes},
    users,
};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde_json::json;

/// `/auth/…`.
pub fn routes() -> Routes {
    Routes::of("auth")
        .post("/auth/register", Class::Login, on_register, {
            let made = Operation::new("register", "Makes an account, and logs in.").open().body::<Register>();
            made.answers::<LoggedIn>(StatusCode::CREATED, "The account is made.").refuses(&[Error::Conflict(""), Error::Forbidden("")])
        })
        .post("/auth/login", Class::Login, on_log_in, {
            let login = Operation::new("logIn", "Logs in to an account of the server's own.").open().body::<LogIn>();
            login.gives::<LoggedIn>().refuses(&[Error::InvalidCredentials, Error::Forbidden("")])
        })
        .post("/auth/refresh", Class::Connect, on_refresh, {
            let about = "Exchanges a refresh token for new tokens. The old one used again after 15 s ends the session.";
            let refresh = Operation::new("refresh", about).open().body::<Refresh>();
            refresh.gives::<LoggedIn>().refuses(&[Error::TokenInvalid(""), Error::TokenExpired, Error::Revoked, Error::Forbidden("")])
        })
        .put("/users/me/password", Class::Login, on_change_password, {
            let about = "Changes one's own password, and ends all other sessions. This one goes on with the tokens of the answer.";
            let change = Operation::new("changePassword", about).body::<PasswordChange>().gives::<LoggedIn>();
            change.refuses(&[Error::InvalidCredentials, Error::Forbidden("")])
        })
        .post("/auth/logout", Class::Any, on_log_out, {
            Operation::new("logOut", "Ends the session, or all sessions, and closes their sockets.").optional_body::<LogOut>().gives_nothing()
        })
        .get(
            "/auth/sessions",
            Class::Any,
            list_sessions,
            Operation::new("listSessions", "The caller's sessions, newest first.").paged(20).gives::<Page<Session>>(),
        )
        .delete(
            "/auth/sessions/{id}",
            Class::Any,
            delete_session,
            Operation::new("revokeSession", "Ends one of the caller's sessions.").gives_nothing(),
        )
}

/// An account to be made.
#[derive(JsonSchema)]
#[schemars(example = json!({ "username": "carol", "password": "correct horse" }))]
pub struct Register {
    /// Letters, digits, dots, dashes and underscores.
    #[schemars(length(min = 1, max = 64), pattern("^[A-Za-z0-9._-]*$"))]
    pub username: String,
    /// Every character counts. What is guessed first is refused: `frequent`, `obvious` and `breached` passwords.
    #[schemars(length(min = 8, max = 128))]
    pub password: String,
    /// The name to show.
    #[schemars(length(min = 1, max = users::NAME.max))]
    pub name: Option<String>,
}

/// An account to log in to.
#[derive(JsonSchema)]
#[schemars(rename = "Credentials", example = json!({ "username": "carol", "password": "correct horse" }))]
pub struct LogIn {
    /// The user name.
    #[schemars(length(min = 1, max = 128))]
    pub username: String,
    /// The password.
    #[schemars(length(min = 1, max = PASSWORD.max))]
    pub password: String,
}

/// Another password for one's own account.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", example = json!({ "currentPassword": "correct horse", "newPassword": "battery staple" }))]
pub struct PasswordChange {
    /// The password so far.
    #[schemars(length(min = 1, max = PASSWORD.max))]
    pub current_password: String,
    /// As in registering.
    #[schemars(length(min = 8, max = 128))]
    pub new_password: String,
}

/// What logging out may bring.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct LogOut {
    /// Whether all sessions of the user end.
    pub all_devices: Option<bool>,
}

/// A refresh token to be exchanged.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Refresh {
    /// As logging in answered it.
    #[schemars(length(min = 1, max = 8_192))]
    pub refresh_token: String,
}

async fn on_register(State(app): State<App>, Body(fields): Body) -> Result<(StatusCode, Json<LoggedIn>)> {
    Ok((StatusCode::CREATED, Json(register(&app, Registration::read(fields)?).await?)))
}

async fn on_log_in(State(app): State<App>, Body(fields): Body) -> Result<Json<LoggedIn>> {
    Ok(Json(log_in(&app, Credentials::read(fields)?).await?))
}

async fn on_change_password(State(app): State<App>, Caller(caller): Caller, Body(fields): Body) -> Result<Json<LoggedIn>> {
    Ok(Json(change_password(&app, &caller, NewPassword::read(fields)?).await?))
}

async fn on_refresh(State(app): State<App>, Body(mut fields): Body) -> Result<Json<LoggedIn>> {
    let token = fields.required_text("refreshToken", Length::new(1, 8_192));
    fields.finish()?;
    Ok(Json(refresh(&app, &token).await?))
}

async fn on_log_out(State(app): State<App>, Caller(caller): Caller, OptionalBody(fields): OptionalBody) -> Result<StatusCode> {
    let all_devices = match fields {
        Some(mut fields) => {
            let all_devices = fields.flag("allDevices");
            fields.finish()?;
            all_devices.unwrap_or_default()
        }
        None => false,
    };
    log_out(&app, &caller, all_devices).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_sessions(State(app): State<App>, Caller(caller): Caller, query: Query) -> Result<Json<Page<Session>>> {
    let limit = query.limit(20, 100)?;
    let before = query.cursor("sessions", |id| id.parse().ok())?;
    let found = sessions(&app, &caller, before, limit).await?;
    Ok(Json(Page::new("sessions", found, limit, |session| session.id.to_string())))
}

async fn delete_session(State(app): State<App>, Caller(caller): Caller, Path(id): Path<String>) -> Result<StatusCode> {
    revoke_session(&app, &caller, id.parse().map_err(|_| Error::NotFound)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
