//! What numbers are kept in: each is changed by one or two atomic additions, and looks nothing up.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// A number that only grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// So many more.
    pub fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many are at something just now.
#[derive(Default)]
pub struct Gauge(AtomicU64);

/// One who is at it, until this is dropped.
pub struct Held<'a>(&'a AtomicU64);

impl Gauge {
    /// Nobody.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more.
    pub fn hold(&self) -> Held<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Held(&self.0)
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Upper bounds of the buckets: microseconds from half a millisecond on, or things.
const SECONDS: [u64; BOUNDS] = [500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000];
const THINGS: [u64; BOUNDS] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];
const BOUNDS: usize = 13;

/// How many values there were, of what size.
pub struct Histogram {
    bounds: &'static [u64; BOUNDS],
    /// How many of what is counted are one in the base unit.
    scale: u32,
    /// The last one is that of everything larger.
    buckets: [AtomicU64; BOUNDS + 1],
    sum: AtomicU64,
}

impl Histogram {
    /// Of times.
    pub const fn seconds() -> Self {
        Self::new(&SECONDS, 1_000_000)
    }

    /// Of numbers of things.
    pub const fn things() -> Self {
        Self::new(&THINGS, 1)
    }

    const fn new(bounds: &'static [u64; BOUNDS], scale: u32) -> Self {
        Self { bounds, scale, buckets: [const { AtomicU64::new(0) }; BOUNDS + 1], sum: AtomicU64::new(0) }
    }

    /// One more: so many things, or so many microseconds.
    pub fn observe(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[place].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// One more, that began then.
    pub fn observe_since(&self, begun: Instant) {
        self.observe(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }

    /// For each bucket its upper bound, in the base unit, and how many were at most that; the last has no bound, and all.
    pub(super) fn cumulated(&self) -> Vec<(Option<f64>, u64)> {
        let mut total = 0;
        let bounds = self.bounds.iter().map(|bound| Some(self.in_base_unit(*bound))).chain([None]);
        let counts = self.buckets.iter().map(|bucket| {
            total += bucket.load(Ordering::Relaxed);
            total
        });
        bounds.zip(counts).collect()
    }

    /// All values together, in the base unit.
    pub(super) fn sum(&self) -> f64 {
        self.in_base_unit(self.sum.load(Ordering::Relaxed))
    }

    #[expect(clippy::cast_precision_loss, reason = "what is shown need not be exact beyond fifteen digits")]
    fn in_base_unit(&self, value: u64) -> f64 {
        value as f64 / f64::from(self.scale)
    }
}

/// Numbers by names that stand in this program: the type keeps out whatever a client made up. It takes a lock, so it is asked once for
/// all who are told something.
#[derive(Default)]
pub struct ByName(Mutex<Vec<(&'static str, u64)>>);

impl ByName {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// So many more under this name.
    pub fn add(&self, name: &'static str, more: usize) {
        let mut numbers = self.lock();
        match numbers.iter_mut().find(|(known, _)| *known == name) {
            Some((_, number)) => *number += more as u64,
            None => numbers.push((name, more as u64)),
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<(&'static str, u64)> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(&'static str, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_bucket_that_holds_it_and_in_all_after_it() {
        let sizes = Histogram::things();
        for value in [0, 1, 2, 3, 10_001] {
            sizes.observe(value);
        }
        let buckets = sizes.cumulated();
        assert_eq!(buckets[..3], [(Some(1.0), 2), (Some(2.0), 3), (Some(5.0), 4)]);
        assert_eq!(buckets[BOUNDS - 1..], [(Some(10_000.0), 4), (None, 5)]);
        assert!((sizes.sum() - 10_007.0).abs() < 0.5);
    }

    #[test]
    fn times_are_shown_in_seconds() {
        let times = Histogram::seconds();
        times.observe(1_500);
        assert_eq!(times.cumulated()[1..3], [(Some(0.001), 0), (Some(0.002), 1)]);
        assert!((times.sum() - 0.0015).abs() < 1e-9);
    }

    #[test]
    fn who_is_at_something_is_counted_while_they_are() {
        let gauge = Gauge::new();
        let held = gauge.hold();
        assert_eq!(gauge.get(), 1);
        drop(held);
        assert_eq!(gauge.get(), 0);
    }
}
