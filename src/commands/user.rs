//! `ires-chat user`: own accounts, and who may come in.

use super::{failed, open, pool, say};
use crate::Failure;
use clap::{Args, Subcommand};
use ires_chat::{
    auth::{
        self, Registration, Which, make_account,
        passwords::{
            Passwords,
            rules::{PasswordSettings, Rules},
        },
        read_new_password, set_password,
    },
    config::{DatabaseSettings, slug},
    database,
    payload::Fields,
    privacy::{self, Messages, export::Position},
    rooms,
    users::{UserId, store},
};
use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use std::{
    io::{BufRead, stdin},
    time::{Duration, Instant},
};
use tokio::time::sleep;
use uuid::Uuid;

/// What to do.
#[derive(Subcommand)]
pub enum User {
    /// Make an account; the password is read from standard input
    #[command(after_help = "Example:\n  ires-chat user add carol --name Carol < password.txt")]
    Add(Add),
    /// List users, one JSON object a line
    #[command(after_help = "Example:\n  ires-chat user list")]
    List(DatabaseSettings),
    /// Keep a user out: tokens are refused from now on
    #[command(after_help = "Example:\n  ires-chat user deactivate alice")]
    Deactivate(Named),
    /// Let a user in again
    #[command(after_help = "Example:\n  ires-chat user activate alice")]
    Activate(Named),
    /// Give an account another password, read from standard input, and end its sessions
    #[command(after_help = "Example:\n  ires-chat user password alice < password.txt")]
    Password(Password),
    /// List a user's sessions, newest first, one JSON object a line
    #[command(after_help = "Example:\n  ires-chat user sessions alice")]
    Sessions(Named),
    /// End a user's sessions, or one of them; servers close its sockets within a second
    #[command(after_help = "Examples:\n  ires-chat user revoke alice\n  ires-chat user revoke alice --session 01890a5d-ac96-774b-bcce-b302099a8057")]
    Revoke(Revoke),
    /// Print all that is kept of a user, as JSON, one page a line
    #[command(after_help = "Example:\n  ires-chat user export alice > alice.jsonl")]
    Export(Named),
    /// Erase a user's account for good; a running server does what there is to do in rooms
    #[command(after_help = "Examples:\n  ires-chat user erase alice\n  ires-chat user erase alice --messages delete")]
    Erase(Erase),
}

/// A new account.
#[derive(Args)]
pub struct Add {
    /// The name to log in with
    username: String,
    /// The name to show
    #[arg(long)]
    name: Option<String>,
    /// Slug of the room that every user is in
    #[arg(long, env = "CHAT_DEFAULT_ROOM", default_value = "general", value_parser = slug)]
    default_room: String,
    #[command(flatten)]
    passwords: PasswordSettings,
    #[command(flatten)]
    database: DatabaseSettings,
}

/// A user.
#[derive(Args)]
pub struct Named {
    /// The user's id
    id: String,
    #[command(flatten)]
    database: DatabaseSettings,
}

/// A user who gets another password.
#[derive(Args)]
pub struct Password {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    passwords: PasswordSettings,
}

/// Sessions to end.
#[derive(Args)]
pub struct Revoke {
    #[command(flatten)]
    named: Named,
    /// The session's id [default: all of them]
    #[arg(long)]
    session: Option<Uuid>,
}

impl Named {
    fn user(&self) -> Result<UserId, Failure> {
        UserId::parse(&self.id).ok_or_else(|| failed("a user's id has 1 to 128 characters"))
    }

    /// The user's id, and a connection to the database.
    async fn open(self) -> Result<(UserId, PgConnection), Failure> {
        Ok((self.user()?, open(self.database, "user").await?))
    }
}

/// A user to be erased.
#[derive(Args)]
pub struct Erase {
    #[command(flatten)]
    user: Named,
    /// What becomes of what the user said
    #[arg(long, value_enum, default_value = "keep")]
    messages: Messages,
}

/// How long a running server is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Does it.
pub async fn run(user: User) -> Result<(), Failure> {
    match user {
        User::Add(add) => {
            let payload = json!({ "username": add.username, "name": add.name, "password": read_line()? });
            let new = Registration::read(Fields::of(payload).map_err(failed)?).map_err(failed)?;
            let passwords = hashing(&add.passwords)?;
            let mut db = open(add.database, "user").await?;
            let hash = new.hash(&passwords).await.map_err(failed)?;
            let room = rooms::store::ensure_default_room(&mut db, &add.default_room).await.map_err(failed)?;
            print(&make_account(&mut db, &new, &hash, room).await.map_err(failed)?)
        }
        User::List(database) => {
            let mut db = open(database, "user").await?;
            let mut after = String::new();
            loop {
                let users = store::list(&mut db, &after, 1_000).await.map_err(failed)?;
                let Some(last) = users.last() else { return Ok(()) };
                last.user.id.as_str().clone_into(&mut after);
                users.iter().try_for_each(print)?;
            }
        }
        User::Deactivate(named) => set_active(named, false).await,
        User::Activate(named) => set_active(named, true).await,
        User::Password(Password { named, passwords }) => {
            let mut fields = Fields::of(json!({ "password": read_line()? })).map_err(failed)?;
            let password = read_new_password(&mut fields, "password");
            fields.finish().map_err(failed)?;
            let passwords = hashing(&passwords)?;
            let (id, mut db) = named.open().await?;
            if set_password(&mut db, &passwords, &id, password).await.map_err(failed)? {
                Ok(())
            } else {
                Err(failed("there is no account of this id: see `ires-chat user list`"))
            }
        }
        User::Sessions(named) => {
            let (id, mut db) = named.open().await?;
            store::find(&mut db, &id).await.map_err(failed)?.ok_or_else(nobody)?;
            let mut before = None;
            loop {
                let sessions = auth::store::sessions(&mut db, &id, None, before, 1_000).await.map_err(failed)?;
                let Some(last) = sessions.last() else { return Ok(()) };
                before = Some(last.id);
                sessions.iter().try_for_each(print)?;
            }
        }
        User::Revoke(Revoke { named, session }) => {
            let (id, mut db) = named.open().await?;
            let ended = auth::store::revoke(&mut db, &id, session.map_or(Which::All, Which::One)).await.map_err(failed)?;
            if ended > 0 { Ok(()) } else { Err(failed("there is no such session: see `ires-chat user sessions`")) }
        }
        User::Export(named) => export(named).await,
        User::Erase(erase) => self::erase(erase).await,
    }
}

/// Where passwords are hashed, by the rules of the settings.
fn hashing(settings: &PasswordSettings) -> Result<Passwords, Failure> {
    settings.check().map_err(Failure::Misconfigured)?;
    Passwords::new(Rules::new(settings, [])).map_err(failed)
}

/// A line of standard input.
fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    stdin().lock().read_line(&mut line).map_err(failed)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

async fn export(named: Named) -> Result<(), Failure> {
    let id = named.user()?;
    let db = pool(named.database, "user").await?;
    let mut next = Some(Position::FIRST);
    while let Some(at) = next {
        let (page, after) = privacy::export::page(&db, &id, at).await.map_err(failed)?;
        print(&page)?;
        next = after;
    }
    Ok(())
}

/// Waits a while for a running server to finish; without one it is finished when one runs.
async fn erase(erase: Erase) -> Result<(), Failure> {
    let id = erase.user.user()?;
    let db = pool(erase.user.database, "user").await?;
    privacy::order(&db, &id, erase.messages, None).await.map_err(failed)?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && database::is_served(&db).await.map_err(failed)? {
        if privacy::is_finished(&db, &id).await.map_err(failed)? {
            return say("erased");
        }
        sleep(Duration::from_millis(200)).await;
    }
    say("erased; what the user left in rooms goes as soon as a server has the time")
}

async fn set_active(named: Named, active: bool) -> Result<(), Failure> {
    let (id, mut db) = named.open().await?;
    if store::set_active(&mut db, &id, active).await.map_err(failed)? { Ok(()) } else { Err(nobody()) }
}

fn nobody() -> Failure {
    failed("there is no such user: see `ires-chat user list`")
}

fn print(user: &impl Serialize) -> Result<(), Failure> {
    say(serde_json::to_string(user).map_err(failed)?)
}
