//! What the server is built from: crates of crates.io under licences that `deny.toml` allows, none that it bans, and none older than what
//! mended a known fault. `cargo deny check` says the same and knows advisories, too; this needs nothing installed.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

use crate::support::json::text;

const DENY: &str = include_str!("../../deny.toml");
const LOCK: &str = include_str!("../../Cargo.lock");

/// The entries of a list in `deny.toml`, a line each.
fn list(name: &str) -> impl Iterator<Item = &'static str> {
    let begin = format!("\n{name} = [\n");
    let (_, rest) = DENY.split_once(&begin).unwrap_or_else(|| panic!("deny.toml has no list {name}"));
    let (list, _) = rest.split_once("\n]").unwrap();
    list.lines().map(str::trim).filter(|line| !line.starts_with('#'))
}

/// The first text in quotation marks.
fn quoted(line: &str) -> &str {
    line.split('"').nth(1).unwrap_or_else(|| panic!("nothing is quoted in {line}"))
}

/// The versions of every crate in `Cargo.lock`, and where it comes from; ours comes from nowhere.
fn locked() -> BTreeMap<&'static str, Vec<(&'static str, Option<&'static str>)>> {
    let mut crates: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for package in LOCK.split("[[package]]\n").skip(1) {
        let field = |name: &str| package.lines().find(|line| line.starts_with(&format!("{name} = "))).map(quoted);
        crates.entry(field("name").unwrap()).or_default().push((field("version").unwrap(), field("source")));
    }
    crates
}

/// Major, minor and patch.
fn parts(version: &str) -> Vec<u64> {
    let numbers = version.split(['-', '+']).next().unwrap();
    numbers.split('.').map(|part| part.parse().unwrap()).collect()
}

#[test]
fn every_crate_is_from_crates_io() {
    for (name, versions) in locked() {
        for (version, source) in versions {
            let expected = (name != "ires-chat").then_some("registry+https://github.com/rust-lang/crates.io-index");
            assert_eq!(source, expected, "{name} {version}");
        }
    }
}

#[test]
fn no_crate_is_there_that_is_banned_and_no_heavy_one_twice() {
    let locked = locked();
    let (mut banned, mut heavy) = (0, 0);
    for line in list("deny") {
        let found = locked.get(quoted(line)).map_or(0, Vec::len);
        let may_be_once = line.contains("deny-multiple-versions = true");
        *(if may_be_once { &mut heavy } else { &mut banned }) += 1;
        assert!(found <= usize::from(may_be_once), "{} is there {found} times", quoted(line));
    }
    assert!(banned > 5 && heavy > 15 && locked.contains_key("tokio"), "the lists are read");
}

/// `promises.md`, "Operation": what databases of advisories miss.
#[test]
fn no_crate_is_older_than_what_mended_it() {
    let locked = locked();
    for (name, least) in
        [("socketioxide", "0.18.9"), ("engineioxide", "0.17.9"), ("jsonwebtoken", "10.3.0"), ("tracing-subscriber", "0.3.20"), ("sqlx", "0.8.1")]
    {
        let versions = locked.get(name).unwrap_or_else(|| panic!("{name} is not there"));
        assert!(versions.iter().all(|(version, _)| parts(version) >= parts(least)), "{name} is {versions:?}, and {least} is needed");
    }
}

/// Whether an SPDX expression is met by what is allowed: all parts of an `AND`, one of an `OR`.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    expression.split(" AND ").all(|part| {
        let part = part.trim_matches(['(', ')']);
        part.split(" OR ").any(|licence| list("allow").any(|line| quoted(line) == licence))
    })
}

#[test]
fn every_crate_has_a_licence_that_is_allowed() {
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let host = String::from_utf8(rustc.stdout).unwrap();
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", host]);
    let metadata = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 150 && !is_allowed("GPL-3.0") && !is_allowed("MIT AND GPL-3.0") && is_allowed("(MIT OR GPL-3.0) AND ISC"));
    for package in packages {
        assert!(is_allowed(text(&package["license"])), "{} is under {}", package["name"], package["license"]);
    }
}
