//! Settings: one definition makes the flag, the environment variable and the `--help` text of each.
//!
//! Every value is checked while it is parsed; [`Settings::check`] then settles what needs more than one of them.
//! Secrets are hidden from `Debug`, so that a settings dump can be shown.

mod values;

use crate::{
    admin::AdminSettings,
    auth::{
        passwords::rules::PasswordSettings,
        public_keys::{self, jwks_url},
    },
    database,
    draining::DrainSettings,
    limits::LimitSettings,
};
use clap::{Args, Command, CommandFactory, ValueEnum};
use hyper::Uri;
use std::{collections::BTreeSet, fs, net::IpAddr, path::PathBuf, time::Duration};
pub use values::{Secret, age, duration, slug};
use values::{lease, log_filter, namespace, origin};

/// The default for the characters of a message.
pub const MAX_CONTENT: u32 = 4_000;
/// The default for the participants of a new room.
pub const MAX_PARTICIPANTS: u32 = 1_000;
/// The default for the bytes of a request's body.
pub const MAX_BODY: u32 = 262_144;

/// All settings of a running server.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where the server listens.
    #[command(flatten)]
    pub http: HttpSettings,
    /// How sockets behave.
    #[command(flatten)]
    pub sockets: SocketSettings,
    /// Who comes in.
    #[command(flatten)]
    pub auth: AuthSettings,
    /// What rooms and messages may be.
    #[command(flatten)]
    pub chat: ChatSettings,
    /// How much anybody may do.
    #[command(flatten)]
    pub limits: LimitSettings,
    /// How the server stops.
    #[command(flatten)]
    pub draining: DrainSettings,
    /// Who may look at it from outside.
    #[command(flatten)]
    pub admin: AdminSettings,
    /// Where everything is kept.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// What is logged.
    #[command(flatten)]
    pub log: LogSettings,
}

/// Where the server listens and who may call it from a browser.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpSettings {
    /// Address to listen on; 0.0.0.0 or :: for all
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one and prints it
    #[arg(long, env = "PORT", default_value_t = 3000)]
    pub port: u16,
    /// Origins of the frontends, comma-separated: allowed by CORS and as Origin of a WebSocket
    #[arg(long, env = "FRONTEND_URL", hide_env_values = true, value_delimiter = ',', default_value = "http://localhost:3000", value_parser = origin)]
    pub frontend_url: Vec<String>,
    /// Largest body of a REST request, in bytes
    #[arg(long, env = "CHAT_MAX_BODY", default_value_t = MAX_BODY, value_parser = clap::value_parser!(u32).range(1_024..))]
    pub max_body: u32,
    /// How long a connection may take to bring its first request, without the body
    #[arg(long, env = "CHAT_HEAD_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub head_timeout: Duration,
    /// How long the body of a request may take
    #[arg(long, env = "CHAT_BODY_TIMEOUT", default_value = "20s", value_parser = duration)]
    pub body_timeout: Duration,
    /// How long a connection is kept for the next request; longer than proxies in front keep theirs
    #[arg(long, env = "CHAT_IDLE_TIMEOUT", default_value = "75s", value_parser = duration)]
    pub idle_timeout: Duration,
    /// For how long browsers are to come by https only (Strict-Transport-Security), once all do; 0: they are not told
    #[arg(long, env = "CHAT_HSTS", default_value = "0s", value_parser = duration)]
    pub hsts: Duration,
    /// Token for which /metrics is shown, at least 16 bytes; without it there is no such page
    #[arg(long, env = "CHAT_METRICS_TOKEN", hide_env_values = true)]
    pub metrics_token: Option<Secret>,
    /// File that holds `CHAT_METRICS_TOKEN`
    #[arg(long, env = "CHAT_METRICS_TOKEN_FILE")]
    pub metrics_token_file: Option<PathBuf>,
}

/// Engine.IO and Socket.IO; the defaults are those of the Node server that this one replaces.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sockets")]
pub struct SocketSettings {
    /// Namespaces that serve the chat, comma-separated
    #[arg(long, env = "CHAT_NAMESPACES", value_delimiter = ',', default_value = "/chat", value_parser = namespace)]
    pub namespaces: Vec<String>,
    /// Transports offered, comma-separated
    #[arg(long, env = "CHAT_TRANSPORTS", value_delimiter = ',', default_value = "websocket,polling")]
    pub transports: Vec<Transport>,
    /// Time between two pings
    #[arg(long, env = "CHAT_PING_INTERVAL", default_value = "25s", value_parser = duration)]
    pub ping_interval: Duration,
    /// How long a pong may take
    #[arg(long, env = "CHAT_PING_TIMEOUT", default_value = "60s", value_parser = duration)]
    pub ping_timeout: Duration,
    /// How long an upgrade from polling to WebSocket may take
    #[arg(long, env = "CHAT_UPGRADE_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub upgrade_timeout: Duration,
    /// How long a connection may take to name its namespace
    #[arg(long, env = "CHAT_CONNECT_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub connect_timeout: Duration,
    /// Largest WebSocket message or polling body, in bytes
    #[arg(long, env = "CHAT_MAX_PAYLOAD", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_024..))]
    pub max_payload: u32,
    /// Bytes that may wait for a WebSocket client that reads slowly, beyond what the system's own buffers hold
    #[arg(long, env = "CHAT_SOCKET_BACKLOG", default_value_t = 1_048_576, value_parser = clap::value_parser!(u32).range(16_384..))]
    pub socket_backlog: u32,
    /// Packets that may wait for a client that polls slowly
    #[arg(long, env = "CHAT_SOCKET_BUFFER", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(64..=1_000_000))]
    pub socket_buffer: u32,
    /// Mirror every system:error as the `exception` event of `NestJS`
    #[arg(long, env = "CHAT_COMPAT_NEST_EXCEPTION", default_value_t = false, action = clap::ArgAction::Set)]
    pub compat_nest_exception: bool,
}

/// An Engine.IO transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// WebSocket.
    Websocket,
    /// HTTP long polling.
    Polling,
}

/// What happens to a connection without a valid token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuthMode {
    /// It is let in to emit auth:login, or told why it is not, as the seed's gateway did.
    Lenient,
    /// It is refused in the handshake with `connect_error`.
    Strict,
}

/// A switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// Tokens and accounts.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Accounts and tokens")]
pub struct AuthSettings {
    /// Secret of HS256 tokens, shared with the system that issues them; at least 32 bytes
    #[arg(long, env = "JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: Option<Secret>,
    /// File that holds `JWT_SECRET`
    #[arg(long, env = "JWT_SECRET_FILE")]
    pub jwt_secret_file: Option<PathBuf>,
    /// Let a `JWT_SECRET` shorter than 32 bytes pass, with a warning
    #[arg(long, env = "CHAT_ALLOW_WEAK_SECRET", default_value_t = false, action = clap::ArgAction::Set)]
    pub allow_weak_secret: bool,
    /// Where the issuer publishes its public keys (a JWK set), for RS256, ES256 and `EdDSA` tokens
    #[arg(long, env = "CHAT_JWKS_URL", hide_env_values = true, value_parser = jwks_url)]
    pub jwks_url: Option<Uri>,
    /// How old the published keys may become before they are fetched anew
    #[arg(long, env = "CHAT_JWKS_MAX_AGE", default_value = "10m", value_parser = duration)]
    pub jwks_max_age: Duration,
    /// PEM file with the certificates that `CHAT_JWKS_URL` may be certified by, besides those that browsers trust
    #[arg(long, env = "CHAT_JWKS_CA_FILE")]
    pub jwks_ca_file: Option<PathBuf>,
    /// PEM file with the issuer's public keys, where they are not published
    #[arg(long, env = "CHAT_JWT_PUBLIC_KEY_FILE")]
    pub jwt_public_key_file: Option<PathBuf>,
    /// Required issuer (iss) of tokens
    #[arg(long, env = "CHAT_JWT_ISSUER")]
    pub jwt_issuer: Option<String>,
    /// Required audience (aud) of tokens
    #[arg(long, env = "CHAT_JWT_AUDIENCE")]
    pub jwt_audience: Option<String>,
    /// Claim that holds the user id [default: the first of sub, id, userId, `user_id`]
    #[arg(long, env = "CHAT_JWT_USER_ID_CLAIM")]
    pub jwt_user_id_claim: Option<String>,
    /// What happens to a socket without a valid token
    #[arg(long, env = "CHAT_AUTH_MODE", default_value = "lenient")]
    pub auth_mode: AuthMode,
    /// How long a socket may stay without authenticating
    #[arg(long, env = "CHAT_AUTH_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub auth_timeout: Duration,
    /// How long before its token expires a socket is told
    #[arg(long, env = "CHAT_TOKEN_EXPIRING_NOTICE", default_value = "60s", value_parser = duration)]
    pub token_expiring_notice: Duration,
    /// How long after its token expired a socket is cut
    #[arg(long, env = "CHAT_TOKEN_GRACE", default_value = "25s", value_parser = duration)]
    pub token_grace: Duration,
    /// Life of our own access tokens
    #[arg(long, env = "CHAT_ACCESS_TOKEN_TTL", default_value = "15m", value_parser = duration)]
    pub access_token_ttl: Duration,
    /// Life of our own refresh tokens
    #[arg(long, env = "CHAT_REFRESH_TOKEN_TTL", default_value = "30d", value_parser = duration)]
    pub refresh_token_ttl: Duration,
    /// How long a log-in lasts at the most, however often its tokens are refreshed
    #[arg(long, env = "CHAT_SESSION_TTL", default_value = "365d", value_parser = lease)]
    pub session_ttl: Duration,
    /// What new passwords may be.
    #[command(flatten)]
    pub passwords: PasswordSettings,
    /// Whether accounts are made here; off: they live in another system, and unseen ids may be named as participants
    #[arg(long, env = "CHAT_REGISTRATION", default_value = "on")]
    pub registration: Switch,
}

/// Rooms, messages, presence.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Rooms, messages, presence")]
pub struct ChatSettings {
    /// Slug of the public room that every user is in, and that messages without roomId go to
    #[arg(long, env = "CHAT_DEFAULT_ROOM", default_value = "general", value_parser = slug)]
    pub default_room: String,
    /// Let chat:room:join of an unknown slug create a public room
    #[arg(long, env = "CHAT_AUTO_CREATE_ROOMS", default_value_t = false, action = clap::ArgAction::Set)]
    pub auto_create_rooms: bool,
    /// Most characters of a message
    #[arg(long, env = "CHAT_MAX_CONTENT", default_value_t = MAX_CONTENT, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub max_content: u32,
    /// How long after it was said a message may be edited; 0: for ever
    #[arg(long, env = "CHAT_EDIT_WINDOW", default_value = "0s", value_parser = duration)]
    pub edit_window: Duration,
    /// Most bytes of one event
    #[arg(long, env = "CHAT_MAX_EVENT", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1_024..))]
    pub max_event: u32,
    /// Most participants named when a room is made
    #[arg(long, env = "CHAT_MAX_PARTICIPANTS", default_value_t = MAX_PARTICIPANTS, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_participants: u32,
    /// Members above which joins, leaves and presence are counted instead of told, and markers are not told
    #[arg(long, env = "CHAT_QUIET_ROOM_SIZE", default_value_t = 200, value_parser = clap::value_parser!(i32).range(1..))]
    pub quiet_room_size: i32,
    /// How long after their last connection users stay online
    #[arg(long, env = "CHAT_PRESENCE_GRACE", default_value = "5s", value_parser = duration)]
    pub presence_grace: Duration,
    /// How long messages are kept, such as 365d; older ones are deleted [default: for ever]
    #[arg(long, env = "CHAT_RETENTION", value_parser = age)]
    pub retention: Option<Duration>,
    /// How long users of a server that died stay online before their grace begins; each server renews its lease in a third of it
    #[arg(long, env = "CHAT_NODE_LEASE", default_value = "15s", value_parser = lease)]
    pub node_lease: Duration,
    /// How long a typing indicator lasts
    #[arg(long, env = "CHAT_TYPING_TTL", default_value = "7s", value_parser = duration)]
    pub typing_ttl: Duration,
}

/// Postgres.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseSettings {
    /// Postgres 15 or newer, as <postgres://user:password@host/database>
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<Secret>,
    /// File that holds `DATABASE_URL`
    #[arg(long, env = "DATABASE_URL_FILE")]
    pub database_url_file: Option<PathBuf>,
    /// Most connections to the database
    #[arg(long, env = "CHAT_DATABASE_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    pub database_connections: u32,
    /// How long the database may take before a request is answered UNAVAILABLE
    #[arg(long, env = "CHAT_DATABASE_TIMEOUT", default_value = "4s", value_parser = duration)]
    pub database_timeout: Duration,
    /// From which time on a query is slow, and logged
    #[arg(long, env = "CHAT_SLOW_QUERY", default_value = "500ms", value_parser = duration)]
    pub slow_query: Duration,
    /// Messages of a room that the index of searches takes in together; fewer than these are read one by one
    #[arg(long, env = "CHAT_SEARCH_BLOCK", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=8_192))]
    pub search_block: u32,
    /// Apply migrations at start; off: refuse to run on an older schema
    #[arg(long, env = "CHAT_MIGRATE", default_value = "on")]
    pub migrate: Switch,
    /// Run on a database that may lose acknowledged messages in a crash (fsync or `synchronous_commit` off)
    #[arg(long, env = "CHAT_ALLOW_UNSAFE_DATABASE", default_value_t = false, action = clap::ArgAction::Set)]
    pub allow_unsafe_database: bool,
}

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct LogSettings {
    /// auto: pretty on a terminal, json elsewhere
    #[arg(long, env = "LOG_FORMAT", default_value = "auto")]
    pub log_format: LogFormat,
    /// Log filter, as in `info,ires_chat=debug`
    #[arg(long, env = "RUST_LOG", default_value = "info", value_parser = log_filter)]
    pub rust_log: String,
    /// As in Node: socket.io:* shows every event and connection, without contents and tokens; engine* and exclusions with - as well
    #[arg(long, env = "DEBUG")]
    pub debug: Option<String>,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Pretty,
    /// For machines.
    Json,
}

/// Secrets of examples and tutorials (the seed's among them): as good as none.
const PLACEHOLDERS: [&str; 8] =
    ["your-jwt-secret", "your_jwt_secret", "your-secret-key", "changeme", "change-me", "secret", "secretkey", "jwt-secret"];

impl Settings {
    /// Reads the secrets' files and refuses what no server should run with.
    ///
    /// # Errors
    /// One line for the operator.
    pub fn check(mut self) -> Result<Self, String> {
        read_secret(&mut self.auth.jwt_secret, self.auth.jwt_secret_file.as_ref(), "JWT_SECRET")?;
        read_secret(&mut self.database.database_url, self.database.database_url_file.as_ref(), "DATABASE_URL")?;
        read_secret(&mut self.http.metrics_token, self.http.metrics_token_file.as_ref(), "CHAT_METRICS_TOKEN")?;
        if self.http.metrics_token.as_ref().is_some_and(|token| token.reveal().len() < 16) {
            return Err("CHAT_METRICS_TOKEN is shorter than 16 bytes, which can be guessed: use another, such as from: openssl rand -hex 24".into());
        }
        self.admin.check(&self.sockets.namespaces)?;
        public_keys::check(&self.auth)?;
        self.auth.passwords.check()?;
        if let Some(secret) = &self.auth.jwt_secret {
            check_secret(secret, self.auth.allow_weak_secret)?;
        } else if self.auth.jwks_url.is_none() && self.auth.jwt_public_key_file.is_none() {
            return Err(
                "JWT_SECRET is missing: set it to the secret of the system that issues your tokens, or to a new one: openssl rand -base64 48".into(),
            );
        } else if self.auth.registration == Switch::On {
            return Err(
                "JWT_SECRET is missing: our own accounts need it, even if others sign with keys of their own; CHAT_REGISTRATION=off goes without"
                    .into(),
            );
        }
        let Some(url) = &self.database.database_url else {
            return Err("DATABASE_URL is missing: set it to a Postgres, or run `ires-chat dev` to try things out with a private one".into());
        };
        database::options(url, self.database.database_timeout)?;
        Ok(self)
    }
}

/// Refuses a secret that everybody knows, or can find out.
fn check_secret(secret: &Secret, allow_weak: bool) -> Result<(), String> {
    let text = secret.reveal().trim();
    if PLACEHOLDERS.contains(&text.to_ascii_lowercase().as_str()) || text.is_empty() {
        return Err("JWT_SECRET is a placeholder that everybody knows: set a secret of your own, such as from: openssl rand -base64 48".into());
    }
    // RFC 7518, section 3.2: a key of the size of the hash output or larger.
    if secret.reveal().len() < 32 && !allow_weak {
        return Err(
            "JWT_SECRET is shorter than 32 bytes, which can be guessed: use a longer one, or CHAT_ALLOW_WEAK_SECRET=true for an existing system"
                .into(),
        );
    }
    Ok(())
}

/// Environment variables that begin with `CHAT_` and mean nothing here: most often a misspelt setting.
pub fn unknown_variables<C: CommandFactory>() -> Vec<String> {
    let mut known = BTreeSet::new();
    collect_variables(&C::command(), &mut known);
    let given = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    given.filter(|name| name.starts_with("CHAT_") && !known.contains(name)).collect()
}

fn collect_variables(command: &Command, known: &mut BTreeSet<String>) {
    known.extend(command.get_arguments().filter_map(|argument| argument.get_env()?.to_str().map(str::to_owned)));
    command.get_subcommands().for_each(|command| collect_variables(command, known));
}

/// Reads a secret from its file, if it has one.
///
/// # Errors
/// One line for the operator.
pub fn read_secret(secret: &mut Option<Secret>, file: Option<&PathBuf>, name: &str) -> Result<(), String> {
    let Some(path) = file else { return Ok(()) };
    if secret.is_some() {
        return Err(format!("{name} and {name}_FILE are both set: keep one"));
    }
    let text = fs::read_to_string(path).map_err(|error| format!("{name}_FILE: {} cannot be read: {error}", path.display()))?;
    *secret = Some(Secret::new(text.trim_end_matches(['\r', '\n'])));
    Ok(())
}
