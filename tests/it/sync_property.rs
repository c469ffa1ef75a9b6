//! Promise P6, the law of sync: whatever happens in a room, and whatever a client misses of it, after a sync its view is the
//! server's.
//!
//! Histories come from a seed: users talk, change what they said and keep order, several of them at the same time, while
//! their clients lose frames and connections, come back, and sync when they like with limits as they like. In the end every client's
//! [mirror](crate::support::Mirror) is compared with what those who acted were answered, with a client that knew nothing, and with
//! what the routes say. `IRES_TEST_HISTORIES=2000` lives through so many, `IRES_TEST_SEED=…` through one again (which acts
//! and clients meet is left to the scheduler).

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::sync_acts::World;
use crate::support::{
    Dice, Mirror, TestApp, TestSocket, TestUser,
    json::{int, text},
    mirror::plain,
};

/// How many are lived through unless it is said.
const HISTORIES: u64 = 40;
/// How many at the same time.
const AT_ONCE: usize = 8;

/// One user's client.
struct Client {
    user: TestUser,
    mirror: Mirror,
    socket: Option<TestSocket>,
    dice: Dice,
    /// One in so many frames is lost; 0 for none.
    loss: usize,
    seen: Seen,
}

/// What was lived through.
#[derive(Default, Clone, Copy)]
struct Seen {
    numbers: usize,
    refused: usize,
    applied: usize,
    lost: usize,
    connects: usize,
    syncs: usize,
    gaps: usize,
    gone: usize,
    /// Mirrors that were right without a last sync.
    live: usize,
}

impl Seen {
    fn add(&mut self, mut other: Self) {
        for (mine, theirs) in self.counts().into_iter().zip(other.counts()) {
            *mine += *theirs;
        }
    }

    fn counts(&mut self) -> [&mut usize; 9] {
        let Self { numbers, refused, applied, lost, connects, syncs, gaps, gone, live } = self;
        [numbers, refused, applied, lost, connects, syncs, gaps, gone, live]
    }
}

impl Client {
    /// Does what clients do, or nothing.
    async fn live_a_moment(&mut self) {
        match self.socket {
            None if self.dice.one_in(3) => self.connect().await,
            None => {}
            Some(_) if self.dice.one_in(10) => self.socket = None,
            Some(_) => {
                if self.dice.one_in(2) {
                    self.listen();
                }
                if self.dice.one_in(if self.mirror.is_stale { 2 } else { 6 }) {
                    self.sync().await;
                }
            }
        }
    }

    /// A new connection, which says itself whether anything was missed.
    async fn connect(&mut self) {
        let socket = self.user.connect().await;
        let mut rooms = socket.ready["rooms"].as_array().unwrap().iter();
        let room = rooms.find(|room| room["id"] == self.mirror.room_id.as_str());
        self.mirror.is_stale |= room.is_none_or(|room| int(&room["lastSeq"]) != self.mirror.cursor);
        self.socket = Some(socket);
        self.seen.connects += 1;
    }

    /// Takes in what has come so far, but for what gets lost.
    fn listen(&mut self) {
        for (event, data) in self.socket.iter().flat_map(TestSocket::take_everything) {
            if self.loss > 0 && self.dice.one_in(self.loss) {
                self.seen.lost += 1;
                continue;
            }
            let before = self.mirror.cursor;
            self.mirror.hear(&event, &data);
            self.seen.applied += usize::from(self.mirror.cursor > before);
        }
    }

    async fn sync(&mut self) {
        let Self { user, mirror, socket, dice, seen, .. } = self;
        let limit = || *dice.pick(&[None, Some(1), Some(2), Some(3), Some(5), Some(20)]);
        let is_in = mirror.sync(user, socket.as_ref().unwrap(), limit).await;
        seen.syncs += 1;
        seen.gone += usize::from(!is_in);
    }
}

/// One history, from the making of a room to its end.
async fn live_through(users: Vec<TestUser>, seed: u64) -> Seen {
    let mut dice = Dice::new(seed);
    let kind = *dice.pick(&["group", "public", "public"]);
    let new = json!({ "name": "den", "type": kind, "participants": [users[1].id, users[2].id] });
    let room = users[0].post("/rooms", &new).await.expect(201);
    let mut world = World::of_new(users.clone(), &room);
    let client = |user: &TestUser| {
        let mut dice = Dice::new(dice.roll());
        let loss = *dice.pick(&[0, 0, 5, 20]);
        let mirror = Mirror::of_new(&user.id, &room, &[&users[1].id, &users[2].id]);
        Client { user: user.clone(), mirror, socket: None, dice, loss, seen: Seen::default() }
    };
    let mut clients: Vec<Client> = users.iter().map(client).collect();

    for _ in 0..8 + dice.below(16) {
        let deeds = world.choose(&mut dice);
        let done = join_all(deeds.iter().map(|deed| world.perform(deed)));
        let (replies, _) = tokio::join!(done, join_all(clients.iter_mut().map(Client::live_a_moment)));
        world.take_in(deeds.into_iter().zip(replies).collect());
    }
    while let Some(deed) = world.choose_reunion() {
        let reply = world.perform(&deed).await;
        assert!(reply.status < 400, "{deed:?} was answered {}", reply.text);
        world.take_in(vec![(deed, reply)]);
    }

    let mut all = Seen { numbers: world.done, refused: world.refused, ..Seen::default() };
    for client in &mut clients {
        agrees_in_the_end(client, &world).await;
        client.seen.gaps = client.mirror.gaps;
        all.add(client.seen);
    }
    let newcomer = clients.swap_remove(dice.below(clients.len()));
    agrees_from_nothing(newcomer, &world, &room).await;
    let owner = world.model.members.values().find(|member| member["role"] == "owner").unwrap();
    let owner = users.iter().find(|user| owner["userId"] == user.id.as_str()).unwrap();
    owner.delete(&format!("/rooms/{}", world.model.room_id)).await.expect(204);
    all
}

/// A client that missed nothing is right by its events alone, and every client is after a sync.
async fn agrees_in_the_end(client: &mut Client, world: &World) {
    let expected = world.as_seen_by(&client.user.id);
    if client.socket.is_none() {
        client.connect().await;
    }
    client.socket.as_ref().unwrap().settle().await;
    client.listen();
    if !client.mirror.is_stale && client.mirror.cursor == expected.cursor {
        let wrong = client.mirror.differences(&expected);
        assert!(wrong.is_empty(), "{} after all events:{wrong}", client.user.id);
        client.seen.live += 1;
    }

    client.sync().await;

    let wrong = client.mirror.differences(&expected);
    assert!(wrong.is_empty(), "{} after the last sync:{wrong}", client.user.id);
    let shown = &client.mirror.overview;
    let unread = (int(&shown["read"]["seq"]), int(&shown["unread"]), int(&shown["mentions"]));
    let (read, messages, mentions) = world.unread(&client.user.id);
    assert_eq!(unread, (read, i64::try_from(messages).unwrap(), i64::try_from(mentions).unwrap()), "{}", client.user.id);
    assert_eq!(*shown, client.user.room(&client.mirror.room_id).await);
}

/// A client that knew nothing comes to the same by sync, and so do the routes.
async fn agrees_from_nothing(mut client: Client, world: &World, room: &Value) {
    let Client { ref user, ref socket, ref mut dice, .. } = client;
    let expected = world.as_seen_by(&user.id);
    let mut fresh = Mirror::of_new(&user.id, room, &[&world.users[1].id, &world.users[2].id]);
    let limit = || *dice.pick(&[None, Some(1), Some(3), Some(10)]);
    assert!(fresh.sync(user, socket.as_ref().unwrap(), limit).await);
    let wrong = fresh.differences(&expected);
    assert!(wrong.is_empty(), "a client that knew nothing:{wrong}");

    let history = user.history(&fresh.room_id).await;
    let messages: Vec<Value> = history.iter().map(plain).collect();
    let mut by_seq: Vec<Value> = fresh.messages.into_values().collect();
    by_seq.sort_by_key(|message| int(&message["seq"]));
    assert_eq!(messages, by_seq, "history");
    let listed = user.get(&format!("/rooms/{}/members", fresh.room_id)).await.expect(200);
    let listed = listed["items"].as_array().unwrap();
    assert_eq!(listed.len(), world.users.len());
    for member in listed {
        let known = &fresh.members[text(&member["user"]["id"])];
        assert_eq!((&member["role"], &member["mutedUntil"]), (&known["role"], &known["mutedUntil"]), "{member}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_after_any_history_every_clients_view_is_the_servers() {
    let number = |name: &str| env::var(name).ok().map(|value| value.parse::<u64>().unwrap_or_else(|_| panic!("{name} is no number")));
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let (first, histories) = match number("IRES_TEST_SEED") {
        Some(seed) => (seed, number("IRES_TEST_HISTORIES").unwrap_or(1)),
        None => (since_1970.as_secs() * 1_000_000, number("IRES_TEST_HISTORIES").unwrap_or(HISTORIES)),
    };
    let app = TestApp::with(&[("RUST_LOG", "warn")]).await;
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for worker in 0..AT_ONCE {
        let users: Vec<TestUser> = ["alice", "bob", "carol", "dave"].iter().map(|name| app.stranger(&format!("{name}-{worker}"))).collect();
        let next = next.clone();
        workers.spawn(async move {
            for user in &users {
                user.get("/users/me").await.expect(200);
            }
            let mut seen = Seen::default();
            loop {
                let nth = next.fetch_add(1, Ordering::Relaxed);
                if nth >= histories {
                    return seen;
                }
                let lived = tokio::spawn(live_through(users.clone(), first + nth)).await;
                seen.add(lived.unwrap_or_else(|_| panic!("this history again: IRES_TEST_SEED={}", first + nth)));
            }
        });
    }
    let mut all = Seen::default();
    while let Some(seen) = workers.join_next().await {
        all.add(seen.unwrap());
    }
    let Seen { numbers, refused, applied, lost, connects, syncs, gaps, gone, live } = all;
    println!(
        "{histories} histories: {numbers} numbers, {refused} acts refused, {applied} events applied, {lost} frames lost, {connects} connects, \
         {syncs} syncs with {gaps} gaps, {gone} of them of no member, {live} mirrors right by events alone"
    );
    if histories >= HISTORIES {
        assert!([numbers, refused, applied, lost, connects, syncs, gaps, gone, live].iter().all(|count| *count > 0), "something never happened");
    }
}
