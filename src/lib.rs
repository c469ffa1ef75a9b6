//! ires-chat: a chat backend that speaks Socket.IO and keeps every message in Postgres before anybody sees it.
//!
//! # The story of one message
//!
//! A socket is [admitted](session::admit) and its token checked; its events go through a [lane](socket::Lane), one
//! after the other, each within the [limits] of its user. `chat:message` is read by [`messages::socket`], made a [draft](messages::draft), and takes a place
//! in the [journal](messages::journal), which stores all that waits with one statement: that statement looks at the
//! author's place in the room, takes the room's next number, and inserts. Once it is committed, the journal
//! [tells the rooms](realtime::Realtime::tell_all) in the order of the numbers, and acknowledges: each message is framed
//! once, and what one client gets of a batch leaves on its [wire](realtime::wire) in one write. The same message over
//! REST takes the same way, by [`messages::send`].
//!
//! # Where things are
//!
//! Features are folders, and have the same four words in each: `mod` has types and rules, `store` has SQL, `http` and
//! `socket` translate. They use one another in one direction: [`users`] ◄ [`auth`] ◄ [`rooms`] ◄ [`presence`] ◄
//! [`messages`] ◄ [`receipts`] ◄ [`lobby`] ◄ [`sync`] ◄ [`session`]; beside [`sync`] stand [`search`],
//! [`privacy`] and [`retention`], which no feature uses, and [`upkeep`] sets to work. What may become of a message is in folders inside [`messages`]. Under
//! them lie [`realtime`], [`socket`], [`routes`], [`extract`], [`pool`], [`payload`], [`names`],
//! [`limits`], [`draining`], [`gathering`], [`recent`], [`error`], [`trace`], [`metrics`] and [`config`]; [`server`] puts everything together.
//! [`specs`] makes documents of what is registered there. [`admin`] shows operators who is connected, [`doctor`] and [`backup`] look at the
//! database from outside. [`mod@bench`] is the load that all of this is measured with.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod admin;
pub mod app;
pub mod auth;
pub mod backup;
pub mod bench;
pub mod config;
pub mod database;
pub mod doctor;
pub mod draining;
pub mod embedded;
pub mod error;
pub mod extract;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod gathering;
pub mod ids;
pub mod limits;
pub mod lobby;
pub mod messages;
pub mod metrics;
pub mod names;
pub mod payload;
pub mod plain;
pub mod pool;
pub mod presence;
pub mod privacy;
pub mod realtime;
pub mod receipts;
pub mod recent;
pub mod retention;
pub mod rooms;
pub mod routes;
pub mod search;
pub mod server;
pub mod session;
pub mod socket;
pub mod specs;
pub mod sync;
pub mod systemd;
pub mod telemetry;
pub mod time;
pub mod trace;
pub mod upkeep;
pub mod users;
pub mod web;
