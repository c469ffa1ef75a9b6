//! What a connection hears waits behind its gate while a snapshot is read, and follows it: nothing falls between the two.

use super::{
    Connection,
    voice::{Packet, Voice},
};
use crate::{
    metrics,
    realtime::{frames, wire::Outbox},
    rooms::RoomId,
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Most events that wait behind one gate; with more the snapshot is read again instead.
const GATE_LIMIT: usize = 1_000;

/// What waits until a connection has had its snapshot.
#[derive(Default)]
pub(super) struct Gate {
    /// Whether it heard nothing before: then whatever waits may be dropped, for its snapshot can be read again.
    pub(super) is_first: bool,
    left: HashSet<RoomId>,
    waiting: Vec<Waiting>,
    pub(super) overflown: bool,
}

/// A connection whose news wait until a room's snapshot was sent, or this is dropped.
pub struct Held<'a>(&'a Connection);

pub(super) struct Waiting {
    pub(super) place: Option<(RoomId, i64)>,
    pub(super) event: &'static str,
    pub(super) payload: Arc<RawValue>,
}

impl Connection {
    /// Whether it has authenticated and waits for its first snapshot, which must be the first thing that it hears.
    pub fn awaits_snapshot(&self) -> bool {
        self.voice().gate.as_ref().is_some_and(|gate| gate.is_first)
    }

    /// Lets what it hears wait, until the gate is opened.
    pub(in crate::realtime) fn close_gate(&self) {
        self.voice().gate = Some(Gate { is_first: true, ..Gate::default() });
    }

    /// Gives the gate up, and what waits behind it.
    pub(in crate::realtime) fn abandon_gate(&self) {
        self.voice().gate = None;
    }

    /// Opens the gate: sends the snapshot, then what waited and is not in it. Says no, and keeps the gate closed and
    /// empty, when so much waited that the snapshot should be read again.
    pub(in crate::realtime) fn open_gate(&self, snapshot: &RawValue, last_seqs: &HashMap<RoomId, i64>) -> bool {
        let mut voice = self.voice();
        let Some(gate) = &mut voice.gate else { return true };
        if std::mem::take(&mut gate.overflown) {
            gate.waiting.clear();
            return false;
        }
        let mut outbox = Outbox::default();
        metrics::note_deliveries("system:notification", 1);
        self.send(&mut voice, Packet::Event("system:notification", snapshot), Some(&mut outbox));
        let is_told = |(room, seq): (RoomId, i64)| last_seqs.get(&room).is_some_and(|last| seq <= *last);
        self.let_go(&mut voice, Some(&is_told), &mut outbox);
        drop(voice);
        outbox.flush_now();
        true
    }

    /// Lets what it hears wait while a room's snapshot is read, unless it waits already for another.
    pub fn hold(&self) -> Option<Held<'_>> {
        let mut voice = self.voice();
        if voice.gate.is_some() {
            return None;
        }
        voice.gate = Some(Gate::default());
        Some(Held(self))
    }

    /// Opens the gate and sends what waits behind it, but for what the client was told already.
    pub(super) fn let_go(&self, voice: &mut Voice, is_told: Option<&dyn Fn((RoomId, i64)) -> bool>, outbox: &mut Outbox) {
        for Waiting { place, event, payload } in voice.gate.take().map(|gate| gate.waiting).unwrap_or_default() {
            if !place.zip(is_told).is_some_and(|(place, is_told)| is_told(place)) {
                self.send(voice, Packet::Event(event, &payload), Some(outbox));
            }
        }
    }

    /// The user came into a room: what a gate knows of it is out of date.
    pub(in crate::realtime) fn came(&self, room: RoomId) {
        if let Some(gate) = &mut self.voice().gate {
            gate.left.remove(&room);
        }
    }

    /// The user is no longer in a room: nothing more of it is heard, nor what still waits.
    pub(in crate::realtime) fn left(&self, room: RoomId) {
        if let Some(gate) = &mut self.voice().gate {
            gate.left.insert(room);
            gate.waiting.retain(|waiting| waiting.place.is_none_or(|(place, _)| place != room));
        }
    }

    /// Whether the user left a room while the gate was closed.
    pub(in crate::realtime) fn has_left(&self, room: RoomId) -> bool {
        self.voice().gate.as_ref().is_some_and(|gate| gate.left.contains(&room))
    }
}

impl Gate {
    /// Past the limit only what may be dropped is dropped.
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.overflown |= self.waiting.len() >= GATE_LIMIT;
        if !(self.overflown && self.is_first) {
            self.waiting.push(waiting);
        }
    }
}

impl Held<'_> {
    /// Sends a snapshot of a room up to a number, then what waited and is not in it. Says no when so much waited that it was
    /// let go before.
    pub fn release_after(self, event: &'static str, snapshot: &impl Serialize, (room, last_seq): (RoomId, i64)) -> bool {
        let Some(snapshot) = frames::encoded(snapshot) else { return false };
        let mut outbox = Outbox::default();
        let mut voice = self.0.voice();
        if voice.gate.is_none() {
            return false;
        }
        metrics::note_deliveries(event, 1);
        self.0.send(&mut voice, Packet::Event(event, &snapshot), Some(&mut outbox));
        self.0.let_go(&mut voice, Some(&|(place, seq)| place == room && seq <= last_seq), &mut outbox);
        drop(voice);
        outbox.flush_now();
        true
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut outbox = Outbox::default();
        let mut voice = self.0.voice();
        if voice.gate.as_ref().is_some_and(|gate| !gate.is_first) {
            self.0.let_go(&mut voice, None, &mut outbox);
        }
        drop(voice);
        outbox.flush_now();
    }
}
