//! Draining: how far a server is with stopping, and what is still under way.
//!
//! A server that stops takes no new work, finishes what it has begun, and then closes its sockets one by one, so that
//! their clients do not all come back at the same moment. Whatever may change something is [begun](Draining::begin) here
//! first, and holds its [`Work`] until it is answered; whoever drains waits until all of it is given back.

use crate::error::{Error, Result};
use clap::Args;
use std::{
    collections::{HashSet, hash_map::RandomState},
    hash::{BuildHasher, Hash},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep_until, timeout},
};

/// More than is ever under way at once.
const MOST_WORK: u32 = 1 << 28;

/// How a server stops.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Stopping")]
pub struct DrainSettings {
    /// How long a server that stops still serves while /readyz says 503, so that load balancers take notice
    #[arg(long, env = "CHAT_DRAIN_DELAY", default_value = "0s", value_parser = crate::config::duration)]
    pub drain_delay: Duration,
    /// Over which time it closes its sockets, at random moments; with fewer than 1,000 sockets it takes less
    #[arg(long, env = "CHAT_DRAIN_SPREAD", default_value = "5s", value_parser = crate::config::duration)]
    pub drain_spread: Duration,
    /// After which time it ends whatever is still under way, the delay not counted
    #[arg(long, env = "CHAT_DRAIN_TIMEOUT", default_value = "15s", value_parser = crate::config::duration)]
    pub drain_timeout: Duration,
}

/// How far a server is with stopping. It never goes back.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Stage {
    Serving,
    /// Load balancers are to take notice; everything is still served.
    Leaving,
    /// Nothing new is begun.
    Draining,
    /// Sockets are closed from this moment on, over this time.
    Closing(Instant, Duration),
    /// Nothing more is listened to.
    Over,
}

/// How far this server is with stopping, and what is under way.
pub struct Draining {
    stage: watch::Sender<Stage>,
    places: Arc<Semaphore>,
    hasher: RandomState,
    /// Sessions that poll and were told of their end.
    ended: Mutex<HashSet<String>>,
}

/// Something that was begun, as long as it is not answered.
pub struct Work {
    _place: OwnedSemaphorePermit,
}

impl Work {
    /// Does it in a task of its own, and gives the work back with the outcome, to be held until that is told.
    ///
    /// Whoever hangs up, or whose time is over, ends the waiting and not the work, for what was committed must also be told; until it
    /// has had twice that time: then its database is silent.
    ///
    /// # Errors
    /// `UNAVAILABLE` after that time, `INTERNAL_ERROR` if it panics.
    pub async fn carry_out<T: Send + 'static>(self, limit: Duration, doing: impl Future<Output = T> + Send + 'static) -> Result<(T, Self)> {
        let task = tokio::spawn(async move { timeout(2 * limit, doing).await.map(|outcome| (outcome, self)) });
        timeout(limit, task).await.map_err(|_| Error::Unavailable)??.map_err(|_| Error::Unavailable)
    }
}

impl Default for Draining {
    fn default() -> Self {
        let (stage, _) = watch::channel(Stage::Serving);
        Self { stage, places: Arc::new(Semaphore::new(MOST_WORK as usize)), hasher: RandomState::new(), ended: Mutex::default() }
    }
}

impl Draining {
    /// Begins something that may change something.
    ///
    /// # Errors
    /// `SERVER_DRAINING`.
    pub fn begin(&self) -> Result<Work> {
        // Whoever drains asks for all places at once, and from then on there is none for anybody else.
        let place = self.places.clone().try_acquire_owned().map_err(|_| Error::Draining)?;
        Ok(Work { _place: place })
    }

    /// Refuses who would stay, once nothing new is begun.
    ///
    /// # Errors
    /// `SERVER_DRAINING`.
    pub fn admit(&self) -> Result<()> {
        if *self.stage.borrow() >= Stage::Draining { Err(Error::Draining) } else { Ok(()) }
    }

    /// Whether load balancers should send nobody here any more.
    pub fn is_leaving(&self) -> bool {
        *self.stage.borrow() >= Stage::Leaving
    }

    /// Says so from now on.
    pub fn leave(&self) {
        self.stage.send_replace(Stage::Leaving);
    }

    /// Begins nothing more, and waits until what was begun is answered. Says whether it is, for that may take too long.
    pub async fn finish(&self, limit: Duration) -> bool {
        self.stage.send_replace(Stage::Draining);
        if let Ok(Ok(all)) = timeout(limit, self.places.acquire_many(MOST_WORK)).await {
            all.forget();
            return true;
        }
        // Nobody asks for places any more: what is left must not be begun either.
        self.places.close();
        false
    }

    /// Lets sockets end from now on, each at a moment of its own within this time.
    pub fn close(&self, window: Duration) {
        self.stage.send_replace(Stage::Closing(Instant::now(), window));
    }

    /// When within this time something of this name ends: at random, and always the same.
    pub fn moment(&self, name: &impl Hash, window: Duration) -> Duration {
        let share = (window.as_nanos() * u128::from(self.hasher.hash_one(name))) >> u64::BITS;
        Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX))
    }

    /// Whether sockets are being closed, or were.
    pub fn sends_away(&self) -> bool {
        *self.stage.borrow() > Stage::Draining
    }

    /// Waits for the moment at which a session that polls ends, and notes that it has.
    pub async fn ends(&self, session: &str) {
        let mut stages = self.stage.subscribe();
        let stage = stages.wait_for(|stage| *stage > Stage::Draining).await.map(|stage| *stage);
        if let Ok(Stage::Closing(since, window)) = stage {
            sleep_until(since + self.moment(&session, window)).await;
        }
        self.ended().insert(session.to_owned());
    }

    /// Whether a session that polls was told of its end.
    pub fn has_ended(&self, session: &str) -> bool {
        self.ended().contains(session)
    }

    fn ended(&self) -> MutexGuard<'_, HashSet<String>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends listening.
    pub fn end(&self) {
        self.stage.send_replace(Stage::Over);
    }

    /// Waits until nothing more is listened to.
    pub async fn is_over(&self) {
        // An error would mean that this is gone, and we hold it.
        let _ = self.stage.subscribe().wait_for(|stage| *stage == Stage::Over).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn what_was_begun_is_waited_for_and_nothing_else_begins() {
        let draining = Draining::default();
        let work = draining.begin().unwrap();
        assert!(draining.admit().is_ok());

        let waiting = async {
            assert!(draining.finish(Duration::from_secs(10)).await, "it was given back");
        };
        let working = async {
            draining.stage.subscribe().wait_for(|stage| *stage == Stage::Draining).await.unwrap();
            assert!(draining.begin().is_err() && draining.admit().is_err());
            drop(work);
        };
        tokio::join!(waiting, working);

        assert!(draining.begin().is_err());
    }

    #[tokio::test]
    async fn what_takes_too_long_is_not_waited_for() {
        let draining = Draining::default();
        let work = draining.begin().unwrap();

        assert!(!draining.finish(MOMENT).await);

        drop(work);
        assert!(draining.begin().is_err());
    }

    #[tokio::test]
    async fn what_panics_is_answered_and_holds_nobody_up() {
        let draining = Draining::default();

        let ended = draining.begin().unwrap().carry_out(Duration::from_secs(10), async { panic!("on purpose") }).await;

        assert!(matches!(ended.map(|((), _)| ()), Err(Error::Internal(_))));
        assert!(draining.begin().is_ok() && draining.finish(Duration::from_secs(10)).await, "its place was given back");
    }

    #[tokio::test]
    async fn moments_are_spread_over_the_time_and_each_is_kept() {
        let draining = Draining::default();
        let moments: Vec<Duration> = (0..1_000).map(|name| draining.moment(&name, MOMENT)).collect();
        assert!(moments.iter().all(|moment| *moment < MOMENT));
        let early = moments.iter().filter(|moment| **moment < MOMENT / 2).count();
        assert!((350..650).contains(&early), "{early}");
        assert_eq!(draining.moment(&7, MOMENT), moments[7]);

        draining.close(MOMENT);
        let begun = Instant::now();
        assert!(!draining.has_ended("polling"));
        draining.ends("polling").await;
        assert!(begun.elapsed() + Duration::from_millis(2) >= draining.moment(&"polling", MOMENT));
        assert!(draining.has_ended("polling"));
        draining.end();
        draining.is_over().await;
    }
}
