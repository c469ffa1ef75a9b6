//! One event, from the packet to its acknowledgement.

use super::{Answer, Dropped, Event, Incoming, Outcome};
use crate::{
    app::App,
    draining::Work,
    error::{Error, ErrorBody, Result},
    limits::{self, Class, Source, Verdict},
    metrics::{self, UNKNOWN},
    payload,
    realtime::{Ack, Connection, wire::Outbox},
    trace::{TRACE, TraceId},
};
use futures_util::{FutureExt, future::BoxFuture};
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use socketioxide::{
    adapter::LocalAdapter,
    extract::AckSender,
    handler::{FromMessageParts, MessageHandler, Value as Packet},
    socket::Socket,
};
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};
use tokio::time::timeout;
use tracing::Instrument;

/// Most messages of one connection that are in the journal at once.
const IN_FLIGHT: usize = 256;

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

pub(super) struct Job {
    dispatcher: Dispatcher,
    /// The packet's text, `["event", payload]`; `None` for a binary one.
    raw: Option<String>,
    ack: Ack,
    arrived: Instant,
}

impl Job {
    pub(super) fn size(&self) -> usize {
        self.raw.as_ref().map_or(0, String::len)
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

pub(super) async fn begin(job: Job) {
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
        Err(error) => {
            // Should it be carried out all the same, its connection is closed as by any other end of its session.
            pending.connection.set_logs_out(false);
            pending.answer_now(Err(error));
        }
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
