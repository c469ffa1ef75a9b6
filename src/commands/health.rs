//! `ires-chat health`: for container health checks, without another program.

use super::{failed, say};
use crate::Failure;
use clap::Args;
use std::{net::IpAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Which server.
#[derive(Args)]
pub struct Health {
    /// Address of the server
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port of the server
    #[arg(long, env = "PORT", default_value_t = 3000)]
    port: u16,
}

/// Asks `/readyz`.
pub async fn run(health: Health) -> Result<(), Failure> {
    let host = if health.host.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { health.host };
    let asked = timeout(Duration::from_secs(5), ask(host, health.port)).await;
    let reply = asked.map_err(|_| Failure::Unavailable("the server does not answer".to_owned()))?;
    let reply = reply.map_err(|error| Failure::Unavailable(format!("the server cannot be reached: {error}")))?;
    let status = reply.split(' ').nth(1).unwrap_or("no HTTP").to_owned();
    let said = say(&status);
    if status == "200" { said } else { Err(failed("the server is not ready")) }
}

async fn ask(host: IpAddr, port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await?;
    Ok(reply)
}
