//! Who may do what in a room: one table, from which `can` in `session.ready` is made too, and which the README shows.

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
    /// Ban members below oneself and users who are not in the room, lift bans, see who is banned.
    Ban,
    /// Silence members below oneself for a time.
    Mute,
    /// Make members wait between messages.
    Slow,
    /// Change name and topic, archive.
    Update,
    /// Give roles below one's own to members below oneself.
    SetRole,
    /// Make another member the owner.
    Transfer,
    /// Delete the room.
    Delete,
}

/// Action, its name for clients, and the lowest role that may.
const TABLE: &[(Action, &str, Role)] = &[
    (Action::Send, "send", Role::Member),
    (Action::Pin, "pin", Role::Member),
    (Action::Invite, "invite", Role::Member),
    (Action::Remove, "remove", Role::Moderator),
    (Action::DeleteAny, "moderate", Role::Moderator),
    (Action::Ban, "ban", Role::Moderator),
    (Action::Mute, "mute", Role::Moderator),
    (Action::Slow, "slow", Role::Moderator),
    (Action::Update, "update", Role::Admin),
    (Action::SetRole, "role", Role::Admin),
    (Action::Transfer, "transfer", Role::Owner),
    (Action::Delete, "delete", Role::Owner),
];

impl Action {
    /// The lowest role that may.
    pub fn least_role(self) -> Role {
        TABLE.iter().find(|(action, ..)| *action == self).map_or(Role::Owner, |(.., role)| *role)
    }

    /// Whether it may still be done in a room that can only be read.
    fn is_for_archived(self) -> bool {
        matches!(self, Self::Remove | Self::Ban | Self::Mute | Self::Slow | Self::Update | Self::SetRole | Self::Transfer | Self::Delete)
    }
}

/// What a role may do in a room, in the words that clients know.
pub fn can(role: Role, room: &Room) -> Vec<&'static str> {
    TABLE
        .iter()
        .filter(|(_, _, least)| role >= *least)
        .filter(|(action, ..)| room.archived_at.is_none() || action.is_for_archived())
        .filter(|(action, ..)| room.kind != RoomType::Direct || matches!(action, Action::Send | Action::Pin))
        .map(|(_, name, _)| *name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::ROLES, *};

    #[test]
    fn the_matrix_in_the_readme_is_this_table() {
        let readme = include_str!("../../README.md").lines();
        let shown: Vec<&str> = readme.skip_while(|line| !line.starts_with("| may |")).take_while(|line| line.starts_with('|')).collect();
        let cells = |cell: &dyn Fn(&str, Role) -> String| ROLES.iter().map(|(name, role)| cell(name, *role)).collect::<Vec<_>>().join(" | ");
        assert_eq!(shown.len(), TABLE.len() + 2, "{shown:?}");
        assert!(shown[0].starts_with(&format!("| may | {} |", cells(&|name, _| name.to_owned()))), "{}", shown[0]);
        for (shown, (_, name, least)) in shown[2..].iter().zip(TABLE) {
            let row = format!("| `{name}` | {} |", cells(&|_, role| if role >= *least { "yes" } else { "–" }.to_owned()));
            assert!(shown.starts_with(&row), "{row}\nis expected, not\n{shown}");
        }
    }
}
