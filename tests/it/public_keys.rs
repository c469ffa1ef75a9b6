//! Public keys from a file, and servers without a secret: contract section 2.

use std::path::PathBuf;

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
