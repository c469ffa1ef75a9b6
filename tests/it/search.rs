//! Search: what is found, in which order, and how it is marked. Contract section 7.

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestUser, eventually,
    json::{assert_members, int, text},
    search::{SMALL_BLOCKS, contents, is_indexed, lists_with, search, seqs},
};

/// A room with messages that are in the index, or that are not: what is found is the same.
async fn talk(said: &[&str], is_in_index: bool) -> (TestApp, TestUser, String) {
    let app = TestApp::with(if is_in_index { SMALL_BLOCKS } else { &[] }).await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    for content in said {
        alice.say(&room, content).await;
    }
    if is_in_index {
        // Blocks of four are taken in at once; what is left is looked at by and by.
        for _ in 0..4 - said.len() % 4 {
            alice.say(&room, ".").await;
        }
        is_indexed(&app, &room).await;
    }
    (app, alice, room)
}

#[tokio::test]
async fn a_message_is_found_as_soon_as_it_is_acknowledged() {
    let app = TestApp::with(SMALL_BLOCKS).await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    let socket = alice.connect().await;

    for number in 1..=30 {
        let said = socket.say(&room, &format!("number{number:03} of many")).await;

        let found = search(&alice, &format!("number{number:03}"), "").await;

        assert_eq!(found.len(), 1, "{number}");
        assert_eq!(found[0]["message"]["id"], said["id"]);
    }
    assert_eq!(search(&alice, "many", "").await.len(), 30);
}

#[tokio::test]
async fn words_parts_of_words_and_phrases_of_many_scripts_are_found() {
    let said = [
        "Der Käse liegt im Kühlschrank, Straße 12",
        "我们明天去北京开会吧",
        "東京タワーで会いましょう",
        "내일 서울에서 만나요",
        "Party 🎉🎉 at my place 👍🏽",
        "שָׁלוֹם לכולם, מה נשמע",
        "مرحبا بالعالم",
        "Встретимся у ёлки",
        "see https://example.com/some_path?q=1&b=2",
        "it's a c++ thing, ok",
        "the quick brown fox",
        "the fox is quick and brown",
    ];
    for is_in_index in [false, true] {
        let (_app, alice, _) = talk(&said, is_in_index).await;
        for (q, expected) in [
            ("käse", vec![0]),
            ("KASE", vec![0]),
            ("hlschr", vec![0]),
            ("strasse 12", vec![0]),
            ("北京", vec![1]),
            ("京", vec![2, 1]),
            ("明天 开会", vec![1]),
            ("东京", vec![]),
            ("東京", vec![2]),
            ("タワー", vec![2]),
            ("서울", vec![3]),
            ("🎉", vec![4]),
            ("👍", vec![4]),
            ("שלום", vec![5]),
            ("بالعالم", vec![6]),
            ("елки", vec![7]),
            ("example.com/some", vec![8]),
            ("path", vec![8]),
            ("c++", vec![9]),
            ("ok", vec![9]),
            ("thing ok it's", vec![9]),
            ("quick", vec![11, 10]),
            ("uick fox", vec![11, 10]),
            ("\"quick brown\"", vec![10]),
            ("\"brown quick\"", vec![]),
            ("fox -- \"the fox\"", vec![11]),
            ("quick nowhere", vec![]),
            ("foxes", vec![]),
            ("ui", vec![]),
        ] {
            let expected: Vec<&str> = expected.into_iter().map(|place: usize| said[place]).collect();
            assert_eq!(contents(&alice, q, "").await, expected, "{q}, in the index: {is_in_index}");
        }
    }
}

#[tokio::test]
async fn a_result_is_the_message_as_in_history_with_its_highlights() {
    for is_in_index in [false, true] {
        let (_app, alice, room) = talk(&["🎉 Café, cafe\u{301} and CAFETERIA"], is_in_index).await;
        let message = alice.history(&room).await.remove(0);
        alice.put(&format!("/messages/{}/reactions/👍", text(&message["id"])), &json!({})).await.expect(200);

        let found = search(&alice, "cafe", "").await;

        assert_eq!(found.len(), 1);
        assert_members(&found[0], &["message", "roomId", "highlights"]);
        assert_eq!(found[0]["message"], alice.history(&room).await[0]);
        assert_eq!(found[0]["message"]["ownReactions"], json!(["👍"]));
        assert_eq!(found[0]["roomId"], room);
        // In UTF-16 code units, as JavaScript counts: the emoji takes two, and the accent belongs to its letter.
        assert_eq!(found[0]["highlights"], json!([{ "start": 3, "end": 7 }, { "start": 9, "end": 14 }, { "start": 19, "end": 23 }]));
    }
}

#[tokio::test]
async fn an_edited_text_is_found_by_its_new_words_and_not_by_the_old() {
    for is_in_index in [false, true] {
        let (app, alice, _room) = talk(&["the zebra sleeps", "nothing", "nothing"], is_in_index).await;
        let found = search(&alice, "zebra", "").await;
        let id = text(&found[0]["message"]["id"]);

        alice.patch(&format!("/messages/{id}"), &json!({ "content": "the giraffe sleeps" })).await.expect(200);

        assert_eq!(contents(&alice, "zebra", "").await, Vec::<String>::new(), "from the moment of the edit on");
        eventually("the new words", async || contents(&alice, "giraffe", "").await == ["the giraffe sleeps"]).await;
        assert_eq!(contents(&alice, "sleeps", "").await, ["the giraffe sleeps"]);
        eventually("the end of the old words", async || lists_with(&app, "zeb").await == 0).await;
        eventually("the new ones", async || lists_with(&app, "gir").await == i64::from(is_in_index)).await;
    }
}

#[tokio::test]
async fn a_deleted_text_is_found_no_more_and_leaves_the_index() {
    let (app, alice, room) = talk(&["a xylophone", "a drum", "another drum"], true).await;
    assert_eq!(lists_with(&app, "xyl").await, 1);
    let id = text(&search(&alice, "xylophone", "").await[0]["message"]["id"]).to_owned();
    let found_by_room = search(&alice, "xylophone", &format!("&roomId={room}")).await;
    assert_eq!(found_by_room.len(), 1);

    alice.delete(&format!("/messages/{id}")).await.expect(200);

    assert_eq!(search(&alice, "xylophone", "").await, Vec::<Value>::new());
    eventually("the end of its tokens", async || lists_with(&app, "xyl").await == 0).await;
    assert_eq!(contents(&alice, "drum", "").await, ["another drum", "a drum"]);
}

/// Several rooms, whose messages alternate in time.
#[tokio::test]
async fn results_of_all_rooms_are_the_newest_first() {
    for settings in [&[], SMALL_BLOCKS] {
        let app = TestApp::with(settings).await;
        let alice = app.user("alice").await;
        let rooms = [alice.create_room("one").await, alice.create_room("two").await, alice.create_room("three").await];
        let mut said = Vec::new();
        for number in 0..24 {
            said.push(alice.say(&rooms[number * number % 3], &format!("tick {number}")).await);
        }
        said.reverse();

        for limit in [1, 5, 100] {
            let found = search(&alice, "tick", &format!("&limit={limit}")).await;
            assert_eq!(
                found.iter().map(|found| &found["message"]["id"]).collect::<Vec<_>>(),
                said.iter().map(|said| &said["id"]).collect::<Vec<_>>()
            );
        }
        let one = search(&alice, "tick", &format!("&roomId={}&limit=3", rooms[1])).await;
        assert!(one.iter().all(|found| found["roomId"] == rooms[1]));
        assert!(one.len() == 16 && seqs(&one).is_sorted_by(|a, b| a > b));
    }
}

#[tokio::test]
async fn a_room_may_be_named_by_its_slug() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    alice.say("general", "hello world").await;

    assert_eq!(contents(&alice, "hello", "&roomId=general").await, ["hello world"]);
}

#[tokio::test]
async fn authors_and_times_narrow_a_search() {
    for settings in [&[], SMALL_BLOCKS] {
        let app = TestApp::with(settings).await;
        let (alice, bob) = (app.user("alice").await, app.user("bob").await);
        let room = alice.create_room_with("den", &[&bob]).await;
        let mut times = Vec::new();
        for number in 0..8 {
            // Each has its own millisecond.
            let before = chrono::Utc::now().timestamp_millis();
            eventually("the next millisecond", async || chrono::Utc::now().timestamp_millis() > before).await;
            let user = if number % 2 == 0 { &alice } else { &bob };
            times.push(text(&user.say(&room, &format!("word {number}")).await["createdAt"]).to_owned());
        }
        if !settings.is_empty() {
            is_indexed(&app, &room).await;
        }
        // Times are told in milliseconds and kept in microseconds.
        app.execute("UPDATE messages SET created_at = date_trunc('milliseconds', created_at)").await;

        for room in [String::new(), format!("&roomId={room}")] {
            let of = async |rest: &str| contents(&alice, "word", &format!("{room}{rest}")).await;
            assert_eq!(of("&from=bob").await, ["word 7", "word 5", "word 3", "word 1"]);
            assert_eq!(of("&from=nobody").await, Vec::<String>::new());
            assert_eq!(of(&format!("&before={}", times[2])).await, ["word 1", "word 0"]);
            assert_eq!(of(&format!("&after={}", times[6])).await, ["word 7", "word 6"]);
            assert_eq!(of(&format!("&after={}&before={}&from=alice&limit=1", times[1], times[6])).await, ["word 4", "word 2"]);
            assert_eq!(of("&before=1990-01-01T00:00:00Z").await, Vec::<String>::new());
            assert_eq!(of("&after=2990-01-01T00:00:00%2B02:00").await, Vec::<String>::new());
        }
    }
}

/// Messages that arrive between two pages neither double nor hide anything.
#[tokio::test]
async fn paging_over_300_results_while_messages_arrive_neither_loses_nor_doubles() {
    for settings in [&[], &[("CHAT_SEARCH_BLOCK", "32")][..]] {
        let app = TestApp::with(settings).await;
        let alice = app.user("alice").await;
        let rooms = [alice.create_room("one").await, alice.create_room("two").await];
        let socket = alice.connect().await;
        let mut said = Vec::new();
        for number in 0..300 {
            said.push(text(&socket.say(&rooms[number % 2], &format!("needle {number}")).await["id"]).to_owned());
        }

        for rest in ["", &format!("&roomId={}", rooms[0])] {
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = alice.get(&format!("/search?q=needle&limit=20{rest}{cursor}")).await.expect(200);
                found.extend(page["items"].as_array().unwrap().iter().map(|item| text(&item["message"]["id"]).to_owned()));
                socket.say(&rooms[found.len() / 20 % 2], "a needle that came later").await;
                match page["nextCursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            let expected: Vec<_> = said.iter().step_by(if rest.is_empty() { 1 } else { 2 }).rev().collect();
            let known: Vec<_> = found.iter().filter(|id| said.contains(id)).collect();
            assert_eq!(known, expected, "{rest}");
        }
    }
}

#[tokio::test]
async fn how_far_the_index_is_behind_is_told_where_readiness_is() {
    let app = TestApp::with(SMALL_BLOCKS).await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    let behind = async || app.get("/readyz").await.expect(200)["search"].clone();
    eventually("the first look at all rooms", async || behind().await != Value::Null).await;
    // Somebody else holds the room's index.
    app.execute(&format!("INSERT INTO search_rooms (room_id) VALUES ('{room}') ON CONFLICT DO NOTHING")).await;
    let mut holder = app.sql().await;
    sqlx::raw_sql("BEGIN; SELECT * FROM search_rooms FOR UPDATE").execute(&mut holder).await.unwrap();

    for number in 0..20 {
        alice.say(&room, &format!("word {number}")).await;
    }

    eventually("what waits", async || int(&behind().await["messagesBehind"]) >= 20).await;
    assert_eq!(behind().await["roomsBehind"], 1);
    assert_eq!(contents(&alice, "word", "").await.len(), 20, "what is not in the index is found all the same");
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    alice.say(&room, "one more").await;
    is_indexed(&app, &room).await;
    eventually("an index that is not behind", async || behind().await == json!({ "roomsBehind": 0, "messagesBehind": 0 })).await;
}
