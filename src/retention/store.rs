//! SQL of retention.

use crate::{error::Result, rooms::RoomId};
use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, query, query_as, query_scalar};
use uuid::Uuid;

/// A message at the end of a room that was not looked at yet.
pub(super) struct Next {
    pub id: Uuid,
    pub seq: i64,
    /// Whether it is older than messages may be.
    pub is_old: bool,
    /// Whether it was deleted already.
    pub is_gone: bool,
}

/// The next of all rooms, deleted ones included, by id after one, and whether their oldest messages are older than a time.
///
/// # Errors
/// Those of the database.
pub(super) async fn rooms_after(
    db: impl PgExecutor<'_>,
    after: Uuid,
    only: Option<RoomId>,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<(RoomId, bool)>> {
    let rows = query!(
        r#"SELECT r.id AS "id!: RoomId", COALESCE(m.created_at < $3, false) AS "is_due!"
           FROM (
               SELECT id
               FROM rooms
               WHERE id > $1 AND ($2::uuid IS NULL OR id = $2)
               ORDER BY id
               LIMIT $4
           ) AS r
           LEFT JOIN LATERAL (SELECT swept_seq FROM retention_rooms WHERE room_id = r.id LIMIT 1) AS swept ON true
           LEFT JOIN LATERAL (
               SELECT created_at
               FROM messages
               WHERE room_id = r.id AND seq > COALESCE(swept.swept_seq, 0)
               ORDER BY seq
               LIMIT 1
           ) AS m ON true
           ORDER BY r.id"#,
        after,
        only.map(|room| room.0),
        before,
        limit
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.id, row.is_due)).collect())
}

/// Up to which number all messages of a room are deleted, as far as that was noted.
///
/// # Errors
/// Those of the database.
pub(super) async fn swept(db: impl PgExecutor<'_>, room: RoomId) -> Result<i64> {
    let swept = query_scalar!("SELECT swept_seq FROM retention_rooms WHERE room_id = $1", room.0);
    Ok(swept.fetch_optional(db).await?.unwrap_or_default())
}

/// The messages of a room after a number, in their order.
///
/// # Errors
/// Those of the database.
pub(super) async fn next(db: impl PgExecutor<'_>, room: RoomId, after: i64, before: DateTime<Utc>, limit: i64) -> Result<Vec<Next>> {
    Ok(query_as!(
        Next,
        r#"SELECT id, seq, created_at < $3 AS "is_old!", deleted_at IS NOT NULL AS "is_gone!"
           FROM messages
           WHERE room_id = $1 AND seq > $2
           ORDER BY seq
           LIMIT $4"#,
        room.0,
        after,
        before,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Notes up to which number all messages of a room are deleted.
///
/// # Errors
/// Those of the database.
pub(super) async fn note(db: impl PgExecutor<'_>, room: RoomId, swept: i64) -> Result<()> {
    query!(
        "INSERT INTO retention_rooms AS known (room_id, swept_seq)
         VALUES ($1, $2)
         ON CONFLICT (room_id) DO UPDATE SET swept_seq = GREATEST(known.swept_seq, EXCLUDED.swept_seq)",
        room.0,
        swept
    )
    .execute(db)
    .await?;
    Ok(())
}
