//! `ires-chat token`: access tokens for tests and scripts, and a look into those of others.

use super::{failed, say};
use crate::Failure;
use chrono::Utc;
use clap::{Args, Subcommand};
use ires_chat::{
    auth::tokens::Keys,
    config::{AuthSettings, read_secret},
    users::{UserId, UserType},
};
use serde_json::json;
use std::time::Duration;

/// What to do.
#[derive(Subcommand)]
pub enum Token {
    /// Print a token for a user
    #[command(after_help = "Examples:\n  ires-chat token mint alice --name Alice --ttl 30d\n  ires-chat token mint root --user-type admin")]
    Mint(Box<Mint>),
    /// Check a token and print what it says
    #[command(after_help = "Example:\n  ires-chat token verify $TOKEN")]
    Verify(Box<Verify>),
}

/// A token to make.
#[derive(Args)]
pub struct Mint {
    /// The user's id (sub)
    user: String,
    /// The name that the user gets at first sight
    #[arg(long)]
    name: Option<String>,
    /// user, admin or bot
    #[arg(long, default_value = "user")]
    user_type: String,
    /// How long it is good for
    #[arg(long, default_value = "1h", value_parser = ires_chat::config::duration)]
    ttl: Duration,
    #[command(flatten)]
    auth: AuthSettings,
}

/// A token to check.
#[derive(Args)]
pub struct Verify {
    /// The token
    token: String,
    #[command(flatten)]
    auth: AuthSettings,
}

/// Does it.
pub async fn run(token: Token) -> Result<(), Failure> {
    match token {
        Token::Mint(mint) => {
            let user = UserId::parse(&mint.user).ok_or_else(|| failed("a user's id has 1 to 128 characters"))?;
            let user_type = UserType::parse(&mint.user_type).ok_or_else(|| failed("a user is a user, an admin or a bot"))?;
            let now = Utc::now();
            say(keys(mint.auth)?.mint(&user, user_type, mint.name.as_deref(), None, now, now + mint.ttl).map_err(failed)?)
        }
        Token::Verify(verify) => {
            let claims = keys(verify.auth)?.verify(&verify.token).await.map_err(|error| failed(format!("{}: {error}", error.code().0)))?;
            let shown = json!({ "sub": claims.user_id, "userType": claims.user_type, "expiresAt": ires_chat::time::format(claims.expires_at), "name": claims.name });
            say(shown)
        }
    }
}

/// The keys that these settings name.
pub(super) fn keys(mut settings: AuthSettings) -> Result<Keys, Failure> {
    read_secret(&mut settings.jwt_secret, settings.jwt_secret_file.as_ref(), "JWT_SECRET").map_err(Failure::Misconfigured)?;
    if settings.jwt_secret.is_none() && settings.jwks_url.is_none() && settings.jwt_public_key_file.is_none() {
        return Err(Failure::Misconfigured(
            "JWT_SECRET is missing: set it to the secret of your server, or JWT_SECRET_FILE to the file that holds it".to_owned(),
        ));
    }
    Keys::new(&settings).map_err(Failure::Misconfigured)
}
