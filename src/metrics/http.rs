//! `GET /metrics`, and the count of requests.
//!
//! The page is for whoever has `CHAT_METRICS_TOKEN`; where there is none, there is no page. It is not enough to look at the address that asks: behind a
//! proxy on the same machine every stranger has that of the machine itself.

use super::{page, times};
use crate::{
    app::App,
    error::{Error, Result},
    limits::{
        Class,
        http::{Visitor, bearer},
    },
    socket::Event,
};
use axum::{
    Extension, Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::Response,
    routing::get,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text::CONTENT_TYPE},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};
use sha2::{Digest, Sha256};
use std::{sync::LazyLock, time::Instant};

/// `/metrics`, with the counts of these events.
pub fn routes(events: &'static [Event]) -> Router<App> {
    let show = async move |State(app): State<App>, Extension(visitor): Extension<Visitor>, headers: HeaderMap| match admit(&app, &headers) {
        Ok(()) => Ok(([(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")], page::write(&app, events))),
        Err(error) if error.is_about_a_token() => Err(too_many(&app, &visitor).unwrap_or(error)),
        Err(error) => Err(error),
    };
    Router::new().route("/metrics", get(show))
}

fn admit(app: &App, headers: &HeaderMap) -> Result<()> {
    let token = app.settings.http.metrics_token.as_ref().ok_or(Error::NotFound)?;
    // Hashes are compared, so that the time it takes says nothing of the token.
    let is_right = Sha256::digest(bearer(headers)?) == Sha256::digest(token.reveal());
    if is_right { Ok(()) } else { Err(Error::TokenInvalid("it is not CHAT_METRICS_TOKEN")) }
}

/// Bad tokens are limited as they are everywhere.
fn too_many(app: &App, visitor: &Visitor) -> Option<Error> {
    let refusal = app.limits.take_of_address(Class::Connect, visitor.address()).refusal()?;
    visitor.note_refusal(app, Class::Connect);
    Some(refusal)
}

/// A route's template, or `none`, and how it answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Answer {
    route: String,
    method: &'static str,
    status: u16,
}

/// How many answers there were.
pub(super) static ANSWERS: LazyLock<Family<Answer, Counter>> = LazyLock::new(Family::default);
/// How long they took, by route.
pub(super) static LATENCY: LazyLock<Family<[(&'static str, String); 1], Histogram>> = LazyLock::new(|| Family::new_with_constructor(times));

/// Counts a request, and says in the log how it was answered.
pub async fn count(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let (route, method) = (request.extensions().get::<MatchedPath>().cloned(), name_of(request.method()));
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    tracing::Span::current().record("route", route);
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let ms = u64::try_from(begun.elapsed().as_millis()).ok();
    tracing::debug!(method, route, status, ms, "a request was answered");
    LATENCY.get_or_create(&[("route", route.to_owned())]).observe(begun.elapsed().as_secs_f64());
    ANSWERS.get_or_create(&Answer { route: route.to_owned(), method, status }).inc();
    response
}

/// Clients may make methods up.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
