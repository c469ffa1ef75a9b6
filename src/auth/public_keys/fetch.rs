//! One GET for the issuer's keys: over TLS or from this machine, with limits on its time and size, and no redirects.

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, Uri, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use std::{error::Error, net::IpAddr, path::Path, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// How long it may take, from the look-up of the name to the last byte.
const TIME: Duration = Duration::from_secs(3);
/// How large the answer may be: about a hundred keys.
const SIZE: usize = 131_072;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Where keys are fetched from.
pub struct Endpoint {
    uri: Uri,
    host: String,
    port: u16,
    /// None: it is on this machine.
    tls: Option<TlsConnector>,
}

/// Parses the URL of a JWK set.
///
/// # Errors
/// What is expected.
pub fn jwks_url(text: &str) -> std::result::Result<Uri, String> {
    let expected = || "an https URL is expected (http to this machine only), without user and password".to_owned();
    let uri: Uri = text.trim().parse().map_err(|_| expected())?;
    let authority = uri.authority().ok_or_else(expected)?;
    let is_good = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_this_machine(host(&uri)),
        _ => false,
    };
    // What stands behind a colon and is no port is most often a password, of which the rest is missing.
    let is_plain = authority.as_str() == authority.host() || authority.port_u16().is_some();
    if is_good && is_plain && !authority.as_str().contains('@') && !host(&uri).is_empty() { Ok(uri) } else { Err(expected()) }
}

/// The host, an IPv6 address without its brackets.
fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

impl Endpoint {
    /// The endpoint at a URL that [`jwks_url`] has parsed. Besides the authorities that browsers trust, those in a PEM file are.
    ///
    /// # Errors
    /// One line for the operator.
    pub fn new(url: &Uri, authorities: Option<&Path>) -> std::result::Result<Self, String> {
        let is_secure = url.scheme_str() == Some("https");
        let tls = if is_secure { Some(connector(authorities)?) } else { None };
        let port = url.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        Ok(Self { host: host(url).to_owned(), port, uri: url.clone(), tls })
    }

    /// Fetches what is there.
    ///
    /// # Errors
    /// Why there is nothing.
    pub async fn fetch(&self) -> Result<Vec<u8>> {
        timeout(TIME, self.connect_and_ask()).await.map_err(|_| "there was no answer in time")?
    }

    async fn connect_and_ask(&self) -> Result<Vec<u8>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        match &self.tls {
            Some(tls) => self.ask(tls.connect(ServerName::try_from(self.host.clone())?, stream).await?).await,
            None => self.ask(stream).await,
        }
    }

    async fn ask(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Vec<u8>> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the sender.
        tokio::spawn(connection);
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path)
            .header(header::HOST, self.uri.authority().map_or("", |authority| authority.as_str()))
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, "ires-chat")
            .body(Empty::<&[u8]>::new())?;
        let answer = sender.send_request(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it was answered with {}", answer.status()).into());
        }
        Ok(Limited::new(answer.into_body(), SIZE).collect().await?.to_bytes().to_vec())
    }
}

fn connector(authorities: Option<&Path>) -> std::result::Result<TlsConnector, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = authorities {
        let bad = |error: &dyn std::fmt::Display| format!("CHAT_JWKS_CA_FILE: {} holds no certificates: {error}", path.display());
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))?;
        let before = roots.len();
        for certificate in certificates {
            roots.add(certificate.map_err(|error| bad(&error))?).map_err(|error| bad(&error))?;
        }
        if roots.len() == before {
            return Err(bad(&"it has no PEM with BEGIN CERTIFICATE"));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for good in ["https://issuer.example/keys", "https://issuer.example:8443", "http://localhost:3/x?y", "http://127.0.0.9/", "http://[::1]:8/"] {
            assert!(jwks_url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "issuer.example",
            "/keys",
            "http://issuer.example/keys",
            "http://localhost.issuer.example/",
            "http://10.0.0.1/",
            "http://[::2]/",
            "https://user:password@issuer.example/",
            "http://127.0.0.1@issuer.example/",
            "ftp://localhost/",
            "file:///etc/passwd",
            "https://",
            "https://a b/",
        ] {
            assert!(jwks_url(bad).is_err(), "{bad:?}");
        }
    }
}
