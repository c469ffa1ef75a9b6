//! The passwords that are chosen most often, and so guessed first.
//!
//! `frequent.txt` has those of 8 characters and more of the list that Django ships ([BSD-3-Clause](https://opensource.org/license/bsd-3-clause),
//! `frequent.LICENSE`), which Royce Williams drew from the breaches of Have I Been Pwned: in lower case, one a line, sorted.

use std::sync::LazyLock;

static FREQUENT: LazyLock<Vec<&str>> = LazyLock::new(|| include_str!("frequent.txt").lines().collect());

/// Whether a password, in lower case, is one of them.
pub fn contains(password: &str) -> bool {
    FREQUENT.binary_search(&password).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::passwords::rules::LEAST;

    /// ASVS 6.2.4: 3,000 that the other rules would let pass.
    #[test]
    fn the_list_is_long_sorted_without_repeats_and_in_lower_case() {
        assert!(FREQUENT.len() >= 3_000, "{}", FREQUENT.len());
        assert!(FREQUENT.is_sorted_by(|one, next| one < next));
        for password in FREQUENT.iter() {
            assert!(password.chars().count() >= LEAST && password.trim() == *password && password.to_lowercase() == *password, "{password:?}");
        }
    }

    #[test]
    fn first_last_and_what_lies_between_are_found_and_neighbours_are_not() {
        for password in [FREQUENT[0], FREQUENT[FREQUENT.len() - 1], "password1", "12345678", "qwertyuiop"] {
            assert!(contains(password), "{password}");
            assert!(!contains(&format!("{password}\0")));
        }
        assert!(!contains("") && !contains("correct horse battery staple"));
    }
}
