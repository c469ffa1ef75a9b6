//! The JavaScript client (`clients/js`): its own tests, its types, what its package holds, and above all promise P6 over a network
//! that fails: whatever is cut, held up or killed, nothing is lost, doubled or out of order.
//!
//! `IRES_TEST_JS_SEEDS=200` lives through so many seeds, `IRES_TEST_SEED=…` through one again. Needs Node, npm and, at the first run,
//! the registry; where they are missing these tests say so loudly and pass.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use crate::support::{Finished, Running, TestApp, bound, npm, token};

/// How many seeds are lived through unless it is said, and how many at the same time.
const SEEDS: u64 = 4;
const AT_ONCE: u64 = 4;
/// A busy machine may take as long for one of them, which is told in the end.
const LIMIT: Duration = Duration::from_mins(5);

/// Where the client is ready to run, or `None` where that is not possible.
fn installed() -> Option<&'static Path> {
    static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let skip = |reason: String| npm::skip("the JavaScript client", &reason);
    DIRECTORY.get_or_init(|| npm::install("clients/js", "js-client").map_err(skip).ok()).as_deref()
}

fn run(directory: &Path, program: &str, arguments: &[&str]) -> Finished {
    bound(program).args(arguments).current_dir(directory).output().unwrap().into()
}

#[test]
fn the_clients_own_tests_pass() {
    let Some(directory) = installed() else { return };
    let files = fs::read_dir(directory.join("test")).unwrap().map(|file| file.unwrap().path());
    let tests: Vec<String> = files.filter(|file| file.to_string_lossy().ends_with(".test.js")).map(|file| file.display().to_string()).collect();
    let arguments: Vec<&str> = ["--test"].into_iter().chain(tests.iter().map(String::as_str)).collect();

    let node = run(directory, "node", &arguments);

    assert_eq!(node.code, Some(0), "{}{}", node.stdout, node.stderr);
    assert!(node.stdout.contains("# fail 0") && !node.stdout.contains("# pass 0"), "{}", node.stdout);
}

#[test]
fn tsc_strict_accepts_the_types_and_the_snippets_of_both_readmes() {
    let Some(directory) = installed() else { return };
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");

    let checked = run(directory, "node", &["types/check.js", "README.md", readme.to_str().unwrap()]);

    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    assert!(checked.stdout.contains("README.md: "), "{}", checked.stdout);
}

#[test]
fn the_package_holds_the_sources_the_types_and_the_readme_and_nothing_else() {
    let Some(directory) = installed() else { return };

    let packed = run(directory, "npm", &["pack", "--dry-run", "--json", "--ignore-scripts"]);

    let packed: Value = serde_json::from_str(&packed.stdout).unwrap();
    let mut files: Vec<&str> = packed[0]["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    files.retain(|file| !file.starts_with("src/"));
    files.sort_unstable();
    assert_eq!(files, ["README.md", "events.d.ts", "index.d.ts", "package.json"]);
}

#[tokio::test]
async fn tokens_are_renewed_on_the_connection_refreshed_and_given_up_when_the_server_says_so() {
    let Some(directory) = installed() else { return };
    for mode in ["lenient", "strict"] {
        let app = TestApp::with(&[("CHAT_ACCESS_TOKEN_TTL", "6s"), ("CHAT_TOKEN_GRACE", "2s"), ("CHAT_AUTH_MODE", mode)]).await;

        let node = run(directory, "node", &["e2e/tokens.js", app.base(), token::SECRET]);

        assert_eq!(node.code, Some(0), "{mode}: {}{}", node.stdout, node.stderr);
        assert!(node.stdout.ends_with("tokens done\n"), "{mode}: {}", node.stdout);
    }
}

/// Kills the server whenever the clients' script asks for it, until it is done.
fn live_through(app: &mut TestApp, directory: &Path, file: &Path, (first, seeds): (u64, u64)) -> Vec<String> {
    let mut node = bound("node");
    let numbers = [first, seeds, AT_ONCE.min(seeds), 1].map(|number| number.to_string());
    node.arg("e2e/chaos.js").arg(file).arg(token::SECRET).args(&numbers).current_dir(directory);
    let running = Running::start(node);
    let mut told = Vec::new();
    loop {
        let line = running.expect_line_within(LIMIT, "e2e ").pop().unwrap();
        if line == "e2e done" {
            return told;
        } else if line == "e2e restart" {
            app.kill_9();
            app.start_again();
            fs::write(file, app.base()).unwrap();
        }
        told.push(line);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_over_a_network_that_fails_the_client_loses_nothing_doubles_nothing_and_keeps_the_order() {
    let Some(directory) = installed() else { return };
    let number = |name: &str| env::var(name).ok().map(|value| value.parse::<u64>().unwrap_or_else(|_| panic!("{name} is no number")));
    let (first, seeds) = match number("IRES_TEST_SEED") {
        Some(seed) => (seed, number("IRES_TEST_JS_SEEDS").unwrap_or(1)),
        None => (SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs(), number("IRES_TEST_JS_SEEDS").unwrap_or(SEEDS)),
    };
    let mut app = TestApp::with(&[("RUST_LOG", "warn")]).await;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("js-client-{}.txt", std::process::id()));
    fs::write(&file, app.base()).unwrap();

    let told = live_through(&mut app, directory, &file, (first, seeds));

    println!("{}", told.join("\n"));
    assert_eq!(told.iter().filter(|line| line.starts_with("e2e seed ")).count(), usize::try_from(seeds).unwrap());
    fs::remove_file(file).unwrap();
}
