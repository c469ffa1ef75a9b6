//! Listening: connections are taken and served, and none is kept for long that asks for nothing.
//!
//! `axum::serve` waits as long as it takes for a request that is never finished, and takes any number of connections: whoever
//! opens thousands and trickles a byte now and then (*slowloris*) holds them all. Here a first request has to come whole in
//! time, a connection that waits for its next one is not kept for ever, and one address has so many at once. A connection
//! that becomes a socket leaves here: from then on the engine's pings look after it.

use crate::{
    app::App,
    limits::Slot,
    realtime::wire::{RequestWire, WireIo, Wires},
};
use axum::{
    Router,
    extract::{ConnectInfo, Request},
    serve::Listener,
};
use bytes::Bytes;
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    sync::mpsc::{self, Sender},
    time::sleep,
};

/// Most bytes of a request before its body (with more it is 431): the largest tokens fit in twice.
const MOST_HEAD: usize = 32 * 1_024;
/// Most bytes that hyper keeps of a connection, in each direction.
const MOST_BUFFERED: usize = 64 * 1_024;
/// What a connection is told that is one too many of its address.
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Serves until the server has stopped and every request under way is answered.
pub async fn listen(mut wires: Wires, router: Router, app: App) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(app.settings.http.idle_timeout).max_header_size(MOST_HEAD).max_buf_size(MOST_BUFFERED);
    let service = TowerToHyperService::new(router.with_state(()));
    // Every connection holds a sender; nothing is ever sent.
    let (open, mut all_closed) = mpsc::channel(1);
    loop {
        let (io, address) = tokio::select! {
            accepted = wires.accept() => accepted,
            () = app.draining.is_over() => break,
        };
        match app.limits.connect_peer(address.ip()) {
            Ok(slot) => _ = tokio::spawn(carry(http.clone(), io, service.clone(), app.clone(), (slot, open.clone()))),
            Err(_) => io.wire().end_with(Bytes::from_static(TOO_MANY)),
        }
    }
    drop((wires, open));
    all_closed.recv().await;
}

/// What a connection holds until it ends or becomes a socket: a place among those of its address, and the listening.
type Held = (Option<Slot<IpAddr>>, Sender<()>);

/// Carries the requests of one connection, until it ends or becomes a socket.
async fn carry(http: http1::Builder, io: WireIo, service: TowerToHyperService<Router>, app: App, _held: Held) {
    let (wire, has_asked) = (io.wire().clone(), Arc::new(AtomicBool::new(false)));
    let asked = has_asked.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(ConnectInfo(RequestWire(wire.clone())));
        service.call(request)
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(io), service).with_upgrades());
    // The next ones may take longer: whoever could hold a connection so could as well let it rest.
    let mut first = pin!(sleep(app.settings.http.head_timeout));
    let mut over = pin!(app.draining.is_over());
    let (mut is_first, mut is_last) = (true, false);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::trace!(%error, "a connection ended before its time");
                }
                return;
            }
            () = first.as_mut(), if is_first => {
                is_first = false;
                if !has_asked.load(Ordering::Relaxed) {
                    tracing::debug!("a connection that asked for nothing is closed");
                    return;
                }
            }
            () = over.as_mut(), if !is_last => {
                is_last = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
