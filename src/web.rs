//! What browsers load: the Socket.IO client, where Node's servers have it, and the demo page of `ires-chat dev`.

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, Method, header},
    middleware::Next,
    response::{Html, IntoResponse, Response},
    routing,
};

/// socket.io-client 4.8.4, as published on npm (MIT licence, in the file's head).
const CLIENT: &str = include_str!("../web/socket.io.min.js");
const DEMO: &str = include_str!("../web/demo.html");
const DEMO_SCRIPT: &str = include_str!("../web/demo.js");
const DEMO_STYLE: &str = include_str!("../web/demo.css");
/// The page talks to its own server and to nobody else, runs no script but ours, whatever a message could make it do, and is shown
/// in no frame.
const DEMO_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// How scripts are served.
pub const JAVASCRIPT: &str = "application/javascript; charset=utf-8";

/// Answers `GET /socket.io/socket.io.js`, so that pages written for a Node server find their script; to the engine
/// it would be a bad request.
pub async fn serve_client(request: Request, next: Next) -> Response {
    let asked = matches!(request.uri().path(), "/socket.io/socket.io.js" | "/socket.io/socket.io.min.js");
    if asked && request.method() == Method::GET {
        let headers = [
            (header::CONTENT_TYPE, JAVASCRIPT),
            (header::CACHE_CONTROL, "public, max-age=3600"),
            // Pages of other origins load it as a script.
            (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        ];
        return (headers, CLIENT).into_response();
    }
    next.run(request).await
}

/// The demo page, and what belongs to it.
pub fn demo<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", routing::get(async || ([(header::CONTENT_SECURITY_POLICY, DEMO_POLICY)], Html(DEMO))))
        .route("/demo.js", routing::get(async || ([(header::CONTENT_TYPE, JAVASCRIPT)], DEMO_SCRIPT)))
        .route("/demo.css", routing::get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], DEMO_STYLE)))
}
