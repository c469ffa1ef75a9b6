//! The connections that requests share: sqlx's pool, with an end to the waiting for one that has gone silent.
//!
//! A frozen host, a firewall that has forgotten a connection, or a proxy that lost what is behind it leaves TCP open and says nothing.
//! Whoever asked gives up, but sqlx takes a connection back by asking whether it lives, and keeps its place until it is told: such
//! connections would take all places, one after the other, while new ones could be opened. Postgres ends what it was asked after
//! `statement_timeout`; a connection that says nothing half a second later is dropped, and another may take its place.
//!
//! A restart of Postgres ends all connections at once. Once one is found dead, those that were idle then are asked whether they live
//! before they are used: one request is refused, and not one for each connection.

use crate::{config::DatabaseSettings, realtime::lock};
use futures_util::{
    FutureExt, StreamExt, TryFutureExt, TryStreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    AssertSqlSafe, Connection, Describe, Either, Error, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
    raw_sql,
};
use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::log::LevelFilter;

/// How long a connection may have been idle and still be used without asking whether it lives: asking costs as much as a small
/// query.
const FRESH: Duration = Duration::from_secs(1);
/// How long it may take to answer that, and how much longer than Postgres an answer may take.
const MOMENT: Duration = Duration::from_millis(500);

/// A handle to them.
#[derive(Clone, Debug)]
pub struct Pool {
    connections: PgPool,
    patience: Duration,
    losses: Losses,
}

/// When a connection to the database was last found dead.
#[derive(Clone, Debug, Default)]
pub struct Losses(Arc<Mutex<Option<Instant>>>);

impl Losses {
    /// Notes an error that ends a connection, or that Postgres ends or begins with.
    pub fn note(&self, error: &Error) {
        let ends = match error {
            Error::Io(_) => true,
            // https://www.postgresql.org/docs/current/errcodes-appendix.html: shutdown by an administrator, by a crash, and not yet up.
            Error::Database(database) => database.code().is_some_and(|code| ["57P01", "57P02", "57P03"].contains(&code.as_ref())),
            _ => false,
        };
        if ends {
            *lock(&self.0) = Some(Instant::now());
        }
    }

    /// Whether one was found dead after this one had answered for the last time.
    fn since(&self, idle_for: Duration) -> bool {
        lock(&self.0).is_some_and(|lost| lost.elapsed() <= idle_for)
    }
}

impl Pool {
    /// A pool that connects when it is needed.
    pub fn new(options: PgConnectOptions, settings: &DatabaseSettings) -> Self {
        let losses = Losses::default();
        let known = losses.clone();
        let connections = PgPoolOptions::new()
            .test_before_acquire(false)
            .before_acquire(move |connection, state| {
                let doubtful = state.idle_for > FRESH || known.since(state.idle_for);
                let losses = known.clone();
                Box::pin(async move {
                    if doubtful {
                        let answer = timeout(MOMENT, connection.ping()).await.map_err(|_| Error::PoolTimedOut)?;
                        answer.inspect_err(|error| losses.note(error))?;
                    }
                    Ok(true)
                })
            })
            .max_connections(settings.database_connections)
            // How long was waited for a connection is told to `telemetry`, which counts it.
            .acquire_time_level(LevelFilter::Trace)
            .acquire_slow_level(LevelFilter::Off)
            .acquire_timeout(settings.database_timeout * 3 / 4)
            .connect_lazy_with(options);
        Self { connections, patience: settings.database_timeout, losses }
    }

    /// Lends a connection until it is dropped.
    ///
    /// # Errors
    /// Those of the database, or that no connection is free.
    pub async fn lend(&self) -> Result<Lent, Error> {
        let connection = self.connections.acquire().await?;
        let answered = Instant::now() + self.patience + MOMENT;
        Ok(Lent { connection: Some(connection), answered, in_transaction: false, losses: self.losses.clone() })
    }

    /// Where others who lose a connection to the same database note it.
    pub fn losses(&self) -> Losses {
        self.losses.clone()
    }

    /// Begins a transaction with this statement.
    ///
    /// # Errors
    /// Those of the database, or that no connection is free.
    pub async fn begin(&self, statement: &str) -> Result<Transaction, Error> {
        let mut connection = self.lend().await?;
        connection.in_transaction = true;
        raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await?;
        Ok(Transaction(connection))
    }

    /// How many connections there are, how many of these are idle, and how many there may be.
    pub fn size(&self) -> (u64, u64, u32) {
        let connections = &self.connections;
        (u64::from(connections.size()), connections.num_idle() as u64, connections.options().get_max_connections())
    }
}

/// Each statement has a connection and a time of its own.
impl<'p> Executor<'p> for &Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        let answer = async move {
            let mut connection = pool.lend().await?;
            let rows: Vec<_> = connection.in_time(|connection| connection.fetch_many(query).try_collect().boxed()).await?;
            Ok(stream::iter(rows).map(Ok))
        };
        answer.try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        async move { pool.lend().await?.in_time(|connection| connection.fetch_optional(query)).await }.boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        async move { pool.lend().await?.in_time(|connection| connection.prepare_with(sql, parameters)).await }.boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        async move { pool.lend().await?.in_time(|connection| connection.describe(sql)).await }.boxed()
    }
}

/// A connection of the pool, until it is dropped.
pub struct Lent {
    /// There until it is given back.
    connection: Option<PoolConnection<Postgres>>,
    /// When Postgres has answered the first thing that it was asked, or is silent.
    answered: Instant,
    /// Whether it may be in a transaction: said before Postgres knows of it, so that whoever is given up meanwhile leaves none.
    in_transaction: bool,
    losses: Losses,
}

impl Lent {
    /// What is answered to the first question.
    async fn in_time<'a, T>(&'a mut self, ask: impl FnOnce(&'a mut PgConnection) -> BoxFuture<'a, Result<T, Error>>) -> Result<T, Error> {
        let (answered, losses) = (self.answered, self.losses.clone());
        let answer = timeout_at(answered, ask(&mut *self)).await.unwrap_or(Err(Error::PoolTimedOut));
        answer.inspect_err(|error| losses.note(error))
    }
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("it is there until it is given back")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("it is there until it is given back")
    }
}

/// Gives it back, when it has answered all that it was asked; if it does not in time, it is closed.
impl Drop for Lent {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let end = self.answered.max(Instant::now() + MOMENT);
        if self.in_transaction {
            connection.close_on_drop();
            let losses = self.losses.clone();
            let give_back = async move {
                match raw_sql("ROLLBACK").execute(&mut *connection).await {
                    Ok(_) => connection.return_to_pool().await,
                    Err(error) => losses.note(&error),
                }
            };
            tokio::spawn(timeout_at(end, give_back));
        } else {
            tokio::spawn(timeout_at(end, connection.return_to_pool()));
        }
    }
}

/// A transaction, which is rolled back unless it is committed.
pub struct Transaction(Lent);

impl Transaction {
    /// Commits.
    ///
    /// # Errors
    /// Those of the database; whether it was committed is not known then.
    pub async fn commit(self) -> Result<(), Error> {
        self.end("COMMIT").await
    }

    /// Changes nothing.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn rollback(self) -> Result<(), Error> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, word: &'static str) -> Result<(), Error> {
        raw_sql(word).execute(&mut *self.0).await?;
        self.0.in_transaction = false;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}
