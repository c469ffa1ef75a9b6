//! Rate limits of users, over sockets and REST. Contract sections 1, 7 and 8.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestUser, code, eventually,
    json::{int, text},
    token,
};

/// A server with limits, these among them.
async fn limited(settings: &[(&str, &str)]) -> TestApp {
    TestApp::with(&[&[("CHAT_LIMITS", "on")], settings].concat()).await
}

/// One token in each class, and none to follow in the time of a test.
const ONE_EACH: [(&str, &str); 8] = [
    ("CHAT_LIMIT_MESSAGE", "1/1/1h"),
    ("CHAT_LIMIT_EDIT", "1/1/1h"),
    ("CHAT_LIMIT_REACTION", "1/1/1h"),
    ("CHAT_LIMIT_READ", "1/1/1h"),
    ("CHAT_LIMIT_TYPING", "1/1/1h"),
    ("CHAT_LIMIT_PRESENCE", "1/1/1h"),
    ("CHAT_LIMIT_JOIN", "1/1/1h"),
    ("CHAT_LIMIT_CREATE", "1/1/1h"),
];

fn assert_rate_limited(error: &Value) {
    assert_eq!((code(error), &error["status"], &error["retryable"]), ("RATE_LIMITED", &json!(429), &json!(true)), "{error}");
    assert!((1..=3_600_000).contains(&int(&error["retryAfterMs"])), "{error}");
}

#[tokio::test]
async fn each_class_of_events_has_a_limit_of_its_own() {
    let app = limited(&ONE_EACH).await;
    let alice = app.user("alice").await.connect().await;
    let message = alice.emit_ok("chat:message", &json!({ "content": "one" })).await;
    let about = |more: Value| {
        let mut payload = json!({ "messageId": message["id"] });
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        payload
    };
    let seq = json!({ "roomId": "general", "seq": 1 });

    for (first, second) in [
        (None, ("chat:message", json!({ "content": "two" }))),
        (Some(("chat:message:pin", about(json!({})))), ("chat:message:unpin", about(json!({})))),
        (None, ("chat:message:edit", about(json!({ "content": "uno" })))),
        (None, ("chat:message:delete", about(json!({})))),
        (Some(("chat:reaction:add", about(json!({ "emoji": "👍" })))), ("chat:reaction:remove", about(json!({ "emoji": "👍" })))),
        (Some(("chat:read", seq.clone())), ("chat:unread:mark", seq.clone())),
        (Some(("chat:room:create", json!({ "name": "den" }))), ("chat:room:create", json!({ "name": "lair" }))),
        (Some(("chat:room:join", json!("general"))), ("chat:room:leave", json!("general"))),
        (None, ("chat:room:kick", json!({ "roomId": "general", "userId": "bob" }))),
    ] {
        if let Some((event, payload)) = first {
            alice.emit_ok(event, &payload).await;
        }
        let (event, payload) = second;
        let error = alice.emit_err(event, &payload).await;
        assert_rate_limited(&error);
        assert_eq!(text(&error["event"]), event);
    }
    // What only reads has no class but that of everything.
    alice.emit_ok("status:subscribe", &json!({ "userIds": ["alice"] })).await;
}

#[tokio::test]
async fn typing_and_presence_are_dropped_and_acknowledged() {
    let app = limited(&[&ONE_EACH[..], &[("CHAT_TYPING_TTL", "1h")]].concat()).await;
    let (alice, bob) = (app.user("alice").await.connect().await, app.user("bob").await.connect().await);
    alice.emit_ok("status:typing", &json!({ "isTyping": true })).await;
    bob.expect_where("status:typing", |typing| typing["isTyping"] == true && typing["userId"] == "alice").await;

    let typing = alice.emit_ok("status:typing", &json!({ "isTyping": true })).await;
    bob.expect_silence("status:typing").await;
    alice.emit_ok("status:update", &json!({ "isOnline": false })).await;
    bob.expect_where("status:offline", |edge| edge["userId"] == "alice").await;
    let presence = alice.emit_ok("status:update", &json!({ "isOnline": true })).await;

    for dropped in [typing, presence] {
        assert_eq!(dropped["dropped"], true);
        assert!(int(&dropped["retryAfterMs"]) > 0, "{dropped}");
    }
    assert_eq!(alice.seen("system:error"), Vec::<Value>::new());
    let seen = app.user("carol").await.get("/users/alice/presence").await.expect(200);
    assert_eq!(seen["isOnline"], false);
}

#[tokio::test]
async fn a_message_over_rest_and_over_any_socket_takes_of_one_bucket() {
    let app = limited(&[("CHAT_LIMIT_MESSAGE", "3/1/1h")]).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let (one, two) = (alice.connect().await, alice.connect().await);

    alice.say("general", "over REST").await;
    one.say("general", "on one socket").await;
    two.say("general", "on another").await;

    for socket in [&one, &two] {
        assert_rate_limited(&socket.emit_err("chat:message", &json!({ "content": "too much" })).await);
    }
    let refused = alice.post("/rooms/general/messages", &json!({ "content": "too much" })).await;
    assert_eq!(refused.refused(429), "RATE_LIMITED");
    bob.say("general", "another user has another").await;
    assert_eq!(bob.history("general").await.len(), 4);
}

#[tokio::test]
async fn who_waits_as_long_as_is_said_is_served_and_the_refused_message_did_not_use_up_its_id() {
    const REFILL: Duration = Duration::from_secs(4);
    let app = limited(&[("CHAT_LIMIT_MESSAGE", "1/1/4s")]).await;
    let two = json!({ "content": "two", "clientMsgId": "two" });
    let mut people = 0;
    // On a machine that stands still for as long as a refill takes, nobody is refused: then somebody else tries.
    loop {
        people += 1;
        let alice = app.user(&format!("alice{people}")).await.connect().await;
        let begun = Instant::now();
        alice.say("general", "one").await;

        let ack = alice.emit("chat:message", &two).await;
        if begun.elapsed() >= REFILL {
            continue;
        }
        let refused = &ack["error"];
        assert_rate_limited(refused);
        assert_eq!(refused["ref"], "two");
        // It is time itself that is waited for here: the time that was said.
        tokio::time::sleep(Duration::from_millis(u64::try_from(int(&refused["retryAfterMs"])).unwrap())).await;
        let begun = Instant::now();
        let stored = alice.emit_ok("chat:message", &two).await;

        assert_eq!((&stored["content"], &stored["duplicate"]), (&json!("two"), &Value::Null));
        // A repeat counts like any other.
        let again = alice.emit("chat:message", &two).await;
        if begun.elapsed() < REFILL {
            return assert_rate_limited(&again["error"]);
        }
    }
}

#[tokio::test]
async fn everything_together_has_a_limit_too_whatever_it_is() {
    let app = limited(&[("CHAT_LIMIT_ANY", "6/1/1h")]).await;
    let alice = app.user("alice").await;
    let socket = alice.connect().await;
    socket.say("general", "hello").await;
    assert_eq!(socket.code_of("no:such:event", &json!({})).await, "UNKNOWN_EVENT");
    assert_eq!(socket.code_of("chat:message", &json!(5)).await, "PAYLOAD_INVALID");
    socket.emit_ok("status:subscribe", &json!({ "userIds": ["alice"] })).await;
    alice.get("/rooms").await.expect(200);

    for event in ["no:such:event", "chat:sync", "chat:message", "auth:logout"] {
        assert_rate_limited(&socket.emit_err(event, &json!({})).await);
    }
    assert_eq!(socket.emit_ok("status:typing", &json!({ "isTyping": true })).await["dropped"], true);
    for path in ["/rooms", "/users/me", "/rooms/general/messages"] {
        assert_eq!(alice.get(path).await.refused(429), "RATE_LIMITED", "{path}");
    }
    let ack = socket.ack(socket.post_raw(r#"["chat:message",5]"#)).await;
    assert_eq!(code(&ack), "RATE_LIMITED");
    app.user("bob").await.say("general", "my own").await;
}

#[tokio::test]
async fn bots_and_admins_may_have_limits_of_their_own() {
    let app = limited(&[("CHAT_LIMIT_MESSAGE", "1/1/1h,bot=3/1/1h,admin=off"), ("CHAT_LIMIT_ANY", "off")]).await;
    for (kind, most) in [("user", 1), ("bot", 3), ("admin", 30)] {
        let token = token::with(&json!({ "sub": kind, "userType": kind, "exp": token::seconds_from_now(600) }));
        let socket = app.holder(kind, token).connect().await;
        let mut accepted = 0;
        for _ in 0..30 {
            accepted += usize::from(socket.emit("chat:message", &json!({ "content": "x" })).await["ok"] == true);
        }
        assert_eq!(accepted, most, "{kind}");
        let announced = &socket.ready["limits"]["rates"];
        let burst = if kind == "admin" { Value::Null } else { json!(most) };
        assert_eq!((&announced["message"]["burst"], &announced["any"]), (&burst, &Value::Null), "{announced}");
    }
}

#[tokio::test]
async fn session_ready_announces_the_contracts_limits() {
    let app = limited(&[]).await;

    let limits = app.user("alice").await.connect().await.ready["limits"].clone();

    assert_eq!(limits["connections"], 20);
    for (class, burst, per_second) in [
        ("message", 10, 5.0),
        ("edit", 10, 1.0),
        ("reaction", 20, 2.0),
        ("read", 20, 5.0),
        ("typing", 5, 1.0),
        ("presence", 5, 0.166_667),
        ("join", 20, 2.0),
        ("create", 5, 0.5),
        ("any", 50, 25.0),
    ] {
        assert_eq!(limits["rates"][class], json!({ "burst": burst, "perSecond": per_second }), "{class}");
    }
}

/// draft-ietf-httpapi-ratelimit-headers-10; RFC 9110 for `Retry-After`.
#[tokio::test]
async fn limited_routes_say_what_is_left_and_a_refusal_when_to_come_again() {
    let app = limited(&[("CHAT_LIMIT_MESSAGE", "2/1/10s"), ("CHAT_LIMIT_ANY", "40/20")]).await;
    let alice = app.user("alice").await;
    let post = async || alice.post("/rooms/general/messages", &json!({ "content": "x" })).await;

    let (first, second, refused) = (post().await, post().await, post().await);
    let read = alice.get("/rooms/general/messages").await;

    let policy = "\"message\";q=2;w=20, \"any\";q=40;w=2";
    assert_eq!((first.status, first.header("ratelimit-policy")), (201, policy));
    assert!(first.header("ratelimit").starts_with("\"message\";r=1;t=10, \"any\";r=3"), "{}", first.header("ratelimit"));
    assert!(second.header("ratelimit").starts_with("\"message\";r=0;t=20, "), "{}", second.header("ratelimit"));
    assert_eq!(refused.refused(429), "RATE_LIMITED");
    assert_eq!(refused.header("ratelimit-policy"), "\"message\";q=2;w=20");
    assert_eq!(refused.header("ratelimit"), "\"message\";r=0;t=20");
    let seconds: i64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=10).contains(&seconds) && seconds == (int(&refused.body["retryAfterMs"]) + 999) / 1_000, "{}", refused.text);
    assert_eq!((read.status, read.header("ratelimit-policy")), (200, "\"any\";q=40;w=2"));
    // Refusals of another kind say it as well, and what is no route of ours does not.
    let bad = alice.post("/rooms", &json!({})).await;
    assert!(bad.status == 400 && bad.header("ratelimit").starts_with("\"create\";r=4"), "{bad:?}");
    // So does one by address, of whoever shows no good token.
    let nobody = app.holder("nobody", "no-token".to_owned());
    for unknown in [nobody.get("/users/me").await, nobody.put("/users/me/password", &json!({})).await] {
        assert!(unknown.status == 401 && unknown.header("ratelimit").starts_with("\"connect\";r="), "{unknown:?}");
    }
    for reply in [app.get("/livez").await, alice.get("/nowhere").await, alice.put("/rooms", &json!({})).await] {
        assert_eq!(reply.header("ratelimit"), "", "{reply:?}");
    }
}

/// Every route of the README is limited: none but the three that need no token is served without one, and all say what is left.
#[tokio::test]
async fn every_route_has_a_class() {
    let app = limited(&[("CHAT_LIMIT_ANY", "10000/1")]).await;
    let alice = app.user("alice").await;
    for (method, path) in routes() {
        // The pages beside the API are not limited.
        if ["/openapi.json", "/asyncapi.json", "/docs", "/metrics"].contains(&path.as_str()) {
            continue;
        }
        let path = path.replace("{id}", "general").replace("{userId}", "bob").replace("{emoji}", "x").replace("{seq}", "1");
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let reply = crate::support::Reply::of(alice.request(method.clone(), &path)).await;
        assert_ne!(reply.status, 405, "{method} {path}");
        assert_ne!(reply.header("ratelimit"), "", "{method} {path}: {reply:?}");
        if path == "/auth/logout" {
            return;
        }
    }
    panic!("the README does not name /auth/logout last");
}

/// The routes of the README's table, logging out as the last one.
fn routes() -> Vec<(String, String)> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let table = readme.lines().skip_while(|line| !line.starts_with("### REST")).skip_while(|line| !line.starts_with("| route")).skip(2);
    let mut routes = Vec::new();
    for row in table.take_while(|line| line.starts_with('|')) {
        let cell = row.trim_start_matches('|').replace("\\|", "/").split('|').next().unwrap().to_owned();
        let mut last = String::new();
        for code in cell.split('`').skip(1).step_by(2) {
            let Some((method, path)) = code.split_once(' ') else { continue };
            if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method) {
                continue;
            }
            if path.starts_with('/') {
                path.split(['?', ' ']).next().unwrap().clone_into(&mut last);
            }
            if !last.ends_with("ivez") && !last.ends_with("eadyz") {
                routes.push((method.to_owned(), last.clone()));
            }
        }
    }
    assert!(routes.len() > 40, "{routes:?}");
    routes.sort_by_key(|(_, path)| path == "/auth/logout");
    routes
}

#[tokio::test]
async fn without_limits_nobody_is_limited() {
    let app = TestApp::with(&[("CHAT_LIMIT_MESSAGE", "1/1/1h"), ("CHAT_LIMIT_ANY", "1/1/1h"), ("CHAT_CONNECTIONS_PER_USER", "1")]).await;
    let alice = app.user("alice").await;
    let (one, two) = (alice.connect().await, alice.connect().await);

    for number in 0..100 {
        one.say("general", &format!("{number}")).await;
    }

    assert_eq!(alice.history("general").await.len(), 100);
    assert_eq!(alice.get("/rooms").await.header("ratelimit"), "");
    assert_eq!((&two.ready["limits"]["rates"], &two.ready["limits"]["connections"]), (&json!({}), &Value::Null));
}

/// How long each of a hundred messages of somebody took, the quickest first.
async fn times_of_a_hundred(user: &TestUser) -> Vec<Duration> {
    let socket = user.connect().await;
    let mut times = Vec::new();
    for number in 0..100 {
        let begun = Instant::now();
        socket.say("general", &format!("{number}")).await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_100_000_events_is_cut_off_and_others_are_served() {
    // What is not refused for the flood is not refused for a machine that is slow with it either.
    let unhurried = ("CHAT_DATABASE_TIMEOUT", "1m");
    let app = limited(&[("CHAT_LIMIT_MESSAGE", "10/5,bot=off"), ("CHAT_LIMIT_ANY", "50/25,bot=off"), unhurried]).await;
    let flooder = app.user("flooder").await.connect().await;
    let other = app.holder("other", token::with(&json!({ "sub": "other", "userType": "bot", "exp": token::seconds_from_now(600) })));

    for _ in 0..100_000 {
        flooder.post("chat:message", &json!({ "content": "flood" }));
    }
    let times = times_of_a_hundred(&other).await;

    // But for a few, with which the machine itself, full of that flood, may be slow.
    assert!(times[94] < Duration::from_secs(2), "{times:?}");
    flooder.disconnected().await;
    let errors = flooder.seen("system:error");
    assert!((100..2_000).contains(&errors.len()), "{} errors", errors.len());
    assert!(errors.iter().all(|error| code(error) == "RATE_LIMITED"));
    let said: Vec<_> = other.history("general").await.into_iter().filter(|message| message["sender"]["id"] == "flooder").collect();
    assert!((10..200).contains(&said.len()), "{}", said.len());
    let logged = || app.logs().lines().filter(|line| line.contains("too much is done at once")).count();
    eventually("a line", async || logged() > 0).await;
    assert!(logged() < 10, "{}", logged());
    // Who floods may come again, and is cut off sooner.
    let again = app.user("flooder").await.connect().await;
    for _ in 0..2_000 {
        again.post("status:typing", &json!({ "isTyping": true }));
    }
    again.disconnected().await;
}
