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

mod link;
mod writer;

use super::{Message, MessageId};
use crate::{
    auth::AuthUser,
    error::{Error, Result},
    realtime::Realtime,
    rooms::{RoomId, turns::Turns},
};
use futures_util::FutureExt;
use link::Link;
use serde_json::{Value, value::RawValue};
use sqlx::postgres::PgConnectOptions;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::{
    sync::{
        OwnedSemaphorePermit, Semaphore,
        mpsc::{UnboundedSender, unbounded_channel},
        oneshot,
    },
    time::{Instant, timeout, timeout_at},
};
use writer::Writer;

/// Most kibibytes that wait in the queue; a message counts for at least one. Senders wait for room, then give up.
const QUEUE_SPACE: u32 = 65_536;

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
        let writer = Writer::new(Link::new(database, patience), patience, realtime, turns, entries);
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
