//! Reactions: what members think of a message, in an emoji.
//!
//! Everybody reacts once with each emoji. The counts are in the message's row, so that whoever reads the message reads them
//! too; who reacted is in a table of its own.

pub mod http;
pub mod socket;
pub mod store;

use super::{
    Message, MessageId,
    changes::{MessageChange, store::Current},
    history::must_see,
};
use crate::{
    app::App,
    auth::AuthUser,
    error::{Error, Result},
    names::deceives,
    payload::{Fields, Length},
    plain::RESERVED,
    rooms::{RoomId, store as rooms},
    time::Time,
    users::{User, UserId},
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgExecutor;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// Most different emoji among the reactions to a message.
pub const REACTIONS: usize = 20;

/// An emoji, or a `:shortcode:` of the frontend's own: 1 to 64 bytes of text without spaces and control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Emoji(String);

/// What an emoji is, in words.
const RULE: &str = "An emoji or a :shortcode: of 1 to 64 bytes is expected, without spaces and control characters.";

impl Emoji {
    /// Accepts an emoji.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=64).contains(&text.len()) && !text.chars().any(|c| c.is_whitespace() || deceives(c)) && text != RESERVED;
        fits.then(|| Self(text.to_owned()))
    }

    /// Accepts an emoji, or says what is wrong with it.
    ///
    /// # Errors
    /// `VALIDATION_ERROR`.
    pub fn check(text: &str) -> Result<Self> {
        Self::parse(text).ok_or_else(|| Error::field("emoji", "invalid", RULE))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads `{messageId, emoji}`; says also what the caller should know though it worked.
///
/// # Errors
/// `VALIDATION_ERROR` with every fault.
pub fn read(mut fields: Fields) -> Result<(Uuid, Emoji, Vec<String>)> {
    let (id, text) = (fields.required_uuid("messageId"), fields.required_text("emoji", Length::new(1, 64)));
    let emoji = Emoji::parse(&text);
    if emoji.is_none() && !text.is_empty() {
        fields.fault("emoji", "invalid", RULE);
    }
    let warnings = fields.finish()?;
    Ok((id, emoji.ok_or_else(|| Error::internal("an emoji without text"))?, warnings))
}

/// What a reaction came to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Reacted {
    /// Whether it was not there before, or was there before it was removed.
    pub changed: bool,
    /// How often each emoji is among the reactions now.
    #[schemars(with = "BTreeMap<String, u32>")]
    pub counts: Value,
    /// The number of the change; `null` when there was none.
    pub seq: Option<i64>,
}

/// `chat:reaction:added` and `chat:reaction:removed`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReactionMoved<'a> {
    /// Which message.
    message_id: MessageId,
    /// Where.
    room_id: RoomId,
    /// The number of the change.
    seq: i64,
    /// The number that the message was born with.
    message_seq: i64,
    /// The emoji.
    emoji: &'a str,
    /// Whose reaction.
    user_id: &'a UserId,
    /// How often each emoji is among the reactions now.
    #[schemars(with = "BTreeMap<String, u32>")]
    counts: &'a Value,
}

/// Reacts to a message. A second time is no change.
///
/// # Errors
/// Those of [`MessageChange::begin_aloud`]; `VALIDATION_ERROR` for one emoji too many.
pub async fn add(app: &App, caller: &AuthUser, id: Uuid, emoji: &Emoji) -> Result<Reacted> {
    let mut change = MessageChange::begin_aloud(app, caller, id).await?;
    let Current { id, ref reactions, .. } = change.message;
    let counts = reactions.as_ref().and_then(Value::as_object);
    if counts.is_some_and(|counts| counts.len() >= REACTIONS && !counts.contains_key(emoji.as_str())) {
        return Err(Error::field("emoji", "range", format!("At most {REACTIONS} different emoji are allowed at a message.")));
    }
    if store::exists(&mut *change.room.tx, id, caller.id(), emoji).await? {
        return unchanged(change).await;
    }
    let (room, seq) = (change.room_id(), change.take_seq().await?);
    store::add(&mut change.room.tx, id, caller.id(), emoji, room, seq).await?;
    let counts = store::count(&mut change.room.tx, id, emoji, 1, seq).await?;
    tell(app, change, caller, emoji, ("chat:reaction:added", seq, counts)).await
}

/// Takes a reaction back. One that is not there is no change.
///
/// # Errors
/// Those of [`MessageChange::begin_aloud`].
pub async fn remove(app: &App, caller: &AuthUser, id: Uuid, emoji: &Emoji) -> Result<Reacted> {
    let mut change = MessageChange::begin_aloud(app, caller, id).await?;
    let id = change.message.id;
    if !store::exists(&mut *change.room.tx, id, caller.id(), emoji).await? {
        return unchanged(change).await;
    }
    let seq = change.take_seq().await?;
    store::remove(&mut change.room.tx, id, caller.id(), emoji).await?;
    let counts = store::count(&mut change.room.tx, id, emoji, -1, seq).await?;
    tell(app, change, caller, emoji, ("chat:reaction:removed", seq, counts)).await
}

/// Takes the reaction of somebody back whose account was erased, and who is no member any more. One that is not there is no change.
///
/// # Errors
/// `UNAVAILABLE` without the database, or if the room's turn does not come in time.
pub async fn withdraw(app: &App, room: RoomId, user: &UserId, (id, message_seq): (MessageId, i64), emoji: &str) -> Result<()> {
    let Some(emoji) = Emoji::parse(emoji) else { return Ok(()) };
    let turn = app.turns.take(room, app.patience()).await?;
    let mut tx = app.begin().await?;
    rooms::lock(&mut tx, room).await?;
    if !store::exists(&mut *tx, id, user, &emoji).await? {
        return Ok(tx.rollback().await?);
    }
    let seq = rooms::count(&mut tx, room, 1, 0).await?.last_seq;
    store::remove(&mut tx, id, user, &emoji).await?;
    let counts = store::count(&mut tx, id, &emoji, -1, seq).await?;
    tx.commit().await?;
    let told = ReactionMoved { message_id: id, room_id: room, seq, message_seq, emoji: emoji.as_str(), user_id: user, counts: &counts };
    app.realtime.tell_room(room, Some(seq), "chat:reaction:removed", &told);
    drop(turn);
    Ok(())
}

async fn unchanged(mut change: MessageChange) -> Result<Reacted> {
    let counts = change.message.reactions.take().unwrap_or_else(|| json!({}));
    change.abandon().await?;
    Ok(Reacted { changed: false, counts, seq: None })
}

async fn tell(
    app: &App,
    change: MessageChange,
    caller: &AuthUser,
    emoji: &Emoji,
    (event, seq, counts): (&'static str, i64, Value),
) -> Result<Reacted> {
    let told = ReactionMoved {
        message_id: change.message.id,
        room_id: change.room_id(),
        seq,
        message_seq: change.message.seq,
        emoji: emoji.as_str(),
        user_id: caller.id(),
        counts: &counts,
    };
    change.finish(app, seq, event, &told).await?;
    Ok(Reacted { changed: true, counts, seq: Some(seq) })
}

/// A reaction in the list of them.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reaction {
    /// The emoji.
    pub emoji: String,
    /// Who.
    pub user: User,
    /// When.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    pub created_at: DateTime<Utc>,
}

/// A page of the reactions to a message, or of those with one emoji, by emoji and user id, for a member of its room. It begins
/// after those of an emoji and a user.
///
/// # Errors
/// `MESSAGE_NOT_FOUND`, also for messages of rooms that the asker is not in.
pub async fn list(app: &App, asker: &UserId, id: Uuid, emoji: Option<&Emoji>, after: (&str, &str), limit: i64) -> Result<Vec<Reaction>> {
    must_see(app, asker, id).await?;
    store::list(&app.db, MessageId(id), emoji, after, limit).await
}

/// Adds to messages which reactions are the asker's. It costs nothing when nobody reacted.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn with_own(db: impl PgExecutor<'_>, asker: &UserId, mut messages: Vec<Message>) -> Result<Vec<Message>> {
    let has_some = |message: &&Message| message.reactions.as_object().is_some_and(|counts| !counts.is_empty());
    let ids: Vec<Uuid> = messages.iter().filter(has_some).map(|message| message.id.0).collect();
    if ids.is_empty() {
        return Ok(messages);
    }
    let mut own: HashMap<MessageId, Vec<String>> = HashMap::new();
    for (id, emoji) in store::own(db, asker, &ids).await? {
        own.entry(id).or_default().push(emoji);
    }
    for message in &mut messages {
        message.own_reactions = own.remove(&message.id).unwrap_or_default();
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emoji_is_a_short_text_without_spaces_and_controls() {
        for good in ["👍", "👩‍👩‍👧‍👦", "❤️", "🇩🇪", ":party_parrot:", "+1", &"x".repeat(64)] {
            assert!(Emoji::parse(good).is_some(), "{good:?}");
        }
        for bad in ["", " ", "a b", "\t", "a\n", "\u{a0}", "a\0b", "\u{7f}", "\u{85}", "\u{202e}x", &"x".repeat(65), &"👍".repeat(17)] {
            assert!(Emoji::parse(bad).is_none(), "{bad:?}");
        }
    }
}
