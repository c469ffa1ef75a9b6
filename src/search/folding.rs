//! How text is compared: small and capital letters, letters with and without accents, full and half width are one, and whatever
//! is no letter, digit, ideograph or symbol parts words.
//!
//! Two kinds of characters are told apart. *Letters* make words, which are found by any three of their letters in a row;
//! *dense* characters (ideographs, syllables of scripts that are written without spaces, emoji) are each found by themselves.

/// What a character is for a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// It parts words.
    Space,
    /// It makes words.
    Letter,
    /// It means something by itself.
    Dense,
}

impl Class {
    /// Of a folded character.
    pub fn of(c: char) -> Self {
        match c {
            ' ' => Self::Space,
            'a'..='z' | '0'..='9' => Self::Letter,
            _ if is_dense(c) => Self::Dense,
            _ if c.is_alphanumeric() => Self::Letter,
            _ if c < '\u{c0}' || c.is_whitespace() || c.is_control() || is_punctuation(c) => Self::Space,
            // Vowel signs and tone marks of many scripts.
            _ => Self::Letter,
        }
    }
}

/// Han, Kana, Bopomofo, Hangul, and symbols.
fn is_dense(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{11ff}' | '\u{2190}'..='\u{2bff}' | '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}'
        | '\u{3031}'..='\u{3035}' | '\u{303b}' | '\u{3041}'..='\u{312f}' | '\u{3131}'..='\u{318e}' | '\u{31a0}'..='\u{31bf}' | '\u{31f0}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ffdc}'
        | '\u{1aff0}'..='\u{1b16f}' | '\u{1f000}'..='\u{1faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Punctuation outside of Latin-1 that is written in chats.
fn is_punctuation(c: char) -> bool {
    matches!(c,
        '\u{d7}' | '\u{f7}' | '\u{2c2}'..='\u{2df}' | '\u{37e}' | '\u{387}' | '\u{55a}'..='\u{55f}' | '\u{589}' | '\u{58a}' | '\u{5be}' | '\u{5c0}' | '\u{5c3}'
        | '\u{5c6}' | '\u{5f3}' | '\u{5f4}' | '\u{609}'..='\u{60d}' | '\u{61b}'..='\u{61f}' | '\u{66a}'..='\u{66d}' | '\u{6d4}' | '\u{700}'..='\u{70d}'
        | '\u{964}' | '\u{965}' | '\u{970}' | '\u{e4f}' | '\u{e5a}' | '\u{e5b}' | '\u{f04}'..='\u{f12}' | '\u{104a}'..='\u{104f}'
        | '\u{10fb}' | '\u{1360}'..='\u{1368}' | '\u{166e}' | '\u{17d4}'..='\u{17da}' | '\u{1800}'..='\u{180a}' | '\u{2000}'..='\u{218f}'
        | '\u{2e00}'..='\u{2e7f}' | '\u{3000}'..='\u{3004}' | '\u{3008}'..='\u{3020}' | '\u{3030}' | '\u{303c}'..='\u{3040}'
        | '\u{fd3e}' | '\u{fd3f}' | '\u{fe10}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff65}' | '\u{ffe0}'..='\u{ffff}')
}

/// What says how a neighbour looks or is read, and means nothing by itself: accents that stand alone, vowel points, joiners,
/// marks of direction, variants and skin tones of emoji.
fn is_ignored(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}' | '\u{5c7}' | '\u{61c}'
        | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}' | '\u{feff}'
        | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0000}'..='\u{e0fff}')
}

/// From U+00E0, U+0100 and U+1E00 on: the letters beneath the accents; a dot where there is none, or more than one letter.
const LATIN_1: &str = "aaaaaa.ceeeeiiiidnooooo.ouuuuy.y";
const LATIN_A: &str =
    "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiii..jjkk.llllllllllnnnnnn...oooooo..rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";
const LATIN_ADDITIONAL: &str = "aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmmmmmmnnnnnnnnoooooooopppprrrrrrrrssssssssssttttttttuuuuuuuuuuvvvvwwwwwwwwwwxxxxyyzzzzzzhtwy......aaaaaaaaaaaaaaaaaaaaaaaaeeeeeeeeeeeeeeeeiiiioooooooooooooooooooooooouuuuuuuuuuuuuuyyyyyyyy";

/// Gives the characters that a character is compared by, if any: those of [`Class::Space`] as a space.
pub(super) fn fold(c: char, mut each: impl FnMut(char)) {
    if c.is_ascii() {
        let lower = c.to_ascii_lowercase();
        return each(if lower.is_ascii_alphanumeric() { lower } else { ' ' });
    }
    if is_ignored(c) {
        return;
    }
    // Full-width forms of ASCII.
    let c = if ('\u{ff01}'..='\u{ff5e}').contains(&c) { char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c) } else { c };
    for lower in c.to_lowercase().filter(|lower| !is_ignored(*lower)) {
        match lower {
            'ß' => "ss".chars().for_each(&mut each),
            'æ' => "ae".chars().for_each(&mut each),
            'œ' => "oe".chars().for_each(&mut each),
            'ς' => each('σ'),
            'ё' => each('е'),
            'ά' => each('α'),
            'έ' => each('ε'),
            'ή' => each('η'),
            'ί' | 'ϊ' | 'ΐ' => each('ι'),
            'ό' => each('ο'),
            'ύ' | 'ϋ' | 'ΰ' => each('υ'),
            'ώ' => each('ω'),
            'أ' | 'إ' | 'آ' => each('ا'),
            lower => {
                let plain = without_accent(lower);
                each(if Class::of(plain) == Class::Space { ' ' } else { plain });
            }
        }
    }
}

fn without_accent(c: char) -> char {
    let beneath = |first: u32, letters: &str| {
        let place = usize::try_from(u32::from(c).checked_sub(first)?).ok()?;
        letters.as_bytes().get(place).filter(|letter| **letter != b'.').map(|letter| char::from(*letter))
    };
    match c {
        '\u{e0}'..='\u{ff}' => beneath(0xe0, LATIN_1),
        '\u{100}'..='\u{17f}' => beneath(0x100, LATIN_A),
        '\u{1e00}'..='\u{1eff}' => beneath(0x1e00, LATIN_ADDITIONAL),
        'ơ' => Some('o'),
        'ư' => Some('u'),
        'ș' => Some('s'),
        'ț' => Some('t'),
        _ => None,
    }
    .unwrap_or(c)
}

/// Folds a text into a buffer: one space between words, none around them. `each` is told of every character of the text that is
/// kept or ignored, after it was folded.
pub(super) fn fold_into(text: &str, folded: &mut String, mut each: impl FnMut(&str, char)) {
    folded.clear();
    for c in text.chars() {
        fold(c, |c| {
            if c != ' ' || !(folded.is_empty() || folded.ends_with(' ')) {
                folded.push(c);
            }
        });
        each(folded, c);
    }
    if folded.ends_with(' ') {
        folded.pop();
    }
}

/// A text as it is compared.
pub(super) fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    fold_into(text, &mut folded, |_, _| {});
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_accents_and_width_are_one_and_punctuation_parts_words() {
        for (text, expected) in [
            ("Crème BRÛLÉE", "creme brulee"),
            ("cre\u{301}me", "creme"),
            ("Straße, Ærø; Łódź!", "strasse aero lodz"),
            ("Tiếng Việt", "tieng viet"),
            ("ＡＢＣ１２３", "abc123"),
            ("  don't -- stop ", "don t stop"),
            ("foo_bar.baz/qux", "foo bar baz qux"),
            ("ΟΔΟΣ Ένας", "οδοσ ενασ"),
            ("Ёлка", "елка"),
            ("中文，測試。", "中文 測試"),
            ("👍🏽 ❤️", "👍 ❤"),
            ("مُحَمَّد", "محمد"),
            ("İstanbul", "istanbul"),
            ("'&|!():*\\\"<>%_", ""),
            ("\u{202e}abc\u{200f}", "abc"),
        ] {
            assert_eq!(folded(text), expected, "{text}");
        }
    }

    #[test]
    fn every_letter_with_an_accent_has_its_place_in_the_tables() {
        assert_eq!([LATIN_1.len(), LATIN_A.len(), LATIN_ADDITIONAL.len()], [32, 128, 256 - 6]);
        let samples = "àa çc ñn øo ÿy āa ģg ĵj ľl ņn őo řr šs ŧt ůu žz ḁa ḩh ṁm ṇn ẑz ạa ếe ịi ộo ựu ỹy";
        for pair in samples.split(' ') {
            let (accented, plain) = (pair.chars().next().unwrap(), pair.chars().nth(1).unwrap());
            assert_eq!(without_accent(accented), plain, "{pair}");
        }
    }

    #[test]
    fn classes_are_those_of_unicode_as_far_as_chats_need_it() {
        for (class, characters) in
            [(Class::Letter, "az09éßжאبहि่"), (Class::Dense, "中々ひカ한🎉❤→𠀀"), (Class::Space, " \n\u{a0}.,'\"«»—…、。「」！·§")]
        {
            for c in characters.chars() {
                assert_eq!(Class::of(c), class, "{c:?}");
            }
        }
    }
}
