//! How a connection is spoken to. Its first words go through the engine, which may have packets of its own before them; on a WebSocket
//! everything after that is framed here and goes straight to the wire.

use super::{
    Connection,
    gate::{Gate, Waiting},
};
use crate::{
    error::Error,
    metrics,
    realtime::{
        frames::{self, News},
        wire::{Outbox, RequestWire, TooSlow, Wire},
    },
    trace::TraceId,
};
use axum::extract::ConnectInfo;
use bytes::Bytes;
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;
use socketioxide::{SendError, SocketError, TransportType, extract::AckSender};
use std::sync::{Arc, MutexGuard, PoisonError, atomic::Ordering};

/// How it is spoken to.
#[derive(Default)]
pub(super) struct Voice {
    pub(super) gate: Option<Gate>,
    road: Road,
}

/// The way that events take to the client.
#[derive(Default)]
enum Road {
    /// Through the engine: polling, and the first word on every wire.
    #[default]
    Engine,
    /// The engine still has to write the last that it was given: what comes after it waits.
    Turning { wire: Arc<Wire>, waiting: Vec<Bytes> },
    /// Framed here, and straight to the wire.
    Wire(Arc<Wire>),
}

/// An acknowledgement that is due.
pub struct Ack {
    /// The way through the engine.
    pub sender: AckSender,
    /// The number that the client gave it; none if it does not wait.
    pub id: Option<i64>,
}

/// One packet on its way to one client.
pub(super) enum Packet<'a> {
    Event(&'a str, &'a RawValue),
    Ack(Ack, &'a RawValue),
}

/// What cannot be encoded.
struct Unsendable;

impl Serialize for Unsendable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("this is never sent"))
    }
}

impl Connection {
    /// How many bytes wait for the client to read them.
    pub fn backlog(&self) -> usize {
        match &self.voice().road {
            Road::Wire(wire) | Road::Turning { wire, .. } => wire.queued(),
            Road::Engine => 0,
        }
    }

    /// Sends one event to it alone.
    pub fn emit(&self, event: &'static str, payload: &(impl Serialize + ?Sized)) {
        if let Some(payload) = frames::encoded(payload) {
            metrics::note_deliveries(event, 1);
            self.send(&mut self.voice(), Packet::Event(event, &payload), None);
        }
    }

    /// Answers one of its events.
    pub fn acknowledge(&self, ack: Ack, answer: &impl Serialize, outbox: &mut Outbox) {
        if ack.id.is_some()
            && let Some(answer) = frames::encoded(answer)
        {
            self.send(&mut self.voice(), Packet::Ack(ack, &answer), Some(outbox));
        }
    }

    /// Tells it what is told to several.
    pub(in crate::realtime) fn hear(&self, news: &mut News<'_>, outbox: &mut Outbox) {
        if self.is_closed() {
            return;
        }
        let mut voice = self.voice();
        if let Some(gate) = &mut voice.gate {
            for told in news.events {
                let place = news.room.and_then(|room| Some((room, told.seq?)));
                gate.push(Waiting { place, event: told.event, payload: told.payload.clone() });
            }
            if gate.overflown && !gate.is_first {
                self.let_go(&mut voice, None, outbox);
            }
            return;
        }
        if let Road::Wire(wire) = &voice.road {
            if news.is_passing && wire.is_behind() {
                return;
            }
            let pushed = wire.push(news.frames(self.namespace()), outbox);
            self.check(&voice, &pushed);
        } else {
            for told in news.events {
                self.send(&mut voice, Packet::Event(told.event, &told.payload), Some(outbox));
            }
        }
    }

    /// Sends a packet on the road that it is on. On a WebSocket the first one goes through the engine, which may have
    /// packets of its own before it, and marks the place after which everything goes straight to the wire. The mark is a
    /// tab between two tokens: JSON allows it, and no encoder here or in the engine writes one.
    pub(super) fn send(&self, voice: &mut Voice, packet: Packet<'_>, outbox: Option<&mut Outbox>) {
        match &mut voice.road {
            Road::Wire(wire) => {
                let frame = packet.framed(self.namespace());
                let pushed = if let Some(outbox) = outbox {
                    wire.push(frame, outbox)
                } else {
                    let mut outbox = Outbox::default();
                    let pushed = wire.push(frame, &mut outbox);
                    outbox.flush_now();
                    pushed
                };
                self.check(voice, &pushed);
            }
            Road::Turning { wire, waiting } => {
                let behind = waiting.iter().map(Bytes::len).sum::<usize>() >= wire.limit();
                if !behind {
                    waiting.push(packet.framed(self.namespace()));
                }
                self.check(voice, &if behind { Err(TooSlow) } else { Ok(()) });
            }
            Road::Engine => {
                let mut marked = None;
                if let Some(wire) = self.wire()
                    && let Some((start, payload)) = packet.marked(self.namespace())
                {
                    let me = self.me.clone();
                    let turn = move || me.upgrade().into_iter().for_each(|connection| connection.turn());
                    wire.when_written(start, Box::new(turn));
                    voice.road = Road::Turning { wire, waiting: Vec::new() };
                    marked = Some(payload);
                }
                let sent = match packet {
                    Packet::Event(event, payload) => self.socket.emit(event, marked.as_deref().unwrap_or(payload)),
                    Packet::Ack(ack, payload) => ack.sender.send(marked.as_deref().unwrap_or(payload)),
                };
                if let Err(error) = sent {
                    self.not_sent(&error);
                }
            }
        }
    }

    /// The connection's wire, if it is a WebSocket by now.
    fn wire(&self) -> Option<Arc<Wire>> {
        if self.socket.transport_type() != TransportType::Websocket {
            return None;
        }
        // A session that began by polling has none of its handshake.
        let begun_on = self.socket.req_parts().extensions.get::<ConnectInfo<RequestWire>>();
        begun_on.map(|wire| wire.0.0.clone()).or_else(|| self.upgrades.of(self.socket.id.as_str()))
    }

    /// The engine has written its last: from now on everything goes straight to the wire, beginning with what waited.
    fn turn(&self) {
        let mut outbox = Outbox::default();
        let mut voice = self.voice();
        if let Road::Turning { wire, waiting } = std::mem::take(&mut voice.road) {
            let pushed = waiting.into_iter().try_for_each(|frame| wire.push(frame, &mut outbox));
            voice.road = Road::Wire(wire);
            tracing::trace!(connection.id = %self.id, "a connection is told on its wire");
            self.check(&voice, &pushed);
        }
        drop(voice);
        outbox.flush_now();
        if self.is_closed() {
            self.close();
        }
    }

    /// If it reads too slowly it has missed something: better it is closed and comes again than that it goes on with a
    /// hole. It is told so after everything that it did not miss, and hears nothing more.
    fn check(&self, voice: &Voice, pushed: &Result<(), TooSlow>) {
        if pushed.is_ok() || self.is_slow.swap(true, Ordering::AcqRel) {
            return;
        }
        self.note_slow();
        let (Road::Wire(wire) | Road::Turning { wire, .. }) = &voice.road else { return };
        let error = frames::encoded(&Error::SlowConsumer.into_body(TraceId::current()));
        let mut last = error.map(|error| Packet::Event("system:error", &error).framed(self.namespace()).to_vec()).unwrap_or_default();
        last.extend(frames::GOODBYE);
        wire.end_with(last.into());
    }

    /// Something could not be given to the engine. If its buffer is full the client reads too slowly, as in [`check`]; it
    /// is told as soon as there is room.
    ///
    /// [`check`]: Self::check
    fn not_sent(&self, error: &SendError) {
        let full = matches!(error, SendError::Socket(SocketError::InternalChannelFull));
        if full && !self.is_slow.swap(true, Ordering::AcqRel) {
            self.note_slow();
        }
    }

    /// It reads too slowly, and can do nothing more.
    fn note_slow(&self) {
        self.closed.store(true, Ordering::Release);
        metrics::SLOW_CONSUMERS.inc();
        tracing::warn!(connection.id = %self.id, "a client reads too slowly and is closed");
    }

    /// Whether the engine's buffer for it is full. What cannot be encoded is not sent, but room for it is looked for first.
    fn is_full(&self) -> bool {
        let sent = self.socket.emit("", &Unsendable);
        matches!(sent, Err(SendError::Socket(SocketError::InternalChannelFull)))
    }

    /// Ends it: from now on it can do nothing more, even if the engine cannot close it yet. Whoever looks after
    /// connections tries again until it can.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let is_slow = self.is_slow.load(Ordering::Acquire);
        match &self.voice().road {
            // The goodbye must not overtake what still waits.
            Road::Turning { .. } => return,
            // The wire ends by itself.
            Road::Wire(_) if is_slow => return,
            Road::Engine if is_slow && self.is_full() => return,
            Road::Engine | Road::Wire(_) => {}
        }
        if is_slow {
            self.emit_error(&Error::SlowConsumer.into_body(TraceId::current()));
        }
        if let Err(error) = self.socket.clone().disconnect() {
            tracing::debug!(connection.id = %self.id, %error, "a connection could not be closed yet");
        }
    }

    /// Closes its transport, so that the client comes again by itself: after a goodbye to the namespace, as [`close`] says it, it
    /// would stay away. Says whether all that it was told has left; until then it may be asked again. (One that polls is not closed
    /// here: its poll ends.)
    ///
    /// [`close`]: Self::close
    pub fn send_away(&self) -> bool {
        let wire = match &self.voice().road {
            // Something that it was told is still on its way through the engine.
            Road::Turning { .. } => None,
            Road::Wire(wire) => Some(wire.clone()),
            Road::Engine => self.wire(),
        };
        wire.is_some_and(|wire| {
            wire.end_with(Bytes::from_static(&frames::GOODBYE));
            !wire.is_behind()
        })
    }

    pub(super) fn voice(&self) -> MutexGuard<'_, Voice> {
        self.voice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Packet<'_> {
    fn framed(&self, namespace: &str) -> Bytes {
        let mut frame = Vec::new();
        match self {
            Self::Event(event, payload) => frames::append_event(&mut frame, namespace, event, payload),
            Self::Ack(ack, payload) => frames::append_ack(&mut frame, namespace, ack.id.unwrap_or_default(), payload),
        }
        frame.into()
    }

    /// The payload with a mark, and the start of the packet's text by which the mark is known.
    fn marked(&self, namespace: &str) -> Option<(Box<[u8]>, Box<RawValue>)> {
        let (Self::Event(_, payload) | Self::Ack(_, payload)) = self;
        let rest = payload.get().strip_prefix('{')?;
        let marked = RawValue::from_string(format!("{{\t{rest}")).ok()?;
        let namespace = frames::prefix(namespace);
        let start = match self {
            Self::Event(event, _) => format!("2{namespace}[\"{event}\",{{\t"),
            Self::Ack(ack, _) => format!("3{namespace}{}[{{\t", ack.id.unwrap_or_default()),
        };
        Some((start.into_bytes().into(), marked))
    }
}
