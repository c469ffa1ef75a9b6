//! History over REST: the newest 50 messages of a long room, and pages of 50 around several depths.

use super::{Faults, Outcome, READER, Target, Workload, tally::Histogram};
use std::{
    cell::{Cell, RefCell},
    io::{self, ErrorKind},
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, task::JoinSet};

/// Connections that ask, one request at a time each.
const ASKERS: usize = 8;
/// Room for an answer.
pub(super) const BUFFER: usize = 1 << 20;

/// How far apart the pages around one depth lie, so that not always the same one is asked for.
const SPREAD: u64 = 5_000;

/// Asks each room for its newest messages, and for pages 10 thousand deep, half way, and at the beginning, for the same time
/// each.
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
pub async fn run(target: &Target, duration: Duration) -> Result<Outcome, String> {
    let mut figures = Vec::new();
    let before = target.usage();
    let mut all = 0;
    for (length, room) in &target.history {
        let deep = length.checked_sub(10_000 + SPREAD);
        let places = [("newest", None), ("10,000 deep", deep), ("half way", Some(length / 2)), ("at the beginning", Some(51 + SPREAD))];
        let places = places.into_iter().filter(|(depth, place)| place.is_some() || *depth == "newest");
        for (depth, place) in places {
            let (count, took, delays) = ask(target, ASKERS, duration / 4, pages(target, room, place)?).await?;
            all += count;
            figures.push((format!("{length} messages, {depth}: requests/s"), count as f64 / took.as_secs_f64()));
            figures.push((format!("{length} messages, {depth}: p50 ms"), delays.quantile(0.5)));
            figures.push((format!("{length} messages, {depth}: p99 ms"), delays.quantile(0.99)));
        }
    }
    let cpu = target.usage().since(before).cpu_ms;
    figures.push(("server ms/1k requests".to_owned(), cpu / all as f64 * 1_000.0));
    Ok(Outcome { workload: Workload::H, figures, faults: Faults::default() })
}

/// Requests for pages of 50 before a place, or for the newest one.
pub(super) fn pages(target: &Target, room: &str, place: Option<u64>) -> Result<impl Fn(u64) -> String + use<>, String> {
    let path = format!("/api/v1/rooms/{room}/messages?limit=50");
    let token = target.token(READER, 0)?;
    Ok(move |number: u64| {
        // Neighbouring requests are for distant pages: 2,654,435,761 is 2^32 divided by the golden ratio (Knuth's hashing).
        let query = place.map_or(String::new(), |place| format!("&before={}", place - number.wrapping_mul(2_654_435_761) % SPREAD));
        format!("GET {path}{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n")
    })
}

/// Asks for a while, so many at a time; says how often, how long it took in all, and how long each answer took.
pub(super) async fn ask(
    target: &Target,
    askers: usize,
    duration: Duration,
    request: impl Fn(u64) -> String + 'static,
) -> Result<(u64, Duration, Histogram), String> {
    let request = Rc::new(request);
    let (count, delays) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Histogram::default())));
    let start = Instant::now();
    let mut asking = JoinSet::new();
    for _ in 0..askers {
        let (request, count, delays, address) = (request.clone(), count.clone(), delays.clone(), target.address);
        asking.spawn_local(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut buffer = vec![0; BUFFER];
            while start.elapsed() < duration {
                let asked = Instant::now();
                exchange(&stream, request(count.get()).as_bytes(), &mut buffer).await?;
                delays.borrow_mut().record(u64::try_from(asked.elapsed().as_micros()).unwrap_or_default());
                count.set(count.get() + 1);
            }
            Ok::<_, io::Error>(())
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.map_err(|error| error.to_string())?.map_err(|error| format!("a request: {error}"))?;
    }
    let delays = delays.borrow().clone();
    Ok((count.get(), start.elapsed(), delays))
}

/// One request and its whole answer, whose length the server says.
pub(super) async fn exchange(stream: &TcpStream, request: &[u8], buffer: &mut [u8]) -> io::Result<usize> {
    stream.writable().await?;
    if stream.try_write(request)? < request.len() {
        return Err(ErrorKind::WriteZero.into());
    }
    let mut have = 0;
    loop {
        stream.readable().await?;
        match stream.try_read(&mut buffer[have..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => have += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        let Some(end) = memchr::memmem::find(&buffer[..have], b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).map_err(io::Error::other)?.to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") {
            return Err(io::Error::other(String::from_utf8_lossy(&buffer[..have]).into_owned()));
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if have >= end + 4 + length.ok_or_else(|| io::Error::other("an answer without its length"))? {
            return Ok(have);
        }
    }
}
