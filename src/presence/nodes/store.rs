//! SQL of nodes and their connections.

use super::Row;
use crate::{error::Result, realtime::ConnectionId, users::UserId};
use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, query, query_as, query_scalar};
use std::time::Duration;
use uuid::Uuid;

/// Gives a node a lease. One that has a row keeps it as it is.
///
/// # Errors
/// Those of the database.
pub async fn register(db: impl PgExecutor<'_>, node: Uuid, started_at: DateTime<Utc>, lease: Duration) -> Result<()> {
    query!(
        "INSERT INTO nodes (id, started_at, lease_until)
         VALUES ($1, $2, now() + make_interval(secs => $3))
         ON CONFLICT (id) DO NOTHING",
        node,
        started_at,
        lease.as_secs_f64()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// One writing of a node.
pub struct Writing<'a> {
    /// Who writes.
    pub node: Uuid,
    /// Its number.
    pub version: i64,
    /// Up to which number what ended is removed.
    pub swept: i64,
    /// How long the lease lasts from now on.
    pub lease: Duration,
    /// What became of connections: each once.
    pub rows: &'a [Row],
}

/// Renews a node's lease and writes what became of its connections, whatever was written of them before. Says whether the lease
/// was over; nothing for a node that has no row any more, of which nothing is written.
///
/// # Errors
/// Those of the database.
pub async fn write(db: impl PgExecutor<'_>, writing: &Writing<'_>) -> Result<Option<bool>> {
    let rows = writing.rows;
    let ids: Vec<ConnectionId> = rows.iter().map(|row| row.id).collect();
    let users: Vec<&str> = rows.iter().map(|row| row.user.as_str()).collect();
    let since: Vec<DateTime<Utc>> = rows.iter().map(|row| row.since).collect();
    let shown: Vec<bool> = rows.iter().map(|row| row.shown).collect();
    let ended: Vec<Option<DateTime<Utc>>> = rows.iter().map(|row| row.ended_at).collect();
    Ok(query_scalar!(
        r#"WITH renewed AS (
               UPDATE nodes AS n
               SET version = $2, swept_version = $3, renewed_at = now(), lease_until = now() + make_interval(secs => $4)
               FROM nodes AS before
               WHERE n.id = $1 AND before.id = n.id
               RETURNING n.id, before.lease_until <= now() AS was_over
           ), written AS (
               INSERT INTO connections (id, node_id, user_id, since, shown, ended_at, version)
               SELECT r.id, n.id, r.user_id, r.since, r.shown, r.ended_at, $2
               FROM renewed AS n, UNNEST($5::uuid[], $6::text[], $7::timestamptz[], $8::boolean[], $9::timestamptz[])
                   AS r (id, user_id, since, shown, ended_at)
               ON CONFLICT (id) DO UPDATE
               SET shown = EXCLUDED.shown, ended_at = EXCLUDED.ended_at, version = EXCLUDED.version
           ), swept AS (
               DELETE FROM connections AS c
               USING renewed AS n
               WHERE c.node_id = n.id AND c.version <= $3 AND c.ended_at IS NOT NULL
           )
           SELECT was_over AS "was_over!" FROM renewed"#,
        writing.node,
        writing.version,
        writing.swept,
        writing.lease.as_secs_f64(),
        &ids,
        &users as &[&str],
        &since,
        &shown,
        &ended as &[Option<DateTime<Utc>>]
    )
    .fetch_optional(db)
    .await?)
}

/// Ends a node's lease: its connections are gone, and their users were last seen now.
///
/// # Errors
/// Those of the database.
pub async fn end_lease(db: impl PgExecutor<'_>, node: Uuid) -> Result<()> {
    query!("UPDATE nodes SET renewed_at = now(), lease_until = now() WHERE id = $1 AND lease_until > now()", node).execute(db).await?;
    Ok(())
}

/// A node as others see it.
pub struct Seen {
    /// Its id.
    pub id: Uuid,
    /// The number of its last writing.
    pub version: i64,
    /// When it last renewed its lease.
    pub renewed_at: DateTime<Utc>,
    /// For how many more milliseconds it has its lease; negative is since when it has none.
    pub left_ms: i64,
}

/// All nodes: as many as there are servers.
///
/// # Errors
/// Those of the database.
pub async fn nodes(db: impl PgExecutor<'_>) -> Result<Vec<Seen>> {
    Ok(query_as!(
        Seen,
        r#"SELECT id, version, renewed_at, floor(extract(epoch FROM lease_until - now()) * 1000)::bigint AS "left_ms!"
           FROM nodes"#
    )
    .fetch_all(db)
    .await?)
}

/// What a node wrote after one of its writings.
pub struct News {
    /// The number of its last writing.
    pub version: i64,
    /// Up to which number what ended was removed.
    pub swept: i64,
    /// What it wrote.
    pub rows: Vec<Row>,
}

/// What a node wrote after one of its writings; nothing if it has no row any more.
///
/// # Errors
/// Those of the database.
pub async fn news_of(db: impl PgExecutor<'_>, node: Uuid, after: i64) -> Result<Option<News>> {
    let found = query!(
        r#"SELECT n.version, n.swept_version, c.id AS "id?", c.user_id AS "user_id?: UserId", c.since AS "since?", c.shown AS "shown?", c.ended_at
           FROM nodes AS n
           LEFT JOIN connections AS c ON c.node_id = n.id AND c.version > $2
           WHERE n.id = $1"#,
        node,
        after
    )
    .fetch_all(db)
    .await?;
    let Some(first) = found.first() else { return Ok(None) };
    let (version, swept) = (first.version, first.swept_version);
    let row = |(id, user, since, shown, ended_at)| Some(Row { id: id?, user: user?, since: since?, shown: shown?, ended_at });
    let rows = found.into_iter().filter_map(|found| row((found.id, found.user_id, found.since, found.shown, found.ended_at))).collect();
    Ok(Some(News { version, swept, rows }))
}

/// Removes nodes whose lease was over so long ago, with their connections, and writes that the users who were here then were last
/// seen when the lease was last renewed. Says how many nodes there were. A node that writes just now is not among them: it holds
/// its row, or has renewed its lease, so that no connection is left behind.
///
/// # Errors
/// Those of the database.
pub async fn remove_over(db: impl PgExecutor<'_>, ago: Duration) -> Result<i64> {
    Ok(query_scalar!(
        r#"WITH removed AS (
               DELETE FROM nodes
               WHERE id IN (SELECT id FROM nodes WHERE lease_until <= now() - make_interval(secs => $1) FOR UPDATE SKIP LOCKED)
               RETURNING id, renewed_at
           ), gone AS (
               DELETE FROM connections
               WHERE node_id = ANY(ARRAY(SELECT id FROM removed))
               RETURNING node_id, user_id, shown AND ended_at IS NULL AS was_here
           ), written AS (
               INSERT INTO last_seen AS l (user_id, last_seen_at)
               SELECT gone.user_id, max(removed.renewed_at)
               FROM gone
               JOIN removed ON removed.id = gone.node_id
               WHERE gone.was_here AND (SELECT erased_at IS NULL FROM users WHERE users.id = gone.user_id)
               GROUP BY gone.user_id
               ORDER BY gone.user_id
               ON CONFLICT (user_id) DO UPDATE
               SET last_seen_at = GREATEST(l.last_seen_at, EXCLUDED.last_seen_at)
           )
           SELECT count(*) AS "count!" FROM removed"#,
        ago.as_secs_f64()
    )
    .fetch_one(db)
    .await?)
}
