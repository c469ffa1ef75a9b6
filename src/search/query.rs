//! What is looked for: terms, all of which a message must hold.

use super::{
    folding::{Class, fold_into, folded},
    tokens::{needed, of_author, stands_alone},
};
use crate::{
    error::{Error, Result},
    users::UserId,
};
use memchr::memmem::Finder;
use schemars::JsonSchema;
use serde::Serialize;

/// Most characters of `q`.
pub const LENGTH: usize = 256;
/// Most terms in `q`.
pub const TERMS: usize = 16;
/// Most highlights of one message.
const HIGHLIGHTS: usize = 100;
/// Most tokens that are looked up: a few rare ones decide.
const TOKENS: usize = 48;

/// The terms of a query.
pub struct Terms(Vec<Term>);

struct Term {
    finder: Finder<'static>,
    /// Whether it must begin, and end, where a word does.
    alone: (bool, bool),
    tokens: Vec<i64>,
}

/// A part of a message's content that a term was found in, in UTF-16 code units, as JavaScript counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Highlight {
    /// Where it begins,
    pub start: u32,
    /// and where what follows it begins.
    pub end: u32,
}

impl Terms {
    /// Reads `q`: words, and phrases within quotation marks. There are no operators: other signs part words.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` when there is nothing to look for, or too much.
    pub fn read(q: &str) -> Result<Self> {
        if q.chars().count() > LENGTH {
            return Err(Error::field("q", "too_long", format!("At most {LENGTH} characters are allowed.")));
        }
        let mut texts: Vec<String> = Vec::new();
        for (place, part) in q.split(['"', '“', '”', '„']).enumerate() {
            if place % 2 == 1 {
                texts.push(folded(part));
            } else {
                texts.extend(part.split_whitespace().map(folded));
            }
        }
        texts.retain(|text| !text.is_empty());
        texts.dedup();
        match texts.len() {
            0 => Err(Error::field("q", "too_short", "At least one letter, digit or symbol is needed.")),
            1..=TERMS => Ok(Self(texts.iter().map(|text| Term::new(text)).collect())),
            _ => Err(Error::field("q", "too_long", format!("At most {TERMS} words or phrases are allowed."))),
        }
    }

    /// The tokens of a message that holds all terms, and is by this author.
    pub(super) fn tokens(&self, author: Option<&UserId>) -> Vec<i64> {
        let mut tokens: Vec<i64> = self.0.iter().flat_map(|term| &term.tokens).copied().collect();
        tokens.sort_unstable();
        tokens.dedup();
        // Of many any will do, those of all terms.
        let step = tokens.len().div_ceil(TOKENS).max(1);
        tokens.into_iter().step_by(step).chain(author.map(of_author)).collect()
    }

    /// Whether a text holds all terms. The buffer is for its folded form.
    pub(crate) fn are_in(&self, text: &str, buffer: &mut String) -> bool {
        fold_into(text, buffer, |_, _| {});
        self.0.iter().all(|term| term.places(buffer).next().is_some())
    }

    /// Where in a text the terms are, in its order; what touches is one.
    pub(crate) fn highlights(&self, text: &str) -> Vec<Highlight> {
        // For each byte of the folded text, which part of the text it came from.
        let (mut folded, mut sources) = (String::new(), Vec::<Highlight>::new());
        let mut at = 0;
        fold_into(text, &mut folded, |folded, c| {
            let source = Highlight { start: at, end: at + u32::try_from(c.len_utf16()).unwrap_or_default() };
            at = source.end;
            let is_ignored = sources.len() == folded.len() && !folded.ends_with(' ');
            match sources.last_mut() {
                // An accent that stands alone belongs to its letter.
                Some(last) if is_ignored => last.end = source.end,
                _ => sources.resize(folded.len(), source),
            }
        });
        let places = self.0.iter().flat_map(|term| term.places(&folded).take(HIGHLIGHTS));
        let mut found: Vec<Highlight> =
            places.filter_map(|(from, to)| Some(Highlight { start: sources.get(from)?.start, end: sources.get(to - 1)?.end })).collect();
        found.sort_unstable();
        let mut highlights: Vec<Highlight> = Vec::with_capacity(found.len());
        for highlight in found {
            match highlights.last_mut() {
                Some(last) if last.end >= highlight.start => last.end = last.end.max(highlight.end),
                _ => highlights.push(highlight),
            }
        }
        highlights.truncate(HIGHLIGHTS);
        highlights
    }
}

impl Term {
    fn new(folded: &str) -> Self {
        Self { finder: Finder::new(folded).into_owned(), alone: stands_alone(folded), tokens: needed(folded) }
    }

    /// Where it is in a folded text: bytes from, and to.
    fn places<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
        let length = self.finder.needle().len();
        let mut next = 0;
        std::iter::from_fn(move || {
            loop {
                let from = next + self.finder.find(text.as_bytes().get(next..)?)?;
                let to = from + length;
                // The next one may overlap, but begins with another character.
                next = from + text[from..].chars().next().map_or(1, char::len_utf8);
                if self.is_apart(text, from, to) {
                    next = next.max(to);
                    return Some((from, to));
                }
            }
        })
    }

    fn is_apart(&self, text: &str, from: usize, to: usize) -> bool {
        let differ = |outside: Option<char>, inside: Option<char>| outside.map(Class::of) != inside.map(Class::of);
        let (begins, ends) = self.alone;
        (!begins || differ(text[..from].chars().next_back(), text[from..].chars().next()))
            && (!ends || differ(text[to..].chars().next(), text[..to].chars().next_back()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(q: &str, text: &str) -> bool {
        Terms::read(q).unwrap().are_in(text, &mut String::new())
    }

    #[test]
    fn a_text_is_found_by_words_parts_of_words_and_phrases() {
        let text = "Wir treffen uns um 12 im Café „Zürich“ — 東京タワーで会う 🎉🎉 ok C++";
        for q in [
            "treffen",
            "TREFF",
            "effe",
            "cafe zurich",
            "\"im cafe\"",
            "“uns um”",
            "12",
            "im",
            "東京",
            "京",
            "タワー",
            "🎉",
            "ok",
            "c++",
            "treffen-uns",
            "tref \"um 12",
        ] {
            assert!(found(q, text), "{q}");
        }
        for q in ["treffer", "ca", "\"cafe im\"", "o", "京東", "🎊", "treffen nicht", "1", "\"uns 12\"", "\"r im\""] {
            assert!(!found(q, text), "{q}");
        }
        assert!(found("aaa", "aaaa") && found("aa", "aaa aa") && !found("aa", "aaa"));
    }

    #[test]
    fn operators_are_no_operators() {
        for q in ["", " ", "'", "&|!", ":*", "\\", "\"\"", "<->", "%_", "…。、", "\u{202e}"] {
            assert!(Terms::read(q).is_err(), "{q}");
        }
        assert!(found("cat & !dog", "dog cat") && found("ca:* | x'y", "ca x y"));
        assert!(Terms::read(&"x".repeat(LENGTH)).is_ok() && Terms::read(&"x".repeat(LENGTH + 1)).is_err());
        let many = |count: usize| (0..count).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
        assert!(Terms::read(&many(TERMS)).is_ok() && Terms::read(&many(TERMS + 1)).is_err());
    }

    #[test]
    fn highlights_are_counted_as_javascript_counts() {
        let marked = |q: &str, text: &str| {
            let units: Vec<u16> = text.encode_utf16().collect();
            let highlights = Terms::read(q).unwrap().highlights(text);
            highlights.iter().map(|h| String::from_utf16(&units[h.start as usize..h.end as usize]).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(marked("cafe", "🎉 Café, cafe\u{301}! CAFETERIA"), ["Café", "cafe\u{301}", "CAFE"]);
        assert_eq!(marked("strasse", "Hauptstraße 5"), ["straße"]);
        assert_eq!(marked("日本 本語", "日本語"), ["日本語"]);
        assert_eq!(marked("\"b c\"", "a -- b ... c"), ["b ... c"]);
        assert_eq!(marked("🎉", "x🎉🎉"), ["🎉🎉"]);
        assert_eq!(marked("ss", "ß ss"), ["ß", "ss"]);
        assert_eq!(marked("שלום", "(שָׁלוֹם)"), ["שָׁלוֹם"]);
    }
}
