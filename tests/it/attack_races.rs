//! What is cut off in the middle leaves nothing behind: a socket that goes while it is let in, a request whose
//! caller goes while it is committed, a right that is lost while its holder waits.

use std::time::Duration;

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::task::JoinHandle;

use crate::support::{TestApp, TestUser, eventually, json::text, token};

const SECOND: Duration = Duration::from_secs(1);

/// For servers whose statements are held up for as long as the test needs: they wait for half of that.
const PATIENT: [(&str, &str); 1] = [("CHAT_DATABASE_TIMEOUT", "30s")];

/// Holds a table, or whatever else the statement holds, until the end of the connection.
async fn holding(app: &TestApp, statement: &'static str) -> PgConnection {
    let mut holder = app.sql().await;
    holder.execute("BEGIN").await.unwrap();
    holder.execute(statement).await.unwrap();
    holder
}

async fn let_go(mut holder: PgConnection) {
    holder.execute("COMMIT").await.unwrap();
    holder.close().await.unwrap();
}

/// Waits until a statement of the server with these words waits for a lock.
async fn someone_waits(app: &TestApp, words: &str) {
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND position('{words}' IN query) > 0"
    );
    eventually("a statement that waits for a lock", async || app.number(&waiting).await > 0).await;
}

/// Lets time pass where time itself is what matters: patience that runs out, a request that has come to wait.
async fn spend(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Makes the commit of what changes this table wait at a gate, until whoever has closed it lets go, and not only as long as the server would
/// have it wait.
async fn commits_wait_at_a_gate(app: &TestApp, table: &str) -> PgConnection {
    app.execute(&format!(
        "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER wait AFTER INSERT OR UPDATE ON {table}
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait();
         CREATE FUNCTION be_patient() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             PERFORM set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true); RETURN NULL; END $$;
         CREATE TRIGGER be_patient AFTER INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION be_patient();"
    ))
    .await;
    holding(app, "SELECT pg_advisory_xact_lock(1)").await
}

/// Gives up a request whose commit waits at the gate, and opens that once the server may have noticed.
async fn hang_up_at_the_gate<T>(app: &TestApp, request: JoinHandle<T>, gate: PgConnection) {
    someone_waits(app, "").await;
    request.abort();
    spend(Duration::from_millis(300)).await;
    let_go(gate).await;
}

async fn is_online(asker: &TestUser, id: &str) -> bool {
    asker.get(&format!("/users/{id}/presence")).await.expect(200)["isOnline"] == true
}

#[tokio::test]
async fn who_goes_while_being_let_in_does_not_stay_online() {
    let app = TestApp::with(&PATIENT).await;
    let (alice, ghost) = (app.user("alice").await, app.user("ghost").await);
    let tables = holding(&app, "LOCK TABLE room_members IN ACCESS EXCLUSIVE MODE").await;
    let socket = ghost.dial().open().await.unwrap();
    // What reads their rooms, and not what the server looks for of its own accord.
    someone_waits(&app, "SELECT room_id FROM room_members WHERE user_id BETWEEN").await;

    drop(socket);
    eventually("the end of the connection", async || app.logs().contains("a user disconnected")).await;
    let_go(tables).await;

    eventually("the ghost's going", async || !is_online(&alice, "ghost").await).await;
    let back = ghost.connect().await;
    eventually("the ghost's coming", async || is_online(&alice, "ghost").await).await;
    drop(back);
    eventually("the ghost's going", async || !is_online(&alice, "ghost").await).await;
}

#[tokio::test]
async fn who_logged_in_while_the_handshakes_token_waited_for_the_database_stays_who_they_are() {
    let app = TestApp::with(&[("CHAT_DATABASE_TIMEOUT", "3s")]).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let tables = holding(&app, "LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE").await;
    let socket = alice.dial().open().await.unwrap();
    socket.expect_where("system:error", |error| error["code"] == "UNAVAILABLE").await;
    let_go(tables).await;

    let login = socket.emit("auth:login", &json!({ "token": bob.token })).await;

    let user = socket.expect_notification("session.ready").await["data"]["user"]["id"].clone();
    assert_eq!((&login["ok"], &user), (&json!(true), &json!("bob")), "{login}");
    let again = socket.hears_within(3 * SECOND, "system:notification", |one| one["type"] == "session.ready").await;
    assert_eq!(again, None, "a socket is let in once");
}

#[tokio::test]
async fn a_removal_whose_caller_hung_up_silences_the_removed_all_the_same() {
    let app = TestApp::with(&PATIENT).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let socket = bob.connect().await;
    alice.say(&room, "is bob there?").await;
    socket.expect("chat:message").await;
    let gate = commits_wait_at_a_gate(&app, "room_members").await;

    let request = alice.request(reqwest::Method::DELETE, &format!("/rooms/{room}/members/bob"));
    hang_up_at_the_gate(&app, tokio::spawn(request.send()), gate).await;

    let left = "SELECT count(*) FROM room_members WHERE user_id = 'bob' AND state = 'left'";
    eventually("the removal", async || app.number(left).await == 1).await;
    eventually("the removal is told", async || !socket.seen("chat:room:left").is_empty()).await;
    alice.say(&room, "bob is gone, is he not?").await;
    socket.expect_silence("chat:message").await;
}

#[tokio::test]
async fn a_revocation_whose_caller_hung_up_closes_the_sessions_sockets_all_the_same() {
    let app = TestApp::with(&PATIENT).await;
    let alice = app.user("alice").await;
    let socket = alice.connect().await;
    let gate = commits_wait_at_a_gate(&app, "sessions").await;

    let logout = tokio::spawn(alice.request(reqwest::Method::POST, "/auth/logout").send());
    hang_up_at_the_gate(&app, logout, gate).await;

    let revoked = "SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL";
    eventually("the revocation", async || app.number(revoked).await == 1).await;
    eventually("the end of the socket", async || !socket.is_live()).await;
}

#[tokio::test]
async fn who_comes_in_while_being_removed_hears_nothing_more_of_the_room() {
    let app = TestApp::with(&PATIENT).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_room_with("den", &[&bob]).await;
    let gate = commits_wait_at_a_gate(&app, "room_members").await;
    let removal = tokio::spawn(alice.request(reqwest::Method::DELETE, &format!("/rooms/{room}/members/bob")).send());
    someone_waits(&app, "").await;
    let socket = bob.connect().await;
    let rooms = socket.ready["rooms"].as_array().unwrap();
    assert!(rooms.iter().any(|one| one["id"] == room), "it is not committed yet");

    let_go(gate).await;
    assert_eq!(removal.await.unwrap().unwrap().status(), 204);

    alice.say(&room, "bob is gone, is he not?").await;
    socket.expect_silence("chat:message").await;
}

#[tokio::test]
async fn a_log_out_that_was_committed_too_late_to_be_answered_ends_the_socket_all_the_same() {
    let app = TestApp::with(&[("CHAT_DATABASE_TIMEOUT", "3s")]).await;
    let socket = app.user("alice").await.connect().await;
    let gate = commits_wait_at_a_gate(&app, "sessions").await;

    let first = socket.emit("auth:logout", &json!({})).await;

    assert_eq!(first["error"]["code"], "UNAVAILABLE", "{first}");
    let_go(gate).await;
    let revoked = "SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL";
    eventually("the revocation", async || app.number(revoked).await == 1).await;
    socket.disconnected().await;
}

#[tokio::test]
async fn who_logs_in_again_while_the_first_log_in_is_still_under_way_is_let_in_once() {
    let app = TestApp::with(&[("CHAT_DATABASE_TIMEOUT", "3s"), ("CHAT_AUTH_TIMEOUT", "60s")]).await;
    let (alice, bob, carol) = (app.user("alice").await, app.stranger("bob"), app.stranger("carol"));
    let socket = app.dial().open().await.unwrap();
    // Two seconds for whoever comes for the first time, one after the other: bob waits for carol.
    app.execute(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
         CREATE TRIGGER dawdle AFTER INSERT OR UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION dawdle();
         CREATE CONSTRAINT TRIGGER dawdle_at_the_end AFTER INSERT OR UPDATE ON sessions
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle();",
    )
    .await;
    let coming = tokio::spawn(async move { carol.get("/users/me").await });
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    eventually("carol's coming", async || app.number(sleeping).await == 1).await;
    let login = json!({ "token": bob.token });
    for _ in 0..2 {
        // The first takes too long to be answered, and is done while the second waits for its answer.
        socket.emit("auth:login", &login).await;
    }
    coming.await.unwrap();
    app.execute("DROP FUNCTION dawdle() CASCADE").await;

    eventually("an answered log-in", async || socket.emit("auth:login", &login).await["ok"] == true).await;

    alice.create_room_with("den", &[&bob]).await;
    socket.expect("chat:room:created").await;
    socket.expect_silence("chat:room:created").await;
    let ready = socket.seen("system:notification").into_iter().filter(|one| one["type"] == "session.ready");
    assert_eq!(ready.count(), 1);
}

#[tokio::test]
async fn who_comes_with_a_token_that_ends_soon_is_shown_everything_before_being_told_so() {
    let app = TestApp::with(&PATIENT).await;
    let alice = app.holder("alice", token::expiring("alice", 50));
    alice.get("/users/me").await.expect(200);
    let tables = holding(&app, "LOCK TABLE room_members IN ACCESS EXCLUSIVE MODE").await;
    let socket = alice.dial().open().await.unwrap();
    someone_waits(&app, "room_members").await;
    // Long enough for the server to look after its sockets.
    spend(SECOND).await;
    let_go(tables).await;

    assert_eq!(socket.next_event().await.1["type"], "session.ready");
    socket.expect_notification("auth.expiring").await;
}

#[tokio::test]
async fn a_join_that_was_committed_too_late_to_be_answered_is_complete_when_tried_again() {
    let app = TestApp::with(&[("CHAT_DATABASE_TIMEOUT", "3s")]).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let room = alice.create_public_room("square").await;
    let (watcher, socket) = (alice.connect().await, bob.connect().await);
    let gate = commits_wait_at_a_gate(&app, "room_members").await;
    let first = socket.emit("chat:room:join", &json!(room)).await;
    assert_eq!(first["error"]["code"], "UNAVAILABLE", "{first}");
    let_go(gate).await;
    let joined = "SELECT count(*) FROM room_members WHERE user_id = 'bob' AND state = 'joined' AND changed_seq > 0";
    eventually("the membership", async || app.number(joined).await == 1).await;

    socket.emit_ok("chat:room:join", &json!(room)).await;

    alice.say(&room, "welcome").await;
    socket.expect_where("chat:message", |message| message["content"] == "welcome").await;
    watcher.expect_where("chat:room:joined", |joined| joined["userId"] == "bob").await;
}

#[tokio::test]
async fn a_room_that_was_committed_too_late_to_be_answered_is_heard_by_all_when_tried_again() {
    let app = TestApp::with(&[("CHAT_DATABASE_TIMEOUT", "3s")]).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let (maker, other) = (alice.connect().await, bob.connect().await);
    let gate = commits_wait_at_a_gate(&app, "room_members").await;
    let room = json!({ "name": "den", "participants": ["bob"], "clientRoomId": "1" });
    let first = maker.emit("chat:room:create", &room).await;
    assert_eq!(first["error"]["code"], "UNAVAILABLE", "{first}");
    let_go(gate).await;
    eventually("the room", async || app.number("SELECT count(*) FROM rooms WHERE name = 'den'").await == 1).await;

    let made = maker.emit_ok("chat:room:create", &room).await;

    alice.say(text(&made["id"]), "welcome").await;
    maker.expect_where("chat:message", |message| message["content"] == "welcome").await;
    other.expect_where("chat:message", |message| message["content"] == "welcome").await;
}

#[tokio::test]
async fn who_is_removed_while_waiting_to_invite_invites_nobody() {
    let app = TestApp::with(&PATIENT).await;
    let (alice, eve, _twin) = (app.user("alice").await, app.user("eve").await, app.user("twin").await);
    let room = alice.create_room_with("den", &[&eve]).await;
    let rows = holding(&app, "SELECT FROM rooms FOR UPDATE").await;
    let path = format!("/rooms/{room}/members/eve");
    let removal = tokio::spawn({
        let alice = alice.clone();
        async move { alice.delete(&path).await }
    });
    someone_waits(&app, "").await;
    let path = format!("/rooms/{room}/members/twin");
    let invitation = tokio::spawn(async move { eve.put(&path, &json!({})).await });
    spend(Duration::from_millis(300)).await;
    let_go(rows).await;

    removal.await.unwrap().expect(204);
    let invitation = invitation.await.unwrap();

    assert_eq!(invitation.refused(404), "ROOM_NOT_FOUND");
    assert_eq!(alice.room(&room).await["memberCount"], 1);
}

#[tokio::test]
async fn what_no_database_can_hold_is_refused_and_not_our_fault() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    let encode = |cursor: String| {
        use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
        BASE64_URL_SAFE_NO_PAD.encode(cursor)
    };
    let early = encode(format!("rooms:-8000000000000000000 {room}"));
    let late = encode(format!("rooms:8200000000000000000 {room}"));
    let mut codes = Vec::new();
    for path in [
        format!("/rooms?cursor={early}"),
        format!("/rooms?cursor={late}"),
        format!("/rooms?scope=public&cursor={early}"),
        format!("/rooms/{room}/messages?at=-200000-01-01T00:00:00Z"),
        format!("/rooms/{room}/messages?at=%2B262000-01-01T00:00:00Z"),
        format!("/rooms/{room}/messages?before=9223372036854775807"),
        format!("/rooms/{room}/messages?around=9223372036854775807"),
        format!("/rooms/{room}/messages?after=9223372036854775807"),
        "/users/a%00b".to_owned(),
        "/users/%FF".to_owned(),
        "/users?q=%00".to_owned(),
        "/users?q%00=1".to_owned(),
    ] {
        let reply = alice.get(&path).await;
        if reply.status >= 500 {
            codes.push((path, reply.status));
        }
    }
    for user in ["%00", "a%00b", "%FF", &"x".repeat(5_000)] {
        for (method, path) in [
            (reqwest::Method::PUT, format!("/rooms/{room}/members/{user}")),
            (reqwest::Method::DELETE, format!("/rooms/{room}/members/{user}")),
            (reqwest::Method::GET, format!("/rooms/{user}")),
            (reqwest::Method::GET, format!("/users/{user}/presence")),
            (reqwest::Method::GET, format!("/presence?userIds={user}")),
        ] {
            let reply = alice.send_body(method, &path, "").await;
            if reply.status >= 500 {
                codes.push((path.chars().take(80).collect(), reply.status));
            }
        }
    }
    assert_eq!(codes, []);
}

#[tokio::test]
async fn a_database_that_only_reads_makes_no_storm_of_connections() {
    let app = TestApp::with(&[("CHAT_DATABASE_TIMEOUT", "2s")]).await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    let socket = alice.connect().await;
    socket.say(&room, "before").await;
    let name = sqlx::query_scalar::<_, String>("SELECT current_database()::text").fetch_one(&mut app.sql().await).await.unwrap();
    app.execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sqlx::query(AssertSqlSafe(terminate)).fetch_all(&mut app.sql().await).await.unwrap();

    let ack = socket.emit("chat:message", &json!({ "roomId": room, "content": "now" })).await;

    assert_eq!(ack["error"]["code"], "UNAVAILABLE", "{ack}");
    let tries = app.logs().matches("the journal lost the database").count();
    assert!(tries < 30, "{tries} connections within two seconds for one message");
}
