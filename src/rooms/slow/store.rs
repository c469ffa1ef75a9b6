//! SQL of slow mode.

use crate::{error::Result, rooms::RoomId, users::UserId};
use sqlx::{PgConnection, PgExecutor, query, query_scalar};
use uuid::Uuid;

/// How long, in seconds, a turn counts though its message is not stored: it may be on its way.
pub const IN_DOUBT: i32 = 10;

/// The rooms in slow mode.
///
/// # Errors
/// Those of the database.
pub async fn rooms(db: impl PgExecutor<'_>) -> Result<Vec<RoomId>> {
    Ok(query_scalar!(r#"SELECT room_id AS "room_id: RoomId" FROM slow_rooms"#).fetch_all(db).await?)
}

/// Puts a room into slow mode, or, with 0, takes it out.
///
/// # Errors
/// Those of the database.
pub async fn set(db: &mut PgConnection, room: RoomId, seconds: i32) -> Result<()> {
    if seconds == 0 {
        query!("DELETE FROM slow_rooms WHERE room_id = $1", room.0).execute(db).await?;
    } else {
        query!(
            "INSERT INTO slow_rooms (room_id, seconds)
             VALUES ($1, $2)
             ON CONFLICT (room_id) DO UPDATE SET seconds = EXCLUDED.seconds",
            room.0,
            seconds
        )
        .execute(db)
        .await?;
    }
    Ok(())
}

/// Takes the turn of a member who has to wait for it; says no if it is not due, or need not be taken.
///
/// # Errors
/// Those of the database.
pub async fn take_turn(db: impl PgExecutor<'_>, room: RoomId, author: &UserId, message: Uuid) -> Result<bool> {
    let done = query!(
        "INSERT INTO slow_turns AS t (room_id, user_id, message_id)
         SELECT s.room_id, m.user_id, $3
         FROM slow_rooms AS s
         JOIN room_members AS m ON m.room_id = s.room_id AND m.user_id = $2 AND m.state = 'joined' AND m.role IN ('guest', 'member')
         WHERE s.room_id = $1 AND NOT EXISTS (SELECT FROM messages WHERE id = $3)
         ON CONFLICT (room_id, user_id) DO UPDATE
         SET message_id = EXCLUDED.message_id,
             taken_at = now()
         WHERE t.message_id = EXCLUDED.message_id
            OR t.taken_at <= now() - make_interval(secs => (SELECT seconds FROM slow_rooms WHERE room_id = t.room_id))
            OR (t.taken_at <= now() - make_interval(secs => $4::integer) AND NOT EXISTS (SELECT FROM messages WHERE id = t.message_id))",
        room.0,
        author.as_str(),
        message,
        IN_DOUBT
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How many milliseconds a member still has to wait; nothing for those who need not, and for a message that is stored already.
///
/// # Errors
/// Those of the database.
pub async fn wait(db: impl PgExecutor<'_>, room: RoomId, author: &UserId, message: Uuid) -> Result<Option<i64>> {
    Ok(query_scalar!(
        r#"SELECT GREATEST(ceil(extract(epoch FROM t.taken_at - now() + make_interval(secs => CASE
                   WHEN EXISTS (SELECT FROM messages WHERE id = t.message_id) THEN s.seconds
                   ELSE LEAST(s.seconds, $4::integer)
               END)) * 1000), 1)::bigint AS "ms!"
           FROM slow_turns AS t
           JOIN slow_rooms AS s ON s.room_id = t.room_id
           JOIN room_members AS m ON m.room_id = t.room_id AND m.user_id = t.user_id AND m.state = 'joined' AND m.role IN ('guest', 'member')
           WHERE t.room_id = $1 AND t.user_id = $2 AND NOT EXISTS (SELECT FROM messages WHERE id = $3)"#,
        room.0,
        author.as_str(),
        message,
        IN_DOUBT
    )
    .fetch_optional(db)
    .await?)
}
