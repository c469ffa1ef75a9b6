//! Identity: who somebody is, and for how long we believe it.
//!
//! A token is checked in two steps. [`tokens`] checks what it says of itself; then its session is looked up, since
//! a session that was revoked ends at once whatever the token says. A valid token of another system makes its user
//! and its session at first sight, and brings the user into the default room. Who comes at the same time is looked up
//! together.

pub mod http;
pub mod passwords;
pub mod store;
pub mod tokens;

use crate::{
    app::App,
    error::{Error, Result, violates},
    gathering::Gathering,
    payload::{Fields, Length},
    realtime::ConnectionId,
    recent::Recent,
    rooms::{self, RoomId},
    time::Time,
    users::{self, User, UserId, UserType},
};
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use std::time::Duration;
use tokens::Claims;
use uuid::Uuid;

/// A lost reply to a refresh may be asked for again for so long.
const REFRESH_REPEAT: TimeDelta = TimeDelta::seconds(15);

/// How far back a look for ended sessions reaches behind the last one.
const ENDED_OVERLAP: TimeDelta = TimeDelta::seconds(10);

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

/// What logging in answers.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoggedIn {
    /// Who logged in.
    user: User,
    /// For the `Authorization` header and for sockets.
    access_token: String,
    /// For `POST /auth/refresh`, once.
    refresh_token: String,
    #[schemars(extend("const" = "Bearer"))]
    token_type: &'static str,
    /// How long the access token lasts, in seconds.
    expires_in: u64,
    /// What the two tokens belong to.
    session_id: Uuid,
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

/// A new account.
pub struct Registration {
    username: String,
    /// As typed: every character counts.
    pub password: String,
    name: Option<String>,
}

/// A user name and a password.
pub struct Credentials {
    username: String,
    password: String,
}

/// How long a password may be where one is read; a new one is between 8 and 128.
const PASSWORD: Length = Length::new(1, 1_000);

impl Registration {
    /// Reads `{username, password, name?}`.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with every fault.
    pub fn read(mut fields: Fields) -> Result<Self> {
        let username = fields.required_text("username", Length::new(1, 64));
        if username.chars().any(|c| !c.is_ascii_alphanumeric() && !"._-".contains(c)) {
            fields.fault("username", "invalid", "Letters, digits, dots, dashes and underscores are allowed.");
        }
        let password = fields.required_text("password", PASSWORD);
        // Counted untrimmed: every character of a password counts, and none is cut off.
        match password.chars().count() {
            0 | 8..=128 => {}
            1..8 => fields.fault("password", "too_short", "At least 8 characters are needed."),
            _ => fields.fault("password", "too_long", "At most 128 characters are allowed."),
        }
        let name = fields.name("name", users::NAME);
        fields.finish()?;
        Ok(Self { username, password, name })
    }
}

impl Credentials {
    /// Reads `{username, password}`.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with every fault.
    pub fn read(mut fields: Fields) -> Result<Self> {
        let credentials =
            Self { username: fields.required_text("username", Length::new(1, 128)), password: fields.required_text("password", PASSWORD) };
        fields.finish()?;
        Ok(credentials)
    }
}

/// Finds out who holds tokens, of many at once: see [`identities`].
pub type Identities = Gathering<Claims, Option<Holder>>;

/// The line in which tokens wait for their sessions to be looked up, or made at first sight.
pub fn identities(db: PgPool, default_room: RoomId, patience: Duration) -> Identities {
    Gathering::start(patience, move |claims| identify(db.clone(), default_room, claims))
}

async fn identify(db: PgPool, default_room: RoomId, claims: Vec<Claims>) -> Result<Vec<Option<Holder>>> {
    let found = store::holders(&db, &claims).await?;
    let strangers: Vec<&Claims> =
        claims.iter().zip(&found).filter(|(claims, holder)| holder.is_none() && claims.session_id.is_none()).map(|(claims, _)| claims).collect();
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
    let claims = app.keys.verify(token)?;
    look_up(app, &claims).await?.admit(&claims)
}

/// The same for a request of which there may be many from one caller: a session that was found a moment ago is
/// [believed](BELIEVED) to stand.
///
/// # Errors
/// Those of [`authenticate`].
pub async fn recognise(app: &App, token: &str) -> Result<AuthUser> {
    let claims = app.keys.verify(token)?;
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

/// A session has ended, or all of a user's: closes their connections, but the one that asks for it.
fn end_sessions(app: &App, user: &UserId, session: Option<Uuid>, asking: Option<ConnectionId>) {
    app.sessions.forget(|holder| holder.user.id == *user && session.is_none_or(|session| holder.session_id == session));
    app.realtime.end_sessions(user, session, asking);
}

/// A session's row with its user.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The profile.
    pub user: User,
    /// The session.
    pub session_id: Uuid,
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

/// Makes an account and logs in.
///
/// # Errors
/// `CONFLICT` when the name is taken, `FORBIDDEN` where accounts live elsewhere.
pub async fn register(app: &App, new: Registration) -> Result<LoggedIn> {
    if app.accounts_live_elsewhere() {
        return Err(Error::Forbidden("accounts are not made here"));
    }
    let hash = app.passwords.hash(new.password.clone()).await?;
    let mut tx = app.begin().await?;
    let user = make_account(&mut tx, &new, &hash, app.default_room).await?;
    let answer = open_session(app, &mut tx, user).await?;
    tx.commit().await?;
    Ok(answer)
}

/// Makes an account, in the default room.
///
/// # Errors
/// `CONFLICT` when the name is taken.
pub async fn make_account(db: &mut PgConnection, new: &Registration, hash: &str, default_room: RoomId) -> Result<User> {
    let made = store::make_account(db, &Uuid::now_v7().to_string(), &new.username, new.name.as_deref(), hash).await;
    let user = match made {
        Err(error) if violates(&error, "users_username_key") => return Err(Error::Conflict("This user name is taken.")),
        made => made?,
    };
    rooms::store::enter_default_room(db, default_room, &user.id).await?;
    Ok(user)
}

/// Logs in to an own account.
///
/// # Errors
/// `INVALID_CREDENTIALS`, the same and as late for an unknown user as for a wrong password.
pub async fn log_in(app: &App, credentials: Credentials) -> Result<LoggedIn> {
    app.limits.delay_log_in(&credentials.username).await;
    let account = store::account(&app.db, &credentials.username).await?;
    let (user, hash) = account.map_or((None, None), |(user, hash)| (Some(user), Some(hash)));
    let known = app.passwords.verify(credentials.password, hash).await?;
    let user = user.filter(|_| known).ok_or(Error::InvalidCredentials)?;
    let mut tx = app.begin().await?;
    let answer = open_session(app, &mut tx, user).await?;
    tx.commit().await?;
    Ok(answer)
}

async fn open_session(app: &App, tx: &mut PgConnection, user: User) -> Result<LoggedIn> {
    let (session_id, token, now) = (Uuid::now_v7(), tokens::new_refresh_token(), Utc::now());
    let until = now + app.settings.auth.refresh_token_ttl;
    store::begin_session(tx, session_id, &user.id, until).await?;
    store::keep_refresh_token(tx, &tokens::hash_of(&token), session_id, until).await?;
    answer(app, user, session_id, token, now)
}

fn answer(app: &App, user: User, session_id: Uuid, refresh_token: String, now: DateTime<Utc>) -> Result<LoggedIn> {
    let life: Duration = app.settings.auth.access_token_ttl;
    let access_token = app.keys.mint(&user.id, user.user_type, None, Some(session_id), now, now + life)?;
    Ok(LoggedIn { user, access_token, refresh_token, token_type: "Bearer", expires_in: life.as_secs(), session_id })
}

/// Exchanges a refresh token for the next one and an access token. The same token again within 15 seconds gives
/// the same answer, for the reply may have been lost; later it was stolen, and the session ends.
///
/// # Errors
/// `AUTH_TOKEN_INVALID`, `AUTH_TOKEN_EXPIRED` or `AUTH_REVOKED`.
pub async fn refresh(app: &App, token: &str) -> Result<LoggedIn> {
    let hash = tokens::hash_of(token);
    let mut tx = app.begin().await?;
    let found = store::lock_refresh_token(&mut tx, &hash).await?.ok_or(Error::TokenInvalid("it is not a refresh token of ours"))?;
    let now = Utc::now();
    if found.holder.ended {
        return Err(Error::Revoked);
    }
    if found.expires_at < now {
        return Err(Error::TokenExpired);
    }
    let session_id = found.holder.session_id;
    let next = app.keys.next_refresh_token(token);
    let issued = match found.used_at {
        Some(used_at) if used_at + REFRESH_REPEAT < now => {
            store::revoke(&mut *tx, &found.holder.user.id, Some(session_id)).await?;
            tx.commit().await?;
            end_sessions(app, &found.holder.user.id, Some(session_id), None);
            return Err(Error::Revoked);
        }
        Some(used_at) => used_at,
        None => {
            let until = now + app.settings.auth.refresh_token_ttl;
            let used_at = store::use_refresh_token(&mut tx, &hash, now).await?;
            store::keep_refresh_token(&mut tx, &tokens::hash_of(&next), session_id, until).await?;
            store::prolong_session(&mut tx, session_id, until).await?;
            used_at
        }
    };
    let answer = answer(app, found.holder.user, session_id, next, issued)?;
    tx.commit().await?;
    Ok(answer)
}

/// Ends the caller's session, or all of the caller's sessions, and closes their connections, but not the one that
/// asks: it is still to be answered.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn log_out(app: &App, caller: &AuthUser, all_devices: bool, asking: Option<ConnectionId>) -> Result<()> {
    let session = (!all_devices).then_some(caller.session_id);
    store::revoke(&app.db, caller.id(), session).await?;
    end_sessions(app, caller.id(), session, asking);
    Ok(())
}

/// The caller's sessions that stand, newest first.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn sessions(app: &App, caller: &AuthUser, before: Option<Uuid>, limit: i64) -> Result<Vec<Session>> {
    store::sessions(&app.db, caller, before, limit).await
}

/// Ends one of the caller's sessions and closes its sockets.
///
/// # Errors
/// `NOT_FOUND` for anybody else's.
pub async fn revoke_session(app: &App, caller: &AuthUser, session_id: Uuid) -> Result<()> {
    if store::revoke(&app.db, caller.id(), Some(session_id)).await? == 0 {
        return Err(Error::NotFound);
    }
    end_sessions(app, caller.id(), Some(session_id), None);
    Ok(())
}

/// Closes the connections of sessions that ended since `since`, on whatever server or by whatever command they were
/// ended, and says from when to look next time: a little overlap, for what was being committed just now.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn close_ended(app: &App, since: Option<DateTime<Utc>>) -> Result<DateTime<Utc>> {
    let now = store::now(&app.db).await?;
    for ended in store::ended_since(&app.db, since.unwrap_or(now - ENDED_OVERLAP)).await? {
        end_sessions(app, &ended.user_id, ended.session_id, None);
    }
    Ok(now - ENDED_OVERLAP)
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
