//! Programs under test as processes that cannot outlive the tests, even if those are killed.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, PipeWriter, Read, Write, pipe},
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// The built program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_ires-chat");

/// The value of a setting that is not to be there at all.
pub const UNSET: &str = "<unset>";

/// Anything that a process has to say at the beginning, it says within this time, also on a busy machine.
pub const START_LIMIT: Duration = Duration::from_mins(1);

/// What a command that ran to its end left behind.
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A command whose process the kernel kills when the thread that started it ends, where `setpriv` can arrange that.
pub fn bound(program: impl AsRef<OsStr>) -> Command {
    static SETPRIV: OnceLock<bool> = OnceLock::new();
    let present = *SETPRIV.get_or_init(|| {
        let probe = Command::new("setpriv").args(["--pdeathsig", "KILL", "--", "true"]).output();
        probe.is_ok_and(|output| output.status.success())
    });
    if present {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// The program with a clean environment: nothing of the machine's own settings reaches it. It runs in `directory`,
/// away from the checkout, whose `.env` would be read.
fn command(directory: &Path, arguments: &[&str], environment: &[(String, String)]) -> Command {
    let mut command = bound(PROGRAM);
    command.args(arguments).env_clear().envs(environment.iter().cloned());
    for kept in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE", "CHAT_PG_BIN"] {
        command.envs(std::env::var_os(kept).map(|value| (kept, value)));
    }
    command.current_dir(directory).stdin(Stdio::null());
    command
}

fn elsewhere() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

fn owned(environment: &[(&str, &str)]) -> Vec<(String, String)> {
    environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Runs a command of the program to its end.
pub fn ires_chat(arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    ires_chat_in(elsewhere(), arguments, environment)
}

/// Like [`ires_chat`], in a directory.
pub fn ires_chat_in(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    command(directory, arguments, &owned(environment)).output().unwrap().into()
}

/// Like [`ires_chat`], with something on its standard input.
pub fn ires_chat_reading(input: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    fed(input, command(elsewhere(), arguments, &owned(environment)).stdout(Stdio::piped()))
}

/// Like [`ires_chat_reading`], with nobody there who would read what it has to say.
pub fn ires_chat_unheard(input: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    fed(input, command(elsewhere(), arguments, &owned(environment)).stdout(broken_pipe()))
}

/// A pipe whose reader has gone.
fn broken_pipe() -> PipeWriter {
    pipe().unwrap().1
}

fn fed(input: &str, command: &mut Command) -> Finished {
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that does not read is no failure of the test's own.
    _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap().into()
}

/// A process under way, with everything that it has said.
pub struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// What it wrote to its error output.
    pub errors: Arc<Mutex<String>>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        Self::start_with(&mut command, Arc::default())
    }

    fn start_with(command: &mut Command, errors: Arc<Mutex<String>>) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        keep_reading(child.stderr.take().unwrap(), errors.clone());
        let lines = lines_of(child.stdout.take().unwrap());
        Self { child, lines, errors }
    }

    /// A long-running command of the program.
    pub fn ires_chat(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start(command(directory, arguments, &owned(environment)))
    }

    /// Like [`Self::ires_chat`], with nobody there who would read what it has to say, or its logs.
    pub fn unheard(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = command(directory, arguments, &owned(environment));
        let child = command.stdout(broken_pipe()).stderr(broken_pipe()).spawn().unwrap();
        Self { child, lines: mpsc::channel().1, errors: Arc::default() }
    }

    /// Waits for a line of its output that contains the words, and gives all lines up to it.
    pub fn expect_line(&self, words: &str) -> Vec<String> {
        self.expect_line_within(START_LIMIT, words)
    }

    /// Like [`Self::expect_line`], of a program that has more to do before it says anything.
    pub fn expect_line_within(&self, limit: Duration, words: &str) -> Vec<String> {
        let begun = Instant::now();
        let mut lines = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(limit.saturating_sub(begun.elapsed())) {
            let found = line.contains(words);
            lines.push(line);
            if found {
                return lines;
            }
        }
        let errors = self.errors.lock().unwrap();
        panic!("`{words}` was not said, only:\n{}\n--- errors:\n{errors}", lines.join("\n"));
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Sends a signal and waits for the end.
    pub fn end(self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }

    /// Waits for the end.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

/// Kills at once (SIGKILL).
impl Drop for Running {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A running `serve`.
pub struct Server {
    process: Running,
    /// Where it listens, as its ready line says.
    pub base: String,
}

impl Server {
    /// Starts and waits for the ready line. The logs are appended to `logs`.
    pub fn start(environment: &[(String, String)], logs: &Arc<Mutex<String>>) -> Self {
        let mut command = command(elsewhere(), &["serve"], environment);
        let process = Running::start_with(&mut command, logs.clone());
        let said = process.expect_line("ires-chat listens on ");
        let [ready] = said.as_slice() else { panic!("one line is expected on stdout, not {said:?}") };
        let base = ready.strip_prefix("ires-chat listens on ").unwrap().to_owned();
        Self { process, base }
    }

    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// The process.
    pub fn process(&mut self) -> &mut Running {
        &mut self.process
    }

    /// Asks it to end (SIGTERM) and waits.
    pub fn terminate(self) -> ExitStatus {
        self.process.end(Signal::TERM)
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
            // The reader goes on after the test has lost interest, so that a full pipe never blocks the process.
            _ = sender.send(line);
        }
    });
    lines
}
