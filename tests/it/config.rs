//! Settings: the seed's Configuration section, contract section 9. A start that cannot be right is refused in words.

use std::fs;

use crate::support::{Database, Finished, TestApp, UNSET, cluster::TempDir, eventually, ires_chat, ires_chat_in, token::SECRET};

/// `serve` with these settings and otherwise good ones; `DATABASE_URL` points nowhere unless given.
fn serve(settings: &[(&str, &str)]) -> Finished {
    let good = [("DATABASE_URL", "postgres://127.0.0.1:1/none"), ("JWT_SECRET", SECRET), ("PORT", "0")];
    let mut environment: Vec<_> = good.into_iter().filter(|(key, _)| settings.iter().all(|(other, _)| other != key)).collect();
    environment.extend(settings.iter().filter(|(_, value)| *value != UNSET));
    ires_chat(&["serve"], &environment)
}

/// The start was refused for what the setting is, and the words name it.
fn assert_refused(finished: &Finished, name: &str) {
    let Finished { code, stdout, stderr } = finished;
    assert!(matches!(code, Some(2 | 78)), "exit code {code:?}: {stderr}");
    // A flag and its variable are one setting: `--ping-interval` is `CHAT_PING_INTERVAL`.
    let flag = format!("--{}", name.trim_start_matches("CHAT_").to_lowercase().replace('_', "-"));
    assert!(stderr.contains(name) || stderr.contains(&flag), "{name} is not named: {stderr}");
    assert_eq!(stdout, "", "data on stdout, complaints on stderr");
    assert!(!stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"), "{stderr}");
}

#[test]
fn serve_without_a_database_says_so_and_names_dev() {
    let finished = serve(&[("DATABASE_URL", UNSET)]);

    assert_refused(&finished, "DATABASE_URL");
    assert!(finished.stderr.contains("ires-chat dev"), "{}", finished.stderr);
    assert_eq!(finished.stderr.trim().lines().count(), 1, "{}", finished.stderr);
}

#[test]
fn a_database_that_is_not_there_is_exit_code_69() {
    let finished = serve(&[]);

    assert_eq!(finished.code, Some(69), "{}", finished.stderr);
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
}

/// Seed, Environment Variables: `JWT_SECRET=your-jwt-secret` is a placeholder that everybody knows.
#[test]
fn a_jwt_secret_that_is_missing_short_or_well_known_stops_the_start() {
    for secret in [UNSET, "", "your-jwt-secret", "secret", "changeme", &"x".repeat(31)] {
        let finished = serve(&[("JWT_SECRET", secret)]);
        assert_refused(&finished, "JWT_SECRET");
        assert_eq!(finished.stderr.trim().lines().count(), 1, "{secret}: {}", finished.stderr);
    }
}

#[tokio::test]
async fn a_short_secret_of_an_existing_system_passes_with_a_warning_when_allowed() {
    let settings = [("JWT_SECRET", "an-old-short-secret"), ("CHAT_ALLOW_WEAK_SECRET", "true")];

    let app = TestApp::with(&settings).await;

    eventually("a warning", async || app.logs().contains("WARN") && app.logs().contains("JWT_SECRET")).await;
    assert!(!app.logs().contains("an-old-short-secret"));
}

#[test]
fn a_well_known_secret_never_passes() {
    let finished = serve(&[("JWT_SECRET", "your-jwt-secret"), ("CHAT_ALLOW_WEAK_SECRET", "true")]);

    assert_refused(&finished, "JWT_SECRET");
}

/// Unknown and bad values stop the start with one clear line.
#[test]
fn a_bad_value_stops_the_start_and_is_named() {
    for (name, value) in [
        ("PORT", "seventy"),
        ("PORT", "70000"),
        ("PORT", "-1"),
        ("HOST", "nowhere at all"),
        ("FRONTEND_URL", "*"),
        ("FRONTEND_URL", "localhost"),
        ("FRONTEND_URL", "https://a.example/path"),
        ("CHAT_PING_INTERVAL", "soon"),
        ("CHAT_PING_TIMEOUT", "-5s"),
        ("CHAT_UPGRADE_TIMEOUT", "1 s"),
        ("CHAT_CONNECT_TIMEOUT", "x"),
        ("CHAT_MAX_PAYLOAD", "lots"),
        ("CHAT_TRANSPORTS", "pigeons"),
        ("CHAT_NAMESPACES", "chat"),
        ("CHAT_AUTH_MODE", "sometimes"),
        ("CHAT_AUTH_TIMEOUT", "x"),
        ("CHAT_TOKEN_GRACE", "x"),
        ("CHAT_SESSION_TTL", "0s"),
        ("CHAT_SESSION_TTL", "a year"),
        ("CHAT_PASSWORD_WORDS", "contoso,-"),
        ("CHAT_JWKS_URL", "issuer.example"),
        ("CHAT_JWKS_MAX_AGE", "x"),
        ("CHAT_TOKEN_EXPIRING_NOTICE", "1w"),
        ("CHAT_PRESENCE_GRACE", "x"),
        ("CHAT_TYPING_TTL", ""),
        ("CHAT_RETENTION", "a year"),
        ("CHAT_RETENTION", "59m"),
        ("CHAT_DEFAULT_ROOM", "a b"),
        ("CHAT_AUTO_CREATE_ROOMS", "perhaps"),
        ("CHAT_COMPAT_NEST_EXCEPTION", "2"),
        ("CHAT_REGISTRATION", "sure"),
        ("CHAT_QUIET_ROOM_SIZE", "0"),
        ("CHAT_LIMITS", "perhaps"),
        ("CHAT_LIMIT_MESSAGE", "10"),
        ("CHAT_LIMIT_MESSAGE", "10/5,owner=1/1"),
        ("CHAT_LIMIT_EDIT", "0/1"),
        ("CHAT_LIMIT_REACTION", "10/0"),
        ("CHAT_LIMIT_READ", "many"),
        ("CHAT_LIMIT_TYPING", "5/1/2h"),
        ("CHAT_LIMIT_PRESENCE", "5/5/"),
        ("CHAT_LIMIT_JOIN", "-1/1"),
        ("CHAT_LIMIT_CREATE", "1.5/1"),
        ("CHAT_LIMIT_ANY", "99999999/1"),
        ("CHAT_LIMIT_LOGIN", "5/5/1m,bot=1/1"),
        ("CHAT_LIMIT_CONNECT", ""),
        ("CHAT_CONNECTIONS_PER_USER", "0"),
        ("CHAT_CONNECTIONS_PER_IP", "x"),
        ("CHAT_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("CHAT_TRUSTED_PROXIES", "my-proxy"),
        ("CHAT_ADMIN_PASSWORD", ""),
        ("CHAT_ADMIN_PASSWORD", "only eleven"),
        ("CHAT_ADMIN_READONLY", "perhaps"),
        ("CHAT_ADMIN_SESSION_TTL", "x"),
        ("CHAT_DATABASE_TIMEOUT", "x"),
        ("CHAT_MIGRATE", "x"),
        ("LOG_FORMAT", "xml"),
        ("RUST_LOG", "info,ires_chat=debgu"),
        ("DATABASE_URL", "127.0.0.1/x"),
        ("DATABASE_URL", "mysql://127.0.0.1/x"),
        ("DATABASE_URL", "postgres://127.0.0.1:99999/x"),
    ] {
        assert_refused(&serve(&[(name, value)]), name);
    }
}

#[test]
fn a_misspelt_setting_stops_the_start_and_is_named() {
    assert_refused(&serve(&[("CHAT_PING_INTERVALL", "5s")]), "CHAT_PING_INTERVALL");
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    let finished = ires_chat(&["serve", "--nonsense"], &[]);

    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
}

/// What cannot be read in a `.env` is most often a secret with blanks or quotes in it: the place is told, not the text.
#[test]
fn a_fault_in_a_dot_env_is_told_by_its_place_and_not_by_its_text() {
    let directory = TempDir::new();
    let path = directory.path().join(".env");
    for (text, line) in [
        ("# JWT_SECRET=my very own words\n\nPORT=0\nJWT_SECRET=my very own words that are long enough\nHOST=::1\n", 4),
        ("PORT=0\nJWT_SECRET=\"my very own words that are long enough\nHOST=::1\n", 2),
        ("PORT=0\nJWT_SECRET='my very own words that are long enough\n", 2),
        ("JWT_SECRET=my\\very own\n", 1),
        ("PORT=0\nmy very own words\n", 2),
        ("PORT=0\n'my very own words'\n", 2),
    ] {
        fs::write(&path, text).unwrap();

        let finished = ires_chat_in(directory.path(), &["config", "check"], &[]);

        let told = format!("{}: line {line} ", path.display());
        assert_eq!((finished.code, finished.stderr.contains(&told)), (Some(78), true), "{text}{}", finished.stderr);
        assert_eq!(finished.stderr.trim().lines().count(), 1, "{}", finished.stderr);
        assert!(!finished.stderr.contains("very") && !finished.stderr.contains("words"), "{}", finished.stderr);
    }
}

#[test]
fn a_password_in_a_url_that_is_refused_is_shown_nowhere() {
    let good = [("DATABASE_URL", "postgres://127.0.0.1/x"), ("JWT_SECRET", SECRET)];
    for (name, value) in [
        ("CHAT_JWKS_URL", "https://user:hunter2@issuer.example/keys"),
        ("CHAT_JWKS_URL", "https://user:hunter2"),
        ("CHAT_JWKS_URL", "user:hunter2@issuer.example"),
        ("CHAT_JWKS_URL", "http://issuer.example/keys?token=hunter2"),
        ("FRONTEND_URL", "https://good.example,https://user:hunter2@bad.example"),
    ] {
        let environment: Vec<_> = good.into_iter().chain([(name, value)]).collect();
        let flag = format!("--{}={value}", name.trim_start_matches("CHAT_").to_lowercase().replace('_', "-"));

        let by_variable = ires_chat(&["config", "check"], &environment);
        let by_flag = ires_chat(&["config", "check", &flag], &good);
        let help = ires_chat(&["serve", "--help"], &environment);

        assert_refused(&by_variable, name);
        assert_refused(&by_flag, name);
        assert!(by_variable.stderr.contains("is expected"), "{}", by_variable.stderr);
        assert_eq!((by_variable.code, by_flag.code, help.code), (Some(78), Some(2), Some(0)));
        for Finished { stdout, stderr, .. } in [by_variable, by_flag, help] {
            assert!(!stdout.contains("hunter2") && !stderr.contains("hunter2"), "{stdout}{stderr}");
        }
    }
}

/// Secrets may come from files: `JWT_SECRET_FILE`, `DATABASE_URL_FILE`.
#[tokio::test]
async fn secrets_may_come_from_files() {
    let database = Database::migrated().await;
    let dir = TempDir::new();
    let (secret, url) = (dir.path().join("secret"), dir.path().join("url"));
    fs::write(&secret, format!("{SECRET}\n")).unwrap();
    fs::write(&url, database.url()).unwrap();
    let settings =
        [("JWT_SECRET", UNSET), ("DATABASE_URL", UNSET), ("JWT_SECRET_FILE", secret.to_str().unwrap()), ("DATABASE_URL_FILE", url.to_str().unwrap())];

    let app = TestApp::on(database, &settings);

    app.user("alice").await.connect().await;
}

#[test]
fn a_secret_file_that_is_not_there_or_a_secret_given_twice_stops_the_start() {
    assert_refused(&serve(&[("JWT_SECRET", UNSET), ("JWT_SECRET_FILE", "/nowhere/secret")]), "JWT_SECRET_FILE");
    assert_refused(&serve(&[("JWT_SECRET_FILE", "/dev/null")]), "JWT_SECRET");
}

/// What is no sorted list of SHA-1 would let every password pass.
#[test]
fn a_file_of_breached_passwords_that_cannot_be_used_stops_the_start() {
    let dir = crate::support::cluster::TempDir::new();
    let file = dir.path().join("breached.txt");
    let list = file.to_str().unwrap();
    let (first, second) = ("03807978B2D98F8DAC743A6781BF6FB814DCB50B:7", "FC1282B32CF9299344C08E65B8E78A10730AD353:23");
    for bad in ["", "password\n12345678\n", &format!("{second}\n{first}\n"), &format!("{first}\n{}\n", "A".repeat(64))] {
        std::fs::write(&file, bad).unwrap();
        assert_refused(&serve(&[("CHAT_PASSWORD_DENYLIST_FILE", list)]), "CHAT_PASSWORD_DENYLIST_FILE");
    }
    assert_refused(&serve(&[("CHAT_PASSWORD_DENYLIST_FILE", "/nowhere/list")]), "CHAT_PASSWORD_DENYLIST_FILE");

    std::fs::write(&file, format!("{first}\n{second}\n")).unwrap();
    assert_eq!(serve(&[("CHAT_PASSWORD_DENYLIST_FILE", list)]).code, Some(69), "only the database is missing");
}

#[test]
fn config_check_says_whether_a_start_would_be_refused() {
    let good = [("DATABASE_URL", "postgres://127.0.0.1/x"), ("JWT_SECRET", SECRET)];
    assert_eq!(ires_chat(&["config", "check"], &good).code, Some(0));

    let unread = [&good[..], &[("RUST_LOG", "info,ires_chat=debgu")]].concat();
    assert_refused(&ires_chat(&["config", "check"], &unread), "RUST_LOG");
    let elsewhere = ires_chat(&["config", "check"], &[("DATABASE_URL", "mysql://127.0.0.1/x"), ("JWT_SECRET", SECRET)]);
    assert_refused(&elsewhere, "DATABASE_URL");
    let bad = ires_chat(&["config", "check"], &[("JWT_SECRET", "short")]);
    assert_refused(&bad, "JWT_SECRET");
}

#[test]
fn config_show_masks_every_secret() {
    let url = "postgres://chat:hunter2hunter2@127.0.0.1/x";

    let shown = ires_chat(&["config", "show"], &[("DATABASE_URL", url), ("JWT_SECRET", SECRET)]);

    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(!shown.stdout.contains(SECRET) && !shown.stdout.contains("hunter2"), "{}", shown.stdout);
    assert!(shown.stdout.contains("PORT") || shown.stdout.contains("port"), "{}", shown.stdout);
}

/// The effective configuration is logged with secrets masked.
#[tokio::test]
async fn the_effective_configuration_is_logged_with_secrets_masked() {
    let app = TestApp::with(&[("CHAT_TYPING_TTL", "4321ms")]).await;

    eventually("the setting", async || app.logs().contains("4321") || app.logs().contains("4.321")).await;
    assert!(!app.logs().contains(SECRET));
}

#[tokio::test]
async fn a_port_that_is_taken_is_one_clear_line() {
    let app = TestApp::start().await;
    let port = app.base().rsplit(':').next().unwrap();

    let finished = serve(&[("DATABASE_URL", app.database.url()), ("PORT", port)]);

    assert!(matches!(finished.code, Some(1 | 69)), "{:?} {}", finished.code, finished.stderr);
    let told: Vec<_> = finished.stderr.lines().filter(|line| line.contains(port) && line.contains("in use")).collect();
    assert_eq!(told.len(), 1, "{}", finished.stderr);
}

/// `.env.example` lists every key with its default and a line on what it does.
#[test]
fn every_setting_of_the_help_is_in_env_example_and_the_other_way_round() {
    // `dev` has all settings of `serve`, and two of its own.
    let help = ires_chat(&["dev", "--help"], &[]).stdout;
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example")).unwrap();
    let in_help: Vec<&str> = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next()).collect();
    assert!(in_help.len() > 20, "{help}");
    for name in &in_help {
        assert!(example.contains(&format!("{name}=")), "{name} is not in .env.example");
    }
    let keys = example.lines().filter_map(|line| line.trim_start_matches(['#', ' ']).split_once('=')).map(|(key, _)| key);
    for key in keys.filter(|key| key.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit())) {
        assert!(key.starts_with("SQLX_") || in_help.contains(&key), "{key} is in .env.example and not in --help");
    }
}
