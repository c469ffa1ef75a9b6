//! Signatures of tokens: HS256 over the hash crates that the database driver already has, and RS256, ES256 and `EdDSA` by
//! ring, which TLS already has.
//!
//! jsonwebtoken gets a provider that can do just that, instead of one that brings every algorithm along.

use crate::error::Result;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
};
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use sha2::Sha256;

/// What tokens may be signed with. Which of them a key is for, is said where the key comes from, and never by a token.
pub const ALGORITHMS: [Algorithm; 4] = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| signer(*algorithm, key.as_bytes()),
    verifier_factory: |algorithm, key| verifier(*algorithm, key),
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes jsonwebtoken use these.
pub fn install() {
    // Another caller in this process may have been first, with the same provider.
    let _ = PROVIDER.install_default();
}

/// The keyed hash of a secret.
#[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104)")]
pub fn hmac_of(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes any key")
}

fn signer(algorithm: Algorithm, secret: &[u8]) -> Result<Box<dyn JwtSigner>, Error> {
    if algorithm == Algorithm::HS256 { Ok(Box::new(Hs256(hmac_of(secret)))) } else { Err(ErrorKind::InvalidAlgorithm.into()) }
}

/// A key of one kind is never used for the algorithm of another, such as a public key as a secret.
fn verifier(algorithm: Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    Ok(match (algorithm, key.family(), key.kind()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac, DecodingKeyKind::SecretOrDer(secret)) => Box::new(Hs256(hmac_of(secret))),
        (Algorithm::RS256, AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => Box::new(Rs256 { n: n.clone(), e: e.clone() }),
        (Algorithm::ES256, AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(point)) => {
            Box::new(OnCurve { algorithm: Algorithm::ES256, key: UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point.clone()) })
        }
        (Algorithm::EdDSA, AlgorithmFamily::Ed, DecodingKeyKind::SecretOrDer(point)) => {
            Box::new(OnCurve { algorithm: Algorithm::EdDSA, key: UnparsedPublicKey::new(&ED25519, point.clone()) })
        }
        _ => return Err(ErrorKind::InvalidAlgorithm.into()),
    })
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

/// An RSA key: modulus and exponent.
struct Rs256 {
    n: Vec<u8>,
    e: Vec<u8>,
}

impl signature::Verifier<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let key = RsaPublicKeyComponents { n: &self.n, e: &self.e };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

/// A key that is a point on a curve.
struct OnCurve {
    algorithm: Algorithm,
    key: UnparsedPublicKey<Vec<u8>>,
}

impl signature::Verifier<Vec<u8>> for OnCurve {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.key.verify(message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for OnCurve {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
