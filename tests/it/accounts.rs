//! Accounts of the server's own: register and log in. Contract section 2.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Reply, TestApp,
    json::{assert_members, int, text},
    token,
};

async fn register(app: &TestApp, username: &str, password: &str) -> Reply {
    app.post("/api/v1/auth/register", &json!({ "username": username, "password": password })).await
}

async fn log_in(app: &TestApp, username: &str, password: &str) -> Reply {
    app.post("/api/v1/auth/login", &json!({ "username": username, "password": password })).await
}

#[tokio::test]
async fn registering_answers_with_a_token_that_opens_rest_and_sockets() {
    let app = TestApp::start().await;

    let account = json!({ "username": "alice", "password": "long enough", "name": "Alice A." });
    let login = app.post("/api/v1/auth/register", &account).await.expect(201);

    assert_members(&login, &["user", "accessToken", "refreshToken", "tokenType", "expiresIn", "sessionId"]);
    assert_eq!((&login["tokenType"], int(&login["expiresIn"])), (&json!("Bearer"), 900));
    assert_members(&login["user"], &["id", "username", "name", "avatarUrl", "userType"]);
    assert_eq!((text(&login["user"]["username"]), text(&login["user"]["name"])), ("alice", "Alice A."));
    let alice = app.holder("alice", text(&login["accessToken"]).to_owned());
    assert_eq!(alice.get("/users/me").await.expect(200), login["user"]);
    assert_eq!(alice.connect().await.ready["user"], login["user"]);
    assert_eq!(alice.connect().await.ready["sessionId"], login["sessionId"]);
}

#[tokio::test]
async fn logging_in_gives_another_session_of_the_same_user() {
    let app = TestApp::start().await;
    let first = app.register("alice").await;

    let second = app.log_in("alice").await;

    assert_eq!(second.id, first.id);
    assert_ne!(second.login["sessionId"], first.login["sessionId"]);
    assert_ne!(second.token, first.token);
    second.connect().await;
}

#[tokio::test]
async fn a_user_name_is_taken_whatever_its_case() {
    let app = TestApp::start().await;
    app.register("Alice").await;

    assert_eq!(register(&app, "aLICE", "another password").await.refused(409), "CONFLICT");

    log_in(&app, "ALICE", "correct horse battery staple").await.expect(200);
}

#[tokio::test]
async fn the_same_name_registered_twice_at_once_is_one_account() {
    let app = TestApp::start().await;

    let replies =
        tokio::join!(register(&app, "alice", "password one"), register(&app, "alice", "password two"), register(&app, "ALICE", "password three"),);

    let mut statuses = [replies.0.status, replies.1.status, replies.2.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409]);
    assert_eq!(app.number("SELECT count(*) FROM users WHERE lower(username) = 'alice'").await, 1);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_one_answer() {
    let app = TestApp::start().await;
    app.register("alice").await;

    let wrong = log_in(&app, "alice", "not her password").await;
    let unknown = log_in(&app, "nobody", "not a password").await;

    assert_eq!(wrong.refused(401), "INVALID_CREDENTIALS");
    assert_eq!(unknown.refused(401), "INVALID_CREDENTIALS");
    for member in ["message", "title", "detail", "type", "retryable"] {
        assert_eq!(wrong.body[member], unknown.body[member]);
    }
}

/// The fastest of several tries, made in turn, so that a busy machine does not blur the comparison: the busier it is, the more.
#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_take_the_same_time() {
    let app = TestApp::start().await;
    app.register("alice").await;

    let mut fastest = [Duration::MAX; 2];
    let ratio = |[wrong, unknown]: [Duration; 2]| unknown.as_secs_f64() / wrong.as_secs_f64();
    for tries in 0..120 {
        if tries >= 20 && (0.7..1.4).contains(&ratio(fastest)) {
            break;
        }
        for (place, username) in ["alice", "nobody"].into_iter().enumerate() {
            let begun = Instant::now();
            log_in(&app, username, "not her password").await.expect(401);
            fastest[place] = fastest[place].min(begun.elapsed());
        }
    }

    assert!((0.4..2.5).contains(&ratio(fastest)), "wrong password and unknown user: {fastest:?}");
}

#[tokio::test]
async fn a_subject_of_another_system_cannot_log_in_here() {
    let app = TestApp::start().await;
    let claims = json!({ "sub": "x", "preferred_username": "ada", "exp": token::seconds_from_now(60) });
    app.holder("x", token::with(&claims)).get("/users/me").await.expect(200);

    assert_eq!(log_in(&app, "ada", "").await.status, 400);
    assert_eq!(log_in(&app, "ada", "null null").await.refused(401), "INVALID_CREDENTIALS");
}

/// An own account never gets the id of somebody of the surrounding system.
#[tokio::test]
async fn an_account_cannot_take_over_a_subject_of_another_system() {
    let app = TestApp::start().await;
    let subject = app.user("alice").await;

    let account = app.register("alice").await;

    assert_ne!(account.id, subject.id);
}

#[tokio::test]
async fn user_names_are_letters_digits_and_three_marks() {
    let app = TestApp::start().await;
    for name in ["a", "A.b-c_9", &"x".repeat(64)] {
        register(&app, name, "long enough").await.expect(201);
    }

    for name in ["", " ", "a b", "ü", "a@b", "a\u{0}b", "a/b", "a\n", "\u{202e}a", &"x".repeat(65)] {
        let reply = register(&app, name, "long enough").await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{name:?}");
        assert!(reply.body["fields"]["username"][0]["code"].is_string(), "{}", reply.text);
    }
}

#[tokio::test]
async fn passwords_have_8_to_128_characters_and_all_of_them_count() {
    let app = TestApp::start().await;
    let (longest, nearly) = ("ä".repeat(128), format!("{}b", "ä".repeat(127)));
    register(&app, "shortest", "x7-Qb!9z").await.expect(201);
    register(&app, "longest", &longest).await.expect(201);

    log_in(&app, "longest", &nearly).await.expect(401);
    log_in(&app, "longest", &longest).await.expect(200);
    for (password, fault) in [("1234567", "too_short"), (&*"x".repeat(129), "too_long"), ("", "too_short")] {
        let reply = register(&app, "other", password).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR");
        let told = text(&reply.body["fields"]["password"][0]["code"]);
        assert!(told == fault || (password.is_empty() && told == "required"), "{told}");
    }
}

#[tokio::test]
async fn passwords_are_stored_as_argon2id_only_and_never_answered_or_logged() {
    let app = TestApp::start().await;

    let alice = app.register("alice").await;

    let hashed = "SELECT count(*) FROM users WHERE password_hash LIKE '$argon2id$%'";
    assert_eq!(app.number(hashed).await, 1);
    assert!(!alice.login.to_string().contains("argon2"));
    assert!(!app.logs().contains("correct horse"), "a password is in the logs");
}

#[tokio::test]
async fn every_bad_body_of_register_and_log_in_is_a_400_that_names_the_field() {
    let app = TestApp::start().await;
    for path in ["/api/v1/auth/register", "/api/v1/auth/login"] {
        for (body, field) in [
            (json!({}), "username"),
            (json!({ "username": "a" }), "password"),
            (json!({ "password": "long enough" }), "username"),
            (json!({ "username": 5, "password": "long enough" }), "username"),
            (json!({ "username": "a", "password": ["long enough"] }), "password"),
            (json!({ "username": null, "password": "long enough" }), "username"),
            (json!({ "username": "a", "password": "nul\u{0}nul\u{0}nul" }), "password"),
        ] {
            let reply = app.post(path, &body).await;
            assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{path} {body}");
            assert!(reply.body["fields"][field][0]["code"].is_string(), "{path} {body}: {}", reply.text);
        }
        for body in [json!(null), json!([]), json!(7), json!("text")] {
            assert_eq!(app.post(path, &body).await.refused(400), "PAYLOAD_INVALID", "{path} {body}");
        }
    }
}

#[tokio::test]
async fn registration_can_be_switched_off() {
    let app = TestApp::with(&[("CHAT_REGISTRATION", "off")]).await;

    let reply = register(&app, "alice", "long enough").await;

    assert!([403, 404].contains(&reply.status), "{}", reply.text);
    app.user("alice").await.connect().await;
}

/// Hashing goes beside the async threads: messages are not delayed by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_log_ins_at_once_do_not_stop_the_chat() {
    let app = TestApp::start().await;
    let socket = app.register("alice").await.connect().await;
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let url = format!("{}/api/v1/auth/login", app.base());
        let account = json!({ "username": "alice", "password": "not her password" });
        attempts.spawn(Reply::of(app.http.post(url).json(&account)));
    }

    let mut answered: Vec<Reply> = Vec::new();
    while answered.len() < 24 {
        socket.say("general", "still quick").await;
        answered.extend(attempts.try_join_next().map(Result::unwrap));
    }

    let busy = |reply: &&Reply| reply.status == 503 && !reply.header("retry-after").is_empty();
    let refused = answered.iter().filter(|reply| reply.status == 401).count();
    assert_eq!(refused + answered.iter().filter(busy).count(), 24);
}

#[tokio::test]
async fn me_can_change_name_and_picture_and_nothing_else() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let change = json!({ "name": "Alice B.", "avatarUrl": "https://example.org/a.png", "userType": "admin", "id": "x" });

    let changed: Value = alice.patch("/users/me", &change).await.expect(200);

    assert_eq!((text(&changed["name"]), text(&changed["userType"])), ("Alice B.", "user"));
    assert_eq!(changed["avatarUrl"], "https://example.org/a.png");
    assert_eq!(alice.get("/users/me").await.expect(200)["id"], alice.id.as_str());
}

#[tokio::test]
async fn names_of_users_have_limits_and_no_tricks() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let invisible = ["\u{200b}", "\u{200d}\u{fe0f}", "\u{2800}", "\u{3164}", "\u{e0041}", "ali\u{200b}ce", "ali\u{ad}ce", "a\u{2028}b", "\u{feff}a"];
    for name in ["", "  ", &"x".repeat(101), "a\u{0}b", "a\u{202e}b", "a\nb", "a\u{1b}[31m"].into_iter().chain(invisible) {
        let reply = alice.patch("/users/me", &json!({ "name": name })).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{name:?}");
    }
    for name in ["Zoë", "👩‍👩‍👧", "می‌خواهم", "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}"] {
        assert_eq!(alice.patch("/users/me", &json!({ "name": name })).await.expect(200)["name"], name, "joiners have a meaning in these");
    }
    for picture in [
        "javascript:alert(1)",
        "data:text/html,x",
        "nonsense",
        "https://x/\" onerror=\"x",
        "https://x/<b>",
        "https://x/a b",
        &format!("https://x/{}", "y".repeat(5000)),
    ] {
        let reply = alice.patch("/users/me", &json!({ "avatarUrl": picture })).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{picture:.60}");
    }
}

#[tokio::test]
async fn users_are_found_by_the_beginning_of_a_name_page_by_page() {
    let app = TestApp::start().await;
    for name in ["anna", "anne", "Anton", "bert"] {
        app.register(name).await;
    }
    let asker = app.user("asker").await;

    let first = asker.get("/users?q=an&limit=2").await.expect(200);
    let cursor = text(&first["nextCursor"]);
    let rest = asker.get(&format!("/users?q=an&limit=2&cursor={cursor}")).await.expect(200);

    let mut names = crate::support::json::texts(&first["items"], "username");
    names.extend(crate::support::json::texts(&rest["items"], "username"));
    names.sort_unstable();
    assert_eq!(names, ["Anton", "anna", "anne"]);
    assert_eq!(rest["nextCursor"], Value::Null);
}

#[tokio::test]
async fn search_operators_are_plain_text() {
    let app = TestApp::start().await;
    let asker = app.register("anna").await;
    for query in ["%25", "_", "%25an", "a%27", "an%5C", "*", "%22"] {
        let found = asker.get(&format!("/users?q={query}")).await.expect(200);
        assert_eq!(found["items"], json!([]), "{query}");
    }
    assert_eq!(asker.get("/users?q=a%00").await.refused(400), "VALIDATION_ERROR");
    assert_eq!(asker.get("/users/nobody").await.refused(404), "USER_NOT_FOUND");
}
