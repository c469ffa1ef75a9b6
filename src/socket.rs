//! How an event is answered.
//!
//! Every connection has one *lane*: its events are answered in the order in which they came, and each gets exactly
//! one acknowledgement, `{ok: true, data}` or `{ok: false, error}`, a failure also as `system:error`. Sending
//! messages is the exception in speed, not in order: a message that stands in the journal's queue lets the next
//! event begin, and whatever is not a message waits until those before it are done.
//!
//! socketioxide would run each handler in a task of its own, in any order, and skip it when a payload does not
//! parse. So one [`Dispatcher`] takes every event raw, in the task that reads the socket.

use crate::{
    app::App,
    auth::AuthUser,
    draining::Work,
    error::{Error, ErrorBody, Result},
    limits::{self, Class, Source, Verdict},
    metrics::{self, UNKNOWN},
    payload::{self, Fields},
    realtime::{Ack, Connection, wire::Outbox},
    specs::schemas::Shape,
    trace::{TRACE, TraceId},
};
use futures_util::{FutureExt, future::BoxFuture};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};
use socketioxide::{
    adapter::LocalAdapter,
    extract::AckSender,
    handler::{FromMessageParts, MessageHandler, Value as Packet},
    socket::Socket,
};
use std::{
    collections::{BTreeMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};
use tokio::{sync::Notify, time::timeout};
use tracing::Instrument;

/// Most events that wait in a lane, and most bytes: beyond it an event is refused with `RATE_LIMITED`.
const LANE_EVENTS: usize = 4_096;
const LANE_BYTES: usize = 4 << 20;
/// Most messages of one connection that are in the journal at once.
const IN_FLIGHT: usize = 256;

/// What a handler comes to.
pub enum Outcome {
    /// The answer.
    Done(Answer),
    /// It is handed on to something that keeps the order by itself and will answer: the lane goes on.
    Later(Box<dyn FnOnce(Reply) + Send>),
    /// A refusal after which the connection is closed.
    Refused(Error),
}

/// Answers an event, once. What it says leaves with the outbox.
pub type Reply = Box<dyn FnOnce(Result<Answer>, &mut Outbox) + Send>;

/// What goes into an acknowledgement that says yes.
#[derive(Default)]
pub struct Answer {
    data: Option<Arc<RawValue>>,
    warnings: Vec<String>,
    close: bool,
}

impl Answer {
    /// An answer with this data.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` if it cannot be encoded.
    pub fn of(data: &impl Serialize) -> Result<Self> {
        Ok(Self::encoded(to_raw_value(data).map_err(Error::internal)?.into()))
    }

    /// An answer with data that is encoded already.
    pub fn encoded(data: Arc<RawValue>) -> Self {
        Self { data: Some(data), ..Self::default() }
    }

    /// Adds what the caller should know though it worked.
    #[must_use]
    pub fn warn(mut self, warnings: Vec<String>) -> Self {
        self.warnings = warnings;
        self
    }

    /// Closes the connection once the answer is out.
    #[must_use]
    pub fn then_close(mut self) -> Self {
        self.close = true;
        self
    }
}

/// What is answered to an event that was dropped, since it would soon be out of date.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dropped {
    /// It did nothing.
    #[schemars(extend("const" = true))]
    dropped: bool,
    /// When the next one counts, in milliseconds.
    retry_after_ms: u64,
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self::Done(answer)
    }
}

/// An event to be answered: who emitted it, and what.
pub struct Incoming {
    /// Everything.
    pub app: App,
    /// Who.
    pub connection: Arc<Connection>,
    /// The first argument; `null` when there was none.
    pub payload: Value,
}

impl Incoming {
    /// Who it is.
    ///
    /// # Errors
    /// `AUTH_REQUIRED` or `AUTH_REVOKED`.
    pub fn user(&self) -> Result<Arc<AuthUser>> {
        self.connection.user()
    }

    /// The payload as an object to be read field by field.
    ///
    /// # Errors
    /// `PAYLOAD_INVALID`.
    pub fn fields(&mut self) -> Result<Fields> {
        Fields::of(self.payload.take())
    }
}

/// Answers one kind of event.
pub type Handler = fn(Incoming) -> BoxFuture<'static, Result<Outcome>>;

/// An event that clients may emit: what answers it, and what the contract says of it.
pub struct Event {
    /// Its name.
    pub name: &'static str,
    /// The bucket that it takes a token of.
    pub class: Class,
    /// What it does.
    pub about: &'static str,
    /// What it brings.
    pub payload: Shape,
    /// What its acknowledgement brings, if it worked.
    pub answer: Shape,
    /// Why it is refused, besides what may befall [every](any_refusals) event.
    pub refusals: &'static [Error],
    /// Whether it is answered before authentication.
    pub open: bool,
    /// Whether it may begin while messages of the same connection are still in the journal.
    pub overtakes: bool,
    /// What answers it.
    pub handler: Handler,
}

/// An event that the server tells.
pub struct ServerEvent {
    /// Its name.
    pub name: &'static str,
    /// What happened, and who hears of it.
    pub about: &'static str,
    /// What it brings.
    pub payload: Shape,
}

/// Why any event may be refused.
pub fn any_refusals(is_open: bool) -> Vec<Error> {
    let mut refusals = vec![
        Error::PayloadInvalid("".into()),
        Error::PayloadTooLarge(0),
        Error::Validation(BTreeMap::new()),
        Error::RateLimited { retry_after_ms: 0 },
        Error::Revoked,
        Error::Draining,
        Error::Unavailable,
        Error::internal(""),
    ];
    if !is_open {
        refusals.push(Error::AuthRequired);
    }
    refusals
}

/// Takes every event of a socket. It does not keep the connection alive: the registry does.
#[derive(Clone)]
pub struct Dispatcher {
    /// Everything.
    pub app: App,
    /// Whose events.
    pub connection: Weak<Connection>,
    /// The events that are known.
    pub events: &'static [Event],
}

impl MessageHandler<LocalAdapter, ()> for Dispatcher {
    fn call(&self, socket: Arc<Socket<LocalAdapter>>, mut packet: Packet, ack_id: Option<i64>) {
        let Some(connection) = self.connection.upgrade() else { return };
        let Ok(sender) = AckSender::from_message_parts(&socket, &mut packet, &ack_id);
        let ack = Ack { sender, id: ack_id };
        let raw = match packet {
            Packet::Str(text, None) => Some(text.to_string()),
            _ => None,
        };
        let arrived = Instant::now();
        if let Err(job) = connection.lane.push(Job { dispatcher: self.clone(), raw, ack, arrived }) {
            metrics::note_event(UNKNOWN);
            let pending =
                Pending { connection, event: String::new(), known: UNKNOWN, reference: None, ack: job.ack, arrived, trace: TraceId::random() };
            let source = pending.source();
            pending.refuse(&self.app, Class::Any, &source, Err(Error::RateLimited { retry_after_ms: 1_000 }));
        }
    }
}

struct Job {
    dispatcher: Dispatcher,
    /// The packet's text, `["event", payload]`; `None` for a binary one.
    raw: Option<String>,
    ack: Ack,
    arrived: Instant,
}

impl Job {
    fn size(&self) -> usize {
        self.raw.as_ref().map_or(0, String::len)
    }
}

/// A connection's queue of events. Nothing runs while it is empty.
#[derive(Clone, Default)]
pub struct Lane(Arc<LaneState>);

#[derive(Default)]
struct LaneState {
    queue: Mutex<Queue>,
    /// Somebody in flight was answered.
    answered: Notify,
}

#[derive(Default)]
struct Queue {
    own: VecDeque<BoxFuture<'static, ()>>,
    jobs: VecDeque<Job>,
    bytes: usize,
    in_flight: usize,
    open: bool,
    running: bool,
    /// Nothing is answered any more, whatever comes.
    shut: bool,
}

/// An event that will be answered by somebody else.
struct InFlight(Lane);

enum Next {
    Own(BoxFuture<'static, ()>),
    Job(Job),
}

impl Lane {
    /// Puts something of our own before everything that waits: who the client is must be known first.
    pub fn begin_with(&self, own: impl Future<Output = ()> + Send + 'static) {
        let mut queue = self.lock();
        queue.own.push_back(own.boxed());
        self.run(&mut queue);
    }

    /// Lets events be answered from now on.
    pub fn open(&self) {
        let mut queue = self.lock();
        queue.open = true;
        self.run(&mut queue);
    }

    /// Drops what waits, and whatever comes: a client that floods its lane is not answered to the end.
    fn shut(&self) {
        let mut queue = self.lock();
        queue.shut = true;
        queue.bytes = 0;
        queue.jobs = VecDeque::new();
    }

    fn push(&self, job: Job) -> Result<(), Box<Job>> {
        let mut queue = self.lock();
        if queue.shut {
            return Ok(());
        }
        if queue.jobs.len() >= LANE_EVENTS || queue.bytes + job.size() > LANE_BYTES {
            return Err(Box::new(job));
        }
        queue.bytes += job.size();
        queue.jobs.push_back(job);
        self.run(&mut queue);
        Ok(())
    }

    fn run(&self, queue: &mut Queue) {
        if queue.open && !queue.running {
            queue.running = true;
            tokio::spawn(drain(self.clone()));
        }
    }

    /// What comes next. When there is nothing the lane stops running.
    fn next(&self) -> Option<Next> {
        let mut queue = self.lock();
        if let Some(own) = queue.own.pop_front() {
            return Some(Next::Own(own));
        }
        if let Some(job) = queue.jobs.pop_front() {
            queue.bytes -= job.size();
            return Some(Next::Job(job));
        }
        queue.running = false;
        // Most connections are silent most of the time: they keep no room for a queue.
        queue.jobs = VecDeque::new();
        queue.own = VecDeque::new();
        None
    }

    /// How many events wait, and how many bytes they have.
    pub fn waiting(&self) -> (usize, usize) {
        let queue = self.lock();
        (queue.jobs.len(), queue.bytes)
    }

    /// Waits until fewer than so many are in flight.
    async fn until_fewer_than(&self, limit: usize) {
        while self.lock().in_flight >= limit {
            self.0.answered.notified().await;
        }
    }

    fn send_ahead(&self) -> InFlight {
        self.lock().in_flight += 1;
        InFlight(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
        self.0.0.answered.notify_one();
    }
}

/// An acknowledgement that is due.
struct Pending {
    connection: Arc<Connection>,
    event: String,
    /// What it is counted as.
    known: &'static str,
    reference: Option<String>,
    ack: Ack,
    arrived: Instant,
    trace: TraceId,
}

async fn drain(lane: Lane) {
    while let Some(next) = lane.next() {
        match next {
            Next::Own(own) => {
                lane.until_fewer_than(1).await;
                // If it panics, that is logged, and the lane goes on.
                let _ = AssertUnwindSafe(own).catch_unwind().await;
            }
            Next::Job(job) => begin(job).await,
        }
    }
}

async fn begin(job: Job) {
    let Some(connection) = job.dispatcher.connection.upgrade() else { return };
    let app = &job.dispatcher.app;
    let (name, payload) = read(job.raw.as_deref(), app.settings.chat.max_event as usize);
    let event = job.dispatcher.events.iter().find(|event| event.name == name);
    let known = event.map_or(UNKNOWN, |event| event.name);
    metrics::note_event(known);
    let trace = TraceId::random();
    tracing::debug!(trace.id = %trace, connection.id = %connection.id, event = ?shown(&name), bytes = job.raw.as_ref().map(String::len), "an event arrived");
    let mut pending = Pending { connection, event: name, known, reference: None, ack: job.ack, arrived: job.arrived, trace };
    pending.reference = payload.as_ref().ok().and_then(reference);
    let work = match app.draining.begin() {
        Ok(work) => work,
        Err(error) => return pending.answer_now(Err(error)),
    };
    let Some(pending) = pending.within_limits(app, event.map_or(Class::Any, |event| event.class)) else { return };
    let most = if event.is_some_and(|event| event.overtakes) { IN_FLIGHT } else { 1 };
    pending.connection.lane.until_fewer_than(most).await;
    if event.is_none_or(|event| !event.open) {
        match pending.connection.user() {
            Ok(user) => app.presence.touch(user.id()),
            Err(error) => return pending.answer_now(Err(error)),
        }
    }
    let (event, payload) = match (event, payload) {
        (Some(event), Ok(payload)) => (event, payload),
        (None, Ok(_)) => return pending.answer_now(Err(Error::UnknownEvent)),
        (_, Err(error)) => return pending.answer_now(Err(error)),
    };
    let incoming = Incoming { app: app.clone(), connection: pending.connection.clone(), payload };
    let handling = (event.handler)(incoming);
    let (outcome, work) = pending.run(handling, work, event.overtakes, app.patience()).await;
    match outcome {
        Ok(Outcome::Done(answer)) => pending.answer_now(Ok(answer)),
        Ok(Outcome::Later(hand_on)) => {
            let in_flight = pending.connection.lane.send_ahead();
            hand_on(Box::new(move |result, outbox| {
                pending.answer(result, outbox);
                drop((in_flight, work));
            }));
        }
        Ok(Outcome::Refused(error)) => {
            let connection = pending.connection.clone();
            pending.answer_now(Err(error));
            connection.close();
        }
        Err(error) => pending.answer_now(Err(error)),
    }
}

/// What is shown of a name that a client may have made up.
fn shown(event: &str) -> &str {
    event.char_indices().nth(64).map_or(event, |(end, _)| &event[..end])
}

/// The client's own name of what it sends, by which it recognises an error about it.
fn reference(payload: &Value) -> Option<String> {
    ["clientMsgId", "clientRoomId"].iter().find_map(|name| payload.get(name)?.as_str().map(|id| id.chars().take(64).collect()))
}

/// Takes `["event", payload, …]` apart. The name is there whenever it can be read, so that an error can tell it.
pub(crate) fn read(raw: Option<&str>, most: usize) -> (String, Result<Value>) {
    let Some(raw) = raw else { return (String::new(), Err(Error::PayloadInvalid("binary data is not accepted".into()))) };
    let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(raw) else {
        return (String::new(), Err(Error::PayloadInvalid("it is not valid JSON".into())));
    };
    let mut parts = parts.into_iter();
    let name = parts.next().and_then(|name| serde_json::from_str(name.get()).ok()).unwrap_or_default();
    if raw.len() > most {
        return (name, Err(Error::PayloadTooLarge(most)));
    }
    (name, parts.next().map_or(Ok(Value::Null), |payload| payload::parse(payload.get().as_bytes())))
}

#[derive(Serialize)]
struct Envelope<'a> {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ErrorBody>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
}

impl Pending {
    /// Who sent it, as far as is known.
    fn source(&self) -> Source {
        let address = || Source::Address(limits::address::source(self.connection.address));
        self.connection.known_user().map_or_else(address, |user| Source::User(user.id().clone()))
    }

    /// Takes a token for an event of a class: of the user or, before anybody has authenticated, of the address.
    fn ask(&self, app: &App, class: Class) -> Verdict {
        match self.connection.known_user() {
            Some(user) if !class.is_by_address() => app.limits.take(class, &user.user),
            _ => app.limits.take_of_address(Class::Connect, self.connection.address),
        }
    }

    /// Gives it back if there is a token for it, and otherwise answers it.
    fn within_limits(self, app: &App, class: Class) -> Option<Self> {
        let Some(error) = self.ask(app, class).refusal() else { return Some(self) };
        let source = self.source();
        let is_dropped = class.is_dropped() && matches!(source, Source::User(_));
        let answer =
            if is_dropped { Answer::of(&Dropped { dropped: true, retry_after_ms: error.retry_after_ms().unwrap_or_default() }) } else { Err(error) };
        self.refuse(app, class, &source, answer);
        None
    }

    /// Says that there was too much, or nothing more to those who go on all the same: they are closed.
    fn refuse(self, app: &App, class: Class, source: &Source, answer: Result<Answer>) {
        let connection = self.connection.clone();
        let last = app.limits.note_refusal(class, source) == limits::Answer::Close;
        if !last {
            return self.answer_now(answer);
        }
        connection.lane.shut();
        self.answer_now(answer);
        connection.refuse(Error::RateLimited { retry_after_ms: limits::PENALTY_MS });
    }

    /// Runs its handler for as long as there is time; the work is given back with the outcome, to be held until that is told.
    ///
    /// What may commit something is [carried out](Work::carry_out) whether or not somebody waits. What overtakes only hands on, and is
    /// spared the task, and a span.
    async fn run(
        &self,
        handling: BoxFuture<'static, Result<Outcome>>,
        work: Work,
        overtakes: bool,
        patience: Duration,
    ) -> (Result<Outcome>, Option<Work>) {
        let trace = self.trace.clone();
        if overtakes {
            let done = timeout(patience, TRACE.scope(trace, AssertUnwindSafe(handling).catch_unwind())).await;
            let outcome = done.map(|done| done.unwrap_or_else(|_| Err(Error::panicked())));
            return (outcome.unwrap_or(Err(Error::Unavailable)), Some(work));
        }
        let span = tracing::info_span!("event", trace.id = %trace, connection.id = %self.connection.id, event = self.event);
        let handling = TRACE.scope(trace, handling.instrument(span));
        match work.carry_out(patience, handling).await {
            Ok((outcome, work)) => (outcome, Some(work)),
            Err(error) => (Err(error), None),
        }
    }

    fn answer_now(self, result: Result<Answer>) {
        let mut outbox = Outbox::default();
        self.answer(result, &mut outbox);
        outbox.flush_now();
    }

    fn answer(self, result: Result<Answer>, outbox: &mut Outbox) {
        let Self { connection, event, known, reference, ack, arrived, trace } = self;
        let close = match result {
            Ok(Answer { data, warnings, close }) => {
                metrics::note_answer(known, "OK", arrived);
                connection.acknowledge(ack, &Envelope { ok: true, data: data.as_deref(), error: None, warnings: &warnings }, outbox);
                close
            }
            Err(error) => {
                let shown = shown(&event);
                let body = error.into_body(trace.clone()).about(shown, reference);
                metrics::note_answer(known, body.code(), arrived);
                // What is refused for being too much is logged where it is counted, and not every time.
                if body.code() != "RATE_LIMITED" {
                    tracing::info!(trace.id = %trace, connection.id = %connection.id, event = ?shown, code = body.code(), "an event is refused");
                }
                connection.acknowledge(ack, &Envelope { ok: false, data: None, error: Some(&body), warnings: &[] }, outbox);
                connection.emit_error(&body);
                false
            }
        };
        if close {
            connection.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_event_is_known_even_when_its_payload_is_not() {
        let deep = format!("[\"chat:message\",{}{}]", "[".repeat(10_000), "]".repeat(10_000));
        let cases = [("[\"a\",{\"b\":\"\\ud800\"}]", "a"), (deep.as_str(), "chat:message"), ("[\"x\",1e999]", "x")];
        for (raw, name) in cases {
            let (read_name, payload) = read(Some(raw), 100_000);
            assert_eq!(read_name, name);
            assert!(payload.is_err(), "{name}");
        }
        assert!(matches!(read(Some("[\"a\"]"), 100), (_, Ok(Value::Null))));
        assert!(matches!(read(Some("[\"a\",\"long\"]"), 5), (_, Err(Error::PayloadTooLarge(5)))));
    }
}
