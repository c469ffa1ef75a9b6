//! Waiting for something to happen, never for time to pass.

use std::{
    future::Future,
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
    let begun = Instant::now();
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
