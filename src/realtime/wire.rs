//! The wire: one TCP connection of a client, and the only place where bytes leave for it.
//!
//! The engine owns a connection: it answers the handshake, reads what the client sends, and writes pings and
//! goodbyes through [`WireIo`], as it would through any stream. But for what is told to many it would copy and frame
//! the same event anew for every socket, through a queue and a task each. A frame that a server sends is the same
//! for everybody (RFC 6455 §5.1: only clients mask), so we frame it once and hand the same bytes to every wire: they
//! go out by one system call in the task that tells, and wait in the wire's queue only if the peer does not take
//! them.
//!
//! The two never cut into each other, since both append whole frames: tungstenite hands over its buffer of whole
//! frames in one write, and that is always taken in full.
//!
//! Every buffer has a limit: when a peer has fallen behind by [`Wires::limit`] bytes, [`Wire::push`] says so.

use axum::serve::Listener;
use bytes::{Buf, Bytes};
use socket2::SockRef;
use std::{
    collections::{HashMap, VecDeque},
    io::{self, ErrorKind, IoSlice},
    net::{IpAddr, Shutdown, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpListener,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
    time::timeout,
};

/// A peer that acknowledges nothing for so long is gone, though TCP alone would wait for hours.
const PEER_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a connection that ends is kept for a peer that has not taken everything yet.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Most pieces in one write.
const PIECES: usize = 64;
/// From how many on wires are flushed by tasks of their own, and in what portions: a large room is told by all cores.
const PORTION: usize = 128;

/// Accepts connections, and makes each a wire.
pub struct Wires {
    /// Where they come from.
    pub listener: TcpListener,
    /// Most bytes that wait for a peer that does not read.
    pub limit: usize,
}

impl Listener for Wires {
    type Io = WireIo;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (WireIo, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let socket = SockRef::from(&stream);
        #[cfg(target_os = "linux")]
        let patient = socket.set_tcp_user_timeout(Some(PEER_TIMEOUT));
        #[cfg(not(target_os = "linux"))]
        let patient = socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(PEER_TIMEOUT));
        if let Err(error) = patient.and_then(|()| socket.set_tcp_nodelay(true)) {
            tracing::debug!(%error, "a connection could not be tuned");
        }
        let (reading, stream) = stream.into_split();
        let wire = Arc::new(Wire { stream, peer: address.ip(), limit: self.limit, out: Mutex::default() });
        (WireIo { reading, wire }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The wire that a request came on: axum's `ConnectInfo` of every request.
#[derive(Clone)]
pub struct RequestWire(pub Arc<Wire>);

/// Wires of sessions that began by polling, by the engine's id of the session, as long as they are open.
#[derive(Default)]
pub struct Upgrades {
    wires: Mutex<HashMap<String, Weak<Wire>>>,
}

impl Upgrades {
    /// Notes that a session asks to go on on this wire; says no if another wire of it is open. There is one at a time: none of them
    /// takes a place among the connections of its address, for the session has one.
    pub fn note(&self, session: &str, wire: &Arc<Wire>) -> bool {
        let mut wires = self.lock();
        let is_first = wires.get(session).is_none_or(|other| other.strong_count() == 0);
        if is_first {
            wires.insert(session.to_owned(), Arc::downgrade(wire));
        }
        is_first
    }

    /// Forgets a session whose wish was not granted.
    pub fn forget(&self, session: &str) {
        self.lock().remove(session);
    }

    /// The wire that a session went on on.
    pub fn of(&self, session: &str) -> Option<Arc<Wire>> {
        self.lock().get(session)?.upgrade()
    }

    /// Forgets the wires that are gone.
    pub fn clean(&self) {
        self.lock().retain(|_, wire| wire.strong_count() > 0);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<Wire>>> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What leaves on one connection.
pub struct Wire {
    stream: OwnedWriteHalf,
    peer: IpAddr,
    limit: usize,
    out: Mutex<Out>,
}

#[derive(Default)]
struct Out {
    queue: VecDeque<Bytes>,
    queued: usize,
    /// Whether an [`Outbox`] will flush it.
    listed: bool,
    /// Whether the peer takes no more, and a task waits until it does.
    is_blocked: bool,
    /// Nothing more is taken; what is queued still goes out.
    ended: bool,
    /// The engine, which waits for room or for the end.
    waiting: Option<Waker>,
    marks: Vec<Mark>,
}

/// Something the engine will write, and what happens then.
struct Mark {
    text: Box<[u8]>,
    then: Box<dyn FnOnce() + Send>,
}

/// The peer has fallen too far behind.
#[derive(Debug, PartialEq)]
pub struct TooSlow;

/// Wires with something to write. Whoever tells collects them, so that each is written to once.
#[derive(Default)]
pub struct Outbox {
    wires: Vec<Arc<Wire>>,
}

impl Outbox {
    /// Writes to all of them, as far as their peers take it; what they do not take follows by itself. Many are written to
    /// by tasks of their own, so that a large room is told by all cores. A wire is never overtaken: it writes in the order
    /// in which things were pushed, whoever flushes it.
    pub fn flush(self) -> Flushing {
        if self.wires.len() <= PORTION {
            self.flush_now();
            return Flushing::default();
        }
        let mut wires = self.wires;
        let mut portions = Vec::new();
        while !wires.is_empty() {
            let portion = wires.split_off(wires.len().saturating_sub(PORTION));
            portions.push(tokio::spawn(async move { portion.iter().for_each(Wire::flush) }));
        }
        Flushing(portions)
    }

    /// How many connections have something to be written.
    pub fn connections(&self) -> usize {
        self.wires.len()
    }

    /// The same at once, for what is told to few.
    pub fn flush_now(self) {
        self.wires.iter().for_each(Wire::flush);
    }
}

/// Writing that goes on.
#[derive(Default)]
pub struct Flushing(Vec<JoinHandle<()>>);

impl Flushing {
    /// Waits until it is done.
    pub async fn done(self) {
        for portion in self.0 {
            // A portion that panicked has been reported; its wires are flushed with what comes next.
            let _ = portion.await;
        }
    }
}

impl Wire {
    /// Appends whole frames, to be written when the outbox is flushed.
    ///
    /// # Errors
    /// When the peer has not taken what went before.
    pub fn push(self: &Arc<Self>, frames: Bytes, outbox: &mut Outbox) -> Result<(), TooSlow> {
        let mut out = self.lock();
        if out.is_blocked && out.queued >= self.limit {
            return Err(TooSlow);
        }
        if !out.ended {
            out.push(frames);
            if !out.listed && !out.is_blocked {
                out.listed = true;
                outbox.wires.push(self.clone());
            }
        }
        Ok(())
    }

    /// The other end of the connection, perhaps a proxy.
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Most bytes that wait for the peer.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How many bytes wait for the peer.
    pub fn queued(&self) -> usize {
        self.lock().queued
    }

    /// Whether the peer is behind: what is of the moment only need not wait for it.
    pub fn is_behind(&self) -> bool {
        self.lock().is_blocked
    }

    /// Appends last words, takes nothing more, and closes the connection when they are out, or after a while.
    pub fn end_with(self: &Arc<Self>, frames: Bytes) {
        let mut out = self.lock();
        if !out.ended {
            out.push(frames);
            out.ended = true;
            self.write(&mut out);
        }
    }

    /// Calls back when the engine has written a text. Whatever is pushed from within the call follows it.
    pub fn when_written(&self, text: Box<[u8]>, then: Box<dyn FnOnce() + Send>) {
        self.lock().marks.push(Mark { text, then });
    }

    fn flush(self: &Arc<Self>) {
        let mut out = self.lock();
        out.listed = false;
        self.write(&mut out);
    }

    /// Writes what the peer takes, and sees to it that the rest follows.
    fn write(self: &Arc<Self>, out: &mut Out) {
        if out.is_blocked {
            return;
        }
        match out.write(&self.stream) {
            Ok(()) if out.ended => self.shut(),
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                out.is_blocked = true;
                tracing::debug!(queued = out.queued, "a client does not read as fast as it is written to");
                tokio::spawn(drain(self.clone()));
            }
            Err(_) => self.give_up(out),
        }
    }

    /// The connection is broken: nothing of it is kept.
    fn give_up(&self, out: &mut Out) {
        *out = Out { ended: true, waiting: out.waiting.take(), ..Out::default() };
        out.wake();
        self.shut();
    }

    fn shut(&self) {
        if let Err(error) = SockRef::from(self.stream.as_ref()).shutdown(Shutdown::Both) {
            tracing::trace!(%error, "a connection was closed already");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the queue of a wire whose peer was behind, as it catches up.
async fn drain(wire: Arc<Wire>) {
    loop {
        let writable = timeout(LAST_WORDS, wire.stream.writable()).await;
        let mut out = wire.lock();
        match writable {
            Ok(Ok(())) => match out.write(&wire.stream) {
                Ok(()) => {
                    out.is_blocked = false;
                    out.wake();
                    if out.ended {
                        wire.shut();
                    }
                    return;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if out.queued < wire.limit {
                        out.wake();
                    }
                }
                Err(_) => return wire.give_up(&mut out),
            },
            Ok(Err(_)) => return wire.give_up(&mut out),
            Err(_) if out.ended => return wire.give_up(&mut out),
            Err(_) => {}
        }
    }
}

impl Out {
    fn push(&mut self, frames: Bytes) {
        self.queued += frames.len();
        self.queue.push_back(frames);
    }

    fn write(&mut self, stream: &OwnedWriteHalf) -> io::Result<()> {
        while let Some(first) = self.queue.front() {
            let written = if self.queue.len() == 1 {
                stream.try_write(first)?
            } else {
                let mut pieces = [IoSlice::new(&[]); PIECES];
                let count = self.queue.iter().zip(&mut pieces).map(|(bytes, piece)| *piece = IoSlice::new(bytes)).count();
                stream.try_write_vectored(&pieces[..count])?
            };
            self.advance(written);
        }
        // Most connections are idle most of the time: they keep no room for a queue.
        self.queue = VecDeque::new();
        Ok(())
    }

    fn advance(&mut self, mut written: usize) {
        self.queued -= written;
        while let Some(first) = self.queue.front_mut() {
            if written < first.len() {
                return first.advance(written);
            }
            written -= first.len();
            self.queue.pop_front();
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    fn passed_marks(&mut self, written: &[u8]) -> Vec<Mark> {
        let passed = |mark: &mut Mark| written.windows(mark.text.len()).any(|window| *window == *mark.text);
        self.marks.extract_if(.., passed).collect()
    }
}

/// The connection as the engine has it.
pub struct WireIo {
    reading: OwnedReadHalf,
    wire: Arc<Wire>,
}

impl WireIo {
    /// What leaves on it.
    pub fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }
}

impl AsyncRead for WireIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reading).poll_read(cx, buf)
    }
}

impl AsyncWrite for WireIo {
    /// Takes everything or, while the peer is too far behind, nothing.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut out = self.wire.lock();
        if out.ended {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if out.is_blocked && out.queued >= self.wire.limit {
            out.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let direct = if out.queue.is_empty() { self.wire.stream.try_write(buf).unwrap_or_default() } else { 0 };
        if direct < buf.len() {
            out.push(Bytes::copy_from_slice(&buf[direct..]));
            self.wire.write(&mut out);
        }
        let passed = if out.marks.is_empty() { Vec::new() } else { out.passed_marks(buf) };
        drop(out);
        for mark in passed {
            (mark.then)();
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut out = self.wire.lock();
        if out.queue.is_empty() {
            out.ended = true;
            return Poll::Ready(SockRef::from(self.wire.stream.as_ref()).shutdown(Shutdown::Write));
        }
        out.waiting = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for WireIo {
    fn drop(&mut self) {
        let mut out = self.wire.lock();
        out.ended = true;
        out.marks = Vec::new();
        out.waiting = None;
        if out.queue.is_empty() {
            self.wire.shut();
        }
    }
}
