//! The journal's connection: what it asks of the database, in what time, and how to find out what became of it.

use super::{super::store, Draft, Message, columns::Columns, statement};
use crate::pool::Losses;
use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions, query, query_scalar};
use std::{collections::HashMap, time::Duration};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// How long, in milliseconds, the rows of rooms are waited for when somebody outside this process holds them.
const LOCK_TIMEOUT_MS: &str = "500";

/// The database's side of the journal's connection, by which it can be told apart from a later one of the same pid.
#[derive(Clone, Copy)]
pub(super) struct BackendId {
    pid: i32,
    started: DateTime<Utc>,
}

struct Backend {
    connection: PgConnection,
    id: BackendId,
}

/// The connection, and what is known of what it did.
pub(super) struct Link {
    database: PgConnectOptions,
    patience: Duration,
    losses: Losses,
    backend: Option<Backend>,
    /// The database's time of the last batch that is known to be committed.
    last_commit: Option<DateTime<Utc>>,
}

/// Where a message was stored.
pub(super) struct Stored {
    pub seq: i64,
    pub created_at: DateTime<Utc>,
}

impl Link {
    /// A link that connects when it is needed.
    pub fn new(database: PgConnectOptions, patience: Duration, losses: Losses) -> Self {
        let database = database.application_name("ires-chat journal").options([("lock_timeout", LOCK_TIMEOUT_MS)]);
        Self { database, patience, losses, backend: None, last_commit: None }
    }

    /// Cuts the connection; says which backend may still be at work on what it was asked last.
    pub fn cut(&mut self) -> Option<BackendId> {
        self.backend.take().map(|backend| backend.id)
    }

    /// Whether a message that was found was stored by the batch whose fate was in doubt, and not long before.
    pub fn is_new(&self, message: &Message) -> bool {
        self.last_commit.is_some_and(|last| message.created_at > last)
    }

    /// Everything up to this time is settled.
    pub fn settled(&mut self, newest: Option<DateTime<Utc>>) {
        self.last_commit = self.last_commit.max(newest);
    }

    /// Stores messages: checks each author's place in the room, hands out the rooms' numbers, inserts, and counts the replies at
    /// the roots of their threads, in one statement that commits by itself. A room is written whole or not at all: where any author
    /// may not speak, or the room is gone, none of its messages is stored, and [`refusals`](Self::refusals) tells why. The answer is
    /// in the order of the drafts. In doubt when it does not come in time: [`sqlx::Error::PoolTimedOut`].
    pub async fn store(&mut self, drafts: &[&Draft]) -> Result<Vec<Option<Stored>>, sqlx::Error> {
        let stored = timeout(self.patience, self.execute(drafts)).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        stored.inspect_err(|error| self.losses.note(error))
    }

    async fn execute(&mut self, drafts: &[&Draft]) -> Result<Vec<Option<Stored>>, sqlx::Error> {
        let columns = Columns::of(drafts);
        let backend = self.backend().await?;
        let numbered = statement::store(&mut backend.connection, &columns).await?;
        self.settled(numbered.iter().map(|room| room.created_at).max());
        let numbered: HashMap<Uuid, _> = numbered.into_iter().map(|room| (room.id, (room.before, room.created_at))).collect();
        let stored = |(draft, place): (&&Draft, i64)| {
            let (before, created_at) = *numbered.get(&draft.room.0)?;
            Some(Stored { seq: before + place, created_at })
        };
        Ok(drafts.iter().zip(columns.places).map(stored).collect())
    }

    /// Why messages are refused, as codes by id; `None` where there is no reason any more.
    pub async fn refusals(&mut self, drafts: &[&Draft]) -> Result<HashMap<Uuid, Option<String>>, sqlx::Error> {
        let found = timeout(self.patience, self.judge(drafts)).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        if found.is_err() {
            self.backend = None;
        }
        found
    }

    async fn judge(&mut self, drafts: &[&Draft]) -> Result<HashMap<Uuid, Option<String>>, sqlx::Error> {
        let ids: Vec<Uuid> = drafts.iter().map(|draft| draft.id.0).collect();
        let rooms: Vec<Uuid> = drafts.iter().map(|draft| draft.room.0).collect();
        let authors: Vec<&str> = drafts.iter().map(|draft| draft.author.id().as_str()).collect();
        let backend = self.backend().await?;
        let rows = query!(
            r#"SELECT d.id AS "id!",
                   CASE
                       WHEN r.id IS NULL THEN 'ROOM_NOT_FOUND'
                       WHEN m.state = 'joined' AND r.archived_at IS NOT NULL THEN 'ROOM_ARCHIVED'
                       WHEN m.state = 'joined' AND m.role = 'guest' THEN 'FORBIDDEN'
                       WHEN m.state = 'joined' AND m.muted_until > now() THEN 'MUTED'
                       WHEN m.state = 'joined' THEN NULL
                       WHEN r.type <> 'public' THEN 'ROOM_NOT_FOUND'
                       WHEN m.state = 'banned' THEN 'BANNED'
                       ELSE 'NOT_A_MEMBER'
                   END AS refusal
               FROM UNNEST($1::uuid[], $2::uuid[], $3::text[]) AS d (id, room_id, author_id)
               LEFT JOIN rooms AS r ON r.id = d.room_id AND r.deleted_at IS NULL
               LEFT JOIN room_members AS m ON m.room_id = r.id AND m.user_id = d.author_id"#,
            &ids,
            &rooms,
            &authors as &[&str]
        )
        .fetch_all(&mut backend.connection)
        .await?;
        Ok(rows.into_iter().map(|row| (row.id, row.refusal)).collect())
    }

    /// The connection, made anew when there is none.
    async fn backend(&mut self) -> Result<&mut Backend, sqlx::Error> {
        let backend = if let Some(backend) = self.backend.take() {
            backend
        } else {
            let mut connection = PgConnection::connect_with(&self.database).await?;
            let now = query!(r#"SELECT pid, backend_start AS "started!", now() AS "now!" FROM pg_stat_activity WHERE pid = pg_backend_pid()"#)
                .fetch_one(&mut connection)
                .await?;
            self.last_commit.get_or_insert(now.now);
            Backend { connection, id: BackendId { pid: now.pid.unwrap_or_default(), started: now.started } }
        };
        Ok(self.backend.insert(backend))
    }

    /// The messages with these ids that are stored.
    pub async fn look_up(&mut self, ids: &[Uuid]) -> Result<Vec<Message>, sqlx::Error> {
        self.fate(None, ids).await
    }

    /// Ends the backend that may still be at work on a batch, then asks which of its messages are stored.
    pub async fn fate(&mut self, doubtful: Option<BackendId>, ids: &[Uuid]) -> Result<Vec<Message>, sqlx::Error> {
        let found = timeout(self.patience, self.ask(doubtful, ids)).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        if found.is_err() {
            self.backend = None;
        }
        found
    }

    async fn ask(&mut self, doubtful: Option<BackendId>, ids: &[Uuid]) -> Result<Vec<Message>, sqlx::Error> {
        let backend = self.backend().await?;
        if let Some(old) = doubtful {
            loop {
                let gone = query_scalar!(
                    r#"SELECT count(pg_terminate_backend(pid)) = 0 AS "gone!" FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2"#,
                    old.pid,
                    old.started
                )
                .fetch_one(&mut backend.connection)
                .await?;
                if gone {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        store::with_ids(&mut backend.connection, ids).await
    }
}
