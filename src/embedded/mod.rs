//! A Postgres of one's own: what `ires-chat dev` and the tests store their messages in.
//!
//! [`Cluster::start`] finds the installed programs, makes a cluster in a private directory at the first time and
//! takes it over, running or crashed, at every later one. It promises that
//!
//! - nobody else reaches it: no TCP port, a socket in a directory of mode 0700;
//! - it is as durable as Postgres can be: `fsync`, `full_page_writes` and `synchronous_commit` stay on;
//! - one process owns it at a time, and a crash of any of the parties leaves nothing to repair by hand.
//!
//! A cluster is made beside its final place and renamed, so that there is no half-made one. `postmaster.pid` is never
//! deleted: it is Postgres's own protection against two servers on the same files.

mod binaries;
mod place;

use std::{
    fmt::Write as _,
    fs::{self, File, TryLockError},
    io::{self, Seek, SeekFrom, Write as _},
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, test_kill_process};

use self::{binaries::Binaries, place::Place};

/// The role and the database of the chat.
const NAME: &str = "ires_chat";

/// How long a server may take until it answers, crash recovery included.
const START_LIMIT: Duration = Duration::from_mins(2);

/// How long processes of a killed server may hold its files before we give up.
const RELEASE_LIMIT: Duration = Duration::from_secs(15);

/// How often a server that is not ready yet is asked again.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Where a cluster lives and how it runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory of everything: data, socket, log and lock. Made when missing.
    pub dir: PathBuf,
    /// The directory of Postgres's programs (`CHAT_PG_BIN`); without it they are searched for.
    pub pg_bin: Option<PathBuf>,
    /// More server settings, for example `("max_connections", "200")`.
    pub settings: Vec<(String, String)>,
}

/// How to stop a server, in Postgres's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Open transactions are rolled back, everything is written, clients are cut.
    Fast,
    /// As if it had crashed: the next start recovers.
    Immediate,
}

/// A running cluster that this process owns. Dropping it stops the server.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
    binaries: Binaries,
    settings: Vec<(String, String)>,
    /// The server when it is our child (it is not when we took it over), kept to be reaped.
    child: Mutex<Option<Child>>,
    /// Held until the server has stopped. Opened close-on-exec, so the server does not inherit it.
    _lock: File,
}

/// Why there is no cluster; each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Error {
    #[error(
        "no Postgres found: install it (Debian, Ubuntu: `apt-get install postgresql`; macOS: `brew install postgresql`) \
         or name the directory of its programs in CHAT_PG_BIN"
    )]
    NotInstalled,
    #[error(
        "{dir} (CHAT_PG_BIN) has no working `{program}`: name the directory that holds Postgres's programs"
    )]
    Incomplete { dir: PathBuf, program: &'static str },
    #[error(
        "Postgres {found} in {dir} is too old: install version {} or newer",
        binaries::OLDEST
    )]
    TooOld { dir: PathBuf, found: u32 },
    #[error(
        "{data} was made by Postgres {wanted}, but {dir} holds version {found}: install Postgres {wanted} beside it, \
         or move the data away to begin anew"
    )]
    OtherVersion {
        data: PathBuf,
        wanted: u32,
        dir: PathBuf,
        found: u32,
    },
    #[error("{dir} is in use by {}: stop that one, or take another directory", owner(*.pid))]
    Locked { dir: PathBuf, pid: Option<u32> },
    #[error("{path} is not a Postgres cluster: move it away")]
    NotACluster { path: PathBuf },
    #[error("{path} belongs to user {owner}: run as that user, or give it to yourself with chown")]
    NotYours { path: PathBuf, owner: u32 },
    #[error(
        "{path} belongs to root, and Postgres does not run as root: `chown -R` it to an unprivileged user"
    )]
    BelongsToRoot { path: PathBuf },
    #[error(
        "Postgres does not run as root, and there is neither a user `postgres` nor `nobody`: add one"
    )]
    NoAccount,
    #[error("{path} is open to other users, so the database's socket cannot be there: remove it")]
    Exposed { path: PathBuf },
    #[error("`{program}` failed, saying {said:?} (all of it is in {log})")]
    Failed {
        program: &'static str,
        said: String,
        log: PathBuf,
    },
    #[error("Postgres{} does not answer, saying {said:?}: look into {log}, or end that process", process(*.pid))]
    Silent {
        pid: Option<u32>,
        said: String,
        log: PathBuf,
    },
    #[error("cannot {doing} {path}: {reason}")]
    Io {
        doing: &'static str,
        path: PathBuf,
        reason: io::Error,
    },
}

impl Error {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |reason| Self::Io {
            doing,
            path: path.to_owned(),
            reason,
        }
    }
}

fn owner(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("another ires-chat (process {pid})"),
        None => "another ires-chat".to_owned(),
    }
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})"))
        .unwrap_or_default()
}

impl Cluster {
    /// Makes the cluster or takes it over, and returns when it answers and has the database `ires_chat`.
    ///
    /// Blocks: 1 to 3 s at the first time, well below 1 s later, longer after a crash.
    ///
    /// # Errors
    ///
    /// See [`Error`]: no Postgres, another owner, foreign files, or a server that does not start.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let place = Place::find(&options.dir)?;
        let lock = take_lock(&place.home)?;
        let binaries = binaries::find(options.pg_bin.as_deref(), place.version()?, &place.data)?;
        place.make_socket_dir()?;
        let cluster = Self {
            place,
            binaries,
            settings: options.settings.clone(),
            child: Mutex::new(None),
            _lock: lock,
        };
        if !cluster.place.data.exists() {
            cluster.make()?;
        }
        cluster.start_postgres()?;
        cluster.make_database()?;
        Ok(cluster)
    }

    /// The URL of the chat's database.
    #[must_use]
    pub fn database_url(&self) -> String {
        self.database_url_of(NAME)
    }

    /// The URL of another database of this cluster. It names every part, so that no `PG…` variable changes it.
    #[must_use]
    pub fn database_url_of(&self, database: &str) -> String {
        let socket = self.place.socket.to_string_lossy();
        let (database, socket) = (url_encoded(database), url_encoded(&socket));
        format!("postgres://{NAME}@localhost:5432/{database}?host={socket}")
    }

    /// A line to paste into a shell: an SQL prompt on the chat's database.
    #[must_use]
    pub fn psql(&self) -> String {
        let program = if binaries::is_in_path("psql") {
            "psql".into()
        } else {
            self.binaries.program("psql").to_string_lossy().into_owned()
        };
        let socket = self.place.socket.to_string_lossy();
        [&program, "-h", &*socket, "-p", "5432", "-U", NAME, NAME]
            .map(shell_quoted)
            .join(" ")
    }

    /// Where the data is.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.place.data
    }

    /// Where the socket is: beside the data, or in `/tmp` when that path is too long for a socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.place.socket
    }

    /// The process id of the server, if it runs.
    #[must_use]
    pub fn postmaster_pid(&self) -> Option<u32> {
        if let Some(pid) = self.child_pid() {
            return Some(pid);
        }
        let file = fs::read_to_string(self.place.data.join("postmaster.pid")).ok()?;
        let pid = file.lines().next()?.trim().parse().ok()?;
        is_server_of(pid, &self.place.data).then_some(pid)
    }

    /// Stops the server, in order.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when the server does not stop within a minute.
    pub fn stop(self) -> Result<(), Error> {
        self.stop_postgres(Stop::Fast)
    }

    /// Stops the server and keeps the cluster ours; [`Self::start_postgres`] starts it again.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when the server does not stop within a minute.
    pub fn stop_postgres(&self, how: Stop) -> Result<(), Error> {
        if self.postmaster_pid().is_none() {
            return Ok(());
        }
        let mode = match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        let mut command = self.command("pg_ctl");
        command.arg("stop").arg("-D").arg(&self.place.data);
        let result = self.run("pg_ctl", command.args(["-m", mode, "-w", "-t", "60"]));
        // It may have ended by itself between the question and the command.
        if result.is_err() && self.postmaster_pid().is_some() {
            return result;
        }
        if let Some(mut child) = self.child().take() {
            child
                .wait()
                .map_err(Error::io("wait for", &self.place.data))?;
        }
        Ok(())
    }

    /// Starts the server if it does not run, and returns when it answers.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when the server refuses to start, [`Error::Silent`] when it does not answer in two minutes.
    pub fn start_postgres(&self) -> Result<(), Error> {
        if self.postmaster_pid().is_some() && !self.runs_as_we_would_start_it() {
            self.stop_postgres(Stop::Fast)?;
        }
        let begin = Instant::now();
        while !self.try_to_start(begin)? {
            thread::sleep(ASK_EVERY);
        }
        Ok(())
    }

    /// One attempt; `false` when there is a server no more, for a reason that passes by itself.
    ///
    /// A server answers late after a crash, and `pg_ctl status` calls it running all the while: only a real
    /// connection tells.
    fn try_to_start(&self, begin: Instant) -> Result<bool, Error> {
        let log = self.open_log()?;
        let log_begin = end_of(&log);
        let taken_over = self.postmaster_pid().is_some();
        if !taken_over {
            let mut command = self.command("postgres");
            command.args(self.arguments());
            let child = self.spawn("postgres", &mut command, &log)?;
            *self.child() = Some(child);
        }
        loop {
            match self.ask("SELECT 1") {
                Err(Error::Failed { said, log, .. }) if begin.elapsed() > START_LIMIT => {
                    let pid = self.postmaster_pid();
                    return Err(Error::Silent { pid, said, log });
                }
                Err(Error::Failed { .. }) => {}
                answer => return answer.map(|_| true),
            }
            if self.postmaster_pid().is_none() {
                let said = said_since(&log, log_begin);
                let passes = taken_over || is_held(&said) && begin.elapsed() < RELEASE_LIMIT;
                return if passes {
                    Ok(false)
                } else {
                    Err(self.failed("postgres", said))
                };
            }
            thread::sleep(ASK_EVERY);
        }
    }

    /// Runs `initdb` beside the final place, then renames.
    fn make(&self) -> Result<(), Error> {
        let fresh = self.place.home.join("data.new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(Error::io("clear", &fresh))?;
        }
        // macOS before 15 has no C.UTF-8.
        let made = self.initdb(&fresh, "C.UTF-8");
        match made {
            Err(Error::Failed { said, .. }) if said.contains("locale") => {
                self.initdb(&fresh, "C")?;
            }
            made => made?,
        }
        fs::rename(&fresh, &self.place.data).map_err(Error::io("rename", &fresh))?;
        // A power cut must not undo the renaming once messages have been acknowledged.
        File::open(&self.place.home)
            .and_then(|home| home.sync_all())
            .map_err(Error::io("write", &self.place.home))
    }

    fn initdb(&self, dir: &Path, locale: &str) -> Result<(), Error> {
        if !dir.exists() {
            place::make_private_dir(dir, self.place.account)?;
        }
        let mut command = self.command("initdb");
        command.arg("-D").arg(dir).args([
            "-U",
            NAME,
            "--auth=trust",
            "-E",
            "UTF8",
            "--data-checksums",
        ]);
        self.run("initdb", command.arg(format!("--locale={locale}")))
    }

    fn make_database(&self) -> Result<(), Error> {
        let found = self.ask(&format!(
            "SELECT count(*) FROM pg_database WHERE datname = '{NAME}'"
        ))?;
        if found == "0" {
            self.ask(&format!("CREATE DATABASE {NAME}"))?;
        }
        Ok(())
    }

    /// Runs one statement over a new connection and returns what it prints.
    fn ask(&self, sql: &str) -> Result<String, Error> {
        let program = self.binaries.program("psql");
        let output = self
            .command("psql")
            .env("PGCONNECT_TIMEOUT", "3")
            .arg("-h")
            .arg(&self.place.socket)
            .args([
                "-p", "5432", "-U", NAME, "-d", "postgres", "-X", "-A", "-t", "-c", sql,
            ])
            .output()
            .map_err(Error::io("run", &program))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(self.failed("psql", main_line(&String::from_utf8_lossy(&output.stderr))))
        }
    }

    /// The server's arguments. The last of two equal settings counts, so `settings` can change ours.
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
        let theirs = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let data = self.place.data.to_string_lossy().into_owned();
        let settings = ours.into_iter().chain(theirs);
        ["-D".to_owned(), data]
            .into_iter()
            .chain(settings.flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]))
            .collect()
    }

    /// Whether the running server was started with our settings; Postgres writes its command line down.
    fn runs_as_we_would_start_it(&self) -> bool {
        let ours = format!("\"{}\"", self.arguments().join("\" \""));
        fs::read_to_string(self.place.data.join("postmaster.opts"))
            .is_ok_and(|written| written.trim_end().ends_with(&ours))
    }

    fn command(&self, program: &str) -> Command {
        self.place.command(&self.binaries.program(program))
    }

    /// Runs a program to its end, its output going to the log.
    fn run(&self, name: &'static str, command: &mut Command) -> Result<(), Error> {
        let log = self.open_log()?;
        let begin = end_of(&log);
        let mut child = self.spawn(name, command, &log)?;
        let status = child
            .wait()
            .map_err(Error::io("wait for", &self.binaries.program(name)))?;
        if status.success() {
            Ok(())
        } else {
            Err(self.failed(name, said_since(&log, begin)))
        }
    }

    fn spawn(&self, name: &'static str, command: &mut Command, log: &File) -> Result<Child, Error> {
        let [out, err] = [log.try_clone(), log.try_clone()];
        let log_path = self.log_path();
        command.stdout(out.map_err(Error::io("write", &log_path))?);
        command.stderr(err.map_err(Error::io("write", &log_path))?);
        command
            .spawn()
            .map_err(Error::io("run", &self.binaries.program(name)))
    }

    fn failed(&self, program: &'static str, said: String) -> Error {
        Error::Failed {
            program,
            said,
            log: self.log_path(),
        }
    }

    fn log_path(&self) -> PathBuf {
        self.place.home.join("postgres.log")
    }

    fn open_log(&self) -> Result<File, Error> {
        let path = self.log_path();
        let mut options = File::options();
        options.create(true).append(true).read(true).mode(0o600);
        options.open(&path).map_err(Error::io("write", &path))
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server if it is our child and lives. One that is dying is waited for: until it is reaped, it looks to the
    /// next one as if it were alive.
    fn child_pid(&self) -> Option<u32> {
        let mut child = self.child();
        let server = child.as_mut()?;
        let ended = !matches!(server.try_wait(), Ok(None));
        if !ended && is_server_of(server.id(), &self.place.data) {
            return Some(server.id());
        }
        let _ = server.wait();
        *child = None;
        None
    }
}

impl Drop for Cluster {
    /// Whoever leaves by an error leaves no server behind.
    fn drop(&mut self) {
        // There is nobody left to tell, and the next start takes over whatever is there.
        let _ = self.stop_postgres(Stop::Fast);
        self.place.remove_socket_dir();
    }
}

/// Makes us the only owner of `home`. The system frees the lock when we end, however we end.
fn take_lock(home: &Path) -> Result<File, Error> {
    let path = home.join("lock");
    let open = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let mut lock = open.map_err(Error::io("open", &path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = io::read_to_string(&lock)
                .ok()
                .and_then(|pid| pid.trim().parse().ok());
            return Err(Error::Locked {
                dir: home.to_owned(),
                pid,
            });
        }
        Err(TryLockError::Error(reason)) => return Err(Error::io("lock", &path)(reason)),
    }
    lock.set_len(0)
        .and_then(|()| writeln!(lock, "{}", std::process::id()))
        .map_err(Error::io("write", &path))?;
    Ok(lock)
}

/// Whether the process is the server of these files, not another that got its number after a crash.
fn is_server_of(pid: u32, data: &Path) -> bool {
    if cfg!(target_os = "linux") {
        // Empty for a zombie.
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command
            .split(|&byte| byte == 0)
            .any(|argument| argument == data.as_os_str().as_bytes())
    } else {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        pid.is_some_and(|pid| test_kill_process(pid).is_ok())
    }
}

/// What Postgres says while the processes of the server before are still ending.
fn is_held(said: &str) -> bool {
    said.contains("is still in use") || said.contains("already exists")
}

fn end_of(mut log: &File) -> u64 {
    log.seek(SeekFrom::End(0)).unwrap_or_default()
}

fn said_since(mut log: &File, begin: u64) -> String {
    let read = log
        .seek(SeekFrom::Start(begin))
        .and_then(|_| io::read_to_string(log));
    main_line(&read.unwrap_or_default())
}

/// The line that gives the reason: the last error, else the last line.
fn main_line(output: &str) -> String {
    let lines = || {
        output
            .lines()
            .rev()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let is_error = |line: &&str| {
        ["FATAL: ", "PANIC: ", "error: "]
            .iter()
            .any(|word| line.contains(word))
    };
    lines()
        .find(is_error)
        .or_else(|| lines().next())
        .unwrap_or_default()
        .to_owned()
}

/// Percent-encodes all that could mean something in a URL. A slash means nothing in a query.
fn url_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut url, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            url.push(byte.into());
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
        url
    })
}

fn shell_quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgConnectOptions;

    use super::*;

    #[test]
    fn an_encoded_url_is_read_back_by_sqlx() {
        let socket = "/a b/ü?&=+%#'\"/socket";
        let url = format!(
            "postgres://{NAME}@localhost:5432/{}?host={}",
            url_encoded("ires chat"),
            url_encoded(socket)
        );
        let options: PgConnectOptions = url.parse().unwrap();
        assert_eq!(
            options.get_socket().map(PathBuf::as_path),
            Some(Path::new(socket))
        );
        assert_eq!(options.get_database(), Some("ires chat"));
        assert_eq!(options.get_username(), NAME);
        assert_eq!(options.get_port(), 5432);
    }

    #[test]
    fn a_shell_reads_a_quoted_word_as_it_was() {
        for word in ["plain-1.0/x", "", "two words", "it's", "$HOME `id` \"\\"] {
            let echo = format!("printf %s {}", shell_quoted(word));
            let output = Command::new("/bin/sh")
                .args(["-c", &echo])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
        assert_eq!(shell_quoted("/usr/bin/psql"), "/usr/bin/psql");
    }

    #[test]
    fn the_reason_is_picked_out_of_the_output() {
        assert_eq!(
            main_line("starting\nFATAL:  no space\nHINT:  buy a disk\n"),
            "FATAL:  no space"
        );
        assert_eq!(main_line("pg_ctl: one\npg_ctl: two\n\n"), "pg_ctl: two");
        assert_eq!(main_line(""), "");
    }

    #[test]
    fn this_process_is_no_server() {
        assert!(!is_server_of(
            std::process::id(),
            Path::new("/srv/chat/data")
        ));
    }
}
