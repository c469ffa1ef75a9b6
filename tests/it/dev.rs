//! `ires-chat dev`: everything from one command. Issue 2, item 1.

use std::{path::Path, process::Command};

use reqwest::Client;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Finished, Running, TestUser, cluster::TempDir, ires_chat_in, json::text, token::SECRET};

/// A running `dev` in a directory of its own, and what it printed.
struct Dev {
    process: Running,
    said: String,
}

impl Dev {
    fn start(directory: &Path) -> Self {
        let process = Running::ires_chat(directory, &["dev"], &[("PORT", "0")]);
        let said = process.expect_line("Ctrl-C").join("\n");
        Self { process, said }
    }

    /// What stands after the words, up to the next blank or quote.
    fn after(&self, words: &str, nth: usize) -> &str {
        let rest = self.said.split(words).nth(nth + 1).unwrap_or_else(|| panic!("no `{words}` in\n{}", self.said));
        rest.split(['\'', ' ', '\n']).next().unwrap()
    }

    fn base(&self) -> String {
        self.after("ires-chat listens on ", 0).replace("localhost", "127.0.0.1")
    }

    /// The demo users, with the tokens of the curl lines.
    fn users(&self) -> [TestUser; 2] {
        [0, 1].map(|nth| TestUser::new(Client::new(), self.base(), "", self.after("Bearer ", nth).to_owned()))
    }

    /// The line that opens a prompt on the database, with a question put to it.
    fn psql(&self, question: &str) -> String {
        let line = self.said.lines().find_map(|line| line.trim().strip_prefix("psql ")).unwrap();
        let line = format!("{} -Atc \"{question}\"", line.trim());
        let Finished { code, stdout, stderr } = Command::new("sh").args(["-c", &line]).output().unwrap().into();
        assert_eq!(code, Some(0), "{line}: {stderr}");
        stdout.trim().to_owned()
    }

    /// Ends it as Ctrl-C does.
    fn interrupt(self) {
        assert_eq!(self.process.end(Signal::INT).code(), Some(0));
    }
}

/// Whether a Postgres runs in the directory.
fn postgres_runs(directory: &Path) -> bool {
    directory.join(".ires-chat/data/postmaster.pid").exists()
}

async fn rooms(user: &TestUser) -> Vec<Value> {
    user.get("/rooms?scope=mine").await.expect(200)["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn dev_gives_a_database_demo_users_rooms_and_messages_and_everything_to_paste() {
    let directory = TempDir::new();

    let dev = Dev::start(directory.path());

    let [alice, bob] = dev.users();
    assert_eq!(rooms(&alice).await.len(), 3);
    assert!(!alice.history("general").await.is_empty());
    let (from, to) = (alice.connect().await, bob.connect().await);
    from.say("general", "over the printed tokens").await;
    to.expect_where("chat:message", |message| message["content"] == "over the printed tokens").await;
    assert!(dev.said.contains("curl ") && dev.said.contains("socket.io-client"), "{}", dev.said);
    let stored = dev.psql("SELECT count(*) FROM messages WHERE content = 'over the printed tokens'");
    assert_eq!(stored, "1");
    dev.interrupt();
    assert!(!postgres_runs(directory.path()), "Ctrl-C left Postgres running");
}

#[tokio::test]
async fn dev_takes_over_after_kill_9_with_all_its_data() {
    let directory = TempDir::new();
    let first = Dev::start(directory.path());
    let [alice, _] = first.users();
    let said = alice.say("general", "before the kill").await;
    drop(first.process);

    let second = Dev::start(directory.path());

    let again = alice.at(&second.base());
    let history = again.history("general").await;
    assert_eq!(history.last(), Some(&said), "the token and the message outlive the kill, and nothing was seeded twice");
    assert_eq!(rooms(&again).await.len(), 3);
    second.interrupt();
}

#[tokio::test]
async fn dev_started_again_keeps_its_data_and_tokens() {
    let directory = TempDir::new();
    let first = Dev::start(directory.path());
    let [alice, _] = first.users();
    let said = alice.say("general", "before the stop").await;
    first.interrupt();

    let second = Dev::start(directory.path());

    assert_eq!(alice.at(&second.base()).history("general").await.last(), Some(&said));
    second.interrupt();
}

#[tokio::test]
async fn a_second_dev_in_the_same_directory_is_one_clear_line_and_the_first_one_ends_in_order_on_sigterm() {
    let directory = TempDir::new();
    let dev = Dev::start(directory.path());
    let [alice, bob] = dev.users();
    let (websocket, polling) = (alice.connect().await, bob.dial().polling().open_ready().await);

    let second = ires_chat_in(directory.path(), &["dev"], &[("PORT", "0")]);

    assert_eq!(second.code, Some(69), "{}", second.stderr);
    let pid = dev.process.pid().as_raw_nonzero().to_string();
    let lines: Vec<_> = second.stderr.lines().filter(|line| line.starts_with("ires-chat: ") && line.contains(&pid)).collect();
    assert_eq!(lines.len(), 1, "{}", second.stderr);
    websocket.say("general", "untroubled").await;
    dev.process.signal(Signal::TERM);
    for socket in [websocket, polling] {
        socket.expect_notification("server.draining").await;
        socket.disconnected().await;
    }
    assert_eq!(dev.process.wait().code(), Some(0));
    assert!(!postgres_runs(directory.path()));
}

#[test]
fn dev_with_a_port_that_is_taken_is_one_clear_line() {
    let directory = TempDir::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();

    let finished = ires_chat_in(directory.path(), &["dev"], &[("PORT", &port)]);

    assert!(matches!(finished.code, Some(1 | 69)), "{:?} {}", finished.code, finished.stderr);
    let lines: Vec<_> = finished.stderr.lines().filter(|line| line.contains(&format!("port {port} "))).collect();
    assert_eq!(lines.len(), 1, "{}", finished.stderr);
    assert!(!postgres_runs(directory.path()));
}

#[test]
fn dev_without_postgres_is_one_clear_line_that_names_the_package() {
    let directory = TempDir::new();
    let nowhere = [("CHAT_PG_BIN", "/nowhere"), ("PORT", "0")];

    let finished = ires_chat_in(directory.path(), &["dev"], &nowhere);

    assert_eq!(finished.code, Some(69), "{}", finished.stderr);
    let last = finished.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("postgresql") || last.contains("CHAT_PG_BIN"), "{}", finished.stderr);
    assert_eq!(finished.stdout, "");
}

/// Everything is private: the secret and the data are for their owner only.
#[cfg(unix)]
#[tokio::test]
async fn dev_keeps_its_secret_to_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new();
    let dev = Dev::start(directory.path());

    for secret in walk(&directory.path().join(".ires-chat")) {
        let mode = std::fs::metadata(&secret).map_or(0, |data| data.permissions().mode());
        assert_eq!(mode & 0o007, 0, "{} is open to others", secret.display());
    }

    let errors = dev.process.errors.lock().unwrap().clone();
    assert!(!errors.contains(SECRET) && !errors.contains(text(&Value::from(dev.after("Bearer ", 0)))));
    dev.interrupt();
}

/// The files in a directory that hold a secret: the token's key, and whatever Postgres stores.
fn walk(directory: &Path) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.ends_with("jwt-secret") || path.ends_with("data")).collect()
}
