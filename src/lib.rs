//! ires-chat.

pub mod embedded;
