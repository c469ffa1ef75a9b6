//! A room as a client keeps it that goes by the README: events are applied in the order of their numbers and a jump means to sync;
//! what comes while an answer is awaited is kept; the gap of a limited answer is paged, and then what came meanwhile is asked for.
//!
//! It holds everything that one would show of messages and members, so that any two mirrors of a room can be compared as a whole.

use std::{collections::BTreeMap, mem};

use serde_json::{Map, Value, json};

use super::{
    TestSocket, TestUser,
    json::{assert_members, int, is_time, text},
};

#[derive(Clone)]
pub struct Mirror {
    me: String,
    pub room_id: String,
    /// The number up to which everything is here.
    pub cursor: i64,
    /// By id.
    pub messages: BTreeMap<String, Value>,
    /// By user id: also those who are in the room no more.
    pub members: BTreeMap<String, Value>,
    /// Name, topic, since when it is archived, and how many are in it.
    pub room: Value,
    /// The room as the last answer showed it.
    pub overview: Value,
    /// Something was missed, or may have been: it is time to sync.
    pub is_stale: bool,
    /// The events that came since then.
    kept: Vec<(String, Value)>,
    /// How often an answer was limited.
    pub gaps: usize,
}

/// A message without what no event tells: when it was deleted or pinned. It is kept that it was.
pub fn plain(message: &Value) -> Value {
    let mut plain = message.as_object().unwrap_or_else(|| panic!("expected a message, got {message}")).clone();
    for (time, word) in [("deletedAt", "deleted"), ("pinnedAt", "pinned")] {
        let happened = plain.remove(time).is_some_and(|at| !at.is_null());
        plain.insert(word.into(), happened.into());
    }
    plain.remove("duplicate");
    plain.entry("ownReactions").or_insert(json!([])).as_array_mut().unwrap().sort_by_key(Value::to_string);
    plain.into()
}

/// Where a user stands with the room, and the number under which that changed last.
fn standing(from: &Value, seq: i64) -> Value {
    json!({ "userId": from["userId"], "state": from["state"], "role": from["role"], "mutedUntil": from["mutedUntil"], "seq": seq })
}

pub fn summary(room: &Value) -> Value {
    json!({ "name": room["name"], "topic": room["topic"], "archivedAt": room["archivedAt"], "memberCount": room["memberCount"] })
}

/// The number after which an answer has everything.
fn complete_after(changes: &Value) -> i64 {
    int(if changes["limited"] == true { &changes["gap"]["until"] } else { &changes["fromSeq"] })
}

/// Fails unless this is a well-formed answer to what was asked: everything is in it once, in the order of its last change, and
/// within the bounds that the answer names.
pub fn assert_changes(changes: &Value, since: i64, limit: Option<i64>) {
    assert_members(changes, &["roomId", "fromSeq", "toSeq", "limited", "room", "messages", "members"]);
    let (from, to, after) = (int(&changes["fromSeq"]), int(&changes["toSeq"]), complete_after(changes));
    assert_eq!(from, since, "{changes:.1000}");
    assert!(from <= after && after <= to, "{from} {after} {to}");
    assert_eq!(changes["limited"] == true, changes.get("gap").is_some(), "{changes:.1000}");
    assert_eq!(changes["room"]["id"], changes["roomId"]);
    let mut numbers = Vec::new();
    for (list, id, number) in [("messages", "id", "rev"), ("members", "userId", "seq")] {
        let items = changes[list].as_array().unwrap();
        let in_list: Vec<i64> = items.iter().map(|item| int(&item[number])).collect();
        assert!(in_list.is_sorted() && in_list.iter().all(|number| after < *number && *number <= to), "{list} of ({after}, {to}]: {in_list:?}");
        let mut ids: Vec<&str> = items.iter().map(|item| text(&item[id])).collect();
        ids.sort_unstable();
        assert!(ids.is_sorted_by(|a, b| a < b), "twice in {list}: {ids:?}");
        numbers.extend(in_list);
    }
    for member in changes["members"].as_array().unwrap() {
        assert_members(member, &["userId", "state", "role", "joinedAt", "mutedUntil", "seq", "user"]);
        assert_eq!(is_time(&member["joinedAt"]), member["state"] == "joined", "{member}");
        assert_eq!(member["user"]["id"], member["userId"]);
    }
    // One number may stand for several changes, which come together.
    let is_one_number = numbers.iter().all(|number| *number == numbers[0]);
    let fits = i64::try_from(numbers.len()).unwrap() <= limit.unwrap_or(1_000);
    assert!(fits || is_one_number, "{limit:?}: {numbers:?}");
    if changes.get("hasMore").is_none() {
        assert_eq!(int(&changes["room"]["lastSeq"]), to);
    }
    let last = &changes["room"]["lastMessage"];
    assert!(
        last.is_null() || int(&last["rev"]) <= int(&changes["room"]["lastSeq"]),
        "the last message is of a later state than the rest: {changes:.1000}"
    );
}

impl Mirror {
    /// Of a room that was just made, as its maker was answered, with these in it besides the maker.
    pub fn of_new(me: &str, room: &Value, others: &[&str]) -> Self {
        let member = |user: &str, role: &str| (user.to_owned(), standing(&json!({ "userId": user, "state": "joined", "role": role }), 0));
        let owner = std::iter::once(member(text(&room["createdBy"]), "owner"));
        Self {
            me: me.to_owned(),
            room_id: text(&room["id"]).to_owned(),
            cursor: 0,
            messages: BTreeMap::new(),
            members: owner.chain(others.iter().map(|user| member(user, "member"))).collect(),
            room: summary(room),
            overview: Value::Null,
            is_stale: false,
            kept: Vec::new(),
            gaps: 0,
        }
    }

    // ── what happens ─────────────────────────────────────────────────────────────────────────────────────────

    pub fn said(&mut self, message: &Value) {
        if let Some(root) = message["threadRootId"].as_str() {
            let root = self.messages.get_mut(root).expect("the root of a thread");
            let mut thread = root.get("thread").cloned().unwrap_or(json!({ "replyCount": 0, "participants": [] }));
            let participants = thread["participants"].as_array_mut().unwrap();
            if !participants.contains(&message["senderId"]) && participants.len() < 50 {
                participants.push(message["senderId"].clone());
            }
            thread["replyCount"] = json!(int(&thread["replyCount"]) + 1);
            thread["lastReplyAt"] = message["createdAt"].clone();
            (root["thread"], root["rev"]) = (thread, message["seq"].clone());
        }
        self.messages.insert(text(&message["id"]).to_owned(), plain(message));
    }

    /// Changes these members of a message.
    pub fn changed(&mut self, id: &Value, seq: i64, new: Value) -> &mut Map<String, Value> {
        let message = self.messages.get_mut(text(id)).and_then(Value::as_object_mut).expect("a message that is changed");
        let Value::Object(new) = new else { panic!("expected members, got {new}") };
        message.extend(new);
        message.insert("rev".into(), seq.into());
        message
    }

    pub fn deleted(&mut self, id: &Value, seq: i64, by: &Value, reason: &Value) {
        let nothing =
            json!({ "content": "", "mentions": [], "attachments": [], "reactions": {}, "ownReactions": [], "pinned": false, "deleted": true });
        let stub = self.changed(id, seq, nothing);
        stub.insert("deletedBy".into(), by.clone());
        stub.remove("metadata");
        stub.remove("pinnedBy");
        if !reason.is_null() {
            stub.insert("deleteReason".into(), reason.clone());
        }
        let root = stub["threadRootId"].clone();
        if !root.is_null() {
            let replies = self.messages.values().filter(|reply| reply["threadRootId"] == root && reply["deleted"] == false);
            let last = replies.max_by_key(|reply| int(&reply["seq"])).map_or(Value::Null, |reply| reply["createdAt"].clone());
            let mut thread = self.messages[text(&root)]["thread"].clone();
            thread["replyCount"] = json!(int(&thread["replyCount"]) - 1);
            thread["lastReplyAt"] = last;
            self.changed(&root, seq, json!({ "thread": thread }));
        }
    }

    pub fn reacted(&mut self, id: &Value, seq: i64, counts: &Value) {
        self.changed(id, seq, json!({ "reactions": counts }));
    }

    /// Pins a message, or takes its pin off: `by` is null then.
    pub fn pinned(&mut self, id: &Value, seq: i64, by: &Value) {
        let message = self.changed(id, seq, json!({ "pinned": !by.is_null() }));
        message.remove("pinnedBy");
        if !by.is_null() {
            message.insert("pinnedBy".into(), by.clone());
        }
    }

    /// Somebody comes in. Mutes outlast an absence, but owners are not muted.
    pub fn came(&mut self, user: &Value, seq: i64, role: &Value) {
        let before = self.members.get(text(user)).map_or(Value::Null, |member| member["mutedUntil"].clone());
        let muted = if role == "owner" { Value::Null } else { before };
        self.stands(&json!({ "userId": user, "state": "joined", "role": role, "mutedUntil": muted }), seq);
    }

    /// Somebody is out: `left` or `banned`.
    pub fn went(&mut self, user: &Value, seq: i64, state: &str) {
        let member = self.members.get_mut(text(user)).expect("a member who goes");
        (member["state"], member["seq"]) = (json!(state), json!(seq));
    }

    pub fn stands(&mut self, whom: &Value, seq: i64) {
        self.members.insert(text(&whom["userId"]).to_owned(), standing(whom, seq));
    }

    // ── events ───────────────────────────────────────────────────────────────────────────────────────────────

    /// Takes in an event, of whatever room.
    pub fn hear(&mut self, event: &str, data: &Value) {
        if data["roomId"] != self.room_id.as_str() {
            return;
        }
        if event == "chat:room:created" || (event == "chat:room:joined" && data["self"] == true) {
            self.is_stale = true; // In the room from now on: what was before is asked for.
            return;
        }
        let Some(seq) = data["seq"].as_i64() else { return };
        if self.is_stale || seq > self.cursor + 1 {
            self.is_stale = true;
            self.kept.push((event.to_owned(), data.clone()));
        } else if seq == self.cursor + 1 {
            self.apply(event, data, seq);
            self.cursor = seq;
        }
    }

    fn apply(&mut self, event: &str, data: &Value, seq: i64) {
        let id = &data["messageId"];
        match event {
            "chat:message" => self.said(data),
            "chat:message:edited" => {
                let members = ["content", "mentions", "editedAt", "editCount"];
                self.changed(id, seq, members.iter().map(|name| ((*name).to_owned(), data[*name].clone())).collect::<Map<_, _>>().into());
            }
            "chat:message:deleted" => {
                data["messageIds"].as_array().unwrap().iter().for_each(|id| self.deleted(id, seq, &data["deletedBy"], &data["reason"]));
            }
            "chat:reaction:added" | "chat:reaction:removed" => {
                self.reacted(id, seq, &data["counts"]);
                if data["userId"] == self.me.as_str() {
                    let own = self.messages.get_mut(text(id)).unwrap()["ownReactions"].as_array_mut().unwrap();
                    own.retain(|emoji| *emoji != data["emoji"]);
                    own.extend((event == "chat:reaction:added").then(|| data["emoji"].clone()));
                    own.sort_by_key(Value::to_string);
                }
            }
            "chat:message:pinned" => self.pinned(id, seq, &data["by"]),
            "chat:message:unpinned" => self.pinned(id, seq, &Value::Null),
            "chat:room:joined" => self.came(&data["userId"], seq, &data["role"]),
            "chat:room:left" => self.went(&data["userId"], seq, if data["reason"] == "banned" { "banned" } else { "left" }),
            "chat:room:member" => {
                self.stands(&data["membership"], seq);
                data.get("formerOwner").into_iter().for_each(|former| self.stands(former, seq));
            }
            "chat:room:updated" => self.room = summary(&data["room"]),
            _ => panic!("{event} has a number and no meaning: {data}"),
        }
        if let Some(count) = data.get("memberCount") {
            self.room["memberCount"] = count.clone();
        }
    }

    // ── sync ─────────────────────────────────────────────────────────────────────────────────────────────────

    /// Catches up, and says whether the user is in the room. Every request has a `limit`, or none.
    pub async fn sync(&mut self, user: &TestUser, socket: &TestSocket, mut limit: impl FnMut() -> Option<i64>) -> bool {
        self.is_stale = true;
        let most = limit();
        let mut question = json!({ "rooms": { (self.room_id.as_str()): self.cursor } });
        if let Some(most) = most {
            question["limit"] = json!(most);
        }
        let mut answer = socket.emit_ok("chat:sync", &question).await;
        assert_eq!(answer["more"], json!([]), "the first room with changes is always answered");
        if answer["rooms"] == json!([]) {
            assert_eq!(answer["gone"], json!([self.room_id]));
            self.kept.clear();
            return false;
        }
        assert_eq!(answer["gone"], json!([]));
        self.catch_up(user, answer["rooms"][0].take(), most, limit).await
    }

    /// Takes in the changes since the cursor, and what is missing in them.
    async fn catch_up(&mut self, user: &TestUser, mut changes: Value, mut most: Option<i64>, mut limit: impl FnMut() -> Option<i64>) -> bool {
        let mut since = self.cursor;
        loop {
            assert_changes(&changes, since, most);
            self.put(&changes);
            since = int(&changes["toSeq"]);
            if changes["limited"] != true {
                break;
            }
            self.gaps += 1;
            assert_eq!(changes["gap"]["since"], changes["fromSeq"]);
            if !self.page(user, &changes["gap"], &mut limit).await {
                return false;
            }
            most = limit();
            // What was in the gap and has changed since then has moved to here.
            let Some(next) = self.get(user, &format!("since={since}"), most).await else { return false };
            changes = next;
        }
        (self.cursor, self.is_stale) = (since, false);
        (self.room, self.overview) = (summary(&changes["room"]), changes["room"].take());
        self.assert_whole();
        for (event, data) in mem::take(&mut self.kept) {
            self.hear(&event, &data);
        }
        true
    }

    async fn page(&mut self, user: &TestUser, gap: &Value, limit: &mut impl FnMut() -> Option<i64>) -> bool {
        let (mut since, until) = (int(&gap["since"]), int(&gap["until"]));
        loop {
            let most = limit();
            let Some(page) = self.get(user, &format!("since={since}&until={until}"), most).await else { return false };
            assert_changes(&page, since, most);
            assert_eq!(page["limited"], false);
            self.put(&page);
            let to = int(&page["toSeq"]);
            assert_eq!(page["hasMore"], to < until, "{to} of {until}");
            if to == until {
                return true;
            }
            assert!(to > since, "a page goes on");
            since = to;
        }
    }

    /// Nothing for who is not in the room.
    async fn get(&self, user: &TestUser, query: &str, limit: Option<i64>) -> Option<Value> {
        let limit = limit.map_or(String::new(), |limit| format!("&limit={limit}"));
        let reply = user.get(&format!("/rooms/{}/changes?{query}{limit}", self.room_id)).await;
        if [403, 404].contains(&reply.status) { None } else { Some(reply.expect(200)) }
    }

    fn put(&mut self, changes: &Value) {
        for message in changes["messages"].as_array().unwrap() {
            let (id, new) = (text(&message["id"]), plain(message));
            if let Some(known) = self.messages.get(id) {
                assert!(int(&known["rev"]) <= int(&new["rev"]), "a message goes back in time: {known} {new}");
                assert!(known["rev"] != new["rev"] || *known == new, "two states with one number: {known} {new}");
            }
            self.messages.insert(id.to_owned(), new);
        }
        for member in changes["members"].as_array().unwrap() {
            self.stands(member, int(&member["seq"]));
        }
    }

    /// Fails unless all that is here is of one moment.
    pub fn assert_whole(&self) {
        let joined = self.members.values().filter(|member| member["state"] == "joined").count();
        assert_eq!(self.room["memberCount"], joined, "{:?}", self.members);
        assert_eq!(self.overview["membership"]["role"], self.members[&self.me]["role"]);
        let last = self.messages.values().max_by_key(|message| int(&message["seq"]));
        let mut last = last.cloned().unwrap_or_default();
        if !last.is_null() {
            last["ownReactions"] = json!([]);
            assert_eq!(plain(&self.overview["lastMessage"]), last, "the room's last message");
        }
    }

    /// What is different between this and another mirror, in words; nothing if they agree.
    pub fn differences(&self, other: &Self) -> String {
        let mut found = Vec::new();
        let mut compare = |what: &str, one: Option<&Value>, two: Option<&Value>| {
            if one != two {
                let (one, two) = (one.unwrap_or(&Value::Null), two.unwrap_or(&Value::Null));
                found.push(format!("\n{what}:\n  {one}\n  {two}"));
            }
        };
        compare("cursor", Some(&json!(self.cursor)), Some(&json!(other.cursor)));
        compare("room", Some(&self.room), Some(&other.room));
        for (mine, theirs) in [(&self.messages, &other.messages), (&self.members, &other.members)] {
            for key in mine.keys().chain(theirs.keys().filter(|key| !mine.contains_key(*key))) {
                compare(key, mine.get(key), theirs.get(key));
            }
        }
        found.concat()
    }
}
