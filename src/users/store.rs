//! SQL of the users.

use super::{User, UserId, UserType};
use crate::{error::Result, pool::Pool};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor, query, query_as, query_scalar};

/// One user.
///
/// # Errors
/// Those of the database.
pub async fn find(db: impl PgExecutor<'_>, id: &UserId) -> Result<Option<User>> {
    Ok(query_as!(
        User,
        r#"SELECT id AS "id: UserId", username, name, avatar_url, user_type AS "user_type: UserType"
           FROM users
           WHERE id = $1"#,
        id.as_str()
    )
    .fetch_optional(db)
    .await?)
}

/// Changes a profile and returns it; nothing for an account that was erased.
///
/// # Errors
/// Those of the database.
pub async fn update(db: impl PgExecutor<'_>, id: &UserId, name: Option<&str>, avatar_url: Option<&str>) -> Result<Option<User>> {
    Ok(query_as!(
        User,
        r#"UPDATE users
           SET name = COALESCE($2, name), avatar_url = COALESCE($3, avatar_url), updated_at = now()
           WHERE id = $1 AND erased_at IS NULL
           RETURNING id AS "id: UserId", username, name, avatar_url, user_type AS "user_type: UserType""#,
        id.as_str(),
        name,
        avatar_url
    )
    .fetch_optional(db)
    .await?)
}

/// A page of the users one of whose names begins with a prefix in lower case. (`LIKE` could use the index only in a plan made
/// for this prefix.)
///
/// # Errors
/// Those of the database.
pub async fn search(db: impl PgExecutor<'_>, prefix: &str, after: &str, limit: i64) -> Result<Vec<User>> {
    let end = format!("{prefix}{}", char::MAX);
    Ok(query_as!(
        User,
        r#"SELECT id AS "id: UserId", username, name, avatar_url, user_type AS "user_type: UserType"
           FROM users
           WHERE (lower(username) ~>=~ $1 AND lower(username) ~<~ $2 OR lower(name) ~>=~ $1 AND lower(name) ~<~ $2)
               AND id > $3 AND deactivated_at IS NULL
           ORDER BY id
           LIMIT $4"#,
        prefix,
        end,
        after,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Which of these are users: each with the id it stands for.
///
/// # Errors
/// Those of the database.
pub async fn resolve(db: impl PgExecutor<'_>, names: &[String]) -> Result<Vec<(String, UserId)>> {
    let rows = query!(
        r#"SELECT asked AS "asked!", COALESCE(by_id.id, by_name.id) AS "id!: UserId"
           FROM UNNEST($1::text[]) AS asked
           LEFT JOIN users AS by_id ON by_id.id = asked AND by_id.erased_at IS NULL
           LEFT JOIN users AS by_name ON lower(by_name.username) = lower(asked) AND by_name.password_hash IS NOT NULL
           WHERE COALESCE(by_id.id, by_name.id) IS NOT NULL"#,
        names
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.asked, row.id)).collect())
}

/// Makes users of ids that another system will bring in one day, but for those of accounts that were erased; says which ids are
/// users now.
///
/// # Errors
/// Those of the database.
pub async fn note_unseen(db: &Pool, ids: &[String]) -> Result<Vec<UserId>> {
    query!(
        "INSERT INTO users (id)
         SELECT id FROM UNNEST($1::text[]) AS id
         ORDER BY id
         ON CONFLICT (id) DO NOTHING",
        ids
    )
    .execute(db)
    .await?;
    let noted = query_scalar!(r#"SELECT id AS "id: UserId" FROM users WHERE id = ANY($1) AND erased_at IS NULL"#, ids);
    Ok(noted.fetch_all(db).await?)
}

/// Lets a user in again, or no longer; says whether there is such a user. Who was erased does not come back.
///
/// # Errors
/// Those of the database.
pub async fn set_active(db: &mut PgConnection, user: &UserId, active: bool) -> Result<bool> {
    let done = query!(
        "UPDATE users SET deactivated_at = CASE WHEN $2 THEN NULL ELSE COALESCE(deactivated_at, now()) END WHERE id = $1 AND erased_at IS NULL",
        user.as_str(),
        active
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether a user may come in.
///
/// # Errors
/// Those of the database.
pub async fn is_active(db: &mut PgConnection, user: &UserId) -> Result<bool> {
    let active = query_scalar!(r#"SELECT deactivated_at IS NULL AS "active!" FROM users WHERE id = $1"#, user.as_str());
    Ok(active.fetch_optional(db).await?.unwrap_or_default())
}

/// A user as an operator sees them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The profile.
    #[serde(flatten)]
    pub user: User,
    /// Since when the user may not come in.
    #[serde(with = "crate::time::option")]
    pub deactivated_at: Option<DateTime<Utc>>,
}

/// A page of all users, by id.
///
/// # Errors
/// Those of the database.
pub async fn list(db: &mut PgConnection, after: &str, limit: i64) -> Result<Vec<Listed>> {
    let rows = query!(
        r#"SELECT id AS "id: UserId", username, name, avatar_url, user_type AS "user_type: UserType", deactivated_at
           FROM users
           WHERE id > $1
           ORDER BY id
           LIMIT $2"#,
        after,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Listed {
            user: User { id: row.id, username: row.username, name: row.name, avatar_url: row.avatar_url, user_type: row.user_type },
            deactivated_at: row.deactivated_at,
        })
        .collect())
}
