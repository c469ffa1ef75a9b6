//! History: what was said in a room, page by page.

use super::{
    Message, MessageId, reactions,
    store::{self, Window},
};
use crate::{
    app::App,
    error::{Error, Result},
    extract::PAGE_BYTES,
    rooms::{self, RoomRef},
    users::UserId,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::VecDeque;
use uuid::Uuid;

/// Where a page of history begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// The newest messages.
    Newest,
    /// Those before a number.
    Before(i64),
    /// Those after a number.
    After(i64),
    /// Those on both sides of a number, itself included.
    Around(i64),
}

/// A page of history, in ascending order.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "HistoryPage")]
pub struct Page {
    /// The messages.
    pub messages: Vec<Message>,
    /// Where it lies.
    pub page: PageBounds,
}

/// The bounds of a page, and whether there is more on either side.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PageBounds {
    /// The number of the first message; `null` for a page without any.
    oldest_seq: Option<i64>,
    /// The number of the last message; `null` for a page without any.
    newest_seq: Option<i64>,
    /// Whether there are older messages.
    pub has_older: bool,
    /// Whether there are newer messages.
    pub has_newer: bool,
}

/// Reads a page of what was said, for a member of the room.
///
/// # Errors
/// `ROOM_NOT_FOUND` or `NOT_A_MEMBER`.
pub async fn history(app: &App, asker: &UserId, room: &RoomRef, anchor: Anchor, limit: i64) -> Result<Page> {
    let id = match room {
        RoomRef::Id(id) => *id,
        RoomRef::Slug(slug) => app.slugs.id(&app.db, slug.as_str()).await?,
    };
    // One more than asked for tells whether there is more.
    let window = match anchor {
        Anchor::Newest => Window { before: i64::MAX, older: limit + 1, after: 0, newer: 0 },
        Anchor::Before(seq) => Window { before: seq, older: limit + 1, after: 0, newer: 0 },
        Anchor::After(seq) => Window { before: 0, older: 0, after: seq, newer: limit + 1 },
        Anchor::Around(seq) => Window { before: seq.saturating_add(1), older: limit - limit / 2 + 1, after: seq, newer: limit / 2 + 1 },
    };
    let (messages, last) = store::window(&app.db, asker, id, &window).await?;
    if messages.is_empty() {
        // Nothing there, or nothing for the asker.
        let seat = rooms::find(app, asker, room).await?;
        seat.membership()?;
        if seat.room.id != id {
            // Another server gave the slug to another room a moment ago.
            return Box::pin(history(app, asker, &RoomRef::Id(seat.room.id), anchor, limit)).await;
        }
        let any = seat.room.last_message_seq.is_some();
        let (has_older, has_newer) = (any && matches!(anchor, Anchor::After(_)), any && matches!(anchor, Anchor::Before(_)));
        return Ok(Page { messages, page: PageBounds { oldest_seq: None, newest_seq: None, has_older, has_newer } });
    }
    let (mut page, messages) = cut(messages, &window);
    match anchor {
        Anchor::Before(_) => page.has_newer = page.newest_seq.is_none_or(|newest| newest < last),
        Anchor::After(_) => page.has_older = store::exists_before(&app.db, id, page.oldest_seq.unwrap_or(i64::MAX)).await?,
        Anchor::Newest | Anchor::Around(_) => {}
    }
    let messages = reactions::with_own(&app.db, asker, messages).await?;
    Ok(Page { messages, page })
}

/// Takes off what a window showed more than was asked for, which tells that there is more; and what is too much for one answer,
/// farthest from where the page begins.
pub(super) fn cut(messages: Vec<Message>, window: &Window) -> (PageBounds, Vec<Message>) {
    let more = |count: usize, limit: i64| i64::try_from(count).is_ok_and(|count| limit > 0 && count >= limit);
    let mut older = messages.iter().take_while(|message| message.seq < window.before).count();
    let (mut has_older, mut has_newer) = (more(older, window.older), more(messages.len() - older, window.newer));
    let mut messages = VecDeque::from(messages);
    if has_older {
        messages.pop_front();
        older -= 1;
    }
    if has_newer {
        messages.pop_back();
    }
    let mut weight: usize = messages.iter().map(Message::weight).sum();
    while weight > PAGE_BYTES && messages.len() > 1 {
        let from_older = older > messages.len() - older;
        let shed = if from_older { messages.pop_front() } else { messages.pop_back() };
        weight -= shed.map_or(0, |message| message.weight());
        (has_older, has_newer) = (has_older || from_older, has_newer || !from_older);
        older -= usize::from(from_older);
    }
    let (oldest_seq, newest_seq) = (messages.front().map(|message| message.seq), messages.back().map(|message| message.seq));
    (PageBounds { oldest_seq, newest_seq, has_older, has_newer }, messages.into())
}

/// Reads one message, for a member of its room.
///
/// # Errors
/// `MESSAGE_NOT_FOUND`, also for messages of rooms that the asker is not in.
pub async fn get(app: &App, asker: &UserId, id: Uuid) -> Result<Message> {
    let message = store::find_for(&app.db, asker, MessageId(id)).await?.ok_or(Error::MessageNotFound)?;
    reactions::with_own(&app.db, asker, vec![message]).await?.pop().ok_or(Error::MessageNotFound)
}

/// Checks that somebody may see a message.
///
/// # Errors
/// `MESSAGE_NOT_FOUND`, also for messages of rooms that the asker is not in.
pub(super) async fn must_see(app: &App, asker: &UserId, id: Uuid) -> Result<()> {
    if store::is_seen(&app.db, asker, MessageId(id)).await? { Ok(()) } else { Err(Error::MessageNotFound) }
}
