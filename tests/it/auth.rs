//! Who a socket belongs to: the seed's tables "Authentication Events" and "Security: Authentication", and the
//! contract's table of section 3.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    LIMIT, TestApp, TestSocket, code,
    json::{assert_members, has_uuid, int, is_time, text},
    takes_less_than, token,
};

#[tokio::test]
async fn a_valid_token_in_the_handshake_authenticates_and_session_ready_is_the_first_event() {
    let app = TestApp::start().await;

    let socket = app.stranger("alice").dial().open().await.unwrap();

    let (event, ready) = socket.next_event().await;
    assert_eq!(event, "system:notification");
    assert_members(&ready, &["id", "type", "level", "message", "data", "timestamp"]);
    assert_eq!(ready["type"], "session.ready");
    assert_eq!(ready["level"], "success");
    assert_eq!(ready["data"]["user"]["id"], "alice");
}

#[tokio::test]
async fn session_ready_says_everything_a_client_needs_to_begin() {
    let app = TestApp::start().await;

    let ready = app.user("alice").await.connect().await.ready.clone();

    assert_members(&ready, &["protocol", "user", "sessionId", "tokenExpiresAt", "serverTime", "epoch"]);
    assert_members(&ready, &["limits", "features", "rooms"]);
    assert_members(&ready["user"], &["id", "username", "name", "avatarUrl", "userType"]);
    assert_eq!(ready["user"]["userType"], "user");
    assert!(is_time(&ready["tokenExpiresAt"]) && is_time(&ready["serverTime"]), "{ready}");
    assert!(has_uuid(&ready["epoch"]) || ready["epoch"].is_string(), "{ready}");
}

#[tokio::test]
async fn session_ready_lists_the_rooms_one_is_in_with_what_one_may_do_there() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let den = alice.create_room("den").await;
    alice.say(&den, "first").await;

    let ready = alice.connect().await.ready.clone();

    let rooms = ready["rooms"].as_array().unwrap();
    let room = rooms.iter().find(|room| room["id"] == den.as_str()).unwrap();
    assert_members(room, &["id", "slug", "type", "name", "lastSeq", "lastMessage", "membership"]);
    assert_members(room, &["read", "unread", "mentions", "can"]);
    assert_eq!(room["membership"]["role"], "owner");
    assert_eq!(room["lastMessage"]["content"], "first");
    assert!(room["can"].as_array().unwrap().contains(&json!("send")), "{room}");
    assert!(rooms.iter().any(|room| room["slug"] == "general"), "{ready}");
}

#[tokio::test]
async fn a_bearer_header_authenticates_as_well() {
    let app = TestApp::start().await;
    let bearer = format!("Bearer {}", token::of("alice"));

    let socket = app.dial().header("authorization", &bearer).open_ready().await;

    assert_eq!(socket.ready["user"]["id"], "alice");
}

/// Seed, Authentication Events: `auth:login`, client → server, "Authenticate with token".
#[tokio::test]
async fn auth_login_authenticates_a_socket_that_came_without_a_token() {
    let app = TestApp::start().await;
    let socket = app.dial().open().await.unwrap();

    let login = json!({ "token": token::of("alice"), "userType": "user" });
    socket.emit_ok("auth:login", &login).await;

    let ready = socket.expect_notification("session.ready").await;
    assert_eq!(ready["data"]["user"]["id"], "alice");
    socket.say("general", "I am in").await;
}

/// Seed, Error Handling: "Authentication Errors: invalid or missing JWT tokens".
#[tokio::test]
async fn without_authentication_only_auth_login_is_served() {
    let app = TestApp::start().await;
    let socket = app.dial().open().await.unwrap();

    for event in ["chat:message", "chat:room:create", "chat:room:join", "chat:room:leave", "status:update"] {
        assert_eq!(socket.code_of(event, &json!({ "content": "x" })).await, "AUTH_REQUIRED");
    }
    for event in ["status:typing", "auth:logout", "chat:nonsense", "__proto__"] {
        assert_eq!(socket.code_of(event, &json!({})).await, "AUTH_REQUIRED");
    }

    socket.emit_ok("auth:login", &json!({ "token": token::of("alice") })).await;
}

#[tokio::test]
async fn an_unauthenticated_socket_hears_nothing() {
    let app = TestApp::start().await;
    let (silent, alice) = (app.dial().open().await.unwrap(), app.user("alice").await);
    let member = alice.connect().await;
    member.say("general", "for members").await;
    member.expect("chat:message").await;

    silent.emit_ok("auth:login", &json!({ "token": token::of("late") })).await;

    assert_eq!(silent.seen("chat:message").len(), 0);
    assert_eq!(silent.seen("status:online").len(), 0);
}

#[tokio::test]
async fn who_does_not_authenticate_in_time_is_told_auth_timeout_and_cut() {
    let app = TestApp::with(&[("CHAT_AUTH_TIMEOUT", "3s")]).await;
    // On a machine that stands still for so long somebody is late who is not meant to be: then once more.
    let in_time = loop {
        let socket = app.dial().open().await.unwrap();
        if logs_in(&socket).await {
            break socket;
        }
    };

    // Without the setting it would take 10 s.
    takes_less_than(Duration::from_secs(9), "to be told", async || {
        let never = app.dial().open().await.unwrap();
        let opened = Instant::now();
        assert_eq!(code(&never.expect("system:error").await), "AUTH_TIMEOUT");
        let took = opened.elapsed();
        never.disconnected().await;
        took
    })
    .await;

    in_time.settle().await;
}

#[tokio::test]
async fn strict_mode_refuses_in_the_handshake_with_the_code_first() {
    let app = TestApp::with(&[("CHAT_AUTH_MODE", "strict")]).await;

    assert_eq!(app.dial().refusal_code().await, "AUTH_TOKEN_MISSING");
    let expired = token::expiring("alice", -3600);
    assert_eq!(app.dial().token(&expired).refusal_code().await, "AUTH_TOKEN_EXPIRED");
    assert_eq!(app.dial().token("nonsense").refusal_code().await, "AUTH_TOKEN_INVALID");

    app.stranger("alice").connect().await;
}

/// Contract 3: `auth:login` is idempotent for the same user, and no second `status:online` is sent.
#[tokio::test]
async fn auth_login_again_extends_the_expiry_and_is_no_second_arrival() {
    let app = TestApp::start().await;
    let watcher = app.user("bob").await.connect().await;
    let short = token::expiring("alice", 600);
    let alice = app.holder("alice", short).connect().await;
    watcher.expect_where("status:online", |status| status["userId"] == "alice").await;

    alice.emit_ok("auth:login", &json!({ "token": token::expiring("alice", 7200) })).await;

    let again = alice.expect_where("system:notification", |told| told["success"] == true).await;
    assert!(text(&again["data"]["tokenExpiresAt"]) > text(&alice.ready["tokenExpiresAt"]));
    watcher.expect_silence("status:online").await;
}

#[tokio::test]
async fn a_socket_never_changes_its_user() {
    let app = TestApp::start().await;
    let socket = app.user("alice").await.connect().await;

    let login = json!({ "token": token::of("bob") });

    assert_eq!(socket.code_of("auth:login", &login).await, "AUTH_IDENTITY_MISMATCH");
    assert_eq!(socket.say("general", "still alice").await["senderId"], "alice");
}

/// Seed, Security: "User type validation (user)"; the token decides, never the payload.
#[tokio::test]
async fn the_user_type_must_be_the_tokens() {
    let app = TestApp::start().await;
    let socket = app.dial().open().await.unwrap();
    let login = json!({ "token": token::of("alice"), "userType": "admin" });

    assert_eq!(socket.code_of("auth:login", &login).await, "AUTH_USER_TYPE_INVALID");

    let admin = json!({ "sub": "root", "userType": "admin", "exp": token::seconds_from_now(60) });
    let socket = app.dial().open().await.unwrap();
    let login = json!({ "token": token::with(&admin), "userType": "admin" });
    socket.emit_ok("auth:login", &login).await;
    let ready = socket.expect_notification("session.ready").await;
    assert_eq!(ready["data"]["user"]["userType"], "admin");
}

/// Seed, Security: "Role-based access control for different namespaces".
#[tokio::test]
async fn the_admin_namespace_admits_admins_only() {
    let app = TestApp::with(&[("CHAT_NAMESPACES", "/chat,/admin")]).await;
    let admin = json!({ "sub": "root", "userType": "admin", "exp": token::seconds_from_now(60) });

    let user = app.stranger("alice").dial().namespace("/admin");
    assert_eq!(user.refusal_code().await, "AUTH_USER_TYPE_INVALID");

    app.dial().token(&token::with(&admin)).namespace("/admin").open_ready().await;
}

/// Whether it is let in with a good token, or was closed before.
async fn logs_in(socket: &TestSocket) -> bool {
    let login = socket.post("auth:login", &json!({ "token": token::of("alice") }));
    socket.ack_if_any(login, LIMIT).await.is_some_and(|ack| ack["ok"] == true)
}

/// A socket of Alice's whose token is good for so many seconds; of a new one, should the machine stand still for so long.
async fn connect_for(app: &TestApp, seconds: i64) -> TestSocket {
    loop {
        if let Some(socket) = app.holder("alice", token::expiring("alice", seconds)).dial().try_open_ready().await {
            return socket;
        }
    }
}

#[tokio::test]
async fn before_a_token_runs_out_the_socket_is_warned_and_afterwards_cut() {
    let app = TestApp::with(&[("CHAT_TOKEN_GRACE", "100ms")]).await;
    let socket = connect_for(&app, 5).await;

    let warning = socket.expect_notification("auth.expiring").await;

    assert!((0..=5_000).contains(&int(&warning["data"]["inMs"])), "{warning}");
    assert_eq!(warning["level"], "warning");
    assert_eq!(code(&socket.expect("system:error").await), "AUTH_TOKEN_EXPIRED");
    socket.disconnected().await;
}

#[tokio::test]
async fn auth_login_with_a_new_token_keeps_the_socket_past_the_old_ones_end() {
    let app = TestApp::with(&[("CHAT_TOKEN_GRACE", "100ms")]).await;
    let renewed = loop {
        let socket = connect_for(&app, 6).await;
        socket.expect_notification("auth.expiring").await;
        if logs_in(&socket).await {
            break socket;
        }
    };
    // This token runs out after the one that was renewed.
    let forgotten = connect_for(&app, 6).await;

    forgotten.disconnected().await;
    renewed.settle().await;
    assert_eq!(renewed.seen("system:error").len(), 0);
}

/// Twice a second servers look for sessions that were ended elsewhere. They must not take one that is logging out for such.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_logs_out_is_told_that_and_not_that_the_session_was_revoked() {
    let app = TestApp::start().await;
    let user = async |number: usize| {
        for visit in 0..15 {
            let socket = app.user(&format!("u{number}-{visit}")).await.connect().await;
            socket.emit_ok("auth:logout", &json!({})).await;
            socket.expect_notification("auth.logout").await;
            assert!(socket.seen("system:error").is_empty());
        }
    };
    futures_util::future::join_all((0..24).map(user)).await;
}

/// Seed, Authentication Events: `auth:logout`, client → server, "Logout and disconnect".
#[tokio::test]
async fn auth_logout_acks_tells_revokes_and_disconnects() {
    let app = TestApp::start().await;
    let (alice, watcher) = (app.user("alice").await, app.user("bob").await.connect().await);
    let socket = alice.connect().await;
    watcher.expect_where("status:online", |status| status["userId"] == "alice").await;

    socket.emit_ok("auth:logout", &json!({})).await;

    socket.expect_notification("auth.logout").await;
    socket.disconnected().await;
    watcher.expect_where("status:offline", |status| status["userId"] == "alice").await;
    assert_eq!(alice.get("/users/me").await.refused(401), "AUTH_REVOKED");
    assert_eq!(alice.dial().refusal_code().await, "AUTH_REVOKED");
}

#[tokio::test]
async fn auth_logout_needs_no_payload() {
    let app = TestApp::start().await;
    let socket = app.user("alice").await.connect().await;

    let ack = socket.ack(socket.post_raw(r#"["auth:logout"]"#)).await;

    assert_eq!(ack["ok"], true, "{ack}");
    socket.disconnected().await;
}

#[tokio::test]
async fn auth_logout_of_one_device_leaves_the_others_alone() {
    let app = TestApp::start().await;
    let (phone, desk) = two_devices(&app).await;

    phone.emit_ok("auth:logout", &json!({})).await;

    phone.disconnected().await;
    desk.settle().await;
}

#[tokio::test]
async fn auth_logout_of_all_devices_ends_the_others_with_auth_revoked() {
    let app = TestApp::start().await;
    let (phone, desk) = two_devices(&app).await;

    phone.emit_ok("auth:logout", &json!({ "allDevices": true })).await;

    assert_eq!(code(&desk.expect("system:error").await), "AUTH_REVOKED");
    desk.disconnected().await;
    phone.disconnected().await;
}

async fn two_devices(app: &TestApp) -> (TestSocket, TestSocket) {
    let phone = app.register("alice").await;
    let desk = app.log_in("alice").await;
    (phone.connect().await, desk.connect().await)
}

/// Contract 2: a revoked session's live sockets are told and closed within one second.
#[tokio::test]
async fn a_revoked_session_is_told_within_a_second() {
    let app = TestApp::start().await;
    let desk = app.register("alice").await;

    takes_less_than(Duration::from_secs(1), "to be told", async || {
        let phone = app.log_in("alice").await;
        let socket = phone.connect().await;
        desk.delete(&format!("/auth/sessions/{}", text(&phone.login["sessionId"]))).await.expect(204);
        let revoked = Instant::now();

        assert_eq!(code(&socket.expect("system:error").await), "AUTH_REVOKED");
        socket.disconnected().await;
        revoked.elapsed()
    })
    .await;
}
