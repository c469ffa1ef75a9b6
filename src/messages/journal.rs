//! The journal: the one writer of messages.
//!
//! A message takes a place in a queue. While one statement is being committed the next batch gathers by itself;
//! then one statement checks, numbers and stores everything that waits, of all rooms, and each message is told to
//! its room and acknowledged, in the order of its number.
//!
//! It never loses an answer, and never tells what is not stored. When the connection breaks during a statement,
//! nobody knows whether it was committed: the journal makes sure that the old backend is gone, asks which of the
//! messages are there, tells those, and tries the others again. Whoever waited too long meanwhile has been told
//! `UNAVAILABLE`, and may send again under the same `clientMsgId`.

use super::{Message, MessageId, Sender, store};
use crate::{
    auth::AuthUser,
    error::{Error, Result, violates},
    realtime::Realtime,
    rooms::{
        RoomId,
        turns::{Turn, Turns},
    },
};
use chrono::{DateTime, Utc};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions, query, query_scalar};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{
        OwnedSemaphorePermit, Semaphore,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
    time::{Instant, sleep, timeout, timeout_at},
};
use uuid::Uuid;

/// Most messages in one statement.
const BATCH: usize = 512;
/// Most kibibytes that wait in the queue; a message counts for at least one. Senders wait for room, then give up.
const QUEUE_SPACE: u32 = 65_536;
/// How long, in milliseconds, the rows of rooms are waited for when somebody outside this process holds them.
const LOCK_TIMEOUT_MS: &str = "500";
/// How long a room whose row stays locked is left alone, its senders being told to try again: each try makes all rooms
/// wait.
const HELD: Duration = Duration::from_secs(2);
/// Postgres' codes of what may go wrong with locks.
const LOCK_NOT_AVAILABLE: &str = "55P03";
const DEADLOCK_DETECTED: &str = "40P01";
/// How often a batch is tried again after a deadlock with another process.
const DEADLOCK_RETRIES: usize = 5;
/// How long after a failed connection the next one is tried.
const RECONNECT: Duration = Duration::from_millis(200);

/// A message on its way to be stored.
pub struct Draft {
    /// Its id.
    pub id: MessageId,
    /// Its room, which may not exist, or not for the author.
    pub room: RoomId,
    /// Who says it.
    pub author: Arc<AuthUser>,
    /// The text.
    pub content: String,
    /// `text`, or a word of the frontend's own.
    pub kind: String,
    /// What the client calls it.
    pub client_msg_id: Option<String>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// The first message of its thread.
    pub thread_root_id: Option<MessageId>,
    /// The ids of the members that it mentions.
    pub mentions: Option<Value>,
    /// As the client described them.
    pub attachments: Option<Value>,
    /// The frontend's own.
    pub metadata: Option<Value>,
}

impl Draft {
    /// About how many bytes it holds. A JSON value takes up to 16 times its text: think of `[[],[],[]]`.
    fn weight(&self) -> usize {
        let values = [&self.mentions, &self.attachments, &self.metadata];
        let texts = values.into_iter().flatten().map(|value| value.to_string().len());
        self.content.len() + 16 * texts.sum::<usize>()
    }
}

/// What a sender gets for a message.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The message as JSON.
    pub message: Arc<RawValue>,
    /// Whether it had been stored before.
    pub duplicate: bool,
}

/// A place in the queue.
pub struct Receipt {
    answer: oneshot::Receiver<Result<Stored>>,
    deadline: Instant,
}

impl Receipt {
    /// Waits until the message is stored and told, or refused.
    ///
    /// # Errors
    /// Why it was refused; `UNAVAILABLE` when the database does not answer in time.
    pub async fn stored(self) -> Result<Stored> {
        match timeout_at(self.deadline, self.answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(Error::Unavailable),
        }
    }
}

struct Entry {
    draft: Draft,
    answer: oneshot::Sender<Result<Stored>>,
    submitted: Instant,
    _room_in_queue: OwnedSemaphorePermit,
}

/// The way into the journal.
pub struct Journal {
    queue: UnboundedSender<Entry>,
    space: Arc<Semaphore>,
    patience: Duration,
}

impl Journal {
    /// Starts the journal's task, which ends when the journal is dropped and everything in it is answered.
    pub fn start(database: PgConnectOptions, patience: Duration, realtime: Arc<Realtime>, turns: Arc<Turns>) -> Self {
        let (queue, entries) = unbounded_channel();
        let database = database.options([("lock_timeout", LOCK_TIMEOUT_MS)]);
        let writer = Writer {
            database,
            patience,
            realtime,
            turns,
            backend: None,
            last_commit: None,
            entries,
            waiting: VecDeque::new(),
            wanted: FuturesUnordered::new(),
            wanted_rooms: HashSet::new(),
            held: HashMap::new(),
        };
        tokio::spawn(async move {
            // Without its writer the server could only refuse: better to be started anew, by whoever looks after it.
            if AssertUnwindSafe(writer.run()).catch_unwind().await.is_err() {
                tracing::error!("the journal panicked: the server ends");
                std::process::abort();
            }
        });
        Self { queue, space: Arc::new(Semaphore::new(QUEUE_SPACE as usize)), patience }
    }

    /// Puts a message into the queue. Messages of one caller that are submitted one after the other keep their order.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the queue stays full.
    pub async fn submit(&self, draft: Draft) -> Result<Receipt> {
        let submitted = Instant::now();
        let deadline = submitted + self.patience;
        let kib = u32::try_from(1 + draft.weight() / 1_024).unwrap_or(QUEUE_SPACE).min(QUEUE_SPACE);
        let space = timeout_at(deadline, self.space.clone().acquire_many_owned(kib)).await;
        let space = space.map_err(|_| Error::Unavailable)?.map_err(Error::internal)?;
        let (answer, receiver) = oneshot::channel();
        self.queue.send(Entry { draft, answer, submitted, _room_in_queue: space }).map_err(|_| Error::Unavailable)?;
        Ok(Receipt { answer: receiver, deadline })
    }
}

impl Journal {
    /// Takes no more messages, and waits until those in the queue are answered.
    pub async fn finish(&self, limit: Duration) {
        if let Ok(Ok(all)) = timeout(limit, self.space.acquire_many(QUEUE_SPACE)).await {
            all.forget();
        }
    }
}

/// The database's side of the journal's connection, by which it can be told apart from a later one of the same pid.
#[derive(Clone, Copy)]
struct BackendId {
    pid: i32,
    started: DateTime<Utc>,
}

struct Backend {
    connection: PgConnection,
    id: BackendId,
}

struct Writer {
    database: PgConnectOptions,
    patience: Duration,
    realtime: Arc<Realtime>,
    turns: Arc<Turns>,
    backend: Option<Backend>,
    /// The database's time of the last batch of this connection that is known to be committed.
    last_commit: Option<DateTime<Utc>>,
    entries: UnboundedReceiver<Entry>,
    waiting: VecDeque<Entry>,
    /// The journal's places in the queues for turns, and for which rooms.
    wanted: FuturesUnordered<BoxFuture<'static, (RoomId, Result<Turn>)>>,
    wanted_rooms: HashSet<RoomId>,
    /// Rooms whose row somebody outside holds: not tried again until then.
    held: HashMap<RoomId, Instant>,
}

/// What the statement says of one message.
struct Verdict {
    id: Uuid,
    refusal: Option<String>,
    seq: Option<i64>,
    created_at: Option<DateTime<Utc>>,
}

impl Writer {
    async fn run(mut self) {
        loop {
            if self.waiting.is_empty() {
                match self.entries.recv().await {
                    Some(entry) => self.waiting.push_back(entry),
                    None => return,
                }
            }
            while let Ok(entry) = self.entries.try_recv() {
                self.waiting.push_back(entry);
            }
            let (batch, turns) = self.next_batch().await;
            self.write(batch).await;
            drop(turns);
        }
    }

    /// Takes what can be written now: a room whose turn somebody else has waits, and with it all of its messages.
    async fn next_batch(&mut self) -> (Vec<Entry>, HashMap<RoomId, Turn>) {
        // Who stopped waiting was told UNAVAILABLE: storing the message now would surprise.
        self.waiting.retain(|entry| !entry.answer.is_closed());
        let mut turns = self.take_turns();
        if turns.is_empty() && !self.waiting.is_empty() {
            // Until a turn comes, or a message for another room does.
            tokio::select! {
                Some((room, turn)) = self.wanted.next() => self.came(&mut turns, room, turn),
                entry = self.entries.recv() => self.waiting.extend(entry),
            }
        }
        let (mut batch, mut later) = (Vec::new(), VecDeque::new());
        let (mut ids, mut blocked) = (HashSet::new(), HashSet::new());
        let now = Instant::now();
        self.held.retain(|_, until| *until > now);
        for entry in std::mem::take(&mut self.waiting) {
            let room = entry.draft.room;
            if self.held.contains_key(&room) {
                entry.refuse(Error::Unavailable);
                continue;
            }
            // The same id twice in one statement would collide with itself: the second waits to find the first.
            let fits = batch.len() < BATCH && turns.contains_key(&room) && !blocked.contains(&room) && ids.insert(entry.draft.id);
            if fits {
                batch.push(entry);
            } else {
                blocked.insert(room);
                later.push_back(entry);
            }
        }
        self.waiting = later;
        turns.retain(|room, _| batch.iter().any(|entry| entry.draft.room == *room));
        (batch, turns)
    }

    /// Takes the turns of the rooms that messages wait for. For one that somebody else has the journal queues, and keeps
    /// its place in that queue from batch to batch: else steady comings and goings would silence a room.
    fn take_turns(&mut self) -> HashMap<RoomId, Turn> {
        let mut turns = HashMap::new();
        while let Some(Some((room, turn))) = self.wanted.next().now_or_never() {
            self.came(&mut turns, room, turn);
        }
        for entry in self.waiting.iter().take(BATCH) {
            let room = entry.draft.room;
            if turns.contains_key(&room) || self.wanted_rooms.contains(&room) {
                continue;
            }
            if let Some(turn) = self.turns.try_take(room) {
                turns.insert(room, turn);
            } else {
                let (all, patience) = (self.turns.clone(), self.patience);
                self.wanted_rooms.insert(room);
                self.wanted.push(async move { (room, all.take(room, patience).await) }.boxed());
            }
        }
        turns
    }

    fn came(&mut self, turns: &mut HashMap<RoomId, Turn>, room: RoomId, turn: Result<Turn>) {
        self.wanted_rooms.remove(&room);
        turns.extend(turn.map(|turn| (room, turn)));
    }

    /// Writes a batch, whatever it takes: when this returns, every message of it has its answer.
    async fn write(&mut self, mut batch: Vec<Entry>) {
        let (mut deadlocks, mut collisions) = (0, 0);
        while !batch.is_empty() {
            let stored = timeout(self.patience, self.store(&batch)).await;
            let error = match stored {
                Ok(Ok(verdicts)) => return self.answer(batch, verdicts).await,
                Ok(Err(error)) => Some(error),
                Err(_) => None,
            };
            match error {
                Some(error) if violates(&error, "messages_id_key") && collisions < DEADLOCK_RETRIES => {
                    collisions += 1;
                    batch = self.answer_known(batch).await;
                }
                Some(error) if has_code(&error, DEADLOCK_DETECTED) && deadlocks < DEADLOCK_RETRIES => deadlocks += 1,
                Some(error) if has_code(&error, LOCK_NOT_AVAILABLE) => batch = self.by_room(batch).await,
                Some(error) if is_about_the_rows(&error) => batch = self.isolate(batch, error).await,
                error => {
                    let reason = error.map_or_else(|| "it took too long".to_owned(), |error| error.to_string());
                    tracing::warn!(messages = batch.len(), reason, "the journal lost the database");
                    batch = self.settle(batch).await;
                }
            }
        }
    }

    /// The statement: checks each author's place in the room, hands out the rooms' numbers, and inserts.
    async fn store(&mut self, batch: &[Entry]) -> Result<Vec<Verdict>, sqlx::Error> {
        let drafts = || batch.iter().map(|entry| &entry.draft);
        let ids: Vec<Uuid> = drafts().map(|draft| draft.id.0).collect();
        let rooms: Vec<Uuid> = drafts().map(|draft| draft.room.0).collect();
        let authors: Vec<&str> = drafts().map(|draft| draft.author.id().as_str()).collect();
        let kinds: Vec<&str> = drafts().map(|draft| draft.kind.as_str()).collect();
        let contents: Vec<&str> = drafts().map(|draft| draft.content.as_str()).collect();
        let client_msg_ids: Vec<Option<&str>> = drafts().map(|draft| draft.client_msg_id.as_deref()).collect();
        let replies: Vec<Option<Uuid>> = drafts().map(|draft| draft.reply_to.map(|id| id.0)).collect();
        let threads: Vec<Option<Uuid>> = drafts().map(|draft| draft.thread_root_id.map(|id| id.0)).collect();
        let mentions: Vec<Option<&Value>> = drafts().map(|draft| draft.mentions.as_ref()).collect();
        let attachments: Vec<Option<&Value>> = drafts().map(|draft| draft.attachments.as_ref()).collect();
        let metadata: Vec<Option<&Value>> = drafts().map(|draft| draft.metadata.as_ref()).collect();
        let backend = self.backend().await?;
        let verdicts = sqlx::query_as!(
            Verdict,
            r#"WITH draft AS (
                   SELECT *
                   FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::uuid[], $9::jsonb[], $10::jsonb[], $11::jsonb[])
                       WITH ORDINALITY AS d (id, room_id, author_id, type, content, client_msg_id, reply_to, thread_root_id, mentions, attachments, metadata, place)
               ), judged AS (
                   SELECT d.*,
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
                   FROM draft AS d
                   LEFT JOIN rooms AS r ON r.id = d.room_id AND r.deleted_at IS NULL
                   LEFT JOIN room_members AS m ON m.room_id = r.id AND m.user_id = d.author_id
               ), counted AS (
                   SELECT room_id, count(*) AS messages
                   FROM judged
                   WHERE refusal IS NULL
                   GROUP BY room_id
               ), numbered AS (
                   UPDATE rooms AS r
                   SET last_seq = r.last_seq + c.messages,
                       last_message_seq = r.last_seq + c.messages,
                       last_activity_at = now(),
                       listed_at = CASE WHEN r.listed_at < now() - interval '1 second' THEN now() ELSE r.listed_at END
                   FROM counted AS c
                   WHERE r.id = c.room_id
                   RETURNING r.id, r.last_seq - c.messages AS before
               ), stored AS (
                   INSERT INTO messages (room_id, seq, rev, id, author_id, type, content, client_msg_id, reply_to, thread_root_id, mentions, attachments, metadata)
                   SELECT j.room_id, n.before + j.nth, n.before + j.nth, j.id, j.author_id, j.type, j.content, j.client_msg_id, j.reply_to, j.thread_root_id,
                       j.mentions, j.attachments, j.metadata
                   FROM (SELECT *, row_number() OVER (PARTITION BY room_id ORDER BY place) AS nth FROM judged WHERE refusal IS NULL) AS j
                   JOIN numbered AS n ON n.id = j.room_id
                   RETURNING id, seq, created_at
               )
               SELECT j.id AS "id!", j.refusal, s.seq AS "seq?", s.created_at AS "created_at?"
               FROM judged AS j
               LEFT JOIN stored AS s ON s.id = j.id"#,
            &ids,
            &rooms,
            &authors as &[&str],
            &kinds as &[&str],
            &contents as &[&str],
            &client_msg_ids as &[Option<&str>],
            &replies as &[Option<Uuid>],
            &threads as &[Option<Uuid>],
            &mentions as &[Option<&Value>],
            &attachments as &[Option<&Value>],
            &metadata as &[Option<&Value>],
        )
        .fetch_all(&mut backend.connection)
        .await?;
        self.last_commit = verdicts.iter().filter_map(|verdict| verdict.created_at).max().or(self.last_commit);
        Ok(verdicts)
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

    /// Tells and acknowledges what was stored, in the order of the numbers, and refuses the rest.
    async fn answer(&mut self, batch: Vec<Entry>, verdicts: Vec<Verdict>) {
        let mut verdicts: HashMap<Uuid, Verdict> = verdicts.into_iter().map(|verdict| (verdict.id, verdict)).collect();
        let mut refused = Vec::new();
        for entry in batch {
            match verdicts.remove(&entry.draft.id.0) {
                Some(Verdict { seq: Some(seq), created_at: Some(created_at), .. }) => {
                    let message = message(&entry.draft, seq, created_at);
                    self.tell(&message, Some(entry));
                }
                verdict => refused.push((entry, verdict.and_then(|verdict| verdict.refusal))),
            }
        }
        self.refuse(refused).await;
    }

    /// Refuses messages, except those that had been stored before their author lost the right to speak.
    async fn refuse(&mut self, refused: Vec<(Entry, Option<String>)>) {
        let repeatable: Vec<Uuid> =
            refused.iter().filter(|(entry, _)| entry.draft.client_msg_id.is_some()).map(|(entry, _)| entry.draft.id.0).collect();
        let known = if repeatable.is_empty() { Ok(Vec::new()) } else { self.look_up(&repeatable).await };
        let known = known.unwrap_or_default();
        for (entry, refusal) in refused {
            match known.iter().find(|message| message.id == entry.draft.id) {
                Some(message) => answer_repeat(message, entry),
                None => entry.refuse(match refusal.as_deref() {
                    Some("ROOM_NOT_FOUND") => Error::RoomNotFound,
                    Some("ROOM_ARCHIVED") => Error::RoomArchived,
                    Some("FORBIDDEN") => Error::Forbidden("guests only read in this room"),
                    Some("MUTED") => Error::Muted,
                    Some("BANNED") => Error::Banned,
                    Some("NOT_A_MEMBER") => Error::NotAMember,
                    other => Error::internal(format!("the journal's statement gave no verdict: {other:?}")),
                }),
            }
        }
    }

    /// Answers the repeats in a batch that collided, and returns the rest of it.
    async fn answer_known(&mut self, batch: Vec<Entry>) -> Vec<Entry> {
        let ids: Vec<Uuid> = batch.iter().map(|entry| entry.draft.id.0).collect();
        let Ok(known) = self.look_up(&ids).await else { return batch };
        let mut rest = Vec::new();
        for entry in batch {
            match known.iter().find(|message| message.id == entry.draft.id) {
                Some(message) => answer_repeat(message, entry),
                None => rest.push(entry),
            }
        }
        rest
    }

    async fn look_up(&mut self, ids: &[Uuid]) -> Result<Vec<Message>, sqlx::Error> {
        let patience = self.patience;
        let asked = async {
            let backend = self.backend().await?;
            store::with_ids(&mut backend.connection, ids).await
        };
        if let Ok(found) = timeout(patience, asked).await {
            return found;
        }
        self.backend = None;
        Err(sqlx::Error::PoolTimedOut)
    }

    /// Writes a batch room by room, since somebody outside holds the row of one of them: the other rooms do not wait for
    /// it, and its own senders are told to try again.
    async fn by_room(&mut self, batch: Vec<Entry>) -> Vec<Entry> {
        let mut rooms: HashMap<RoomId, Vec<Entry>> = HashMap::new();
        for entry in batch {
            rooms.entry(entry.draft.room).or_default().push(entry);
        }
        let alone = rooms.len() == 1;
        for (room, entries) in rooms {
            if alone {
                tracing::warn!(room.id = %room, messages = entries.len(), "a room's row is locked by somebody else");
                self.held.insert(room, Instant::now() + HELD);
                for entry in entries {
                    entry.refuse(Error::Unavailable);
                }
            } else {
                Box::pin(self.write(entries)).await;
            }
        }
        Vec::new()
    }

    /// Finds the message that the database refuses, so that its neighbours do not suffer.
    async fn isolate(&mut self, mut batch: Vec<Entry>, error: sqlx::Error) -> Vec<Entry> {
        if batch.len() > 1 {
            for entry in batch {
                Box::pin(self.write(vec![entry])).await;
            }
        } else if let Some(entry) = batch.pop() {
            entry.refuse(error.into());
        }
        Vec::new()
    }

    /// Finds out what became of a batch whose statement did not answer: tells what was stored, and returns what was
    /// not and still has somebody waiting.
    async fn settle(&mut self, mut batch: Vec<Entry>) -> Vec<Entry> {
        let doubtful = self.backend.take().map(|backend| backend.id);
        let ids: Vec<Uuid> = batch.iter().map(|entry| entry.draft.id.0).collect();
        let found = loop {
            if doubtful.is_none() {
                batch.retain(|entry| !entry.answer.is_closed());
                if batch.is_empty() {
                    return batch;
                }
            }
            match timeout(self.patience, self.fate(doubtful, &ids)).await {
                Ok(Ok(found)) => break found,
                Ok(Err(error)) => tracing::debug!(%error, "the database is still away"),
                Err(_) => tracing::debug!("the database is still silent"),
            }
            self.backend = None;
            sleep(RECONNECT).await;
        };
        tracing::info!(messages = batch.len(), stored = found.len(), "the journal has the database back");
        let mut entries: HashMap<MessageId, Entry> = batch.into_iter().map(|entry| (entry.draft.id, entry)).collect();
        let mut found = found;
        found.sort_by_key(|message| message.seq);
        let newest = found.iter().map(|message| message.created_at).max();
        for message in found {
            let entry = entries.remove(&message.id);
            if self.last_commit.is_some_and(|last| message.created_at > last) {
                self.tell(&message, entry);
            } else if let Some(entry) = entry {
                answer_repeat(&message, entry);
            }
        }
        self.last_commit = self.last_commit.max(newest);
        let mut rest: Vec<Entry> = entries.into_values().filter(|entry| !entry.answer.is_closed()).collect();
        rest.sort_by_key(|entry| ids.iter().position(|id| *id == entry.draft.id.0));
        if !rest.is_empty() {
            // A database that answers and yet refuses (read-only, full) is not asked without a pause.
            sleep(RECONNECT).await;
        }
        rest
    }

    /// Ends the backend that may still be at work on a batch, then asks which of its messages are stored.
    async fn fate(&mut self, doubtful: Option<BackendId>, ids: &[Uuid]) -> Result<Vec<Message>, sqlx::Error> {
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

    fn tell(&self, message: &Message, entry: Option<Entry>) {
        let encoded: Arc<RawValue> = match to_raw_value(message) {
            Ok(encoded) => encoded.into(),
            Err(error) => {
                if let Some(entry) = entry {
                    entry.refuse(Error::internal(error));
                }
                return;
            }
        };
        self.realtime.tell_room(message.room_id, Some(message.seq), "chat:message", &encoded);
        let ms = entry.as_ref().map(|entry| entry.submitted.elapsed().as_millis());
        tracing::info!(room.id = %message.room_id, seq = message.seq, bytes = message.content.len(), ms, "a message was stored and told");
        if let Some(entry) = entry {
            entry.accept(Stored { message: encoded, duplicate: false });
        }
    }
}

impl Entry {
    fn accept(self, stored: Stored) {
        // Nobody may be waiting any more; the message stands all the same.
        let _ = self.answer.send(Ok(stored));
    }

    fn refuse(self, error: Error) {
        let _ = self.answer.send(Err(error));
    }
}

/// Answers a repeat with the first message, unless something else was sent under the same `clientMsgId`.
fn answer_repeat(first: &Message, entry: Entry) {
    let same = first.edited_at.is_some()
        || first.deleted_at.is_some()
        || (first.content == entry.draft.content && first.kind == entry.draft.kind && first.reply_to == entry.draft.reply_to);
    if !same {
        return entry.refuse(Error::IdempotencyMismatch);
    }
    match to_raw_value(&Message { duplicate: true, ..first.clone() }) {
        Ok(encoded) => entry.accept(Stored { message: encoded.into(), duplicate: true }),
        Err(error) => entry.refuse(Error::internal(error)),
    }
}

fn message(draft: &Draft, seq: i64, created_at: DateTime<Utc>) -> Message {
    Message {
        id: draft.id,
        room_id: draft.room,
        seq,
        rev: seq,
        sender: Sender::from(&draft.author.user),
        sender_id: draft.author.id().clone(),
        content: draft.content.clone(),
        kind: draft.kind.clone(),
        reply_to: draft.reply_to,
        thread_root_id: draft.thread_root_id,
        mentions: draft.mentions.clone().unwrap_or_else(|| json!([])),
        attachments: draft.attachments.clone().unwrap_or_else(|| json!([])),
        reactions: json!({}),
        metadata: draft.metadata.clone(),
        created_at,
        timestamp: created_at,
        edited_at: None,
        deleted_at: None,
        client_msg_id: draft.client_msg_id.clone(),
        duplicate: false,
    }
}

/// Whether the database refused the content of the statement, rather than being in trouble itself: data exceptions,
/// constraint violations and limits (classes 22, 23 and 54 of Postgres' error codes).
fn is_about_the_rows(error: &sqlx::Error) -> bool {
    ["22", "23", "54"].iter().any(|class| has_code(error, class))
}

fn has_code(error: &sqlx::Error, prefix: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code.starts_with(prefix))
}
