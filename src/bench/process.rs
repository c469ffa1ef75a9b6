//! What processes use, as Linux tells in `/proc`. Elsewhere nothing is known of it.

use std::{collections::HashMap, fs};

/// Kernel ticks a second: `USER_HZ`, which is 100 on every platform that Linux has had for twenty years.
const TICKS: f64 = 100.0;

/// CPU time and memory of a process and all that it started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Milliseconds of CPU, of children that ended included.
    pub cpu_ms: f64,
    /// Resident memory of the process itself, in KiB.
    pub rss_kib: f64,
}

impl Usage {
    /// Of a process tree, by the id of its root.
    pub fn of(root: u32) -> Self {
        let processes = all();
        let mut usage = Self { cpu_ms: 0.0, rss_kib: resident(root) };
        let mut tree = vec![root];
        while let Some(pid) = tree.pop() {
            let Some(process) = processes.get(&pid) else { continue };
            usage.cpu_ms += process.ticks * 1_000.0 / TICKS;
            tree.extend(processes.iter().filter(|(_, other)| other.parent == pid).map(|(pid, _)| *pid));
        }
        usage
    }

    /// Of this process alone.
    pub fn own() -> Self {
        let pid = std::process::id();
        let ticks = process(pid).map_or(0.0, |process| process.own_ticks);
        Self { cpu_ms: ticks * 1_000.0 / TICKS, rss_kib: resident(pid) }
    }

    /// What was used since then.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self { cpu_ms: self.cpu_ms - before.cpu_ms, rss_kib: self.rss_kib - before.rss_kib }
    }
}

struct Process {
    parent: u32,
    own_ticks: f64,
    /// With those of children that ended.
    ticks: f64,
}

fn all() -> HashMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, process(pid)?))).collect()
}

/// Reads `/proc/<pid>/stat` (proc(5)): the fourth field is the parent, the 14th to 17th are utime, stime, cutime and cstime. The
/// second is the program's name, in parentheses, which may hold anything.
fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: Vec<f64> = fields.get(11..15)?.iter().filter_map(|field| field.parse().ok()).collect();
    Some(Process { parent: fields.get(1)?.parse().ok()?, own_ticks: ticks.iter().take(2).sum(), ticks: ticks.iter().sum() })
}

fn resident(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Allows this process and those that it starts as many open files as the system does.
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Best effort: with fewer the workloads of many connections fail and say so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
