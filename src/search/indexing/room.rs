//! A little work on the index of one room: what was edited or deleted is taken out, what was said is put in.
//!
//! What is new becomes a segment. As long as the segment before it is no larger, and the two are not too large together, they become
//! one: so a room of any length has a few small segments and otherwise large ones, and each entry is written again only as often
//! as its segment doubles.

use super::store::{self, Held, Said, Segment};
use crate::{
    error::Result,
    rooms::RoomId,
    search::{
        folding::folded,
        postings::{Lists, decode, encode},
        tokens::{of_author, tokens},
    },
};
use sqlx::{Connection, PgConnection};
use std::collections::{HashMap, HashSet};

/// Most messages that become a segment in one step, and that are read at the same time.
const STEP: i64 = 8_192;
const READ: i64 = 256;
/// Most entries of a segment: about 60,000 messages of 120 characters. What is being made of it takes some 10 MB.
const ENTRIES: i64 = 4_000_000;
/// What a list can count.
const SPAN: i64 = 65_535;
/// Most changes in one step.
const CHANGES: i64 = 200;
/// How many changes without edits and deletions are looked over again rather than noted.
const OVERLOOKED: i64 = 1_000;

/// What is left to do.
#[derive(Default)]
pub(super) struct Left {
    /// About so many messages.
    pub messages: i64,
    /// Whether there are more edits and deletions.
    pub is_stale: bool,
}

/// Does a step, in which messages are indexed if there are so many; says what is left, or nothing if somebody else is at it.
///
/// # Errors
/// Those of the database.
pub(super) async fn index(db: &mut PgConnection, room: RoomId, least: i64) -> Result<Option<Left>> {
    store::ensure(&mut *db, room).await?;
    let mut tx = db.begin().await?;
    let Some(held) = store::hold(&mut tx, room).await? else { return Ok(None) };
    let Some((last_seq, last_message_seq)) = store::last_seqs(&mut tx, room).await? else {
        remove(&mut tx, room).await?;
        tx.commit().await?;
        return Ok(Some(Left::default()));
    };
    let (changed_seq, is_stale) = amend(&mut tx, room, &held, last_seq).await?;
    let is_due = last_message_seq - held.indexed_seq >= least;
    let indexed_seq = if is_due { append(&mut tx, room, &held, last_message_seq).await? } else { held.indexed_seq };
    if indexed_seq > held.indexed_seq || changed_seq > held.changed_seq {
        store::note(&mut tx, room, &Held { indexed_seq, changed_seq }).await?;
    }
    tx.commit().await?;
    tracing::debug!(room.id = %room, indexed_seq, "a room was indexed");
    Ok(Some(Left { messages: last_message_seq - indexed_seq, is_stale }))
}

/// Removes the index of a room that is gone.
async fn remove(db: &mut PgConnection, room: RoomId) -> Result<()> {
    for segment in store::newest_segments(db, room, i64::MAX).await? {
        store::remove_segment(db, segment.id).await?;
    }
    store::forget(db, room).await
}

/// Puts what was edited or deleted right; says up to which number of the room, and whether there is more.
async fn amend(db: &mut PgConnection, room: RoomId, held: &Held, last_seq: i64) -> Result<(i64, bool)> {
    let changed = store::changed(db, room, held.changed_seq, last_seq, CHANGES).await?;
    let is_all = i64::try_from(changed.len()).is_ok_and(|count| count < CHANGES);
    let until = changed.last().filter(|_| !is_all).map_or(last_seq, |last| last.rev);
    if changed.is_empty() && last_seq - held.changed_seq < OVERLOOKED {
        return Ok((held.changed_seq, false));
    }
    let mut segments: HashMap<i64, (Segment, Vec<Said>)> = HashMap::new();
    for said in changed.into_iter().filter(|said| said.seq <= held.indexed_seq) {
        if let Some(segment) = store::segment_of(db, room, said.seq).await? {
            segments.entry(segment.id).or_insert_with(|| (segment, Vec::new())).1.push(said);
        }
    }
    for (segment, changed) in segments.into_values() {
        rewrite(db, &segment, &changed).await?;
    }
    Ok((until, !is_all))
}

/// Writes those lists of a segment anew in which some of its messages are, or should be.
async fn rewrite(db: &mut PgConnection, segment: &Segment, changed: &[Said]) -> Result<()> {
    let mut wanted: HashMap<i64, Vec<u16>> = HashMap::new();
    let mut numbers = HashSet::new();
    for said in changed {
        let number = offset(said.seq, segment.first_seq);
        numbers.insert(number);
        for token in tokens_of(said) {
            wanted.entry(token).or_default().push(number);
        }
    }
    let (mut put, mut lists, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for (token, before) in store::lists(db, segment.id).await? {
        let mut list = decode(&before);
        list.retain(|number| !numbers.contains(number));
        list.extend(wanted.remove(&token).unwrap_or_default());
        list.sort_unstable();
        let after = encode(&list);
        if list.is_empty() {
            gone.push(token);
        } else if after != before {
            put.push(token);
            lists.push(after);
        }
    }
    for (token, mut list) in wanted {
        list.sort_unstable();
        put.push(token);
        lists.push(encode(&list));
    }
    store::put_lists(db, segment.id, &put, &lists).await?;
    store::remove_lists(db, segment.id, &gone).await
}

/// Makes a segment of what was said and is not in the index; says up to which number.
async fn append(db: &mut PgConnection, room: RoomId, held: &Held, last: i64) -> Result<i64> {
    let (mut growing, mut reached) = (None::<Growing>, held.indexed_seq);
    let mut count = 0;
    'reading: while reached < last && count < STEP {
        let said = store::said(db, room, reached, last, READ).await?;
        let is_all = i64::try_from(said.len()).is_ok_and(|read| read < READ);
        for said in &said {
            let growing = growing.get_or_insert_with(|| Growing::from(said));
            if said.seq - growing.segment.first_seq > SPAN || growing.lists.entries >= ENTRIES {
                break 'reading;
            }
            growing.add(said);
            (reached, count) = (said.seq, count + 1);
        }
        if is_all {
            reached = last;
        }
    }
    if let Some(growing) = growing {
        growing.write(db, room).await?;
    }
    Ok(reached)
}

/// A segment that is being made.
struct Growing {
    segment: Segment,
    lists: Lists,
}

impl Growing {
    /// One that begins with a message.
    fn from(first: &Said) -> Self {
        let segment = Segment {
            id: 0,
            first_seq: first.seq,
            last_seq: first.seq,
            first_at: first.created_at,
            last_at: first.created_at,
            disorder_ms: 0,
            postings: 0,
        };
        Self { segment, lists: Lists::default() }
    }

    fn add(&mut self, said: &Said) {
        let segment = &mut self.segment;
        self.lists.add(offset(said.seq, segment.first_seq), tokens_of(said).into_iter());
        segment.last_seq = said.seq;
        segment.disorder_ms = segment.disorder_ms.max((segment.last_at - said.created_at).num_milliseconds() + 1);
        segment.first_at = segment.first_at.min(said.created_at);
        segment.last_at = segment.last_at.max(said.created_at);
    }

    /// Takes in the segments before it that are no larger, and writes it.
    async fn write(mut self, db: &mut PgConnection, room: RoomId) -> Result<()> {
        for earlier in store::newest_segments(db, room, 64).await? {
            let is_larger = earlier.postings > self.lists.entries || earlier.postings + self.lists.entries > ENTRIES;
            if is_larger || self.segment.last_seq - earlier.first_seq > SPAN {
                break;
            }
            self.lists.shift(offset(self.segment.first_seq, earlier.first_seq));
            for (token, list) in store::lists(db, earlier.id).await? {
                self.lists.put_before(token, decode(&list));
            }
            let segment = &mut self.segment;
            segment.disorder_ms = segment.disorder_ms.max(earlier.disorder_ms).max((earlier.last_at - segment.first_at).num_milliseconds() + 1);
            segment.first_seq = earlier.first_seq;
            segment.first_at = segment.first_at.min(earlier.first_at);
            segment.last_at = segment.last_at.max(earlier.last_at);
            store::remove_segment(db, earlier.id).await?;
        }
        self.segment.postings = self.lists.entries;
        let id = store::add_segment(db, room, &self.segment).await?;
        let (tokens, lists) = self.lists.encoded();
        store::put_lists(db, id, &tokens, &lists).await
    }
}

/// A message's number within its segment.
fn offset(seq: i64, first_seq: i64) -> u16 {
    u16::try_from(seq - first_seq).unwrap_or(u16::MAX)
}

/// All tokens of a message; none of one that was deleted.
fn tokens_of(said: &Said) -> Vec<i64> {
    let Some(content) = &said.content else { return Vec::new() };
    let mut all = tokens(&folded(content));
    all.push(of_author(&said.author_id));
    all
}
