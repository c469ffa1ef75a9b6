//! Assembly: every route, every namespace, the order of the layers, and the life of the server.

mod engine;
mod headers;
mod listening;
mod stopping;

use crate::{
    admin,
    app::{App, Parts},
    auth::{
        self,
        passwords::{Passwords, rules::Rules},
        tokens::Keys,
    },
    config::{AuthMode, HttpSettings, Settings, SocketSettings, Switch, Transport},
    database,
    draining::Draining,
    error::Error,
    extract::whole,
    limits::{
        Limits,
        http::{RATE_LIMIT, RATE_LIMIT_POLICY, limited},
    },
    lobby,
    messages::{self, journal::Journal},
    metrics,
    plain::Plain,
    pool::Pool,
    presence::{self, Presence},
    privacy,
    realtime::{Realtime, wire::Wires},
    receipts::{self, Receipts},
    retention::{self, OrderedSweep},
    rooms,
    routes::{Operation, Routes},
    search::{self, Search},
    session, specs, sync, telemetry,
    trace::{TRACE, TraceId},
    upkeep, users, web,
};
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
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
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{timeout, timeout_at},
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};
use tracing::{
    Instrument, Span,
    field::{Empty, display},
};
use uuid::Uuid;

/// Under which path the routes of features are.
const API: &str = "/api/v1";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// What a WebSocket keeps to read into; a larger event grows it for a while. The engine's own default is 4 KiB.
const READ_BUFFER: usize = 1_024;

/// Gets a server ready on a database: migrates it, makes the default room, starts the tasks.
///
/// # Errors
/// One line for the operator.
pub async fn prepare(settings: Settings) -> Result<App, String> {
    let url = settings.database.database_url.clone().ok_or("DATABASE_URL is missing: set it, or run `ires-chat dev` to try things out")?;
    metrics::note_start();
    let options = database::options(&url, settings.database.database_timeout)?;
    let (default_room, epoch) = prepare_database(&options, &settings).await?;
    let keys = Keys::new(&settings.auth)?;
    let rules = Rules::new(&settings.auth.passwords, settings.http.frontend_url.iter().chain(&settings.auth.jwt_issuer));
    let passwords =
        tokio::task::spawn_blocking(|| Passwords::new(rules)).await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let realtime = Arc::new(Realtime::default());
    let turns = Arc::default();
    let (presence, edges) = Presence::new();
    let options = database::lasting(options, settings.database.slow_query);
    let (db, patience) = (Pool::new(options.clone(), &settings.database), settings.database.database_timeout);
    let app = App::new(Parts {
        limits: Limits::new(&settings.limits),
        draining: Draining::default(),
        identities: auth::identities(db.clone(), default_room, patience),
        sessions: auth::Sessions::new(auth::BELIEVED, auth::REMEMBERED),
        arrivals: session::arrivals(db.clone(), realtime.clone(), patience),
        snapshots: lobby::snapshots::snapshots(db.clone(), patience),
        journal: Journal::start(options.clone(), patience, db.losses(), realtime.clone(), Arc::clone(&turns)),
        db,
        keys,
        passwords,
        realtime,
        turns,
        slugs: rooms::Slugs::default(),
        slow_rooms: rooms::slow::SlowRooms::default(),
        presence,
        typing: presence::typing::Typing::default(),
        receipts: Receipts::default(),
        quiet_rooms: lobby::QuietRooms::default(),
        search: Search::default(),
        ordered_sweep: OrderedSweep::default(),
        default_room,
        epoch,
        settings,
    });
    app.slow_rooms.refresh(&app.db).await.map_err(|error| error.to_string())?;
    let node = presence::nodes::enter(&app).await.map_err(|error| error.to_string())?;
    tokio::spawn(presence::nodes::keep(app.clone(), node));
    tokio::spawn(presence::edges::tell(app.clone(), edges));
    tokio::spawn(receipts::telling::tell_moved(app.clone()));
    tokio::spawn(session::watch(app.clone()));
    tokio::spawn(session::ask_around(app.clone()));
    tokio::spawn(auth::watch_ended(app.clone()));
    tokio::spawn(lobby::roles::watch(app.clone()));
    tokio::spawn(search::indexing::run(app.clone(), options.clone()));
    tokio::spawn(upkeep::run(app.clone(), options));
    Ok(app)
}

async fn prepare_database(options: &PgConnectOptions, settings: &Settings) -> Result<(rooms::RoomId, Uuid), String> {
    let mut db = database::inspect(options, settings.database.allow_unsafe_database).await?;
    if settings.database.migrate == Switch::On {
        database::migrate(&mut db).await.map_err(|error| format!("the database cannot be migrated: {error}"))?;
    }
    database::expect_schema(&mut db).await?;
    let default_room = rooms::store::ensure_default_room(&mut db, &settings.chat.default_room).await.map_err(|error| error.to_string())?;
    let epoch = database::epoch(&mut db).await.map_err(|error| error.to_string())?;
    Ok((default_room, epoch))
}

/// Serves the chat, and some pages beside it, until `stop` says so; then ends what is under way and closes.
///
/// # Errors
/// Those of the listener.
pub async fn serve(listener: TcpListener, app: App, pages: Router<App>, mut stop: watch::Receiver<bool>) -> std::io::Result<()> {
    let wires = Wires { listener, limit: app.settings.sockets.socket_backlog as usize };
    let router = router(&app, pages, sockets(&app));
    let mut listening = tokio::spawn(listening::listen(wires, router, app.clone()));
    tokio::select! {
        // The listener, which is told at the same time, may have ended as well by now.
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        ended = &mut listening => return ended.map_err(std::io::Error::other),
    }
    let end = stopping::drain(&app).await;
    if timeout_at(end, listening).await.is_err() {
        tracing::warn!("not every request could be answered");
    }
    Ok(())
}

fn router(app: &App, pages: Router<App>, sockets: SocketIoLayer) -> Router {
    let ((api, described), (probes, _)) = (api().split(), probes().split());
    let api = limited(api.layer(from_fn_with_state(app.clone(), in_time)), &described, app, API);
    Router::new()
        .nest(API, api)
        .merge(pages)
        .merge(probes)
        .merge(metrics::http::routes(session::EVENTS))
        .merge(specs::http::routes(&OPENAPI, &ASYNCAPI))
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| Error::panicked().into_response()))
        .layer(from_fn(metrics::http::count))
        .with_state(app.clone())
        .layer(sockets)
        .layer(from_fn_with_state(app.clone(), engine::before_engine))
        .layer(from_fn(web::serve_client))
        .layer(from_fn_with_state(app.clone(), check_origin))
        .layer(cors(&app.settings.http))
        .layer(from_fn_with_state(headers::hsts(&app.settings.http), headers::guard))
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
        .merge(privacy::http::routes())
        .merge(retention::http::routes())
}

/// What those ask who look after the process.
fn probes() -> Routes {
    Routes::of("operation")
        .get("/livez", None, async || Json(Alive { status: "ok" }), Operation::new("isLive", "Whether the process runs.").open().gives::<Alive>())
        .get("/readyz", None, ready, {
            let about = "Whether clients should be sent here: the database answers, and the server does not stop.";
            Operation::new("isReady", about).open().gives::<Ready>().answers::<Ready>(StatusCode::SERVICE_UNAVAILABLE, "They should not.")
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
    let (status, search) = if app.draining.is_leaving() {
        ("draining", None)
    } else if matches!(timeout(Duration::from_secs(2), database::ping(&app.db)).await, Ok(Ok(()))) {
        return Json(Ready { status: "ready", search: app.search.lag.get() }).into_response();
    } else {
        ("database unavailable", None)
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(Ready { status, search })).into_response()
}

/// Gives every request a name, under which errors and logs have it. `X-Request-Id` is answered as it came.
async fn name_request(request: Request, next: Next) -> Response {
    let (trace, id, span) = named(request.headers(), request.method());
    let mut response = TRACE.scope(trace, next.run(request).instrument(span)).await;
    if let Ok(header) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    response
}

/// The trace that a request belongs to, its own name, and its span: the trace of a decent `traceparent`, or else its name; that is a decent
/// `X-Request-Id`, or else the trace.
fn named(headers: &HeaderMap, method: &Method) -> (TraceId, TraceId, Span) {
    let header = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let (parent, given) = (header(&TRACE_PARENT), header(&REQUEST_ID).and_then(TraceId::parse));
    let trace = parent.and_then(TraceId::of_parent).or_else(|| given.clone()).unwrap_or_else(TraceId::random);
    let id = given.unwrap_or_else(|| trace.clone());
    let other = (id != trace).then(|| display(&id));
    let span = tracing::info_span!("request", trace.id = %trace, request.id = other, %method, route = Empty);
    if let Some(parent) = parent {
        telemetry::continue_from(&span, parent);
    }
    (trace, id, span)
}

/// Takes a request whole, within its own time, and answers `UNAVAILABLE` when the database then keeps it waiting. A little
/// longer than the database has, so that whoever knows better answers first.
///
/// What may change something is [carried out](crate::draining::Work::carry_out) whether or not somebody waits. A server that stops begins no
/// such work.
async fn in_time(State(app): State<App>, request: Request, next: Next) -> Response {
    let limit = app.patience() + Duration::from_millis(500);
    if request.method().is_safe() {
        return timeout(limit, next.run(request)).await.unwrap_or_else(|_| Error::Unavailable.into_response());
    }
    let (request, work) = match whole(request, &app.settings.http).await.and_then(|request| Ok((request, app.draining.begin()?))) {
        Ok(begun) => begun,
        Err(error) => return error.into_response(),
    };
    let serving = TRACE.scope(TraceId::current(), next.run(request).in_current_span());
    match work.carry_out(limit, serving).await {
        Ok((response, _work)) => response,
        Err(error) => error.into_response(),
    }
}

/// Refuses sockets from pages of other origins: CORS does not cover `WebSockets`. No `Origin`: not a browser.
async fn check_origin(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_socket = request.uri().path().starts_with(engine::PATH);
    let origin = request.headers().get(header::ORIGIN).map(HeaderValue::as_bytes);
    if is_socket && !is_home(origin, &app.settings.http.frontend_url) {
        return Error::Forbidden("this origin is not in FRONTEND_URL").into_response();
    }
    next.run(request).await
}

/// Whether a request comes from a page of these origins, or from no page.
pub(crate) fn is_home(origin: Option<&[u8]>, allowed: &[String]) -> bool {
    origin.is_none_or(|origin| allowed.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin)))
}

fn cors(settings: &HttpSettings) -> CorsLayer {
    let origins: Vec<HeaderValue> = settings.frontend_url.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, HeaderName::from_static("idempotency-key"), REQUEST_ID, TRACE_PARENT])
        .expose_headers([REQUEST_ID, header::RETRY_AFTER, RATE_LIMIT, RATE_LIMIT_POLICY])
        .max_age(Duration::from_hours(1))
}

fn sockets(app: &App) -> SocketIoLayer {
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
        let admit = async move |socket: SocketRef, TryData(auth): TryData<Plain>| {
            session::admit(admitting, socket, auth.ok().map(|Plain(auth)| auth), strict).await
        };
        let connected = async move |id| session::connected(&connecting, &id);
        io.ns(namespace.clone(), connected.with(admit));
    }
    admin::socket::open(app, &io);
    layer
}
