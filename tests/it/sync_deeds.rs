//! What users may do in a room, and over which route: for the histories of [`sync_property`](super::sync_property).

use reqwest::Method;
use serde_json::{Value, json};

/// What one user does.
#[derive(Debug, Clone)]
pub enum Act {
    Say(Value),
    Edit(String, String),
    Delete(String),
    React(String, &'static str),
    Unreact(String, &'static str),
    Pin(String),
    Unpin(String),
    Read(i64),
    Join,
    Leave,
    Kick(String),
    Ban(String),
    Unban(String),
    Invite(String),
    Role(String, &'static str),
    Mute(String),
    Unmute(String),
    Update(Value),
}

#[derive(Debug)]
pub struct Deed {
    pub by: String,
    pub act: Act,
}

impl Act {
    /// The request that does it, in a room.
    pub fn request(&self, room: &str) -> (Method, String, Value) {
        let room = format!("/rooms/{room}");
        let nothing = Value::Null;
        match self {
            Act::Say(words) => (Method::POST, format!("{room}/messages"), words.clone()),
            Act::Edit(id, content) => (Method::PATCH, format!("/messages/{id}"), json!({ "content": content })),
            Act::Delete(id) => (Method::DELETE, format!("/messages/{id}"), json!({ "reason": "enough" })),
            Act::React(id, emoji) => (Method::PUT, format!("/messages/{id}/reactions/{emoji}"), nothing),
            Act::Unreact(id, emoji) => (Method::DELETE, format!("/messages/{id}/reactions/{emoji}"), nothing),
            Act::Pin(id) => (Method::PUT, format!("/messages/{id}/pin"), nothing),
            Act::Unpin(id) => (Method::DELETE, format!("/messages/{id}/pin"), nothing),
            Act::Read(seq) => (Method::PUT, format!("{room}/read"), json!({ "seq": seq })),
            Act::Join => (Method::POST, format!("{room}/join"), json!({})),
            Act::Leave => (Method::POST, format!("{room}/leave"), json!({})),
            Act::Kick(user) => (Method::DELETE, format!("{room}/members/{user}"), nothing),
            Act::Ban(user) => (Method::PUT, format!("{room}/bans/{user}"), json!({})),
            Act::Unban(user) => (Method::DELETE, format!("{room}/bans/{user}"), nothing),
            Act::Invite(user) => (Method::PUT, format!("{room}/members/{user}"), json!({})),
            Act::Role(user, role) => (Method::PUT, format!("{room}/members/{user}"), json!({ "role": role })),
            Act::Mute(user) => (Method::PUT, format!("{room}/mutes/{user}"), json!({ "durationMs": 3_600_000 })),
            Act::Unmute(user) => (Method::DELETE, format!("{room}/mutes/{user}"), nothing),
            Act::Update(new) => (Method::PATCH, room, new.clone()),
        }
    }
}
