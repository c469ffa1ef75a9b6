//! Two servers on one database, and rooms that stand still: nobody else waits for them, and the books balance.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::json;
use sqlx::{Executor, PgConnection};
use tokio::task::JoinSet;

use crate::support::{Load, TestApp, TestSocket, TestUser, cluster, eventually, json::int};

/// Where everybody is to be served, however many come before them on a slow machine. Who never gets their turn waits in vain all the same.
const UNHURRIED: (&str, &str) = ("CHAT_DATABASE_TIMEOUT", "1m");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_write_to_the_same_rooms_at_full_speed_fail_nobody() {
    let app = TestApp::with(&[("RUST_LOG", "warn"), UNHURRIED]).await;
    let (_second, other) = app.second_server();
    let mut users = Vec::new();
    for number in 0..8 {
        users.push(app.user(&format!("u{number}")).await);
    }
    let everybody: Vec<&TestUser> = users[1..].iter().collect();
    let mut rooms = Vec::new();
    for number in 0..12 {
        rooms.push(users[0].create_room_with(&format!("room {number}"), &everybody).await);
    }
    let mut sockets = Vec::new();
    for (number, user) in users.iter().enumerate() {
        sockets.push(if number % 2 == 0 { user.connect().await } else { user.at(&other).connect().await });
    }

    let mut sent = Vec::new();
    for round in 0..400 {
        for (number, socket) in sockets.iter().enumerate() {
            // Each goes through the rooms in an order of its own.
            let room = &rooms[(round * [1, 5, 7, 11][number % 4] + number) % rooms.len()];
            let id =
                socket.post("chat:message", &json!({ "roomId": room, "content": format!("{number}-{round}"), "clientMsgId": format!("{round}") }));
            sent.push((number, id));
        }
    }
    for (number, id) in sent {
        let ack = sockets[number].ack(id).await;
        assert_eq!(ack["ok"], true, "{ack}");
    }

    for room in &rooms {
        let seqs: Vec<i64> = users[0].history(room).await.iter().map(|message| int(&message["seq"])).collect();
        assert_eq!(seqs, (1..=i64::try_from(seqs.len()).unwrap()).collect::<Vec<_>>());
    }
}

/// What one member hears at either server is, put together, every number once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comings_goings_and_messages_at_two_servers_take_every_number_once() {
    let app = TestApp::with(&[("RUST_LOG", "warn"), UNHURRIED]).await;
    let (_second, other) = app.second_server();
    let alice = app.user("alice").await;
    let room = alice.create_public_room("square").await;
    let (here, there) = (alice.connect().await, alice.at(&other).connect().await);
    let mut sockets: Vec<TestSocket> = Vec::new();
    for number in 0..10 {
        let user = app.user(&format!("u{number}")).await;
        sockets.push(if number % 2 == 0 { user.connect().await } else { user.at(&other).connect().await });
    }

    let mut posted = Vec::new();
    for round in 0..12 {
        for (number, socket) in sockets.iter().enumerate() {
            posted.push((number, socket.post("chat:room:join", &json!(room))));
            for n in 0..3 {
                posted.push((number, socket.post("chat:message", &json!({ "roomId": room, "content": format!("{number} {round} {n}") }))));
            }
            posted.push((number, socket.post("chat:room:leave", &json!(room))));
        }
    }
    for (number, id) in posted {
        let ack = sockets[number].ack(id).await;
        assert_eq!(ack["ok"], true, "{ack}");
    }
    here.settle().await;
    there.settle().await;

    let heard = |socket: &TestSocket| -> Vec<i64> {
        socket.everything().iter().filter(|event| event["roomId"] == room.as_str()).filter_map(|event| event["seq"].as_i64()).collect()
    };
    let (a, b) = (heard(&here), heard(&there));
    assert!(a.is_sorted() && b.is_sorted(), "each hears in the order of the numbers");
    let mut all = [a, b].concat();
    all.sort_unstable();
    assert_eq!(all, (1..=600).collect::<Vec<_>>());
    let room = alice.room(&room).await;
    assert_eq!((&room["lastSeq"], &room["memberCount"]), (&json!(600), &json!(1)));
}

/// An operator's forgotten transaction, or another server that died in the middle of one.
#[tokio::test]
async fn a_room_whose_row_is_held_makes_no_other_room_wait() {
    let app = TestApp::with(&[("CHAT_DATABASE_TIMEOUT", "30s")]).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let (held, free) = (alice.create_room("held").await, bob.create_room("free").await);
    let (a, b) = (alice.connect().await, bob.connect().await);
    let mut holder: PgConnection = app.sql().await;
    holder.execute("BEGIN").await.unwrap();
    sqlx::query("UPDATE rooms SET topic = 'x' WHERE id = $1::uuid").bind(&held).execute(&mut holder).await.unwrap();

    a.post("chat:message", &json!({ "roomId": held, "content": "hello?" }));
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("a message that waits", async || app.number(waiting).await > 0).await;
    let begun = Instant::now();
    let ack = b.emit("chat:message", &json!({ "roomId": free, "content": "hello!" })).await;
    let took = begun.elapsed();

    // The other one waits for 15 s.
    assert!(took < Duration::from_secs(10) && ack["ok"] == true, "{took:?} {ack}");
}

/// What every client does when it comes back after a restart of the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_join_their_rooms_again_at_once_are_all_answered() {
    let app = TestApp::with(&[("RUST_LOG", "warn"), UNHURRIED]).await;
    let mut people = Vec::new();
    for number in 0..64 {
        let user = app.user(&format!("u{number}")).await;
        let room = user.create_room("own").await;
        people.push((user.connect().await, room));
    }

    let mut posted = Vec::new();
    for _ in 0..3 {
        for (number, (socket, room)) in people.iter().enumerate() {
            posted.push((number, socket.post("chat:room:join", &json!(room))));
        }
    }

    let mut failed = 0;
    for (number, id) in posted {
        failed += usize::from(people[number].0.ack(id).await["ok"] != true);
    }
    assert_eq!(failed, 0, "of 192");
}

/// Promises P1 to P4 with several rooms at two servers, whichever of the three programs is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_servers_and_postgres_in_turn_loses_nothing_acked_in_any_room() {
    let postgres = cluster::exclusive();
    let mut app = TestApp::on_cluster(&postgres, &[("RUST_LOG", "warn")]).await;
    let (mut second, other) = app.second_server();
    let bases = [Arc::new(Mutex::new(app.base().to_owned())), Arc::new(Mutex::new(other))];
    let mut loads = Vec::new();
    for number in 0..3 {
        let people = [app.user(&format!("a{number}")).await, app.user(&format!("b{number}")).await];
        let room = people[0].create_room_with("load", &[&people[1]]).await;
        let [a, b] = people;
        loads.push((a.clone(), room.clone(), [Load::begin(vec![a], &room, &bases[0]), Load::begin(vec![b], &room, &bases[1])]));
    }

    for round in 0..4 {
        for (_, _, both) in &loads {
            for load in both {
                load.acked(load.acked_so_far() + 20).await;
            }
        }
        match round {
            0 | 3 => {
                postgres.kill();
                postgres.start_again();
            }
            1 => {
                app.kill_9();
                app.start_again();
                app.base().clone_into(&mut bases[0].lock().unwrap());
            }
            _ => {
                drop(second);
                let (started, base) = app.second_server();
                second = started;
                base.clone_into(&mut bases[1].lock().unwrap());
            }
        }
    }

    for (user, room, [here, there]) in loads {
        here.acked(here.acked_so_far() + 10).await;
        there.acked(there.acked_so_far() + 10).await;
        let (here, there) = (here.finish().await, there.finish().await);
        let history = user.at(app.base()).history(&room).await;
        here.compare(&history);
        there.compare(&history);
        let seqs: Vec<i64> = history.iter().map(|message| int(&message["seq"])).collect();
        assert!(seqs.is_sorted_by(|a, b| a + 1 == *b), "a hole: {seqs:?}");
    }
}

/// A body full of packets for a namespace that is not served.
#[tokio::test]
async fn a_flood_of_packets_is_no_flood_of_log_lines() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let socket = app.dial().polling().open_transport().await.unwrap();

    socket.post_status(&app.http, "40\u{1e}".repeat(20_000) + "40").await;

    alice.connect().await.say("general", "still here").await;
    let lines = app.logs().lines().count();
    assert!(lines < 200, "{lines} lines");
}

/// A turn that others queue for is not lost to whoever asks first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_of_steady_comings_and_goings_lets_its_members_speak() {
    let app = TestApp::with(&[("RUST_LOG", "warn"), UNHURRIED]).await;
    let alice = app.user("alice").await;
    let (busy, other) = (alice.create_public_room("busy").await, alice.create_public_room("other").await);
    let mut crowd = JoinSet::new();
    for number in 0..30 {
        let user = app.user(&format!("u{number}")).await;
        let (socket, busy, other) = (user.connect().await, busy.clone(), other.clone());
        crowd.spawn(async move {
            if number < 5 {
                socket.emit_ok("chat:room:join", &json!(other)).await;
            }
            loop {
                if number < 5 {
                    socket.emit("chat:message", &json!({ "roomId": other, "content": "x" })).await;
                } else {
                    socket.emit("chat:room:join", &json!(busy)).await;
                    socket.emit("chat:room:leave", &json!(busy)).await;
                }
            }
        });
    }
    let socket = alice.connect().await;
    socket.expect_where("chat:room:left", |left| left["roomId"] == busy.as_str()).await;

    for _ in 0..5 {
        socket.say(&busy, "may I?").await;
    }
}
