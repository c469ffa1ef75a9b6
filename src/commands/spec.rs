//! `spec`: the contract as documents, the same as a running server shows.

use super::say;
use crate::Failure;
use clap::Subcommand;
use ires_chat::server;

/// Which document.
#[derive(Subcommand)]
pub enum Spec {
    /// `OpenAPI` 3.1 of the REST routes, as at /openapi.json
    #[command(after_help = "Example:\n  ires-chat spec openapi > openapi.json")]
    Openapi,
    /// `AsyncAPI` 3.1 of the events, as at /asyncapi.json
    #[command(after_help = "Example:\n  ires-chat spec asyncapi > asyncapi.json")]
    Asyncapi,
    /// `TypeScript` declarations for socket.io-client
    #[command(after_help = "Example:\n  ires-chat spec typescript > events.d.ts")]
    Typescript,
}

/// Prints it.
pub fn run(spec: &Spec) -> Result<(), Failure> {
    // To be read, and compared, by people.
    match spec {
        Spec::Openapi => say(format_args!("{:#}", server::openapi())),
        Spec::Asyncapi => say(format_args!("{:#}", server::asyncapi())),
        Spec::Typescript => say(server::typescript().trim_end()),
    }
}
