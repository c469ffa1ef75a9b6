//! Keys that their issuer publishes, and changes: fetched at the start and whenever they are old, and looked for again when
//! a token names one that is not there.
//!
//! While nobody answers there, those that were fetched go on being used. Whoever brings a token by a key that is not known
//! waits for a look that begins after that; all who wait share it, and there is at most one every [two seconds](LOOK_EVERY), so
//! that made-up names make no storm of requests.

use super::{PublicKey, fetch::Endpoint, jwk};
use crate::error::{Error, Result};
use jsonwebtoken::Algorithm;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

/// How often is looked at the most.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How soon is looked again without being asked when nobody answered.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// The keys at a URL.
pub struct Remote {
    known: watch::Receiver<Known>,
    wanted: Arc<Notify>,
}

/// What is known of them.
#[derive(Default)]
struct Known {
    keys: Vec<Arc<PublicKey>>,
    /// How many looks have begun.
    begun: u64,
    /// How many have ended.
    ended: u64,
    /// Whether the last one failed.
    fails: bool,
}

impl Known {
    fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Vec<Arc<PublicKey>> {
        self.keys.iter().filter(|key| key.fits(algorithm, id)).cloned().collect()
    }
}

impl Remote {
    /// Begins to fetch them, and to keep them fresh for as long as the process runs.
    pub fn start(endpoint: Endpoint, max_age: Duration) -> Self {
        let (sender, known) = watch::channel(Known::default());
        let wanted = Arc::new(Notify::new());
        tokio::spawn(keep_fresh(endpoint, max_age, sender, wanted.clone()));
        Self { known, wanted }
    }

    /// The keys that a token of this algorithm may be signed with, if it names this one, or none.
    ///
    /// # Errors
    /// `AUTH_TOKEN_INVALID` if there is no such key, `UNAVAILABLE` if that could not be found out.
    pub async fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Result<Vec<Arc<PublicKey>>> {
        let (found, begun) = {
            let known = self.known.borrow();
            (known.find(algorithm, id), known.begun)
        };
        if !found.is_empty() {
            return Ok(found);
        }
        self.wanted.notify_one();
        let mut known = self.known.clone();
        let looked = known.wait_for(|known| known.ended > begun || !known.find(algorithm, id).is_empty()).await.map_err(|_| Error::Unavailable)?;
        let found = looked.find(algorithm, id);
        match (found.is_empty(), looked.fails) {
            (false, _) => Ok(found),
            (true, false) => Err(Error::TokenInvalid("its key is not known")),
            (true, true) => Err(Error::Unavailable),
        }
    }
}

/// Looks whenever the keys are old or somebody wants another one.
async fn keep_fresh(endpoint: Endpoint, max_age: Duration, known: watch::Sender<Known>, wanted: Arc<Notify>) {
    loop {
        known.send_modify(|known| known.begun += 1);
        let begun = Instant::now();
        let fetched = endpoint.fetch().await.and_then(|set| Ok(jwk::public_keys(&set)?));
        let fails = fetched.is_err();
        match &fetched {
            Ok(keys) => tracing::debug!(keys = keys.len(), "the issuer's keys were fetched"),
            // Once is enough: it may be tried often.
            Err(_) if known.borrow().fails => {}
            Err(error) => tracing::warn!(%error, "the issuer's keys could not be fetched; those that are known go on being used"),
        }
        known.send_modify(|known| {
            known.ended = known.begun;
            known.fails = fails;
            if let Ok(keys) = fetched {
                known.keys = keys.into_iter().map(Arc::new).collect();
            }
        });
        let old = Instant::now() + if fails { max_age.min(TRY_AGAIN) } else { max_age };
        tokio::select! {
            () = wanted.notified() => {}
            () = sleep_until(old) => {}
        }
        sleep_until(begun + LOOK_EVERY).await;
    }
}
