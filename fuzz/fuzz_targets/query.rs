//! Query strings: cursors, anchors, limits, times.

#![no_main]

use ires_chat::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| fuzzing::query(text));
