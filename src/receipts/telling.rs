//! What the other members are told of somebody's markers: soon, at most once a second for each member and room, and always the
//! last state.
//!
//! A burst of marks is told by its first, at once, and by its last, when the second is over. One task tells, and what moved in
//! the same moment leaves together.

use super::MarkersMoved;
use crate::{app::App, realtime::wire::Outbox, rooms::RoomId, users::UserId};
use chrono::{DateTime, Utc};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// How long a member's markers in a room rest after they were told (the contract's 1/s).
const REST: Duration = Duration::from_secs(1);

/// For how long what moves gathers after others were told.
const MOMENT: Duration = Duration::from_millis(100);

/// Of how many members and rooms it is known that they were told a second ago. What moves beyond is told without rest: nothing
/// is lost, and what is kept stays under 20 MB.
const KEPT: usize = 65_536;

/// What moved, and has not been told to everybody.
pub struct Tellings {
    markers: Mutex<HashMap<(RoomId, UserId), Entry>>,
    most: usize,
    changed: Notify,
}

/// A member's markers in a room, until they have been told and have rested.
struct Entry {
    due: Instant,
    news: Option<News>,
}

/// Where a member's markers are, as others may know it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct News {
    /// Read up to here.
    pub read_seq: i64,
    /// Delivered up to here.
    pub delivered_seq: i64,
    /// Since when.
    pub at: DateTime<Utc>,
}

impl Default for Tellings {
    fn default() -> Self {
        Self { markers: Mutex::default(), most: KEPT, changed: Notify::new() }
    }
}

impl Tellings {
    /// Notes what is to be told. Says no when too much is kept already.
    fn note(&self, room: RoomId, user: &UserId, news: News) -> bool {
        let mut markers = self.lock();
        let is_full = markers.len() >= self.most;
        let key = (room, user.clone());
        if is_full && !markers.contains_key(&key) {
            return false;
        }
        markers.entry(key).or_insert_with(|| Entry { due: Instant::now(), news: None }).news = Some(news);
        self.changed.notify_one();
        true
    }

    /// Takes what is to be told now, and forgets what was told and has rested.
    fn take_due(&self, now: Instant) -> Vec<(RoomId, UserId, News)> {
        let mut due = Vec::new();
        self.lock().retain(|(room, user), entry| {
            if entry.due > now {
                return true;
            }
            let news = entry.news.take();
            if let Some(news) = news {
                due.push((*room, user.clone(), news));
                entry.due = now + REST;
            }
            news.is_some()
        });
        due
    }

    fn forget(&self, room: RoomId, user: &UserId) {
        self.lock().remove(&(room, user.clone()));
    }

    async fn until_any(&self) {
        while self.lock().is_empty() {
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(RoomId, UserId), Entry>> {
        self.markers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the other members of a room know where somebody's markers are.
pub fn note(app: &App, room: RoomId, user: &UserId, news: News) {
    if !app.receipts.tellings.note(room, user, news) {
        let mut outbox = Outbox::default();
        tell(app, room, user, news, &mut outbox);
        outbox.flush_now();
    }
}

/// Somebody who leaves a room is told of there no more.
pub fn forget(app: &App, room: RoomId, user: &UserId) {
    app.receipts.tellings.forget(room, user);
}

/// Tells what moved, for as long as the server runs.
pub async fn tell_moved(app: App) {
    loop {
        app.receipts.tellings.until_any().await;
        let begun = Instant::now();
        let mut outbox = Outbox::default();
        for (room, user, news) in app.receipts.tellings.take_due(begun) {
            tell(&app, room, &user, news, &mut outbox);
        }
        outbox.flush().done().await;
        sleep_until(begun + MOMENT).await;
    }
}

fn tell(app: &App, room_id: RoomId, user_id: &UserId, News { read_seq, delivered_seq, at }: News, outbox: &mut Outbox) {
    let told = MarkersMoved { room_id, user_id, read_seq, delivered_seq, unread: None, at };
    app.realtime.tell_others(&[room_id], user_id, "chat:read", &told, false, outbox);
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const ROOM: RoomId = RoomId(Uuid::nil());

    fn news(read_seq: i64) -> News {
        News { read_seq, delivered_seq: read_seq, at: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn a_burst_is_told_by_its_first_and_its_last_and_then_forgotten() {
        let (tellings, ann) = (Tellings::default(), UserId::parse("ann").unwrap());
        tellings.note(ROOM, &ann, news(1));
        let begun = Instant::now();
        assert_eq!(tellings.take_due(begun), [(ROOM, ann.clone(), news(1))]);

        for seq in 2..=100 {
            tellings.note(ROOM, &ann, news(seq));
            assert_eq!(tellings.take_due(begun + REST / 2), []);
        }

        assert_eq!(tellings.take_due(begun + REST), [(ROOM, ann.clone(), news(100))]);
        assert_eq!(tellings.take_due(begun + REST), []);
        assert_eq!(tellings.lock().len(), 1, "it rests");
        assert_eq!(tellings.take_due(begun + 2 * REST), []);
        assert!(tellings.lock().is_empty(), "nothing stays");
    }

    #[test]
    fn what_is_kept_has_a_limit_and_who_leaves_is_forgotten() {
        let tellings = Tellings { most: 2, ..Tellings::default() };
        let [ann, bob, cid] = ["ann", "bob", "cid"].map(|id| UserId::parse(id).unwrap());
        assert!(tellings.note(ROOM, &ann, news(1)) && tellings.note(ROOM, &bob, news(1)));

        assert!(!tellings.note(ROOM, &cid, news(1)), "there is no room");
        assert!(tellings.note(ROOM, &ann, news(2)), "who is there already needs none");
        tellings.forget(ROOM, &ann);
        assert!(tellings.note(ROOM, &cid, news(1)));

        let told: Vec<UserId> = tellings.take_due(Instant::now()).into_iter().map(|(_, user, _)| user).collect();
        assert!(told.len() == 2 && !told.contains(&ann), "{told:?}");
    }
}
