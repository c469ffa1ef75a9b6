//! Searches over REST, and beside them history and changes, of rooms of several lengths: they should take the same time in all.

use super::{
    Faults, Histogram, Outcome, READER, Target, Workload,
    history::{BUFFER, ask, exchange, pages},
};
use std::time::{Duration, Instant};
use tokio::{net::TcpStream, time::sleep};

/// Connections that ask, one request at a time each: as many as a small machine has cores.
const ASKERS: usize = 2;
/// How long the index may take to catch up with what was loaded.
const PATIENCE: Duration = Duration::from_mins(15);
/// What is asked for, and what the benchmark's rooms have of it: see `fill` in `bench/compare/servers.rs`.
const QUESTIONS: [(&str, &str); 7] = [
    ("a frequent word", "meeting"),
    ("a rare word", "zugzwang"),
    ("a part of a frequent word", "eetin"),
    ("a part of a rare word", "ugzwa"),
    ("frequent ideographs", "%E5%8C%97%E4%BA%AC"),
    ("rare ideographs", "%E3%82%BF%E3%83%AF%E3%83%BC"),
    ("nothing there", "xylophone"),
];

/// Asks each room alone, and then all together, for the same time each.
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
pub async fn run(target: &Target, duration: Duration) -> Result<Outcome, String> {
    let waited = catch_up(target).await?.as_secs_f64();
    let mut figures = vec![("index caught up after, s".to_owned(), waited)];
    let before = target.usage();
    let mut all = 0;
    let token = target.token(READER, 0)?;
    let get = |path: String| {
        let token = token.clone();
        move |_: u64| format!("GET /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n")
    };
    let each = duration / 8;
    let mut note = |what: &str, (count, took, delays): (u64, Duration, Histogram)| {
        all += count;
        figures.push((format!("{what}: requests/s"), count as f64 / took.as_secs_f64()));
        figures.push((format!("{what}: p50 ms"), delays.quantile(0.5)));
        figures.push((format!("{what}: p99 ms"), delays.quantile(0.99)));
    };
    for (length, room) in &target.history {
        note(&format!("{length} messages, history, newest"), ask(target, ASKERS, each, pages(target, room, None)?).await?);
        let first = pages(target, room, Some(51 + 5_000))?;
        note(&format!("{length} messages, history, at the beginning"), ask(target, ASKERS, each, first).await?);
        let since = format!("/rooms/{room}/changes?since={}", length.saturating_sub(50));
        note(&format!("{length} messages, changes of 50 numbers"), ask(target, ASKERS, each, get(since)).await?);
        for (what, q) in QUESTIONS {
            note(&format!("{length} messages, {what}"), ask(target, ASKERS, each, get(format!("/search?q={q}&roomId={room}"))).await?);
        }
    }
    for (what, q) in QUESTIONS {
        note(&format!("all rooms, {what}"), ask(target, ASKERS, each, get(format!("/search?q={q}"))).await?);
    }
    let cpu = target.usage().since(before).cpu_ms;
    figures.push(("server ms/1k requests".to_owned(), cpu / all as f64 * 1_000.0));
    Ok(Outcome { workload: Workload::Q, figures, faults: Faults::default() })
}

/// Waits until the server says that its index is not behind.
async fn catch_up(target: &Target) -> Result<Duration, String> {
    let begun = Instant::now();
    let mut buffer = vec![0; BUFFER];
    while begun.elapsed() < PATIENCE {
        let stream = TcpStream::connect(target.address).await.map_err(|error| error.to_string())?;
        let read = exchange(&stream, b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n", &mut buffer).await.map_err(|error| error.to_string())?;
        if memchr::memmem::find(&buffer[..read], b"\"messagesBehind\":0").is_some() {
            return Ok(begun.elapsed());
        }
        sleep(Duration::from_millis(200)).await;
    }
    Err(format!("the index of searches is behind after {PATIENCE:?}"))
}
