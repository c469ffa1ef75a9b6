//! Limits on use: how much one user, and one address, may do, so that nobody is anybody else's trouble.
//!
//! Every event and every route has a [`Class`], and every class has a token bucket for each user, whatever the transport and
//! however many sockets; all of a user's classes together have one more. Before somebody has authenticated, the bucket is that of
//! the client's [address]. What a bucket has no token for is refused with `RATE_LIMITED` and does nothing else, or is
//! dropped where it would soon be out of date. The buckets are those of this process.
//!
//! Memory is bounded by who is active: a bucket that is full is as good as none, and [`Limits::forget_idle`] drops it.

pub mod address;
mod class;
pub mod http;
mod rate;
mod settings;
mod slots;

pub use class::Class;
pub use settings::LimitSettings;
pub use slots::Slot;

use crate::{
    config::Switch,
    error::Error,
    users::{User, UserId, UserType},
};
use address::Network;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::HashMapStateStore,
};
use schemars::JsonSchema;
use serde::Serialize;
use slots::Slots;
use std::{
    collections::{BTreeMap, hash_map::RandomState},
    fmt,
    hash::BuildHasher,
    net::IpAddr,
    num::NonZeroU32,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};
use tokio::time::sleep;

/// Refusals that a source may have, at once and a second: each costs an acknowledgement and an error. Whoever goes on after that
/// is not told, but closed.
const PATIENCE: (u32, u32) = (500, 50);
/// When a client that was closed for that may come again.
pub const PENALTY_MS: u64 = 10_000;
/// How often refusals of one source are logged.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// Searches of one user at once: one fewer than there are [places](crate::search).
const SEARCHES: u32 = 3;
/// How long one takes, about.
const SEARCH_MS: u64 = 250;
/// How long the answer to a log-in waits at the most when there were too many for its account.
const DELAY: Duration = Duration::from_secs(2);

/// A rate as `session.ready` announces it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Announced {
    /// At once.
    burst: u32,
    /// Again, each second.
    per_second: f64,
}

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A user, wherever they are.
    User(UserId),
    /// Somebody who has not authenticated, by their address.
    Address(IpAddr),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user {user}"),
            Self::Address(address) => write!(f, "address {address}"),
        }
    }
}

/// What a bucket holds after it was asked.
#[derive(Debug, Clone, Copy)]
pub struct Left {
    /// Whose bucket it is.
    pub class: Class,
    /// What it holds when it is full, and how fast it fills.
    pub quota: Quota,
    /// What it holds.
    pub remaining: u32,
}

/// What the buckets say.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Those that were asked: that of the class, and that of everything.
    pub left: [Option<Left>; 2],
    /// How long to wait, if one of them is empty.
    pub wait: Option<Duration>,
}

impl Verdict {
    /// The refusal, if it is one.
    pub fn refusal(&self) -> Option<Error> {
        let wait = self.wait?;
        // Who waits as long as is said must not come too early.
        Some(Error::RateLimited { retry_after_ms: u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX).max(1) })
    }
}

/// What to do with a source that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Tell it.
    Told,
    /// It has been told often enough: its connection is closed.
    Close,
}

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

fn limiter<K: Clone + Eq + std::hash::Hash>(quota: Quota) -> Limiter<K> {
    RateLimiter::hashmap(quota).with_middleware()
}

/// One class: the buckets of users by their type, or those of addresses.
enum Buckets {
    Users([Option<Limiter<UserId>>; 3]),
    Addresses(Option<Limiter<IpAddr>>),
}

struct Rates {
    /// By class.
    buckets: Vec<Buckets>,
    /// Log-ins by account, as hashes.
    accounts: Option<Limiter<u64>>,
    hasher: RandomState,
    patience: Limiter<Source>,
    told: Limiter<Source>,
}

/// All limits of this process.
pub struct Limits {
    /// `None`: there are none.
    rates: Option<Rates>,
    /// Connections by user.
    users: Slots<UserId>,
    /// How many of these there may be.
    connections_per_user: Option<u32>,
    /// Connections by address.
    addresses: Slots<IpAddr>,
    /// TCP connections that are no sockets, by address.
    requests: Slots<IpAddr>,
    /// Searches by user.
    searches: Slots<UserId>,
    trusted: Vec<Network>,
    refused: [AtomicU64; Class::ALL.len()],
    refused_connections: AtomicU64,
    has_disbelieved: AtomicBool,
}

impl Limits {
    /// Full buckets.
    pub fn new(settings: &LimitSettings) -> Self {
        let on = settings.limits == Switch::On;
        let most = |connections: u32| if on { connections as usize } else { usize::MAX };
        Self {
            rates: on.then(|| Rates::new(settings)),
            users: Slots::new(most(settings.connections_per_user)),
            connections_per_user: on.then_some(settings.connections_per_user),
            addresses: Slots::new(most(settings.connections_per_ip)),
            requests: Slots::new(most(settings.requests_per_ip)),
            searches: Slots::new(most(SEARCHES)),
            trusted: settings.trusted_proxies.clone(),
            refused: Default::default(),
            refused_connections: AtomicU64::new(0),
            has_disbelieved: AtomicBool::new(false),
        }
    }

    /// Takes a token of a user for something of a class, and one of all that the user does.
    pub fn take(&self, class: Class, user: &User) -> Verdict {
        let mut verdict = Verdict::default();
        let Some(rates) = &self.rates else { return verdict };
        // A class that is exhausted leaves the others what they have.
        let classes = if class == Class::Any { [None, Some(Class::Any)] } else { [Some(class), Some(Class::Any)] };
        for (place, class) in classes.into_iter().enumerate() {
            if let Some(class) = class
                && let Buckets::Users(by_type) = &rates.buckets[class as usize]
                && let Some(limiter) = &by_type[user.user_type as usize]
                && verdict.ask(place, class, limiter, &user.id)
            {
                break;
            }
        }
        verdict
    }

    /// Takes a token of an address.
    pub fn take_of_address(&self, class: Class, address: IpAddr) -> Verdict {
        let mut verdict = Verdict::default();
        if let Some(rates) = &self.rates
            && let Buckets::Addresses(Some(limiter)) = &rates.buckets[class as usize]
        {
            verdict.ask(0, class, limiter, &address::source(address));
        }
        verdict
    }

    /// Somebody was refused: counts it, logs it unless it was logged a moment ago, and says whether they are told so.
    pub fn note_refusal(&self, class: Class, source: &Source) -> Answer {
        self.refused[class as usize].fetch_add(1, Ordering::Relaxed);
        let Some(rates) = &self.rates else { return Answer::Told };
        if rates.told.check_key(source).is_ok() {
            tracing::info!(class = class.name(), %source, "too much is done at once and refused; it is logged again in {TOLD_EVERY:?} at the earliest");
        }
        if rates.patience.check_key(source).is_ok() { Answer::Told } else { Answer::Close }
    }

    /// How much of a class was refused or dropped since the start.
    pub fn refusals(&self, class: Class) -> u64 {
        self.refused[class as usize].load(Ordering::Relaxed)
    }

    /// Waits a little if there were too many log-ins to an account lately. Nobody is locked out: whoever attacks an account cannot
    /// keep its owner from it, and whether there is such an account makes no difference.
    pub async fn delay_log_in(&self, username: &str) {
        let Some((rates, accounts)) = self.rates.as_ref().and_then(|rates| Some((rates, rates.accounts.as_ref()?))) else { return };
        if let Err(until) = accounts.check_key(&rates.hasher.hash_one(username.to_lowercase())) {
            sleep(until.wait_time_from(accounts.clock().now()).min(DELAY)).await;
        }
    }

    /// Most connections of one user; none: as many as there are.
    pub fn connections_per_user(&self) -> Option<u32> {
        self.connections_per_user
    }

    /// One more connection of a user.
    ///
    /// # Errors
    /// `CONNECTION_LIMIT`.
    pub fn connect_user(&self, user: &UserId) -> Result<Slot<UserId>, Error> {
        self.users.take(user).ok_or_else(|| self.no_connection())
    }

    /// One more search of a user, who leaves others a place.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub fn search(&self, user: &UserId) -> Result<Slot<UserId>, Error> {
        self.searches.take(user).ok_or(Error::RateLimited { retry_after_ms: SEARCH_MS })
    }

    /// One more connection from an address.
    ///
    /// # Errors
    /// `CONNECTION_LIMIT`.
    pub fn connect_address(&self, address: IpAddr) -> Result<Slot<IpAddr>, Error> {
        self.addresses.take(&address::source(address)).ok_or_else(|| self.no_connection())
    }

    /// One more TCP connection, which has asked for nothing yet; none is counted of a trusted proxy, which brings those of others.
    ///
    /// # Errors
    /// `CONNECTION_LIMIT`.
    pub fn connect_peer(&self, peer: IpAddr) -> Result<Option<Slot<IpAddr>>, Error> {
        let peer = peer.to_canonical();
        if address::is_trusted(peer, &self.trusted) {
            return Ok(None);
        }
        self.requests.take(&address::source(peer)).map(Some).ok_or_else(|| self.no_connection())
    }

    fn no_connection(&self) -> Error {
        self.refused_connections.fetch_add(1, Ordering::Relaxed);
        Error::ConnectionLimit
    }

    /// How many connections were refused since the start because there were too many.
    pub fn refused_connections(&self) -> u64 {
        self.refused_connections.load(Ordering::Relaxed)
    }

    /// The proxies that are believed.
    pub fn trusted_proxies(&self) -> &[Network] {
        &self.trusted
    }

    /// Whether somebody who forwards requests is limited for the first time though not trusted to forward: true once.
    fn is_first_disbelief(&self) -> bool {
        !self.has_disbelieved.swap(true, Ordering::Relaxed)
    }

    /// The rates of a user by class, for `session.ready`; what has no limit is left out.
    pub fn announced(&self, settings: &LimitSettings, user_type: UserType) -> BTreeMap<&'static str, Announced> {
        let rate = |class: Class| {
            let quota = class.rate_of(settings, user_type).quota()?;
            // Exact enough for the slowest, one an hour.
            let per_second = (1_000_000.0 / quota.replenish_interval().as_secs_f64()).round() / 1_000_000.0;
            Some((class.name(), Announced { burst: quota.burst_size().get(), per_second }))
        };
        let classes = Class::ALL.into_iter().filter(|class| self.rates.is_some() && !class.is_by_address());
        classes.filter_map(rate).collect()
    }

    /// Drops the buckets that are full: for a task that calls it once in a while.
    pub fn forget_idle(&self) {
        let Some(rates) = &self.rates else { return };
        for buckets in &rates.buckets {
            match buckets {
                Buckets::Users(by_type) => by_type.iter().flatten().for_each(forget_idle),
                Buckets::Addresses(limiter) => limiter.iter().for_each(forget_idle),
            }
        }
        rates.accounts.iter().for_each(forget_idle);
        forget_idle(&rates.patience);
        forget_idle(&rates.told);
    }
}

impl Rates {
    fn new(settings: &LimitSettings) -> Self {
        let buckets = Class::ALL.map(|class| {
            let rate = |user_type| class.rate_of(settings, user_type).quota();
            if class.is_by_address() {
                Buckets::Addresses(rate(UserType::User).map(limiter))
            } else {
                Buckets::Users([UserType::User, UserType::Admin, UserType::Bot].map(|user_type| rate(user_type).map(limiter)))
            }
        });
        let (burst, refill) = PATIENCE;
        let some = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            buckets: buckets.into(),
            accounts: settings.limit_login.quota().map(limiter),
            hasher: RandomState::new(),
            patience: limiter(Quota::per_second(some(refill)).allow_burst(some(burst))),
            told: limiter(Quota::per_minute(some(u32::try_from(60 / TOLD_EVERY.as_secs()).unwrap_or(1))).allow_burst(NonZeroU32::MIN)),
        }
    }
}

impl Verdict {
    /// Asks one bucket; says whether it refuses.
    fn ask<K: Clone + Eq + std::hash::Hash>(&mut self, place: usize, class: Class, limiter: &Limiter<K>, key: &K) -> bool {
        let (quota, remaining) = match limiter.check_key(key) {
            Ok(state) => (state.quota(), state.remaining_burst_capacity()),
            Err(until) => {
                self.wait = Some(until.wait_time_from(limiter.clock().now()));
                (until.quota(), 0)
            }
        };
        self.left[place] = Some(Left { class, quota, remaining });
        self.wait.is_some()
    }
}

fn forget_idle<K: Clone + Eq + std::hash::Hash>(limiter: &Limiter<K>) {
    limiter.retain_recent();
    limiter.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::User;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        limits: LimitSettings,
    }

    fn limits(flags: &[&str]) -> (Limits, LimitSettings) {
        let settings = Cli::parse_from(["test"].iter().chain(flags)).limits;
        (Limits::new(&settings), settings)
    }

    fn user(id: &str, user_type: UserType) -> User {
        User { id: UserId::parse(id).unwrap(), username: None, name: None, avatar_url: None, user_type }
    }

    fn granted(limits: &Limits, class: Class, user: &User) -> usize {
        (0..1_000).take_while(|_| limits.take(class, user).wait.is_none()).count()
    }

    #[test]
    fn each_user_has_a_bucket_for_each_class_and_one_for_all() {
        let (limits, _) = limits(&["--limit-message", "3/1/1h", "--limit-edit", "4/1/1h", "--limit-any", "5/1/1h"]);
        let (ann, bob) = (user("ann", UserType::User), user("bob", UserType::User));
        assert_eq!(granted(&limits, Class::Message, &ann), 3);
        assert_eq!(granted(&limits, Class::Edit, &ann), 2, "five in all");
        assert_eq!(granted(&limits, Class::Message, &bob), 3);
    }

    #[test]
    fn bots_may_have_more_and_a_class_may_have_no_limit() {
        let (limits, _) = limits(&["--limit-message", "3/1/1h,bot=7/1/1h,admin=off", "--limit-any", "off"]);
        assert_eq!(granted(&limits, Class::Message, &user("bot", UserType::Bot)), 7);
        assert_eq!(granted(&limits, Class::Message, &user("root", UserType::Admin)), 1_000);
    }

    #[test]
    fn off_is_off() {
        let (limits, settings) = limits(&["--limits", "off", "--connections-per-user", "1"]);
        let ann = user("ann", UserType::User);
        assert_eq!(granted(&limits, Class::Message, &ann), 1_000);
        let slots: Vec<_> = (0..50).map(|_| limits.connect_user(&ann.id)).collect();
        assert!(slots.iter().all(Result::is_ok));
        assert!(limits.announced(&settings, UserType::User).is_empty());
    }

    #[test]
    fn what_is_announced_are_the_contracts_defaults() {
        let (limits, settings) = limits(&[]);
        assert_eq!(
            serde_json::to_value(limits.announced(&settings, UserType::User)).unwrap(),
            serde_json::json!({
                "message": { "burst": 10, "perSecond": 5.0 },
                "edit": { "burst": 10, "perSecond": 1.0 },
                "reaction": { "burst": 20, "perSecond": 2.0 },
                "read": { "burst": 20, "perSecond": 5.0 },
                "typing": { "burst": 5, "perSecond": 1.0 },
                "presence": { "burst": 5, "perSecond": 0.166_667 },
                "join": { "burst": 20, "perSecond": 2.0 },
                "create": { "burst": 5, "perSecond": 0.5 },
                "any": { "burst": 50, "perSecond": 25.0 },
            })
        );
    }

    #[test]
    fn the_slowest_rate_is_announced_as_what_it_is() {
        let (limits, settings) = limits(&["--limit-create", "1/1/1h"]);
        assert_eq!(serde_json::to_value(limits.announced(&settings, UserType::User)).unwrap()["create"]["perSecond"], 0.000_278);
    }

    #[test]
    fn idle_buckets_are_forgotten_and_those_in_use_are_not() {
        let (limits, _) = limits(&["--limit-message", "3/1/1h", "--limit-any", "1000/1000/1ms"]);
        let ann = user("ann", UserType::User);
        assert_eq!(granted(&limits, Class::Message, &ann), 3);
        limits.forget_idle();
        assert_eq!(granted(&limits, Class::Message, &ann), 0, "it is still empty");

        let Buckets::Users([Some(any), ..]) = &limits.rates.as_ref().unwrap().buckets[Class::Any as usize] else { panic!("users'") };
        let end = std::time::Instant::now() + Duration::from_secs(5);
        while !any.is_empty() && std::time::Instant::now() < end {
            limits.forget_idle();
        }
        assert!(any.is_empty());
    }

    #[test]
    fn whoever_goes_on_though_refused_is_closed() {
        let (limits, _) = limits(&[]);
        let source = Source::Address("203.0.113.9".parse().unwrap());
        let told = (0..2_000).take_while(|_| limits.note_refusal(Class::Connect, &source) == Answer::Told).count();
        assert!((500..700).contains(&told), "{told}");
        assert!(limits.refusals(Class::Connect) > 500);
    }
}
