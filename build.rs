//! Lets `sqlx::query!` check its SQL without a database: `sqlx-data.json`, the one reviewable file of all
//! queries, is unfolded into the directory of small files that the macros read.
//!
//! Whoever sets `SQLX_OFFLINE=false` or `SQLX_OFFLINE_DIR` (as `cargo sqlx prepare` does) is left alone.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=sqlx-data.json");
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-env-changed=SQLX_OFFLINE");
    println!("cargo::rerun-if-env-changed=SQLX_OFFLINE_DIR");
    if env::var("SQLX_OFFLINE").is_ok_and(|value| value == "false") || env::var_os("SQLX_OFFLINE_DIR").is_some() {
        return Ok(());
    }

    let dir = PathBuf::from(env::var("OUT_DIR")?).join("sqlx");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    for line in fs::read_to_string("sqlx-data.json")?.lines() {
        let entry = line.trim_end_matches(',');
        if let Some(hash) = hash_of(entry) {
            fs::write(dir.join(format!("query-{hash}.json")), entry)?;
        }
    }
    println!("cargo::rustc-env=SQLX_OFFLINE_DIR={}", dir.display());
    println!("cargo::rustc-env=SQLX_OFFLINE=true");
    Ok(())
}

/// The file holds one entry a line, and each entry ends with its hash.
fn hash_of(entry: &str) -> Option<&str> {
    let (_, tail) = entry.rsplit_once("\"hash\":\"")?;
    tail.strip_suffix("\"}")
}
