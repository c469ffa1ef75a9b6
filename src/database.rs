//! The database: connecting, migrating, and refusing one that could lose what was acknowledged.

use crate::{
    config::{DatabaseSettings, Secret},
    error::Result,
    metrics,
};
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, Postgres, Transaction,
    migrate::{Migrate, MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
    query, query_scalar,
};
use std::{collections::HashSet, str::FromStr, time::Duration};
use tracing::log::LevelFilter;
use uuid::Uuid;

/// The files of `migrations/`, as sqlx-cli reads them too.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// The oldest Postgres that this is tested with.
const OLDEST_POSTGRES: i32 = 150_000;

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
    let options = PgConnectOptions::from_str(url.reveal())
        .map_err(|_| "DATABASE_URL is not a URL such as postgres://user:password@host/database".to_owned())?;
    let options = options
        .application_name("ires-chat")
        .options([("statement_timeout", timeout.as_millis().to_string()), ("idle_in_transaction_session_timeout", "60000".to_owned())])
        // Every statement is prepared, and has one plan for all arguments, which the tests look at. Left to itself Postgres plans
        // small batches anew each time, at twice the cost of running them.
        .options([("plan_cache_mode", "force_generic_plan")])
        // What is read often is in memory, and disks are no longer what Postgres' default of 4 was made for: with it one plan for
        // all arguments scans and hashes whole tables of thousands of rows rather than look up three in an index.
        .options([("random_page_cost", "1.1")]);
    Ok(options.log_statements(LevelFilter::Off).log_slow_statements(LevelFilter::Off, Duration::MAX))
}

/// The same for connections that live as long as the server: their plans are made when it starts, perhaps on empty tables, and kept
/// when those have grown. They must not read whole tables. What takes as long as `slow` is logged.
pub fn lasting(options: PgConnectOptions, slow: Duration) -> PgConnectOptions {
    options.options([("enable_seqscan", "off")]).log_slow_statements(LevelFilter::Warn, slow)
}

/// How long a connection of the pool may have been idle and still be used without asking whether it lives: asking costs as
/// much as a small query.
const FRESH: Duration = Duration::from_secs(1);

/// A pool that connects when it is needed.
pub fn pool(options: PgConnectOptions, settings: &DatabaseSettings) -> PgPool {
    PgPoolOptions::new()
        .test_before_acquire(false)
        .before_acquire(|connection, state| {
            Box::pin(async move {
                if state.idle_for > FRESH {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .max_connections(settings.database_connections)
        // How long was waited for a connection is told to `telemetry`, which counts it.
        .acquire_time_level(LevelFilter::Trace)
        .acquire_slow_level(LevelFilter::Off)
        .acquire_timeout(settings.database_timeout.min(Duration::from_secs(3)))
        .connect_lazy_with(options)
}

/// Begins a transaction with this statement.
///
/// A task of its own waits for the answer. Whoever asks may be given up at any moment, as when a client hangs up or its time is
/// over; were that between `BEGIN` and its answer, sqlx would take the connection back as one without a transaction, and
/// whatever it is used for next would be written into one that nobody commits.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn begin(db: &PgPool, statement: &'static str) -> Result<Transaction<'static, Postgres>> {
    let db = db.clone();
    let _beginning = metrics::BEGINNING.hold();
    Ok(tokio::spawn(async move { db.begin_with(statement).await }).await??)
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
    // A long migration is not a slow request.
    query!("SET statement_timeout = 0").execute(&mut *db).await?;
    MIGRATIONS.run(db).await
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
        description: "unknown to this version of ires-chat".to_owned(),
        applied: true,
        differs: false,
    }));
    Ok(states)
}

/// The random value that tells one history from another.
///
/// # Errors
/// Those of the database.
pub async fn epoch(db: &mut PgConnection) -> Result<Uuid> {
    Ok(query_scalar!("SELECT epoch FROM database_identity").fetch_one(db).await?)
}

/// Whether the database answers.
///
/// # Errors
/// Why it does not.
pub async fn ping(db: &PgPool) -> Result<()> {
    query!(r#"SELECT 1 AS "one!""#).fetch_one(db).await?;
    Ok(())
}

/// An invariant, and how often it is broken.
pub struct Finding {
    /// What must hold.
    pub invariant: &'static str,
    /// How many rows break it.
    pub broken: i64,
    /// One of them.
    pub example: Option<String>,
}

/// Examines every invariant. Reads all rooms, memberships and messages: minutes on a large database.
///
/// # Errors
/// Those of the database.
pub async fn examine(db: &mut PgConnection) -> Result<Vec<Finding>> {
    query!("SET statement_timeout = 0").execute(&mut *db).await?;
    let row = query!(
        r#"-- Reads everything.
           SELECT
               (SELECT count(*) FROM messages AS m LEFT JOIN rooms AS r ON r.id = m.room_id WHERE r.id IS NULL) AS "roomless!",
               (SELECT min(m.id::text) FROM messages AS m LEFT JOIN rooms AS r ON r.id = m.room_id WHERE r.id IS NULL) AS roomless_example,
               (SELECT count(*) FROM messages AS m LEFT JOIN users AS u ON u.id = m.author_id WHERE u.id IS NULL) AS "authorless!",
               (SELECT min(m.id::text) FROM messages AS m LEFT JOIN users AS u ON u.id = m.author_id WHERE u.id IS NULL) AS authorless_example,
               (SELECT count(*) FROM messages AS m JOIN rooms AS r ON r.id = m.room_id WHERE GREATEST(m.seq, m.rev) > r.last_seq) AS "ahead!",
               (SELECT min(m.id::text) FROM messages AS m JOIN rooms AS r ON r.id = m.room_id WHERE GREATEST(m.seq, m.rev) > r.last_seq) AS ahead_example"#
    )
    .fetch_one(&mut *db)
    .await?;
    let rooms = query!(
        r#"-- Reads everything.
           WITH truth AS (
               SELECT r.id, r.member_count, r.last_seq, r.changed_seq, r.last_message_seq,
                   (SELECT count(*) FROM room_members AS m WHERE m.room_id = r.id AND m.state = 'joined') AS members,
                   (SELECT max(seq) FROM messages AS m WHERE m.room_id = r.id) AS last_message,
                   (SELECT max(GREATEST(m.read_seq, m.changed_seq, m.delivered_seq, m.public_delivered_seq)) FROM room_members AS m WHERE m.room_id = r.id) AS last_marker
               FROM rooms AS r
               WHERE r.deleted_at IS NULL
           )
           SELECT count(*) FILTER (WHERE member_count <> members) AS "count!",
               min(id::text) FILTER (WHERE member_count <> members) AS count_example,
               count(*) FILTER (WHERE last_message_seq IS DISTINCT FROM last_message) AS "last!",
               min(id::text) FILTER (WHERE last_message_seq IS DISTINCT FROM last_message) AS last_example,
               count(*) FILTER (WHERE GREATEST(last_marker, changed_seq) > last_seq) AS "marker!",
               min(id::text) FILTER (WHERE GREATEST(last_marker, changed_seq) > last_seq) AS marker_example
           FROM truth"#
    )
    .fetch_one(&mut *db)
    .await?;
    let messages = query!(
        r#"-- Reads everything.
           WITH replies AS (
               SELECT thread_root_id, count(*) FILTER (WHERE deleted_at IS NULL) AS living
               FROM messages
               WHERE thread_root_id IS NOT NULL
               GROUP BY thread_root_id
           ), counts AS (
               SELECT message_id, jsonb_object_agg(emoji, times) AS reactions
               FROM (SELECT message_id, emoji, count(*) AS times FROM reactions GROUP BY message_id, emoji) AS each_emoji
               GROUP BY message_id
           ), edits AS (
               SELECT message_id, count(*) AS kept, max(number) AS last FROM message_edits GROUP BY message_id
           ), truth AS (
               SELECT m.id,
                   m.reply_count IS DISTINCT FROM r.living AS replies,
                   m.reactions IS DISTINCT FROM c.reactions AS reactions,
                   m.deleted_at IS NULL AND (COALESCE(e.kept, 0) <> m.edit_count OR COALESCE(e.last, 0) <> m.edit_count)
                       OR m.deleted_at IS NOT NULL AND e.kept > 0 AS edits
               FROM messages AS m
               LEFT JOIN replies AS r ON r.thread_root_id = m.id
               LEFT JOIN counts AS c ON c.message_id = m.id
               LEFT JOIN edits AS e ON e.message_id = m.id
           )
           SELECT count(*) FILTER (WHERE replies) AS "replies!", min(id::text) FILTER (WHERE replies) AS replies_example,
               count(*) FILTER (WHERE reactions) AS "reactions!", min(id::text) FILTER (WHERE reactions) AS reactions_example,
               count(*) FILTER (WHERE edits) AS "edits!", min(id::text) FILTER (WHERE edits) AS edits_example
           FROM truth"#
    )
    .fetch_one(&mut *db)
    .await?;
    let search = query!(
        r#"-- Reads everything.
           SELECT
               (SELECT count(*) FROM search_rooms AS s JOIN rooms AS r ON r.id = s.room_id WHERE GREATEST(s.indexed_seq, s.changed_seq) > r.last_seq) AS "ahead!",
               (SELECT min(s.room_id::text) FROM search_rooms AS s JOIN rooms AS r ON r.id = s.room_id
                WHERE GREATEST(s.indexed_seq, s.changed_seq) > r.last_seq) AS ahead_example,
               (SELECT count(*) FROM search_postings AS p LEFT JOIN search_segments AS s ON s.id = p.segment_id WHERE s.id IS NULL) AS "lost!",
               (SELECT min(p.segment_id::text) FROM search_postings AS p LEFT JOIN search_segments AS s ON s.id = p.segment_id WHERE s.id IS NULL) AS lost_example"#
    )
    .fetch_one(db)
    .await?;
    Ok(vec![
        Finding { invariant: "every message has its room", broken: row.roomless, example: row.roomless_example },
        Finding { invariant: "every message has its author", broken: row.authorless, example: row.authorless_example },
        Finding { invariant: "no message is ahead of its room's last number", broken: row.ahead, example: row.ahead_example },
        Finding { invariant: "every root of a thread counts its replies right", broken: messages.replies, example: messages.replies_example },
        Finding { invariant: "every message counts its reactions right", broken: messages.reactions, example: messages.reactions_example },
        Finding { invariant: "every earlier text of a message is kept until it is deleted", broken: messages.edits, example: messages.edits_example },
        Finding { invariant: "every room counts its members right", broken: rooms.count, example: rooms.count_example },
        Finding { invariant: "every room knows its last message", broken: rooms.last, example: rooms.last_example },
        Finding { invariant: "no index of searches is ahead of its room", broken: search.ahead, example: search.ahead_example },
        Finding { invariant: "every list of the index of searches has its segment", broken: search.lost, example: search.lost_example },
        Finding { invariant: "no marker is ahead of its room's last number", broken: rooms.marker, example: rooms.marker_example },
    ])
}
