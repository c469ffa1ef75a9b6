//! What comes before the engine of the sockets: who connects, on which wire, and how long a request of polling may take.

use crate::{
    app::App,
    error::Error,
    limits::http::Visitor,
    realtime::wire::{RequestWire, Wire},
};
use axum::{
    extract::{ConnectInfo, OriginalUri, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::sync::Arc;
use tokio::time::timeout;

/// Under which path the engine is.
pub const PATH: &str = "/socket.io";
/// An Engine.IO close packet: after it a client that polls comes again by itself.
const CLOSE: &str = "1";

/// What a request of the engine says of its session.
struct Session {
    sid: Option<String>,
    is_websocket: bool,
}

impl Session {
    /// Reads it as the engine does: of what comes twice the first counts, as it stands. A request that is one thing here and another to
    /// the engine would open a session that takes no place.
    fn of(uri: &Uri) -> Self {
        let first = |name: &str| uri.query()?.split('&').find_map(|given| given.strip_prefix(name));
        let transport = first("transport=").and_then(|transport| transport.split('=').next());
        Self { sid: first("sid=").map(str::to_owned), is_websocket: transport == Some("websocket") }
    }
}

/// Finds out from which address a request comes, and prepares what the engine gets to see: the request of a handshake, which it keeps
/// as long as the session lasts, and the upgrade of a session that began by polling, whose wire we must know.
pub async fn before_engine(
    State(app): State<App>,
    ConnectInfo(RequestWire(wire)): ConnectInfo<RequestWire>,
    mut request: Request,
    next: Next,
) -> Response {
    if !request.uri().path().starts_with(PATH) {
        let visitor = Visitor::of(&app, &wire, request.headers());
        request.extensions_mut().insert(visitor);
        return next.run(request).await;
    }
    match Session::of(request.uri()) {
        Session { sid: Some(sid), is_websocket: true } => match app.draining.admit() {
            Ok(()) => upgrade(&app, &sid, &wire, request, next).await,
            Err(error) => error.into_response(),
        },
        Session { sid: Some(sid), .. } => in_turn(&app, &sid, request, next).await,
        Session { sid: None, is_websocket } => match app.draining.admit().and_then(|()| Visitor::shaking_hands(&app, &wire, request.headers())) {
            Ok(visitor) => {
                lighten(&mut request);
                if !is_websocket {
                    // It is told on the wire that it goes on on, if it does: this one may be a proxy's, and the next reply on it somebody else's.
                    request.extensions_mut().remove::<ConnectInfo<RequestWire>>();
                }
                request.extensions_mut().insert(visitor);
                next.run(request).await
            }
            Err(error) => error.into_response(),
        },
    }
}

/// A session that polls asks to go on on this wire. What the engine refuses is not kept: anybody may ask, under any name.
async fn upgrade(app: &App, sid: &str, wire: &Arc<Wire>, request: Request, next: Next) -> Response {
    if !app.realtime.upgrades.note(sid, wire) {
        return Error::ConnectionLimit.into_response();
    }
    let response = next.run(request).await;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        app.realtime.upgrades.forget(sid);
    }
    response
}

/// A request of a session that polls: it is given what waits for it until its server stops, and brings its events in time.
async fn in_turn(app: &App, sid: &str, request: Request, next: Next) -> Response {
    if request.method() == Method::POST {
        let limit = app.settings.http.body_timeout;
        return timeout(limit, next.run(request)).await.unwrap_or_else(|_| Error::RequestTimeout.into_response());
    }
    tokio::select! {
        biased;
        response = next.run(request) => response,
        () = app.draining.ends(sid) => ([(header::CONTENT_TYPE, "text/plain; charset=UTF-8")], CLOSE).into_response(),
    }
}

/// Keeps of a request only what the engine and we look at, copied: whatever is left of it as it came keeps hyper's whole
/// read buffer alive, 8 to 16 KiB a connection.
fn lighten(request: &mut Request) {
    const KEPT: [HeaderName; 9] = [
        header::AUTHORIZATION,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::ORIGIN,
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_VERSION,
        header::UPGRADE,
        header::USER_AGENT,
    ];
    let copied = |name: &HeaderName| HeaderValue::from_bytes(request.headers().get(name)?.as_bytes()).ok();
    let headers: HeaderMap = KEPT.into_iter().filter_map(|name| copied(&name).map(|value| (name, value))).collect();
    if let Ok(uri) = Uri::try_from(request.uri().to_string()) {
        *request.uri_mut() = uri;
    }
    *request.headers_mut() = headers;
    request.extensions_mut().remove::<OriginalUri>();
}
