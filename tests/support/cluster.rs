//! Postgres for the tests: one throw-away cluster for all tests of a process, and others for tests that stop theirs.
//!
//! Nothing is left behind. A test that ends well, fails or panics drops its own cluster; the shared one, and all of
//! them when the process is killed, fall to a watcher: a shell that waits for the end of its input, which comes when
//! this process is gone, however it went.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        LazyLock, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use ires_chat::embedded::{Cluster, Error, Options, Stop};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, postgres::PgConnectOptions};

use super::wait::LIMIT;

/// A database server, ours or (with `TEST_DATABASE_URL`) somebody else's.
pub struct Server {
    /// `None` for a server that is not ours.
    own: Option<Own>,
    /// The URL of a database from which others are made.
    admin_url: String,
}

/// A cluster in a temporary directory. The order of the fields is the order in which they go.
struct Own {
    cluster: Cluster,
    disk: Option<Disk>,
    _dir: TempDir,
}

/// A small disk, in memory, that is mounted somewhere.
struct Disk(PathBuf);

/// The server of all tests that do not hurt it: `TEST_DATABASE_URL` if set, else a cluster of this process.
///
/// Blocks while the cluster starts, at the first call.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| match env::var("TEST_DATABASE_URL") {
        Ok(admin_url) if !admin_url.is_empty() => {
            // The template of this run, and what a killed run leaves.
            tell_watcher(&format!("databases {admin_url} chat_test_{}_", std::process::id()));
            Server { own: None, admin_url }
        }
        _ => Server::start(env::var_os("CHAT_PG_BIN").map(Into::into)).expect("a throw-away cluster starts"),
    })
}

/// A cluster of one test, which may stop, kill and freeze it. It goes when dropped.
pub fn exclusive() -> Server {
    Server::start(env::var_os("CHAT_PG_BIN").map(Into::into)).expect("a throw-away cluster starts")
}

/// Like [`exclusive`], on a disk of its own of so many megabytes, which may be filled; `None` where we may not mount one.
pub fn on_small_disk(megabytes: u32) -> Option<Server> {
    let dir = TempDir::new();
    let options = format!("size={megabytes}m,mode=711");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "ires-chat-test"]).arg(dir.path()).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let disk = Disk(dir.path().to_owned());
    let small = [("min_wal_size", "32MB"), ("max_wal_size", "48MB")];
    Some(Server::start_in(dir, Some(disk), env::var_os("CHAT_PG_BIN").map(Into::into), &small).expect("a throw-away cluster starts"))
}

/// Like [`exclusive`], with the programs of Postgres in this directory, which may not work everywhere.
pub fn with_programs(dir: PathBuf) -> Result<Server, Error> {
    Server::start(Some(dir))
}

impl Server {
    fn start(pg_bin: Option<PathBuf>) -> Result<Self, Error> {
        Self::start_in(TempDir::new(), None, pg_bin, &[])
    }

    fn start_in(dir: TempDir, disk: Option<Disk>, pg_bin: Option<PathBuf>, more: &[(&str, &str)]) -> Result<Self, Error> {
        let options = Options {
            dir: dir.path().to_owned(),
            pg_bin,
            settings: [
                ("max_connections", "400"),
                ("shared_buffers", "64MB"),
                // Tests end long before a checkpoint is due, and one would slow the others down.
                ("checkpoint_timeout", "1h"),
            ]
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        };
        let cluster = Cluster::start(&options)?;
        let admin_url = cluster.database_url_of("postgres");
        Ok(Self { own: Some(Own { cluster, disk, _dir: dir }), admin_url })
    }

    /// The URL of one of the databases.
    pub fn url(&self, database: &str) -> String {
        let (server, parameters) = match self.admin_url.split_once('?') {
            Some((server, parameters)) => (server, format!("?{parameters}")),
            None => (self.admin_url.as_str(), String::new()),
        };
        let authority = server.find("://").map_or(0, |scheme| scheme + 3);
        let end = server[authority..].find('/').map_or(server.len(), |path| authority + path);
        format!("{}/{database}{parameters}", &server[..end])
    }

    /// Makes a database, as a copy of another if a template is named. Nobody may be connected to the template.
    pub async fn create_database(&self, name: &str, template: Option<&str>) {
        let mut statement = format!("CREATE DATABASE \"{name}\"");
        if let Some(template) = template {
            write!(statement, " TEMPLATE \"{template}\"").expect("a string takes it");
        }
        self.administer(statement).await;
    }

    /// Drops a database, cutting whoever is connected to it.
    pub async fn drop_database(&self, name: &str) {
        self.administer(format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)")).await;
    }

    /// A connection to one of the databases.
    pub async fn connect(&self, database: &str) -> PgConnection {
        let options: PgConnectOptions = self.url(database).parse().expect("a URL of Postgres");
        options.connect().await.expect("the test server takes a connection")
    }

    async fn administer(&self, statement: String) {
        let mut admin = PgConnection::connect(&self.admin_url).await.expect("the test server takes a connection");
        admin.execute(AssertSqlSafe(statement.as_str())).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        admin.close().await.expect("a connection closes");
    }

    /// Stops the server in order (an exclusive one only, as all that follow).
    pub fn stop(&self) {
        self.cluster().stop_postgres(Stop::Fast).expect("the server stops");
    }

    /// Starts the server again after [`Self::stop`] or [`Self::kill`]; returns when it answers.
    pub fn start_again(&self) {
        self.cluster().start_postgres().expect("the server starts again");
    }

    /// `kill -9` of the server's first process; returns when the others have noticed: until then they may answer.
    pub fn kill(&self) {
        let pid = self.pid();
        let children = children_of(pid);
        signal(pid, Signal::KILL);
        for child in &children {
            signal(*child, Signal::CONT); // A frozen one notices nothing.
        }
        let begun = Instant::now();
        while self.cluster().postmaster_pid().is_some() || children.iter().any(|child| runs(*child)) {
            assert!(begun.elapsed() < LIMIT, "what is left of Postgres does not end");
            sleep(Duration::from_millis(1));
        }
    }

    /// Freezes all of the server's processes: connections stay open and nothing answers.
    pub fn freeze(&self) {
        let pid = self.pid();
        signal(pid, Signal::STOP); // First, lest it make more children.
        for child in children_of(pid) {
            signal(child, Signal::STOP);
        }
    }

    /// Undoes [`Self::freeze`].
    pub fn thaw(&self) {
        thaw(self.cluster());
    }

    /// Takes all the space that is left on the disk of [`on_small_disk`].
    pub fn fill_disk(&self) {
        let mut filler = fs::File::create(self.filler()).expect("there is a disk");
        while filler.write_all(&[0; 8_192]).is_ok() {}
    }

    /// Gives it back.
    pub fn empty_disk(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }

    fn filler(&self) -> PathBuf {
        let disk = self.own.as_ref().and_then(|own| own.disk.as_ref());
        disk.expect("only a cluster on a small disk can fill it").0.join("filler")
    }

    /// Whether the server runs.
    pub fn runs(&self) -> bool {
        self.cluster().postmaster_pid().is_some()
    }

    /// The id of the server's first process.
    pub fn pid(&self) -> u32 {
        self.cluster().postmaster_pid().expect("the server runs")
    }

    /// The cluster itself.
    pub fn cluster(&self) -> &Cluster {
        let own = self.own.as_ref();
        &own.expect("only a cluster of our own can be stopped").cluster
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        thaw(&self.cluster);
        let stopped = self.cluster.stop_postgres(Stop::Immediate);
        if let (Err(error), false) = (stopped, std::thread::panicking()) {
            panic!("{error}");
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn thaw(cluster: &Cluster) {
    if let Some(pid) = cluster.postmaster_pid() {
        for pid in children_of(pid) {
            signal(pid, Signal::CONT);
        }
        signal(pid, Signal::CONT);
    }
}

/// The child processes of a process, as Linux lists them.
fn children_of(parent: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let children = children.expect("Linux lists the children of a process that runs");
    children.split_whitespace().map(|pid| pid.parse().expect("a process id")).collect()
}

/// Whether the process exists and is no zombie.
pub fn runs(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| !command.is_empty())
}

/// Sends a signal; a process that is gone already is no error.
pub fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    let _ = kill_process(pid, signal);
}

/// An empty directory that is removed when dropped, and by the watcher when that never happens.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Not `TMPDIR`: this one is short enough for a socket, and open to the user who runs Postgres when we are root.
        let parent = fs::canonicalize("/tmp").expect("there is a directory for temporary files");
        let path = parent.join(format!("ires-chat-test-{}-{number}", std::process::id()));
        watch(&path);
        // Left behind by a process with our number when even the watcher was killed.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a temporary directory can be made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o711)).expect("it is ours");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Puts a directory into the care of the watcher: when this process ends, all processes that have its name among their
/// arguments or variables are stopped, such as a tested server whose `DATABASE_URL` leads there, and it is removed.
fn watch(dir: &Path) {
    tell_watcher(&dir.display().to_string());
}

/// Tells the watcher what to look after.
fn tell_watcher(line: &str) {
    static WATCHER: LazyLock<Mutex<(Child, ChildStdin)>> = LazyLock::new(|| {
        let mut watcher = Command::new("/bin/sh")
            .args(["-c", include_str!("watcher.sh")])
            .current_dir("/")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C at the terminal is for us, and the watcher outlives us.
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        let input = watcher.stdin.take().expect("its input is a pipe");
        Mutex::new((watcher, input))
    });
    let mut watcher = WATCHER.lock().expect("no test panics while it writes a line");
    writeln!(watcher.1, "{line}").expect("the watcher listens");
}
