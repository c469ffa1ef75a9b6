//! Retention over REST: translation only.

use super::{Order, Run, order};
use crate::{
    app::App,
    auth::Administrator,
    error::{Error, Result},
    extract::Body,
    limits::Class,
    routes::{Operation, Routes},
};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

/// What administrators may have done with what has become too old.
pub fn routes() -> Routes {
    Routes::of("retention")
        .get("/retention", Class::Any, read, {
            let about = "How the sweep stands that was last ordered at this server, for administrators.";
            Operation::new("getRetention", about).gives::<Latest>().refuses(&[Error::Forbidden("")])
        })
        .post("/retention", Class::Edit, on_order, {
            let about = "Deletes messages that are older than so long, for administrators: in the background, one sweep at a time. \
                         It ends with the server, and may be ordered again. A dry run counts them, for about a second.";
            let sweep = Operation::new("orderRetention", about).body::<NewSweep>();
            let sweep = sweep.answers::<Run>(StatusCode::ACCEPTED, "It has begun.").answers::<Run>(StatusCode::OK, "They are counted.");
            sweep.refuses(&[Error::Forbidden(""), Error::Conflict(""), Error::RoomNotFound])
        })
}

/// Which messages shall go.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", example = json!({ "olderThan": "365d", "dryRun": true }))]
pub struct NewSweep {
    /// How old messages may be, such as `365d` or `12h`: an hour or more.
    #[schemars(length(min = 1, max = 32))]
    pub older_than: String,
    /// Only in this room: its id or slug.
    #[schemars(length(min = 1, max = 64))]
    pub room_id: Option<String>,
    /// Whether they are only counted; `false` without it.
    pub dry_run: Option<bool>,
}

/// The last sweep.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Retention")]
pub struct Latest {
    /// `null` if none was ordered since the server started.
    run: Option<Run>,
}

async fn read(State(app): State<App>, _: Administrator) -> Json<Latest> {
    Json(Latest { run: app.ordered_sweep.latest() })
}

async fn on_order(State(app): State<App>, by: Administrator, Body(fields): Body) -> Result<(StatusCode, Json<Run>)> {
    let run = order(&app, &by, Order::read(fields)?).await?;
    Ok((if run.dry { StatusCode::OK } else { StatusCode::ACCEPTED }, Json(run)))
}
