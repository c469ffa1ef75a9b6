//! ires-chat.
