//! SQL that changes messages, and reads what is needed for it. All but [`room_of`] and [`edits`] is for whoever holds the row
//! of the message's room.

use super::{DeletedBy, Earlier, deletion::Doomed};
use crate::{error::Result, messages::MessageId, rooms::RoomId, users::UserId};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgExecutor, query, query_as, query_scalar};
use uuid::Uuid;

/// A message as whoever changes it needs to know it.
pub struct Current {
    /// The id.
    pub id: MessageId,
    /// Its number.
    pub seq: i64,
    /// The number of its last change.
    pub rev: i64,
    /// Who said it.
    pub author_id: UserId,
    /// The text.
    pub content: String,
    /// The ids of the members that it mentions.
    pub mentions: Option<Value>,
    /// Counts by emoji.
    pub reactions: Option<Value>,
    /// The first message of its thread.
    pub thread_root_id: Option<MessageId>,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
    /// When it was last edited.
    pub edited_at: Option<DateTime<Utc>>,
    /// How often.
    pub edit_count: i32,
    /// When it was deleted.
    pub deleted_at: Option<DateTime<Utc>>,
    /// Since when it is pinned.
    pub pinned_at: Option<DateTime<Utc>>,
    /// What time it is for the database.
    pub now: DateTime<Utc>,
}

/// The room of a message, if it is one that the asker is in, or a public one.
///
/// # Errors
/// Those of the database.
pub async fn room_of(db: impl PgExecutor<'_>, asker: &UserId, id: MessageId) -> Result<Option<RoomId>> {
    Ok(query_scalar!(
        r#"SELECT m.room_id AS "room_id: RoomId"
           FROM messages AS m
           JOIN rooms AS r ON r.id = m.room_id AND r.deleted_at IS NULL
           LEFT JOIN room_members AS asker ON asker.room_id = m.room_id AND asker.user_id = $2 AND asker.state = 'joined'
           WHERE m.id = $1 AND (asker.user_id IS NOT NULL OR r.type = 'public')"#,
        id.0,
        asker.as_str()
    )
    .fetch_optional(db)
    .await?)
}

/// A message as it is now.
///
/// # Errors
/// Those of the database.
pub async fn current(db: impl PgExecutor<'_>, id: MessageId) -> Result<Option<Current>> {
    Ok(query_as!(
        Current,
        r#"SELECT id AS "id: MessageId", seq, rev, author_id AS "author_id: UserId", content, mentions, reactions,
               thread_root_id AS "thread_root_id: MessageId", created_at, edited_at, edit_count, deleted_at, pinned_at, now() AS "now!"
           FROM messages
           WHERE id = $1"#,
        id.0
    )
    .fetch_optional(db)
    .await?)
}

/// Keeps what a message says, before it is edited.
///
/// # Errors
/// Those of the database.
pub async fn keep_what_was_said(db: &mut PgConnection, id: MessageId, replaced_by: &UserId) -> Result<()> {
    query!(
        "INSERT INTO message_edits (message_id, number, content, mentions, said_at, replaced_by)
         SELECT id, edit_count + 1, content, mentions, COALESCE(edited_at, created_at), $2
         FROM messages
         WHERE id = $1",
        id.0,
        replaced_by.as_str()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets a message say something else; answers when that was, and how often it has been edited.
///
/// # Errors
/// Those of the database.
pub async fn edit(db: &mut PgConnection, id: MessageId, seq: i64, content: &str, mentions: Option<&Value>) -> Result<(DateTime<Utc>, i32)> {
    let row = query!(
        r#"UPDATE messages
           SET rev = $2, content = $3, mentions = $4, edited_at = now(), edit_count = edit_count + 1
           WHERE id = $1
           RETURNING edited_at AS "edited_at!", edit_count"#,
        id.0,
        seq,
        content,
        mentions
    )
    .fetch_one(db)
    .await?;
    Ok((row.edited_at, row.edit_count))
}

/// Takes everything from messages but the place where they stood, and that of their threads.
///
/// # Errors
/// Those of the database.
pub async fn delete(db: &mut PgConnection, ids: &[Uuid], seq: i64, deleted_by: DeletedBy, reason: Option<&str>) -> Result<()> {
    query!(
        "UPDATE messages
         SET rev = $2, deleted_at = COALESCE(deleted_at, now()), deleted_by = $3, delete_reason = $4, content = '', mentions = NULL, attachments = NULL, metadata = NULL,
             reactions = NULL, pinned_at = NULL, pinned_by = NULL
         WHERE id = ANY($1)",
        ids,
        seq,
        deleted_by as DeletedBy,
        reason
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes what messages said before they were edited.
///
/// # Errors
/// Those of the database.
pub async fn forget_what_was_said(db: &mut PgConnection, ids: &[Uuid]) -> Result<()> {
    query!("DELETE FROM message_edits WHERE message_id = ANY($1)", ids).execute(db).await?;
    Ok(())
}

/// Those of these messages of a room of which something is left that is their author's, by their numbers: they are not deleted, or
/// by the author, who said why. (Those are counted as replies no more.)
///
/// # Errors
/// Those of the database.
pub async fn doomed(db: &mut PgConnection, room: RoomId, ids: &[Uuid]) -> Result<Vec<Doomed>> {
    Ok(query_as!(
        Doomed,
        r#"SELECT id AS "id: MessageId", seq, CASE WHEN deleted_at IS NULL THEN thread_root_id END AS "thread_root_id: MessageId"
           FROM messages
           WHERE id = ANY($2) AND room_id = $1 AND (deleted_at IS NULL OR deleted_by = 'author' AND delete_reason IS NOT NULL)
           ORDER BY seq"#,
        room.0,
        ids
    )
    .fetch_all(db)
    .await?)
}

/// A page of what a message said before it was edited, oldest first.
///
/// # Errors
/// Those of the database.
pub async fn edits(db: impl PgExecutor<'_>, id: MessageId, after: i32, limit: i64) -> Result<Vec<Earlier>> {
    let rows = query!(
        r#"SELECT number, content, mentions, said_at, replaced_at, replaced_by AS "replaced_by: UserId"
           FROM message_edits
           WHERE message_id = $1 AND number > $2
           ORDER BY number
           LIMIT $3"#,
        id.0,
        after,
        limit
    );
    let earlier = rows.fetch_all(db).await?.into_iter().map(|row| Earlier {
        number: row.number,
        content: row.content,
        mentions: row.mentions.unwrap_or_else(|| json!([])),
        said_at: row.said_at,
        replaced_at: row.replaced_at,
        replaced_by: row.replaced_by,
    });
    Ok(earlier.collect())
}
