//! What a service manager is told: systemd's `sd_notify` protocol, a datagram with a line for each thing that is to be known.
//!
//! Without `NOTIFY_SOCKET` in the environment nobody asks, and nothing is said. A manager that cannot be reached is no reason
//! not to serve.

use crate::time::every;
use std::{
    convert::Infallible,
    env,
    future::pending,
    io,
    os::unix::net::{SocketAddr, UnixDatagram},
    process,
    time::Duration,
};

/// How often more time is asked for while it gets ready, and how much.
const MORE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// The way to the service manager, if there is one.
pub struct Systemd {
    socket: Option<UnixDatagram>,
    /// How often it wants a sign of life.
    watchdog: Option<Duration>,
}

impl Systemd {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn of_environment() -> Self {
        let socket = env::var("NOTIFY_SOCKET").ok().and_then(|address| {
            let socket = connect(&address);
            socket.inspect_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET cannot be reached")).ok()
        });
        let read = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let is_ours = read("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
        let watchdog = read("WATCHDOG_USEC").filter(|usec| is_ours && *usec > 0).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    /// It gets ready, and asks for more time for as long as this is polled: what is not ready in `TimeoutStartSec`, 90 s, is killed
    /// and started anew, and a migration may take longer.
    pub async fn keep_starting(&self, status: &str) -> Infallible {
        let (often, more) = MORE;
        let mut ticks = every(often);
        loop {
            ticks.tick().await;
            self.say(&format!("STATUS={status}\nEXTEND_TIMEOUT_USEC={}", more.as_micros()));
        }
    }

    /// It serves.
    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    /// It stops, and will have ended within this time, which may be longer than `TimeoutStopSec`.
    pub fn stopping(&self, status: &str, within: Duration) {
        self.say(&format!("STOPPING=1\nSTATUS={status}\nEXTEND_TIMEOUT_USEC={}", within.as_micros()));
    }

    /// Gives signs of life, twice as often as they are wanted, for as long as this is polled: that is, as long as tasks run.
    pub async fn keep_watch(&self) -> Infallible {
        let Some(watchdog) = self.watchdog else { return pending().await };
        let mut ticks = every((watchdog / 2).max(Duration::from_millis(1)));
        loop {
            ticks.tick().await;
            self.say("WATCHDOG=1");
        }
    }

    fn say(&self, lines: &str) {
        if let Some(Err(error)) = self.socket.as_ref().map(|socket| socket.send(lines.as_bytes())) {
            tracing::debug!(%error, "the service manager could not be told");
        }
    }
}

/// A path, or an abstract name that begins with `@`.
fn connect(address: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold us up.
    socket.set_nonblocking(true)?;
    match address.strip_prefix('@') {
        Some(name) => socket.connect_addr(&abstract_name(name)?)?,
        None => socket.connect(address)?,
    }
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn abstract_name(name: &str) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_name(_: &str) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}
