//! SQL of what a user sees of rooms, besides the rooms themselves.

use crate::{error::Result, rooms::RoomId, users::UserId};
use sqlx::{PgExecutor, query_as};
use uuid::Uuid;

/// Unread messages are counted up to here: beyond it nobody reads the number.
pub const UNREAD_CAP: i64 = 1_000;

/// What is unread in a room.
pub struct Unread {
    /// The room.
    pub room: RoomId,
    /// How many messages, up to one more than the cap.
    pub messages: i64,
    /// How many of them mention the user.
    pub mentions: i64,
}

/// What is unread after the read markers of a user: messages of others that were not deleted.
///
/// # Errors
/// Those of the database.
pub async fn unread(db: impl PgExecutor<'_>, user: &UserId, markers: &[(RoomId, i64)]) -> Result<Vec<Unread>> {
    let (rooms, seqs): (Vec<Uuid>, Vec<i64>) = markers.iter().map(|(room, seq)| (room.0, *seq)).unzip();
    Ok(query_as!(
        Unread,
        r#"SELECT marker.room_id AS "room!: RoomId", unread.messages AS "messages!", unread.mentions AS "mentions!"
           FROM UNNEST($2::uuid[], $3::bigint[]) AS marker (room_id, seq)
           CROSS JOIN LATERAL (
               SELECT count(*) AS messages, count(*) FILTER (WHERE new.mentions ? $1) AS mentions
               FROM (
                   SELECT mentions
                   FROM messages
                   WHERE room_id = marker.room_id AND seq > marker.seq AND author_id <> $1 AND deleted_at IS NULL
                   ORDER BY seq
                   LIMIT $4
               ) AS new
           ) AS unread"#,
        user.as_str(),
        &rooms,
        &seqs,
        UNREAD_CAP + 1
    )
    .fetch_all(db)
    .await?)
}
