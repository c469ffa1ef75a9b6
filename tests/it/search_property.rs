//! Whatever was said, edited and deleted: a search finds what a reader of the whole history would.

use serde_json::{Value, json};

use crate::support::{
    Dice, TestApp, TestUser, eventually,
    json::{int, text},
    search::{assert_index_is_sound, search},
};

const WORDS: [&str; 14] = ["alpha", "beta", "gamma", "alphabet", "go", "a", "Ωmega", "zürich", "東京", "京都", "🎉", "x.y", "don't", "alphaalpha"];

fn sentence(dice: &mut Dice) -> String {
    let count = dice.below(6) + 1;
    let words: Vec<&str> = (0..count).map(|_| WORDS[dice.below(WORDS.len())]).collect();
    words.join(["", " ", ", ", " - "][dice.below(4)])
}

/// What a query means, told in another way than the server's: without tokens, by what surrounds each place.
fn holds(content: &str, term: &str) -> bool {
    let fold = |text: &str| -> Vec<char> {
        let plain = text.to_lowercase().replace('ü', "u");
        let spaced: String = plain.chars().map(|c| if ".'-,".contains(c) { ' ' } else { c }).collect();
        spaced.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect()
    };
    let (content, term) = (fold(content), fold(term));
    let is_letter = |c: char| c.is_alphanumeric() && !"東京都".contains(c);
    let class = |c: char| (c == ' ', is_letter(c));
    let pieces: Vec<&[char]> = term.chunk_by(|a, b| class(*a) == class(*b)).filter(|piece| piece[0] != ' ').collect();
    let is_short = |piece: &[char]| piece.len() < 3 && is_letter(piece[0]);
    content.windows(term.len()).enumerate().any(|(at, window)| {
        let before = at.checked_sub(1).map(|at| content[at]);
        let after = content.get(at + term.len()).copied();
        window == term
            && !(is_short(pieces[0]) && before.is_some_and(is_letter))
            && !(is_short(pieces[pieces.len() - 1]) && after.is_some_and(is_letter))
    })
}

async fn play(user: &TestUser, room: &str, dice: &mut Dice, said: &mut Vec<Value>) {
    match dice.below(8) {
        0 if !said.is_empty() => {
            let id = text(&said[dice.below(said.len())]["id"]).to_owned();
            user.delete(&format!("/messages/{id}")).await;
        }
        1 if !said.is_empty() => {
            let id = text(&said[dice.below(said.len())]["id"]).to_owned();
            user.patch(&format!("/messages/{id}"), &json!({ "content": sentence(dice) })).await;
        }
        _ => said.push(user.say(room, &sentence(dice)).await),
    }
}

#[tokio::test]
async fn a_search_finds_what_a_reader_of_the_whole_history_would() {
    let app = TestApp::with(&[("CHAT_SEARCH_BLOCK", "6")]).await;
    let alice = app.user("alice").await;
    let rooms = [alice.create_room("one").await, alice.create_room("two").await];
    let mut dice = Dice::new(20_261_126);
    let mut said = [Vec::new(), Vec::new()];
    for _ in 0..220 {
        let room = dice.below(2);
        play(&alice, &rooms[room], &mut dice, &mut said[room]).await;
    }
    // What was edited is found by its new words when the worker has been there.
    let stale = "SELECT count(*) FROM messages AS m JOIN search_rooms AS s USING (room_id)
                 WHERE m.rev > s.changed_seq AND m.rev <> m.seq AND m.seq <= s.indexed_seq AND (m.edited_at IS NOT NULL OR m.deleted_at IS NOT NULL)";
    eventually("the edits", async || app.number(stale).await == 0).await;

    let mut history = Vec::new();
    for room in &rooms {
        history.extend(alice.history(room).await);
    }
    history.sort_by_key(|message| std::cmp::Reverse(text(&message["createdAt"]).to_owned()));
    for _ in 0..60 {
        let (first, second) = (WORDS[dice.below(WORDS.len())], WORDS[dice.below(WORDS.len())]);
        let (q, terms) = match dice.below(3) {
            0 => (first.to_owned(), vec![first.to_owned()]),
            1 => (format!("{first} {second}"), vec![first.to_owned(), second.to_owned()]),
            _ => (format!("\"{first} {second}\""), vec![format!("{first} {second}")]),
        };
        let expected = history.iter().filter(|message| {
            let content = text(&message["content"]);
            message["deletedAt"].is_null() && terms.iter().all(|term| holds(content, term))
        });
        let place = |message: &Value| (text(&message["roomId"]).to_owned(), int(&message["seq"]));
        let mut expected: Vec<_> = expected.map(place).collect();
        let mut found: Vec<_> = search(&alice, &q, "&limit=7").await.iter().map(|found| place(&found["message"])).collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{q}");
    }
    assert_index_is_sound(&app).await;
}
