//! SQL of read and delivered markers, and of what is unread after them.

use crate::{error::Result, messages::LOOKED_INTO, rooms::RoomId, users::UserId};
use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, query_as, query_scalar};
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
pub struct UnreadRow {
    /// Which marker, from 1.
    pub place: i64,
    /// How many messages, up to one more than the cap.
    pub messages: i64,
    /// How many of them mention the user.
    pub mentions: i64,
    /// Whether the room goes on beyond what was looked into.
    pub is_cut: bool,
}

/// What is unread after read markers: messages of others that were not deleted, among the next ten thousand. Markers after which
/// there is nothing are left out.
///
/// # Errors
/// Those of the database.
pub async fn unread(db: impl PgExecutor<'_>, markers: &[Marker<'_>]) -> Result<Vec<UnreadRow>> {
    let users: Vec<&str> = markers.iter().map(|marker| marker.user.as_str()).collect();
    let rooms: Vec<Uuid> = markers.iter().map(|marker| marker.room.0).collect();
    let seqs: Vec<i64> = markers.iter().map(|marker| marker.seq).collect();
    Ok(query_as!(
        UnreadRow,
        r#"SELECT unread.place AS "place!", unread.messages AS "messages!", unread.mentions AS "mentions!", unread.is_cut AS "is_cut!"
           FROM (
               SELECT marker.place, counted.messages, counted.mentions,
                   EXISTS (SELECT FROM messages WHERE room_id = marker.room_id AND seq > marker.seq + $5) AS is_cut
               FROM UNNEST($1::text[], $2::uuid[], $3::bigint[]) WITH ORDINALITY AS marker (user_id, room_id, seq, place)
               CROSS JOIN LATERAL (
                   SELECT count(*) AS messages, count(*) FILTER (WHERE new.mentions ? marker.user_id) AS mentions
                   FROM (
                       SELECT mentions
                       FROM messages
                       WHERE room_id = marker.room_id AND seq > marker.seq AND seq <= marker.seq + $5
                         AND author_id <> marker.user_id AND deleted_at IS NULL
                       ORDER BY seq
                       LIMIT $4
                   ) AS new
               ) AS counted
           ) AS unread
           WHERE unread.messages > 0 OR unread.is_cut"#,
        &users as &[&str],
        &rooms,
        &seqs,
        UNREAD_CAP + 1,
        LOOKED_INTO
    )
    .fetch_all(db)
    .await?)
}

/// A member's markers after they moved.
pub struct Moved {
    /// The member's own: read up to here,
    pub read_seq: i64,
    /// and delivered up to here.
    pub delivered_seq: i64,
    /// What others may know: read up to here,
    pub public_read_seq: i64,
    /// and delivered up to here.
    pub public_delivered_seq: i64,
    /// Whether the member's own markers moved.
    pub is_own: bool,
    /// Whether what others may know moved.
    pub is_public: bool,
    /// When.
    pub at: DateTime<Utc>,
    /// The number of the room's last message.
    pub last_message_seq: Option<i64>,
    /// How many are in the room.
    pub member_count: i32,
}

/// How far markers shall be moved on.
pub struct Advance {
    /// Read up to here.
    pub read: Option<i64>,
    /// Delivered up to here.
    pub delivered: Option<i64>,
    /// Whether others may know.
    pub is_public: bool,
}

/// Moves a member's markers on. `None` when that would move nothing, for who is not in the room, and beyond the room's last
/// number. The row is looked at as it is under its lock, whatever the member's other devices do at the same time.
///
/// # Errors
/// Those of the database.
pub async fn advance(db: impl PgExecutor<'_>, room: RoomId, user: &UserId, to: &Advance) -> Result<Option<Moved>> {
    Ok(query_as!(
        Moved,
        r#"UPDATE room_members AS m
           SET read_seq = GREATEST(was.read_seq, $3),
               delivered_seq = GREATEST(was.delivered_seq, was.read_seq, $3, $4),
               public_read_seq = CASE WHEN $5 THEN GREATEST(was.public_read_seq, $3) ELSE was.public_read_seq END,
               public_delivered_seq = CASE WHEN $5 THEN GREATEST(was.public_delivered_seq, $3, $4) ELSE was.public_delivered_seq END,
               read_at = CASE WHEN $5 AND $3 > was.public_read_seq THEN now() ELSE was.read_at END
           FROM (
               SELECT *, GREATEST(delivered_seq, read_seq) AS reached_seq
               FROM room_members
               WHERE room_id = $1 AND user_id = $2 AND state = 'joined'
               FOR NO KEY UPDATE
           ) AS was
           JOIN rooms AS r ON r.id = was.room_id AND r.deleted_at IS NULL
           WHERE m.room_id = was.room_id AND m.user_id = was.user_id
             AND GREATEST($3::bigint, $4::bigint) <= r.last_seq
             AND ($3 > was.read_seq OR $4 > was.reached_seq OR $5::boolean AND ($3 > was.public_read_seq OR GREATEST($3, $4) > was.public_delivered_seq))
           RETURNING m.read_seq AS "read_seq!", m.delivered_seq AS "delivered_seq!", m.public_read_seq AS "public_read_seq!",
               m.public_delivered_seq AS "public_delivered_seq!",
               m.read_seq > was.read_seq OR m.delivered_seq > was.reached_seq AS "is_own!",
               m.public_read_seq > was.public_read_seq OR m.public_delivered_seq > was.public_delivered_seq AS "is_public!",
               now() AS "at!", r.last_message_seq AS "last_message_seq?", r.member_count AS "member_count!""#,
        room.0,
        user.as_str(),
        to.read,
        to.delivered,
        to.is_public
    )
    .fetch_optional(db)
    .await?)
}

/// Sets a member's own marker, wherever it was: everything up to this number is read, and nothing after it. `None` when it is
/// there already, for who is not in the room, and when the number after it is beyond the room's last one.
///
/// # Errors
/// Those of the database.
pub async fn set(db: impl PgExecutor<'_>, room: RoomId, user: &UserId, read: i64) -> Result<Option<Moved>> {
    Ok(query_as!(
        Moved,
        r#"UPDATE room_members AS m
           SET read_seq = $3, delivered_seq = GREATEST(m.delivered_seq, m.read_seq, $3)
           FROM rooms AS r
           WHERE m.room_id = $1 AND m.user_id = $2 AND m.state = 'joined'
             AND r.id = m.room_id AND r.deleted_at IS NULL
             AND $3 < r.last_seq AND m.read_seq <> $3
           RETURNING m.read_seq AS "read_seq!", m.delivered_seq AS "delivered_seq!", m.public_read_seq AS "public_read_seq!",
               m.public_delivered_seq AS "public_delivered_seq!", true AS "is_own!", false AS "is_public!",
               now() AS "at!", r.last_message_seq AS "last_message_seq?", r.member_count AS "member_count!""#,
        room.0,
        user.as_str(),
        read
    )
    .fetch_optional(db)
    .await?)
}

/// Whether there is a message of this number.
///
/// # Errors
/// Those of the database.
pub async fn is_message(db: impl PgExecutor<'_>, room: RoomId, seq: i64) -> Result<bool> {
    Ok(query_scalar!("SELECT seq FROM messages WHERE room_id = $1 AND seq = $2", room.0, seq).fetch_optional(db).await?.is_some())
}

/// Somebody who has read a message.
pub struct Reader {
    /// Who.
    pub user_id: UserId,
    /// Up to which number.
    pub read_seq: i64,
    /// When the marker came there.
    pub read_at: Option<DateTime<Utc>>,
}

/// A page of the members who have read up to a number, by user id. It passes over those who have not: at worst it walks
/// through all members of the room.
///
/// # Errors
/// Those of the database.
pub async fn readers(db: impl PgExecutor<'_>, room: RoomId, seq: i64, after: &str, limit: i64) -> Result<Vec<Reader>> {
    Ok(query_as!(
        Reader,
        r#"SELECT user_id AS "user_id: UserId", public_read_seq AS read_seq, read_at
           FROM room_members
           WHERE room_id = $1 AND state = 'joined' AND user_id > $3 AND public_read_seq >= $2
           ORDER BY user_id
           LIMIT $4"#,
        room.0,
        seq,
        after,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// How many members have read up to a number, and how many it has reached.
pub struct Counts {
    /// Who have read.
    pub read: i64,
    /// Whom it has reached; who have read are among them.
    pub delivered: i64,
}

/// How many members have read up to a number, and how many it has reached. Walks through all members of the room.
///
/// # Errors
/// Those of the database.
pub async fn counts(db: impl PgExecutor<'_>, room: RoomId, seq: i64) -> Result<Counts> {
    Ok(query_as!(
        Counts,
        r#"SELECT count(*) FILTER (WHERE public_read_seq >= $2) AS "read!", count(*) AS "delivered!"
           FROM room_members
           WHERE room_id = $1 AND state = 'joined' AND public_delivered_seq >= $2"#,
        room.0,
        seq
    )
    .fetch_one(db)
    .await?)
}
