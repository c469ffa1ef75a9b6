//! A room in which something is going on: Alice's, with Bob and Carol in it, all connected.

use serde_json::{Value, json};

use super::{
    TestApp, TestSocket, TestUser,
    json::{assert_members, int, is_time, text},
};

pub struct Den {
    pub app: TestApp,
    pub alice: TestUser,
    pub bob: TestUser,
    /// Alice's.
    pub owner: TestSocket,
    /// Bob's.
    pub member: TestSocket,
    /// Carol's.
    pub watcher: TestSocket,
    pub room: String,
}

impl Den {
    /// A private one.
    pub async fn start() -> Self {
        Self::of_kind("group", &[]).await
    }

    /// A `group` or a `public` room, on a server with these settings.
    pub async fn of_kind(kind: &str, settings: &[(&str, &str)]) -> Self {
        let app = TestApp::with(settings).await;
        let (alice, bob, carol) = (app.user("alice").await, app.user("bob").await, app.user("carol").await);
        let room = alice.post("/rooms", &json!({ "name": "den", "type": kind, "participants": ["bob", "carol"] })).await.expect(201);
        let (owner, member, watcher) = (alice.connect().await, bob.connect().await, carol.connect().await);
        Self { app, alice, bob, owner, member, watcher, room: text(&room["id"]).to_owned() }
    }

    /// The payload of what is done to a user here.
    pub fn upon(&self, user: &str, mut rest: Value) -> Value {
        (rest["roomId"], rest["userId"]) = (json!(self.room), json!(user));
        rest
    }

    pub async fn last_seq(&self) -> i64 {
        int(&self.alice.room(&self.room).await["lastSeq"])
    }

    /// The number under which the user's row last changed.
    pub async fn changed_seq(&self, user: &str) -> i64 {
        self.app.number(&format!("SELECT changed_seq FROM room_members WHERE room_id = '{}' AND user_id = '{user}'", self.room)).await
    }
}

/// Fails unless this says where a user stands, and that it is there.
pub fn assert_standing(standing: &Value, user: &str, role: &str, state: &str) {
    assert_members(standing, &["userId", "role", "joinedAt", "mutedUntil", "state"]);
    assert_eq!((text(&standing["userId"]), text(&standing["role"]), text(&standing["state"])), (user, role, state));
    assert_eq!(is_time(&standing["joinedAt"]), state == "joined", "{standing}");
}
