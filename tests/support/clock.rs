//! A clock that a test sets, for programs that it starts: by libfaketime, which Debian has as `faketime`.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use super::{
    cluster::{self, TempDir},
    npm,
};

pub struct Clock {
    /// What `faketime` gives to a program: the library, and the names of the memory that it shares with others.
    library: String,
    shared: String,
    /// It takes that memory away when its input ends, however the test does.
    faketime: Child,
    /// By how many seconds the clock is wrong.
    file: String,
    dir: TempDir,
}

impl Clock {
    /// A clock that is right; `None`, and a word about what was not tried, where libfaketime is not installed.
    pub fn right(what: &str) -> Option<Self> {
        let mut command = Command::new("faketime");
        command.args(["-m", "-f", "+0s", "sh", "-c", "env; echo; exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut faketime) = command.spawn() else {
            npm::skip(what, "faketime is not installed");
            return None;
        };
        let lines = BufReader::new(faketime.stdout.take().unwrap()).lines().map(Result::unwrap);
        let given: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
        let value = |name: &str| given.iter().find_map(|line| line.strip_prefix(name).map(str::to_owned)).unwrap();
        let dir = TempDir::new();
        let file = dir.path().join("clock").display().to_string();
        let clock = Self { library: value("LD_PRELOAD="), shared: value("FAKETIME_SHARED="), faketime, file, dir };
        clock.set(0);
        Some(clock)
    }

    /// Sets it so many seconds after the right time, or before.
    pub fn set(&self, seconds: i64) {
        let fresh = self.dir.path().join("fresh");
        fs::write(&fresh, format!("{seconds:+}s")).unwrap();
        fs::rename(fresh, &self.file).unwrap();
    }

    /// What a program must be started with to go by it. What it measures by a clock that knows no date stays right, as when a
    /// machine's clock is set.
    pub fn environment(&self) -> [(&str, &str); 6] {
        [
            ("LD_PRELOAD", &self.library),
            ("FAKETIME_SHARED", &self.shared),
            ("FAKETIME_TIMESTAMP_FILE", &self.file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ]
    }

    /// A Postgres of the test's own that goes by it.
    pub fn postgres(&self) -> cluster::Server {
        let named = env::var_os("CHAT_PG_BIN").map(PathBuf::from);
        let initdb = ires_chat::embedded::client(named.as_deref(), "initdb", 15).unwrap();
        let (real, programs) = (initdb.parent().unwrap(), self.dir.path().join("bin"));
        fs::create_dir(&programs).unwrap();
        for name in ["initdb", "pg_ctl", "psql"] {
            symlink(real.join(name), programs.join(name)).unwrap();
        }
        let postgres = programs.join("postgres");
        // Another user cannot share the memory; and a lock of threads would be taken again in a handler of signals.
        let library = self.library.replace("MT", "");
        let others = self.environment().into_iter().skip(2).map(|(name, value)| format!("{name}={value}"));
        let variables = others.collect::<Vec<_>>().join(" ");
        let script = format!("#!/bin/sh\nLD_PRELOAD='{library}' {variables} exec {}/postgres \"$@\"\n", real.display());
        fs::write(&postgres, script).unwrap();
        fs::set_permissions(&postgres, fs::Permissions::from_mode(0o755)).unwrap();
        cluster::with_programs(programs).unwrap()
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        drop(self.faketime.stdin.take());
        _ = self.faketime.wait();
    }
}
