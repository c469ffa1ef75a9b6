//! Headers of every reply that tell browsers what not to do with it (OWASP REST Security Cheat Sheet).
//!
//! What a reply says itself stays: pages have policies of their own, and files may be kept. There is no `Server` header.

use crate::config::HttpSettings;
use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};

/// For every reply: not another type than it says; not kept, for most hold what is somebody's; nothing run, loaded or framed, should
/// it be opened as a page; no address passed on; not used by pages of other origins but with CORS' permission.
const GUARDS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// `Strict-Transport-Security`, if the operator wants it: only they know whether all of the host is served by https.
pub fn hsts(settings: &HttpSettings) -> Option<HeaderValue> {
    let seconds = settings.hsts.as_secs();
    (seconds > 0).then(|| HeaderValue::try_from(format!("max-age={seconds}")).ok()).flatten()
}

/// Adds what a reply does not say itself. The one that opens a WebSocket needs none of it.
pub async fn guard(State(hsts): State<Option<HeaderValue>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let headers = response.headers_mut();
        for (name, value) in GUARDS {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        if let Some(hsts) = hsts {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
        }
    }
    response
}
