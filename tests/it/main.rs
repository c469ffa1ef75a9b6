//! The black-box suite: the real binary over real HTTP and real Socket.IO frames, one file a feature.

#[path = "../support/mod.rs"]
mod support;

mod seed_flow;
