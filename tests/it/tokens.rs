//! The token of a live socket: warned before its end, renewed in band, cut after the grace. Contract section 3.

use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestSocket, TestUser, code,
    json::{int, text},
    token,
};

/// Somebody who holds a token of a session of its own that ends in so many seconds.
fn holder(app: &TestApp, jti: &str, seconds: i64) -> TestUser {
    app.holder("alice", token::with(&json!({ "sub": "alice", "jti": jti, "exp": token::seconds_from_now(seconds) })))
}

async fn renew(socket: &TestSocket, with: &TestUser) -> Value {
    let renewed = socket.emit_ok("auth:login", &json!({ "token": with.token })).await;
    assert_eq!(socket.expect_notification("auth.login").await["data"], renewed, "the notification says the same");
    renewed
}

async fn revoke(session: &Value, by: &TestUser) {
    by.delete(&format!("/auth/sessions/{}", text(session))).await.expect(204);
}

#[tokio::test]
async fn each_token_has_its_notice_and_the_socket_is_cut_after_the_last_ones_grace() {
    let app = TestApp::with(&[("CHAT_TOKEN_EXPIRING_NOTICE", "60s"), ("CHAT_TOKEN_GRACE", "200ms")]).await;
    let socket = holder(&app, "first", 10).connect().await;
    let first = socket.expect_notification("auth.expiring").await;
    assert!((0..=10_000).contains(&int(&first["data"]["inMs"])), "{first}");

    let renewed = renew(&socket, &holder(&app, "second", 12)).await;

    let second = socket.expect_notification("auth.expiring").await;
    assert!((0..=12_000).contains(&int(&second["data"]["inMs"])), "{second}");
    assert_eq!(second["data"]["tokenExpiresAt"], renewed["tokenExpiresAt"]);
    assert!(text(&second["data"]["tokenExpiresAt"]) > text(&first["data"]["tokenExpiresAt"]));
    let cut = socket.expect("system:error").await;
    assert_eq!(code(&cut), "AUTH_TOKEN_EXPIRED");
    assert!(text(&cut["timestamp"]) > text(&renewed["tokenExpiresAt"]), "{cut}");
    socket.disconnected().await;
    assert_eq!(socket.seen("system:notification").iter().filter(|told| told["type"] == "auth.expiring").count(), 2);
}

#[tokio::test]
async fn the_notice_comes_when_the_settings_say_and_not_before() {
    let app = TestApp::with(&[("CHAT_TOKEN_EXPIRING_NOTICE", "2s")]).await;
    let socket = holder(&app, "one", 8).connect().await;

    let notice = socket.expect_notification("auth.expiring").await;

    assert!((0..=2_000).contains(&int(&notice["data"]["inMs"])), "{notice}");
    let [ends, told] = [&notice["data"]["tokenExpiresAt"], &notice["timestamp"]].map(|time| DateTime::parse_from_rfc3339(text(time)).unwrap());
    assert!(ends - told <= TimeDelta::seconds(2), "{notice}");
}

#[tokio::test]
async fn a_token_that_ends_earlier_shortens_nothing() {
    let app = TestApp::with(&[("CHAT_TOKEN_GRACE", "0s")]).await;
    let (long, short) = (holder(&app, "long", 3600), holder(&app, "short", 10));
    let (socket, other) = (long.connect().await, short.connect().await);

    let renewed = renew(&socket, &short).await;

    assert_eq!(renewed["tokenExpiresAt"], socket.ready["tokenExpiresAt"]);
    assert_eq!(renewed["sessionId"], socket.ready["sessionId"]);
    other.disconnected().await;
    socket.settle().await;
    assert_eq!(socket.seen("system:error").len(), 0);
}

#[tokio::test]
async fn within_the_grace_a_token_can_still_be_renewed() {
    let app = TestApp::with(&[("CHAT_TOKEN_GRACE", "25s")]).await;
    let ended = holder(&app, "ended", -2);
    let socket = ended.connect().await;
    let notice = socket.expect_notification("auth.expiring").await;
    assert_eq!(notice["data"]["inMs"], 0);

    renew(&socket, &holder(&app, "next", 3600)).await;

    socket.say("general", "still here").await;
    assert_eq!(socket.seen("system:error").len(), 0);
}

/// REST lets clocks differ by half a minute. A socket would be cut at once, and its client would come back again and again.
#[tokio::test]
async fn a_token_that_ended_longer_ago_than_the_grace_opens_no_socket() {
    let app = TestApp::with(&[("CHAT_TOKEN_GRACE", "5s")]).await;
    let ended = holder(&app, "ended", -15);
    ended.get("/users/me").await.expect(200);
    holder(&app, "good", 3600).connect().await;

    let socket = ended.dial().open().await.unwrap();

    assert_eq!(code(&socket.expect("system:error").await), "AUTH_TOKEN_EXPIRED");
    socket.disconnected().await;
    assert_eq!(socket.seen("system:notification").len(), 0, "no session.ready");
    let waiting = app.dial().open().await.unwrap();
    assert_eq!(waiting.code_of("auth:login", &json!({ "token": ended.token })).await, "AUTH_TOKEN_EXPIRED");
}

/// A socket belongs to the session of the token that keeps it: ending that one ends the socket, and no other does.
#[tokio::test]
async fn after_a_renewal_the_socket_belongs_to_the_new_tokens_session() {
    let app = TestApp::start().await;
    let (old, new) = (holder(&app, "old", 600), holder(&app, "new", 3600));
    let (socket, left_behind) = (old.connect().await, old.connect().await);
    let first = socket.ready["sessionId"].clone();
    let renewed = renew(&socket, &new).await;
    assert_ne!(renewed["sessionId"], first);

    revoke(&first, &new).await;

    assert_eq!(code(&left_behind.expect("system:error").await), "AUTH_REVOKED");
    left_behind.disconnected().await;
    socket.say("general", "not the one that was revoked").await;

    revoke(&renewed["sessionId"], &new).await;

    assert_eq!(code(&socket.expect("system:error").await), "AUTH_REVOKED");
    socket.disconnected().await;
}

#[tokio::test]
async fn after_a_renewal_that_changed_nothing_the_socket_belongs_to_its_first_session() {
    let app = TestApp::start().await;
    let (long, short, third) = (holder(&app, "long", 3600), holder(&app, "short", 600), holder(&app, "third", 600));
    let (socket, other) = (long.connect().await, short.connect().await);
    renew(&socket, &short).await;

    revoke(&other.ready["sessionId"], &third).await;

    other.disconnected().await;
    socket.say("general", "not the one that was revoked").await;

    revoke(&socket.ready["sessionId"], &third).await;

    assert_eq!(code(&socket.expect("system:error").await), "AUTH_REVOKED");
    socket.disconnected().await;
}

#[tokio::test]
async fn a_token_that_is_no_good_renews_nothing_and_ends_nothing() {
    let app = TestApp::start().await;
    let (alice, revoked) = (holder(&app, "good", 3600), holder(&app, "revoked", 7200));
    revoked.post("/auth/logout", &json!({})).await.expect(204);
    let socket = alice.connect().await;

    for (token, code) in [
        (revoked.token.clone(), "AUTH_REVOKED"),
        (token::expiring("alice", -60), "AUTH_TOKEN_EXPIRED"),
        (
            token::sign(&json!({ "alg": "HS256" }), &json!({ "sub": "alice", "exp": 9e9 }), "another-secret-of-at-least-32-bytes"),
            "AUTH_TOKEN_INVALID",
        ),
        (token::of("bob"), "AUTH_IDENTITY_MISMATCH"),
        (token::with(&json!({ "sub": "alice", "userType": "king", "exp": token::seconds_from_now(60) })), "AUTH_USER_TYPE_INVALID"),
    ] {
        assert_eq!(socket.code_of("auth:login", &json!({ "token": token })).await, code);
    }

    socket.say("general", "still here").await;
    alice.get("/users/me").await.expect(200);
}

/// Our own access tokens are renewed by refreshing: the session stays the same.
#[tokio::test]
async fn a_refreshed_token_of_our_own_renews_the_socket_within_its_session() {
    let app = TestApp::with(&[("CHAT_ACCESS_TOKEN_TTL", "10s"), ("CHAT_TOKEN_GRACE", "100ms")]).await;
    let alice = app.register("alice").await;
    let (socket, forgotten) = (alice.connect().await, alice.connect().await);
    socket.expect_notification("auth.expiring").await;
    // Another second, so that the new token ends later.
    let issued = token::seconds_from_now(0);
    crate::support::eventually("the next second", async || token::seconds_from_now(0) > issued).await;
    let refreshed = app.post("/api/v1/auth/refresh", &json!({ "refreshToken": alice.login["refreshToken"] })).await.expect(200);

    let renewed = renew(&socket, &alice.with_token(text(&refreshed["accessToken"]).to_owned())).await;

    assert_eq!(renewed["sessionId"], alice.login["sessionId"]);
    forgotten.disconnected().await;
    socket.settle().await;
}
