//! The page: everything that is measured, with a line that says what it is. The README has the same list.

use super::{
    ACQUIRE, BATCH, BEGINNING, COMMIT, CONNECTIONS, DELIVERIES, DISCONNECTIONS, FAN_OUT, MESSAGES, PRESENCE_EDGES, SLOW_CONSUMERS, SLOW_QUERIES,
    errors, http, of_event,
    text::{Labels, Text},
};
use crate::{app::App, bench::process::Usage, error::CODES, limits::Class, socket::Event};
use rustix::process::{Resource, getrlimit};
use std::{
    collections::BTreeMap,
    sync::LazyLock,
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
    let mut text = Text::default();
    connections(&mut text, app);
    client_events(&mut text, events);
    telling(&mut text);
    journal(&mut text, app);
    limits(&mut text, app);
    requests(&mut text);
    database(&mut text, app);
    background(&mut text, app);
    process(&mut text);
    text.finish()
}

/// Numbers by one label.
fn by<'a>(label: &str, numbers: impl IntoIterator<Item = (&'a str, u64)>) -> Vec<(Labels, u64)> {
    numbers.into_iter().map(|(value, number)| (Labels::of(&[(label, value)]), number)).collect()
}

/// Connections, and what waits for them, are counted as they are now.
fn connections(text: &mut Text, app: &App) {
    let mut open: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for namespace in &app.settings.sockets.namespaces {
        for (transport, authenticated) in [("websocket", "true"), ("websocket", "false"), ("polling", "true"), ("polling", "false")] {
            open.insert((namespace, transport, authenticated), 0);
        }
    }
    let (mut lane_events, mut lane_bytes, mut backlog) = (0, 0, 0);
    let connections = app.realtime.connections();
    for connection in &connections {
        let authenticated = if connection.known_user().is_some() { "true" } else { "false" };
        *open.entry((connection.namespace(), connection.transport(), authenticated)).or_default() += 1;
        let (events, bytes) = connection.lane.waiting();
        lane_events += events;
        lane_bytes += bytes;
        backlog += connection.backlog();
    }
    let open = open.iter().map(|((namespace, transport, authenticated), count)| {
        (Labels::of(&[("namespace", namespace), ("transport", transport), ("authenticated", authenticated)]), *count)
    });
    text.gauge("ires_chat_connections", "Connections that are open.", open);
    text.single("ires_chat_connected_users", "Users who have a connection to this process.", app.realtime.user_count());
    text.single("ires_chat_connections_total", "Connections that were admitted to a namespace.", CONNECTIONS.get());
    text.counter("ires_chat_disconnections_total", "Connections that ended, by reason.", by("reason", DISCONNECTIONS.all()));
    text.single("ires_chat_slow_consumers_total", "Clients that were closed because they read too slowly.", SLOW_CONSUMERS.get());
    text.single("ires_chat_lane_queue_events", "Events of clients that wait to be answered.", lane_events);
    text.single("ires_chat_lane_queue_bytes", "Bytes of events that wait to be answered.", lane_bytes);
    text.single("ires_chat_wire_backlog_bytes", "Bytes that wait for clients that read slowly.", backlog);
}

fn client_events(text: &mut Text, events: &[Event]) {
    let known = events.iter().enumerate().map(|(place, event)| (event.name, of_event(Some(place))));
    let all: Vec<_> = known.chain([("unknown", of_event(None))]).collect();
    let received = all.iter().map(|(name, counts)| (*name, counts.received.get()));
    text.counter("ires_chat_events_received_total", "Events that clients emitted.", by("event", received));
    let answers = all.iter().flat_map(|(name, counts)| {
        let refused = CODES.iter().map(|code| (*code, counts.refused(code)));
        let some = [("OK", &counts.accepted)].into_iter().chain(refused).filter(|(_, count)| count.get() > 0);
        some.map(|(code, count)| (Labels::of(&[("event", name), ("code", code)]), count.get())).collect::<Vec<_>>()
    });
    text.counter("ires_chat_acks_total", "Answers to events, by the code of the error or OK.", answers);
    let latencies = all.iter().filter(|(_, counts)| counts.received.get() > 0);
    let latencies = latencies.map(|(name, counts)| (Labels::of(&[("event", name)]), &counts.latency));
    text.histogram("ires_chat_ack_latency_seconds", "Time from an event's arrival to its answer.", latencies);
}

fn telling(text: &mut Text) {
    text.counter("ires_chat_deliveries_total", "Events on their way to clients, counted for each connection.", by("event", DELIVERIES.all()));
    text.histogram("ires_chat_fanout_connections", "Connections that are told something at once.", [(Labels::NONE, &FAN_OUT)]);
    let edges = by("status", PRESENCE_EDGES.all());
    text.counter("ires_chat_presence_edges_total", "Users who came online or went offline.", edges);
    let all = CODES.iter().map(|code| (*code, errors(code).get()));
    text.counter("ires_chat_errors_total", "Errors on sockets and over REST, by code.", by("code", all));
}

fn journal(text: &mut Text, app: &App) {
    text.single("ires_chat_messages_total", "Messages that were stored and told.", MESSAGES.get());
    text.histogram("ires_chat_journal_batch_messages", "Messages in one statement of the journal.", [(Labels::NONE, &BATCH)]);
    text.histogram("ires_chat_journal_commit_seconds", "Time of one statement of the journal, its commit included.", [(Labels::NONE, &COMMIT)]);
    let about = "Room that messages take in the journal's queue; each takes a kibibyte or more.";
    text.single("ires_chat_journal_queue_bytes", about, app.journal.queued_bytes());
}

fn limits(text: &mut Text, app: &App) {
    let refused = Class::ALL.map(|class| (class.name(), app.limits.refusals(class)));
    text.counter("ires_chat_rate_limited_total", "Events and requests that were too much, by class.", by("class", refused));
    let about = "Connections that were refused because there were too many.";
    text.single("ires_chat_connections_refused_total", about, app.limits.refused_connections());
}

fn requests(text: &mut Text) {
    let routes = http::by_route();
    let answers = routes.iter().flat_map(|(route, counts)| {
        let answer = move |(&(method, status), &count): (&(&'static str, u16), &u64)| {
            (Labels::of(&[("route", route), ("method", method), ("status", &status.to_string())]), count)
        };
        counts.answers.iter().map(answer)
    });
    text.counter("ires_chat_http_requests_total", "Requests by route, method and status; those of Socket.IO are not among them.", answers);
    let latencies = routes.iter().map(|(route, counts)| (Labels::of(&[("route", route)]), &counts.latency));
    text.histogram("ires_chat_http_request_seconds", "Time that requests took.", latencies);
}

fn database(text: &mut Text, app: &App) {
    let (all, idle, most) = app.db.size();
    let states = by("state", [("idle", idle), ("used", all.saturating_sub(idle))]);
    text.gauge("ires_chat_database_connections", "Connections of the pool, by state.", states);
    text.single("ires_chat_database_connections_max", "Most connections that the pool may have.", most);
    text.histogram("ires_chat_database_acquire_seconds", "Time that was waited for a connection of the pool.", [(Labels::NONE, &ACQUIRE)]);
    let about = "Transactions that wait for a connection or are just being begun.";
    text.single("ires_chat_database_transactions_beginning", about, BEGINNING.get());
    text.single("ires_chat_slow_queries_total", "Queries that took longer than CHAT_SLOW_QUERY.", SLOW_QUERIES.get());
}

fn background(text: &mut Text, app: &App) {
    text.single("ires_chat_password_queue", "Passwords that wait to be hashed.", app.passwords.waiting());
    // Before all rooms were looked at once, it is not known.
    let behind: Vec<_> = app.search.lag.get().into_iter().map(|behind| (Labels::NONE, behind)).collect();
    let rooms = behind.iter().map(|(_, behind)| (Labels::NONE, behind.rooms_behind));
    text.gauge("ires_chat_search_rooms_behind", "Rooms whose index of searches is behind.", rooms);
    let messages = behind.iter().map(|(_, behind)| (Labels::NONE, behind.messages_behind));
    text.gauge("ires_chat_search_messages_behind", "Messages that the index of searches should have and has not.", messages);
}

/// This process, as Linux tells; elsewhere what is not known is 0.
fn process(text: &mut Text) {
    text.gauge("ires_chat_build_info", "Which version this is; always 1.", by("version", [(env!("CARGO_PKG_VERSION"), 1)]));
    let usage = Usage::own();
    text.single("process_cpu_seconds_total", "CPU time of this process.", usage.cpu_ms / 1_000.0);
    text.single("process_resident_memory_bytes", "Memory of this process.", usage.rss_kib * 1_024.0);
    text.single("process_open_fds", "Open files and sockets.", std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count));
    text.single("process_max_fds", "Most open files and sockets.", getrlimit(Resource::Nofile).current.unwrap_or_default());
    text.single("process_start_time_seconds", "When the server began, in seconds since 1970.", *STARTED);
    let runtime = Handle::current().metrics();
    text.single("ires_chat_runtime_workers", "Threads that run tasks.", runtime.num_workers());
    text.single("ires_chat_runtime_tasks", "Tasks that have not ended.", runtime.num_alive_tasks());
    text.single("ires_chat_runtime_queue_tasks", "Tasks that wait in the runtime's shared queue.", runtime.global_queue_depth());
    let busy: f64 = (0..runtime.num_workers()).map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64()).sum();
    text.single("ires_chat_runtime_busy_seconds_total", "Time in which the threads ran tasks.", busy);
}
