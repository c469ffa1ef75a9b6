//! SQL of pins. Whatever writes is for whoever holds the row of the message's room.

use crate::{
    error::Result,
    messages::{Message, MessageId, changes::DeletedBy, store::select_messages},
    rooms::RoomId,
    users::{UserId, UserType},
};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, query, query_scalar};

/// Where a page of pins begins: after the message of this number, which was pinned at this time.
pub type Position = (DateTime<Utc>, i64);

/// How many messages of a room are pinned.
///
/// # Errors
/// Those of the database.
pub async fn count(db: impl PgExecutor<'_>, room: RoomId) -> Result<i64> {
    let count = query_scalar!(r#"SELECT count(*) AS "count!" FROM messages WHERE room_id = $1 AND pinned_at IS NOT NULL"#, room.0);
    Ok(count.fetch_one(db).await?)
}

/// Pins a message, for somebody, or takes its pin off.
///
/// # Errors
/// Those of the database.
pub async fn set(db: &mut PgConnection, id: MessageId, pinned_by: Option<&UserId>, seq: i64) -> Result<()> {
    query!(
        "UPDATE messages
         SET rev = $3, pinned_by = $2, pinned_at = CASE WHEN $2::text IS NULL THEN NULL ELSE now() END
         WHERE id = $1",
        id.0,
        pinned_by.map(UserId::as_str),
        seq
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A page of a room's pinned messages, the last pinned first.
///
/// # Errors
/// Those of the database.
pub async fn list(db: impl PgExecutor<'_>, room: RoomId, after: Option<Position>, limit: i64) -> Result<Vec<Message>> {
    let (time, seq) = after.unwrap_or((DateTime::<Utc>::MAX_UTC, i64::MAX));
    let rows = select_messages!(
        r#"FROM messages AS m
           LEFT JOIN users AS u ON u.id = m.author_id
           WHERE m.room_id = $1 AND m.pinned_at IS NOT NULL AND (m.pinned_at, m.seq) < ($2, $3)
           ORDER BY m.pinned_at DESC, m.seq DESC
           LIMIT $4"#,
        room.0,
        time,
        seq,
        limit
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(Message::from).collect())
}
