//! Passwords: argon2id, off the async threads, on half of the cores at the most, and only so many waiting, so that a storm of
//! log-ins never delays a message, nor leaves more memory taken than so many hashes need. A new one is hashed only if its [rules] let it pass.

mod breached;
mod frequent;
pub mod rules;

use crate::error::{Error, Result};
use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use rules::Rules;
use std::{
    fmt::Display,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// How many hashes may wait for a core; at some 20 ms each, a queue of less than a second.
const QUEUE: usize = 32;

/// What a hash is made in: 19 MiB.
type Memory = Vec<Block>;

/// The place where passwords are hashed.
pub struct Passwords {
    cores: Arc<Semaphore>,
    /// Used again, for as many hashes as are made at once: malloc would keep several for each thread that ever made one.
    memories: Arc<Mutex<Vec<Memory>>>,
    waiting: AtomicUsize,
    rules: Arc<Rules>,
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
    pub fn new(rules: Rules) -> Result<Self> {
        // The other half is for everything else.
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        let dummy = hash("correct horse battery staple", &mut Memory::new())?;
        let cores = Arc::new(Semaphore::new(cores));
        Ok(Self { cores, memories: Arc::default(), waiting: AtomicUsize::new(0), rules: Arc::new(rules), dummy })
    }

    /// Hashes the new password of somebody to a PHC string, if the rules let it pass. The field is the one that it was read from; its
    /// length was seen to there.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` of the field; `UNAVAILABLE` when too many are waiting, or the breached passwords cannot be read.
    pub async fn hash(&self, field: &'static str, password: String, user_name: Option<String>, name: Option<String>) -> Result<String> {
        let rules = self.rules.clone();
        let job = move |memory: &mut Memory| {
            rules.check(field, &password, [user_name.as_deref(), name.as_deref()])?;
            hash(&password, memory)
        };
        self.work(job).await
    }

    /// Whether this is the password of that hash; with no hash it takes the same time and is not.
    ///
    /// # Errors
    /// `UNAVAILABLE` when too many are waiting.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<bool> {
        let known = stored.is_some();
        let against = stored.unwrap_or_else(|| self.dummy.clone());
        Ok(self.work(move |memory| is_of(&password, &against, memory)).await? && known)
    }

    /// How many wait to be hashed.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    async fn work<T: Send + 'static>(&self, job: impl FnOnce(&mut Memory) -> Result<T> + Send + 'static) -> Result<T> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::Unavailable);
        }
        let waiting = Waiting(&self.waiting);
        let core = self.cores.clone().acquire_owned().await.map_err(Error::internal)?;
        drop(waiting);
        let memories = self.memories.clone();
        let done = spawn_blocking(move || {
            let free = || memories.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = free().pop().unwrap_or_default();
            let done = job(&mut memory);
            free().push(memory);
            drop(core);
            done
        });
        done.await?
    }
}

/// The PHC string of a new password, by what argon2 holds for right today.
fn hash(password: &str, memory: &mut Memory) -> Result<String> {
    let (argon2, salt) = (Argon2::default(), Salt::generate());
    let hash = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon2.params()).map_err(cannot)?,
        salt: Some(salt),
        hash: Some(output(&argon2, password, &salt, memory)?),
    };
    Ok(hash.to_string())
}

/// Whether a PHC string is of this password, by what the string says of itself. Outputs are compared in constant time.
fn is_of(password: &str, stored: &str, memory: &mut Memory) -> Result<bool> {
    let stored = PasswordHash::new(stored).map_err(cannot)?;
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).map_err(cannot)?;
    let version = stored.version.map(Version::try_from).transpose().map_err(cannot)?.unwrap_or_default();
    let argon2 = Argon2::new(algorithm, version, Params::try_from(&stored).map_err(cannot)?);
    let (Some(salt), Some(hash)) = (stored.salt, stored.hash) else { return Ok(false) };
    Ok(output(&argon2, password, &salt, memory)? == hash)
}

fn output(argon2: &Argon2<'_>, password: &str, salt: &Salt, memory: &mut Memory) -> Result<Output> {
    let params = argon2.params();
    memory.resize(params.block_count(), Block::new());
    let mut output = vec![0; params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN)];
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut output, memory).map_err(cannot)?;
    Output::new(&output).map_err(cannot)
}

fn cannot(error: impl Display) -> Error {
    Error::internal(error.to_string())
}
