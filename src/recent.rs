//! What was found in the database a moment ago, and is asked for again and again.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Answers that are believed for a while. What is changed by this process is [forgotten](Self::forget) at once; what others
/// change is seen when its time is over.
pub struct Recent<K, V> {
    known: Mutex<HashMap<K, (V, Instant)>>,
    life: Duration,
    most: usize,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// Nothing yet; each entry is believed for so long, and so many are kept at the most.
    pub fn new(life: Duration, most: usize) -> Self {
        Self { known: Mutex::default(), life, most }
    }

    /// What was found.
    pub fn get(&self, key: &K) -> Option<V> {
        self.lock().get(key).filter(|(_, since)| since.elapsed() < self.life).map(|(value, _)| value.clone())
    }

    /// Keeps what was found.
    pub fn put(&self, key: K, value: V) {
        let mut known = self.lock();
        if known.len() >= self.most {
            known.retain(|_, (_, since)| since.elapsed() < self.life);
        }
        if known.len() >= self.most {
            known.clear();
        }
        known.insert(key, (value, Instant::now()));
    }

    /// Forgets those of which this is true.
    pub fn forget(&self, which: impl Fn(&V) -> bool) {
        self.lock().retain(|_, (value, _)| !which(value));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (V, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_believed_until_it_is_forgotten_or_old() {
        let recent = Recent::new(Duration::from_mins(1), 3);
        recent.put("a", 1);
        recent.put("b", 2);
        assert_eq!((recent.get(&"a"), recent.get(&"c")), (Some(1), None));
        recent.forget(|value| *value == 1);
        assert_eq!((recent.get(&"a"), recent.get(&"b")), (None, Some(2)));

        (3..7).for_each(|value| recent.put(["c", "d", "e", "f"][value - 3], value));
        assert_eq!((recent.get(&"c"), recent.get(&"f")), (None, Some(6)));

        let brief = Recent::new(Duration::ZERO, 3);
        brief.put("a", 1);
        assert_eq!(brief.get(&"a"), None);
    }
}
