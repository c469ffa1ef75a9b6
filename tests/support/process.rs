//! The program under test as a process that cannot outlive the tests, even if they are killed.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// The built program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_ires-chat");

/// A start applies no migration (the template has them), so it is quick even on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(20);

/// What a command that ran to its end left behind.
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The program with a clean environment: nothing of the machine's own settings reaches it.
fn command(arguments: &[&str], environment: &[(String, String)]) -> Command {
    let mut command = match setpriv() {
        // Where it exists the kernel kills the program when the thread that started it ends.
        true => Command::new("setpriv"),
        false => Command::new(PROGRAM),
    };
    if setpriv() {
        command.args(["--pdeathsig", "KILL", "--", PROGRAM]);
    }
    command.args(arguments).env_clear().envs(environment.iter().cloned());
    for kept in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
        command.envs(std::env::var_os(kept).map(|value| (kept, value)));
    }
    // Away from the checkout, whose `.env` would be read.
    command.current_dir(env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null());
    command
}

fn setpriv() -> bool {
    static PRESENT: OnceLock<bool> = OnceLock::new();
    *PRESENT.get_or_init(|| {
        let probe = Command::new("setpriv").args(["--pdeathsig", "KILL", "--", "true"]).output();
        probe.is_ok_and(|output| output.status.success())
    })
}

/// Runs a command of the program to its end.
pub fn ires_chat(arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    let environment: Vec<_> =
        environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let Output { status, stdout, stderr } = command(arguments, &environment).output().unwrap();
    Finished {
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// A running `serve`.
pub struct Server {
    child: Child,
    /// Where it listens, as its ready line says.
    pub base: String,
}

impl Server {
    /// Starts and waits for the ready line. The logs are appended to `logs`.
    pub fn start(environment: &[(String, String)], logs: &Arc<Mutex<String>>) -> Self {
        let mut command = command(&["serve"], environment);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        keep_reading(child.stderr.take().unwrap(), logs.clone());
        let lines = lines_of(child.stdout.take().unwrap());
        let begun = Instant::now();
        loop {
            let left = START_LIMIT.saturating_sub(begun.elapsed());
            let Ok(line) = lines.recv_timeout(left) else {
                let _ = child.kill();
                panic!("`serve` did not get ready; its logs:\n{}", logs.lock().unwrap());
            };
            if let Some(base) = line.strip_prefix("ires-chat listens on ") {
                return Self { child, base: base.to_owned() };
            }
        }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Asks it to end (SIGTERM) and waits.
    pub fn terminate(mut self) -> ExitStatus {
        kill_process(self.pid(), Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

/// Kills at once (SIGKILL).
impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn keep_reading(mut from: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    });
}

fn lines_of(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            // The reader goes on after the test has lost interest, so that the server never blocks on a full pipe.
            _ = sender.send(line);
        }
    });
    lines
}
