//! Searches while things happen: the worker that is killed, two servers on one database, changes at the same time.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{
    TestApp, eventually,
    json::{int, text},
    search::{assert_index_is_sound, contents, is_indexed, search, seqs},
};

const BLOCKS: &[(&str, &str)] = &[("CHAT_SEARCH_BLOCK", "16")];

/// The first server does not index anything of what is said; the second one catches up.
#[tokio::test]
async fn the_worker_catches_up_by_itself_after_the_server_was_killed() {
    let mut app = TestApp::with(BLOCKS).await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    app.execute(&format!("INSERT INTO search_rooms (room_id) VALUES ('{room}') ON CONFLICT DO NOTHING")).await;
    let mut holder = app.sql().await;
    sqlx::raw_sql("BEGIN; SELECT * FROM search_rooms FOR UPDATE").execute(&mut holder).await.unwrap();
    let socket = alice.connect().await;
    for number in 0..200 {
        socket.say(&room, &format!("needle {number}")).await;
    }
    let edited = text(&search(&alice, "\"needle 7\"", "").await[0]["message"]["id"]).to_owned();
    alice.patch(&format!("/messages/{edited}"), &json!({ "content": "a haystack" })).await.expect(200);

    app.kill_9();
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM search_postings").await, 0);
    app.start_again();

    is_indexed(&app, &room).await;
    let alice = alice.at(app.base());
    assert_eq!(contents(&alice, "needle", "").await.len(), 199);
    assert_eq!(contents(&alice, "haystack", "").await, ["a haystack"]);
    assert!(app.number("SELECT count(*) FROM search_segments").await > 0);
    assert_index_is_sound(&app).await;
}

/// Killed in the middle of its work, again and again, it neither loses nor doubles anything.
#[tokio::test]
async fn kills_in_the_middle_of_indexing_leave_a_sound_index() {
    let mut app = TestApp::with(BLOCKS).await;
    let mut alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    for round in 0..4 {
        let socket = alice.connect().await;
        for number in 0..60 {
            socket.say(&room, &format!("needle {round} {number}")).await;
        }
        app.kill_9();
        app.start_again();
        alice = alice.at(app.base());
        assert_eq!(search(&alice, "needle", "").await.len(), 60 * (round + 1));
    }
    is_indexed_up_to_a_block(&app, &room).await;
    let found = search(&alice, "needle", &format!("&roomId={room}")).await;
    assert!(found.len() == 240 && seqs(&found).is_sorted_by(|a, b| a > b));
    assert_index_is_sound(&app).await;
}

async fn is_indexed_up_to_a_block(app: &TestApp, room: &str) {
    let left = format!(
        "SELECT r.last_message_seq - COALESCE(s.indexed_seq, 0) FROM rooms AS r LEFT JOIN search_rooms AS s ON s.room_id = r.id WHERE r.id = '{room}'"
    );
    eventually("the index", async || app.number(&left).await < 16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_on_one_database_share_the_work() {
    let app = TestApp::with(BLOCKS).await;
    let (_second, base) = app.second_server();
    let (here, there) = (app.user("alice").await, app.user("bob").await.at(&base));
    let room = here.create_room_with("den", &[&there]).await;

    let say = async |user: &crate::support::TestUser, name: &str| {
        for number in 0..100 {
            user.say(&room, &format!("needle {name} {number}")).await;
        }
    };
    tokio::join!(say(&here, "here"), say(&there, "there"));

    is_indexed_up_to_a_block(&app, &room).await;
    for user in [&here, &there] {
        for rest in [String::new(), format!("&roomId={room}&limit=7")] {
            assert_eq!(search(user, "needle", &rest).await.len(), 200);
            assert_eq!(search(user, "needle there", &rest).await.len(), 100);
        }
    }
    assert_index_is_sound(&app).await;
}

/// Every search sees all that was acknowledged before it began, each message once, whatever the worker is doing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_amid_sends_miss_nothing_that_was_acknowledged() {
    let app = TestApp::with(&[("CHAT_SEARCH_BLOCK", "8")]).await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    let socket = alice.connect().await;

    let mut known = 0;
    for round in 0..25 {
        let said = join_all((0..8).map(|number| {
            let (socket, content) = (&socket, format!("needle {round} {number}"));
            let room = &room;
            async move { socket.say(room, &content).await }
        }));
        let rest = if round % 2 == 0 { String::new() } else { format!("&roomId={room}") };
        let (_, found) = tokio::join!(said, search(&alice, "needle", &rest));
        assert!(found.len() >= known, "{} of {known}", found.len());
        let mut seqs = seqs(&found);
        let count = seqs.len();
        seqs.sort_unstable();
        seqs.dedup();
        assert_eq!(seqs.len(), count, "each once");
        known += 8;
    }
    assert_eq!(search(&alice, "needle", "").await.len(), known);
    assert_index_is_sound(&app).await;
}

/// Edits and deletions while the worker is at the same messages: in the end the index has what is said, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_and_deletions_amid_indexing_end_in_what_is_said() {
    let app = TestApp::with(&[("CHAT_SEARCH_BLOCK", "4")]).await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    let mut changes = Vec::new();
    for number in 0..60 {
        let message = alice.say(&room, &format!("zebra {number}")).await;
        let (alice, id) = (alice.clone(), text(&message["id"]).to_owned());
        changes.push(tokio::spawn(async move {
            match number % 3 {
                0 => alice.delete(&format!("/messages/{id}")).await.expect(200),
                1 => alice.patch(&format!("/messages/{id}"), &json!({ "content": format!("giraffe {number}") })).await.expect(200),
                _ => json!(null),
            }
        }));
    }
    for change in join_all(changes).await {
        change.unwrap();
    }

    assert_eq!(search(&alice, "zebra", "").await.len(), 20);
    eventually("the edited ones", async || search(&alice, "giraffe", "").await.len() == 20).await;
    assert_eq!(int(&alice.room(&room).await["lastSeq"]) - 60 - 40, 0);
    assert_index_is_sound(&app).await;
}
