//! Classes: what is counted together.

use super::{LimitSettings, rate::Rate};
use crate::users::UserType;

/// A kind of thing to do, with a bucket of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Sending a message.
    Message,
    /// Changing one: editing, deleting, pinning; what administrators have deleted.
    Edit,
    /// Reacting.
    Reaction,
    /// Moving read markers.
    Read,
    /// Typing.
    Typing,
    /// Being online, or not.
    Presence,
    /// Joining and leaving rooms, changing them and who is in them.
    Join,
    /// Making rooms.
    Create,
    /// Everything together; alone it is the class of what only reads.
    Any,
    /// Whatever asks for a password, and making an account.
    Login,
    /// Coming in: handshakes, and all that is done before authentication.
    Connect,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Message,
        Self::Edit,
        Self::Reaction,
        Self::Read,
        Self::Typing,
        Self::Presence,
        Self::Join,
        Self::Create,
        Self::Any,
        Self::Login,
        Self::Connect,
    ];

    /// Its name in `session.ready`, in the headers, in settings and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Edit => "edit",
            Self::Reaction => "reaction",
            Self::Read => "read",
            Self::Typing => "typing",
            Self::Presence => "presence",
            Self::Join => "join",
            Self::Create => "create",
            Self::Any => "any",
            Self::Login => "login",
            Self::Connect => "connect",
        }
    }

    /// Whether its buckets are those of addresses.
    pub fn is_by_address(self) -> bool {
        matches!(self, Self::Login | Self::Connect)
    }

    /// Whether what is too much is dropped and acknowledged, since the next one will say more.
    pub fn is_dropped(self) -> bool {
        matches!(self, Self::Typing | Self::Presence)
    }

    /// The rate that the settings give to users of a type; to all the same where it is the address that counts.
    pub(super) fn rate_of(self, settings: &LimitSettings, user_type: UserType) -> Rate {
        let rates = match self {
            Self::Message => &settings.limit_message,
            Self::Edit => &settings.limit_edit,
            Self::Reaction => &settings.limit_reaction,
            Self::Read => &settings.limit_read,
            Self::Typing => &settings.limit_typing,
            Self::Presence => &settings.limit_presence,
            Self::Join => &settings.limit_join,
            Self::Create => &settings.limit_create,
            Self::Any => &settings.limit_any,
            Self::Login => return settings.limit_login,
            Self::Connect => return settings.limit_connect,
        };
        rates.of(user_type)
    }
}
