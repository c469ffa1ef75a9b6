//! Limits over REST: every route has a class, and a caller is known and has a token before the handler runs.
//!
//! What is left is told in the headers of draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy: "message";q=10;w=2` (so many
//! in so many seconds) and `RateLimit: "message";r=9;t=1` (so many are left, and it is full again in so many seconds).

use super::{Class, Left, Slot, Source, Verdict, address};
use crate::{
    app::App,
    auth,
    error::{Error, Result},
    extract::Caller,
    realtime::wire::Wire,
    routes::Route,
};
use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// What is left.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// What there is.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Who is at the other end of a request, as far as its address says.
#[derive(Clone)]
pub struct Visitor(Arc<Visit>);

struct Visit {
    address: IpAddr,
    /// Whether it is said to be forwarded by somebody whom we do not believe.
    is_disbelieved: bool,
    /// Whether its handshake has been used for a namespace.
    admitted: AtomicBool,
    /// Its place among the connections of its address, kept as long as the engine keeps the handshake.
    _slot: Option<Slot<IpAddr>>,
}

impl Visit {
    fn of(app: &App, wire: &Wire, headers: &HeaderMap) -> Self {
        let (peer, trusted) = (wire.peer(), app.limits.trusted_proxies());
        let forwarded = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
        let is_disbelieved = headers.contains_key(FORWARDED_FOR) && !address::is_trusted(peer, trusted);
        Self { address: address::client(peer, forwarded, trusted), is_disbelieved, admitted: AtomicBool::new(false), _slot: None }
    }
}

impl Visitor {
    /// Looks at a request that came on a wire.
    pub fn of(app: &App, wire: &Wire, headers: &HeaderMap) -> Self {
        Self(Arc::new(Visit::of(app, wire, headers)))
    }

    /// Looks at a handshake, which takes a place among the connections of its address.
    ///
    /// # Errors
    /// `RATE_LIMITED` or `CONNECTION_LIMIT`.
    pub fn shaking_hands(app: &App, wire: &Wire, headers: &HeaderMap) -> Result<Self> {
        let visit = Visit::of(app, wire, headers);
        let refused = match app.limits.take_of_address(Class::Connect, visit.address).refusal() {
            Some(error) => error,
            None => match app.limits.connect_address(visit.address) {
                Ok(slot) => return Ok(Self(Arc::new(Visit { _slot: Some(slot), ..visit }))),
                Err(error) => error,
            },
        };
        Self(Arc::new(visit)).note_refusal(app, Class::Connect);
        Err(refused)
    }

    /// Its address was refused. If all clients seem to have the one of a proxy, whoever set it up had better know.
    pub fn note_refusal(&self, app: &App, class: Class) {
        app.limits.note_refusal(class, &Source::Address(address::source(self.address())));
        if self.0.is_disbelieved && app.limits.is_first_disbelief() {
            tracing::warn!(
                address = %self.address(),
                "limits hold for an address that forwards requests of others: if it is your proxy, name it in CHAT_TRUSTED_PROXIES"
            );
        }
    }

    /// The client's address.
    pub fn address(&self) -> IpAddr {
        self.0.address
    }

    /// Whether the handshake has not been used yet: the first namespace is paid for with it.
    pub fn is_new(&self) -> bool {
        !self.0.admitted.swap(true, Ordering::AcqRel)
    }
}

/// Routes below a prefix, each caller within their limits.
pub fn limited(router: Router<App>, described: &[Route], app: &App, prefix: &'static str) -> Router<App> {
    let mut classes: HashMap<&'static str, Vec<(Method, Entry)>> = HashMap::new();
    for route in described {
        let entry = route.class.map(|class| (route.method.clone(), Entry { class, open: route.operation.open }));
        classes.entry(route.path).or_default().extend(entry);
    }
    router.layer(from_fn_with_state(Gate { app: app.clone(), prefix, classes: Arc::new(classes) }, enter))
}

#[derive(Clone)]
struct Gate {
    app: App,
    prefix: &'static str,
    classes: Arc<HashMap<&'static str, Vec<(Method, Entry)>>>,
}

/// What it takes to be let in to a route.
#[derive(Clone, Copy)]
struct Entry {
    /// A token of the bucket of this class.
    class: Class,
    /// And nothing else.
    open: bool,
}

impl Gate {
    /// What a request takes; nothing is known of a method that its route does not have.
    fn entry(&self, request: &Request) -> Option<Entry> {
        let path = request.extensions().get::<MatchedPath>()?.as_str().strip_prefix(self.prefix)?;
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        self.classes.get(path)?.iter().find(|(known, _)| known == method).map(|(_, entry)| *entry)
    }

    /// Takes a token of whoever calls, and finds out who that is.
    async fn admit(&self, Entry { class, open }: Entry, request: &mut Request) -> (Verdict, Result<Source>) {
        let limits = &self.app.limits;
        let Some(address) = request.extensions().get::<Visitor>().map(Visitor::address) else {
            return (Verdict::default(), Err(Error::internal("a request without an address")));
        };
        let source = Source::Address(address::source(address));
        // Whoever is refused here is not looked up.
        let by_address = match class.is_by_address().then(|| limits.take_of_address(class, address)) {
            Some(verdict) if open || verdict.wait.is_some() => return (verdict, Ok(source)),
            verdict => verdict,
        };
        let found = match bearer(request.headers()) {
            Ok(token) => auth::recognise(&self.app, token).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(user) => {
                let (verdict, source) = (by_address.unwrap_or_else(|| limits.take(class, &user.user)), Source::User(user.id().clone()));
                request.extensions_mut().insert(Caller(Arc::new(user)));
                (verdict, Ok(source))
            }
            Err(error) if error.is_about_a_token() => {
                let verdict = limits.take_of_address(Class::Connect, address);
                let refused = verdict.wait.is_some();
                (verdict, if refused { Ok(source) } else { Err(error) })
            }
            Err(error) => (by_address.unwrap_or_default(), Err(error)),
        }
    }
}

async fn enter(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let Some(entry) = gate.entry(&request) else { return next.run(request).await };
    let (verdict, admitted) = gate.admit(entry, &mut request).await;
    let mut response = match (admitted, verdict.refusal()) {
        (Err(error), _) => error.into_response(),
        (Ok(source), Some(error)) => {
            let refusing = verdict.left.iter().flatten().last().map_or(entry.class, |left| left.class);
            match (&source, request.extensions().get::<Visitor>()) {
                (Source::Address(_), Some(visitor)) => visitor.note_refusal(&gate.app, refusing),
                _ => _ = gate.app.limits.note_refusal(refusing, &source),
            }
            error.into_response()
        }
        (Ok(source), None) => {
            let is_action = !request.method().is_safe();
            let response = next.run(request).await;
            // Whoever has just become invisible is no longer seen.
            if let (true, Source::User(user)) = (is_action, &source) {
                gate.app.presence.note_action(user);
            }
            response
        }
    };
    tell(&verdict, response.headers_mut());
    response
}

/// Says in headers what is left.
fn tell(verdict: &Verdict, headers: &mut HeaderMap) {
    let list = |item: fn(&Left) -> String| verdict.left.iter().flatten().map(item).collect::<Vec<_>>().join(", ");
    let policy = list(|left| format!("\"{}\";q={};w={}", left.class.name(), left.quota.burst_size(), seconds(left, left.quota.burst_size().get())));
    let state = list(|left| {
        let missing = left.quota.burst_size().get().saturating_sub(left.remaining);
        format!("\"{}\";r={};t={}", left.class.name(), left.remaining, seconds(left, missing))
    });
    for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, state)] {
        if !value.is_empty()
            && let Ok(value) = HeaderValue::try_from(value)
        {
            headers.insert(name, value);
        }
    }
}

/// In how many seconds so many tokens come back.
fn seconds(left: &Left, tokens: u32) -> u64 {
    let millis = left.quota.replenish_interval().saturating_mul(tokens).as_millis();
    u64::try_from(millis.div_ceil(1_000)).unwrap_or(u64::MAX)
}

/// The bearer token of a request.
///
/// # Errors
/// `AUTH_TOKEN_MISSING`, or `AUTH_TOKEN_INVALID` for what is no text.
pub fn bearer(headers: &HeaderMap) -> Result<&str> {
    let header = headers.get(header::AUTHORIZATION).ok_or(Error::TokenMissing)?;
    let header = header.to_str().map_err(|_| Error::TokenInvalid("it is not text"))?;
    let (scheme, token) = header.split_once(' ').ok_or(Error::TokenMissing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(Error::TokenMissing) }
}
