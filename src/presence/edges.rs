//! Edges: somebody came, or went. Everybody who shares a room with them is told, and who asked for it.
//!
//! One task tells them one after the other, so that nobody sees them the wrong way round; when many come and go at the same
//! time those of a moment leave together. In rooms that are too large for that nobody is told; they are noted, for their
//! members to be told from time to time how many are here. While the database is away edges wait, and what is undone
//! meanwhile is never told.

use super::{Status, store, word};
use crate::{
    app::App,
    error::{Error, Result},
    metrics,
    realtime::{lock, wire::Outbox},
    rooms::{self, RoomId},
    users::UserId,
};
use chrono::{DateTime, Utc};
use std::{collections::HashMap, time::Duration};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep, sleep_until},
};

/// Most edges that are told together.
const TOGETHER: usize = 2_048;

/// For how long edges gather after others were told.
const MOMENT: Duration = Duration::from_millis(250);

/// How long the database has to come back before edges are tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Somebody came or went.
pub struct Edge {
    /// Who.
    pub user: UserId,
    /// Which of the two.
    pub online: bool,
    /// When.
    pub at: DateTime<Utc>,
    /// Whether it is for this process to write when they were last seen.
    pub is_ours: bool,
}

/// Writes and tells edges, in their order, for as long as the server runs. Those from before that are no news: nobody was
/// here to hear them.
pub async fn tell(app: App, mut edges: UnboundedReceiver<Edge>) {
    while edges.try_recv().is_ok() {}
    let mut waiting = Vec::new();
    loop {
        if waiting.is_empty() && edges.recv_many(&mut waiting, TOGETHER).await == 0 {
            return;
        }
        let begun = Instant::now();
        let count = waiting.len().min(TOGETHER);
        match tell_together(&app, &waiting[..count]).await {
            Err(Error::Unavailable) => {
                sleep(AGAIN).await;
                waiting.extend(std::iter::from_fn(|| edges.try_recv().ok()));
                waiting = without_undone(waiting);
                continue;
            }
            Err(error) => tracing::warn!(edges = count, %error, "presence edges could not be told"),
            Ok(()) => {}
        }
        waiting.drain(..count);
        sleep_until(begun + MOMENT).await;
    }
}

/// What is left of edges that nobody has heard: the last of each user, if it is not the opposite of what all know.
fn without_undone(edges: Vec<Edge>) -> Vec<Edge> {
    let mut left: HashMap<UserId, (usize, Edge)> = HashMap::new();
    for (place, edge) in edges.into_iter().enumerate() {
        if left.remove(&edge.user).is_none() {
            left.insert(edge.user.clone(), (place, edge));
        }
    }
    let mut left: Vec<(usize, Edge)> = left.into_values().collect();
    left.sort_unstable_by_key(|(place, _)| *place);
    left.into_iter().map(|(_, edge)| edge).collect()
}

async fn tell_together(app: &App, edges: &[Edge]) -> Result<()> {
    let rooms = app.in_time(prepare(app, edges)).await?;
    let mut outbox = Outbox::default();
    for (edge, rooms) in edges.iter().zip(&rooms) {
        let status = Status::new(edge.user.clone(), edge.online, Some(edge.at), edge.at);
        let event = if edge.online { "status:online" } else { "status:offline" };
        metrics::PRESENCE_EDGES.get_or_create(&[("status", word(edge.online))]).inc();
        tracing::debug!(user.id = %edge.user, event, rooms = rooms.len(), "a presence edge is told");
        let watchers = app.presence.subscriptions.of(&edge.user);
        app.realtime.tell_watchers(rooms, &watchers, &edge.user, event, &status, &mut outbox);
    }
    outbox.flush().done().await;
    Ok(())
}

/// Writes when the users were last seen, and finds the rooms in which each edge is told.
async fn prepare(app: &App, edges: &[Edge]) -> Result<Vec<Vec<RoomId>>> {
    let mut seen: HashMap<&UserId, DateTime<Utc>> = HashMap::new();
    for edge in edges.iter().filter(|edge| edge.is_ours) {
        let at = seen.entry(&edge.user).or_insert(edge.at);
        *at = edge.at.max(*at);
    }
    if !seen.is_empty() {
        store::write(&app.db, seen.iter().map(|(user, at)| (*user, *at))).await?;
    }
    let users: Vec<&UserId> = edges.iter().map(|edge| &edge.user).collect();
    let mut rooms = vec![Vec::new(); edges.len()];
    for (place, room, is_large) in rooms::members::store::rooms_by_size(&app.db, &users, app.settings.chat.quiet_room_size).await? {
        if is_large {
            lock(&app.presence.crowds).insert(room);
        } else {
            rooms[place].push(room);
        }
    }
    Ok(rooms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(user: &str, online: bool) -> Edge {
        Edge { user: UserId::parse(user).unwrap(), online, at: DateTime::UNIX_EPOCH, is_ours: true }
    }

    #[test]
    fn what_was_undone_before_anybody_heard_of_it_is_left_out() {
        let edges = vec![edge("a", true), edge("b", false), edge("a", false), edge("c", true), edge("b", true), edge("b", false)];

        let left: Vec<(String, bool)> = without_undone(edges).into_iter().map(|edge| (edge.user.to_string(), edge.online)).collect();

        assert_eq!(left, [("c".to_owned(), true), ("b".to_owned(), false)]);
    }
}
