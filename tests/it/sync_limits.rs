//! What is too much for one answer of sync: limited answers and how their gap is paged, `more`, and `reset`. Contract section 6.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::sync::{Away, changes, id};
use crate::support::{
    TestUser,
    json::{int, text},
    mirror::assert_changes,
};

/// The most that an answer has of changes.
const BYTES: usize = 512 << 10;

/// What Bob may read at most of the room in one answer.
async fn limited(away: &Away, since: i64, limit: i64) -> Value {
    let ask = json!({ "rooms": { (away.den.room.as_str()): since }, "limit": limit });
    let answer = away.den.member.emit_ok("chat:sync", &ask).await;
    let changes = answer["rooms"][0].clone();
    assert_changes(&changes, since, Some(limit));
    changes
}

async fn page(user: &TestUser, room: &str, since: i64, until: i64, limit: i64) -> Value {
    let page = user.get(&format!("/rooms/{room}/changes?since={since}&until={until}&limit={limit}")).await.expect(200);
    assert_changes(&page, since, Some(limit));
    assert_eq!((&page["limited"], &page["hasMore"]), (&json!(false), &json!(int(&page["toSeq"]) < until)));
    page
}

/// The number and the id of everything in an answer, in the order of the numbers.
fn items(changes: &Value) -> Vec<(i64, String)> {
    let items = |list: &str, number: &str, id: &str| {
        let items = changes[list].as_array().unwrap().iter();
        items.map(|item| (int(&item[number]), text(&item[id]).to_owned())).collect::<Vec<_>>()
    };
    let mut all = [items("messages", "rev", "id"), items("members", "seq", "userId")].concat();
    all.sort();
    all
}

/// All pages of a gap.
async fn all_pages(user: &TestUser, room: &str, gap: &Value, limit: i64) -> Vec<(i64, String)> {
    let (mut since, until) = (int(&gap["since"]), int(&gap["until"]));
    let mut found = Vec::new();
    loop {
        let page = page(user, room, since, until, limit).await;
        found.extend(items(&page));
        assert!(int(&page["toSeq"]) > since, "{page:.1000}");
        since = int(&page["toSeq"]);
        if page["hasMore"] == false {
            return found;
        }
    }
}

/// Ten messages by Alice, of which the first and the fourth are pinned later, and two comings.
async fn busy() -> Away {
    let away = Away::start().await;
    let mut said = Vec::new();
    for number in 0..10 {
        said.push(away.den.owner.say(&away.den.room, &number.to_string()).await);
        if number % 4 == 3 {
            let user = format!("u{number}");
            away.den.app.user(&user).await;
            away.den.owner.emit_ok("chat:room:invite", &away.den.upon(&user, json!({}))).await;
        }
    }
    for number in [0, 3] {
        away.den.owner.emit_ok("chat:message:pin", &id(&said[number])).await;
    }
    away
}

#[tokio::test]
async fn what_fits_exactly_is_not_limited_and_one_more_is() {
    let away = busy().await;

    let all = limited(&away, away.since, 12).await;
    let most = limited(&away, away.since, 11).await;

    assert_eq!((&all["limited"], items(&all).len()), (&json!(false), 12));
    assert_eq!((&most["limited"], &most["toSeq"]), (&json!(true), &all["toSeq"]));
    assert_eq!(int(&most["gap"]["since"]), away.since);
    assert!(items(&all).ends_with(&items(&most)), "the newest: {most:.2000}");
}

#[tokio::test]
async fn what_is_missing_in_a_limited_answer_is_all_in_the_pages_of_its_gap_and_once() {
    let away = busy().await;
    let all = items(&limited(&away, away.since, 1_000).await);
    for limit in [1, 2, 3, 5, 7, 11] {
        let newest = limited(&away, away.since, limit).await;
        let until = int(&newest["gap"]["until"]);
        let (older, newer): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|(number, _)| *number <= until);
        assert_eq!(items(&newest), newer, "limit {limit}");
        assert!(!newer.is_empty() && newer.len() <= usize::try_from(limit).unwrap(), "limit {limit}: {newer:?}");
        for page in [1, 2, 4, 1_000] {
            assert_eq!(all_pages(&away.den.bob, &away.den.room, &newest["gap"], page).await, older, "limit {limit}, pages of {page}");
        }
    }
}

#[tokio::test]
async fn what_of_the_gap_changes_while_it_is_paged_comes_with_the_last_call() {
    let away = busy().await;
    let newest = limited(&away, away.since, 3).await;
    let (since, until) = (int(&newest["gap"]["since"]), int(&newest["gap"]["until"]));
    let first = page(&away.den.bob, &away.den.room, since, until, 3).await;
    let seen = first["messages"][0].clone();
    let unseen = page(&away.den.bob, &away.den.room, int(&first["toSeq"]), until, 3).await["messages"][0].clone();

    for message in [&seen, &unseen] {
        away.den.owner.emit_ok("chat:message:edit", &json!({ "messageId": message["id"], "content": "changed" })).await;
    }

    let rest = all_pages(&away.den.bob, &away.den.room, &json!({ "since": first["toSeq"], "until": until }), 2).await;
    assert!(!rest.iter().any(|(_, id)| *id == text(&unseen["id"])), "it is in the gap no more");
    let last = changes(&away.den.member, &away.den.room, int(&newest["toSeq"])).await;
    assert_eq!(last["limited"], false);
    let mut known = BTreeMap::new();
    for (number, id) in [items(&first), rest, items(&newest), items(&last)].concat() {
        known.insert(id, number);
    }
    let all = limited(&away, away.since, 1_000).await;
    assert_eq!(known, items(&all).into_iter().map(|(number, id)| (id, number)).collect());
    assert!(last["messages"].as_array().unwrap().iter().all(|message| message["content"] == "changed"), "{last:.1000}");
}

/// A reply and its root, an old owner and a new one.
#[tokio::test]
async fn what_shares_a_number_is_never_torn_apart() {
    let away = Away::start().await;
    let reply = json!({ "roomId": away.den.room, "content": "re", "threadRootId": away.his["id"] });
    let first = away.den.owner.emit_ok("chat:message", &reply).await;
    away.den.owner.emit_ok("chat:room:role", &away.den.upon("bob", json!({ "role": "owner" }))).await;
    let reply = json!({ "roomId": away.den.room, "content": "re", "threadRootId": away.hers["id"] });
    let last = away.den.owner.emit_ok("chat:message", &reply).await;

    for limit in [1, 2, 3, 4, 5] {
        let newest = limited(&away, away.since, limit).await;
        let found = items(&newest);
        let pages = all_pages(&away.den.bob, &away.den.room, &newest["gap"], limit).await;
        let numbers = |of: &[(i64, String)]| of.iter().map(|(number, _)| number - away.since).collect::<Vec<_>>();
        let expected = [1, 1, 2, 2, 3, 3];
        let in_window = if limit < 4 { 2 } else { 4 };
        assert_eq!(numbers(&found), expected[6 - in_window..], "limit {limit}");
        assert_eq!(numbers(&pages), expected[..6 - in_window], "limit {limit}");
    }
    assert_eq!((int(&first["seq"]), int(&last["seq"])), (away.since + 1, away.since + 3));
}

#[tokio::test]
async fn a_page_ends_at_the_rooms_last_number_and_an_empty_one_has_no_more() {
    let away = busy().await;
    let last = away.den.last_seq().await;

    let beyond = away.den.bob.get(&format!("/rooms/{}/changes?since=0&until=9223372036854775807", away.den.room)).await.expect(200);
    let none = away.den.bob.get(&format!("/rooms/{}/changes?since={last}&until={last}", away.den.room)).await.expect(200);

    assert_eq!((int(&beyond["toSeq"]), &beyond["hasMore"]), (last, &json!(false)));
    assert_eq!(items(&beyond), items(&limited(&away, 0, 1_000).await));
    assert_eq!((int(&none["toSeq"]), &none["hasMore"], items(&none).len()), (last, &json!(false), 0));
}

#[tokio::test]
async fn more_than_half_a_mebibyte_is_limited_and_so_are_its_pages() {
    let away = Away::start().await;
    let long = "€".repeat(4_000);
    for number in 0..50 {
        away.den.alice.say(&away.den.room, &format!("{number}{}", &long[..3 * 3_900])).await;
    }

    let newest = limited(&away, away.since, 1_000).await;

    assert_eq!(newest["limited"], true);
    let size = newest["messages"].to_string().len();
    assert!((BYTES - 2 * 12_000..=BYTES + 1_000).contains(&size), "{size}");
    let whole = away.den.bob.get(&format!("/rooms/{}/changes?since={}&until={}", away.den.room, away.since, int(&newest["toSeq"]))).await.expect(200);
    assert!(whole["hasMore"] == true && whole["messages"].to_string().len() <= BYTES + 1_000);
    let pages = all_pages(&away.den.bob, &away.den.room, &newest["gap"], 1_000).await;
    let found: Vec<i64> = pages.into_iter().chain(items(&newest)).map(|(number, _)| number).collect();
    assert_eq!(found, (away.since + 1..=away.since + 50).collect::<Vec<_>>());
}

/// Rooms for which there is no room in an answer are named, and asking for them goes on to the end.
#[tokio::test]
async fn rooms_that_do_not_fit_are_named_in_more_and_come_when_they_are_asked_for() {
    let away = Away::start().await;
    let (alice, bob) = (&away.den.alice, &away.den.bob);
    let long = "€".repeat(3_900);
    let mut rooms = serde_json::Map::new();
    for number in 0..4 {
        let room = alice.create_room_with(&number.to_string(), &[bob]).await;
        for _ in 0..if number == 3 { 0 } else { 25 } {
            alice.say(&room, &long).await;
        }
        rooms.insert(room, json!(0));
    }
    let (asked, mut answered, mut answers) = (rooms.clone(), BTreeMap::new(), 0);
    rooms.insert("nowhere".into(), json!(5));

    while !rooms.is_empty() {
        let answer = away.den.member.emit_ok("chat:sync", &json!({ "rooms": rooms })).await;
        assert_eq!(answer["gone"], if answers == 0 { json!(["nowhere"]) } else { json!([]) });
        assert!(answer.to_string().len() <= BYTES + 32_000, "{}", answer.to_string().len());
        let found = answer["rooms"].as_array().unwrap();
        assert!(!found.is_empty(), "the first room with changes is always answered");
        for changes in found {
            assert_changes(changes, 0, None);
            assert_eq!(changes["limited"], false, "it fits into an answer of its own");
            assert!(answered.insert(text(&changes["roomId"]).to_owned(), items(changes).len()).is_none(), "each room once");
        }
        rooms = answer["more"].as_array().unwrap().iter().map(|key| (text(key).to_owned(), json!(0))).collect();
        answers += 1;
    }

    assert!((2..=3).contains(&answers), "{answers} answers");
    assert!(answered.keys().eq(asked.keys()), "{answered:?}");
    let mut counts: Vec<usize> = answered.into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [0, 25, 25, 25]);
}

#[tokio::test]
async fn a_thousand_changes_are_shared_by_all_rooms_of_an_answer() {
    let away = Away::start().await;
    let (alice, bob) = (&away.den.alice, &away.den.bob);
    let mut rooms = serde_json::Map::new();
    for number in 0..2 {
        let room = alice.create_room_with(&number.to_string(), &[bob]).await;
        let many = format!(
            "INSERT INTO messages (room_id, seq, rev, id, author_id, type, content)
                 SELECT '{room}', n, n, gen_random_uuid(), 'alice', 'text', 'x' FROM generate_series(1, 600) AS n;
             UPDATE rooms SET last_seq = 600, last_message_seq = 600 WHERE id = '{room}'"
        );
        away.den.app.execute(&many).await;
        rooms.insert(room, json!(0));
    }

    let first = away.den.member.emit_ok("chat:sync", &json!({ "rooms": rooms })).await;
    let second = away.den.member.emit_ok("chat:sync", &json!({ "rooms": { (text(&first["more"][0])): 0 } })).await;

    for answer in [&first, &second] {
        assert_eq!(answer["rooms"].as_array().unwrap().len(), 1);
        assert_eq!((items(&answer["rooms"][0]).len(), &answer["rooms"][0]["limited"]), (600, &json!(false)));
    }
    assert_eq!((first["more"].as_array().unwrap().len(), &second["more"]), (1, &json!([])));
    assert_ne!(first["rooms"][0]["roomId"], second["rooms"][0]["roomId"]);
}

/// More than the most that an answer holds, and most of it moved by later changes.
#[tokio::test]
async fn three_thousand_changes_are_a_window_of_a_thousand_and_pages() {
    let away = Away::start().await;
    let room = &away.den.room;
    let many = format!(
        "INSERT INTO messages (room_id, seq, rev, id, author_id, type, content)
             SELECT '{room}', n, CASE WHEN n % 3 = 0 THEN 3000 + n / 3 ELSE n END, gen_random_uuid(), 'alice', 'text', 'x'
             FROM generate_series(3, 2999) AS n;
         UPDATE rooms SET last_seq = 3999, last_message_seq = 2999 WHERE id = '{room}'"
    );
    away.den.app.execute(&many).await;

    let newest = changes(&away.den.member, room, away.since).await;

    assert_eq!((&newest["limited"], int(&newest["toSeq"])), (&json!(true), 3_999));
    assert!((900..=1_000).contains(&items(&newest).len()), "{}", items(&newest).len());
    let pages = all_pages(&away.den.bob, room, &newest["gap"], 1_000).await;
    let numbers: Vec<i64> = pages.into_iter().chain(items(&newest)).map(|(number, _)| number).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "each once, in order");
    assert_eq!(numbers.len(), 2_997);
}

/// What the client has is of another history: a backup was restored.
#[tokio::test]
async fn a_number_beyond_the_rooms_last_is_a_reset() {
    let away = busy().await;
    let last = away.den.last_seq().await;
    let all = items(&limited(&away, 0, 1_000).await);
    for (since, limit) in [(last + 1, 1_000), (last + 1, 3), (i64::MAX, 3)] {
        let ask = json!({ "rooms": { (away.den.room.as_str()): since }, "limit": limit });
        let answer = away.den.member.emit_ok("chat:sync", &ask).await;
        let reset = &answer["rooms"][0];
        assert_eq!((&reset["reset"], &reset["limited"]), (&json!(true), &json!(true)), "{reset:.1000}");
        assert_eq!((int(&reset["toSeq"]), &reset["room"]["lastSeq"]), (last, &json!(last)));
        assert_eq!(int(&reset["gap"]["since"]), 0, "nothing of what the client has counts");
        let until = int(&reset["gap"]["until"]);
        let older = if until > 0 { all_pages(&away.den.bob, &away.den.room, &reset["gap"], 5).await } else { Vec::new() };
        assert_eq!([older, items(reset)].concat(), all, "since {since}, limit {limit}");
    }
    let exact = changes(&away.den.member, &away.den.room, last).await;
    assert_eq!((exact.get("reset"), &exact["limited"]), (None, &json!(false)));
}
