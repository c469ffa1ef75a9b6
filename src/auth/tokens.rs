//! Access tokens: JWTs that we, or the system around us, signed with the shared secret.
//!
//! The algorithm comes from here, never from the token: HS256 and nothing else. jsonwebtoken gets a provider that
//! can do just that, over the hash crates that the database driver already has, instead of one that brings every
//! algorithm along.

use crate::{
    config::{AuthSettings, Secret},
    error::{Error, Result},
    users::{UserId, UserType},
};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::ErrorKind,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How far clocks may differ.
const LEEWAY_SECONDS: i64 = 30;
/// The claim that names our own session; other systems use `sid` for theirs.
const SESSION_CLAIM: &str = "ires_sid";
/// No token lives longer than this: a number beyond it is nonsense, not a time.
const LATEST_EXPIRY: f64 = 253_402_300_799.0; // 9999-12-31T23:59:59Z

/// What a verified token says.
#[derive(Debug, Clone)]
pub struct Claims {
    /// The user.
    pub user_id: UserId,
    /// What the issuer lets the user be; `None` when the token does not say.
    pub user_type: Option<UserType>,
    /// When the token ends.
    pub expires_at: DateTime<Utc>,
    /// Our own session; `None` for a token of another system.
    pub session_id: Option<Uuid>,
    /// What a token of another system is known by: a hash of its user and `jti`, or of the whole token.
    pub token_key: Vec<u8>,
    /// `username` or `preferred_username`.
    pub username: Option<String>,
    /// `name`.
    pub name: Option<String>,
    /// `picture`.
    pub picture: Option<String>,
}

/// Signs and verifies.
pub struct Keys {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    issuer: Option<String>,
    audience: Option<String>,
    user_id_claim: Option<String>,
    refresh: Hmac<Sha256>,
}

impl Keys {
    /// Prepares the keys of the settings.
    pub fn new(settings: &AuthSettings, secret: &Secret) -> Self {
        // Another caller in this process may have been first, with the same provider.
        let _ = PROVIDER.install_default();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_SECONDS.unsigned_abs();
        validation.validate_nbf = true;
        validation.required_spec_claims.clear();
        validation.required_spec_claims.insert("exp".to_owned());
        validation.validate_aud = settings.jwt_audience.is_some();
        if let Some(issuer) = &settings.jwt_issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        if let Some(audience) = &settings.jwt_audience {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        Self {
            encoding: EncodingKey::from_secret(secret.reveal().as_bytes()),
            decoding: DecodingKey::from_secret(secret.reveal().as_bytes()),
            validation,
            issuer: settings.jwt_issuer.clone(),
            audience: settings.jwt_audience.clone(),
            user_id_claim: settings.jwt_user_id_claim.clone(),
            refresh: hmac_of(secret.reveal().as_bytes()),
        }
    }

    /// Makes an access token. The same arguments make the same token.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` if it cannot be signed.
    pub fn mint(
        &self,
        user: &UserId,
        user_type: UserType,
        name: Option<&str>,
        session: Option<Uuid>,
        issued: DateTime<Utc>,
        expires: DateTime<Utc>,
    ) -> Result<String> {
        let mut claims = json!({ "sub": user, "userType": user_type, "iat": issued.timestamp(), "exp": expires.timestamp() });
        if let Value::Object(claims) = &mut claims {
            let optional = [
                ("name", name.map(str::to_owned)),
                (SESSION_CLAIM, session.map(|id| id.to_string())),
                ("iss", self.issuer.clone()),
                ("aud", self.audience.clone()),
            ];
            claims.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?)))));
        }
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding).map_err(Error::internal)
    }

    /// Checks a token's signature, times, issuer and audience, and reads it.
    ///
    /// # Errors
    /// `AUTH_TOKEN_EXPIRED`, or `AUTH_TOKEN_INVALID` for everything else.
    pub fn verify(&self, token: &str) -> Result<Claims> {
        if token.len() > 8_192 {
            return Err(Error::TokenInvalid("it is too long"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Error::TokenInvalid("it is not a JWT"))?;
        if header.alg != Algorithm::HS256 {
            return Err(Error::TokenInvalid("its algorithm is not accepted"));
        }
        if header.jku.is_some() || header.jwk.is_some() || header.x5u.is_some() || header.crit.is_some() {
            return Err(Error::TokenInvalid("its header brings a key or a condition of its own"));
        }
        let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &self.decoding, &self.validation);
        let claims = decoded.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => Error::TokenExpired,
            ErrorKind::ImmatureSignature => Error::TokenInvalid("it is not valid yet"),
            ErrorKind::InvalidIssuer => Error::TokenInvalid("its issuer is not accepted"),
            ErrorKind::InvalidAudience => Error::TokenInvalid("its audience is not accepted"),
            ErrorKind::MissingRequiredClaim(_) => Error::TokenInvalid("a required claim is missing"),
            ErrorKind::InvalidSignature => Error::TokenInvalid("its signature is wrong"),
            _ => Error::TokenInvalid("it is malformed"),
        })?;
        self.read(token, &claims.claims)
    }

    fn read(&self, token: &str, claims: &Map<String, Value>) -> Result<Claims> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.contains('\0')).map(str::to_owned);
        let now = Utc::now();
        let expires = claims.get("exp").and_then(Value::as_f64).filter(|exp| (0.0..=LATEST_EXPIRY).contains(exp));
        #[expect(clippy::cast_possible_truncation, reason = "checked to lie between 1970 and 9999")]
        let expires_at =
            expires.and_then(|exp| DateTime::from_timestamp_millis((exp * 1_000.0) as i64)).ok_or(Error::TokenInvalid("its exp is not a time"))?;
        if expires_at + TimeDelta::seconds(LEEWAY_SECONDS) < now {
            return Err(Error::TokenExpired);
        }
        for name in ["iat", "nbf"] {
            match claims.get(name) {
                None => {}
                #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in a double for 285 million years")]
                Some(time) if time.as_f64().is_some_and(|time| time <= (now.timestamp() + LEEWAY_SECONDS) as f64) => {}
                Some(_) => return Err(Error::TokenInvalid("it is not valid yet")),
            }
        }
        let id_claims: &[&str] = match &self.user_id_claim {
            Some(claim) => &[claim],
            None => &["sub", "id", "userId", "user_id"],
        };
        let id = id_claims.iter().find_map(|name| claims.get(*name)).and_then(|id| match id {
            Value::String(text) => UserId::parse(text),
            Value::Number(number) if number.is_i64() || number.is_u64() => UserId::parse(&number.to_string()),
            _ => None,
        });
        let user_id = id.ok_or(Error::TokenInvalid("it names no user"))?;
        // Many systems use `type` for the kind of token: only `userType` must be a word that we know.
        let user_type = match (claims.get("userType"), claims.get("type").and_then(Value::as_str)) {
            (_, Some("refresh")) => return Err(Error::TokenInvalid("it is a refresh token")),
            (None | Some(Value::Null), word) => word.and_then(UserType::parse),
            (Some(Value::String(word)), _) => Some(UserType::parse(word).ok_or(Error::UserTypeInvalid)?),
            (Some(_), _) => return Err(Error::UserTypeInvalid),
        };
        let session_id = match claims.get(SESSION_CLAIM) {
            Some(Value::String(id)) => Some(id.parse().map_err(|_| Error::TokenInvalid("its session is malformed"))?),
            Some(_) => return Err(Error::TokenInvalid("its session is malformed")),
            None => None,
        };
        let mut hash = Sha256::new();
        match text("jti") {
            Some(jti) => {
                hash.update(user_id.as_str());
                hash.update([0]);
                hash.update(jti);
            }
            None => hash.update(token),
        }
        Ok(Claims {
            user_type,
            expires_at,
            session_id,
            token_key: hash.finalize().to_vec(),
            username: text("username").or_else(|| text("preferred_username")),
            name: text("name"),
            picture: text("picture"),
            user_id,
        })
    }

    /// The refresh token that follows this one. Derived, so that a lost reply can be repeated without keeping it.
    pub fn next_refresh_token(&self, token: &str) -> String {
        let mut mac = self.refresh.clone();
        mac.update(b"ires-chat refresh token\0");
        mac.update(token.as_bytes());
        base64_url(&mac.finalize().into_bytes())
    }
}

/// A new refresh token: 256 random bits.
pub fn new_refresh_token() -> String {
    base64_url(&rand::random::<[u8; 32]>())
}

/// What is stored of a refresh token.
pub fn hash_of(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

fn base64_url(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104)")]
fn hmac_of(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes any key")
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| hs256(*algorithm, Ok(key.as_bytes())).map(|hs256| Box::new(hs256) as Box<dyn JwtSigner>),
    verifier_factory: |algorithm, key| hs256(*algorithm, key.try_get_as_bytes()).map(|hs256| Box::new(hs256) as Box<dyn JwtVerifier>),
    key_utils: KeyUtils::new_unimplemented(),
};

fn hs256(algorithm: Algorithm, key: jsonwebtoken::errors::Result<&[u8]>) -> jsonwebtoken::errors::Result<Hs256> {
    if algorithm == Algorithm::HS256 { Ok(Hs256(hmac_of(key?))) } else { Err(ErrorKind::InvalidAlgorithm.into()) }
}

struct Hs256(Hmac<Sha256>);

impl signature::Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let mut mac = self.0.clone();
        mac.update(message);
        Ok(mac.finalize().into_bytes().to_vec())
    }
}

impl signature::Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let mut mac = self.0.clone();
        mac.update(message);
        mac.verify_slice(signature).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}
