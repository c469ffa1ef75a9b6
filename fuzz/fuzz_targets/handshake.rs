//! What a handshake brings: tokens, claims, origins, forwarded addresses.

#![no_main]

use ires_chat::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| fuzzing::handshake(text));
