//! Assembly: every route, every namespace, the order of the layers, and the life of the server.

use crate::{
    app::{App, Parts},
    auth::{self, passwords::Passwords, tokens::Keys},
    config::{AuthMode, HttpSettings, Settings, SocketSettings, Switch, Transport},
    database,
    error::{Error, TRACE_ID, trace_id},
    limits::{
        Limits,
        http::{RATE_LIMIT, RATE_LIMIT_POLICY, Visitor, limited},
    },
    lobby,
    messages::{self, journal::Journal},
    presence::{self, Presence},
    realtime::{
        Realtime,
        wire::{RequestWire, Wires},
    },
    receipts::{self, Receipts},
    rooms,
    routes::{Operation, Routes},
    search::{self, Search},
    session, specs, sync, users, web,
};
use axum::{
    Json, Router,
    extract::{ConnectInfo, OriginalUri, Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use socketioxide::{
    ParserConfig, SocketIo, TransportType,
    extract::{SocketRef, TryData},
    handler::ConnectHandler,
    layer::SocketIoLayer,
};
use sqlx::postgres::PgConnectOptions;
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};
use uuid::Uuid;

/// Under which path the routes of features are.
const API: &str = "/api/v1";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What a WebSocket keeps to read into; a larger event grows it for a while. The engine's own default is 4 KiB.
const READ_BUFFER: usize = 1_024;
/// How long a server that stops waits for what is under way, and then for its sockets.
const FAREWELL: Duration = Duration::from_secs(5);

/// Gets a server ready on a database: migrates it, makes the default room, starts the tasks.
///
/// # Errors
/// One line for the operator.
pub async fn prepare(settings: Settings) -> Result<App, String> {
    let url = settings.database.database_url.clone().ok_or("DATABASE_URL is missing: set it, or run `ires-chat dev` to try things out")?;
    let secret = settings.auth.jwt_secret.clone().ok_or("JWT_SECRET is missing")?;
    let options = database::options(&url, settings.database.database_timeout)?;
    let (default_room, epoch) = prepare_database(&options, &settings).await?;
    let keys = Keys::new(&settings.auth, &secret);
    let passwords = tokio::task::spawn_blocking(Passwords::new).await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let realtime = Arc::new(Realtime::default());
    let turns = Arc::default();
    let (presence, edges) = Presence::new();
    let options = database::lasting(options);
    let (db, patience) = (database::pool(options.clone(), &settings.database), settings.database.database_timeout);
    let app = App::new(Parts {
        limits: Limits::new(&settings.limits),
        identities: auth::identities(db.clone(), default_room, patience),
        sessions: auth::Sessions::new(auth::BELIEVED, auth::REMEMBERED),
        arrivals: session::arrivals(db.clone(), realtime.clone(), patience),
        snapshots: lobby::snapshots::snapshots(db.clone(), patience),
        db,
        keys,
        passwords,
        journal: Journal::start(options.clone(), patience, realtime.clone(), Arc::clone(&turns)),
        realtime,
        turns,
        slugs: rooms::Slugs::default(),
        slow_rooms: rooms::slow::SlowRooms::default(),
        presence,
        typing: presence::typing::Typing::default(),
        receipts: Receipts::default(),
        quiet_rooms: lobby::QuietRooms::default(),
        search: Search::default(),
        default_room,
        epoch,
        settings,
    });
    app.slow_rooms.refresh(&app.db).await.map_err(|error| error.to_string())?;
    tokio::spawn(presence::tell_edges(app.clone(), edges));
    tokio::spawn(receipts::telling::tell_moved(app.clone()));
    tokio::spawn(session::watch(app.clone()));
    tokio::spawn(lobby::roles::watch(app.clone()));
    tokio::spawn(search::indexing::run(app.clone(), options));
    Ok(app)
}

async fn prepare_database(options: &PgConnectOptions, settings: &Settings) -> Result<(rooms::RoomId, Uuid), String> {
    let mut db = database::inspect(options, settings.database.allow_unsafe_database).await?;
    if settings.database.migrate == Switch::On {
        database::migrate(&mut db).await.map_err(|error| format!("the database cannot be migrated: {error}"))?;
    }
    let states = database::migration_states(&mut db).await.map_err(|error| error.to_string())?;
    if let Some(missing) = states.iter().find(|state| !state.applied) {
        return Err(format!("the database lacks migration {} ({}): run `ires-chat migrate run`", missing.version, missing.description));
    }
    let default_room = rooms::store::ensure_default_room(&mut db, &settings.chat.default_room).await.map_err(|error| error.to_string())?;
    let epoch = database::epoch(&mut db).await.map_err(|error| error.to_string())?;
    Ok((default_room, epoch))
}

/// Serves the chat, and some pages beside it, until `stop` says so; then ends what is under way and closes.
///
/// # Errors
/// Those of the listener.
pub async fn serve(listener: TcpListener, app: App, pages: Router<App>, mut stop: watch::Receiver<bool>) -> std::io::Result<()> {
    let (sockets, io) = sockets(&app);
    let wires = Wires { listener, limit: app.settings.sockets.socket_backlog as usize };
    let mut stopping = stop.clone();
    let server =
        axum::serve(wires, router(&app, pages, sockets).into_make_service_with_connect_info::<RequestWire>()).with_graceful_shutdown(async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        });
    let mut server = tokio::spawn(server.into_future());
    tokio::select! {
        ended = &mut server => return ended.map_err(std::io::Error::other)?,
        _ = stop.wait_for(|stop| *stop) => tracing::info!("the server stops"),
    }
    app.journal.finish(FAREWELL).await;
    if let Err(error) = session::write_last_seen(&app).await {
        tracing::warn!(%error, "last seen could not be written");
    }
    let _ = timeout(FAREWELL, io.close()).await;
    let _ = timeout(FAREWELL, server).await;
    Ok(())
}

fn router(app: &App, pages: Router<App>, sockets: SocketIoLayer) -> Router {
    let ((api, described), (probes, _)) = (api().split(), probes().split());
    let api = limited(api, &described, app, API);
    Router::new()
        .nest(API, api.layer(from_fn_with_state(app.clone(), in_time)))
        .merge(pages)
        .merge(probes)
        .merge(specs::http::routes(&OPENAPI, &ASYNCAPI))
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| Error::internal("a handler panicked").into_response()))
        .with_state(app.clone())
        .layer(sockets)
        .layer(from_fn_with_state(app.clone(), before_engine))
        .layer(from_fn(web::serve_client))
        .layer(from_fn_with_state(app.clone(), check_origin))
        .layer(cors(&app.settings.http))
        .layer(from_fn(name_request))
}

/// What is served under [`API`].
fn api() -> Routes {
    auth::http::routes()
        .merge(users::http::routes())
        .merge(lobby::http::routes())
        .merge(messages::http::routes())
        .merge(receipts::http::routes())
        .merge(sync::http::routes())
        .merge(search::http::routes())
        .merge(presence::http::routes())
}

/// What those ask who look after the process.
fn probes() -> Routes {
    Routes::of("operation")
        .get("/livez", None, async || Json(Alive { status: "ok" }), Operation::new("isLive", "Whether the process runs.").open().gives::<Alive>())
        .get("/readyz", None, ready, {
            let ready = Operation::new("isReady", "Whether the database answers.").open().gives::<Ready>();
            ready.answers::<Ready>(StatusCode::SERVICE_UNAVAILABLE, "It does not.")
        })
}

/// How the process is.
#[derive(Serialize, JsonSchema)]
struct Alive {
    /// In words.
    status: &'static str,
}

/// How the process and its database are.
#[derive(Serialize, JsonSchema)]
struct Ready {
    /// In words.
    status: &'static str,
    /// How far the index of searches is behind; `null` before it was looked at.
    search: Option<search::indexing::Behind>,
}

static OPENAPI: LazyLock<String> = LazyLock::new(|| openapi().to_string());
static ASYNCAPI: LazyLock<String> = LazyLock::new(|| asyncapi().to_string());

/// The contract of the routes.
pub fn openapi() -> Value {
    specs::openapi::document(&[(API, api().split().1), ("", probes().split().1)])
}

/// The contract of the events.
pub fn asyncapi() -> Value {
    specs::asyncapi::document(session::EVENTS, session::TOLD)
}

/// Both, as types for clients.
pub fn typescript() -> String {
    specs::typescript::declarations(session::EVENTS, session::TOLD, &api().split().1)
}

async fn ready(State(app): State<App>) -> Response {
    match timeout(Duration::from_secs(2), database::ping(&app.db)).await {
        Ok(Ok(())) => Json(Ready { status: "ready", search: app.search.lag.get() }).into_response(),
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, Json(Ready { status: "database unavailable", search: None })).into_response(),
    }
}

/// Gives every request a name, the caller's if it is a decent one, under which errors and logs have it.
async fn name_request(request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(|id| (1..=64).contains(&id.len()) && id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
    let id = given.map_or_else(|| Uuid::new_v4().simple().to_string(), str::to_owned);
    let header = HeaderValue::from_str(&id);
    let mut response = TRACE_ID.scope(id, next.run(request)).await;
    if let Ok(header) = header {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    response
}

/// Answers `UNAVAILABLE` when the database keeps a request waiting. A little longer than the database has, so that
/// whoever knows better answers first.
///
/// What may change something is served by a task of its own: a caller who hangs up, or whose time is over, ends the waiting
/// and not the work, for what was committed must also be told.
async fn in_time(State(app): State<App>, request: Request, next: Next) -> Response {
    let limit = app.patience() + Duration::from_millis(500);
    if request.method().is_safe() {
        return timeout(limit, next.run(request)).await.unwrap_or_else(|_| Error::Unavailable.into_response());
    }
    let work = tokio::spawn(TRACE_ID.scope(trace_id(), next.run(request)));
    match timeout(limit, work).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => Error::internal(panic).into_response(),
        Err(_) => Error::Unavailable.into_response(),
    }
}

/// Refuses sockets from pages of other origins: CORS does not cover `WebSockets`. No `Origin`: not a browser.
async fn check_origin(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_socket = request.uri().path().starts_with("/socket.io");
    let origin = request.headers().get(header::ORIGIN).map(HeaderValue::as_bytes);
    if is_socket && !is_home(origin, &app.settings.http.frontend_url) {
        tracing::info!("a socket from a foreign origin is refused");
        return Error::Forbidden("this origin is not in FRONTEND_URL").into_response();
    }
    next.run(request).await
}

/// Whether a request comes from a page of these origins, or from no page.
pub(crate) fn is_home(origin: Option<&[u8]>, allowed: &[String]) -> bool {
    origin.is_none_or(|origin| allowed.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin)))
}

/// Finds out from which address a request comes, and prepares what the engine gets to see: the request of a handshake, which it keeps
/// as long as the session lasts, and the upgrade of a session that began by polling, whose wire we must know.
async fn before_engine(
    State(app): State<App>,
    ConnectInfo(RequestWire(wire)): ConnectInfo<RequestWire>,
    mut request: Request,
    next: Next,
) -> Response {
    #[derive(serde::Deserialize)]
    struct Session {
        sid: Option<String>,
        transport: Option<String>,
    }
    if request.uri().path().starts_with("/socket.io")
        && let Ok(Query(session)) = Query::<Session>::try_from_uri(request.uri())
    {
        match session.sid {
            Some(sid) if session.transport.is_some_and(|transport| transport == "websocket") => app.realtime.upgrades.note(&sid, &wire),
            Some(_) => {}
            None => match Visitor::shaking_hands(&app, &wire, request.headers()) {
                Ok(visitor) => {
                    lighten(&mut request);
                    request.extensions_mut().insert(visitor);
                }
                Err(error) => return error.into_response(),
            },
        }
    } else {
        let visitor = Visitor::of(&app, &wire, request.headers());
        request.extensions_mut().insert(visitor);
    }
    next.run(request).await
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

fn cors(settings: &HttpSettings) -> CorsLayer {
    let origins: Vec<HeaderValue> = settings.frontend_url.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, HeaderName::from_static("idempotency-key"), REQUEST_ID])
        .expose_headers([REQUEST_ID, header::RETRY_AFTER, RATE_LIMIT, RATE_LIMIT_POLICY])
        .max_age(Duration::from_hours(1))
}

fn sockets(app: &App) -> (SocketIoLayer, SocketIo) {
    let SocketSettings { ping_interval, ping_timeout, upgrade_timeout, connect_timeout, max_payload, socket_buffer, namespaces, transports, .. } =
        &app.settings.sockets;
    let builder = SocketIo::builder()
        .ping_interval(*ping_interval)
        .ping_timeout(*ping_timeout)
        .upgrade_timeout(*upgrade_timeout)
        .connect_timeout(*connect_timeout)
        .max_payload(u64::from(*max_payload))
        .ws_max_message_size(*max_payload as usize)
        .ws_max_frame_size(*max_payload as usize)
        .max_buffer_size(*socket_buffer as usize)
        .ws_read_buffer_size(READ_BUFFER)
        .with_parser(ParserConfig::common().max_incoming_binaries(0));
    let builder = match (transports.contains(&Transport::Websocket), transports.contains(&Transport::Polling)) {
        (true, false) => builder.transports([TransportType::Websocket]),
        (false, true) => builder.transports([TransportType::Polling]),
        _ => builder.transports([TransportType::Polling, TransportType::Websocket]),
    };
    let (layer, io) = builder.build_layer();
    let strict = app.settings.auth.auth_mode == AuthMode::Strict;
    for namespace in namespaces {
        let (admitting, connecting) = (app.clone(), app.clone());
        let admit = async move |socket: SocketRef, TryData(auth): TryData<Value>| session::admit(admitting, socket, auth.ok(), strict).await;
        let connected = async move |id| session::connected(&connecting, &id);
        io.ns(namespace.clone(), connected.with(admit));
    }
    (layer, io)
}
