//! Backups: `ires-chat backup create|verify|restore`. Contract sections 6 (epoch) and 9.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, test_kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};

use crate::support::{Database, Finished, Running, TestApp, bound, cluster::TempDir, eventually, ires_chat, json::text};

fn backup(arguments: &[&str], url: &str) -> Finished {
    let arguments: Vec<_> = ["backup"].iter().chain(arguments).copied().collect();
    ires_chat(&arguments, &[("DATABASE_URL", url)])
}

/// The path of an archive in a directory.
fn archive_in(dir: &TempDir) -> (PathBuf, String) {
    let path = dir.path().join("chat.backup");
    let name = path.to_str().unwrap().to_owned();
    (path, name)
}

fn names_in(dir: &TempDir) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// How many tables a database has.
async fn tables(url: &str) -> i64 {
    let mut db = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").fetch_one(&mut db).await.unwrap()
}

/// A server on which something was said, its room, and the archive of that.
async fn backed_up(dir: &TempDir) -> (TestApp, String, String) {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let room = alice.create_room("den").await;
    for content in ["Hello", "ünïcödé 🎉 \u{202e}", "  spaces\tand\nlines  "] {
        alice.say(&room, content).await;
    }
    let (_, name) = archive_in(dir);
    let created = backup(&["create", &name], app.database.url());
    assert_eq!(created.code, Some(0), "{}{}", created.stdout, created.stderr);
    (app, room, name)
}

#[tokio::test]
async fn what_was_backed_up_is_what_is_restored_and_clients_are_told_to_start_over() {
    let dir = TempDir::new();
    let (app, room, archive) = backed_up(&dir).await;
    let alice = app.log_in("alice").await;
    let before = alice.history(&room).await;
    let socket = alice.connect().await;
    let old_epoch = socket.ready["epoch"].clone();
    alice.say(&room, "after the backup").await;

    assert_eq!(names_in(&dir), ["chat.backup", "chat.backup.json"]);
    for name in names_in(&dir) {
        assert_eq!(fs::metadata(dir.path().join(&name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    let manifest: Value = serde_json::from_str(&fs::read_to_string(format!("{archive}.json")).unwrap()).unwrap();
    assert_eq!((&manifest["epoch"], &manifest["rows"]["messages"]), (&old_epoch, &json!(3)));
    let restored = Database::empty().await;
    let done = backup(&["restore", &archive], restored.url());
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("ok     every number is that of one thing"), "{}", done.stdout);

    let app = TestApp::on(restored, &[]);
    let alice = app.log_in("alice").await;
    assert_eq!(alice.history(&room).await, before, "byte for byte");
    let socket = alice.connect().await;
    assert_ne!(socket.ready["epoch"], old_epoch);
    let synced = socket.emit_ok("chat:sync", &json!({ "rooms": { (&room): 5 } })).await;
    assert_eq!((&synced["epoch"], &synced["rooms"][0]["reset"]), (&socket.ready["epoch"], &json!(true)), "{synced}");
    assert!(done.stdout.contains(text(&socket.ready["epoch"])));
    socket.say(&room, "it goes on").await;
}

/// Else it would go on with the new history under the name of the old one, whose numbers its clients believe to have heard.
#[tokio::test]
async fn a_server_in_whose_database_a_backup_takes_the_place_of_the_history_ends_and_its_clients_start_over() {
    let dir = TempDir::new();
    let (mut app, room, archive) = backed_up(&dir).await;
    let restored = Database::empty().await;
    assert_eq!(backup(&["restore", &archive], restored.url()).code, Some(0));
    let alice = app.log_in("alice").await;
    let old_epoch = alice.connect().await.ready["epoch"].clone();
    alice.say(&room, "after the backup").await;

    app.database.replace_with(&restored).await;

    assert_eq!(app.ended(Duration::from_mins(1)).await.code(), Some(69));
    assert!(app.logs().contains("the database holds another history than before"), "it says why");
    app.start_again();
    let alice = app.log_in("alice").await;
    let socket = alice.connect().await;
    assert_ne!(socket.ready["epoch"], old_epoch);
    socket.say(&room, "it goes on").await;
    assert_eq!(app.stop().code(), Some(0), "this history is the one that it began with");
}

#[tokio::test]
async fn a_backup_is_tried_out_in_a_postgres_of_its_own() {
    let dir = TempDir::new();
    let (app, ..) = backed_up(&dir).await;
    let (_, archive) = archive_in(&dir);
    // Where the throw-away Postgres is made.
    let place = [("TMPDIR", dir.path().to_str().unwrap())];

    let verified = ires_chat(&["backup", "verify", &archive], &place);

    assert_eq!(verified.code, Some(0), "{}{}", verified.stdout, verified.stderr);
    assert!(verified.stdout.contains("ok     everything has its room"), "{}", verified.stdout);
    assert_eq!(names_in(&dir), ["chat.backup", "chat.backup.json"], "nothing is left behind");
    app.execute("UPDATE rooms SET member_count = 7").await;
    let ill = dir.path().join("ill.backup");
    assert_eq!(backup(&["create", ill.to_str().unwrap()], app.database.url()).code, Some(0));
    let verified = ires_chat(&["backup", "verify", ill.to_str().unwrap()], &place);
    assert_eq!(verified.code, Some(1), "{}", verified.stdout);
    assert!(verified.stdout.contains("BROKEN every room counts its members right"), "{}", verified.stdout);
}

#[tokio::test]
async fn nothing_is_written_over() {
    let dir = TempDir::new();
    let (app, _, archive) = backed_up(&dir).await;
    let before = fs::read(&archive).unwrap();

    let again = backup(&["create", &archive], app.database.url());
    let over = backup(&["restore", &archive], app.database.url());
    let package = dir.path().join("package");
    fs::write(package.with_extension("json"), "{}").unwrap();
    let beside = backup(&["create", package.to_str().unwrap()], app.database.url());

    assert_eq!((again.code, over.code, beside.code), (Some(1), Some(1), Some(1)));
    assert!(beside.stderr.contains("package.json is there already"), "{}", beside.stderr);
    assert_eq!(fs::read_to_string(package.with_extension("json")).unwrap(), "{}");
    assert_eq!(names_in(&dir), ["chat.backup", "chat.backup.json", "package.json"]);
    assert!(again.stderr.contains("there already"), "{}", again.stderr);
    assert!(over.stderr.contains("not empty") && over.stderr.contains("database_identity"), "{}", over.stderr);
    assert_eq!(fs::read(&archive).unwrap(), before);
    assert_eq!(app.number("SELECT count(*) FROM messages").await, 3);
}

/// Makes the manifest fit an archive that is not what was written.
fn forge(archive: &str) {
    let path = format!("{archive}.json");
    let mut manifest: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let bytes = fs::read(archive).unwrap();
    let hex: String = Sha256::digest(&bytes).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    (manifest["bytes"], manifest["sha256"]) = (json!(bytes.len()), json!(hex));
    fs::write(path, manifest.to_string()).unwrap();
}

#[tokio::test]
async fn a_damaged_archive_restores_nothing() {
    let dir = TempDir::new();
    let (_app, _, archive) = backed_up(&dir).await;
    let (whole, manifest) = (fs::read(&archive).unwrap(), fs::read(format!("{archive}.json")).unwrap());
    let empty = Database::empty().await;
    let refused = async |what: &str| {
        let refused = backup(&["restore", &archive], empty.url());
        assert_eq!(refused.code, Some(1), "{what}: {}", refused.stdout);
        assert_eq!(tables(empty.url()).await, 0, "{what}");
        assert_eq!(refused.stderr.trim().lines().count(), 1, "{what}: {}", refused.stderr);
        refused.stderr
    };

    fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
    assert!(refused("truncated").await.contains("not what was written"));
    forge(&archive);
    assert!(refused("truncated, and nobody says so").await.contains("failed"));
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(&archive, &flipped).unwrap();
    fs::write(format!("{archive}.json"), &manifest).unwrap();
    assert!(refused("one bit").await.contains("not what was written"));
    fs::write(&archive, &whole).unwrap();
    for bad in ["", "{}", "nonsense"] {
        fs::write(format!("{archive}.json"), bad).unwrap();
        refused(bad).await;
    }
    let newer = String::from_utf8(manifest.clone()).unwrap().replace("\"schema\": 2", "\"schema\": 9");
    fs::write(format!("{archive}.json"), newer).unwrap();
    assert!(refused("a newer schema").await.contains("newer program"));
    fs::remove_file(format!("{archive}.json")).unwrap();
    refused("no manifest").await;
    fs::write(format!("{archive}.json"), manifest).unwrap();
    assert_eq!(backup(&["restore", &archive], empty.url()).code, Some(0), "undamaged");
}

/// Rows that are not what the manifest counted are no backup, whatever the checksum says.
#[tokio::test]
async fn an_archive_of_other_rows_is_found_out() {
    let dir = TempDir::new();
    let (_app, _, archive) = backed_up(&dir).await;
    let path = format!("{archive}.json");
    let manifest = fs::read_to_string(&path).unwrap().replace("\"messages\": 3", "\"messages\": 4");
    fs::write(&path, manifest).unwrap();

    let verified = ires_chat(&["backup", "verify", &archive], &[]);

    assert_eq!(verified.code, Some(1), "{}", verified.stdout);
    assert!(verified.stderr.contains("messages (3)"), "{}", verified.stderr);
}

#[tokio::test]
async fn what_cannot_be_done_is_said_in_one_line_and_leaves_nothing() {
    let dir = TempDir::new();
    let database = Database::migrated().await;
    let nowhere = dir.path().join("missing").join("chat.backup");
    let (_, archive) = archive_in(&dir);

    for (arguments, url, code) in [
        (["create", archive.as_str()], "postgres://chat:hunter2hunter2@127.0.0.1:1/none", 69),
        (["restore", archive.as_str()], "postgres://chat:hunter2hunter2@127.0.0.1:1/none", 69),
        (["create", nowhere.to_str().unwrap()], database.url(), 1),
        (["restore", archive.as_str()], database.url(), 1),
        (["verify", archive.as_str()], database.url(), 1),
        (["create", archive.as_str()], Database::empty().await.url(), 1),
    ] {
        let refused = backup(&arguments, url);
        assert_eq!(refused.code, Some(code), "{arguments:?}: {}{}", refused.stdout, refused.stderr);
        assert_eq!(refused.stderr.trim().lines().count(), 1, "{}", refused.stderr);
        assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
    }
    assert_eq!(names_in(&dir), Vec::<String>::new());
}

/// A file may not grow beyond some blocks, as on a disk that is full.
#[tokio::test]
async fn a_full_disk_leaves_no_half_backup() {
    let dir = TempDir::new();
    let app = TestApp::start().await;
    app.execute("INSERT INTO users (id, name) SELECT md5(n::text), md5((n * 7)::text) FROM generate_series(1, 5000) n").await;
    let (_, archive) = archive_in(&dir);
    let mut command = bound("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" backup create \"$1\"", env!("CARGO_BIN_EXE_ires-chat"), &archive]);
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path))).env("DATABASE_URL", app.database.url()).current_dir(dir.path());

    let failed: Finished = command.output().unwrap().into();

    assert_eq!(failed.code, Some(1), "{}{}", failed.stdout, failed.stderr);
    assert!(failed.stderr.contains("cannot be written"), "{}", failed.stderr);
    assert_eq!(names_in(&dir), Vec::<String>::new());
}

/// A directory of programs of which one does something else first.
fn programs(dir: &TempDir, name: &str, script: &str) -> PathBuf {
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for program in ["pg_dump", "pg_restore", "psql"] {
        let real = ires_chat::embedded::client(None, program, 15).unwrap();
        let body = if program == name { script.replace("REAL", real.to_str().unwrap()) } else { format!("exec {} \"$@\"", real.display()) };
        let path = bin.join(program);
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
        writeln!(file, "#!/bin/sh\n{body}").unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o755)).unwrap();
    }
    bin
}

#[tokio::test]
async fn a_restoration_that_is_killed_leaves_the_database_empty() {
    let dir = TempDir::new();
    let (_app, _, archive) = backed_up(&dir).await;
    let script = "case $1 in --version) exec REAL \"$@\";; esac\nREAL \"$@\" | head -c 20000\nsleep 20";
    let bin = programs(&dir, "pg_restore", script);
    let empty = Database::empty().await;
    let environment = [("DATABASE_URL", empty.url()), ("CHAT_PG_BIN", bin.to_str().unwrap())];
    let restoring = Running::ires_chat(Path::new("/"), &["backup", "restore", &archive], &environment);
    let amid = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'ires-chat backup' AND xact_start IS NOT NULL";
    let is_amid = async || {
        let mut db = PgConnection::connect(empty.url()).await.unwrap();
        sqlx::query_scalar::<_, i64>(amid).fetch_one(&mut db).await.unwrap() > 0
    };
    eventually("a restoration that is in its middle", is_amid).await;

    drop(restoring);

    eventually("its end", async || !is_amid().await).await;
    assert_eq!(tables(empty.url()).await, 0);
    assert_eq!(backup(&["restore", &archive], empty.url()).code, Some(0), "it can be tried again");
}

#[tokio::test]
async fn what_appears_while_a_backup_is_made_is_not_written_over_either() {
    let app = TestApp::start().await;
    for end in ["", ".json"] {
        let dir = TempDir::new();
        let (_, archive) = archive_in(&dir);
        let script = format!("case $1 in --version) exec REAL \"$@\";; esac\necho mine > '{archive}{end}'\nexec REAL \"$@\"");
        let bin = programs(&dir, "pg_dump", &script);

        let created = ires_chat(&["backup", "create", &archive], &[("DATABASE_URL", app.database.url()), ("CHAT_PG_BIN", bin.to_str().unwrap())]);

        assert_eq!(created.code, Some(1), "{}{}", created.stdout, created.stderr);
        assert_eq!(names_in(&dir), ["bin".to_owned(), format!("chat.backup{end}")], "{}", created.stderr);
        assert_eq!(fs::read_to_string(format!("{archive}{end}")).unwrap(), "mine\n");
    }
}

/// Ctrl-C, and what a service manager sends.
#[tokio::test]
async fn a_backup_that_is_interrupted_leaves_neither_a_file_nor_a_program_behind() {
    let app = TestApp::start().await;
    for signal in [Signal::INT, Signal::TERM] {
        let dir = TempDir::new();
        let (path, archive) = archive_in(&dir);
        let pid = dir.path().join("pid");
        let script = format!("case $1 in --version) exec REAL \"$@\";; esac\necho begun\necho $$ > {}\nexec sleep 60", pid.display());
        let bin = programs(&dir, "pg_dump", &script);
        let environment = [("DATABASE_URL", app.database.url()), ("CHAT_PG_BIN", bin.to_str().unwrap())];
        let creating = Running::ires_chat(Path::new("/"), &["backup", "create", &archive], &environment);
        let part = format!("{}.part-{}", path.display(), creating.pid().as_raw_nonzero());
        let said = || fs::read_to_string(&pid).ok()?.strip_suffix('\n')?.parse::<i32>().ok();
        eventually("a part", async || fs::read(&part).is_ok_and(|part| part == b"begun\n") && said().is_some()).await;
        let dumping = said().unwrap();
        let errors = creating.errors.clone();

        let ended = creating.end(signal);

        assert_eq!(ended.code(), Some(1));
        assert_eq!(names_in(&dir), ["bin", "pid"]);
        assert!(test_kill_process(Pid::from_raw(dumping).unwrap()).is_err(), "pg_dump goes on");
        eventually("the reason", async || errors.lock().unwrap().contains("interrupted")).await;
    }
}

/// What a program is told by arguments, everybody on the machine can read.
#[tokio::test]
async fn the_password_of_the_database_is_among_no_programs_arguments() {
    let dir = TempDir::new();
    let app = TestApp::start().await;
    let told = dir.path().join("told");
    let script = format!(
        "case $1 in --version) exec REAL \"$@\";; esac\nprintf '%s\\n' \"$@\" \"password:$PGPASSWORD\" > {}\nexec REAL \"$@\"",
        told.display()
    );
    let bin = programs(&dir, "pg_dump", &script);
    let url = app.database.url().replacen("ires_chat@", "ires_chat:p%40ss%20w%C3%B6rd@", 1);
    let (_, archive) = archive_in(&dir);

    let created = ires_chat(&["backup", "create", &archive], &[("DATABASE_URL", &url), ("CHAT_PG_BIN", bin.to_str().unwrap())]);

    assert_eq!(created.code, Some(0), "{}", created.stderr);
    let told = fs::read_to_string(told).unwrap();
    let (arguments, password) = told.split_once("password:").unwrap();
    assert_eq!(password.trim_end(), "p@ss wörd");
    assert!(arguments.contains("--snapshot=") && !arguments.contains("ss w") && !arguments.contains("p%40ss"), "{arguments}");
    eventually("the end of connections", async || {
        app.number("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'ires-chat backup' AND datname = current_database()").await == 0
    })
    .await;
}
