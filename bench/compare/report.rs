//! The report: medians of all rounds as a table, what must be zero, and the targets.

use super::{Measurement, servers::Kind};
use ires_chat::bench::{Faults, Outcome, Workload};
use std::{collections::BTreeSet, fmt::Write, fs};

/// What a target compares ours with.
enum Against {
    /// At least so many times the other's figure.
    AtLeast(Kind, f64),
    /// At most so many times the other's figure.
    AtMost(Kind, f64),
    /// At most so many times another figure of our own.
    AtMostOwn(&'static str, f64),
    /// At most this.
    Limit(f64),
}

/// A target: the workload, the figures that are added up, and what they must come to.
struct Target {
    workload: Workload,
    figures: &'static [&'static str],
    against: Against,
}

const TARGETS: [Target; 17] = [
    Target { workload: Workload::S1w4, figures: &["acked/s"], against: Against::AtLeast(Kind::Nest, 10.0) },
    Target { workload: Workload::S1w4, figures: &["acked/s"], against: Against::AtLeast(Kind::Ceiling, 0.65) },
    Target { workload: Workload::S2w4, figures: &["deliveries/s"], against: Against::AtLeast(Kind::Nest, 14.0) },
    Target { workload: Workload::S2w4, figures: &["deliveries/s"], against: Against::AtLeast(Kind::Ceiling, 0.8) },
    Target { workload: Workload::S2w4, figures: &["server ms/10k deliveries"], against: Against::AtMost(Kind::Nest, 0.08) },
    Target { workload: Workload::S1w4, figures: &["Postgres ms/1k messages"], against: Against::AtMost(Kind::Nest, 0.06) },
    Target { workload: Workload::S1r, figures: &["ack p50 ms"], against: Against::AtMost(Kind::Nest, 0.9) },
    Target { workload: Workload::S1r, figures: &["server ms/1k messages", "Postgres ms/1k messages"], against: Against::AtMost(Kind::Nest, 0.5) },
    Target { workload: Workload::S3, figures: &["KiB/connection"], against: Against::Limit(10.0) },
    Target { workload: Workload::S5, figures: &["connections/s"], against: Against::AtLeast(Kind::Nest, 8.0) },
    Target { workload: Workload::H, figures: &["5000000 messages, newest: requests/s"], against: Against::AtLeast(Kind::Nest, 5.0) },
    Target { workload: Workload::H, figures: &["5000000 messages, 10,000 deep: requests/s"], against: Against::AtLeast(Kind::Nest, 5.0) },
    Target { workload: Workload::H, figures: &["5000000 messages, at the beginning: requests/s"], against: Against::AtLeast(Kind::Nest, 5.0) },
    Target {
        workload: Workload::H,
        figures: &["5000000 messages, at the beginning: p99 ms"],
        against: Against::AtMostOwn("5000000 messages, 10,000 deep: p99 ms", 1.3),
    },
    Target { workload: Workload::F, figures: &["flooded ack p99 ms"], against: Against::AtMostOwn("calm ack p99 ms", 1.1) },
    // What a feature may cost, when the build before it is measured too.
    Target { workload: Workload::S1w4, figures: &["acked/s"], against: Against::AtLeast(Kind::Before, 0.97) },
    Target { workload: Workload::S2w4, figures: &["deliveries/s"], against: Against::AtLeast(Kind::Before, 0.97) },
];

/// The program accepts a connection after so many milliseconds.
const START_MS: f64 = 150.0;

/// One measurement on one line.
pub fn line(outcome: &Outcome) -> String {
    let figures: Vec<String> = outcome.figures.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
    format!("{}; {}", figures.join(", "), zeros(outcome.faults))
}

fn zeros(faults: Faults) -> String {
    let Faults { lost, duplicated, disordered, disagreeing, refused } = faults;
    format!("lost {lost}, duplicated {duplicated}, out of order {disordered}, disagreeing rooms {disagreeing}, refused {refused}")
}

/// The whole report, in Markdown.
pub fn write(measurements: &[Measurement], starts: &[f64], postgres: &str, rounds: u32) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "Measured on {} with `cargo bench --bench compare`, {rounds} rounds, medians. {}, Postgres {postgres}.\n",
        chrono::Utc::now().format("%Y-%m-%d"),
        machine()
    );
    for workload in measurements.iter().map(|measurement| measurement.outcome.workload).collect::<BTreeSet<_>>() {
        write_workload(&mut text, measurements, workload);
    }
    write_targets(&mut text, measurements, starts);
    text
}

fn write_workload(text: &mut String, measurements: &[Measurement], workload: Workload) {
    let kinds: BTreeSet<Kind> =
        measurements.iter().filter(|measurement| measurement.outcome.workload == workload).map(|measurement| measurement.kind).collect();
    let _ = writeln!(text, "### {workload:?}\n");
    let titles: Vec<&str> = kinds.iter().map(|kind| kind.title()).collect();
    let _ = writeln!(text, "| | {} |\n| --- |{}", titles.join(" | "), " ---: |".repeat(kinds.len()));
    let names = measurements.iter().find(|measurement| measurement.outcome.workload == workload).map(|measurement| &measurement.outcome.figures);
    for (name, _) in names.into_iter().flatten() {
        let _ = write!(text, "| {name} |");
        for kind in &kinds {
            let value = figure(measurements, workload, *kind, &[name]).map_or("–".to_owned(), shown);
            let ratio = ratio(measurements, workload, *kind, &[name], Kind::Nest).filter(|_| *kind != Kind::Nest);
            let ratio = ratio.map_or(String::new(), |ratio| format!(" ({} ×)", shown(ratio)));
            let _ = write!(text, " {value}{ratio} |");
        }
        text.push('\n');
    }
    for (name, count) in [
        ("lost", (|faults| faults.lost) as fn(Faults) -> u64),
        ("duplicated", |faults| faults.duplicated),
        ("out of order", |faults| faults.disordered),
        ("rooms that disagree", |faults| faults.disagreeing),
        ("refused", |faults| faults.refused),
    ] {
        if matches!(workload, Workload::S3 | Workload::S5 | Workload::H) {
            continue;
        }
        let _ = write!(text, "| {name}, all rounds |");
        for kind in &kinds {
            let sum: u64 = of(measurements, workload, *kind).map(|outcome| count(outcome.faults)).sum();
            let _ = write!(text, " {sum} |");
        }
        text.push('\n');
    }
    text.push('\n');
}

fn write_targets(text: &mut String, measurements: &[Measurement], starts: &[f64]) {
    let _ = writeln!(text, "### Targets\n\n| | target | reached | |\n| --- | --- | ---: | --- |");
    let before = measurements.iter().any(|measurement| measurement.kind == Kind::Before);
    for Target { workload, figures, against } in &TARGETS {
        if matches!(against, Against::AtLeast(Kind::Before, _)) && !before {
            continue;
        }
        let (wanted, reached, met) = match against {
            Against::AtLeast(kind, times) => {
                let ratio = ratio(measurements, *workload, Kind::Ires, figures, *kind);
                (format!("≥ {times} × {}", kind.title()), ratio, ratio.map(|ratio| ratio >= *times))
            }
            Against::AtMost(kind, times) => {
                let ratio = ratio(measurements, *workload, Kind::Ires, figures, *kind);
                (format!("≤ {times} × {}", kind.title()), ratio, ratio.map(|ratio| ratio <= *times))
            }
            Against::AtMostOwn(other, times) => {
                let ours = |names| figure(measurements, *workload, Kind::Ires, names);
                let ratio = ours(figures).zip(ours(&[other])).map(|(one, other)| one / other);
                (format!("≤ {times} × {other}"), ratio, ratio.map(|ratio| ratio <= *times))
            }
            Against::Limit(limit) => {
                let value = figure(measurements, *workload, Kind::Ires, figures);
                (format!("≤ {limit}"), value, value.map(|value| value <= *limit))
            }
        };
        write_target(text, &format!("{workload:?} {}", figures.join(" + ")), &wanted, reached, met);
    }
    let start = (!starts.is_empty()).then(|| median(starts));
    write_target(text, "start to the first accepted connection, ms", &format!("≤ {START_MS}"), start, start.map(|ms| ms <= START_MS));
}

fn write_target(text: &mut String, what: &str, wanted: &str, reached: Option<f64>, met: Option<bool>) {
    let verdict = met.map_or("not measured", |met| if met { "met" } else { "missed" });
    let reached = reached.map_or("–".to_owned(), shown);
    let _ = writeln!(text, "| {what} | {wanted} | {reached} | {verdict} |");
}

fn of(measurements: &[Measurement], workload: Workload, kind: Kind) -> impl Iterator<Item = &Outcome> {
    measurements
        .iter()
        .filter(move |measurement| measurement.kind == kind && measurement.outcome.workload == workload)
        .map(|measurement| &measurement.outcome)
}

/// The median over the rounds of the sum of some figures.
fn figure(measurements: &[Measurement], workload: Workload, kind: Kind, names: &[&str]) -> Option<f64> {
    let sum = |outcome: &Outcome| names.iter().map(|name| outcome.figure(name)).sum::<Option<f64>>();
    let values: Vec<f64> = of(measurements, workload, kind).filter_map(sum).filter(|value| value.is_finite()).collect();
    (!values.is_empty()).then(|| median(&values))
}

fn ratio(measurements: &[Measurement], workload: Workload, kind: Kind, names: &[&str], other: Kind) -> Option<f64> {
    Some(figure(measurements, workload, kind, names)? / figure(measurements, workload, other, names)?).filter(|ratio| ratio.is_finite())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

fn shown(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, model)| model.to_owned()));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores of {} for everything, Linux {}", model.unwrap_or_else(|| "an unknown processor".to_owned()), kernel.trim())
}
