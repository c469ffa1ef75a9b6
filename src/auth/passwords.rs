//! Passwords: argon2id, off the async threads, on half of the cores at the most, and only so many waiting, so that a storm of
//! log-ins never delays a message.

use crate::error::{Error, Result};
use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// How many hashes may wait for a core; at some 20 ms each, a queue of less than a second.
const QUEUE: usize = 32;

/// The place where passwords are hashed.
pub struct Passwords {
    cores: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Verified when the user is unknown, so that the answer takes as long as for a wrong password.
    dummy: String,
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Passwords {
    /// Makes ready, one hash included.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` if this machine cannot hash.
    pub fn new() -> Result<Self> {
        // The other half is for everything else.
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        Ok(Self { cores: Arc::new(Semaphore::new(cores)), waiting: AtomicUsize::new(0), dummy: hash("correct horse battery staple")? })
    }

    /// Hashes a new password to a PHC string.
    ///
    /// # Errors
    /// `UNAVAILABLE` when too many are waiting.
    pub async fn hash(&self, password: String) -> Result<String> {
        self.work(move || hash(&password)).await
    }

    /// Whether this is the password of that hash; with no hash it takes the same time and is not.
    ///
    /// # Errors
    /// `UNAVAILABLE` when too many are waiting.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<bool> {
        let known = stored.is_some();
        let against = stored.unwrap_or_else(|| self.dummy.clone());
        let matches = self.work(move || {
            let parsed = PasswordHash::new(&against).map_err(|error| Error::internal(error.to_string()))?;
            Ok(Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok())
        });
        Ok(matches.await? && known)
    }

    /// How many wait to be hashed.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    async fn work<T: Send + 'static>(&self, job: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::Unavailable);
        }
        let waiting = Waiting(&self.waiting);
        let core = self.cores.clone().acquire_owned().await.map_err(Error::internal)?;
        drop(waiting);
        let done = spawn_blocking(move || {
            let done = job();
            drop(core);
            done
        });
        done.await?
    }
}

fn hash(password: &str) -> Result<String> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    Ok(hash.map_err(|error| Error::internal(error.to_string()))?.to_string())
}
