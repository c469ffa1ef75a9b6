//! Where somebody stands with a room: in it, no longer in it, or banned from it.

pub mod store;

use super::Role;
use crate::{
    time::Time,
    users::{User, UserId},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

/// Whether somebody is in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[schemars(rename = "MemberState")]
pub enum State {
    /// A member.
    Joined,
    /// A former member, or somebody whose ban was lifted.
    Left,
    /// Somebody who may not come in.
    Banned,
}

/// Where somebody stands with a room, as all of its members see it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Who.
    pub user_id: UserId,
    /// Whether they are in the room.
    pub state: State,
    /// The role, or the last one.
    pub role: Role,
    /// Since when they are in the room; `null` if they are not.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub joined_at: Option<DateTime<Utc>>,
    /// Until when they may not send, also after they came back.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub muted_until: Option<DateTime<Utc>>,
}

impl Standing {
    /// Whether they are in the room.
    pub fn is_joined(&self) -> bool {
        self.state == State::Joined
    }

    /// Whether they are banned.
    pub fn is_banned(&self) -> bool {
        self.state == State::Banned
    }

    /// Whether they may not send at the moment.
    pub fn is_muted(&self) -> bool {
        self.muted_until.is_some_and(|until| until > Utc::now())
    }
}

/// Where somebody stands, and since which of the room's numbers.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "MemberMoved")]
pub struct Moved {
    /// Where they stand.
    #[serde(flatten)]
    pub standing: Standing,
    /// The number of the last change of it.
    pub seq: i64,
    /// Who.
    pub user: User,
}

/// A ban in the list of them.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ban {
    /// Who is banned.
    pub user: User,
    /// By whom.
    pub by: Option<UserId>,
    /// What was given as the reason.
    pub reason: Option<String>,
    /// Since when.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub banned_at: Option<DateTime<Utc>>,
}
