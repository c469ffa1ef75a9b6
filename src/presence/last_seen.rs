//! When users were last seen: written at their edges, at most once a minute between them, and when the server stops. Whoever has no
//! socket here and acts over REST is seen, too, though not here.

use super::{Online, Presence, store};
use crate::{app::App, error::Result, realtime::lock, users::UserId};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;

/// How often the time of somebody's last action is written.
const WRITE_EVERY: TimeDelta = TimeDelta::seconds(60);

/// Somebody who acted over REST, and has no socket that makes them online.
pub(super) struct Passing {
    seen_at: DateTime<Utc>,
    written_at: Option<DateTime<Utc>>,
}

impl Presence {
    /// A user did something over REST.
    pub fn note_action(&self, user: &UserId) {
        let now = Utc::now();
        if let Some(online) = self.lock().get_mut(user) {
            online.seen_at = now;
            return;
        }
        lock(&self.passing).entry(user.clone()).or_insert(Passing { seen_at: now, written_at: None }).seen_at = now;
    }

    /// Whose last action should be written, and when it was.
    fn due(&self) -> Vec<(UserId, DateTime<Utc>)> {
        let online = self.lock();
        let due = online.iter().filter(|(_, online)| online.seen_at - online.written_at > WRITE_EVERY);
        due.map(|(user, online)| (user.clone(), online.seen_at)).collect()
    }

    /// The same of those who acted over REST: all that is still to be written, or what is due.
    fn passing(&self, all: bool) -> Vec<(UserId, DateTime<Utc>)> {
        let after = if all { TimeDelta::zero() } else { WRITE_EVERY };
        let passing = lock(&self.passing);
        let due = passing.iter().filter(|(_, passing)| passing.written_at.is_none_or(|written_at| passing.seen_at - written_at > after));
        due.map(|(user, passing)| (user.clone(), passing.seen_at)).collect()
    }

    /// These were written; who has done nothing more for a minute since is forgotten.
    fn note_passing(&self, written: &[(UserId, DateTime<Utc>)]) {
        let mut passing = lock(&self.passing);
        for (user, at) in written {
            if let Some(passing) = passing.get_mut(user) {
                passing.written_at = Some(*at);
            }
        }
        let end = Utc::now() - WRITE_EVERY;
        passing.retain(|_, passing| passing.written_at.is_none_or(|written_at| written_at > end || passing.seen_at > written_at));
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
    if !due.is_empty() {
        store::write(&app.db, due.iter().map(|(user, at)| (user, *at))).await?;
        app.presence.note_written(&due);
    }
    let passing = app.presence.passing(false);
    store::write_visible(&app.db, &passing).await?;
    app.presence.note_passing(&passing);
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
    store::write_visible(&app.db, &app.presence.passing(true)).await?;
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

    #[test]
    fn what_is_done_over_rest_is_written_at_once_then_once_a_minute_and_forgotten() {
        let (presence, _edges) = Presence::new();
        let alice = UserId::parse("alice").unwrap();
        let age = || {
            let mut passing = lock(&presence.passing);
            let alice = passing.get_mut(&alice).unwrap();
            alice.written_at = alice.written_at.map(|at| at - WRITE_EVERY);
        };
        presence.note_action(&alice);
        let due = presence.passing(false);
        assert_eq!((due.len(), &due), (1, &presence.passing(false)), "it may fail to be written");
        presence.note_passing(&due);
        presence.note_action(&alice);
        assert!(presence.passing(false).is_empty());
        assert_eq!(presence.passing(true).len(), 1, "a server that stops writes it");

        age();
        let due = presence.passing(false);
        assert_eq!(due.len(), 1);
        presence.note_passing(&due);
        lock(&presence.passing).get_mut(&alice).unwrap().seen_at -= WRITE_EVERY;
        age();
        presence.note_passing(&[]);
        assert!(lock(&presence.passing).is_empty());

        presence.come(&alice, Whose::Ours);
        presence.note_action(&alice);
        assert!(lock(&presence.passing).is_empty(), "who is here is seen here");
    }
}
