//! A client that costs next to nothing: WebSocket frames read in place from one shared buffer, nothing parsed that is not
//! needed, nothing allocated for what is received.

use super::Target;
use std::{
    cell::{Cell, RefCell},
    io::{self, ErrorKind},
    net::SocketAddr,
};
use tokio::net::TcpStream;

/// The upgrade of a WebSocket (RFC 6455 §4.1). The key need not be random: nothing caches between us and a server.
pub const UPGRADE: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
/// Reads of all clients go here, one after the other.
pub const BUFFER: usize = 1 << 20;

/// One socket in namespace `/chat`.
pub struct Client {
    stream: TcpStream,
    /// The beginning of a frame whose end has not come yet.
    partial: RefCell<Vec<u8>>,
    /// Whether frames may have come with the handshake's answer.
    fresh: Cell<bool>,
}

impl Client {
    /// Connects and presents a token; what the server says to that comes with what is read.
    pub async fn connect(address: SocketAddr, token: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let client = Self { stream, partial: RefCell::default(), fresh: Cell::new(true) };
        client.write(UPGRADE.as_bytes())?;
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            client.stream.readable().await?;
            let mut bytes = [0; 4_096];
            match client.stream.try_read(&mut bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => head.extend(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(io::Error::other(format!("the server refused a WebSocket: {}", String::from_utf8_lossy(&head))));
        }
        let end = head.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or_default() + 4;
        client.partial.borrow_mut().extend(&head[end..]);
        client.send(&format!("40/chat,{{\"token\":\"{token}\"}}"))?;
        Ok(client)
    }

    /// Sends one text frame.
    pub fn send(&self, text: &str) -> io::Result<()> {
        self.write(&framed(text))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self.stream.try_write(bytes) {
            Ok(count) if count == bytes.len() => Ok(()),
            // So little is sent that the system's buffers are never full unless the server has stopped to read.
            Ok(_) => Err(ErrorKind::WouldBlock.into()),
            // A new stream is writable, but the runtime has not noticed yet.
            Err(error) if error.kind() == ErrorKind::WouldBlock => rustix::io::write(&self.stream, bytes)
                .map_err(io::Error::from)
                .and_then(|count| if count == bytes.len() { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }),
            Err(error) => Err(error),
        }
    }

    /// Waits for something to read, and hands on the text of every whole frame. Pings are answered.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn read(&self, buffer: &RefCell<Vec<u8>>, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        if !self.fresh.take() {
            self.stream.readable().await?;
        }
        let mut buffer = buffer.borrow_mut();
        let mut partial = self.partial.borrow_mut();
        loop {
            let had = partial.len();
            buffer[..had].copy_from_slice(&partial);
            let (count, more) = match self.stream.try_read(&mut buffer[had..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => (count, count == buffer.len() - had),
                Err(error) if error.kind() == ErrorKind::WouldBlock => (0, false),
                Err(error) => return Err(error),
            };
            let mut rest = &buffer[..had + count];
            while let Some((opcode, payload, after)) = frame(rest) {
                match opcode {
                    1 if payload == b"2" => self.send("3")?,
                    1 => each(payload),
                    8 => return Err(ErrorKind::ConnectionAborted.into()),
                    _ => {}
                }
                rest = after;
            }
            let rest = rest.to_vec();
            *partial = rest;
            if !more {
                return Ok(());
            }
        }
    }
}

/// A text frame, under a mask of zeros.
pub fn framed(text: &str) -> Vec<u8> {
    let mut frame = Vec::with_capacity(text.len() + 14);
    frame.push(0x81);
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(short @ ..126), _) => frame.push(0x80 | short),
        (_, Ok(medium)) => {
            frame.push(0xfe);
            frame.extend(medium.to_be_bytes());
        }
        _ => {
            frame.push(0xff);
            frame.extend((text.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// Takes the first frame off, if all of it is there: its opcode, its payload, and what follows.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match second & 0x7f {
        126 => rest.split_first_chunk().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest))?,
        127 => rest.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
        short => (u64::from(short), rest),
    };
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((first & 0x0f, payload, rest))
}

/// Connects a user of this name and waits until it is in a room. Says what the server calls the room.
///
/// # Errors
/// One line on what went wrong.
pub async fn enter(target: &Target, buffer: &RefCell<Vec<u8>>, user: &str, variant: i64, room: &str) -> Result<(Client, String), String> {
    let token = target.token(user, variant)?;
    let client = Client::connect(target.address, &token).await.map_err(|error| format!("{user} cannot connect: {error}"))?;
    let mut entered = None;
    let mut wrong = None;
    while entered.is_none() {
        let mut reply = String::new();
        let read = client.read(buffer, |text| {
            if text.starts_with(b"0") {
                return;
            }
            if text.starts_with(b"40/chat,") {
                // Rooms that do not exist yet are made; a server that does not know the event is asked to join all the same.
                reply = format!(r#"42/chat,0["chat:room:create",{{"name":"{room}","type":"public","slug":"{room}"}}]"#);
            } else if let Some(answer) = text.strip_prefix(b"43/chat,1") {
                entered = Some(room_id(answer).unwrap_or_else(|| room.to_owned()));
                if memchr::memmem::find(&answer[..answer.len().min(16)], b"\"ok\":true").is_none() {
                    wrong = Some(String::from_utf8_lossy(answer).into_owned());
                }
            } else if text.starts_with(b"44/chat,")
                || (text.starts_with(b"42/chat,[\"system:error\"") && memchr::memmem::find(text, b"AUTH_").is_some())
            {
                wrong = Some(String::from_utf8_lossy(text).into_owned());
            }
        });
        read.await.map_err(|error| format!("{user} lost its connection: {error}"))?;
        if let Some(wrong) = wrong {
            return Err(format!("{user} cannot enter {room}: {wrong}"));
        }
        if !reply.is_empty() {
            let join = format!(r#"42/chat,1["chat:room:join","{room}"]"#);
            let sent = if variant == 0 { client.send(&reply) } else { Ok(()) };
            sent.and_then(|()| client.send(&join)).map_err(|error| error.to_string())?;
        }
    }
    Ok((client, entered.unwrap_or_default()))
}

/// `"roomId":"…"` of an acknowledgement, the first.
fn room_id(answer: &[u8]) -> Option<String> {
    let start = memchr::memmem::find(answer, b"\"roomId\":\"")? + 10;
    let end = start + memchr::memchr(b'"', &answer[start..])?;
    String::from_utf8(answer[start..end].to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_off_whole_or_not_at_all() {
        let mut bytes = vec![0x81, 2, b'h', b'i', 0x81, 126, 0, 200];
        bytes.extend([b'x'; 200]);
        let (opcode, payload, rest) = frame(&bytes).unwrap();
        assert_eq!((opcode, payload), (1, &b"hi"[..]));
        let (_, payload, rest) = frame(rest).unwrap();
        assert_eq!((payload.len(), rest.len()), (200, 0));
        for cut in [0, 1, 3, 5, 7, 207] {
            let first_only = frame(&bytes[..cut]).is_none_or(|(_, _, rest)| frame(rest).is_none());
            assert!(first_only, "{cut}");
        }
    }
}
