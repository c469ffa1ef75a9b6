//! Tokens as the surrounding system would mint them, and as an attacker would.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};

/// The secret that test servers run with.
pub const SECRET: &str = "a-secret-of-the-tests-that-nobody-else-uses";

/// Seconds since 1970, `offset` seconds from now.
pub fn seconds_from_now(offset: i64) -> i64 {
    Utc::now().timestamp() + offset
}

/// An ordinary token of the user, good for an hour.
pub fn of(user: &str) -> String {
    with(&json!({ "sub": user, "exp": seconds_from_now(3600) }))
}

/// An ordinary token that runs out `seconds` from now.
pub fn expiring(user: &str, seconds: i64) -> String {
    with(&json!({ "sub": user, "exp": seconds_from_now(seconds) }))
}

/// A token with these claims, signed rightly.
pub fn with(claims: &Value) -> String {
    sign(&json!({ "alg": "HS256", "typ": "JWT" }), claims, SECRET)
}

/// A token with this header and these claims. The signature is of the kind that the header asks for, as far as
/// a shared secret can give it, and otherwise HS256.
pub fn sign(header: &Value, claims: &Value, secret: &str) -> String {
    let signed = unsigned(header, claims);
    let signature = match header["alg"].as_str() {
        Some("HS384") => mac_384(secret, &signed),
        Some("HS512") => mac_512(secret, &signed),
        _ => mac_256(secret, &signed),
    };
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

/// Header and claims without a signature, as `alg: none` has them (a final dot is to be added).
pub fn unsigned(header: &Value, claims: &Value) -> String {
    unsigned_raw(&header.to_string(), &claims.to_string())
}

/// Like [`unsigned`], from JSON texts that need not be valid.
pub fn unsigned_raw(header: &str, claims: &str) -> String {
    let encode = |part: &str| BASE64_URL_SAFE_NO_PAD.encode(part);
    format!("{}.{}", encode(header), encode(claims))
}

/// A rightly signed token with claims that `serde_json` would not write, such as `1e30` as it stands.
pub fn with_raw_claims(claims: &str) -> String {
    let signed = unsigned_raw(r#"{"alg":"HS256","typ":"JWT"}"#, claims);
    let signature = mac_256(SECRET, &signed);
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn mac_256(secret: &str, text: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(text);
    mac.finalize().into_bytes().to_vec()
}

fn mac_384(secret: &str, text: &str) -> Vec<u8> {
    let mac = Hmac::<Sha384>::new_from_slice(secret.as_bytes()).unwrap().chain_update(text);
    mac.finalize().into_bytes().to_vec()
}

fn mac_512(secret: &str, text: &str) -> Vec<u8> {
    let mac = Hmac::<Sha512>::new_from_slice(secret.as_bytes()).unwrap().chain_update(text);
    mac.finalize().into_bytes().to_vec()
}
