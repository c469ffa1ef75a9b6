//! When users were last seen: written at their edges, at most once a minute between them, and when the server stops.

use super::{Online, Presence, store};
use crate::{app::App, error::Result, users::UserId};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;

/// How often the time of somebody's last action is written.
const WRITE_EVERY: TimeDelta = TimeDelta::seconds(60);

impl Presence {
    /// Whose last action should be written, and when it was.
    fn due(&self) -> Vec<(UserId, DateTime<Utc>)> {
        let online = self.lock();
        let due = online.iter().filter(|(_, online)| online.seen_at - online.written_at > WRITE_EVERY);
        due.map(|(user, online)| (user.clone(), online.seen_at)).collect()
    }

    /// These were written.
    fn note_written(&self, written: &[(UserId, DateTime<Utc>)]) {
        let mut online = self.lock();
        for (user, at) in written {
            if let Some(online) = online.get_mut(user) {
                online.written_at = online.written_at.max(*at);
            }
        }
    }
}

/// Writes when those were last seen who did something more than a minute ago since it was last written.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn write_due(app: &App) -> Result<()> {
    let due = app.presence.due();
    if due.is_empty() {
        return Ok(());
    }
    store::write(&app.db, due.iter().map(|(user, at)| (user, *at))).await?;
    app.presence.note_written(&due);
    Ok(())
}

/// Writes when everybody was last seen who is here, or was until a moment ago: a server's last words.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn write_all(app: &App) -> Result<()> {
    let now = Utc::now();
    let seen = |(user, online): (&UserId, &Online)| {
        let at = if online.ours > 0 { now } else { online.seen_at };
        (at > online.written_at).then(|| (user.clone(), at))
    };
    let seen: Vec<(UserId, DateTime<Utc>)> = app.presence.lock().iter().filter_map(seen).collect();
    let writes = seen.chunks(1_000).map(|seen| store::write(&app.db, seen.iter().map(|(user, at)| (user, *at))));
    join_all(writes).await.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::Whose;

    #[test]
    fn the_time_of_the_last_action_is_written_at_most_once_a_minute() {
        let (presence, _edges) = Presence::new();
        let alice = UserId::parse("alice").unwrap();
        presence.come(&alice, Whose::Ours);
        presence.touch(&alice);
        assert!(presence.due().is_empty(), "the edge has written it");

        presence.lock().get_mut(&alice).unwrap().written_at -= WRITE_EVERY;
        presence.touch(&alice);
        let due = presence.due();
        assert_eq!(due, presence.due(), "it may fail to be written");
        assert_eq!(due.len(), 1);
        presence.note_written(&due);
        presence.touch(&alice);
        assert!(presence.due().is_empty());
    }
}
