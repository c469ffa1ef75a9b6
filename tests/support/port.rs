//! A port that nobody else gets while no server of the test is listening at it.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// A port of 127.0.0.1, for a server that goes away and comes back.
///
/// A port that is merely free may be taken by any connection of another test meanwhile. This one is bound by a socket that
/// never listens: connections are refused, and who allows an address to be used again, as servers do, may listen there.
pub struct HeldPort {
    address: SocketAddr,
    _holder: TcpSocket,
}

impl HeldPort {
    pub fn new() -> Self {
        let holder = bound("127.0.0.1:0".parse().unwrap());
        Self { address: holder.local_addr().unwrap(), _holder: holder }
    }

    pub fn number(&self) -> u16 {
        self.address.port()
    }

    /// Begins to listen there. Nobody else may be listening.
    pub fn listen(&self) -> TcpListener {
        bound(self.address).listen(1_024).unwrap()
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}
