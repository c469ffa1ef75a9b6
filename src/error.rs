//! The one error of this program: what went wrong, in the words of the contract.
//!
//! A variant is a fact about the request. Each has a code that never changes and a status that goes with it; a
//! caller's own fault is told in full, ours is logged once, where it leaves, and shown as `INTERNAL_ERROR` with
//! the trace id under which the log has it.

use crate::{metrics, time::Time, trace::TraceId};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use std::{borrow::Cow, collections::BTreeMap, fmt};
use tokio::task::JoinError;

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request was refused or could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something other than `auth:login` from a socket that has not authenticated.
    #[error("Authenticate first: emit auth:login with a token.")]
    AuthRequired,
    /// No token where one is due.
    #[error("A bearer token is required.")]
    TokenMissing,
    /// A token that was not made for us, or not by whom we trust.
    #[error("The token is not valid: {0}.")]
    TokenInvalid(&'static str),
    /// A token past its `exp`.
    #[error("The token has expired.")]
    TokenExpired,
    /// A socket that did not authenticate in time.
    #[error("No valid token arrived in time.")]
    AuthTimeout,
    /// A session that was logged out or revoked.
    #[error("The session was revoked.")]
    Revoked,
    /// A `userType` that the token does not carry or the namespace does not admit.
    #[error("This user type is not admitted here.")]
    UserTypeInvalid,
    /// `auth:login` as somebody else on an authenticated socket.
    #[error("The socket belongs to another user: connect anew to change users.")]
    IdentityMismatch,
    /// Unknown user or wrong password: the caller does not learn which.
    #[error("The user name or the password is wrong.")]
    InvalidCredentials,
    /// Fields that break a rule, each named with its reasons.
    #[error("Some fields are not valid: {}.", names(.0))]
    Validation(BTreeMap<Cow<'static, str>, Vec<FieldFault>>),
    /// Not even the right kind of payload.
    #[error("The payload cannot be read: {0}.")]
    PayloadInvalid(Cow<'static, str>),
    /// More bytes than one event or body may have.
    #[error("The payload is larger than {0} bytes.")]
    PayloadTooLarge(usize),
    /// An event that this namespace does not know.
    #[error("There is no such event.")]
    UnknownEvent,
    /// Known, but not allowed.
    #[error("You may not do this: {0}.")]
    Forbidden(&'static str),
    /// No such room, or one that the caller may not see: the two are one answer.
    #[error("There is no such room.")]
    RoomNotFound,
    /// A room that the caller sees but is not in.
    #[error("You are not a member of this room.")]
    NotAMember,
    /// A banned user at the door, or somebody who would bring one in.
    #[error("Who is banned from this room cannot come in.")]
    Banned,
    /// A muted member who speaks.
    #[error("You are muted in this room.")]
    Muted,
    /// Speaking in a room that can only be read.
    #[error("The room is archived.")]
    RoomArchived,
    /// Users that do not exist, by the names they were asked for.
    #[error("There is no such user: {}.", .0.join(", "))]
    UserNotFound(Vec<String>),
    /// No such message, or one in a room that the caller may not see.
    #[error("There is no such message.")]
    MessageNotFound,
    /// An edit of what was said too long ago.
    #[error("The time in which this message could be edited is over.")]
    EditWindowClosed,
    /// The thing exists already, or changed meanwhile.
    #[error("{0}")]
    Conflict(&'static str),
    /// A `clientMsgId` or `clientRoomId` that was used for something else.
    #[error("This client id was used with other content.")]
    IdempotencyMismatch,
    /// Too much at once.
    #[error("Too many requests: slow down.")]
    RateLimited {
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
    /// More connections of one user, or from one address, than there may be.
    #[error("There are too many connections: close one, or come again later.")]
    ConnectionLimit,
    /// Something that was begun too late: the server stops, and another one, or it itself, is there in a moment.
    #[error("The server is about to restart: try again in a moment.")]
    Draining,
    /// A request that did not arrive whole in time.
    #[error("The request did not arrive in time.")]
    RequestTimeout,
    /// A client that reads more slowly than it is written to.
    #[error("You read too slowly and missed something: connect anew.")]
    SlowConsumer,
    /// The database, or the server's patience, is not there at the moment. Nothing is known to be lost: try again.
    #[error("The service is not available at the moment: try again.")]
    Unavailable,
    /// An unknown route or resource.
    #[error("There is nothing here.")]
    NotFound,
    /// A known route, but not with this method.
    #[error("This method is not allowed here.")]
    MethodNotAllowed,
    /// Our own fault.
    #[error("Something went wrong on our side.")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The codes, which never change.
pub struct Code;

impl JsonSchema for Code {
    fn schema_name() -> Cow<'static, str> {
        "ErrorCode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "The stable code of an error: new ones may come, and none changes.", "type": "string", "enum": CODES.as_slice() })
    }
}

/// Every code, as [`Error::code`] gives them. The last one is that of a fault of ours.
pub const CODES: [&str; 33] = [
    "AUTH_REQUIRED",
    "AUTH_TOKEN_MISSING",
    "AUTH_TOKEN_INVALID",
    "AUTH_TOKEN_EXPIRED",
    "AUTH_TIMEOUT",
    "AUTH_REVOKED",
    "AUTH_USER_TYPE_INVALID",
    "AUTH_IDENTITY_MISMATCH",
    "INVALID_CREDENTIALS",
    "VALIDATION_ERROR",
    "PAYLOAD_INVALID",
    "PAYLOAD_TOO_LARGE",
    "UNKNOWN_EVENT",
    "FORBIDDEN",
    "ROOM_NOT_FOUND",
    "NOT_A_MEMBER",
    "BANNED",
    "MUTED",
    "ROOM_ARCHIVED",
    "USER_NOT_FOUND",
    "MESSAGE_NOT_FOUND",
    "EDIT_WINDOW_CLOSED",
    "CONFLICT",
    "IDEMPOTENCY_MISMATCH",
    "RATE_LIMITED",
    "CONNECTION_LIMIT",
    "SERVER_DRAINING",
    "REQUEST_TIMEOUT",
    "SLOW_CONSUMER",
    "UNAVAILABLE",
    "NOT_FOUND",
    "METHOD_NOT_ALLOWED",
    "INTERNAL_ERROR",
];

/// One reason why a field is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldFault {
    /// `required`, `type`, `too_short`, `too_long`, `nul`, `surrogate`, `range` or `invalid`; of a new password also `frequent`, `obvious` or
    /// `breached`.
    pub code: &'static str,
    /// The rule in words.
    pub message: Cow<'static, str>,
}

fn names(fields: &BTreeMap<Cow<'static, str>, Vec<FieldFault>>) -> String {
    fields.keys().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

/// The error object of the contract, the same on sockets and over REST.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// The stable code.
    #[schemars(with = "Code")]
    code: &'static str,
    /// A sentence for people.
    message: String,
    /// The HTTP status that goes with the code.
    status: u16,
    /// Whether the same may work later.
    retryable: bool,
    /// When to try again, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// Which event failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    /// The `clientMsgId` or `clientRoomId` of what failed.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<BTreeMap<Cow<'static, str>, Vec<FieldFault>>>,
    /// Under which the server's log has it: the trace of the request's `traceparent`, or else its `X-Request-Id`.
    #[schemars(with = "String")]
    trace_id: TraceId,
    /// When it failed.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    timestamp: DateTime<Utc>,
}

impl ErrorBody {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Says which event failed, and by which of the client's own ids it can be recognised.
    #[must_use]
    pub fn about(mut self, event: &str, reference: Option<String>) -> Self {
        self.event = Some(event.to_owned());
        self.reference = reference;
        self
    }
}

impl Error {
    /// One field with one fault.
    pub fn field(name: &'static str, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Validation(BTreeMap::from([(name.into(), vec![FieldFault { code, message: message.into() }])]))
    }

    /// Our own fault, from whatever says so.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }

    /// The code and the HTTP status that goes with it.
    pub fn code(&self) -> (&'static str, StatusCode) {
        match self {
            Self::AuthRequired => ("AUTH_REQUIRED", StatusCode::UNAUTHORIZED),
            Self::TokenMissing => ("AUTH_TOKEN_MISSING", StatusCode::UNAUTHORIZED),
            Self::TokenInvalid(_) => ("AUTH_TOKEN_INVALID", StatusCode::UNAUTHORIZED),
            Self::TokenExpired => ("AUTH_TOKEN_EXPIRED", StatusCode::UNAUTHORIZED),
            Self::AuthTimeout => ("AUTH_TIMEOUT", StatusCode::UNAUTHORIZED),
            Self::Revoked => ("AUTH_REVOKED", StatusCode::UNAUTHORIZED),
            Self::UserTypeInvalid => ("AUTH_USER_TYPE_INVALID", StatusCode::FORBIDDEN),
            Self::IdentityMismatch => ("AUTH_IDENTITY_MISMATCH", StatusCode::CONFLICT),
            Self::InvalidCredentials => ("INVALID_CREDENTIALS", StatusCode::UNAUTHORIZED),
            Self::Validation(_) => ("VALIDATION_ERROR", StatusCode::BAD_REQUEST),
            Self::PayloadInvalid(_) => ("PAYLOAD_INVALID", StatusCode::BAD_REQUEST),
            Self::PayloadTooLarge(_) => ("PAYLOAD_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnknownEvent => ("UNKNOWN_EVENT", StatusCode::NOT_FOUND),
            Self::Forbidden(_) => ("FORBIDDEN", StatusCode::FORBIDDEN),
            Self::RoomNotFound => ("ROOM_NOT_FOUND", StatusCode::NOT_FOUND),
            Self::NotAMember => ("NOT_A_MEMBER", StatusCode::FORBIDDEN),
            Self::Banned => ("BANNED", StatusCode::FORBIDDEN),
            Self::Muted => ("MUTED", StatusCode::FORBIDDEN),
            Self::RoomArchived => ("ROOM_ARCHIVED", StatusCode::FORBIDDEN),
            Self::UserNotFound(_) => ("USER_NOT_FOUND", StatusCode::NOT_FOUND),
            Self::MessageNotFound => ("MESSAGE_NOT_FOUND", StatusCode::NOT_FOUND),
            Self::EditWindowClosed => ("EDIT_WINDOW_CLOSED", StatusCode::FORBIDDEN),
            Self::Conflict(_) => ("CONFLICT", StatusCode::CONFLICT),
            Self::IdempotencyMismatch => ("IDEMPOTENCY_MISMATCH", StatusCode::CONFLICT),
            Self::RateLimited { .. } => ("RATE_LIMITED", StatusCode::TOO_MANY_REQUESTS),
            Self::ConnectionLimit => ("CONNECTION_LIMIT", StatusCode::TOO_MANY_REQUESTS),
            Self::Draining => ("SERVER_DRAINING", StatusCode::SERVICE_UNAVAILABLE),
            Self::RequestTimeout => ("REQUEST_TIMEOUT", StatusCode::REQUEST_TIMEOUT),
            Self::SlowConsumer => ("SLOW_CONSUMER", StatusCode::SERVICE_UNAVAILABLE),
            Self::Unavailable => ("UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE),
            Self::NotFound => ("NOT_FOUND", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => ("METHOD_NOT_ALLOWED", StatusCode::METHOD_NOT_ALLOWED),
            Self::Internal(_) => ("INTERNAL_ERROR", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// When to try again, if that is known.
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Unavailable | Self::SlowConsumer | Self::RequestTimeout => Some(1_000),
            // About as long as a restart takes.
            Self::Draining => Some(3_000),
            Self::RateLimited { retry_after_ms } => Some(*retry_after_ms),
            Self::ConnectionLimit => Some(5_000),
            _ => None,
        }
    }

    /// Whether it is the token that was presented, or was not, that is refused.
    pub fn is_about_a_token(&self) -> bool {
        matches!(self, Self::TokenMissing | Self::TokenInvalid(_) | Self::TokenExpired | Self::Revoked)
    }

    /// A fault of ours that was logged where it happened: see [`telemetry`](crate::telemetry).
    pub fn panicked() -> Self {
        Self::internal(Panicked)
    }

    /// Makes the object that the caller sees. The only place where a fault of ours is logged, unless it was a panic.
    pub fn into_body(self, trace_id: TraceId) -> ErrorBody {
        let (code, status) = self.code();
        metrics::note_error(code);
        if let Self::Internal(cause) = &self
            && !cause.is::<Panicked>()
        {
            tracing::error!(trace.id = %trace_id, error = %Causes(cause.as_ref()), "a request failed");
        }
        let retry_after_ms = self.retry_after_ms();
        let message = self.to_string();
        let fields = match self {
            Self::Validation(fields) => Some(fields),
            _ => None,
        };
        ErrorBody {
            code,
            message,
            status: status.as_u16(),
            retryable: retry_after_ms.is_some(),
            retry_after_ms,
            event: None,
            reference: None,
            fields,
            trace_id,
            timestamp: Utc::now(),
        }
    }
}

/// A task panicked.
#[derive(Debug, thiserror::Error)]
#[error("a task panicked")]
struct Panicked;

/// A task's work is lost; if it panicked, that was logged already, and with care for what its words may quote.
impl From<JoinError> for Error {
    fn from(error: JoinError) -> Self {
        if error.is_panic() { Self::panicked() } else { Self::internal(error) }
    }
}

struct Causes<'a>(&'a dyn std::error::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

impl From<sqlx::Error> for Error {
    /// A database that is away, restarting, overloaded or out of space is worth another try; anything else is our fault.
    fn from(error: sqlx::Error) -> Self {
        let away = match &error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => true,
            // https://www.postgresql.org/docs/current/errcodes-appendix.html: connection exceptions, insufficient
            // resources, operator intervention, system errors, read-only transactions, deadlocks past our retries, and rows that somebody else held for
            // too long.
            sqlx::Error::Database(database) => database.code().is_some_and(|code| {
                ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) || ["25006", "40001", "40P01", "55P03"].contains(&code.as_ref())
            }),
            _ => false,
        };
        if away {
            tracing::warn!(error = %error, "the database did not answer");
            Self::Unavailable
        } else {
            Self::internal(error)
        }
    }
}

/// Whether this is a violation of the constraint or unique index of that name: uniqueness is the database's to decide.
pub fn violates(error: &sqlx::Error, constraint: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::constraint) == Some(constraint)
}

/// An error over REST: RFC 9457 members around the contract's error object.
#[derive(Serialize, JsonSchema)]
pub struct Problem<'a> {
    /// `about:blank`: the code says more than an address could.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The same as `message`.
    detail: &'a str,
    #[serde(flatten)]
    body: &'a ErrorBody,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (_, status) = self.code();
        let body = self.into_body(TraceId::current());
        match body.code {
            // What is too much is logged where it is counted, and not every time; a fault of ours, where it is one.
            "RATE_LIMITED" | "INTERNAL_ERROR" => {}
            // Anybody can ask for anything, as often as they like.
            "NOT_FOUND" | "METHOD_NOT_ALLOWED" => tracing::debug!(code = body.code, "a request is refused"),
            _ => tracing::info!(code = body.code, "a request is refused"),
        }
        let problem = Problem { kind: "about:blank", title: status.canonical_reason().unwrap_or("Error"), detail: &body.message, body: &body };
        let json = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], json).into_response();
        let headers = response.headers_mut();
        if let Some(ms) = body.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
