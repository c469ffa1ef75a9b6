//! A small Socket.IO v5 client that hides nothing: raw frames may be sent, everything received is kept in order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    Refusal, code,
    inbox::{Heard, Inbox},
    polling,
    wait::LIMIT,
    websocket::{self, Outgoing},
};

pub struct TestSocket {
    /// The data of `session.ready`, once it has come.
    pub ready: Value,
    inbox: Arc<Inbox>,
    outgoing: mpsc::UnboundedSender<Outgoing>,
    tasks: Vec<JoinHandle<()>>,
    namespace: String,
    /// The polling session's address; none for a websocket.
    session_url: Option<String>,
    next_ack: AtomicU64,
}

impl TestSocket {
    pub(super) fn new(
        inbox: Arc<Inbox>,
        outgoing: mpsc::UnboundedSender<Outgoing>,
        tasks: Vec<JoinHandle<()>>,
        namespace: String,
        session_url: Option<String>,
    ) -> Self {
        let next_ack = AtomicU64::new(1);
        Self { ready: Value::Null, inbox, outgoing, tasks, namespace, session_url, next_ack }
    }

    /// Sends CONNECT and waits for the answer.
    pub async fn join_namespace(&self, auth: Option<&Value>) -> Result<(), Refusal> {
        let auth = auth.map_or(String::new(), Value::to_string);
        self.send_raw(&format!("40{}{auth}", self.prefix()));
        let answered = |heard: &mut Heard| match heard.connected.clone() {
            Some(Ok(_)) => Some(Ok(())),
            Some(Err(error)) => {
                let message = error["message"].as_str().unwrap_or_default();
                Some(Err(Refusal::ConnectError(message.to_owned())))
            }
            None => heard.ended.is_some().then_some(Err(Refusal::Unreachable)),
        };
        self.inbox.wait("the answer to CONNECT", answered).await
    }

    /// Whether `session.ready` comes, rather than an error or the end.
    pub async fn is_ready(&self) -> bool {
        let decided = |heard: &mut Heard| match heard.events.first() {
            Some(event) => Some(event.data["type"] == "session.ready"),
            None => heard.ended.is_some().then_some(false),
        };
        self.inbox.wait_within(LIMIT, decided).await.unwrap_or(false)
    }

    fn prefix(&self) -> String {
        if self.namespace == "/" { String::new() } else { format!("{},", self.namespace) }
    }

    /// The Engine.IO handshake: `sid`, `upgrades`, `pingInterval`, `pingTimeout`, `maxPayload`.
    pub fn handshake(&self) -> Value {
        self.inbox.lock().opened.clone().unwrap()
    }

    // ── sending ──────────────────────────────────────────────────────────────────────────────────────────────

    /// Sends one Engine.IO packet as it stands.
    pub fn send_raw(&self, packet: &str) {
        // An error means that the connection has ended, which the inbox tells better.
        _ = self.outgoing.send(Outgoing::Text(packet.to_owned()));
    }

    pub fn send_binary(&self, bytes: &[u8]) {
        _ = self.outgoing.send(Outgoing::Binary(bytes.to_owned()));
    }

    /// A message in so many frames of one byte that never ends.
    pub fn send_fragments(&self, begin: &str, count: usize) {
        _ = self.outgoing.send(Outgoing::Fragments(begin.to_owned(), count));
    }

    /// Leaves what the server sends unread, or reads it again. (A poll under way is still answered.)
    pub fn read(&self, reads: bool) {
        _ = self.outgoing.send(Outgoing::Read(reads));
    }

    pub fn emit_no_ack(&self, event: &str, payload: &Value) {
        self.send_raw(&format!("42{}{}", self.prefix(), json!([event, payload])));
    }

    /// Sends without waiting; the number is for [`TestSocket::ack`].
    pub fn post(&self, event: &str, payload: &Value) -> u64 {
        self.post_raw(&json!([event, payload]).to_string())
    }

    /// Like [`TestSocket::post`], from the JSON text of the whole array, which need not be valid.
    pub fn post_raw(&self, array: &str) -> u64 {
        let id = self.next_ack.fetch_add(1, Ordering::Relaxed);
        self.inbox.lock().asked.insert(id, array.to_owned());
        self.send_raw(&format!("42{}{id}{array}", self.prefix()));
        id
    }

    /// An event with a placeholder for a binary attachment, and the attachment.
    pub fn post_binary(&self, event: &str) -> u64 {
        let id = self.next_ack.fetch_add(1, Ordering::Relaxed);
        let array = json!([event, { "_placeholder": true, "num": 0 }]);
        self.send_raw(&format!("451-{}{id}{array}", self.prefix()));
        self.send_binary(b"\x00\x01binary");
        id
    }

    /// The first ack that came for the number.
    pub async fn ack(&self, id: u64) -> Value {
        let first = |heard: &mut Heard| heard.acks.get(&id)?.first().cloned();
        self.inbox.wait(&format!("ack {id}"), first).await
    }

    /// Like [`TestSocket::ack`], or `None` if the connection ended first or the time ran out.
    pub async fn ack_if_any(&self, id: u64, limit: Duration) -> Option<Value> {
        let first = |heard: &mut Heard| match heard.acks.get(&id) {
            Some(acks) => Some(acks.first().cloned()),
            None => heard.ended.is_some().then_some(None),
        };
        self.inbox.wait_within(limit, first).await.flatten()
    }

    pub fn ack_count(&self, id: u64) -> usize {
        self.inbox.lock().acks.get(&id).map_or(0, Vec::len)
    }

    /// Sends and gives the ack.
    pub async fn emit(&self, event: &str, payload: &Value) -> Value {
        let ack = self.ack(self.post(event, payload)).await;
        assert_eq!(ack.get("event"), None, "no ack has a top-level `event`");
        ack
    }

    /// Sends what must succeed and gives the ack's `data`.
    pub async fn emit_ok(&self, event: &str, payload: &Value) -> Value {
        let ack = self.emit(event, payload).await;
        assert_eq!(ack["ok"], true, "{event} {payload} was answered {ack}");
        ack["data"].clone()
    }

    /// Sends what must fail and gives the error, having checked that `system:error` told the same.
    pub async fn emit_err(&self, event: &str, payload: &Value) -> Value {
        let ack = self.emit(event, payload).await;
        assert_eq!(ack["ok"], false, "{event} {payload} was answered {ack}");
        let told = self.expect("system:error").await;
        assert_eq!(told["code"], ack["error"]["code"]);
        ack["error"].clone()
    }

    /// Says something in a room and gives the message.
    pub async fn say(&self, room: &str, content: &str) -> Value {
        self.emit_ok("chat:message", &json!({ "roomId": room, "content": content })).await
    }

    // ── hearing ──────────────────────────────────────────────────────────────────────────────────────────────

    /// The first event of this name that no test has taken yet.
    pub async fn expect(&self, event: &str) -> Value {
        self.expect_where(event, |_| true).await
    }

    /// The first event of this name, not taken yet, that the test is looking for.
    pub async fn expect_where(&self, event: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let what = format!("the event {event}");
        self.inbox.wait(&what, |heard| take(heard, event, &fits)).await
    }

    /// Like [`TestSocket::expect_where`], or `None` after `limit`.
    pub async fn hears_within(&self, limit: Duration, event: &str, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        self.inbox.wait_within(limit, |heard| take(heard, event, &fits)).await
    }

    /// The notification of this type, for instance `session.ready`.
    pub async fn expect_notification(&self, kind: &str) -> Value {
        self.expect_where("system:notification", |data| data["type"] == kind).await
    }

    /// The next event of any name that was not taken yet.
    pub async fn next_event(&self) -> (String, Value) {
        let next = |heard: &mut Heard| {
            let event = heard.events.iter_mut().find(|event| !event.taken)?;
            event.taken = true;
            Some((event.name.clone(), event.data.clone()))
        };
        self.inbox.wait("any event", next).await
    }

    /// Waits for so many events of a name, taken or not, and gives them in order.
    pub async fn expect_count(&self, event: &str, count: usize) -> Vec<Value> {
        let what = format!("{count} × {event}");
        let enough = |heard: &mut Heard| {
            let found = named(heard, event);
            (found.len() >= count).then_some(found)
        };
        self.inbox.wait(&what, enough).await
    }

    /// All events of a name so far, taken or not.
    pub fn seen(&self, event: &str) -> Vec<Value> {
        named(&self.inbox.lock(), event)
    }

    /// Takes all events of a name that came so far.
    pub fn take_all(&self, event: &str) -> Vec<Value> {
        let mut heard = self.inbox.lock();
        std::iter::from_fn(|| take(&mut heard, event, &|_| true)).collect()
    }

    /// Takes everything that came so far, in the order in which it came.
    pub fn take_everything(&self) -> Vec<(String, Value)> {
        let mut heard = self.inbox.lock();
        let fresh = heard.events.iter_mut().filter(|event| !event.taken);
        let taken = fresh.map(|event| {
            event.taken = true;
            (event.name.clone(), event.data.clone())
        });
        taken.collect()
    }

    /// Proves that everything the server had said to this socket has arrived: an answer to a later question came.
    pub async fn settle(&self) {
        let ack = self.emit("status:update", &json!({ "isOnline": true })).await;
        assert_eq!(ack["ok"], true, "settling was answered {ack}");
    }

    /// Fails if an event of this name came that no test has taken. To be called when the thing that must not be
    /// heard has demonstrably happened (it was acked, another member heard it).
    pub async fn expect_silence(&self, event: &str) {
        self.settle().await;
        let stray = take(&mut self.inbox.lock(), event, &|_| true);
        assert_eq!(stray, None, "{event} came to a socket that must not hear it");
    }

    /// Waits until the server has ended this socket, and gives how.
    pub async fn disconnected(&self) -> String {
        self.inbox.wait("the server's disconnect", |heard| heard.ended.clone()).await
    }

    pub fn is_live(&self) -> bool {
        self.inbox.lock().ended.is_none()
    }

    /// From now on this socket seems dead to the server's heartbeat.
    pub fn stop_answering_pings(&self) {
        self.inbox.lock().mute = true;
    }

    /// The data of all events so far.
    pub fn everything(&self) -> Vec<Value> {
        self.inbox.lock().events.iter().map(|event| event.data.clone()).collect()
    }

    pub async fn pinged(&self) {
        self.inbox.wait("a ping", |heard| (heard.pings > 0).then_some(())).await;
    }

    // ── ending and changing the transport ────────────────────────────────────────────────────────────────────

    /// Leaves politely, as `socket.disconnect()` does, and waits until the transport has closed.
    pub async fn close(self) {
        self.send_raw(&format!("41{}", self.prefix()));
        _ = self.outgoing.send(Outgoing::Close);
        if self.session_url.is_none() {
            self.disconnected().await;
        }
    }

    /// Moves a polling session to a websocket in the way of engine.io-client.
    pub async fn upgrade(&mut self) {
        let mut stream = self.open_upgrade().await;
        self.session_url = None;
        websocket::probe(&mut stream).await;
        if let Some(poll) = self.tasks.pop() {
            super::within(LIMIT, "the NOOP that releases the poll", poll).await.unwrap();
        }
        let (outgoing, queue) = mpsc::unbounded_channel();
        self.outgoing = outgoing;
        self.send_raw("5");
        self.tasks.push(websocket::carry(stream, queue, self.inbox.clone()));
    }

    /// Gives the code of the failure that this event is answered with.
    pub async fn code_of(&self, event: &str, payload: &Value) -> String {
        code(&self.emit_err(event, payload).await).to_owned()
    }

    /// Posts a body to the polling session by hand.
    pub async fn post_status(&self, http: &reqwest::Client, body: String) -> u16 {
        polling::post_status(http, self.session_url.as_ref().unwrap(), body).await
    }

    /// Begins an upgrade and leaves it at that: gives the websocket, which has not been probed.
    pub async fn open_upgrade(&self) -> websocket::Stream {
        websocket::open(&self.upgrade_url(), &[]).await.unwrap()
    }

    fn upgrade_url(&self) -> String {
        let url = self.session_url.as_ref().expect("only a polling session can be upgraded");
        url.replacen("http", "ws", 1).replacen("polling", "websocket", 1)
    }
}

/// A dropped socket is a lost connection: nothing is said to the server.
impl Drop for TestSocket {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        if !std::thread::panicking() {
            self.inbox.must_keep_the_contract();
        }
    }
}

fn named(heard: &Heard, event: &str) -> Vec<Value> {
    let events = heard.events.iter().filter(|received| received.name == event);
    events.map(|received| received.data.clone()).collect()
}

fn take(heard: &mut Heard, event: &str, fits: &impl Fn(&Value) -> bool) -> Option<Value> {
    let mut events = heard.events.iter_mut();
    let found = events.find(|one| !one.taken && one.name == event && fits(&one.data))?;
    found.taken = true;
    Some(found.data.clone())
}
