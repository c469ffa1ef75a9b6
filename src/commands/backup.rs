//! `ires-chat backup`: archives of the database, made, tried out and brought back.

use super::{
    Signals,
    doctor::{examine_data, is_content, print},
    failed, options, say,
};
use crate::Failure;
use clap::{Args, Subcommand};
use ires_chat::{
    backup::{self, Manifest},
    config::{DatabaseSettings, Secret},
    database,
    embedded::{Cluster, Options},
};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    time::Duration,
};
use tokio::task::spawn_blocking;

/// What to do.
#[derive(Subcommand)]
pub enum Backup {
    /// Write an archive of the database, while it is in use
    #[command(after_help = "Example:\n  ires-chat backup create ires-chat.backup")]
    Create(Named),
    /// Restore an archive into a throw-away Postgres, and examine it there
    #[command(after_help = "Example:\n  ires-chat backup verify ires-chat.backup")]
    Verify(Archive),
    /// Restore an archive into an empty database
    #[command(after_help = "Example:\n  ires-chat backup restore ires-chat.backup --database-url postgres://localhost/empty")]
    Restore(Named),
}

/// An archive.
#[derive(Args)]
pub struct Archive {
    /// The archive; its manifest has the same name and .json behind it
    file: PathBuf,
    /// Directory of Postgres's programs [default: searched for]
    #[arg(long, env = "CHAT_PG_BIN")]
    pg_bin: Option<PathBuf>,
}

/// An archive, and a database.
#[derive(Args)]
pub struct Named {
    #[command(flatten)]
    archive: Archive,
    #[command(flatten)]
    database: DatabaseSettings,
}

/// Does it.
pub async fn run(backup: Backup) -> Result<(), Failure> {
    match backup {
        Backup::Create(Named { archive, database }) => {
            let (options, mut signals) = (options(database, "backup")?, Signals::new()?);
            database::inspect(&options, true).await.map_err(Failure::Unavailable)?;
            let creating = async { backup::create(&options, &archive.file, archive.pg_bin).await.map_err(failed) };
            let manifest = signals.or(creating).await?;
            say(format_args!("{}: {}", archive.file.display(), summary(&manifest)))
        }
        Backup::Verify(archive) => verify(archive).await,
        Backup::Restore(Named { archive, database }) => {
            let options = options(database, "restore")?;
            database::inspect(&options, true).await.map_err(Failure::Unavailable)?;
            restore(&options, archive).await
        }
    }
}

fn summary(manifest: &Manifest) -> String {
    let rows: i64 = manifest.rows.values().sum();
    format!("{} bytes, {rows} rows, schema {}, epoch {}", manifest.bytes, manifest.schema, manifest.epoch)
}

async fn restore(options: &sqlx::postgres::PgConnectOptions, archive: Archive) -> Result<(), Failure> {
    let mut db = backup::restore(options, &archive.file, archive.pg_bin).await.map_err(failed)?;
    let epoch = database::epoch(&mut db).await.map_err(failed)?;
    let findings = examine_data(&mut db, false).await?;
    let said = print(&findings).and_then(|()| say(format_args!("restored; the new epoch is {epoch}, and clients start over")));
    is_content(&findings).and(said)
}

/// A signal ends the throw-away Postgres, and with it what is being done there.
async fn verify(archive: Archive) -> Result<(), Failure> {
    let path = archive.file.clone();
    let manifest = spawn_blocking(move || Manifest::of(&path)).await.map_err(failed)?.map_err(failed)?;
    say(format_args!("{}: {}", archive.file.display(), summary(&manifest)))?;
    let dir = Scratch(env::temp_dir().join(format!("ires-chat-verify-{}", process::id())));
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // Nothing here has to survive a crash.
    let settings = vec![setting("fsync", "off"), setting("full_page_writes", "off"), setting("synchronous_commit", "off")];
    let place = Options { dir: dir.0.clone(), pg_bin: archive.pg_bin.clone(), settings };
    let mut signals = Signals::new()?;
    let cluster = spawn_blocking(move || Cluster::start(&place)).await.map_err(failed)?.map_err(|error| Failure::Unavailable(error.to_string()))?;
    let options = database::options(&Secret::new(cluster.database_url()), Duration::from_mins(1)).map_err(failed)?;
    let verified = signals.or(restore(&options, archive)).await;
    let home = cluster.data_dir().parent().map(Path::to_owned);
    spawn_blocking(move || cluster.stop()).await.map_err(failed)?.map_err(failed)?;
    drop(home.map(Scratch));
    verified
}

/// A directory that goes in the end.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
