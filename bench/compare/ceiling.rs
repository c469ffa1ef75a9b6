//! The ceiling: what relaying frames costs at the least, when nothing is stored and nobody is checked.
//!
//! Bare `WebSocket`s on tokio: a queue per socket, a task that empties it and writes all of it at once. It speaks just enough
//! Socket.IO for the same clients: whoever joins a room gets every message of it, framed once for all.

use bytes::Bytes;
use futures_util::StreamExt;
use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

type Queue = UnboundedSender<Bytes>;
type Rooms = Arc<Mutex<HashMap<String, Vec<Queue>>>>;

/// Serves on `PORT` until it is killed.
pub fn serve() -> Result<(), String> {
    let port: u16 = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).ok_or("PORT is missing")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
        let rooms = Rooms::default();
        loop {
            let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
            let rooms = rooms.clone();
            tokio::spawn(async move {
                // A client that goes away is no error.
                let _ = relay(stream, rooms).await;
            });
        }
    })
}

async fn relay(mut stream: TcpStream, rooms: Rooms) -> Result<(), Box<dyn Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    let Some(key) = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")) else {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await?;
        return Ok(());
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n");
    stream.write_all(upgrade.as_bytes()).await?;
    let (reading, writing) = stream.into_split();
    let (queue, queued) = unbounded_channel();
    tokio::spawn(write(writing, queued));
    queue.send(framed(r#"0{"sid":"none","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#))?;
    let mut socket = WebSocketStream::from_raw_socket(tokio::io::join(reading, tokio::io::sink()), Role::Server, None).await;
    let mut seq = 0_u64;
    while let Some(Message::Text(text)) = socket.next().await.transpose()? {
        let Some(packet) = text.strip_prefix("42/chat,") else {
            if text.starts_with("40/chat") {
                queue.send(framed(r#"40/chat,{"sid":"none"}"#))?;
            }
            continue;
        };
        let Some((ack, arguments)) = packet.split_once('[') else { continue };
        if let Some(room) = arguments.strip_prefix(r#""chat:room:join",""#) {
            let room = room.trim_end_matches("\"]").to_owned();
            rooms.lock().unwrap_or_else(PoisonError::into_inner).entry(room).or_default().push(queue.clone());
            queue.send(framed(&format!(r#"43/chat,{ack}[{{"ok":true,"data":{{}}}}]"#)))?;
        } else if let Some(rest) = arguments.strip_prefix(r#""chat:message",{"roomId":""#)
            && let Some((room, rest)) = rest.split_once(r#"","content":""#)
        {
            seq += 1;
            let content = rest.trim_end_matches("\"}]");
            // As large as a message of the contract, so that the same bytes are moved.
            let message = format!(
                concat!(
                    r#"{{"id":"0190d5a0-0000-7000-8000-000000000000","roomId":"{}","seq":{},"rev":{},"#,
                    r#""sender":{{"id":"bench-0-0","name":null,"avatarUrl":null,"userType":"user"}},"senderId":"bench-0-0","content":"{}","#,
                    r#""type":"text","replyTo":null,"threadRootId":null,"mentions":[],"attachments":[],"reactions":{{}},"#,
                    r#""createdAt":"2026-01-01T00:00:00.000Z","timestamp":"2026-01-01T00:00:00.000Z","editedAt":null,"deletedAt":null}}"#
                ),
                room, seq, seq, content
            );
            let delivery = framed(&format!(r#"42/chat,["chat:message",{message}]"#));
            for member in rooms.lock().unwrap_or_else(PoisonError::into_inner).get(room).into_iter().flatten() {
                // Members that went away stay in the list: the benchmark ends with them.
                let _ = member.send(delivery.clone());
            }
            queue.send(framed(&format!(r#"43/chat,{ack}[{{"ok":true,"data":{message}}}]"#)))?;
        }
    }
    Ok(())
}

/// Writes all that waits at once.
async fn write(mut stream: OwnedWriteHalf, mut queued: UnboundedReceiver<Bytes>) {
    let mut frames: Vec<Bytes> = Vec::new();
    while queued.recv_many(&mut frames, 64).await > 0 {
        let written = match &frames[..] {
            [frame] => stream.write_all(frame).await,
            several => stream.write_all(&several.concat()).await,
        };
        if written.is_err() {
            return;
        }
        frames.clear();
    }
}

/// One unmasked text frame.
fn framed(text: &str) -> Bytes {
    let mut frame = vec![0x81];
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(short @ ..126), _) => frame.push(short),
        (_, Ok(medium)) => {
            frame.push(126);
            frame.extend(medium.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((text.len() as u64).to_be_bytes());
        }
    }
    frame.extend(text.as_bytes());
    frame.into()
}
