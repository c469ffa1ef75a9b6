//! The command line: contract section 9, "Commands". Data on stdout, logs on stderr, exit codes 0/1/2/69/78.

use serde_json::Value;

use crate::support::{Database, Finished, HeldPort, TestApp, TestUser, ires_chat, ires_chat_reading, json::text, token::SECRET};

fn with_secret(arguments: &[&str]) -> Finished {
    ires_chat(arguments, &[("JWT_SECRET", SECRET)])
}

#[test]
fn help_names_every_command_and_shows_examples() {
    let help = ires_chat(&["--help"], &[]);

    assert_eq!(help.code, Some(0), "{}", help.stderr);
    for command in ["dev", "serve", "migrate", "token", "user", "config", "doctor", "backup", "retention", "spec", "health"] {
        assert!(help.stdout.contains(command), "{command} is not in\n{}", help.stdout);
    }
    assert!(help.stdout.contains("ires-chat dev"), "an example");
}

#[test]
fn every_command_has_help() {
    for command in ["dev", "serve", "migrate", "token", "user", "config", "doctor", "backup", "retention", "spec", "health"] {
        let help = ires_chat(&[command, "--help"], &[]);
        assert_eq!((help.code, help.stdout.is_empty()), (Some(0), false), "{command}: {}", help.stderr);
    }
}

#[test]
fn the_version_is_told() {
    let version = ires_chat(&["--version"], &[]);

    assert_eq!(version.stdout.trim(), concat!("ires-chat ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    assert_eq!(ires_chat(&["nonsense"], &[]).code, Some(2));
}

/// A minted token is on stdout, alone, and opens the server.
#[tokio::test]
async fn a_minted_token_opens_the_server() {
    let app = TestApp::start().await;

    let minted = with_secret(&["token", "mint", "alice"]);

    assert_eq!(minted.code, Some(0), "{}", minted.stderr);
    assert_eq!(minted.stdout.trim().lines().count(), 1);
    let alice = app.holder("alice", minted.stdout.trim().to_owned());
    assert_eq!(alice.get("/users/me").await.expect(200)["id"], "alice");
}

#[test]
fn a_token_is_verified_and_its_claims_are_shown() {
    let minted = with_secret(&["token", "mint", "alice"]).stdout;

    let good = with_secret(&["token", "verify", minted.trim()]);
    let forged = with_secret(&["token", "verify", &format!("{}x", minted.trim())]);

    assert_eq!(good.code, Some(0), "{}", good.stderr);
    assert!(good.stdout.contains("alice"), "{}", good.stdout);
    assert_eq!(forged.code, Some(1), "{} {}", forged.stdout, forged.stderr);
}

#[tokio::test]
async fn migrate_run_makes_the_schema_and_is_repeatable() {
    let database = Database::empty().await;
    let environment = [("DATABASE_URL", database.url())];

    let before = ires_chat(&["migrate", "info"], &environment);
    let first = ires_chat(&["migrate", "run"], &environment);
    let second = ires_chat(&["migrate", "run"], &environment);
    let after = ires_chat(&["migrate", "info"], &environment);

    for finished in [&before, &first, &second, &after] {
        assert_eq!(finished.code, Some(0), "{} {}", finished.stdout, finished.stderr);
    }
    assert!(before.stdout.contains("pending") && !after.stdout.contains("pending"), "{}", after.stdout);
    assert_eq!(before.stdout.lines().count(), after.stdout.lines().count());
}

#[tokio::test]
async fn serve_migrates_an_empty_database_by_itself() {
    let database = Database::empty().await;

    let app = TestApp::on(database, &[]);

    app.user("alice").await.connect().await;
}

/// With `CHAT_MIGRATE=off` it refuses to run on an older schema.
#[tokio::test]
async fn serve_refuses_an_older_schema_when_it_may_not_migrate() {
    let database = Database::empty().await;
    let environment = [("DATABASE_URL", database.url()), ("JWT_SECRET", SECRET), ("PORT", "0"), ("CHAT_MIGRATE", "off")];

    let refused = ires_chat(&["serve"], &environment);

    assert!(matches!(refused.code, Some(1 | 69 | 78)), "{:?} {}", refused.code, refused.stderr);
    assert!(refused.stderr.contains("migrate"), "{}", refused.stderr);
}

/// `serve` on several nodes at once: migrations are applied once, under sqlx's lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_starting_on_an_empty_database_at_once_both_get_ready() {
    let database = Database::empty().await;
    let url = database.url().to_owned();
    let run = move || {
        let url = url.clone();
        std::thread::spawn(move || ires_chat(&["migrate", "run"], &[("DATABASE_URL", &url)]).code)
    };

    let (one, two, three) = (run(), run(), run());

    assert_eq!([one, two, three].map(|thread| thread.join().unwrap()), [Some(0); 3]);
    TestApp::on(database, &[]).user("alice").await;
}

#[tokio::test]
async fn health_is_0_for_a_ready_server_and_otherwise_not() {
    let held = HeldPort::new();
    let port = held.number().to_string();
    let app = TestApp::with(&[("PORT", &port)]).await;

    let ready = ires_chat(&["health"], &[("PORT", &port)]);
    drop(app);
    let gone = ires_chat(&["health"], &[("PORT", &port)]);

    assert_eq!(ready.code, Some(0), "{}", ready.stderr);
    assert!(matches!(gone.code, Some(1 | 69)), "{:?} {}", gone.code, gone.stderr);
}

#[tokio::test]
async fn doctor_tells_what_is_right_and_what_is_wrong() {
    let database = Database::migrated().await;

    let healthy = ires_chat(&["doctor"], &[("DATABASE_URL", database.url()), ("JWT_SECRET", SECRET)]);
    let ill = ires_chat(&["doctor"], &[("DATABASE_URL", "postgres://127.0.0.1:1/none"), ("JWT_SECRET", SECRET)]);

    assert_eq!(healthy.code, Some(0), "{} {}", healthy.stdout, healthy.stderr);
    assert!(matches!(ill.code, Some(1 | 69 | 78)), "{:?} {}", ill.code, ill.stdout);
    assert!(!healthy.stdout.contains(SECRET) && !ill.stdout.contains(SECRET));
}

/// sqlx-cli and the program share one table: what it wrote is what `sqlx migrate info` reads.
#[tokio::test]
async fn migrations_are_recorded_where_sqlx_cli_looks() {
    let app = TestApp::start().await;
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap();
    let files = files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "sql")).count();

    let applied = app.number("SELECT count(*) FROM _sqlx_migrations WHERE success").await;

    assert_eq!(usize::try_from(applied), Ok(files));
}

#[test]
fn nothing_but_data_is_on_stdout() {
    let minted = with_secret(&["token", "mint", "alice"]);
    assert_eq!(minted.stdout.trim().split('.').count(), 3);
    let verified = with_secret(&["token", "verify", "nonsense"]);
    assert_eq!(verified.stdout, "");
    assert!(!verified.stderr.is_empty());
    let claims = with_secret(&["token", "verify", minted.stdout.trim()]).stdout;
    assert!(serde_json::from_str::<Value>(&claims).is_ok_and(|claims| claims["sub"] == "alice"), "{claims}");
}

fn user(app: &TestApp, arguments: &[&str]) -> Finished {
    let arguments: Vec<_> = ["user"].iter().chain(arguments).copied().collect();
    ires_chat_reading("correct horse battery staple\n", &arguments, &[("DATABASE_URL", app.database.url())])
}

#[tokio::test]
async fn an_account_made_by_an_operator_can_log_in() {
    let app = TestApp::start().await;

    let added = user(&app, &["add", "carol", "--name", "Carol C."]);

    assert_eq!(added.code, Some(0), "{}", added.stderr);
    let carol = app.log_in("carol").await;
    assert_eq!(carol.get("/users/me").await.expect(200)["name"], "Carol C.");
    let listed = user(&app, &["list"]);
    let ids: Vec<Value> = listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(ids.iter().any(|listed| listed["id"] == carol.id.as_str()), "{}", listed.stdout);
}

#[tokio::test]
async fn an_operators_account_obeys_the_rules_of_registration() {
    let app = TestApp::start().await;
    assert_eq!(user(&app, &["add", "carol"]).code, Some(0));

    for name in ["CAROL", "a b", "", "\u{fc}", &"x".repeat(65)] {
        let refused = user(&app, &["add", name]);
        assert_eq!(refused.code, Some(1), "{name:?}: {} {}", refused.stdout, refused.stderr);
    }
    let short = ires_chat_reading("1234567\n", &["user", "add", "dora"], &[("DATABASE_URL", app.database.url())]);
    assert_eq!(short.code, Some(1), "{}", short.stderr);
}

#[tokio::test]
async fn a_deactivated_user_is_kept_out_until_activated_again() {
    let app = TestApp::start().await;
    let alice: TestUser = app.register("alice").await;

    assert_eq!(user(&app, &["deactivate", &alice.id]).code, Some(0));

    assert_eq!(alice.get("/users/me").await.status, 401);
    let login = serde_json::json!({ "username": "alice", "password": "correct horse battery staple" });
    assert_eq!(app.post("/api/v1/auth/login", &login).await.status, 401);
    assert!(!alice.dial().refusal_code().await.is_empty());
    assert_eq!(user(&app, &["activate", &alice.id]).code, Some(0));
    app.log_in("alice").await.connect().await;
    assert_eq!(user(&app, &["deactivate", "nobody"]).code, Some(1));
}

/// The doctor finds what does not add up, and says where.
#[tokio::test]
async fn the_doctor_finds_a_broken_invariant() {
    let app = TestApp::start().await;
    let alice = app.user("alice").await;
    let room = alice.create_room("den").await;
    alice.say(&room, "hello").await;
    app.execute(&format!("UPDATE rooms SET member_count = 7 WHERE id = '{room}'")).await;

    let finished = ires_chat(&["doctor"], &[("DATABASE_URL", app.database.url())]);

    assert_eq!(finished.code, Some(1), "{}", finished.stdout);
    let broken = finished.stdout.lines().find(|line| line.starts_with("BROKEN")).unwrap_or_default();
    assert!(broken.contains(text(&Value::from(room))), "{}", finished.stdout);
}
