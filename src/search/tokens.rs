//! What the index knows of a text: its *tokens*.
//!
//! A run of letters gives any three of them in a row, or itself if it is shorter; a run of dense characters gives each of them
//! and any two in a row. So a text that holds a term has all tokens of the term, and an index of tokens finds parts of words.
//! (`pg_trgm` does likewise, but it pads words and knows no bigrams: what is shorter than three characters, as most words of
//! Chinese are, it cannot find, and many managed databases would need it to be allowed first.)

use super::folding::Class;
use crate::users::UserId;
use sha2::{Digest, Sha256};

/// Where one run of characters of the same class begins, and where it ends; runs of spaces are left out.
fn runs(chars: &[char]) -> impl Iterator<Item = (Class, &[char])> {
    chars.chunk_by(|a, b| Class::of(*a) == Class::of(*b)).filter_map(|run| {
        let class = Class::of(*run.first()?);
        (class != Class::Space).then_some((class, run))
    })
}

/// Up to three characters of 21 bits in one number.
fn packed(chars: &[char]) -> i64 {
    chars.iter().fold(0, |packed, c| packed << 21 | i64::from(u32::from(*c)))
}

/// The tokens of a folded text, sorted, each once.
pub(super) fn tokens(folded: &str) -> Vec<i64> {
    let chars: Vec<char> = folded.chars().collect();
    let mut tokens = Vec::with_capacity(chars.len());
    for (class, run) in runs(&chars) {
        match class {
            Class::Letter if run.len() < 3 => tokens.push(packed(run)),
            Class::Letter => tokens.extend(run.windows(3).map(packed)),
            Class::Dense | Class::Space => {
                tokens.extend(run.iter().map(|c| packed(&[*c])));
                tokens.extend(run.windows(2).map(packed));
            }
        }
    }
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

/// The tokens that a text which holds this folded term must have: as [`tokens`], without those that others imply.
pub(super) fn needed(folded: &str) -> Vec<i64> {
    let chars: Vec<char> = folded.chars().collect();
    let mut tokens = Vec::new();
    for (class, run) in runs(&chars) {
        let width = match class {
            Class::Letter => 3,
            Class::Dense | Class::Space => 2,
        };
        tokens.extend(run.windows(width.min(run.len())).map(packed));
    }
    tokens
}

/// The token of an author: no text has it.
pub(super) fn of_author(author: &UserId) -> i64 {
    let hash = Sha256::digest(author.as_str());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    i64::from_be_bytes(bytes) | i64::MIN
}

/// Whether a term of this text must be a word of its own at an end: what is shorter than three letters is not looked for
/// within words. In the order of the ends.
pub(super) fn stands_alone(folded: &str) -> (bool, bool) {
    let chars: Vec<char> = folded.chars().collect();
    let is_short = |run: Option<(Class, &[char])>| run.is_some_and(|(class, run)| class == Class::Letter && run.len() < 3);
    (is_short(runs(&chars).next()), is_short(runs(&chars).last()))
}

#[cfg(test)]
mod tests {
    use super::{super::folding::folded, *};

    fn named(tokens: &[i64]) -> Vec<String> {
        let characters = |token: i64| [token >> 42, token >> 21 & 0x1f_ffff, token & 0x1f_ffff].map(|c| char::from_u32(u32::try_from(c).unwrap()));
        tokens.iter().map(|token| characters(*token).into_iter().flatten().filter(|c| *c != '\0').collect()).collect()
    }

    #[test]
    fn words_give_trigrams_and_dense_scripts_give_themselves_and_bigrams() {
        let mut of = named(&tokens("hello a go 日本語x"));
        of.sort();
        assert_eq!(of, ["a", "ell", "go", "hel", "llo", "x", "日", "日本", "本", "本語", "語"]);
        assert_eq!(named(&needed("hello a 日本語")), ["hel", "ell", "llo", "a", "日本", "本語"]);
        assert_eq!(named(&needed("語")), ["語"]);
    }

    #[test]
    fn a_text_has_all_that_any_part_of_it_needs() {
        let text = folded("The quick (brown) fox: 東京タワーgo to 서울, 🎉🎉 naïve Straße 42!");
        let have = tokens(&text);
        let chars: Vec<char> = text.chars().collect();
        for from in 0..chars.len() {
            for to in from + 1..=chars.len() {
                let part: String = chars[from..to].iter().collect();
                let (part, (first, last)) = (part.trim(), stands_alone(part.trim()));
                let is_apart = |c: Option<&char>, end: Option<char>| c.is_none_or(|c| end.is_some_and(|end| Class::of(*c) != Class::of(end)));
                let cut_off = (first && !is_apart(from.checked_sub(1).and_then(|at| chars.get(at)), part.chars().next()))
                    || (last && !is_apart(chars.get(to), part.chars().last()));
                assert!(cut_off || needed(part).iter().all(|token| have.contains(token)), "{part:?}");
            }
        }
    }

    #[test]
    fn an_author_is_no_text() {
        assert!(of_author(&UserId::parse("ann").unwrap()) < 0 && tokens("\u{10ffff}\u{10ffff}").iter().all(|token| *token > 0));
    }
}
