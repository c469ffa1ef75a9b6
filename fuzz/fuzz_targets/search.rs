//! Searches, and the texts that they look into.

#![no_main]

use ires_chat::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| fuzzing::search(text));
