//! The polling transport: long GETs for what the server says, POSTs for what the test sends.

use std::sync::Arc;

use reqwest::Client;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{Refusal, inbox::Inbox, websocket::Outgoing};

/// Several packets in one body are separated by this character.
const SEPARATOR: char = '\u{1e}';

/// Asks for a session and gives its address.
pub async fn open(http: &Client, url: &str, headers: &[(String, String)], inbox: &Inbox) -> Result<String, Refusal> {
    let mut request = http.get(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let reply = request.send().await.map_err(|_| Refusal::Unreachable)?;
    if !reply.status().is_success() {
        return Err(Refusal::Status(reply.status().as_u16()));
    }
    let packets = reply.text().await.map_err(|_| Refusal::Unreachable)?;
    for packet in packets.split(SEPARATOR) {
        inbox.take_in(packet);
    }
    let opened = inbox.lock().opened.clone().unwrap();
    Ok(format!("{url}&sid={}", opened["sid"].as_str().unwrap()))
}

/// Polls while the test reads, until the session ends, or until the server's NOOP releases the poll for an upgrade.
pub fn poll(http: Client, url: String, inbox: Arc<Inbox>, mut reads: watch::Receiver<bool>) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            // Once nobody can stop it any more it reads on.
            _ = reads.wait_for(|reads| *reads).await;
            let Ok(reply) = http.get(&url).send().await else {
                return inbox.end("poll broken");
            };
            if !reply.status().is_success() {
                return inbox.end(&format!("poll answered {}", reply.status()));
            }
            for packet in reply.text().await.unwrap_or_default().split(SEPARATOR) {
                if packet == "6" {
                    return;
                }
                if let Some(answer) = inbox.take_in(packet) {
                    _ = http.post(&url).body(answer).send().await;
                }
            }
        }
    })
}

/// Posts what the test sends, in order, and tells the polls whether it reads.
pub fn post(http: Client, url: String, mut outgoing: mpsc::UnboundedReceiver<Outgoing>, reading: watch::Sender<bool>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(sent) = outgoing.recv().await {
            let body = match sent {
                Outgoing::Text(text) => text,
                Outgoing::Close => "1".to_owned(),
                Outgoing::Read(reads) => {
                    reading.send_replace(reads);
                    continue;
                }
                Outgoing::Binary(_) | Outgoing::Fragments(..) => panic!("this is for websockets"),
            };
            _ = http.post(&url).header("content-type", "text/plain;charset=UTF-8").body(body).send().await;
        }
    })
}

/// The status of one body, posted by hand.
pub async fn post_status(http: &Client, url: &str, body: String) -> u16 {
    http.post(url).body(body).send().await.map_or(400, |reply| reply.status().as_u16())
}
