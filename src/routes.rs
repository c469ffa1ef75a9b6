//! How a route is registered: with its class, and with its description, which the `OpenAPI` document is made of.
//!
//! [`Routes`] is a router that takes no route without the class of its limit and an [`Operation`]. What follows from a path (its parameters, and that
//! there may be no such room) or holds for every route is said here once.

use crate::{
    app::App,
    error::Error,
    limits::Class,
    socket::Event,
    specs::schemas::{Shape, shape},
};
use axum::{
    Router,
    handler::Handler,
    http::{Method, StatusCode},
    routing::{MethodFilter, on},
};
use schemars::JsonSchema;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Routes of one feature, or of all.
pub struct Routes {
    tag: &'static str,
    router: Router<App>,
    described: Vec<Route>,
}

/// A route as it is described.
pub struct Route {
    /// How it is asked.
    pub method: Method,
    /// With `{parameters}`.
    pub path: &'static str,
    /// The bucket that it takes a token of; none for what an operator asks.
    pub class: Option<Class>,
    /// The feature that it belongs to.
    pub tag: &'static str,
    /// What it does.
    pub operation: Operation,
}

impl Routes {
    /// No routes yet, of this feature.
    pub fn of(tag: &'static str) -> Self {
        Self { tag, router: Router::new(), described: Vec::new() }
    }

    /// Answers GET.
    #[must_use]
    pub fn get<T: 'static>(self, path: &'static str, class: impl Into<Option<Class>>, handler: impl Handler<T, App>, operation: Operation) -> Self {
        self.on((Method::GET, MethodFilter::GET), path, class.into(), handler, operation)
    }

    /// Answers POST.
    #[must_use]
    pub fn post<T: 'static>(self, path: &'static str, class: impl Into<Option<Class>>, handler: impl Handler<T, App>, operation: Operation) -> Self {
        self.on((Method::POST, MethodFilter::POST), path, class.into(), handler, operation)
    }

    /// Answers PUT.
    #[must_use]
    pub fn put<T: 'static>(self, path: &'static str, class: impl Into<Option<Class>>, handler: impl Handler<T, App>, operation: Operation) -> Self {
        self.on((Method::PUT, MethodFilter::PUT), path, class.into(), handler, operation)
    }

    /// Answers PATCH.
    #[must_use]
    pub fn patch<T: 'static>(self, path: &'static str, class: impl Into<Option<Class>>, handler: impl Handler<T, App>, operation: Operation) -> Self {
        self.on((Method::PATCH, MethodFilter::PATCH), path, class.into(), handler, operation)
    }

    /// Answers DELETE.
    #[must_use]
    pub fn delete<T: 'static>(
        self,
        path: &'static str,
        class: impl Into<Option<Class>>,
        handler: impl Handler<T, App>,
        operation: Operation,
    ) -> Self {
        self.on((Method::DELETE, MethodFilter::DELETE), path, class.into(), handler, operation)
    }

    fn on<T: 'static>(
        mut self,
        (method, filter): (Method, MethodFilter),
        path: &'static str,
        class: Option<Class>,
        handler: impl Handler<T, App>,
        operation: Operation,
    ) -> Self {
        self.described.push(Route { method, path, class, tag: self.tag, operation });
        Self { router: self.router.route(path, on(filter, handler)), ..self }
    }

    /// Adds the routes of another feature.
    #[must_use]
    pub fn merge(mut self, mut other: Self) -> Self {
        self.described.append(&mut other.described);
        Self { router: self.router.merge(other.router), ..self }
    }

    /// The router, and what was described.
    pub fn split(self) -> (Router<App>, Vec<Route>) {
        (self.router, self.described)
    }
}

/// What a route does, takes and answers.
pub struct Operation {
    /// A name that generated clients call it by.
    pub id: &'static str,
    /// A sentence.
    pub about: &'static str,
    /// Whether it needs no token.
    pub open: bool,
    /// Parameters of the query and headers.
    pub parameters: Vec<Value>,
    /// The body, if it takes one, and whether it must be there.
    pub body: Option<(Shape, bool)>,
    /// Statuses of success, when they are answered, and with what.
    pub answers: Vec<(StatusCode, &'static str, Option<Shape>)>,
    /// Why it is refused, besides what follows from the rest: codes and statuses.
    pub refusals: Vec<(&'static str, StatusCode)>,
}

impl Operation {
    /// An operation that takes nothing, answers nothing and refuses nothing.
    pub fn new(id: &'static str, about: &'static str) -> Self {
        Self { id, about, open: false, parameters: Vec::new(), body: None, answers: Vec::new(), refusals: Vec::new() }
    }

    /// Needs no token.
    #[must_use]
    pub fn open(self) -> Self {
        Self { open: true, ..self }
    }

    /// Takes a parameter in the query.
    #[must_use]
    pub fn query(self, name: &'static str, about: &'static str, schema: Value) -> Self {
        let mut parameter = json!({ "name": name, "in": "query", "description": about });
        parameter["schema"] = schema;
        self.parameter(parameter)
    }

    /// Takes a parameter, as `OpenAPI` writes it.
    #[must_use]
    pub fn parameter(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Takes `limit`.
    #[must_use]
    pub fn limited(self, default: i64, most: i64) -> Self {
        self.query("limit", "How many at the most.", json!({ "type": "integer", "minimum": 1, "maximum": most, "default": default }))
    }

    /// Takes `limit` and `cursor`.
    #[must_use]
    pub fn paged(self, default: i64) -> Self {
        self.limited(default, 100).query("cursor", "The `nextCursor` of the page before.", json!({ "type": "string" }))
    }

    /// Takes a body.
    #[must_use]
    pub fn body<T: JsonSchema>(self) -> Self {
        Self { body: Some((shape::<T>, true)), ..self }
    }

    /// Takes a body, which may be missing.
    #[must_use]
    pub fn optional_body<T: JsonSchema>(self) -> Self {
        Self { body: Some((shape::<T>, false)), ..self }
    }

    /// Takes the payload of an event as its body, without what the path says.
    #[must_use]
    pub fn body_of(self, event: &Event) -> Self {
        Self { body: Some((event.payload, true)), ..self }
    }

    /// Takes the payload of an event as its body, without what the path says; it may be missing.
    #[must_use]
    pub fn optional_body_of(self, event: &Event) -> Self {
        Self { body: Some((event.payload, false)), ..self }
    }

    /// Answers with something.
    #[must_use]
    pub fn answers<T: JsonSchema>(self, status: StatusCode, when: &'static str) -> Self {
        self.answer(status, when, Some(shape::<T>))
    }

    /// Answers 200 with something.
    #[must_use]
    pub fn gives<T: JsonSchema>(self) -> Self {
        self.answers::<T>(StatusCode::OK, "Here it is.")
    }

    /// Answers 204.
    #[must_use]
    pub fn gives_nothing(self) -> Self {
        self.answer(StatusCode::NO_CONTENT, "It is done.", None)
    }

    /// Answers 200 with what an event is acknowledged with, and is refused for the same reasons.
    #[must_use]
    pub fn like(self, event: &Event) -> Self {
        self.answer(StatusCode::OK, "It is done, or was so already.", Some(event.answer)).refuses_like(event)
    }

    fn answer(mut self, status: StatusCode, when: &'static str, shape: Option<Shape>) -> Self {
        self.answers.push((status, when, shape));
        self
    }

    /// May be refused for these reasons.
    #[must_use]
    pub fn refuses(mut self, refusals: &[Error]) -> Self {
        self.refusals.extend(refusals.iter().map(Error::code));
        self
    }

    /// May be refused for the reasons for which an event is.
    #[must_use]
    pub fn refuses_like(self, event: &Event) -> Self {
        self.refuses(event.refusals)
    }
}

impl Route {
    /// The parameters of the path.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static PathParameter> {
        let segments: Vec<&str> = self.path.split('/').collect();
        let known = |before: &str, name: &str| PATH_PARAMETERS.iter().find(|known| (known.after, known.name) == (before, name));
        let found = segments.windows(2).filter_map(|pair| known(pair[0], pair[1].strip_prefix('{')?.strip_suffix('}')?));
        found.collect::<Vec<_>>().into_iter()
    }

    /// Every code that it may be refused with, and its status.
    pub fn refusals(&self) -> BTreeSet<(StatusCode, &'static str)> {
        let Operation { open, parameters, body, refusals, .. } = &self.operation;
        let mut all = vec![Error::Unavailable, Error::internal("")];
        if self.class.is_some() {
            all.push(Error::RateLimited { retry_after_ms: 0 });
        }
        if !open {
            all.extend([Error::TokenMissing, Error::TokenInvalid(""), Error::TokenExpired, Error::Revoked, Error::UserTypeInvalid]);
        }
        if body.is_some() {
            all.extend([Error::PayloadInvalid("".into()), Error::PayloadTooLarge(0)]);
        }
        if !self.method.is_safe() {
            // A body that nobody asked for must come in time, too, and may be too large.
            all.extend([Error::Draining, Error::RequestTimeout, Error::PayloadTooLarge(0)]);
        }
        if body.is_some() || !parameters.is_empty() {
            all.push(Error::Validation(BTreeMap::new()));
        }
        if self.path.contains('{') {
            // A path that is no UTF-8.
            all.push(Error::NotFound);
        }
        all.extend(self.path_parameters().map(|parameter| (parameter.missing)()));
        all.iter().map(Error::code).chain(refusals.iter().copied()).map(|(code, status)| (status, code)).collect()
    }
}

/// A parameter of a path.
pub struct PathParameter {
    /// The segment before it.
    after: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What events call it.
    pub field: &'static str,
    /// What it is.
    pub about: &'static str,
    /// The refusal if there is no such thing.
    missing: fn() -> Error,
}

const fn parameter(after: &'static str, name: &'static str, field: &'static str, about: &'static str, missing: fn() -> Error) -> PathParameter {
    PathParameter { after, name, field, about, missing }
}

const PATH_PARAMETERS: &[PathParameter] = &[
    parameter("rooms", "room", "roomId", "The room's id or slug.", || Error::RoomNotFound),
    parameter("messages", "id", "messageId", "The message's id.", || Error::MessageNotFound),
    parameter("messages", "seq", "seq", "The message's number in its room.", || Error::MessageNotFound),
    parameter("reactions", "emoji", "emoji", "The emoji, percent-encoded.", || Error::Validation(BTreeMap::new())),
    parameter("sessions", "id", "sessionId", "The session's id.", || Error::NotFound),
    parameter("users", "id", "userId", "The user's id.", || Error::UserNotFound(Vec::new())),
    parameter("members", "user", "userId", "The user's id, or the user name of an own account.", || Error::UserNotFound(Vec::new())),
    parameter("bans", "user", "userId", "The user's id.", || Error::UserNotFound(Vec::new())),
    parameter("mutes", "user", "userId", "The user's id.", || Error::UserNotFound(Vec::new())),
];
