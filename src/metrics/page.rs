//! The page: everything that is measured, with a line that says what it is. The README has the same list.
//!
//! The library ends the line with a full stop, and the name of what only grows with `_total`; it leaves out what has no number yet.

use super::{
    ACK_LATENCY, ACKS, ACQUIRE, BATCH, BEGINNING, ByName, COMMIT, CONNECTIONS, DELIVERIES, DISCONNECTIONS, ERRORS, FAN_OUT, MESSAGES, PRESENCE_EDGES,
    RECEIVED, SLOW_CONSUMERS, SLOW_QUERIES, UNKNOWN, http,
};
use crate::{app::App, bench::process::Usage, error::CODES, limits::Class, socket::Event};
use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        info::Info,
    },
    registry::Registry,
};
use rustix::process::{Resource, getrlimit};
use std::{
    sync::{LazyLock, atomic::AtomicU64},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::runtime::Handle;

/// When this process began, as near as it matters.
static STARTED: LazyLock<f64> = LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()));

/// Notes when the process began.
pub fn note_start() {
    LazyLock::force(&STARTED);
}

/// Writes everything.
pub fn write(app: &App, events: &[Event]) -> String {
    let mut page = Registry::default();
    connections(&mut page, app);
    client_events(&mut page, events);
    telling(&mut page);
    journal(&mut page, app);
    limits(&mut page, app);
    requests(&mut page);
    database(&mut page, app);
    background(&mut page, app);
    process(&mut page);
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = prometheus_text::encode(&mut text, &page);
    text
}

/// What kind of connection it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    namespace: String,
    transport: &'static str,
    authenticated: bool,
}

/// How many there are, which is never fewer than none.
type Number = Gauge<u64, AtomicU64>;

/// Connections, and what waits for them, are counted as they are now.
fn connections(page: &mut Registry, app: &App) {
    let open = Family::<Kind, Number>::default();
    for namespace in &app.settings.sockets.namespaces {
        for (transport, authenticated) in [("websocket", true), ("websocket", false), ("polling", true), ("polling", false)] {
            open.get_or_create_owned(&Kind { namespace: namespace.clone(), transport, authenticated });
        }
    }
    let (mut lane_events, mut lane_bytes, mut backlog) = (0, 0, 0);
    for connection in &app.realtime.connections() {
        let (namespace, transport) = (connection.namespace().to_owned(), connection.transport());
        open.get_or_create(&Kind { namespace, transport, authenticated: connection.known_user().is_some() }).inc();
        let (events, bytes) = connection.lane.waiting();
        lane_events += events;
        lane_bytes += bytes;
        backlog += connection.backlog();
    }
    page.register("ires_chat_connections", "Connections that are open", open);
    let users = ConstGauge::new(app.realtime.user_count());
    page.register("ires_chat_connected_users", "Users who have a connection to this process", users);
    page.register("ires_chat_connections", "Connections that were admitted to a namespace", CONNECTIONS.clone());
    page.register("ires_chat_disconnections", "Connections that ended, by reason", DISCONNECTIONS.clone());
    page.register("ires_chat_slow_consumers", "Clients that were closed because they read too slowly", SLOW_CONSUMERS.clone());
    page.register("ires_chat_lane_queue_events", "Events of clients that wait to be answered", ConstGauge::new(lane_events));
    page.register("ires_chat_lane_queue_bytes", "Bytes of events that wait to be answered", ConstGauge::new(lane_bytes));
    page.register("ires_chat_wire_backlog_bytes", "Bytes that wait for clients that read slowly", ConstGauge::new(backlog));
}

fn client_events(page: &mut Registry, events: &[Event]) {
    for event in events.iter().map(|event| event.name).chain([UNKNOWN]) {
        RECEIVED.get_or_create_owned(&[("event", event)]);
    }
    page.register("ires_chat_events_received", "Events that clients emitted", RECEIVED.clone());
    page.register("ires_chat_acks", "Answers to events, by the code of the error or OK", ACKS.clone());
    page.register("ires_chat_ack_latency_seconds", "Time from an event's arrival to its answer", ACK_LATENCY.clone());
}

fn telling(page: &mut Registry) {
    page.register("ires_chat_deliveries", "Events on their way to clients, counted for each connection", DELIVERIES.clone());
    page.register("ires_chat_fanout_connections", "Connections that are told something at once", FAN_OUT.clone());
    page.register("ires_chat_presence_edges", "Users who came online or went offline", PRESENCE_EDGES.clone());
    for code in CODES {
        ERRORS.get_or_create_owned(&[("code", code)]);
    }
    page.register("ires_chat_errors", "Errors on sockets and over REST, by code", ERRORS.clone());
}

fn journal(page: &mut Registry, app: &App) {
    page.register("ires_chat_messages", "Messages that were stored and told", MESSAGES.clone());
    page.register("ires_chat_journal_batch_messages", "Messages in one statement of the journal", BATCH.clone());
    page.register("ires_chat_journal_commit_seconds", "Time of one statement of the journal, its commit included", COMMIT.clone());
    let about = "Room that messages take in the journal's queue; each takes a kibibyte or more";
    page.register("ires_chat_journal_queue_bytes", about, ConstGauge::new(app.journal.queued_bytes()));
}

fn limits(page: &mut Registry, app: &App) {
    let refused = ByName::<1, Counter>::default();
    for class in Class::ALL {
        refused.get_or_create(&[("class", class.name())]).inc_by(app.limits.refusals(class));
    }
    page.register("ires_chat_rate_limited", "Events and requests that were too much, by class", refused);
    let about = "Connections that were refused because there were too many";
    page.register("ires_chat_connections_refused", about, ConstCounter::new(app.limits.refused_connections()));
}

fn requests(page: &mut Registry) {
    let about = "Requests by route, method and status; those of Socket.IO are not among them";
    page.register("ires_chat_http_requests", about, http::ANSWERS.clone());
    page.register("ires_chat_http_request_seconds", "Time that requests took", http::LATENCY.clone());
}

fn database(page: &mut Registry, app: &App) {
    let (all, idle, most) = app.db.size();
    let states = ByName::<1, Number>::default();
    for (state, number) in [("idle", idle), ("used", all.saturating_sub(idle))] {
        states.get_or_create(&[("state", state)]).set(number);
    }
    page.register("ires_chat_database_connections", "Connections of the pool, by state", states);
    page.register("ires_chat_database_connections_max", "Most connections that the pool may have", ConstGauge::new(most));
    page.register("ires_chat_database_acquire_seconds", "Time that was waited for a connection of the pool", ACQUIRE.clone());
    let about = "Transactions that wait for a connection or are just being begun";
    page.register("ires_chat_database_transactions_beginning", about, BEGINNING.clone());
    page.register("ires_chat_slow_queries", "Queries that took longer than CHAT_SLOW_QUERY", SLOW_QUERIES.clone());
}

fn background(page: &mut Registry, app: &App) {
    page.register("ires_chat_password_queue", "Passwords that wait to be hashed", ConstGauge::new(app.passwords.waiting()));
    // Before all rooms were looked at once, it is not known.
    if let Some(behind) = app.search.lag.get() {
        page.register("ires_chat_search_rooms_behind", "Rooms whose index of searches is behind", ConstGauge::new(behind.rooms_behind));
        let about = "Messages that the index of searches should have and has not";
        page.register("ires_chat_search_messages_behind", about, ConstGauge::new(behind.messages_behind));
    }
}

/// This process, as Linux tells; elsewhere what is not known is 0.
fn process(page: &mut Registry) {
    page.register("ires_chat_build", "Which version this is; always 1", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    let usage = Usage::own();
    page.register("process_cpu_seconds", "CPU time of this process", ConstCounter::new(usage.cpu_ms / 1_000.0));
    page.register("process_resident_memory_bytes", "Memory of this process", ConstGauge::new(usage.rss_kib * 1_024.0));
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    page.register("process_open_fds", "Open files and sockets", ConstGauge::new(files));
    let most_files = getrlimit(Resource::Nofile).current.unwrap_or_default();
    page.register("process_max_fds", "Most open files and sockets", ConstGauge::new(most_files));
    page.register("process_start_time_seconds", "When the server began, in seconds since 1970", ConstGauge::new(*STARTED));
    let runtime = Handle::current().metrics();
    page.register("ires_chat_runtime_workers", "Threads that run tasks", ConstGauge::new(runtime.num_workers()));
    page.register("ires_chat_runtime_tasks", "Tasks that have not ended", ConstGauge::new(runtime.num_alive_tasks()));
    let queued = ConstGauge::new(runtime.global_queue_depth());
    page.register("ires_chat_runtime_queue_tasks", "Tasks that wait in the runtime's shared queue", queued);
    let busy: f64 = (0..runtime.num_workers()).map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64()).sum();
    page.register("ires_chat_runtime_busy_seconds", "Time in which the threads ran tasks", ConstCounter::new(busy));
}
