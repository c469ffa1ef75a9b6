//! Sweeps that administrators order at a running server, which does them beside its work, one at a time.
//!
//! An order is the process's own: who stops or is killed amid a sweep does not go on with it. Nothing is lost by that: what was
//! deleted stays deleted, and whoever orders it again goes on there.

use super::{Sweep, find_room, older_than};
use crate::{
    app::App,
    auth::Administrator,
    config::age,
    error::{Error, Result},
    payload::{Fields, Length},
    realtime::lock,
    rooms::RoomId,
    time::Time,
    users::UserId,
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use std::{sync::Mutex, time::Duration};
use tokio::time::timeout;

/// How long messages are counted while somebody waits for it.
const COUNTING: Duration = Duration::from_secs(1);
/// Most rooms that are named with their messages.
const NAMED: usize = 100;

/// Which messages shall go, checked for form.
#[derive(Debug)]
pub struct Order {
    older_than: Duration,
    room: Option<String>,
    dry: bool,
}

impl Order {
    /// Reads `{olderThan, roomId?, dryRun?}`.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with every fault.
    pub fn read(mut fields: Fields) -> Result<Self> {
        let text = fields.required_text("olderThan", Length::new(1, 32));
        let older_than = age(&text).unwrap_or_default();
        if older_than.is_zero() && !text.is_empty() {
            fields.fault("olderThan", "invalid", "An hour or more is expected, such as 90d or 12h.");
        }
        let order = Self { older_than, room: fields.text("roomId", Length::new(1, 64)), dry: fields.flag("dryRun").unwrap_or_default() };
        fields.finish()?;
        Ok(order)
    }
}

/// How a sweep stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "RetentionState")]
pub enum State {
    /// It is under way.
    Running,
    /// It has seen all rooms.
    Finished,
    /// It has not: a count took too long, the server stops, or the database was away. It may be ordered again.
    Interrupted,
}

/// A sweep that an administrator ordered.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RetentionRun")]
pub struct Run {
    /// Who ordered it.
    by: UserId,
    /// Messages stored before this go.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    before: DateTime<Utc>,
    /// Only in this room.
    room_id: Option<RoomId>,
    /// Whether they are only counted.
    #[serde(rename = "dryRun")]
    pub(super) dry: bool,
    /// How it stands.
    state: State,
    /// How many messages were too old so far.
    messages: usize,
    /// In how many rooms.
    rooms: usize,
    /// The first 100 of these, by id.
    #[schemars(length(max = NAMED))]
    by_room: Vec<Swept>,
    /// When it began.
    #[serde(with = "crate::time")]
    #[schemars(with = "Time")]
    started_at: DateTime<Utc>,
    /// When it ended.
    #[serde(with = "crate::time::option")]
    #[schemars(with = "Option<Time>")]
    ended_at: Option<DateTime<Utc>>,
    /// The room that is being swept.
    #[serde(skip)]
    at: Option<RoomId>,
}

/// What was too old in a room.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SweptRoom")]
pub struct Swept {
    /// Which room.
    room_id: RoomId,
    /// How many messages.
    messages: usize,
}

impl Run {
    fn new(by: &UserId, before: DateTime<Utc>, room_id: Option<RoomId>, dry: bool) -> Self {
        let (state, started_at) = (State::Running, Utc::now());
        Self { by: by.clone(), before, room_id, dry, state, messages: 0, rooms: 0, by_room: Vec::new(), started_at, ended_at: None, at: None }
    }

    fn sweep<'a>(&self, app: &'a App) -> Sweep<'a> {
        Sweep { db: &app.db, live: Some(app), before: self.before, room: self.room_id, dry: self.dry }
    }

    fn note(&mut self, room_id: RoomId, messages: usize) {
        if self.at.replace(room_id) != Some(room_id) {
            self.rooms += 1;
            if self.rooms <= NAMED {
                self.by_room.push(Swept { room_id, messages: 0 });
            }
        }
        self.messages += messages;
        if let Some(last) = self.by_room.last_mut().filter(|last| last.room_id == room_id) {
            last.messages += messages;
        }
    }

    fn end(&mut self, state: State) {
        (self.state, self.ended_at) = (state, Some(Utc::now()));
    }

    /// Counts for as long as somebody waits for it.
    async fn count(mut self, app: &App) -> Result<Self> {
        let sweep = self.sweep(app);
        let counted = timeout(COUNTING.min(app.patience()), sweep.run(|room, messages| self.note(room, messages))).await;
        self.end(if counted.is_ok() { State::Finished } else { State::Interrupted });
        counted.unwrap_or(Ok(())).map(|()| self)
    }
}

/// The last sweep that was ordered at this server.
#[derive(Default)]
pub struct OrderedSweep(Mutex<Option<Run>>);

impl OrderedSweep {
    /// How it stands, if there was one.
    pub fn latest(&self) -> Option<Run> {
        lock(&self.0).clone()
    }

    fn begin(&self, run: &Run) -> Result<()> {
        let mut latest = lock(&self.0);
        if latest.as_ref().is_some_and(|latest| latest.state == State::Running) {
            return Err(Error::Conflict("A sweep is under way: order another one when it has ended."));
        }
        *latest = Some(run.clone());
        Ok(())
    }

    fn note(&self, room: RoomId, messages: usize) {
        if let Some(run) = lock(&self.0).as_mut() {
            run.note(room, messages);
        }
    }

    /// It ends, if it is under way: of its own, or because the server stops, and waits for it no longer.
    pub fn end(&self, ended: Result<()>) {
        let mut latest = lock(&self.0);
        let Some(run) = latest.as_mut().filter(|run| run.state == State::Running) else { return };
        run.end(if ended.is_ok() { State::Finished } else { State::Interrupted });
        let Run { by, messages, rooms, .. } = run;
        match ended {
            Ok(()) => tracing::info!(%by, messages, rooms, "a sweep that was ordered is finished"),
            Err(error) => tracing::warn!(%by, messages, rooms, %error, "a sweep that was ordered was interrupted"),
        }
    }
}

/// Counts what is too old, as far as a moment allows, or begins to delete it and lets it go on.
///
/// # Errors
/// `ROOM_NOT_FOUND`; `CONFLICT` while another sweep is under way that was ordered.
pub async fn order(app: &App, by: &Administrator, order: Order) -> Result<Run> {
    let room = match &order.room {
        Some(name) => Some(find_room(&app.db, name).await?),
        None => None,
    };
    let run = Run::new(by.id(), older_than(&app.db, order.older_than).await?, room, order.dry);
    if !run.dry {
        app.ordered_sweep.begin(&run)?;
    }
    tracing::info!(by = %run.by, before = %run.before, room.id = room.map(display), dry = run.dry, "an administrator ordered a sweep");
    if run.dry {
        return run.count(app).await;
    }
    tokio::spawn(carry_out(app.clone(), run.clone()));
    Ok(run)
}

/// Does it in a task of its own, so that however it ends, that is noted.
async fn carry_out(app: App, run: Run) {
    let sweeping = app.clone();
    let swept = tokio::spawn(async move { run.sweep(&sweeping).run(|room, messages| sweeping.ordered_sweep.note(room, messages)).await });
    app.ordered_sweep.end(swept.await.unwrap_or_else(|lost| Err(lost.into())));
}
