//! Tokens that must not open a door, at each of the doors: handshake (lenient and strict), `auth:login`, REST.
//! The list is that of `promises.md`, "Tokens".

use serde_json::{Value, json};

use crate::support::{TestApp, code, token};

const INVALID: &str = "AUTH_TOKEN_INVALID";
const EXPIRED: &str = "AUTH_TOKEN_EXPIRED";

fn header(alg: &str) -> Value {
    json!({ "alg": alg, "typ": "JWT" })
}

/// What would be good claims.
fn claims() -> Value {
    json!({ "sub": "mallory", "exp": token::seconds_from_now(3600) })
}

fn with_exp(exp: &str) -> String {
    token::with_raw_claims(&format!(r#"{{"sub":"mallory","exp":{exp}}}"#))
}

fn with(name: &str, value: Value) -> String {
    let mut claims = claims();
    claims[name] = value;
    token::with(&claims)
}

fn with_header(name: &str, value: Value) -> String {
    let mut header = header("HS256");
    header[name] = value;
    token::sign(&header, &claims(), "some-other-secret-of-at-least-32-bytes")
}

/// Each with a name, the token and the code that it deserves.
fn bad_tokens() -> Vec<(&'static str, String, &'static str)> {
    let good = token::of("mallory");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (_, body) = signed.split_once('.').unwrap();
    let other = "some-other-secret-of-at-least-32-bytes";
    let jwk = json!({ "kty": "oct", "k": "c29tZS1vdGhlci1zZWNyZXQtb2YtYXQtbGVhc3QtMzItYnl0ZXM" });
    let none = |alg: &str| format!("{}.", token::unsigned(&header(alg), &claims()));
    let mut tokens = vec![
        ("empty", String::new(), INVALID),
        ("no token at all", "nonsense".to_owned(), INVALID),
        ("three dots", "...".to_owned(), INVALID),
        ("another key", token::sign(&header("HS256"), &claims(), other), INVALID),
        ("truncated signature", good[..good.len() - 4].to_owned(), INVALID),
        ("no signature", format!("{signed}."), INVALID),
        ("two parts", signed.to_owned(), INVALID),
        (
            "tampered claims",
            {
                let forged = token::unsigned(&header("HS256"), &json!({ "sub": "root", "exp": 9e9 }));
                format!("{forged}.{signature}")
            },
            INVALID,
        ),
        ("tampered header", format!("{}.{body}.{signature}", "eyJhbGciOiJub25lIn0"), INVALID),
        ("none, but signed", token::sign(&header("none"), &claims(), token::SECRET), INVALID),
        ("HS384 with the right secret", token::sign(&header("HS384"), &claims(), token::SECRET), INVALID),
        ("HS512 with the right secret", token::sign(&header("HS512"), &claims(), token::SECRET), INVALID),
        ("RS256 over the secret", token::sign(&header("RS256"), &claims(), token::SECRET), INVALID),
        ("ES256 over the secret", token::sign(&header("ES256"), &claims(), token::SECRET), INVALID),
        ("EdDSA over the secret", token::sign(&header("EdDSA"), &claims(), token::SECRET), INVALID),
        ("no alg", token::sign(&json!({ "typ": "JWT" }), &claims(), token::SECRET), INVALID),
        ("a key of its own in jwk", with_header("jwk", jwk), INVALID),
        ("jku", with_header("jku", json!("http://127.0.0.1:1/keys")), INVALID),
        ("x5u", with_header("x5u", json!("http://127.0.0.1:1/cert")), INVALID),
        ("kid as a path", with_header("kid", json!("../../../../dev/null")), INVALID),
        ("kid as SQL", with_header("kid", json!("x' UNION SELECT 'y")), INVALID),
        ("the empty key", token::sign(&header("HS256"), &claims(), ""), INVALID),
        ("claims are a list", token::with_raw_claims("[]"), INVALID),
        ("claims are no JSON", token::with_raw_claims("{"), INVALID),
        ("exp past", token::expiring("mallory", -3600), EXPIRED),
        ("exp long past", with_exp("1"), EXPIRED),
        ("exp missing", token::with(&json!({ "sub": "mallory" })), INVALID),
        ("exp a string", with_exp(r#""9999999999""#), INVALID),
        ("exp null", with_exp("null"), INVALID),
        ("exp 1e30", with_exp("1e30"), INVALID),
        ("exp 1e999", with_exp("1e999"), INVALID),
        ("exp 2^63", with_exp("9223372036854775808"), INVALID),
        ("exp true", with_exp("true"), INVALID),
        ("nbf in the future", with("nbf", json!(token::seconds_from_now(3600))), INVALID),
        ("iat in the future", with("iat", json!(token::seconds_from_now(3600))), INVALID),
        ("no user", token::with(&json!({ "exp": token::seconds_from_now(60) })), INVALID),
        ("sub a list", with("sub", json!(["mallory"])), INVALID),
        ("sub empty", with("sub", json!("")), INVALID),
        ("sub with NUL", with("sub", json!("a\u{0}b")), INVALID),
        ("sub too long", with("sub", json!("x".repeat(129))), INVALID),
        ("very long", format!("{signed}.{}", "A".repeat(50_000)), INVALID),
    ];
    for alg in ["none", "None", "NONE", "nOnE", "none ", ""] {
        tokens.push(("unsigned", none(alg), INVALID));
    }
    tokens
}

/// Negative times are past or no times: either code says so.
const NEGATIVE: [&str; 3] = ["-1", "-9223372036854775808", "-1e30"];

#[tokio::test]
async fn bad_tokens_are_cut_off_after_a_lenient_handshake() {
    let app = TestApp::start().await;
    for (name, token, expected) in bad_tokens() {
        if token.is_empty() {
            continue; // Like none: the socket may still log in.
        }
        assert_eq!(app.dial().token(&token).refusal_code().await, expected, "{name}");
    }
    for exp in NEGATIVE {
        assert_ne!(app.dial().token(&with_exp(exp)).refusal_code().await, "", "{exp}");
    }
    assert_eq!(app.number("SELECT count(*) FROM users WHERE id = 'mallory'").await, 0);
}

#[tokio::test]
async fn bad_tokens_are_refused_in_a_strict_handshake() {
    let app = TestApp::with(&[("CHAT_AUTH_MODE", "strict")]).await;
    for (name, token, expected) in bad_tokens() {
        let code = app.dial().token(&token).refusal_code().await;
        let missing = token.is_empty() && code == "AUTH_TOKEN_MISSING";
        assert!(code == expected || missing, "{name}: {code}");
    }
}

#[tokio::test]
async fn bad_tokens_are_refused_by_auth_login() {
    let app = TestApp::start().await;
    for (name, token, expected) in bad_tokens() {
        let socket = app.dial().open().await.unwrap();
        let refused = socket.code_of("auth:login", &json!({ "token": token })).await;
        let as_a_field = (token.is_empty() || name == "very long") && ["VALIDATION_ERROR", "AUTH_TOKEN_MISSING"].contains(&&*refused);
        assert!(refused == expected || as_a_field, "{name}: {refused}");
    }
    assert_eq!(app.number("SELECT count(*) FROM users WHERE id = 'mallory'").await, 0);
}

#[tokio::test]
async fn bad_tokens_are_refused_over_rest() {
    let app = TestApp::start().await;
    for (name, token, expected) in bad_tokens() {
        if token.len() > 40_000 || token.is_empty() {
            continue; // No HTTP server takes such a header, and leading spaces are not part of one.
        }
        let reply = app.holder("mallory", token).get("/users/me").await;
        assert_eq!(reply.refused(401), expected, "{name}");
        assert!(reply.header("www-authenticate").starts_with("Bearer"), "{name}");
    }
    let none = app.get("/api/v1/users/me").await;
    assert_eq!(none.refused(401), "AUTH_TOKEN_MISSING");
}

#[tokio::test]
async fn a_token_in_the_handshake_of_the_wrong_kind_is_refused() {
    let app = TestApp::start().await;
    for wrong in [json!(5), json!(["x"]), json!({ "a": 1 }), json!(true)] {
        let dial = app.dial().auth(json!({ "token": wrong }));
        assert_eq!(dial.refusal_code().await, INVALID);
    }
    for none in [json!({ "token": null }), json!({}), json!({ "other": "x" })] {
        let socket = app.dial().auth(none).open().await.unwrap();
        assert_eq!(socket.code_of("chat:message", &json!({ "content": "x" })).await, "AUTH_REQUIRED");
    }
}

#[tokio::test]
async fn a_refresh_token_is_no_access_token() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let refresh = alice.login["refreshToken"].as_str().unwrap();

    let bearer = alice.with_token(refresh.to_owned());

    assert_eq!(bearer.get("/users/me").await.refused(401), INVALID);
    assert_eq!(app.dial().token(refresh).refusal_code().await, INVALID);
    let access = json!({ "refreshToken": alice.token });
    let reply = app.post("/api/v1/auth/refresh", &access).await;
    assert_eq!(reply.refused(401), INVALID);
}

#[tokio::test]
async fn a_bad_token_in_a_live_session_does_not_end_or_raise_it() {
    let app = TestApp::start().await;
    let socket = app.user("alice").await.connect().await;

    let ack = socket.emit("auth:login", &json!({ "token": "nonsense" })).await;

    assert_eq!(code(&ack), INVALID);
    assert_eq!(socket.say("general", "still here").await["senderId"], "alice");
}

#[tokio::test]
async fn no_header_of_a_token_makes_the_server_call_out() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keys = format!("http://{}/keys", listener.local_addr().unwrap());
    let app = TestApp::start().await;

    for name in ["jku", "x5u"] {
        let token = with_header(name, json!(keys));
        assert_eq!(app.dial().token(&token).refusal_code().await, INVALID);
    }

    let nobody = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    assert!(nobody.is_err(), "the server fetched a key that a token named");
}
