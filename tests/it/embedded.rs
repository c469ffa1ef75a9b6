//! The private Postgres: started, locked, taken over, and gone without a trace.

use std::{
    env,
    fmt::Write as _,
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ires_chat::embedded::{Cluster, Error, Options};
use rustix::process::{Pid, Signal, geteuid, getpgid};
use sqlx::{Connection, Executor, PgConnection, Row};

use crate::support::cluster::{self, TempDir, runs, signal};

/// Set for the child process of a test: where its cluster is.
const CHILD_DIR: &str = "IRES_CHAT_TEST_CHILD_DIR";

#[tokio::test]
async fn a_fresh_cluster_is_durable_and_private() {
    let home = TempDir::new();

    let cluster = start(home.path());

    let mut db = connect(&cluster).await;
    for (setting, value) in [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("listen_addresses", ""),
    ] {
        let found: String = db.fetch_one(sqlx::query("SELECT current_setting($1)").bind(setting)).await.unwrap().get(0);
        assert_eq!(found, value, "{setting}");
    }
    assert_eq!(fs::metadata(cluster.socket_dir()).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(cluster.data_dir()).unwrap().mode() & 0o777, 0o700);
    assert!(cluster.data_dir().starts_with(home.path()));
}

#[tokio::test]
async fn data_survive_a_stop_and_a_start() {
    let home = TempDir::new();
    let cluster = start(home.path());
    remember(&cluster, 7).await;

    cluster.stop().unwrap();
    let cluster = start(home.path());

    assert_eq!(remembered(&cluster).await, [7]);
}

#[test]
fn the_printed_line_opens_a_prompt_on_the_database() {
    let home = TempDir::new();
    let cluster = start(&home.path().join("it's a dir"));

    let line = format!("{} -X -A -t -c 'SELECT current_database()'", cluster.psql());
    let output = Command::new("/bin/sh").args(["-c", &line]).output().unwrap();

    assert_eq!(String::from_utf8(output.stdout).unwrap(), "ires_chat\n", "{line}");
}

#[test]
fn a_second_owner_is_told_who_the_first_one_is() {
    let home = TempDir::new();
    let first = start(home.path());

    let second = Cluster::start(&options(home.path())).unwrap_err();

    let pid = std::process::id();
    assert!(matches!(second, Error::Locked { pid: Some(found), .. } if found == pid), "{second}");
    assert!(second.to_string().contains(&format!("(process {pid})")), "{second}");
    assert!(first.postmaster_pid().is_some());
}

#[test]
fn a_stopped_cluster_leaves_no_process_and_no_socket() {
    let home = TempDir::new();
    let cluster = start(home.path());
    let (pid, socket) = (cluster.postmaster_pid().unwrap(), cluster.socket_dir().to_owned());
    assert!(runs(pid));
    assert!(socket.join(".s.PGSQL.5432").exists());

    cluster.stop().unwrap();

    assert!(!runs(pid));
    assert!(!socket.join(".s.PGSQL.5432").exists());
    assert!(!home.path().join("data/postmaster.pid").exists());
}

#[test]
fn a_dropped_cluster_is_stopped() {
    let home = TempDir::new();
    let cluster = start(home.path());
    let pid = cluster.postmaster_pid().unwrap();

    drop(cluster);

    assert!(!runs(pid));
}

#[test]
fn a_ctrl_c_at_the_terminal_does_not_reach_the_server() {
    let home = TempDir::new();

    let cluster = start(home.path());

    let group_of = |pid| getpgid(Some(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap())).unwrap();
    let server = cluster.postmaster_pid().unwrap();
    assert_ne!(group_of(server), group_of(std::process::id()));
}

#[tokio::test]
async fn the_server_of_a_killed_owner_is_taken_over_as_it_runs() {
    let home = TempDir::new();
    let (mut owner, server) = child_with_cluster(home.path());

    kill(&mut owner);
    assert!(runs(server));
    let cluster = start(home.path());

    assert_eq!(cluster.postmaster_pid(), Some(server));
    assert_eq!(remembered(&cluster).await, [42]);
    cluster.stop().unwrap();
    wait_until("the server has ended", || !runs(server));
}

#[tokio::test]
async fn the_data_of_a_killed_owner_and_its_killed_server_are_recovered() {
    let home = TempDir::new();
    let (mut owner, server) = child_with_cluster(home.path());

    kill(&mut owner);
    signal(server, Signal::KILL);
    let cluster = start(home.path());

    assert_ne!(cluster.postmaster_pid(), Some(server));
    assert_eq!(remembered(&cluster).await, [42]);
}

#[tokio::test]
async fn a_server_taken_over_gets_the_settings_asked_for() {
    let home = TempDir::new();
    let (mut owner, server) = child_with_cluster(home.path());

    kill(&mut owner);
    let mut options = options(home.path());
    options.settings.push(("max_connections".to_owned(), "33".to_owned()));
    let cluster = Cluster::start(&options).unwrap();

    assert_ne!(cluster.postmaster_pid(), Some(server));
    let found: String = connect(&cluster).await.fetch_one("SHOW max_connections").await.unwrap().get(0);
    assert_eq!(found, "33");
    assert_eq!(remembered(&cluster).await, [42]);
}

#[test]
fn a_half_made_cluster_is_made_anew() {
    let home = TempDir::new();
    fs::create_dir(home.path().join("data.new-1")).unwrap();
    fs::write(home.path().join("data.new-1/PG_VERSION"), "15\n").unwrap();

    let cluster = start(home.path());

    assert!(cluster.postmaster_pid().is_some());
    assert!(!home.path().join("data.new-1").exists());
}

#[test]
fn a_long_path_has_its_socket_elsewhere() {
    let home = TempDir::new();
    let cluster = start(&home.path().join("d".repeat(120)));
    let socket = cluster.socket_dir().to_owned();

    assert!(socket.starts_with("/tmp"));
    cluster.stop().unwrap();
    assert!(!socket.exists());
}

#[test]
fn a_directory_that_is_no_cluster_is_left_alone() {
    let home = TempDir::new();
    let data = home.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("diary.txt"), "dear diary").unwrap();
    if geteuid().is_root() {
        chown(&data, Some(65534), Some(65534)).unwrap();
    }

    let error = Cluster::start(&options(home.path())).unwrap_err();

    assert!(matches!(error, Error::NotACluster { .. }), "{error}");
    assert!(data.join("diary.txt").exists());
}

#[test]
fn data_of_another_version_are_left_alone() {
    let home = TempDir::new();
    start(home.path()).stop().unwrap();
    let version = home.path().join("data/PG_VERSION");
    fs::write(&version, "12\n").unwrap();

    let error = Cluster::start(&options(home.path())).unwrap_err();

    assert!(matches!(error, Error::OtherVersion { wanted: 12, .. }), "{error}");
}

#[test]
fn a_server_that_refuses_to_start_is_quoted() {
    let home = TempDir::new();
    let mut options = options(home.path());
    options.settings.push(("no_such_setting".to_owned(), "1".to_owned()));

    let error = Cluster::start(&options).unwrap_err().to_string();

    assert!(error.contains("unrecognized configuration parameter"), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn root_leaves_a_place_that_others_cannot_reach() {
    if !geteuid().is_root() {
        return;
    }
    let closed = TempDir::new();
    fs::set_permissions(closed.path(), Permissions::from_mode(0o700)).unwrap();

    let cluster = start(&closed.path().join(".ires-chat"));
    let home = cluster.data_dir().parent().unwrap().to_owned();
    cluster.stop().unwrap();
    let begun_again = start(&closed.path().join(".ires-chat"));

    assert!(home.starts_with("/var/lib/ires-chat"));
    assert_eq!(begun_again.data_dir().parent(), Some(&*home));
    begun_again.stop().unwrap();
    fs::remove_dir_all(&home).unwrap();
    let _ = fs::remove_dir(home.parent().unwrap()); // Unless others live there.
}

#[test]
fn data_of_root_are_not_given_away() {
    if !geteuid().is_root() {
        return;
    }
    let home = TempDir::new();
    fs::create_dir(home.path().join("data")).unwrap();

    let error = Cluster::start(&options(home.path())).unwrap_err();

    assert!(matches!(error, Error::BelongsToRoot { .. }), "{error}");
}

#[tokio::test]
async fn a_test_may_kill_and_freeze_its_own_server() {
    let server = cluster::exclusive();
    server.create_database("template", None).await;
    let mut db = server.connect("template").await;
    db.execute("CREATE TABLE kept (number int8)").await.unwrap();
    db.close().await.unwrap();
    server.create_database("copy", Some("template")).await;
    let mut db = server.connect("copy").await;
    db.execute("INSERT INTO kept VALUES (1)").await.unwrap();

    server.freeze();
    let answer = tokio::time::timeout(Duration::from_millis(200), db.execute("SELECT 1")).await;
    assert!(answer.is_err(), "a frozen server does not answer");
    server.thaw();

    let before = server.pid();
    server.kill();
    server.start_again();
    assert_ne!(server.pid(), before);
    let mut db = server.connect("copy").await;
    let kept: i64 = db.fetch_one("SELECT sum(number)::int8 FROM kept").await.unwrap().get(0);
    assert_eq!(kept, 1);

    server.stop();
    assert!(PgConnection::connect(&server.url("copy")).await.is_err());
    server.start_again();
    server.drop_database("copy").await;
    assert!(PgConnection::connect(&server.url("copy")).await.is_err());
}

#[test]
fn a_killed_test_process_leaves_no_server_and_no_directory() {
    let mut child = child(None);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut answers = [String::new(), String::new()];
    for answer in &mut answers {
        *answer = answer_in(&mut lines);
    }
    let [server, dir] = answers;
    let (server, dir) = (server.parse().unwrap(), PathBuf::from(dir));
    assert!(runs(server) && dir.exists());

    kill(&mut child);

    wait_until("server and directory are gone", || !runs(server) && !dir.exists());
}

/// Not a test by itself: what the child processes of the tests above run.
#[tokio::test]
#[ignore = "the tests above run it in a process of its own"]
async fn child_process_that_owns_a_cluster() {
    match env::var_os(CHILD_DIR) {
        Some(dir) if dir.is_empty() => {
            let server = cluster::shared();
            println!("answer={}", server.pid());
            println!("answer={}", server.cluster().data_dir().parent().unwrap().display());
            thread::park();
        }
        Some(dir) => {
            let cluster = start(Path::new(&dir));
            remember(&cluster, 42).await;
            println!("answer={}", cluster.postmaster_pid().unwrap());
            thread::park();
        }
        None => {}
    }
}

/// A process that owns the cluster in `dir`, and the process id of the server. The number 42 is remembered in it.
fn child_with_cluster(dir: &Path) -> (Child, u32) {
    let mut child = child(Some(dir));
    let server = answer_in(&mut BufReader::new(child.stdout.take().unwrap()).lines());
    (child, server.parse().unwrap())
}

fn child(dir: Option<&Path>) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["child_process_that_owns_a_cluster", "--ignored", "--nocapture"])
        .env(CHILD_DIR, dir.unwrap_or(Path::new("")))
        .env_remove("TEST_DATABASE_URL")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The next answer among what the test harness prints; it is not always at the beginning of a line.
fn answer_in(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> String {
    let mut others = String::new();
    for line in lines {
        let line = line.unwrap();
        match line.split_once("answer=") {
            Some((_, answer)) => return answer.to_owned(),
            None => writeln!(others, "{line}").unwrap(),
        }
    }
    panic!("the child ended without an answer:\n{others}");
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < limit, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn options(dir: &Path) -> Options {
    Options { dir: dir.to_owned(), pg_bin: env::var_os("CHAT_PG_BIN").map(Into::into), settings: Vec::new() }
}

fn start(dir: &Path) -> Cluster {
    Cluster::start(&options(dir)).unwrap_or_else(|error| panic!("{error}"))
}

async fn connect(cluster: &Cluster) -> PgConnection {
    PgConnection::connect(&cluster.database_url()).await.unwrap()
}

async fn remember(cluster: &Cluster, number: i64) {
    let mut db = connect(cluster).await;
    db.execute("CREATE TABLE IF NOT EXISTS remembered (number int8)").await.unwrap();
    db.execute(sqlx::query("INSERT INTO remembered VALUES ($1)").bind(number)).await.unwrap();
    db.close().await.unwrap();
}

async fn remembered(cluster: &Cluster) -> Vec<i64> {
    let mut db = connect(cluster).await;
    let rows = db.fetch_all("SELECT number FROM remembered ORDER BY number").await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}
