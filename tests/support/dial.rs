//! How a socket comes to be: which transport, which namespace, which credentials.

use std::sync::Arc;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::{
    TestSocket, code,
    inbox::{Heard, Inbox},
    polling, websocket,
};

/// A connection that was not made.
#[derive(Debug, PartialEq)]
pub enum Refusal {
    /// The HTTP request was answered with this status.
    Status(u16),
    /// The namespace answered CONNECT with this `connect_error` message.
    ConnectError(String),
    /// There was nobody, or the connection broke before it was made.
    Unreachable,
}

/// A connection about to be made.
#[derive(Clone)]
pub struct Dial {
    http: Client,
    base: String,
    namespace: String,
    auth: Option<Value>,
    headers: Vec<(String, String)>,
    polling: bool,
}

impl Dial {
    pub fn new(http: Client, base: String) -> Self {
        let namespace = "/chat".to_owned();
        Self { http, base, namespace, auth: None, headers: Vec::new(), polling: false }
    }

    pub fn token(self, token: &str) -> Self {
        self.auth(json!({ "token": token }))
    }

    pub fn auth(mut self, auth: Value) -> Self {
        self.auth = Some(auth);
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    pub fn polling(mut self) -> Self {
        self.polling = true;
        self
    }

    /// Opens the transport without joining the namespace.
    pub async fn open_transport(&self) -> Result<TestSocket, Refusal> {
        let inbox = Arc::new(Inbox::default());
        let (outgoing, queue) = mpsc::unbounded_channel();
        let (tasks, session_url) = if self.polling {
            let url = format!("{}/socket.io/?EIO=4&transport=polling", self.base);
            let opened = polling::open(&self.http, &url, &self.headers, &inbox).await;
            let url = opened?;
            let (reading, reads) = watch::channel(true);
            let post = polling::post(self.http.clone(), url.clone(), queue, reading);
            let poll = polling::poll(self.http.clone(), url.clone(), inbox.clone(), reads);
            (vec![post, poll], Some(url))
        } else {
            let base = self.base.replacen("http", "ws", 1);
            let url = format!("{base}/socket.io/?EIO=4&transport=websocket");
            let stream = websocket::open(&url, &self.headers).await?;
            (vec![websocket::carry(stream, queue, inbox.clone())], None)
        };
        let opened = |heard: &mut Heard| {
            let ended = heard.ended.is_some().then_some(Err(Refusal::Unreachable));
            heard.opened.is_some().then_some(Ok(())).or(ended)
        };
        inbox.wait("the engine's OPEN packet", opened).await?;
        Ok(TestSocket::new(inbox, outgoing, tasks, self.namespace.clone(), session_url))
    }

    /// Joins the namespace as well. What the server says afterwards (`session.ready`) is still to be expected.
    pub async fn open(&self) -> Result<TestSocket, Refusal> {
        let socket = self.open_transport().await?;
        socket.join_namespace(self.auth.as_ref()).await?;
        Ok(socket)
    }

    /// A socket that is in and authenticated: `session.ready` has come.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn open_ready(&self) -> TestSocket {
        let mut socket = self.open().await.unwrap_or_else(|refusal| panic!("refused: {refusal:?}"));
        socket.ready = socket.expect_notification("session.ready").await["data"].clone();
        socket
    }

    /// Like [`Dial::open_ready`], or `None` where no server answers or it is not ready to serve.
    pub async fn try_open_ready(&self) -> Option<TestSocket> {
        let socket = self.open().await.ok()?;
        socket.is_ready().await.then_some(socket)
    }

    /// The code with which the server turns these credentials away, wherever it does so: in the handshake, or
    /// as `system:error` followed by the end of the connection.
    pub async fn refusal_code(&self) -> String {
        match self.open().await {
            Err(Refusal::ConnectError(message)) => message.split(':').next().unwrap_or_default().to_owned(),
            Err(refusal) => panic!("{refusal:?} instead of a code"),
            Ok(socket) => {
                let error = socket.expect("system:error").await;
                socket.disconnected().await;
                assert_eq!(socket.seen("system:notification"), Vec::<Value>::new());
                code(&error).to_owned()
            }
        }
    }
}
