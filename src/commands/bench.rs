//! `ires-chat bench`: puts a running server under load, and says what it stood.

use super::{failed, say, token::keys};
use crate::Failure;
use clap::Args;
use ires_chat::{
    bench::{Outcome, Target, Workload, raise_open_files, run},
    config::AuthSettings,
};
use std::{net::ToSocketAddrs, sync::Arc, time::Duration};
use tokio::task::spawn_blocking;

/// Which server, and how. Tokens are signed with its `JWT_SECRET`; users, rooms and messages called `bench-…` stay behind.
#[derive(Args)]
pub struct Bench {
    /// Host and port of the server
    #[arg(long, default_value = "127.0.0.1:3000")]
    server: String,
    /// What to do, comma-separated
    #[arg(long, value_delimiter = ',', default_value = "S1w4,S1r,S2w4")]
    workload: Vec<Workload>,
    /// How long the sending of messages lasts
    #[arg(long, default_value = "10s", value_parser = ires_chat::config::duration)]
    duration: Duration,
    /// The server's process, if it is on this machine, to see its CPU time and memory
    #[arg(long)]
    pid: Option<u32>,
    /// Its Postgres' process, likewise
    #[arg(long)]
    postgres_pid: Option<u32>,
    /// The name of a room that H and Q read; the user `bench-reader` must be a member
    #[arg(long)]
    room: Option<String>,
    /// How many messages that room has
    #[arg(long, default_value_t = 0)]
    messages: u64,
    /// Print JSON, one line a workload
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    auth: AuthSettings,
}

/// Runs it.
pub async fn execute(bench: Bench) -> Result<(), Failure> {
    raise_open_files();
    let address = bench.server.to_socket_addrs().map_err(failed)?.next().ok_or_else(|| failed("the server's address is none"))?;
    let target = Target {
        address,
        keys: Arc::new(keys(bench.auth)?),
        server: bench.pid,
        postgres: bench.postgres_pid,
        history: bench.room.into_iter().map(|room| (bench.messages, room)).collect(),
        prepared: None,
    };
    for workload in bench.workload {
        let (target, duration) = (target.clone(), bench.duration);
        let outcome = spawn_blocking(move || run(&target, workload, duration)).await.map_err(failed)?.map_err(Failure::Unavailable)?;
        if bench.json {
            say(serde_json::to_string(&outcome).map_err(failed)?)?;
        } else {
            print(&outcome)?;
        }
    }
    Ok(())
}

fn print(outcome: &Outcome) -> Result<(), Failure> {
    say(format_args!("{:?}", outcome.workload))?;
    for (name, value) in &outcome.figures {
        say(format_args!("  {name:<32} {value:>12.2}"))?;
    }
    let faults = outcome.faults;
    say(format_args!(
        "  lost {}, duplicated {}, out of order {}, rooms that disagree {}, refused {}",
        faults.lost, faults.duplicated, faults.disordered, faults.disagreeing, faults.refused
    ))
}
