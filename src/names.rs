//! Names: what people call themselves, their rooms and their reasons may neither hide nor pretend to be something else.

use crate::payload::Length;

/// Whether a character makes a name look like another, or tears what is beside it: C0 and C1 controls, line separators, what Unicode's
/// bidirectional algorithm obeys (UAX #9), and what takes no place wherever it stands. Joiners and variation selectors are none
/// of these: emoji and several scripts need them.
pub fn deceives(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
                | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        )
}

/// Whether a character can be seen when it stands alone.
pub fn shows(character: char) -> bool {
    !character.is_whitespace() && !matches!(character, '\u{200c}' | '\u{200d}' | '\u{2800}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}')
}

/// What can be shown of a name that comes from elsewhere and is not ours to refuse: without what [deceives], no longer than may be, and
/// nothing if there is nothing to see.
pub fn presentable(name: &str, length: Length) -> Option<String> {
    let shown: String = name.chars().filter(|c| !deceives(*c)).collect();
    let cut: String = shown.trim().chars().take(length.max).collect();
    let shown = cut.trim_end();
    shown.chars().any(shows).then(|| shown.to_owned())
}

/// Whether a text is the address of a picture that pages may load: HTTP, and none of the characters that end an attribute of HTML
/// and are in no URL (RFC 3986).
pub fn is_picture(url: &str) -> bool {
    (url.starts_with("https://") || url.starts_with("http://"))
        && !url.chars().any(|c| c.is_whitespace() || deceives(c) || "\"'<>\\^`{|}".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_name_that_comes_from_elsewhere_is_shown_what_may_be() {
        let shown = |name: &str| presentable(name, Length::new(1, 5));
        assert_eq!(shown(" Ada\u{202e}\n ").as_deref(), Some("Ada"));
        assert_eq!(shown("a    bcdef").as_deref(), Some("a"), "cut, it does not end in spaces");
        assert_eq!(shown("👩‍👩‍👧!").as_deref(), Some("👩‍👩‍👧"), "joiners have a meaning");
        for nothing in ["", " \u{200b}", "\u{200d}\u{fe0f}", "\u{2800}", "\0\n"] {
            assert_eq!(shown(nothing), None, "{nothing:?}");
        }
    }
}
