//! The settings of limits: how much of what is allowed to whom.

use super::{
    address::Network,
    rate::{Rate, Rates},
};
use crate::config::Switch;
use clap::Args;

/// How much one user, and one address, may do.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits on use")]
pub struct LimitSettings {
    /// Whether there are limits on use; off: neither rates nor numbers of connections are limited, as for a benchmark
    #[arg(long, env = "CHAT_LIMITS", default_value = "on")]
    pub limits: Switch,
    /// Messages of one user: burst/refill a second, or burst/refill/time, or off; bots and admins may differ: 10/5,bot=100/50,admin=off
    #[arg(long, env = "CHAT_LIMIT_MESSAGE", default_value = "10/5")]
    pub limit_message: Rates,
    /// Edits, deletions and pins of one user
    #[arg(long, env = "CHAT_LIMIT_EDIT", default_value = "10/1")]
    pub limit_edit: Rates,
    /// Reactions of one user
    #[arg(long, env = "CHAT_LIMIT_REACTION", default_value = "20/2")]
    pub limit_reaction: Rates,
    /// Read markers of one user
    #[arg(long, env = "CHAT_LIMIT_READ", default_value = "20/5")]
    pub limit_read: Rates,
    /// Typing of one user; what is too much is dropped
    #[arg(long, env = "CHAT_LIMIT_TYPING", default_value = "5/1")]
    pub limit_typing: Rates,
    /// Changes of one user's presence; what is too much is dropped
    #[arg(long, env = "CHAT_LIMIT_PRESENCE", default_value = "5/5/30s")]
    pub limit_presence: Rates,
    /// Joins, leaves, changes of rooms and of who is in them by one user
    #[arg(long, env = "CHAT_LIMIT_JOIN", default_value = "20/2")]
    pub limit_join: Rates,
    /// Rooms made by one user
    #[arg(long, env = "CHAT_LIMIT_CREATE", default_value = "5/5/10s")]
    pub limit_create: Rates,
    /// All events and requests of one user together
    #[arg(long, env = "CHAT_LIMIT_ANY", default_value = "50/25")]
    pub limit_any: Rates,
    /// Log-ins with a password and registrations from one address; so many for one account before its answers are delayed
    #[arg(long, env = "CHAT_LIMIT_LOGIN", default_value = "5/5/1m")]
    pub limit_login: Rate,
    /// What comes from one address unauthenticated: handshakes, auth:login and other events before it, refreshes, bad tokens
    #[arg(long, env = "CHAT_LIMIT_CONNECT", default_value = "400/40")]
    pub limit_connect: Rate,
    /// Most connections of one user
    #[arg(long, env = "CHAT_CONNECTIONS_PER_USER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections_per_user: u32,
    /// Most connections from one address
    #[arg(long, env = "CHAT_CONNECTIONS_PER_IP", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub connections_per_ip: u32,
    /// Most TCP connections from one address that are no sockets: requests, polls, and what has asked for nothing yet
    #[arg(long, env = "CHAT_REQUESTS_PER_IP", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..))]
    pub requests_per_ip: u32,
    /// Proxies in front, as addresses or networks such as 10.0.0.0/8, comma-separated: only they are believed in X-Forwarded-For
    #[arg(long, env = "CHAT_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<Network>,
}
