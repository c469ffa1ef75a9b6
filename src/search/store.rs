//! SQL of a search: where to look, and what is there. What writes the index is in [`indexing`](super::indexing).

use crate::{error::Result, rooms::RoomId, users::UserId};
use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, query, query_as, query_scalar};
use uuid::Uuid;

/// A room to look into.
pub(super) struct Place {
    pub room: RoomId,
    /// The number of its last message.
    pub last_message_seq: i64,
    /// When that was stored.
    pub last_activity_at: DateTime<Utc>,
    /// Messages up to this number are in the index.
    pub indexed_seq: i64,
}

/// A stretch of a room that is indexed together.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub id: i64,
    pub room: RoomId,
    pub first_seq: i64,
    pub last_seq: i64,
    pub last_at: DateTime<Utc>,
    /// By how many milliseconds a message may be earlier than one before it.
    pub disorder_ms: i64,
}

/// What a message says, read to be compared.
pub(super) struct Text {
    /// Which of several stretches it is of, from 1.
    pub place: i64,
    pub seq: i64,
    pub created_at: DateTime<Utc>,
    /// Nothing if it was deleted, or is not by the author that was asked for.
    pub content: Option<String>,
}

/// Within which times, and by whom.
pub(super) struct Filter<'a> {
    pub author: Option<&'a UserId>,
    /// At this time or later.
    pub after: DateTime<Utc>,
    /// Not later than this.
    pub until: DateTime<Utc>,
}

/// The rooms that a user is in and where something was said, the most recently active ones; or one of them.
///
/// # Errors
/// Those of the database.
pub(super) async fn places(db: impl PgExecutor<'_>, user: &UserId, room: Option<RoomId>, limit: i64) -> Result<Vec<Place>> {
    Ok(query_as!(
        Place,
        r#"SELECT r.id AS "room!: RoomId", r.last_message_seq AS "last_message_seq!", r.last_activity_at AS "last_activity_at!",
               COALESCE(s.indexed_seq, 0) AS "indexed_seq!"
           FROM room_members AS m
           JOIN rooms AS r ON r.id = m.room_id
           LEFT JOIN LATERAL (SELECT indexed_seq FROM search_rooms WHERE room_id = r.id LIMIT 1) AS s ON true
           WHERE m.user_id = $1 AND m.state = 'joined' AND ($2::uuid IS NULL OR m.room_id = $2)
             AND r.deleted_at IS NULL AND r.last_message_seq IS NOT NULL
           ORDER BY r.last_activity_at DESC
           LIMIT $3"#,
        user.as_str(),
        room.map(|room| room.0),
        limit
    )
    .fetch_all(db)
    .await?)
}

/// The segments of rooms that have messages of a time. (The limit lets each room be looked up by its key.)
///
/// # Errors
/// Those of the database.
pub(super) async fn segments(db: impl PgExecutor<'_>, rooms: &[Uuid], filter: &Filter<'_>) -> Result<Vec<Segment>> {
    Ok(query_as!(
        Segment,
        r#"SELECT s.id AS "id!", s.room_id AS "room!: RoomId", s.first_seq AS "first_seq!", s.last_seq AS "last_seq!", s.last_at AS "last_at!",
               s.disorder_ms AS "disorder_ms!"
           FROM UNNEST($1::uuid[]) AS a (room_id)
           CROSS JOIN LATERAL (
               SELECT *
               FROM search_segments
               WHERE room_id = a.room_id AND last_at >= $2 AND first_at <= $3
               ORDER BY first_seq DESC
               LIMIT 100000
           ) AS s"#,
        rooms,
        filter.after,
        filter.until
    )
    .fetch_all(db)
    .await?)
}

/// The tokens, those that the fewest messages of a segment have first.
///
/// # Errors
/// Those of the database.
pub(super) async fn by_rarity(db: impl PgExecutor<'_>, segment: i64, tokens: &[i64]) -> Result<Vec<i64>> {
    Ok(query_scalar!(
        r#"SELECT t.token AS "token!"
           FROM UNNEST($2::bigint[]) AS t (token)
           LEFT JOIN search_postings AS p ON p.segment_id = $1 AND p.token = t.token
           ORDER BY COALESCE(octet_length(p.messages), 0)"#,
        segment,
        tokens
    )
    .fetch_all(db)
    .await?)
}

/// The shortest lists of those segments that have all tokens, by the segment. The first token is looked up first: where it is not,
/// the others need not be.
///
/// # Errors
/// Those of the database.
pub(super) async fn lists(db: impl PgExecutor<'_>, segments: &[i64], tokens: &[i64]) -> Result<Vec<(i64, Vec<u8>)>> {
    let rows = query!(
        r#"SELECT s.id AS "id!", p.messages AS "messages!"
           FROM UNNEST($1::bigint[]) AS s (id)
           JOIN search_postings AS first ON first.segment_id = s.id AND first.token = ($2::bigint[])[1]
           CROSS JOIN LATERAL (
               SELECT messages, count(*) OVER () AS tokens
               FROM search_postings
               WHERE segment_id = first.segment_id AND token = ANY($2)
               -- Known without reading the list.
               ORDER BY octet_length(messages)
               LIMIT 4
           ) AS p
           WHERE p.tokens = cardinality($2::bigint[])"#,
        segments,
        tokens
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.id, row.messages)).collect())
}

/// Messages by room and number, by the place of the room.
///
/// # Errors
/// Those of the database.
pub(super) async fn texts(db: impl PgExecutor<'_>, places: &[i64], rooms: &[Uuid], seqs: &[i64], filter: &Filter<'_>) -> Result<Vec<Text>> {
    Ok(query_as!(
        Text,
        r#"SELECT a.place AS "place!", m.seq AS "seq!", m.created_at AS "created_at!",
               CASE WHEN m.deleted_at IS NULL AND ($4::text IS NULL OR m.author_id = $4) AND m.created_at BETWEEN $5 AND $6 THEN m.content END AS content
           FROM UNNEST($1::bigint[], $2::uuid[], $3::bigint[]) AS a (place, room_id, seq)
           CROSS JOIN LATERAL (SELECT * FROM messages WHERE room_id = a.room_id AND seq = a.seq LIMIT 1) AS m"#,
        places,
        rooms,
        seqs,
        filter.author.map(UserId::as_str),
        filter.after,
        filter.until
    )
    .fetch_all(db)
    .await?)
}

/// The newest messages of stretches that are not in the index, none later than a time, so many of each; by the place of the
/// stretch, the newest first. It walks over those that are later.
///
/// # Errors
/// Those of the database.
pub(super) async fn tails(db: impl PgExecutor<'_>, tails: &[(RoomId, i64, i64)], filter: &Filter<'_>, most: i64) -> Result<Vec<Text>> {
    let rooms: Vec<Uuid> = tails.iter().map(|(room, _, _)| room.0).collect();
    let afters: Vec<i64> = tails.iter().map(|(_, after, _)| *after).collect();
    let untils: Vec<i64> = tails.iter().map(|(_, _, until)| *until).collect();
    Ok(query_as!(
        Text,
        r#"SELECT a.place AS "place!", m.seq AS "seq!", m.created_at AS "created_at!",
               CASE WHEN m.deleted_at IS NULL AND ($4::text IS NULL OR m.author_id = $4) AND m.created_at >= $5 THEN m.content END AS content
           FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS a (room_id, after, until, place)
           CROSS JOIN LATERAL (
               SELECT *
               FROM messages
               WHERE room_id = a.room_id AND seq > a.after AND seq <= a.until AND created_at <= $6
               ORDER BY seq DESC
               LIMIT $7
           ) AS m
           ORDER BY a.place, m.seq DESC"#,
        &rooms,
        &afters,
        &untils,
        filter.author.map(UserId::as_str),
        filter.after,
        filter.until,
        most
    )
    .fetch_all(db)
    .await?)
}

/// How many messages are not in the index, those included that are read one by one anyway. Reads all rooms.
///
/// # Errors
/// Those of the database.
pub async fn waiting(db: impl PgExecutor<'_>) -> Result<i64> {
    let waiting = query!(
        r#"-- Reads everything.
           SELECT COALESCE(sum(GREATEST(r.last_message_seq - COALESCE(s.indexed_seq, 0), 0)), 0)::bigint AS "messages!"
           FROM rooms AS r
           LEFT JOIN search_rooms AS s ON s.room_id = r.id
           WHERE r.deleted_at IS NULL AND r.last_message_seq IS NOT NULL"#
    );
    Ok(waiting.fetch_one(db).await?.messages)
}
