//! Sessions: refresh with rotation, list, revoke, log out. Contract section 2.

use chrono::DateTime;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    PASSWORD, Reply, TestApp, TestUser, code, ids,
    json::{assert_members, int, text},
    token,
};

async fn refresh(app: &TestApp, refresh_token: &Value) -> Reply {
    app.post("/api/v1/auth/refresh", &json!({ "refreshToken": refresh_token })).await
}

async fn change_password(user: &TestUser, current: &str, new: &str) -> Reply {
    user.put("/users/me/password", &json!({ "currentPassword": current, "newPassword": new })).await
}

async fn sessions(user: &TestUser) -> Vec<Value> {
    user.get("/auth/sessions").await.expect(200)["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn refreshing_rotates_the_token_and_keeps_the_session() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;

    let renewed = refresh(&app, &alice.login["refreshToken"]).await.expect(200);

    assert_members(&renewed, &["user", "accessToken", "refreshToken", "tokenType", "expiresIn", "sessionId"]);
    assert_eq!(renewed["sessionId"], alice.login["sessionId"]);
    assert_ne!(renewed["refreshToken"], alice.login["refreshToken"]);
    alice.with_token(text(&renewed["accessToken"]).to_owned()).get("/users/me").await.expect(200);
    refresh(&app, &renewed["refreshToken"]).await.expect(200);
}

/// Contract 2: re-use within 15 s returns the same answer (a lost reply).
#[tokio::test]
async fn a_refresh_token_used_again_at_once_gives_the_same_answer() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let lost = refresh(&app, &alice.login["refreshToken"]).await.expect(200);

    let again = refresh(&app, &alice.login["refreshToken"]).await.expect(200);

    assert_eq!(again["refreshToken"], lost["refreshToken"]);
    assert_eq!(again["sessionId"], lost["sessionId"]);
    refresh(&app, &again["refreshToken"]).await.expect(200);
}

#[tokio::test]
async fn the_same_refresh_token_twice_at_once_gives_one_successor() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let old = &alice.login["refreshToken"];

    let (one, two, three) = tokio::join!(refresh(&app, old), refresh(&app, old), refresh(&app, old));

    let one = one.expect(200);
    assert_eq!(two.expect(200)["refreshToken"], one["refreshToken"]);
    assert_eq!(three.expect(200)["refreshToken"], one["refreshToken"]);
}

/// Contract 2: later re-use revokes the whole session.
#[tokio::test]
async fn a_refresh_token_used_again_later_ends_the_session_everywhere() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let socket = alice.connect().await;
    let renewed = refresh(&app, &alice.login["refreshToken"]).await.expect(200);
    app.execute("UPDATE refresh_tokens SET used_at = used_at - interval '20 s'").await;

    let theft = refresh(&app, &alice.login["refreshToken"]).await;

    assert_eq!(theft.refused(401), "AUTH_REVOKED");
    assert_eq!(refresh(&app, &renewed["refreshToken"]).await.refused(401), "AUTH_REVOKED");
    assert_eq!(alice.get("/users/me").await.refused(401), "AUTH_REVOKED");
    assert_eq!(code(&socket.expect("system:error").await), "AUTH_REVOKED");
    socket.disconnected().await;
}

#[tokio::test]
async fn refresh_tokens_are_stored_hashed_only() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let refresh_token = text(&alice.login["refreshToken"]);

    let stored = format!("SELECT count(*) FROM refresh_tokens WHERE position('{refresh_token}' IN encode(hash, 'escape')) > 0");

    assert_eq!(app.number(&stored).await, 0);
    assert!(!app.logs().contains(refresh_token));
}

#[tokio::test]
async fn bad_refresh_tokens_are_refused() {
    let app = TestApp::start().await;
    for token in [json!("nonsense"), json!("a.b.c"), json!("ü"), json!("x".repeat(10_000))] {
        let reply = refresh(&app, &token).await;
        assert!([400, 401].contains(&reply.status), "{token}: {}", reply.text);
    }
    for token in [json!(null), json!(5), json!([]), json!("a\u{0}")] {
        let reply = refresh(&app, &token).await;
        assert!(["VALIDATION_ERROR", "AUTH_TOKEN_INVALID"].contains(&code(&reply.body)), "{}", reply.text);
    }
}

#[tokio::test]
async fn an_expired_refresh_token_is_refused() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    app.execute("UPDATE refresh_tokens SET expires_at = now() - interval '1 min'").await;

    let reply = refresh(&app, &alice.login["refreshToken"]).await;

    assert!(["AUTH_TOKEN_EXPIRED", "AUTH_TOKEN_INVALID"].contains(&reply.refused(401)), "{}", reply.text);
}

/// How long it is to the end of a user's only session, in seconds, as its list says.
async fn left(user: &TestUser) -> i64 {
    let listed = sessions(user).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    DateTime::parse_from_rfc3339(text(&listed[0]["expiresAt"])).unwrap().timestamp() - token::seconds_from_now(0)
}

/// ASVS 7.3.2: refreshing keeps a session from ending unused, not from ending.
#[tokio::test]
async fn no_session_outlives_its_longest_life_however_often_it_is_refreshed() {
    const YEAR: i64 = 365 * 24 * 3_600;
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let began = async |ago: i64| app.execute(&format!("UPDATE sessions SET created_at = now() - {ago} * interval '1 s'")).await;
    // In the middle of its life a session is renewed in full.
    began(YEAR / 2).await;
    let login = refresh(&app, &alice.login["refreshToken"]).await.expect(200);
    assert_eq!(int(&login["expiresIn"]), 900);
    assert!(left(&alice).await > 29 * 24 * 3_600);

    // Ten minutes before its end nothing is given that lasts longer, whether once or twice.
    began(YEAR - 600).await;
    let last = refresh(&app, &login["refreshToken"]).await.expect(200);
    let again = refresh(&app, &login["refreshToken"]).await.expect(200);
    let changed = change_password(&alice, PASSWORD, "another correct horse").await.expect(200);

    for login in [&last, &again, &changed] {
        assert!((300..=600).contains(&int(&login["expiresIn"])), "{}", login["expiresIn"]);
        let ends = alice.with_token(text(&login["accessToken"]).to_owned()).connect().await.ready["tokenExpiresAt"].clone();
        assert!(DateTime::parse_from_rfc3339(text(&ends)).unwrap().timestamp() <= token::seconds_from_now(600), "{ends}");
    }
    assert!((300..=600).contains(&left(&alice).await));
    let tokens_end = "SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL AND expires_at > now() + interval '10 min'";
    assert_eq!(app.number(tokens_end).await, 0);
    // Then it is over, for refreshes and for a change of the password, and a log-in begins another one.
    began(YEAR + 1).await;
    assert_eq!(refresh(&app, &changed["refreshToken"]).await.refused(401), "AUTH_TOKEN_EXPIRED");
    let too_late = change_password(&alice, "another correct horse", "the third correct horse").await;
    assert_eq!(too_late.refused(401), "AUTH_TOKEN_EXPIRED");
    let account = json!({ "username": "alice", "password": "another correct horse" });
    let anew = app.post("/api/v1/auth/login", &account).await.expect(200);
    refresh(&app, &anew["refreshToken"]).await.expect(200);
}

#[tokio::test]
async fn the_longest_life_of_a_session_is_a_setting_and_not_for_tokens_of_other_systems() {
    let app = TestApp::with(&[("CHAT_SESSION_TTL", "10m")]).await;
    let (alice, subject) = (app.register("alice").await, app.holder("subject", token::expiring("subject", 7_200)));
    let socket = subject.connect().await;

    assert!((300..=600).contains(&int(&alice.login["expiresIn"])), "{}", alice.login["expiresIn"]);
    assert!((300..=600).contains(&left(&alice).await));
    assert!(left(&subject).await > 7_000);
    app.execute("UPDATE sessions SET created_at = now() - interval '11 min'").await;

    assert_eq!(refresh(&app, &alice.login["refreshToken"]).await.refused(401), "AUTH_TOKEN_EXPIRED");
    subject.get("/users/me").await.expect(200);
    subject.connect().await;
    socket.settle().await;
}

#[tokio::test]
async fn sessions_are_listed_with_the_current_one_marked() {
    let app = TestApp::start().await;
    let phone = app.register("alice").await;
    let desk = app.log_in("alice").await;
    app.register("somebody-else").await;

    let listed = sessions(&desk).await;

    assert_eq!(listed.len(), 2, "{listed:?}");
    for session in &listed {
        assert_members(session, &["id", "current", "createdAt", "lastUsedAt", "expiresAt"]);
        assert_eq!(session["current"], session["id"] == desk.login["sessionId"]);
    }
    assert!(listed.iter().any(|session| session["id"] == phone.login["sessionId"]));
}

#[tokio::test]
async fn sessions_are_paged_by_cursor() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    for _ in 0..2 {
        app.log_in("alice").await;
    }

    let first = alice.get("/auth/sessions?limit=2").await.expect(200);
    let path = format!("/auth/sessions?limit=2&cursor={}", text(&first["nextCursor"]));
    let second = alice.get(&path).await.expect(200);

    let mut seen = ids(&first["items"]);
    seen.extend(ids(&second["items"]));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.len(), &second["nextCursor"]), (3, &Value::Null));
}

#[tokio::test]
async fn a_revoked_session_opens_nothing_any_more() {
    let app = TestApp::start().await;
    let (phone, desk) = (app.register("alice").await, app.log_in("alice").await);
    let session = text(&phone.login["sessionId"]);

    desk.delete(&format!("/auth/sessions/{session}")).await.expect(204);

    assert_eq!(phone.get("/users/me").await.refused(401), "AUTH_REVOKED");
    assert_eq!(phone.dial().refusal_code().await, "AUTH_REVOKED");
    assert_eq!(refresh(&app, &phone.login["refreshToken"]).await.refused(401), "AUTH_REVOKED");
    assert_eq!(sessions(&desk).await.len(), 1);
    desk.get("/users/me").await.expect(200);
}

#[tokio::test]
async fn the_session_of_another_user_or_none_is_not_found() {
    let app = TestApp::start().await;
    let (alice, eve) = (app.register("alice").await, app.register("eve").await);
    let hers = text(&alice.login["sessionId"]);

    for id in [hers, "00000000-0000-7000-8000-000000000000", "nonsense", "%00"] {
        let reply = eve.delete(&format!("/auth/sessions/{id}")).await;
        let found = reply.status == 404 || (id == "%00" && reply.status == 400);
        assert!(found, "{id}: {}", reply.text);
    }

    alice.get("/users/me").await.expect(200);
}

#[tokio::test]
async fn logging_out_over_rest_ends_the_session_and_its_sockets() {
    let app = TestApp::start().await;
    let (phone, desk) = (app.register("alice").await, app.log_in("alice").await);
    let (phone_socket, desk_socket) = (phone.connect().await, desk.connect().await);

    Reply::of(phone.request(reqwest::Method::POST, "/auth/logout")).await.expect(204);

    assert_eq!(code(&phone_socket.expect("system:error").await), "AUTH_REVOKED");
    phone_socket.disconnected().await;
    assert_eq!(phone.get("/users/me").await.refused(401), "AUTH_REVOKED");
    desk_socket.settle().await;
}

#[tokio::test]
async fn logging_out_everywhere_ends_all_sessions() {
    let app = TestApp::start().await;
    let (phone, desk) = (app.register("alice").await, app.log_in("alice").await);
    let desk_socket = desk.connect().await;

    phone.post("/auth/logout", &json!({ "allDevices": true })).await.expect(204);

    desk_socket.disconnected().await;
    assert_eq!(desk.get("/users/me").await.refused(401), "AUTH_REVOKED");
    assert_eq!(phone.get("/users/me").await.refused(401), "AUTH_REVOKED");
    app.log_in("alice").await.get("/users/me").await.expect(200);
}

/// Contract 2: a token of another system is known by its `jti`, or else by its hash.
#[tokio::test]
async fn tokens_of_another_system_are_sessions_that_can_be_revoked() {
    let app = TestApp::start().await;
    let with_jti = |jti: &str, exp: i64| {
        let exp = token::seconds_from_now(exp);
        app.holder("alice", token::with(&json!({ "sub": "alice", "jti": jti, "exp": exp })))
    };
    let (one, same, other) = (with_jti("1", 3000), with_jti("1", 3600), with_jti("2", 3600));
    let plain = app.user("alice").await;

    one.post("/auth/logout", &json!({})).await.expect(204);

    assert_eq!(one.get("/users/me").await.refused(401), "AUTH_REVOKED");
    assert_eq!(same.get("/users/me").await.refused(401), "AUTH_REVOKED");
    other.get("/users/me").await.expect(200);
    plain.get("/users/me").await.expect(200);
}

/// Otherwise it could not be listed to the end, and its revocation would be forgotten before.
#[tokio::test]
async fn a_session_of_several_tokens_lasts_as_long_as_the_longest() {
    let app = TestApp::start().await;
    let holder = |seconds: i64| {
        let exp = token::seconds_from_now(seconds);
        app.holder("alice", token::with(&json!({ "sub": "alice", "jti": "1", "exp": exp })))
    };
    let (short, long, longest) = (holder(600), holder(7_200), holder(90_000));
    short.connect().await;
    assert!(left(&short).await <= 600);

    // Whoever comes together is looked up together.
    join_all([&long, &longest, &short, &longest, &long].map(TestUser::connect)).await;
    short.connect().await;

    assert!(left(&short).await > 80_000);
    longest.post("/auth/logout", &json!({})).await.expect(204);
    assert_eq!(long.get("/users/me").await.refused(401), "AUTH_REVOKED");
}

#[tokio::test]
async fn the_jti_of_one_user_says_nothing_about_another() {
    let app = TestApp::start().await;
    let holder = |id: &str| {
        let exp = token::seconds_from_now(3600);
        app.holder(id, token::with(&json!({ "sub": id, "jti": "same", "exp": exp })))
    };
    let (alice, bob) = (holder("alice"), holder("bob"));
    bob.get("/users/me").await.expect(200);

    alice.post("/auth/logout", &json!({})).await.expect(204);

    bob.get("/users/me").await.expect(200);
}

#[tokio::test]
async fn a_revocation_outlives_a_restart() {
    let mut app = TestApp::start().await;
    let alice = app.user("alice").await;
    alice.post("/auth/logout", &json!({})).await.expect(204);

    app.restart();

    let alice = alice.at(app.base());
    assert_eq!(alice.get("/users/me").await.refused(401), "AUTH_REVOKED");
    assert_eq!(alice.dial().refusal_code().await, "AUTH_REVOKED");
}
