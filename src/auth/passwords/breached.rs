//! Passwords that are known from breaches elsewhere: a file of the operator's, looked up where it lies. Nobody else is asked.
//!
//! Its lines are those of Have I Been Pwned's download: SHA-1 of a password in hex, perhaps a colon and how often it was seen, sorted by
//! hash. It has some forty gigabytes, so no more than a line in each half of what is left is read, which makes some thirty reads. It is
//! opened anew each time: another one may be moved to its place while the server runs.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use std::{
    cmp::Ordering,
    fs::File,
    io::{Error, ErrorKind, Result},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Most bytes of a line, its end included: a hash, a colon, the longest number, CR and LF take 63.
const LINE: u64 = 64;
/// How many lines are looked at before a file is believed.
const SAMPLES: u64 = 256;

/// SHA-1 in hex, capital letters.
type Hash = [u8; 40];

/// A file of breached passwords.
pub struct Breached(PathBuf);

impl Breached {
    /// Those of a file, which was [checked](check).
    pub fn new(file: PathBuf) -> Self {
        Self(file)
    }

    /// Whether a password is one of them.
    ///
    /// # Errors
    /// When the file cannot be read, or is another kind of file.
    pub fn contains(&self, password: &str) -> Result<bool> {
        Lines::open(&self.0)?.contains(&hash_of(password))
    }
}

/// Whether a file can be used: it can be read, and what is looked at of it is as it should be, and sorted.
///
/// # Errors
/// One line for the operator.
pub fn check(file: &Path) -> std::result::Result<(), String> {
    let name = file.display();
    let hashes = Lines::open(file).and_then(|lines| lines.sample()).map_err(|error| format!("CHAT_PASSWORD_DENYLIST_FILE: {name}: {error}"))?;
    if hashes.is_sorted() { Ok(()) } else { Err(format!("CHAT_PASSWORD_DENYLIST_FILE: {name} is not sorted by hash: LC_ALL=C sort does that")) }
}

fn hash_of(password: &str) -> Hash {
    let mut hex = [0; 40];
    for (byte, place) in digest(&SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes()).as_ref().iter().zip(hex.chunks_exact_mut(2)) {
        place.copy_from_slice(&[byte >> 4, byte & 15].map(|half| b"0123456789ABCDEF"[usize::from(half)]));
    }
    hex
}

/// The lines of an open file.
struct Lines {
    file: File,
    length: u64,
}

/// A line: the hash, and where it begins, and the next one.
struct Line {
    hash: Hash,
    begin: u64,
    end: u64,
}

impl Lines {
    fn open(file: &Path) -> Result<Self> {
        let file = File::open(file)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }

    fn contains(&self, hash: &Hash) -> Result<bool> {
        let (mut low, mut high) = (0, self.length);
        // At least half of what is left is left out each time.
        while low < high {
            let line = self.at(low.midpoint(high))?;
            match line.hash.cmp(hash) {
                Ordering::Less => low = line.end,
                Ordering::Greater => high = line.begin,
                Ordering::Equal => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Hashes from the first to the last one, evenly spaced.
    fn sample(&self) -> Result<Vec<Hash>> {
        let last = self.length.checked_sub(1).ok_or_else(|| Error::new(ErrorKind::InvalidData, "the file is empty"))?;
        (0..=SAMPLES).map(|part| Ok(self.at(last / SAMPLES * part + last % SAMPLES * part / SAMPLES)?.hash)).collect()
    }

    /// The line that has this byte.
    fn at(&self, place: u64) -> Result<Line> {
        let (from, to) = (place.saturating_sub(LINE), self.length.min(place + LINE));
        let mut window = vec![0; usize::try_from(to - from).map_err(Error::other)?];
        self.file.read_exact_at(&mut window, from)?;
        let (before, after) = window.split_at(usize::try_from(place - from).map_err(Error::other)?);
        let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let end = before.len() + after.iter().position(|byte| *byte == b'\n').map_or(after.len(), |newline| newline + 1);
        let malformed =
            || Error::new(ErrorKind::InvalidData, "lines of SHA-1 in hex are expected, such as 5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:3");
        Ok(Line { hash: hash_in(&window[begin..end]).ok_or_else(malformed)?, begin: from + begin as u64, end: from + end as u64 })
    }
}

/// The hash that a line begins with.
fn hash_in(line: &[u8]) -> Option<Hash> {
    let (hash, rest) = line.trim_ascii_end().split_first_chunk::<40>()?;
    (hash.iter().all(u8::is_ascii_hexdigit) && (rest.is_empty() || rest[0] == b':')).then(|| hash.map(|digit| digit.to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, process};

    /// A file of its own, removed when dropped.
    struct List(PathBuf);

    impl List {
        fn of(name: &str, text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ires-chat-breached-{}-{name}", process::id()));
            fs::write(&path, text).unwrap();
            Self(path)
        }

        fn contains(&self, password: &str) -> bool {
            Breached::new(self.0.clone()).contains(password).unwrap()
        }
    }

    impl Drop for List {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    /// The lines of a thousand passwords, sorted, with counts of all lengths.
    fn lines() -> Vec<String> {
        let mut hashes: Vec<Hash> = (0..1_000).map(|number| hash_of(&format!("password {number}"))).collect();
        hashes.sort_unstable();
        let line = |(number, hash): (usize, &Hash)| format!("{}:{}", String::from_utf8_lossy(hash), "9".repeat(number % 20));
        hashes.iter().enumerate().map(line).collect()
    }

    #[test]
    fn a_hash_is_that_of_the_download() {
        assert_eq!(&hash_of("password"), b"5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8");
    }

    #[test]
    fn every_password_of_a_file_is_found_and_no_other() {
        for (name, text) in [
            ("lf", lines().join("\n") + "\n"),
            ("crlf", lines().join("\r\n") + "\r\n"),
            ("unended", lines().join("\n")),
            ("small", lines().join("\n").to_ascii_lowercase()),
        ] {
            let list = List::of(name, &text);
            assert_eq!(check(&list.0), Ok(()));
            for number in 0..1_000 {
                assert!(list.contains(&format!("password {number}")), "{name} {number}");
                assert!(!list.contains(&format!("password {}", number + 1_000)), "{name} {number}");
            }
        }
        let one = List::of("one", "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8");
        assert_eq!(check(&one.0), Ok(()));
        assert!(one.contains("password") && !one.contains("Password"));
    }

    #[test]
    fn what_is_no_such_file_is_refused_at_the_start() {
        let backwards = lines().into_iter().rev().collect::<Vec<_>>().join("\n");
        for (name, text, why) in [
            ("empty", "", "empty"),
            ("plain", "password\n12345678\n", "SHA-1"),
            ("binary", "\0\0\0\0\0\0\0\0", "SHA-1"),
            ("endless", &"A".repeat(1_000), "SHA-1"),
            ("sha-256", &format!("{}\n", "A".repeat(64)), "SHA-1"),
            ("ntlm", "8846F7EAEE8FB117AD06BDD830B7586C:3\n", "SHA-1"),
            ("backwards", &*backwards, "sorted"),
        ] {
            let told = check(&List::of(name, text).0).unwrap_err();
            assert!(told.contains("CHAT_PASSWORD_DENYLIST_FILE") && told.contains(why), "{name}: {told}");
        }
        assert!(check(Path::new("/nowhere/at/all")).is_err());
    }
}
