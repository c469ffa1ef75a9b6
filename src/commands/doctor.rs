//! `ires-chat doctor`: proves that the database holds what the program promises.

use super::{connect, failed};
use crate::Failure;
use ires_chat::{config::DatabaseSettings, database, presence, search};

/// Checks every invariant, prints a line for each, and fails if one is broken.
pub async fn run(settings: DatabaseSettings) -> Result<(), Failure> {
    let mut db = connect(settings).await?;
    let mut findings = database::examine(&mut db).await.map_err(failed)?;
    findings.push(presence::nodes::store::examine(&mut db).await.map_err(failed)?);
    for finding in &findings {
        println!(
            "{} {}{}",
            if finding.broken == 0 { "ok    " } else { "BROKEN" },
            finding.invariant,
            match finding.broken {
                0 => String::new(),
                broken => format!(": {broken}, for example {}", finding.example.as_deref().unwrap_or("?")),
            }
        );
    }
    println!("       searches: {} messages wait for their index", search::store::waiting(&mut db).await.map_err(failed)?);
    if findings.iter().all(|finding| finding.broken == 0) { Ok(()) } else { Err(failed("the database breaks its invariants")) }
}
