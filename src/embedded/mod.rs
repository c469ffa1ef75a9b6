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
mod error;
mod log;
mod place;
mod quoting;
mod server;

use std::{
    fs::{File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant},
};

pub use self::error::Error;
use self::{
    place::Place,
    quoting::{shell_quoted, url_encoded},
    server::Server,
};

/// How long a lock may outlive its owner.
const LOCK_LINGERS: Duration = Duration::from_millis(500);

/// The role and the database of the chat.
const NAME: &str = "ires_chat";

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
    server: Server,
    /// Held until the server has stopped. Opened close-on-exec, so the server does not inherit it.
    _lock: File,
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
        place.remove_half_made();
        place.make_socket_dir()?;
        let cluster = Self { server: Server::new(place, binaries, options.settings.clone()), _lock: lock };
        if !cluster.data_dir().exists() {
            cluster.server.make()?;
        }
        cluster.server.start()?;
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
        let socket = self.server.place.socket.to_string_lossy();
        let (database, socket) = (url_encoded(database), url_encoded(&socket));
        format!("postgres://{NAME}@localhost:5432/{database}?host={socket}")
    }

    /// A line to paste into a shell: an SQL prompt on the chat's database.
    #[must_use]
    pub fn psql(&self) -> String {
        let program = if binaries::is_in_path("psql") { "psql".into() } else { self.server.binaries.program("psql").to_string_lossy().into_owned() };
        let socket = self.server.place.socket.to_string_lossy();
        [&program, "-h", &*socket, "-p", "5432", "-U", NAME, NAME].map(shell_quoted).join(" ")
    }

    /// Where the data is.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.server.place.data
    }

    /// Where the socket is: beside the data, or in `/tmp` when that path is too long for a socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.server.place.socket
    }

    /// The process id of the server, if it runs.
    #[must_use]
    pub fn postmaster_pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Stops the server, in order, and gives the cluster up.
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
        self.server.stop(how)
    }

    /// Starts the server if it does not run, and returns when it answers.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when the server refuses to start, [`Error::Silent`] when it does not answer in two minutes.
    pub fn start_postgres(&self) -> Result<(), Error> {
        self.server.start()
    }

    fn make_database(&self) -> Result<(), Error> {
        let count = format!("SELECT count(*) FROM pg_database WHERE datname = '{NAME}'");
        if self.server.ask(&count)? == "0" {
            self.server.ask(&format!("CREATE DATABASE {NAME}"))?;
        }
        Ok(())
    }
}

impl Drop for Cluster {
    /// Whoever leaves by an error leaves no server behind.
    fn drop(&mut self) {
        // There is nobody left to tell, and the next start takes over whatever is there.
        let _ = self.stop_postgres(Stop::Fast);
        self.server.place.remove_socket_dir();
    }
}

/// A program of an installed Postgres that is of at least this version: an older `pg_dump` refuses a newer server.
///
/// # Errors
/// [`Error::NoClient`].
pub fn client(pg_bin: Option<&Path>, program: &'static str, least: u32) -> Result<PathBuf, Error> {
    binaries::client(pg_bin, program, least)
}

/// Makes us the only owner of `home`. The system frees the lock when we end, however we end.
fn take_lock(home: &Path) -> Result<File, Error> {
    let path = home.join("lock");
    let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let mut lock = open.map_err(Error::io("open", &path))?;
    let begin = Instant::now();
    let mut locked = lock.try_lock();
    // Between its fork and its exec a child of another thread holds a copy of a lock that was just given back.
    while matches!(locked, Err(TryLockError::WouldBlock)) && begin.elapsed() < LOCK_LINGERS {
        thread::sleep(Duration::from_millis(20));
        locked = lock.try_lock();
    }
    match locked {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = io::read_to_string(&lock).ok().and_then(|pid| pid.trim().parse().ok());
            return Err(Error::Locked { dir: home.to_owned(), pid });
        }
        Err(TryLockError::Error(reason)) => return Err(Error::io("lock", &path)(reason)),
    }
    lock.set_len(0).and_then(|()| writeln!(lock, "{}", process::id())).map_err(Error::io("write", &path))?;
    Ok(lock)
}
