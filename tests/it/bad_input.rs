//! Everything that a client may get wrong, for every event: the seed's "Validation Errors" and "Permission
//! Errors", the contract's "one ack", and the input list of `promises.md`.

use serde_json::{Value, json};

use super::{
    bad_changes::{CHANGES, wrong_changes},
    sync_refused::wrong_syncs,
};
use crate::support::{TestApp, TestSocket, TestUser, code};

const PAYLOAD: &str = "PAYLOAD_INVALID";
pub const VALIDATION: &str = "VALIDATION_ERROR";
const NO_ROOM: &str = "ROOM_NOT_FOUND";
pub const UNKNOWN_ROOM: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// Events in which somebody does something to a room or to somebody in it.
const ACTS: [&str; 7] =
    ["chat:room:update", "chat:room:invite", "chat:room:kick", "chat:room:ban", "chat:room:unban", "chat:room:mute", "chat:room:role"];

/// One wrong payload, as JSON text, and the code that it deserves.
pub struct Case {
    event: &'static str,
    payload: String,
    code: &'static str,
}

pub fn case(event: &'static str, payload: impl std::fmt::Display, code: &'static str) -> Case {
    Case { event, payload: payload.to_string(), code }
}

/// What is the wrong kind of payload for every event.
fn wrong_kinds() -> Vec<Case> {
    let mut cases = Vec::new();
    for event in [
        "chat:message",
        "chat:read",
        "chat:unread:mark",
        "chat:room:create",
        "chat:sync",
        "status:update",
        "status:subscribe",
        "status:typing",
        "auth:login",
    ]
    .into_iter()
    .chain(ACTS)
    .chain(CHANGES)
    {
        for payload in ["", "null", "[]", "[{}]", "5", "-1.5e3", "true", r#""text""#, r#""""#] {
            cases.push(case(event, payload, PAYLOAD));
        }
    }
    for event in ["chat:room:join", "chat:room:leave"] {
        for payload in ["", "null", "[]", "[\"general\"]", "5", "true"] {
            cases.push(case(event, payload, PAYLOAD));
        }
    }
    for payload in ["[]", "5", "true", r#""text""#] {
        cases.push(case("auth:logout", payload, PAYLOAD));
    }
    cases
}

/// 10,000 levels, as the payload and inside a field.
fn too_deep() -> Vec<Case> {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let mut cases = Vec::new();
    for event in
        ["chat:message", "chat:room:create", "chat:room:join", "chat:room:leave", "status:update", "status:subscribe"].into_iter().chain(CHANGES)
    {
        cases.push(case(event, &deep, PAYLOAD));
        cases.push(case(event, format!(r#"{{"content":"x","metadata":{deep}}}"#), PAYLOAD));
    }
    for event in ["status:typing", "chat:read", "chat:unread:mark", "chat:sync", "auth:login", "auth:logout"].into_iter().chain(ACTS) {
        cases.push(case(event, format!(r#"{{"unknown":{deep}}}"#), PAYLOAD));
    }
    cases
}

/// Payloads of the right kind with one field that is wrong. `foreign` is a private room of somebody else.
fn wrong_fields(room: &str, foreign: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let message = |field: &str, value: &str| {
        let mut fields = vec![("roomId", format!("{room:?}")), ("content", r#""x""#.to_owned())];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value.to_owned()));
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        format!("{{{}}}", fields.join(","))
    };
    for (field, value) in [
        ("content", "null"),
        ("content", "5"),
        ("content", "[]"),
        ("content", r#""""#),
        ("content", r#""  ""#),
        ("content", r#""a\u0000b""#),
        ("content", r#""\ud800""#),
        ("roomId", "5"),
        ("roomId", "[]"),
        ("roomId", "{}"),
        ("roomId", r#""a\u0000b""#),
        ("roomId", r#""\udfff""#),
        ("clientMsgId", "5"),
        ("clientMsgId", r#""\ud800""#),
        ("clientMsgId", r#""\u0000""#),
        ("type", "5"),
        ("type", r#""\u0000""#),
        ("replyTo", "5"),
        ("mentions", r#""a""#),
        ("mentions", "[5]"),
        ("mentions", r#"["\u0000"]"#),
        ("attachments", "{}"),
        ("attachments", "5"),
        ("threadRootId", "5"),
        ("metadata", "5"),
        ("metadata", r#"{"a":"\u0000"}"#),
        ("metadata", r#"{"\u0000":1}"#),
    ] {
        cases.push(case("chat:message", message(field, value), VALIDATION));
    }
    cases.push(case("chat:message", format!(r#"{{"roomId":{room:?}}}"#), VALIDATION));
    cases.push(case("chat:message", message("content", &format!("{:?}", "x".repeat(4001))), VALIDATION));

    for payload in [
        "{}",
        r#"{"name":null}"#,
        r#"{"name":5}"#,
        r#"{"name":""}"#,
        r#"{"name":" "}"#,
        r#"{"name":"a\u0000"}"#,
        r#"{"name":"\ud800"}"#,
        r#"{"name":"x","type":"cave"}"#,
        r#"{"name":"x","type":5}"#,
        r#"{"name":"x","participants":"bob"}"#,
        r#"{"name":"x","participants":[5]}"#,
        r#"{"name":"x","participants":[null]}"#,
        r#"{"name":"x","participants":["a\u0000"]}"#,
        r#"{"name":"x","participants":["\ud800"]}"#,
        r#"{"name":"x","slug":5}"#,
        r#"{"name":"x","slug":"\u0000"}"#,
        r#"{"name":"x","clientRoomId":5}"#,
        r#"{"name":"x","clientRoomId":""}"#,
    ] {
        cases.push(case("chat:room:create", payload, VALIDATION));
    }
    cases.push(case("chat:room:create", json!({ "name": "x".repeat(101) }), VALIDATION));
    let crowd: Vec<_> = (0..1001).map(|number| format!("u{number}")).collect();
    cases.push(case("chat:room:create", json!({ "name": "x", "participants": crowd }), VALIDATION));
    cases.push(case("chat:room:create", json!({ "name": "x", "participants": ["nobody"] }), "USER_NOT_FOUND"));

    for event in ["chat:room:join", "chat:room:leave"] {
        for payload in ["{}", r#"{"roomId":null}"#, r#"{"roomId":5}"#, r#"{"roomId":["a"]}"#, r#"{"roomId":"\u0000"}"#] {
            cases.push(case(event, payload, VALIDATION));
        }
        for payload in [r#""\u0000""#, r#""\ud800""#, r#"{"roomId":"\ud800"}"#] {
            cases.push(case(event, payload, VALIDATION));
        }
        for room in [UNKNOWN_ROOM, foreign, "no-such-slug"] {
            cases.push(case(event, json!(room), NO_ROOM));
            cases.push(case(event, json!({ "roomId": room }), NO_ROOM));
        }
    }
    for room in [UNKNOWN_ROOM, foreign, "no-such-slug"] {
        cases.push(case("chat:message", json!({ "roomId": room, "content": "x" }), NO_ROOM));
        cases.push(case("status:typing", json!({ "roomId": room, "isTyping": true }), NO_ROOM));
        cases.push(case("chat:read", json!({ "roomId": room, "seq": 0 }), NO_ROOM));
        cases.push(case("chat:unread:mark", json!({ "roomId": room, "seq": 1 }), NO_ROOM));
    }

    cases.extend(wrong_changes());
    cases.extend(wrong_acts(room, foreign));
    cases.extend(wrong_marks(room));
    cases.extend(wrong_statuses());
    cases.extend(wrong_subscriptions().into_iter().chain(wrong_syncs(room)));

    for payload in [r#"{"allDevices":"yes"}"#, r#"{"allDevices":1}"#] {
        cases.push(case("auth:logout", payload, VALIDATION));
    }
    cases
}

/// The same for who is here and who is typing.
fn wrong_statuses() -> Vec<Case> {
    let mut cases = Vec::new();
    for payload in [
        "{}",
        r#"{"isOnline":null}"#,
        r#"{"isOnline":"true"}"#,
        r#"{"isOnline":1}"#,
        r#"{"invisible":null}"#,
        r#"{"invisible":"yes"}"#,
        r#"{"isOnline":true,"invisible":0}"#,
    ] {
        cases.push(case("status:update", payload, VALIDATION));
    }
    for payload in ["{}", r#"{"isTyping":"yes"}"#, r#"{"isTyping":1}"#, r#"{"roomId":5,"isTyping":true}"#] {
        cases.push(case("status:typing", payload, VALIDATION));
    }
    cases.push(case("status:typing", r#"{"roomId":"\u0000","isTyping":true}"#, VALIDATION));
    cases
}

/// The same for what is done to a room, and to somebody in it.
fn wrong_acts(room: &str, foreign: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for event in ACTS {
        // What each needs besides the room and the user.
        let rest = match event {
            "chat:room:mute" => json!({ "userId": "bob", "durationMs": 1000 }),
            "chat:room:role" => json!({ "userId": "bob", "role": "member" }),
            "chat:room:update" => json!({ "name": "x" }),
            _ => json!({ "userId": "bob" }),
        };
        let with = |field: &str, value: &str| {
            let mut fields = rest.clone();
            fields["roomId"] = json!(room);
            fields.as_object_mut().unwrap().remove(field);
            let fields = fields.to_string();
            format!("{},{field:?}:{value}}}", &fields[..fields.len() - 1])
        };
        for value in ["null", "5", "[]", r#""""#, r#""a\u0000b""#, r#""\ud800""#] {
            cases.push(case(event, with("roomId", value), VALIDATION));
            if event != "chat:room:update" {
                cases.push(case(event, with("userId", value), VALIDATION));
            }
        }
        for there in [UNKNOWN_ROOM, foreign, "no-such-slug"] {
            cases.push(case(event, with("roomId", &format!("{there:?}")), NO_ROOM));
        }
        if event != "chat:room:update" {
            cases.push(case(event, with("userId", &format!("{:?}", "x".repeat(129))), VALIDATION));
        }
    }
    for (event, field, values) in [
        ("chat:room:update", "name", vec!["5", r#""""#, r#""a\u0000""#, r#""a\u202eb""#]),
        ("chat:room:update", "topic", vec!["5", r#""a\u0000""#]),
        ("chat:room:update", "slowMode", vec!["-1", "21601", "1.5", "true", r#""30""#, "1e300"]),
        ("chat:room:update", "archived", vec!["5", r#""yes""#]),
        ("chat:room:invite", "role", vec!["5", r#""emperor""#, r#""\u0000""#]),
        ("chat:room:role", "role", vec!["null", "5", r#""emperor""#, r#""\u0000""#]),
        ("chat:room:kick", "reason", vec!["5", r#""""#, r#""a\u0000""#, r#""\ud800""#]),
        ("chat:room:ban", "reason", vec!["5", r#""""#, r#""a\u0000""#, r#""\ud800""#]),
        ("chat:room:mute", "until", vec!["5", r#""soon""#, r#""2001-01-01T00:00:00Z""#, r#""\u0000""#]),
        ("chat:room:mute", "durationMs", vec!["-1", "1.5", r#""1""#, "[]", "9223372036854775808", "1e300"]),
    ] {
        for value in values {
            cases.push(case(event, format!(r#"{{"roomId":{room:?},"userId":"bob",{field:?}:{value}}}"#), VALIDATION));
        }
    }
    let both = r#""until":"2100-01-01T00:00:00Z","durationMs":5"#;
    cases.push(case("chat:room:mute", format!(r#"{{"roomId":{room:?},"userId":"bob",{both}}}"#), VALIDATION));
    cases.push(case("chat:room:mute", format!(r#"{{"roomId":{room:?},"userId":"bob"}}"#), VALIDATION));
    cases
}

/// Likewise for markers.
fn wrong_marks(room: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for seq in ["null", r#""1""#, "true", "[]", "{}", "-1", "1.5", "1e3", "9223372036854775808", "1000000"] {
        for field in ["seq", "deliveredSeq"] {
            cases.push(case("chat:read", format!(r#"{{"roomId":{room:?},{field:?}:{seq}}}"#), VALIDATION));
        }
        cases.push(case("chat:unread:mark", format!(r#"{{"roomId":{room:?},"seq":{seq}}}"#), VALIDATION));
    }
    for visibility in ["5", r#""secret""#, r#""\u0000""#, "[]"] {
        cases.push(case("chat:read", format!(r#"{{"roomId":{room:?},"seq":0,"visibility":{visibility}}}"#), VALIDATION));
    }
    for event in ["chat:read", "chat:unread:mark"] {
        for payload in ["{}", r#"{"seq":1}"#, r#"{"roomId":5,"seq":1}"#, r#"{"roomId":"\u0000","seq":1}"#, r#"{"roomId":"\ud800","seq":1}"#] {
            cases.push(case(event, payload, VALIDATION));
        }
    }
    cases
}

/// Likewise for subscriptions.
fn wrong_subscriptions() -> Vec<Case> {
    let mut cases = Vec::new();
    let lists = [r#""bob""#, "5", "{}", "true", "[5]", "[null]", r#"[""]"#, r#"["a\u0000"]"#, r#"["\ud800"]"#];
    for list in lists {
        cases.push(case("status:subscribe", format!(r#"{{"userIds":{list}}}"#), VALIDATION));
        cases.push(case("status:subscribe", format!(r#"{{"roomIds":{list}}}"#), VALIDATION));
    }
    cases.push(case("status:subscribe", "{}", VALIDATION));
    cases.push(case("status:subscribe", r#"{"userIds":null,"roomIds":null}"#, VALIDATION));
    cases.push(case("status:subscribe", json!({ "roomIds": (0..21).map(|n| format!("r{n}")).collect::<Vec<_>>() }), VALIDATION));
    cases.push(case("status:subscribe", r#"{"userIds":["nobody"]}"#, "USER_NOT_FOUND"));
    cases.push(case("status:subscribe", json!({ "roomIds": [UNKNOWN_ROOM] }), NO_ROOM));
    cases
}

/// Sends the payload and checks that the refusal was told exactly twice: in one ack and one `system:error`.
async fn refuse(socket: &TestSocket, case: &Case, expected: &str) {
    let Case { event, payload, .. } = case;
    let shown = payload.chars().take(120).collect::<String>();
    let comma = if payload.is_empty() { "" } else { "," };
    let id = socket.post_raw(&format!("[{event:?}{comma}{payload}]"));
    let ack = socket.ack(id).await;
    assert_eq!(ack["ok"], false, "{event} {shown}: {ack}");
    assert_eq!(code(&ack), expected, "{event} {shown}: {ack}");
    let told = socket.expect("system:error").await;
    assert_eq!((code(&told), &told["event"]), (expected, &json!(event)), "{event} {shown}");
    assert_eq!(told["traceId"], ack["error"]["traceId"], "both speak of the same failure");
    assert_eq!(socket.ack_count(id), 1, "{event} {shown}");
}

/// A room of Alice and Bob, both connected, and a private room of Eve.
async fn scene(app: &TestApp) -> (TestUser, TestSocket, TestSocket, String, String) {
    let (alice, bob, eve) = (app.user("alice").await, app.user("bob").await, app.user("eve").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let foreign = eve.create_room("eve's").await;
    (alice.clone(), alice.connect().await, bob.connect().await, room, foreign)
}

/// Seed, Error Handling: "Validation Errors: invalid message formats" and "Permission Errors: unauthorized access".
#[tokio::test]
async fn every_wrong_payload_of_every_event_is_refused_once_in_ack_and_system_error() {
    let app = TestApp::start().await;
    let (alice, socket, other, room, foreign) = scene(&app).await;
    let stored = "SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM rooms) + (SELECT count(*) FROM room_members)";
    let before = app.number(stored).await;

    let cases: Vec<_> = wrong_kinds().into_iter().chain(too_deep()).chain(wrong_fields(&room, &foreign)).collect();
    for case in &cases {
        refuse(&socket, case, case.code).await;
    }

    socket.settle().await;
    assert_eq!(socket.seen("system:error").len(), cases.len(), "each was told once");
    assert_eq!(app.number(stored).await, before, "nothing is stored by half");
    other.settle().await;
    let heard: Vec<Value> = other.everything().into_iter().skip(1).collect();
    assert!(heard.iter().all(|event| event["isOnline"] == true), "another client noticed: {heard:?}");
    socket.say(&room, "all is well").await;
    assert_eq!(other.expect("chat:message").await["content"], "all is well");
    alice.get("/users/me").await.expect(200);
}

#[tokio::test]
async fn every_payload_before_authentication_is_auth_required() {
    let app = TestApp::with(&[("CHAT_AUTH_TIMEOUT", "10m")]).await;
    let (_, _, _, room, foreign) = scene(&app).await;
    let socket = app.dial().open().await.unwrap();

    for case in wrong_kinds().iter().chain(&too_deep()).chain(&wrong_fields(&room, &foreign)) {
        if case.event != "auth:login" {
            refuse(&socket, case, "AUTH_REQUIRED").await;
        }
    }
}

#[tokio::test]
async fn wrong_fields_of_auth_login_are_refused() {
    let app = TestApp::start().await;
    let token = crate::support::token::of("alice");
    for payload in [
        json!({}),
        json!({ "token": null }),
        json!({ "token": 5 }),
        json!({ "token": [] }),
        json!({ "token": "a\u{0}" }),
        json!({ "token": token, "userType": 5 }),
        json!({ "token": token, "userType": "\u{0}" }),
    ] {
        let socket = app.dial().open().await.unwrap();
        let refused = socket.code_of("auth:login", &payload).await;
        assert!(refused == VALIDATION || refused.starts_with("AUTH_"), "{payload}: {refused}");
    }
}

#[tokio::test]
async fn unknown_events_are_unknown_event_whatever_they_are_called() {
    let app = TestApp::start().await;
    let socket = app.user("alice").await.connect().await;
    let long = "x".repeat(2000);
    for event in [
        "chat:nonsense",
        "__proto__",
        "constructor",
        "toString",
        "",
        " ",
        "message",
        "chat:message ",
        "CHAT:MESSAGE",
        "ü",
        &long,
        "chat:room:created",
        "status:online",
        "system:error",
    ] {
        let error = socket.emit_err(event, &json!({ "content": "x" })).await;
        assert_eq!(error["code"], "UNKNOWN_EVENT", "{event}: {error}");
    }
    socket.say("general", "still here").await;
}

/// A name that JSON can only write with an escape: an answer, or the end of that connection.
#[tokio::test]
async fn an_event_name_with_an_escape_is_not_met_with_silence() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    for event in ["a\u{0}b", "line\nbreak", "\u{1b}[2J", "quote\""] {
        let socket = alice.connect().await;
        let ack = socket.ack_if_any(socket.post(event, &json!({})), crate::support::LIMIT).await;
        let told = ack.is_some_and(|ack| code(&ack) == "UNKNOWN_EVENT");
        assert!(told || !socket.is_live(), "{event:?} was met with silence");
    }
}

#[tokio::test]
async fn an_unknown_event_is_acked_with_any_payload() {
    let app = TestApp::start().await;
    let socket = app.user("alice").await.connect().await;
    for payload in ["", ",null", ",5", ",[1,[2]]", r#","a""#, ",{},{},{}"] {
        let id = socket.post_raw(&format!(r#"["chat:nonsense"{payload}]"#));
        assert_eq!(code(&socket.ack(id).await), "UNKNOWN_EVENT", "{payload}");
    }
}

/// Binary events are not taken: an error or the end of that connection, never silence.
#[tokio::test]
async fn binary_events_are_refused_and_nobody_else_notices() {
    let app = TestApp::start().await;
    let (alice, _, other, room, _) = scene(&app).await;
    for event in ["chat:message", "chat:room:create", "chat:room:join", "status:typing", "auth:login", "x"] {
        let socket = alice.connect().await;
        let id = socket.post_binary(event);
        if let Some(ack) = socket.ack_if_any(id, crate::support::LIMIT).await {
            assert_eq!(ack["ok"], false, "{event}: {ack}");
        } else {
            assert!(!socket.is_live(), "{event} was met with silence");
        }
    }
    assert_eq!(app.user("bob").await.history(&room).await.len(), 0);
    other.say(&room, "unaffected").await;
}

#[tokio::test]
async fn ten_thousand_announced_attachments_before_any_log_in_cost_nothing() {
    let app = TestApp::start().await;
    let (_, socket, other, room, _) = scene(&app).await;
    let silent = app.dial().open().await.unwrap();

    silent.send_raw(r#"4510000-/chat,1["chat:message",{"_placeholder":true,"num":0}]"#);

    let ended = silent.ack_if_any(1, crate::support::LIMIT).await;
    assert!(ended.is_some_and(|ack| ack["ok"] == false) || !silent.is_live(), "met with silence");
    socket.say(&room, "unaffected").await;
    other.expect("chat:message").await;
}

/// Issue 2: a frame of 1 MB. Within the transport's limit, but too large for an event.
#[tokio::test]
async fn a_frame_just_below_a_megabyte_is_payload_too_large() {
    let app = TestApp::start().await;
    let (_, socket, other, room, _) = scene(&app).await;

    let huge = json!({ "roomId": room, "content": "x".repeat(990_000) });
    assert_eq!(socket.code_of("chat:message", &huge).await, "PAYLOAD_TOO_LARGE");

    socket.say(&room, "still here").await;
    other.expect("chat:message").await;
}

/// Seed, WebSocket Configuration: `maxHttpBufferSize: 1e6`.
#[tokio::test]
async fn a_frame_of_more_than_a_megabyte_ends_its_connection_and_no_other() {
    let app = TestApp::start().await;
    let (alice, socket, other, room, _) = scene(&app).await;
    for size in [1_000_100, 8_000_000] {
        let greedy = alice.connect().await;
        greedy.emit_no_ack("chat:message", &json!({ "roomId": room, "content": "x".repeat(size) }));
        greedy.disconnected().await;
    }
    socket.say(&room, "unaffected").await;
    assert_eq!(other.expect("chat:message").await["content"], "unaffected");
}

#[tokio::test]
async fn a_polling_body_of_more_than_a_megabyte_is_refused() {
    let app = TestApp::start().await;
    let (alice, socket, other, room, _) = scene(&app).await;
    let greedy = alice.dial().polling().open_ready().await;

    let status = greedy.post_status(&app.http, "x".repeat(1_000_100)).await;

    assert!([400, 413].contains(&status), "{status}");
    socket.say(&room, "unaffected").await;
    other.expect("chat:message").await;
}

#[tokio::test]
async fn a_hundred_thousand_tiny_fragments_trouble_nobody() {
    let app = TestApp::start().await;
    let (alice, socket, other, room, _) = scene(&app).await;
    let odd = alice.connect().await;

    odd.send_fragments("42/chat,", 100_000);

    socket.say(&room, "unaffected").await;
    other.expect("chat:message").await;
}

#[tokio::test]
async fn odd_numbers_and_doubled_keys_are_no_crash() {
    let app = TestApp::start().await;
    let (_, socket, _, room, _) = scene(&app).await;
    for payload in [
        format!(r#"{{"roomId":{room:?},"content":"a","content":"b"}}"#),
        format!(r#"{{"roomId":{room:?},"content":"a","metadata":{{"n":1e999}}}}"#),
        format!(r#"{{"roomId":{room:?},"content":"a","metadata":{{"n":9223372036854775808}}}}"#),
        format!(r#"{{"roomId":{room:?},"content":"a","metadata":{{"n":-1e-400,"n":2}}}}"#),
        format!(r#"{{"roomId":"{}","content":"a"}}"#, room.to_uppercase()),
        format!(r#"{{"roomId":"{{{room}}}","content":"a"}}"#),
        format!(r#"{{"roomId":"{}","content":"a"}}"#, room.replace('-', "")),
        format!(r#"{{"roomId":"urn:uuid:{room}","content":"a"}}"#),
    ] {
        let ack = socket.ack(socket.post_raw(&format!(r#"["chat:message",{payload}]"#))).await;
        let error = ack["error"]["code"].as_str().unwrap_or("none");
        assert!(!["INTERNAL_ERROR", "UNAVAILABLE"].contains(&error), "{payload}: {ack}");
    }
}

#[tokio::test]
async fn further_arguments_of_an_event_are_no_trouble() {
    let app = TestApp::start().await;
    let (_, socket, _, room, _) = scene(&app).await;

    let array = format!(r#"["chat:message",{{"roomId":{room:?},"content":"a"}},"more",5]"#);

    assert!(socket.ack(socket.post_raw(&array)).await["ok"].is_boolean());
    socket.say(&room, "still here").await;
}
