//! Clients over a restart: promises P8 and P11. They come back by themselves, and then know everything.
//!
//! Those in JavaScript need Node, npm and, at the first run, the registry; where they are missing these tests say so loudly and pass.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use crate::support::{HeldPort, Load, Running, TestApp, bound, npm, token};

const BOUND: Duration = Duration::from_secs(15);

/// A server that is found again after a restart.
async fn returning_to(port: &HeldPort) -> TestApp {
    TestApp::with(&[("PORT", &port.number().to_string()), ("RUST_LOG", "warn")]).await
}

/// Ends the server, and starts it again at the same port.
async fn restart(app: &mut TestApp) {
    app.begin_to_stop();
    assert_eq!(app.ended(BOUND).await.code(), Some(0));
    app.start_again();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_restarts_amid_a_load_lose_nothing_that_was_acked_and_double_nothing() {
    let port = HeldPort::new();
    let mut app = returning_to(&port).await;
    let mut users = Vec::new();
    for number in 0..12 {
        users.push(app.user(&format!("talker{number}")).await);
    }
    let room = users[0].create_room_with("load", &users[1..].iter().collect::<Vec<_>>()).await;
    let load = Load::begin(users.clone(), &room, &Arc::new(Mutex::new(app.base().to_owned())));

    for _ in 0..3 {
        load.acked(load.acked_so_far() + 150).await;
        restart(&mut app).await;
    }
    load.acked(load.acked_so_far() + 50).await;

    let tally = load.finish().await;
    tally.compare(&users[0].history(&room).await);
}

/// Runs a script in Node that asks for a restart, until it is done.
async fn live_through_a_restart(app: &mut TestApp, node: Command) -> Vec<String> {
    let running = Running::start(node);
    let mut told = Vec::new();
    loop {
        let lines = tokio::task::block_in_place(|| running.expect_line("e2e "));
        told.extend(lines);
        match told.last().map(String::as_str) {
            Some("e2e restart") => restart(app).await,
            Some("e2e done") => return told,
            _ => {}
        }
    }
}

/// Where the official clients are, or `None` where that is not possible.
fn official() -> Option<&'static Path> {
    static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let skip = |reason: String| npm::skip("the official socket.io-client over a restart", &reason);
    DIRECTORY.get_or_init(|| npm::install("tests/node", "node-draining").map_err(skip).ok()).as_deref()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_the_official_clients_come_back_by_themselves_and_hear_what_is_said_then() {
    let Some(directory) = official() else { return };
    let port = HeldPort::new();
    let mut app = returning_to(&port).await;
    app.user("ann").await;
    let mut node = bound("node");
    node.args(["draining.cjs", app.base(), &token::of("ann")]).current_dir(directory);

    let told = live_through_a_restart(&mut app, node).await;

    let back = told.iter().filter(|line| line.starts_with("e2e back ")).count();
    assert_eq!(back, 6, "{}", told.join("\n"));
}

/// Where our own client is.
fn own() -> Option<&'static Path> {
    static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let skip = |reason: String| npm::skip("the JavaScript client over a restart", &reason);
    DIRECTORY.get_or_init(|| npm::install("clients/js", "js-client-draining").map_err(skip).ok()).as_deref()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p11_our_client_waits_as_long_as_it_is_told_and_every_view_is_complete_afterwards() {
    let Some(directory) = own() else { return };
    let port = HeldPort::new();
    let mut app = returning_to(&port).await;
    let mut node = bound("node");
    node.args(["e2e/draining.js", app.base(), token::SECRET]).current_dir(directory);

    let told = live_through_a_restart(&mut app, node).await;

    println!("{}", told.join("\n"));
}
