//! Tokens by keys that their issuer publishes: contract section 2, and `promises.md`, "Tokens".

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    Answer, Issuer, SigningKey, TestApp, eventually, ires_chat,
    issuer::{WEAK_MODULUS, WEAK_TOKEN},
    json::text,
    token,
};

const INVALID: &str = "AUTH_TOKEN_INVALID";

/// A server that trusts the issuer, with further settings.
async fn trusting(issuer: &Issuer, settings: &[(&str, &str)]) -> TestApp {
    let url = issuer.url();
    let settings: Vec<_> = [("CHAT_JWKS_URL", url.as_str())].into_iter().chain(settings.iter().copied()).collect();
    TestApp::with(&settings).await
}

/// The code with which a token is refused over REST.
async fn refusal(app: &TestApp, token: String) -> String {
    app.holder("", token).get("/users/me").await.refused(401).to_owned()
}

#[tokio::test]
async fn tokens_by_published_keys_of_three_kinds_open_rest_and_sockets_beside_those_by_the_secret() {
    let keys = [SigningKey::rsa("one"), SigningKey::ec("two"), SigningKey::ed("three")];
    let issuer = Issuer::with(&keys.each_ref());
    let app = trusting(&issuer, &[]).await;

    for key in &keys {
        let user = app.holder(key.alg(), key.token_of(key.alg()));
        assert_eq!(user.get("/users/me").await.expect(200)["id"], key.alg());
        assert_eq!(user.connect().await.ready["user"]["id"], key.alg());
        let socket = app.dial().open().await.unwrap();
        socket.emit_ok("auth:login", &json!({ "token": user.token })).await;
    }
    app.user("by-the-secret").await.connect().await;
    app.register("alice").await.connect().await;
}

#[tokio::test]
async fn a_token_that_names_no_key_may_be_by_any_of_its_algorithm() {
    let (one, two) = (SigningKey::ec("one"), SigningKey::ec("two"));
    let issuer = Issuer::with(&[&one, &two]);
    let app = trusting(&issuer, &[]).await;
    let claims = |exp: i64| json!({ "sub": "alice", "exp": token::seconds_from_now(exp) });
    let nameless = |key: &SigningKey, exp: i64| key.token_with(&json!({ "alg": "ES256" }), &claims(exp));

    for key in [&one, &two] {
        app.holder("alice", nameless(key, 60)).get("/users/me").await.expect(200);
        assert_eq!(refusal(&app, nameless(key, -60)).await, "AUTH_TOKEN_EXPIRED");
    }
    assert_eq!(refusal(&app, nameless(&SigningKey::ec("three"), 60)).await, INVALID);
}

#[tokio::test]
async fn the_issuer_changes_its_keys_and_the_server_follows_without_a_restart() {
    let (old, new) = (SigningKey::ec("old"), SigningKey::ec("new"));
    let issuer = Issuer::with(&[&old]);
    let app = trusting(&issuer, &[]).await;
    app.holder("alice", old.token_of("alice")).get("/users/me").await.expect(200);

    issuer.publish(&[&new]);

    app.holder("alice", new.token_of("alice")).get("/users/me").await.expect(200);
    app.holder("alice", new.token_of("alice")).connect().await;
    assert_eq!(refusal(&app, old.token_of("alice")).await, INVALID);
}

#[tokio::test]
async fn a_key_that_is_withdrawn_is_forgotten_when_the_keys_are_old() {
    let (withdrawn, kept) = (SigningKey::ec("withdrawn"), SigningKey::ed("kept"));
    let issuer = Issuer::with(&[&withdrawn, &kept]);
    let app = trusting(&issuer, &[("CHAT_JWKS_MAX_AGE", "1s")]).await;
    let user = app.holder("alice", withdrawn.token_of("alice"));
    user.get("/users/me").await.expect(200);

    issuer.publish(&[&kept]);

    eventually("the withdrawn key to be refused", async || user.get("/users/me").await.status == 401).await;
    app.holder("alice", kept.token_of("alice")).get("/users/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_come_with_a_new_key_at_once_share_one_look() {
    let (old, new) = (SigningKey::ec("old"), SigningKey::ec("new"));
    let issuer = Issuer::with(&[&old]);
    let app = trusting(&issuer, &[]).await;
    app.holder("alice", old.token_of("alice")).get("/users/me").await.expect(200);
    issuer.publish(&[&old, &new]);
    let before = issuer.requests();

    let users: Vec<_> = (0..60).map(|number| app.holder("", new.token_of(&format!("user-{number}")))).collect();
    let begun = Instant::now();
    let replies = join_all(users.iter().map(|user| user.get("/users/me"))).await;

    assert!(replies.iter().all(|reply| reply.status == 200));
    // Were they more than two seconds on their way, those who came late would have had a look of their own.
    let (looks, most) = (issuer.requests() - before, 1 + begun.elapsed().as_secs() / 2);
    assert!((1..=usize::try_from(most).unwrap()).contains(&looks), "{looks} looks in {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_keys_make_no_storm_of_requests_and_delay_nobody_else() {
    let key = SigningKey::ec("real");
    let issuer = Issuer::with(&[&key]);
    let app = trusting(&issuer, &[]).await;
    let user = app.holder("alice", key.token_of("alice"));
    user.get("/users/me").await.expect(200);

    let made_up: Vec<_> = (0..100).map(|number| app.holder("", SigningKey::ec(&format!("made-up-{number}")).token_of("mallory"))).collect();
    let attack = join_all(made_up.iter().map(|mallory| mallory.get("/users/me")));
    let others = async {
        let begun = Instant::now();
        for _ in 0..20 {
            user.get("/users/me").await.expect(200);
        }
        begun.elapsed()
    };
    let begun = Instant::now();
    let (refused, took) = tokio::join!(attack, others);

    assert!(refused.iter().all(|reply| reply.refused(401) == INVALID));
    // Each of the twenty would wait for up to two seconds.
    assert!(took < Duration::from_secs(10), "others took {took:?}");
    // One at the start, one for those who came first, one for those who came while it was made; and one every two seconds.
    let (requests, most) = (issuer.requests(), 3 + begun.elapsed().as_secs() / 2);
    assert!(requests <= usize::try_from(most).unwrap(), "{requests} requests in {:?}", begun.elapsed());
}

/// The algorithm is the key's; what the token says of it only chooses among keys.
#[tokio::test]
async fn a_key_is_good_for_its_own_algorithm_only() {
    let (rsa, ec, ed) = (SigningKey::rsa("rsa"), SigningKey::ec("ec"), SigningKey::ed("ed"));
    let issuer = Issuer::with(&[&rsa, &ec, &ed]);
    let app = trusting(&issuer, &[]).await;
    let claims = json!({ "sub": "mallory", "exp": token::seconds_from_now(3600) });
    app.holder("", rsa.token(&claims)).get("/users/me").await.expect(200);

    let mut forged = Vec::new();
    for key in [&rsa, &ec, &ed] {
        for alg in ["RS256", "ES256", "EdDSA", "RS384", "RS512", "PS256", "ES384", "HS256", "HS384", "none"] {
            if alg != key.alg() {
                forged.push(key.token_with(&json!({ "alg": alg, "kid": key.kid }), &claims));
            }
        }
        let mut another = key.token(&claims);
        let end = another.len() - 10;
        another.replace_range(end..end + 4, if another[end..].starts_with("AAAA") { "BBBB" } else { "AAAA" });
        forged.push(another);
        forged.push(key.token_with(&json!({ "alg": key.alg(), "kid": rsa.kid.repeat(2) }), &claims));
    }
    // A public key is known to everybody, and so no secret: as PEM, as DER, as the coordinates alone.
    for (key, header) in [(&rsa, "rsa"), (&ec, "ec"), (&ed, "ed")].map(|(key, kid)| (key, json!({ "alg": "HS256", "kid": kid }))) {
        let jwk = key.jwk();
        let number = text(if jwk["n"].is_string() { &jwk["n"] } else { &jwk["x"] });
        forged
            .extend([key.pem(), key.pem().trim().to_owned(), number.to_owned(), String::new()].map(|secret| token::sign(&header, &claims, &secret)));
    }

    let forged: Vec<_> = forged.into_iter().map(|token| app.holder("", token)).collect();
    for (number, reply) in join_all(forged.iter().map(|mallory| mallory.get("/users/me"))).await.iter().enumerate() {
        assert_eq!(reply.refused(401), INVALID, "{number}");
    }
}

/// Times, issuer and audience are checked whoever has signed.
#[tokio::test]
async fn bad_claims_are_refused_though_the_signature_is_right() {
    let key = SigningKey::ed("one");
    let issuer = Issuer::with(&[&key]);
    let app = trusting(&issuer, &[("CHAT_JWT_ISSUER", "https://issuer"), ("CHAT_JWT_AUDIENCE", "chat")]).await;
    let with = |name: &str, value: Value| {
        let mut claims = json!({ "sub": "alice", "iss": "https://issuer", "aud": "chat", "exp": token::seconds_from_now(60) });
        claims[name] = value;
        key.token(&claims)
    };
    app.holder("", with("name", json!("Alice"))).get("/users/me").await.expect(200);

    for (name, value, code) in [
        ("exp", json!(token::seconds_from_now(-60)), "AUTH_TOKEN_EXPIRED"),
        ("exp", json!("soon"), INVALID),
        ("exp", json!(1e30), INVALID),
        ("nbf", json!(token::seconds_from_now(3600)), INVALID),
        ("iat", json!(token::seconds_from_now(3600)), INVALID),
        ("iss", json!("https://other"), INVALID),
        ("aud", json!("mail"), INVALID),
        ("sub", json!(""), INVALID),
        ("type", json!("refresh"), INVALID),
    ] {
        assert_eq!(refusal(&app, with(name, value.clone())).await, code, "{name} {value}");
    }
}

/// Our own sessions are named by tokens that we have signed, and by no others.
#[tokio::test]
async fn a_token_of_the_issuer_names_no_session_of_ours() {
    let key = SigningKey::ec("one");
    let issuer = Issuer::with(&[&key]);
    let app = trusting(&issuer, &[]).await;
    let alice = app.register("alice").await;
    let claims = json!({ "sub": alice.id, "ires_sid": alice.login["sessionId"], "exp": token::seconds_from_now(60) });

    let theirs = app.holder(&alice.id, key.token(&claims));

    assert_ne!(theirs.connect().await.ready["sessionId"], alice.login["sessionId"]);
}

#[tokio::test]
async fn no_key_that_a_token_brings_or_names_is_used_or_fetched() {
    let (key, other) = (SigningKey::ec("one"), SigningKey::ec("one"));
    let (issuer, foreign) = (Issuer::with(&[&key]), Issuer::with(&[&other]));
    let app = trusting(&issuer, &[]).await;
    let claims = json!({ "sub": "mallory", "exp": token::seconds_from_now(60) });

    for (name, value) in [("jku", json!(foreign.url())), ("x5u", json!(foreign.url())), ("jwk", other.jwk()), ("jku", json!(issuer.url()))] {
        for signer in [&key, &other] {
            let mut header = json!({ "alg": "ES256", "kid": "one" });
            header[name] = value.clone();
            assert_eq!(refusal(&app, signer.token_with(&header, &claims)).await, INVALID, "{name}");
        }
    }

    assert_eq!(refusal(&app, other.token(&claims)).await, INVALID);
    assert_eq!(foreign.requests(), 0);
}

/// What a set holds besides is left alone, and is nobody's trouble.
#[tokio::test]
async fn keys_for_something_else_and_weak_ones_are_left_alone() {
    let (good, encrypting, wrapping, other) = (SigningKey::ed("good"), SigningKey::ec("enc"), SigningKey::ec("wrap"), SigningKey::ec("other"));
    let mut keys = [&encrypting, &wrapping, &other, &good].map(SigningKey::jwk);
    keys[0]["use"] = json!("enc");
    keys[1]["key_ops"] = json!(["wrapKey"]);
    keys[2]["alg"] = json!("ES512");
    let weak = json!({ "kty": "RSA", "kid": "weak", "n": WEAK_MODULUS, "e": "AQAB" });
    let secret = json!({ "kty": "oct", "kid": "secret", "k": "c29tZS1vdGhlci1zZWNyZXQtb2YtYXQtbGVhc3QtMzItYnl0ZXM" });
    let issuer = Issuer::with(&[]);
    issuer.answer(Answer::Keys(keys.into_iter().chain([weak, secret, json!(7)]).collect()));
    let app = trusting(&issuer, &[]).await;
    app.holder("", good.token_of("alice")).get("/users/me").await.expect(200);

    let mut tokens = [&encrypting, &wrapping, &other].map(|key| key.token_of("mallory")).to_vec();
    tokens.push(WEAK_TOKEN.trim().to_owned());
    let claims = json!({ "sub": "mallory", "exp": token::seconds_from_now(60) });
    tokens.push(token::sign(&json!({ "alg": "HS256", "kid": "secret" }), &claims, "some-other-secret-of-at-least-32-bytes"));

    let holders: Vec<_> = tokens.into_iter().map(|token| app.holder("", token)).collect();
    for reply in join_all(holders.iter().map(|mallory| mallory.get("/users/me"))).await {
        assert_eq!(reply.refused(401), INVALID);
    }
}

#[tokio::test]
async fn the_command_line_verifies_tokens_by_published_keys() {
    let key = SigningKey::ec("one");
    let issuer = Issuer::with(&[&key]);
    let verify = async |token: String| {
        let url = issuer.url();
        tokio::task::spawn_blocking(move || ires_chat(&["token", "verify", &token], &[("CHAT_JWKS_URL", &url)])).await.unwrap()
    };

    let good = verify(key.token_of("alice")).await;
    assert_eq!(good.code, Some(0), "{}", good.stderr);
    assert!(good.stdout.contains("alice"), "{}", good.stdout);
    assert_eq!(verify(token::of("alice")).await.code, Some(1), "there is no secret");
}
