//! Backups: an archive of the whole database, written while the server runs, and a manifest beside it that says what is in it.
//!
//! An archive shows one moment: rows are counted, and `pg_dump` reads, in one snapshot. It is complete or not there: both files are
//! written under other names, and the archive gets its own last; nothing is written over. Restoring is one transaction, into an empty database only, and
//! ends with a new epoch: the history is another one than clients may have heard of, and they start over.

mod programs;
mod store;

use crate::{database, time};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process,
};
use tokio::task::spawn_blocking;
use uuid::Uuid;

/// The form of manifests.
const FORMAT: u32 = 1;

/// What is in an archive.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The form of this.
    format: u32,
    /// What made it.
    program: String,
    /// When, as in `2026-11-22T21:37:57.123Z`.
    made_at: String,
    /// Of which history it is.
    pub epoch: Uuid,
    /// The last migration that the database had.
    pub schema: i64,
    /// The version of its server, as in 150018.
    server_version: i32,
    /// The archive's length,
    pub bytes: u64,
    /// and its SHA-256.
    sha256: String,
    /// How many rows each table has.
    pub rows: BTreeMap<String, i64>,
}

impl Manifest {
    fn server(&self) -> u32 {
        u32::try_from(self.server_version / 10_000).unwrap_or_default()
    }

    /// Reads the manifest of an archive, and looks whether that is the archive which it speaks of.
    ///
    /// # Errors
    /// One line for the operator.
    pub fn of(archive: &Path) -> Result<Self, String> {
        let path = beside(archive, ".json");
        let text = fs::read_to_string(&path).map_err(cannot("read", &path))?;
        let manifest: Self = serde_json::from_str(&text).map_err(|error| format!("{} is no manifest: {error}", path.display()))?;
        if manifest.format != FORMAT {
            return Err(format!("{} has format {}, and this program knows {FORMAT}", path.display(), manifest.format));
        }
        let file = File::open(archive).map_err(cannot("read", archive))?;
        let (bytes, sha256) = programs::digested(file, &mut io::sink()).map_err(cannot("read", archive))?;
        if (bytes, &sha256) != (manifest.bytes, &manifest.sha256) {
            return Err(format!(
                "{} is not what was written: it has {bytes} bytes instead of {}, or others; take another backup",
                archive.display(),
                manifest.bytes
            ));
        }
        Ok(manifest)
    }
}

/// Writes an archive of a database and its manifest. Given up, it leaves neither a file nor a program behind.
///
/// # Errors
/// One line for the operator; then neither is there.
pub async fn create(options: &PgConnectOptions, archive: &Path, pg_bin: Option<PathBuf>) -> Result<Manifest, String> {
    if let Some(there) = [archive.to_owned(), beside(archive, ".json")].iter().find(|path| path.exists()) {
        return Err(format!("{} is there already: remove it, or choose another name", there.display()));
    }
    let mut db = database::inspect(options, true).await?;
    database::be_patient(&mut db).await.map_err(said)?;
    let schema = up_to_date(&mut db).await?;
    let mut tx = db.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await.map_err(said)?;
    let snapshot = store::snapshot(&mut tx).await.map_err(said)?;
    let mut manifest = Manifest {
        format: FORMAT,
        program: concat!("ires-chat ", env!("CARGO_PKG_VERSION")).to_owned(),
        made_at: time::format(Utc::now()),
        epoch: database::epoch(&mut *tx).await.map_err(|error| error.to_string())?,
        schema,
        server_version: store::server_version(&mut tx).await.map_err(said)?,
        bytes: 0,
        sha256: String::new(),
        rows: count(&mut tx).await?,
    };
    let (part, mut file) = Part::beside(archive)?;
    let (dumping, dump) = programs::dump(pg_bin.as_deref(), options, manifest.server(), &snapshot)?;
    let copying = spawn_blocking(move || {
        let copied = programs::digested(dump, &mut file)?;
        file.sync_all().map(|()| copied)
    });
    let copied = copying.await.map_err(|error| error.to_string())?;
    (manifest.bytes, manifest.sha256) = copied.map_err(|error| format!("the backup cannot be written: {error}"))?;
    dumping.finish()?;
    tx.rollback().await.map_err(said)?;
    publish(archive, &part, &manifest)?;
    Ok(manifest)
}

/// Gives the two files their names, that of the archive last.
fn publish(archive: &Path, part: &Part, manifest: &Manifest) -> Result<(), String> {
    let path = beside(archive, ".json");
    let (text, mut file) = Part::beside(&path)?;
    serde_json::to_writer_pretty(&mut file, manifest).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    file.sync_all().map_err(cannot("write", &path))?;
    text.rename(&path)?;
    if let Err(error) = part.rename(archive) {
        let _ = fs::remove_file(&path);
        return Err(error);
    }
    let directory = archive.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(cannot("write", directory))
}

/// Writes an archive into an empty database, gives that a new epoch, compares it with the manifest, and migrates it.
///
/// # Errors
/// One line for the operator. Unless it says otherwise, the database is empty then, as it was.
pub async fn restore(options: &PgConnectOptions, archive: &Path, pg_bin: Option<PathBuf>) -> Result<PgConnection, String> {
    let path = archive.to_owned();
    let manifest = spawn_blocking(move || Manifest::of(&path)).await.map_err(|error| error.to_string())??;
    let newest = database::MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
    if manifest.schema > newest {
        return Err(format!("the backup is of a newer program: its schema is {}, and this one knows {newest}", manifest.schema));
    }
    let mut db = database::inspect(options, true).await?;
    let contents = store::contents(&mut db).await.map_err(said)?;
    if !contents.is_empty() {
        return Err(format!("the database is not empty: it has {}; make an empty one, and restore into that", contents.join(", ")));
    }
    let (database, path, server) = (options.clone(), archive.to_owned(), manifest.server());
    let restoring = spawn_blocking(move || programs::restore(pg_bin.as_deref(), &database, server, &path));
    restoring.await.map_err(|error| error.to_string())??;
    database::be_patient(&mut db).await.map_err(said)?;
    compare(&mut db, &manifest).await?;
    database::migrate(&mut db).await.map_err(|error| format!("it is restored, but cannot be migrated: {error}"))?;
    Ok(db)
}

/// Fails unless every table has the rows that the manifest says, and the history another name.
async fn compare(db: &mut PgConnection, manifest: &Manifest) -> Result<(), String> {
    let rows = count(db).await?;
    if rows != manifest.rows {
        let differ = |(table, rows): (&String, &i64)| format!("{table} ({rows})");
        let found: Vec<String> = rows.iter().filter(|(table, rows)| manifest.rows.get(*table) != Some(rows)).map(differ).collect();
        return Err(format!("it is restored, but not what was backed up: other numbers of rows in {}", found.join(", ")));
    }
    if database::epoch(db).await.map_err(|error| error.to_string())? == manifest.epoch {
        return Err("it is restored, but has no new epoch".to_owned());
    }
    Ok(())
}

/// The rows of each table.
async fn count(db: &mut PgConnection) -> Result<BTreeMap<String, i64>, String> {
    let mut rows = BTreeMap::new();
    for table in store::tables(db).await.map_err(said)? {
        let count = store::rows(db, &table).await.map_err(said)?;
        rows.insert(table, count);
    }
    Ok(rows)
}

/// The last migration of a database that knows all of ours, and no others.
async fn up_to_date(db: &mut PgConnection) -> Result<i64, String> {
    let states = database::migration_states(db).await.map_err(|error| error.to_string())?;
    match states.iter().find(|state| !state.applied || state.differs || state.description == database::UNKNOWN) {
        Some(state) => Err(format!("the database is not of this program: see migration {} in `ires-chat migrate info`", state.version)),
        None => Ok(states.iter().map(|state| state.version).max().unwrap_or_default()),
    }
}

/// A file that is being written, beside its place; it goes unless it is renamed.
struct Part(PathBuf);

impl Part {
    /// Makes it, for its owner's eyes only.
    fn beside(place: &Path) -> Result<(Self, File), String> {
        let path = beside(place, &format!(".part-{}", process::id()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(cannot("write", &path))?;
        Ok((Self(path), file))
    }

    /// Gives it a name that nothing has. The name is taken by an empty file first: to link the file there, which fails if something is there, too,
    /// is more than some file systems can.
    fn rename(&self, path: &Path) -> Result<(), String> {
        File::create_new(path).map_err(cannot("write", path))?;
        fs::rename(&self.0, path).map_err(|error| {
            let _ = fs::remove_file(path);
            cannot("write", path)(error)
        })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn cannot(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> String {
    move |error| format!("cannot {doing} {}: {error}", path.display())
}

fn said(error: impl std::fmt::Display) -> String {
    format!("the database: {error}")
}
