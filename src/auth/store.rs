//! SQL of sessions, tokens and own accounts.

use super::{Holder, Session, Which, tokens::Claims};
use crate::{
    error::{Error, Result},
    names::{is_picture, presentable},
    pool::Pool,
    rooms::RoomId,
    users::{self, User, UserId, UserType},
};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, query, query_as, query_scalar};
use std::time::Duration;
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

/// The holders of tokens, in their order; `None` for a session that is not known, or is somebody else's.
///
/// # Errors
/// Those of the database.
pub async fn holders(db: impl PgExecutor<'_>, claims: &[Claims]) -> Result<Vec<Option<Holder>>> {
    let sessions: Vec<Option<Uuid>> = claims.iter().map(|claims| claims.session_id).collect();
    let keys: Vec<&[u8]> = claims.iter().map(|claims| claims.token_key.as_slice()).collect();
    let users: Vec<&str> = claims.iter().map(|claims| claims.user_id.as_str()).collect();
    let rows = query!(
        r#"WITH asked AS (
               SELECT * FROM UNNEST($1::uuid[], $2::bytea[], $3::text[]) WITH ORDINALITY AS a (session_id, token_key, user_id, place)
           ), found AS (
               SELECT a.place, s.*
               FROM asked AS a
               JOIN sessions AS s ON s.id = a.session_id AND s.user_id = a.user_id
               UNION ALL
               SELECT a.place, s.*
               FROM asked AS a
               JOIN sessions AS s ON s.token_key = a.token_key AND s.user_id = a.user_id
               WHERE a.session_id IS NULL
           )
           SELECT s.place AS "place!", u.id AS "id!: UserId", u.username AS "username?", u.name AS "name?", u.avatar_url AS "avatar_url?",
               u.user_type AS "user_type!: UserType", u.invisible AS "invisible!", s.id AS "session_id!",
               s.expires_at AS "expires_at!", (s.revoked_at IS NOT NULL OR u.deactivated_at IS NOT NULL) AS "ended!"
           FROM found AS s
           JOIN users AS u ON u.id = s.user_id"#,
        &sessions as &[Option<Uuid>],
        &keys as &[&[u8]],
        &users as &[&str]
    )
    .fetch_all(db)
    .await?;
    let mut holders = vec![None; claims.len()];
    for row in rows {
        let place = usize::try_from(row.place - 1).map_err(Error::internal)?;
        let user = User { id: row.id, username: row.username, name: row.name, avatar_url: row.avatar_url, user_type: row.user_type };
        let (session_id, expires_at) = (row.session_id, row.expires_at);
        holders[place] = Some(Holder { user, session_id, expires_at, ended: row.ended, invisible: row.invisible });
    }
    Ok(holders)
}

/// Makes the users and sessions of another system's tokens at first sight, or gives a profile to a user who was only named
/// so far, and brings the users into the default room, without a number and unannounced; who left it stays away. The issuer
/// decides what its users are, but not what our own accounts are, nor that who was erased comes back. A session that is known
/// lasts as long as the longest of its tokens.
///
/// # Errors
/// Those of the database.
pub async fn welcome(db: impl PgExecutor<'_>, default_room: RoomId, claims: &[&Claims]) -> Result<()> {
    let sessions: Vec<Uuid> = claims.iter().map(|_| Uuid::now_v7()).collect();
    let keys: Vec<&[u8]> = claims.iter().map(|claims| claims.token_key.as_slice()).collect();
    let expiries: Vec<DateTime<Utc>> = claims.iter().map(|claims| claims.expires_at).collect();
    let users: Vec<&str> = claims.iter().map(|claims| claims.user_id.as_str()).collect();
    let shown = |name: &Option<String>| name.as_deref().and_then(|name| presentable(name, users::NAME));
    let usernames: Vec<Option<String>> = claims.iter().map(|claims| shown(&claims.username)).collect();
    let names: Vec<Option<String>> = claims.iter().map(|claims| shown(&claims.name).or_else(|| shown(&claims.username))).collect();
    let loadable = |url: &&str| url.len() <= users::PICTURE.max && is_picture(url);
    let avatars: Vec<Option<&str>> = claims.iter().map(|claims| claims.picture.as_deref().filter(loadable)).collect();
    let types: Vec<UserType> = claims.iter().map(|claims| claims.user_type.unwrap_or(UserType::User)).collect();
    query!(
        "WITH seen AS (
             SELECT *
             FROM UNNEST($1::uuid[], $2::bytea[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
                 WITH ORDINALITY AS s (session_id, token_key, expires_at, user_id, username, name, avatar_url, user_type, place)
         ), welcomed AS (
             INSERT INTO users AS u (id, username, name, avatar_url, user_type)
             SELECT DISTINCT ON (s.user_id) s.user_id, s.username, s.name, s.avatar_url, s.user_type
             FROM seen AS s
             LEFT JOIN LATERAL (SELECT * FROM users WHERE id = s.user_id LIMIT 1) AS known ON true
             WHERE known.id IS NULL
                 OR known.user_type <> s.user_type
                 OR known.username IS NULL AND s.username IS NOT NULL
                 OR known.name IS NULL AND s.name IS NOT NULL
                 OR known.avatar_url IS NULL AND s.avatar_url IS NOT NULL
             ORDER BY s.user_id, s.place
             ON CONFLICT (id) DO UPDATE
             SET username = COALESCE(u.username, EXCLUDED.username),
                 name = COALESCE(u.name, EXCLUDED.name),
                 avatar_url = COALESCE(u.avatar_url, EXCLUDED.avatar_url),
                 user_type = EXCLUDED.user_type
             WHERE u.password_hash IS NULL AND u.erased_at IS NULL
         ), begun AS (
             INSERT INTO sessions AS s (id, user_id, token_key, expires_at)
             SELECT DISTINCT ON (token_key) session_id, user_id, token_key, expires_at
             FROM seen
             ORDER BY token_key, expires_at DESC
             ON CONFLICT (token_key) DO UPDATE
             SET expires_at = EXCLUDED.expires_at
             WHERE s.expires_at < EXCLUDED.expires_at
         ), entered AS (
             INSERT INTO room_members (room_id, user_id, read_seq)
             SELECT DISTINCT r.id, s.user_id, r.last_seq
             FROM seen AS s
             JOIN rooms AS r ON r.id = $9 AND r.deleted_at IS NULL
             WHERE (SELECT erased_at FROM users WHERE id = s.user_id) IS NULL
                 AND (SELECT user_id FROM room_members WHERE room_id = r.id AND user_id = s.user_id) IS NULL
             ORDER BY s.user_id
             ON CONFLICT (room_id, user_id) DO NOTHING
             RETURNING room_id
         )
         UPDATE rooms
         SET member_count = member_count + e.members
         FROM (SELECT room_id, count(*)::integer AS members FROM entered GROUP BY room_id) AS e
         WHERE rooms.id = e.room_id",
        &sessions,
        &keys as &[&[u8]],
        &expiries,
        &users as &[&str],
        &usernames as &[Option<String>],
        &names as &[Option<String>],
        &avatars as &[Option<&str>],
        &types as &[UserType],
        default_room.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Begins a session of an own account, if its password is still the one of this hash; says whether. Holds the user's row, so that a
/// change of the password comes before or after.
///
/// # Errors
/// Those of the database.
pub async fn begin_session(db: &mut PgConnection, id: Uuid, user_id: &UserId, hash: &str, expires_at: DateTime<Utc>) -> Result<bool> {
    let begun = query!(
        "INSERT INTO sessions (id, user_id, expires_at)
         SELECT $1, id, $4
         FROM users
         WHERE id = $2 AND password_hash = $3 AND deactivated_at IS NULL
         FOR SHARE",
        id,
        user_id.as_str(),
        hash,
        expires_at
    );
    Ok(begun.execute(db).await?.rows_affected() == 1)
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

/// The own account of a user, with its password's hash.
///
/// # Errors
/// Those of the database.
pub async fn own_account(db: impl PgExecutor<'_>, id: &UserId) -> Result<Option<(User, String)>> {
    let row = query!(
        r#"SELECT id AS "id: UserId", username, name, avatar_url, user_type AS "user_type: UserType", password_hash AS "password_hash!"
           FROM users
           WHERE id = $1 AND password_hash IS NOT NULL AND deactivated_at IS NULL"#,
        id.as_str()
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| {
        (User { id: row.id, username: row.username, name: row.name, avatar_url: row.avatar_url, user_type: row.user_type }, row.password_hash)
    }))
}

/// Changes the password of an own account, if it is still the one of the old hash, where one is named; says whether.
///
/// # Errors
/// Those of the database.
pub async fn change_password(db: &mut PgConnection, user_id: &UserId, old_hash: Option<&str>, new_hash: &str) -> Result<bool> {
    let changed = query!(
        "UPDATE users
         SET password_hash = $3
         WHERE id = $1 AND password_hash IS NOT NULL AND ($2::text IS NULL OR password_hash = $2)",
        user_id.as_str(),
        old_hash,
        new_hash
    );
    Ok(changed.execute(db).await?.rows_affected() == 1)
}

/// Forgets the refresh tokens of a session.
///
/// # Errors
/// Those of the database.
pub async fn forget_refresh_tokens(db: &mut PgConnection, session_id: Uuid) -> Result<()> {
    query!("DELETE FROM refresh_tokens WHERE session_id = $1", session_id).execute(db).await?;
    Ok(())
}

/// Keeps the hash of a refresh token.
///
/// # Errors
/// Those of the database.
pub async fn keep_refresh_token(db: &mut PgConnection, hash: &[u8], session_id: Uuid, expires_at: DateTime<Utc>) -> Result<()> {
    query!("INSERT INTO refresh_tokens (hash, session_id, expires_at) VALUES ($1, $2, $3)", hash, session_id, expires_at).execute(db).await?;
    Ok(())
}

/// Finds a refresh token and holds its row, so that two uses at once come one after the other; and its user's, so that a change of
/// the password comes before or after.
///
/// # Errors
/// Those of the database.
pub async fn lock_refresh_token(db: &mut PgConnection, hash: &[u8]) -> Result<Option<RefreshToken>> {
    let token = query!(
        r#"SELECT r.expires_at, r.used_at, s.id AS session_id, s.expires_at AS session_expires_at, (s.revoked_at IS NOT NULL OR u.deactivated_at IS NOT NULL) AS "ended!",
               u.invisible, u.id AS "id: UserId", u.username, u.name, u.avatar_url, u.user_type AS "user_type: UserType"
           FROM refresh_tokens AS r
           JOIN sessions AS s ON s.id = r.session_id
           JOIN users AS u ON u.id = s.user_id
           WHERE r.hash = $1
           FOR UPDATE OF r
           FOR SHARE OF u"#,
        hash
    );
    Ok(token.fetch_optional(db).await?.map(|row| {
        let user = User { id: row.id, username: row.username, name: row.name, avatar_url: row.avatar_url, user_type: row.user_type };
        let (expires_at, ended) = (row.session_expires_at, row.ended);
        let holder = Holder { user, session_id: row.session_id, expires_at, ended, invisible: row.invisible };
        RefreshToken { holder, expires_at: row.expires_at, used_at: row.used_at }
    }))
}

/// Marks a refresh token as used, and returns the time as stored.
///
/// # Errors
/// Those of the database.
pub async fn use_refresh_token(db: &mut PgConnection, hash: &[u8], at: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let row = query!(r#"UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1 RETURNING used_at AS "used_at!""#, hash, at).fetch_one(db).await?;
    Ok(row.used_at)
}

/// Moves the end of a session that stands, within its longest life, and says when that is now.
///
/// # Errors
/// Those of the database.
pub async fn prolong_session(db: &mut PgConnection, id: Uuid, expires_at: DateTime<Utc>, longest: Duration) -> Result<Option<DateTime<Utc>>> {
    let moved = query_scalar!(
        "UPDATE sessions
         SET expires_at = LEAST($2, created_at + make_interval(secs => $3)), last_used_at = now()
         WHERE id = $1 AND revoked_at IS NULL
         RETURNING expires_at",
        id,
        expires_at,
        longest.as_secs_f64()
    );
    Ok(moved.fetch_optional(db).await?)
}

/// Ends sessions of a user; says how many.
///
/// # Errors
/// Those of the database.
pub async fn revoke(db: impl PgExecutor<'_>, user_id: &UserId, which: Which) -> Result<u64> {
    let (one, kept) = match which {
        Which::All => (None, None),
        Which::One(id) => (Some(id), None),
        Which::AllBut(id) => (None, Some(id)),
    };
    let done = query!(
        "UPDATE sessions
         SET revoked_at = now()
         WHERE user_id = $1 AND ($2::uuid IS NULL OR id = $2) AND id IS DISTINCT FROM $3 AND revoked_at IS NULL",
        user_id.as_str(),
        one,
        kept
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
pub async fn remove_expired(db: &Pool, most: i64) -> Result<u64> {
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

/// A user's sessions that stand, newest first; `current` is the one that asks, if one does.
///
/// # Errors
/// Those of the database.
pub async fn sessions(db: impl PgExecutor<'_>, user_id: &UserId, current: Option<Uuid>, before: Option<Uuid>, limit: i64) -> Result<Vec<Session>> {
    Ok(query_as!(
        Session,
        r#"SELECT id, id IS NOT DISTINCT FROM $2 AS "current!", created_at, last_used_at, expires_at
           FROM sessions
           WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > now() AND ($3::uuid IS NULL OR id < $3)
           ORDER BY id DESC
           LIMIT $4"#,
        user_id.as_str(),
        current,
        before,
        limit
    )
    .fetch_all(db)
    .await?)
}
