//! Threads: what is said in answer to one message, the thread's root. They are one level deep.
//!
//! The journal counts replies at the root while it stores them; here they are read.

pub mod http;
pub mod store;

use super::{
    Message,
    history::{Anchor, PageBounds, cut, get},
    reactions::with_own,
    store::Window,
};
use crate::{
    app::App,
    error::Result,
    rooms::{self, RoomRef},
    time::Time,
    users::UserId,
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

/// A thread, as its root shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Thread {
    /// How many replies it has; deleted ones do not count.
    pub reply_count: i32,
    /// When the last of them was stored.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub last_reply_at: Option<DateTime<Utc>>,
    /// The ids of those who replied, the first 50, in the order in which they came.
    pub participants: Vec<String>,
}

/// A page of a thread, in ascending order.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ThreadPage {
    /// What it all answers.
    pub root: Message,
    /// The replies; deleted ones stay as stubs.
    pub messages: Vec<Message>,
    /// Where the page lies.
    pub page: PageBounds,
}

/// Reads a page of the thread that a message is the root of, or a reply in, for a member of its room.
///
/// # Errors
/// `MESSAGE_NOT_FOUND`, also for messages of rooms that the asker is not in.
pub async fn read(app: &App, asker: &UserId, id: Uuid, anchor: Anchor, limit: i64) -> Result<ThreadPage> {
    let mut root = get(app, asker, id).await?;
    if let Some(id) = root.thread_root_id {
        root = get(app, asker, id.0).await?;
    }
    // One more than asked for, and one on the other side, tell whether there is more.
    let window = match anchor {
        Anchor::Newest => Window { before: i64::MAX, older: limit + 1, after: 0, newer: 0 },
        Anchor::Before(seq) => Window { before: seq, older: limit + 1, after: seq - 1, newer: 1 },
        Anchor::After(seq) => Window { before: seq.saturating_add(1), older: 1, after: seq, newer: limit + 1 },
        Anchor::Around(seq) => Window { before: seq.saturating_add(1), older: limit - limit / 2 + 1, after: seq, newer: limit / 2 + 1 },
    };
    let (page, messages) = cut(store::window(&app.db, asker, &root, &window).await?, &window);
    let messages = with_own(&app.db, asker, messages).await?;
    Ok(ThreadPage { root, messages, page })
}

/// A page of the threads of a room that have replies, as their roots, for one of its members: the latest reply first. Each with
/// the number of its last reply; the page begins after one of these.
///
/// # Errors
/// `ROOM_NOT_FOUND`, `NOT_A_MEMBER`.
pub async fn of_room(app: &App, asker: &UserId, room: &RoomRef, before: i64, limit: i64) -> Result<Vec<(i64, Message)>> {
    let seat = rooms::find(app, asker, room).await?;
    seat.membership()?;
    let (seqs, roots): (Vec<i64>, Vec<Message>) = store::of_room(&app.db, seat.room.id, before, limit).await?.into_iter().unzip();
    Ok(seqs.into_iter().zip(with_own(&app.db, asker, roots).await?).collect())
}
