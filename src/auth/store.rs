//! SQL of sessions, tokens and own accounts.

use super::{AuthUser, Holder, Session, tokens::Claims};
use crate::{
    error::Result,
    users::{User, UserId, UserType},
};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, query, query_as, query_scalar};
use uuid::Uuid;

/// A refresh token's row, locked.
pub struct RefreshToken {
    /// Its session and user.
    pub holder: Holder,
    /// When it can no longer be used.
    pub expires_at: DateTime<Utc>,
    /// When it was used.
    pub used_at: Option<DateTime<Utc>>,
}

/// A session's row with its user.
struct HolderRow {
    id: UserId,
    username: Option<String>,
    name: Option<String>,
    avatar_url: Option<String>,
    user_type: UserType,
    session_id: Uuid,
    ended: bool,
}

impl From<HolderRow> for Holder {
    fn from(row: HolderRow) -> Self {
        Self {
            user: User { id: row.id, username: row.username, name: row.name, avatar_url: row.avatar_url, user_type: row.user_type },
            session_id: row.session_id,
            ended: row.ended,
        }
    }
}

/// A [`Holder`], from a condition on the session `s` and the user `u`.
macro_rules! select_holder {
    ($condition:tt, $($argument:expr),+ $(,)?) => {
        query_as!(
            HolderRow,
            r#"SELECT u.id AS "id!: UserId", u.username AS "username?", u.name AS "name?", u.avatar_url AS "avatar_url?",
                   u.user_type AS "user_type!: UserType", s.id AS "session_id!",
                   (s.revoked_at IS NOT NULL OR u.deactivated_at IS NOT NULL) AS "ended!"
               FROM sessions AS s
               JOIN users AS u ON u.id = s.user_id
               "# + $condition,
            $($argument),+
        )
    };
}

/// The holder of one of our own sessions.
///
/// # Errors
/// Those of the database.
pub async fn holder_of_session(db: impl PgExecutor<'_>, session_id: Uuid, user_id: &UserId) -> Result<Option<Holder>> {
    let row = select_holder!("WHERE s.id = $1 AND s.user_id = $2", session_id, user_id.as_str());
    Ok(row.fetch_optional(db).await?.map(Holder::from))
}

/// The holder of another system's token that was seen before.
///
/// # Errors
/// Those of the database.
pub async fn holder_of_token(db: impl PgExecutor<'_>, token_key: &[u8], user_id: &UserId) -> Result<Option<Holder>> {
    let row = select_holder!("WHERE s.token_key = $1 AND s.user_id = $2", token_key, user_id.as_str());
    Ok(row.fetch_optional(db).await?.map(Holder::from))
}

/// Makes the user of another system's token, or gives a profile to one that was only named so far. The issuer
/// decides what its users are, but not what our own accounts are.
///
/// # Errors
/// Those of the database.
pub async fn welcome(db: &mut PgConnection, claims: &Claims) -> Result<()> {
    let user_type = claims.user_type.unwrap_or(UserType::User);
    query!(
        "INSERT INTO users AS u (id, username, name, avatar_url, user_type)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE
         SET username = COALESCE(u.username, EXCLUDED.username),
             name = COALESCE(u.name, EXCLUDED.name),
             avatar_url = COALESCE(u.avatar_url, EXCLUDED.avatar_url),
             user_type = EXCLUDED.user_type
         WHERE u.password_hash IS NULL",
        claims.user_id.as_str(),
        claims.username.as_deref().map(shortened),
        claims.name.as_deref().or(claims.username.as_deref()).map(shortened),
        claims.picture.as_deref().filter(|url| url.len() <= 2_000),
        user_type as UserType
    )
    .execute(db)
    .await?;
    Ok(())
}

fn shortened(text: &str) -> &str {
    text.char_indices().nth(100).map_or(text, |(end, _)| &text[..end])
}

/// Begins a session; for a token of another system that is already known, nothing happens.
///
/// # Errors
/// Those of the database.
pub async fn begin_session(db: &mut PgConnection, id: Uuid, user_id: &UserId, token_key: Option<&[u8]>, expires_at: DateTime<Utc>) -> Result<()> {
    query!(
        "INSERT INTO sessions (id, user_id, token_key, expires_at)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (token_key) DO NOTHING",
        id,
        user_id.as_str(),
        token_key,
        expires_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Makes an own account.
///
/// # Errors
/// Those of the database; `users_username_key` is violated when the name is taken.
pub async fn make_account(db: &mut PgConnection, id: &str, username: &str, name: Option<&str>, password_hash: &str) -> Result<User, sqlx::Error> {
    query_as!(
        User,
        r#"INSERT INTO users (id, username, name, password_hash)
           VALUES ($1, $2, COALESCE($3, $2), $4)
           RETURNING id AS "id: UserId", username, name, avatar_url, user_type AS "user_type: UserType""#,
        id,
        username,
        name,
        password_hash
    )
    .fetch_one(db)
    .await
}

/// An own account with its password's hash.
///
/// # Errors
/// Those of the database.
pub async fn account(db: impl PgExecutor<'_>, username: &str) -> Result<Option<(User, String)>> {
    let row = query!(
        r#"SELECT id AS "id: UserId", username, name, avatar_url, user_type AS "user_type: UserType", password_hash AS "password_hash!"
           FROM users
           WHERE lower(username) = lower($1) AND password_hash IS NOT NULL AND deactivated_at IS NULL"#,
        username
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| {
        (User { id: row.id, username: row.username, name: row.name, avatar_url: row.avatar_url, user_type: row.user_type }, row.password_hash)
    }))
}

/// Keeps the hash of a refresh token.
///
/// # Errors
/// Those of the database.
pub async fn keep_refresh_token(db: &mut PgConnection, hash: &[u8], session_id: Uuid, expires_at: DateTime<Utc>) -> Result<()> {
    query!("INSERT INTO refresh_tokens (hash, session_id, expires_at) VALUES ($1, $2, $3)", hash, session_id, expires_at).execute(db).await?;
    Ok(())
}

/// Finds a refresh token and holds its row, so that two uses at once come one after the other.
///
/// # Errors
/// Those of the database.
pub async fn lock_refresh_token(db: &mut PgConnection, hash: &[u8]) -> Result<Option<RefreshToken>> {
    let token =
        query!("SELECT session_id, expires_at, used_at FROM refresh_tokens WHERE hash = $1 FOR UPDATE", hash).fetch_optional(&mut *db).await?;
    let Some(token) = token else { return Ok(None) };
    let holder = select_holder!("WHERE s.id = $1", token.session_id).fetch_one(db).await?;
    Ok(Some(RefreshToken { holder: holder.into(), expires_at: token.expires_at, used_at: token.used_at }))
}

/// Marks a refresh token as used, and returns the time as stored.
///
/// # Errors
/// Those of the database.
pub async fn use_refresh_token(db: &mut PgConnection, hash: &[u8], at: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let row = query!(r#"UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1 RETURNING used_at AS "used_at!""#, hash, at).fetch_one(db).await?;
    Ok(row.used_at)
}

/// Moves the end of a session.
///
/// # Errors
/// Those of the database.
pub async fn prolong_session(db: &mut PgConnection, id: Uuid, expires_at: DateTime<Utc>) -> Result<()> {
    query!("UPDATE sessions SET expires_at = $2, last_used_at = now() WHERE id = $1", id, expires_at).execute(db).await?;
    Ok(())
}

/// Ends one session of a user, or all of them; says how many.
///
/// # Errors
/// Those of the database.
pub async fn revoke(db: impl PgExecutor<'_>, user_id: &UserId, session_id: Option<Uuid>) -> Result<u64> {
    let done = query!(
        "UPDATE sessions
         SET revoked_at = now()
         WHERE user_id = $1 AND ($2::uuid IS NULL OR id = $2) AND revoked_at IS NULL",
        user_id.as_str(),
        session_id
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// A session that ended: whose, and which; `None` is all of them.
pub struct Ended {
    /// The user.
    pub user_id: UserId,
    /// The session.
    pub session_id: Option<Uuid>,
}

/// The database's clock.
///
/// # Errors
/// Those of the database.
pub async fn now(db: impl PgExecutor<'_>) -> Result<DateTime<Utc>> {
    Ok(query_scalar!(r#"SELECT now() AS "now!""#).fetch_one(db).await?)
}

/// What was revoked, and who was deactivated, since a time.
///
/// # Errors
/// Those of the database.
pub async fn ended_since(db: impl PgExecutor<'_>, since: DateTime<Utc>) -> Result<Vec<Ended>> {
    Ok(query_as!(
        Ended,
        r#"SELECT user_id AS "user_id!: UserId", id AS "session_id?" FROM sessions WHERE revoked_at > $1
           UNION ALL
           SELECT id, NULL FROM users WHERE deactivated_at > $1"#,
        since
    )
    .fetch_all(db)
    .await?)
}

/// Removes some of the sessions and refresh tokens that expired more than a day ago; says how many there were.
///
/// # Errors
/// Those of the database.
pub async fn remove_expired(db: &sqlx::PgPool, most: i64) -> Result<u64> {
    let sessions = query!(
        "DELETE FROM sessions
         WHERE id IN (SELECT id FROM sessions WHERE expires_at < now() - interval '1 day' ORDER BY expires_at LIMIT $1)",
        most
    );
    let tokens = query!(
        "DELETE FROM refresh_tokens
         WHERE hash IN (SELECT hash FROM refresh_tokens WHERE expires_at < now() - interval '1 day' ORDER BY expires_at LIMIT $1)",
        most
    );
    Ok(sessions.execute(db).await?.rows_affected() + tokens.execute(db).await?.rows_affected())
}

/// A user's sessions that stand, newest first.
///
/// # Errors
/// Those of the database.
pub async fn sessions(db: impl PgExecutor<'_>, caller: &AuthUser, before: Option<Uuid>, limit: i64) -> Result<Vec<Session>> {
    Ok(query_as!(
        Session,
        r#"SELECT id, id = $2 AS "current!", created_at, last_used_at, expires_at
           FROM sessions
           WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now() AND ($3::uuid IS NULL OR id < $3)
           ORDER BY id DESC
           LIMIT $4"#,
        caller.id().as_str(),
        caller.session_id,
        before,
        limit
    )
    .fetch_all(db)
    .await?)
}
