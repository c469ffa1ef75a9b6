//! Searches that are refused: contract sections 1 and 7, and what promises.md says of operators.

use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::json;

use crate::support::{
    TestApp, cluster, eventually,
    json::text,
    search::{contents, encoded},
};

#[tokio::test]
async fn without_anything_to_look_for_a_search_is_refused() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    alice.say("general", "'; a & b | !c :* \\ <-> (d)").await;

    for q in ["", "q=", "q=%20%20", "q=%27", "q=%26%7C%21%3A%2A", "q=%5C", "q=%22%22", "q=%25_", "q=...", "q=%E2%80%AE", "q=%FF"] {
        let reply = alice.get(&format!("/search?{q}")).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{q}");
        assert!(reply.body["fields"]["q"].is_array(), "{}", reply.text);
    }
    // Signs beside words mean nothing.
    for q in ["a & b", "a:*", "!a", "a | nothing' OR 1=1", "(a", "a)", "\"a", "a \\", "a <-> b", "%a_b%"] {
        let expected = i32::from(!q.contains("nothing"));
        assert_eq!(contents(&alice, q, "").await.len(), usize::try_from(expected).unwrap(), "{q}");
    }
}

#[tokio::test]
async fn too_much_at_once_is_refused_with_the_limit() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    alice.say("general", &"x".repeat(4_000)).await;

    let words = |count: usize| (0..count).map(|n| format!("w{n}")).collect::<Vec<_>>().join("+");
    for (q, limit) in [("x".repeat(257), "256"), (words(17), "16"), (words(1_000), "256"), ("é".repeat(300), "256")] {
        let reply = alice.get(&format!("/search?q={q}")).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{q:.40}");
        assert_eq!(reply.body["fields"]["q"][0]["code"], "too_long");
        assert!(text(&reply.body["fields"]["q"][0]["message"]).contains(limit));
    }
    assert_eq!(contents(&alice, &"x".repeat(256), "").await.len(), 1);
    assert_eq!(alice.get(&format!("/search?q={}", words(16))).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_its_field() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    for (query, field) in [
        ("q=a%00b", "query"),
        ("q=a&from=%00", "query"),
        ("q=a&from=", "from"),
        (&format!("q=a&from={}", "x".repeat(129)), "from"),
        ("q=a&before=yesterday", "before"),
        ("q=a&before=5", "before"),
        ("q=a&after=-1", "after"),
        ("q=a&after=%2B200000-01-01T00:00:00Z", "after"),
        ("q=a&before=-20000-01-01T00:00:00Z", "before"),
        ("q=a&limit=0", "limit"),
        ("q=a&limit=-1", "limit"),
        ("q=a&limit=101", "limit"),
        ("q=a&limit=1e9", "limit"),
        ("q=a&limit=x", "limit"),
    ] {
        let reply = alice.get(&format!("/search?{query}")).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{query}");
        assert!(reply.body["fields"][field].is_array(), "{query}: {}", reply.text);
    }
    alice.get("/search?q=a&before=2026-01-01T00:00:00Z&after=2026-01-01T00:00:00Z&from=a%27--&limit=100").await.expect(200);
}

#[tokio::test]
async fn a_bad_or_foreign_cursor_is_refused() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let (one, two) = (alice.create_room("one").await, alice.create_room("two").await);
    for number in 0..3 {
        alice.say(&one, &format!("word {number}")).await;
        alice.say(&two, &format!("word {number}")).await;
    }
    let cursor = async |path: String| text(&alice.get(&path).await.expect(200)["nextCursor"]).to_owned();
    let everywhere = cursor("/search?q=word&limit=1".to_owned()).await;
    let in_one = cursor(format!("/search?q=word&limit=1&roomId={one}")).await;
    let of_rooms = cursor("/rooms?limit=1".to_owned()).await;
    // base64url of search:x, search:0:0:0, rooms:…
    for (rest, cursor) in [
        ("", "x"),
        ("", "%00"),
        ("", "c2VhcmNoOng"),
        ("", "c2VhcmNoOjA6MDow"),
        ("", &of_rooms),
        ("", &in_one),
        (&format!("&roomId={one}"), &everywhere),
        (&format!("&roomId={two}"), &in_one),
    ] {
        let reply = alice.get(&format!("/search?q=word&cursor={cursor}{rest}")).await;
        assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{cursor} {rest}");
    }
    alice.get(&format!("/search?q=word&cursor={everywhere}")).await.expect(200);
    alice.get(&format!("/search?q=word&cursor={in_one}&roomId={one}")).await.expect(200);
    assert_eq!(alice.get(&format!("/rooms?cursor={everywhere}")).await.refused(400), "VALIDATION_ERROR");
}

#[tokio::test]
async fn rooms_that_are_not_the_askers_are_refused_as_for_history() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let (den, square) = (alice.create_room("den").await, alice.create_public_room("square").await);
    alice.say(&den, "secret").await;
    alice.say(&square, "secret").await;
    for (room, status, code) in [
        (den.as_str(), 404, "ROOM_NOT_FOUND"),
        ("01890a5d-ac96-774b-bcce-b302099a8057", 404, "ROOM_NOT_FOUND"),
        ("nowhere", 404, "ROOM_NOT_FOUND"),
        (&encoded("a b"), 404, "ROOM_NOT_FOUND"),
        ("", 404, "ROOM_NOT_FOUND"),
        (&square, 403, "NOT_A_MEMBER"),
    ] {
        assert_eq!(bob.get(&format!("/search?q=secret&roomId={room}")).await.refused(status), code, "{room}");
    }
    let absent = "01890a5d-ac96-774b-bcce-b302099a8057";
    let (hidden, none) = (bob.get(&format!("/search?q=secret&roomId={den}")).await, bob.get(&format!("/search?q=secret&roomId={absent}")).await);
    for member in ["code", "status", "message", "detail", "title"] {
        assert_eq!(hidden.body[member], none.body[member]);
    }
    assert_eq!(alice.get(&format!("/search?q=secret&roomId={den}")).await.expect(200)["items"].as_array().unwrap().len(), 1);
}

/// A search that gets no answer in time is one to try again, and sending goes on meanwhile.
#[tokio::test]
async fn a_search_that_takes_too_long_is_unavailable_and_delays_nobody() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    alice.say("general", "hello").await;
    let mut holder = app.sql().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE search_segments IN ACCESS EXCLUSIVE MODE").execute(&mut holder).await.unwrap();

    let searches = async { futures_util::future::join_all((0..8).map(|_| alice.get("/search?q=hello"))).await };
    let (replies, said) = tokio::join!(searches, alice.say("general", "meanwhile"));

    assert_eq!(said["content"], "meanwhile");
    for reply in replies {
        assert_eq!(reply.refused(503), "UNAVAILABLE");
        assert_eq!(reply.body["retryable"], true);
        assert!(!reply.header("retry-after").is_empty());
    }
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    eventually("searches", async || alice.get("/search?q=hello").await.status == 200).await;
}

/// There are four places for searches: one user has three at the most.
#[tokio::test]
async fn one_user_does_not_take_all_places_for_searches() {
    let app = TestApp::with(&[("CHAT_LIMITS", "on"), ("CHAT_DATABASE_TIMEOUT", "30s")]).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    alice.say("general", "hello").await;
    let mut holder = app.sql().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE search_segments IN ACCESS EXCLUSIVE MODE").execute(&mut holder).await.unwrap();

    let mut searches: FuturesUnordered<_> = (0..5).map(|_| alice.get("/search?q=hello")).collect();
    for _ in 0..2 {
        let reply = searches.next().await.unwrap();
        assert_eq!((reply.refused(429), reply.header("retry-after")), ("RATE_LIMITED", "1"));
    }
    let commit = sqlx::raw_sql("COMMIT").execute(&mut holder);
    let (found, committed) = tokio::join!(bob.get("/search?q=hello"), commit);

    committed.unwrap();
    assert_eq!(found.expect(200)["items"].as_array().unwrap().len(), 1);
    while let Some(reply) = searches.next().await {
        reply.expect(200);
    }
}

#[tokio::test]
async fn without_postgres_a_search_is_unavailable_and_works_again_by_itself() {
    let postgres = cluster::exclusive();
    let app = TestApp::on_cluster(&postgres, &[("CHAT_SEARCH_BLOCK", "4")]).await;
    let alice = app.user("alice").await;
    for number in 0..8 {
        alice.say("general", &format!("hello {number}")).await;
    }
    assert_eq!(contents(&alice, "hello", "").await.len(), 8);

    postgres.kill();
    assert_eq!(alice.get("/search?q=hello").await.refused(503), "UNAVAILABLE");
    postgres.start_again();

    eventually("a search", async || alice.get("/search?q=hello").await.status == 200).await;
    assert_eq!(contents(&alice, "hello", "").await.len(), 8);
}
