//! Identity: who somebody is, and for how long we believe it.
//!
//! A token is checked in two steps. [`tokens`] checks what it says of itself; then its session is looked up, since
//! a session that was revoked ends at once whatever the token says. A valid token of another system makes its user
//! and its session at first sight, and brings the user into the default room. Who comes at the same time is looked up
//! together.

mod accounts;
pub mod http;
pub mod passwords;
pub mod public_keys;
mod signatures;
pub mod store;
pub mod tokens;

pub use accounts::{
    Credentials, LoggedIn, NewPassword, PASSWORD, Registration, change_password, log_in, make_account, read_new_password, refresh, register,
    set_password,
};

use crate::{
    app::App,
    database,
    error::{Error, Result},
    gathering::Gathering,
    pool::Pool,
    recent::Recent,
    rooms::RoomId,
    time::{Time, every},
    users::{User, UserId, UserType},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use tokens::Claims;
use uuid::Uuid;

/// How often it is looked for ended sessions: the contract has a second to find them, tell their sockets and close these.
const ENDED_EVERY: Duration = Duration::from_millis(500);

/// Somebody whose token and session were found good. Holding one is the proof.
#[derive(Debug, Clone)]
pub struct AuthUser {
    /// The profile.
    pub user: User,
    /// The session, which can be revoked.
    pub session_id: Uuid,
    /// When the token ends.
    pub expires_at: DateTime<Utc>,
    /// Whether the user wanted to look offline to others then; connections learn of changes.
    pub invisible: bool,
}

impl AuthUser {
    /// The user's id.
    pub fn id(&self) -> &UserId {
        &self.user.id
    }
}

/// Somebody whose type is `admin`: who looks after the whole system. Holding one is the proof.
pub struct Administrator(Arc<AuthUser>);

impl Administrator {
    /// Refuses everybody else.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub fn of(caller: Arc<AuthUser>) -> Result<Self> {
        if caller.user.user_type == UserType::Admin { Ok(Self(caller)) } else { Err(Error::Forbidden("it is for users of type admin")) }
    }

    /// The administrator's id.
    pub fn id(&self) -> &UserId {
        self.0.id()
    }
}

/// One session in the list of them.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The id to revoke it by.
    pub id: Uuid,
    /// Whether it is the one that asks.
    pub current: bool,
    /// When it began.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub created_at: DateTime<Utc>,
    /// When it was last refreshed.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub last_used_at: DateTime<Utc>,
    /// When it ends by itself.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub expires_at: DateTime<Utc>,
}

/// Which sessions of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of them.
    All,
    /// This one.
    One(Uuid),
    /// All but this one.
    AllBut(Uuid),
}

impl Which {
    /// Whether a session is one of them.
    pub fn includes(self, session: Uuid) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => one == session,
            Self::AllBut(one) => one != session,
        }
    }
}

/// Finds out who holds tokens, of many at once: see [`identities`].
pub type Identities = Gathering<Claims, Option<Holder>>;

/// The line in which tokens wait for their sessions to be looked up, or made at first sight.
pub fn identities(db: Pool, default_room: RoomId, patience: Duration) -> Identities {
    Gathering::start(patience, move |claims| identify(db.clone(), default_room, claims))
}

async fn identify(db: Pool, default_room: RoomId, claims: Vec<Claims>) -> Result<Vec<Option<Holder>>> {
    let found = store::holders(&db, &claims).await?;
    // A longer token of a session that is known, too: the session must be known as long as that.
    let is_news = |(claims, holder): &(&Claims, &Option<Holder>)| {
        claims.session_id.is_none() && holder.as_ref().is_none_or(|holder| holder.expires_at < claims.expires_at)
    };
    let strangers: Vec<&Claims> = claims.iter().zip(&found).filter(is_news).map(|(claims, _)| claims).collect();
    if strangers.is_empty() {
        return Ok(found);
    }
    store::welcome(&db, default_room, &strangers).await?;
    store::holders(&db, &claims).await
}

/// Finds out who holds a token, and that its session stands.
///
/// # Errors
/// The `AUTH_…` code that fits, or `UNAVAILABLE` without the database.
pub async fn authenticate(app: &App, token: &str) -> Result<AuthUser> {
    let claims = app.keys.verify(token).await?;
    look_up(app, &claims).await?.admit(&claims)
}

/// The same for a request of which there may be many from one caller: a session that was found a moment ago is
/// [believed](BELIEVED) to stand.
///
/// # Errors
/// Those of [`authenticate`].
pub async fn recognise(app: &App, token: &str) -> Result<AuthUser> {
    let claims = app.keys.verify(token).await?;
    if let Some(holder) = app.sessions.get(&claims.token_key) {
        return holder.admit(&claims);
    }
    let holder = look_up(app, &claims).await?;
    if !holder.ended {
        app.sessions.put(claims.token_key.clone(), holder.clone());
    }
    holder.admit(&claims)
}

async fn look_up(app: &App, claims: &Claims) -> Result<Holder> {
    let unknown = if claims.session_id.is_some() { Error::Revoked } else { Error::TokenInvalid("it belongs to another user") };
    app.identities.ask(claims.clone()).await?.ok_or(unknown)
}

/// Sessions that callers over REST were found to have lately, by token.
pub type Sessions = Recent<Vec<u8>, Holder>;

/// How long a session may still be used over REST after another server ended it: as long as sockets may.
pub const BELIEVED: Duration = Duration::from_secs(1);
/// Most callers that are remembered.
pub const REMEMBERED: usize = 10_000;

/// Sessions of a user have ended: closes their connections, but not those that are logging out.
pub fn end_sessions(app: &App, user: &UserId, which: Which) {
    app.sessions.forget(|holder| holder.user.id == *user && which.includes(holder.session_id));
    app.realtime.end_sessions(user, which);
}

/// A session's row with its user.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The profile.
    pub user: User,
    /// The session.
    pub session_id: Uuid,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// Whether it may no longer be used.
    pub ended: bool,
    /// Whether the user wants to look offline to others.
    pub invisible: bool,
}

impl Holder {
    fn admit(self, claims: &Claims) -> Result<AuthUser> {
        if self.ended {
            return Err(Error::Revoked);
        }
        Ok(AuthUser { user: self.user, session_id: self.session_id, expires_at: claims.expires_at, invisible: self.invisible })
    }
}

/// Ends the caller's session, or all of the caller's sessions, and closes their connections, but not one that is known to log out: it
/// is still to be answered.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn log_out(app: &App, caller: &AuthUser, all_devices: bool) -> Result<()> {
    let which = if all_devices { Which::All } else { Which::One(caller.session_id) };
    store::revoke(&app.db, caller.id(), which).await?;
    end_sessions(app, caller.id(), which);
    Ok(())
}

/// The caller's sessions that stand, newest first.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn sessions(app: &App, caller: &AuthUser, before: Option<Uuid>, limit: i64) -> Result<Vec<Session>> {
    store::sessions(&app.db, caller.id(), Some(caller.session_id), before, limit).await
}

/// Ends one of the caller's sessions and closes its sockets.
///
/// # Errors
/// `NOT_FOUND` for anybody else's.
pub async fn revoke_session(app: &App, caller: &AuthUser, session_id: Uuid) -> Result<()> {
    if store::revoke(&app.db, caller.id(), Which::One(session_id)).await? == 0 {
        return Err(Error::NotFound);
    }
    end_sessions(app, caller.id(), Which::One(session_id));
    Ok(())
}

/// Looks for sessions that were ended, by whatever server or command, for as long as this server runs. In a task of its own,
/// since nothing else that is looked after may delay it.
pub async fn watch_ended(app: App) {
    let mut ticks = every(ENDED_EVERY);
    let (mut since, mut fails) = (None, false);
    loop {
        ticks.tick().await;
        match app.in_time(close_ended(&app, since)).await {
            Ok(next) => (since, fails) = (Some(next), false),
            // Once is enough.
            Err(_) if fails => {}
            Err(error) => {
                fails = true;
                tracing::warn!(%error, "ended sessions could not be looked for: their sockets stay until that is possible");
            }
        }
    }
}

/// Closes the connections of sessions that ended since the last look, and says from when to look next time.
async fn close_ended(app: &App, since: Option<DateTime<Utc>>) -> Result<DateTime<Utc>> {
    let (since, next) = database::look_since(&app.db, since).await?;
    for ended in store::ended_since(&app.db, since).await? {
        end_sessions(app, &ended.user_id, ended.session_id.map_or(Which::All, Which::One));
    }
    Ok(next)
}

/// Removes sessions and refresh tokens that have long expired.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn remove_expired(app: &App) -> Result<()> {
    const AT_ONCE: i64 = 1_000;
    while store::remove_expired(&app.db, AT_ONCE).await? > 0 {}
    Ok(())
}

/// Reads the `userType` of `auth:login`, which must be the one that the user has.
///
/// # Errors
/// `AUTH_USER_TYPE_INVALID`.
pub fn require_user_type(user: &AuthUser, claimed: Option<&str>) -> Result<()> {
    match claimed {
        Some(word) if UserType::parse(word) != Some(user.user.user_type) => Err(Error::UserTypeInvalid),
        _ => Ok(()),
    }
}
