//! An issuer that does not publish its keys well, or not at all: what is known goes on, and nothing else opens a door.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Answer, Issuer, LIMIT, SigningKey, TestApp, code, eventually, issuer::AUTHORITY, within};

async fn trusting(url: &str) -> TestApp {
    TestApp::with(&[("CHAT_JWKS_URL", url), ("CHAT_AUTH_TIMEOUT", "6s")]).await
}

#[tokio::test]
async fn while_the_issuer_is_away_known_keys_go_on_and_unknown_ones_are_worth_another_try() {
    let (known, new) = (SigningKey::ec("known"), SigningKey::ec("new"));
    let mut issuer = Issuer::with(&[&known]);
    let app = trusting(&issuer.url()).await;
    let (alice, bob) = (app.holder("alice", known.token_of("alice")), app.holder("bob", new.token_of("bob")));
    let socket = alice.connect().await;
    issuer.publish(&[&known, &new]);
    issuer.go_down().await;

    let reply = bob.get("/users/me").await;
    assert_eq!(reply.refused(503), "UNAVAILABLE");
    assert_eq!((&reply.body["retryable"], reply.header("retry-after")), (&json!(true), "1"));
    alice.get("/users/me").await.expect(200);
    alice.connect().await;
    socket.emit_ok("auth:login", &json!({ "token": known.token_of("alice") })).await;
    // Who is in stays in, and may try again with the new token.
    assert_eq!(socket.code_of("auth:login", &json!({ "token": new.token_of("alice") })).await, "UNAVAILABLE");
    let waiting = bob.dial().open().await.unwrap();
    assert_eq!(code(&waiting.expect("system:error").await), "UNAVAILABLE");
    // It is time itself that has to pass: longer than others may take to authenticate.
    tokio::time::sleep(Duration::from_millis(6_100)).await;

    issuer.come_back();

    // It gets in by itself.
    let ready = waiting.expect_notification("session.ready").await;
    assert_eq!(ready["data"]["user"]["id"], "bob");
    bob.get("/users/me").await.expect(200);
}

#[tokio::test]
async fn a_server_starts_without_the_issuer_and_finds_it_later() {
    let key = SigningKey::ed("one");
    let mut issuer = Issuer::with(&[&key]);
    issuer.go_down().await;
    let app = trusting(&issuer.url()).await;
    let alice = app.holder("alice", key.token_of("alice"));

    assert_eq!(alice.get("/users/me").await.refused(503), "UNAVAILABLE");
    app.register("bob").await.connect().await;
    eventually("a warning", async || app.logs().contains("keys could not be fetched")).await;

    issuer.come_back();
    alice.get("/users/me").await.expect(200);
}

/// Each answer comes to a server that has no keys yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_answers_of_the_issuer_open_no_door_and_hang_nothing() {
    let key = SigningKey::ec("one");
    let elsewhere = Issuer::with(&[&key]);
    let padded = format!("{{\"padding\":\"{}\",\"keys\":[{}]}}", "x".repeat(200_000), key.jwk());
    let answers = [
        Answer::Redirect(elsewhere.url()),
        Answer::Status(500),
        Answer::Status(204),
        Answer::Text("<html>".to_owned()),
        Answer::Text(String::new()),
        Answer::Text("[".repeat(100_000)),
        Answer::Text(padded),
        Answer::Keys(Vec::new()),
        Answer::Silence,
    ];

    // All are there before one is asked: nobody sends or reads anything here while a server starts.
    let mut servers = Vec::new();
    for answer in answers {
        let issuer = Issuer::with(&[]);
        issuer.answer(answer);
        let app = trusting(&issuer.url()).await;
        servers.push((issuer, app));
    }
    let tries = servers.iter().map(async |(issuer, app)| {
        let alice = app.holder("alice", key.token_of("alice"));
        let refused = within(LIMIT, "an answer", alice.get("/users/me")).await;
        assert_eq!(refused.refused(503), "UNAVAILABLE");
        issuer.publish(&[&key]);
        alice.get("/users/me").await.expect(200);
    });
    join_all(tries).await;

    assert_eq!(elsewhere.requests(), 0, "a redirect was followed");
}

#[tokio::test]
async fn keys_that_are_known_outlive_a_bad_answer() {
    let key = SigningKey::ec("one");
    let issuer = Issuer::with(&[&key]);
    let app = trusting(&issuer.url()).await;
    let alice = app.holder("alice", key.token_of("alice"));
    alice.get("/users/me").await.expect(200);

    issuer.answer(Answer::Keys(Vec::new()));

    assert_eq!(app.holder("", SigningKey::ec("two").token_of("eve")).get("/users/me").await.refused(503), "UNAVAILABLE");
    alice.get("/users/me").await.expect(200);
}

#[tokio::test]
async fn keys_come_over_tls_from_whom_the_operator_trusts_and_from_nobody_else() {
    let key = SigningKey::rsa("one");
    let issuer = Issuer::with_tls(&[&key]);
    let url = issuer.url();

    let trusting = TestApp::with(&[("CHAT_JWKS_URL", &url), ("CHAT_JWKS_CA_FILE", AUTHORITY)]).await;
    trusting.holder("alice", key.token_of("alice")).get("/users/me").await.expect(200);

    let strange = TestApp::with(&[("CHAT_JWKS_URL", &url)]).await;
    assert_eq!(strange.holder("alice", key.token_of("alice")).get("/users/me").await.refused(503), "UNAVAILABLE");
    // The certificate is for the name localhost.
    let renamed = url.replace("localhost", "127.0.0.1");
    let misled = TestApp::with(&[("CHAT_JWKS_URL", &renamed), ("CHAT_JWKS_CA_FILE", AUTHORITY)]).await;
    assert_eq!(misled.holder("alice", key.token_of("alice")).get("/users/me").await.refused(503), "UNAVAILABLE");
}
