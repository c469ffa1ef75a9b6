//! Messages: what is said in a room, and what was said before.
//!
//! A [`draft`] that goes through the [`journal`] is the only way a message comes to be, whichever transport it arrives
//! on. Its order is a promise: checked, committed, broadcast, acknowledged. Whoever sees an acknowledgement finds the message in [`history`](history::history).
//!
//! What may become of a message later is in folders of its own: [`changes`] (edits, deletion), [`reactions`], [`pins`], [`threads`].
//! A message's row is its final state, and `rev` the room's number of its last change.

pub mod changes;
pub mod history;
pub mod http;
pub mod journal;
pub mod pins;
pub mod reactions;
pub mod socket;
pub mod store;
pub mod threads;

use crate::{
    app::App,
    auth::AuthUser,
    config::ChatSettings,
    error::{Error, Result},
    ids::derived,
    payload::{Fields, Length, weight},
    presence::typing,
    rooms::{self, Room, RoomId, RoomRef},
    time::Time,
    trace::TraceId,
    users::{User, UserId, UserType},
};
use changes::DeletedBy;
use chrono::{DateTime, Utc};
use journal::{Draft, Stored};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};
use sqlx::PgExecutor;
use std::{collections::BTreeMap, fmt, sync::Arc};
use threads::Thread;
use tokio::sync::oneshot;
use uuid::Uuid;

/// A message's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema, sqlx::Type)]
#[sqlx(transparent)]
pub struct MessageId(pub Uuid);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who said it, as others see them.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sender {
    /// The user.
    pub id: UserId,
    /// The name to show.
    pub name: Option<String>,
    /// Where the picture is.
    pub avatar_url: Option<String>,
    /// `user`, `admin` or `bot`.
    pub user_type: UserType,
}

impl From<&User> for Sender {
    fn from(user: &User) -> Self {
        let name = user.name.clone().or_else(|| user.username.clone());
        Self { id: user.id.clone(), name, avatar_url: user.avatar_url.clone(), user_type: user.user_type }
    }
}

/// A message as the contract shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(example = example())]
pub struct Message {
    /// The id.
    pub id: MessageId,
    /// Where it was said.
    pub room_id: RoomId,
    /// Its number in the room.
    pub seq: i64,
    /// The number of its last change.
    pub rev: i64,
    /// Who said it.
    pub sender: Sender,
    /// The sender's id again, for clients of the seed's gateway.
    pub sender_id: UserId,
    /// The text; empty once it was deleted.
    pub content: String,
    /// `text`, or a word of the frontend's own.
    #[serde(rename = "type")]
    pub kind: String,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// The first message of its thread.
    pub thread_root_id: Option<MessageId>,
    /// The thread that it is the root of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<Thread>,
    /// The ids of the members that it mentions.
    #[schemars(with = "Vec<UserId>")]
    pub mentions: Value,
    /// As the client described them.
    #[schemars(with = "Vec<Map<String, Value>>")]
    pub attachments: Value,
    /// Counts by emoji.
    #[schemars(with = "BTreeMap<String, u32>")]
    pub reactions: Value,
    /// The emoji that the asker reacted with, where there is one asker.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub own_reactions: Vec<String>,
    /// The frontend's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Map<String, Value>")]
    pub metadata: Option<Value>,
    /// When it was stored.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub created_at: DateTime<Utc>,
    /// The same again, for clients of the seed's gateway.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub timestamp: DateTime<Utc>,
    /// When it was last edited.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub edited_at: Option<DateTime<Utc>>,
    /// How often it was edited.
    #[serde(skip_serializing_if = "is_zero")]
    pub edit_count: i32,
    /// When it was deleted.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub deleted_at: Option<DateTime<Utc>>,
    /// Who deleted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_by: Option<DeletedBy>,
    /// Why, in their words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_reason: Option<String>,
    /// Since when it is pinned.
    #[serde(with = "crate::time::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    pub pinned_at: Option<DateTime<Utc>>,
    /// Who pinned it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_by: Option<UserId>,
    /// What the sender's client calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_msg_id: Option<String>,
    /// Whether this answers a repeat.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

impl Message {
    /// About how many bytes it takes in an answer.
    pub fn weight(&self) -> usize {
        const REST: usize = 640;
        REST + self.content.len() + weight(&self.attachments) + self.metadata.as_ref().map_or(0, weight)
    }
}

/// A message as the documents show one.
fn example() -> Value {
    json!({
        "id": "0193698e-9b4e-7c3a-8d55-6f0c7be9a1d2",
        "roomId": "01936986-1f0a-7b51-9c1e-2f4a5d6e7f80",
        "seq": 42,
        "rev": 42,
        "sender": { "id": "alice", "name": "Alice", "avatarUrl": null, "userType": "user" },
        "senderId": "alice",
        "content": "Hello",
        "type": "text",
        "replyTo": null,
        "threadRootId": null,
        "mentions": [],
        "attachments": [],
        "reactions": { "👍": 2 },
        "createdAt": "2026-11-22T21:37:57.123Z",
        "timestamp": "2026-11-22T21:37:57.123Z",
        "editedAt": null,
        "deletedAt": null,
        "clientMsgId": "b7e23ec2",
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &i32) -> bool {
    *count == 0
}

/// What a client wants to say, checked for form.
#[derive(Debug)]
pub struct NewMessage {
    room: Option<String>,
    content: String,
    kind: String,
    client_msg_id: Option<String>,
    reply_to: Option<Uuid>,
    thread_root_id: Option<Uuid>,
    mentions: Vec<String>,
    attachments: Option<Value>,
    metadata: Option<Value>,
    warnings: Vec<String>,
}

/// Most mentions in a message.
pub const MENTIONS: usize = 50;
/// Most attachments of a message.
pub const ATTACHMENTS: usize = 10;
/// Lengths of a `clientMsgId`.
const CLIENT_ID: Length = Length::new(1, 64);

impl NewMessage {
    /// Reads `{roomId?, content, clientMsgId?, type?, replyTo?, threadRootId?, attachments?, mentions?, metadata?}`.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with every fault.
    pub fn read(mut fields: Fields, limits: &ChatSettings) -> Result<Self> {
        let mut new = Self {
            room: fields.text("roomId", Length::new(1, 64)),
            content: fields.required_text("content", Length::new(1, limits.max_content as usize)),
            kind: fields.text("type", Length::new(1, 32)).unwrap_or_else(|| "text".to_owned()),
            client_msg_id: fields.text("clientMsgId", CLIENT_ID),
            reply_to: fields.uuid("replyTo"),
            thread_root_id: fields.uuid("threadRootId"),
            mentions: fields.texts("mentions", MENTIONS, Length::new(1, 128)),
            attachments: fields.objects("attachments", ATTACHMENTS),
            metadata: fields.object("metadata"),
            warnings: Vec::new(),
        };
        if !new.kind.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
            fields.fault("type", "invalid", "Letters, digits, dots, dashes and underscores are allowed.");
        }
        new.warnings = fields.finish()?;
        Ok(new)
    }

    /// Says which room, for a route that names it.
    #[must_use]
    pub fn in_room(mut self, room: String) -> Self {
        self.room = Some(room);
        self
    }
}

/// Says something, and waits until it is committed and told.
///
/// # Errors
/// Those of [`draft`], why the statement that stores messages refused it, `UNAVAILABLE` when the database does not answer
/// in time.
pub async fn send(app: &App, author: Arc<AuthUser>, new: NewMessage) -> Result<Stored> {
    let (draft, _) = draft(app, author, new).await?;
    let place = app.journal.reserve(&draft).await?;
    let (reply, stored) = oneshot::channel();
    // Nobody may be waiting any more; the message stands all the same.
    app.journal.submit(place, draft, Box::new(move |stored, _| drop(reply.send(stored))));
    stored.await.unwrap_or(Err(Error::Unavailable))
}

/// Prepares a message for the journal, and says what its author should know of it. Whether the author may speak is
/// decided by the statement that stores it.
///
/// # Errors
/// `ROOM_NOT_FOUND`, `MESSAGE_NOT_FOUND` for what it answers, `RATE_LIMITED` in a room in slow mode.
pub async fn draft(app: &App, author: Arc<AuthUser>, new: NewMessage) -> Result<(Draft, Vec<String>)> {
    let room = match rooms::named_or_default(app, new.room.as_deref())? {
        RoomRef::Id(id) => id,
        RoomRef::Slug(slug) => app.slugs.id(&app.db, slug.as_str()).await?,
    };
    let mut warnings = new.warnings;
    let mentions = mentioned_members(&app.db, room, new.mentions, &mut warnings).await?;
    let reply_to = match new.reply_to {
        Some(id) => Some(in_same_room(app, author.id(), room, id).await?.0),
        None => None,
    };
    let thread_root_id = match new.thread_root_id {
        // Threads are one level deep: an answer within a thread belongs to the thread's root.
        Some(id) => in_same_room(app, author.id(), room, id).await.map(|(id, root)| Some(root.unwrap_or(id)))?,
        None => None,
    };
    let id = message_id(room, author.id(), new.client_msg_id.as_deref());
    app.slow_rooms.take_turn(&app.db, room, author.id(), id.0).await?;
    let draft = Draft {
        id,
        room,
        content: new.content,
        kind: new.kind,
        client_msg_id: new.client_msg_id,
        reply_to,
        thread_root_id,
        mentions,
        attachments: new.attachments,
        metadata: new.metadata,
        author,
        trace: TraceId::current(),
    };
    typing::forget(app, room, draft.author.id());
    Ok((draft, warnings))
}

/// Those of the users who are members of the room, as they are stored; of the others a warning is given.
async fn mentioned_members(db: impl PgExecutor<'_>, room: RoomId, mentions: Vec<String>, warnings: &mut Vec<String>) -> Result<Option<Value>> {
    if mentions.is_empty() {
        return Ok(None);
    }
    let members = rooms::members::store::members_among(db, room, &mentions).await?;
    let (known, strangers): (Vec<String>, Vec<String>) = mentions.into_iter().partition(|id| members.iter().any(|member| member.as_str() == id));
    warnings.extend(strangers.iter().map(|id| format!("{id:?} is not a member of the room and was not mentioned.")));
    Ok((!known.is_empty()).then(|| known.into()))
}

/// The message that another one of the same room is about, and the root of its thread.
async fn in_same_room(app: &App, author: &UserId, room: RoomId, id: Uuid) -> Result<(MessageId, Option<MessageId>)> {
    let place = store::place(&app.db, MessageId(id)).await?.filter(|place| place.room_id == room);
    if let Some(place) = place {
        return Ok((MessageId(id), place.thread_root_id));
    }
    // Who is not in the room does not learn what was said there: the answer is that of the room.
    rooms::find(app, author, &RoomRef::Id(room)).await?.membership()?;
    Err(Error::MessageNotFound)
}

/// A message's id: with a `clientMsgId` a function of room, author and it (`UUIDv8`, RFC 9562), so that a repeat
/// collides with the first; otherwise a `UUIDv7`.
fn message_id(room: RoomId, author: &UserId, client_msg_id: Option<&str>) -> MessageId {
    MessageId(match client_msg_id {
        Some(client_msg_id) => derived("message", &[&room.to_string(), author.as_str(), client_msg_id]),
        None => Uuid::now_v7(),
    })
}

/// The last messages of several rooms, encoded, by room.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn last_of(db: impl PgExecutor<'_>, places: &[(RoomId, i64)]) -> Result<Vec<(RoomId, Arc<RawValue>)>> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let messages = store::at(db, places).await?;
    messages.iter().map(|message| Ok((message.room_id, serde_json::value::to_raw_value(message).map_err(Error::internal)?.into()))).collect()
}

/// In so many numbers after a read marker it is looked for what is unread: a bot may say a million things and read none.
pub const LOOKED_INTO: i64 = 10_000;

/// Where a member goes on reading: the number of the first message after the read marker that is neither the member's own nor
/// deleted, or the last one of the [`LOOKED_INTO`] if there is none among them. `None` when all is read.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn first_unread(app: &App, room: &Room, reader: &UserId, read_seq: i64) -> Result<Option<i64>> {
    let end = read_seq.saturating_add(LOOKED_INTO);
    let found = store::first_unread(&app.db, room.id, reader, read_seq, end).await?;
    Ok(found.or_else(|| room.last_message_seq.filter(|last| *last > end).map(|_| end)))
}

/// The number of the first message at or after a time.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn first_at(app: &App, room: RoomId, time: DateTime<Utc>) -> Result<Option<i64>> {
    store::first_at(&app.db, room, time).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_has_the_same_id_and_everything_else_another() {
        let (room, other) = (RoomId(Uuid::nil()), RoomId(Uuid::max()));
        let (ann, bob) = (UserId::parse("ann").unwrap(), UserId::parse("bob").unwrap());

        let id = message_id(room, &ann, Some("1"));

        assert_eq!(id, message_id(room, &ann, Some("1")));
        for differs in
            [message_id(other, &ann, Some("1")), message_id(room, &bob, Some("1")), message_id(room, &ann, Some("2")), message_id(room, &ann, None)]
        {
            assert_ne!(id, differs);
        }
        assert_eq!(id.0.get_version_num(), 8);
    }
}
