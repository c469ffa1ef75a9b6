//! What no new password may be, since it is guessed first: one of the most frequent, little more than a word of its surroundings, or
//! one that is known from a breach. Log-in never asks: a password that somebody has goes on being good.

use super::{
    breached::{self, Breached},
    frequent,
};
use crate::error::{Error, Result};
use clap::Args;
use std::path::PathBuf;

/// The fewest characters of a new password.
pub const LEAST: usize = 8;
/// The fewest letters and digits of a word that counts for nothing; shorter ones are in too many others.
const WORD: usize = 3;
/// The same in hosts, whose com, org and www would be in the way.
const LABEL: usize = 4;

/// What the operator adds to the rules.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Accounts and tokens")]
pub struct PasswordSettings {
    /// Words that count for nothing in new passwords, besides the user's names and ours, comma-separated: your organisation, products, places
    #[arg(long, env = "CHAT_PASSWORD_WORDS", value_delimiter = ',', value_parser = word)]
    pub password_words: Vec<String>,
    /// File of breached passwords, which no new one may be: lines of SHA-1, sorted, as downloaded from Have I Been Pwned
    #[arg(long, env = "CHAT_PASSWORD_DENYLIST_FILE")]
    pub password_denylist_file: Option<PathBuf>,
}

impl PasswordSettings {
    /// Whether the file can be used.
    ///
    /// # Errors
    /// One line for the operator.
    pub fn check(&self) -> Result<(), String> {
        self.password_denylist_file.as_deref().map_or(Ok(()), breached::check)
    }
}

/// Parses a word, or several that belong together.
fn word(text: &str) -> Result<String, String> {
    match words(text, WORD).next() {
        Some(_) => Ok(text.to_owned()),
        None => Err("a word of at least 3 letters or digits is expected".to_owned()),
    }
}

/// The words of a name, in lower case.
pub fn words(name: &str, least: usize) -> impl Iterator<Item = String> {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(move |word| word.chars().count() >= least);
    words.map(str::to_lowercase)
}

/// The rules.
pub struct Rules {
    /// Words that count for nothing, whoever's password it is.
    words: Vec<String>,
    breached: Option<Breached>,
}

impl Rules {
    /// Those of the settings. Of the addresses that the service is known by, the hosts count as words.
    pub fn new<'a>(settings: &PasswordSettings, addresses: impl IntoIterator<Item = &'a String>) -> Self {
        let ours = settings.password_words.iter().map(String::as_str).chain(["ires-chat"]).flat_map(|name| words(name, WORD));
        let hosts = addresses.into_iter().flat_map(|address| words(host(address), LABEL));
        Self { words: ours.chain(hosts).collect(), breached: settings.password_denylist_file.clone().map(Breached::new) }
    }

    /// Whether this may be somebody's password. Their names count for nothing in it, nor do our words: without them, and what signs are
    /// then at its ends, it must still be long enough, and not frequent. Reads a file.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` of the field, `UNAVAILABLE` when the breached passwords cannot be read.
    pub fn check(&self, field: &'static str, password: &str, names: [Option<&str>; 2]) -> Result<()> {
        let whole = password.to_lowercase();
        if frequent::contains(&whole) {
            return Err(Error::field(field, "frequent", "This password is among the most frequent ones."));
        }
        let theirs = names.into_iter().flatten().flat_map(|name| words(name, WORD));
        let without = theirs.chain(self.words.iter().cloned()).fold(whole.clone(), |rest, word| rest.replace(&word, ""));
        let rest = without.trim_matches(|c: char| !c.is_alphanumeric());
        if without != whole && (rest.chars().count() < LEAST || frequent::contains(rest)) {
            return Err(Error::field(field, "obvious", "This is little more than a name or a word that anybody would try here."));
        }
        match self.breached.as_ref().map_or(Ok(false), |breached| breached.contains(password)) {
            Ok(false) => Ok(()),
            Ok(true) => Err(Error::field(field, "breached", "This password is known from a breach elsewhere.")),
            Err(error) => {
                tracing::error!(%error, "no new passwords are taken: the file of CHAT_PASSWORD_DENYLIST_FILE cannot be read");
                Err(Error::Unavailable)
            }
        }
    }
}

/// The host of an address, or what stands in its place.
fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a password of Alice Zimmermann's at chat.example.org.
    fn fault(password: &str) -> Option<&'static str> {
        let settings = PasswordSettings { password_words: vec!["Contoso".to_owned(), "São Paulo".to_owned()], password_denylist_file: None };
        let rules = Rules::new(&settings, &["https://app.example.org:8443".to_owned(), "https://login.example.net/realms/x".to_owned()]);
        match rules.check("password", password, [Some("alice.z"), Some("Alice Zimmermann")]) {
            Err(Error::Validation(mut faults)) => Some(faults.remove("password")?[0].code),
            checked => checked.map(|()| None).unwrap(),
        }
    }

    #[test]
    fn frequent_passwords_are_refused_whatever_their_case() {
        for password in ["password1", "PassWord1", "12345678", "QWERTYUIOP", "iloveyou1"] {
            assert_eq!(fault(password), Some("frequent"), "{password}");
        }
    }

    #[test]
    fn little_more_than_a_name_or_a_word_is_refused() {
        for password in [
            "alicealice",
            "ALICE2024!",
            "alice12345678",
            "zimmermann",
            "Alice.Zimmermann",
            "iZimmermanna1",
            "ires-chat",
            "IresChat2024",
            "contoso123",
            "C0-contoso",
            "são-paulo-11",
            "SÃO PAULO 11",
            "example.org1",
            "login-example",
            "alice at contoso",
            "alice          ",
            "alice!!!!!!!!!!",
            "!contoso: 12345678!",
        ] {
            assert_eq!(fault(password), Some("obvious"), "{password}");
        }
    }

    #[test]
    fn a_passphrase_may_have_such_words_in_it_and_short_ones_do_not_matter() {
        for password in [
            "correct horse battery staple",
            "alice likes to chat in são paulo",
            "contoso is where i work",
            "z-x-y-8-w-7",
            "comeback-1",
            "appetite-7",
            "zimmermann's dogs bark",
            "!!!abcdef!!!",
        ] {
            assert_eq!(fault(password), None, "{password}");
        }
    }
}
