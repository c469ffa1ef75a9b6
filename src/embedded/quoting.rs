//! Paths and names as parts of a URL, and as words of a shell.

use std::fmt::Write as _;

/// Percent-encodes all that could mean something in a URL. A slash means nothing in a query.
pub(super) fn url_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut url, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            url.push(byte.into());
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
        url
    })
}

pub(super) fn shell_quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::{
        path::{Path, PathBuf},
        process::Command,
    };

    use sqlx::postgres::PgConnectOptions;

    use super::*;

    #[test]
    fn an_encoded_url_is_read_back_by_sqlx() {
        let socket = "/a b/ü?&=+%#'\"/socket";
        let url = format!("postgres://ires_chat@localhost:5432/{}?host={}", url_encoded("ires chat"), url_encoded(socket));
        let options: PgConnectOptions = url.parse().unwrap();
        assert_eq!(options.get_socket().map(PathBuf::as_path), Some(Path::new(socket)));
        assert_eq!(options.get_database(), Some("ires chat"));
        assert_eq!(options.get_username(), "ires_chat");
        assert_eq!(options.get_port(), 5432);
    }

    #[test]
    fn a_shell_reads_a_quoted_word_as_it_was() {
        for word in ["plain-1.0/x", "", "two words", "it's", "$HOME `id` \"\\"] {
            let echo = format!("printf %s {}", shell_quoted(word));
            let output = Command::new("/bin/sh").args(["-c", &echo]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
        assert_eq!(shell_quoted("/usr/bin/psql"), "/usr/bin/psql");
    }
}
