//! The database: connecting, migrating, and refusing one that could lose what was acknowledged.

use crate::{
    config::Secret,
    error::{Error, Result},
    metrics,
    pool::{Pool, Transaction},
    time::every,
    trace::{TRACE, TraceId},
};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgExecutor,
    migrate::{Migrate, MigrateError, Migrator},
    postgres::PgConnectOptions,
    query, query_scalar, raw_sql,
};
use std::{borrow::Cow, collections::HashSet, str::FromStr, time::Duration};
use tracing::log::LevelFilter;
use uuid::Uuid;

/// The files of `migrations/`, as sqlx-cli reads them too.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// What the connections of requests call themselves.
const APPLICATION: &str = "ires-chat";
/// How often it is looked whether the database is still the same.
const LOOK: Duration = Duration::from_secs(1);
/// How much longer than the last look a look goes back.
const OVERLAP: TimeDelta = TimeDelta::seconds(10);
/// Most bytes of a connection's name: Postgres keeps no more of it (`NAMEDATALEN`).
const MOST_NAME: usize = 63;

/// The oldest Postgres that this is tested with.
const OLDEST_POSTGRES: i32 = 150_000;

/// What is said of a migration that only the database knows.
pub const UNKNOWN: &str = "unknown to this version of ires-chat";

/// One migration, and whether the database has it.
pub struct MigrationState {
    /// The number in front of its file's name.
    pub version: i64,
    /// The rest of the name.
    pub description: String,
    /// Whether the database has it.
    pub applied: bool,
    /// Whether the database has another text under this number.
    pub differs: bool,
}

/// How to connect, for the pool, the journal and the commands alike.
///
/// # Errors
/// One line about the URL, without what is in it.
pub fn options(url: &Secret, timeout: Duration) -> Result<PgConnectOptions, String> {
    let url = Some(url.reveal()).filter(|url| url.starts_with("postgres://") || url.starts_with("postgresql://"));
    let options = url.and_then(|url| PgConnectOptions::from_str(url).ok());
    let options = options.ok_or_else(|| "DATABASE_URL is not a URL such as postgres://user:password@host/database".to_owned())?;
    let options = options
        .application_name(APPLICATION)
        .options([("statement_timeout", timeout.as_millis().to_string()), ("idle_in_transaction_session_timeout", "60000".to_owned())])
        // Whoever waits for a row gives up before its statement would, and before those who wait for the answer.
        .options([("lock_timeout", (timeout / 2).as_millis().to_string())])
        // Every statement is prepared, and has one plan for all arguments, which the tests look at. Left to itself Postgres plans
        // small batches anew each time, at twice the cost of running them.
        .options([("plan_cache_mode", "force_generic_plan")])
        // What is read often is in memory, and disks are no longer what Postgres' default of 4 was made for: with it one plan for
        // all arguments scans and hashes whole tables of thousands of rows rather than look up three in an index.
        .options([("random_page_cost", "1.1")])
        // A server that vanished without a word keeps its locks for a minute, and not for the two hours of Linux.
        .options([("tcp_keepalives_idle", "30"), ("tcp_keepalives_interval", "10"), ("tcp_keepalives_count", "3")]);
    Ok(options.log_statements(LevelFilter::Off).log_slow_statements(LevelFilter::Off, Duration::MAX))
}

/// The same for connections that live as long as the server: their plans are made when it starts, perhaps on empty tables, and kept
/// when those have grown. They must not read whole tables. Where nothing else is left (a table of two servers has to be read whole), that
/// makes a plan look so dear that Postgres would compile it anew at each use, which costs milliseconds: hence no JIT. What takes as
/// long as `slow` is logged.
pub fn lasting(options: PgConnectOptions, slow: Duration) -> PgConnectOptions {
    options.options([("enable_seqscan", "off"), ("jit", "off")]).log_slow_statements(LevelFilter::Warn, slow)
}

/// The database's clock, by which all that is stored has its time: that of a server may be wrong.
///
/// # Errors
/// Those of the database.
pub async fn now(db: impl PgExecutor<'_>) -> Result<DateTime<Utc>> {
    Ok(query_scalar!(r#"SELECT now() AS "now!""#).fetch_one(db).await?)
}

/// From when on to look for what others wrote since the last look, if there was one, and from when on the next time: by this clock, and with
/// an overlap, for what is being committed just now, and for those who are coming in just now.
///
/// # Errors
/// Those of the database.
pub async fn look_since(db: &Pool, last: Option<DateTime<Utc>>) -> Result<(DateTime<Utc>, DateTime<Utc>)> {
    let next = now(db).await? - OVERLAP;
    Ok((last.unwrap_or(next), next))
}

/// Begins a transaction with this statement. As long as it lasts, its connection is named after the trace that it serves, where Postgres shows
/// who waits for whom; that takes no round trip of its own.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn begin(db: &Pool, statement: &'static str) -> Result<Transaction> {
    let _beginning = metrics::Held::one_more(&metrics::BEGINNING);
    let statement = TRACE.try_with(|trace| Cow::Owned(named_after(trace, statement))).unwrap_or(Cow::Borrowed(statement));
    Ok(db.begin(&statement).await?)
}

/// The name of a trace has nothing in it that SQL would take for its own: see [`TraceId::parse`].
fn named_after(trace: &TraceId, statement: &str) -> String {
    let mut name = format!("{APPLICATION} {trace}");
    name.truncate(MOST_NAME);
    format!("{statement}; SET LOCAL application_name = '{name}'")
}

/// Connects once, and checks that this is a Postgres that keeps what it confirms.
///
/// # Errors
/// One line for the operator.
pub async fn inspect(options: &PgConnectOptions, allow_unsafe: bool) -> Result<PgConnection, String> {
    let mut db = PgConnection::connect_with(options).await.map_err(|error| format!("the database cannot be reached: {error}"))?;
    let settings = query!(
        r#"SELECT current_setting('server_version_num')::integer AS "version!", current_setting('fsync') AS "fsync!",
               current_setting('full_page_writes') AS "full_page_writes!", current_setting('synchronous_commit') AS "synchronous_commit!""#
    )
    .fetch_one(&mut db)
    .await
    .map_err(|error| format!("the database cannot be read: {error}"))?;
    if settings.version < OLDEST_POSTGRES {
        return Err(format!("Postgres 15 or newer is needed; this one says {}", settings.version));
    }
    let lossy = [("fsync", &settings.fsync), ("full_page_writes", &settings.full_page_writes), ("synchronous_commit", &settings.synchronous_commit)];
    let off: Vec<&str> = lossy.iter().filter(|(_, value)| *value == "off").map(|(name, _)| *name).collect();
    if !off.is_empty() && !allow_unsafe {
        return Err(format!(
            "this database would lose acknowledged messages in a crash: {} is off (set CHAT_ALLOW_UNSAFE_DATABASE=true to run on it all the same)",
            off.join(", ")
        ));
    }
    Ok(db)
}

/// Applies what is missing, under sqlx's lock, so that several servers may start at once.
///
/// # Errors
/// Those of sqlx: a migration that fails, or one that was changed after it was applied.
pub async fn migrate(db: &mut PgConnection) -> Result<(), MigrateError> {
    be_patient(&mut *db).await?;
    MIGRATIONS.run(db).await
}

/// Lets a connection take its time: a long migration, or a look at everything, is not a slow request.
///
/// # Errors
/// Those of the database.
pub async fn be_patient(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    query!("SET statement_timeout = 0").execute(&mut *db).await?;
    query!("SET lock_timeout = 0").execute(&mut *db).await?;
    query!("SET idle_in_transaction_session_timeout = 0").execute(&mut *db).await?;
    Ok(())
}

/// The advisory lock of the server that does the [upkeep](crate::upkeep): the first bytes of its name.
const UPKEEP: i64 = i64::from_be_bytes(*b"ireschat");

/// Takes that lock, until the connection ends, unless another server has it; says whether it did.
///
/// # Errors
/// Those of the database.
pub async fn take_upkeep_lock(db: &mut PgConnection) -> Result<bool> {
    Ok(query_scalar!(r#"SELECT pg_try_advisory_lock($1::bigint) AS "taken!""#, UPKEEP).fetch_one(db).await?)
}

/// Whether a server that does the upkeep runs on this database.
///
/// # Errors
/// Those of the database.
pub async fn is_served(db: &Pool) -> Result<bool> {
    let held = query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM pg_locks
               WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                   AND classid::bigint = $1::bigint >> 32 AND objid::bigint = $1::bigint & 4294967295
           ) AS "held!""#,
        UPKEEP
    );
    Ok(held.fetch_one(db).await?)
}

/// Gives a role what a running server needs and no more: no DDL, no TRUNCATE, and no DELETE where rows stay for ever. What later
/// migrations of this role make is readable and writable, too, until this is run again. Says what it ran.
///
/// # Errors
/// `VALIDATION_ERROR` for the role that asks, and for one that does not exist; those of the database.
pub async fn grant(db: &mut PgConnection, role: &str) -> Result<Vec<String>> {
    if query_scalar!(r#"SELECT current_user = $1 AS "own!""#, role).fetch_one(&mut *db).await? {
        return Err(Error::field("role", "invalid", "The role that owns the tables needs all rights: name another."));
    }
    let statements = query_scalar!(
        r#"SELECT statement AS "statement!"
           FROM (
               SELECT 1 AS place, '' AS name, format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', $1::text) AS statement
               UNION ALL SELECT 2, '', format('REVOKE CREATE ON SCHEMA public FROM %I, PUBLIC', $1)
               UNION ALL SELECT 3, '', format('GRANT USAGE ON SCHEMA public TO %I', $1)
               UNION ALL SELECT 4, '', format('ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', $1)
               UNION ALL
               SELECT 5, c.relname::text, format(
                   'GRANT %s ON public.%I TO %I',
                   CASE
                       WHEN c.relkind = 'v' OR c.relname IN ('_sqlx_migrations', 'database_identity') THEN 'SELECT'
                       WHEN c.relname IN ('users', 'rooms', 'room_members', 'messages', 'erasures') THEN 'SELECT, INSERT, UPDATE'
                       ELSE 'SELECT, INSERT, UPDATE, DELETE'
                   END,
                   c.relname, $1
               )
               FROM pg_class AS c
               WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
           ) AS statements
           ORDER BY place, name"#,
        role
    )
    .fetch_all(&mut *db)
    .await?;
    let mut tx = db.begin().await?;
    for statement in &statements {
        raw_sql(AssertSqlSafe(statement.as_str())).execute(&mut *tx).await.map_err(|error| match error.as_database_error() {
            // undefined_object
            Some(fault) if fault.code().as_deref() == Some("42704") => {
                Error::field("role", "invalid", "There is no such role: make it first, as with CREATE ROLE … LOGIN.")
            }
            _ => error.into(),
        })?;
    }
    tx.commit().await?;
    Ok(statements)
}

/// All migrations, those of this program and those that only the database knows.
///
/// # Errors
/// Those of the database.
pub async fn migration_states(db: &mut PgConnection) -> Result<Vec<MigrationState>, MigrateError> {
    let table = &MIGRATIONS.table_name;
    let exists = query_scalar!(r#"SELECT to_regclass($1) IS NOT NULL AS "exists!""#, table.as_ref()).fetch_one(&mut *db).await?;
    let applied = if exists { db.list_applied_migrations(table).await? } else { Vec::new() };
    let mut states: Vec<MigrationState> = MIGRATIONS
        .iter()
        .map(|migration| {
            let found = applied.iter().find(|found| found.version == migration.version);
            MigrationState {
                version: migration.version,
                description: migration.description.to_string(),
                applied: found.is_some(),
                differs: found.is_some_and(|found| found.checksum != migration.checksum),
            }
        })
        .collect();
    let known: HashSet<i64> = states.iter().map(|state| state.version).collect();
    states.extend(applied.iter().filter(|found| !known.contains(&found.version)).map(|found| MigrationState {
        version: found.version,
        description: UNKNOWN.to_owned(),
        applied: true,
        differs: false,
    }));
    Ok(states)
}

/// Fails unless the database has all our migrations.
///
/// # Errors
/// One line for the operator.
pub async fn expect_schema(db: &mut PgConnection) -> Result<(), String> {
    let states = migration_states(db).await.map_err(|error| error.to_string())?;
    match states.iter().find(|state| !state.applied) {
        Some(missing) => Err(format!("the database lacks migration {} ({}): run `ires-chat migrate run`", missing.version, missing.description)),
        None => Ok(()),
    }
}

/// The random value that tells one history from another.
///
/// # Errors
/// Those of the database.
pub async fn epoch(db: impl PgExecutor<'_>) -> Result<Uuid> {
    Ok(query_scalar!("SELECT epoch FROM database_identity").fetch_one(db).await?)
}

/// Waits until the database holds another history than this one: a backup was restored in its place while the server went on.
pub async fn is_replaced(db: &Pool, history: Uuid) {
    let mut ticks = every(LOOK);
    loop {
        ticks.tick().await;
        // Whether it is away, or is being restored just now, is for others to say.
        if epoch(db).await.is_ok_and(|epoch| epoch != history) {
            return;
        }
    }
}

/// Whether the database answers.
///
/// # Errors
/// Why it does not.
pub async fn ping(db: &Pool) -> Result<()> {
    query!(r#"SELECT 1 AS "one!""#).fetch_one(db).await?;
    Ok(())
}
