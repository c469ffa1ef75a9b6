//! People who go on talking whatever happens to the server: each message has a tag of its own, is sent again
//! with the same `clientMsgId` until it is acked, and is then compared with what the history says.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{TestSocket, TestUser, json::int, wait::eventually_within};

/// How long an ack may take before the sender tries again on a new connection.
const ACK_LIMIT: Duration = Duration::from_secs(6);

/// After how many messages a sender connects anew.
const RENEWED: usize = 500;

/// What the senders know for certain.
#[derive(Default)]
pub struct Tally {
    /// The tags of acked messages with their `seq`, in the order of the acks.
    pub acked: Mutex<Vec<(String, i64)>>,
    /// The tags of messages that somebody heard.
    pub heard: Mutex<HashSet<String>>,
    pub retries: AtomicUsize,
    count: AtomicUsize,
    enough: AtomicBool,
}

/// A load under way.
pub struct Load {
    pub tally: Arc<Tally>,
    senders: JoinSet<()>,
}

impl Load {
    /// Every user begins to send into the room, one message after the other. `base` says where the server is now.
    pub fn begin(users: Vec<TestUser>, room: &str, base: &Arc<Mutex<String>>) -> Self {
        let tally = Arc::new(Tally::default());
        let mut senders = JoinSet::new();
        for user in users {
            senders.spawn(talk(user, room.to_owned(), base.clone(), tally.clone()));
        }
        Self { tally, senders }
    }

    /// Waits until so many messages have been acked in all.
    pub async fn acked(&self, count: usize) {
        let limit = Duration::from_mins(1);
        let enough = async || self.tally.count.load(Ordering::Relaxed) >= count;
        eventually_within(limit, &format!("{count} acks"), enough).await;
    }

    pub fn acked_so_far(&self) -> usize {
        self.tally.count.load(Ordering::Relaxed)
    }

    /// Lets every sender finish the message that it is at.
    pub async fn finish(mut self) -> Arc<Tally> {
        self.tally.enough.store(true, Ordering::Relaxed);
        while let Some(sender) = self.senders.join_next().await {
            sender.unwrap();
        }
        self.tally
    }
}

async fn talk(user: TestUser, room: String, base: Arc<Mutex<String>>, tally: Arc<Tally>) {
    let mut socket = None;
    for number in 0.. {
        if tally.enough.load(Ordering::Relaxed) {
            return;
        }
        if number % RENEWED == RENEWED - 1 {
            socket = None; // What it heard is counted; a socket of a test keeps everything.
        }
        let tag = format!("{}-{number}", user.id);
        let message = json!({ "roomId": room, "content": tag, "clientMsgId": tag });
        loop {
            let live = connected(&mut socket, &user, &base).await;
            let ack = live.ack_if_any(live.post("chat:message", &message), ACK_LIMIT).await;
            note_heard(live, &tally);
            match ack {
                Some(ack) if ack["ok"] == true => {
                    let seq = int(&ack["data"]["seq"]);
                    tally.acked.lock().unwrap().push((tag, seq));
                    tally.count.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Some(refused) => {
                    assert_eq!(refused["error"]["retryable"], true, "{refused}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                None => socket = None,
            }
            tally.retries.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The live socket, or a new one as soon as the server lets one in.
async fn connected<'a>(socket: &'a mut Option<TestSocket>, user: &TestUser, base: &Mutex<String>) -> &'a TestSocket {
    if socket.as_ref().is_none_or(|socket| !socket.is_live()) {
        *socket = None;
        while socket.is_none() {
            let base = base.lock().unwrap().clone();
            *socket = user.at(&base).dial().try_open_ready().await;
            if socket.is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    socket.as_ref().unwrap()
}

fn note_heard(socket: &TestSocket, tally: &Tally) {
    let mut heard = tally.heard.lock().unwrap();
    for message in socket.take_all("chat:message") {
        heard.insert(message["content"].as_str().unwrap().to_owned());
    }
}

impl Tally {
    /// Compares what was acked and heard with what is stored: P1 (nothing acked is lost), P2 (nothing twice), P3
    /// (dense, and every sender's messages in their order) and P4 (nothing was heard that is not stored).
    pub fn compare(&self, history: &[Value]) {
        let tags: Vec<_> = history.iter().map(|message| message["content"].as_str().unwrap()).collect();
        let stored: HashSet<_> = tags.iter().copied().collect();
        assert_eq!(stored.len(), tags.len(), "a message is stored twice");

        let places: HashMap<_, _> = tags.iter().copied().zip(history.iter().map(|message| int(&message["seq"]))).collect();
        let acked = self.acked.lock().unwrap();
        for (tag, seq) in acked.iter() {
            let found = places.get(tag.as_str()).unwrap_or_else(|| panic!("{tag} was acked and is lost"));
            assert_eq!(found, seq, "{tag} changed its place");
        }
        for tag in self.heard.lock().unwrap().iter() {
            assert!(stored.contains(tag.as_str()), "{tag} was heard and is not stored");
        }
        assert_order(&tags);
        let seqs: Vec<_> = history.iter().map(|message| int(&message["seq"])).collect();
        assert!(seqs.is_sorted_by(|a, b| a < b), "history is not in the order of seq");
        println!("{} acked, {} stored, {} retries, 0 lost, 0 doubled, order kept", acked.len(), tags.len(), self.retries.load(Ordering::Relaxed));
    }
}

/// Each sender numbered its messages: 0, 1, 2, …
fn assert_order(tags: &[&str]) {
    let mut next = HashMap::new();
    for tag in tags {
        let (sender, number) = tag.rsplit_once('-').unwrap();
        let expected = next.entry(sender).or_insert(0_usize);
        assert_eq!(number, expected.to_string(), "{sender}'s messages are out of order or have a gap");
        *expected += 1;
    }
}
