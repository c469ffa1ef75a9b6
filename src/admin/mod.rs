//! The Admin UI: Socket.IO's own page for operators, `@socket.io/admin-ui`, which looks at the connections of this process
//! over namespace `/admin`.
//!
//! There is none without a password. What it shows holds no secret, and no word of what is said: connections by the ids that
//! we give them, their users and addresses, and rooms by slug or id; never a payload, a token, or the engine's own id of a session.
//!
//! It costs nothing while nobody looks: nothing is counted or noted for it. Whoever looks has a task that compares what is there
//! with what it saw the last time.

mod settings;
mod sight;
pub mod socket;

pub use settings::AdminSettings;

use crate::error::{Error, Result};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

/// Where the page looks for it.
pub const NAMESPACE: &str = "/admin";
/// Most operators who look at once: each of them costs a walk over all connections twice a second.
const PLACES: usize = 16;
/// Most log-ins that are remembered.
const SESSIONS: usize = 1_000;

/// Who may look, and who does.
pub struct Admin {
    /// What was set.
    pub settings: AdminSettings,
    /// When the server started.
    pub started: Instant,
    lock: Lock,
    /// Log-ins, and when they end.
    sessions: Mutex<HashMap<String, Instant>>,
    places: Arc<Semaphore>,
}

/// What the page says of who uses it: a name and a password or, later, the log-in that these came to.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    username: Option<String>,
    password: Option<String>,
    session_id: Option<String>,
}

/// Somebody who may look.
pub struct Entry {
    /// The log-in, if it is a new one.
    pub session: Option<String>,
    /// When it ends.
    pub until: Instant,
    _place: OwnedSemaphorePermit,
}

impl Admin {
    /// The Admin UI, if there is to be one.
    pub fn new(settings: &AdminSettings) -> Option<Self> {
        let password = settings.admin_password.as_ref()?;
        Some(Self {
            lock: Lock::new(&settings.admin_username, password.reveal()),
            settings: settings.clone(),
            started: Instant::now(),
            sessions: Mutex::default(),
            places: Arc::new(Semaphore::new(PLACES)),
        })
    }

    /// Lets somebody in.
    ///
    /// # Errors
    /// `INVALID_CREDENTIALS`, or `CONNECTION_LIMIT` while too many look already.
    pub fn enter(&self, credentials: &Credentials) -> Result<Entry> {
        let now = Instant::now();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, until| *until > now);
        let known = credentials.session_id.as_ref().and_then(|session| sessions.get(session).copied());
        if known.is_none() && !self.lock.opens_for(credentials) {
            return Err(Error::InvalidCredentials);
        }
        let place = self.places.clone().try_acquire_owned().map_err(|_| Error::ConnectionLimit)?;
        if let Some(until) = known {
            return Ok(Entry { session: None, until, _place: place });
        }
        if sessions.len() >= SESSIONS
            && let Some(oldest) = sessions.iter().min_by_key(|(_, until)| **until).map(|(session, _)| session.clone())
        {
            sessions.remove(&oldest);
        }
        let (session, until) = (Uuid::new_v4().simple().to_string(), now + self.settings.admin_session_ttl);
        sessions.insert(session.clone(), until);
        Ok(Entry { session: Some(session), until, _place: place })
    }

    /// How many look.
    pub fn watchers(&self) -> usize {
        PLACES - self.places.available_permits()
    }
}

impl Credentials {
    /// Whether it is an attempt at the password.
    pub fn is_guess(&self) -> bool {
        self.password.is_some()
    }
}

/// Knows name and password when it sees them, in the same time whatever it sees: it compares only digests under a key of its own.
struct Lock {
    key: Hmac<Sha256>,
    digest: Vec<u8>,
}

impl Lock {
    fn new(username: &str, password: &str) -> Self {
        let key = Hmac::new(&rand::random::<[u8; 64]>().into());
        let digest = digest(&key, username, password).finalize().into_bytes().to_vec();
        Self { key, digest }
    }

    fn opens_for(&self, Credentials { username, password, .. }: &Credentials) -> bool {
        let (Some(username), Some(password)) = (username, password) else { return false };
        digest(&self.key, username, password).verify_slice(&self.digest).is_ok()
    }
}

fn digest(key: &Hmac<Sha256>, username: &str, password: &str) -> Hmac<Sha256> {
    // With the length before it, no other pair reads the same.
    key.clone().chain_update(username.len().to_be_bytes()).chain_update(username).chain_update(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin() -> Admin {
        let password = crate::config::Secret::new("correct horse");
        let settings = AdminSettings {
            admin_password: Some(password),
            admin_password_file: None,
            admin_username: "admin".into(),
            admin_readonly: true,
            admin_session_ttl: std::time::Duration::from_hours(1),
        };
        Admin::new(&settings).unwrap()
    }

    fn named(username: &str, password: &str) -> Credentials {
        Credentials { username: Some(username.into()), password: Some(password.into()), session_id: None }
    }

    #[test]
    fn only_the_very_name_and_password_open() {
        let admin = admin();
        for (username, password) in
            [("admin", "correct hors"), ("admin", ""), ("admi", "ncorrect horse"), ("", "admincorrect horse"), ("Admin", "correct horse")]
        {
            assert!(matches!(admin.enter(&named(username, password)), Err(Error::InvalidCredentials)), "{username} {password}");
        }
        assert!(admin.enter(&named("admin", "correct horse")).is_ok());
    }

    #[test]
    fn only_so_many_log_ins_are_remembered_and_the_oldest_is_forgotten() {
        let admin = admin();
        let log_in = || admin.enter(&named("admin", "correct horse")).unwrap().session.unwrap();
        let come_back = |session: &str| admin.enter(&Credentials { session_id: Some(session.into()), ..Credentials::default() });
        let oldest = log_in();
        assert!(come_back(&oldest).is_ok());

        let mut newest = log_in();
        for _ in 1..SESSIONS {
            newest = log_in();
        }

        assert!(come_back(&newest).is_ok());
        assert!(matches!(come_back(&oldest), Err(Error::InvalidCredentials)));
    }
}
