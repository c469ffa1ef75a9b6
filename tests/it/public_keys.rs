//! Public keys from a file, and servers without a secret: contract section 2.

use std::path::PathBuf;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::json;

use crate::support::{
    SigningKey, TestApp, UNSET,
    cluster::TempDir,
    ires_chat,
    issuer::{AUTHORITY, WEAK_KEY},
    token,
};

const INVALID: &str = "AUTH_TOKEN_INVALID";

/// A file with this text in a directory of its own.
fn file(text: &str) -> (TempDir, PathBuf) {
    let dir = TempDir::new();
    let path = dir.path().join("keys.pem");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

#[tokio::test]
async fn tokens_by_keys_of_a_file_open_rest_and_sockets() {
    let keys = [SigningKey::rsa("one"), SigningKey::ec("two"), SigningKey::ed("three")];
    let (_dir, path) = file(&keys.each_ref().map(SigningKey::pem).concat());
    let app = TestApp::with(&[("CHAT_JWT_PUBLIC_KEY_FILE", path.to_str().unwrap())]).await;

    for key in &keys {
        let user = app.holder(key.alg(), key.token_of(key.alg()));
        assert_eq!(user.get("/users/me").await.expect(200)["id"], key.alg());
        user.connect().await;
        // The keys of a file have no names: whatever a token calls its own.
        let claims = json!({ "sub": key.alg(), "exp": token::seconds_from_now(60) });
        app.holder("", key.token_with(&json!({ "alg": key.alg() }), &claims)).get("/users/me").await.expect(200);
    }
    app.user("by-the-secret").await.connect().await;
}

#[tokio::test]
async fn tokens_by_other_keys_or_with_the_public_key_as_secret_are_refused() {
    let (key, other) = (SigningKey::ec("one"), SigningKey::ec("one"));
    let (_dir, path) = file(&key.pem());
    let app = TestApp::with(&[("CHAT_JWT_PUBLIC_KEY_FILE", path.to_str().unwrap())]).await;
    let claims = json!({ "sub": "mallory", "exp": token::seconds_from_now(60) });
    let header = json!({ "alg": "HS256" });

    for token in [
        other.token(&claims),
        SigningKey::ed("one").token(&claims),
        SigningKey::rsa("one").token(&claims),
        token::sign(&header, &claims, &key.pem()),
        token::sign(&header, &claims, key.pem().trim()),
        token::sign(&json!({ "alg": "ES256" }), &claims, token::SECRET),
    ] {
        assert_eq!(app.holder("", token.clone()).get("/users/me").await.refused(401), INVALID, "{token}");
        assert_eq!(app.dial().token(&token).refusal_code().await, INVALID, "{token}");
    }
}

/// The order of P-256, big-endian.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9,
    0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The same token under the other signature that goes with it: of (r, s) also (r, n - s) is one, and nobody needs the key for that.
fn mirrored(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = false;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER).rev() {
        let (less, first) = order.overflowing_sub(*byte);
        let (rest, second) = less.overflowing_sub(borrow.into());
        (*byte, borrow) = (rest, first || second);
    }
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn a_revoked_token_is_not_good_again_under_another_signature() {
    let key = SigningKey::ec("one");
    let (_dir, path) = file(&key.pem());
    let app = TestApp::with(&[("CHAT_JWT_PUBLIC_KEY_FILE", path.to_str().unwrap())]).await;
    let token = key.token_of("alice");
    let (alice, again) = (app.holder("alice", token.clone()), app.holder("alice", mirrored(&token)));
    assert_ne!(alice.token, again.token);
    let sessions = again.get("/auth/sessions").await.expect(200);
    assert_eq!(alice.get("/auth/sessions").await.expect(200), sessions, "one token, one session");

    alice.post("/auth/logout", &json!({})).await.expect(204);

    assert_eq!(again.get("/users/me").await.refused(401), "AUTH_REVOKED");
    assert_eq!(again.dial().refusal_code().await, "AUTH_REVOKED");
}

/// With nothing but the issuer's keys a server has no accounts of its own.
#[tokio::test]
async fn without_a_secret_there_are_no_accounts_here_and_everything_else_is() {
    let key = SigningKey::ed("one");
    let (_dir, path) = file(&key.pem());
    let settings = [("JWT_SECRET", UNSET), ("CHAT_REGISTRATION", "off"), ("CHAT_JWT_PUBLIC_KEY_FILE", path.to_str().unwrap())];
    let app = TestApp::with(&settings).await;
    let alice = app.holder("alice", key.token_of("alice"));

    alice.connect().await.say("general", "hello").await;
    assert_eq!(app.holder("", token::of("mallory")).get("/users/me").await.refused(401), INVALID);
    let account = json!({ "username": "carol", "password": "correct horse" });
    assert_eq!(app.post("/api/v1/auth/register", &account).await.refused(403), "FORBIDDEN");
    assert_eq!(app.post("/api/v1/auth/login", &account).await.refused(403), "FORBIDDEN");
    assert_eq!(app.post("/api/v1/auth/refresh", &json!({ "refreshToken": "x" })).await.refused(403), "FORBIDDEN");
    let change = json!({ "currentPassword": "correct horse", "newPassword": "battery staple" });
    assert_eq!(alice.put("/users/me/password", &change).await.refused(403), "FORBIDDEN");
    // Its sessions can be listed and ended all the same.
    let socket = alice.connect().await;
    alice.post("/auth/logout", &json!({})).await.expect(204);
    socket.disconnected().await;
}

#[test]
fn settings_that_cannot_be_right_stop_the_start() {
    let key = SigningKey::ec("one").pem();
    let ((_one, good), (_two, empty), (_three, broken)) = (file(&key), file("nothing"), file(&key.replace("MFkw", "AAAA")));
    let [good, empty, broken] = [&good, &empty, &broken].map(|path| path.to_str().unwrap());
    let url = "https://issuer.example/keys";
    let check = |settings: &[(&str, &str)]| {
        let base = [("DATABASE_URL", "postgres://127.0.0.1/x"), ("JWT_SECRET", token::SECRET)];
        let mut environment: Vec<_> = base.into_iter().filter(|(key, _)| settings.iter().all(|(other, _)| other != key)).collect();
        environment.extend(settings.iter().filter(|(_, value)| *value != UNSET));
        ires_chat(&["config", "check"], &environment)
    };
    for settings in [
        vec![("CHAT_JWT_PUBLIC_KEY_FILE", good)],
        vec![("CHAT_JWKS_URL", url), ("CHAT_JWKS_CA_FILE", AUTHORITY)],
        vec![("CHAT_JWKS_URL", url), ("JWT_SECRET", UNSET), ("CHAT_REGISTRATION", "off")],
    ] {
        let checked = check(&settings);
        assert_eq!(checked.code, Some(0), "{settings:?}: {}", checked.stderr);
    }

    for (settings, named) in [
        (vec![("CHAT_JWT_PUBLIC_KEY_FILE", "/nowhere/key.pem")], "CHAT_JWT_PUBLIC_KEY_FILE"),
        (vec![("CHAT_JWT_PUBLIC_KEY_FILE", empty)], "CHAT_JWT_PUBLIC_KEY_FILE"),
        (vec![("CHAT_JWT_PUBLIC_KEY_FILE", broken)], "CHAT_JWT_PUBLIC_KEY_FILE"),
        (vec![("CHAT_JWT_PUBLIC_KEY_FILE", WEAK_KEY)], "2048"),
        (vec![("CHAT_JWT_PUBLIC_KEY_FILE", AUTHORITY)], "CHAT_JWT_PUBLIC_KEY_FILE"),
        (vec![("CHAT_JWT_PUBLIC_KEY_FILE", good), ("CHAT_JWKS_URL", url)], "CHAT_JWKS_URL"),
        (vec![("CHAT_JWT_PUBLIC_KEY_FILE", good), ("JWT_SECRET", UNSET)], "JWT_SECRET"),
        (vec![("CHAT_JWKS_URL", url), ("CHAT_JWKS_CA_FILE", good)], "CHAT_JWKS_CA_FILE"),
        (vec![("CHAT_JWKS_URL", url), ("CHAT_JWKS_CA_FILE", "/nowhere/ca.pem")], "CHAT_JWKS_CA_FILE"),
        (vec![("CHAT_JWKS_URL", "http://issuer.example/keys")], "CHAT_JWKS_URL"),
        (vec![("CHAT_JWKS_URL", "https://user:hunter2@issuer.example/keys")], "CHAT_JWKS_URL"),
        (vec![("CHAT_JWKS_URL", "")], "CHAT_JWKS_URL"),
        (vec![("CHAT_JWKS_MAX_AGE", "soon")], "CHAT_JWKS_MAX_AGE"),
        (vec![("JWT_SECRET", UNSET), ("CHAT_REGISTRATION", "off")], "JWT_SECRET"),
    ] {
        let refused = check(&settings);
        assert!(matches!(refused.code, Some(2 | 78)), "{settings:?}: {:?} {}", refused.code, refused.stderr);
        assert!(refused.stderr.contains(named), "{settings:?}: {}", refused.stderr);
    }
}
