//! The official npm client drives the server: the seed's version (4.7.0) and the newest 4.x, over each transport.
//!
//! Needs Node, npm and, at the first run, the registry; where they are missing these tests say so loudly and pass.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::support::{Finished, Running, TestApp, bound, npm, token};

const CLIENTS: [&str; 2] = ["socket.io-client-seed", "socket.io-client-newest"];

/// The directory with the clients installed, or `None` where that is not possible.
fn installed() -> Option<&'static Path> {
    static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let skip = |reason: String| npm::skip("the official socket.io-client", &reason);
    DIRECTORY.get_or_init(|| npm::install("tests/node", "node").map_err(skip).ok()).as_deref()
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
