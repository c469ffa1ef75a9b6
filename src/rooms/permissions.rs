//! Who may do what in a room: one table, from which `can` in `session.ready` is made too.

use super::{Role, Room, RoomType};

/// Something that not every member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send messages.
    Send,
    /// Pin messages, and take pins off.
    Pin,
    /// Bring others in.
    Invite,
    /// Remove members below oneself.
    Remove,
    /// Delete what others said.
    DeleteAny,
    /// Change name and topic, archive.
    Update,
    /// Give roles below one's own.
    SetRole,
    /// Delete the room.
    Delete,
}

/// Action, its name for clients, and the lowest role that may.
const TABLE: [(Action, &str, Role); 8] = [
    (Action::Send, "send", Role::Member),
    (Action::Pin, "pin", Role::Member),
    (Action::Invite, "invite", Role::Member),
    (Action::Remove, "remove", Role::Moderator),
    (Action::DeleteAny, "moderate", Role::Moderator),
    (Action::Update, "update", Role::Admin),
    (Action::SetRole, "role", Role::Admin),
    (Action::Delete, "delete", Role::Owner),
];

impl Action {
    /// The lowest role that may.
    pub fn least_role(self) -> Role {
        TABLE.iter().find(|(action, ..)| *action == self).map_or(Role::Owner, |(.., role)| *role)
    }
}

/// What a role may do in a room, in the words that clients know.
pub fn can(role: Role, room: &Room) -> Vec<&'static str> {
    TABLE
        .iter()
        .filter(|(_, _, least)| role >= *least)
        .filter(|(action, ..)| room.archived_at.is_none() || matches!(action, Action::Update | Action::Delete))
        .filter(|(action, ..)| room.kind != RoomType::Direct || matches!(action, Action::Send | Action::Pin))
        .map(|(_, name, _)| *name)
        .collect()
}
