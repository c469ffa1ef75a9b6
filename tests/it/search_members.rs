//! Who finds what: membership is the security model, and it is asked anew for every search.

use serde_json::json;

use crate::support::{
    TestApp, TestUser,
    json::text,
    search::{SMALL_BLOCKS, contents, is_indexed, search},
};

/// Alice's room of a kind with Bob in it, and a message of each.
async fn den(kind: &str) -> (TestApp, TestUser, TestUser, String) {
    let app = TestApp::with(SMALL_BLOCKS).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.post("/rooms", &json!({ "name": "den", "type": kind, "participants": ["bob"] })).await.expect(201);
    let room = text(&room["id"]).to_owned();
    for content in ["secret of alice", "...", "...", "..."] {
        alice.say(&room, content).await;
    }
    is_indexed(&app, &room).await;
    // This one is not in the index yet.
    bob.say(&room, "secret of bob").await;
    assert_eq!(contents(&bob, "secret", "").await, ["secret of bob", "secret of alice"]);
    (app, alice, bob, room)
}

async fn assert_finds_nothing(user: &TestUser, room: &str, status: u16, code: &str) {
    assert_eq!(contents(user, "secret", "").await, Vec::<String>::new());
    assert_eq!(contents(user, "secret", "&from=alice").await, Vec::<String>::new());
    assert_eq!(user.get(&format!("/search?q=secret&roomId={room}")).await.refused(status), code);
}

#[tokio::test]
async fn who_was_never_in_a_private_room_finds_nothing_of_it() {
    let (app, _, bob, room) = den("group").await;
    let eve = app.user("eve").await;
    eve.say("general", "a secret of eve").await;

    assert_eq!(contents(&eve, "secret", "").await, ["a secret of eve"]);
    assert_eq!(eve.get(&format!("/search?q=secret&roomId={room}")).await.refused(404), "ROOM_NOT_FOUND");

    assert_eq!(search(&bob, "secret", "").await.len(), 3);
}

#[tokio::test]
async fn who_left_finds_nothing_more_and_who_comes_back_finds_all() {
    let (_app, alice, bob, room) = den("group").await;

    bob.leave(&room).await;

    assert_finds_nothing(&bob, &room, 404, "ROOM_NOT_FOUND").await;
    assert_eq!(contents(&alice, "secret", "").await.len(), 2);
    alice.put(&format!("/rooms/{room}/members/bob"), &json!({})).await.expect(200);
    assert_eq!(contents(&bob, "secret", "").await.len(), 2);
}

#[tokio::test]
async fn who_was_removed_or_banned_finds_nothing_more() {
    for (kind, status, removed, banned) in [("group", 404, "ROOM_NOT_FOUND", "ROOM_NOT_FOUND"), ("public", 403, "NOT_A_MEMBER", "BANNED")] {
        let (_app, alice, bob, room) = den(kind).await;

        alice.delete(&format!("/rooms/{room}/members/bob")).await.expect(204);
        assert_finds_nothing(&bob, &room, status, removed).await;

        alice.put(&format!("/rooms/{room}/bans/bob"), &json!({})).await.expect(200);
        assert_finds_nothing(&bob, &room, status, banned).await;

        alice.delete(&format!("/rooms/{room}/bans/bob")).await.expect(204);
        assert_finds_nothing(&bob, &room, status, removed).await;
        assert_eq!(contents(&alice, "secret", "").await.len(), 2);
    }
}

/// As in history: who joins reads what was said before.
#[tokio::test]
async fn who_joins_later_finds_what_was_said_before_as_history_shows_it() {
    let (app, _, _, room) = den("public").await;
    let carol = app.user("carol").await;
    assert_eq!(contents(&carol, "secret", "").await, Vec::<String>::new(), "a public room that one is not in is not searched");

    carol.join(&room).await;

    assert_eq!(contents(&carol, "secret", "").await.len(), 2);
    assert_eq!(carol.history(&room).await.len(), 5);
}

#[tokio::test]
async fn a_deleted_room_is_found_by_nobody() {
    let (app, alice, bob, room) = den("group").await;

    alice.delete(&format!("/rooms/{room}")).await.expect(204);

    for user in [&alice, &bob] {
        assert_finds_nothing(user, &room, 404, "ROOM_NOT_FOUND").await;
    }
    let left = format!("SELECT (SELECT count(*) FROM search_segments WHERE room_id = '{room}') + (SELECT count(*) FROM search_postings)");
    crate::support::eventually("the end of its index", async || app.number(&left).await == 0).await;
}

#[tokio::test]
async fn a_cursor_gives_no_way_into_a_room_that_was_left() {
    let (_app, _, bob, room) = den("group").await;
    let page = bob.get(&format!("/search?q=secret&limit=1&roomId={room}")).await.expect(200);
    let all = bob.get("/search?q=secret&limit=1").await.expect(200);

    bob.leave(&room).await;

    let (one, all) = (text(&page["nextCursor"]), text(&all["nextCursor"]));
    assert_eq!(bob.get(&format!("/search?q=secret&roomId={room}&cursor={one}")).await.refused(404), "ROOM_NOT_FOUND");
    assert_eq!(bob.get(&format!("/search?q=secret&cursor={all}")).await.expect(200)["items"], json!([]));
}
