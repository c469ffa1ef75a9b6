//! SQL of reactions. Whatever writes is for whoever holds the row of the message's room.

use super::{Emoji, Reaction};
use crate::{
    error::Result,
    messages::MessageId,
    rooms::RoomId,
    users::{User, UserId, UserType},
};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgExecutor, query, query_scalar};
use uuid::Uuid;

/// Whether somebody reacted to a message with an emoji.
///
/// # Errors
/// Those of the database.
pub async fn exists(db: impl PgExecutor<'_>, id: MessageId, user: &UserId, emoji: &Emoji) -> Result<bool> {
    let found = query_scalar!(
        r#"SELECT EXISTS (SELECT FROM reactions WHERE message_id = $1 AND user_id = $2 AND emoji = $3) AS "exists!""#,
        id.0,
        user.as_str(),
        emoji.as_str()
    );
    Ok(found.fetch_one(db).await?)
}

/// Adds a reaction.
///
/// # Errors
/// Those of the database.
pub async fn add(db: &mut PgConnection, id: MessageId, user: &UserId, emoji: &Emoji, room: RoomId, seq: i64) -> Result<()> {
    query!(
        "INSERT INTO reactions (message_id, emoji, user_id, room_id, seq)
         VALUES ($1, $2, $3, $4, $5)",
        id.0,
        emoji.as_str(),
        user.as_str(),
        room.0,
        seq
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes a reaction.
///
/// # Errors
/// Those of the database.
pub async fn remove(db: &mut PgConnection, id: MessageId, user: &UserId, emoji: &Emoji) -> Result<()> {
    query!("DELETE FROM reactions WHERE message_id = $1 AND user_id = $2 AND emoji = $3", id.0, user.as_str(), emoji.as_str()).execute(db).await?;
    Ok(())
}

/// Removes all reactions to messages that are being deleted.
///
/// # Errors
/// Those of the database.
pub async fn forget(db: &mut PgConnection, ids: &[Uuid]) -> Result<()> {
    query!("DELETE FROM reactions WHERE message_id = ANY($1)", ids).execute(db).await?;
    Ok(())
}

/// Counts a reaction that was added (1) or removed (-1); answers all counts.
///
/// # Errors
/// Those of the database.
pub async fn count(db: &mut PgConnection, id: MessageId, emoji: &Emoji, by: i32, seq: i64) -> Result<Value> {
    let counts = query_scalar!(
        "UPDATE messages
         SET rev = $4,
             reactions = CASE
                 WHEN COALESCE((reactions ->> $2)::integer, 0) + $3 > 0
                     THEN COALESCE(reactions, '{}') || jsonb_build_object($2::text, COALESCE((reactions ->> $2)::integer, 0) + $3)
                 ELSE NULLIF(reactions - $2, '{}')
             END
         WHERE id = $1
         RETURNING reactions",
        id.0,
        emoji.as_str(),
        by,
        seq
    );
    Ok(counts.fetch_one(db).await?.unwrap_or_else(|| json!({})))
}

/// A page of the reactions to a message, by emoji and user.
///
/// # Errors
/// Those of the database.
pub async fn list(db: impl PgExecutor<'_>, id: MessageId, emoji: Option<&Emoji>, after: (&str, &str), limit: i64) -> Result<Vec<Reaction>> {
    let rows = query!(
        r#"SELECT reaction.emoji AS "emoji!", reaction.created_at AS "created_at!", reaction.user_id AS "user_id!: UserId",
               u.username AS "username?", u.name AS "name?", u.avatar_url AS "avatar_url?", u.user_type AS "user_type?: UserType"
           FROM (
               SELECT emoji, user_id, created_at
               FROM reactions
               WHERE message_id = $1 AND (emoji, user_id) > ($2, $3) AND ($4::text IS NULL OR emoji = $4)
               ORDER BY emoji, user_id
               LIMIT $5
           ) AS reaction
           LEFT JOIN users AS u ON u.id = reaction.user_id
           ORDER BY reaction.emoji, reaction.user_id"#,
        id.0,
        after.0,
        after.1,
        emoji.map(Emoji::as_str),
        limit
    );
    let reactions = rows.fetch_all(db).await?.into_iter().map(|row| {
        let user_type = row.user_type.unwrap_or(UserType::User);
        let user = User { id: row.user_id, username: row.username, name: row.name, avatar_url: row.avatar_url, user_type };
        Reaction { emoji: row.emoji, user, created_at: row.created_at }
    });
    Ok(reactions.collect())
}

/// Which reactions to these messages are somebody's, in the order in which they were added.
///
/// # Errors
/// Those of the database.
pub async fn own(db: impl PgExecutor<'_>, user: &UserId, ids: &[Uuid]) -> Result<Vec<(MessageId, String)>> {
    let rows = query!(
        r#"SELECT message_id AS "message_id: MessageId", emoji
           FROM reactions
           WHERE message_id = ANY($1) AND user_id = $2
           ORDER BY seq"#,
        ids,
        user.as_str()
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.message_id, row.emoji)).collect())
}
