//! `cargo bench --bench compare`: our server beside those that its users would otherwise have, and beside the ceiling, in one
//! run on one machine.
//!
//! All of them take the same load from the same clients, in alternation, over several rounds, on one Postgres of this
//! benchmark's own with default durability, each time with a new process and a new database. What counts are ratios within
//! the run and CPU time per unit of work: both hold when a machine is small or busy.

mod ceiling;
mod report;
mod servers;

use clap::{Parser, Subcommand};
use ires_chat::{
    bench::{Outcome, Usage, Workload, raise_open_files, run},
    config::duration,
    embedded::{Cluster, Options},
};
use servers::{Bench, Kind};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

#[derive(Parser)]
#[command(name = "compare", about = "Compare ires-chat with its peers under the same load")]
struct Cli {
    /// How often everything is measured; medians are reported
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long messages are sent in each measurement
    #[arg(long, default_value = "8s", value_parser = duration)]
    duration: Duration,
    /// Who is measured, comma-separated
    #[arg(long, value_delimiter = ',', default_value = "ires,nest,node,group,ceiling")]
    servers: Vec<Kind>,
    /// What is done to them, comma-separated
    #[arg(long, value_delimiter = ',', default_value = "S1w4,S1w1,S1r,S2w4,S2r,F,S3,S5,S6,H,Q")]
    workloads: Vec<Workload>,
    /// Another build of ires-chat to measure beside this one: what a change costs, or gives
    #[arg(long)]
    before: Option<PathBuf>,
    /// Lengths of the rooms whose history H reads, and that Q searches, comma-separated
    #[arg(long, value_delimiter = ',', default_value = "10000,5000000")]
    history: Vec<u64>,
    /// Where the report goes, besides stdout
    #[arg(long)]
    report: Option<PathBuf>,
    /// Where the Postgres of the benchmark is kept while it runs
    #[arg(long, default_value = "target/bench-postgres")]
    dir: PathBuf,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    inner: Option<Inner>,
}

#[derive(Subcommand)]
enum Inner {
    /// Serve as the ceiling
    #[command(hide = true)]
    Ceiling,
}

/// One measurement.
struct Measurement {
    kind: Kind,
    outcome: Outcome,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.inner {
        Some(Inner::Ceiling) => ceiling::serve(),
        None => compare(&cli),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(cli: &Cli) -> Result<(), String> {
    raise_open_files();
    let mut kinds = servers::prepare(&cli.servers);
    kinds.retain(|kind| *kind != Kind::Before);
    if cli.before.is_some() {
        kinds.insert(0, Kind::Before);
    }
    let pairs = cli.workloads.iter().map(|workload| kinds.iter().filter(|kind| kind.can(*workload)).count()).sum::<usize>();
    let about = pairs as u64 * u64::from(cli.rounds) * (cli.duration.as_secs() + 7) / 60;
    eprintln!("{pairs} measurements, {} rounds: about {about} minutes", cli.rounds);
    let options = Options { dir: cli.dir.clone(), pg_bin: None, settings: vec![("max_connections".into(), "200".into())] };
    let cluster = Cluster::start(&options).map_err(|error| error.to_string())?;
    let mut bench = Bench::new(&cluster, cli.before.as_deref().unwrap_or(Path::new("")))?;
    let starts = if kinds.contains(&Kind::Ires) { bench.starts(10)? } else { Vec::new() };
    let mut measurements = Vec::new();
    for round in 1..=cli.rounds {
        // Whoever is measured second does worse: the same build twice came to 0.95 to 0.98 of itself.
        if round > 1 {
            kinds.reverse();
        }
        for workload in &cli.workloads {
            for kind in kinds.iter().filter(|kind| kind.can(*workload)) {
                match measure(&mut bench, *kind, *workload, cli) {
                    Ok(outcome) => {
                        eprintln!("round {round}, {workload:?}, {kind:?}: {}", report::line(&outcome));
                        measurements.push(Measurement { kind: *kind, outcome });
                    }
                    Err(error) => eprintln!("round {round}, {workload:?}, {kind:?}: {error}"),
                }
            }
        }
    }
    let version = bench.postgres_version()?;
    drop(bench);
    cluster.stop().map_err(|error| error.to_string())?;
    let text = report::write(&measurements, &starts, &version, cli.rounds);
    println!("{text}");
    if let Some(path) = &cli.report {
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn measure(bench: &mut Bench<'_>, kind: Kind, workload: Workload, cli: &Cli) -> Result<Outcome, String> {
    let lengths: &[u64] = if matches!(workload, Workload::H | Workload::Q) { &cli.history } else { &[] };
    let running = bench.start(kind, lengths, workload)?;
    // What was loaded or dropped before is written out first: it is not what is measured.
    bench.checkpoint()?;
    let outcome = run(&running.target, workload, cli.duration);
    let memory = Usage::of(running.pid()).rss_kib;
    running.stop();
    let mut outcome = outcome?;
    outcome.figures.push(("RSS at the end, MiB".to_owned(), memory / 1_024.0));
    Ok(outcome)
}
