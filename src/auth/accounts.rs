//! Accounts of our own, for those who have no other system: making one, logging in and staying so, another password.
//!
//! Nothing here tells whether there is an account of a name, by its words or by its time. Who changes a password at the same
//! moment as somebody logs in with the old one, wins: the two meet at the user's row.

use super::{
    AuthUser, Which, end_sessions,
    passwords::{Passwords, rules::LEAST},
    store, tokens,
};
use crate::{
    app::App,
    error::{Error, Result, violates},
    payload::{Fields, Length},
    rooms::{self, RoomId},
    users::{self, User, UserId},
};
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

/// A lost reply to a refresh may be asked for again for so long.
const REFRESH_REPEAT: TimeDelta = TimeDelta::seconds(15);

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

/// A new account.
pub struct Registration {
    username: String,
    /// As typed: every character counts.
    password: String,
    name: Option<String>,
}

/// A user name and a password.
pub struct Credentials {
    username: String,
    password: String,
}

/// One's own password, and the one that is to take its place.
pub struct NewPassword {
    current: String,
    new: String,
}

/// How long a password may be where one is read; a new one is between 8 and 128.
pub const PASSWORD: Length = Length::new(1, 1_000);

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
        let password = read_new_password(&mut fields, "password");
        let name = fields.name("name", users::NAME);
        fields.finish()?;
        Ok(Self { username, password, name })
    }

    /// The hash of the password, if it may be one.
    ///
    /// # Errors
    /// Those of [`Passwords::hash`].
    pub async fn hash(&self, passwords: &Passwords) -> Result<String> {
        passwords.hash("password", self.password.clone(), Some(self.username.clone()), self.name.clone()).await
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

impl NewPassword {
    /// Reads `{currentPassword, newPassword}`.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with every fault.
    pub fn read(mut fields: Fields) -> Result<Self> {
        let change = Self { current: fields.required_text("currentPassword", PASSWORD), new: read_new_password(&mut fields, "newPassword") };
        fields.finish()?;
        Ok(change)
    }
}

/// Reads a password that is to be one, and sees to its length. Counted untrimmed: every character of a password counts, and none is cut
/// off. The other [rules](super::passwords::rules) are asked when it is hashed.
pub fn read_new_password(fields: &mut Fields, name: &'static str) -> String {
    let password = fields.required_text(name, PASSWORD);
    match password.chars().count() {
        0 | LEAST..=128 => {}
        1..LEAST => fields.fault(name, "too_short", format!("At least {LEAST} characters are needed.")),
        _ => fields.fault(name, "too_long", "At most 128 characters are allowed."),
    }
    password
}

/// Makes an account and logs in.
///
/// # Errors
/// `VALIDATION_ERROR` for a password that is guessed first, `CONFLICT` when the name is taken, `FORBIDDEN` where accounts live elsewhere.
pub async fn register(app: &App, new: Registration) -> Result<LoggedIn> {
    if app.accounts_live_elsewhere() {
        return Err(Error::Forbidden("accounts are not made here"));
    }
    let hash = new.hash(&app.passwords).await?;
    let mut tx = app.begin().await?;
    let user = make_account(&mut tx, &new, &hash, app.default_room).await?;
    let answer = open_session(app, &mut tx, user, &hash).await?;
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
/// `INVALID_CREDENTIALS`, the same and as late for an unknown user as for a wrong password; `FORBIDDEN` where accounts live
/// elsewhere, `UNAVAILABLE` when too many log in at once.
pub async fn log_in(app: &App, credentials: Credentials) -> Result<LoggedIn> {
    app.keys.require_secret()?;
    app.limits.delay_log_in(&credentials.username).await;
    let account = store::account(&app.db, &credentials.username).await?;
    let (user, hash) = account.unzip();
    let known = app.passwords.verify(credentials.password, hash.clone()).await?;
    let (user, hash) = user.zip(hash).filter(|_| known).ok_or(Error::InvalidCredentials)?;
    let mut tx = app.begin().await?;
    let answer = open_session(app, &mut tx, user, &hash).await?;
    tx.commit().await?;
    Ok(answer)
}

/// Begins a session of somebody whose password was right, if it is still the one of this hash.
async fn open_session(app: &App, tx: &mut PgConnection, user: User, hash: &str) -> Result<LoggedIn> {
    let (session_id, now) = (Uuid::now_v7(), Utc::now());
    let until = now + app.settings.auth.refresh_token_ttl.min(app.settings.auth.session_ttl);
    if !store::begin_session(tx, session_id, &user.id, hash, until).await? {
        return Err(Error::InvalidCredentials);
    }
    hand_out(app, tx, user, session_id, now, until).await
}

/// Hands tokens of a session out, of which none outlives it.
async fn hand_out(app: &App, tx: &mut PgConnection, user: User, session_id: Uuid, now: DateTime<Utc>, until: DateTime<Utc>) -> Result<LoggedIn> {
    let token = tokens::new_refresh_token();
    store::keep_refresh_token(tx, &tokens::hash_of(&token), session_id, until).await?;
    answer(app, user, session_id, token, now, until)
}

/// Moves the end of a session that goes on, as far as its longest life lets it, and says where to.
async fn prolong(app: &App, tx: &mut PgConnection, session_id: Uuid, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let settings = &app.settings.auth;
    store::prolong_session(tx, session_id, now + settings.refresh_token_ttl, settings.session_ttl).await?.ok_or(Error::Revoked)
}

/// Changes one's own password. All other sessions end, with their sockets and refresh tokens; the caller's goes on with the
/// tokens of the answer, and with no refresh token from before.
///
/// # Errors
/// `INVALID_CREDENTIALS` for a wrong current password, `VALIDATION_ERROR` for a new one that is guessed first, `FORBIDDEN` for whoever has
/// no password here, `AUTH_TOKEN_EXPIRED` at the end of the session's longest life.
pub async fn change_password(app: &App, caller: &AuthUser, change: NewPassword) -> Result<LoggedIn> {
    app.keys.require_secret()?;
    let account = store::own_account(&app.db, caller.id()).await?;
    let (user, hash) = account.ok_or(Error::Forbidden("the password of this account is kept elsewhere"))?;
    app.limits.delay_log_in(user.username.as_deref().unwrap_or_default()).await;
    if !app.passwords.verify(change.current, Some(hash.clone())).await? {
        return Err(Error::InvalidCredentials);
    }
    let new = app.passwords.hash("newPassword", change.new, user.username.clone(), user.name.clone()).await?;
    let (session_id, now) = (caller.session_id, Utc::now());
    let mut tx = app.begin().await?;
    // Unless somebody else was faster.
    if !store::change_password(&mut tx, caller.id(), Some(&hash), &new).await? {
        return Err(Error::InvalidCredentials);
    }
    store::revoke(&mut *tx, caller.id(), Which::AllBut(session_id)).await?;
    store::forget_refresh_tokens(&mut tx, session_id).await?;
    let until = prolong(app, &mut tx, session_id, now).await?;
    let answer = hand_out(app, &mut tx, user, session_id, now, until).await?;
    tx.commit().await?;
    end_sessions(app, caller.id(), Which::AllBut(session_id));
    Ok(answer)
}

/// Gives an account another password, and ends all its sessions; servers close their sockets within a second. Says whether there is
/// such an account.
///
/// # Errors
/// Those of [`Passwords::hash`], and `UNAVAILABLE` without the database.
pub async fn set_password(db: &mut PgConnection, passwords: &Passwords, id: &UserId, password: String) -> Result<bool> {
    let Some(user) = users::store::find(&mut *db, id).await? else { return Ok(false) };
    let hash = passwords.hash("password", password, user.username, user.name).await?;
    let mut tx = db.begin().await?;
    let found = store::change_password(&mut tx, id, None, &hash).await?;
    if found {
        store::revoke(&mut *tx, id, Which::All).await?;
    }
    tx.commit().await?;
    Ok(found)
}

/// Answers with an access token that begins `now` and does not outlive its session, which ends at `until`.
fn answer(app: &App, user: User, session_id: Uuid, refresh_token: String, now: DateTime<Utc>, until: DateTime<Utc>) -> Result<LoggedIn> {
    let left = (until - now).to_std().ok().filter(|left| !left.is_zero()).ok_or(Error::TokenExpired)?;
    let life = app.settings.auth.access_token_ttl.min(left);
    let access_token = app.keys.mint(&user.id, user.user_type, None, Some(session_id), now, now + life)?;
    Ok(LoggedIn { user, access_token, refresh_token, token_type: "Bearer", expires_in: life.as_secs(), session_id })
}

/// Exchanges a refresh token for the next one and an access token. The same token again within 15 seconds gives
/// the same answer, for the reply may have been lost; later it was stolen, and the session ends.
///
/// # Errors
/// `AUTH_TOKEN_INVALID`, `AUTH_TOKEN_EXPIRED` or `AUTH_REVOKED`; `FORBIDDEN` where accounts live elsewhere.
pub async fn refresh(app: &App, token: &str) -> Result<LoggedIn> {
    let next = app.keys.next_refresh_token(token)?;
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
    let (issued, until) = match found.used_at {
        Some(used_at) if used_at + REFRESH_REPEAT < now => {
            store::revoke(&mut *tx, &found.holder.user.id, Which::One(session_id)).await?;
            tx.commit().await?;
            end_sessions(app, &found.holder.user.id, Which::One(session_id));
            return Err(Error::Revoked);
        }
        Some(used_at) => (used_at, found.holder.expires_at),
        None => {
            let used_at = store::use_refresh_token(&mut tx, &hash, now).await?;
            let until = prolong(app, &mut tx, session_id, now).await?;
            store::keep_refresh_token(&mut tx, &tokens::hash_of(&next), session_id, until).await?;
            (used_at, until)
        }
    };
    let answer = answer(app, found.holder.user, session_id, next, issued, until)?;
    tx.commit().await?;
    Ok(answer)
}
