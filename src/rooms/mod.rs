//! Rooms: what a room is, who is in it, and who may do what there.
//!
//! A room is always looked up for somebody: [`find`] goes through the asker's membership, and a private room that
//! the asker is not in is not found at all. What users do with rooms (make, enter, leave them) is in
//! [`lobby`](crate::lobby).

pub mod changes;
pub mod members;
pub mod permissions;
pub mod slow;
mod slugs;
pub mod store;
pub mod turns;

use crate::{
    app::App,
    error::{Error, Result},
    time::Time,
    users::UserId,
};
use chrono::{DateTime, Utc};
use permissions::Action;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
pub use slugs::Slugs;
use std::{fmt, sync::Arc};
use uuid::Uuid;

/// A room's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema, sqlx::Type)]
#[sqlx(transparent)]
pub struct RoomId(pub Uuid);

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A readable name of a room: 1 to 64 letters, digits, dots, dashes and underscores, and no UUID, so that a room
/// parameter is never both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slug(String);

impl Slug {
    /// Accepts a slug.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        (fits && text.parse::<Uuid>().is_err()).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a client calls a room: its id or its slug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomRef {
    /// By id.
    Id(RoomId),
    /// By slug.
    Slug(Slug),
}

impl RoomRef {
    /// Reads a room parameter.
    ///
    /// # Errors
    /// `ROOM_NOT_FOUND` for what cannot be the name of any room.
    pub fn parse(text: &str) -> Result<Self> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(RoomId(id))),
            Err(_) => Slug::parse(text).map(Self::Slug).ok_or(Error::RoomNotFound),
        }
    }
}

/// Who may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum RoomType {
    /// Those who were added.
    Group,
    /// Everybody.
    Public,
    /// Two users, for ever.
    Direct,
}

/// A member's standing, from the lowest to the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Guest,
    /// Reads and writes.
    Member,
    /// Keeps order.
    Moderator,
    /// Runs the room.
    Admin,
    /// May also delete it.
    Owner,
}

/// The words for roles.
pub const ROLES: [(&str, Role); 5] =
    [("guest", Role::Guest), ("member", Role::Member), ("moderator", Role::Moderator), ("admin", Role::Admin), ("owner", Role::Owner)];

/// A room as the contract shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// The id.
    pub id: RoomId,
    /// The readable name, if it has one.
    pub slug: Option<String>,
    /// `group`, `public` or `direct`.
    #[serde(rename = "type")]
    pub kind: RoomType,
    /// The name shown.
    pub name: Option<String>,
    /// What it is about.
    pub topic: Option<String>,
    /// Who made it; `null` is the server.
    pub created_by: Option<UserId>,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub created_at: DateTime<Utc>,
    /// Since when it can only be read.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub archived_at: Option<DateTime<Utc>>,
    /// How many seconds who stands below a moderator waits between two messages; 0: none.
    pub slow_mode: i32,
    /// How many are in it.
    pub member_count: i32,
    /// The number of the last thing that happened in it.
    pub last_seq: i64,
    /// Where its last message is.
    #[serde(skip)]
    pub last_message_seq: Option<i64>,
    /// When its last message was stored: the order of a user's rooms.
    #[serde(skip)]
    pub last_activity_at: DateTime<Utc>,
    /// The same, renewed at most once a second: the order of public rooms.
    #[serde(skip)]
    pub listed_at: DateTime<Utc>,
    /// Its last message, as in `chat:message`; left out in a list whose last messages are large.
    #[schemars(with = "Option<crate::messages::Message>")]
    pub last_message: Option<Arc<RawValue>>,
}

/// A member's row.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Membership {
    /// The standing.
    pub role: Role,
    /// Since when.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub joined_at: DateTime<Utc>,
    /// Until when this member may not send.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub muted_until: Option<DateTime<Utc>>,
    /// Whether this member keeps the room at the top.
    pub pinned: bool,
    /// How far this member has read.
    #[serde(skip)]
    pub read_seq: i64,
    /// How far messages have reached this member.
    #[serde(skip)]
    pub delivered_seq: i64,
}

/// A room, and the asker's place in it: holding one is the proof that the asker may see the room.
#[derive(Debug, Clone)]
pub struct Seat {
    /// The room.
    pub room: Room,
    /// The asker's membership; `None` in a public room that the asker is not in.
    pub membership: Option<Membership>,
    /// Whether the asker is banned from it: it is public then, or it would not have been found.
    pub is_banned: bool,
}

impl Seat {
    /// The membership.
    ///
    /// # Errors
    /// `NOT_A_MEMBER`, or `BANNED` for who cannot become one.
    pub fn membership(&self) -> Result<&Membership> {
        self.membership.as_ref().ok_or(if self.is_banned { Error::Banned } else { Error::NotAMember })
    }

    /// Checks that the asker may do something here.
    ///
    /// # Errors
    /// `NOT_A_MEMBER`, `BANNED` or `FORBIDDEN`.
    pub fn require(&self, action: Action) -> Result<&Membership> {
        let membership = self.membership()?;
        if membership.role >= action.least_role() { Ok(membership) } else { Err(Error::Forbidden("your role in this room does not allow it")) }
    }
}

/// Finds a room for somebody: one that they are in, or a public one.
///
/// # Errors
/// `ROOM_NOT_FOUND`, the same for rooms that do not exist and rooms that are none of the asker's business.
pub async fn find(app: &App, asker: &UserId, room: &RoomRef) -> Result<Seat> {
    store::find(&app.db, asker, room).await?.ok_or(Error::RoomNotFound)
}

/// The room that messages without `roomId` go to, or the one that was named.
///
/// # Errors
/// `ROOM_NOT_FOUND` for what cannot be the name of any room.
pub fn named_or_default(app: &App, name: Option<&str>) -> Result<RoomRef> {
    name.map_or(Ok(RoomRef::Id(app.default_room)), RoomRef::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_parameter_is_an_id_or_a_slug_and_never_both() {
        assert!(matches!(RoomRef::parse("0190d5a0-0000-7000-8000-000000000000"), Ok(RoomRef::Id(_))));
        assert!(matches!(RoomRef::parse("room-123"), Ok(RoomRef::Slug(_))));
        for bad in ["", "a b", "user:victim", "é", "a/b", &"x".repeat(65), "a\0b"] {
            assert!(RoomRef::parse(bad).is_err(), "{bad:?}");
        }
    }
}
