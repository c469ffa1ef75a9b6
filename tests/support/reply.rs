//! An HTTP answer, read whole.

use reqwest::{RequestBuilder, header::HeaderMap};
use serde_json::Value;

use super::{code, contract};

#[derive(Debug)]
pub struct Reply {
    /// What was asked, for the message of a failed test.
    pub url: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// The body as JSON, or null where it is none.
    pub body: Value,
}

impl Reply {
    pub async fn of(request: RequestBuilder) -> Self {
        Self::try_of(request).await.expect("the server should answer")
    }

    /// Like [`Reply::of`], for a server that may not be there.
    pub async fn try_of(request: RequestBuilder) -> Option<Self> {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let method = request.method().clone();
        let reply = client.execute(request).await.ok()?;
        let path = reply.url().path().to_owned();
        let url = reply.url().to_string();
        let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
        let text = reply.text().await.ok()?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if let Err(fault) = contract::check_reply(method.as_str(), &path, status, kind, &text) {
            panic!("{fault}");
        }
        Some(Self { url, status, headers, text, body })
    }

    /// The body, after checking the status.
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:.300}: {:.2000}", self.url, self.text);
        self.body
    }

    /// The code of a refusal, after checking its status and that it is a problem (RFC 9457) in our shape.
    pub fn refused(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{:.300}: {:.2000}", self.url, self.text);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        for member in ["type", "title", "detail", "message", "traceId", "timestamp"] {
            assert!(self.body[member].is_string(), "no `{member}` in {}", self.text);
        }
        assert_eq!(self.body["status"], status);
        assert!(self.body["retryable"].is_boolean(), "no `retryable` in {}", self.text);
        code(&self.body)
    }

    /// The header's value, or an empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
