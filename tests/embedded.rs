//! The tests of the private Postgres, as a binary of their own.

mod support {
    pub mod cluster;
}

#[path = "it/embedded.rs"]
mod embedded;
