//! Roles: the matrix of who may do what, and who gives which role. Contract sections 2 and 4.

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestSocket, TestUser,
    json::{assert_members, int, text},
};

const ROLES: [&str; 5] = ["guest", "member", "moderator", "admin", "owner"];

/// The README's matrix: an action and who may, from the lowest role to the highest.
fn matrix() -> Vec<(String, Vec<bool>)> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let rows = readme.lines().skip_while(|line| !line.starts_with("| may | guest |")).skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        (cells[1].trim_matches('`').to_owned(), cells[2..7].iter().map(|cell| *cell == "yes").collect())
    })
    .collect()
}

/// Everybody who acts in a room of this kind, by role.
struct Cast {
    app: TestApp,
    users: Vec<TestUser>,
    sockets: Vec<TestSocket>,
    stranger: TestSocket,
}

async fn cast() -> Cast {
    let app = TestApp::start().await;
    let (mut users, mut sockets) = (Vec::new(), Vec::new());
    for role in ROLES {
        let user = app.user(&format!("the-{role}")).await;
        sockets.push(user.connect().await);
        users.push(user);
    }
    let stranger = app.user("stranger").await.connect().await;
    for number in 0..7 {
        app.user(&format!("low{number}")).await;
        app.user(&format!("out{number}")).await;
    }
    Cast { app, users, sockets, stranger }
}

impl Cast {
    /// A room in which everybody has their role, and the `low` ones are guests.
    async fn room(&self, kind: &str) -> String {
        let others: Vec<_> = ROLES[..4].iter().map(|role| format!("the-{role}")).chain((0..7).map(|number| format!("low{number}"))).collect();
        let room = self.users[4].post("/rooms", &json!({ "name": "den", "type": kind, "participants": others })).await.expect(201);
        let id = text(&room["id"]).to_owned();
        self.app
            .execute(&format!(
                "UPDATE room_members SET role = CASE WHEN user_id LIKE 'low%' THEN 'guest' ELSE substr(user_id, 5) END WHERE room_id = '{id}'"
            ))
            .await;
        id
    }

    /// Does everything that this action stands for, to the nobody of this number; says what it was answered.
    async fn does(&self, socket: &TestSocket, user: &TestUser, action: &str, room: &str, number: usize) -> Vec<String> {
        let (low, out) = (format!("low{number}"), format!("out{number}"));
        let said = if ["pin", "moderate"].contains(&action) {
            let said = self.sockets[4].emit("chat:message", &json!({ "roomId": room, "content": "x" })).await;
            said["data"]["id"].clone()
        } else {
            Value::Null
        };
        let acts = match action {
            "pin" => vec![("chat:message:pin", json!({ "messageId": said })), ("chat:message:unpin", json!({ "messageId": said }))],
            "moderate" => vec![("chat:message:delete", json!({ "messageId": said }))],
            "send" => vec![("chat:message", json!({ "content": "x" }))],
            "invite" => vec![("chat:room:invite", json!({ "userId": out }))],
            "remove" => vec![("chat:room:kick", json!({ "userId": low }))],
            "ban" => vec![
                ("chat:room:ban", json!({ "userId": low })),
                ("chat:room:ban", json!({ "userId": out })),
                ("chat:room:unban", json!({ "userId": low })),
            ],
            "mute" => {
                vec![("chat:room:mute", json!({ "userId": low, "durationMs": 60_000 })), ("chat:room:mute", json!({ "userId": low, "until": null }))]
            }
            "update" => vec![
                ("chat:room:update", json!({ "name": "den of old" })),
                ("chat:room:update", json!({ "topic": "bears" })),
                ("chat:room:update", json!({ "archived": false })),
            ],
            "slow" => vec![("chat:room:update", json!({ "slowMode": 1 })), ("chat:room:update", json!({ "slowMode": 0 }))],
            "role" => vec![("chat:room:role", json!({ "userId": low, "role": "member" }))],
            "transfer" => vec![("chat:room:role", json!({ "userId": low, "role": "owner" }))],
            "delete" => {
                let reply = user.delete(&format!("/rooms/{room}")).await;
                return vec![if reply.status == 204 { "ok".to_owned() } else { crate::support::code(&reply.body).to_owned() }];
            }
            other => panic!("this test does not know how to do {other:?}, which the README has in its matrix"),
        };
        let mut answers = Vec::new();
        for (event, mut payload) in acts {
            // Who names a message names no room.
            if said.is_null() {
                payload["roomId"] = json!(room);
            }
            let ack = socket.emit(event, &payload).await;
            answers.push(if ack["ok"] == true { "ok".to_owned() } else { crate::support::code(&ack).to_owned() });
        }
        answers
    }
}

/// Contract 2: the matrix of who may do what is one table in code and in the docs. (That the README shows the table of the code
/// is a test beside that table.)
#[tokio::test]
async fn every_role_may_do_what_the_readme_says_and_nothing_else() {
    let cast = cast().await;
    let matrix = matrix();
    assert!(matrix.len() >= 9, "{matrix:?}");
    for (action, may) in matrix {
        let (room, public) = (cast.room("group").await, cast.room("public").await);
        for (outside, code) in [(&room, "ROOM_NOT_FOUND"), (&public, "NOT_A_MEMBER")] {
            let stranger = cast.app.stranger("stranger");
            for answer in cast.does(&cast.stranger, &stranger, &action, outside, 6).await {
                let named = answer.replace("MESSAGE_NOT_FOUND", "ROOM_NOT_FOUND");
                assert_eq!(named, code, "a stranger does {action}");
            }
        }
        for (place, role) in ROLES.iter().enumerate() {
            let expected = if may[place] { "ok" } else { "FORBIDDEN" };
            for answer in cast.does(&cast.sockets[place], &cast.users[place], &action, &room, place).await {
                assert_eq!(answer, expected, "the {role} does {action}");
            }
        }
    }
}

/// `can` of the room in a list says the same.
#[tokio::test]
async fn can_says_what_the_matrix_says() {
    let cast = cast().await;
    let room = cast.room("group").await;
    for (place, user) in cast.users.iter().enumerate() {
        let allowed: Vec<_> = matrix().into_iter().filter(|(_, may)| may[place]).map(|(action, _)| action).collect();
        assert_eq!(user.room(&room).await["can"], json!(allowed), "{}", ROLES[place]);
    }
}

/// Nobody acts upon an equal, somebody above, or themselves: each role upon each.
#[tokio::test]
async fn nobody_acts_upon_who_is_not_below_them() {
    let cast = cast().await;
    let acts = [
        ("chat:room:kick", json!({}), 2),
        ("chat:room:ban", json!({}), 2),
        ("chat:room:mute", json!({ "durationMs": 1000 }), 2),
        ("chat:room:mute", json!({ "until": null }), 2),
        ("chat:room:role", json!({ "role": "guest" }), 3),
    ];
    for (event, payload, least) in &acts {
        let room = cast.room("group").await;
        cast.app.execute(&format!("INSERT INTO room_members (room_id, user_id) SELECT '{room}', id FROM users WHERE id LIKE 'out%'")).await;
        for (actor, socket) in cast.sockets.iter().enumerate() {
            for (target, role) in ROLES.iter().enumerate() {
                // Another of the same role, but for the one owner.
                let user = if target == 4 { "the-owner".to_owned() } else { format!("out{target}") };
                cast.app
                    .execute(&format!(
                        "UPDATE room_members SET state = 'joined', role = '{role}', muted_until = NULL WHERE room_id = '{room}' AND user_id = '{user}'"
                    ))
                    .await;
                let mut payload = payload.clone();
                (payload["roomId"], payload["userId"]) = (json!(room), json!(user));
                let ack = socket.emit(event, &payload).await;
                let allowed = actor >= *least && actor > target;
                let what = format!("the {} does {event} to a {role}: {ack}", ROLES[actor]);
                assert_eq!(ack["ok"] == true, allowed, "{what}");
                assert!(allowed || ack["error"]["code"] == "FORBIDDEN", "{what}");
            }
            let (mut payload, own) = (payload.clone(), format!("the-{}", ROLES[actor]));
            (payload["roomId"], payload["userId"]) = (json!(room), json!(own));
            assert_eq!(socket.code_of(event, &payload).await, "FORBIDDEN", "the {} does {event} to themselves", ROLES[actor]);
        }
    }
}

#[tokio::test]
async fn a_role_is_given_below_ones_own_only_and_told_to_all_once() {
    let cast = cast().await;
    let room = cast.room("group").await;
    let [guest, member, moderator, admin, owner] = &cast.sockets[..] else { panic!("five") };
    for role in ["admin", "owner"] {
        let refused = admin.code_of("chat:room:role", &json!({ "roomId": room, "userId": "the-member", "role": role })).await;
        assert_eq!(refused, "FORBIDDEN", "{role}");
    }
    let before = int(&cast.users[4].room(&room).await["lastSeq"]);
    let ask = json!({ "roomId": room, "userId": "the-member", "role": "moderator" });

    let standing = admin.emit_ok("chat:room:role", &ask).await;
    let again = admin.emit_ok("chat:room:role", &ask).await;

    assert_members(&standing, &["userId", "role", "joinedAt", "mutedUntil", "state"]);
    assert_eq!((text(&standing["userId"]), text(&standing["role"]), text(&standing["state"])), ("the-member", "moderator", "joined"));
    assert_eq!(again, standing);
    for socket in [guest, member, moderator, admin, owner] {
        let told = socket.expect("chat:room:member").await;
        assert_members(&told, &["roomId", "seq", "userId", "membership", "reason", "by"]);
        assert_eq!((int(&told["seq"]), text(&told["reason"]), text(&told["by"])), (before + 1, "role", "the-admin"));
        assert_eq!(told["membership"], standing);
        socket.expect_silence("chat:room:member").await;
    }
    assert_eq!(int(&cast.users[4].room(&room).await["lastSeq"]), before + 1);
}

#[tokio::test]
async fn a_role_is_only_given_to_members() {
    let cast = cast().await;
    let room = cast.room("group").await;
    for nobody in ["stranger", "nobody", "the member"] {
        let ask = json!({ "roomId": room, "userId": nobody, "role": "member" });
        assert_eq!(cast.sockets[4].code_of("chat:room:role", &ask).await, "USER_NOT_FOUND", "{nobody}");
    }
}

async fn role_of(user: &TestUser, room: &str) -> Value {
    user.room(room).await["membership"]["role"].clone()
}

/// Leaving and coming back makes no member of a guest, and unmutes nobody.
#[tokio::test]
async fn who_comes_back_is_what_they_were_made() {
    let app = TestApp::start().await;
    let (alice, bob, carol) = (app.user("alice").await, app.user("bob").await, app.user("carol").await);
    let room = alice.create_public_room("square").await;
    for user in [&bob, &carol] {
        user.join(&room).await;
    }
    alice.put(&format!("/rooms/{room}/members/bob"), &json!({ "role": "guest" })).await.expect(200);
    alice.put(&format!("/rooms/{room}/mutes/carol"), &json!({ "durationMs": 600_000 })).await.expect(200);

    for user in [&bob, &carol] {
        user.leave(&room).await;
        user.join(&room).await;
    }

    assert_eq!(role_of(&bob, &room).await, "guest");
    let path = format!("/rooms/{room}/messages");
    assert_eq!(bob.post(&path, &json!({ "content": "x" })).await.refused(403), "FORBIDDEN");
    assert_eq!(carol.post(&path, &json!({ "content": "x" })).await.refused(403), "MUTED");
    bob.leave(&room).await;
    let invited = carol.put(&format!("/rooms/{room}/members/bob"), &json!({ "role": "member" })).await;
    assert_eq!(invited.refused(403), "FORBIDDEN", "a friend does not lift it either");
    let invited = carol.put(&format!("/rooms/{room}/members/bob"), &json!({})).await.expect(200);
    assert_eq!(invited["role"], "guest");
}

#[tokio::test]
async fn in_a_direct_room_nobody_is_above_the_other() {
    let app = TestApp::start().await;
    let (alice, _, _) = (app.user("alice").await, app.user("bob").await, app.user("carol").await);
    let room = alice.post("/rooms", &json!({ "type": "direct", "participants": ["bob"] })).await.expect(201);
    let socket = alice.connect().await;
    for (event, rest) in [
        ("chat:room:invite", json!({ "userId": "carol" })),
        ("chat:room:kick", json!({ "userId": "bob" })),
        ("chat:room:ban", json!({ "userId": "bob" })),
        ("chat:room:unban", json!({ "userId": "bob" })),
        ("chat:room:mute", json!({ "userId": "bob", "durationMs": 1 })),
        ("chat:room:role", json!({ "userId": "bob", "role": "guest" })),
        ("chat:room:update", json!({ "name": "ours" })),
    ] {
        let mut payload = rest;
        payload["roomId"] = room["id"].clone();
        assert_eq!(socket.code_of(event, &payload).await, "FORBIDDEN", "{event}");
        // Even for somebody to whom a row gives a role that nobody has in such a room.
        app.execute(
            "UPDATE room_members AS m SET role = 'admin' FROM rooms AS r WHERE r.id = m.room_id AND r.type = 'direct' AND m.user_id = 'alice'",
        )
        .await;
        if event != "chat:room:update" {
            assert_eq!(socket.code_of(event, &payload).await, "FORBIDDEN", "{event}");
        }
        app.execute("UPDATE room_members SET role = 'member' WHERE role = 'admin'").await;
    }
}
