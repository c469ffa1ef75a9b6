//! What users do in a room in the histories of [`sync_property`](super::sync_property), and what must have come of it: a model that
//! knows the answers of those who act, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::sync_deeds::{Act, Deed};
use crate::support::{
    Dice, Mirror, Reply, TestUser, code,
    json::{int, text},
    mirror::summary,
};

/// Refusals that are part of life.
const REFUSALS: [&str; 8] =
    ["FORBIDDEN", "MUTED", "NOT_A_MEMBER", "BANNED", "ROOM_ARCHIVED", "ROOM_NOT_FOUND", "MESSAGE_NOT_FOUND", "USER_NOT_FOUND"];

const EMOJI: [&str; 3] = [":yes:", ":no:", "❤"];

const ROLES: [&str; 5] = ["guest", "member", "moderator", "admin", "owner"];

/// A room, those who use it, and what must have become of it.
pub struct World {
    pub users: Vec<TestUser>,
    /// The room as everybody sees it.
    pub model: Mirror,
    /// Who reacted, by message and emoji.
    reactors: BTreeMap<(String, String), BTreeSet<String>>,
    /// How far each has read.
    read: BTreeMap<String, i64>,
    /// The number under which each came in.
    came: BTreeMap<String, i64>,
    /// How many names and texts were made up: each is used once.
    contents: usize,
    /// How many acts took a number, and how many were refused.
    pub done: usize,
    pub refused: usize,
}

impl World {
    /// The room as its maker was answered; all users but the last are in it.
    pub fn of_new(users: Vec<TestUser>, room: &Value) -> Self {
        let others: Vec<&str> = users[1..users.len() - 1].iter().map(|user| user.id.as_str()).collect();
        let model = Mirror::of_new("", room, &others);
        Self { model, users, reactors: BTreeMap::new(), read: BTreeMap::new(), came: BTreeMap::new(), contents: 0, done: 0, refused: 0 }
    }

    fn member(&self, user: &str) -> Option<&Value> {
        self.model.members.get(user)
    }

    fn state(&self, user: &str) -> &str {
        self.member(user).map_or("none", |member| text(&member["state"]))
    }

    fn joined(&self) -> Vec<&str> {
        self.model.members.keys().map(String::as_str).filter(|user| self.state(user) == "joined").collect()
    }

    fn owner(&self) -> &str {
        self.owner_if_any().expect("an owner")
    }

    // ── what is done next ────────────────────────────────────────────────────────────────────────────────────

    /// Some acts upon messages and at most one upon members or the room, to be done at the same time.
    pub fn choose(&mut self, dice: &mut Dice) -> Vec<Deed> {
        let mut deeds: Vec<Deed> = (0..dice.below(5)).map(|_| self.choose_one(dice)).collect();
        if self.model.room["archivedAt"].is_string() && dice.one_in(2) {
            deeds.push(Deed { by: self.owner().to_owned(), act: Act::Update(json!({ "archived": false })) });
        } else if dice.one_in(2) {
            deeds.push(self.choose_order(dice));
        }
        deeds
    }

    fn choose_one(&mut self, dice: &mut Dice) -> Deed {
        let mut by = dice.pick(&self.users).id.clone();
        if self.state(&by) != "joined" && !dice.one_in(4) {
            (*dice.pick(&self.joined())).clone_into(&mut by);
        }
        let messages: Vec<&Value> = self.model.messages.values().collect();
        if messages.is_empty() || dice.one_in(3) {
            return Deed { by, act: self.choose_words(dice) };
        }
        let message = *dice.pick(&messages);
        let (id, author) = (text(&message["id"]).to_owned(), text(&message["senderId"]).to_owned());
        let emoji = dice.pick(&EMOJI);
        let act = match dice.below(9) {
            0 | 1 => {
                by = author;
                self.contents += 1;
                Act::Edit(id, format!("edited {}", self.contents))
            }
            2 => Act::Delete(id),
            3 | 4 => Act::React(id, emoji),
            5 => Act::Unreact(id, emoji),
            6 => Act::Pin(id),
            7 => Act::Unpin(id),
            _ => Act::Read(i64::try_from(dice.below(usize::try_from(self.model.cursor).unwrap() + 1)).unwrap()),
        };
        Deed { by, act }
    }

    fn choose_words(&mut self, dice: &mut Dice) -> Act {
        self.contents += 1;
        let mut words = json!({ "content": format!("said {}", self.contents) });
        let ids: Vec<&String> = self.model.messages.keys().collect();
        if !ids.is_empty() && dice.one_in(2) {
            words[*dice.pick(&["replyTo", "threadRootId", "threadRootId"])] = json!(dice.pick(&ids));
        }
        if dice.one_in(4) {
            words["mentions"] = json!([dice.pick(&self.users).id]);
        }
        if dice.one_in(4) {
            words["metadata"] = json!({ "mood": "good" });
        }
        Act::Say(words)
    }

    fn choose_order(&mut self, dice: &mut Dice) -> Deed {
        let whom = dice.pick(&self.users).id.clone();
        let mut by = if dice.one_in(3) { dice.pick(&self.users).id.clone() } else { self.owner().to_owned() };
        self.contents += 1;
        let role = dice.pick(&ROLES);
        let act = match dice.below(16) {
            0 | 1 => Act::Join,
            2 => Act::Leave,
            3 => Act::Kick(whom),
            4 => Act::Ban(whom),
            5 | 6 => Act::Unban(whom),
            7 | 8 => Act::Invite(whom),
            9..=11 => Act::Role(whom, role),
            12 => Act::Mute(whom),
            13 => Act::Unmute(whom),
            _ => Act::Update(match dice.below(6) {
                0 => json!({ "archived": !self.model.room["archivedAt"].is_string() }),
                1 | 2 => json!({ "topic": format!("topic {}", self.contents) }),
                _ => json!({ "name": format!("name {}", self.contents) }),
            }),
        };
        match &act {
            // In other words: who is out joins, who is in leaves, though never the last one.
            Act::Join => by = self.users.iter().map(|user| user.id.clone()).find(|id| self.state(id) != "joined").unwrap_or(by),
            Act::Leave if self.joined().len() == 1 => return Deed { by, act: Act::Join },
            // To kick oneself is to leave; to give a role to who is out is to invite.
            Act::Kick(whom) if *whom == by => return Deed { by, act: Act::Join },
            Act::Role(whom, _) if self.state(whom) != "joined" => return Deed { by, act: Act::Invite(whom.clone()) },
            _ => {}
        }
        Deed { by, act }
    }

    /// What brings the rest back into the room, one after the other.
    pub fn choose_reunion(&self) -> Option<Deed> {
        let by = self.owner().to_owned();
        let act = if self.model.room["archivedAt"].is_string() {
            Act::Update(json!({ "archived": false }))
        } else {
            let whom = self.users.iter().map(|user| user.id.clone()).find(|id| self.state(id) != "joined")?;
            if self.state(&whom) == "banned" { Act::Unban(whom) } else { Act::Invite(whom) }
        };
        Some(Deed { by, act })
    }

    // ── doing it ─────────────────────────────────────────────────────────────────────────────────────────────

    pub async fn perform(&self, deed: &Deed) -> Reply {
        let (method, path, body) = deed.act.request(&self.model.room_id);
        let user = self.users.iter().find(|user| user.id == deed.by).unwrap();
        let request = user.request(method, &path);
        Reply::of(if body.is_null() { request } else { request.json(&body) }).await
    }

    // ── what came of it ──────────────────────────────────────────────────────────────────────────────────────

    /// Takes in the answers to acts that were done at the same time: in the order of their numbers, which have no hole. The answer
    /// to an act upon members has no number: it has the one that is left.
    pub fn take_in(&mut self, done: Vec<(Deed, Reply)>) {
        let mut numbered = BTreeMap::new();
        let mut unnumbered = None;
        for (deed, reply) in done {
            if reply.status >= 400 {
                assert!(REFUSALS.contains(&code(&reply.body)), "{deed:?} was answered {}", reply.text);
                self.refused += 1;
                continue;
            }
            let seq = match &deed.act {
                Act::Read(_) => {
                    let read = self.read.entry(deed.by).or_default();
                    *read = int(&reply.body["readSeq"]).max(*read);
                    continue;
                }
                Act::Update(_) => reply.body["lastSeq"].as_i64(),
                _ => reply.body.get("seq").and_then(Value::as_i64),
            };
            match (seq, &deed.act) {
                (Some(seq), _) => assert!(numbered.insert(seq, (deed, reply.body)).is_none(), "{seq} was given twice"),
                (None, Act::Edit(..) | Act::Delete(_) | Act::React(..) | Act::Unreact(..) | Act::Pin(_) | Act::Unpin(_)) => {
                    assert_eq!(reply.body["changed"], false, "{deed:?}: {}", reply.text);
                }
                (None, _) => unnumbered = Some((deed, reply.body)),
            }
        }
        let heir = unnumbered.as_ref().and_then(|(deed, _)| self.heir_after(deed));
        if let Some(one) = unnumbered.filter(|(deed, _)| self.takes_a_number(deed)) {
            let mut free = self.model.cursor + 1;
            while numbered.contains_key(&free) {
                free += 1;
            }
            numbered.insert(free, one);
            if let Some(heir) = heir {
                let inherits = Deed { by: heir.clone(), act: Act::Role(heir, "owner") };
                assert!(numbered.insert(free + 1, (inherits, Value::Null)).is_none(), "the heir has the next number");
            }
        }
        for (seq, (deed, answer)) in numbered {
            assert_eq!(seq, self.model.cursor + 1, "numbers have no holes");
            self.model.cursor = seq;
            self.done += 1;
            self.apply(seq, deed, &answer);
        }
    }

    /// Whether an act upon members that was not refused changed anything.
    fn takes_a_number(&self, deed: &Deed) -> bool {
        let has = |user: &str, key: &str, value: Value| self.member(user).is_some_and(|member| member[key] == value);
        match &deed.act {
            Act::Join => self.state(&deed.by) != "joined",
            Act::Invite(user) => self.state(user) != "joined",
            Act::Ban(user) => self.state(user) != "banned",
            Act::Unban(user) => self.state(user) == "banned",
            Act::Role(user, role) => !has(user, "role", json!(role)),
            Act::Unmute(user) => !has(user, "mutedUntil", Value::Null),
            _ => true,
        }
    }

    /// Who owns the room after its owner has left: the highest of the others, and among equals who has been there longest.
    fn heir_after(&self, deed: &Deed) -> Option<String> {
        if !matches!(deed.act, Act::Leave) || deed.by != self.owner() {
            return None;
        }
        let rank = |user: &str| ROLES.iter().position(|role| self.member(user).unwrap()["role"] == *role).unwrap();
        let others = self.joined().into_iter().filter(|user| *user != deed.by);
        let heir = others.min_by_key(|user| (ROLES.len() - rank(user), self.came.get(*user).copied().unwrap_or_default(), (*user).to_owned()));
        heir.map(str::to_owned)
    }

    fn apply(&mut self, seq: i64, Deed { by, act }: Deed, answer: &Value) {
        match act {
            Act::Say(_) => self.model.said(answer),
            Act::Edit(id, content) => {
                let new = json!({ "content": content, "editedAt": answer["editedAt"], "editCount": answer["editCount"] });
                self.model.changed(&json!(id), seq, new);
            }
            Act::Delete(id) => {
                let is_own = self.model.messages[&id]["senderId"] == by.as_str();
                self.model.deleted(&json!(id), seq, &json!(if is_own { "author" } else { "moderator" }), &json!("enough"));
                self.reactors.retain(|(message, _), _| *message != id);
            }
            Act::React(ref id, emoji) | Act::Unreact(ref id, emoji) => {
                let who = self.reactors.entry((id.clone(), emoji.to_owned())).or_default();
                let is_new = if matches!(act, Act::React(..)) { who.insert(by) } else { who.remove(&by) };
                assert!(is_new, "{answer}");
                let counts = self.counts(id);
                assert_eq!(answer["counts"], counts);
                self.model.reacted(&json!(id), seq, &counts);
            }
            Act::Pin(id) => self.model.pinned(&json!(id), seq, &json!(by)),
            Act::Unpin(id) => self.model.pinned(&json!(id), seq, &Value::Null),
            Act::Join => {
                let mut standing = answer["membership"].clone();
                (standing["userId"], standing["state"]) = (json!(by), json!("joined"));
                self.comes(&standing, seq);
            }
            Act::Invite(_) => self.comes(answer, seq),
            Act::Leave => self.goes(&by, seq, "left"),
            Act::Kick(user) => self.goes(&user, seq, "left"),
            Act::Ban(user) if self.state(&user) == "joined" => self.goes(&user, seq, "banned"),
            Act::Unban(user) => self.model.went(&json!(user), seq, "left"),
            Act::Ban(_) | Act::Mute(_) => self.model.stands(answer, seq),
            Act::Role(user, role) => {
                if role == "owner"
                    && let Some(former) = self.owner_if_any().map(str::to_owned)
                {
                    self.change_standing(&former, seq, json!({ "role": "admin" }));
                }
                let new = if role == "owner" { json!({ "role": role, "mutedUntil": null }) } else { json!({ "role": role }) };
                self.change_standing(&user, seq, new);
            }
            Act::Unmute(user) => self.change_standing(&user, seq, json!({ "mutedUntil": null })),
            Act::Update(_) => self.model.room = summary(answer),
            Act::Read(_) => unreachable!("a marker has no number"),
        }
    }

    /// The owner; nobody between the leaving of one and the coming of the heir.
    fn owner_if_any(&self) -> Option<&str> {
        self.joined().into_iter().find(|user| self.member(user).unwrap()["role"] == "owner")
    }

    fn change_standing(&mut self, user: &str, seq: i64, new: Value) {
        let mut standing = self.member(user).unwrap().clone();
        let Value::Object(new) = new else { unreachable!("members are given") };
        standing.as_object_mut().unwrap().extend(new);
        self.model.stands(&standing, seq);
    }

    fn counts(&self, id: &str) -> Value {
        let of_message = self.reactors.iter().filter(|((message, _), who)| message == id && !who.is_empty());
        of_message.map(|((_, emoji), who)| (emoji.clone(), json!(who.len()))).collect::<serde_json::Map<_, _>>().into()
    }

    fn comes(&mut self, standing: &Value, seq: i64) {
        let user = text(&standing["userId"]).to_owned();
        self.model.came(&json!(user), seq, &standing["role"]);
        assert_eq!(self.model.members[&user]["mutedUntil"], standing["mutedUntil"], "mutes outlast an absence");
        self.model.room["memberCount"] = json!(int(&self.model.room["memberCount"]) + 1);
        // What was said before one came is not unread.
        let read = self.read.entry(user.clone()).or_default();
        *read = seq.max(*read);
        self.came.insert(user, seq);
    }

    fn goes(&mut self, user: &str, seq: i64, state: &str) {
        self.model.went(&json!(user), seq, state);
        self.model.room["memberCount"] = json!(int(&self.model.room["memberCount"]) - 1);
    }

    // ── what must be seen ────────────────────────────────────────────────────────────────────────────────────

    /// The room as this user must see it.
    pub fn as_seen_by(&self, user: &str) -> Mirror {
        let mut seen = self.model.clone();
        for ((id, emoji), who) in &self.reactors {
            if who.contains(user) {
                seen.messages.get_mut(id).unwrap()["ownReactions"].as_array_mut().unwrap().push(json!(emoji));
            }
        }
        for message in seen.messages.values_mut() {
            message["ownReactions"].as_array_mut().unwrap().sort_by_key(Value::to_string);
        }
        seen
    }

    /// Up to where this user has read, how much is unread, and how much of that mentions the user.
    pub fn unread(&self, user: &str) -> (i64, usize, usize) {
        let read = self.read.get(user).copied().unwrap_or_default();
        let is_unread = |message: &&Value| int(&message["seq"]) > read && message["senderId"] != user && message["deleted"] == false;
        let unread: Vec<&Value> = self.model.messages.values().filter(is_unread).collect();
        let mentions = unread.iter().filter(|message| message["mentions"].as_array().unwrap().contains(&json!(user))).count();
        (read, unread.len(), mentions)
    }
}
