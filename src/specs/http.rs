//! The documents over HTTP, and Swagger UI to read the `OpenAPI` one. None of it needs a token: it says nothing that is not
//! in the repository.

use crate::web::JAVASCRIPT;
use axum::{
    Router,
    http::{HeaderName, header},
    response::{Html, IntoResponse},
    routing::get,
};
use std::sync::LazyLock;

/// swagger-ui-dist 5.35.0, as published on npm: see web/swagger-ui/README.md.
const SCRIPT: &[u8] = include_bytes!("../../web/swagger-ui/swagger-ui-bundle.js.gz");
const STYLE: &[u8] = include_bytes!("../../web/swagger-ui/swagger-ui.css.gz");
const PAGE: &str = include_str!("../../web/swagger-ui/index.html");
const BEGIN: &str = include_str!("../../web/swagger-ui/begin.js");

/// The page loads from its own server and from nobody else, runs no script but ours, and is shown in no frame. Swagger UI sets
/// styles on elements, and its stylesheet holds its icons.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A document that is encoded when it is first asked for, and then kept.
pub type Document = &'static LazyLock<String>;

/// `/openapi.json`, `/asyncapi.json` and `/docs`.
pub fn routes<S: Clone + Send + Sync + 'static>(openapi: Document, asyncapi: Document) -> Router<S> {
    Router::new()
        .route("/openapi.json", get(async move || json(openapi)))
        .route("/asyncapi.json", get(async move || json(asyncapi)))
        .route("/docs", get(async || ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(PAGE))))
        .route("/docs/begin.js", get(async || ([(header::CONTENT_TYPE, JAVASCRIPT), KEPT], BEGIN)))
        .route("/docs/swagger-ui-bundle.js", get(async || packed(JAVASCRIPT, SCRIPT)))
        .route("/docs/swagger-ui.css", get(async || packed("text/css; charset=utf-8", STYLE)))
}

const KEPT: (HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=3600");

fn json(document: Document) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document.as_str())
}

/// A file that is packed already; every browser unpacks it.
fn packed(kind: &'static str, file: &'static [u8]) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind), (header::CONTENT_ENCODING, "gzip"), KEPT], file)
}
