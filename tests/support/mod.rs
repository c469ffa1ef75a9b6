//! What every test stands on: the real server on a database of its own ([`TestApp`]), people who use it over
//! REST ([`TestUser`]) and over Socket.IO frames ([`TestSocket`]).
//!
//! Nothing here knows the server's code: only its command line, its environment, its ready line and its wire.

mod admin;
mod app;
pub mod clock;
pub mod cluster;
pub mod contract;
mod database;
mod den;
mod dial;
mod dice;
mod inbox;
pub mod issuer;
pub mod json;
mod load;
pub mod mirror;
pub mod npm;
mod polling;
mod port;
mod process;
pub mod prometheus;
pub mod proxy;
mod queries;
mod raw;
mod reply;
pub mod search;
mod socket;
pub mod token;
mod user;
mod wait;
pub mod websocket;

pub use admin::AdminUi;
pub use app::{PASSWORD, TestApp};
pub use database::Database;
pub use den::{Den, assert_standing};
pub use dial::{Dial, Refusal};
pub use dice::Dice;
pub use issuer::{Answer, Issuer, SigningKey};
pub use json::{code, has_uuid, ids};
pub use load::Load;
pub use mirror::Mirror;
pub use port::HeldPort;
pub use process::{Finished, Running, UNSET, bound, ires_chat, ires_chat_in, ires_chat_reading, ires_chat_unheard};
pub use queries::queries;
pub use raw::Raw;
pub use reply::Reply;
pub use socket::TestSocket;
pub use user::TestUser;
pub use wait::{LIMIT, SLACK, Stopwatch, eventually, eventually_within, takes_less_than, within};
