//! Counting: what came, what did not, in which order, and how long it took.

use super::Faults;
use serde::Serialize;

/// Times in microseconds, in buckets of about 3 %: 32 to each doubling.
#[derive(Debug, Clone, Serialize)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

const SUB_BUCKETS: u64 = 32;

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; 64 * 32], count: 0 }
    }
}

impl Histogram {
    /// Counts one time.
    pub fn record(&mut self, micros: u64) {
        let bucket = usize::try_from(Self::bucket(micros)).unwrap_or(usize::MAX).min(self.buckets.len() - 1);
        self.buckets[bucket] += 1;
        self.count += 1;
    }

    /// The time, in milliseconds, within which this share of all lies: 0.5 is the median. 0 if there are none.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts and buckets are small")]
    pub fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.count as f64).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank && *count > 0 {
                return Self::upper(bucket as u64) as f64 / 1_000.0;
            }
        }
        0.0
    }

    fn bucket(micros: u64) -> u64 {
        if micros < SUB_BUCKETS {
            return micros;
        }
        let doublings = u64::from(micros.ilog2()) - 5;
        (doublings + 1) * SUB_BUCKETS + (micros >> doublings) - SUB_BUCKETS
    }

    fn upper(bucket: u64) -> u64 {
        if bucket < SUB_BUCKETS {
            return bucket;
        }
        let doublings = bucket / SUB_BUCKETS - 1;
        ((bucket % SUB_BUCKETS + SUB_BUCKETS + 1) << doublings) - 1
    }
}

/// The mark of a message in its content: who sent it, its number among the sender's, and when it should have left, in
/// microseconds since the load began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// The sender's place in its room.
    pub sender: usize,
    /// 0, 1, 2 …
    pub number: u64,
    /// Since the load began.
    pub micros: u64,
}

/// Characters of a message, as in the workloads' definition.
const CONTENT: usize = 120;

impl Tag {
    /// Content that carries it.
    pub fn content(&self) -> String {
        format!("{:<CONTENT$}", format!("#{:04}{:010}{:014} The quick brown fox jumps over the lazy dog", self.sender, self.number, self.micros))
    }

    /// Finds it in a packet.
    pub fn find(text: &[u8]) -> Option<Self> {
        let start = memchr::memmem::find(text, b"\"content\":\"#")? + 12;
        let digits = text.get(start..start + 28)?;
        let number = |range: std::ops::Range<usize>| {
            digits[range].iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
        };
        Some(Self { sender: usize::try_from(number(0..4)?).ok()?, number: number(4..14)?, micros: number(14..28)? })
    }
}

/// What one member of a room received.
#[derive(Debug, Default)]
pub struct Tally {
    next: Vec<u64>,
    order: u64,
    /// All that came.
    pub received: u64,
    /// Gaps that were filled later count as disorder, not as loss.
    skipped: u64,
    disordered: u64,
    duplicated: u64,
    late: std::collections::HashSet<(usize, u64)>,
}

impl Tally {
    /// Counts a message.
    pub fn hear(&mut self, tag: Tag) {
        self.received += 1;
        if self.next.len() <= tag.sender {
            self.next.resize(tag.sender + 1, 0);
        }
        // The order of all messages, as one number (FNV-1a's prime).
        self.order = (self.order ^ (tag.number << 8 | tag.sender as u64)).wrapping_mul(0x100_0000_01b3);
        let next = &mut self.next[tag.sender];
        if tag.number >= *next {
            self.skipped += tag.number - *next;
            self.late.extend((*next..tag.number).map(|number| (tag.sender, number)));
            *next = tag.number + 1;
        } else if self.late.remove(&(tag.sender, tag.number)) {
            self.skipped -= 1;
            self.disordered += 1;
        } else {
            self.duplicated += 1;
        }
    }

    /// Faults of all members of a room who should have received so many messages.
    pub fn faults<'a>(members: impl IntoIterator<Item = &'a Self>, expected: u64) -> Faults {
        let mut faults = Faults::default();
        let mut orders = Vec::new();
        for tally in members {
            faults.lost += expected.saturating_sub(tally.received - tally.duplicated);
            faults.duplicated += tally.duplicated;
            faults.disordered += tally.disordered;
            orders.push(tally.order);
        }
        faults.disagreeing = u64::from(orders.iter().any(|order| *order != orders[0]));
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hears(numbers: &[u64]) -> Tally {
        let mut tally = Tally::default();
        for number in numbers {
            tally.hear(Tag { sender: 1, number: *number, micros: 0 });
        }
        tally
    }

    #[test]
    fn what_is_lost_doubled_out_of_order_or_disagreed_on_is_counted() {
        let faults = |numbers: &[u64]| Tally::faults([&hears(numbers)], 4);
        let zero = faults(&[0, 1, 2, 3]);
        assert_eq!((zero.lost, zero.duplicated, zero.disordered, zero.disagreeing), (0, 0, 0, 0));
        assert_eq!(faults(&[0, 1, 3]).lost, 1);
        assert_eq!(faults(&[0, 1, 2]).lost, 1);
        assert_eq!(faults(&[0, 1, 1, 2, 3]).duplicated, 1);
        let swapped = faults(&[0, 2, 1, 3]);
        assert_eq!((swapped.lost, swapped.duplicated, swapped.disordered), (0, 0, 1));
        let (one, other) = (hears(&[0, 1, 2, 3]), hears(&[0, 2, 1, 3]));
        assert_eq!(Tally::faults([&one, &one], 4).disagreeing, 0);
        assert_eq!(Tally::faults([&one, &other], 4).disagreeing, 1);
    }

    #[test]
    fn a_tag_is_found_again_in_any_json() {
        let tag = Tag { sender: 499, number: 123_456, micros: 98_765_432 };
        let content = tag.content();
        assert_eq!(content.len(), CONTENT);
        assert_eq!(Tag::find(format!(r#"42/chat,["chat:message",{{"id":"1","content":"{content}","seq":3}}]"#).as_bytes()), Some(tag));
        assert_eq!(Tag::find(br##"{"content":"#12"}"##), None);
        assert_eq!(Tag::find(br#"{"content":"hello"}"#), None);
    }

    #[test]
    fn quantiles_are_within_a_thirtieth() {
        let mut histogram = Histogram::default();
        (1..=10_000).for_each(|micros| histogram.record(micros));
        for (share, exact) in [(0.5, 5.0), (0.99, 9.9), (0.999, 9.99), (0.0001, 0.001)] {
            let found = histogram.quantile(share);
            assert!((found - exact).abs() <= exact / 30.0 + 0.001, "{share}: {found} instead of {exact}");
        }
        assert!(Histogram::default().quantile(0.5).abs() < f64::EPSILON);
    }
}
