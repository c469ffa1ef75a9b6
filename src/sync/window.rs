//! What fits into an answer. Changes under one number belong together: an answer has all of them or none.

use serde_json::value::RawValue;

/// Something that changed, as it is now, encoded.
pub(super) struct Item {
    /// The number of its last change.
    pub seq: i64,
    /// Whether it is a message, or a membership.
    pub is_message: bool,
    /// The message or the membership.
    pub text: Box<RawValue>,
}

/// How much fits.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// So many things,
    pub items: usize,
    /// of so many bytes.
    pub bytes: usize,
}

impl Limits {
    /// Whether all of these fit.
    pub fn hold(&self, items: &[Item]) -> bool {
        items.len() <= self.items && bytes(items) <= self.bytes
    }

    /// Leaves less for others.
    pub fn take(&mut self, items: &[Item]) {
        self.items = self.items.saturating_sub(items.len());
        self.bytes = self.bytes.saturating_sub(bytes(items));
    }
}

fn bytes(items: &[Item]) -> usize {
    items.iter().map(|item| item.text.get().len()).sum()
}

/// The newest that fit, at least those under the last number, in ascending order, and the number after which nothing is missing:
/// `after` if all fit.
pub(super) fn newest(mut items: Vec<Item>, after: i64, limits: Limits) -> (Vec<Item>, i64) {
    items.sort_by_key(|item| item.seq);
    let taken = fitting(items.iter().rev(), limits);
    let rest = items.len() - taken;
    let until = rest.checked_sub(1).map_or(after, |last| items[last].seq);
    (items.split_off(rest), until)
}

/// The oldest that fit, at least those under the first number, in ascending order, and the number up to which nothing is missing:
/// `until` if all fit.
pub(super) fn oldest(mut items: Vec<Item>, until: i64, limits: Limits) -> (Vec<Item>, i64) {
    items.sort_by_key(|item| item.seq);
    let taken = fitting(items.iter(), limits);
    let to = if taken == items.len() { until } else { items[taken - 1].seq };
    items.truncate(taken);
    (items, to)
}

/// How many of the first ones fit together with all that share their numbers.
fn fitting<'a>(items: impl Iterator<Item = &'a Item>, limits: Limits) -> usize {
    let (mut taken, mut seen, mut bytes, mut number) = (0, 0, 0, None);
    for item in items {
        if number != Some(item.seq) {
            taken = seen;
            number = Some(item.seq);
        }
        seen += 1;
        bytes += item.text.get().len();
        if (seen > limits.items || bytes > limits.bytes) && taken > 0 {
            return taken;
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Limits = Limits { items: 100, bytes: 1_000 };

    fn items(seqs: &[i64]) -> Vec<Item> {
        let item = |seq: &i64| Item { seq: *seq, is_message: true, text: RawValue::from_string("\"123456\"".to_owned()).unwrap() };
        seqs.iter().map(item).collect()
    }

    fn seqs(items: &[Item]) -> Vec<i64> {
        items.iter().map(|item| item.seq).collect()
    }

    #[test]
    fn what_fits_is_all_there_is() {
        let (found, until) = newest(items(&[5, 3, 4]), 2, WIDE);
        assert_eq!((seqs(&found), until), (vec![3, 4, 5], 2));
        let (found, to) = oldest(items(&[5, 3, 4]), 9, WIDE);
        assert_eq!((seqs(&found), to), (vec![3, 4, 5], 9));
        assert_eq!(newest(items(&[]), 7, WIDE).1, 7);
        assert_eq!(oldest(items(&[]), 7, WIDE).1, 7);
    }

    #[test]
    fn what_shares_a_number_stays_together() {
        let two = Limits { items: 2, bytes: 1_000 };
        let (found, until) = newest(items(&[1, 2, 2, 3]), 0, two);
        assert_eq!((seqs(&found), until), (vec![3], 2));
        let (found, to) = oldest(items(&[1, 2, 2, 3]), 3, two);
        assert_eq!((seqs(&found), to), (vec![1], 1));
        let (found, until) = newest(items(&[1, 2, 3]), 0, two);
        assert_eq!((seqs(&found), until), (vec![2, 3], 1));
    }

    #[test]
    fn bytes_count_too_and_one_number_is_always_answered() {
        let sixteen = Limits { items: 100, bytes: 16 };
        let (found, until) = newest(items(&[1, 2, 3]), 0, sixteen);
        assert_eq!((seqs(&found), until), (vec![2, 3], 1));
        let none = Limits { items: 0, bytes: 0 };
        let (found, to) = oldest(items(&[1, 1, 2]), 2, none);
        assert_eq!((seqs(&found), to), (vec![1, 1], 1));
        let (found, until) = newest(items(&[1, 2, 2]), 0, none);
        assert_eq!((seqs(&found), until), (vec![2, 2], 1));
    }
}
