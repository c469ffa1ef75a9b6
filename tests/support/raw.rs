//! Bytes over TCP, for what no decent client sends.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{TestApp, wait::LIMIT, within};

/// One connection.
pub struct Raw {
    stream: TcpStream,
    opened: Instant,
}

impl Raw {
    pub async fn open(app: &TestApp) -> Self {
        let address = app.base().strip_prefix("http://").unwrap();
        // The server may know of it before we do.
        let opened = Instant::now();
        Self { stream: TcpStream::connect(address).await.unwrap(), opened }
    }

    /// A connection on which this was sent already.
    pub async fn sending(app: &TestApp, bytes: impl AsRef<[u8]>) -> Self {
        let mut raw = Self::open(app).await;
        raw.send(bytes).await;
        raw
    }

    /// Sends; a connection that was closed meanwhile is no failure.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Everything that comes until the server closes, and how long the connection lived.
    pub async fn until_closed(mut self) -> (String, Duration) {
        let mut reply = Vec::new();
        // A reset is an end, too.
        _ = within(LIMIT, "the end of a connection", self.stream.read_to_end(&mut reply)).await;
        (String::from_utf8_lossy(&reply).into_owned(), self.opened.elapsed())
    }

    /// What comes until these words are there so often.
    pub async fn until(&mut self, words: &str, times: usize) -> String {
        let mut reply = Vec::new();
        let read = async {
            while String::from_utf8_lossy(&reply).matches(words).count() < times {
                assert!(self.stream.read_buf(&mut reply).await.unwrap() > 0, "it ended after {}", String::from_utf8_lossy(&reply));
            }
        };
        within(LIMIT, words, read).await;
        String::from_utf8_lossy(&reply).into_owned()
    }
}
