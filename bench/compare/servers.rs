//! The servers that are compared: how each is started on a database of its own, and ended.

use clap::{Parser, ValueEnum};
use ires_chat::{
    auth::tokens::Keys,
    bench::{Preparation, READER, Target, Workload},
    config::{AuthSettings, Secret},
    embedded::Cluster,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

/// A secret for an hour on loopback.
const SECRET: &str = "a-secret-of-the-benchmark-and-of-nothing-else";
/// How long a server may take to begin.
const START: Duration = Duration::from_secs(20);

/// Settings of limits on use.
type Limits = &'static [(&'static str, &'static str)];
/// For a load that comes from few users at one address.
const UNLIMITED: Limits = &[("CHAT_LIMITS", "off")];
/// The limits of users as they are, and an address that all clients share.
const LIMITED: Limits = &[("CHAT_LIMITS", "on"), ("CHAT_CONNECTIONS_PER_IP", "100000"), ("CHAT_LIMIT_CONNECT", "2400/40")];

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// This server
    Ires,
    /// Another build of this server: the one that `--before` names
    Before,
    /// The seed's stack: `NestJS` 10, socket.io 4.7, pg
    Nest,
    /// Tuned Node: socket.io 4.8, pg, an INSERT a message
    Node,
    /// The same with group commit
    Group,
    /// Bare `WebSocket`s, a queue per socket, no database
    Ceiling,
}

impl Kind {
    /// What it is called in the report.
    pub fn title(self) -> &'static str {
        match self {
            Self::Ires => "ires-chat",
            Self::Before => "ires-chat before",
            Self::Nest => "seed's stack (NestJS)",
            Self::Node => "tuned Node",
            Self::Group => "tuned Node, group commit",
            Self::Ceiling => "ceiling",
        }
    }

    /// Whether it takes part: the ceiling has neither users nor a history.
    pub fn can(self, workload: Workload) -> bool {
        match self {
            Self::Ceiling => !matches!(workload, Workload::S3 | Workload::S5 | Workload::S6 | Workload::H | Workload::Q | Workload::F),
            // It reads like the other Node.
            Self::Group => !matches!(workload, Workload::S6 | Workload::H | Workload::Q | Workload::F),
            // They have neither limits nor a search.
            Self::Nest | Self::Node => !matches!(workload, Workload::Q | Workload::F),
            Self::Before => workload != Workload::Q,
            Self::Ires => true,
        }
    }
}

/// Installs what the peers need, and leaves out those that cannot be had here.
pub fn prepare(kinds: &[Kind]) -> Vec<Kind> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/peers");
    let available = |kind: &Kind| {
        let steps: &[(&str, &[&str])] = match kind {
            Kind::Nest => &[("nest", &["ci", "--no-audit", "--no-fund"]), ("nest", &["run", "build"])],
            Kind::Node | Kind::Group => &[("node", &["ci", "--no-audit", "--no-fund"])],
            Kind::Ires | Kind::Before | Kind::Ceiling => &[],
        };
        steps.iter().all(|(dir, arguments)| {
            let dir = peers.join(dir);
            if arguments[0] == "ci" && dir.join("node_modules").exists() {
                return true;
            }
            eprintln!("npm {} in {}", arguments.join(" "), dir.display());
            let done = Command::new("npm").args(*arguments).current_dir(&dir).stdout(Stdio::null()).status();
            let fine = done.as_ref().is_ok_and(std::process::ExitStatus::success);
            if !fine {
                eprintln!("{kind:?} is left out: npm says {done:?}");
            }
            fine
        })
    };
    kinds.iter().copied().filter(available).collect()
}

/// What the messages say whose history is read.
const NUMBERED: &str =
    "'Message number ' || n || ' of a long conversation about nothing in particular, in which every line says about as much as this one.'";

/// What the messages say that are searched: eighteen words of a vocabulary of 4,000, some much more frequent than others, as in a
/// language; in every tenth one `meeting`, in every fiftieth a sentence in Chinese, and twice in a room, however long it is, a
/// rare word and a rare name.
const WORDS: &str =
    "(SELECT string_agg(words, ' ') FROM phrases WHERE p IN (n::bigint * 7919 % 20000, n::bigint * 15485863 % 20000, n::bigint / 7 % 20000))
    || CASE WHEN n % 10 = 0 THEN ' meeting' ELSE '' END || CASE WHEN n % 50 = 1 THEN ' 我们明天去北京开会' ELSE '' END
    || CASE WHEN n IN ({length} / 3, {length} / 2) THEN ' zugzwang 東京タワー' ELSE '' END";

/// 20,000 phrases of six words.
const PHRASES: &str = "
    CREATE TEMPORARY TABLE phrases (p bigint PRIMARY KEY, words text NOT NULL);
    INSERT INTO phrases
    SELECT p, string_agg(syllable[1 + w % 40] || syllable[1 + w / 40 % 40] || CASE WHEN w >= 1600 THEN syllable[1 + w / 1600] ELSE '' END, ' ')
    FROM (
        SELECT p, (power(('x' || substr(md5(p || '-' || k), 1, 7))::bit(28)::integer / 268435456.0, 3) * 4000)::integer AS w
        FROM generate_series(0, 19999) AS p, generate_series(1, 6) AS k
    ) AS picked,
    (SELECT string_to_array('ka lo mi ter sun pre con vi dor las ing ble ra ne tu sho wem qui fra gol '
        || 'hep jin bru dex yon zar oth ple ist ven cu mor nal eph rad sti wor gam tle un', ' ') AS syllable) AS s
    GROUP BY p;
    ANALYZE phrases;";

/// The settings that a server has when none are given.
#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    auth: AuthSettings,
}

/// The benchmark's Postgres, and what is needed to start servers on it.
pub struct Bench<'a> {
    cluster: &'a Cluster,
    before: &'a Path,
    runtime: tokio::runtime::Runtime,
    keys: Arc<Keys>,
    databases: u32,
}

/// A server that runs. Dropping it ends it.
pub struct Running {
    /// The way to it.
    pub target: Target,
    child: Child,
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it, and waits until it has.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing of it is kept, so nothing need be finished.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<'a> Bench<'a> {
    /// On this cluster; `before` is the program of [`Kind::Before`].
    pub fn new(cluster: &'a Cluster, before: &'a Path) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let auth = AuthSettings { jwt_secret: Some(Secret::new(SECRET)), ..Defaults::parse_from(["compare"]).auth };
        let keys = Arc::new(Keys::new(&auth)?);
        Ok(Self { cluster, before, runtime, keys, databases: 0 })
    }

    /// Starts a server on a new database, or on the one with histories of these lengths, which is kept from round to round.
    pub fn start(&mut self, kind: Kind, lengths: &[u64], workload: Workload) -> Result<Running, String> {
        let limits = if workload == Workload::F { LIMITED } else { UNLIMITED };
        let database = if lengths.is_empty() {
            self.databases += 1;
            // One is enough at a time, but the last may still be in use for a moment.
            self.drop_database(&format!("bench_{}", self.databases - 1))?;
            format!("bench_{}", self.databases)
        } else {
            format!("bench_{workload:?}_{kind:?}").to_lowercase()
        };
        let made = kind == Kind::Ceiling || self.execute("ires_chat", &format!("CREATE DATABASE {database}")).is_ok();
        let mut running = self.spawn(kind, &database, limits)?;
        if made {
            for length in lengths {
                self.fill(kind, &database, *length, if workload == Workload::Q { WORDS } else { NUMBERED })?;
            }
            if workload == Workload::Q {
                // A server looks at all rooms when it starts.
                running.stop();
                running = self.spawn(kind, &database, limits)?;
            }
        }
        running.target.history = lengths.iter().map(|length| (*length, format!("history-{length}"))).collect();
        Ok(running)
    }

    fn spawn(&self, kind: Kind, database: &str, limits: Limits) -> Result<Running, String> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map_err(|error| error.to_string())?.port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/peers");
        let mut command = match kind {
            Kind::Ires => Command::new(env!("CARGO_BIN_EXE_ires-chat")),
            Kind::Before => Command::new(self.before),
            Kind::Ceiling => Command::new(std::env::current_exe().map_err(|error| error.to_string())?),
            Kind::Nest | Kind::Node | Kind::Group => Command::new("node"),
        };
        match kind {
            Kind::Ires | Kind::Before => {
                // A build from before there were limits takes the setting for a misspelt one.
                let limits: Limits = if kind == Kind::Before && !self.before_knows_limits() { &[] } else { limits };
                command.arg("serve").env("CHAT_REGISTRATION", "off").envs(limits.iter().copied()).env("RUST_LOG", "warn")
            }
            Kind::Ceiling => command.arg("ceiling"),
            Kind::Nest => command.arg("dist/main.js").current_dir(peers.join("nest")),
            Kind::Node | Kind::Group => command.arg("server.js").current_dir(peers.join("node")),
        };
        if kind == Kind::Group {
            command.env("GROUP_COMMIT", "1");
        }
        let command = command
            .env("PORT", port.to_string())
            .env("DATABASE_URL", self.cluster.database_url_of(database))
            .env("JWT_SECRET", SECRET)
            .env("NODE_ENV", "production")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let url = self.cluster.database_url_of(database);
        let prepared: Option<Preparation> = (kind != Kind::Ceiling).then(|| Arc::new(move || at_rest(&url)) as Preparation);
        let child = command.spawn().map_err(|error| format!("{kind:?} cannot be started: {error}"))?;
        let target = Target {
            address,
            keys: self.keys.clone(),
            server: Some(child.id()),
            postgres: self.cluster.postmaster_pid(),
            history: Vec::new(),
            prepared,
        };
        let mut running = Running { target, child };
        let end = Instant::now() + START;
        while !is_ready(address) {
            if let Ok(Some(status)) = running.child.try_wait() {
                return Err(format!("{kind:?} ended: {status}"));
            }
            if Instant::now() > end {
                return Err(format!("{kind:?} is not ready after {START:?}"));
            }
            sleep(Duration::from_millis(5));
        }
        Ok(running)
    }

    fn before_knows_limits(&self) -> bool {
        let help = Command::new(self.before).args(["serve", "--help"]).output();
        help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("CHAT_LIMITS"))
    }

    /// Times, in milliseconds, from the start of our program to the first accepted connection, on a migrated database.
    pub fn starts(&mut self, count: u32) -> Result<Vec<f64>, String> {
        self.start(Kind::Ires, &[], Workload::S1w4)?.stop();
        let database = format!("bench_{}", self.databases);
        (0..count)
            .map(|_| {
                let start = Instant::now();
                let running = self.spawn(Kind::Ires, &database, UNLIMITED)?;
                let took = start.elapsed();
                running.stop();
                Ok(took.as_secs_f64() * 1_000.0)
            })
            .collect()
    }

    /// Fills a room with messages, one a second up to now, as many years of chat would.
    fn fill(&self, kind: Kind, database: &str, length: u64, content: &str) -> Result<(), String> {
        eprintln!("{length} messages for {kind:?}");
        let room = format!("history-{length}");
        let phrases = if content == WORDS { PHRASES } else { "" };
        let content = content.replace("{length}", &length.to_string());
        let statements = if matches!(kind, Kind::Ires | Kind::Before) {
            format!(
                "{phrases}
                 INSERT INTO users (id) VALUES ('{READER}') ON CONFLICT DO NOTHING;
                 INSERT INTO rooms (id, slug, type, name, created_by, member_count, last_seq, last_message_seq)
                     VALUES (gen_random_uuid(), '{room}', 'group', '{room}', '{READER}', 1, {length}, {length});
                 INSERT INTO room_members (room_id, user_id, role, read_seq) SELECT id, '{READER}', 'owner', {length} FROM rooms WHERE slug = '{room}';
                 INSERT INTO messages (room_id, seq, rev, id, author_id, type, content, created_at)
                     SELECT r.id, n, n, gen_random_uuid(), '{READER}', 'text', {content}, now() - ({length} - n) * interval '1 second'
                     FROM rooms AS r, generate_series(1, {length}) AS n WHERE r.slug = '{room}';"
            )
        } else {
            format!(
                "INSERT INTO bench_members (room_id, user_id) VALUES ('{room}', '{READER}');
                 INSERT INTO bench_messages (room_id, seq, sender_id, sender_name, content, created_at)
                     SELECT '{room}', n, '{READER}', '{READER}', {content}, now() - ({length} - n) * interval '1 second'
                     FROM generate_series(1, {length}) AS n;"
            )
        };
        self.execute(database, &statements)?;
        self.execute(database, "VACUUM ANALYZE")
    }

    /// Writes out what earlier work left in memory.
    pub fn checkpoint(&self) -> Result<(), String> {
        self.execute("ires_chat", "CHECKPOINT")
    }

    fn drop_database(&self, name: &str) -> Result<(), String> {
        self.execute("ires_chat", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    }

    /// As Postgres says it.
    pub fn postgres_version(&self) -> Result<String, String> {
        self.runtime.block_on(async {
            let mut db = PgConnection::connect(&self.cluster.database_url()).await.map_err(|error| error.to_string())?;
            sqlx::query_scalar("SHOW server_version").fetch_one(&mut db).await.map_err(|error| error.to_string())
        })
    }

    fn execute(&self, database: &str, statements: &str) -> Result<(), String> {
        self.runtime.block_on(async {
            let mut db = PgConnection::connect(&self.cluster.database_url_of(database)).await.map_err(|error| error.to_string())?;
            raw_sql(AssertSqlSafe(statements)).execute(&mut db).await.map_err(|error| error.to_string())?;
            db.close().await.map_err(|error| error.to_string())
        })
    }
}

/// Gathers statistics, and writes out what was done before: it is not what is measured. A thread of its own, since the clients'
/// thread has a runtime already.
fn at_rest(url: &str) -> Result<(), String> {
    let execute = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let mut db = PgConnection::connect(url).await.map_err(|error| error.to_string())?;
            for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
                raw_sql(AssertSqlSafe(statement)).execute(&mut db).await.map_err(|error| error.to_string())?;
            }
            db.close().await.map_err(|error| error.to_string())
        })
    };
    std::thread::scope(|scope| scope.spawn(execute).join()).map_err(|_| "a thread panicked".to_owned())?
}

fn is_ready(address: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok::<_, std::io::Error>(answer.ends_with(b"200"))
    };
    ask().unwrap_or(false)
}
