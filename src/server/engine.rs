//! What comes before the engine of the sockets: who connects, on which wire, and how long a request of polling may take.

use crate::{app::App, error::Error, limits::http::Visitor, realtime::wire::RequestWire};
use axum::{
    extract::{ConnectInfo, OriginalUri, Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::time::timeout;

/// Under which path the engine is.
pub const PATH: &str = "/socket.io";
/// An Engine.IO close packet: after it a client that polls comes again by itself.
const CLOSE: &str = "1";

/// What a request of the engine says of its session.
#[derive(serde::Deserialize)]
struct Session {
    sid: Option<String>,
    transport: Option<String>,
}

/// Finds out from which address a request comes, and prepares what the engine gets to see: the request of a handshake, which it keeps
/// as long as the session lasts, and the upgrade of a session that began by polling, whose wire we must know.
pub async fn before_engine(
    State(app): State<App>,
    ConnectInfo(RequestWire(wire)): ConnectInfo<RequestWire>,
    mut request: Request,
    next: Next,
) -> Response {
    let session = request.uri().path().starts_with(PATH).then(|| Query::<Session>::try_from_uri(request.uri()).ok()).flatten();
    let Some(Query(session)) = session else {
        let visitor = Visitor::of(&app, &wire, request.headers());
        request.extensions_mut().insert(visitor);
        return next.run(request).await;
    };
    match session.sid {
        Some(sid) if session.transport.is_some_and(|transport| transport == "websocket") => match app.draining.admit() {
            Ok(()) => app.realtime.upgrades.note(&sid, &wire),
            Err(error) => return error.into_response(),
        },
        Some(sid) => return in_turn(&app, &sid, request, next).await,
        None => match app.draining.admit().and_then(|()| Visitor::shaking_hands(&app, &wire, request.headers())) {
            Ok(visitor) => {
                lighten(&mut request);
                request.extensions_mut().insert(visitor);
            }
            Err(error) => return error.into_response(),
        },
    }
    next.run(request).await
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
