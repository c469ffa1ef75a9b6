//! SQL that writes the index of searches.

use crate::{error::Result, rooms::RoomId, users::UserId};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, query, query_as, query_scalar};
use uuid::Uuid;

/// How far a room and its index are.
pub(super) struct Progress {
    pub room: RoomId,
    /// Whether the room is gone, and its index should be, too.
    pub is_deleted: bool,
    /// The number of the room's last message.
    pub last_message_seq: i64,
    /// Messages up to this number are in the index.
    pub indexed_seq: i64,
    /// Whether an indexed message was edited or deleted since, or so much else changed that it should be noted how far that was
    /// looked through.
    pub is_stale: bool,
}

/// How far the index of a room has come.
pub(super) struct Held {
    pub indexed_seq: i64,
    pub changed_seq: i64,
}

/// A message, to be indexed.
pub(super) struct Said {
    pub seq: i64,
    pub rev: i64,
    pub author_id: UserId,
    pub created_at: DateTime<Utc>,
    /// Nothing once it was deleted.
    pub content: Option<String>,
}

/// A stretch of a room that is indexed together.
pub(super) struct Segment {
    pub id: i64,
    pub first_seq: i64,
    pub last_seq: i64,
    pub first_at: DateTime<Utc>,
    pub last_at: DateTime<Utc>,
    pub disorder_ms: i64,
    pub postings: i64,
}

/// How far these rooms and their indexes are.
///
/// # Errors
/// Those of the database.
pub(super) async fn progress(db: impl PgExecutor<'_>, rooms: &[Uuid]) -> Result<Vec<Progress>> {
    Ok(query_as!(
        Progress,
        r#"SELECT r.id AS "room!: RoomId", r.deleted_at IS NOT NULL AS "is_deleted!", COALESCE(r.last_message_seq, 0) AS "last_message_seq!",
               COALESCE(s.indexed_seq, 0) AS "indexed_seq!", (c.seq IS NOT NULL OR r.last_seq - s.changed_seq > 10000) IS TRUE AS "is_stale!"
           FROM UNNEST($1::uuid[]) AS a (room_id)
           CROSS JOIN LATERAL (SELECT * FROM rooms WHERE rooms.id = a.room_id LIMIT 1) AS r
           LEFT JOIN LATERAL (SELECT * FROM search_rooms WHERE room_id = r.id LIMIT 1) AS s ON true
           LEFT JOIN LATERAL (
               SELECT seq
               FROM messages
               WHERE room_id = s.room_id AND rev > s.changed_seq AND rev <> seq AND (edited_at IS NOT NULL OR deleted_at IS NOT NULL)
                 AND seq <= s.indexed_seq
               ORDER BY rev
               LIMIT 1
           ) AS c ON true"#,
        rooms
    )
    .fetch_all(db)
    .await?)
}

/// The next rooms by id after one.
///
/// # Errors
/// Those of the database.
pub(super) async fn rooms_after(db: impl PgExecutor<'_>, after: Uuid, limit: i64) -> Result<Vec<Uuid>> {
    Ok(query_scalar!("SELECT id FROM rooms WHERE id > $1 ORDER BY id LIMIT $2", after, limit).fetch_all(db).await?)
}

/// Makes sure that a room's index can be held.
///
/// # Errors
/// Those of the database.
pub(super) async fn ensure(db: impl PgExecutor<'_>, room: RoomId) -> Result<()> {
    query!("INSERT INTO search_rooms (room_id) SELECT id FROM rooms WHERE id = $1 ON CONFLICT (room_id) DO NOTHING", room.0).execute(db).await?;
    Ok(())
}

/// Holds a room's index until the end of the transaction; nothing if somebody else does.
///
/// # Errors
/// Those of the database.
pub(super) async fn hold(db: &mut PgConnection, room: RoomId) -> Result<Option<Held>> {
    Ok(query_as!(Held, "SELECT indexed_seq, changed_seq FROM search_rooms WHERE room_id = $1 FOR UPDATE SKIP LOCKED", room.0)
        .fetch_optional(db)
        .await?)
}

/// The room's last number, and that of its last message: whatever has a number up to these is there.
///
/// # Errors
/// Those of the database.
pub(super) async fn last_seqs(db: &mut PgConnection, room: RoomId) -> Result<Option<(i64, i64)>> {
    let row =
        query!(r#"SELECT last_seq, COALESCE(last_message_seq, 0) AS "last_message_seq!" FROM rooms WHERE id = $1 AND deleted_at IS NULL"#, room.0);
    Ok(row.fetch_optional(db).await?.map(|row| (row.last_seq, row.last_message_seq)))
}

/// Messages after a number, up to another, in order.
///
/// # Errors
/// Those of the database.
pub(super) async fn said(db: &mut PgConnection, room: RoomId, after: i64, until: i64, limit: i64) -> Result<Vec<Said>> {
    Ok(query_as!(
        Said,
        r#"SELECT seq, rev, author_id AS "author_id: UserId", created_at, CASE WHEN deleted_at IS NULL THEN content END AS content
           FROM messages
           WHERE room_id = $1 AND seq > $2 AND seq <= $3
           ORDER BY seq
           LIMIT $4"#,
        room.0,
        after,
        until,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// Messages that were edited or deleted, and whose last change has a number after one and up to another, in its order: so many,
/// and all that share the last number.
///
/// # Errors
/// Those of the database.
pub(super) async fn changed(db: &mut PgConnection, room: RoomId, after: i64, until: i64, limit: i64) -> Result<Vec<Said>> {
    Ok(query_as!(
        Said,
        r#"SELECT seq, rev, author_id AS "author_id: UserId", created_at, CASE WHEN deleted_at IS NULL THEN content END AS content
           FROM messages
           WHERE room_id = $1 AND rev > $2 AND rev <= $3 AND rev <> seq AND (edited_at IS NOT NULL OR deleted_at IS NOT NULL)
           ORDER BY rev
           FETCH FIRST $4 ROWS WITH TIES"#,
        room.0,
        after,
        until,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// The newest segments of a room, the newest first.
///
/// # Errors
/// Those of the database.
pub(super) async fn newest_segments(db: &mut PgConnection, room: RoomId, limit: i64) -> Result<Vec<Segment>> {
    Ok(query_as!(
        Segment,
        "SELECT id, first_seq, last_seq, first_at, last_at, disorder_ms, postings
         FROM search_segments
         WHERE room_id = $1
         ORDER BY first_seq DESC
         LIMIT $2",
        room.0,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// The segment that a message is in.
///
/// # Errors
/// Those of the database.
pub(super) async fn segment_of(db: &mut PgConnection, room: RoomId, seq: i64) -> Result<Option<Segment>> {
    let segment = query_as!(
        Segment,
        "SELECT id, first_seq, last_seq, first_at, last_at, disorder_ms, postings
         FROM search_segments
         WHERE room_id = $1 AND first_seq <= $2
         ORDER BY first_seq DESC
         LIMIT 1",
        room.0,
        seq
    );
    Ok(segment.fetch_optional(db).await?.filter(|segment| seq <= segment.last_seq))
}

/// All lists of a segment.
///
/// # Errors
/// Those of the database.
pub(super) async fn lists(db: &mut PgConnection, segment: i64) -> Result<Vec<(i64, Vec<u8>)>> {
    let rows = query!("SELECT token, messages FROM search_postings WHERE segment_id = $1", segment);
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.token, row.messages)).collect())
}

/// Adds a segment, and says its number.
///
/// # Errors
/// Those of the database.
pub(super) async fn add_segment(db: &mut PgConnection, room: RoomId, segment: &Segment) -> Result<i64> {
    Ok(query_scalar!(
        "INSERT INTO search_segments (room_id, first_seq, last_seq, first_at, last_at, disorder_ms, postings)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         RETURNING id",
        room.0,
        segment.first_seq,
        segment.last_seq,
        segment.first_at,
        segment.last_at,
        segment.disorder_ms,
        segment.postings
    )
    .fetch_one(db)
    .await?)
}

/// Writes lists of a segment, in place of those that are there.
///
/// # Errors
/// Those of the database.
pub(super) async fn put_lists(db: &mut PgConnection, segment: i64, tokens: &[i64], lists: &[Vec<u8>]) -> Result<()> {
    query!(
        "INSERT INTO search_postings (segment_id, token, messages)
         SELECT $1, l.token, l.messages
         FROM UNNEST($2::bigint[], $3::bytea[]) AS l (token, messages)
         ON CONFLICT (segment_id, token) DO UPDATE SET messages = EXCLUDED.messages",
        segment,
        tokens,
        lists
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes some lists of a segment.
///
/// # Errors
/// Those of the database.
pub(super) async fn remove_lists(db: &mut PgConnection, segment: i64, tokens: &[i64]) -> Result<()> {
    query!("DELETE FROM search_postings WHERE segment_id = $1 AND token = ANY($2)", segment, tokens).execute(db).await?;
    Ok(())
}

/// Removes a segment.
///
/// # Errors
/// Those of the database.
pub(super) async fn remove_segment(db: &mut PgConnection, segment: i64) -> Result<()> {
    query!("DELETE FROM search_postings WHERE segment_id = $1", segment).execute(&mut *db).await?;
    query!("DELETE FROM search_segments WHERE id = $1", segment).execute(db).await?;
    Ok(())
}

/// Notes how far the index of a room has come.
///
/// # Errors
/// Those of the database.
pub(super) async fn note(db: &mut PgConnection, room: RoomId, held: &Held) -> Result<()> {
    query!("UPDATE search_rooms SET indexed_seq = $2, changed_seq = $3 WHERE room_id = $1", room.0, held.indexed_seq, held.changed_seq)
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets how far the index of a room has come.
///
/// # Errors
/// Those of the database.
pub(super) async fn forget(db: &mut PgConnection, room: RoomId) -> Result<()> {
    query!("DELETE FROM search_rooms WHERE room_id = $1", room.0).execute(db).await?;
    Ok(())
}
