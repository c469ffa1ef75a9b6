//! Accounts and sessions over REST: translation only.

use super::{Credentials, LoggedIn, Registration, Session, log_in, log_out, refresh, register, revoke_session, sessions};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{Body, Caller, OptionalBody, Page, Path, Query},
    limits::{Class, http::Routes},
    payload::Length,
};
use axum::{Json, extract::State, http::StatusCode};

/// `/auth/…`.
pub fn routes() -> Routes {
    Routes::new()
        .post("/auth/register", Class::Login, on_register)
        .post("/auth/login", Class::Login, on_log_in)
        .post("/auth/refresh", Class::Connect, on_refresh)
        .post("/auth/logout", Class::Any, on_log_out)
        .get("/auth/sessions", Class::Any, list_sessions)
        .delete("/auth/sessions/{id}", Class::Any, delete_session)
}

async fn on_register(State(app): State<App>, Body(fields): Body) -> Result<(StatusCode, Json<LoggedIn>)> {
    Ok((StatusCode::CREATED, Json(register(&app, Registration::read(fields)?).await?)))
}

async fn on_log_in(State(app): State<App>, Body(fields): Body) -> Result<Json<LoggedIn>> {
    Ok(Json(log_in(&app, Credentials::read(fields)?).await?))
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
    log_out(&app, &caller, all_devices, None).await?;
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
