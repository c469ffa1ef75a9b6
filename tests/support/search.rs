//! Searching, page by page, and waiting for the index.

use std::time::Duration;

use serde_json::Value;

use super::{
    TestApp, TestUser, eventually_within,
    json::{int, text},
};

/// A server whose index takes in few messages at a time, so that those of a test are in it.
pub const SMALL_BLOCKS: &[(&str, &str)] = &[("CHAT_SEARCH_BLOCK", "4")];

/// As it stands in a URL.
pub fn encoded(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// All results for `q`, page by page; `rest` is what else the request says.
pub async fn search(user: &TestUser, q: &str, rest: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let mut page = user.get(&format!("/search?q={}{rest}{cursor}", encoded(q))).await.expect(200);
        all.append(page["items"].as_array_mut().unwrap());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// The contents of all results.
pub async fn contents(user: &TestUser, q: &str, rest: &str) -> Vec<String> {
    search(user, q, rest).await.iter().map(|found| text(&found["message"]["content"]).to_owned()).collect()
}

/// Waits until everything that was said in a room so far is in the index.
pub async fn is_indexed(app: &TestApp, room: &str) {
    let last = app.number(&format!("SELECT last_message_seq FROM rooms WHERE id = '{room}'")).await;
    let indexed = format!("SELECT COALESCE((SELECT indexed_seq FROM search_rooms WHERE room_id = '{room}'), 0)");
    eventually_within(Duration::from_mins(1), "the index", async || app.number(&indexed).await >= last).await;
}

/// The token of three letters, as the migration describes it.
pub fn token(letters: &str) -> i64 {
    letters.chars().fold(0, |token, letter| token << 21 | i64::from(u32::from(letter)))
}

/// How many lists of the index have these letters.
pub async fn lists_with(app: &TestApp, letters: &str) -> i64 {
    app.number(&format!("SELECT count(*) FROM search_postings WHERE token = {}", token(letters))).await
}

/// Every segment lies behind the one before it, and every list belongs to a segment.
pub async fn assert_index_is_sound(app: &TestApp) {
    for (what, query) in [
        (
            "overlapping segments",
            "SELECT count(*) FROM search_segments AS a JOIN search_segments AS b ON a.room_id = b.room_id AND a.first_seq < b.first_seq AND a.last_seq >= b.first_seq",
        ),
        (
            "lists without a segment",
            "SELECT count(*) FROM search_postings AS p LEFT JOIN search_segments AS s ON s.id = p.segment_id WHERE s.id IS NULL",
        ),
        (
            "segments beyond what is indexed",
            "SELECT count(*) FROM search_segments AS s JOIN search_rooms AS r USING (room_id) WHERE s.last_seq > r.indexed_seq",
        ),
        (
            "indexes beyond the room",
            "SELECT count(*) FROM search_rooms AS s JOIN rooms AS r ON r.id = s.room_id WHERE GREATEST(s.indexed_seq, s.changed_seq) > r.last_seq",
        ),
    ] {
        assert_eq!(app.number(query).await, 0, "{what}");
    }
}

/// The number of each result, in its room.
pub fn seqs(found: &[Value]) -> Vec<i64> {
    found.iter().map(|found| int(&found["message"]["seq"])).collect()
}
