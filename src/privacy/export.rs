//! Everything that is kept of a user, page by page.
//!
//! A page holds some of one part: the profile, sessions, memberships, what the user said, pinned and reacted with, and what their
//! messages said before they were edited. Pages may be short, or empty where long stretches of rooms hold nothing of the user;
//! the last one has no cursor. Secrets (hashes of passwords and tokens) are in none.

use super::{STRETCH, store};
use crate::{
    error::{Error, Result},
    messages::MessageId,
    rooms::{Role, RoomId, members::State},
    time::Time,
    users::{UserId, UserType},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::PgPool;
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// Most things of a kind on one page.
const ITEMS: i64 = 100;
/// Where the last of so many is.
const LAST: usize = 99;
/// Stretches of rooms that are looked through for one page.
const STRETCHES: usize = 10;

/// A page of what is kept of a user.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Export {
    /// Who the user is; on the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<ExportedProfile>,
    /// Sessions that stand.
    sessions: Vec<ExportedSession>,
    /// Rooms that the user is or was in.
    memberships: Vec<ExportedMembership>,
    /// What the user said; what was deleted has no content.
    messages: Vec<ExportedMessage>,
    /// What the user reacted with.
    reactions: Vec<ExportedReaction>,
    /// What the user pinned.
    pins: Vec<ExportedPin>,
    /// What the user's messages said before they were edited.
    edits: Vec<ExportedEdit>,
    /// Where the next page begins; `null` after the last one.
    pub(super) next_cursor: Option<String>,
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
}

/// A reaction of the user's.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportedReaction {
    /// Where.
    room_id: RoomId,
    /// To which message.
    message_id: MessageId,
    /// The emoji.
    emoji: String,
    /// When.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    created_at: DateTime<Utc>,
}

/// A message that the user pinned.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportedPin {
    /// Where.
    room_id: RoomId,
    /// Which message.
    message_id: MessageId,
    /// When.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pinned_at: DateTime<Utc>,
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

/// The parts of an export, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Profile,
    Sessions,
    Memberships,
    Said,
    Edits,
}

const PARTS: [(&str, Part); 5] =
    [("profile", Part::Profile), ("sessions", Part::Sessions), ("memberships", Part::Memberships), ("said", Part::Said), ("edits", Part::Edits)];

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    part: Part,
    /// The session or room after which it begins, or within which.
    id: Uuid,
    /// From this number of the room on,
    seq: i64,
    /// after this edit of the message.
    number: i32,
}

impl Position {
    /// The first page.
    pub const FIRST: Self = Self::at(Part::Profile);

    const fn at(part: Part) -> Self {
        Self { part, id: Uuid::nil(), seq: 0, number: 0 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = PARTS.iter().find(|(_, part)| *part == self.part).map_or("", |(word, _)| word);
        write!(f, "{part}:{}:{}:{}", self.id, self.seq, self.number)
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let read = || {
            let words: Vec<&str> = text.split(':').collect();
            let [part, id, seq, number] = words.as_slice() else { return None };
            let part = PARTS.iter().find(|(word, _)| word == part)?.1;
            Some(Self { part, id: id.parse().ok()?, seq: seq.parse().ok().filter(|seq| *seq >= 0)?, number: number.parse().ok()? })
        };
        read().ok_or(())
    }
}

/// A page, and where the next one begins.
///
/// # Errors
/// `USER_NOT_FOUND`.
pub async fn page(db: &PgPool, user: &UserId, at: Position) -> Result<(Export, Option<Position>)> {
    match at.part {
        Part::Profile => {
            let profile = store::profile(db, user).await?.ok_or_else(|| Error::UserNotFound(vec![user.as_str().to_owned()]))?;
            Ok((Export { profile: Some(profile), ..Export::default() }, Some(Position::at(Part::Sessions))))
        }
        Part::Sessions => {
            let sessions = store::sessions(db, user, at.id, ITEMS).await?;
            let last = sessions.get(LAST);
            let next = last.map_or(Position::at(Part::Memberships), |last| Position { id: last.id, ..at });
            Ok((Export { sessions, ..Export::default() }, Some(next)))
        }
        Part::Memberships => memberships(db, user, at).await,
        Part::Said | Part::Edits => walk(db, user, at).await,
    }
}

async fn memberships(db: &PgPool, user: &UserId, mut at: Position) -> Result<(Export, Option<Position>)> {
    let mut memberships = Vec::new();
    for _ in 0..ITEMS {
        let Some(room) = store::next_room(db, user, at.id).await? else {
            at = Position::at(Part::Said);
            break;
        };
        at.id = room.0;
        memberships.extend(store::membership(db, user, room).await?);
    }
    Ok((Export { memberships, ..Export::default() }, Some(at)))
}

/// Walks through the user's rooms until something of the user's is found, or so much was looked through in vain.
async fn walk(db: &PgPool, user: &UserId, mut at: Position) -> Result<(Export, Option<Position>)> {
    let mut export = Export::default();
    for _ in 0..STRETCHES {
        let room = RoomId(at.id);
        let last = store::last_message(db, room).await?;
        if last == 0 || at.seq > last {
            at = match store::next_room(db, user, at.id).await? {
                Some(room) => Position { id: room.0, ..Position::at(at.part) },
                None if at.part == Part::Said => Position::at(Part::Edits),
                None => return Ok((export, None)),
            };
            continue;
        }
        let (seq, number) = if at.part == Part::Said { export.take_said(db, user, at).await? } else { export.take_edits(db, user, at).await? };
        at = Position { seq, number, ..at };
        if !export.is_empty() {
            break;
        }
    }
    Ok((export, Some(at)))
}

impl Export {
    fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.reactions.is_empty() && self.pins.is_empty() && self.edits.is_empty()
    }

    /// Takes what the user said, pinned and reacted with in a stretch; says where to go on.
    async fn take_said(&mut self, db: &PgPool, user: &UserId, at: Position) -> Result<(i64, i32)> {
        let (room_id, until) = (RoomId(at.id), at.seq.saturating_add(STRETCH));
        let touched = store::touched(db, room_id, user, at.seq - 1, until, ITEMS).await?;
        let last = touched.get(LAST);
        let next = last.map_or(until, |last| last.message.seq).saturating_add(1);
        for touched in touched {
            let message_id = touched.message.id;
            let reacted = touched.emojis.into_iter().zip(touched.reacted_at);
            self.reactions.extend(reacted.map(|(emoji, created_at)| ExportedReaction { room_id, message_id, emoji, created_at }));
            self.pins.extend(touched.pinned_at.map(|pinned_at| ExportedPin { room_id, message_id, pinned_at }));
            if touched.is_own {
                self.messages.push(touched.message);
            }
        }
        Ok((next, 0))
    }

    /// Takes what the user's messages of a stretch said before; says where to go on.
    async fn take_edits(&mut self, db: &PgPool, user: &UserId, at: Position) -> Result<(i64, i32)> {
        let until = at.seq.saturating_add(STRETCH);
        let edits = store::edits(db, RoomId(at.id), user, (at.seq, at.number), until, ITEMS).await?;
        let last = edits.get(LAST);
        let next = last.map_or((until.saturating_add(1), 0), |(seq, edit)| (*seq, edit.number));
        self.edits.extend(edits.into_iter().map(|(_, edit)| edit));
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back_and_nothing_else_is_one() {
        for at in [Position::FIRST, Position { id: Uuid::max(), seq: 7, number: 3, ..Position::at(Part::Edits) }] {
            assert_eq!(at.to_string().parse(), Ok(at));
        }
        let id = Uuid::nil();
        for bad in [String::new(), format!("said:{id}:-1:0"), format!("said:{id}:1"), format!("else:{id}:1:0"), "said:x:1:0".to_owned()] {
            assert_eq!(bad.parse::<Position>(), Err(()), "{bad}");
        }
    }
}
