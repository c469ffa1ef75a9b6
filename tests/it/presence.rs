//! Who is online, and since when not: the seed's Status Events, contract section 5.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestSocket, eventually,
    json::{assert_members, is_time, text},
};

/// The next event of this kind about this user.
async fn about(socket: &TestSocket, event: &str, user: &str) -> Value {
    socket.expect_where(event, |status| status["userId"] == user).await
}

async fn presence(app: &TestApp, asker: &str, user: &str) -> Value {
    app.user(asker).await.get(&format!("/users/{user}/presence")).await.expect(200)
}

/// Seed, Status Events: `status:online`, "User went online".
#[tokio::test]
async fn status_online_is_told_at_the_first_socket_only() {
    let app = TestApp::start().await;
    let (watcher, alice) = (app.user("bob").await.connect().await, app.user("alice").await);

    let _phone = alice.connect().await;
    let online = about(&watcher, "status:online", "alice").await;
    let _desk = alice.connect().await;

    assert_members(&online, &["userId", "isOnline", "status", "lastSeenAt", "timestamp", "serverTime"]);
    assert_eq!((&online["isOnline"], &online["status"]), (&json!(true), &json!("online")));
    watcher.expect_silence("status:online").await;
}

/// Seed, Status Events: `status:offline`, "User went offline".
#[tokio::test]
async fn status_offline_is_told_at_the_last_socket_only() {
    let app = TestApp::start().await;
    let (watcher, alice) = (app.user("bob").await.connect().await, app.user("alice").await);
    let (phone, desk) = (alice.connect().await, alice.connect().await);
    phone.close().await;
    desk.settle().await;
    assert_eq!(presence(&app, "bob", "alice").await["isOnline"], true);
    assert_eq!(watcher.seen("status:offline").len(), 0);

    drop(desk);

    let offline = about(&watcher, "status:offline", "alice").await;
    assert_eq!((&offline["isOnline"], &offline["status"]), (&json!(false), &json!("offline")));
    assert!(is_time(&offline["lastSeenAt"]), "{offline}");
    watcher.expect_silence("status:offline").await;
}

/// The grace makes a page reload silent: another user, who went later and stayed away, is told first.
#[tokio::test]
async fn a_reload_within_the_grace_is_silent() {
    const GRACE: Duration = Duration::from_secs(4);
    let app = TestApp::with(&[("CHAT_PRESENCE_GRACE", "4s")]).await;
    let watcher = app.user("bob").await.connect().await;
    let carol = app.user("carol").await.connect().await;
    let mut people = 0;
    // On a machine that stands still for as long as the grace it is no reload: then somebody else tries.
    let (alice, _back) = loop {
        people += 1;
        let alice = app.user(&format!("alice{people}")).await;
        let page = alice.connect().await;
        let begun = Instant::now();
        page.close().await;
        let back = alice.connect().await;
        if begun.elapsed() < GRACE {
            break (alice, back);
        }
    };

    carol.close().await;

    about(&watcher, "status:offline", "carol").await;
    watcher.settle().await;
    let edges = |event: &str| watcher.seen(event).iter().filter(|edge| edge["userId"] == alice.id.as_str()).count();
    assert_eq!((edges("status:online"), edges("status:offline")), (1, 0));
}

/// Seed, Status Events: `status:update`, "Update online status".
#[tokio::test]
async fn status_update_false_looks_offline_and_true_online_again() {
    let app = TestApp::start().await;
    let watcher = app.user("bob").await.connect().await;
    let alice = app.user("alice").await.connect().await;
    about(&watcher, "status:online", "alice").await;

    let away = alice.emit_ok("status:update", &json!({ "isOnline": false })).await;
    about(&watcher, "status:offline", "alice").await;
    assert_eq!(presence(&app, "bob", "alice").await["isOnline"], false);
    let back = alice.emit_ok("status:update", &json!({ "isOnline": true })).await;

    about(&watcher, "status:online", "alice").await;
    assert_eq!((text(&away["status"]), text(&back["status"])), ("offline", "online"));
    alice.say("general", "I could talk all the time").await;
}

#[tokio::test]
async fn status_update_is_no_edge_while_another_device_is_online() {
    let app = TestApp::start().await;
    let (watcher, alice) = (app.user("bob").await.connect().await, app.user("alice").await);
    let (phone, desk) = (alice.connect().await, alice.connect().await);
    about(&watcher, "status:online", "alice").await;

    phone.emit_ok("status:update", &json!({ "isOnline": false })).await;
    phone.emit_ok("status:update", &json!({ "isOnline": false })).await;
    desk.emit_ok("status:update", &json!({ "isOnline": true })).await;
    let _carol = app.user("carol").await.connect().await;

    about(&watcher, "status:online", "carol").await;
    watcher.expect_silence("status:offline").await;
    watcher.expect_silence("status:online").await;
}

/// Edges go to users who share a room, and to nobody else.
#[tokio::test]
async fn who_shares_no_room_is_not_told() {
    let app = TestApp::start().await;
    let (alice, bob, eve) = (app.user("alice").await, app.user("bob").await, app.user("eve").await);
    alice.create_room_with("den", &[&bob]).await;
    eve.leave("general").await;
    let (friend, stranger) = (bob.connect().await, eve.connect().await);

    let socket = alice.connect().await;
    about(&friend, "status:online", "alice").await;
    socket.close().await;
    about(&friend, "status:offline", "alice").await;

    stranger.expect_silence("status:online").await;
    stranger.expect_silence("status:offline").await;
}

/// Edges are told one after the other: the second one, which is heard, proves that the first one was not told.
#[tokio::test]
async fn who_is_in_no_room_at_all_is_told_to_nobody() {
    let app = TestApp::start().await;
    let (loner, carol) = (app.user("loner").await, app.user("carol").await);
    loner.leave("general").await;
    let watcher = app.user("bob").await.connect().await;

    let socket = loner.connect().await;
    let _carol = carol.connect().await;
    about(&watcher, "status:online", "carol").await;
    watcher.expect_silence("status:online").await;

    socket.close().await;
    app.user("dave").await.connect().await.close().await;
    about(&watcher, "status:offline", "dave").await;
    assert!(watcher.seen("status:offline").iter().all(|edge| edge["userId"] != "loner"));
}

#[tokio::test]
async fn an_unauthenticated_socket_makes_nobody_online() {
    let app = TestApp::start().await;
    let watcher = app.user("bob").await.connect().await;
    let silent = app.dial().open().await.unwrap();
    app.user("alice").await;
    assert_eq!(presence(&app, "bob", "alice").await["isOnline"], false);

    silent.emit_ok("auth:login", &json!({ "token": crate::support::token::of("alice") })).await;

    about(&watcher, "status:online", "alice").await;
}

#[tokio::test]
async fn last_seen_is_the_end_of_the_last_socket() {
    let app = TestApp::start().await;
    let watcher = app.user("bob").await.connect().await;
    let begun = chrono::Utc::now();
    app.user("alice").await.connect().await.close().await;
    let told = about(&watcher, "status:offline", "alice").await;

    let asked = presence(&app, "bob", "alice").await;

    assert_members(&asked, &["userId", "isOnline", "status", "lastSeenAt"]);
    assert_eq!((&asked["isOnline"], &asked["lastSeenAt"]), (&json!(false), &told["lastSeenAt"]));
    let seen = chrono::DateTime::parse_from_rfc3339(text(&asked["lastSeenAt"])).unwrap();
    assert!(seen >= begun - chrono::Duration::seconds(1) && seen <= chrono::Utc::now(), "{asked}");
}

/// The contract: the time of the last action. Reading is none, and who is invisible leaves no trace.
#[tokio::test]
async fn who_acts_over_rest_without_a_socket_is_seen() {
    let mut app = TestApp::start().await;
    let (alice, carol, dave) = (app.user("alice").await, app.user("carol").await, app.user("dave").await);
    carol.get("/rooms").await.expect(200);
    dave.patch("/users/me/presence", &json!({ "invisible": true })).await.expect(200);
    dave.say("general", "nobody sees me").await;
    let begun = chrono::Utc::now();

    alice.say("general", "one").await;

    let seen = async |user: &str| presence(&app, "bob", user).await["lastSeenAt"].clone();
    eventually("the action to be written", async || seen("alice").await.is_string()).await;
    let at = chrono::DateTime::parse_from_rfc3339(text(&seen("alice").await)).unwrap();
    assert!(at >= begun - chrono::Duration::seconds(1) && at <= chrono::Utc::now(), "{at}");
    assert_eq!(presence(&app, "bob", "alice").await["isOnline"], false);
    assert_eq!((seen("carol").await, seen("dave").await), (Value::Null, Value::Null));

    // Within a minute nothing is written, but for a server's last words.
    alice.say("general", "two").await;
    assert!(app.stop().success());
    app.start_again();
    let later = presence(&app, "bob", "alice").await["lastSeenAt"].clone();
    assert!(chrono::DateTime::parse_from_rfc3339(text(&later)).unwrap() > at, "{later}");
}

#[tokio::test]
async fn last_seen_outlives_the_server() {
    let mut app = TestApp::start().await;
    let watcher = app.user("bob").await.connect().await;
    app.user("alice").await.connect().await.close().await;
    let told = about(&watcher, "status:offline", "alice").await;
    // Whose end is not written yet was there when the server died.
    let open = "SELECT count(*) FROM connections WHERE user_id = 'alice' AND ended_at IS NULL";
    eventually("her end to be written", async || app.number(open).await == 0).await;

    app.kill_9();
    app.start_again();

    let asked = presence(&app, "bob", "alice").await;
    assert_eq!((&asked["isOnline"], &asked["lastSeenAt"]), (&json!(false), &told["lastSeenAt"]));
}

#[tokio::test]
async fn who_was_never_there_has_no_last_seen_and_who_is_unknown_is_not_found() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let bob = app.user("bob").await;

    let never = bob.get(&format!("/users/{}/presence", alice.id)).await.expect(200);

    assert_eq!(never["isOnline"], false);
    assert_eq!(bob.get("/users/nobody/presence").await.refused(404), "USER_NOT_FOUND");
}

#[tokio::test]
async fn presence_of_several_is_asked_at_once() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let _online = alice.connect().await;
    app.user("bob").await;

    let asked = alice.get("/presence?userIds=alice,bob").await.expect(200);

    let items = asked["items"].as_array().unwrap();
    let of = |id: &str| items.iter().find(|item| item["userId"] == id).unwrap()["isOnline"].clone();
    assert_eq!((items.len(), of("alice"), of("bob")), (2, json!(true), json!(false)));
}

#[tokio::test]
async fn presence_of_a_room_counts_and_lists() {
    let app = TestApp::start().await;
    let (alice, bob, eve) = (app.user("alice").await, app.user("bob").await, app.user("eve").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let _online = bob.connect().await;

    let asked = alice.get(&format!("/rooms/{room}/presence")).await.expect(200);

    assert_eq!((&asked["onlineCount"], &asked["memberCount"]), (&json!(1), &json!(2)));
    let items = asked["items"].as_array().unwrap();
    assert!(items.iter().any(|item| item["userId"] == "bob" && item["isOnline"] == true), "{asked}");
    assert_eq!(eve.get(&format!("/rooms/{room}/presence")).await.refused(404), "ROOM_NOT_FOUND");
}

#[tokio::test]
async fn many_devices_coming_and_going_at_once_end_in_the_truth() {
    let app = TestApp::start().await;
    let (watcher, alice) = (app.user("bob").await.connect().await, app.user("alice").await);
    let mut devices = Vec::new();
    for _ in 0..20 {
        devices.push(alice.connect().await);
    }
    about(&watcher, "status:online", "alice").await;

    devices.drain(..19).for_each(drop);
    devices[0].settle().await;
    assert_eq!(presence(&app, "bob", "alice").await["isOnline"], true);
    drop(devices);

    about(&watcher, "status:offline", "alice").await;
    assert_eq!(presence(&app, "bob", "alice").await["isOnline"], false);
    assert_eq!(watcher.seen("status:offline").len(), 1);
}

/// Rooms over the quiet size get counts, not edges per person; friends in a small room are told all the same.
#[tokio::test]
async fn in_a_large_room_nobody_is_told_of_edges() {
    let app = TestApp::with(&[("CHAT_QUIET_ROOM_SIZE", "2")]).await;
    let (alice, bob, carol) = (app.user("alice").await, app.user("bob").await, app.user("carol").await);
    alice.create_room_with("den", &[&carol]).await;
    let (stranger, friend) = (bob.connect().await, carol.connect().await);

    let _alice = alice.connect().await;

    about(&friend, "status:online", "alice").await;
    stranger.expect_silence("status:online").await;
    assert_eq!(presence(&app, "bob", "alice").await["isOnline"], true);
}
