//! The log of Postgres's programs: where their output goes, and what it says when one of them fails.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Child, Command},
};

use super::Error;

/// The log, opened before a program runs, to be read from there when it fails.
pub(super) struct Log {
    file: File,
    begin: u64,
}

impl Log {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let mut options = File::options();
        options.create(true).append(true).read(true).mode(0o600);
        let open = options.open(path).and_then(|mut file| Ok(Self { begin: file.seek(SeekFrom::End(0))?, file }));
        open.map_err(Error::io("write", path))
    }

    /// Starts a program whose output goes here.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        command.stdout(self.file.try_clone()?).stderr(self.file.try_clone()?).spawn()
    }

    /// What the programs have given as their reason since the log was opened.
    pub(super) fn reason(&self) -> String {
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(self.begin)).and_then(|_| io::read_to_string(file));
        reason_in(&read.unwrap_or_default())
    }
}

/// The line that gives the reason: the last error, else the last line.
pub(super) fn reason_in(output: &str) -> String {
    let lines = || output.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    // The last words of a crashed server's processes may come after the new server's reason.
    let is_old = |line: &str| line.contains("unexpected postmaster exit");
    let is_error = |line: &&str| ["FATAL: ", "PANIC: ", "error: "].iter().any(|word| line.contains(word)) && !is_old(line);
    lines().find(is_error).or_else(|| lines().next()).unwrap_or_default().to_owned()
}

/// What Postgres says while the processes of the server before are still ending.
pub(super) fn is_held(said: &str) -> bool {
    said.contains("is still in use") || said.contains("already exists")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_picked_out_of_the_output() {
        assert_eq!(reason_in("starting\nFATAL:  no space\nHINT:  buy a disk\n"), "FATAL:  no space");
        assert_eq!(reason_in("pg_ctl: one\npg_ctl: two\n\n"), "pg_ctl: two");
        assert_eq!(
            reason_in("FATAL:  is still in use\nFATAL:  terminating connection due to unexpected postmaster exit\n"),
            "FATAL:  is still in use"
        );
        assert_eq!(reason_in(""), "");
    }
}
