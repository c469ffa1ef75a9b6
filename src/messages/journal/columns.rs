//! What the journal's statement is given besides the drafts themselves, counted here so that it need not be counted there:
//! what the statement costs is what a message costs.

use super::Draft;
use std::collections::HashMap;
use uuid::Uuid;

/// Who speaks where, and how often: the statement looks once at each of them. In columns.
#[derive(Default)]
pub(super) struct Speakers<'a> {
    pub rooms: Vec<Uuid>,
    pub authors: Vec<&'a str>,
    pub counts: Vec<i64>,
}

impl<'a> Speakers<'a> {
    /// Of a batch.
    pub fn of(drafts: &[&'a Draft]) -> Self {
        let mut counts: HashMap<(Uuid, &str), i64> = HashMap::new();
        for draft in drafts {
            *counts.entry((draft.room.0, draft.author.id().as_str())).or_default() += 1;
        }
        let mut speakers = Self::default();
        for ((room, author), count) in counts {
            speakers.rooms.push(room);
            speakers.authors.push(author);
            speakers.counts.push(count);
        }
        speakers
    }
}

/// The place of each message among those of its room, from 1.
pub(super) fn places(drafts: &[&Draft]) -> Vec<i64> {
    let mut counts: HashMap<Uuid, i64> = HashMap::new();
    let place = |draft: &&Draft| {
        let count = counts.entry(draft.room.0).or_default();
        *count += 1;
        *count
    };
    drafts.iter().map(place).collect()
}

/// The replies among the messages, which are counted at the roots of their threads. In columns, mostly empty.
#[derive(Default)]
pub(super) struct Replies<'a> {
    pub roots: Vec<Uuid>,
    pub rooms: Vec<Uuid>,
    pub places: Vec<i64>,
    pub authors: Vec<&'a str>,
}

impl<'a> Replies<'a> {
    /// Of a batch and its [`places`].
    pub fn of(drafts: &[&'a Draft], places: &[i64]) -> Self {
        let mut replies = Self::default();
        for (draft, place) in drafts.iter().zip(places) {
            if let Some(root) = draft.thread_root_id {
                replies.roots.push(root.0);
                replies.rooms.push(draft.room.0);
                replies.places.push(*place);
                replies.authors.push(draft.author.id().as_str());
            }
        }
        replies
    }
}
