//! `ires-chat config`: the settings that a server would run with.

use super::say;
use crate::Failure;
use clap::Subcommand;
use ires_chat::config::Settings;

/// What to do.
#[derive(Subcommand)]
pub enum Config {
    /// Say whether a server would start with them
    #[command(after_help = "Example:\n  ires-chat config check")]
    Check(Box<Settings>),
    /// Print them, secrets hidden
    #[command(after_help = "Example:\n  ires-chat config show")]
    Show(Box<Settings>),
}

/// Does it.
pub fn run(config: Config) -> Result<(), Failure> {
    match config {
        Config::Check(settings) => {
            settings.check().map_err(Failure::Misconfigured)?;
            say("the settings are good")
        }
        Config::Show(settings) => say(format_args!("{settings:#?}")),
    }
}
