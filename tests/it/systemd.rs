//! What systemd is told: `sd_notify` over a real datagram socket, and the unit file.

use std::{
    fs,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::Path,
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
use sqlx::{Connection, PgConnection};

use crate::support::{Database, Finished, Running, cluster::TempDir, token::SECRET};

/// The next datagram.
fn told(manager: &UnixDatagram) -> String {
    let mut buffer = [0; 1_024];
    let length = manager.recv(&mut buffer).expect("something is told in time");
    String::from_utf8(buffer[..length].to_owned()).unwrap()
}

/// What it says as long as it is not ready: it may take half a minute more.
const STARTING: &str = "STATUS=Getting the database ready\nEXTEND_TIMEOUT_USEC=30000000";

/// The next datagram that is no sign of life.
fn news(manager: &UnixDatagram) -> String {
    std::iter::repeat_with(|| told(manager)).find(|said| said != "WATCHDOG=1" && said != STARTING).unwrap()
}

fn serve(database: &Database, socket: &str, watchdog: &str) -> Running {
    let environment =
        [("DATABASE_URL", database.url()), ("JWT_SECRET", SECRET), ("PORT", "0"), ("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", watchdog)];
    let arguments = ["serve", "--drain-delay=0s", "--drain-timeout=135s"];
    Running::ires_chat(Path::new(env!("CARGO_TARGET_TMPDIR")), &arguments, &environment)
}

#[tokio::test]
async fn systemd_is_told_when_it_serves_that_it_lives_and_that_it_stops() {
    let (database, directory) = (Database::migrated().await, TempDir::new());
    let path = directory.path().join("notify");
    let abstract_name = format!("ires-chat-test-{}", std::process::id());
    let manager = UnixDatagram::bind(&path).unwrap();
    let abstract_manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap();

    for (manager, address) in [(manager, path.display().to_string()), (abstract_manager, format!("@{abstract_name}"))] {
        manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let server = serve(&database, &address, "200000");

        let ready = news(&manager);
        assert!(ready.starts_with("READY=1\nSTATUS=Serving on http://127.0.0.1:"), "{ready}");
        let said = server.expect_line("ires-chat listens on ").pop().unwrap();
        assert!(said.contains(ready.rsplit('/').next().unwrap()), "{said} {ready}");
        assert_eq!([told(&manager), told(&manager)], ["WATCHDOG=1", "WATCHDOG=1"]);

        server.signal(Signal::TERM);
        let stopping = news(&manager);
        assert!(stopping.starts_with("STOPPING=1\nSTATUS="), "{stopping}");
        // CHAT_DRAIN_DELAY, CHAT_DRAIN_TIMEOUT, and five seconds for what comes after.
        assert!(stopping.ends_with("\nEXTEND_TIMEOUT_USEC=140000000"), "{stopping}");
    }
}

/// systemd kills what is not ready in 90 s, and starts it again: a long migration would never come to an end.
#[tokio::test]
async fn systemd_is_asked_for_more_time_as_long_as_the_database_is_got_ready() {
    let (database, directory) = (Database::migrated().await, TempDir::new());
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut holder = PgConnection::connect(database.url()).await.unwrap();
    let mut migrating = holder.begin().await.unwrap();
    sqlx::query("LOCK TABLE _sqlx_migrations").execute(&mut *migrating).await.unwrap();

    let _server = serve(&database, path.to_str().unwrap(), "0");

    assert_eq!([told(&manager), told(&manager)], [STARTING, STARTING]);
    migrating.rollback().await.unwrap();
    assert!(news(&manager).starts_with("READY=1\n"));
}

#[tokio::test]
async fn a_manager_that_is_not_there_is_no_reason_not_to_serve() {
    let database = Database::migrated().await;

    let server = serve(&database, "/nowhere/notify", "not a number");

    server.expect_line("ires-chat listens on ");
    assert_eq!(server.end(Signal::TERM).code(), Some(0));
}

/// Where systemd is at hand it reads the unit itself.
#[test]
fn the_unit_is_one_that_systemd_understands() {
    let unit = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/ops/systemd/ires-chat.service")).unwrap();
    for line in
        ["Type=notify", "WatchdogSec=", "NoNewPrivileges=yes", "ProtectSystem=strict", "RestartPreventExitStatus=2 78", "StartLimitIntervalSec=0"]
    {
        assert!(unit.lines().any(|found| found.starts_with(line)), "{line}");
    }
    let directory = TempDir::new();
    let path = directory.path().join("ires-chat.service");
    // systemd asks whether the program is there.
    fs::write(&path, unit.replace("/usr/local/bin/ires-chat", env!("CARGO_BIN_EXE_ires-chat"))).unwrap();
    let Ok(output) = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output() else {
        return crate::support::npm::skip("the unit file", "systemd-analyze is not installed");
    };
    let verified: Finished = output.into();
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
    assert!(!verified.stderr.contains("ires-chat.service:"), "{}", verified.stderr);
}
