//! SQL of memberships. Every function that changes one is told the room's number of the change, or 0 for one that is not told.

use super::{Ban, Moved, Standing, State};
use crate::{
    error::Result,
    rooms::{Role, RoomId, store::place},
    users::{User, UserId, UserType},
};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, query, query_as, query_scalar};
use std::time::Duration;
use uuid::Uuid;

/// A member in the list of them.
pub struct MemberRow {
    /// Who.
    pub user: User,
    /// The standing.
    pub role: Role,
    /// Since when.
    pub joined_at: DateTime<Utc>,
    /// Until when this member may not send.
    pub muted_until: Option<DateTime<Utc>>,
}

/// A statement that changes a membership, and what it comes to.
macro_rules! change_standing {
    ($statement:tt, $($argument:expr),+ $(,)?) => {
        query_as!(
            Standing,
            $statement + r#"
            RETURNING user_id AS "user_id: UserId", state AS "state: State", role AS "role: Role",
                CASE WHEN state = 'joined' THEN joined_at END AS joined_at, muted_until"#,
            $($argument),+
        )
    };
}

/// Where somebody stands with a room; nothing for who was never there.
///
/// # Errors
/// Those of the database.
pub async fn standing(db: impl PgExecutor<'_>, room: RoomId, user: &UserId) -> Result<Option<Standing>> {
    Ok(query_as!(
        Standing,
        r#"SELECT user_id AS "user_id: UserId", state AS "state: State", role AS "role: Role",
               CASE WHEN state = 'joined' THEN joined_at END AS joined_at, muted_until
           FROM room_members
           WHERE room_id = $1 AND user_id = $2"#,
        room.0,
        user.as_str()
    )
    .fetch_optional(db)
    .await?)
}

/// Who came, went, or was moved, under a number after one and up to another, by that number; at most 1,001.
///
/// # Errors
/// Those of the database.
pub async fn changed(db: impl PgExecutor<'_>, room: RoomId, after: i64, until: i64) -> Result<Vec<Moved>> {
    let rows = query!(
        r#"SELECT m.user_id AS "user_id!: UserId", m.state AS "state!: State", m.role AS "role!: Role",
               CASE WHEN m.state = 'joined' THEN m.joined_at END AS joined_at, m.muted_until AS "muted_until?", m.changed_seq AS "changed_seq!",
               u.username AS "username?", u.name AS "name?", u.avatar_url AS "avatar_url?", u.user_type AS "user_type?: UserType"
           FROM (
               SELECT *
               FROM room_members
               WHERE room_id = $1 AND changed_seq > $2 AND changed_seq <= $3 AND changed_seq > 0
               ORDER BY changed_seq
               LIMIT 1001
           ) AS m
           LEFT JOIN LATERAL (SELECT * FROM users WHERE users.id = m.user_id LIMIT 1) AS u ON true
           ORDER BY m.changed_seq"#,
        room.0,
        after,
        until
    )
    .fetch_all(db)
    .await?;
    let moved = rows.into_iter().map(|row| Moved {
        seq: row.changed_seq,
        user: User {
            id: row.user_id.clone(),
            username: row.username,
            name: row.name,
            avatar_url: row.avatar_url,
            user_type: row.user_type.unwrap_or(UserType::User),
        },
        standing: Standing { user_id: row.user_id, state: row.state, role: row.role, joined_at: row.joined_at, muted_until: row.muted_until },
    });
    Ok(moved.collect())
}

/// Makes somebody a member. What was said before counts as read. Who comes back stays muted, unless as the owner, for whom
/// nobody could lift it. Where that takes no number (0), the one of what happened to them before stays: it is that of nothing else.
///
/// # Errors
/// Those of the database.
pub async fn put(db: &mut PgConnection, room: RoomId, user: &UserId, role: Role, changed_seq: i64, read_seq: i64) -> Result<Standing> {
    Ok(change_standing!(
        r#"INSERT INTO room_members AS m (room_id, user_id, role, changed_seq, read_seq)
           VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (room_id, user_id) DO UPDATE
           SET state = 'joined', role = EXCLUDED.role, joined_at = now(), changed_seq = GREATEST(m.changed_seq, EXCLUDED.changed_seq),
               read_seq = GREATEST(m.read_seq, EXCLUDED.read_seq),
               muted_until = CASE WHEN EXCLUDED.role = 'owner' THEN NULL ELSE m.muted_until END"#,
        room.0,
        user.as_str(),
        role as Role,
        changed_seq,
        read_seq
    )
    .fetch_one(db)
    .await?)
}

/// Gives a member another role. An owner is not muted: nobody could lift it.
///
/// # Errors
/// Those of the database; `room_members_owner_key` is violated by a second owner.
pub async fn set_role(db: &mut PgConnection, room: RoomId, user: &UserId, role: Role, changed_seq: i64) -> Result<Standing> {
    Ok(change_standing!(
        r#"UPDATE room_members
           SET role = $3, changed_seq = $4, muted_until = CASE WHEN $3 = 'owner' THEN NULL ELSE muted_until END
           WHERE room_id = $1 AND user_id = $2"#,
        room.0,
        user.as_str(),
        role as Role,
        changed_seq
    )
    .fetch_one(db)
    .await?)
}

/// Silences a member until a time, or no longer.
///
/// # Errors
/// Those of the database.
pub async fn mute(db: &mut PgConnection, room: RoomId, user: &UserId, until: Option<DateTime<Utc>>, changed_seq: i64) -> Result<Standing> {
    Ok(change_standing!(
        r#"UPDATE room_members
           SET muted_until = $3, changed_seq = $4
           WHERE room_id = $1 AND user_id = $2"#,
        room.0,
        user.as_str(),
        until,
        changed_seq
    )
    .fetch_one(db)
    .await?)
}

/// Ends a membership; the row stays, and the number of what happened before, where this takes none (0).
///
/// # Errors
/// Those of the database.
pub async fn end(db: &mut PgConnection, room: RoomId, user: &UserId, changed_seq: i64) -> Result<Standing> {
    Ok(change_standing!(
        r#"UPDATE room_members
           SET state = 'left', ended_at = now(), changed_seq = GREATEST(changed_seq, $3)
           WHERE room_id = $1 AND user_id = $2"#,
        room.0,
        user.as_str(),
        changed_seq
    )
    .fetch_one(db)
    .await?)
}

/// Bans somebody, whether they are a member or were never there. The number of what happened before stays, where this takes none (0).
///
/// # Errors
/// Those of the database.
pub async fn ban(db: &mut PgConnection, room: RoomId, user: &UserId, by: &UserId, reason: Option<&str>, changed_seq: i64) -> Result<Standing> {
    Ok(change_standing!(
        r#"INSERT INTO room_members AS m (room_id, user_id, state, ended_at, banned_at, banned_by, ban_reason, changed_seq)
           VALUES ($1, $2, 'banned', now(), now(), $3, $4, $5)
           ON CONFLICT (room_id, user_id) DO UPDATE
           SET state = 'banned', ended_at = EXCLUDED.ended_at, banned_at = EXCLUDED.banned_at, banned_by = EXCLUDED.banned_by, ban_reason = EXCLUDED.ban_reason,
               changed_seq = GREATEST(m.changed_seq, EXCLUDED.changed_seq)"#,
        room.0,
        user.as_str(),
        by.as_str(),
        reason,
        changed_seq
    )
    .fetch_one(db)
    .await?)
}

/// Lifts a ban: its user may come in again, and is not in.
///
/// # Errors
/// Those of the database.
pub async fn unban(db: &mut PgConnection, room: RoomId, user: &UserId, changed_seq: i64) -> Result<Standing> {
    Ok(change_standing!(
        r#"UPDATE room_members
           SET state = 'left', banned_at = NULL, banned_by = NULL, ban_reason = NULL, changed_seq = $3
           WHERE room_id = $1 AND user_id = $2"#,
        room.0,
        user.as_str(),
        changed_seq
    )
    .fetch_one(db)
    .await?)
}

/// A page of a room's bans, by user id.
///
/// # Errors
/// Those of the database.
pub async fn bans(db: impl PgExecutor<'_>, room: RoomId, after: &str, limit: i64) -> Result<Vec<Ban>> {
    let rows = query!(
        r#"SELECT u.id AS "id: UserId", u.username, u.name, u.avatar_url, u.user_type AS "user_type: UserType",
               m.banned_by AS "banned_by: UserId", m.ban_reason, m.banned_at
           FROM room_members AS m
           JOIN users AS u ON u.id = m.user_id
           WHERE m.room_id = $1 AND m.state = 'banned' AND m.user_id > $2
           ORDER BY m.user_id
           LIMIT $3"#,
        room.0,
        after,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let user = User { id: row.id, username: row.username, name: row.name, avatar_url: row.avatar_url, user_type: row.user_type };
            Ban { user, by: row.banned_by, reason: row.ban_reason, banned_at: row.banned_at }
        })
        .collect())
}

/// Who becomes the owner when this one is it no longer: the other member who stands highest and, among equals, has been there
/// longest. Those who may not come in are the last choice, or none.
///
/// # Errors
/// Those of the database.
pub async fn heir(db: &mut PgConnection, room: RoomId, owner: &UserId, must_be_active: bool) -> Result<Option<UserId>> {
    Ok(query_scalar!(
        r#"SELECT m.user_id AS "user_id: UserId"
           FROM room_members AS m
           JOIN users AS u ON u.id = m.user_id
           WHERE m.room_id = $1 AND m.state = 'joined' AND m.user_id <> $2 AND (u.deactivated_at IS NULL OR NOT $3)
           ORDER BY u.deactivated_at IS NOT NULL, array_position(ARRAY['admin', 'moderator', 'member', 'guest'], m.role), m.joined_at, m.user_id
           LIMIT 1"#,
        room.0,
        owner.as_str(),
        must_be_active
    )
    .fetch_optional(db)
    .await?)
}

/// The rooms whose owners were deactivated within a time, and these owners.
///
/// # Errors
/// Those of the database.
pub async fn owners_deactivated_within(db: impl PgExecutor<'_>, within: Duration) -> Result<Vec<(RoomId, UserId)>> {
    let rows = query!(
        r#"SELECT m.room_id AS "room_id: RoomId", m.user_id AS "user_id: UserId"
           FROM users AS u
           CROSS JOIN LATERAL (
               SELECT *
               FROM room_members
               WHERE user_id BETWEEN u.id AND u.id AND role = 'owner' AND state = 'joined'
               ORDER BY user_id, room_id
           ) AS m
           WHERE u.deactivated_at > now() - make_interval(secs => $1)"#,
        within.as_secs_f64()
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.room_id, row.user_id)).collect())
}

/// Puts the first members into a new room.
///
/// # Errors
/// Those of the database.
pub async fn add_first_members(db: &mut PgConnection, room: RoomId, members: &[String], owner: Option<&UserId>) -> Result<()> {
    query!(
        "INSERT INTO room_members (room_id, user_id, role)
         SELECT $1, id, CASE WHEN id = $3 THEN 'owner' ELSE 'member' END
         FROM UNNEST($2::text[]) AS id
         ORDER BY id",
        room.0,
        members,
        owner.map(UserId::as_str)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A membership that ended; without a user all of the room's, with the room.
pub struct Ended {
    /// Where.
    pub room_id: RoomId,
    /// Whose.
    pub user_id: Option<UserId>,
}

/// Who is out, and which rooms are gone, since a time.
///
/// # Errors
/// Those of the database.
pub async fn ended_since(db: impl PgExecutor<'_>, since: DateTime<Utc>) -> Result<Vec<Ended>> {
    Ok(query_as!(
        Ended,
        r#"SELECT room_id AS "room_id!: RoomId", user_id AS "user_id: UserId" FROM room_members WHERE ended_at > $1 AND state <> 'joined'
           UNION ALL
           SELECT id, NULL FROM rooms WHERE deleted_at > $1"#,
        since
    )
    .fetch_all(db)
    .await?)
}

/// A page of the members of each of several rooms, by user id.
///
/// # Errors
/// Those of the database.
pub async fn members(db: impl PgExecutor<'_>, rooms: &[Uuid], after: &str, limit: i64) -> Result<Vec<(RoomId, MemberRow)>> {
    let rows = query!(
        r#"SELECT m.room_id AS "room_id!: RoomId", u.id AS "id!: UserId", u.username AS "username?", u.name AS "name?", u.avatar_url AS "avatar_url?",
               u.user_type AS "user_type!: UserType", m.role AS "role!: Role", m.joined_at AS "joined_at!", m.muted_until AS "muted_until?"
           FROM UNNEST($1::uuid[]) AS a (room_id)
           CROSS JOIN LATERAL (
               SELECT *
               FROM room_members
               WHERE room_id = a.room_id AND state = 'joined' AND user_id > $2
               ORDER BY user_id
               LIMIT $3
           ) AS m
           JOIN users AS u ON u.id = m.user_id
           ORDER BY m.room_id, m.user_id"#,
        rooms,
        after,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let user = User { id: row.id, username: row.username, name: row.name, avatar_url: row.avatar_url, user_type: row.user_type };
            (row.room_id, MemberRow { user, role: row.role, joined_at: row.joined_at, muted_until: row.muted_until })
        })
        .collect())
}

/// Which of these users are members.
///
/// # Errors
/// Those of the database.
pub async fn members_among(db: impl PgExecutor<'_>, room: RoomId, users: &[String]) -> Result<Vec<UserId>> {
    Ok(query_scalar!(
        r#"SELECT user_id AS "user_id: UserId" FROM room_members WHERE room_id = $1 AND user_id = ANY($2) AND state = 'joined'"#,
        room.0,
        users
    )
    .fetch_all(db)
    .await?)
}

/// How many of these users are members of each of these rooms; rooms without one are missing.
///
/// # Errors
/// Those of the database.
pub async fn count_among(db: impl PgExecutor<'_>, rooms: &[Uuid], users: &[String]) -> Result<Vec<(RoomId, i64)>> {
    let rows = query!(
        r#"SELECT m.room_id AS "room_id: RoomId", count(*) AS "count!"
           FROM room_members AS m
           WHERE m.room_id = ANY($1) AND m.user_id = ANY($2) AND m.state = 'joined'
           GROUP BY m.room_id"#,
        rooms,
        users
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.room_id, row.count)).collect())
}

/// The rooms that users are in, by the user's place.
///
/// Asked for as a range, in the order of the index by user, so that no other index serves: a plan that is made while there is next to
/// nobody would as soon read the whole index by room, and go on with that when there are thousands.
///
/// # Errors
/// Those of the database.
pub async fn rooms_of_each(db: impl PgExecutor<'_>, users: &[&UserId]) -> Result<Vec<(usize, RoomId)>> {
    let users: Vec<&str> = users.iter().map(|user| user.as_str()).collect();
    let rows = query!(
        r#"SELECT a.place AS "place!", m.room_id AS "id!: RoomId"
           FROM UNNEST($1::text[]) WITH ORDINALITY AS a (user_id, place)
           CROSS JOIN LATERAL (
               SELECT room_id FROM room_members WHERE user_id BETWEEN a.user_id AND a.user_id AND state = 'joined' ORDER BY user_id, room_id
           ) AS m"#,
        &users as &[&str]
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (place(row.place), row.id)).collect())
}

/// The same, and whether they have more members than so many.
///
/// # Errors
/// Those of the database.
pub async fn rooms_by_size(db: impl PgExecutor<'_>, users: &[&UserId], most: i32) -> Result<Vec<(usize, RoomId, bool)>> {
    let users: Vec<&str> = users.iter().map(|user| user.as_str()).collect();
    let rows = query!(
        r#"SELECT a.place AS "place!", r.id AS "id!: RoomId", r.member_count > $2 AS "is_large!"
           FROM UNNEST($1::text[]) WITH ORDINALITY AS a (user_id, place)
           CROSS JOIN LATERAL (
               SELECT room_id FROM room_members WHERE user_id BETWEEN a.user_id AND a.user_id AND state = 'joined' ORDER BY user_id, room_id
           ) AS m
           CROSS JOIN LATERAL (SELECT id, member_count FROM rooms WHERE id = m.room_id LIMIT 1) AS r"#,
        &users as &[&str],
        most
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (place(row.place), row.id, row.is_large)).collect())
}
