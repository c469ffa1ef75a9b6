//! `spec`: the contract as documents, the same as a running server shows.

use super::failed;
use crate::Failure;
use clap::Subcommand;
use ires_chat::server;
use serde_json::Value;
use std::io::{Write, stdout};

/// Which document.
#[derive(Subcommand)]
pub enum Spec {
    /// `OpenAPI` 3.1 of the REST routes, as at /openapi.json
    Openapi,
    /// `AsyncAPI` 3.1 of the events, as at /asyncapi.json
    Asyncapi,
    /// `TypeScript` declarations for socket.io-client
    Typescript,
}

/// Prints it.
pub fn run(spec: &Spec) -> Result<(), Failure> {
    let document = match spec {
        Spec::Openapi => written(&server::openapi()),
        Spec::Asyncapi => written(&server::asyncapi()),
        Spec::Typescript => server::typescript(),
    };
    stdout().write_all(document.as_bytes()).map_err(failed)
}

/// To be read, and compared, by people.
fn written(document: &Value) -> String {
    format!("{document:#}\n")
}
