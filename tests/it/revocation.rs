//! Sessions that end elsewhere: by another server, by a command, by a change of the password, by deactivation. Their sockets are
//! told and closed within a second, and can do nothing more (contract section 2).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Database, PASSWORD, TestApp, TestSocket, TestUser, code, eventually, ires_chat, ires_chat_reading,
    json::{assert_members, text},
    proxy::{Flow, Proxy},
    takes_less_than,
};

/// Runs `ires-chat user …` on the server's database.
fn command(app: &TestApp, arguments: &[&str]) -> crate::support::Finished {
    let arguments: Vec<_> = ["user"].iter().chain(arguments).copied().collect();
    ires_chat_reading("another correct horse\n", &arguments, &[("DATABASE_URL", app.database.url())])
}

/// Waits until the socket was told `AUTH_REVOKED` and closed, and says how long that took.
async fn time_to_end(socket: &TestSocket) -> Duration {
    let begun = Instant::now();
    assert_eq!(code(&socket.expect("system:error").await), "AUTH_REVOKED");
    socket.disconnected().await;
    begun.elapsed()
}

async fn listed(user: &TestUser) -> Vec<Value> {
    user.get("/auth/sessions").await.expect(200)["items"].as_array().unwrap().clone()
}

/// A session of alice at the first server, with a socket there.
async fn session(app: &TestApp) -> (TestUser, TestSocket) {
    let user = app.log_in("alice").await;
    let socket = user.connect().await;
    (user, socket)
}

#[tokio::test]
async fn whatever_ends_a_session_elsewhere_ends_its_sockets_within_a_second() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let (_second, base) = app.second_server();
    let second = Duration::from_secs(1);

    takes_less_than(second, "DELETE of one session at the other server", async || {
        let ((_, socket), here) = (session(&app).await, app.log_in("alice").await.at(&base));
        here.delete(&format!("/auth/sessions/{}", text(&socket.ready["sessionId"]))).await.expect(204);
        time_to_end(&socket).await
    })
    .await;

    takes_less_than(second, "its own log-out there", async || {
        let (user, socket) = session(&app).await;
        user.at(&base).post("/auth/logout", &json!({})).await.expect(204);
        let took = time_to_end(&socket).await;
        assert_eq!(user.get("/users/me").await.refused(401), "AUTH_REVOKED");
        took
    })
    .await;

    takes_less_than(second, "a log-out by a socket there, for all devices", async || {
        let (_, socket) = session(&app).await;
        let there = app.log_in("alice").await.at(&base).connect().await;
        there.emit_ok("auth:logout", &json!({ "allDevices": true })).await;
        time_to_end(&socket).await
    })
    .await;

    takes_less_than(second, "a command", async || {
        let (_, socket) = session(&app).await;
        assert_eq!(command(&app, &["revoke", &alice.id]).code, Some(0));
        time_to_end(&socket).await
    })
    .await;

    takes_less_than(second, "a refresh token that is used a second time too late, at the other server", async || {
        let (user, socket) = session(&app).await;
        let stolen = json!({ "refreshToken": user.login["refreshToken"] });
        app.post("/api/v1/auth/refresh", &stolen).await.expect(200);
        app.execute("UPDATE refresh_tokens SET used_at = used_at - interval '20 s' WHERE used_at IS NOT NULL").await;
        let theft = crate::support::Reply::of(app.http.post(format!("{base}/api/v1/auth/refresh")).json(&stolen)).await;
        assert_eq!(theft.refused(401), "AUTH_REVOKED");
        time_to_end(&socket).await
    })
    .await;
}

#[tokio::test]
async fn the_command_line_lists_sessions_and_ends_one_or_all() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let (one, two) = (session(&app).await, session(&app).await);
    let other = app.register("bob").await;

    let shown = command(&app, &["sessions", &alice.id]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let sessions: Vec<Value> = shown.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids = |sessions: &[Value]| sessions.iter().map(|session| session["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&sessions), ids(&listed(&alice).await), "newest first, as over REST");
    assert_eq!(sessions.len(), 3);
    for session in &sessions {
        assert_members(session, &["id", "current", "createdAt", "lastUsedAt", "expiresAt"]);
    }

    assert_eq!(command(&app, &["revoke", &alice.id, "--session", text(&one.1.ready["sessionId"])]).code, Some(0));
    time_to_end(&one.1).await;
    assert_eq!(one.0.get("/users/me").await.refused(401), "AUTH_REVOKED");
    two.1.settle().await;
    assert_eq!(listed(&alice).await.len(), 2);

    assert_eq!(command(&app, &["revoke", &alice.id]).code, Some(0));
    time_to_end(&two.1).await;
    assert_eq!(command(&app, &["sessions", &alice.id]).stdout, "");
    other.get("/users/me").await.expect(200);
}

#[tokio::test]
async fn the_command_line_says_so_when_there_is_nothing_to_end() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.register("alice").await, app.register("bob").await);
    let (nil, hers) = ("00000000-0000-7000-8000-000000000000", text(&alice.login["sessionId"]));

    for arguments in [
        vec!["revoke", "nobody"],
        vec!["revoke", &alice.id, "--session", nil],
        vec!["revoke", &bob.id, "--session", hers],
        vec!["revoke", ""],
        vec!["password", "nobody"],
    ] {
        let finished = command(&app, &arguments);
        assert_eq!(finished.code, Some(1), "{arguments:?}: {}", finished.stderr);
        assert_eq!(finished.stdout, "");
    }
    assert_eq!(command(&app, &["revoke", &alice.id, "--session", "nonsense"]).code, Some(2));
    assert_eq!(command(&app, &["sessions", "nobody"]).stdout, "");
    alice.get("/users/me").await.expect(200);
}

#[tokio::test]
async fn a_password_set_by_command_ends_all_sessions_everywhere_and_is_the_one_that_counts() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let (_second, base) = app.second_server();
    let (here, there) = (alice.connect().await, alice.at(&base).connect().await);

    let set = command(&app, &["password", &alice.id]);

    assert_eq!(set.code, Some(0), "{}", set.stderr);
    assert_eq!(set.stdout, "");
    time_to_end(&here).await;
    time_to_end(&there).await;
    let refresh = json!({ "refreshToken": alice.login["refreshToken"] });
    assert_eq!(app.post("/api/v1/auth/refresh", &refresh).await.refused(401), "AUTH_REVOKED");
    let log_in = async |password: &str| app.post("/api/v1/auth/login", &json!({ "username": "alice", "password": password })).await.status;
    assert_eq!((log_in(PASSWORD).await, log_in("another correct horse").await), (401, 200));
    // The rules of registration hold, and who has no account here gets none.
    for bad in ["short\n", "\n", &format!("{}\n", "x".repeat(129))] {
        let refused = ires_chat_reading(bad, &["user", "password", &alice.id], &[("DATABASE_URL", app.database.url())]);
        assert_eq!(refused.code, Some(1), "{bad:?}");
    }
    app.user("subject").await;
    assert_eq!(command(&app, &["password", "subject"]).code, Some(1));
}

#[tokio::test]
async fn a_deactivated_user_is_cut_off_at_every_server_and_refused_everywhere() {
    let app = TestApp::start().await;
    let (alice, subject) = (app.register("alice").await, app.user("subject").await);
    let (_second, base) = app.second_server();
    for user in [&alice, &subject] {
        let (here, there) = (user.connect().await, user.at(&base).connect().await);

        assert_eq!(command(&app, &["deactivate", &user.id]).code, Some(0));

        time_to_end(&here).await;
        time_to_end(&there).await;
        for server in [user.clone(), user.at(&base)] {
            assert_eq!(server.get("/users/me").await.refused(401), "AUTH_REVOKED");
            assert_eq!(server.dial().refusal_code().await, "AUTH_REVOKED");
            let socket = server.dial().auth(json!({})).open().await.unwrap();
            assert_eq!(socket.code_of("auth:login", &json!({ "token": user.token })).await, "AUTH_REVOKED");
        }
    }
    // Nor with another token of the same issuer.
    let other = app.holder("subject", crate::support::token::expiring("subject", 60));
    assert_eq!(other.get("/users/me").await.refused(401), "AUTH_REVOKED");
    let login = json!({ "username": "alice", "password": PASSWORD });
    assert_eq!(app.post("/api/v1/auth/login", &login).await.refused(401), "INVALID_CREDENTIALS");
    let refresh = json!({ "refreshToken": alice.login["refreshToken"] });
    assert_eq!(app.post("/api/v1/auth/refresh", &refresh).await.refused(401), "AUTH_REVOKED");
}

/// What is emitted by who was revoked does nothing, however much of it was under way.
#[tokio::test]
async fn amid_a_load_of_messages_nothing_is_stored_after_the_revocation() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let (user, socket) = session(&app).await;
    let sent: Vec<u64> = (0..50).map(|number| socket.post("chat:message", &json!({ "content": format!("before {number}") }))).collect();
    assert_eq!(socket.ack(sent[0]).await["ok"], true, "what comes before is stored");

    let revoking = async {
        alice.delete(&format!("/auth/sessions/{}", text(&socket.ready["sessionId"]))).await.expect(204);
        alice.say("general", "revoked").await
    };
    let flood = async {
        for number in 0..2_000 {
            socket.post("chat:message", &json!({ "content": format!("after {number}") }));
            if number % 20 == 0 {
                tokio::task::yield_now().await;
            }
        }
    };
    let (revoked, ()) = tokio::join!(revoking, flood);
    socket.disconnected().await;

    assert_eq!(user.get("/users/me").await.refused(401), "AUTH_REVOKED");
    // What was in the journal at that moment may follow; then there is nothing more.
    let history = alice.history("general").await;
    let last = history.iter().filter(|message| message["content"] != "revoked").filter_map(|message| message["seq"].as_i64()).max().unwrap();
    let between = last - revoked["seq"].as_i64().unwrap();
    assert!(between <= 256, "{between} messages after the revocation");
}

/// A client that takes nothing cannot be closed while the server's buffer for it is full; it is ignored all the same.
#[tokio::test]
async fn a_revoked_socket_that_cannot_be_closed_does_nothing_more() {
    let app = TestApp::with(&[("CHAT_SOCKET_BUFFER", "64")]).await;
    let alice = app.register("alice").await;
    let user = app.log_in("alice").await;
    let socket = user.dial().polling().open_ready().await;
    socket.say("general", "heard").await;
    socket.read(false);
    // Each is answered by one packet, which nobody takes.
    for _ in 0..63 {
        socket.emit_no_ack("chat:nonsense", &json!({}));
    }
    let refusals = |code: &str| app.logs().matches(&format!("\"code\":\"{code}\"")).count();
    eventually("63 answers", async || refusals("UNKNOWN_EVENT") >= 63).await;

    alice.delete(&format!("/auth/sessions/{}", text(&socket.ready["sessionId"]))).await.expect(204);
    for event in ["chat:message", "chat:room:create", "chat:room:join", "auth:login"] {
        socket.emit_no_ack(event, &json!({ "content": "unheard", "name": "unseen", "roomId": "general", "token": alice.token }));
    }
    // It is told when it takes something again, or the engine has given it up.
    socket.read(true);
    socket.disconnected().await;

    let history = alice.history("general").await;
    assert!(history.iter().any(|message| message["content"] == "heard"));
    assert!(history.iter().all(|message| message["content"] != "unheard"));
    let rooms = alice.get("/rooms?scope=mine").await.expect(200);
    assert!(!rooms.to_string().contains("unseen"), "{rooms}");
}

#[tokio::test]
async fn a_command_that_reaches_no_database_says_so() {
    for arguments in [["user", "sessions", "alice"], ["user", "revoke", "alice"]] {
        assert_eq!(ires_chat(&arguments, &[("DATABASE_URL", "postgres://127.0.0.1:1/none")]).code, Some(69));
    }
}

/// A log-in or renewal that races with the revocation of its own session never outlives it.
#[tokio::test]
async fn who_comes_in_while_the_session_is_revoked_is_closed_too() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    for _ in 0..5 {
        let user = app.log_in("alice").await;
        let (session, dial) = (format!("/auth/sessions/{}", text(&user.login["sessionId"])), user.dial());
        let arriving = (0..4).map(|_| dial.try_open_ready());
        let (revoked, sockets) = tokio::join!(alice.delete(&session), futures_util::future::join_all(arriving));
        revoked.expect(204);

        for socket in sockets.into_iter().flatten() {
            socket.disconnected().await;
        }
    }
}

/// Looking for them outlives a connection to the database that has gone silent, and says that it was held up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_go_on_being_ended_after_connections_to_the_database_went_silent() {
    let database = Database::migrated().await;
    let proxy = Proxy::before(database.url()).await;
    let app = TestApp::on(database, &[("DATABASE_URL", &proxy.url)]);
    app.register("alice").await;
    let (_, socket) = session(&app).await;
    socket.settle().await;

    // All are silent until a look has met one of them; from then on new ones are served.
    proxy.set(Flow::Nothing);
    eventually("a look that is held up", async || app.logs().contains("ended sessions could not be looked for")).await;
    proxy.silence_the_open();
    proxy.set(Flow::Everything);

    app.execute(&format!("UPDATE sessions SET revoked_at = now() WHERE id = '{}'", text(&socket.ready["sessionId"]))).await;
    time_to_end(&socket).await;
}
