//! What a socket has received, in order: events, acks, the answer to CONNECT, and how it ended.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use serde_json::Value;
use tokio::sync::Notify;

use super::{contract, wait::LIMIT};

/// One event from the server; `taken` once a test has asked for it.
pub struct Received {
    pub name: String,
    pub data: Value,
    pub taken: bool,
}

/// Everything that came, in the order in which it came.
#[derive(Default)]
pub struct Heard {
    pub opened: Option<Value>,
    pub connected: Option<Result<Value, Value>>,
    pub events: Vec<Received>,
    pub acks: HashMap<u64, Vec<Value>>,
    pub pings: usize,
    /// A test plays a dead client: pings get no answer.
    pub mute: bool,
    /// `Some` once the server has ended the namespace or the connection.
    pub ended: Option<String>,
    /// What the test asked, by the number of the ack.
    pub asked: HashMap<u64, String>,
    /// The first thing that came and is not as the contract says.
    pub breach: Option<String>,
}

/// The shared end of a socket: its reader puts in, the test takes out.
#[derive(Default)]
pub struct Inbox {
    heard: Mutex<Heard>,
    changed: Notify,
}

impl Inbox {
    pub fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap()
    }

    fn put(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.lock());
        self.changed.notify_waiters();
    }

    pub fn end(&self, reason: &str) {
        self.put(|heard| _ = heard.ended.get_or_insert_with(|| reason.to_owned()));
    }

    /// Takes in one Engine.IO packet of the server and says what has to be answered at once.
    pub fn take_in(&self, packet: &str) -> Option<String> {
        match packet.as_bytes().first() {
            Some(b'0') => self.put(|heard| heard.opened = serde_json::from_str(&packet[1..]).ok()),
            Some(b'1') => self.end("engine closed"),
            Some(b'2') => {
                self.put(|heard| heard.pings += 1);
                return (!self.lock().mute).then(|| format!("3{}", &packet[1..]));
            }
            Some(b'4') => self.take_in_message(&packet[1..]),
            _ => {}
        }
        None
    }

    fn take_in_message(&self, packet: &str) {
        let (kind, rest) = packet.split_at(1);
        let rest = match rest.strip_prefix('/') {
            Some(named) => named.split_once(',').map_or("", |(_, rest)| rest),
            None => rest,
        };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (id, json) = rest.split_at(digits);
        let value: Value = serde_json::from_str(json).unwrap_or_default();
        match kind {
            "0" => self.put(|heard| heard.connected = Some(Ok(value))),
            "1" => self.end("disconnected by the server"),
            "2" => self.put(|heard| {
                let fault = contract::check_event(value[0].as_str().unwrap_or_default(), &value[1]).err();
                heard.breach = heard.breach.take().or(fault);
                heard.events.push(Received { name: value[0].as_str().unwrap_or_default().to_owned(), data: value[1].clone(), taken: false });
            }),
            "3" => self.put(|heard| {
                let id = id.parse().unwrap_or_default();
                let fault = heard.asked.get(&id).and_then(|asked| contract::check_ack(asked, &value[0]).err());
                heard.breach = heard.breach.take().or(fault);
                heard.acks.entry(id).or_default().push(value[0].clone());
            }),
            "4" => self.put(|heard| heard.connected = Some(Err(value))),
            _ => {}
        }
    }

    /// Waits until `look` finds what it looks for.
    pub async fn wait<T>(&self, what: &str, look: impl FnMut(&mut Heard) -> Option<T>) -> T {
        match self.wait_within(LIMIT, look).await {
            Some(found) => found,
            None => panic!("waited {LIMIT:?} in vain for {what}; heard so far:{}", self.story()),
        }
    }

    /// Like [`Inbox::wait`], but lets the caller decide what it means that the time ran out.
    pub async fn wait_within<T>(&self, limit: Duration, mut look: impl FnMut(&mut Heard) -> Option<T>) -> Option<T> {
        let found = async {
            loop {
                let changed = self.changed.notified();
                self.must_keep_the_contract();
                if let Some(found) = look(&mut self.lock()) {
                    return found;
                }
                changed.await;
            }
        };
        tokio::time::timeout(limit, found).await.ok()
    }

    /// Fails if something came that is not as the contract says.
    pub fn must_keep_the_contract(&self) {
        let breach = self.lock().breach.take();
        if let Some(breach) = breach {
            panic!("{breach}");
        }
    }

    /// The last events and the end, for the message of a failed test.
    pub fn story(&self) -> String {
        let heard = self.lock();
        let skipped = heard.events.len().saturating_sub(12);
        let events = heard.events[skipped..].iter().map(|event| {
            let data: String = event.data.to_string().chars().take(400).collect();
            format!("\n  {} {data}", event.name)
        });
        format!(" ({skipped} earlier events){}\n  ended: {:?}", events.collect::<String>(), heard.ended)
    }
}
