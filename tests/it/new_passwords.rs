//! What no new password may be: one of the most frequent, a word of its surroundings, or one that was breached. ASVS 5.0, section 6.2.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::support::{Finished, PASSWORD, Reply, TestApp, TestUser, cluster::TempDir, eventually, ires_chat_reading, json::text};

/// The SHA-1 of three passwords, as Have I Been Pwned writes them.
const BREACHED: &str =
    "03807978B2D98F8DAC743A6781BF6FB814DCB50B:7\r\n78A383F5D09299B4752583612AC85E9E8BA30FF5:1\r\nFC1282B32CF9299344C08E65B8E78A10730AD353:23\r\n";
const THREE: [&str; 3] = ["a breached passphrase", "another breached passphrase", "the third breached passphrase"];
/// SHA-1 of one that is none of them.
const OTHER: &str = "28C02F8BF8A6A2BA0A0B2B1B26B8E6A0F6E1D3C5:1\n";

async fn register(app: &TestApp, username: &str, password: &str) -> Reply {
    app.post("/api/v1/auth/register", &json!({ "username": username, "password": password, "name": "Bob Featherstone" })).await
}

async fn log_in(app: &TestApp, username: &str, password: &str) -> Reply {
    app.post("/api/v1/auth/login", &json!({ "username": username, "password": password })).await
}

async fn change(user: &TestUser, current: &str, new: &str) -> Reply {
    user.put("/users/me/password", &json!({ "currentPassword": current, "newPassword": new })).await
}

/// Gives an account another password by command.
fn set(app: &TestApp, user: &str, password: &str, settings: &[(&str, &str)]) -> Finished {
    command(app, &["user", "password", user], password, settings)
}

fn command(app: &TestApp, arguments: &[&str], password: &str, settings: &[(&str, &str)]) -> Finished {
    let environment: Vec<_> = settings.iter().copied().chain([("DATABASE_URL", app.database.url())]).collect();
    ires_chat_reading(&format!("{password}\n"), arguments, &environment)
}

/// The field was refused for this reason alone, in words, and without saying the password again.
fn assert_refused(reply: &Reply, field: &str, code: &str, password: &str) {
    assert_eq!(reply.refused(400), "VALIDATION_ERROR", "{password}");
    let faults = &reply.body["fields"];
    assert_eq!(faults.as_object().map(serde_json::Map::len), Some(1), "{faults}");
    assert_eq!(faults[field].as_array().map(Vec::len), Some(1), "{faults}");
    assert_eq!(faults[field][0]["code"], code, "{password}: {faults}");
    assert!(text(&faults[field][0]["message"]).len() > 20, "{faults}");
    assert!(!reply.text.contains(password), "{}", reply.text);
}

/// A file of breached passwords in a directory of its own.
struct List(TempDir);

impl List {
    fn of(text: &str) -> Self {
        let list = Self(TempDir::new());
        fs::write(list.path(), text).unwrap();
        list
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("breached.txt")
    }

    /// Moves another one to its place, as an operator would.
    fn replace(&self, text: &str) {
        let new = self.0.path().join("new.txt");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path()).unwrap();
    }
}

#[tokio::test]
async fn the_most_frequent_passwords_are_refused_wherever_one_is_set_whatever_their_case() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;

    for password in ["12345678", "password1", "PassWord1", "QWERTYUIOP", "1q2w3e4r5t", "iloveyou1", "zzzzzzzzzz"] {
        assert_refused(&register(&app, "bob", password).await, "password", "frequent", password);
        assert_refused(&change(&alice, PASSWORD, password).await, "newPassword", "frequent", password);
    }

    register(&app, "bob", "password one").await.expect(201);
    change(&alice, PASSWORD, "1q2w3e4r5t, and then some").await.expect(200);
    log_in(&app, "alice", "1q2w3e4r5t, and then some").await.expect(200);
    assert!(!app.logs().contains("1q2w3e4r5t"), "a password is in the logs");
}

#[tokio::test]
async fn names_and_words_of_the_service_count_for_nothing_in_a_password() {
    let app = TestApp::with(&[
        ("CHAT_PASSWORD_WORDS", "Contoso,Bad Homburg"),
        ("FRONTEND_URL", "https://talk.example.org:8443,http://localhost:3000"),
        ("CHAT_JWT_ISSUER", "https://login.fabrikam.test/realms/x"),
    ])
    .await;

    for password in [
        "bobbobbobbob",
        "Featherstone",
        "FEATHERSTONE-77",
        "bob12345678",
        "ireschat2024",
        "Ires-Chat!",
        "contoso2024",
        "homburg-1989",
        "example.org",
        "fabrikam123",
        "localhost3000",
        "bob @ contoso",
    ] {
        assert_refused(&register(&app, "bob", password).await, "password", "obvious", password);
    }

    register(&app, "bob", "bob of contoso rides a correct horse").await.expect(201);
}

/// A name is what it is when the password is set.
#[tokio::test]
async fn a_changed_password_is_held_against_the_names_that_its_owner_has_by_then() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    assert_refused(&change(&alice, PASSWORD, "Alice-1989").await, "newPassword", "obvious", "Alice-1989");
    alice.patch("/users/me", &json!({ "name": "Featherstone" })).await.expect(200);

    assert_refused(&change(&alice, PASSWORD, "featherstone7").await, "newPassword", "obvious", "featherstone7");

    // Who cannot say the old one learns nothing of the rules.
    assert_eq!(change(&alice, "not her password", "featherstone7").await.refused(401), "INVALID_CREDENTIALS");
    change(&alice, PASSWORD, "zimmermann7").await.expect(200);
}

#[tokio::test]
async fn breached_passwords_are_refused_and_another_file_counts_from_when_it_is_moved_there() {
    let list = List::of(BREACHED);
    let app = TestApp::with(&[("CHAT_PASSWORD_DENYLIST_FILE", list.path().to_str().unwrap())]).await;
    let alice = app.register("alice").await;

    for password in THREE {
        assert_refused(&register(&app, "bob", password).await, "password", "breached", password);
        assert_refused(&change(&alice, PASSWORD, password).await, "newPassword", "breached", password);
    }
    // What was breached is that password, and none that is like it.
    register(&app, "bob", "A breached passphrase").await.expect(201);

    list.replace(OTHER);

    register(&app, "carol", THREE[0]).await.expect(201);
}

/// Fails closed, and for new passwords only.
#[tokio::test]
async fn while_the_breached_passwords_cannot_be_read_no_new_one_is_taken_and_log_ins_go_on() {
    let list = List::of(BREACHED);
    let app = TestApp::with(&[("CHAT_PASSWORD_DENYLIST_FILE", list.path().to_str().unwrap())]).await;
    let alice = app.register("alice").await;

    for broken in [None, Some("password\n12345678\n")] {
        match broken {
            Some(text) => list.replace(text),
            None => fs::remove_file(list.path()).unwrap(),
        }
        let refused = register(&app, "bob", "an excellent passphrase").await;
        assert_eq!(refused.refused(503), "UNAVAILABLE");
        assert_eq!(refused.body["retryable"], Value::Bool(true));
        assert_eq!(change(&alice, PASSWORD, "an excellent passphrase").await.refused(503), "UNAVAILABLE");
        log_in(&app, "alice", PASSWORD).await.expect(200);
    }
    let is_told = |line: &str| line.contains("ERROR") && line.contains("CHAT_PASSWORD_DENYLIST_FILE");
    eventually("a line about the file", async || app.logs().lines().any(is_told)).await;
    assert!(!app.logs().contains("excellent"), "a password is in the logs");

    list.replace(BREACHED);
    register(&app, "bob", "an excellent passphrase").await.expect(201);
    change(&alice, PASSWORD, "an excellent passphrase").await.expect(200);
}

#[tokio::test]
async fn a_password_that_somebody_has_goes_on_being_good_whatever_the_lists_say_later() {
    let app = TestApp::start().await;
    register(&app, "alice", THREE[0]).await.expect(201);
    register(&app, "bob", "a contoso account").await.expect(201);
    let list = List::of(BREACHED);
    let settings = [("CHAT_PASSWORD_DENYLIST_FILE", list.path().to_str().unwrap().to_owned()), ("CHAT_PASSWORD_WORDS", "contoso,account".to_owned())];
    let (_stricter, base) = app.second_server_with(&settings.each_ref().map(|(name, value)| (*name, value.as_str())));
    let there = async |path: &str, account: Value| Reply::of(app.http.post(format!("{base}/api/v1/auth/{path}")).json(&account)).await;

    for (username, password) in [("alice", THREE[0]), ("bob", "a contoso account")] {
        there("login", json!({ "username": username, "password": password })).await.expect(200);
        let again = there("register", json!({ "username": "carol", "password": password })).await;
        assert_eq!(again.refused(400), "VALIDATION_ERROR", "{password}");
    }
}

#[tokio::test]
async fn the_command_line_obeys_the_same_rules() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let list = List::of(BREACHED);
    let file = list.path();
    let settings = [("CHAT_PASSWORD_WORDS", "contoso"), ("CHAT_PASSWORD_DENYLIST_FILE", file.to_str().unwrap())];

    for password in ["12345678", "alice-1989", "contoso-7", THREE[2]] {
        for refused in [set(&app, &alice.id, password, &settings), command(&app, &["user", "add", "alice.b"], password, &settings)] {
            assert_eq!(refused.code, Some(1), "{password}: {}", refused.stderr);
            assert!(refused.stderr.contains("password") && refused.stdout.is_empty(), "{}", refused.stderr);
            assert!(!refused.stderr.contains(password), "{}", refused.stderr);
        }
    }
    log_in(&app, "alice", PASSWORD).await.expect(200);
    assert_eq!(set(&app, &alice.id, "an excellent passphrase", &settings).code, Some(0));
    assert_eq!(command(&app, &["user", "add", "alice.b"], "an excellent passphrase", &settings).code, Some(0));
    log_in(&app, "alice", "an excellent passphrase").await.expect(200);
    list.replace("no such list\n");
    let refused = set(&app, &alice.id, "the next passphrase", &settings);
    assert_eq!(refused.code, Some(78), "{}", refused.stderr);
    assert!(refused.stderr.contains("CHAT_PASSWORD_DENYLIST_FILE"), "{}", refused.stderr);
}
