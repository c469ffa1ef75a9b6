//! What handlers take from a request; refusals have our error shape.

use crate::{
    app::App,
    auth::{Administrator, AuthUser},
    config::HttpSettings,
    error::{Error, Result},
    payload::{self, Fields},
};
use axum::{
    body::{Body as AxumBody, to_bytes},
    extract::{FromRequest, FromRequestParts, Path as AxumPath, Request},
    http::{Uri, request::Parts},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::HashMap, str::FromStr, sync::Arc};
use tokio::time::timeout;

/// Who calls: found out [before](crate::limits::http) the handler runs, from the bearer token.
#[derive(Clone)]
pub struct Caller(pub Arc<AuthUser>);

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self> {
        parts.extensions.get().cloned().ok_or(Error::TokenMissing)
    }
}

/// Taken before anything else of a request is looked at, it tells nobody else what there is.
impl FromRequestParts<App> for Administrator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let Caller(caller) = Caller::from_request_parts(parts, app).await?;
        Self::of(caller)
    }
}

/// A JSON object in the body.
pub struct Body(pub Fields);

impl FromRequest<App> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, app: &App) -> Result<Self> {
        OptionalBody::from_request(request, app).await?.0.map(Self).ok_or(Error::PayloadInvalid("a JSON object is expected".into()))
    }
}

/// A JSON object in the body, or no body at all.
pub struct OptionalBody(pub Option<Fields>);

impl FromRequest<App> for OptionalBody {
    type Rejection = Error;

    async fn from_request(request: Request, _: &App) -> Result<Self> {
        // It was read, and found small enough, when the request was made whole.
        let bytes = to_bytes(request.into_body(), usize::MAX).await.map_err(Error::internal)?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        Ok(Self(Some(Fields::of(payload::parse(&bytes)?)?)))
    }
}

/// Reads the body of a request before anything is begun for it, so that no time of ours passes while it is on its way.
///
/// # Errors
/// `PAYLOAD_TOO_LARGE`, `PAYLOAD_INVALID` if it ends early, `REQUEST_TIMEOUT` if it does not end.
pub async fn whole(request: Request, settings: &HttpSettings) -> Result<Request> {
    let (head, body) = request.into_parts();
    let body = timeout(settings.body_timeout, read(body, settings.max_body as usize)).await.unwrap_or(Err(Error::RequestTimeout))?;
    Ok(Request::from_parts(head, body.into()))
}

/// Reads a body. One that is too large is read to its end all the same, within reason: a client that is still
/// writing when the connection closes does not see the answer.
async fn read(body: AxumBody, most: usize) -> Result<Vec<u8>> {
    let (mut bytes, mut total) = (Vec::new(), 0);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Error::PayloadInvalid("the body ended early".into()))?;
        total += chunk.len();
        if total <= most {
            bytes.extend_from_slice(&chunk);
        } else if total > most.saturating_mul(16) {
            break;
        }
    }
    if total > most { Err(Error::PayloadTooLarge(most)) } else { Ok(bytes) }
}

/// Parameters of the path.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let AxumPath(value) = AxumPath::from_request_parts(parts, app).await.map_err(|_| Error::NotFound)?;
        Ok(Self(value))
    }
}

/// Parameters of the query.
pub struct Query {
    given: HashMap<String, String>,
}

impl FromRequestParts<App> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self> {
        Self::of(&parts.uri)
    }
}

impl Query {
    /// Reads them.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` when they cannot be read, or hold a NUL character.
    pub fn of(uri: &Uri) -> Result<Self> {
        let query = axum::extract::Query::<HashMap<String, String>>::try_from_uri(uri);
        let given = query.map_err(|_| Error::field("query", "invalid", "The query string cannot be read."))?.0;
        if given.values().any(|value| value.contains('\0')) {
            return Err(Error::field("query", "nul", "NUL characters are not allowed."));
        }
        Ok(Self { given })
    }

    /// A parameter as it is.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(String::as_str)
    }

    /// A parameter that can be parsed.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` when it cannot.
    pub fn parsed<T: FromStr>(&self, name: &'static str) -> Result<Option<T>> {
        let parse = |text: &str| text.parse().map_err(|_| Error::field(name, "invalid", "This value cannot be read."));
        self.text(name).map(parse).transpose()
    }

    /// `limit`: 1 to `most`.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` outside of these.
    pub fn limit(&self, default: i64, most: i64) -> Result<i64> {
        let limit = self.parsed("limit")?.unwrap_or(default);
        if (1..=most).contains(&limit) { Ok(limit) } else { Err(Error::field("limit", "range", format!("1 to {most} is allowed."))) }
    }

    /// `cursor`: what `nextCursor` of the list of this name said.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` for anything else, cursors of other lists included.
    pub fn cursor<T>(&self, list: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>> {
        let Some(cursor) = self.text("cursor") else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|text| !text.contains('\0'));
        let position = text.as_deref().and_then(|text| text.strip_prefix(list)?.strip_prefix(':'));
        position.and_then(read).map(Some).ok_or_else(|| Error::field("cursor", "invalid", "This is not a cursor of this list."))
    }
}

/// About how many bytes of messages are on one page: a page that has more ends earlier, so that no small request makes a huge answer,
/// which would wait in memory for a client that does not read it.
pub const PAGE_BYTES: usize = 1 << 20;

/// How many of some items, from the first on, are together no heavier than this; always one, if there is one.
pub fn fitting<T>(items: &[T], most: usize, weight: impl Fn(&T) -> usize) -> usize {
    let mut total = 0;
    let fits = |item: &&T| {
        let is_first = total == 0;
        total += weight(item);
        is_first || total <= most
    };
    items.iter().take_while(fits).count()
}

/// A page of a list.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// What is on it.
    items: Vec<T>,
    /// Where the next page begins; `null` after the last one.
    next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of at most `limit` items of the list of this name; `position` says where the next page begins.
    pub fn new(list: &str, items: Vec<T>, limit: i64, position: impl FnOnce(&T) -> String) -> Self {
        let full = i64::try_from(items.len()).is_ok_and(|count| count >= limit);
        let next = items.last().filter(|_| full).map(position);
        Self::until(list, items, next)
    }

    /// The same for items that may be large: they are at most [`PAGE_BYTES`], but always one.
    pub fn within(list: &str, mut items: Vec<T>, limit: i64, position: impl FnOnce(&T) -> String, weight: impl Fn(&T) -> usize) -> Self {
        let fitting = fitting(&items, PAGE_BYTES, weight);
        if fitting == items.len() {
            return Self::new(list, items, limit, position);
        }
        items.truncate(fitting);
        let next = items.last().map(position);
        Self::until(list, items, next)
    }

    /// The same page of something made of its items.
    pub fn map<U>(self, make: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(make).collect(), next_cursor: self.next_cursor }
    }

    /// A page of the list of this name, and where the next one begins, if there is one.
    pub fn until(list: &str, items: Vec<T>, next: Option<String>) -> Self {
        Self { items, next_cursor: next.map(|position| cursor(list, &position)) }
    }
}

/// What [`Query::cursor`] reads.
pub fn cursor(list: &str, position: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:{position}"))
}
