//! Why there is no cluster.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::binaries;

/// Why there is no cluster; each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error(
        "no Postgres found: install it (Debian, Ubuntu: `apt-get install postgresql`; macOS: `brew install postgresql`) \
         or name the directory of its programs in CHAT_PG_BIN"
    )]
    NotInstalled,
    #[error("{dir} (CHAT_PG_BIN) has no working `{program}`: name the directory that holds Postgres's programs")]
    Incomplete { dir: PathBuf, program: &'static str },
    #[error("Postgres {found} in {dir} is too old: install version {} or newer", binaries::OLDEST)]
    TooOld { dir: PathBuf, found: u32 },
    #[error(
        "{data} was made by Postgres {wanted}, but {dir} holds version {found}: install Postgres {wanted} beside it, \
         or move the data away to begin anew"
    )]
    OtherVersion { data: PathBuf, wanted: u32, dir: PathBuf, found: u32 },
    #[error("no `{program}` of Postgres {least} or newer found: install it, or name the directory of Postgres's programs in CHAT_PG_BIN")]
    NoClient { program: &'static str, least: u32 },
    #[error("{dir} is in use by {}: stop that one, or take another directory", owner(*.pid))]
    Locked { dir: PathBuf, pid: Option<u32> },
    #[error("{path} is not a Postgres cluster: move it away")]
    NotACluster { path: PathBuf },
    #[error("{path} belongs to user {owner}: run as that user, or give it to yourself with chown")]
    NotYours { path: PathBuf, owner: u32 },
    #[error("{path} belongs to root, and Postgres does not run as root: `chown -R` it to an unprivileged user")]
    BelongsToRoot { path: PathBuf },
    #[error("Postgres does not run as root, and there is neither a user `postgres` nor `nobody`: add one")]
    NoAccount,
    #[error("{path} is open to other users, so the database's socket cannot be there: remove it")]
    Exposed { path: PathBuf },
    #[error("`{program}` failed, saying {said:?} (all of it is in {log})")]
    Failed { program: &'static str, said: String, log: PathBuf },
    #[error("Postgres{} does not answer, saying {said:?}: look into {log}, or end that process", process(*.pid))]
    Silent { pid: Option<u32>, said: String, log: PathBuf },
    #[error("cannot {doing} {path}: {reason}")]
    Io { doing: &'static str, path: PathBuf, reason: io::Error },
}

impl Error {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |reason| Self::Io { doing, path: path.to_owned(), reason }
    }
}

fn owner(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("another ires-chat (process {pid})"),
        None => "another ires-chat".to_owned(),
    }
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}
