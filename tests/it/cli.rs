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

    assert_eq!(app.number("SELECT count(*) FROM users").await, 0, "nobody is there who was not made");
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

/// What cannot be done is one line that says what to do.
#[tokio::test]
async fn on_a_database_without_a_schema_every_command_says_how_to_make_one() {
    let database = Database::empty().await;

    for arguments in [
        &["user", "add", "carol"][..],
        &["user", "list"],
        &["user", "deactivate", "alice"],
        &["user", "activate", "alice"],
        &["user", "password", "alice"],
        &["user", "sessions", "alice"],
        &["user", "revoke", "alice"],
        &["user", "export", "alice"],
        &["user", "erase", "alice"],
        &["retention", "run", "--older-than", "365d"],
        &["migrate", "grant", "pg_monitor"],
    ] {
        let refused = ires_chat_reading("correct horse battery staple\n", arguments, &[("DATABASE_URL", database.url())]);

        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{arguments:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("`ires-chat migrate run`"), "{arguments:?}: {}", refused.stderr);
        assert_eq!(refused.stderr.trim().lines().count(), 1, "{arguments:?}: {}", refused.stderr);
    }
}

#[tokio::test]
async fn what_a_command_cannot_do_it_says_in_words_that_help() {
    let app = TestApp::start().await;
    let carol = app.register("carol").await;
    let database = ("DATABASE_URL", app.database.url());

    for (arguments, environment, words) in [
        (&["migrate", "grant", "nobody"][..], &[database][..], "There is no such role: make it first"),
        (&["migrate", "grant", "ires_chat"], &[database], "name another"),
        (&["user", "sessions", "nobody"], &[database], "there is no such user: see `ires-chat user list`"),
        (&["user", "deactivate", "nobody"], &[database], "there is no such user: see `ires-chat user list`"),
        (&["user", "password", "nobody"], &[database], "there is no account of this id"),
        (&["user", "revoke", "nobody"], &[database], "there is no such session"),
        (&["user", "export", "nobody"], &[database], "no such user: nobody"),
        (&["user", "erase", "nobody"], &[database], "no such user: nobody"),
        (&["user", "add", "a b"], &[database], "username: "),
        (&["user", "add", "carol"], &[database], "taken"),
        (&["retention", "run", "--older-than", "1h", "--room", "nowhere"], &[database], "There is no such room"),
        (&["user", "list"], &[], "DATABASE_URL is missing: set it to"),
        (&["token", "mint", "alice"], &[], "JWT_SECRET is missing: set it to"),
    ] {
        let refused = ires_chat_reading("correct horse battery staple\n", arguments, environment);

        assert!(matches!(refused.code, Some(1 | 78)) && refused.stdout.is_empty(), "{arguments:?}: {:?} {}", refused.code, refused.stdout);
        assert!(refused.stderr.contains(words), "{arguments:?}: {}", refused.stderr);
        assert_eq!(refused.stderr.trim().lines().count(), 1, "{arguments:?}: {}", refused.stderr);
    }
    let known = user(&app, &["sessions", &carol.id]);
    assert_eq!((known.code, known.stderr.as_str()), (Some(0), ""));
}

/// The page of a command, and those of its own commands.
fn pages(command: &[&str]) -> Vec<(String, String)> {
    let help = ires_chat(&[command, &["--help"]].concat(), &[]);
    assert_eq!(help.code, Some(0), "{command:?}: {}", help.stderr);
    let list = help.stdout.split("Commands:\n").nth(1).unwrap_or_default();
    let names = list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    let below: Vec<_> = names.filter(|name| *name != "help").flat_map(|name| pages(&[command, &[name]].concat())).collect();
    [(command.join(" "), help.stdout.clone())].into_iter().chain(below).collect()
}

#[test]
fn the_help_of_every_command_has_an_example_of_it() {
    let pages = pages(&[]);

    assert!(pages.len() > 30, "{}", pages.len());
    for (command, help) in pages {
        let (_, examples) = help.split_once("\nExample").unwrap_or_else(|| panic!("no example of `{command}` in\n{help}"));
        assert!(examples.contains(&format!("ires-chat {command}")), "{command}: {examples}");
    }
}
