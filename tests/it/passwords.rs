//! Another password, and what log-in does not tell. Contract section 2, and `promises.md`, "Log-in".

use std::fs;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{PASSWORD, Reply, TestApp, TestUser, code, ires_chat, json::text, token};

const NEW: &str = "an altogether different horse";

async fn change(user: &TestUser, current: &str, new: &str) -> Reply {
    user.put("/users/me/password", &json!({ "currentPassword": current, "newPassword": new })).await
}

async fn log_in(app: &TestApp, username: &str, password: &str) -> Reply {
    app.post("/api/v1/auth/login", &json!({ "username": username, "password": password })).await
}

async fn refresh(app: &TestApp, login: &Value) -> Reply {
    app.post("/api/v1/auth/refresh", &json!({ "refreshToken": login["refreshToken"] })).await
}

#[tokio::test]
async fn a_changed_password_ends_all_other_sessions_and_keeps_the_callers() {
    let app = TestApp::start().await;
    let (phone, desk) = (app.register("alice").await, app.log_in("alice").await);
    let (_second, base) = app.second_server();
    let (own, other, elsewhere) = (phone.connect().await, desk.connect().await, desk.at(&base).connect().await);

    let changed = change(&phone, PASSWORD, NEW).await.expect(200);

    assert_eq!(changed["sessionId"], phone.login["sessionId"]);
    for socket in [&other, &elsewhere] {
        assert_eq!(code(&socket.expect("system:error").await), "AUTH_REVOKED");
        socket.disconnected().await;
    }
    assert_eq!(desk.get("/users/me").await.refused(401), "AUTH_REVOKED");
    assert_eq!(refresh(&app, &desk.login).await.refused(401), "AUTH_REVOKED");
    // The caller's goes on: its socket, its access token, and the tokens that it was just given.
    own.say("general", "still here").await;
    phone.get("/users/me").await.expect(200);
    phone.with_token(text(&changed["accessToken"]).to_owned()).connect().await;
    assert_eq!(phone.get("/auth/sessions").await.expect(200)["items"].as_array().map(Vec::len), Some(1));
    refresh(&app, &changed).await.expect(200);
    // Whoever has an older refresh token of this session does not.
    assert_eq!(refresh(&app, &phone.login).await.refused(401), "AUTH_TOKEN_INVALID");
    assert_eq!(log_in(&app, "alice", PASSWORD).await.refused(401), "INVALID_CREDENTIALS");
    log_in(&app, "alice", NEW).await.expect(200);
}

#[tokio::test]
async fn a_wrong_current_password_changes_nothing() {
    let app = TestApp::start().await;
    let (phone, desk) = (app.register("alice").await, app.log_in("alice").await);
    let socket = desk.connect().await;

    for wrong in ["not her password", &PASSWORD[1..], &format!("{PASSWORD} ")] {
        assert_eq!(change(&phone, wrong, NEW).await.refused(401), "INVALID_CREDENTIALS");
    }

    socket.settle().await;
    refresh(&app, &phone.login).await.expect(200);
    log_in(&app, "alice", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn the_new_password_obeys_the_rules_and_every_fault_is_named() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let longest = "ä".repeat(128);

    for (body, field) in [
        (json!({}), "currentPassword"),
        (json!({ "currentPassword": PASSWORD }), "newPassword"),
        (json!({ "currentPassword": 5, "newPassword": NEW }), "currentPassword"),
        (json!({ "currentPassword": "x".repeat(1_001), "newPassword": NEW }), "currentPassword"),
        (json!({ "currentPassword": "a\u{0}b", "newPassword": NEW }), "currentPassword"),
        (json!({ "currentPassword": PASSWORD, "newPassword": "1234567" }), "newPassword"),
        (json!({ "currentPassword": PASSWORD, "newPassword": "x".repeat(129) }), "newPassword"),
        (json!({ "currentPassword": PASSWORD, "newPassword": "nul\u{0}nul\u{0}nul" }), "newPassword"),
        (json!({ "currentPassword": PASSWORD, "newPassword": null }), "newPassword"),
        (json!({ "currentPassword": PASSWORD, "newPassword": ["long enough"] }), "newPassword"),
    ] {
        let reply = alice.put("/users/me/password", &body).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{body:.100}");
        assert!(reply.body["fields"][field][0]["code"].is_string(), "{body:.100}: {}", reply.text);
    }
    for body in ["", "[]", "null", "{", "\"text\""] {
        assert_eq!(alice.send_body(Method::PUT, "/users/me/password", body).await.refused(400), "PAYLOAD_INVALID", "{body}");
    }
    change(&alice, PASSWORD, &longest).await.expect(200);
    log_in(&app, "alice", &longest).await.expect(200);
}

#[tokio::test]
async fn a_password_is_changed_by_its_owner_only_and_where_there_is_one() {
    let app = TestApp::start().await;
    app.register("alice").await;
    let subject = app.user("subject").await;

    assert_eq!(change(&subject, PASSWORD, NEW).await.refused(403), "FORBIDDEN");
    let nobody = app.holder("", "nonsense".to_owned());
    assert_eq!(change(&nobody, PASSWORD, NEW).await.refused(401), "AUTH_TOKEN_INVALID");
    let body = json!({ "currentPassword": PASSWORD, "newPassword": NEW });
    let bare = Reply::of(app.http.put(format!("{}/api/v1/users/me/password", app.base())).json(&body)).await;
    assert_eq!(bare.refused(401), "AUTH_TOKEN_MISSING");
}

/// Guessing the current password is as slow as guessing at the door.
#[tokio::test]
async fn changing_a_password_is_limited_as_logging_in_is() {
    let app = TestApp::with(&[("CHAT_LIMITS", "on"), ("CHAT_LIMIT_LOGIN", "3/1/1h")]).await;
    let alice = app.register("alice").await;

    let first = change(&alice, "wrong", NEW).await;
    assert_eq!(first.refused(401), "INVALID_CREDENTIALS");
    assert!(first.header("ratelimit").starts_with("\"login\";r=1"), "{}", first.header("ratelimit"));
    change(&alice, "wrong", NEW).await.expect(401);

    assert_eq!(change(&alice, PASSWORD, NEW).await.refused(429), "RATE_LIMITED");
    alice.get("/users/me").await.expect(200);
}

#[tokio::test]
async fn of_two_changes_at_once_one_counts() {
    let app = TestApp::start().await;
    let (phone, desk) = (app.register("alice").await, app.log_in("alice").await);

    let (one, two) = tokio::join!(change(&phone, PASSWORD, "password number one"), change(&desk, PASSWORD, "password number two"));

    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
    let (good, bad) = if one.status == 200 { ("password number one", "password number two") } else { ("password number two", "password number one") };
    log_in(&app, "alice", good).await.expect(200);
    log_in(&app, "alice", bad).await.expect(401);
}

/// Who logs in or refreshes with what is being taken away at that moment, has nothing that outlives it.
#[tokio::test]
async fn nothing_that_was_got_with_the_old_password_outlives_it() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let (mut current, mut survivors, mut got) = (PASSWORD.to_owned(), Vec::new(), 0);
    for round in 0..4 {
        let new = format!("password of round {round}");
        let others: Vec<_> = join_all((0..2).map(|_| log_in(&app, "alice", &current))).await.into_iter().map(|reply| reply.expect(200)).collect();
        let logging_in = join_all((0..4).map(|_| log_in(&app, "alice", &current)));
        let refreshing = join_all(others.iter().map(|login| refresh(&app, login)));
        let (changed, logged_in, refreshed) = tokio::join!(change(&alice, &current, &new), logging_in, refreshing);
        changed.expect(200);
        current = new;

        for reply in logged_in.into_iter().chain(refreshed).filter(|reply| reply.status == 200) {
            got += 1;
            let stolen = app.holder("", text(&reply.body["accessToken"]).to_owned());
            if stolen.get("/users/me").await.status == 200 || refresh(&app, &reply.body).await.status == 200 {
                survivors.push(reply.body);
            }
        }
    }
    assert!(got > 0, "nobody was quick enough for this to say anything");
    assert_eq!(survivors, Vec::<Value>::new());
}

#[tokio::test]
async fn registered_users_go_on_when_another_claim_holds_the_user_id() {
    let app = TestApp::with(&[("CHAT_JWT_USER_ID_CLAIM", "uid")]).await;

    let alice = app.register("alice").await;

    alice.get("/users/me").await.expect(200);
    assert_eq!(alice.connect().await.ready["user"]["id"], alice.id.as_str());
    let other = app.holder("bob", token::of("bob")).get("/users/me").await;
    assert_eq!(other.refused(401), "AUTH_TOKEN_INVALID", "it has no such claim");
}

/// Accounts that cannot be logged in to, each for another reason.
async fn closed_accounts(app: &TestApp) -> Vec<&'static str> {
    app.register("alice").await;
    let gone = app.register("gone").await;
    ires_chat(&["user", "deactivate", &gone.id], &[("DATABASE_URL", app.database.url())]);
    let claims = json!({ "sub": "x", "preferred_username": "subject", "exp": token::seconds_from_now(60) });
    app.holder("x", token::with(&claims)).get("/users/me").await.expect(200);
    vec!["alice", "gone", "subject", "nobody"]
}

/// Whether there is such a user, whether it may come in, and whether it has a password here, makes no difference.
#[tokio::test]
async fn log_in_answers_alike_whoever_is_asked_for() {
    let app = TestApp::start().await;
    let accounts = closed_accounts(&app).await;

    for (password, status) in [
        ("not the password", 401),
        (&*"x".repeat(129), 401),
        (&*"ä".repeat(1_000), 401),
        (&*"x".repeat(1_001), 400),
        ("a\u{0}b", 400),
        ("", 400),
        ("   ", 400),
    ] {
        let mut answers = Vec::new();
        for account in &accounts {
            let mut reply = log_in(&app, account, password).await;
            assert_eq!(reply.status, status, "{account} {password:.20}: {}", reply.text);
            for name in ["traceId", "timestamp"] {
                reply.body[name] = Value::Null;
            }
            let mut names: Vec<String> = reply.headers.keys().map(ToString::to_string).collect();
            names.sort_unstable();
            answers.push((reply.body, names));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    }
    // With the right password of somebody who may not come in, too.
    assert_eq!(log_in(&app, "gone", PASSWORD).await.refused(401), "INVALID_CREDENTIALS");
}

/// How long the server has worked so far, in the hundredths of a second in which Linux counts.
fn worked(app: &TestApp) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", app.pid())).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// How much it works for some log-ins as the same account.
async fn work_of(app: &TestApp, account: &str, password: &str, status: u16) -> u64 {
    let before = worked(app);
    for _ in 0..5 {
        log_in(app, account, password).await.expect(status);
    }
    worked(app) - before
}

/// It is work that takes the time; how long others keep it from that, on a busy machine, has nothing to do with who is asked for. The least
/// of several tries each, in turns. An answer without a hash would be less work than the others for ever.
#[tokio::test]
async fn log_in_takes_the_same_time_whoever_is_asked_for() {
    let app = TestApp::start().await;
    let accounts = closed_accounts(&app).await;

    let (mut works, mut tries) = (vec![u64::MAX; accounts.len()], 0);
    let (least, most) = loop {
        for (account, work) in accounts.iter().zip(&mut works) {
            *work = work_of(&app, account, "not the password", 401).await.min(*work);
        }
        tries += 1;
        let (least, most) = (*works.iter().min().unwrap(), *works.iter().max().unwrap());
        if tries >= 3 && most < least * 3 / 2 || tries >= 12 {
            break (least, most);
        }
    };

    assert!(most < least * 2, "{accounts:?}: {works:?}");
    // It is the hash that takes it.
    let mut without = u64::MAX;
    for _ in 0..3 {
        without = work_of(&app, "nobody", "", 400).await.min(without);
    }
    assert!(without < least / 2, "{without} {least}");
}
