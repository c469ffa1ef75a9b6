//! What the events of rooms bring, as the contract shows it. What reads them is tested to know just these fields.

use super::{ROOM_NAME, TOPIC, membership::MemberJoined, moderation::REASON, snapshots::View};
use crate::{
    config::MAX_PARTICIPANTS,
    rooms::{Role, RoomId, RoomType, slow::LONGEST},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// What `chat:room:create` brings.
#[derive(JsonSchema)]
#[schemars(
    rename_all = "camelCase",
    example = json!({ "name": "den", "participants": ["bob"] }),
    extend("if" = { "properties": { "type": { "const": "direct" } }, "required": ["type"] }, "else" = { "required": ["name"] })
)]
pub struct CreateRoom {
    /// The name shown; a direct room needs none.
    #[schemars(length(min = 1, max = ROOM_NAME.max))]
    pub name: Option<String>,
    /// Ids of users, or user names of own accounts: they are in the room at once. A direct room has one.
    #[schemars(length(max = MAX_PARTICIPANTS), inner(length(min = 1, max = 128)))]
    pub participants: Option<Vec<String>>,
    /// Who may come in: `group` unless said otherwise.
    pub r#type: Option<RoomType>,
    /// A readable name for addresses, one in the whole system.
    #[schemars(length(min = 1, max = 64), pattern("^[A-Za-z0-9._-]*$"))]
    pub slug: Option<String>,
    /// Makes the call repeatable: the same again answers the first room.
    #[schemars(length(min = 1, max = 64))]
    pub client_room_id: Option<String>,
}

/// A room's bare name, as clients of the seed's gateway send it, or an object.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "RoomIdOr{T}")]
pub enum Named<T> {
    /// The room's id or slug.
    Bare(#[schemars(length(min = 1, max = 64))] String),
    /// The same, and more.
    Full(T),
}

/// What `chat:room:join` brings.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct JoinRoom {
    /// The room's id or slug.
    #[schemars(length(min = 1, max = 64))]
    pub room_id: String,
    /// The last number that one knows of: the snapshot has the messages after it, if they are at most 100.
    #[schemars(range(min = 0))]
    pub since: Option<i64>,
}

/// What `chat:room:leave` brings.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct LeaveRoom {
    /// The room's id or slug.
    #[schemars(length(min = 1, max = 64))]
    pub room_id: String,
}

/// What `chat:room:leave` comes to.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RoomLeft")]
pub struct Left {
    /// The room.
    pub room_id: RoomId,
}

/// What `chat:room:update` brings; what is missing stays.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct UpdateRoom {
    /// The room's id or slug.
    #[schemars(length(min = 1, max = 64))]
    pub room_id: String,
    /// The name shown.
    #[schemars(length(min = 1, max = ROOM_NAME.max))]
    pub name: Option<String>,
    /// What it is about.
    #[schemars(length(max = TOPIC.max))]
    pub topic: Option<String>,
    /// Whether it can only be read.
    pub archived: Option<bool>,
    /// How many seconds a member waits between two messages; 0 is no time.
    #[schemars(range(min = 0, max = LONGEST))]
    pub slow_mode: Option<i64>,
}

/// What `chat:room:invite` brings.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Invite {
    /// The room's id or slug.
    #[schemars(length(min = 1, max = 64))]
    pub room_id: String,
    /// The user's id, or the user name of an own account.
    #[schemars(length(min = 1, max = 128))]
    pub user_id: String,
    /// In which role: a member's unless said otherwise.
    pub role: Option<Role>,
}

/// What `chat:room:kick` and `chat:room:ban` bring.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Remove {
    /// The room's id or slug.
    #[schemars(length(min = 1, max = 64))]
    pub room_id: String,
    /// The user's id.
    #[schemars(length(min = 1, max = 128))]
    pub user_id: String,
    /// Why, for all to read.
    #[schemars(length(min = 1, max = REASON.max))]
    pub reason: Option<String>,
}

/// What `chat:room:unban` brings.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Unban {
    /// The room's id or slug.
    #[schemars(length(min = 1, max = 64))]
    pub room_id: String,
    /// The user's id.
    #[schemars(length(min = 1, max = 128))]
    pub user_id: String,
}

/// What `chat:room:mute` brings: `until` or `durationMs`; `null` or 0 ends the mute.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Mute {
    /// The room's id or slug.
    #[schemars(length(min = 1, max = 64))]
    pub room_id: String,
    /// The user's id.
    #[schemars(length(min = 1, max = 128))]
    pub user_id: String,
    /// Until when, RFC 3339.
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub until: Option<String>,
    /// For how long, in milliseconds.
    #[schemars(range(min = 0))]
    pub duration_ms: Option<i64>,
}

/// What `chat:room:role` brings.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct SetRole {
    /// The room's id or slug.
    #[schemars(length(min = 1, max = 64))]
    pub room_id: String,
    /// The user's id.
    #[schemars(length(min = 1, max = 128))]
    pub user_id: String,
    /// The role from now on.
    pub role: Role,
}

/// `chat:room:joined`, to oneself or to others.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum RoomJoined<'a> {
    /// With `self: true`: to the joining socket, at every join, and for a new membership to all sockets of the user.
    Oneself(View<'a>),
    /// To the other members.
    Others(MemberJoined<'a>),
}
