//! SQL of presence.

use crate::{error::Result, pool::Pool, users::UserId};
use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, query, query_scalar};

/// Writes when users were last seen; an older time never replaces a newer one.
///
/// # Errors
/// Those of the database.
pub async fn write<'a>(db: impl PgExecutor<'_>, seen: impl Iterator<Item = (&'a UserId, DateTime<Utc>)>) -> Result<()> {
    let (users, times): (Vec<&str>, Vec<DateTime<Utc>>) = seen.map(|(user, at)| (user.as_str(), at)).unzip();
    query!(
        "INSERT INTO last_seen AS l (user_id, last_seen_at)
         SELECT seen.user_id, seen.at
         FROM UNNEST($1::text[], $2::timestamptz[]) AS seen (user_id, at)
         JOIN users ON users.id = seen.user_id AND users.erased_at IS NULL
         ORDER BY seen.user_id
         ON CONFLICT (user_id) DO UPDATE
         SET last_seen_at = GREATEST(l.last_seen_at, EXCLUDED.last_seen_at)",
        &users as &[&str],
        &times
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The same of users who are not invisible: of those who are it tells that they are about.
///
/// # Errors
/// Those of the database.
pub async fn write_visible(db: &Pool, seen: &[(UserId, DateTime<Utc>)]) -> Result<()> {
    if seen.is_empty() {
        return Ok(());
    }
    let users: Vec<&str> = seen.iter().map(|(user, _)| user.as_str()).collect();
    let invisible =
        query_scalar!(r#"SELECT id AS "id: UserId" FROM users WHERE id = ANY($1) AND invisible"#, &users as &[&str]).fetch_all(db).await?;
    write(db, seen.iter().filter(|(user, _)| !invisible.contains(user)).map(|(user, at)| (user, *at))).await
}

/// When these users were last seen; those who do not exist are missing.
///
/// # Errors
/// Those of the database.
pub async fn read(db: impl PgExecutor<'_>, users: &[String]) -> Result<Vec<(UserId, Option<DateTime<Utc>>)>> {
    let rows = query!(
        r#"SELECT u.id AS "id!: UserId", l.last_seen_at AS "last_seen_at?"
           FROM users AS u
           LEFT JOIN last_seen AS l ON l.user_id = u.id
           WHERE u.id = ANY($1)"#,
        users
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.last_seen_at)).collect())
}

/// Whether a user is invisible.
///
/// # Errors
/// Those of the database.
pub async fn is_invisible(db: impl PgExecutor<'_>, user: &UserId) -> Result<bool> {
    Ok(query_scalar!("SELECT invisible FROM users WHERE id = $1", user.as_str()).fetch_optional(db).await?.unwrap_or_default())
}

/// Makes a user invisible, or visible again; what is so already, or of an account that was erased, stays as it is.
///
/// # Errors
/// Those of the database.
pub async fn set_invisible(db: impl PgExecutor<'_>, user: &UserId, invisible: bool) -> Result<()> {
    query!(
        "UPDATE users SET invisible = $2, invisible_changed_at = now() WHERE id = $1 AND invisible <> $2 AND erased_at IS NULL",
        user.as_str(),
        invisible
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whose setting was changed since a time, and what it is now.
///
/// # Errors
/// Those of the database.
pub async fn visibility_since(db: impl PgExecutor<'_>, since: DateTime<Utc>) -> Result<Vec<(UserId, bool)>> {
    let rows = query!(r#"SELECT id AS "id: UserId", invisible FROM users WHERE invisible_changed_at > $1"#, since);
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.id, row.invisible)).collect())
}
