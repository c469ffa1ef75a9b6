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

mod columns;
mod link;
mod statement;
mod writer;

use super::{Message, MessageId};
use crate::{
    auth::AuthUser,
    error::{Error, Result},
    pool::Losses,
    realtime::{Realtime, wire::Outbox},
    rooms::{RoomId, turns::Turns},
    trace::TraceId,
};
use futures_util::FutureExt;
use link::Link;
use serde_json::{Value, value::RawValue};
use sqlx::postgres::PgConnectOptions;
use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    sync::{
        OwnedSemaphorePermit, Semaphore,
        mpsc::{UnboundedSender, unbounded_channel},
    },
    time::{Instant, sleep, timeout, timeout_at},
};
use writer::Writer;

/// Most kibibytes that wait in the queue; a message counts for at least one. Senders wait for room, then give up.
const QUEUE_SPACE: u32 = 65_536;

/// How often it is looked for whose time is over.
const CLOCK: Duration = Duration::from_millis(100);

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
    /// The request or event that it came with.
    pub trace: TraceId,
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

/// Gets the outcome of a message, once: after it was committed and told, or when it is refused. What it says leaves with
/// the outbox.
pub type Reply = Box<dyn FnOnce(Result<Stored>, &mut Outbox) + Send>;

/// A reply that is due. The writer gives it or, when the time is over, the clock: whoever comes first.
struct Due {
    reply: Mutex<Option<Reply>>,
    deadline: Instant,
}

impl Due {
    fn is_given(&self) -> bool {
        self.lock().is_none()
    }

    fn give(&self, outcome: Result<Stored>, outbox: &mut Outbox) {
        let reply = self.lock().take();
        if let Some(reply) = reply {
            reply(outcome, outbox);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Reply>> {
        self.reply.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue.
pub struct Place {
    space: OwnedSemaphorePermit,
    since: Instant,
}

struct Entry {
    draft: Draft,
    due: Arc<Due>,
    submitted: Instant,
    _space: OwnedSemaphorePermit,
}

/// What is due, in the order of its deadlines.
type Deadlines = Mutex<VecDeque<Arc<Due>>>;

/// The way into the journal.
pub struct Journal {
    queue: UnboundedSender<Entry>,
    space: Arc<Semaphore>,
    deadlines: Arc<Deadlines>,
    patience: Duration,
}

impl Journal {
    /// Starts the journal's tasks, which end when the journal is dropped and everything in it is answered.
    pub fn start(database: PgConnectOptions, patience: Duration, losses: Losses, realtime: Arc<Realtime>, turns: Arc<Turns>) -> Self {
        let (queue, entries) = unbounded_channel();
        let writer = Writer::new(Link::new(database, patience, losses), patience, realtime, turns, entries);
        tokio::spawn(async move {
            // Without its writer the server could only refuse: better to be started anew, by whoever looks after it.
            if AssertUnwindSafe(writer.run()).catch_unwind().await.is_err() {
                tracing::error!("the journal panicked: the server ends");
                std::process::abort();
            }
        });
        let deadlines = Arc::default();
        tokio::spawn(watch(Arc::downgrade(&deadlines)));
        Self { queue, space: Arc::new(Semaphore::new(QUEUE_SPACE as usize)), deadlines, patience }
    }

    /// Waits for a place in the queue.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the queue stays full.
    pub async fn reserve(&self, draft: &Draft) -> Result<Place> {
        let since = Instant::now();
        let kib = u32::try_from(1 + draft.weight() / 1_024).unwrap_or(QUEUE_SPACE).min(QUEUE_SPACE);
        let space = timeout_at(since + self.patience, self.space.clone().acquire_many_owned(kib)).await;
        let space = space.map_err(|_| Error::Unavailable)?.map_err(Error::internal)?;
        Ok(Place { space, since })
    }

    /// Puts a message into the queue. Messages of one caller that are submitted one after the other keep their order.
    pub fn submit(&self, place: Place, draft: Draft, reply: Reply) {
        let due = Arc::new(Due { reply: Mutex::new(Some(reply)), deadline: place.since + self.patience });
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner).push_back(due.clone());
        let entry = Entry { draft, due, submitted: place.since, _space: place.space };
        if let Err(unsent) = self.queue.send(entry) {
            unsent.0.refuse(Error::Unavailable);
        }
    }
}

/// Tells those whose time is over, for as long as there is a journal. What becomes of their messages is not known then;
/// under the same `clientMsgId` they may be sent again.
async fn watch(deadlines: Weak<Deadlines>) {
    loop {
        sleep(CLOCK).await;
        let Some(deadlines) = deadlines.upgrade() else { return };
        let now = Instant::now();
        let mut deadlines = deadlines.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = deadlines.iter().position(|due| due.deadline > now && !due.is_given()).unwrap_or(deadlines.len());
        let passed: Vec<_> = deadlines.drain(..passed).collect();
        drop(deadlines);
        let mut outbox = Outbox::default();
        for due in passed {
            due.give(Err(Error::Unavailable), &mut outbox);
        }
        outbox.flush_now();
    }
}

impl Journal {
    /// About how many bytes messages take in the queue.
    pub fn queued_bytes(&self) -> usize {
        (QUEUE_SPACE as usize).saturating_sub(self.space.available_permits()) * 1_024
    }

    /// Takes no more messages, and waits until those in the queue are answered.
    pub async fn finish(&self, limit: Duration) {
        if let Ok(Ok(all)) = timeout(limit, self.space.acquire_many(QUEUE_SPACE)).await {
            all.forget();
        }
    }
}
