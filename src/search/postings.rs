//! Lists of messages as the index keeps them: the messages of one segment that have one token.
//!
//! A list is as short as it can be: the gaps between its numbers where they are few, a bit for each number where they are many.

use std::collections::HashMap;

const GAPS: u8 = 0;
const BITS: u8 = 1;

/// Writes a list, in ascending order.
pub(super) fn encode(list: &[u16]) -> Vec<u8> {
    let width = list.last().map_or(0, |last| usize::from(*last) / 8 + 1);
    // A gap takes at least a byte.
    if list.len() < width {
        let mut gaps = Vec::with_capacity(1 + list.len() * 2);
        gaps.push(GAPS);
        let mut before = 0;
        for number in list {
            let mut gap = number - before;
            before = *number;
            while gap > 0x7f {
                gaps.push(gap.to_le_bytes()[0] | 0x80);
                gap >>= 7;
            }
            gaps.push(gap.to_le_bytes()[0]);
        }
        if gaps.len() <= width {
            return gaps;
        }
    }
    let mut bits = vec![0; 1 + width];
    bits[0] = BITS;
    for number in list {
        bits[1 + usize::from(*number) / 8] |= 1 << (number % 8);
    }
    bits
}

/// Reads a list. What cannot be one is read as far as it can.
pub(super) fn decode(bytes: &[u8]) -> Vec<u16> {
    let Some((kind, bytes)) = bytes.split_first() else { return Vec::new() };
    let mut list = Vec::new();
    if *kind == BITS {
        for (place, byte) in (0_u16..).zip(bytes) {
            let mut byte = *byte;
            while byte != 0 {
                list.push(place.wrapping_mul(8) + u16::try_from(byte.trailing_zeros()).unwrap_or_default());
                byte &= byte - 1;
            }
        }
        return list;
    }
    let (mut number, mut gap, mut shift) = (0_u16, 0_u32, 0);
    for byte in bytes {
        gap |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            number = number.wrapping_add(u16::try_from(gap & 0xffff).unwrap_or_default());
            list.push(number);
            (gap, shift) = (0, 0);
        } else {
            shift = (shift + 7).min(21);
        }
    }
    list
}

/// What is in all of some lists.
pub(super) fn common(mut lists: Vec<&[u8]>) -> Vec<u16> {
    lists.sort_by_key(|list| list.len());
    let Some((first, others)) = lists.split_first() else { return Vec::new() };
    let mut common = decode(first);
    for other in others {
        if let Some((&BITS, bits)) = other.split_first() {
            common.retain(|number| bits.get(usize::from(*number) / 8).is_some_and(|byte| byte >> (number % 8) & 1 == 1));
        } else {
            let mut other = decode(other).into_iter().peekable();
            common.retain(|number| {
                while other.next_if(|other| other < number).is_some() {}
                other.peek() == Some(number)
            });
        }
    }
    common
}

/// The lists of a segment that is being made, by token.
#[derive(Default)]
pub(super) struct Lists {
    by_token: HashMap<i64, Vec<u16>>,
    /// How many entries they have.
    pub entries: i64,
}

impl Lists {
    /// Adds a message, later than all before it.
    pub fn add(&mut self, number: u16, tokens: impl Iterator<Item = i64>) {
        for token in tokens {
            self.by_token.entry(token).or_default().push(number);
            self.entries += 1;
        }
    }

    /// Moves all messages on by so many numbers.
    pub fn shift(&mut self, by: u16) {
        self.by_token.values_mut().flatten().for_each(|number| *number += by);
    }

    /// Puts a list of messages before those that are there.
    pub fn put_before(&mut self, token: i64, mut earlier: Vec<u16>) {
        self.entries += i64::try_from(earlier.len()).unwrap_or_default();
        let list = self.by_token.entry(token).or_default();
        earlier.append(list);
        *list = earlier;
    }

    /// Writes them, by token.
    pub fn encoded(self) -> (Vec<i64>, Vec<Vec<u8>>) {
        let mut lists: Vec<_> = self.by_token.into_iter().collect();
        lists.sort_unstable_by_key(|(token, _)| *token);
        lists.into_iter().map(|(token, list)| (token, encode(&list))).unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Vec<u16>> {
        let every = |step: usize| (0..=u16::MAX).step_by(step).collect::<Vec<_>>();
        vec![
            vec![],
            vec![0],
            vec![u16::MAX],
            vec![0, 127, 128, 300, 20_000, u16::MAX],
            every(1),
            every(3),
            every(9),
            every(200),
            every(20_000),
            (5..90).collect(),
        ]
    }

    #[test]
    fn what_is_written_is_read_again_and_is_short() {
        for list in samples() {
            let bytes = encode(&list);
            assert_eq!(decode(&bytes), list);
            assert!(bytes.len() <= (1 + 3 * list.len()).min(8_193), "{} bytes for {}", bytes.len(), list.len());
        }
    }

    #[test]
    fn what_is_common_is_what_sets_say() {
        for a in samples() {
            for b in samples() {
                let expected: Vec<u16> = a.iter().copied().filter(|number| b.binary_search(number).is_ok()).collect();
                assert_eq!(common(vec![&encode(&a), &encode(&b)]), expected);
            }
        }
    }

    #[test]
    fn damaged_lists_do_no_harm() {
        for bytes in [&[][..], &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], &[7, 1, 2], &vec![1; 20_000], &[0, 0x80]] {
            decode(bytes);
            common(vec![bytes, &encode(&[1, 2, 3])]);
        }
    }

    #[test]
    fn lists_grow_at_both_ends() {
        let mut lists = Lists::default();
        lists.add(0, [7, 9].into_iter());
        lists.add(2, [9].into_iter());
        lists.shift(10);
        lists.put_before(9, vec![1, 5]);

        let entries = lists.entries;
        let (tokens, encoded) = lists.encoded();

        assert_eq!((tokens, entries), (vec![7, 9], 5));
        assert_eq!(encoded.iter().map(|list| decode(list)).collect::<Vec<_>>(), [vec![10], vec![1, 5, 10, 12]]);
    }
}
