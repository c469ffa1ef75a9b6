//! SQL of what a user sees of rooms.

use super::views::{Cursor, Overview, Read};
use crate::{
    error::Result,
    rooms::{Membership, Role, Room, RoomId, RoomType},
    users::UserId,
};
use sqlx::{PgExecutor, query};
use uuid::Uuid;

/// Unread messages are counted up to here: beyond it nobody reads the number.
pub const UNREAD_CAP: i64 = 1_000;

/// A page of the rooms that a user is in, newest activity first, with what is unread in each.
///
/// # Errors
/// Those of the database.
pub async fn overviews(db: impl PgExecutor<'_>, user: &UserId, after: Option<Cursor>, limit: i64) -> Result<Vec<Overview>> {
    let rows = query!(
        r#"WITH page AS MATERIALIZED (
               SELECT r.id, r.slug, r.type, r.name, r.topic, r.created_by, r.created_at, r.archived_at, r.member_count, r.last_seq, r.last_message_seq,
                   r.last_activity_at, m.role, m.joined_at, m.muted_until, m.pinned, m.read_seq
               FROM room_members AS m
               JOIN rooms AS r ON r.id = m.room_id
               WHERE m.user_id = $1 AND m.state = 'joined' AND r.deleted_at IS NULL
                 AND ($2::timestamptz IS NULL OR (r.last_activity_at, r.id) < ($2, $3::uuid))
               ORDER BY r.last_activity_at DESC, r.id DESC
               LIMIT $4
           )
           SELECT p.id AS "id!: RoomId", p.slug AS "slug?", p.type AS "kind!: RoomType", p.name AS "name?", p.topic AS "topic?",
               p.created_by AS "created_by?: UserId", p.created_at AS "created_at!", p.archived_at AS "archived_at?",
               p.member_count AS "member_count!", p.last_seq AS "last_seq!", p.last_message_seq AS "last_message_seq?",
               p.last_activity_at AS "last_activity_at!", p.role AS "role!: Role", p.joined_at AS "joined_at!",
               p.muted_until AS "muted_until?", p.pinned AS "pinned!", p.read_seq AS "read_seq!",
               unread.messages AS "unread!", unread.mentions AS "mentions!"
           FROM page AS p
           CROSS JOIN LATERAL (
               SELECT count(*) AS messages, count(*) FILTER (WHERE new.mentions ? $1) AS mentions
               FROM (
                   SELECT mentions
                   FROM messages
                   WHERE room_id = p.id AND seq > p.read_seq AND author_id <> $1 AND deleted_at IS NULL
                   ORDER BY seq
                   LIMIT $5
               ) AS new
           ) AS unread
           ORDER BY p.last_activity_at DESC, p.id DESC"#,
        user.as_str(),
        after.map(|(time, _)| time),
        after.map(|(_, id)| id.0),
        limit,
        UNREAD_CAP + 1
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Overview {
            room: Room {
                id: row.id,
                slug: row.slug,
                kind: row.kind,
                name: row.name,
                topic: row.topic,
                created_by: row.created_by,
                created_at: row.created_at,
                archived_at: row.archived_at,
                member_count: row.member_count,
                last_seq: row.last_seq,
                last_message_seq: row.last_message_seq,
                last_message: None,
            },
            membership: Some(Membership {
                role: row.role,
                joined_at: row.joined_at,
                muted_until: row.muted_until,
                pinned: row.pinned,
                read_seq: row.read_seq,
            }),
            read: Read { seq: row.read_seq },
            unread: row.unread.min(UNREAD_CAP),
            unread_capped: row.unread > UNREAD_CAP,
            mentions: row.mentions,
            can: Vec::new(),
            last_activity_at: row.last_activity_at,
        })
        .collect())
}

/// A page of all public rooms, newest activity first, with the asker's memberships.
///
/// # Errors
/// Those of the database.
pub async fn public_rooms(db: impl PgExecutor<'_>, user: &UserId, after: Option<Cursor>, limit: i64) -> Result<Vec<Overview>> {
    let (time, id) = after.map_or((chrono::DateTime::<chrono::Utc>::MAX_UTC, Uuid::max()), |(time, id)| (time, id.0));
    let rows = query!(
        r#"SELECT r.id AS "id!: RoomId", r.slug AS "slug?", r.type AS "kind!: RoomType", r.name AS "name?", r.topic AS "topic?",
               r.created_by AS "created_by?: UserId", r.created_at AS "created_at!", r.archived_at AS "archived_at?",
               r.member_count AS "member_count!", r.last_seq AS "last_seq!", r.last_message_seq AS "last_message_seq?", r.listed_at AS "listed_at!",
               m.role AS "role?: Role", m.joined_at AS "joined_at?", m.muted_until AS "muted_until?", m.pinned AS "pinned?", m.read_seq AS "read_seq?"
           FROM rooms AS r
           LEFT JOIN room_members AS m ON m.room_id = r.id AND m.user_id = $1 AND m.state = 'joined'
           WHERE r.type = 'public' AND r.deleted_at IS NULL AND (r.listed_at, r.id) < ($2, $3)
           ORDER BY r.listed_at DESC, r.id DESC
           LIMIT $4"#,
        user.as_str(),
        time,
        id,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Overview {
            room: Room {
                id: row.id,
                slug: row.slug,
                kind: row.kind,
                name: row.name,
                topic: row.topic,
                created_by: row.created_by,
                created_at: row.created_at,
                archived_at: row.archived_at,
                member_count: row.member_count,
                last_seq: row.last_seq,
                last_message_seq: row.last_message_seq,
                last_message: None,
            },
            membership: row.role.zip(row.joined_at).map(|(role, joined_at)| Membership {
                role,
                joined_at,
                muted_until: row.muted_until,
                pinned: row.pinned.unwrap_or_default(),
                read_seq: row.read_seq.unwrap_or_default(),
            }),
            read: Read { seq: row.read_seq.unwrap_or_default() },
            unread: 0,
            unread_capped: false,
            mentions: 0,
            can: Vec::new(),
            last_activity_at: row.listed_at,
        })
        .collect())
}

/// How many messages after a marker are unread, up to one more than the cap, and how many of them mention the user.
///
/// # Errors
/// Those of the database.
pub async fn unread(db: impl PgExecutor<'_>, user: &UserId, room: RoomId, read_seq: i64) -> Result<(i64, i64)> {
    let row = query!(
        r#"SELECT count(*) AS "messages!", count(*) FILTER (WHERE new.mentions ? $2) AS "mentions!"
           FROM (
               SELECT mentions
               FROM messages
               WHERE room_id = $1 AND seq > $3 AND author_id <> $2 AND deleted_at IS NULL
               ORDER BY seq
               LIMIT $4
           ) AS new"#,
        room.0,
        user.as_str(),
        read_seq,
        UNREAD_CAP + 1
    )
    .fetch_one(db)
    .await?;
    Ok((row.messages, row.mentions))
}

/// Rooms by id, for everybody in them.
///
/// # Errors
/// Those of the database.
pub async fn rooms(db: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<Vec<Room>> {
    let rows = query!(
        r#"SELECT id AS "id: RoomId", slug, type AS "kind: RoomType", name, topic, created_by AS "created_by: UserId", created_at, archived_at,
               member_count, last_seq, last_message_seq
           FROM rooms
           WHERE id = ANY($1) AND deleted_at IS NULL"#,
        ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Room {
            id: row.id,
            slug: row.slug,
            kind: row.kind,
            name: row.name,
            topic: row.topic,
            created_by: row.created_by,
            created_at: row.created_at,
            archived_at: row.archived_at,
            member_count: row.member_count,
            last_seq: row.last_seq,
            last_message_seq: row.last_message_seq,
            last_message: None,
        })
        .collect())
}
