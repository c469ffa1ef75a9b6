//! The Admin UI's side of its protocol, in raw frames. It is Socket.IO's and no part of our contract, so nothing is held against that.

use std::{collections::VecDeque, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{
    LIMIT, Refusal, TestApp,
    websocket::{self, Stream},
    within,
};

pub struct AdminUi {
    stream: Stream,
    /// What came and was not asked for yet: events with their arguments.
    events: VecDeque<(String, Vec<Value>)>,
    /// Every frame, as it came.
    frames: Vec<String>,
    asked: usize,
}

/// What a frame says.
enum Said {
    Connected,
    Refused(String),
    Event(String, Vec<Value>),
    Acknowledged(Value),
    Disconnected,
    Nothing,
}

impl AdminUi {
    /// The password of tests.
    pub const PASSWORD: &str = "an operator's password";

    /// Opens a transport, from which the namespace can be asked for.
    pub async fn dial(app: &TestApp) -> Self {
        Self::dial_from(app, &[]).await.unwrap()
    }

    /// The same with these headers.
    pub async fn dial_from(app: &TestApp, headers: &[(String, String)]) -> Result<Self, Refusal> {
        let url = format!("{}/socket.io/?EIO=4&transport=websocket", app.base().replacen("http", "ws", 1));
        let stream = websocket::open(&url, headers).await?;
        Ok(Self { stream, events: VecDeque::new(), frames: Vec::new(), asked: 0 })
    }

    /// Asks for the namespace; the error is the message of `connect_error`.
    pub async fn join(&mut self, auth: &Value) -> Result<(), String> {
        self.send(format!("40/admin,{auth}")).await;
        within(LIMIT, "an answer to CONNECT", self.admission()).await
    }

    async fn admission(&mut self) -> Result<(), String> {
        loop {
            match self.hear().await {
                Said::Connected => return Ok(()),
                Said::Refused(message) => return Err(message),
                Said::Disconnected => panic!("the end came before an answer to CONNECT"),
                _ => {}
            }
        }
    }

    /// The same once more after a refusal. The engine lets a CONNECT pass unanswered that comes while it is still busy with the refused
    /// one, so it is sent until it is answered.
    pub async fn join_again(&mut self, auth: &Value) -> Result<(), String> {
        loop {
            if let Ok(answer) = tokio::time::timeout(Duration::from_millis(500), self.join(auth)).await {
                return answer;
            }
        }
    }

    /// Comes with these credentials.
    pub async fn open(app: &TestApp, auth: &Value) -> Result<Self, String> {
        let mut admin = Self::dial(app).await;
        admin.join(auth).await.map(|()| admin)
    }

    /// Comes with the password, and gives the session that it is told.
    pub async fn log_in(app: &TestApp) -> (Self, String) {
        let mut admin = Self::open(app, &json!({ "username": "admin", "password": Self::PASSWORD })).await.unwrap();
        let session = admin.expect("session").await[0].as_str().unwrap().to_owned();
        (admin, session)
    }

    /// The arguments of the next event of this name.
    pub async fn expect(&mut self, event: &str) -> Vec<Value> {
        self.expect_where(event, |_| true).await
    }

    /// Those of the next one that fits. What came before it stays to be asked for.
    pub async fn expect_where(&mut self, event: &str, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        within(LIMIT, event, self.next_where(event, fits)).await
    }

    async fn next_where(&mut self, event: &str, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        loop {
            let place = self.events.iter().position(|(name, arguments)| name == event && fits(arguments));
            if let Some((_, arguments)) = place.and_then(|place| self.events.remove(place)) {
                return arguments;
            }
            match self.hear().await {
                Said::Event(name, arguments) => self.events.push_back((name, arguments)),
                Said::Disconnected => panic!("the end came before {event}"),
                _ => {}
            }
        }
    }

    /// Asks for something, from the event's name and arguments, and gives the acknowledgement.
    pub async fn ask(&mut self, array: &Value) -> Value {
        self.asked += 1;
        self.send(format!("42/admin,{}{array}", self.asked)).await;
        within(LIMIT, "an acknowledgement", self.answer()).await
    }

    async fn answer(&mut self) -> Value {
        loop {
            match self.hear().await {
                Said::Acknowledged(answer) => return answer,
                Said::Event(name, arguments) => self.events.push_back((name, arguments)),
                Said::Disconnected => panic!("the end came before an acknowledgement"),
                _ => {}
            }
        }
    }

    /// The code with which it is refused, in the acknowledgement and in `system:error`.
    pub async fn refusal_of(&mut self, array: &Value) -> String {
        let answer = self.ask(array).await;
        assert_eq!(answer["ok"], false, "{array} was answered {answer}");
        assert_eq!(self.expect("system:error").await[0]["code"], answer["error"]["code"]);
        answer["error"]["code"].as_str().unwrap().to_owned()
    }

    /// Waits until the server has ended it.
    pub async fn disconnected(&mut self) {
        within(LIMIT, "the end", async { while !matches!(self.hear().await, Said::Disconnected) {} }).await;
    }

    /// Everything that came, as text.
    pub fn everything(&self) -> String {
        self.frames.join("\n")
    }

    async fn send(&mut self, frame: String) {
        self.stream.send(Message::text(frame)).await.unwrap();
    }

    async fn hear(&mut self) -> Said {
        let frame = match self.stream.next().await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Said::Disconnected,
            Some(Ok(_)) => return Said::Nothing,
        };
        self.frames.push(frame.clone());
        if let Some(probe) = frame.strip_prefix('2') {
            self.send(format!("3{probe}")).await;
        }
        let Some((kind, packet)) = frame.split_once("/admin,") else { return Said::Nothing };
        let json = packet.trim_start_matches(|c: char| c.is_ascii_digit());
        let value: Value = serde_json::from_str(json).unwrap_or_default();
        match kind {
            "40" => Said::Connected,
            "41" => Said::Disconnected,
            "42" => {
                let mut arguments = value.as_array().cloned().unwrap().into_iter();
                Said::Event(arguments.next().unwrap().as_str().unwrap().to_owned(), arguments.collect())
            }
            "43" => Said::Acknowledged(value[0].clone()),
            "44" => Said::Refused(value["message"].as_str().unwrap().to_owned()),
            _ => Said::Nothing,
        }
    }
}
