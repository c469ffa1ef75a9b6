//! How an event is answered.
//!
//! Every connection has one *lane*: its events are answered in the order in which they came, and each gets exactly
//! one acknowledgement, `{ok: true, data}` or `{ok: false, error}`, a failure also as `system:error`. Sending
//! messages is the exception in speed, not in order: a message that stands in the journal's queue lets the next
//! event begin, and whatever is not a message waits until those before it are done.
//!
//! socketioxide would run each handler in a task of its own, in any order, and skip it when a payload does not
//! parse. So one [`Dispatcher`] takes every event raw, in the task that reads the socket.

pub(crate) mod dispatch;
mod lane;

pub use dispatch::Dispatcher;
pub use lane::Lane;

use crate::{
    app::App,
    auth::AuthUser,
    error::{Error, Result},
    limits::Class,
    payload::Fields,
    realtime::{Connection, wire::Outbox},
    specs::schemas::Shape,
};
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};
use std::{collections::BTreeMap, sync::Arc};

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
