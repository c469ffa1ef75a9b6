//! What fuzzers call: everything that reads what a stranger sends, as far as no database is needed for it.
//!
//! Compiled for the fuzzers in `fuzz/` (cargo-fuzz sets `cfg(fuzzing)`) and for the test below, which mangles good examples, the same way
//! at each run. Each function takes one input, and panics if a promise about it is broken.

#![expect(clippy::missing_panics_doc, reason = "to panic is what these are for")]

use crate::{
    auth::tokens::{Claims, Keys},
    auth::{Credentials, Registration},
    config::{Secret, Settings},
    error::{Error, Result},
    extract::Query,
    limits::address,
    lobby::{self, NewRoom, RoomChange, moderation},
    messages::{self, NewMessage, changes, pins, reactions},
    names,
    payload::{self, Fields, Length},
    plain::Plain,
    receipts::Mark,
    rooms::RoomRef,
    search::{self, Terms},
    server::is_home,
    session::presented_token,
    socket, sync,
    trace::TraceId,
    users::{self, ProfileChange, UserId},
};
use axum::http::Uri;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Parser;
use futures_util::FutureExt;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::Value;
use std::{net::IpAddr, sync::LazyLock};

const SECRET: &str = "a secret of the fuzzers, which opens nothing";
/// Most bytes of an error: no refusal is much longer than what was refused.
const ERROR: usize = 8 << 10;

#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    settings: Settings,
}

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let mut settings = Defaults::parse_from(["fuzzing"]).settings;
    settings.auth.jwt_secret = Some(Secret::new(SECRET));
    settings
});
static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys::new(&SETTINGS.auth).unwrap_or_else(|error| panic!("{error}")));

/// A packet `["event", payload]`, which is then read as every event and every body of a request would be.
pub fn event(raw: &str) {
    let (name, payload) = socket::dispatch::read(Some(raw), SETTINGS.chat.max_event as usize);
    assert!(name.len() <= raw.len() * 3, "a name grew");
    let Ok(payload) = payload.map_err(|error| refused(error, raw)) else { return };
    assert!(serde_json::from_str::<Value>(&payload.to_string()).is_ok(), "what is stored could not be read again: {payload}");
    // Escapes take up to six bytes.
    assert!(payload::weight(&payload) >= payload.to_string().len() / 8, "a payload weighs too little: {payload}");
    for read in READERS {
        if let Err(error) = Fields::of(payload.clone()).and_then(read) {
            refused(error, raw);
        }
    }
}

type Reader = fn(Fields) -> Result<()>;

const READERS: [Reader; 12] = [
    |fields| NewMessage::read(fields, &SETTINGS.chat).map(drop),
    |fields| changes::Edit::read(fields, SETTINGS.chat.max_content).map(drop),
    |fields| changes::deletion::Deletion::read(fields).map(drop),
    |fields| pins::read(fields).map(drop),
    |fields| reactions::read(fields).map(drop),
    |fields| Mark::read(fields).map(drop),
    |fields| NewRoom::read(fields, SETTINGS.chat.max_participants as usize).map(drop),
    |fields| RoomChange::read(fields).map(drop),
    |fields| ProfileChange::read(fields).map(drop),
    |fields| Registration::read(fields).map(drop),
    |fields| Credentials::read(fields).map(drop),
    |mut fields| {
        let _ = (moderation::read_until(&mut fields), moderation::read_reason(&mut fields), sync::socket::known(&mut fields));
        let _ = (fields.time("at"), fields.number("slowMode", 0, 9), fields.texts("userIds", 500, Length::new(1, 128)), fields.flag("isTyping"));
        fields.finish().map(drop)
    },
];

/// A refusal tells no more than was sent, and what it tells is JSON.
fn refused(error: Error, sent: &str) {
    let body = serde_json::to_string(&error.into_body(TraceId::random())).unwrap_or_default();
    assert!(body.len() <= ERROR + sent.len() * 6, "a refusal of {} bytes", body.len());
    assert!(serde_json::from_str::<Value>(&body).is_ok_and(|body| body["code"].is_string()), "{body}");
}

/// A query string: cursors of all lists, anchors, limits, times.
pub fn query(text: &str) {
    let Ok(uri) = Uri::try_from(format!("/api/v1/rooms?{text}")) else { return };
    let Ok(query) = Query::of(&uri) else { return };
    let _ = (query.limit(50, 100), messages::http::anchor(&query), query.parsed::<chrono::DateTime<chrono::Utc>>("at"));
    for list in ["mine", "public"] {
        let _ = query.cursor(list, lobby::http::read_position);
    }
    let _ = query.cursor("pins", pins::http::read_position);
    if let Ok(Some(position)) = query.cursor("search", search::Position::parse) {
        let again = URL_SAFE_NO_PAD.encode(format!("search:{position}"));
        let uri = Uri::try_from(format!("/?cursor={again}")).unwrap_or_default();
        let read = Query::of(&uri).and_then(|query| query.cursor("search", search::Position::parse));
        assert_eq!(read.ok().flatten(), Some(position), "a cursor does not survive");
    }
    if let Some(room) = query.text("roomId") {
        let _ = RoomRef::parse(room);
    }
}

/// What a handshake brings, a line each: the auth payload, the `Authorization` header, claims that our secret signs, the origin, the
/// header `X-Forwarded-For`.
pub fn handshake(text: &str) {
    LazyLock::force(&KEYS); // It brings the provider that signs.
    let mut lines = text.splitn(5, '\n').map(Some).chain(std::iter::repeat(None));
    let mut line = || lines.next().flatten().unwrap_or_default();
    let auth = serde_json::from_str(line()).ok().map(|Plain(auth)| auth);
    if let Some(token) = presented_token(Some(line()), auth.as_ref()) {
        assert!(verified(&token).is_none(), "a token is good that nobody signed");
    }
    if let Ok(Plain(Value::Object(claims))) = serde_json::from_str(line())
        && let Ok(token) = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))
        && let Some(read) = verified(&token)
    {
        assert!(UserId::parse(read.user_id.as_str()).is_some() && claims.contains_key("exp"), "{claims:?}");
        for name in [read.username, read.name].iter().flatten().filter_map(|name| names::presentable(name, users::NAME)) {
            assert!(!name.chars().any(names::deceives) && name.chars().count() <= users::NAME.max, "{name:?}");
        }
    }
    let home = ["https://chat.example.org".to_owned()];
    let origin = line();
    assert_eq!(is_home(Some(origin.as_bytes()), &home), origin.to_ascii_lowercase() == home[0], "{origin:?}");
    let (peer, proxy) = (IpAddr::from([203, 0, 113, 9]), IpAddr::from([10, 0, 0, 1]));
    let forwarded = line();
    let client = |peer| address::client(peer, std::iter::once(forwarded.as_bytes()), &["10.0.0.0/8".parse().unwrap_or_else(|_| unreachable!())]);
    assert_eq!(client(peer), peer, "a stranger chose an address");
    let said = client(proxy);
    assert!(said == proxy || forwarded.contains(&said.to_string()) || forwarded.contains(':'), "{said} of {forwarded:?}");
}

/// What a good token says. Without public keys there is nothing to wait for.
fn verified(token: &str) -> Option<Claims> {
    KEYS.verify(token).now_or_never()?.ok()
}

/// A search, and on the next lines a text that it looks into.
pub fn search(text: &str) {
    let (q, text) = text.split_once('\n').unwrap_or((text, text));
    let Ok(terms) = Terms::read(q) else { return };
    let is_found = terms.are_in(text, &mut String::new());
    let highlights = terms.highlights(text);
    let units: Vec<u16> = text.encode_utf16().collect();
    let mut last = 0;
    for highlight in &highlights {
        assert!(highlight.start >= last && highlight.start < highlight.end && highlight.end as usize <= units.len(), "{highlight:?} in {text:?}");
        assert!(String::from_utf16(&units[highlight.start as usize..highlight.end as usize]).is_ok(), "{highlight:?} parts a character of {text:?}");
        last = highlight.end;
    }
    assert!(!is_found || !highlights.is_empty(), "{q:?} is found in {text:?}, nowhere");
}

/// Names, ids and pictures.
pub fn text(text: &str) {
    if let Some(name) = names::presentable(text, users::NAME) {
        let mut fields = Fields::of(serde_json::json!({ "name": name })).unwrap_or_else(|_| unreachable!());
        assert_eq!(fields.name("name", users::NAME).as_ref(), Some(&name), "what is shown would be refused");
    }
    if names::is_picture(text) {
        assert!(text.starts_with("http") && !text.contains(['"', '\'', '<', '>', ' ', '\n']), "{text:?}");
    }
    let _ = (UserId::parse(text), RoomRef::parse(text), reactions::Emoji::parse(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    type Target = fn(&str);

    /// The corpora that the fuzzers begin with.
    const SEEDS: [(Target, &str); 5] = [(event, "event"), (query, "query"), (handshake, "handshake"), (search, "search"), (text, "text")];

    /// xorshift64: the same numbers at each run.
    fn next(state: &mut u64, below: usize) -> usize {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        usize::try_from(*state % below.max(1) as u64).unwrap()
    }

    /// Doubles, drops, swaps and puts in characters, some of them nasty.
    fn mangled(seed: &str, state: &mut u64) -> String {
        const NASTY: [&str; 16] = [
            "\0",
            "\\ud800",
            "\u{202e}",
            "\u{200b}",
            "\u{1f389}",
            "e\u{301}",
            "\"",
            "{",
            "[",
            "]",
            "1e999",
            "-1",
            "9223372036854775808",
            "null",
            "\n",
            "%00",
        ];
        let mut chars: Vec<char> = seed.chars().collect();
        for _ in 0..=next(state, 4) {
            let (at, to) = (next(state, chars.len() + 1), next(state, chars.len() + 1));
            match next(state, 4) {
                0 => drop(chars.splice(at..at, NASTY[next(state, NASTY.len())].chars())),
                1 => drop(chars.drain(at.min(to)..at.max(to).min(at.min(to) + 8))),
                2 => chars.extend_from_within(at.min(to)..at.max(to)),
                _ => chars.truncate(at.max(1)),
            }
        }
        chars.into_iter().collect()
    }

    #[test]
    fn mangled_examples_are_read_or_refused() {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        for (read, name) in SEEDS {
            let corpus = format!("{}/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
            let mut seeds: Vec<String> =
                std::fs::read_dir(corpus).unwrap().map(|seed| std::fs::read_to_string(seed.unwrap().path()).unwrap()).collect();
            assert!(seeds.len() > 3, "{name} has no corpus");
            seeds.sort();
            for seed in &seeds {
                read(seed);
                for _ in 0..200 {
                    read(&mangled(seed, &mut state));
                }
            }
        }
    }
}
