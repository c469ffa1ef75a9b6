//! Rooms that are gone, and what sync refuses; wrong payloads of `chat:sync` are in [`super::bad_input`].

use serde_json::{Value, json};

use super::{
    bad_input::{Case, UNKNOWN_ROOM, VALIDATION, case},
    sync::{Away, changes},
};
use crate::support::{
    Den, TestApp, TestSocket, code,
    json::{text, texts},
};

/// Payloads of `chat:sync` of the right kind with one field that is wrong.
pub fn wrong_syncs(room: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for rooms in ["null", "[]", "[[]]", "5", "true", r#""general""#, "{}"] {
        cases.push(case("chat:sync", format!(r#"{{"rooms":{rooms}}}"#), VALIDATION));
    }
    cases.push(case("chat:sync", "{}", VALIDATION));
    for seq in ["null", r#""0""#, "true", "[]", "{}", "-1", "0.5", "1e3", "9223372036854775808", "-9223372036854775809", "1e300"] {
        cases.push(case("chat:sync", format!(r#"{{"rooms":{{{room:?}:{seq}}}}}"#), VALIDATION));
        cases.push(case("chat:sync", format!(r#"{{"rooms":{{{room:?}:0,"general":{seq}}}}}"#), VALIDATION));
    }
    for limit in ["0", "-1", "1001", "1.5", r#""5""#, "true", "[]", "{}", "9223372036854775808"] {
        cases.push(case("chat:sync", format!(r#"{{"rooms":{{{room:?}:0}},"limit":{limit}}}"#), VALIDATION));
    }
    let many: serde_json::Map<_, _> = (0..1_001).map(|number| (format!("r{number}"), json!(0))).collect();
    cases.push(case("chat:sync", json!({ "rooms": many }), VALIDATION));
    cases.push(case("chat:sync", r#"{"rooms":{"\ud800":0}}"#, VALIDATION));
    cases
}

async fn sync(socket: &TestSocket, rooms: &[&str]) -> Value {
    let rooms: serde_json::Map<_, _> = rooms.iter().map(|room| ((*room).to_owned(), json!(0))).collect();
    socket.emit_ok("chat:sync", &json!({ "rooms": rooms })).await
}

/// One answer for all, so that nobody can tell a room that is none of their business from none.
#[tokio::test]
async fn rooms_that_one_is_not_in_are_gone_whatever_the_reason() {
    let away = Away::from(Den::of_kind("public", &[]).await).await;
    let (alice, bob) = (&away.den.alice, &away.den.bob);
    let mut lost = Vec::new();
    for name in ["left", "kicked", "banned", "deleted"] {
        let room = alice.create_room_with(name, &[bob]).await;
        assert_eq!(changes(&away.den.member, &room, 0).await["roomId"], room.as_str(), "as long as one is in");
        lost.push(room);
    }
    bob.leave(&lost[0]).await;
    alice.delete(&format!("/rooms/{}/members/bob", lost[1])).await.expect(204);
    alice.put(&format!("/rooms/{}/bans/bob", lost[2]), &json!({})).await.expect(200);
    alice.delete(&format!("/rooms/{}", lost[3])).await.expect(204);
    lost.push(alice.create_room("private").await);
    lost.push(alice.create_public_room("never entered").await);
    for odd in [UNKNOWN_ROOM, &UNKNOWN_ROOM.to_uppercase(), "no-such-slug", "no such room", "", "user:victim", "é", "__proto__"] {
        lost.push(odd.to_owned());
    }

    let mut asked: Vec<&str> = lost.iter().map(String::as_str).collect();
    asked.push(&away.den.room);
    let answer = sync(&away.den.member, &asked).await;

    assert_eq!(texts(&answer["rooms"], "roomId"), [&away.den.room]);
    assert_eq!(answer["more"], json!([]));
    let mut gone: Vec<&str> = answer["gone"].as_array().unwrap().iter().map(text).collect();
    gone.sort_unstable();
    lost.sort_unstable();
    assert_eq!(gone, lost, "as they were asked for");
    away.den.member.expect_silence("system:error").await;
}

/// A key that no text can be: no failure of ours, and nobody else's trouble.
#[tokio::test]
async fn a_key_with_nul_is_refused_or_gone() {
    let away = Away::start().await;
    for key in ["a\u{0}b", "\u{0}", &"x".repeat(10_000)] {
        let rooms = json!({ key: 0, (away.den.room.as_str()): 0 });
        let ack = away.den.member.emit("chat:sync", &json!({ "rooms": rooms })).await;
        let is_gone = ack["ok"] == true && ack["data"]["gone"] == json!([key]);
        assert!(is_gone || (ack["ok"] == false && code(&ack) == VALIDATION), "{ack:.1000}");
    }
    changes(&away.den.member, &away.den.room, 0).await;
}

#[tokio::test]
async fn a_thousand_rooms_may_be_asked_for() {
    let app = TestApp::start().await;
    let socket = app.user("alice").await.connect().await;
    let names: Vec<String> = (0..999).map(|number| format!("room-{number}")).collect();
    let mut asked: Vec<&str> = names.iter().map(String::as_str).collect();
    asked.push("general");

    let answer = sync(&socket, &asked).await;

    assert_eq!((answer["rooms"].as_array().unwrap().len(), answer["gone"].as_array().unwrap().len()), (1, 999));
}

#[tokio::test]
async fn over_rest_a_room_is_refused_as_its_history_is() {
    let public = Den::of_kind("public", &[]).await;
    let (alice, eve) = (&public.alice, public.app.user("eve").await);
    let private = alice.create_room_with("private", &[&public.bob]).await;
    for (room, status, refusal) in [
        (public.room.as_str(), 403, "NOT_A_MEMBER"),
        (&private, 404, "ROOM_NOT_FOUND"),
        (UNKNOWN_ROOM, 404, "ROOM_NOT_FOUND"),
        ("no room", 404, "ROOM_NOT_FOUND"),
    ] {
        for query in ["changes?since=0", "changes?since=0&until=5", "messages"] {
            assert_eq!(eve.get(&format!("/rooms/{room}/{query}")).await.refused(status), refusal, "{room}/{query}");
        }
    }
    public.bob.get(&format!("/rooms/{private}/changes?since=0")).await.expect(200);
    alice.put(&format!("/rooms/{private}/bans/bob"), &json!({})).await.expect(200);
    public.owner.emit_ok("chat:room:ban", &public.upon("bob", json!({}))).await;
    assert_eq!(public.bob.get(&format!("/rooms/{private}/changes?since=0")).await.refused(404), "ROOM_NOT_FOUND");
    assert_eq!(public.bob.get(&format!("/rooms/{}/changes?since=0", public.room)).await.refused(403), "BANNED");
}

#[tokio::test]
async fn a_slug_names_a_room_over_rest_too() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let said = alice.say("general", "hello").await;

    let changes = alice.get("/rooms/general/changes?since=0").await.expect(200);

    assert_eq!((&changes["messages"][0]["id"], &changes["room"]["slug"]), (&said["id"], &json!("general")));
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let numbers = ["", "x", "-1", "1.5", "1e3", "9223372036854775808", "null", "1%00", "%00", "0x1", "1%202"];
    let mut wrong: Vec<(String, &str)> = vec![("limit=5".into(), "since"), (String::new(), "since"), ("until=5".into(), "since")];
    for number in numbers {
        wrong.push((format!("since={number}"), "since"));
        wrong.push((format!("since=0&until={number}"), "until"));
    }
    for limit in ["0", "1001", "-1", "x", "1.5", "", "9223372036854775808"] {
        wrong.push((format!("since=0&limit={limit}"), "limit"));
        wrong.push((format!("since=0&until=5&limit={limit}"), "limit"));
    }
    for (query, field) in wrong {
        let reply = alice.get(&format!("/rooms/general/changes?{query}")).await;
        assert_eq!(reply.refused(400), VALIDATION, "{query}");
        let is_named = reply.body["fields"].get(field).is_some() || query.contains("%00");
        assert!(is_named, "{query}: {}", reply.text);
    }
    alice.get("/rooms/general/changes?since=0&until=0&limit=1000").await.expect(200);
}
