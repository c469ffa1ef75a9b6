//! Sync over Socket.IO: translation only.

use super::{ITEMS, ROOMS, sync};
use crate::{
    error::Result,
    payload::Fields,
    socket::{Answer, Incoming, Outcome},
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::Value;

/// `chat:sync`.
pub fn on_sync(mut incoming: Incoming) -> BoxFuture<'static, Result<Outcome>> {
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
fn known(fields: &mut Fields) -> Vec<(String, i64)> {
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
