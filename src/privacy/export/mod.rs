//! Everything that is kept of a user, page by page.
//!
//! A page holds some of one part: the profile, sessions, memberships, what the user said, pinned and reacted with, and what their
//! messages said before they were edited. Pages may be short, or empty where long stretches of rooms hold nothing of the user;
//! the last one has no cursor. Secrets (hashes of passwords and tokens) are in none.

mod items;
mod store;

pub use items::Export;

use super::{
    STRETCH,
    store::{last_message, next_room},
};
use crate::{
    error::{Error, Result},
    pool::Pool,
    rooms::RoomId,
    users::UserId,
};
use items::{ExportedPin, ExportedReaction};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// Most things of a kind on one page.
const ITEMS: i64 = 100;
/// Where the last of so many is.
const LAST: usize = 99;
/// Stretches of rooms that are looked through for one page.
const STRETCHES: usize = 10;

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
pub async fn page(db: &Pool, user: &UserId, at: Position) -> Result<(Export, Option<Position>)> {
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

async fn memberships(db: &Pool, user: &UserId, mut at: Position) -> Result<(Export, Option<Position>)> {
    let mut memberships = Vec::new();
    for _ in 0..ITEMS {
        let Some(room) = next_room(db, user, at.id).await? else {
            at = Position::at(Part::Said);
            break;
        };
        at.id = room.0;
        memberships.extend(store::membership(db, user, room).await?);
    }
    Ok((Export { memberships, ..Export::default() }, Some(at)))
}

/// Walks through the user's rooms until something of the user's is found, or so much was looked through in vain.
async fn walk(db: &Pool, user: &UserId, mut at: Position) -> Result<(Export, Option<Position>)> {
    let mut export = Export::default();
    for _ in 0..STRETCHES {
        let room = RoomId(at.id);
        let last = last_message(db, room).await?;
        if last == 0 || at.seq > last {
            at = match next_room(db, user, at.id).await? {
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
    async fn take_said(&mut self, db: &Pool, user: &UserId, at: Position) -> Result<(i64, i32)> {
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
    async fn take_edits(&mut self, db: &Pool, user: &UserId, at: Position) -> Result<(i64, i32)> {
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
