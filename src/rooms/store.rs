//! SQL of rooms, and of what somebody sees of them.

use super::{Membership, Role, Room, RoomId, RoomRef, RoomType, Seat, members::State};
use crate::{error::Result, users::UserId};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, query, query_as, query_scalar};
use uuid::Uuid;

/// What a new room is made of.
pub struct NewRoomRow<'a> {
    /// Its id.
    pub id: RoomId,
    /// Its readable name.
    pub slug: Option<&'a str>,
    /// Who may come in.
    pub kind: RoomType,
    /// The name shown.
    pub name: Option<&'a str>,
    /// Who makes it.
    pub created_by: &'a UserId,
    /// How many members it begins with.
    pub member_count: i32,
}

/// The room's number and size after a change.
pub struct Count {
    /// The last number.
    pub last_seq: i64,
    /// How many are in the room.
    pub member_count: i32,
}

/// Where a page of rooms begins: after this time and id.
pub type Position = (DateTime<Utc>, RoomId);

/// Makes the default room unless it is there, and returns its id.
///
/// # Errors
/// Those of the database.
pub async fn ensure_default_room(db: &mut PgConnection, slug: &str) -> Result<RoomId> {
    query!(
        "INSERT INTO rooms (id, slug, type, name)
         VALUES ($1, $2, 'public', $2)
         ON CONFLICT (slug) DO NOTHING",
        Uuid::now_v7(),
        slug
    )
    .execute(&mut *db)
    .await?;
    Ok(query_scalar!(r#"SELECT id AS "id: RoomId" FROM rooms WHERE slug = $1"#, slug).fetch_one(db).await?)
}

/// Brings a user into the default room at first sight, without a number and unannounced. Who left it stays away.
///
/// # Errors
/// Those of the database.
pub async fn enter_default_room(db: &mut PgConnection, room: RoomId, user: &UserId) -> Result<()> {
    query!(
        "WITH entered AS (
             INSERT INTO room_members (room_id, user_id, read_seq)
             SELECT id, $2, last_seq
             FROM rooms
             WHERE id = $1 AND deleted_at IS NULL
             ON CONFLICT (room_id, user_id) DO NOTHING
             RETURNING room_id
         )
         UPDATE rooms
         SET member_count = member_count + 1
         FROM entered
         WHERE rooms.id = entered.room_id",
        room.0,
        user.as_str()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A room's row with the asker's membership, if there is one.
struct SeatRow {
    /// Which of several askers, from 1.
    place: i64,
    id: RoomId,
    slug: Option<String>,
    kind: RoomType,
    name: Option<String>,
    topic: Option<String>,
    created_by: Option<UserId>,
    created_at: DateTime<Utc>,
    archived_at: Option<DateTime<Utc>>,
    slow_mode: i32,
    member_count: i32,
    last_seq: i64,
    last_message_seq: Option<i64>,
    last_activity_at: DateTime<Utc>,
    listed_at: DateTime<Utc>,
    state: Option<State>,
    role: Option<Role>,
    joined_at: Option<DateTime<Utc>>,
    muted_until: Option<DateTime<Utc>>,
    pinned: Option<bool>,
    read_seq: Option<i64>,
    delivered_seq: Option<i64>,
}

/// A place in a list, from what `WITH ORDINALITY` counts from 1.
pub(super) fn place(ordinality: i64) -> usize {
    usize::try_from(ordinality).unwrap_or_default().saturating_sub(1)
}

impl SeatRow {
    fn with_place(self) -> (usize, Seat) {
        (place(self.place), self.into())
    }
}

impl From<SeatRow> for Seat {
    fn from(row: SeatRow) -> Self {
        let membership = row.role.zip(row.joined_at).filter(|_| row.state == Some(State::Joined));
        Self {
            is_banned: row.state == Some(State::Banned),
            membership: membership.map(|(role, joined_at)| Membership {
                role,
                joined_at,
                muted_until: row.muted_until,
                pinned: row.pinned.unwrap_or_default(),
                read_seq: row.read_seq.unwrap_or_default(),
                delivered_seq: row.delivered_seq.unwrap_or_default(),
            }),
            room: Room {
                id: row.id,
                slug: row.slug,
                kind: row.kind,
                name: row.name,
                topic: row.topic,
                created_by: row.created_by,
                created_at: row.created_at,
                archived_at: row.archived_at,
                slow_mode: row.slow_mode,
                member_count: row.member_count,
                last_seq: row.last_seq,
                last_message_seq: row.last_message_seq,
                last_activity_at: row.last_activity_at,
                listed_at: row.listed_at,
                last_message: None,
            },
        }
    }
}

/// Everything that a [`Seat`] shows, from wherever the rest of the statement finds the room `r` and the membership `m`; where
/// several ask, each has a `place`.
macro_rules! select_seats {
    ($from:tt, $($argument:expr),+ $(,)?) => {
        select_seats!("1::bigint" => $from, $($argument),+)
    };
    ($place:tt => $from:tt, $($argument:expr),+ $(,)?) => {
        query_as!(
            SeatRow,
            r#"SELECT "# + $place + r#" AS "place!", r.id AS "id!: RoomId", r.slug AS "slug?", r.type AS "kind!: RoomType", r.name AS "name?", r.topic AS "topic?",
                   r.created_by AS "created_by?: UserId", r.created_at AS "created_at!", r.archived_at AS "archived_at?",
                   COALESCE((SELECT slow_rooms.seconds FROM slow_rooms WHERE slow_rooms.room_id = r.id), 0) AS "slow_mode!",
                   r.member_count AS "member_count!", r.last_seq AS "last_seq!", r.last_message_seq AS "last_message_seq?",
                   r.last_activity_at AS "last_activity_at!", r.listed_at AS "listed_at!", m.state AS "state?: State", m.role AS "role?: Role",
                   m.joined_at AS "joined_at?", m.muted_until AS "muted_until?", m.pinned AS "pinned?", m.read_seq AS "read_seq?",
                   GREATEST(m.delivered_seq, m.read_seq) AS "delivered_seq?"
               "# + $from,
            $($argument),+
        )
    };
}

/// A room with the asker's membership: rooms that the asker is in, and public ones.
///
/// # Errors
/// Those of the database.
pub async fn find(db: impl PgExecutor<'_>, asker: &UserId, room: &RoomRef) -> Result<Option<Seat>> {
    let (id, slug) = match room {
        RoomRef::Id(id) => (Some(id.0), None),
        RoomRef::Slug(slug) => (None, Some(slug.as_str())),
    };
    let row = select_seats!(
        r#"FROM rooms AS r
           LEFT JOIN room_members AS m ON m.room_id = r.id AND m.user_id = $3 AND m.state <> 'left'
           WHERE r.id = COALESCE($1, (SELECT id FROM rooms WHERE slug = $2))
             AND r.deleted_at IS NULL
             AND (m.state = 'joined' OR r.type = 'public')"#,
        id,
        slug,
        asker.as_str()
    );
    Ok(row.fetch_optional(db).await?.map(Seat::from))
}

/// For each of several askers a room with their membership, as [`find`] does: by the asker's place. Each is one look-up, whatever a plan
/// that was made on empty tables would rather read.
///
/// # Errors
/// Those of the database.
pub async fn find_each(db: impl PgExecutor<'_>, asked: &[(&UserId, &RoomRef)]) -> Result<Vec<(usize, Seat)>> {
    let users: Vec<&str> = asked.iter().map(|(user, _)| user.as_str()).collect();
    let (ids, slugs): (Vec<Option<Uuid>>, Vec<Option<&str>>) = asked
        .iter()
        .map(|(_, room)| match room {
            RoomRef::Id(id) => (Some(id.0), None),
            RoomRef::Slug(slug) => (None, Some(slug.as_str())),
        })
        .unzip();
    let rows = select_seats!(
        "a.place" =>
        r#"FROM UNNEST($1::text[], $2::uuid[], $3::text[]) WITH ORDINALITY AS a (user_id, room_id, slug, place)
           CROSS JOIN LATERAL (
               SELECT *
               FROM rooms
               WHERE id = COALESCE(a.room_id, (SELECT id FROM rooms WHERE slug = a.slug)) AND deleted_at IS NULL
               LIMIT 1
           ) AS r
           LEFT JOIN LATERAL (
               SELECT * FROM room_members WHERE room_id = r.id AND user_id = a.user_id AND state <> 'left' LIMIT 1
           ) AS m ON true
           WHERE m.state = 'joined' OR r.type = 'public'"#,
        &users as &[&str],
        &ids as &[Option<Uuid>],
        &slugs as &[Option<&str>]
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(SeatRow::with_place).collect())
}

/// The rooms that several users are in, by the user's place, each user's newest activity first, at most so many for each. They are looked
/// up as by [`rooms_of_each`](super::members::store::rooms_of_each).
///
/// # Errors
/// Those of the database.
pub async fn seats_of_each(db: impl PgExecutor<'_>, users: &[&UserId], limit: i64) -> Result<Vec<(usize, Seat)>> {
    let users: Vec<&str> = users.iter().map(|user| user.as_str()).collect();
    let rows = select_seats!(
        "a.place" =>
        r#"FROM UNNEST($1::text[]) WITH ORDINALITY AS a (user_id, place)
           CROSS JOIN LATERAL (
               SELECT m.*
               FROM (
                   SELECT * FROM room_members WHERE user_id BETWEEN a.user_id AND a.user_id AND state = 'joined' ORDER BY user_id, room_id
               ) AS m
               CROSS JOIN LATERAL (SELECT * FROM rooms WHERE id = m.room_id LIMIT 1) AS r
               WHERE r.deleted_at IS NULL
               ORDER BY r.last_activity_at DESC, r.id DESC
               LIMIT $2
           ) AS m
           JOIN rooms AS r ON r.id = m.room_id
           ORDER BY a.place, r.last_activity_at DESC, r.id DESC"#,
        &users as &[&str],
        limit
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(SeatRow::with_place).collect())
}

/// A page of the rooms that a user is in, newest activity first.
///
/// # Errors
/// Those of the database.
pub async fn seats_of(db: impl PgExecutor<'_>, user: &UserId, after: Option<Position>, limit: i64) -> Result<Vec<Seat>> {
    let rows = select_seats!(
        r#"FROM room_members AS m
           JOIN rooms AS r ON r.id = m.room_id
           WHERE m.user_id = $1 AND m.state = 'joined' AND r.deleted_at IS NULL
             AND ($2::timestamptz IS NULL OR (r.last_activity_at, r.id) < ($2, $3::uuid))
           ORDER BY r.last_activity_at DESC, r.id DESC
           LIMIT $4"#,
        user.as_str(),
        after.map(|(time, _)| time),
        after.map(|(_, id)| id.0),
        limit
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(Seat::from).collect())
}

/// A page of all public rooms, newest activity first, with the asker's memberships. (The limit of one row lets the page look
/// each of them up by its key, whatever else Postgres expects.)
///
/// # Errors
/// Those of the database.
pub async fn public_seats(db: impl PgExecutor<'_>, asker: &UserId, after: Option<Position>, limit: i64) -> Result<Vec<Seat>> {
    let (time, id) = after.map_or((DateTime::<Utc>::MAX_UTC, Uuid::max()), |(time, id)| (time, id.0));
    let rows = select_seats!(
        r#"FROM rooms AS r
           LEFT JOIN LATERAL (SELECT * FROM room_members WHERE room_id = r.id AND user_id = $1 AND state <> 'left' LIMIT 1) AS m ON true
           WHERE r.type = 'public' AND r.deleted_at IS NULL AND (r.listed_at, r.id) < ($2, $3)
           ORDER BY r.listed_at DESC, r.id DESC
           LIMIT $4"#,
        asker.as_str(),
        time,
        id,
        limit
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(Seat::from).collect())
}

/// Rooms by id, for everybody in them.
///
/// # Errors
/// Those of the database.
pub async fn with_ids(db: impl PgExecutor<'_>, ids: &[Uuid]) -> Result<Vec<Room>> {
    let rows = select_seats!(
        r#"FROM rooms AS r
           LEFT JOIN room_members AS m ON false
           WHERE r.id = ANY($1) AND r.deleted_at IS NULL"#,
        ids
    );
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| Seat::from(row).room).collect())
}

/// The id that a slug stands for.
///
/// # Errors
/// Those of the database.
pub async fn id_of_slug(db: impl PgExecutor<'_>, slug: &str) -> Result<Option<RoomId>> {
    Ok(query_scalar!(r#"SELECT id AS "id: RoomId" FROM rooms WHERE slug = $1"#, slug).fetch_optional(db).await?)
}

/// Whether there is, or was, a room of this id.
///
/// # Errors
/// Those of the database.
pub async fn exists(db: impl PgExecutor<'_>, room: RoomId) -> Result<bool> {
    Ok(query_scalar!(r#"SELECT EXISTS (SELECT FROM rooms WHERE id = $1) AS "exists!""#, room.0).fetch_one(db).await?)
}

/// Makes a room; says whether it is new.
///
/// # Errors
/// Those of the database; `rooms_slug_key` is violated when the slug is taken.
pub async fn make(db: &mut PgConnection, new: &NewRoomRow<'_>) -> Result<bool, sqlx::Error> {
    let done = query!(
        "INSERT INTO rooms (id, slug, type, name, created_by, member_count)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO NOTHING",
        new.id.0,
        new.slug,
        new.kind as RoomType,
        new.name,
        new.created_by.as_str(),
        new.member_count
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Holds a room's row until the end of the transaction.
///
/// # Errors
/// Those of the database.
pub async fn lock(db: &mut PgConnection, room: RoomId) -> Result<()> {
    query!("SELECT id FROM rooms WHERE id = $1 FOR NO KEY UPDATE", room.0).fetch_optional(db).await?;
    Ok(())
}

/// Takes the next number of a room, or none, and counts who comes and goes.
///
/// # Errors
/// Those of the database.
pub async fn count(db: &mut PgConnection, room: RoomId, numbers: i64, members: i32) -> Result<Count> {
    Ok(query_as!(
        Count,
        "UPDATE rooms
         SET last_seq = last_seq + $2, member_count = member_count + $3
         WHERE id = $1
         RETURNING last_seq, member_count",
        room.0,
        numbers,
        members
    )
    .fetch_one(db)
    .await?)
}

/// Changes what is `Some`, under this number of the room.
///
/// # Errors
/// Those of the database.
pub async fn update(
    db: &mut PgConnection,
    room: RoomId,
    name: Option<&str>,
    topic: Option<&str>,
    archived: Option<bool>,
    changed_seq: i64,
) -> Result<()> {
    query!(
        "UPDATE rooms
         SET name = COALESCE($2, name),
             topic = COALESCE($3, topic),
             archived_at = CASE $4::boolean WHEN true THEN COALESCE(archived_at, now()) WHEN false THEN NULL ELSE archived_at END,
             changed_seq = $5
         WHERE id = $1",
        room.0,
        name,
        topic,
        archived,
        changed_seq
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes a room from everybody. Its slug is free again; its messages stay until they are removed by retention.
///
/// # Errors
/// Those of the database.
pub async fn delete(db: &mut PgConnection, room: RoomId, changed_seq: i64) -> Result<()> {
    query!("UPDATE rooms SET deleted_at = now(), slug = NULL, member_count = 0 WHERE id = $1", room.0).execute(&mut *db).await?;
    query!("UPDATE room_members SET state = 'left', changed_seq = $2 WHERE room_id = $1 AND state = 'joined'", room.0, changed_seq)
        .execute(db)
        .await?;
    Ok(())
}
