//! What sockets are told of themselves: `system:notification` and `system:error`, and what logging in and out bring.

use crate::{
    app::App,
    error::ErrorBody,
    limits::Announced,
    lobby::views::Overview,
    messages,
    presence::{self, visibility::VisibilityChanged},
    realtime::ConnectionId,
    rooms::RoomId,
    socket::ServerEvent,
    specs::schemas::{Shape, shape},
    time::Time,
    users::{User, UserType},
};
use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What a socket hears of itself.
pub const TOLD: &[ServerEvent] = &[
    ServerEvent {
        name: "system:notification",
        about: "Something that this socket should know of itself. The first event is `session.ready`.",
        payload: notifications,
    },
    ServerEvent {
        name: "system:error",
        about: "An event failed (its acknowledgement says the same), or the connection is closed.",
        payload: shape::<ErrorBody>,
    },
    ServerEvent {
        name: "exception",
        about: "Every `system:error` again, as NestJS has it, where `CHAT_COMPAT_NEST_EXCEPTION` is on.",
        payload: shape::<NestException>,
    },
];

/// Type, level, what it is about, and what it carries.
const NOTIFICATIONS: &[(&str, &str, &str, Shape)] = &[
    ("session.ready", "success", "Who one is, and one's rooms: the first event of an authenticated socket.", shape::<SessionReady>),
    ("auth.login", "success", "Another token was accepted: the one that lasts longer counts, and its session.", shape::<Authenticated>),
    ("auth.logout", "info", "The session has ended; the connection is closed.", shape::<LoggedOut>),
    ("presence.visibility", "info", "One looks offline to others from now on, or no longer.", shape::<VisibilityChanged>),
    ("auth.expiring", "warning", "The token expires: emit `auth:login` with a new one.", shape::<TokenExpiring>),
    (
        "server.draining",
        "info",
        "The server restarts: the transport closes in a moment, and clients come back by themselves.",
        shape::<ServerDraining>,
    ),
];

fn notifications(generator: &mut SchemaGenerator) -> Schema {
    let (id, timestamp) = (generator.subschema_for::<Uuid>(), generator.subschema_for::<Time>());
    let one = |(kind, level, about, data): &(&str, &str, &str, Shape)| -> Value {
        json!({
            "description": about,
            "type": "object",
            "properties": {
                "id": id,
                "type": { "type": "string", "const": kind },
                "level": { "type": "string", "const": level },
                "message": { "type": "string", "description": "A sentence for people." },
                "success": { "type": "boolean", "const": *level != "warning" },
                "data": data(generator),
                "timestamp": timestamp,
            },
            "required": ["id", "type", "level", "message", "success", "data", "timestamp"],
        })
    };
    let all: Vec<Value> = NOTIFICATIONS.iter().map(one).collect();
    generator.definitions_mut().insert("Notification".into(), json!({ "description": "`system:notification`, by `type`.", "oneOf": all }));
    json_schema!({ "$ref": "#/components/schemas/Notification" })
}

/// `session.ready`: what a client needs to begin.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionReady<'a> {
    /// The version of this contract.
    pub protocol: u32,
    /// Who one is.
    pub user: &'a User,
    /// The name of this connection.
    pub connection_id: ConnectionId,
    /// The session, to be revoked by.
    pub session_id: Uuid,
    /// When the token ends.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub token_expires_at: DateTime<Utc>,
    /// The server's clock.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub server_time: DateTime<Utc>,
    /// Which history this is: with another one than before, drop what you have.
    pub epoch: Uuid,
    /// How much is allowed here.
    pub limits: Limits,
    /// What is served here.
    pub features: Features,
    /// The room that is meant where none is named.
    pub default_room_id: RoomId,
    /// Whether one looks offline to others.
    pub invisible: bool,
    /// One's rooms, the 1,000 most recently active.
    pub rooms: &'a [Overview],
}

/// How much is allowed.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Characters of a message.
    content: u32,
    /// Mentions in a message.
    mentions: usize,
    /// Attachments of a message.
    attachments: usize,
    /// Different emoji at a message.
    reactions: usize,
    /// Pins of a room.
    pins: i64,
    /// For how long a message may be edited; 0 is for ever.
    #[schemars(with = "u64")]
    edit_window_ms: u128,
    /// Characters of a room's name.
    room_name: usize,
    /// Participants of a new room.
    participants: u32,
    /// Bytes of an event.
    event_bytes: u32,
    /// Members of a room above which comings and goings are not told one by one.
    quiet_room_size: i32,
    /// Users that one socket hears of by subscription.
    subscribed_users: usize,
    /// For how long typing holds.
    #[schemars(with = "u64")]
    typing_ttl_ms: u128,
    /// Connections of a user; `null` is any number.
    connections: Option<u32>,
    /// How many events of a class, by its name; what is not named is not limited.
    rates: BTreeMap<&'static str, Announced>,
}

impl Limits {
    /// Those of a type of users.
    pub fn of(app: &App, user_type: UserType) -> Self {
        let chat = &app.settings.chat;
        Self {
            content: chat.max_content,
            mentions: messages::MENTIONS,
            attachments: messages::ATTACHMENTS,
            reactions: messages::reactions::REACTIONS,
            pins: messages::pins::PINS,
            edit_window_ms: chat.edit_window.as_millis(),
            room_name: 100,
            participants: chat.max_participants,
            event_bytes: chat.max_event,
            quiet_room_size: chat.quiet_room_size,
            subscribed_users: presence::subscriptions::USERS,
            typing_ttl_ms: chat.typing_ttl.as_millis(),
            connections: app.limits.connections_per_user(),
            rates: app.limits.announced(&app.settings.limits, user_type),
        }
    }
}

/// What is served.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    /// Accounts of the server's own.
    pub registration: bool,
    /// `chat:room:join` of an unknown slug makes a public room.
    pub auto_create_rooms: bool,
}

/// What logging in comes to.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Authenticated {
    /// Who one is.
    pub user: User,
    /// The session, to be revoked by.
    pub session_id: Uuid,
    /// When the token ends.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub token_expires_at: DateTime<Utc>,
}

/// A session has ended.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoggedOut {
    /// Which.
    pub session_id: Uuid,
    /// Whether all others of the user ended, too.
    pub all_devices: bool,
}

/// A token ends soon.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenExpiring {
    /// In how many milliseconds.
    pub in_ms: i64,
    /// When.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub token_expires_at: DateTime<Utc>,
}

/// The server stops.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerDraining {
    /// How long to wait, once the transport is closed, before coming back: at random, so that not all come at once.
    pub reconnect_in_ms: u64,
}

/// `exception`.
#[derive(JsonSchema)]
pub struct NestException {
    /// `error`.
    pub status: String,
    /// A sentence for people.
    pub message: String,
    /// The stable code.
    #[schemars(with = "crate::error::Code")]
    pub code: String,
}

/// What `auth:login` brings.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct LogIn {
    /// An access token, with or without `Bearer`.
    #[schemars(length(min = 1, max = 100_000))]
    pub token: String,
    /// The type that the token must have.
    pub user_type: Option<UserType>,
}
