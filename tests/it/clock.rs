//! Clocks jump by an hour, forth and back: promise P14.
//!
//! What is measured goes by clocks that only go forward; messages, leases and lists go by the database's. So a server's own clock
//! decides about nothing but tokens.

use std::time::{Duration, Instant};

use chrono::DateTime;
use serde_json::{Value, json};

use crate::{
    support::{
        Running, TestApp, TestSocket, TestUser,
        clock::Clock,
        eventually, ires_chat,
        json::{int, text},
        token,
    },
    sync::changes,
};

const HOUR: i64 = 3_600;

/// Somebody whose token outlasts every jump.
async fn patient(app: &TestApp, id: &str) -> TestUser {
    let user = app.holder(id, token::expiring(id, 12 * HOUR));
    user.get("/users/me").await.expect(200);
    user
}

/// Sets the server's clock, and sees that it is.
async fn jump(clock: &Clock, asker: &TestUser, seconds: i64) {
    clock.set(seconds);
    eventually("the jump", async || {
        let presence = asker.get("/users/me/presence").await.expect(200);
        let time = DateTime::parse_from_rfc3339(text(&presence["serverTime"])).unwrap().timestamp();
        (time - token::seconds_from_now(seconds)).abs() < 30
    })
    .await;
}

fn room_ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|room| text(&room["id"])).collect()
}

/// People of two servers, of whom some talk while a clock jumps.
struct Talk {
    app: TestApp,
    /// The other server, whose own clock is right.
    elsewhere: (Running, String),
    alice: TestUser,
    bob: TestUser,
    room: String,
    said: Vec<Value>,
}

/// Leases that are renewed often, so that each jump meets some, and longer than a busy machine may stand still.
const SETTINGS: [(&str, &str); 2] = [("CHAT_NODE_LEASE", "8s"), ("CHAT_PRESENCE_GRACE", "100ms")];

impl Talk {
    async fn at(app: TestApp) -> Self {
        let elsewhere = app.second_server_with(&SETTINGS);
        let (alice, bob) = (patient(&app, "alice").await, patient(&app, "bob").await);
        for name in ["attic", "cellar"] {
            alice.create_room_with(name, &[&bob]).await;
        }
        let room = alice.create_room_with("den", &[&bob]).await;
        Self { app, elsewhere, alice, bob, room, said: Vec::new() }
    }

    /// Says something after each jump, and again what was said before; then compares what everybody knows.
    async fn through(mut self, set: impl AsyncFn(&Self, i64)) -> Self {
        let carol = patient(&self.app, "carol").await.at(&self.elsewhere.1);
        self.alice.put(&format!("/rooms/{}/members/carol", self.room), &json!({})).await.expect(200);
        let (from, to, afar) = (self.alice.connect().await, self.bob.connect().await, carol.connect().await);
        let is_online = async || carol.get("/users/alice/presence").await.expect(200)["isOnline"] == true;
        eventually("carol's sight of alice", is_online).await;
        let first_page = self.bob.get("/rooms?limit=2").await.expect(200);
        for seconds in [0, HOUR, -HOUR, 0] {
            set(&self, seconds).await;
            self.say(&from).await;
            // Both servers renew their leases by the clock as it is now.
            let since = text(&self.said[self.said.len() - 1]["createdAt"]);
            let renewed = format!("SELECT count(*) FROM nodes WHERE renewed_at BETWEEN '{since}' AND now() AND lease_until > now()");
            eventually("a renewal of both leases", async || self.app.number(&renewed).await == 2).await;
            assert!(is_online().await, "at {seconds}");
        }

        let heard = to.expect_count("chat:message", self.said.len()).await;
        self.compare(&heard).await;
        let synced = changes(&to, &self.room, int(&self.said[0]["seq"])).await;
        assert_eq!(synced["messages"].as_array().unwrap().len(), self.said.len() - 1, "{synced}");
        let second_page = self.bob.get(&format!("/rooms?limit=2&cursor={}", text(&first_page["nextCursor"]))).await.expect(200);
        let mut rooms = [room_ids(&first_page), room_ids(&second_page)].concat();
        rooms.sort_unstable();
        rooms.dedup();
        assert_eq!(rooms.len(), 4, "a list that was begun before the jumps is gone on with after them: {rooms:?}");
        for listener in [&from, &to, &afar] {
            assert_eq!(listener.seen("status:offline"), Vec::<Value>::new(), "nobody went");
        }
        from.close().await;
        for listener in [&to, &afar] {
            listener.expect_where("status:offline", |edge| edge["userId"] == "alice").await;
        }
        self
    }

    async fn say(&mut self, from: &TestSocket) {
        let message = |number: usize| json!({ "roomId": self.room, "content": format!("{number}"), "clientMsgId": format!("m{number}") });
        let stored = from.emit_ok("chat:message", &message(self.said.len())).await;
        self.said.push(stored);
        for (number, stored) in self.said.iter().enumerate() {
            let again = from.emit_ok("chat:message", &message(number)).await;
            assert_eq!((&again["id"], &again["seq"]), (&stored["id"], &stored["seq"]));
        }
    }

    /// What was heard is what is stored, in the order in which it was said, once.
    async fn compare(&self, heard: &[Value]) {
        let key = |message: &Value| (int(&message["seq"]), text(&message["content"]).to_owned());
        let said: Vec<_> = self.said.iter().map(key).collect();
        assert!(said.is_sorted(), "{said:?}");
        assert_eq!(heard.iter().map(key).collect::<Vec<_>>(), said);
        assert_eq!(self.bob.history(&self.room).await.iter().map(key).collect::<Vec<_>>(), said);
    }
}

#[tokio::test]
async fn p14_jumps_of_a_servers_clock_break_neither_order_nor_cursors_nor_dedupe_and_nobody_comes_or_goes() {
    let Some(clock) = Clock::right("P14 at a server") else { return };
    let app = TestApp::with(&[&clock.environment()[..], &SETTINGS].concat()).await;

    let talk = Talk::at(app).await.through(async |talk, seconds| jump(&clock, &talk.alice, seconds).await).await;

    // Messages have the database's time.
    let times: Vec<_> = talk.said.iter().map(|message| text(&message["createdAt"])).collect();
    assert!(times.is_sorted(), "{times:?}");
    for message in &talk.said {
        let page = talk.bob.get(&format!("/rooms/{}/messages?at={}&limit=10", talk.room, text(&message["createdAt"]))).await.expect(200);
        assert!(page["messages"].as_array().unwrap().iter().any(|at| at["id"] == message["id"]), "{page}");
    }
}

/// Times of messages jump with the database's clock; nothing else does.
#[tokio::test]
async fn p14_nor_do_jumps_of_the_databases_clock() {
    let Some(clock) = Clock::right("P14 in the database") else { return };
    let postgres = clock.postgres();
    let app = TestApp::on_cluster(&postgres, &SETTINGS).await;

    let set = async |talk: &Talk, seconds| {
        clock.set(seconds);
        let now = "SELECT extract(epoch FROM clock_timestamp())::bigint";
        eventually("the jump", async || (talk.app.number(now).await - token::seconds_from_now(seconds)).abs() < 30).await;
    };
    let talk = Talk::at(app).await.through(set).await;

    let times: Vec<_> = talk.said.iter().map(|message| text(&message["createdAt"])).collect();
    assert!(times[1] > times[3] && times[3] > times[2], "{times:?}");
}

/// It is the server's clock that says whether a token is over; whoever refreshes theirs is let in whatever the clock does.
#[tokio::test]
async fn p14_where_a_servers_clock_jumps_tokens_end_by_it_and_a_refresh_helps() {
    let Some(clock) = Clock::right("P14 with tokens") else { return };
    let app = TestApp::with(&[&clock.environment()[..], &[("CHAT_TOKEN_GRACE", "500ms")]].concat()).await;
    let alice = patient(&app, "alice").await;
    let own = app.register("erin").await;
    let (short, long) = (app.holder("bob", token::expiring("bob", HOUR / 2)), patient(&app, "carol").await);
    let (shorts, longs) = (short.connect().await, long.connect().await);
    let owns = own.connect().await;

    jump(&clock, &alice, HOUR).await;
    for (socket, user) in [(&shorts, &short), (&owns, &own)] {
        assert_eq!(socket.expect("system:error").await["code"], "AUTH_TOKEN_EXPIRED");
        assert_eq!(user.get("/users/me").await.refused(401), "AUTH_TOKEN_EXPIRED");
    }
    let own = refreshed(&app, &own).await;
    own.get("/users/me").await.expect(200);

    // What was issued an hour ahead is not valid yet.
    jump(&clock, &alice, 0).await;
    short.get("/users/me").await.expect(200);
    assert_eq!(own.get("/users/me").await.refused(401), "AUTH_TOKEN_INVALID");
    let own = refreshed(&app, &own).await;
    own.get("/users/me").await.expect(200);

    jump(&clock, &alice, -HOUR).await;
    short.get("/users/me").await.expect(200);
    let own = refreshed(&app, &own).await;
    own.connect().await.say("general", "still here").await;
    longs.say("general", "and never gone").await;
}

/// The account with the tokens that its refresh token gives.
async fn refreshed(app: &TestApp, user: &TestUser) -> TestUser {
    let login = app.post("/api/v1/auth/refresh", &json!({ "refreshToken": user.login["refreshToken"] })).await.expect(200);
    TestUser::logged_in(app.http.clone(), app.base().to_owned(), login)
}

#[tokio::test]
async fn p14_no_jump_of_the_clock_gives_more_than_the_limits_allow_or_takes_it_away() {
    let Some(clock) = Clock::right("P14 with limits") else { return };
    let limits = [("CHAT_LIMITS", "on"), ("CHAT_LIMIT_MESSAGE", "1/1/4s"), ("CHAT_LIMIT_ANY", "off")];
    let app = TestApp::with(&[&clock.environment()[..], &limits].concat()).await;
    let alice = patient(&app, "alice").await;
    let socket = alice.connect().await;
    let send = async || socket.emit("chat:message", &json!({ "content": "x" })).await;

    for seconds in [HOUR, -HOUR] {
        let mut begun = Instant::now();
        assert_eq!(send().await["ok"], true);
        let refused = loop {
            jump(&clock, &alice, seconds).await;
            let asked = Instant::now();
            let answer = send().await;
            if answer["ok"] == false {
                break answer;
            }
            // On a machine that stands still for so long it is allowed, rightly.
            assert!(begun.elapsed() >= Duration::from_secs(4), "{answer}");
            begun = asked;
        };
        assert_eq!(refused["error"]["code"], "RATE_LIMITED", "{refused}");
        let wait = int(&refused["error"]["retryAfterMs"]);
        assert!(wait <= 4_000, "{refused}");
        tokio::time::sleep(Duration::from_millis(wait.unsigned_abs() + 20)).await;
    }
    assert_eq!(send().await["ok"], true);
}

/// Whoever runs it may have a wrong clock; what it deleted would be gone for good.
#[tokio::test]
async fn retention_goes_by_the_databases_clock() {
    let Some(clock) = Clock::right("retention by a wrong clock") else { return };
    let app = TestApp::start().await;
    app.user("alice").await.say("general", "said just now").await;
    let environment = [&clock.environment()[..], &[("DATABASE_URL", app.database.url())]].concat();
    let dry_run = || ires_chat(&["retention", "run", "--older-than", "30d", "--dry-run"], &environment).stdout;

    clock.set(40 * 24 * HOUR);
    assert!(dry_run().starts_with("0 messages"), "{}", dry_run());

    clock.set(0);
    app.execute("UPDATE messages SET created_at = created_at - interval '40 days'").await;
    clock.set(-40 * 24 * HOUR);
    assert!(dry_run().contains("1 messages would be deleted"), "{}", dry_run());
}
