//! What authors and moderators change of what was said: edits, and [`deletion`].
//!
//! Every change of a message, reactions and pins included, begins with [`MessageChange::begin`] and ends with
//! [`MessageChange::finish`]: one transaction that holds the room's row and takes the room's next number, told after its
//! commit and before the room's turn is given on. The message's row is its final state, and has that number as its `rev`.

pub mod deletion;
pub mod http;
pub mod socket;
pub mod store;

pub use deletion::DeletedBy;

use super::{MENTIONS, MessageId, mentioned_members};
use crate::{
    app::App,
    auth::AuthUser,
    error::{Error, Result},
    payload::{Fields, Length},
    rooms::{Role, RoomId, changes::Change, store as rooms},
    time::Time,
    users::UserId,
};
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use store::Current;
use uuid::Uuid;

/// A change of a message that has begun, by a member who may take part in the room: see [`Change`].
pub struct MessageChange {
    /// The change of the room.
    pub room: Change,
    /// The message as it is under the lock of its room.
    pub message: Current,
    caller: UserId,
}

impl MessageChange {
    /// Begins to change a message.
    ///
    /// # Errors
    /// `MESSAGE_NOT_FOUND`, also for messages of private rooms that the caller is not in; `NOT_A_MEMBER`, `BANNED`,
    /// `ROOM_ARCHIVED`, `FORBIDDEN` for guests.
    pub async fn begin(app: &App, caller: &AuthUser, id: Uuid) -> Result<Self> {
        let id = MessageId(id);
        let room = store::room_of(&app.db, caller.id(), id).await?.ok_or(Error::MessageNotFound)?;
        let mut change = Change::begin(app, caller.id(), room).await.map_err(|error| match error {
            Error::RoomNotFound => Error::MessageNotFound,
            error => error,
        })?;
        let message = store::current(&mut *change.tx, id).await?.ok_or(Error::MessageNotFound)?;
        let membership = change.seat.membership()?;
        if change.seat.room.archived_at.is_some() {
            return Err(Error::RoomArchived);
        }
        if membership.role == Role::Guest {
            return Err(Error::Forbidden("guests only read in this room"));
        }
        Ok(Self { room: change, message, caller: caller.id().clone() })
    }

    /// Begins to change a message by something that others are to hear of as one's own: not for who is muted, and not when the
    /// message was deleted.
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin), `MUTED`.
    pub async fn begin_aloud(app: &App, caller: &AuthUser, id: Uuid) -> Result<Self> {
        let change = Self::begin(app, caller, id).await?;
        if change.room.seat.membership()?.muted_until.is_some_and(|until| until > change.message.now) {
            return Err(Error::Muted);
        }
        if change.message.deleted_at.is_some() { Err(Error::MessageNotFound) } else { Ok(change) }
    }

    /// The room.
    pub fn room_id(&self) -> RoomId {
        self.room.seat.room.id
    }

    /// Takes the room's next number, for this change.
    ///
    /// # Errors
    /// `UNAVAILABLE` without the database.
    pub async fn take_seq(&mut self) -> Result<i64> {
        let room = self.room_id();
        Ok(rooms::count(&mut self.room.tx, room, 1, 0).await?.last_seq)
    }

    /// Changes nothing.
    ///
    /// # Errors
    /// `UNAVAILABLE` without the database.
    pub async fn abandon(self) -> Result<()> {
        self.room.abandon().await.map(drop)
    }

    /// Commits, and tells the room.
    ///
    /// # Errors
    /// `UNAVAILABLE` without the database; whether it was committed is not known then.
    pub async fn finish(self, app: &App, seq: i64, event: &'static str, told: &impl Serialize) -> Result<()> {
        let (room, message) = (self.room_id(), self.message.id);
        let turn = self.room.commit().await?;
        app.realtime.tell_room(room, Some(seq), event, told);
        drop(turn);
        tracing::info!(room.id = %room, seq, message.id = %message, user.id = %self.caller, event, "a message was changed, and that was told");
        Ok(())
    }
}

/// What a client wants to have said instead, checked for form.
#[derive(Debug)]
pub struct Edit {
    id: Uuid,
    content: String,
    /// `None`: as they are.
    mentions: Option<Vec<String>>,
    expected_rev: Option<i64>,
    warnings: Vec<String>,
}

impl Edit {
    /// Reads `{messageId, content, mentions?, expectedRev?}`.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with every fault.
    pub fn read(mut fields: Fields, most_content: u32) -> Result<Self> {
        let mut edit = Self {
            id: fields.required_uuid("messageId"),
            content: fields.required_text("content", Length::new(1, most_content as usize)),
            mentions: fields.is_given("mentions").then(|| fields.texts("mentions", MENTIONS, Length::new(1, 128))),
            expected_rev: fields.seq("expectedRev"),
            warnings: Vec::new(),
        };
        edit.warnings = fields.finish()?;
        Ok(edit)
    }
}

/// What an edit came to.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Edited {
    /// The message.
    pub id: MessageId,
    /// Whether it said something else before.
    pub changed: bool,
    /// The number of the edit; `null` when nothing was changed.
    pub seq: Option<i64>,
    /// The number of the message's last change.
    pub rev: i64,
    /// When it was last edited.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    pub edited_at: Option<DateTime<Utc>>,
    /// How often it was edited.
    pub edit_count: i32,
}

/// `chat:message:edited`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageEdited {
    /// Which message.
    message_id: MessageId,
    /// Where.
    room_id: RoomId,
    /// The number of the edit, and so the message's `rev`.
    seq: i64,
    /// The number that the message was born with.
    message_seq: i64,
    /// What it says now.
    content: String,
    /// The ids of the members that it mentions now.
    #[schemars(with = "Vec<UserId>")]
    mentions: Value,
    /// When it was edited.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    edited_at: DateTime<Utc>,
    /// How often it was edited.
    edit_count: i32,
}

/// Says something else in place of what the caller said; says also what the caller should know of it. To say the same again is
/// no change, whatever revision was expected: an edit whose answer was lost can be repeated.
///
/// # Errors
/// Those of [`MessageChange::begin_aloud`]; `FORBIDDEN` for everybody but the author, `CONFLICT` when the message is not of the
/// expected revision, `EDIT_WINDOW_CLOSED`.
pub async fn edit(app: &App, caller: &AuthUser, edit: Edit) -> Result<(Edited, Vec<String>)> {
    let Edit { id, content, mentions, expected_rev, mut warnings } = edit;
    let mut change = MessageChange::begin_aloud(app, caller, id).await?;
    let (id, room) = (change.message.id, change.room_id());
    if change.message.author_id != *caller.id() {
        return Err(Error::Forbidden("only its author may edit a message"));
    }
    let mentions = match mentions {
        Some(mentions) => mentioned_members(&mut *change.room.tx, room, mentions, &mut warnings).await?,
        None => change.message.mentions.clone(),
    };
    let Current { rev, edited_at, edit_count, .. } = change.message;
    if change.message.content == content && change.message.mentions == mentions {
        change.abandon().await?;
        return Ok((Edited { id, changed: false, seq: None, rev, edited_at, edit_count }, warnings));
    }
    if expected_rev.is_some_and(|expected| expected != rev) {
        return Err(Error::Conflict("The message has changed meanwhile."));
    }
    let window = app.settings.chat.edit_window;
    let age = change.message.now - change.message.created_at;
    if !window.is_zero() && age > TimeDelta::from_std(window).unwrap_or(TimeDelta::MAX) {
        return Err(Error::EditWindowClosed);
    }

    let seq = change.take_seq().await?;
    store::keep_what_was_said(&mut change.room.tx, id, caller.id()).await?;
    let (edited_at, edit_count) = store::edit(&mut change.room.tx, id, seq, &content, mentions.as_ref()).await?;
    let told = MessageEdited {
        message_id: id,
        room_id: room,
        seq,
        message_seq: change.message.seq,
        content,
        mentions: mentions.unwrap_or_else(|| json!([])),
        edited_at,
        edit_count,
    };
    change.finish(app, seq, "chat:message:edited", &told).await?;
    Ok((Edited { id, changed: true, seq: Some(seq), rev: seq, edited_at: Some(edited_at), edit_count }, warnings))
}

/// What a message said before one of its edits.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EarlierText")]
pub struct Earlier {
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
    /// By whom.
    pub replaced_by: UserId,
}

/// A page of what a message said before, oldest first, for a member of its room.
///
/// # Errors
/// `MESSAGE_NOT_FOUND`, also for messages of rooms that the asker is not in.
pub async fn edits(app: &App, asker: &UserId, id: Uuid, after: i32, limit: i64) -> Result<Vec<Earlier>> {
    super::history::must_see(app, asker, id).await?;
    store::edits(&app.db, MessageId(id), after, limit).await
}
