//! Frames: events as they stand on a WebSocket, made once for everybody who hears them.
//!
//! A text frame of RFC 6455 holds an Engine.IO message (`4`) with a Socket.IO packet (`2` event, `3` acknowledgement),
//! its namespace unless that is `/`, and its JSON: `42/chat,["chat:message",{…}]`.

use crate::rooms::RoomId;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};

/// A close frame, with the status "going away" (RFC 6455 §7.4.1), after which socket.io-client comes again by itself.
pub(super) const GOODBYE: [u8; 4] = [0x88, 2, 0x03, 0xe9];

/// One event that is told to several.
pub struct Told {
    /// The room's number of it, if it has one.
    pub seq: Option<i64>,
    /// Its name.
    pub event: &'static str,
    /// Its payload.
    pub payload: Arc<RawValue>,
}

/// Events that are told to several, one after the other, and their frames by namespace.
pub(super) struct News<'a> {
    /// The events.
    pub events: &'a [Told],
    /// The room whose numbers they have.
    pub room: Option<RoomId>,
    /// Whether they are of the moment only, so that who is behind does without.
    pub is_passing: bool,
    framed: Vec<(String, Bytes)>,
}

impl<'a> News<'a> {
    /// News that nobody has heard yet.
    pub fn new(events: &'a [Told], room: Option<RoomId>, is_passing: bool) -> Self {
        Self { events, room, is_passing, framed: Vec::new() }
    }

    /// All events as frames for one namespace.
    pub fn frames(&mut self, namespace: &str) -> Bytes {
        if let Some((_, frames)) = self.framed.iter().find(|(name, _)| name == namespace) {
            return frames.clone();
        }
        let mut frames = Vec::with_capacity(self.events.iter().map(|told| told.payload.get().len() + 64).sum());
        for told in self.events {
            append_event(&mut frames, namespace, told.event, &told.payload);
        }
        let frames = Bytes::from(frames);
        self.framed.push((namespace.to_owned(), frames.clone()));
        frames
    }
}

/// Encodes a payload, which never fails for what we tell.
pub(super) fn encoded(payload: &(impl Serialize + ?Sized)) -> Option<Arc<RawValue>> {
    match serde_json::value::to_raw_value(payload) {
        Ok(raw) => Some(raw.into()),
        Err(error) => {
            tracing::error!(%error, "a payload could not be encoded");
            None
        }
    }
}

/// Appends an event as one frame.
pub(super) fn append_event(frames: &mut Vec<u8>, namespace: &str, event: &str, payload: &RawValue) {
    append_text(frames, &["42", &prefix(namespace), "[\"", event, "\",", payload.get(), "]"]);
}

/// Appends an acknowledgement as one frame.
pub(super) fn append_ack(frames: &mut Vec<u8>, namespace: &str, id: i64, payload: &RawValue) {
    append_text(frames, &["43", &prefix(namespace), &id.to_string(), "[", payload.get(), "]"]);
}

/// How a namespace stands in a packet.
pub(super) fn prefix(namespace: &str) -> Cow<'_, str> {
    if namespace == "/" { Cow::Borrowed("") } else { Cow::Owned(format!("{namespace},")) }
}

/// Appends one unmasked text frame (RFC 6455 §5.2).
fn append_text(frames: &mut Vec<u8>, parts: &[&str]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    frames.push(0x81);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => frames.push(short),
        (_, Ok(medium)) => {
            frames.push(126);
            frames.extend(medium.to_be_bytes());
        }
        _ => {
            frames.push(127);
            frames.extend((length as u64).to_be_bytes());
        }
    }
    for part in parts {
        frames.extend(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_the_length_that_it_says() {
        for (length, header) in
            [(0, vec![0x81, 8]), (117, vec![0x81, 125]), (118, vec![0x81, 126, 0, 126]), (70_000, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x78])]
        {
            let payload = RawValue::from_string(format!("\"{}\"", "x".repeat(length))).unwrap();
            let mut frames = Vec::new();
            append_ack(&mut frames, "/", 17, &payload);
            assert!(frames.starts_with(&header), "{length}: {:?}", &frames[..10.min(frames.len())]);
            assert_eq!(frames.len(), header.len() + length + 8);
        }
    }

    #[test]
    fn a_packet_names_its_namespace_unless_it_is_the_root() {
        let payload = RawValue::from_string("{}".to_owned()).unwrap();
        for (namespace, text) in [("/", "42[\"a\",{}]"), ("/chat", "42/chat,[\"a\",{}]")] {
            let mut frames = Vec::new();
            append_event(&mut frames, namespace, "a", &payload);
            assert_eq!(&frames[2..], text.as_bytes());
        }
    }
}
