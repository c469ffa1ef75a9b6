//! Deletion: a stub stays where a message stood, and all that it held is gone from the database.
//!
//! One message is deleted by its author or a moderator; many at once by [`delete_many`], under one number of their room and told
//! by one event.

use super::{MessageChange, store};
use crate::{
    app::App,
    auth::AuthUser,
    database,
    error::Result,
    messages::{MessageId, reactions, threads},
    payload::{Fields, Length},
    pool::Pool,
    rooms::{RoomId, permissions::Action, store as rooms},
};
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::PgConnection;
use std::collections::HashMap;
use uuid::Uuid;

/// Most characters of the reason for a deletion.
const REASON: Length = Length::new(0, 500);

/// Most messages that are deleted under one number. With as many roots of their threads, which change under the same number,
/// they fit into one answer of a sync.
pub const AT_ONCE: usize = 500;

/// Whose right it was to delete a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum DeletedBy {
    /// The author's, also when the author's account is erased.
    Author,
    /// A moderator's, or that of somebody above.
    Moderator,
    /// The operator's, who keeps messages only for so long.
    Retention,
}

/// What a client wants to take back, checked for form.
#[derive(Debug)]
pub struct Deletion {
    id: Uuid,
    reason: Option<String>,
    /// What the caller should know though it worked.
    pub warnings: Vec<String>,
}

impl Deletion {
    /// Reads `{messageId, reason?}`.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with every fault.
    pub fn read(mut fields: Fields) -> Result<Self> {
        let (id, reason) = (fields.required_uuid("messageId"), fields.text("reason", REASON));
        let warnings = fields.finish()?;
        Ok(Self { id, reason: reason.filter(|reason| !reason.trim().is_empty()), warnings })
    }
}

/// What a deletion came to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Deleted {
    /// The message.
    pub id: MessageId,
    /// Whether it was still there.
    pub changed: bool,
    /// The number of the deletion; `null` when it had been deleted before.
    pub seq: Option<i64>,
}

/// `chat:message:deleted`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessagesDeleted {
    /// Where.
    room_id: RoomId,
    /// The number of the deletion, and so the messages' `rev`.
    seq: i64,
    /// Which messages.
    message_ids: Vec<MessageId>,
    /// The numbers that they were born with, in the same order.
    message_seqs: Vec<i64>,
    /// Whose right it was.
    deleted_by: DeletedBy,
    /// Why, in their words.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl MessagesDeleted {
    /// How many.
    pub fn count(&self) -> usize {
        self.message_ids.len()
    }
}

/// A message that is about to be deleted.
pub struct Doomed {
    /// The id.
    pub id: MessageId,
    /// Its number.
    pub seq: i64,
    /// The first message of its thread.
    pub thread_root_id: Option<MessageId>,
}

/// Deletes a message: a stub stays, and its text, its earlier texts and its reactions are gone from the database. Who is muted
/// may take back what they said.
///
/// # Errors
/// Those of [`MessageChange::begin`]; `FORBIDDEN` for everybody but the author and those who keep order.
pub async fn delete(app: &App, caller: &AuthUser, deletion: Deletion) -> Result<Deleted> {
    let mut change = MessageChange::begin(app, caller, deletion.id).await?;
    let doomed = Doomed { id: change.message.id, seq: change.message.seq, thread_root_id: change.message.thread_root_id };
    let id = doomed.id;
    let deleted_by = if change.message.author_id == *caller.id() {
        DeletedBy::Author
    } else {
        change.room.seat.require(Action::DeleteAny)?;
        DeletedBy::Moderator
    };
    if change.message.deleted_at.is_some() {
        change.abandon().await?;
        return Ok(Deleted { id, changed: false, seq: None });
    }
    let (room, seq) = (change.room_id(), change.take_seq().await?);
    let told = take_back(&mut change.room.tx, room, seq, &[doomed], deleted_by, deletion.reason).await?;
    change.finish(app, seq, "chat:message:deleted", &told).await?;
    Ok(Deleted { id, changed: true, seq: Some(seq) })
}

/// Deletes those of at most [`AT_ONCE`] messages of a room that are still there, as one act, and tells it. Of those that their author
/// deleted, the reason goes, if there is one.
///
/// # Errors
/// `UNAVAILABLE` without the database, or if the room's turn does not come in time.
pub async fn delete_many(app: &App, room: RoomId, ids: &[Uuid], deleted_by: DeletedBy) -> Result<usize> {
    let turn = app.turns.take(room, app.patience()).await?;
    let Some(told) = delete_untold(&app.db, room, ids, deleted_by).await? else { return Ok(0) };
    app.realtime.tell_room(room, Some(told.seq), "chat:message:deleted", &told);
    drop(turn);
    tracing::info!(room.id = %room, seq = told.seq, messages = told.count(), ?deleted_by, "messages were deleted, and that was told");
    Ok(told.count())
}

/// The same without telling anybody, for who is no server: clients learn of it by their next sync.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn delete_untold(db: &Pool, room: RoomId, ids: &[Uuid], deleted_by: DeletedBy) -> Result<Option<MessagesDeleted>> {
    let mut tx = database::begin(db, "BEGIN").await?;
    rooms::lock(&mut tx, room).await?;
    let doomed = store::doomed(&mut tx, room, ids).await?;
    if doomed.is_empty() {
        tx.rollback().await?;
        return Ok(None);
    }
    let seq = rooms::count(&mut tx, room, 1, 0).await?.last_seq;
    let told = take_back(&mut tx, room, seq, &doomed, deleted_by, None).await?;
    tx.commit().await?;
    Ok(Some(told))
}

/// Deletes messages under a number of their room, for whoever holds its row.
async fn take_back(
    tx: &mut PgConnection,
    room: RoomId,
    seq: i64,
    doomed: &[Doomed],
    deleted_by: DeletedBy,
    reason: Option<String>,
) -> Result<MessagesDeleted> {
    let ids: Vec<Uuid> = doomed.iter().map(|message| message.id.0).collect();
    store::delete(tx, &ids, seq, deleted_by, reason.as_deref()).await?;
    store::forget_what_was_said(tx, &ids).await?;
    reactions::store::forget(tx, &ids).await?;
    let mut replies: HashMap<Uuid, i32> = HashMap::new();
    for root in doomed.iter().filter_map(|message| message.thread_root_id) {
        *replies.entry(root.0).or_default() += 1;
    }
    if !replies.is_empty() {
        let (roots, replies): (Vec<Uuid>, Vec<i32>) = replies.into_iter().unzip();
        threads::store::uncount_replies(tx, &roots, &replies, seq).await?;
    }
    Ok(MessagesDeleted {
        room_id: room,
        seq,
        message_ids: doomed.iter().map(|message| message.id).collect(),
        message_seqs: doomed.iter().map(|message| message.seq).collect(),
        deleted_by,
        reason,
    })
}
