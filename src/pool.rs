//! The connections that requests share: sqlx's pool, with an end to the waiting for one that has gone silent.
//!
//! A frozen host, a firewall that has forgotten a connection, or a proxy that lost what is behind it leaves TCP open and says nothing.
//! Whoever asked gives up, but sqlx takes a connection back by asking whether it lives, and keeps its place until it is told: such
//! connections would take all places, one after the other, while new ones could be opened. Postgres ends what it was asked after
//! `statement_timeout`; a connection that says nothing half a second later is dropped, and another may take its place.

use crate::config::DatabaseSettings;
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
}

impl Pool {
    /// A pool that connects when it is needed.
    pub fn new(options: PgConnectOptions, settings: &DatabaseSettings) -> Self {
        let connections = PgPoolOptions::new()
            .test_before_acquire(false)
            .before_acquire(|connection, state| {
                Box::pin(async move {
                    if state.idle_for > FRESH {
                        timeout(MOMENT, connection.ping()).await.map_err(|_| Error::PoolTimedOut)??;
                    }
                    Ok(true)
                })
            })
            .max_connections(settings.database_connections)
            // How long was waited for a connection is told to `telemetry`, which counts it.
            .acquire_time_level(LevelFilter::Trace)
            .acquire_slow_level(LevelFilter::Off)
            .acquire_timeout(settings.database_timeout.min(Duration::from_secs(3)))
            .connect_lazy_with(options);
        Self { connections, patience: settings.database_timeout }
    }

    /// Lends a connection until it is dropped.
    ///
    /// # Errors
    /// Those of the database, or that no connection is free.
    pub async fn lend(&self) -> Result<Lent, Error> {
        let connection = self.connections.acquire().await?;
        Ok(Lent { connection: Some(connection), answered: Instant::now() + self.patience + MOMENT, in_transaction: false })
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
}

impl Lent {
    /// What is answered to the first question.
    async fn in_time<'a, T>(&'a mut self, ask: impl FnOnce(&'a mut PgConnection) -> BoxFuture<'a, Result<T, Error>>) -> Result<T, Error> {
        timeout_at(self.answered, ask(&mut *self)).await.unwrap_or(Err(Error::PoolTimedOut))
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
            let give_back = async move {
                if raw_sql("ROLLBACK").execute(&mut *connection).await.is_ok() {
                    connection.return_to_pool().await;
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
