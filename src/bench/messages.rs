//! Messages through rooms: closed loop, where each sender has a number of unacknowledged messages in flight, or open loop,
//! where messages leave at a fixed rate and their delays count from when they should have left.

use super::{
    Faults, Outcome, Target, Usage, Workload, client,
    tally::{Histogram, Tag, Tally},
};
use crate::bench::client::Client;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{task::spawn_local, time::sleep};

/// How long after the last message what is still under way may take.
const SETTLING: Duration = Duration::from_secs(10);

/// How many of what.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Rooms.
    pub rooms: usize,
    /// Members of each.
    pub members: usize,
    /// Senders among them.
    pub senders: usize,
    /// How fast they send.
    pub pace: Pace,
}

/// How fast senders send.
#[derive(Clone, Copy)]
pub enum Pace {
    /// So many unacknowledged messages each.
    Window(usize),
    /// So many messages a second, of all senders together.
    Rate(u32),
}

struct Load {
    began: Instant,
    pace: Pace,
    sending: Cell<bool>,
    sent: Cell<u64>,
    acked: Cell<u64>,
    refused: Cell<u64>,
    delivered: Cell<u64>,
    broken: RefCell<Option<String>>,
    acks: RefCell<Histogram>,
    deliveries: RefCell<Histogram>,
    buffer: RefCell<Vec<u8>>,
}

struct Member {
    client: Client,
    room: usize,
    room_name: String,
    /// Its place among the senders of its room.
    sender: Option<usize>,
    numbers: Cell<u64>,
    in_flight: RefCell<HashMap<u64, Instant>>,
    refused: Cell<u64>,
    tally: RefCell<Tally>,
}

/// Ack ids up to here are those of entering.
const FIRST_ACK: u64 = 10;

/// Runs it.
pub async fn run(target: &Target, workload: Workload, shape: Shape, duration: Duration) -> Result<Outcome, String> {
    let load = Rc::new(Load {
        began: Instant::now(),
        pace: shape.pace,
        sending: Cell::new(false),
        sent: Cell::new(0),
        acked: Cell::new(0),
        refused: Cell::new(0),
        delivered: Cell::new(0),
        broken: RefCell::default(),
        acks: RefCell::default(),
        deliveries: RefCell::default(),
        buffer: RefCell::new(vec![0; client::BUFFER]),
    });
    let members = enter(target, &load, shape).await?;
    // Joins are told to those who were there before: the measure begins when that is over.
    sleep(Duration::from_secs(1)).await;
    target.prepare()?;
    let usage = || (target.usage(), target.postgres_usage(), Usage::own());
    let before = usage();
    let start = Instant::now();
    load.sending.set(true);
    send(&load, &members, duration).await;
    load.sending.set(false);
    let seconds = start.elapsed().as_secs_f64();
    let (acked, delivered) = (load.acked.get(), load.delivered.get());
    let after = usage();
    settle(&load, shape.members as u64).await;
    if let Some(broken) = load.broken.borrow().as_ref() {
        return Err(broken.clone());
    }
    Ok(outcome(
        workload,
        &load,
        &members,
        &Measured {
            seconds,
            acked,
            delivered,
            server: after.0.since(before.0),
            postgres: after.1.since(before.1),
            own: after.2.since(before.2),
            rss_kib: after.0.rss_kib,
        },
    ))
}

async fn enter(target: &Target, load: &Rc<Load>, shape: Shape) -> Result<Vec<Rc<Member>>, String> {
    let mut members = Vec::new();
    for room in 0..shape.rooms {
        for place in 0..shape.members {
            let user = format!("bench-{room}-{place}");
            let (client, room_name) =
                client::enter(target, &load.buffer, &user, i64::from(place > 0), &format!("bench-{}-{room}", shape.rooms)).await?;
            let sender = (place < shape.senders).then_some(place);
            let member = Member {
                client,
                room,
                room_name,
                sender,
                numbers: Cell::new(0),
                in_flight: RefCell::default(),
                refused: Cell::new(0),
                tally: RefCell::default(),
            };
            members.push(Rc::new(member));
            spawn_local(listen(members[members.len() - 1].clone(), load.clone()));
        }
    }
    Ok(members)
}

async fn send(load: &Load, members: &[Rc<Member>], duration: Duration) {
    let senders: Vec<_> = members.iter().filter(|member| member.sender.is_some()).collect();
    match load.pace {
        Pace::Window(window) => {
            for sender in &senders {
                (0..window).for_each(|_| sender.say(load, Instant::now()));
            }
            let end = Instant::now() + duration;
            while Instant::now() < end && load.broken.borrow().is_none() {
                sleep(Duration::from_millis(10)).await;
            }
        }
        Pace::Rate(rate) => {
            let begin = Instant::now();
            let step = Duration::from_secs(1) / rate;
            let mut due = begin;
            for sender in senders.iter().cycle() {
                while Instant::now() < due {
                    sleep(Duration::from_millis(1)).await;
                }
                if due >= begin + duration || load.broken.borrow().is_some() {
                    return;
                }
                sender.say(load, due);
                due += step;
            }
        }
    }
}

/// Waits until everything that was sent has been acknowledged and delivered, or will hardly be any more.
async fn settle(load: &Load, members: u64) {
    let end = Instant::now() + SETTLING;
    let open = || load.acked.get() + load.refused.get() < load.sent.get() || load.delivered.get() < load.acked.get() * members;
    while open() && Instant::now() < end && load.broken.borrow().is_none() {
        sleep(Duration::from_millis(20)).await;
    }
    // What comes twice comes a little later.
    sleep(Duration::from_millis(300)).await;
}

async fn listen(member: Rc<Member>, load: Rc<Load>) {
    loop {
        let mut now = None;
        let read = member.client.read(&load.buffer, |text| member.hear(&load, text, *now.get_or_insert_with(Instant::now))).await;
        if let Err(error) = read {
            load.broken.borrow_mut().get_or_insert_with(|| format!("a connection of room {} ended: {error}", member.room));
            return;
        }
    }
}

impl Member {
    fn say(&self, load: &Load, due: Instant) {
        let Some(sender) = self.sender else { return };
        let number = self.numbers.replace(self.numbers.get() + 1);
        let micros = u64::try_from(due.duration_since(load.began).as_micros()).unwrap_or_default();
        let content = Tag { sender, number, micros }.content();
        let ack = FIRST_ACK + number;
        self.in_flight.borrow_mut().insert(ack, due);
        load.sent.set(load.sent.get() + 1);
        let sent = self.client.send(&format!(r#"42/chat,{ack}["chat:message",{{"roomId":"{}","content":"{content}"}}]"#, self.room_name));
        if let Err(error) = sent {
            load.broken.borrow_mut().get_or_insert_with(|| format!("a message could not be sent: {error}"));
        }
    }

    fn hear(&self, load: &Load, text: &[u8], now: Instant) {
        if text.starts_with(b"42/chat,[\"chat:message\"") {
            let Some(tag) = Tag::find(text) else { return };
            self.tally.borrow_mut().hear(tag);
            load.delivered.set(load.delivered.get() + 1);
            let since = u64::try_from(now.duration_since(load.began).as_micros()).unwrap_or_default();
            load.deliveries.borrow_mut().record(since.saturating_sub(tag.micros));
        } else if let Some(answer) = text.strip_prefix(b"43/chat,") {
            let digits = answer.iter().take_while(|byte| byte.is_ascii_digit());
            let ack = digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            let Some(due) = self.in_flight.borrow_mut().remove(&ack) else { return };
            if memchr::memmem::find(&answer[..answer.len().min(40)], b"\"ok\":true").is_some() {
                load.acked.set(load.acked.get() + 1);
                load.acks.borrow_mut().record(u64::try_from(now.duration_since(due).as_micros()).unwrap_or_default());
            } else {
                self.refused.set(self.refused.get() + 1);
                load.refused.set(load.refused.get() + 1);
            }
            if load.sending.get() && matches!(load.pace, Pace::Window(_)) {
                self.say(load, Instant::now());
            }
        }
    }
}

struct Measured {
    seconds: f64,
    acked: u64,
    delivered: u64,
    server: Usage,
    postgres: Usage,
    own: Usage,
    rss_kib: f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn outcome(workload: Workload, load: &Load, members: &[Rc<Member>], measured: &Measured) -> Outcome {
    let mut faults = Faults { refused: load.refused.get(), ..Faults::default() };
    let rooms = members.iter().map(|member| member.room).max().map_or(0, |last| last + 1);
    for room in 0..rooms {
        let of_room = || members.iter().filter(move |member| member.room == room);
        let said: u64 = of_room().map(|member| member.numbers.get() - member.in_flight.borrow().len() as u64 - member.refused.get()).sum();
        let tallies: Vec<_> = of_room().map(|member| member.tally.borrow()).collect();
        faults += Tally::faults(tallies.iter().map(|tally| &**tally), said);
    }
    let (acked, delivered) = (measured.acked as f64, measured.delivered as f64);
    let (acks, deliveries) = (load.acks.borrow(), load.deliveries.borrow());
    let mut figures = vec![("acked/s".to_owned(), acked / measured.seconds), ("deliveries/s".to_owned(), delivered / measured.seconds)];
    for (name, histogram) in [("ack", &acks), ("delivery", &deliveries)] {
        for (quantile, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            figures.push((format!("{name} {quantile} ms"), histogram.quantile(share)));
        }
    }
    figures.extend([
        ("server ms/1k messages".to_owned(), measured.server.cpu_ms / acked * 1_000.0),
        ("server ms/10k deliveries".to_owned(), measured.server.cpu_ms / delivered * 10_000.0),
        ("Postgres ms/1k messages".to_owned(), measured.postgres.cpu_ms / acked * 1_000.0),
        ("load ms/10k deliveries".to_owned(), measured.own.cpu_ms / delivered * 10_000.0),
        ("RSS MiB".to_owned(), measured.rss_kib / 1_024.0),
    ]);
    Outcome { workload, figures, faults }
}
