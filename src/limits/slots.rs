//! Slots: how many of something one source has at once.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Taken<K> = Arc<Mutex<HashMap<K, usize>>>;

/// So many for each source; those that have none take no memory.
pub struct Slots<K: Eq + Hash> {
    taken: Taken<K>,
    most: usize,
}

/// One of a source's slots: it is given back when this is dropped, however that comes about.
pub struct Slot<K: Eq + Hash> {
    source: K,
    taken: Taken<K>,
}

impl<K: Eq + Hash + Clone> Slots<K> {
    /// So many for each.
    pub fn new(most: usize) -> Self {
        Self { taken: Taken::default(), most }
    }

    /// Takes one, if the source has not all of its own already.
    pub fn take(&self, source: &K) -> Option<Slot<K>> {
        let mut taken = lock(&self.taken);
        let count = taken.entry(source.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Slot { source: source.clone(), taken: self.taken.clone() })
    }
}

impl<K: Eq + Hash> Drop for Slot<K> {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(count) = taken.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.source);
            }
        }
    }
}

fn lock<K>(taken: &Mutex<HashMap<K, usize>>) -> MutexGuard<'_, HashMap<K, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_own_and_gets_them_back() {
        let slots = Slots::new(2);
        let (one, two) = (slots.take(&"a"), slots.take(&"a"));
        assert!(one.is_some() && two.is_some() && slots.take(&"a").is_none());
        assert!(slots.take(&"b").is_some());
        drop(one);
        assert!(slots.take(&"a").is_some());
        drop(two);
        assert!(lock(&slots.taken).is_empty());
    }
}
