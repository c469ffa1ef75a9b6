//! Access tokens: JWTs that we, or the system around us, signed with the shared secret, or that the system around us signed
//! with a key of its own.
//!
//! The algorithm comes from the [key](super::public_keys), never from the token; the secret is for HS256 and nothing else.

use super::{
    public_keys::PublicKeys,
    signatures::{self, ALGORITHMS, hmac_of},
};
use crate::{
    config::AuthSettings,
    error::{Error, Result},
    plain::Plain,
    users::{UserId, UserType},
};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How far clocks may differ.
const LEEWAY_SECONDS: i64 = 30;
/// The claim that names our own session; other systems use `sid` for theirs.
const SESSION_CLAIM: &str = "ires_sid";
/// No token lives longer than this: a number beyond it is nonsense, not a time.
const LATEST_EXPIRY: f64 = 253_402_300_799.0; // 9999-12-31T23:59:59Z

const WRONG_SIGNATURE: &str = "its signature is wrong";
/// Said of a token for whose algorithm there is no key.
pub(super) const UNKNOWN_ALGORITHM: &str = "its algorithm is not accepted";

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
    /// What a token of another system is known by: a hash of its user and `jti`, or of all that is signed.
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
    /// What is made of `JWT_SECRET`; none where all tokens are signed with the issuer's own keys.
    secret: Option<SecretKeys>,
    public: PublicKeys,
    /// How a token is checked, by its algorithm.
    validations: [Validation; ALGORITHMS.len()],
    issuer: Option<String>,
    audience: Option<String>,
    user_id_claim: Option<String>,
}

struct SecretKeys {
    encoding: EncodingKey,
    decoding: DecodingKey,
    refresh: Hmac<Sha256>,
}

impl SecretKeys {
    fn new(secret: &[u8]) -> Self {
        Self { encoding: EncodingKey::from_secret(secret), decoding: DecodingKey::from_secret(secret), refresh: hmac_of(secret) }
    }
}

/// How a token of this algorithm is checked.
fn validation(algorithm: Algorithm, settings: &AuthSettings) -> Validation {
    let mut validation = Validation::new(algorithm);
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
    validation
}

impl Keys {
    /// Prepares the keys of the settings. Those at a URL begin to be fetched.
    ///
    /// # Errors
    /// One line for the operator.
    pub fn new(settings: &AuthSettings) -> Result<Self, String> {
        signatures::install();
        Ok(Self {
            secret: settings.jwt_secret.as_ref().map(|secret| SecretKeys::new(secret.reveal().as_bytes())),
            public: PublicKeys::new(settings)?,
            validations: ALGORITHMS.map(|algorithm| validation(algorithm, settings)),
            issuer: settings.jwt_issuer.clone(),
            audience: settings.jwt_audience.clone(),
            user_id_claim: settings.jwt_user_id_claim.clone(),
        })
    }

    /// Makes sure that there is a secret to make tokens with, and so that there are accounts of our own.
    ///
    /// # Errors
    /// `FORBIDDEN` otherwise.
    pub fn require_secret(&self) -> Result<()> {
        self.secret().map(|_| ())
    }

    fn secret(&self) -> Result<&SecretKeys> {
        self.secret.as_ref().ok_or(Error::Forbidden("accounts are not kept here"))
    }

    /// Makes an access token. The same arguments make the same token.
    ///
    /// # Errors
    /// `FORBIDDEN` without a secret, `INTERNAL_ERROR` if it cannot be signed.
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
        if let Some(claim) = &self.user_id_claim {
            claims[claim] = json!(user);
        }
        if let Value::Object(claims) = &mut claims {
            let optional = [
                ("name", name.map(str::to_owned)),
                (SESSION_CLAIM, session.map(|id| id.to_string())),
                ("iss", self.issuer.clone()),
                ("aud", self.audience.clone()),
            ];
            claims.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?)))));
        }
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.secret()?.encoding).map_err(Error::internal)
    }

    /// Checks a token's signature, times, issuer and audience, and reads it.
    ///
    /// # Errors
    /// `AUTH_TOKEN_EXPIRED`, `UNAVAILABLE` if its key can be had from nowhere at the moment, or `AUTH_TOKEN_INVALID` for
    /// everything else.
    pub async fn verify(&self, token: &str) -> Result<Claims> {
        if token.len() > 8_192 {
            return Err(Error::TokenInvalid("it is too long"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Error::TokenInvalid("it is not a JWT"))?;
        if header.jku.is_some() || header.jwk.is_some() || header.x5u.is_some() || header.crit.is_some() {
            return Err(Error::TokenInvalid("its header brings a key or a condition of its own"));
        }
        let place = ALGORITHMS.iter().position(|algorithm| *algorithm == header.alg);
        let validation = &self.validations[place.ok_or(Error::TokenInvalid(UNKNOWN_ALGORITHM))?];
        if header.alg == Algorithm::HS256 {
            let secret = self.secret.as_ref().ok_or(Error::TokenInvalid(UNKNOWN_ALGORITHM))?;
            return self.read(token, &decode(token, &secret.decoding, validation)?, true);
        }
        for key in self.public.find(header.alg, header.kid.as_deref()).await? {
            match decode(token, &key.key, validation) {
                // Another one may have signed it.
                Err(Error::TokenInvalid(WRONG_SIGNATURE)) => {}
                decoded => return self.read(token, &decoded?, false),
            }
        }
        Err(Error::TokenInvalid(WRONG_SIGNATURE))
    }

    fn read(&self, token: &str, claims: &Map<String, Value>, is_signed_with_secret: bool) -> Result<Claims> {
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
        // Nobody else names our sessions.
        let session_id = match claims.get(SESSION_CLAIM).filter(|_| is_signed_with_secret) {
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
            // Not the signature: one on a curve can be turned into another that is as good (s into n - s), without the key.
            None => hash.update(token.rsplit_once('.').map_or(token, |(signed, _)| signed)),
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
    ///
    /// # Errors
    /// `FORBIDDEN` without a secret.
    pub fn next_refresh_token(&self, token: &str) -> Result<String> {
        let mut mac = self.secret()?.refresh.clone();
        mac.update(b"ires-chat refresh token\0");
        mac.update(token.as_bytes());
        Ok(base64_url(&mac.finalize().into_bytes()))
    }
}

fn decode(token: &str, key: &DecodingKey, validation: &Validation) -> Result<Map<String, Value>> {
    let decoded = jsonwebtoken::decode::<Plain>(token, key, validation);
    let claims = decoded.map_err(|error| match error.kind() {
        ErrorKind::ExpiredSignature => Error::TokenExpired,
        ErrorKind::ImmatureSignature => Error::TokenInvalid("it is not valid yet"),
        ErrorKind::InvalidIssuer => Error::TokenInvalid("its issuer is not accepted"),
        ErrorKind::InvalidAudience => Error::TokenInvalid("its audience is not accepted"),
        ErrorKind::MissingRequiredClaim(_) => Error::TokenInvalid("a required claim is missing"),
        ErrorKind::InvalidSignature => Error::TokenInvalid(WRONG_SIGNATURE),
        _ => Error::TokenInvalid("it is malformed"),
    })?;
    let Plain(Value::Object(claims)) = claims.claims else { return Err(Error::TokenInvalid("it is malformed")) };
    Ok(claims)
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
