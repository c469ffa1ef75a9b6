//! The server under test, on a database of its own.

use std::{
    fs,
    path::Path,
    process::ExitStatus,
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::Client;
use rustix::process::Signal;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgRow};

use super::{
    Dial, Reply, TestUser, cluster,
    database::Database,
    process::{Running, Server, UNSET},
    token,
    wait::{eventually, within},
};

pub struct TestApp {
    server: Option<Server>,
    environment: Vec<(String, String)>,
    logs: Arc<Mutex<String>>,
    pub http: Client,
    pub database: Database,
}

impl TestApp {
    /// A server with the settings that tests share.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A server with further settings, which win over the shared ones. Nothing is refused because a busy machine's database takes its
    /// time, unless a test is about that.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        Self::on(Database::migrated().await, &[&[PATIENCE], settings].concat())
    }

    /// A server on a cluster that this test alone uses (and may stop, kill or freeze).
    pub async fn on_cluster(cluster: &cluster::Server, settings: &[(&str, &str)]) -> Self {
        Self::on(Database::on(cluster).await, settings)
    }

    /// A server on this database.
    pub fn on(database: Database, settings: &[(&str, &str)]) -> Self {
        let shared = [
            ("DATABASE_URL", database.url()),
            ("JWT_SECRET", token::SECRET),
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("RUST_LOG", "info,ires_chat=debug"),
            // No test waits for the grace of a reload, unless it is about it.
            ("CHAT_PRESENCE_GRACE", "100ms"),
            // Nor is any test held up by limits on use, unless it is about them.
            ("CHAT_LIMITS", "off"),
        ];
        let environment: Vec<_> = shared
            .into_iter()
            .filter(|(key, _)| settings.iter().all(|(other, _)| other != key))
            .chain(settings.iter().copied().filter(|(_, value)| *value != UNSET))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let logs = Arc::default();
        let server = Some(Server::start(&environment, &logs));
        Self { server, environment, logs, http: Client::new(), database }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("the server is not running")
    }

    /// `http://127.0.0.1:PORT`
    pub fn base(&self) -> &str {
        &self.server().base
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.server().pid()
    }

    /// Mebibytes that it has in memory; the system's own buffers are not among them.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
    }

    /// Everything that the server has logged so far, over its restarts.
    pub fn logs(&self) -> String {
        self.logs.lock().unwrap().clone()
    }

    // ── who uses it ──────────────────────────────────────────────────────────────────────────────────────────

    /// Somebody of the surrounding system, already seen by the server once.
    pub async fn user(&self, id: &str) -> TestUser {
        let user = self.stranger(id);
        user.get("/users/me").await.expect(200);
        user
    }

    /// Somebody of the surrounding system who looks after it: of type `admin`.
    pub async fn administrator(&self, id: &str) -> TestUser {
        self.user_of_type(id, "admin").await
    }

    /// Somebody of the surrounding system, of this user type.
    pub async fn user_of_type(&self, id: &str, user_type: &str) -> TestUser {
        let claims = json!({ "sub": id, "userType": user_type, "exp": token::seconds_from_now(3600) });
        let user = self.holder(id, token::with(&claims));
        user.get("/users/me").await.expect(200);
        user
    }

    /// Somebody with a good token whom the server has never seen.
    pub fn stranger(&self, id: &str) -> TestUser {
        self.holder(id, token::of(id))
    }

    /// Somebody who comes with this token, whatever it is worth.
    pub fn holder(&self, id: &str, token: String) -> TestUser {
        TestUser::new(self.http.clone(), self.base().to_owned(), id, token)
    }

    /// Somebody with an account of the server's own.
    pub async fn register(&self, username: &str) -> TestUser {
        let account = json!({ "username": username, "password": PASSWORD });
        let login = self.post("/api/v1/auth/register", &account).await.expect(201);
        TestUser::logged_in(self.http.clone(), self.base().to_owned(), login)
    }

    /// The same account on another device.
    pub async fn log_in(&self, username: &str) -> TestUser {
        let account = json!({ "username": username, "password": PASSWORD });
        let login = self.post("/api/v1/auth/login", &account).await.expect(200);
        TestUser::logged_in(self.http.clone(), self.base().to_owned(), login)
    }

    /// A connection about to be made, without credentials.
    pub fn dial(&self) -> Dial {
        Dial::new(self.http.clone(), self.base().to_owned())
    }

    /// A request without a token; the path is the whole one.
    pub async fn get(&self, path: &str) -> Reply {
        Reply::of(self.http.get(format!("{}{path}", self.base()))).await
    }

    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Reply {
        Reply::of(self.http.post(format!("{}{path}", self.base())).json(body)).await
    }

    // ── its life ─────────────────────────────────────────────────────────────────────────────────────────────

    /// Ends it with SIGTERM.
    pub fn stop(&mut self) -> ExitStatus {
        self.server.take().expect("the server is not running").terminate()
    }

    /// Asks it to end (SIGTERM), and does not wait for it.
    pub fn begin_to_stop(&mut self) {
        self.server.as_mut().expect("the server is not running").process().signal(Signal::TERM);
    }

    /// Waits until it has ended, no longer than so long, and gives how.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let server = self.server.as_mut().expect("the server is not running");
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        let status = within(limit, "the server's end", async {
            loop {
                ticks.tick().await;
                if let Some(status) = server.process().ended() {
                    return status;
                }
            }
        });
        let status = status.await;
        self.server = None;
        status
    }

    /// Ends it with SIGKILL.
    pub fn kill_9(&mut self) {
        self.server = None;
    }

    /// Starts it once more on the same database, at another port.
    pub fn start_again(&mut self) {
        self.server = Some(Server::start(&self.environment, &self.logs));
    }

    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Another server on the same database, and where it listens.
    pub fn second_server(&self) -> (Running, String) {
        self.second_server_with(&[])
    }

    /// Another server with further settings.
    pub fn second_server_with(&self, settings: &[(&str, &str)]) -> (Running, String) {
        let mut environment = vec![
            ("DATABASE_URL", self.database.url()),
            ("JWT_SECRET", token::SECRET),
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("RUST_LOG", "warn"),
            ("CHAT_LIMITS", "off"),
        ];
        // As patient as the first one, unless it is told otherwise: what is said last counts.
        let patience = self.environment.iter().filter(|(name, _)| name == PATIENCE.0);
        environment.extend(patience.map(|(name, value)| (name.as_str(), value.as_str())));
        environment.extend_from_slice(settings);
        let server = Running::ires_chat(Path::new(env!("CARGO_TARGET_TMPDIR")), &["serve"], &environment);
        let said = server.expect_line("ires-chat listens on ");
        let base = said[0].strip_prefix("ires-chat listens on ").unwrap().to_owned();
        (server, base)
    }

    // ── its database ─────────────────────────────────────────────────────────────────────────────────────────

    pub async fn sql(&self) -> PgConnection {
        PgConnection::connect(self.database.url()).await.unwrap()
    }

    pub async fn execute(&self, sql: &str) -> u64 {
        let statement = sqlx::raw_sql(AssertSqlSafe(sql));
        statement.execute(&mut self.sql().await).await.unwrap().rows_affected()
    }

    pub async fn rows(&self, sql: &str) -> Vec<PgRow> {
        sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut self.sql().await).await.unwrap()
    }

    /// Waits until nobody is connected to the database but the server, while it runs: what others did is in the statistics then.
    pub async fn writers_are_gone(&self) {
        let server = if self.server.is_some() { "AND application_name NOT LIKE 'ires-chat%'" } else { "" };
        let others = format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid() {server}"
        );
        eventually("the end of other connections", async || self.number(&others).await == 0).await;
    }

    /// The one number that the query gives.
    pub async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.sql().await).await.unwrap()
    }
}

/// How long the database may take where nobody hurts it: less than a test waits for anything.
const PATIENCE: (&str, &str) = ("CHAT_DATABASE_TIMEOUT", "15s");

/// The password of all accounts that tests register.
pub const PASSWORD: &str = "correct horse battery staple";

/// A failed test shows what the server had to say.
impl Drop for TestApp {
    fn drop(&mut self) {
        self.server = None;
        if std::thread::panicking() {
            let logs = self.logs();
            let skipped = logs.lines().count().saturating_sub(60);
            eprintln!("--- the server's last log lines ({skipped} before them) ---");
            logs.lines().skip(skipped).for_each(|line| eprintln!("{line}"));
        }
    }
}
