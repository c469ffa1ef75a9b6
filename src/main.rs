//! The command line: one of the commands, with settings from flags, the environment and `.env`.
//!
//! What a command has to say goes to stdout, logs go to stderr. Exit codes: 0 it worked, 1 it failed, 2 it was called
//! wrongly, 69 a service that it needs is not there, 78 the configuration is wrong (as in sysexits.h).

// Output goes by `commands::say`, which survives that nobody reads it.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod commands;

use clap::{
    Arg, CommandFactory, Parser, Subcommand,
    error::{ContextKind, ContextValue},
};
use ires_chat::{
    config::{LogSettings, Settings, unknown_variables},
    telemetry,
};
use std::{
    env,
    error::Error,
    fs,
    io::{Write, stderr},
    path::Path,
    process::ExitCode,
};

/// A chat backend that speaks Socket.IO and keeps every message in Postgres before anybody sees it.
#[derive(Parser)]
#[command(name = "ires-chat", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  ires-chat dev                                    try it: a private Postgres, demo users, everything printed
  DATABASE_URL=postgres://… JWT_SECRET=… ires-chat serve
  ires-chat migrate info
  JWT_SECRET=… ires-chat token mint alice --name Alice
  ires-chat config show
  ires-chat backup create ires-chat.backup
  ires-chat spec openapi > openapi.json";

#[derive(Subcommand)]
enum Command {
    /// Start with a private Postgres under ./.ires-chat, demo users and rooms
    #[command(after_help = "Examples:\n  ires-chat dev\n  ires-chat dev --port 3001 --dir /tmp/chat")]
    Dev(Box<commands::dev::Dev>),
    /// Serve from the Postgres of `DATABASE_URL`
    #[command(
        after_help = "Examples:\n  ires-chat serve\n  ires-chat serve --port 3001 --jwt-secret-file jwt-secret --database-url postgres://localhost/chat"
    )]
    Serve(Box<Settings>),
    /// Look at, or apply, the migrations of the database
    #[command(subcommand, after_help = "Examples:\n  ires-chat migrate info\n  ires-chat migrate run\n  ires-chat migrate grant chat_server")]
    Migrate(commands::migrate::Migrate),
    /// Make or check access tokens
    #[command(subcommand, after_help = "Examples:\n  ires-chat token mint alice --name Alice --ttl 30d\n  ires-chat token verify $TOKEN")]
    Token(commands::token::Token),
    /// Look after accounts
    #[command(
        subcommand,
        after_help = "Examples:\n  ires-chat user add carol --name Carol < password.txt\n  ires-chat user list\n  ires-chat user erase alice --messages delete"
    )]
    User(commands::user::User),
    /// Check or show the settings that would be used
    #[command(subcommand, after_help = "Examples:\n  ires-chat config check\n  ires-chat config show")]
    Config(commands::config::Config),
    /// Prove the database's invariants: last numbers, counts, markers, no orphans
    #[command(after_help = "Examples:\n  ires-chat doctor\n  ires-chat doctor --quick --json")]
    Doctor(commands::doctor::Doctor),
    /// Write, try out and bring back archives of the database
    #[command(
        subcommand,
        after_help = "Examples:\n  ires-chat backup create ires-chat.backup\n  ires-chat backup verify ires-chat.backup\n  ires-chat backup restore ires-chat.backup --database-url postgres://localhost/empty"
    )]
    Backup(commands::backup::Backup),
    /// Delete messages that have become too old
    #[command(subcommand, after_help = "Example:\n  ires-chat retention run --older-than 365d --dry-run")]
    Retention(commands::retention::Retention),
    /// Print the contract, as documents that are made of the code
    #[command(subcommand, after_help = "Examples:\n  ires-chat spec openapi > openapi.json\n  ires-chat spec typescript > events.d.ts")]
    Spec(commands::spec::Spec),
    /// Ask a running server whether it is ready
    #[command(after_help = "Example:\n  ires-chat health --port 3001")]
    Health(commands::health::Health),
    /// Put a running server under load, and say what it stood
    #[command(after_help = "Example:\n  ires-chat bench --server 127.0.0.1:3000 --workload S1w4 --duration 10s")]
    Bench(Box<commands::bench::Bench>),
}

/// Why a command ended early: one line, and the exit code.
#[derive(Debug)]
pub enum Failure {
    /// It did not work.
    Failed(String),
    /// The database, or the server, is not there.
    Unavailable(String),
    /// It was called wrongly.
    Misused(String),
    /// The settings are wrong.
    Misconfigured(String),
    /// Nobody reads what it has to say, which is no fault of anybody's.
    Unheard,
}

impl Failure {
    fn report(&self) -> ExitCode {
        let (message, code) = match self {
            Self::Failed(message) => (message, 1),
            Self::Misused(message) => (message, 2),
            Self::Unavailable(message) => (message, 69),
            Self::Misconfigured(message) => (message, 78),
            Self::Unheard => return ExitCode::SUCCESS,
        };
        // The exit code says it to whom does not read it.
        let _ = writeln!(stderr(), "ires-chat: {message}");
        ExitCode::from(code)
    }
}

fn main() -> ExitCode {
    if let Err(fault) = read_dot_env() {
        return Failure::Misconfigured(fault).report();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    let unknown = unknown_variables::<Cli>();
    if !unknown.is_empty() {
        return Failure::Misconfigured(format!("unknown setting {}: see `ires-chat serve --help`", unknown.join(", "))).report();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::Failed(format!("no runtime: {error}")).report(),
    };
    let ended = runtime.block_on(run(cli.command));
    telemetry::finish();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Reads the `.env` of this directory, or of the nearest one above it that has one: it says what the environment does not.
fn read_dot_env() -> Result<(), String> {
    let directory = env::current_dir().unwrap_or_default();
    let Some(path) = directory.ancestors().map(|directory| directory.join(".env")).find(|path| path.is_file()) else { return Ok(()) };
    dotenvy::from_path(&path).map_err(|error| match error {
        // The text is most often that of a secret.
        dotenvy::Error::LineParse(text, _) => {
            format!(
                "{}: line {} cannot be read: put a value with blanks, quotes or backslashes into single quotes",
                path.display(),
                line_of(&path, &text)
            )
        }
        error => format!("{}: {error}", path.display()),
    })
}

/// Which line of a file a text begins in that was found there.
fn line_of(path: &Path, text: &str) -> usize {
    let (file, begin) = (fs::read_to_string(path).unwrap_or_default(), text.lines().next().unwrap_or_default().trim());
    let is_it = |line: &str| !line.trim_start().starts_with('#') && line.contains(begin);
    file.lines().position(is_it).unwrap_or_default() + 1
}

/// Says what is wrong with the arguments; a bad value from the environment is named by its variable. One that may hold a password is not
/// shown.
fn explain(error: &clap::Error) -> ExitCode {
    let told = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let argument = told(ContextKind::InvalidArg).and_then(|shown| shown.strip_prefix("--")?.split([' ', '=']).next());
    let setting = argument.and_then(|name| setting_of(&Cli::command(), name));
    if let (Some((setting, variable)), Some(value)) = (setting, told(ContextKind::InvalidValue)) {
        let shown = if setting.is_hide_env_values_set() { String::new() } else { format!(" {value:?}") };
        let fault = format!("has a bad value{shown}{}", error.source().map(|source| format!(": {source}")).unwrap_or_default());
        if env::var(&variable).is_ok_and(|given| given.contains(value)) {
            return Failure::Misconfigured(format!("{variable} {fault}")).report();
        }
        if setting.is_hide_env_values_set() {
            return Failure::Misused(format!("--{} {fault}", setting.get_long().unwrap_or_default())).report();
        }
    }
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

/// The setting of a flag, and its variable.
fn setting_of(command: &clap::Command, flag: &str) -> Option<(Arg, String)> {
    let own = command.get_arguments().find(|own| own.get_long() == Some(flag));
    let setting = own.and_then(|own| Some((own.clone(), own.get_env()?.to_str()?.to_owned())));
    setting.or_else(|| command.get_subcommands().find_map(|command| setting_of(command, flag)))
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Dev(dev) => Box::pin(commands::dev::run(*dev)).await,
        Command::Serve(settings) => commands::serve::run(*settings).await,
        Command::Migrate(migrate) => commands::migrate::run(migrate).await,
        Command::Token(token) => commands::token::run(token).await,
        Command::User(user) => commands::user::run(user).await,
        Command::Config(config) => commands::config::run(config),
        Command::Doctor(doctor) => commands::doctor::run(doctor).await,
        Command::Backup(backup) => commands::backup::run(backup).await,
        Command::Retention(retention) => commands::retention::run(retention).await,
        Command::Spec(spec) => commands::spec::run(&spec),
        Command::Health(health) => commands::health::run(health).await,
        Command::Bench(bench) => commands::bench::execute(*bench).await,
    }
}

/// Begins to log, for commands that do.
fn init_logs(settings: &LogSettings) -> Result<(), Failure> {
    telemetry::init(settings).map_err(Failure::Misconfigured)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_understood(command: &clap::Command) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for example in help.lines().filter_map(|line| line.split_once("ires-chat ")) {
            // Up to a redirection, or to what it is good for.
            let words = example.1.split(['<', '>']).next().and_then(|line| line.split("  ").next()).unwrap_or_default();
            let parsed = Cli::try_parse_from(["ires-chat"].into_iter().chain(words.split_whitespace()));
            assert!(parsed.is_ok(), "{words}: {}", parsed.err().unwrap());
        }
        command.get_subcommands().for_each(assert_understood);
    }

    #[test]
    fn the_examples_of_the_help_are_commands_that_there_are() {
        assert_understood(&Cli::command());
    }
}
