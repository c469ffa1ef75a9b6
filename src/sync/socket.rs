//! Sync over Socket.IO: translation only.

use super::{ITEMS, ROOMS, Synced, sync};
use crate::{
    error::Result,
    limits::Class,
    payload::Fields,
    socket::{Answer, Event, Incoming, Outcome},
    specs::schemas::shape,
};
use futures_util::{FutureExt, future::BoxFuture};
use schemars::JsonSchema;
use serde_json::Value;
use std::collections::BTreeMap;

/// `chat:sync`.
pub const SYNC: Event = Event {
    name: "chat:sync",
    class: Class::Any,
    about: "Asks what happened in rooms since the numbers that one knows, however long ago.",
    payload: shape::<Sync>,
    answer: shape::<Synced>,
    refusals: &[],
    open: false,
    overtakes: false,
    handler: on_sync,
};

/// What `chat:sync` brings.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct Sync {
    /// The number of the last event that one applied, by the room's id or slug.
    #[schemars(extend("minProperties" = 1, "maxProperties" = ROOMS))]
    pub rooms: BTreeMap<String, u64>,
    /// Most changes of a room.
    #[schemars(range(min = 1, max = ITEMS))]
    pub limit: Option<i64>,
}

/// `chat:sync`.
fn on_sync(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
    async move {
        let mut fields = incoming.fields()?;
        let known = known(&mut fields);
        let limit = fields.seq("limit").unwrap_or(ITEMS);
        if !(1..=ITEMS).contains(&limit) {
            fields.fault("limit", "range", format!("1 to {ITEMS} is allowed."));
        }
        let warnings = fields.finish()?;
        let Incoming { app, connection, .. } = incoming;
        let synced = sync(&app, &*connection.user()?, known, limit).await?;
        Ok(Answer::of(&synced)?.warn(warnings).into())
    }
    .boxed()
}

/// `rooms: {roomId: lastSeq, …}`.
pub(crate) fn known(fields: &mut Fields) -> Vec<(String, i64)> {
    let rooms = match fields.take("rooms") {
        Some(Value::Object(rooms)) => rooms,
        Some(_) => {
            fields.fault("rooms", "type", "An object is expected: the last number of each room.");
            return Vec::new();
        }
        None => {
            fields.fault("rooms", "required", "This field is required.");
            return Vec::new();
        }
    };
    if rooms.is_empty() || rooms.len() > ROOMS {
        fields.fault("rooms", "count", format!("1 to {ROOMS} rooms are allowed."));
        return Vec::new();
    }
    let number = |seq: &Value| seq.as_i64().filter(|seq| *seq >= 0);
    let known: Vec<_> = rooms.into_iter().map(|(room, seq)| (room, number(&seq))).collect();
    if known.iter().any(|(_, seq)| seq.is_none()) {
        fields.fault("rooms", "invalid", "Whole numbers from 0 are expected.");
    }
    known.into_iter().filter_map(|(room, seq)| Some((room, seq?))).collect()
}
