//! The server process of a cluster, ours or taken over, and the programs that make, start and stop it.

use std::{
    fs::{self, File},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, test_kill_process};

use super::{
    Error, NAME, Stop,
    binaries::Binaries,
    log::{Log, is_held, reason_in},
    place::{self, Place},
};

/// How long a server may take until it answers, crash recovery included.
const START_LIMIT: Duration = Duration::from_mins(2);

/// How long processes of a killed server may hold its files before we give up.
const RELEASE_LIMIT: Duration = Duration::from_secs(15);

/// How often a server that is not ready yet is asked again.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// A cluster's files, and the process that serves them, if one does.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) place: Place,
    pub(super) binaries: Binaries,
    settings: Vec<(String, String)>,
    /// The process when it is our child (it is not when we took it over), kept to be reaped.
    child: Mutex<Option<Child>>,
}

impl Server {
    pub(super) fn new(place: Place, binaries: Binaries, settings: Vec<(String, String)>) -> Self {
        Self { place, binaries, settings, child: Mutex::new(None) }
    }

    /// Runs `initdb` beside the final place, then renames.
    pub(super) fn make(&self) -> Result<(), Error> {
        let fresh = self.place.half_made();
        place::make_private_dir(&fresh, self.place.account)?;
        match self.initdb(&fresh, "C.UTF-8") {
            // Older systems, such as macOS before 15, do not have that one.
            Err(Error::Failed { said, .. }) if said.contains("locale") => {
                self.initdb(&fresh, "C")?;
            }
            made => made?,
        }
        fs::rename(&fresh, &self.place.data).map_err(Error::io("rename", &fresh))?;
        // A power cut must not undo the renaming once messages have been acknowledged.
        File::open(&self.place.home).and_then(|home| home.sync_all()).map_err(Error::io("write", &self.place.home))
    }

    fn initdb(&self, dir: &Path, locale: &str) -> Result<(), Error> {
        let mut command = self.command("initdb");
        command.arg("-D").arg(dir).args(["-U", NAME]);
        command.args(["--auth=trust", "--encoding=UTF8", "--locale", locale, "--data-checksums"]);
        self.run("initdb", &mut command)
    }

    /// Starts the server if it does not run, and returns when it answers.
    pub(super) fn start(&self) -> Result<(), Error> {
        if self.pid().is_some() && !self.runs_as_we_would_start_it() {
            self.stop(Stop::Fast)?;
        }
        let begin = Instant::now();
        while !self.try_to_start(begin)? {
            thread::sleep(ASK_EVERY);
        }
        Ok(())
    }

    /// One attempt; `false` when the server is gone again for a reason that passes by itself.
    ///
    /// A server answers late after a crash, and `pg_ctl status` calls it running all the while: only a real
    /// connection tells.
    fn try_to_start(&self, begin: Instant) -> Result<bool, Error> {
        let log = self.open_log()?;
        let taken_over = self.pid().is_some();
        if !taken_over {
            let mut command = self.command("postgres");
            command.arg("-D").arg(&self.place.data).args(self.arguments());
            let child = log.spawn(&mut command).map_err(self.cannot_run("postgres"))?;
            *self.child() = Some(child);
        }
        loop {
            match self.ask("SELECT 1") {
                Err(Error::Failed { said, log, .. }) if begin.elapsed() > START_LIMIT => {
                    return Err(Error::Silent { pid: self.pid(), said, log });
                }
                Err(Error::Failed { .. }) => {}
                answer => return answer.map(|_| true),
            }
            if self.pid().is_none() {
                let said = log.reason();
                let passes = taken_over || is_held(&said) && begin.elapsed() < RELEASE_LIMIT;
                return if passes { Ok(false) } else { Err(self.failed("postgres", said)) };
            }
            thread::sleep(ASK_EVERY);
        }
    }

    /// Stops the server if it runs, and returns when it has ended.
    pub(super) fn stop(&self, how: Stop) -> Result<(), Error> {
        if self.pid().is_none() {
            return Ok(());
        }
        let mode = match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        let mut command = self.command("pg_ctl");
        command.arg("stop").arg("-D").arg(&self.place.data).args(["-m", mode, "-w", "-t", "60"]);
        let stopped = self.run("pg_ctl", &mut command);
        // It may have ended by itself between the question and the command.
        if stopped.is_err() && self.pid().is_some() {
            return stopped;
        }
        if let Some(mut child) = self.child().take() {
            child.wait().map_err(Error::io("wait for", &self.place.data))?;
        }
        Ok(())
    }

    /// Runs one statement over a new connection and returns what it prints.
    pub(super) fn ask(&self, sql: &str) -> Result<String, Error> {
        let output = self
            .command("psql")
            .env("PGCONNECT_TIMEOUT", "3")
            .arg("-h")
            .arg(&self.place.socket)
            .args(["-p", "5432", "-U", NAME, "-d", "postgres", "-X", "-A", "-t", "-c", sql])
            .output()
            .map_err(self.cannot_run("psql"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(self.failed("psql", reason_in(&String::from_utf8_lossy(&output.stderr))))
        }
    }

    /// The process id of the server, if it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        if let Some(pid) = self.child_pid() {
            return Some(pid);
        }
        let file = fs::read_to_string(self.place.data.join("postmaster.pid")).ok()?;
        let pid = file.lines().next()?.trim().parse().ok()?;
        is_server_of(pid, &self.place.data).then_some(pid)
    }

    /// The server if it is our child and lives. One that ended is reaped: a zombie looks alive to the next server.
    fn child_pid(&self) -> Option<u32> {
        let mut child = self.child();
        let server = child.as_mut()?;
        if matches!(server.try_wait(), Ok(None)) {
            return Some(server.id());
        }
        *child = None;
        None
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server's settings. The last of two equal ones counts, so the caller's can change ours.
    fn arguments(&self) -> Vec<String> {
        let socket = self.place.socket.to_string_lossy().replace('"', "\"\"");
        let ours = [
            ("cluster_name", "ires-chat"),
            ("listen_addresses", ""),
            ("port", "5432"),
            // A list, in which quotes keep a comma or a space together.
            ("unix_socket_directories", &format!("\"{socket}\"")),
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("synchronous_commit", "on"),
        ];
        let theirs = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        ours.into_iter().chain(theirs).flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]).collect()
    }

    /// Whether the running server was started with our settings; Postgres writes its command line down.
    fn runs_as_we_would_start_it(&self) -> bool {
        let ours = format!("\"{}\"", self.arguments().join("\" \""));
        fs::read_to_string(self.place.data.join("postmaster.opts")).is_ok_and(|written| written.trim_end().ends_with(&ours))
    }

    fn command(&self, program: &str) -> Command {
        self.place.command(&self.binaries.program(program))
    }

    /// Runs a program to its end, its output going to the log.
    fn run(&self, program: &'static str, command: &mut Command) -> Result<(), Error> {
        let log = self.open_log()?;
        let ended = log.spawn(command).and_then(|mut child| child.wait());
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(self.failed(program, log.reason())),
            Err(reason) => Err(self.cannot_run(program)(reason)),
        }
    }

    fn cannot_run(&self, program: &str) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = self.binaries.program(program);
        move |reason| Error::Io { doing: "run", path, reason }
    }

    fn failed(&self, program: &'static str, said: String) -> Error {
        Error::Failed { program, said, log: self.log_path() }
    }

    fn open_log(&self) -> Result<Log, Error> {
        Log::open(&self.log_path())
    }

    fn log_path(&self) -> PathBuf {
        self.place.home.join("postgres.log")
    }
}

/// Whether the process is the server of these files, not another that got its number after a crash.
fn is_server_of(pid: u32, data: &Path) -> bool {
    if cfg!(target_os = "linux") {
        // Empty for a zombie.
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.split(|&byte| byte == 0).any(|argument| argument == data.as_os_str().as_bytes())
    } else {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        pid.is_some_and(|pid| test_kill_process(pid).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_no_server() {
        assert!(!is_server_of(std::process::id(), Path::new("/srv/chat/data")));
    }
}
