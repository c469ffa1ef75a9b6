//! SQL of erasures. There is no index of messages by author, for every message would pay for it: what
//! somebody said is found by walking through the rooms that they are or were in, so many numbers at a time.

use super::Messages;
use crate::{error::Result, messages::MessageId, rooms::RoomId, users::UserId};
use sqlx::{PgConnection, PgExecutor, query, query_as, query_scalar};
use uuid::Uuid;

/// An account that is to be erased, and how far that has come.
pub(super) struct Erasure {
    pub user: UserId,
    pub messages: Messages,
    /// Rooms up to this one are done.
    pub done: Uuid,
}

/// Something that a user left in a room.
pub(super) struct Trace {
    pub id: MessageId,
    pub seq: i64,
    /// Whether it is a message of the user's own, or the reason that they gave when they deleted it.
    pub is_own: bool,
    /// What the user reacted with.
    pub emojis: Vec<String>,
}

/// Whether there is such a user, and whether the account was erased.
///
/// # Errors
/// Those of the database.
pub(super) async fn is_erased(db: impl PgExecutor<'_>, user: &UserId) -> Result<Option<bool>> {
    let erased = query_scalar!(r#"SELECT erased_at IS NOT NULL AS "erased!" FROM users WHERE id = $1"#, user.as_str());
    Ok(erased.fetch_optional(db).await?)
}

/// The hash of a user's password, if it is an own account.
///
/// # Errors
/// Those of the database.
pub(super) async fn password_hash(db: impl PgExecutor<'_>, user: &UserId) -> Result<Option<String>> {
    Ok(query_scalar!("SELECT password_hash FROM users WHERE id = $1", user.as_str()).fetch_optional(db).await?.flatten())
}

/// Makes a stub of a user: nameless, kept out, without a password. Once that is so, it stays so.
///
/// # Errors
/// Those of the database.
pub(super) async fn make_stub(db: &mut PgConnection, user: &UserId, name: &str) -> Result<()> {
    query!(
        "UPDATE users
         SET username = NULL, name = $2, avatar_url = NULL, user_type = 'user', password_hash = NULL, invisible = false,
             invisible_changed_at = NULL, updated_at = now(), deactivated_at = now(), erased_at = now()
         WHERE id = $1 AND erased_at IS NULL",
        user.as_str(),
        name
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes a user's sessions, and with them the refresh tokens.
///
/// # Errors
/// Those of the database.
pub(super) async fn remove_sessions(db: &mut PgConnection, user: &UserId) -> Result<()> {
    query!(
        "DELETE FROM sessions
         WHERE id IN (
             SELECT id FROM sessions WHERE user_id = $1 AND revoked_at IS NULL
             UNION ALL
             SELECT id FROM sessions WHERE user_id = $1 AND revoked_at IS NOT NULL
         )",
        user.as_str()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets when a user was last seen.
///
/// # Errors
/// Those of the database.
pub(super) async fn forget_last_seen(db: &mut PgConnection, user: &UserId) -> Result<()> {
    query!("DELETE FROM last_seen WHERE user_id = $1", user.as_str()).execute(db).await?;
    Ok(())
}

/// Forgets when a user last spoke in rooms in slow mode.
///
/// # Errors
/// Those of the database.
pub(super) async fn forget_turns(db: &mut PgConnection, user: &UserId) -> Result<()> {
    query!("DELETE FROM slow_turns WHERE user_id = $1", user.as_str()).execute(db).await?;
    Ok(())
}

/// Orders what is left to be done. Where it was ordered before, only more than was ordered then is something new.
///
/// # Errors
/// Those of the database.
pub(super) async fn order(db: &mut PgConnection, user: &UserId, messages: Messages) -> Result<()> {
    query!(
        "INSERT INTO erasures AS known (user_id, messages)
         VALUES ($1, $2)
         ON CONFLICT (user_id) DO UPDATE
         SET messages = EXCLUDED.messages, done_room_id = '00000000-0000-0000-0000-000000000000', finished_at = NULL
         WHERE known.messages = 'keep' AND EXCLUDED.messages = 'delete'",
        user.as_str(),
        messages as Messages
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Some of the erasures that were ordered a while ago and are not finished, the oldest first.
///
/// # Errors
/// Those of the database.
pub(super) async fn unfinished(db: impl PgExecutor<'_>, settled: f64, limit: i64) -> Result<Vec<Erasure>> {
    Ok(query_as!(
        Erasure,
        r#"SELECT user_id AS "user: UserId", messages AS "messages: Messages", done_room_id AS done
           FROM erasures
           WHERE finished_at IS NULL AND ordered_at < now() - make_interval(secs => $1)
           ORDER BY ordered_at
           LIMIT $2"#,
        settled,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// The next room by id, after one, that a user is or was in.
///
/// # Errors
/// Those of the database.
pub(super) async fn next_room(db: impl PgExecutor<'_>, user: &UserId, after: Uuid) -> Result<Option<RoomId>> {
    let next = query_scalar!(
        r#"SELECT room_id AS "room_id!: RoomId"
           FROM (
               (SELECT room_id FROM room_members WHERE user_id = $1 AND room_id > $2 AND state = 'joined' ORDER BY room_id LIMIT 1)
               UNION ALL
               (SELECT room_id FROM room_members WHERE user_id = $1 AND room_id > $2 AND state <> 'joined' ORDER BY room_id LIMIT 1)
           ) AS next
           ORDER BY room_id
           LIMIT 1"#,
        user.as_str(),
        after
    );
    Ok(next.fetch_optional(db).await?)
}

/// The number of a room's last message.
///
/// # Errors
/// Those of the database.
pub(super) async fn last_message(db: impl PgExecutor<'_>, room: RoomId) -> Result<i64> {
    let last = query_scalar!(r#"SELECT COALESCE(last_message_seq, 0) AS "seq!" FROM rooms WHERE id = $1"#, room.0);
    Ok(last.fetch_optional(db).await?.unwrap_or_default())
}

/// Takes a former member's markers, and the reason of a ban, from a room.
///
/// # Errors
/// Those of the database.
pub(super) async fn forget_markers(db: impl PgExecutor<'_>, room: RoomId, user: &UserId) -> Result<()> {
    query!(
        "UPDATE room_members
         SET read_seq = 0, delivered_seq = 0, public_read_seq = 0, public_delivered_seq = 0, read_at = NULL, pinned = false, muted_until = NULL,
             ban_reason = NULL
         WHERE room_id = $1 AND user_id = $2 AND state <> 'joined'",
        room.0,
        user.as_str()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What a user left in a room after a number and up to another, in its order.
///
/// # Errors
/// Those of the database.
pub(super) async fn traces(db: impl PgExecutor<'_>, room: RoomId, user: &UserId, after: i64, until: i64) -> Result<Vec<Trace>> {
    Ok(query_as!(
        Trace,
        r#"SELECT id AS "id!: MessageId", seq AS "seq!", is_own AS "is_own!", emojis AS "emojis!"
           FROM (
               SELECT m.id, m.seq, m.author_id = $4 AS is_own,
                   ARRAY(SELECT emoji FROM reactions WHERE message_id = m.id AND user_id = $4) AS emojis
               FROM messages AS m
               WHERE m.room_id = $1 AND m.seq > $2 AND m.seq <= $3 AND (m.author_id = $4 OR m.reactions IS NOT NULL)
                   AND (m.deleted_at IS NULL OR m.deleted_by = 'author' AND m.delete_reason IS NOT NULL)
           ) AS trace
           WHERE is_own OR emojis <> '{}'
           ORDER BY seq"#,
        room.0,
        after,
        until,
        user.as_str()
    )
    .fetch_all(db)
    .await?)
}

/// Notes that a room is done.
///
/// # Errors
/// Those of the database.
pub(super) async fn note_done(db: impl PgExecutor<'_>, user: &UserId, room: RoomId) -> Result<()> {
    query!("UPDATE erasures SET done_room_id = $2 WHERE user_id = $1", user.as_str(), room.0).execute(db).await?;
    Ok(())
}

/// Begins again with a user who has come into a room meanwhile.
///
/// # Errors
/// Those of the database.
pub(super) async fn begin_again(db: impl PgExecutor<'_>, user: &UserId) -> Result<()> {
    query!(
        "UPDATE erasures
         SET done_room_id = '00000000-0000-0000-0000-000000000000'
         WHERE user_id = $1 AND EXISTS (SELECT FROM room_members AS m WHERE m.user_id = $1 AND m.state = 'joined')",
        user.as_str()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Finishes an erasure, if the user is in no room any more; says whether it did.
///
/// # Errors
/// Those of the database.
pub(super) async fn finish(db: impl PgExecutor<'_>, user: &UserId) -> Result<bool> {
    let done = query!(
        "UPDATE erasures
         SET finished_at = now()
         WHERE user_id = $1 AND NOT EXISTS (SELECT FROM room_members AS m WHERE m.user_id = $1 AND m.state = 'joined')",
        user.as_str()
    );
    Ok(done.execute(db).await?.rows_affected() == 1)
}

/// Whether nothing of an erasure is left to be done.
///
/// # Errors
/// Those of the database.
pub(super) async fn is_finished(db: impl PgExecutor<'_>, user: &UserId) -> Result<bool> {
    let finished = query_scalar!(r#"SELECT finished_at IS NOT NULL AS "finished!" FROM erasures WHERE user_id = $1"#, user.as_str());
    Ok(finished.fetch_optional(db).await?.unwrap_or_default())
}
