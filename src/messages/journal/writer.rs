//! The writer: the journal's task. Gathers batches, and sees to it that every message of a batch gets its answer.

use super::{
    Draft, Entry, Message, Stored as Outcome,
    link::{Link, Stored},
};
use crate::{
    error::{Error, Result, violates},
    messages::{MessageId, Sender},
    metrics,
    realtime::{
        Realtime, Told,
        wire::{Flushing, Outbox},
    },
    rooms::{
        RoomId,
        turns::{Turn, Turns},
    },
};
use chrono::{DateTime, Utc};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep},
};
use uuid::Uuid;

/// Most messages in one statement.
const BATCH: usize = 512;
/// How long a room whose row stays locked is left alone, its senders being told to try again: each try makes all rooms
/// wait.
const HELD: Duration = Duration::from_secs(2);
/// Postgres' codes of what may go wrong with locks.
const LOCK_NOT_AVAILABLE: &str = "55P03";
const DEADLOCK_DETECTED: &str = "40P01";
/// How often a batch is tried again after a deadlock with another process, or after repeats were taken out of it.
const RETRIES: usize = 5;
/// Connections to be told, for each message, from which on telling costs more than writing.
const COSTLY: usize = 16;
/// How long after a failed connection the next one is tried.
const RECONNECT: Duration = Duration::from_millis(200);

/// What the task holds.
pub(super) struct Writer {
    link: Link,
    patience: Duration,
    realtime: Arc<Realtime>,
    turns: Arc<Turns>,
    entries: UnboundedReceiver<Entry>,
    waiting: VecDeque<Entry>,
    /// The journal's places in the queues for turns, and for which rooms.
    wanted: FuturesUnordered<BoxFuture<'static, (RoomId, Result<Turn>)>>,
    wanted_rooms: HashSet<RoomId>,
    /// Rooms whose row somebody outside holds: not tried again until then.
    held: HashMap<RoomId, Instant>,
    /// What is being said of the last batch, while the next is written.
    flushing: Flushing,
}

impl Writer {
    /// A writer of what comes out of the queue.
    pub fn new(link: Link, patience: Duration, realtime: Arc<Realtime>, turns: Arc<Turns>, entries: UnboundedReceiver<Entry>) -> Self {
        Self {
            link,
            patience,
            realtime,
            turns,
            entries,
            waiting: VecDeque::new(),
            wanted: FuturesUnordered::new(),
            wanted_rooms: HashSet::new(),
            held: HashMap::new(),
            flushing: Flushing::default(),
        }
    }

    /// Writes until the queue is closed and empty.
    pub async fn run(mut self) {
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
        self.waiting.retain(|entry| !entry.due.is_given());
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
            let drafts: Vec<&Draft> = batch.iter().map(|entry| &entry.draft).collect();
            let begun = Instant::now();
            let error = match self.link.store(&drafts).await {
                Ok(stored) => {
                    metrics::COMMIT.observe(begun.elapsed().as_secs_f64());
                    metrics::BATCH.observe(metrics::size(batch.len()));
                    batch = self.answer(batch, stored).await;
                    continue;
                }
                Err(error) => error,
            };
            match error {
                error if violates(&error, "messages_id_key") && collisions < RETRIES => {
                    collisions += 1;
                    batch = self.answer_known(batch).await;
                }
                error if has_code(&error, DEADLOCK_DETECTED) && deadlocks < RETRIES => deadlocks += 1,
                error if has_code(&error, LOCK_NOT_AVAILABLE) => batch = self.by_room(batch).await,
                error if is_about_the_rows(&error) => batch = self.isolate(batch, error).await,
                error => {
                    tracing::warn!(messages = batch.len(), %error, "the journal lost the database");
                    batch = self.settle(batch).await;
                }
            }
        }
    }

    /// Tells and acknowledges what was stored, in the order of the numbers, and refuses those who may not speak. Returns what
    /// only stood beside such a message.
    async fn answer(&mut self, batch: Vec<Entry>, stored: Vec<Option<Stored>>) -> Vec<Entry> {
        let count = batch.len();
        let (mut accepted, mut left_out) = (Vec::with_capacity(count), Vec::new());
        for (entry, stored) in batch.into_iter().zip(stored) {
            match stored {
                Some(Stored { seq, created_at }) => accepted.push((message(&entry.draft, seq, created_at), Some(entry))),
                None => left_out.push(entry),
            }
        }
        self.tell(accepted).await;
        if left_out.is_empty() {
            return left_out;
        }
        let rest = self.refuse(left_out).await;
        if rest.len() < count {
            return rest;
        }
        // Their authors were let in, or the rooms opened, between two statements: another try will do, but not ours for ever.
        for entry in rest {
            entry.refuse(Error::Unavailable);
        }
        Vec::new()
    }

    /// Refuses messages, except those that had been stored before their author lost the right to speak; returns those for which
    /// there is no reason.
    async fn refuse(&mut self, left_out: Vec<Entry>) -> Vec<Entry> {
        let reasons = self.link.refusals(&left_out.iter().map(|entry| &entry.draft).collect::<Vec<_>>()).await;
        let repeatable: Vec<Uuid> = left_out.iter().filter(|entry| entry.draft.client_msg_id.is_some()).map(|entry| entry.draft.id.0).collect();
        let known = if repeatable.is_empty() { Ok(Vec::new()) } else { self.link.look_up(&repeatable).await };
        let (Ok(mut reasons), Ok(known)) = (reasons, known) else {
            for entry in left_out {
                entry.refuse(Error::Unavailable);
            }
            return Vec::new();
        };
        let mut rest = Vec::new();
        for entry in left_out {
            if let Some(message) = known.iter().find(|message| message.id == entry.draft.id) {
                answer_repeat(message, entry);
                continue;
            }
            let reason = reasons.remove(&entry.draft.id.0).flatten();
            let refusal = match reason.as_deref() {
                Some("ROOM_NOT_FOUND") => Error::RoomNotFound,
                Some("ROOM_ARCHIVED") => Error::RoomArchived,
                Some("FORBIDDEN") => Error::Forbidden("guests only read in this room"),
                Some("MUTED") => Error::Muted,
                Some("BANNED") => Error::Banned,
                Some("NOT_A_MEMBER") => Error::NotAMember,
                Some(other) => Error::internal(format!("the journal gave a reason that has no name: {other}")),
                None => {
                    rest.push(entry);
                    continue;
                }
            };
            entry.refuse(refusal);
        }
        rest
    }

    /// Answers the repeats in a batch that collided, and returns the rest of it.
    async fn answer_known(&mut self, batch: Vec<Entry>) -> Vec<Entry> {
        let ids: Vec<Uuid> = batch.iter().map(|entry| entry.draft.id.0).collect();
        let Ok(known) = self.link.look_up(&ids).await else { return batch };
        let mut rest = Vec::new();
        for entry in batch {
            match known.iter().find(|message| message.id == entry.draft.id) {
                Some(message) => answer_repeat(message, entry),
                None => rest.push(entry),
            }
        }
        rest
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

    /// Finds the message that the database refuses, half by half, so that its neighbours do not suffer.
    async fn isolate(&mut self, mut batch: Vec<Entry>, error: sqlx::Error) -> Vec<Entry> {
        if batch.len() > 1 {
            let later = batch.split_off(batch.len() / 2);
            Box::pin(self.write(batch)).await;
            Box::pin(self.write(later)).await;
        } else if let Some(entry) = batch.pop() {
            entry.refuse(error.into());
        }
        Vec::new()
    }

    /// Finds out what became of a batch whose statement did not answer: tells what was stored, and returns what was
    /// not and still has somebody waiting.
    async fn settle(&mut self, mut batch: Vec<Entry>) -> Vec<Entry> {
        let doubtful = self.link.cut();
        let ids: Vec<Uuid> = batch.iter().map(|entry| entry.draft.id.0).collect();
        let mut found = loop {
            if doubtful.is_none() {
                batch.retain(|entry| !entry.due.is_given());
                if batch.is_empty() {
                    return batch;
                }
            }
            match self.link.fate(doubtful, &ids).await {
                Ok(found) => break found,
                Err(error) => tracing::debug!(%error, "the database is still away"),
            }
            sleep(RECONNECT).await;
        };
        tracing::info!(messages = batch.len(), stored = found.len(), "the journal has the database back");
        let mut entries: HashMap<MessageId, Entry> = batch.into_iter().map(|entry| (entry.draft.id, entry)).collect();
        found.sort_by_key(|message| message.seq);
        let newest = found.iter().map(|message| message.created_at).max();
        let mut stored = Vec::new();
        for message in found {
            let entry = entries.remove(&message.id);
            if self.link.is_new(&message) {
                stored.push((message, entry));
            } else if let Some(entry) = entry {
                answer_repeat(&message, entry);
            }
        }
        self.tell(stored).await;
        self.link.settled(newest);
        let mut rest: Vec<Entry> = entries.into_values().filter(|entry| !entry.due.is_given()).collect();
        rest.sort_by_key(|entry| ids.iter().position(|id| *id == entry.draft.id.0));
        if !rest.is_empty() {
            // A database that answers and yet refuses (read-only, full) is not asked without a pause.
            sleep(RECONNECT).await;
        }
        rest
    }

    /// Tells stored messages to their rooms, all of a room in one go, then acknowledges them.
    async fn tell(&mut self, stored: Vec<(Message, Option<Entry>)>) {
        let count = stored.len();
        metrics::MESSAGES.inc_by(count as u64);
        let (mut rooms, mut accepted): (HashMap<RoomId, Vec<Told>>, Vec<_>) = (HashMap::new(), Vec::new());
        for (message, entry) in stored {
            let payload: Arc<RawValue> = match to_raw_value(&message) {
                Ok(encoded) => encoded.into(),
                Err(error) => {
                    if let Some(entry) = entry {
                        entry.refuse(Error::internal(error));
                    }
                    continue;
                }
            };
            rooms.entry(message.room_id).or_default().push(Told { seq: Some(message.seq), event: "chat:message", payload: payload.clone() });
            let ms = entry.as_ref().and_then(|entry| u64::try_from(entry.submitted.elapsed().as_millis()).ok());
            let trace = entry.as_ref().map(|entry| tracing::field::display(&entry.draft.trace));
            tracing::info!(trace.id = trace, room.id = %message.room_id, user.id = %message.sender_id, seq = message.seq, bytes = message.content.len(), ms, "a message was stored and told");
            accepted.extend(entry.map(|entry| (entry, payload)));
        }
        let mut outbox = Outbox::default();
        for (room, messages) in &rooms {
            self.realtime.tell_all(*room, messages, &mut outbox);
        }
        for (entry, message) in accepted {
            entry.due.give(Ok(Outcome { message, duplicate: false }), &mut outbox);
        }
        // What the last batch had to say is out before there is more: a slow fan-out slows the journal, and nothing piles up.
        // Where telling is the larger part of the work, what comes meanwhile had better wait and be told in one go.
        let is_costly = outbox.connections() > COSTLY * count;
        let flushing = std::mem::replace(&mut self.flushing, outbox.flush());
        flushing.done().await;
        if is_costly {
            std::mem::take(&mut self.flushing).done().await;
        }
    }
}

impl Entry {
    pub(super) fn refuse(self, error: Error) {
        self.answer(Err(error));
    }

    fn answer(self, outcome: Result<Outcome>) {
        let mut outbox = Outbox::default();
        self.due.give(outcome, &mut outbox);
        outbox.flush_now();
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
        Ok(encoded) => entry.answer(Ok(Outcome { message: encoded.into(), duplicate: true })),
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
        thread: None,
        mentions: draft.mentions.clone().unwrap_or_else(|| json!([])),
        attachments: draft.attachments.clone().unwrap_or_else(|| json!([])),
        reactions: json!({}),
        own_reactions: Vec::new(),
        metadata: draft.metadata.clone(),
        created_at,
        timestamp: created_at,
        edited_at: None,
        edit_count: 0,
        deleted_at: None,
        deleted_by: None,
        delete_reason: None,
        pinned_at: None,
        pinned_by: None,
        client_msg_id: draft.client_msg_id.clone(),
        duplicate: false,
    }
}

/// Whether the database refused the content of the statement, rather than being in trouble itself: data exceptions,
/// constraint violations, limits, and what a trigger raises (classes 22, 23, 54 and P0 of Postgres' error codes).
fn is_about_the_rows(error: &sqlx::Error) -> bool {
    ["22", "23", "54", "P0"].iter().any(|class| has_code(error, class))
}

fn has_code(error: &sqlx::Error, prefix: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code.starts_with(prefix))
}
