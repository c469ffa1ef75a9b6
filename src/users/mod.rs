//! Users: everybody who was ever seen, whoever keeps their account.

pub mod http;
pub mod store;

use crate::{
    app::App,
    error::{Error, Result},
    names::is_picture,
    payload::{Fields, Length},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt;

/// The `sub` of a user's tokens: free text of 1 to 128 characters, as the surrounding system spells it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema, sqlx::Type)]
#[sqlx(transparent)]
pub struct UserId(#[schemars(length(min = 1, max = 128))] String);

impl UserId {
    /// Accepts what can be stored and shown as an id.
    pub fn parse(text: &str) -> Option<Self> {
        let length = text.chars().count();
        ((1..=128).contains(&length) && !text.contains('\0')).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// For logs: nobody writes a line of their own there.
impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_debug().fmt(f)
    }
}

/// What the whole system lets a user do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum UserType {
    /// A person.
    User,
    /// Somebody who looks after the system.
    Admin,
    /// A program.
    Bot,
}

impl UserType {
    /// Reads the word that tokens and payloads use.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "user" => Some(Self::User),
            "admin" => Some(Self::Admin),
            "bot" => Some(Self::Bot),
            _ => None,
        }
    }
}

/// A user as others see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The name to log in with, or the first token's `preferred_username`.
    pub username: Option<String>,
    /// The name to show.
    pub name: Option<String>,
    /// Where the picture is.
    pub avatar_url: Option<String>,
    /// `user`, `admin` or `bot`.
    pub user_type: UserType,
}

/// A change of one's own profile; what is `None` stays.
#[derive(Debug, Default)]
pub struct ProfileChange {
    name: Option<String>,
    avatar_url: Option<String>,
}

/// How long a name for people may be.
pub const NAME: Length = Length::new(1, 100);
/// How long the address of a picture may be.
pub const PICTURE: Length = Length::new(1, 2_000);

impl ProfileChange {
    /// Reads `{name?, avatarUrl?}`.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` with every fault.
    pub fn read(mut fields: Fields) -> Result<Self> {
        let change = Self { name: fields.name("name", NAME), avatar_url: fields.text("avatarUrl", PICTURE) };
        if change.avatar_url.as_deref().is_some_and(|url| !is_picture(url)) {
            fields.fault("avatarUrl", "invalid", "An http or https URL is expected.");
        }
        fields.finish()?;
        Ok(change)
    }
}

/// Finds one user.
///
/// # Errors
/// `USER_NOT_FOUND`.
pub async fn get(app: &App, id: &str) -> Result<User> {
    let found = match UserId::parse(id) {
        Some(id) => store::find(&app.db, &id).await?,
        None => None,
    };
    found.ok_or_else(|| Error::UserNotFound(vec![id.chars().take(128).collect()]))
}

/// Changes one's own profile; live connections show it from their next message on.
///
/// # Errors
/// `AUTH_REVOKED` if the account was erased meanwhile.
pub async fn update(app: &App, id: &UserId, change: ProfileChange) -> Result<User> {
    let user = store::update(&app.db, id, change.name.as_deref(), change.avatar_url.as_deref()).await?.ok_or(Error::Revoked)?;
    app.sessions.forget(|holder| holder.user.id == user.id);
    app.realtime.renew_profile(&user);
    Ok(user)
}

/// Finds users whose user name or name begins with `prefix`, by id, after the cursor.
///
/// # Errors
/// `UNAVAILABLE` without the database.
pub async fn search(app: &App, prefix: &str, after: Option<&str>, limit: i64) -> Result<Vec<User>> {
    store::search(&app.db, &prefix.to_lowercase(), after.unwrap_or(""), limit).await
}

/// Turns what a client calls participants into users: ids first, then user names of own accounts. Ids not seen
/// yet become users without a profile where accounts live elsewhere.
///
/// # Errors
/// `USER_NOT_FOUND`, naming every one that does not exist.
pub async fn resolve(app: &App, names: &[String]) -> Result<Vec<UserId>> {
    // What cannot be an id is nobody's.
    let (possible, impossible): (Vec<String>, Vec<String>) = names.iter().cloned().partition(|name| UserId::parse(name).is_some());
    if !impossible.is_empty() {
        return Err(Error::UserNotFound(impossible));
    }
    let known = store::resolve(&app.db, &possible).await?;
    let mut missing = Vec::new();
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        match known.iter().find(|(asked, _)| asked == name) {
            Some((_, id)) if !found.contains(id) => found.push(id.clone()),
            Some(_) => {}
            None => missing.push(name.clone()),
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    let unseen: Option<Vec<UserId>> = missing.iter().map(|name| UserId::parse(name)).collect();
    match unseen {
        Some(unseen) if app.accounts_live_elsewhere() => {
            let noted = store::note_unseen(&app.db, &missing).await?;
            match unseen.iter().filter(|id| !noted.contains(id)).map(|id| id.as_str().to_owned()).collect::<Vec<_>>() {
                erased if erased.is_empty() => found.extend(unseen),
                erased => return Err(Error::UserNotFound(erased)),
            }
            Ok(found)
        }
        _ => Err(Error::UserNotFound(missing)),
    }
}
