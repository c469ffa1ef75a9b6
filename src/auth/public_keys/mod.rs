//! Public keys of the system that issues the tokens: from a file, or from where that system publishes them.
//!
//! A key is for one algorithm, which follows from its kind: RS256 for RSA of at least 2048 bits, ES256 for a point on P-256,
//! `EdDSA` for Ed25519. What a token says of its algorithm and its key only chooses among the keys that we have.

mod fetch;
mod jwk;
mod pem;
mod remote;

pub use fetch::jwks_url;

use super::tokens::UNKNOWN_ALGORITHM;
use crate::{
    config::AuthSettings,
    error::{Error, Result},
};
use fetch::Endpoint;
use jsonwebtoken::{Algorithm, DecodingKey};
use remote::Remote;
use std::{path::Path, sync::Arc};

/// RSA keys of fewer bits can be broken (RFC 7518, section 3.3).
const RSA_BITS: usize = 2_048;
/// With more, one signature would cost as much as many.
const MOST_RSA_BITS: usize = 8_192;

/// A key, and what it is for.
pub struct PublicKey {
    /// The name that tokens call it by (`kid`).
    pub id: Option<String>,
    /// The one algorithm that it is for.
    pub algorithm: Algorithm,
    /// The key.
    pub key: DecodingKey,
}

impl PublicKey {
    /// An RSA key.
    fn rsa(n: &[u8], e: &[u8]) -> Result<Self, &'static str> {
        let [n, e] = [n, e].map(without_leading_zeros);
        let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
        match bits {
            ..RSA_BITS => Err("its modulus has fewer than 2048 bits"),
            RSA_BITS..=MOST_RSA_BITS => Ok(Self { id: None, algorithm: Algorithm::RS256, key: DecodingKey::from_rsa_raw_components(n, e) }),
            _ => Err("its modulus has more than 8192 bits"),
        }
    }

    /// A point on P-256, uncompressed.
    fn p256(point: &[u8]) -> Result<Self, &'static str> {
        match point {
            [4, coordinates @ ..] if coordinates.len() == 64 => {
                Ok(Self { id: None, algorithm: Algorithm::ES256, key: DecodingKey::from_ec_der(point) })
            }
            _ => Err("it is no point on P-256"),
        }
    }

    /// An Ed25519 key.
    fn ed25519(point: &[u8]) -> Result<Self, &'static str> {
        if point.len() == 32 {
            Ok(Self { id: None, algorithm: Algorithm::EdDSA, key: DecodingKey::from_ed_der(point) })
        } else {
            Err("it is no Ed25519 key")
        }
    }

    /// Whether a token that names this algorithm and this key may be signed with it. One that names no key may be by any.
    fn fits(&self, algorithm: Algorithm, id: Option<&str>) -> bool {
        self.algorithm == algorithm && id.is_none_or(|id| self.id.as_deref() == Some(id))
    }
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    number.iter().position(|byte| *byte != 0).map_or(&[], |start| &number[start..])
}

/// Where the settings say that keys come from.
enum Origin {
    Nowhere,
    File(Vec<Arc<PublicKey>>),
    Url(Endpoint),
}

impl Origin {
    fn of(settings: &AuthSettings) -> Result<Self, String> {
        match (&settings.jwks_url, &settings.jwt_public_key_file) {
            (Some(_), Some(_)) => Err("CHAT_JWKS_URL and CHAT_JWT_PUBLIC_KEY_FILE are both set: keep one".to_owned()),
            (Some(url), None) => Ok(Self::Url(Endpoint::new(url, settings.jwks_ca_file.as_deref())?)),
            (None, Some(path)) => Ok(Self::File(of_file(path)?)),
            (None, None) => Ok(Self::Nowhere),
        }
    }
}

/// Whether the files that the settings name can be used.
///
/// # Errors
/// One line for the operator.
pub fn check(settings: &AuthSettings) -> Result<(), String> {
    Origin::of(settings).map(|_| ())
}

/// The public keys that tokens are verified with.
pub enum PublicKeys {
    /// There are none.
    None,
    /// Those of `CHAT_JWT_PUBLIC_KEY_FILE`.
    File(Vec<Arc<PublicKey>>),
    /// Those at `CHAT_JWKS_URL`.
    Remote(Remote),
}

impl PublicKeys {
    /// The keys of the settings. Those at a URL are fetched in the background.
    ///
    /// # Errors
    /// One line for the operator.
    pub fn new(settings: &AuthSettings) -> Result<Self, String> {
        if settings.jwks_url.is_some() && settings.jwt_audience.is_none() {
            tracing::warn!("CHAT_JWKS_URL without CHAT_JWT_AUDIENCE: tokens that its issuer made for other programs are good here, too");
        }
        Ok(match Origin::of(settings)? {
            Origin::Nowhere => Self::None,
            Origin::File(keys) => Self::File(keys),
            Origin::Url(endpoint) => Self::Remote(Remote::start(endpoint, settings.jwks_max_age)),
        })
    }

    /// The keys that a token of this algorithm may be signed with, if it names this one, or none.
    ///
    /// # Errors
    /// `AUTH_TOKEN_INVALID` without such a key, `UNAVAILABLE` if nobody can say whether there is one.
    pub async fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Result<Vec<Arc<PublicKey>>> {
        let found = match self {
            Self::None => Vec::new(),
            // They have no names.
            Self::File(keys) => keys.iter().filter(|key| key.algorithm == algorithm).cloned().collect(),
            Self::Remote(remote) => return remote.find(algorithm, id).await,
        };
        if found.is_empty() { Err(Error::TokenInvalid(UNKNOWN_ALGORITHM)) } else { Ok(found) }
    }
}

/// Reads the public keys of a PEM file.
fn of_file(path: &Path) -> Result<Vec<Arc<PublicKey>>, String> {
    let name = "CHAT_JWT_PUBLIC_KEY_FILE";
    let text = std::fs::read(path).map_err(|error| format!("{name}: {} cannot be read: {error}", path.display()))?;
    let keys = pem::public_keys(&text).map_err(|reason| format!("{name}: a key in {} cannot be used: {reason}", path.display()))?;
    if keys.is_empty() {
        return Err(format!("{name}: {} holds no public key: a PEM that begins with -----BEGIN PUBLIC KEY----- is expected", path.display()));
    }
    Ok(keys.into_iter().map(Arc::new).collect())
}
