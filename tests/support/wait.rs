//! Waiting for something to happen, never for time to pass.

use std::{
    future::Future,
    sync::{
        Once,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a test waits for what must happen at once; generous, because two busy cores may run the whole suite, and it costs
/// nothing when all is well. Less than the 25 s for which a token that has ended is good by default.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A busy machine may add this much to what the server itself needs.
pub const SLACK: Duration = Duration::from_secs(3);

/// The future's result, or a panic that names what did not come.
pub async fn within<F: Future>(limit: Duration, what: &str, future: F) -> F::Output {
    let output = tokio::time::timeout(limit, future).await;
    output.unwrap_or_else(|_| panic!("waited {limit:?} in vain for {what}"))
}

/// Asks again and again until the answer is yes.
pub async fn eventually(what: &str, check: impl AsyncFn() -> bool) {
    eventually_within(LIMIT, what, check).await;
}

/// Like [`eventually`], for what has a time limit of its own.
pub async fn eventually_within(limit: Duration, what: &str, check: impl AsyncFn() -> bool) {
    let begun = Stopwatch::start();
    while !check().await {
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fails unless it takes no longer than is promised. A busy machine may hold up one attempt, or two, so it is made up to three
/// times: a server that is too slow is so each time.
pub async fn takes_less_than(limit: Duration, what: &str, attempt: impl AsyncFn() -> Duration) {
    let mut took = Vec::new();
    while took.iter().all(|took| *took >= limit) {
        assert!(took.len() < 3, "{what} took {took:?} instead of {limit:?}");
        took.push(attempt().await);
    }
}

/// Measures what a server takes. It stands still while the whole machine does, which tells nothing of the server.
pub struct Stopwatch(Duration);

impl Stopwatch {
    pub fn start() -> Self {
        Self(lived())
    }

    pub fn elapsed(&self) -> Duration {
        lived().saturating_sub(self.0)
    }
}

/// For how long this process was not held up: the sum of many moments, none of which counts for much more than it should last.
fn lived() -> Duration {
    const MOMENT: Duration = Duration::from_millis(10);
    static BEGUN: Once = Once::new();
    static MICROS: AtomicU64 = AtomicU64::new(0);
    BEGUN.call_once(|| {
        thread::spawn(|| {
            loop {
                let begun = Instant::now();
                thread::sleep(MOMENT);
                let moment = begun.elapsed().min(10 * MOMENT);
                MICROS.fetch_add(u64::try_from(moment.as_micros()).unwrap(), Ordering::Relaxed);
            }
        });
    });
    Duration::from_micros(MICROS.load(Ordering::Relaxed))
}
