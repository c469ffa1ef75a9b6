//! Ids that are a function of what they stand for, so that the same thing made twice collides with itself.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The id of what these parts name (`UUIDv8`, RFC 9562: the first bytes of a SHA-256). No part may hold a zero byte but the
/// last, for that is what parts them.
pub fn derived(kind: &str, parts: &[&str]) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(kind);
    for part in parts {
        hash.update([0]);
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    Uuid::new_v8(bytes)
}
