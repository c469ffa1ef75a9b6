//! Somebody who uses the server: an id, a token, and what one does with it over REST and sockets.

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::{Dial, Reply, TestSocket, json::text};

#[derive(Clone)]
pub struct TestUser {
    pub id: String,
    pub token: String,
    /// What logging in answered; null for a user whose token was minted elsewhere.
    pub login: Value,
    base: String,
    http: Client,
}

impl TestUser {
    pub fn new(http: Client, base: String, id: &str, token: String) -> Self {
        Self { id: id.to_owned(), token, login: Value::Null, base, http }
    }

    /// The user whom a log-in answer speaks of.
    pub fn logged_in(http: Client, base: String, login: Value) -> Self {
        let (id, token) = (text(&login["user"]["id"]).to_owned(), text(&login["accessToken"]).to_owned());
        Self { id, token, login, base, http }
    }

    /// The same person with another token.
    pub fn with_token(&self, token: String) -> Self {
        Self { token, ..self.clone() }
    }

    /// The same person at a server that has been started again elsewhere.
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    // ── REST ─────────────────────────────────────────────────────────────────────────────────────────────────

    /// A request below `/api/v1` with this user's token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> Reply {
        Reply::of(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        Reply::of(self.request(Method::POST, path).json(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Reply {
        Reply::of(self.request(Method::PATCH, path).json(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        Reply::of(self.request(Method::PUT, path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        Reply::of(self.request(Method::DELETE, path)).await
    }

    /// A body sent as it stands, as JSON by its header only.
    pub async fn send_body(&self, method: Method, path: &str, body: impl Into<Vec<u8>>) -> Reply {
        let request = self.request(method, path).header("content-type", "application/json");
        Reply::of(request.body(body.into())).await
    }

    /// Creates a private group and gives its id.
    pub async fn create_room(&self, name: &str) -> String {
        self.create(&json!({ "name": name })).await
    }

    /// Creates a private group with these members besides its creator, and gives its id.
    pub async fn create_room_with(&self, name: &str, others: &[&TestUser]) -> String {
        let ids: Vec<_> = others.iter().map(|user| &user.id).collect();
        self.create(&json!({ "name": name, "participants": ids })).await
    }

    /// Creates a room that anybody may join and gives its id.
    pub async fn create_public_room(&self, name: &str) -> String {
        self.create(&json!({ "name": name, "type": "public" })).await
    }

    async fn create(&self, room: &Value) -> String {
        let room = self.post("/rooms", room).await.expect(201);
        text(&room["id"]).to_owned()
    }

    pub async fn join(&self, room: &str) -> Value {
        self.post(&format!("/rooms/{room}/join"), &json!({})).await.expect(200)
    }

    pub async fn leave(&self, room: &str) -> Value {
        self.post(&format!("/rooms/{room}/leave"), &json!({})).await.expect(200)
    }

    /// Says something over REST and gives the message.
    pub async fn say(&self, room: &str, content: &str) -> Value {
        let path = format!("/rooms/{room}/messages");
        self.post(&path, &json!({ "content": content })).await.expect(201)
    }

    /// Every message of the room, oldest first, read page by page.
    pub async fn history(&self, room: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut after = 0;
        loop {
            let path = format!("/rooms/{room}/messages?after={after}&limit=100");
            let mut page = self.get(&path).await.expect(200);
            let messages = page["messages"].as_array_mut().unwrap();
            all.append(messages);
            if page["page"]["hasNewer"] != true {
                return all;
            }
            after = page["page"]["newestSeq"].as_i64().unwrap();
        }
    }

    /// What is known of a room: its `lastSeq`, members, …
    pub async fn room(&self, room: &str) -> Value {
        self.get(&format!("/rooms/{room}")).await.expect(200)
    }

    // ── sockets ──────────────────────────────────────────────────────────────────────────────────────────────

    /// A connection about to be made with this user's token.
    pub fn dial(&self) -> Dial {
        Dial::new(self.http.clone(), self.base.clone()).token(&self.token)
    }

    /// A websocket that is authenticated and ready.
    pub async fn connect(&self) -> TestSocket {
        self.dial().open_ready().await
    }
}
