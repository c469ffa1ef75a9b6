//! `ires-chat doctor`: proves that the database holds what the program promises.

use super::{connect, failed, say};
use crate::Failure;
use clap::Args;
use ires_chat::{
    config::DatabaseSettings,
    database,
    doctor::{self, Finding, Notes},
};
use serde_json::json;
use sqlx::PgConnection;

/// How thoroughly, and in which form.
#[derive(Args)]
pub struct Doctor {
    /// Leave out what reads all messages
    #[arg(long)]
    quick: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

/// Checks every invariant, prints a line for each, and fails if one is broken.
pub async fn run(doctor: Doctor) -> Result<(), Failure> {
    let mut db = connect(doctor.database, "doctor").await?;
    database::be_patient(&mut db).await.map_err(failed)?;
    let mut findings = doctor::examine_ground(&mut db).await.map_err(failed)?;
    let mut notes = None;
    if findings[0].broken == 0 {
        findings.extend(examine_data(&mut db, doctor.quick).await?);
        notes = Some(doctor::notes(&mut db).await.map_err(failed)?);
    }
    let said = if doctor.json { say(json!({ "findings": findings, "notes": notes })) } else { print_all(&findings, notes.as_ref()) };
    is_content(&findings).and(said)
}

/// Examines what the database holds.
pub async fn examine_data(db: &mut PgConnection, quick: bool) -> Result<Vec<Finding>, Failure> {
    let mut findings = doctor::examine_rooms(db).await.map_err(failed)?;
    if !quick {
        findings.extend(doctor::examine_messages(db).await.map_err(failed)?);
    }
    Ok(findings)
}

fn print_all(findings: &[Finding], notes: Option<&Notes>) -> Result<(), Failure> {
    print(findings)?;
    let Some(notes) = notes else { return Ok(()) };
    say(format_args!("       searches: {} messages wait for their index", notes.messages_not_indexed))?;
    say(format_args!("       erasures: {} wait for a running server", notes.unfinished_erasures))
}

/// Prints a line for each invariant.
pub fn print(findings: &[Finding]) -> Result<(), Failure> {
    findings.iter().try_for_each(|Finding { invariant, broken, examples }| match broken {
        0 => say(format_args!("ok     {invariant}")),
        _ => say(format_args!("BROKEN {invariant}: {broken}{}, for example {}", if *broken == 1_000 { " or more" } else { "" }, examples.join("; "))),
    })
}

/// Fails if an invariant is broken.
pub fn is_content(findings: &[Finding]) -> Result<(), Failure> {
    if findings.iter().all(|finding| finding.broken == 0) { Ok(()) } else { Err(failed("the database breaks its invariants")) }
}
