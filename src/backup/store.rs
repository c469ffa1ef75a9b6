//! SQL of backups.

use sqlx::{AssertSqlSafe, PgConnection, query_scalar};

/// The snapshot of the transaction that is under way, for others to see the same.
///
/// # Errors
/// Those of the database.
pub(super) async fn snapshot(db: &mut PgConnection) -> Result<String, sqlx::Error> {
    query_scalar!(r#"SELECT pg_export_snapshot() AS "snapshot!""#).fetch_one(db).await
}

/// The version of the database's server, as in 150018.
///
/// # Errors
/// Those of the database.
pub(super) async fn server_version(db: &mut PgConnection) -> Result<i32, sqlx::Error> {
    query_scalar!(r#"SELECT current_setting('server_version_num')::integer AS "version!""#).fetch_one(db).await
}

/// The names of all tables whose rows are part of the history.
///
/// # Errors
/// Those of the database.
pub(super) async fn tables(db: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    query_scalar!(
        r#"SELECT relname::text AS "name!"
           FROM pg_class
           WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relpersistence = 'p'
           ORDER BY relname"#
    )
    .fetch_all(db)
    .await
}

/// How many rows a table has.
///
/// # Errors
/// Those of the database.
pub(super) async fn rows(db: &mut PgConnection, table: &str) -> Result<i64, sqlx::Error> {
    let count = format!("SELECT count(*) FROM public.\"{}\"", table.replace('"', "\"\""));
    sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(db).await
}

/// The names of some of the tables, views and the like that somebody made in this database.
///
/// # Errors
/// Those of the database.
pub(super) async fn contents(db: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    query_scalar!(
        r#"SELECT c.oid::regclass::text AS "name!"
           FROM pg_class AS c
           JOIN pg_namespace AS n ON n.oid = c.relnamespace
           WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
           ORDER BY c.relname
           LIMIT 3"#
    )
    .fetch_all(db)
    .await
}
