//! SQL that reads messages. What writes them is in [`journal`](super::journal).

use super::{Message, MessageId, Sender, changes::DeletedBy, threads::Thread};
use crate::{
    error::Result,
    pool::Pool,
    rooms::RoomId,
    users::{User, UserId, UserType},
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::{PgExecutor, query_as, query_scalar};
use uuid::Uuid;

/// A message's row with its author's profile.
pub(super) struct Row {
    /// What else a statement says with every row.
    pub aside: Option<i64>,
    pub id: MessageId,
    pub room_id: RoomId,
    pub seq: i64,
    pub rev: i64,
    pub author_id: UserId,
    pub username: Option<String>,
    pub name: Option<String>,
    pub avatar_url: Option<String>,
    pub user_type: Option<UserType>,
    pub content: String,
    pub kind: String,
    pub client_msg_id: Option<String>,
    pub reply_to: Option<MessageId>,
    pub thread_root_id: Option<MessageId>,
    pub mentions: Option<Value>,
    pub attachments: Option<Value>,
    pub metadata: Option<Value>,
    pub created_at: DateTime<Utc>,
    pub edited_at: Option<DateTime<Utc>>,
    pub edit_count: i32,
    pub deleted_at: Option<DateTime<Utc>>,
    pub deleted_by: Option<DeletedBy>,
    pub delete_reason: Option<String>,
    pub pinned_at: Option<DateTime<Utc>>,
    pub pinned_by: Option<UserId>,
    pub reactions: Option<Value>,
    pub reply_count: Option<i32>,
    pub last_reply_at: Option<DateTime<Utc>>,
    pub thread_participants: Option<Vec<String>>,
}

impl From<Row> for Message {
    fn from(row: Row) -> Self {
        let author = User {
            id: row.author_id.clone(),
            username: row.username,
            name: row.name,
            avatar_url: row.avatar_url,
            user_type: row.user_type.unwrap_or(UserType::User),
        };
        let thread = row.reply_count.map(|reply_count| Thread {
            reply_count,
            last_reply_at: row.last_reply_at,
            participants: row.thread_participants.unwrap_or_default(),
        });
        Self {
            id: row.id,
            room_id: row.room_id,
            seq: row.seq,
            rev: row.rev,
            sender: Sender::from(&author),
            sender_id: row.author_id,
            content: row.content,
            kind: row.kind,
            reply_to: row.reply_to,
            thread_root_id: row.thread_root_id,
            thread,
            mentions: row.mentions.unwrap_or_else(|| json!([])),
            attachments: row.attachments.unwrap_or_else(|| json!([])),
            reactions: row.reactions.unwrap_or_else(|| json!({})),
            own_reactions: Vec::new(),
            metadata: row.metadata,
            created_at: row.created_at,
            timestamp: row.created_at,
            edited_at: row.edited_at,
            edit_count: row.edit_count,
            deleted_at: row.deleted_at,
            deleted_by: row.deleted_by,
            delete_reason: row.delete_reason,
            pinned_at: row.pinned_at,
            pinned_by: row.pinned_by,
            client_msg_id: row.client_msg_id,
            duplicate: false,
        }
    }
}

/// Everything that a [`Message`] shows, from wherever the rest of the statement finds `m` and its author `u`.
macro_rules! select_messages {
    ($from:tt, $($argument:expr),+ $(,)?) => {
        $crate::messages::store::select_messages!("NULL::bigint" => $from, $($argument),+)
    };
    ($aside:tt => $from:tt, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            $crate::messages::store::Row,
            r#"SELECT "# + $aside + r#" AS "aside?", m.id AS "id!: MessageId", m.room_id AS "room_id!: RoomId", m.seq AS "seq!", m.rev AS "rev!", m.author_id AS "author_id!: UserId",
                   u.username AS "username?", u.name AS "name?", u.avatar_url AS "avatar_url?", u.user_type AS "user_type?: UserType",
                   m.content AS "content!", m.type AS "kind!", m.client_msg_id AS "client_msg_id?", m.reply_to AS "reply_to?: MessageId",
                   m.thread_root_id AS "thread_root_id?: MessageId", m.mentions AS "mentions?", m.attachments AS "attachments?",
                   m.metadata AS "metadata?", m.created_at AS "created_at!", m.edited_at AS "edited_at?", m.edit_count AS "edit_count!",
                   m.deleted_at AS "deleted_at?", m.deleted_by AS "deleted_by?: DeletedBy", m.delete_reason AS "delete_reason?",
                   m.pinned_at AS "pinned_at?", m.pinned_by AS "pinned_by?: UserId", m.reactions AS "reactions?", m.reply_count AS "reply_count?",
                   m.last_reply_at AS "last_reply_at?", m.thread_participants AS "thread_participants?"
               "# + $from,
            $($argument),+
        )
    };
}
pub(super) use select_messages;

/// Where a message stands.
pub struct Place {
    /// Its room.
    pub room_id: RoomId,
    /// Its thread.
    pub thread_root_id: Option<MessageId>,
}

/// Where a message stands.
///
/// # Errors
/// Those of the database.
pub async fn place(db: impl PgExecutor<'_>, id: MessageId) -> Result<Option<Place>> {
    Ok(query_as!(
        Place,
        r#"SELECT room_id AS "room_id: RoomId", thread_root_id AS "thread_root_id: MessageId"
           FROM messages
           WHERE id = $1"#,
        id.0
    )
    .fetch_optional(db)
    .await?)
}

/// The part of a room's history that a page shows: so many messages before one number, and so many after another.
pub struct Window {
    /// Older than this,
    pub before: i64,
    /// so many of them.
    pub older: i64,
    /// Newer than this,
    pub after: i64,
    /// so many of them.
    pub newer: i64,
}

/// What a member sees through a window of at most 101 messages either way, oldest first, and the number of the room's last
/// message. Nothing for those who are not members.
///
/// The limits that are written out cost nothing, and keep the plan: with limits that it does not know Postgres expects a tenth
/// of the room, and makes a new plan for every page.
///
/// # Errors
/// Those of the database.
pub async fn window(db: impl PgExecutor<'_>, asker: &UserId, room: RoomId, window: &Window) -> Result<(Vec<Message>, i64)> {
    let rows = select_messages!(
        "r.last_message_seq" =>
        r#"FROM rooms AS r
           JOIN room_members AS asker ON asker.room_id = r.id AND asker.user_id = $2 AND asker.state = 'joined'
           CROSS JOIN LATERAL (
               (SELECT * FROM (SELECT * FROM messages WHERE room_id = r.id AND seq < $3 ORDER BY seq DESC LIMIT 101) AS older LIMIT $4)
               UNION ALL
               (SELECT * FROM (SELECT * FROM messages WHERE room_id = r.id AND seq > $5 ORDER BY seq LIMIT 101) AS newer LIMIT $6)
           ) AS m
           LEFT JOIN users AS u ON u.id = m.author_id
           WHERE r.id = $1 AND r.deleted_at IS NULL
           ORDER BY m.seq"#,
        room.0,
        asker.as_str(),
        window.before,
        window.older,
        window.after,
        window.newer
    )
    .fetch_all(db)
    .await?;
    let last = rows.first().and_then(|row| row.aside).unwrap_or_default();
    Ok((rows.into_iter().map(Message::from).collect(), last))
}

/// The newest messages of a room between two numbers.
pub struct Stretch {
    /// The room.
    pub room: RoomId,
    /// After this number,
    pub after: i64,
    /// up to this one,
    pub until: i64,
    /// so many.
    pub most: i64,
}

/// The messages of several stretches, each with the place of its stretch; those of one stretch are the newest first.
///
/// # Errors
/// Those of the database.
pub async fn stretches(db: impl PgExecutor<'_>, stretches: &[Stretch]) -> Result<Vec<(usize, Message)>> {
    let rooms: Vec<Uuid> = stretches.iter().map(|stretch| stretch.room.0).collect();
    let afters: Vec<i64> = stretches.iter().map(|stretch| stretch.after).collect();
    let untils: Vec<i64> = stretches.iter().map(|stretch| stretch.until).collect();
    let mosts: Vec<i64> = stretches.iter().map(|stretch| stretch.most).collect();
    let rows = select_messages!(
        "s.place" =>
        r#"FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS s (room_id, after, until, most, place)
           CROSS JOIN LATERAL (
               SELECT *
               FROM messages
               WHERE room_id = s.room_id AND seq > s.after AND seq <= s.until
               ORDER BY seq DESC
               LIMIT s.most
           ) AS m
           LEFT JOIN users AS u ON u.id = m.author_id
           ORDER BY s.place, m.seq DESC"#,
        &rooms,
        &afters,
        &untils,
        &mosts
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (usize::try_from(row.aside.unwrap_or_default()).unwrap_or_default().saturating_sub(1), row.into())).collect())
}

/// Messages of a room whose last change was not that they were said, and has a number after one and up to another, by that
/// number; about 1,001 at the most, and all that share the last number.
///
/// # Errors
/// Those of the database.
pub async fn changed(db: impl PgExecutor<'_>, room: RoomId, after: i64, until: i64) -> Result<Vec<Message>> {
    let rows = select_messages!(
        r#"FROM (
               SELECT *
               FROM messages
               WHERE room_id = $1 AND rev > $2 AND rev <= $3 AND rev <> seq
               ORDER BY rev
               FETCH FIRST 1001 ROWS WITH TIES
           ) AS m
           LEFT JOIN LATERAL (SELECT * FROM users WHERE users.id = m.author_id LIMIT 1) AS u ON true
           ORDER BY m.rev"#,
        room.0,
        after,
        until
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// Messages of a room that are as they were said, with numbers after one and up to another, by number; at most 1,001. It walks
/// over those that changed since.
///
/// # Errors
/// Those of the database.
pub async fn unchanged(db: impl PgExecutor<'_>, room: RoomId, after: i64, until: i64) -> Result<Vec<Message>> {
    let rows = select_messages!(
        r#"FROM (
               SELECT *
               FROM messages
               WHERE room_id = $1 AND seq > $2 AND seq <= $3 AND rev = seq
               ORDER BY seq
               LIMIT 1001
           ) AS m
           LEFT JOIN LATERAL (SELECT * FROM users WHERE users.id = m.author_id LIMIT 1) AS u ON true
           ORDER BY m.seq"#,
        room.0,
        after,
        until
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// The messages at these places.
///
/// # Errors
/// Those of the database.
pub async fn at(db: impl PgExecutor<'_>, places: &[(RoomId, i64)]) -> Result<Vec<Message>> {
    let (rooms, seqs): (Vec<Uuid>, Vec<i64>) = places.iter().map(|(room, seq)| (room.0, *seq)).unzip();
    let rows = select_messages!(
        r#"FROM UNNEST($1::uuid[], $2::bigint[]) AS place (room_id, seq)
           JOIN messages AS m ON m.room_id = place.room_id AND m.seq = place.seq
           LEFT JOIN users AS u ON u.id = m.author_id"#,
        &rooms,
        &seqs
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// The messages with these ids.
///
/// # Errors
/// Those of the database.
pub async fn with_ids(db: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<Vec<Message>, sqlx::Error> {
    let rows = select_messages!(
        r#"FROM messages AS m
           LEFT JOIN users AS u ON u.id = m.author_id
           WHERE m.id = ANY($1)"#,
        ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// One message, if the asker is a member of its room.
///
/// # Errors
/// Those of the database.
pub async fn find_for(db: impl PgExecutor<'_>, asker: &UserId, id: MessageId) -> Result<Option<Message>> {
    let row = select_messages!(
        r#"FROM messages AS m
           JOIN room_members AS member ON member.room_id = m.room_id AND member.user_id = $2 AND member.state = 'joined'
           LEFT JOIN users AS u ON u.id = m.author_id
           WHERE m.id = $1"#,
        id.0,
        asker.as_str()
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Message::from))
}

/// Whether the asker is a member of a message's room.
///
/// # Errors
/// Those of the database.
pub async fn is_seen(db: impl PgExecutor<'_>, asker: &UserId, id: MessageId) -> Result<bool> {
    let found = query_scalar!(
        r#"SELECT 1 AS "one!"
           FROM messages AS m
           JOIN room_members AS member ON member.room_id = m.room_id AND member.user_id = $2 AND member.state = 'joined'
           WHERE m.id = $1"#,
        id.0,
        asker.as_str()
    );
    Ok(found.fetch_optional(db).await?.is_some())
}

/// Whether anything was said before a number. (With EXISTS Postgres may walk through the table instead: it expects to come
/// upon one of a large room's messages soon, and the messages of others may lie before them all.)
///
/// # Errors
/// Those of the database.
pub async fn exists_before(db: impl PgExecutor<'_>, room: RoomId, seq: i64) -> Result<bool> {
    let last = query_scalar!("SELECT seq FROM messages WHERE room_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT 1", room.0, seq);
    Ok(last.fetch_optional(db).await?.is_some())
}

/// The number of the first message after a number.
///
/// # Errors
/// Those of the database.
pub async fn first_after(db: impl PgExecutor<'_>, room: RoomId, seq: i64) -> Result<Option<i64>> {
    Ok(query_scalar!("SELECT seq FROM messages WHERE room_id = $1 AND seq > $2 ORDER BY seq LIMIT 1", room.0, seq).fetch_optional(db).await?)
}

/// The number of the first message after a number, and up to another, that is neither the reader's own nor deleted.
///
/// # Errors
/// Those of the database.
pub async fn first_unread(db: impl PgExecutor<'_>, room: RoomId, reader: &UserId, seq: i64, end: i64) -> Result<Option<i64>> {
    Ok(query_scalar!(
        "SELECT seq
         FROM messages
         WHERE room_id = $1 AND seq > $2 AND seq <= $4 AND author_id <> $3 AND deleted_at IS NULL
         ORDER BY seq
         LIMIT 1",
        room.0,
        seq,
        reader.as_str(),
        end
    )
    .fetch_optional(db)
    .await?)
}

/// The number of the first message stored at or after a time. Times follow the numbers closely enough for a
/// bisection over the primary key; a table scan by time, or an index for it alone, would cost more.
///
/// # Errors
/// Those of the database.
pub async fn first_at(db: &Pool, room: RoomId, time: DateTime<Utc>) -> Result<Option<i64>> {
    let Some(newest) = query_scalar!("SELECT seq FROM messages WHERE room_id = $1 ORDER BY seq DESC LIMIT 1", room.0).fetch_optional(db).await?
    else {
        return Ok(None);
    };
    let (mut low, mut high) = (0, newest);
    while low < high {
        let middle = low + (high - low) / 2;
        let next = query_as!(Stamp, "SELECT seq, created_at FROM messages WHERE room_id = $1 AND seq > $2 ORDER BY seq LIMIT 1", room.0, middle)
            .fetch_optional(db)
            .await?;
        match next {
            Some(stamp) if stamp.created_at < time => low = stamp.seq,
            _ => high = middle,
        }
    }
    first_after(db, room, low).await
}

struct Stamp {
    seq: i64,
    created_at: DateTime<Utc>,
}
