//! The hunt for what a search asks for: through many stretches of many rooms at once, the newest first, until a page is full.
//!
//! Every stretch that may hold a hit waits in a heap, by the latest place at which it could. The latest ones are looked into a
//! little, and put back with what is left of them; a hit that is later than everything that still waits is certain, and goes onto
//! the page. So a frequent word costs a look at the newest messages, and a rare one a look at the lists of its rarest tokens.
//!
//! A hunt takes so much trouble and no more. One that had enough answers with what it found and where to go on.

use super::{
    postings,
    query::Terms,
    store::{self, Filter, Place, Segment, Text},
};
use crate::{error::Result, rooms::RoomId};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use std::{
    cmp::Ordering,
    collections::{BinaryHeap, HashMap},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// How much a hunt may do before it makes do with what it has: messages compared, bytes of them, time.
const MESSAGES: usize = 20_000;
const BYTES: usize = 4 << 20;
const TIME: Duration = Duration::from_millis(250);
/// So many segments are looked into token by token; where there are more, it pays to know which token is rare.
const FEW: usize = 8;
/// Most stretches that are looked into at the same time.
const WIDTH: usize = 64;
/// Most messages that are read at the same time, and fewest of one stretch.
const READ: usize = 1_024;
const LEAST: usize = 16;
/// By how much a message that is not in the index may be earlier than one before it.
const DISORDER: TimeDelta = TimeDelta::seconds(10);

/// Where a message stands among the results, the latest being the greatest. In one room the number decides alone: then the time
/// is that of the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Microseconds.
    pub time: i64,
    pub room: Uuid,
    pub seq: i64,
}

impl Key {
    /// Later than everything.
    pub const END: Self = Self { time: i64::MAX, room: Uuid::max(), seq: i64::MAX };
}

/// A stretch of a room that may hold hits.
struct Stretch {
    /// No hit in it is later.
    bound: Key,
    room: RoomId,
    rest: Rest,
}

enum Rest {
    /// A segment whose lists have not been read.
    Segment(Segment),
    /// The messages of a segment that have the tokens, ascending.
    Candidates(Segment, Vec<i64>),
    /// Messages that are not in the index: after one number, and up to another.
    Tail(i64, i64),
}

impl PartialEq for Stretch {
    fn eq(&self, other: &Self) -> bool {
        self.bound == other.bound
    }
}

impl Eq for Stretch {}

impl PartialOrd for Stretch {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Stretch {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bound.cmp(&other.bound)
    }
}

/// What a hunt looks for.
pub(super) struct Quarry<'a> {
    pub terms: &'a Terms,
    pub tokens: Vec<i64>,
    pub filter: Filter<'a>,
    /// Everything before this.
    pub before: Key,
    /// Whether numbers decide, and not times.
    pub is_in_one_room: bool,
    pub limit: usize,
}

/// A hunt.
pub(super) struct Hunt<'a> {
    db: &'a mut PgConnection,
    quarry: Quarry<'a>,
    waiting: BinaryHeap<Stretch>,
    hits: BinaryHeap<Key>,
    buffer: String,
    messages: usize,
    bytes: usize,
    begun: Instant,
    /// How many candidates, and messages that are not in the index, are read next: more each time, if that was not enough.
    candidates: usize,
    walked: usize,
}

impl<'a> Hunt<'a> {
    /// A hunt through these rooms.
    pub async fn begin(db: &'a mut PgConnection, mut quarry: Quarry<'a>, places: &[Place]) -> Result<Self> {
        let rooms: Vec<Uuid> = places.iter().map(|place| place.room.0).collect();
        let segments = store::segments(&mut *db, &rooms, &quarry.filter).await?;
        let largest = segments.iter().max_by_key(|segment| segment.last_seq - segment.first_seq);
        if let Some(largest) = largest.filter(|_| segments.len() > FEW && quarry.tokens.len() > 1) {
            quarry.tokens = store::by_rarity(&mut *db, largest.id, &quarry.tokens).await?;
        }
        let mut hunt = Self {
            db,
            // Most candidates are hits.
            candidates: (2 * quarry.limit).min(READ),
            walked: (4 * quarry.limit).min(READ),
            quarry,
            waiting: BinaryHeap::new(),
            hits: BinaryHeap::new(),
            buffer: String::new(),
            messages: 0,
            bytes: 0,
            begun: Instant::now(),
        };
        for place in places {
            hunt.wait(place.room, place.last_activity_at + DISORDER, Rest::Tail(place.indexed_seq, place.last_message_seq));
        }
        for segment in segments {
            hunt.wait(segment.room, segment.last_at, Rest::Segment(segment));
        }
        Ok(hunt)
    }

    /// The hits of a page, the latest first, and before what the next page begins, if there may be one.
    pub async fn run(mut self) -> Result<(Vec<Key>, Option<Key>)> {
        let mut page = Vec::with_capacity(self.quarry.limit);
        let mut width = 1;
        loop {
            let latest = self.waiting.peek().map(|stretch| stretch.bound);
            while page.len() < self.quarry.limit
                && let Some(hit) = self.hits.peek()
                && latest.is_none_or(|latest| *hit >= latest)
            {
                page.extend(self.hits.pop());
            }
            let Some(latest) = latest else {
                let next = page.last().copied().filter(|_| !self.hits.is_empty());
                return Ok((page, next));
            };
            if page.len() == self.quarry.limit {
                let next = page.last().copied();
                return Ok((page, next));
            }
            // The next page must begin before this one, or nobody would ever get on.
            let next = Key { seq: latest.seq.saturating_add(1), ..latest };
            if self.is_tired() && next < self.quarry.before {
                return Ok((page, Some(next)));
            }
            self.look(width).await?;
            width = (width * 2).min(WIDTH);
        }
    }

    fn is_tired(&self) -> bool {
        self.messages >= MESSAGES || self.bytes >= BYTES || self.begun.elapsed() >= TIME
    }

    /// Puts a stretch, none of whose messages is later than a time, where it belongs.
    fn wait(&mut self, room: RoomId, latest: DateTime<Utc>, rest: Rest) {
        let before = self.quarry.before;
        let end = if self.quarry.is_in_one_room { before.seq.saturating_sub(1) } else { i64::MAX };
        let (last, rest) = match rest {
            Rest::Tail(after, until) => (until.min(end), Rest::Tail(after, until.min(end))),
            Rest::Segment(segment) => (segment.last_seq.min(end), Rest::Segment(segment)),
            Rest::Candidates(segment, mut seqs) => {
                seqs.truncate(seqs.partition_point(|seq| *seq <= end));
                (seqs.last().copied().unwrap_or_default(), Rest::Candidates(segment, seqs))
            }
        };
        let is_empty = match &rest {
            Rest::Tail(after, until) => after >= until,
            Rest::Segment(segment) => segment.first_seq > end,
            Rest::Candidates(_, seqs) => seqs.is_empty(),
        };
        if !is_empty && latest >= self.quarry.filter.after {
            let time = if self.quarry.is_in_one_room { 0 } else { latest.timestamp_micros() };
            let bound = Key { time, room: room.0, seq: last }.min(before);
            self.waiting.push(Stretch { bound, room, rest });
        }
    }

    /// Looks into the latest stretches.
    async fn look(&mut self, width: usize) -> Result<()> {
        let (mut segments, mut candidates, mut tails) = (Vec::new(), Vec::new(), Vec::new());
        let mut likely = 0;
        for _ in 0..width {
            // What is earlier than enough candidates is not needed yet.
            if likely >= self.candidates {
                break;
            }
            let Some(Stretch { room, rest, .. }) = self.waiting.pop() else { break };
            match rest {
                Rest::Segment(segment) => segments.push(segment),
                Rest::Candidates(segment, seqs) => {
                    likely += seqs.len();
                    candidates.push((segment, seqs));
                }
                Rest::Tail(after, until) => tails.push((room, after, until)),
            }
        }
        if !segments.is_empty() {
            self.look_up(segments).await?;
        }
        if !candidates.is_empty() {
            let each = (self.candidates / candidates.len()).max(LEAST);
            self.look_at(candidates, each).await?;
            self.candidates = (self.candidates * 2).min(READ);
        }
        if !tails.is_empty() {
            let each = (self.walked / tails.len()).max(LEAST);
            self.walk(&tails, each).await?;
            self.walked = (self.walked * 2).min(READ);
        }
        Ok(())
    }

    /// Finds which messages of segments have all tokens.
    async fn look_up(&mut self, segments: Vec<Segment>) -> Result<()> {
        let ids: Vec<i64> = segments.iter().map(|segment| segment.id).collect();
        let mut lists: HashMap<i64, Vec<Vec<u8>>> = HashMap::new();
        for (id, list) in store::lists(&mut *self.db, &ids, &self.quarry.tokens).await? {
            self.bytes += list.len() / 8;
            lists.entry(id).or_default().push(list);
        }
        for segment in segments {
            let Some(lists) = lists.get(&segment.id) else { continue };
            let common = postings::common(lists.iter().map(Vec::as_slice).collect());
            let seqs = common.into_iter().map(|number| segment.first_seq + i64::from(number)).collect();
            self.wait(segment.room, segment.last_at, Rest::Candidates(segment, seqs));
        }
        Ok(())
    }

    /// Reads the latest candidates of segments, so many of each, and compares them.
    async fn look_at(&mut self, candidates: Vec<(Segment, Vec<i64>)>, each: usize) -> Result<()> {
        let (mut places, mut rooms, mut seqs) = (Vec::new(), Vec::new(), Vec::new());
        let mut rests = Vec::with_capacity(candidates.len());
        for (place, (segment, mut waiting)) in (0_i64..).zip(candidates) {
            for seq in waiting.split_off(waiting.len().saturating_sub(each)) {
                places.push(place);
                rooms.push(segment.room.0);
                seqs.push(seq);
            }
            rests.push((segment, waiting, None));
        }
        for text in store::texts(&mut *self.db, &places, &rooms, &seqs, &self.quarry.filter).await? {
            let Some((segment, _, earliest)) = usize::try_from(text.place).ok().and_then(|place| rests.get_mut(place)) else { continue };
            *earliest = Some(earliest.map_or(text.created_at, |earliest: DateTime<Utc>| earliest.min(text.created_at)));
            self.compare(segment.room, &text);
        }
        for (segment, waiting, earliest) in rests {
            let latest = earliest.map_or(segment.last_at, |earliest| (earliest + TimeDelta::milliseconds(segment.disorder_ms)).min(segment.last_at));
            self.wait(segment.room, latest, Rest::Candidates(segment, waiting));
        }
        Ok(())
    }

    /// Reads the latest messages of stretches that are not in the index, so many of each, and compares them.
    async fn walk(&mut self, tails: &[(RoomId, i64, i64)], each: usize) -> Result<()> {
        let most = i64::try_from(each).unwrap_or(i64::MAX);
        let mut reached = vec![(0, None); tails.len()];
        for text in store::tails(&mut *self.db, tails, &self.quarry.filter, most).await? {
            let Some(place) = usize::try_from(text.place - 1).ok().filter(|place| *place < tails.len()) else { continue };
            reached[place] = (reached[place].0 + 1, Some((text.seq, text.created_at)));
            self.compare(tails[place].0, &text);
        }
        for ((room, after, _), (count, last)) in tails.iter().zip(reached) {
            if let (true, Some((seq, at))) = (count == each, last) {
                self.wait(*room, at + DISORDER, Rest::Tail(*after, seq - 1));
            }
        }
        Ok(())
    }

    fn compare(&mut self, room: RoomId, text: &Text) {
        self.messages += 1;
        let Some(content) = &text.content else { return };
        self.bytes += content.len();
        let time = if self.quarry.is_in_one_room { 0 } else { text.created_at.timestamp_micros() };
        let key = Key { time, room: room.0, seq: text.seq };
        if key < self.quarry.before && self.quarry.terms.are_in(content, &mut self.buffer) {
            self.hits.push(key);
        }
    }
}
