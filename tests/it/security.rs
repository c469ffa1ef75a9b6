//! The lists of what is promised name tests that there are: the README's promises, `SECURITY.md`, and the checked list of ASVS.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const README: &str = include_str!("../../README.md");
const SECURITY: &str = include_str!("../../SECURITY.md");
const ASVS: &str = include_str!("../../docs/asvs.md");

/// The names of the tests, by file.
fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it")).unwrap() {
        let path = file.unwrap().path();
        let found = tests.entry(path.file_stem().unwrap().to_str().unwrap().to_owned()).or_default();
        let mut is_test = false;
        for line in fs::read_to_string(&path).unwrap().lines() {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let name = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")).and_then(|rest| rest.split('(').next());
            if let (true, Some(name)) = (is_test, name) {
                found.insert(name.to_owned());
                is_test = false;
            }
        }
    }
    tests
}

/// What stands between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The names of tests in a text, as file and name; `…::name` is in the file that was named last.
fn named(text: &str) -> Vec<(String, String)> {
    let (mut found, mut last) = (Vec::new(), String::new());
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    for (file, name) in code(text).filter_map(|code| code.split_once("::")) {
        if file != "…" && is_word(file) {
            file.clone_into(&mut last);
        }
        if (file == "…" || is_word(file)) && is_word(name) {
            found.push((last.clone(), name.to_owned()));
        }
    }
    found
}

fn promises() -> &'static str {
    let (_, promises) = README.split_once("\n## Promises and limits\n").unwrap();
    promises.split_once("\nLimits, at present:").unwrap().0
}

#[test]
fn every_test_that_a_list_names_is_there() {
    let tests = tests();
    for (list, text, least) in [("README.md", promises(), 40), ("SECURITY.md", SECURITY, 40), ("docs/asvs.md", ASVS, 60)] {
        let named = named(text);
        assert!(named.len() >= least, "{list} names {} tests", named.len());
        for (file, name) in named {
            assert!(tests.get(&file).is_some_and(|tests| tests.contains(&name)), "{list} names {file}::{name}, which is no test");
        }
    }
}

/// The rows of tables: their cells.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|line| line.starts_with("| ")).map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
}

#[test]
fn every_line_of_asvs_has_a_state_and_what_is_met_is_shown() {
    let is_number = |cell: &str| cell.split('.').count() == 3 && cell.split('.').all(|part| part.parse::<u8>().is_ok());
    let lines: Vec<_> = rows(ASVS).filter(|cells| is_number(cells[0])).collect();
    assert!(lines.len() > 100, "{} lines", lines.len());
    let mut seen = BTreeSet::new();
    for cells in lines {
        let [number, _, state, shown] = cells[..] else { panic!("not four cells: {cells:?}") };
        assert!(seen.insert(number), "{number} is there twice");
        let exists = |file: &str| file.contains(['.', '/']) && Path::new(env!("CARGO_MANIFEST_DIR")).join(file).exists();
        match state {
            "met" => assert!(!named(shown).is_empty() || code(shown).any(exists), "{number} is met, and nothing shows it"),
            "not met" | "operator" | "not applicable" => assert!(!shown.is_empty(), "{number} does not say why"),
            other => panic!("{number} has the state {other}"),
        }
    }
}

#[test]
fn every_promise_against_attackers_names_a_test() {
    let (_, table) = SECURITY.split_once("\n## What an attacker gets\n").unwrap();
    let lines: Vec<_> = rows(table).skip(2).collect();
    assert!(lines.len() > 30, "{} lines", lines.len());
    for cells in lines {
        assert!(cells.len() == 2 && !named(cells[1]).is_empty(), "{cells:?}");
    }
}
