//! Postgres's own programs, which write and read the archive. They are told where the database is by variables, never by
//! arguments, which everybody on the machine can read.

use crate::embedded;
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use std::{
    io::{self, Read, Write},
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    thread::{self, JoinHandle},
};

/// What the script of a restoration ends with: the history that it brings back is another one than clients may know.
const NEW_EPOCH: &[u8] = b"\nUPDATE public.database_identity SET epoch = gen_random_uuid();\nCOMMIT;\n";

/// How much is kept of what a program complains of.
const COMPLAINTS: u64 = 16 << 10;

/// A program that runs, and its complaints. It is ended, whatever it is doing, when nobody wants it any more.
pub(super) struct Running {
    name: &'static str,
    child: Child,
    complaints: Option<JoinHandle<String>>,
}

impl Running {
    fn start(name: &'static str, command: &mut Command) -> Result<Self, String> {
        let mut child = command.stderr(Stdio::piped()).spawn().map_err(|error| format!("{name} cannot be run: {error}"))?;
        let stderr = child.stderr.take();
        let complaints = thread::spawn(move || stderr.map(first_words).unwrap_or_default());
        Ok(Self { name, child, complaints: Some(complaints) })
    }

    /// Waits for the end, which must be a good one.
    pub(super) fn finish(mut self) -> Result<(), String> {
        let status = self.child.wait().map_err(|error| format!("{}: {error}", self.name))?;
        let said = self.complaints.take().and_then(|complaints| complaints.join().ok()).unwrap_or_default();
        if status.success() { Ok(()) } else { Err(format!("{} failed: {}", self.name, one_line(&said))) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn first_words(mut stderr: ChildStderr) -> String {
    let mut words = Vec::new();
    let _ = stderr.by_ref().take(COMPLAINTS).read_to_end(&mut words);
    // It goes on complaining, and must not be held up.
    let _ = io::copy(&mut stderr, &mut io::sink());
    String::from_utf8_lossy(&words).into_owned()
}

/// The line that gives the reason.
fn one_line(said: &str) -> &str {
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.clone().find(|line| line.to_lowercase().contains("error:")).or_else(|| lines.next()).unwrap_or("it does not say why")
}

/// A program of Postgres that is not older than the server.
fn program(pg_bin: Option<&Path>, name: &'static str, least: u32) -> Result<Command, String> {
    let path = embedded::client(pg_bin, name, least).map_err(|error| error.to_string())?;
    let mut command = Command::new(path);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C").stdin(Stdio::null());
    Ok(command)
}

/// Tells a program where the database is.
fn connected(command: &mut Command, database: &PgConnectOptions) {
    let url = database.to_url_lossy();
    let host = database.get_socket().map_or_else(|| database.get_host().into(), |socket| socket.as_os_str().to_owned());
    command.env("PGHOST", host).env("PGPORT", database.get_port().to_string()).env("PGUSER", database.get_username());
    command.env("PGDATABASE", database.get_database().unwrap_or(database.get_username()));
    command.env("PGAPPNAME", "ires-chat backup").env("PGCONNECT_TIMEOUT", "10");
    if let Some(password) = url.password() {
        command.env("PGPASSWORD", percent_decode_str(password).decode_utf8_lossy().as_ref());
    }
    for (name, variable) in [("sslmode", "PGSSLMODE"), ("sslrootcert", "PGSSLROOTCERT"), ("sslcert", "PGSSLCERT"), ("sslkey", "PGSSLKEY")] {
        if let Some((_, value)) = url.query_pairs().find(|(key, _)| key == name) {
            command.env(variable, value.as_ref());
        }
    }
}

/// Begins to write what a snapshot of a database shows.
pub(super) fn dump(pg_bin: Option<&Path>, database: &PgConnectOptions, server: u32, snapshot: &str) -> Result<(Running, ChildStdout), String> {
    let mut command = program(pg_bin, "pg_dump", server)?;
    connected(&mut command, database);
    // Who is connected just now is no part of the history.
    command.args(["--format=custom", "--no-password", "--no-unlogged-table-data"]).arg(format!("--snapshot={snapshot}")).stdout(Stdio::piped());
    let mut running = Running::start("pg_dump", &mut command)?;
    let dump = running.child.stdout.take().ok_or("pg_dump has no output")?;
    Ok((running, dump))
}

/// Copies; says how many bytes, and their SHA-256.
pub(super) fn digested(mut from: impl Read, into: &mut impl Write) -> io::Result<(u64, String)> {
    let (mut digest, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            let hex = digest.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
            return Ok((bytes, hex));
        }
        digest.update(&buffer[..read]);
        into.write_all(&buffer[..read])?;
        bytes += read as u64;
    }
}

/// Writes an archive into an empty database, as one transaction that ends with a new epoch. Should this process be killed, psql finds
/// the end of its input before the end of the transaction, and nothing has happened.
pub(super) fn restore(pg_bin: Option<&Path>, database: &PgConnectOptions, server: u32, archive: &Path) -> Result<(), String> {
    let mut reader = program(pg_bin, "pg_restore", server)?;
    reader.args(["--file=-", "--no-owner", "--no-privileges", "--exit-on-error"]).arg(archive).stdout(Stdio::piped());
    let mut writer = program(pg_bin, "psql", server)?;
    connected(&mut writer, database);
    writer.args(["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--output=/dev/null"]);
    let mut writer = Running::start("psql", writer.stdin(Stdio::piped()).stdout(Stdio::null()))?;
    let mut reader = Running::start("pg_restore", &mut reader)?;
    let (Some(mut script), Some(mut input)) = (reader.child.stdout.take(), writer.child.stdin.take()) else {
        return Err("the programs of Postgres have no pipes".to_owned());
    };
    let written = input.write_all(b"BEGIN;\n").and_then(|()| io::copy(&mut script, &mut input));
    drop(script);
    let read = reader.finish();
    if written.is_ok()
        && let Err(error) = read
    {
        drop(writer);
        return Err(error);
    }
    // Where psql stopped reading, its complaint is the reason.
    let _ = input.write_all(NEW_EPOCH);
    drop(input);
    writer.finish()
}
