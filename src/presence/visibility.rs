//! Invisible users: here for themselves, and offline for everybody else.
//!
//! Whether a user is invisible is a setting of theirs, which outlasts their connections. Their sockets then make nobody online on
//! any node, so no list, count, snapshot or subscription knows of them; that they type is not told, and when they were last seen
//! stays as it was. What they say is told like everything that is said.

use super::{Departure, Status, nodes::Row, of, store, typing};
use crate::{
    app::App,
    database,
    error::{Error, Result},
    payload::Fields,
    realtime::notification,
    users::UserId,
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

/// One's own presence.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OwnStatus {
    /// As others see it.
    #[serde(flatten)]
    status: Status,
    /// Whether one looks offline to them whatever one does.
    invisible: bool,
}

/// What one's other sockets are told: `presence.visibility`.
#[derive(Serialize, JsonSchema)]
pub struct VisibilityChanged {
    /// Whether one looks offline to everybody else.
    invisible: bool,
}

/// Reads `{invisible}`.
///
/// # Errors
/// `VALIDATION_ERROR`.
pub fn read(mut fields: Fields) -> Result<bool> {
    let invisible = fields.required_flag("invisible");
    fields.finish()?;
    Ok(invisible)
}

/// One's own presence.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn own(app: &App, user: &UserId) -> Result<OwnStatus> {
    let status = of(app, &[user.as_str().to_owned()]).await?.pop().ok_or_else(|| Error::internal("a caller who does not exist"))?;
    Ok(OwnStatus { status, invisible: store::is_invisible(&app.db, user).await? })
}

/// Makes a user invisible, or visible again: for others one edge, if the user is connected.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn set(app: &App, user: &UserId, invisible: bool) -> Result<()> {
    let _turn = app.presence.settings.lock().await;
    app.in_time(store::set_invisible(&app.db, user, invisible)).await?;
    apply(app, user, invisible);
    Ok(())
}

/// Learns what was changed at other servers since a time, and says from when to look next time.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn learn(app: &App, since: Option<DateTime<Utc>>) -> Result<DateTime<Utc>> {
    let _turn = app.presence.settings.lock().await;
    let (since, next) = database::look_since(&app.db, since).await?;
    for (user, invisible) in store::visibility_since(&app.db, since).await? {
        apply(app, &user, invisible);
    }
    Ok(next)
}

/// Shows or hides the user's sockets of this process, and tells them so. What is so already is no change.
fn apply(app: &App, user: &UserId, invisible: bool) {
    let mut is_news = false;
    for connection in app.realtime.connections_of(user) {
        connection.set_invisible(invisible, |was, is| {
            is_news = true;
            app.presence.count(Row::of(&connection, user, is), was, Departure::at_once());
        });
    }
    if !is_news {
        return;
    }
    if invisible {
        typing::forget_everywhere(app, user);
    }
    let message = if invisible { "You look offline to others." } else { "Others see when you are online." };
    app.realtime.tell_user(user, "system:notification", &notification("presence.visibility", "info", message, &VisibilityChanged { invisible }));
}
