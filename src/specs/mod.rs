//! The contract as documents: [`OpenAPI`](openapi) for the routes, [`AsyncAPI`](asyncapi) for the events, and
//! [TypeScript](typescript) for clients.
//!
//! All three are made of what the program itself runs on: the routes and the events cannot be registered without their
//! descriptions, and the [schemas] are derived from the types that are sent. The documents are made once, when somebody asks.

pub mod asyncapi;
pub mod http;
pub mod openapi;
pub mod schemas;
pub mod typescript;

use crate::error::Error;
use serde_json::{Value, json};

/// What the documents call the program.
const TITLE: &str = "ires-chat";

/// Title, version and licence; `about` is what a reader should know first.
fn info(about: &str) -> Value {
    json!({
        "title": TITLE,
        "version": env!("CARGO_PKG_VERSION"),
        "description": about,
        "license": { "name": env!("CARGO_PKG_LICENSE") },
    })
}

/// An error's schema, where only some codes may occur.
fn refusal(schema: &str, codes: &[&'static str]) -> Value {
    json!({ "allOf": [{ "$ref": format!("#/components/schemas/{schema}") }, { "properties": { "code": { "enum": codes } } }] })
}

/// The codes of errors, sorted and each once.
fn codes<'a>(errors: impl IntoIterator<Item = &'a Error>) -> Vec<&'static str> {
    let mut codes: Vec<_> = errors.into_iter().map(|error| error.code().0).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}
