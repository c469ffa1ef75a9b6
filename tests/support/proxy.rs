//! A proxy between a server and its Postgres, which loses what it is told to lose, at the moment that matters.
//!
//! It reads the messages of Postgres's protocol (a byte of kind, four of length, the rest), so that it knows the statement
//! that stores messages from all others, and where its answer ends.

use std::{
    future::pending,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
};

use super::wait::eventually;

/// How the statement that stores messages loses its connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cut {
    /// The statement does not arrive.
    BeforeIt,
    /// It arrives, and at the same moment the connection is gone.
    DuringIt,
    /// It is committed, and nothing of its answer arrives.
    AfterIt,
    /// It is committed, and its whole answer arrives, but not the word that ends it: the rows alone prove nothing, since they
    /// may leave before the commit.
    BeforeItsLastWord,
}

impl Cut {
    pub const ALL: [Self; 4] = [Self::BeforeIt, Self::DuringIt, Self::AfterIt, Self::BeforeItsLastWord];
}

/// What goes through. What does not, waits in the proxy, as in a network that comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flow {
    Everything,
    /// Postgres hears, and is not heard.
    Questions,
    Nothing,
}

/// Ends with the test's runtime.
pub struct Proxy {
    /// The database behind it.
    pub url: String,
    state: Arc<State>,
}

struct State {
    flow: watch::Sender<Flow>,
    /// What is to be cut, after so many statements that are not.
    armed: Mutex<Option<(usize, Cut)>>,
    cuts: AtomicUsize,
    /// How many statements that store messages have come.
    stores: AtomicUsize,
    /// How many connections have been opened.
    opened: AtomicUsize,
    /// How many of these, the oldest, are silent for good.
    silent: AtomicUsize,
}

/// One connection.
struct Line<'a> {
    state: &'a State,
    /// How many were opened before it.
    number: usize,
    cut: Mutex<Option<Cut>>,
}

impl Proxy {
    /// A proxy before this database.
    pub async fn before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = Arc::new(State {
            flow: watch::channel(Flow::Everything).0,
            armed: Mutex::default(),
            cuts: AtomicUsize::new(0),
            stores: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            silent: AtomicUsize::new(0),
        });
        let proxied = at_port(url, listener.local_addr().unwrap().port());
        let database: PgConnectOptions = url.parse().unwrap();
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((server, _)) = listener.accept().await {
                let (database, state) = (database.clone(), shared.clone());
                // A connection that breaks is what this is about.
                tokio::spawn(async move { _ = carry(server, &database, &state).await });
            }
        });
        Self { url: proxied, state }
    }

    /// From now on only this goes through.
    pub fn set(&self, flow: Flow) {
        self.state.flow.send_replace(flow);
    }

    /// The connections that are open go silent for good, as where a firewall has forgotten them: they stay open, and no byte passes. New
    /// ones are served.
    pub fn silence_the_open(&self) {
        self.state.silent.store(self.state.opened.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Cuts the connection at the statement that stores the next messages, or at a later one.
    pub fn cut(&self, cut: Cut, spared: usize) {
        *self.state.armed() = Some((spared, cut));
    }

    /// How many statements that store messages have come, cut or not.
    pub fn stores(&self) -> usize {
        self.state.stores.load(Ordering::Relaxed)
    }

    /// How many connections have been cut.
    pub fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::Relaxed)
    }

    /// Waits until that has happened.
    pub async fn has_cut(&self, count: usize) {
        eventually("a connection that is cut", async || self.cuts() >= count).await;
    }
}

impl State {
    fn armed(&self) -> std::sync::MutexGuard<'_, Option<(usize, Cut)>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to become of a statement.
    fn fate(&self) -> Option<Cut> {
        self.stores.fetch_add(1, Ordering::Relaxed);
        let mut armed = self.armed();
        match armed.as_mut() {
            Some((0, cut)) => {
                let cut = *cut;
                *armed = None;
                self.cuts.fetch_add(1, Ordering::Relaxed);
                Some(cut)
            }
            Some((spared, _)) => {
                *spared -= 1;
                None
            }
            None => None,
        }
    }
}

impl Line<'_> {
    /// Waits until a message of the connection may pass, or for ever.
    async fn until(&self, flows: &[Flow]) {
        // The sender is in the state, so that this cannot fail.
        _ = self.state.flow.subscribe().wait_for(|flow| flows.contains(flow)).await;
        if self.number < self.state.silent.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    }
}

/// The same database at a port of this machine.
fn at_port(url: &str, port: u16) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    let (authority, database) = rest.split_once('/').unwrap();
    let user = authority.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
    format!("{scheme}://{user}127.0.0.1:{port}/{database}?sslmode=disable")
}

async fn carry(server: TcpStream, database: &PgConnectOptions, state: &State) -> io::Result<()> {
    let line = Line { state, number: state.opened.fetch_add(1, Ordering::Relaxed), cut: Mutex::default() };
    // Message by message, and no waiting for more.
    server.set_nodelay(true)?;
    let (from_server, to_server) = server.into_split();
    if let Some(directory) = database.get_socket() {
        let (answers, questions) = UnixStream::connect(directory.join(format!(".s.PGSQL.{}", database.get_port()))).await?.into_split();
        between(from_server, questions, answers, to_server, &line).await
    } else {
        let postgres = TcpStream::connect((database.get_host(), database.get_port())).await?;
        postgres.set_nodelay(true)?;
        let (answers, questions) = postgres.into_split();
        between(from_server, questions, answers, to_server, &line).await
    }
}

/// Carries both ways until either ends; then both have.
async fn between(
    from_server: impl AsyncRead + Unpin,
    questions: impl AsyncWrite + Unpin,
    answers: impl AsyncRead + Unpin,
    to_server: impl AsyncWrite + Unpin,
    line: &Line<'_>,
) -> io::Result<()> {
    tokio::select! {
        ended = ask(from_server, questions, line) => ended,
        ended = answer(answers, to_server, line) => ended,
    }
}

async fn ask(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, line: &Line<'_>) -> io::Result<()> {
    to.write_all(&rest_of_message(&mut from, Vec::new()).await?).await?;
    let mut stores = None;
    loop {
        let message = message(&mut from).await?;
        line.until(&[Flow::Everything, Flow::Questions]).await;
        match message[0] {
            b'P' if message.windows(20).any(|text| text == b"INSERT INTO messages") => stores = texts(&message).next().map(<[u8]>::to_vec),
            b'B' if stores.is_some() && texts(&message).nth(1) == stores.as_deref() => *line.cut.lock().unwrap() = line.state.fate(),
            _ => {}
        }
        let cut = *line.cut.lock().unwrap();
        if cut == Some(Cut::BeforeIt) {
            return Ok(());
        }
        to.write_all(&message).await?;
        // `Sync` is what makes Postgres commit.
        if cut == Some(Cut::DuringIt) && message[0] == b'S' {
            return Ok(());
        }
    }
}

async fn answer(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, line: &Line<'_>) -> io::Result<()> {
    loop {
        let message = message(&mut from).await?;
        line.until(&[Flow::Everything]).await;
        let cut = *line.cut.lock().unwrap();
        // `ReadyForQuery` comes after the commit.
        if cut.is_some() && message[0] == b'Z' {
            return Ok(());
        }
        if cut != Some(Cut::AfterIt) {
            to.write_all(&message).await?;
        }
    }
}

/// A whole message of the protocol, as it came.
async fn message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let kind = from.read_u8().await?;
    rest_of_message(from, vec![kind]).await
}

/// Length and content; the first message of a connection has nothing before them.
async fn rest_of_message(from: &mut (impl AsyncRead + Unpin), mut message: Vec<u8>) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    message.extend(length.to_be_bytes());
    let begin = message.len();
    message.resize(begin + length.saturating_sub(4) as usize, 0);
    from.read_exact(&mut message[begin..]).await?;
    Ok(message)
}

/// The texts that a message begins with.
fn texts(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    message[5..].split(|byte| *byte == 0)
}
