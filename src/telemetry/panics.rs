//! Panics: one line in the log for each, in its format, and no word of what was being said.
//!
//! The words of a panic may quote what it was about: slicing a text says the text. So they are logged only where they stand in the program;
//! otherwise the place must do.

use std::{any::Any, panic};

/// Logs panics from now on, instead of printing them.
pub fn log() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        tracing::error!(place, reason = fixed_words(info.payload()), "a task panicked");
    }));
}

/// The words of a panic, if nothing was put into them.
fn fixed_words(payload: &(dyn Any + Send)) -> Option<&'static str> {
    payload.downcast_ref::<&'static str>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_stand_in_the_program_are_told() {
        let words = |panic: fn()| panic::catch_unwind(panic).unwrap_err();
        assert_eq!(fixed_words(&*words(|| panic!("the journal is gone"))), Some("the journal is gone"));
        assert_eq!(fixed_words(&*words(|| panic!("{} is gone", "secret".to_owned()))), None);
        assert_eq!(fixed_words(&*words(|| assert!(!"sécret"[..2].is_empty()))), None);
    }
}
