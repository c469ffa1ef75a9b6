//! The shapes of what is kept of a user.

use crate::{
    messages::MessageId,
    rooms::{Role, RoomId, members::State},
    time::Time,
    users::{UserId, UserType},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

/// A page of what is kept of a user.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Export {
    /// Who the user is; on the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) profile: Option<ExportedProfile>,
    /// Sessions that stand.
    pub(super) sessions: Vec<ExportedSession>,
    /// Rooms that the user is or was in.
    pub(super) memberships: Vec<ExportedMembership>,
    /// What the user said; what was deleted has no content.
    pub(super) messages: Vec<ExportedMessage>,
    /// What the user reacted with.
    pub(super) reactions: Vec<ExportedReaction>,
    /// What the user pinned.
    pub(super) pins: Vec<ExportedPin>,
    /// What the user's messages said before they were edited.
    pub(super) edits: Vec<ExportedEdit>,
    /// Where the next page begins; `null` after the last one.
    pub(in crate::privacy) next_cursor: Option<String>,
}

/// Who a user is.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportedProfile {
    /// The id.
    pub id: UserId,
    /// The name to log in with, or the first token's `preferred_username`.
    pub username: Option<String>,
    /// The name to show.
    pub name: Option<String>,
    /// Where the picture is.
    pub avatar_url: Option<String>,
    /// `user`, `admin` or `bot`.
    pub user_type: UserType,
    /// Whether it is an account of the server's own.
    pub has_password: bool,
    /// When the user was first seen.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub created_at: DateTime<Utc>,
    /// When the profile last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub updated_at: DateTime<Utc>,
    /// Since when the user may not come in.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub deactivated_at: Option<DateTime<Utc>>,
    /// When the user was last seen.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Whether the user looks offline to others.
    pub invisible: bool,
}

/// A session, without its tokens.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportedSession {
    /// Its id.
    pub id: Uuid,
    /// When it began.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub created_at: DateTime<Utc>,
    /// When it was last refreshed.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub last_used_at: DateTime<Utc>,
    /// When it ends by itself.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub expires_at: DateTime<Utc>,
}

/// Where the user stands, or stood, with a room, and the markers there.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportedMembership {
    /// The room.
    pub room_id: RoomId,
    /// Its name.
    pub room_name: Option<String>,
    /// Whether the user is in it.
    pub state: State,
    /// The role, or the last one.
    pub role: Role,
    /// Since when, the last time.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub joined_at: DateTime<Utc>,
    /// How far the user has read.
    pub read_seq: i64,
    /// How far messages have reached the user.
    pub delivered_seq: i64,
    /// How far the user has read, as others may know it.
    pub public_read_seq: i64,
    /// How far messages have reached the user, as others may know it.
    pub public_delivered_seq: i64,
    /// When that last moved.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub read_at: Option<DateTime<Utc>>,
    /// Until when the user may not send.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub muted_until: Option<DateTime<Utc>>,
    /// Whether the user keeps the room at the top.
    pub pinned: bool,
    /// Since when the user is banned.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub banned_at: Option<DateTime<Utc>>,
    /// What was given as the reason.
    pub ban_reason: Option<String>,
}

/// A message that the user sent.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportedMessage {
    /// The id.
    pub id: MessageId,
    /// Where.
    pub room_id: RoomId,
    /// Its number there.
    pub seq: i64,
    /// The text.
    pub content: String,
    /// What the frontend calls it.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the sender's client calls it.
    pub client_msg_id: Option<String>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// The first message of its thread.
    pub thread_root_id: Option<MessageId>,
    /// The ids of the members that it mentions.
    #[schemars(with = "Vec<UserId>")]
    pub mentions: Value,
    /// As the client described them.
    #[schemars(with = "Vec<Map<String, Value>>")]
    pub attachments: Value,
    /// The frontend's own.
    #[schemars(with = "Option<Map<String, Value>>")]
    pub metadata: Option<Value>,
    /// When it was stored.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub created_at: DateTime<Utc>,
    /// When it was last edited.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub edited_at: Option<DateTime<Utc>>,
    /// When it was deleted.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub deleted_at: Option<DateTime<Utc>>,
    /// Why, if it was the user who deleted it and said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_reason: Option<String>,
}

/// A reaction of the user's.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportedReaction {
    /// Where.
    pub room_id: RoomId,
    /// To which message.
    pub message_id: MessageId,
    /// The emoji.
    pub emoji: String,
    /// When.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub created_at: DateTime<Utc>,
}

/// A message that the user pinned.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportedPin {
    /// Where.
    pub room_id: RoomId,
    /// Which message.
    pub message_id: MessageId,
    /// When.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub pinned_at: DateTime<Utc>,
}

/// What a message of the user's said before it was edited.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportedEdit {
    /// Which message.
    pub message_id: MessageId,
    /// The number of the edit that replaced it, from 1.
    pub number: i32,
    /// The text.
    pub content: String,
    /// The ids of the members that it mentioned.
    #[schemars(with = "Vec<UserId>")]
    pub mentions: Value,
    /// When it was said.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub said_at: DateTime<Utc>,
    /// When it was replaced.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub replaced_at: DateTime<Utc>,
}
