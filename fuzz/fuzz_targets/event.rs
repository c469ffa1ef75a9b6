//! Packets of events, read as every event and body would be.

#![no_main]

use ires_chat::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| fuzzing::event(text));
