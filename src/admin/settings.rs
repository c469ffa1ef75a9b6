//! The settings of the Admin UI.

use super::NAMESPACE;
use crate::config::{Secret, duration, read_secret};
use clap::Args;
use std::{path::PathBuf, time::Duration};

/// Fewest characters of the password: it is one for all operators, and opens a view of everybody.
const PASSWORD: usize = 12;

/// Who may look at the server with Socket.IO's Admin UI.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Admin UI")]
pub struct AdminSettings {
    /// Password of the Admin UI, which namespace /admin serves from then on; at least 12 characters [default: no Admin UI]
    #[arg(long, env = "CHAT_ADMIN_PASSWORD", hide_env_values = true)]
    pub admin_password: Option<Secret>,
    /// File that holds `CHAT_ADMIN_PASSWORD`
    #[arg(long, env = "CHAT_ADMIN_PASSWORD_FILE")]
    pub admin_password_file: Option<PathBuf>,
    /// Name that goes with the password
    #[arg(long, env = "CHAT_ADMIN_USERNAME", default_value = "admin")]
    pub admin_username: String,
    /// Whether the Admin UI only looks; false: it may also disconnect clients
    #[arg(long, env = "CHAT_ADMIN_READONLY", default_value_t = true, action = clap::ArgAction::Set)]
    pub admin_readonly: bool,
    /// How long a log-in of the Admin UI lasts
    #[arg(long, env = "CHAT_ADMIN_SESSION_TTL", default_value = "12h", value_parser = duration)]
    pub admin_session_ttl: Duration,
}

impl AdminSettings {
    /// Reads the password's file and refuses what could be guessed, or would take the namespace from the chat.
    ///
    /// # Errors
    /// One line for the operator.
    pub fn check(&mut self, namespaces: &[String]) -> Result<(), String> {
        read_secret(&mut self.admin_password, self.admin_password_file.as_ref(), "CHAT_ADMIN_PASSWORD")?;
        let Some(password) = &self.admin_password else { return Ok(()) };
        if password.reveal().chars().count() < PASSWORD {
            return Err(format!("CHAT_ADMIN_PASSWORD is shorter than {PASSWORD} characters, which can be guessed: use a longer one, or none"));
        }
        if namespaces.iter().any(|namespace| namespace == NAMESPACE) {
            return Err(format!(
                "CHAT_NAMESPACES names {NAMESPACE}, which belongs to the Admin UI while CHAT_ADMIN_PASSWORD is set: give up one of them"
            ));
        }
        Ok(())
    }
}
