//! SQL of threads. What counts new replies is in the [journal](crate::messages::journal).

use crate::{
    error::Result,
    messages::{
        Message, MessageId,
        changes::DeletedBy,
        store::{Window, select_messages},
    },
    rooms::RoomId,
    users::{UserId, UserType},
};
use sqlx::{PgConnection, PgExecutor, query};
use uuid::Uuid;

/// What a member sees of a thread through a window of at most 101 messages either way, oldest first. Nothing for those who are
/// not members. (The limits that are written out keep the plan, as they do for history.)
///
/// # Errors
/// Those of the database.
pub async fn window(db: impl PgExecutor<'_>, asker: &UserId, root: &Message, window: &Window) -> Result<Vec<Message>> {
    let rows = select_messages!(
        r#"FROM room_members AS asker
           CROSS JOIN LATERAL (
               (SELECT * FROM (SELECT * FROM messages WHERE thread_root_id = $3 AND seq < $4 ORDER BY seq DESC LIMIT 101) AS older LIMIT $5)
               UNION ALL
               (SELECT * FROM (SELECT * FROM messages WHERE thread_root_id = $3 AND seq > $6 ORDER BY seq LIMIT 101) AS newer LIMIT $7)
           ) AS m
           LEFT JOIN users AS u ON u.id = m.author_id
           WHERE asker.room_id = $1 AND asker.user_id = $2 AND asker.state = 'joined'
           ORDER BY m.seq"#,
        root.room_id.0,
        asker.as_str(),
        root.id.0,
        window.before,
        window.older,
        window.after,
        window.newer
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(Message::from).collect())
}

/// A page of a room's threads, each as the number of its last reply and its root, the latest reply first.
///
/// # Errors
/// Those of the database.
pub async fn of_room(db: impl PgExecutor<'_>, room: RoomId, before: i64, limit: i64) -> Result<Vec<(i64, Message)>> {
    let rows = select_messages!(
        "m.last_reply_seq" =>
        r#"FROM messages AS m
           LEFT JOIN users AS u ON u.id = m.author_id
           WHERE m.room_id = $1 AND m.reply_count > 0 AND m.last_reply_seq < $2
           ORDER BY m.last_reply_seq DESC
           LIMIT $3"#,
        room.0,
        before,
        limit
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.aside.unwrap_or_default(), row.into())).collect())
}

/// Counts replies no more that were deleted under the same number: roots, and how many of each. For whoever holds the room's row.
///
/// # Errors
/// Those of the database.
pub async fn uncount_replies(db: &mut PgConnection, roots: &[Uuid], replies: &[i32], seq: i64) -> Result<()> {
    query!(
        "UPDATE messages AS root
         SET rev = $3,
             reply_count = GREATEST(root.reply_count - lost.replies, 0),
             (last_reply_seq, last_reply_at) = (
                 SELECT reply.seq, reply.created_at
                 FROM messages AS reply
                 WHERE reply.thread_root_id = root.id AND reply.deleted_at IS NULL
                 ORDER BY reply.seq DESC
                 LIMIT 1
             )
         FROM UNNEST($1::uuid[], $2::integer[]) AS lost (root_id, replies)
         -- By an index for each root: an equality could become a join with the whole table.
         WHERE root.id = ANY(ARRAY[lost.root_id])",
        roots,
        replies,
        seq
    )
    .execute(db)
    .await?;
    Ok(())
}
