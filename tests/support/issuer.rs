//! The surrounding system as an issuer with keys of its own: it signs tokens, and publishes its keys, well or badly.
//!
//! The keys in `keys/` were made for these tests, with openssl, and are used nowhere else.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
    serve::Listener,
};
use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    },
    server::TlsStream,
};

use super::{HeldPort, token};

/// The certificate by which an issuer that is reached by TLS is certified.
pub const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/keys/ca.pem");
/// A public RSA key of 1024 bits, its modulus, and a token by it: its name there is `weak`.
pub const WEAK_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/keys/rsa-1024.public.pem");
pub const WEAK_MODULUS: &str = "rap7pBGgfoto4P9CYVWVFByfFUhL8WUFO5TzpjWKes6tdbW-p7S8iIahvvK4Fk8SCEmh3wG6DgPSxfzITC0M08G8LCVwnIqqCpe4ZTSSMt9q0Qm0jXCeo1dFQViM77Q8k79-5xnzeAgW_kuuI_B6_5fblW8_OPc-hCCN4wq0wW0";
pub const WEAK_TOKEN: &str = include_str!("keys/rsa-1024.token");

/// A key of an issuer.
pub struct SigningKey {
    pub kid: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl SigningKey {
    /// The RSA key; there is but one.
    pub fn rsa(kid: &str) -> Self {
        let key = PrivatePkcs8KeyDer::from_pem_slice(include_bytes!("keys/rsa-2048.pem")).unwrap();
        Self { kid: kid.to_owned(), pair: Pair::Rsa(RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap()) }
    }

    /// A new key on P-256.
    pub fn ec(kid: &str) -> Self {
        let (curve, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
        Self { kid: kid.to_owned(), pair: Pair::Ec(EcdsaKeyPair::from_pkcs8(curve, key.as_ref(), &random).unwrap()) }
    }

    /// A new Ed25519 key.
    pub fn ed(kid: &str) -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { kid: kid.to_owned(), pair: Pair::Ed(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap()) }
    }

    pub fn alg(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
        }
    }

    /// An ordinary token of the user, good for an hour.
    pub fn token_of(&self, user: &str) -> String {
        self.token(&json!({ "sub": user, "exp": token::seconds_from_now(3600) }))
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({ "alg": self.alg(), "kid": self.kid, "typ": "JWT" }), claims)
    }

    /// A token with this header, whatever it says, and these claims.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let signed = token::unsigned(header, claims);
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// As it is published.
    pub fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({ "kty": "RSA", "n": encode(&public.n), "e": encode(&public.e) })
            }
            Pair::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
            }
            Pair::Ed(pair) => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) }),
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    /// As openssl writes it (RFC 5480, RFC 8410).
    pub fn pem(&self) -> String {
        const P256: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
        const ED25519: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
        let der = match &self.pair {
            Pair::Rsa(_) => return include_str!("keys/rsa-2048.public.pem").to_owned(),
            Pair::Ec(pair) => [P256, pair.public_key().as_ref()].concat(),
            Pair::Ed(pair) => [ED25519, pair.public_key().as_ref()].concat(),
        };
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD.encode(der))
    }
}

/// What the issuer answers with.
#[derive(Clone)]
pub enum Answer {
    /// These keys.
    Keys(Vec<Value>),
    /// This text.
    Text(String),
    /// This status, and nothing.
    Status(u16),
    /// A redirect.
    Redirect(String),
    /// Nothing, for a long time.
    Silence,
}

/// A server that publishes keys.
pub struct Issuer {
    port: HeldPort,
    scheme: &'static str,
    published: Arc<Published>,
    server: Option<JoinHandle<()>>,
}

struct Published {
    answer: Mutex<Answer>,
    requests: AtomicUsize,
}

impl Issuer {
    /// One that publishes these keys.
    pub fn with(keys: &[&SigningKey]) -> Self {
        let issuer = Self::start(false);
        issuer.publish(keys);
        issuer
    }

    /// One that publishes these keys over TLS, certified by [`AUTHORITY`].
    pub fn with_tls(keys: &[&SigningKey]) -> Self {
        let issuer = Self::start(true);
        issuer.publish(keys);
        issuer
    }

    fn start(tls: bool) -> Self {
        let port = HeldPort::new();
        let listener = port.listen();
        let published = Arc::new(Published { answer: Mutex::new(Answer::Status(404)), requests: AtomicUsize::new(0) });
        let app = Router::new().route("/keys", get(answer)).with_state(published.clone());
        let server = tokio::spawn(async move {
            if tls { axum::serve(Tls(listener, acceptor()), app).await } else { axum::serve(listener, app).await }.unwrap();
        });
        Self { port, scheme: if tls { "https" } else { "http" }, published, server: Some(server) }
    }

    /// Where the keys are.
    pub fn url(&self) -> String {
        format!("{}://localhost:{}/keys", self.scheme, self.port.number())
    }

    pub fn publish(&self, keys: &[&SigningKey]) {
        self.answer(Answer::Keys(keys.iter().map(|key| key.jwk()).collect()));
    }

    pub fn answer(&self, answer: Answer) {
        *self.published.answer.lock().unwrap() = answer;
    }

    /// How often it was asked.
    pub fn requests(&self) -> usize {
        self.published.requests.load(Ordering::Relaxed)
    }

    /// Nobody answers at its address any more.
    pub async fn go_down(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            _ = server.await;
        }
    }

    /// It is there again.
    pub fn come_back(&mut self) {
        let listener = self.port.listen();
        let app = Router::new().route("/keys", get(answer)).with_state(self.published.clone());
        self.server = Some(tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }));
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.iter().for_each(JoinHandle::abort);
    }
}

async fn answer(State(published): State<Arc<Published>>) -> Response {
    published.requests.fetch_add(1, Ordering::Relaxed);
    let answer = published.answer.lock().unwrap().clone();
    match answer {
        Answer::Keys(keys) => json!({ "keys": keys }).to_string().into_response(),
        Answer::Text(text) => text.into_response(),
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Answer::Silence => {
            tokio::time::sleep(Duration::from_mins(1)).await;
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

/// A listener whose connections speak TLS.
struct Tls(TcpListener, TlsAcceptor);

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("keys/localhost.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("keys/localhost.key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions().unwrap();
    TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap()))
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, address)) = self.0.accept().await
                && let Ok(stream) = self.1.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}
