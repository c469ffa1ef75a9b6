//! SQL of what a user sees of rooms, besides the rooms themselves.

use crate::{error::Result, rooms::RoomId, users::UserId};
use sqlx::{PgExecutor, query_as};
use uuid::Uuid;

/// Unread messages are counted up to here: beyond it nobody reads the number.
pub const UNREAD_CAP: i64 = 1_000;

/// How far somebody has read a room.
pub struct Marker<'a> {
    /// Who.
    pub user: &'a UserId,
    /// Where.
    pub room: RoomId,
    /// Up to this number.
    pub seq: i64,
}

/// What is unread after a marker.
pub struct Unread {
    /// Which marker, from 1.
    pub place: i64,
    /// How many messages, up to one more than the cap.
    pub messages: i64,
    /// How many of them mention the user.
    pub mentions: i64,
}

/// What is unread after read markers: messages of others that were not deleted. Markers after which there is nothing are left
/// out.
///
/// # Errors
/// Those of the database.
pub async fn unread(db: impl PgExecutor<'_>, markers: &[Marker<'_>]) -> Result<Vec<Unread>> {
    let users: Vec<&str> = markers.iter().map(|marker| marker.user.as_str()).collect();
    let rooms: Vec<Uuid> = markers.iter().map(|marker| marker.room.0).collect();
    let seqs: Vec<i64> = markers.iter().map(|marker| marker.seq).collect();
    Ok(query_as!(
        Unread,
        r#"SELECT marker.place AS "place!", unread.messages AS "messages!", unread.mentions AS "mentions!"
           FROM UNNEST($1::text[], $2::uuid[], $3::bigint[]) WITH ORDINALITY AS marker (user_id, room_id, seq, place)
           CROSS JOIN LATERAL (
               SELECT count(*) AS messages, count(*) FILTER (WHERE new.mentions ? marker.user_id) AS mentions
               FROM (
                   SELECT mentions
                   FROM messages
                   WHERE room_id = marker.room_id AND seq > marker.seq AND author_id <> marker.user_id AND deleted_at IS NULL
                   ORDER BY seq
                   LIMIT $4
               ) AS new
           ) AS unread
           WHERE unread.messages > 0"#,
        &users as &[&str],
        &rooms,
        &seqs,
        UNREAD_CAP + 1
    )
    .fetch_all(db)
    .await?)
}
