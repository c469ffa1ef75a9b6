//! Privacy: what a user may have done with all that is kept of them: [take it along](export), and [have it erased](leave).
//! Administrators may [see](show) and [erase](dismiss) for others; the log says who did.
//!
//! An erasure has two parts. The order, one transaction, leaves a stub of the account: without a name, a password or sessions, kept
//! out for good, so that a token of its subject does not make it anew. The rest is done by a running server, room by room, so that
//! it is told to whom it concerns and may be interrupted anywhere: memberships end, ownership passes on, markers go, and, if that
//! was asked for, what the user said goes with their reactions. Whoever orders it on the command line needs no server; the next
//! one that runs sees to it.

pub mod export;
pub mod http;
mod store;

use crate::{
    app::App,
    auth::{self, Administrator, AuthUser, Which},
    database,
    error::{Error, Result},
    lobby::membership,
    messages::{
        changes::deletion::{AT_ONCE, DeletedBy, delete_many},
        reactions,
    },
    payload::{Fields, Length},
    pool::Pool,
    rooms::RoomId,
    users::UserId,
};
use export::{Export, Position};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;
use store::Erasure;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// What others see of somebody whose account was erased.
const NOBODY: &str = "Deleted user";
/// How long another server may still serve somebody: as long as it believes a session, and one look for ended ones. The rest of an
/// erasure begins after it, so that nothing is left by what was done meanwhile, such as a room that was joined and left again.
const SETTLED: Duration = Duration::from_secs(3);
/// Numbers of a room that are looked through at a time.
const STRETCH: i64 = 10_000;

/// What becomes of what a user said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, sqlx::Type, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
#[schemars(rename = "ErasedMessages")]
pub enum Messages {
    /// It stays, under no name: a conversation belongs to all who were in it.
    Keep,
    /// It goes, with the reactions to what others said.
    Delete,
}

/// A wish that a user be erased, checked for form.
#[derive(Debug)]
pub struct Farewell {
    confirm: String,
    messages: Messages,
}

impl Farewell {
    /// Reads `{confirm, messages?}`.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with every fault.
    pub fn read(mut fields: Fields) -> Result<Self> {
        let farewell = Self {
            confirm: fields.required_text("confirm", Length::new(1, 1_000)),
            messages: fields.word("messages", &[("keep", Messages::Keep), ("delete", Messages::Delete)]).unwrap_or(Messages::Keep),
        };
        fields.finish()?;
        Ok(farewell)
    }
}

/// Erases the caller's account, who confirms it with the password of an own account, or else with their id. It is gone at once;
/// what it left in rooms goes soon after.
///
/// # Errors
/// `INVALID_CREDENTIALS` for another password; `VALIDATION_ERROR` for another id.
pub async fn leave(app: &App, caller: &AuthUser, farewell: Farewell) -> Result<Messages> {
    match store::password_hash(&app.db, caller.id()).await? {
        Some(hash) => {
            app.limits.delay_log_in(caller.user.username.as_deref().unwrap_or_default()).await;
            if !app.passwords.verify(farewell.confirm, Some(hash)).await? {
                return Err(Error::InvalidCredentials);
            }
        }
        None if farewell.confirm != caller.id().as_str() => {
            return Err(Error::field("confirm", "invalid", "Your own id is expected, to confirm that the account shall be erased."));
        }
        None => {}
    }
    order(&app.db, caller.id(), farewell.messages, Some(caller.id())).await?;
    auth::end_sessions(app, caller.id(), Which::All);
    Ok(farewell.messages)
}

/// Erases somebody else's account for an administrator, who confirms it with that user's id. Their own they [leave] as everybody
/// does: so it takes a password where there is one, and no slip leaves a system without whoever looks after it.
///
/// # Errors
/// `FORBIDDEN` for their own; `VALIDATION_ERROR` for another id; `USER_NOT_FOUND`.
pub async fn dismiss(app: &App, by: &Administrator, user: &UserId, farewell: Farewell) -> Result<Messages> {
    if user == by.id() {
        return Err(Error::Forbidden("your own account is erased by DELETE /users/me"));
    }
    if farewell.confirm != user.as_str() {
        return Err(Error::field("confirm", "invalid", "The user's id is expected, to confirm that this account shall be erased."));
    }
    order(&app.db, user, farewell.messages, Some(by.id())).await?;
    auth::end_sessions(app, user, Which::All);
    Ok(farewell.messages)
}

/// A page of what is kept of a user, for an administrator, and where the next one begins. The log notes each: a cursor may be made up.
///
/// # Errors
/// `USER_NOT_FOUND`.
pub async fn show(app: &App, by: &Administrator, user: &UserId, at: Position) -> Result<(Export, Option<Position>)> {
    let page = export::page(&app.db, user, at).await?;
    tracing::info!(by = %by.id(), user.id = %user, %at, "an administrator was shown what is kept of a user");
    Ok(page)
}

/// Orders that a user be erased, and leaves a stub of the account. To order it again changes nothing, but for messages that are to be
/// deleted now and were kept then. The log says by whom it was ordered; nobody is whoever has the database.
///
/// # Errors
/// `USER_NOT_FOUND`.
pub async fn order(db: &Pool, user: &UserId, messages: Messages, by: Option<&UserId>) -> Result<()> {
    let mut tx = database::begin(db, "BEGIN").await?;
    store::is_erased(&mut *tx, user).await?.ok_or_else(|| Error::UserNotFound(vec![user.as_str().to_owned()]))?;
    store::make_stub(&mut tx, user, NOBODY).await?;
    store::remove_sessions(&mut tx, user).await?;
    store::forget_last_seen(&mut tx, user).await?;
    store::forget_turns(&mut tx, user).await?;
    store::order(&mut tx, user, messages).await?;
    tx.commit().await?;
    tracing::info!(by = by.map(display), user.id = %user, ?messages, "an account was erased");
    Ok(())
}

/// Whether nothing is left to be done for a user who was erased.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn is_finished(db: &Pool, user: &UserId) -> Result<bool> {
    store::is_finished(db, user).await
}

/// Does what is left to be done for users who were erased. What fails is tried again the next time.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn carry_out(app: &App) -> Result<()> {
    const AT_A_TIME: i64 = 100;
    for erasure in store::unfinished(&app.db, SETTLED.as_secs_f64(), AT_A_TIME).await? {
        if let Err(error) = erase(app, &erasure).await {
            tracing::warn!(user.id = %erasure.user, %error, "an erasure was interrupted, and goes on later");
        }
    }
    Ok(())
}

async fn erase(app: &App, erasure: &Erasure) -> Result<()> {
    let (db, user) = (&app.db, &erasure.user);
    let mut after = erasure.done;
    while let Some(room) = store::next_room(db, user, after).await? {
        app.in_time(membership::end_for_good(app, user, room)).await?;
        store::forget_markers(db, room, user).await?;
        if erasure.messages == Messages::Delete {
            delete_traces(app, user, room).await?;
        }
        store::note_done(db, user, room).await?;
        after = room.0;
    }
    if store::finish(db, user).await? {
        let mut connection = db.lend().await?;
        // Who did not know yet may have written it once more.
        app.in_time(store::forget_last_seen(&mut connection, user)).await?;
        tracing::info!(user.id = %user, "an erasure is finished");
        return Ok(());
    }
    store::begin_again(db, user).await
}

/// Deletes what a user said in a room, reasons for deletions included, and takes back their reactions there. It rests as long as it
/// works.
async fn delete_traces(app: &App, user: &UserId, room: RoomId) -> Result<()> {
    let (mut after, last) = (0, store::last_message(&app.db, room).await?);
    while after < last {
        let begun = Instant::now();
        let traces = store::traces(&app.db, room, user, after, after + STRETCH).await?;
        after += STRETCH;
        for trace in traces.iter().filter(|trace| !trace.is_own) {
            for emoji in &trace.emojis {
                app.in_time(reactions::withdraw(app, room, user, (trace.id, trace.seq), emoji)).await?;
            }
        }
        let own: Vec<Uuid> = traces.iter().filter(|trace| trace.is_own).map(|trace| trace.id.0).collect();
        for ids in own.chunks(AT_ONCE) {
            app.in_time(delete_many(app, room, ids, DeletedBy::Author)).await?;
        }
        sleep(begun.elapsed()).await;
    }
    Ok(())
}
