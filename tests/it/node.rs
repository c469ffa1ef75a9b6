//! The official npm client drives the server: the seed's version (4.7.0) and the newest 4.x, over each transport.
//!
//! Needs Node, npm and, at the first run, the registry; where they are missing these tests say so loudly and pass.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::support::{Finished, Running, TestApp, bound, token};

const CLIENTS: [&str; 2] = ["socket.io-client-seed", "socket.io-client-newest"];

/// Says it past the test runner, which would swallow it.
fn skip(reason: &str) {
    let line = format!("\n!!! SKIPPED: the official socket.io-client was not tried: {reason} !!!\n");
    _ = std::io::stderr().write_all(line.as_bytes());
}

/// The directory with the clients installed, or `None` where that is not possible.
fn installed() -> Option<&'static Path> {
    static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
    DIRECTORY.get_or_init(|| install().map_err(|reason| skip(&reason)).ok()).as_deref()
}

fn install() -> Result<PathBuf, String> {
    for program in ["node", "npm"] {
        let there = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        if !there.is_ok_and(|status| status.success()) {
            return Err(format!("{program} is not installed"));
        }
    }
    let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node"), Path::new(env!("CARGO_TARGET_TMPDIR")).join("node"));
    let lock = "package-lock.json";
    let fresh = fs::read(to.join(lock)).ok() != fs::read(from.join(lock)).ok() || !to.join("node_modules").exists();
    fs::create_dir_all(&to).unwrap();
    for file in fs::read_dir(&from).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    if fresh {
        let arguments = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1", "--fetch-timeout=20000"];
        let npm: Finished = Command::new("npm").args(arguments).current_dir(&to).output().unwrap().into();
        if npm.code != Some(0) {
            _ = fs::remove_dir_all(to.join("node_modules"));
            let away = ["ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ENOTCACHED"];
            assert!(away.iter().any(|code| npm.stderr.contains(code)), "npm ci failed: {}", npm.stderr);
            return Err("the npm registry cannot be reached".to_owned());
        }
    }
    Ok(to)
}

/// Runs `flow.cjs` for one client and one way of transport against a server of its own.
async fn flow(client: &str, transports: &str) {
    let Some(directory) = installed() else { return };
    let app = TestApp::start().await;
    for id in ["ann", "ben"] {
        app.user(id).await;
    }
    let (ann, ben, old) = (token::of("ann"), token::of("ben"), token::expiring("ann", -3600));
    let arguments = ["flow.cjs", client, transports, app.base(), &ann, &ben, &old];
    let node: Finished = bound("node").args(arguments).current_dir(directory).output().unwrap().into();
    assert_eq!(node.code, Some(0), "{}{}", node.stdout, node.stderr);
    let steps = node.stdout.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(steps >= 14, "{}", node.stdout);
}

#[tokio::test]
async fn the_official_clients_go_through_the_seeds_flow_over_websocket() {
    for client in CLIENTS {
        flow(client, "websocket").await;
    }
}

#[tokio::test]
async fn the_official_clients_go_through_the_seeds_flow_over_polling() {
    for client in CLIENTS {
        flow(client, "polling").await;
    }
}

#[tokio::test]
async fn the_official_clients_go_through_the_seeds_flow_with_an_upgrade() {
    for client in CLIENTS {
        flow(client, "polling+websocket").await;
    }
}

/// Seed, Testing: its example script, with only the token and the address put in.
#[tokio::test]
async fn the_seeds_own_test_script_prints_what_it_promises() {
    let Some(directory) = installed() else { return };
    for client in CLIENTS {
        let app = TestApp::start().await;
        let alice = app.user("alice").await;
        let script = fs::read_to_string(directory.join("seed.cjs")).unwrap();
        let script = script.replace("your-jwt-token", &alice.token).replace("http://localhost:3000", app.base());
        let file = format!("seed-of-{client}.cjs");
        fs::write(directory.join(&file), script).unwrap();
        let mut node = bound("node");
        node.args(["-r", "./client.cjs", &file]).env("CLIENT", client).current_dir(directory);

        let running = Running::start(node);

        running.expect_line("Connected to WebSocket server");
        running.expect_line("Notification: {");
        running.expect_line("session.ready");
        alice.say("general", "hello, script").await;
        running.expect_line("Received message: {");
        running.expect_line("hello, script");
    }
}

#[test]
fn the_declarations_for_typescript_are_what_the_official_client_takes() {
    let Some(directory) = installed() else { return };
    fs::write(directory.join("events-d.d.ts"), include_str!("../../clients/js/events.d.ts")).unwrap();

    let arguments = ["tsc", "--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "events.ts", "events-d.d.ts"];
    let tsc: Finished = bound("npx").arg("--no-install").args(arguments).current_dir(directory).output().unwrap().into();

    assert_eq!(tsc.code, Some(0), "{}{}", tsc.stdout, tsc.stderr);
}
