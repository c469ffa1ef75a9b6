//! A flood: what others notice of one client that sends as fast as it can, and comes again whenever it is cut off.
//!
//! The same load is measured three times in one run: calm, while one client sends 100,000 events, and while it never stops. What
//! counts is how the delays of the others compare with those of the first. The flooder runs on a thread of its own, reads and forgets whatever it is told, and needs little of the machine.

use super::{
    Outcome, Target, Workload,
    client::{UPGRADE, framed},
    messages::{self, Shape},
};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::Duration,
};

/// The user who floods.
const FLOODER: &str = "bench-flooder";
/// Events of a flood that ends.
const EVENTS: u64 = 100_000;
/// What is compared.
const FIGURES: [&str; 6] = ["ack p50 ms", "ack p99 ms", "delivery p50 ms", "delivery p99 ms", "acked/s", "server ms/1k messages"];
/// Events in one write.
const BATCH: usize = 100;

struct Flood {
    /// Most events; a batch more may have been on its way.
    most: u64,
    ends: AtomicBool,
    events: AtomicU64,
    connections: AtomicU64,
    refused: AtomicU64,
}

impl Flood {
    fn of(most: u64) -> Arc<Self> {
        let none = AtomicU64::default;
        Arc::new(Self { most, ends: AtomicBool::default(), events: none(), connections: none(), refused: none() })
    }

    fn is_over(&self) -> bool {
        self.ends.load(Ordering::Relaxed) || self.events.load(Ordering::Relaxed) >= self.most
    }
}

/// Runs it.
pub async fn run(target: &Target, workload: Workload, shape: Shape, duration: Duration) -> Result<Outcome, String> {
    let calm = messages::run(target, workload, shape, duration).await?;
    let mut faults = calm.faults;
    let mut figures: Vec<_> = FIGURES.iter().filter_map(|figure| Some((format!("calm {figure}"), calm.figure(figure)?))).collect();
    for (name, most) in [("flooded", EVENTS), ("flooded without end", u64::MAX)] {
        let flood = Flood::of(most);
        let flooded = beside(&flood, target, workload, shape, duration).await?;
        faults += flooded.faults;
        figures.extend(compared(name, &calm, &flooded, &flood));
    }
    Ok(Outcome { workload, figures, faults })
}

/// The load while a flood comes, from the moment on at which it is measured.
async fn beside(flood: &Arc<Flood>, target: &Target, workload: Workload, shape: Shape, duration: Duration) -> Result<Outcome, String> {
    let thread = Arc::new(Mutex::new(None));
    let prepared = {
        let (flood, thread, before, address) = (flood.clone(), thread.clone(), target.clone(), target.address);
        let token = target.token(FLOODER, 0)?;
        move || -> Result<(), String> {
            before.prepare()?;
            let (flood, token) = (flood.clone(), token.clone());
            *thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread::spawn(move || flood.run(address, &token)));
            Ok(())
        }
    };
    let flooded = messages::run(&Target { prepared: Some(Arc::new(prepared)), ..target.clone() }, workload, shape, duration).await;
    flood.ends.store(true, Ordering::Relaxed);
    let running: Option<JoinHandle<()>> = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
    if running.is_some_and(|thread| thread.join().is_err()) {
        return Err("the flood panicked".to_owned());
    }
    flooded
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn compared(name: &str, calm: &Outcome, flooded: &Outcome, flood: &Flood) -> Vec<(String, f64)> {
    let mut figures = Vec::new();
    for figure in FIGURES {
        if let (Some(before), Some(during)) = (calm.figure(figure), flooded.figure(figure)) {
            figures.push((format!("{name} {figure}"), during));
            figures.push((format!("{name} : calm, {figure}"), during / before));
        }
    }
    let counts = [("events", &flood.events), ("connections", &flood.connections), ("and refused ones", &flood.refused)];
    figures.extend(counts.map(|(what, count)| (format!("{name}: {what}"), count.load(Ordering::Relaxed) as f64)));
    figures
}

impl Flood {
    fn run(&self, address: SocketAddr, token: &str) {
        while !self.is_over() {
            if let Ok(stream) = connect(address, token) {
                self.connections.fetch_add(1, Ordering::Relaxed);
                // How it ends is what is looked at here, not an error.
                let _ = self.pour(&stream);
                let _ = stream.shutdown(Shutdown::Both);
            } else {
                self.refused.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(10));
            }
        }
    }

    /// Sends until it is cut off.
    fn pour(&self, mut stream: &TcpStream) -> io::Result<()> {
        let mut listening = stream.try_clone()?;
        let listener = thread::spawn(move || io::copy(&mut listening, &mut io::sink()));
        let mut ack = 0;
        let poured = loop {
            let mut frames = Vec::with_capacity(BATCH * 80);
            for _ in 0..BATCH {
                frames.extend(framed(&format!(r#"42/chat,{ack}["chat:message",{{"content":"flood"}}]"#)));
                ack += 1;
            }
            if let Err(error) = stream.write_all(&frames) {
                break Err(error);
            }
            self.events.fetch_add(BATCH as u64, Ordering::Relaxed);
            if self.is_over() {
                break Ok(());
            }
        };
        let _ = stream.shutdown(Shutdown::Both);
        let _ = listener.join();
        poured
    }
}

/// A socket that has heard `session.ready`.
fn connect(address: SocketAddr, token: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(UPGRADE.as_bytes())?;
    hear(&mut stream, b"\r\n\r\n")?;
    stream.write_all(&framed(&format!("40/chat,{{\"token\":\"{token}\"}}")))?;
    hear(&mut stream, b"session.ready")?;
    Ok(stream)
}

/// Reads until these words have come.
fn hear(stream: &mut TcpStream, words: &[u8]) -> io::Result<()> {
    let mut heard = Vec::new();
    while memchr::memmem::find(&heard, words).is_none() {
        let mut bytes = [0; 4_096];
        let count = stream.read(&mut bytes)?;
        heard.extend(&bytes[..count]);
        if count == 0 || heard.starts_with(b"HTTP/1.1 4") {
            return Err(ErrorKind::ConnectionRefused.into());
        }
    }
    Ok(())
}
