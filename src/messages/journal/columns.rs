//! What the journal's statement is given: the drafts in columns, and what is counted of them here so that it need not be counted
//! there.

use super::Draft;
use serde_json::Value;
use std::collections::HashMap;
use uuid::Uuid;

/// A batch, column by column.
pub(super) struct Columns<'a> {
    pub ids: Vec<Uuid>,
    pub rooms: Vec<Uuid>,
    /// The place of each message among those of its room, from 1.
    pub places: Vec<i64>,
    pub authors: Vec<&'a str>,
    pub kinds: Vec<&'a str>,
    pub contents: Vec<&'a str>,
    pub client_msg_ids: Vec<Option<&'a str>>,
    pub reply_tos: Vec<Option<Uuid>>,
    pub threads: Vec<Option<Uuid>>,
    pub mentions: Vec<Option<&'a Value>>,
    pub attachments: Vec<Option<&'a Value>>,
    pub metadata: Vec<Option<&'a Value>>,
    pub speakers: Speakers<'a>,
    pub replies: Replies<'a>,
}

impl<'a> Columns<'a> {
    /// Of a batch.
    pub fn of(drafts: &[&'a Draft]) -> Self {
        let places = places(drafts);
        Self {
            ids: drafts.iter().map(|draft| draft.id.0).collect(),
            rooms: drafts.iter().map(|draft| draft.room.0).collect(),
            authors: drafts.iter().map(|draft| draft.author.id().as_str()).collect(),
            kinds: drafts.iter().map(|draft| draft.kind.as_str()).collect(),
            contents: drafts.iter().map(|draft| draft.content.as_str()).collect(),
            client_msg_ids: drafts.iter().map(|draft| draft.client_msg_id.as_deref()).collect(),
            reply_tos: drafts.iter().map(|draft| draft.reply_to.map(|id| id.0)).collect(),
            threads: drafts.iter().map(|draft| draft.thread_root_id.map(|id| id.0)).collect(),
            mentions: drafts.iter().map(|draft| draft.mentions.as_ref()).collect(),
            attachments: drafts.iter().map(|draft| draft.attachments.as_ref()).collect(),
            metadata: drafts.iter().map(|draft| draft.metadata.as_ref()).collect(),
            speakers: Speakers::of(drafts),
            replies: Replies::of(drafts, &places),
            places,
        }
    }
}

/// Who speaks where, and how often: the statement looks once at each of them. In columns.
#[derive(Default)]
pub(super) struct Speakers<'a> {
    pub rooms: Vec<Uuid>,
    pub authors: Vec<&'a str>,
    pub counts: Vec<i64>,
}

impl<'a> Speakers<'a> {
    fn of(drafts: &[&'a Draft]) -> Self {
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

fn places(drafts: &[&Draft]) -> Vec<i64> {
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
    fn of(drafts: &[&'a Draft], places: &[i64]) -> Self {
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
