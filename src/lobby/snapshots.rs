//! What a member is shown of a room on entering it, for the first time or again.
//!
//! Clients enter all their rooms anew after every reconnect. So snapshots are read for all who ask at the same time, and
//! what is the same for all members of a room is read and encoded once, and kept for a moment under the room's number: as
//! long as that stands, nothing has happened in the room.

use super::views::{Member, add_last_messages};
use crate::{
    app::App,
    error::{Error, Result},
    extract::{PAGE_BYTES, fitting},
    gathering::Gathering,
    messages::{
        self, Message,
        store::{Stretch, exists_before},
    },
    pool::Pool,
    receipts::Read,
    recent::Recent,
    rooms::{self, Membership, Room, RoomId, RoomRef, Seat},
    time::Time,
    users::UserId,
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use std::{collections::HashMap, sync::Arc, time::Duration};
use uuid::Uuid;

/// Messages in a snapshot.
const MESSAGES: i64 = 30;
/// Most messages in it for a client that says how far it has read.
const SINCE_MESSAGES: i64 = 100;
/// Most bytes of messages in it: it comes twice, as an answer and as an event, and must not make a client one that reads too slowly.
const BYTES: usize = PAGE_BYTES / 2;
/// Members in it.
const MEMBERS: i64 = 50;
/// How long what was read is shown to others. Only profiles, and the members of quiet rooms, change without a number.
const LIFE: Duration = Duration::from_secs(1);
/// Most rooms of which it is kept: some tens of kilobytes each.
const ROOMS: usize = 256;

/// A snapshot as it is told and answered.
pub struct Joined {
    /// The room.
    pub room_id: RoomId,
    /// The last number in the room that it knows of.
    pub last_seq: i64,
    text: Box<RawValue>,
}

impl Serialize for Joined {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

/// What a member is shown of a room on entering: `chat:room:joined` to oneself.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "JoinedSnapshot")]
pub struct View<'a> {
    /// Where.
    room_id: RoomId,
    /// Who entered: the one who hears it.
    user_id: &'a UserId,
    /// What tells it from what the others hear.
    #[serde(rename = "self")]
    #[schemars(extend("const" = true))]
    is_self: bool,
    /// The room.
    room: &'a Room,
    /// The membership.
    membership: &'a Membership,
    /// The last number in the room that this knows of.
    last_seq: i64,
    /// How far the member has read.
    read: Read,
    /// The first 50 members.
    #[schemars(with = "Vec<Member>")]
    members: &'a RawValue,
    /// Which of these are online.
    presence: Vec<UserId>,
    /// Who is typing.
    typing: Vec<UserId>,
    /// The last 30 messages, or all since the number that was asked for.
    #[schemars(with = "Vec<Message>")]
    messages: &'a RawValue,
    /// Whether there are messages before these.
    has_older: bool,
    /// When it was read.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    timestamp: DateTime<Utc>,
}

/// Who wants to see which room.
#[derive(Clone)]
pub struct Asked {
    user: UserId,
    room: RoomRef,
    since: Option<i64>,
}

/// What the database says of a room to one of its members.
pub struct Snapshot {
    room: Room,
    membership: Membership,
    members: Arc<Members>,
    page: Arc<Page>,
}

struct Members {
    ids: Vec<UserId>,
    text: Box<RawValue>,
}

struct Page {
    messages: Box<RawValue>,
    has_older: bool,
}

/// The line in which members wait for the snapshots of their rooms.
pub type Snapshots = Gathering<Asked, Result<Snapshot>>;

/// What was read lately: the members of a room by its number and size, the messages by its number and what was asked.
struct Known {
    members: Recent<(RoomId, i64, i32), Arc<Members>>,
    pages: Recent<(RoomId, i64, Option<i64>), Arc<Page>>,
}

/// Opens the line.
pub fn snapshots(db: Pool, patience: Duration) -> Snapshots {
    let known = Arc::new(Known { members: Recent::new(LIFE, ROOMS), pages: Recent::new(LIFE, ROOMS) });
    Gathering::start(patience, move |asked| read(db.clone(), known.clone(), asked))
}

/// What a member is shown on entering. With `since` it has the messages after that number, if they are few enough.
///
/// # Errors
/// `ROOM_NOT_FOUND`, `NOT_A_MEMBER`, `BANNED`.
pub async fn joined(app: &App, user: &UserId, room: &RoomRef, since: Option<i64>) -> Result<Joined> {
    let asked = Asked { user: user.clone(), room: room.clone(), since };
    let Snapshot { room, membership, members, page } = app.snapshots.ask(asked).await??;
    let view = View {
        room_id: room.id,
        user_id: user,
        is_self: true,
        last_seq: room.last_seq,
        room: &room,
        read: Read::of(Some(&membership)),
        membership: &membership,
        members: &members.text,
        presence: app.presence.online_among(&members.ids),
        typing: app.typing.in_room(room.id),
        messages: &page.messages,
        has_older: page.has_older,
        timestamp: Utc::now(),
    };
    let text = to_raw_value(&view).map_err(Error::internal)?;
    Ok(Joined { room_id: room.id, last_seq: room.last_seq, text })
}

async fn read(db: Pool, known: Arc<Known>, asked: Vec<Asked>) -> Result<Vec<Result<Snapshot>>> {
    let mut seats: Vec<Option<Seat>> = vec![None; asked.len()];
    for (place, seat) in rooms::store::find_each(&db, &asked.iter().map(|asked| (&asked.user, &asked.room)).collect::<Vec<_>>()).await? {
        seats[place] = Some(seat);
    }
    let (mut members, mut pages) = (HashMap::new(), HashMap::new());
    let (mut new_members, mut new_pages) = (HashMap::new(), HashMap::new());
    for (seat, asked) in seats.iter().zip(&asked) {
        let Some(Seat { room, membership: Some(_), .. }) = seat else { continue };
        match known.members.get(&(room.id, room.last_seq, room.member_count)) {
            Some(found) => drop(members.insert(room.id, found)),
            None => drop(new_members.insert(room.id, room)),
        }
        match known.pages.get(&(room.id, room.last_seq, asked.since)) {
            Some(found) => drop(pages.insert((room.id, asked.since), found)),
            None => drop(new_pages.insert((room.id, asked.since), room)),
        }
    }
    for (room, found) in read_members(&db, new_members.keys().map(|room| room.0).collect()).await? {
        known.members.put((room, new_members[&room].last_seq, new_members[&room].member_count), found.clone());
        members.insert(room, found);
    }
    let last_seqs: HashMap<_, i64> = new_pages.iter().map(|(key, room)| (*key, room.last_seq)).collect();
    for ((room, since), found) in read_pages(&db, new_pages.into_iter().collect()).await? {
        known.pages.put((room, last_seqs[&(room, since)], since), found.clone());
        pages.insert((room, since), found);
    }
    add_last_messages(&db, seats.iter_mut().flatten().map(|seat| &mut seat.room)).await?;
    let snapshot = |(seat, asked): (Option<Seat>, &Asked)| {
        let seat = seat.ok_or(Error::RoomNotFound)?;
        let (membership, room) = (seat.membership()?.clone(), seat.room);
        let both = members.get(&room.id).cloned().zip(pages.get(&(room.id, asked.since)).cloned());
        let (members, page) = both.ok_or_else(|| Error::internal("a room without its snapshot"))?;
        Ok(Snapshot { room, membership, members, page })
    };
    Ok(seats.into_iter().zip(&asked).map(snapshot).collect())
}

/// The first members of rooms, all of which have some.
async fn read_members(db: &Pool, rooms: Vec<Uuid>) -> Result<HashMap<RoomId, Arc<Members>>> {
    let mut by_room: HashMap<RoomId, Vec<Member>> = HashMap::new();
    if !rooms.is_empty() {
        for (room, row) in rooms::members::store::members(db, &rooms, "", MEMBERS).await? {
            by_room.entry(room).or_default().push(row.into());
        }
    }
    let encode = |(room, members): (RoomId, Vec<Member>)| {
        let text = to_raw_value(&members).map_err(Error::internal)?;
        Ok((room, Arc::new(Members { ids: members.into_iter().map(|member| member.user.id).collect(), text })))
    };
    by_room.into_iter().map(encode).collect()
}

/// The newest messages of rooms, up to the number that the room was found to have; or everything after `since`, if that is
/// not too much.
async fn read_pages(db: &Pool, wanted: Vec<((RoomId, Option<i64>), &Room)>) -> Result<HashMap<(RoomId, Option<i64>), Arc<Page>>> {
    // Rooms in which nothing was ever said need no look.
    let spoken = |room: &Room| room.last_message_seq.is_some();
    let stretch = |((id, since), room): &((RoomId, Option<i64>), &Room)| Stretch {
        room: *id,
        after: since.unwrap_or_default(),
        until: room.last_seq,
        // One more than is shown tells whether there is more.
        most: 1 + since.map_or(MESSAGES, |_| SINCE_MESSAGES),
    };
    let (loud, silent): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(_, room)| spoken(room));
    let mut found: Vec<Vec<Message>> = loud.iter().map(|_| Vec::new()).collect();
    if !loud.is_empty() {
        let stretches: Vec<Stretch> = loud.iter().map(stretch).collect();
        for (place, message) in messages::store::stretches(db, &stretches).await? {
            found[place].push(message);
        }
    }
    let mut pages = HashMap::new();
    for (((id, since), _), mut messages) in loud.into_iter().zip(found) {
        let fitting = fitting(&messages, BYTES, Message::weight);
        let complete = fitting == messages.len() && since.is_some_and(|_| i64::try_from(messages.len()).is_ok_and(|count| count <= SINCE_MESSAGES));
        let has_older = if complete {
            exists_before(db, id, messages.last().map_or(i64::MAX, |oldest| oldest.seq)).await?
        } else {
            let shown = fitting.min(usize::try_from(MESSAGES).unwrap_or(usize::MAX));
            let has_older = shown < messages.len();
            messages.truncate(shown);
            has_older
        };
        messages.reverse();
        pages.insert((id, since), Arc::new(Page { messages: to_raw_value(&messages).map_err(Error::internal)?, has_older }));
    }
    for (key, _) in silent {
        pages.insert(key, Arc::new(Page { messages: to_raw_value(&[(); 0]).map_err(Error::internal)?, has_older: false }));
    }
    Ok(pages)
}
