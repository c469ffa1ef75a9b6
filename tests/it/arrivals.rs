//! Many who come at the same time: they are looked up together, and nobody gets what is another's.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    TestApp, TestSocket, TestUser, eventually, ires_chat,
    json::{int, text},
};

#[tokio::test]
async fn who_comes_at_the_same_time_gets_their_own_rooms_and_nobody_elses() {
    let app = TestApp::start().await;
    let known: Vec<_> = (0..60).map(|n| app.stranger(&format!("known-{n}"))).collect();
    let rooms = join_all(known.iter().map(|user| user.create_room(&user.id))).await;
    let strangers: Vec<_> = (0..60).map(|n| app.stranger(&format!("stranger-{n}"))).collect();

    let everybody: Vec<_> = known.iter().chain(&strangers).collect();
    let sockets = join_all(everybody.iter().map(|user| user.connect())).await;

    for (user, socket) in everybody.iter().zip(&sockets) {
        let names: Vec<&str> = socket.ready["rooms"].as_array().unwrap().iter().map(|room| text(&room["name"])).collect();
        assert_eq!(socket.ready["user"]["id"], user.id.as_str());
        let own = known.iter().any(|known| known.id == user.id).then_some(user.id.as_str());
        assert!(names.contains(&"general") && names.len() == 1 + usize::from(own.is_some()), "{}: {names:?}", user.id);
        assert!(own.is_none_or(|own| names.contains(&own)), "{}: {names:?}", user.id);
    }
    let joins = join_all(sockets.iter().zip(&rooms).map(async |(socket, room)| socket.emit_ok("chat:room:join", &json!(room)).await)).await;
    for ((user, room), joined) in known.iter().zip(&rooms).zip(joins) {
        assert_eq!((text(&joined["roomId"]), text(&joined["userId"])), (room.as_str(), user.id.as_str()));
        assert_eq!((&joined["membership"]["role"], &joined["room"]["name"]), (&json!("owner"), &json!(user.id)));
        assert_eq!(joined["members"].as_array().unwrap().len(), 1);
    }
    let neighbours = sockets.iter().zip(rooms.iter().skip(1));
    let foreign = join_all(neighbours.map(async |(socket, room)| socket.emit_err("chat:room:join", &json!(room)).await)).await;
    assert!(foreign.iter().all(|error| error["code"] == "ROOM_NOT_FOUND"), "{foreign:?}");
    let doctor = ires_chat(&["doctor"], &[("DATABASE_URL", app.database.url())]);
    assert_eq!(doctor.code, Some(0), "{}", doctor.stdout);
}

#[tokio::test]
async fn a_bad_token_among_many_is_refused_alone() {
    let app = TestApp::start().await;
    let (gone, forged) = (app.user("gone").await, app.holder("forged", "not.a.token".to_owned()));
    app.execute("UPDATE sessions SET revoked_at = now() - interval '1 hour' WHERE user_id = 'gone'").await;
    let good: Vec<_> = (0..30).map(|n| app.stranger(&format!("good-{n}"))).collect();

    let (gone, forged, sockets) = tokio::join!(
        async { gone.dial().open().await.unwrap().expect("system:error").await },
        async { forged.dial().open().await.unwrap().expect("system:error").await },
        join_all(good.iter().map(TestUser::connect))
    );

    assert_eq!((&gone["code"], &forged["code"]), (&json!("AUTH_REVOKED"), &json!("AUTH_TOKEN_INVALID")));
    assert!(sockets.iter().zip(&good).all(|(socket, user)| socket.ready["user"]["id"] == user.id.as_str()));
}

#[tokio::test]
async fn the_same_token_many_times_at_once_is_one_user_one_session_and_one_membership() {
    let app = TestApp::start().await;
    let alice = app.stranger("alice");

    let sockets = join_all((0..40).map(|_| alice.connect())).await;

    assert!(sockets.iter().all(|socket| socket.ready["sessionId"] == sockets[0].ready["sessionId"]));
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 1);
    assert_eq!(app.number("SELECT member_count::bigint FROM rooms WHERE slug = 'general'").await, 1);
}

/// Presence of many is told together: everybody hears of everybody else once, and in the right order.
#[tokio::test]
async fn the_presence_of_many_who_come_and_go_at_once_is_told_for_each_of_them() {
    let app = TestApp::with(&[("CHAT_PRESENCE_GRACE", "200ms")]).await;
    let users: Vec<_> = (0..30).map(|n| app.stranger(&format!("user-{n}"))).collect();
    let watcher = app.stranger("watcher").connect().await;

    let sockets = join_all(users.iter().map(TestUser::connect)).await;
    let online = watcher.expect_count("status:online", users.len()).await;
    join_all(sockets.into_iter().map(TestSocket::close)).await;
    let offline = watcher.expect_count("status:offline", users.len()).await;

    for edges in [online, offline] {
        let mut heard: Vec<&str> = edges.iter().map(|edge| text(&edge["userId"])).collect();
        heard.sort_unstable();
        heard.dedup();
        assert_eq!(heard.len(), users.len(), "{heard:?}");
    }
    let order: Vec<Value> = watcher.everything().into_iter().filter(|event| event["userId"] == "user-7").collect();
    assert_eq!(order.iter().map(|edge| text(&edge["status"])).collect::<Vec<_>>(), ["online", "offline"]);
}

/// Entering again, as clients do after a reconnect, reads a snapshot while the room goes on: what follows it is what it does not
/// have, and nothing comes before it that it lacks.
#[tokio::test]
async fn nothing_falls_between_the_snapshot_of_a_room_that_is_entered_again_and_what_follows() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let (talker, late) = (alice.connect().await, bob.connect().await);

    for _ in 0..20 {
        let sent: Vec<_> = (0..20).map(|n| talker.post("chat:message", &json!({ "roomId": room, "content": n.to_string() }))).collect();
        let again = (0..5).map(|_| late.post("chat:room:join", &json!(room))).collect::<Vec<_>>();
        for id in sent {
            assert_eq!(talker.ack(id).await["ok"], true);
        }
        for id in again {
            assert_eq!(late.ack(id).await["ok"], true);
        }
    }
    let last = int(&alice.room(&room).await["lastSeq"]);
    let reaches = |event: &Value| event["roomId"] == room.as_str() && (event["seq"] == last || event["lastSeq"] == last);
    eventually("the last message", async || late.everything().iter().any(reaches)).await;

    let mut known = 0;
    let mut snapshots = 0;
    for event in late.everything() {
        if event["self"] == true {
            assert!(int(&event["lastSeq"]) >= known, "a snapshot up to {} after {known}", event["lastSeq"]);
            let newest = event["messages"].as_array().unwrap().last().map_or(0, |message| int(&message["seq"]));
            assert_eq!(newest, int(&event["lastSeq"]));
            known = newest;
            snapshots += 1;
        } else if event["roomId"] == room.as_str() && !event["content"].is_null() {
            assert_eq!(int(&event["seq"]), known + 1, "after {known}");
            known += 1;
        }
    }
    assert_eq!((known, snapshots), (last, 100));
}
