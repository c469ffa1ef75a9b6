//! Whoever reads what a command says may go away at any time, as `head` does. It is no reason to complain, nor to leave anything half done.

use std::{fs, path::Path, time::Duration};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{
    Database, Finished, HeldPort, PASSWORD, Running, TestApp,
    cluster::TempDir,
    eventually_within, ires_chat, ires_chat_unheard,
    token::{self, SECRET},
};

fn unheard(arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    ires_chat_unheard(&format!("{PASSWORD}\n"), arguments, environment)
}

#[tokio::test]
async fn every_command_ends_quietly_when_nobody_reads_what_it_says() {
    let app = TestApp::start().await;
    let (alice, _) = (app.user("alice").await, app.user("bench-reader").await);
    alice.say("general", "hello").await;
    let (directory, empty) = (TempDir::new(), Database::empty().await);
    let archive = directory.path().join("chat.backup").to_str().unwrap().to_owned();
    let (server, port) = app.base().strip_prefix("http://").and_then(|server| Some((server, server.split_once(':')?.1))).unwrap();
    let environment = [("DATABASE_URL", app.database.url()), ("JWT_SECRET", SECRET), ("PORT", port)];
    let (url, token) = (format!("--database-url={}", empty.url()), token::of("alice"));

    for arguments in [
        &["--help"][..],
        &["--version"],
        &["migrate", "info"],
        &["migrate", "run"],
        &["migrate", "grant", "pg_monitor"],
        &["token", "mint", "alice"],
        &["token", "verify", &token],
        &["user", "list"],
        &["user", "add", "carol"],
        &["user", "sessions", "alice"],
        &["user", "export", "alice"],
        &["user", "erase", "alice"],
        &["config", "check"],
        &["config", "show"],
        &["doctor"],
        &["doctor", "--json"],
        &["backup", "create", &archive],
        &["backup", "verify", &archive],
        &["backup", "restore", &archive, &url],
        &["retention", "run", "--older-than", "365d"],
        &["spec", "openapi"],
        &["spec", "asyncapi"],
        &["spec", "typescript"],
        &["health"],
        &["bench", "--workload=H", "--room=general", "--messages=40000", "--duration=100ms", "--server", server],
        &["bench", "--workload=H", "--room=general", "--messages=40000", "--duration=100ms", "--json", "--server", server],
    ] {
        let Finished { code, stderr, .. } = unheard(arguments, &environment);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
    app.log_in("carol").await;
}

/// Its exit code says what it found, whether or not anybody reads the rest.
#[tokio::test]
async fn what_is_wrong_is_told_by_the_exit_code_though_nobody_reads() {
    let app = TestApp::start().await;
    app.execute("UPDATE rooms SET member_count = 7").await;
    let environment = [("DATABASE_URL", app.database.url())];
    let directory = TempDir::new();
    let archive = directory.path().join("chat.backup").to_str().unwrap().to_owned();
    assert_eq!(unheard(&["backup", "create", &archive], &environment).code, Some(0));

    for arguments in [&["doctor"][..], &["doctor", "--json"], &["backup", "restore", &archive]] {
        let empty = Database::empty().await;
        let url = if arguments[0] == "doctor" { app.database.url() } else { empty.url() };
        let Finished { code, stderr, .. } = unheard(arguments, &[("DATABASE_URL", url)]);
        assert_eq!((code, stderr.as_str()), (Some(1), "ires-chat: the database breaks its invariants\n"), "{arguments:?}");
    }
    assert_eq!(unheard(&["health"], &[("PORT", "1")]).code, Some(69));
}

#[tokio::test]
async fn a_sweep_that_nobody_hears_of_goes_through_all_rooms() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    for room in ["one", "two", "three"] {
        alice.say(&alice.create_room(room).await, "old").await;
    }
    app.execute("UPDATE messages SET created_at = created_at - interval '366 days'").await;

    let swept = unheard(&["retention", "run", "--older-than", "365d"], &[("DATABASE_URL", app.database.url())]);

    assert_eq!((swept.code, swept.stderr.as_str()), (Some(0), ""));
    assert_eq!(app.number("SELECT count(*) FROM messages WHERE deleted_at IS NULL").await, 0);
}

#[test]
fn what_cannot_be_written_for_another_reason_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = crate::support::bound(env!("CARGO_BIN_EXE_ires-chat"));

    let failed: Finished = command.args(["config", "show"]).stdout(full).output().unwrap().into();

    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert!(failed.stderr.starts_with("ires-chat: ") && failed.stderr.contains("No space left"), "{}", failed.stderr);
}

/// Neither the line that it is ready, nor a log, is why a server runs.
#[tokio::test]
async fn a_server_whose_output_and_logs_nobody_reads_serves() {
    let database = Database::migrated().await;
    let directory = TempDir::new();
    for (command, settings) in [("serve", vec![("DATABASE_URL", database.url()), ("JWT_SECRET", SECRET)]), ("dev", vec![])] {
        let held = HeldPort::new();
        let port = held.number().to_string();
        let environment: Vec<_> = settings.into_iter().chain([("PORT", port.as_str())]).collect();

        let server = Running::unheard(directory.path(), &[command], &environment);

        eventually_within(Duration::from_mins(1), "a server that is ready", async || ires_chat(&["health"], &[("PORT", &port)]).code == Some(0))
            .await;
        let made = reqwest::Client::new().post(format!("http://127.0.0.1:{port}/api/v1/auth/register"));
        let made = made.json(&json!({ "username": "carol", "password": PASSWORD })).send().await.unwrap();
        assert_eq!(made.status(), 201);
        assert_eq!(server.end(Signal::TERM).code(), Some(0), "{command}");
    }
    assert!(!Path::new(directory.path()).join(".ires-chat/data/postmaster.pid").exists());
}
