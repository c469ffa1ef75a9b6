//! `ires-chat user`: own accounts, and who may come in.

use super::{connect, failed};
use crate::Failure;
use clap::{Args, Subcommand};
use ires_chat::{
    auth::{Registration, make_account, passwords::Passwords},
    config::{DatabaseSettings, slug},
    payload::Fields,
    rooms,
    users::{UserId, store},
};
use serde::Serialize;
use serde_json::json;
use std::io::{BufRead, stdin};

/// What to do.
#[derive(Subcommand)]
pub enum User {
    /// Make an account; the password is read from standard input
    Add(Add),
    /// List users, one JSON object a line
    List(DatabaseSettings),
    /// Keep a user out: tokens are refused from now on
    Deactivate(Named),
    /// Let a user in again
    Activate(Named),
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

/// Does it.
pub async fn run(user: User) -> Result<(), Failure> {
    match user {
        User::Add(add) => {
            let mut password = String::new();
            stdin().lock().read_line(&mut password).map_err(failed)?;
            let payload = json!({ "username": add.username, "name": add.name, "password": password.trim_end_matches(['\r', '\n']) });
            let new = Registration::read(Fields::of(payload).map_err(failed)?).map_err(failed)?;
            let mut db = connect(add.database).await?;
            let hash = Passwords::new().map_err(failed)?.hash(new.password.clone()).await.map_err(failed)?;
            let room = rooms::store::ensure_default_room(&mut db, &add.default_room).await.map_err(failed)?;
            print(&make_account(&mut db, &new, &hash, room).await.map_err(failed)?)
        }
        User::List(database) => {
            let mut db = connect(database).await?;
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
    }
}

async fn set_active(named: Named, active: bool) -> Result<(), Failure> {
    let id = UserId::parse(&named.id).ok_or_else(|| failed("a user's id has 1 to 128 characters"))?;
    let mut db = connect(named.database).await?;
    if store::set_active(&mut db, &id, active).await.map_err(failed)? { Ok(()) } else { Err(failed("there is no such user")) }
}

fn print(user: &impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(user).map_err(failed)?);
    Ok(())
}
