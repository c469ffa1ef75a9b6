//! Node programs of this repository, made ready to run: copied beside the build, with what they need from the npm registry.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::Finished;

/// Says past the test runner, which would swallow it, that something was not tried.
pub fn skip(what: &str, reason: &str) {
    let line = format!("\n!!! SKIPPED: {what} was not tried: {reason} !!!\n");
    _ = std::io::stderr().write_all(line.as_bytes());
}

/// Copies a directory of this repository and installs what its lock file names; or says why that is not possible here.
pub fn install(directory: &str, name: &str) -> Result<PathBuf, String> {
    for program in ["node", "npm"] {
        let there = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        if !there.is_ok_and(|status| status.success()) {
            return Err(format!("{program} is not installed"));
        }
    }
    let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(directory), Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
    let lock = "package-lock.json";
    let fresh = fs::read(to.join(lock)).ok() != fs::read(from.join(lock)).ok() || !to.join("node_modules").exists();
    copy(&from, &to);
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

/// Puts the files of a directory where they were of an earlier run, and takes away what is no more; what is installed stays.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let is_installed = |name: &std::ffi::OsStr| name == "node_modules";
    for old in fs::read_dir(to).unwrap().map(Result::unwrap).filter(|old| !is_installed(&old.file_name())) {
        let removed = if old.path().is_dir() { fs::remove_dir_all(old.path()) } else { fs::remove_file(old.path()) };
        removed.unwrap();
    }
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| !is_installed(&entry.file_name())) {
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &place);
        } else {
            fs::copy(entry.path(), place).unwrap();
        }
    }
}
