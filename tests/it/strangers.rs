//! Whoever is not in a private room finds nothing of it: by no route and no event can it, or a message of it, be told from what does not
//! exist. Routes and events are those of the contract, so that none is forgotten. `promises.md`, "Rooms".

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::{specs::operations, specs_inputs::events};
use crate::support::{
    Reply, TestApp, TestUser,
    contract::{asyncapi, payload_of},
    json::{code, int, text},
};

const NONE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// A private room of Alice's and Bob's with a message; Eve, who is not in it, has one of her own.
struct Scene {
    app: TestApp,
    alice: TestUser,
    eve: TestUser,
    room: String,
    message: String,
}

async fn scene() -> Scene {
    let app = TestApp::start().await;
    let (alice, eve) = (app.user("alice").await, app.user("eve").await);
    app.user("bob").await;
    let room = alice.post("/rooms", &json!({ "name": "den", "slug": "den", "participants": ["bob"] })).await.expect(201);
    let room = text(&room["id"]).to_owned();
    let message = text(&alice.say(&room, "a secret").await["id"]).to_owned();
    eve.create_room("hers").await;
    Scene { app, alice, eve, room, message }
}

/// An answer without what differs from one to the next, and without the ids that it was asked for.
fn shown(answer: &Value, ids: &[&str]) -> String {
    let mut answer = answer.clone();
    strip(&mut answer);
    ids.iter().fold(answer.to_string(), |shown, id| shown.replace(id, "ID"))
}

fn strip(value: &mut Value) {
    if let Value::Object(object) = value {
        for name in ["traceId", "timestamp", "ref"] {
            object.remove(name);
        }
        object.values_mut().for_each(strip);
    }
}

/// Every route that names a room or a message.
fn routes() -> Vec<(Method, String)> {
    let named = operations().filter(|(_, path, _)| path.contains("{room}") || path.contains("/messages/{id}"));
    named.map(|(method, path, _)| (method, path.strip_prefix("/api/v1").unwrap().to_owned())).collect()
}

fn filled(path: &str, room: &str, message: &str) -> String {
    let path = path.replace("{room}", room).replace("/messages/{id}", &format!("/messages/{message}"));
    path.replace("/changes", "/changes?since=0").replace("{seq}", "1").replace("{user}", "bob").replace("{emoji}", "%F0%9F%91%8D")
}

/// A body that every route takes, as far as it takes one: fields that it does not know are ignored.
async fn asked(user: &TestUser, method: &Method, path: &str) -> Reply {
    let request = user.request(method.clone(), path);
    let body = json!({ "content": "x", "name": "x", "seq": 1, "until": null, "role": "member" });
    Reply::of(if method == Method::GET { request } else { request.json(&body) }).await
}

#[tokio::test]
async fn no_route_tells_a_private_room_or_what_was_said_there_from_none() {
    let Scene { app: _app, alice, eve, room, message } = scene().await;
    let routes = routes();
    assert!(routes.len() >= 25, "{routes:?}");

    for (method, path) in &routes {
        if method == Method::GET && !path.ends_with("/receipts") {
            assert_eq!(asked(&alice, method, &filled(path, &room, &message)).await.status, 200, "{path}: it is there");
        }
        for (there, absent) in [(room.as_str(), NONE), ("den", "no-den")] {
            let private = asked(&eve, method, &filled(path, there, &message)).await;
            let none = asked(&eve, method, &filled(path, absent, NONE)).await;
            let expected = if path.contains("{room}") { "ROOM_NOT_FOUND" } else { "MESSAGE_NOT_FOUND" };
            assert_eq!(private.refused(404), expected, "{method} {path}");
            assert_eq!(shown(&private.body, &[]), shown(&none.body, &[]), "{method} {path}");
        }
    }
    assert_eq!(alice.history(&room).await.len(), 1, "nothing was changed");
}

/// A payload that names everything that an event may name.
fn payload(room: &str, message: &str) -> Value {
    json!({
        "roomId": room, "messageId": message, "rooms": { room: 0 }, "roomIds": [room], "userId": "bob", "content": "x", "name": "x",
        "emoji": "👍", "role": "member", "seq": 1, "until": null, "isTyping": true, "replyTo": message, "threadRootId": message,
    })
}

#[tokio::test]
async fn no_event_tells_a_private_room_or_what_was_said_there_from_none() {
    let Scene { app: _app, alice, eve, room, message } = scene().await;
    let member = alice.connect().await;
    let socket = eve.connect().await;
    // They share the default room: this is the last that is told of her.
    member.expect_where("status:online", |status| status["userId"] == "eve").await;
    let known = member.everything().len();
    let about_rooms = |event: &&str| ["roomId", "messageId", "rooms"].iter().any(|field| fields_of(event).contains(field));
    let events: Vec<&str> = events().into_iter().filter(about_rooms).collect();
    assert!(events.len() >= 18, "{events:?}");

    for event in &events {
        let private = socket.emit(event, &payload(&room, &message)).await;
        let none = socket.emit(event, &payload(NONE, NONE)).await;
        assert_eq!(shown(&private, &[&room, &message]), shown(&none, &[NONE]), "{event}");
        if *event == "chat:sync" {
            assert_eq!(private["data"]["gone"], json!([room]), "{private}");
        } else {
            assert!(["ROOM_NOT_FOUND", "MESSAGE_NOT_FOUND"].contains(&code(&private)), "{event}: {private}");
        }
    }
    member.settle().await;
    assert_eq!(member.everything().len(), known, "a member heard something of it: {:?}", member.everything());
}

fn fields_of(event: &str) -> Vec<&'static str> {
    crate::support::contract::properties(asyncapi(), payload_of(event).unwrap()).into_keys().collect()
}

/// In a room of one's own, too, a message of another room is none.
#[tokio::test]
async fn what_is_answered_in_ones_own_room_cannot_be_in_another() {
    let Scene { app: _app, eve, message, .. } = scene().await;
    let own = eve.create_room("own").await;
    for field in ["replyTo", "threadRootId"] {
        for id in [message.as_str(), NONE] {
            let reply = eve.post(&format!("/rooms/{own}/messages"), &json!({ "content": "x", field: id })).await;
            assert_eq!(reply.refused(404), "MESSAGE_NOT_FOUND", "{field}");
        }
    }
}

/// The fastest of many, asked in turn: whatever else the machine does, both take as long. The busier it is, the more are asked.
#[tokio::test]
async fn what_is_private_and_what_is_not_there_are_refused_in_the_same_time() {
    let Scene { app: _app, eve, room, message, .. } = scene().await;
    for path in ["/rooms/{room}", "/rooms/{room}/messages", "/messages/{id}", "/messages/{id}/edits"] {
        let mut fastest = [Duration::MAX; 2];
        let ratio = |fastest: &[Duration; 2]| fastest[0].as_secs_f64() / fastest[1].as_secs_f64();
        for tries in 0..240 {
            if tries >= 40 && (0.7..1.4).contains(&ratio(&fastest)) {
                break;
            }
            for (place, (room, message)) in [(room.as_str(), message.as_str()), (NONE, NONE)].into_iter().enumerate() {
                let begun = Instant::now();
                eve.get(&filled(path, room, message)).await.refused(404);
                fastest[place] = fastest[place].min(begun.elapsed());
            }
        }
        assert!((0.5..2.0).contains(&ratio(&fastest)), "{path}: {fastest:?}");
    }
}

/// `senderId`, `seq`, `role`, `createdAt` in a payload are ignored: here in all bodies that make or change something.
#[tokio::test]
async fn what_the_server_decides_no_body_can() {
    let Scene { app, alice, room, message, .. } = scene().await;
    let forged = |mut body: Value| {
        let forged = json!({
            "id": NONE, "createdBy": "bob", "createdAt": "2000-01-01T00:00:00.000Z", "lastSeq": 99, "seq": 99, "rev": 99, "memberCount": 99,
            "senderId": "bob", "sender": { "id": "bob" }, "userType": "admin", "deletedAt": "2000-01-01T00:00:00.000Z", "editCount": 99,
            "state": "banned", "mutedUntil": "2100-01-01T00:00:00.000Z", "membership": { "role": "owner" }, "passwordHash": "x",
        });
        body.as_object_mut().unwrap().extend(forged.as_object().unwrap().clone());
        body
    };

    let made = alice.post("/rooms", &forged(json!({ "name": "own" }))).await.expect(201);
    assert!(made["id"] != NONE && made["createdBy"] == "alice" && made["memberCount"] == 1 && int(&made["lastSeq"]) < 99, "{made}");
    let said = alice.post(&format!("/rooms/{room}/messages"), &forged(json!({ "content": "x" }))).await.expect(201);
    assert!(said["id"] != NONE && said["sender"]["id"] == "alice" && said["sender"]["userType"] == "user" && said["seq"] == 2, "{said}");
    let edited = alice.patch(&format!("/messages/{message}"), &forged(json!({ "content": "y" }))).await.expect(200);
    assert!(edited["editCount"] == 1 && edited["rev"] == 3, "{edited}");
    let standing = alice.put(&format!("/rooms/{room}/members/eve"), &forged(json!({}))).await.expect(200);
    assert!(standing["state"] == "joined" && standing["role"] == "member" && standing["mutedUntil"].is_null(), "{standing}");
    let me = alice.patch("/users/me", &forged(json!({ "name": "Alice" }))).await.expect(200);
    assert!(me["id"] == "alice" && me["userType"] == "user", "{me}");
    let account = json!({ "username": "mallory", "password": "correct horse battery staple" });
    let registered = app.post("/api/v1/auth/register", &forged(account)).await.expect(201);
    assert!(registered["user"]["userType"] == "user" && registered["user"]["id"] != NONE, "{registered}");
}

/// A cursor says where a page begins, and lets nobody see anything: with somebody else's one sees what is one's own.
#[tokio::test]
async fn somebody_elses_cursor_opens_nothing() {
    let Scene { app: _app, alice, eve, .. } = scene().await;
    for number in 0..2 {
        alice.create_room(&format!("alice {number}")).await;
        eve.create_room(&format!("eve {number}")).await;
    }
    let hers = alice.get("/rooms?limit=1").await.expect(200);
    let cursor = text(&hers["nextCursor"]);

    let page = eve.get(&format!("/rooms?limit=100&cursor={cursor}")).await.expect(200);

    let names: Vec<&str> = page["items"].as_array().unwrap().iter().map(|room| text(&room["name"])).collect();
    assert!(!names.is_empty() && names.iter().all(|name| name.starts_with("eve") || ["hers", "general"].contains(name)), "{names:?}");
}
