//! Keys as issuers publish them: a JWK set (RFC 7517).
//!
//! A set may hold keys for other purposes and of kinds that nobody here knows: they are left alone.

use super::PublicKey;
use crate::plain::Plain;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

/// Most keys of a set that are kept: a token that names none may be tried with each.
const KEYS: usize = 32;

/// A set, key by key: one that cannot be read must not be the trouble of the others.
#[derive(Deserialize)]
struct Set {
    keys: Vec<Plain>,
}

/// A key; what else it holds is of no interest, a certificate or an address to fetch one from in particular.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a set that tokens may be signed with.
///
/// # Errors
/// That it is no set, or that none of its keys can be used.
pub fn public_keys(set: &[u8]) -> Result<Vec<PublicKey>, &'static str> {
    let set: Set = serde_json::from_slice(set).map_err(|_| "the answer is no JWK set")?;
    let mut keys = Vec::new();
    for Plain(value) in set.keys {
        let id = value.get("kid").and_then(Value::as_str).unwrap_or_default().to_owned();
        match serde_json::from_value(value).map_err(|_| "it cannot be read").and_then(public_key) {
            Ok(key) => keys.push(key),
            Err(reason) => tracing::debug!(kid = ?id, reason, "a published key is left alone"),
        }
    }
    keys.truncate(KEYS);
    if keys.is_empty() { Err("none of the published keys can be used") } else { Ok(keys) }
}

fn public_key(jwk: Jwk) -> Result<PublicKey, &'static str> {
    if jwk.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
        return Err("it is not for signatures");
    }
    if jwk.key_ops.as_ref().is_some_and(|acts| !acts.iter().any(|act| act == "verify")) {
        return Err("it is not for verifying");
    }
    let number = |field: &Option<String>| URL_SAFE_NO_PAD.decode(field.as_deref().unwrap_or_default()).map_err(|_| "it is not in base64url");
    let (key, name) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => (PublicKey::rsa(&number(&jwk.n)?, &number(&jwk.e)?)?, "RS256"),
        ("EC", Some("P-256")) => (PublicKey::p256(&[vec![4], number(&jwk.x)?, number(&jwk.y)?].concat())?, "ES256"),
        ("OKP", Some("Ed25519")) => (PublicKey::ed25519(&number(&jwk.x)?)?, "EdDSA"),
        _ => return Err("RSA, P-256 and Ed25519 are known"),
    };
    if jwk.alg.as_deref().is_some_and(|algorithm| algorithm != name && (algorithm, name) != ("Ed25519", "EdDSA")) {
        return Err("it is for another algorithm");
    }
    Ok(PublicKey { id: jwk.kid, ..key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The names of the keys that are kept of these.
    fn kept(keys: &[Value]) -> Vec<String> {
        let set = json!({ "keys": keys }).to_string();
        let kept = public_keys(set.as_bytes()).unwrap_or_default();
        kept.into_iter().filter_map(|key| key.id).collect()
    }

    fn rsa(kid: &str, bits: usize) -> Value {
        json!({ "kty": "RSA", "kid": kid, "n": URL_SAFE_NO_PAD.encode(vec![0xff; bits / 8]), "e": "AQAB" })
    }

    fn with(mut key: Value, name: &str, value: &Value) -> Value {
        key[name] = value.clone();
        key
    }

    #[test]
    fn keys_of_three_kinds_are_kept_whatever_stands_beside_them() {
        let half = URL_SAFE_NO_PAD.encode([1; 32]);
        let keys = [
            json!(null),
            json!({ "kid": "nothing" }),
            rsa("rsa", 2_048),
            json!({ "kty": "EC", "crv": "P-256", "kid": "ec", "x": half, "y": half, "use": "sig", "alg": "ES256" }),
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": half, "key_ops": ["verify"], "x5u": "http://x" }),
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": "new name", "x": half, "alg": "Ed25519" }),
        ];
        assert_eq!(kept(&keys), ["rsa", "ec", "ed", "new name"]);
    }

    #[test]
    fn what_is_not_for_this_is_left_alone() {
        let half = URL_SAFE_NO_PAD.encode([1; 32]);
        let keys = [
            with(rsa("encrypts", 2_048), "use", &json!("enc")),
            with(rsa("wraps", 2_048), "key_ops", &json!(["wrapKey"])),
            with(rsa("another algorithm", 2_048), "alg", &json!("RS512")),
            with(rsa("a secret's algorithm", 2_048), "alg", &json!("HS256")),
            with(rsa("no base64url", 2_048), "n", &json!("+/==")),
            with(rsa("no number", 2_048), "e", &json!(65_537)),
            rsa("weak", 2_040),
            rsa("huge", 16_384),
            json!({ "kty": "RSA", "kid": "empty" }),
            json!({ "kty": "oct", "kid": "secret", "k": half }),
            json!({ "kty": "EC", "crv": "P-384", "kid": "another curve", "x": half, "y": half }),
            json!({ "kty": "EC", "crv": "P-256", "kid": "half a point", "x": half }),
            json!({ "kty": "OKP", "crv": "Ed448", "kid": "another", "x": half }),
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": "short", "x": "AQ" }),
            with(rsa("a name that is none", 2_048), "kid", &json!(7)),
        ];
        assert_eq!(kept(&keys), [""; 0]);
    }

    #[test]
    fn what_is_no_set_is_an_error() {
        for text in ["", "null", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]}"#, "<html>"] {
            assert!(public_keys(text.as_bytes()).is_err(), "{text}");
        }
    }
}
