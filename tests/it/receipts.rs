//! Read and delivered markers, who hears of them, and who has read a message: contract sections 4 and 7.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestSocket, TestUser,
    json::{assert_members, int, is_time, text, texts},
};

const UNKNOWN_ROOM: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// A room of Alice and Bob in which Alice has said so many things, numbered from 1.
async fn den(app: &TestApp, messages: usize) -> (TestUser, TestUser, String) {
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    for number in 1..=messages {
        alice.say(&room, &number.to_string()).await;
    }
    (alice, bob, room)
}

fn read(room: &str, seq: i64) -> Value {
    json!({ "roomId": room, "seq": seq })
}

fn privately(room: &str, seq: i64) -> Value {
    json!({ "roomId": room, "seq": seq, "visibility": "private" })
}

fn markers(answer: &Value) -> (i64, i64) {
    (int(&answer["readSeq"]), int(&answer["deliveredSeq"]))
}

/// The next `chat:read` about this user.
async fn about(socket: &TestSocket, user: &str) -> Value {
    socket.expect_where("chat:read", |told| told["userId"] == user).await
}

async fn receipts(user: &TestUser, room: &str, seq: i64) -> Value {
    user.get(&format!("/rooms/{room}/messages/{seq}/receipts")).await.expect(200)
}

#[tokio::test]
async fn a_read_is_answered_with_the_marker_and_told_to_the_other_members() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app, 3).await;
    let (watcher, reader) = (alice.connect().await, bob.connect().await);

    let answer = reader.emit_ok("chat:read", &read(&room, 2)).await;

    assert_eq!(answer, json!({ "roomId": room, "readSeq": 2, "deliveredSeq": 2, "unread": 1, "mentions": 0 }));
    let told = about(&watcher, "bob").await;
    assert_members(&told, &["roomId", "userId", "readSeq", "deliveredSeq", "at"]);
    assert_eq!((&told["roomId"], markers(&told)), (&json!(room), (2, 2)));
    assert!(is_time(&told["at"]), "{told}");
    assert_eq!((told.get("unread"), told.get("seq")), (None, None), "others do not learn what is left, and it has no number");
    reader.expect_silence("chat:read").await;
    assert_eq!(bob.room(&room).await["lastSeq"], 3, "a marker takes no number");
}

#[tokio::test]
async fn a_lower_number_is_a_success_that_changes_nothing_and_is_told_to_nobody() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app, 3).await;
    let (watcher, reader, other) = (alice.connect().await, bob.connect().await, bob.connect().await);
    reader.emit_ok("chat:read", &read(&room, 2)).await;
    about(&watcher, "bob").await;
    about(&other, "bob").await;

    for seq in [2, 1, 0] {
        assert_eq!(markers(&reader.emit_ok("chat:read", &read(&room, seq)).await), (2, 2));
    }

    reader.emit_ok("chat:read", &read(&room, 3)).await;
    assert_eq!(markers(&about(&watcher, "bob").await), (3, 3));
    assert_eq!(markers(&about(&other, "bob").await), (3, 3));
}

#[tokio::test]
async fn what_was_read_was_delivered_and_what_was_delivered_was_not_read() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app, 5).await;
    let (watcher, reader) = (alice.connect().await, bob.connect().await);

    let delivered = reader.emit_ok("chat:read", &json!({ "roomId": room, "deliveredSeq": 4 })).await;
    assert_eq!((markers(&delivered), &delivered["unread"]), ((0, 4), &json!(5)));
    assert_eq!(markers(&about(&watcher, "bob").await), (0, 4));

    let both = reader.emit_ok("chat:read", &json!({ "roomId": room, "seq": 2, "deliveredSeq": 1 })).await;
    assert_eq!(markers(&both), (2, 4));
    let beyond = reader.emit_ok("chat:read", &read(&room, 5)).await;
    assert_eq!(markers(&beyond), (5, 5));

    let shown = bob.room(&room).await;
    assert_eq!(shown["read"], json!({ "seq": 5, "deliveredSeq": 5 }));
}

#[tokio::test]
async fn a_number_that_the_room_has_not_reached_is_refused() {
    let app = TestApp::start().await;
    let (_, bob, room) = den(&app, 3).await;
    let reader = bob.connect().await;

    for (payload, field) in [
        (read(&room, 4), "seq"),
        (read(&room, i64::MAX), "seq"),
        (json!({ "roomId": room, "deliveredSeq": 4 }), "deliveredSeq"),
        (json!({ "roomId": room, "seq": 1, "deliveredSeq": 4 }), "deliveredSeq"),
    ] {
        let error = reader.emit_err("chat:read", &payload).await;
        assert_eq!((&error["code"], &error["fields"][field][0]["code"]), (&json!("VALIDATION_ERROR"), &json!("range")), "{error}");
    }

    assert_eq!(markers(&reader.emit_ok("chat:read", &read(&room, 0)).await), (0, 0), "nothing moved by half");
    assert_eq!(markers(&reader.emit_ok("chat:read", &read(&room, 3)).await), (3, 3));
}

/// Proved by another member, whose public mark came later and was heard.
#[tokio::test]
async fn a_private_mark_is_heard_by_the_own_devices_only_and_is_in_no_receipt() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app, 3).await;
    let carol = app.user("carol").await;
    alice.put(&format!("/rooms/{room}/members/carol"), &json!({})).await.expect(200);
    let (watcher, reader, device) = (alice.connect().await, bob.connect().await, bob.connect().await);

    let answer = reader.emit_ok("chat:read", &privately(&room, 3)).await;
    carol.connect().await.emit_ok("chat:read", &read(&room, 4)).await;

    assert_eq!((markers(&answer), &answer["unread"]), ((3, 3), &json!(0)));
    assert_eq!(markers(&about(&device, "bob").await), (3, 3));
    about(&watcher, "carol").await;
    watcher.expect_silence("chat:read").await;
    let shown = receipts(&alice, &room, 1).await;
    assert_eq!((texts(&shown["items"], "userId"), int(&shown["readCount"]), int(&shown["deliveredCount"])), (vec!["carol"], 1, 1));

    reader.emit_ok("chat:read", &read(&room, 2)).await;
    assert_eq!(markers(&about(&watcher, "bob").await), (2, 2), "a public mark tells what it says and no more");
    assert_eq!(texts(&receipts(&alice, &room, 2).await["items"], "userId"), ["bob", "carol"]);
    assert_eq!(texts(&receipts(&alice, &room, 3).await["items"], "userId"), ["carol"]);
    assert_eq!(bob.room(&room).await["read"]["seq"], 3, "the own marker stays where it was");
}

#[tokio::test]
async fn the_own_devices_hear_of_every_move_at_once_and_with_what_is_left() {
    let app = TestApp::start().await;
    let (_, bob, room) = den(&app, 5).await;
    let (phone, desk, polling) = (bob.connect().await, bob.connect().await, bob.dial().polling().open_ready().await);

    for seq in 1..=5 {
        phone.emit_ok("chat:read", &read(&room, seq)).await;
    }

    for device in [&desk, &polling] {
        let told = device.expect_count("chat:read", 5).await;
        let expected: Vec<_> = (1..=5).map(|seq| (seq, 5 - seq)).collect();
        assert_eq!(told.iter().map(|told| (int(&told["readSeq"]), int(&told["unread"]))).collect::<Vec<_>>(), expected);
        assert_members(&told[0], &["roomId", "userId", "readSeq", "deliveredSeq", "unread", "mentions", "at"]);
    }
    phone.expect_silence("chat:read").await;
}

#[tokio::test]
async fn a_read_over_rest_is_the_same_and_all_devices_hear_it() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app, 3).await;
    let (watcher, device) = (alice.connect().await, bob.connect().await);

    let answer = bob.put(&format!("/rooms/{room}/read"), &json!({ "seq": 3, "roomId": "general" })).await.expect(200);

    assert_eq!(answer, json!({ "roomId": room, "readSeq": 3, "deliveredSeq": 3, "unread": 0, "mentions": 0 }));
    assert_eq!(markers(&about(&watcher, "bob").await), (3, 3));
    assert_eq!(about(&device, "bob").await["unread"], 0);
}

#[tokio::test]
async fn a_room_may_be_named_by_its_slug() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let seq = int(&alice.say("general", "hello").await["seq"]);

    let answer = bob.connect().await.emit_ok("chat:read", &read("general", seq)).await;

    assert_eq!((text(&answer["roomId"]), int(&answer["readSeq"])), (text(&bob.room("general").await["id"]), seq));
}

/// Five devices and REST at once: the marker ends at the highest number, no answer is below what was asked, and every device
/// hears it only move on.
#[tokio::test]
async fn fifty_marks_of_several_devices_at_once_end_at_the_highest() {
    let app = TestApp::start().await;
    let (_, bob, room) = den(&app, 60).await;
    let listener = bob.connect().await;
    let devices = join_all((0..5).map(|_| bob.connect())).await;

    // A fixed shuffle of 1 to 50: 7 has no factor in common with 51 but 1, nor has it with 50.
    let seqs: Vec<i64> = (1..=50).map(|n| n * 7 % 51).collect();
    let sockets = devices.iter().enumerate().flat_map(|(place, device)| seqs.iter().skip(place).step_by(6).map(move |seq| (device, *seq)));
    let posted: Vec<_> = sockets.map(|(device, seq)| (device, seq, device.post("chat:read", &read(&room, seq)))).collect();
    let path = format!("/rooms/{room}/read");
    let asked: Vec<_> = seqs.iter().skip(5).step_by(6).map(|seq| (*seq, json!({ "seq": seq }))).collect();
    let over_rest = join_all(asked.iter().map(async |(seq, body)| (*seq, bob.put(&path, body).await.expect(200)))).await;

    assert_eq!(posted.len() + over_rest.len(), 50);
    for (device, seq, id) in posted {
        let ack = device.ack(id).await;
        assert!(int(&ack["data"]["readSeq"]) >= seq, "{seq} was answered {ack}");
    }
    assert!(over_rest.iter().all(|(seq, answer)| int(&answer["readSeq"]) >= *seq), "{over_rest:?}");
    assert_eq!(bob.room(&room).await["read"], json!({ "seq": 50, "deliveredSeq": 50 }));
    listener.expect_where("chat:read", |told| told["readSeq"] == 50).await;
    listener.settle().await;
    let heard: Vec<i64> = listener.seen("chat:read").iter().map(|told| int(&told["readSeq"])).collect();
    assert!(heard.is_sorted_by(|a, b| a < b) && heard.last() == Some(&50), "{heard:?}");
}

/// Two servers know nothing of each other's turns: here it is the statement alone that keeps the marker from going back.
#[tokio::test]
async fn marks_over_two_servers_at_once_end_at_the_highest() {
    let app = TestApp::start().await;
    let (_, bob, room) = den(&app, 50).await;
    let (_second, base) = app.second_server();
    let (elsewhere, path) = (bob.at(&base), format!("/rooms/{room}/read"));

    let mark = async |seq: i64| {
        let user = if seq % 2 == 0 { &bob } else { &elsewhere };
        (seq, user.put(&path, &json!({ "seq": seq, "deliveredSeq": 51 - seq })).await.expect(200))
    };
    let answers = join_all((1..=50).map(|n| mark(n * 7 % 51))).await;

    for (seq, answer) in answers {
        assert!(int(&answer["readSeq"]) >= seq && int(&answer["deliveredSeq"]) >= 51 - seq, "{seq} was answered {answer}");
    }
    assert_eq!(bob.room(&room).await["read"], json!({ "seq": 50, "deliveredSeq": 50 }));
    assert_eq!(int(&receipts(&bob, &room, 50).await["readCount"]), 1);
}

/// The contract's "at most 1/s per user and room".
#[tokio::test]
async fn a_burst_of_reads_reaches_others_as_a_few_of_which_the_last_is_the_truth() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app, 100).await;
    let (watcher, reader) = (alice.connect().await, bob.connect().await);
    let begun = std::time::Instant::now();

    let posted: Vec<_> = (1..=100).map(|seq| reader.post("chat:read", &read(&room, seq))).collect();
    for id in posted {
        assert_eq!(reader.ack(id).await["ok"], true);
    }

    watcher.expect_where("chat:read", |told| told["readSeq"] == 100).await;
    let seconds = begun.elapsed().as_secs();
    watcher.settle().await;
    let heard: Vec<i64> = watcher.seen("chat:read").iter().map(|told| int(&told["readSeq"])).collect();
    let most = usize::try_from(seconds).unwrap() + 2;
    assert!(heard.len() <= most && heard.is_sorted(), "{heard:?} within {seconds} s");
}

#[tokio::test]
async fn in_a_large_room_others_are_not_told_and_the_own_devices_are() {
    let app = TestApp::with(&[("CHAT_QUIET_ROOM_SIZE", "2")]).await;
    let (alice, bob, small) = den(&app, 1).await;
    let carol = app.user("carol").await;
    let large = alice.create_room_with("hall", &[&bob, &carol]).await;
    alice.say(&large, "hello").await;
    let (watcher, reader, device) = (alice.connect().await, bob.connect().await, bob.connect().await);

    reader.emit_ok("chat:read", &read(&large, 1)).await;
    reader.emit_ok("chat:read", &read(&small, 1)).await;

    assert_eq!(about(&watcher, "bob").await["roomId"], json!(small));
    watcher.expect_silence("chat:read").await;
    assert_eq!(about(&device, "bob").await["roomId"], json!(large));
    assert_eq!(int(&receipts(&alice, &large, 1).await["readCount"]), 1, "it can be asked for");
}

/// Bob's second mark waits to be told when he leaves; Carol's, which waits longer, is told.
#[tokio::test]
async fn who_has_left_is_told_of_no_more() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app, 3).await;
    let carol = app.user("carol").await;
    alice.put(&format!("/rooms/{room}/members/carol"), &json!({})).await.expect(200);
    let (watcher, leaver, stayer) = (alice.connect().await, bob.connect().await, carol.connect().await);
    for socket in [&leaver, &stayer] {
        socket.emit_ok("chat:read", &read(&room, 1)).await;
        socket.emit_ok("chat:read", &read(&room, 2)).await;
    }

    leaver.emit_ok("chat:room:leave", &json!(room)).await;

    watcher.expect_where("chat:read", |told| told["userId"] == "carol" && told["readSeq"] == 2).await;
    watcher.settle().await;
    let heard = watcher.everything();
    let left = heard.iter().position(|event| event["reason"] == "left").unwrap();
    assert!(heard[left..].iter().all(|event| event["userId"] != "bob" || event.get("readSeq").is_none()), "{heard:?}");
}

#[tokio::test]
async fn who_is_not_in_a_room_marks_nothing_there() {
    let app = TestApp::start().await;
    let (alice, eve) = (app.user("alice").await, app.user("eve").await);
    let (square, den) = (alice.create_public_room("square").await, alice.create_room("den").await);
    for room in [&square, &den] {
        alice.say(room, "hello").await;
    }
    let socket = eve.connect().await;
    let refusals = [(square.as_str(), "NOT_A_MEMBER"), (&den, "ROOM_NOT_FOUND"), (UNKNOWN_ROOM, "ROOM_NOT_FOUND"), ("no-slug", "ROOM_NOT_FOUND")];

    for (room, code) in refusals {
        assert_eq!(socket.code_of("chat:read", &read(room, 1)).await, code);
        assert_eq!(socket.code_of("chat:unread:mark", &read(room, 1)).await, code);
        let status = if code == "NOT_A_MEMBER" { 403 } else { 404 };
        assert_eq!(eve.put(&format!("/rooms/{room}/read"), &json!({ "seq": 1 })).await.refused(status), code);
        assert_eq!(eve.get(&format!("/rooms/{room}/messages/1/receipts")).await.refused(status), code);
    }
    assert_eq!(socket.code_of("chat:read", &read(&den, 99)).await, "ROOM_NOT_FOUND", "how far it is, is no stranger's business");
}

#[tokio::test]
async fn nothing_is_marked_in_a_room_that_was_left() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let bob = app.user("bob").await;
    let (square, den) = (alice.create_public_room("square").await, alice.create_room_with("den", &[&bob]).await);
    bob.join(&square).await;
    let reader = bob.connect().await;
    for room in [&square, &den] {
        alice.say(room, "hello").await;
        bob.leave(room).await;
    }

    assert_eq!(reader.code_of("chat:read", &read(&square, 1)).await, "NOT_A_MEMBER");
    assert_eq!(reader.code_of("chat:read", &read(&den, 1)).await, "ROOM_NOT_FOUND");

    assert_eq!(receipts(&alice, &den, 1).await["items"], json!([]));
}

#[tokio::test]
async fn who_has_read_a_message_is_listed_page_by_page_and_counted() {
    let app = TestApp::start().await;
    let (alice, bob, room) = den(&app, 3).await;
    for (name, seq) in [("c", 1), ("d", 2), ("e", 3), ("f", 5)] {
        app.user(name).await;
        alice.put(&format!("/rooms/{room}/members/{name}"), &json!({})).await.expect(200);
        app.user(name).await.put(&format!("/rooms/{room}/read"), &json!({ "seq": seq })).await.expect(200);
    }
    bob.put(&format!("/rooms/{room}/read"), &json!({ "deliveredSeq": 2 })).await.expect(200);

    let mut path = format!("/rooms/{room}/messages/2/receipts?limit=2");
    let mut seen = Vec::new();
    loop {
        let page = bob.get(&path).await.expect(200);
        assert_eq!((&page["readCount"], &page["deliveredCount"], &page["memberCount"]), (&json!(3), &json!(4), &json!(6)));
        for item in page["items"].as_array().unwrap() {
            assert!(is_time(&item["readAt"]), "{item}");
            seen.push((text(&item["userId"]).to_owned(), int(&item["readSeq"])));
        }
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/rooms/{room}/messages/2/receipts?limit=2&cursor={cursor}");
    }

    assert_eq!(seen, [("d", 2), ("e", 3), ("f", 5)].map(|(id, seq)| (id.to_owned(), seq)));
}

#[tokio::test]
async fn receipts_of_what_is_no_message_are_message_not_found() {
    let app = TestApp::start().await;
    let (alice, _, room) = den(&app, 1).await;
    app.user("carol").await;
    alice.put(&format!("/rooms/{room}/members/carol"), &json!({})).await.expect(200);
    assert_eq!(alice.room(&room).await["lastSeq"], 2);

    for seq in ["2", "0", "3", "-1", "9223372036854775807", "9223372036854775808", "one", "1.0", "%00"] {
        let reply = alice.get(&format!("/rooms/{room}/messages/{seq}/receipts")).await;
        assert_eq!(reply.refused(404), "MESSAGE_NOT_FOUND", "{seq}");
    }
    for query in ["cursor=x", "cursor=%00", "limit=0", "limit=101", "limit=x"] {
        let reply = alice.get(&format!("/rooms/{room}/messages/1/receipts?{query}")).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{query}");
    }
}

#[tokio::test]
async fn bodies_of_a_read_over_rest_are_checked_like_events() {
    let app = TestApp::start().await;
    let (_, bob, room) = den(&app, 1).await;

    for body in [json!({}), json!({ "seq": null }), json!({ "seq": "1" }), json!({ "seq": -1 }), json!({ "seq": 1.5 }), json!({ "seq": 2 })] {
        assert_eq!(bob.put(&format!("/rooms/{room}/read"), &body).await.refused(400), "VALIDATION_ERROR", "{body}");
    }

    let wrong = json!({ "seq": 1, "visibility": "secret" });
    assert_eq!(bob.put(&format!("/rooms/{room}/read"), &wrong).await.refused(400), "VALIDATION_ERROR");
}
