//! The websocket transport: a task that writes what the test sends and reads what the server says.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue},
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use super::{Refusal, inbox::Inbox};

/// What a test sends: a text frame, a binary frame, or the end of the connection.
pub enum Outgoing {
    Text(String),
    Binary(Vec<u8>),
    /// A text message that begins with the text and goes on, a byte a frame, without ever ending.
    Fragments(String, usize),
    /// From now on what the server sends is left unread, or is read again.
    Read(bool),
    Close,
}

pub type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens the connection.
pub async fn open(url: &str, headers: &[(String, String)]) -> Result<Stream, Refusal> {
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
    }
    match connect_async(request).await {
        Ok((stream, _)) => Ok(stream),
        Err(Error::Http(response)) => Err(Refusal::Status(response.status().as_u16())),
        Err(_) => Err(Refusal::Unreachable),
    }
}

/// Carries frames both ways until either side ends.
pub fn carry(mut stream: Stream, mut outgoing: mpsc::UnboundedReceiver<Outgoing>, inbox: Arc<Inbox>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut reads = true;
        loop {
            tokio::select! {
                frame = stream.next(), if reads => match frame {
                    Some(Ok(Message::Text(text))) => {
                        if let Some(answer) = inbox.take_in(&text) {
                            _ = stream.send(Message::text(answer)).await;
                        }
                    }
                    Some(Ok(Message::Close(_))) | None => break inbox.end("websocket closed"),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break inbox.end(&format!("websocket broken: {error}")),
                },
                sent = outgoing.recv() => match sent {
                    Some(Outgoing::Text(text)) => _ = stream.send(Message::text(text)).await,
                    Some(Outgoing::Binary(bytes)) => _ = stream.send(Message::binary(bytes)).await,
                    Some(Outgoing::Fragments(text, count)) => send_fragments(&mut stream, &text, count).await,
                    Some(Outgoing::Read(read)) => reads = read,
                    Some(Outgoing::Close) => _ = stream.close(None).await,
                    None => break,
                },
            }
        }
    })
}

async fn send_fragments(stream: &mut Stream, text: &str, count: usize) {
    let first = Frame::message(text.to_owned(), OpCode::Data(Data::Text), false);
    _ = stream.feed(Message::Frame(first)).await;
    for _ in 0..count {
        let next = Frame::message("x", OpCode::Data(Data::Continue), false);
        if stream.feed(Message::Frame(next)).await.is_err() {
            return;
        }
    }
    _ = stream.flush().await;
}

/// Reads until the other side has ended it.
pub async fn ended(stream: &mut Stream) {
    while let Some(Ok(_)) = stream.next().await {}
}

/// The first half of an upgrade: the probe and its answer.
pub async fn probe(stream: &mut Stream) {
    stream.send(Message::text("2probe")).await.unwrap();
    let answer = stream.next().await.unwrap().unwrap();
    assert_eq!(answer.to_text().unwrap(), "3probe");
}
