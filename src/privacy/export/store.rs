//! SQL of exports.

use super::items::{ExportedEdit, ExportedMembership, ExportedMessage, ExportedProfile, ExportedSession};
use crate::{
    error::Result,
    messages::MessageId,
    rooms::{Role, RoomId, members::State},
    users::{UserId, UserType},
};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgExecutor, query, query_as};
use uuid::Uuid;

/// A user's profile.
///
/// # Errors
/// Those of the database.
pub(super) async fn profile(db: impl PgExecutor<'_>, user: &UserId) -> Result<Option<ExportedProfile>> {
    Ok(query_as!(
        ExportedProfile,
        r#"SELECT u.id AS "id: UserId", u.username, u.name, u.avatar_url, u.user_type AS "user_type: UserType",
               u.password_hash IS NOT NULL AS "has_password!", u.created_at, u.updated_at, u.deactivated_at,
               (SELECT last_seen_at FROM last_seen WHERE user_id = u.id) AS last_seen_at, u.invisible
           FROM users AS u
           WHERE u.id = $1"#,
        user.as_str()
    )
    .fetch_optional(db)
    .await?)
}

/// A user's sessions that stand, by id.
///
/// # Errors
/// Those of the database.
pub(super) async fn sessions(db: impl PgExecutor<'_>, user: &UserId, after: Uuid, limit: i64) -> Result<Vec<ExportedSession>> {
    Ok(query_as!(
        ExportedSession,
        "SELECT id, created_at, last_used_at, expires_at
         FROM sessions
         WHERE user_id = $1 AND revoked_at IS NULL AND id > $2
         ORDER BY id
         LIMIT $3",
        user.as_str(),
        after,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// A user's membership in a room, present or former.
///
/// # Errors
/// Those of the database.
pub(super) async fn membership(db: impl PgExecutor<'_>, user: &UserId, room: RoomId) -> Result<Option<ExportedMembership>> {
    Ok(query_as!(
        ExportedMembership,
        r#"SELECT m.room_id AS "room_id: RoomId", r.name AS room_name, m.state AS "state: State", m.role AS "role: Role", m.joined_at, m.read_seq,
               m.delivered_seq, m.public_read_seq, m.public_delivered_seq, m.read_at, m.muted_until, m.pinned, m.banned_at, m.ban_reason
           FROM room_members AS m
           JOIN rooms AS r ON r.id = m.room_id
           WHERE m.room_id = $2 AND m.user_id = $1"#,
        user.as_str(),
        room.0
    )
    .fetch_optional(db)
    .await?)
}

/// A message that a user wrote, pinned or reacted to.
pub(super) struct Touched {
    /// The message, of which only what a user did is theirs.
    pub message: ExportedMessage,
    pub is_own: bool,
    /// When the user pinned it.
    pub pinned_at: Option<DateTime<Utc>>,
    /// What the user reacted with, and when.
    pub emojis: Vec<String>,
    pub reacted_at: Vec<DateTime<Utc>>,
}

/// What a user wrote, pinned or reacted to in a room, after a number and up to another, in its order.
///
/// # Errors
/// Those of the database.
pub(super) async fn touched(db: impl PgExecutor<'_>, room: RoomId, user: &UserId, after: i64, until: i64, limit: i64) -> Result<Vec<Touched>> {
    let rows = query!(
        r#"SELECT m.id AS "id!: MessageId", m.seq AS "seq!", m.content AS "content!", m.type AS "kind!", m.client_msg_id AS "client_msg_id?",
               m.reply_to AS "reply_to?: MessageId", m.thread_root_id AS "thread_root_id?: MessageId", m.mentions AS "mentions?",
               m.attachments AS "attachments?", m.metadata AS "metadata?", m.created_at AS "created_at!", m.edited_at AS "edited_at?",
               m.deleted_at AS "deleted_at?", CASE WHEN m.deleted_by = 'author' THEN m.delete_reason END AS delete_reason, m.is_own AS "is_own!",
               CASE WHEN m.pinned_by = $4 THEN m.pinned_at END AS pinned_at, m.emojis AS "emojis!", m.reacted_at AS "reacted_at!"
           FROM (
               SELECT *, author_id = $4 AS is_own,
                   ARRAY(SELECT emoji FROM reactions WHERE message_id = messages.id AND user_id = $4 ORDER BY seq) AS emojis,
                   ARRAY(SELECT created_at FROM reactions WHERE message_id = messages.id AND user_id = $4 ORDER BY seq) AS reacted_at
               FROM messages
               WHERE room_id = $1 AND seq > $2 AND seq <= $3 AND (author_id = $4 OR pinned_by = $4 OR reactions IS NOT NULL)
           ) AS m
           WHERE m.is_own OR m.pinned_by = $4 OR m.emojis <> '{}'
           ORDER BY m.seq
           LIMIT $5"#,
        room.0,
        after,
        until,
        user.as_str(),
        limit
    )
    .fetch_all(db)
    .await?;
    let touched = rows.into_iter().map(|row| Touched {
        message: ExportedMessage {
            id: row.id,
            room_id: room,
            seq: row.seq,
            content: row.content,
            kind: row.kind,
            client_msg_id: row.client_msg_id,
            reply_to: row.reply_to,
            thread_root_id: row.thread_root_id,
            mentions: row.mentions.unwrap_or_else(|| Value::Array(Vec::new())),
            attachments: row.attachments.unwrap_or_else(|| Value::Array(Vec::new())),
            metadata: row.metadata,
            created_at: row.created_at,
            edited_at: row.edited_at,
            deleted_at: row.deleted_at,
            delete_reason: row.delete_reason,
        },
        is_own: row.is_own,
        pinned_at: row.pinned_at,
        emojis: row.emojis,
        reacted_at: row.reacted_at,
    });
    Ok(touched.collect())
}

/// What a user's messages in a room said before they were edited, after an edit of a message and up to another message, in order.
///
/// # Errors
/// Those of the database.
pub(super) async fn edits(
    db: impl PgExecutor<'_>,
    room: RoomId,
    user: &UserId,
    after: (i64, i32),
    until: i64,
    limit: i64,
) -> Result<Vec<(i64, ExportedEdit)>> {
    let rows = query!(
        r#"SELECT m.seq AS "seq!", e.message_id AS "message_id!: MessageId", e.number AS "number!", e.content AS "content!", e.mentions AS "mentions?",
               e.said_at AS "said_at!", e.replaced_at AS "replaced_at!"
           FROM messages AS m
           CROSS JOIN LATERAL (SELECT * FROM message_edits WHERE message_id = m.id AND (m.seq > $2 OR number > $3) ORDER BY number LIMIT $6) AS e
           WHERE m.room_id = $1 AND m.seq >= $2 AND m.seq <= $4 AND m.author_id = $5 AND m.edit_count > 0
           ORDER BY m.seq, e.number
           LIMIT $6"#,
        room.0,
        after.0,
        after.1,
        until,
        user.as_str(),
        limit
    )
    .fetch_all(db)
    .await?;
    let edits = rows.into_iter().map(|row| {
        let edit = ExportedEdit {
            message_id: row.message_id,
            number: row.number,
            content: row.content,
            mentions: row.mentions.unwrap_or_else(|| Value::Array(Vec::new())),
            said_at: row.said_at,
            replaced_at: row.replaced_at,
        };
        (row.seq, edit)
    });
    Ok(edits.collect())
}
