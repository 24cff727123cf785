//! A `portolan serve` as a real process, which is started from a config, signalled, restarted, and stopped in any case.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use portolan_node::client::{Client, ConnectOptions};
use portolan_testbed::mesh::serve_command;
use serde_json::Value;

/// The time limit for a node to start or to end.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the `portolan` binary that `cargo test --workspace` built with this test.
pub fn program() -> PathBuf {
    let program = build_folder().join("portolan");
    assert!(
        program.is_file(),
        "{} is missing; these tests run the binary that `cargo test --workspace` builds",
        program.display()
    );
    program
}

/// Returns an example that `cargo test --workspace` built with this test.
pub fn example(name: &str) -> PathBuf {
    let example = build_folder().join("examples").join(name);
    assert!(example.is_file(), "{} is missing; `cargo test --workspace` builds it", example.display());
    example
}

/// Returns a folder in the build folder that tests keep between runs.
pub fn kept_folder(name: &str) -> PathBuf {
    let folder = build_folder().join("../tmp/portolan-tests").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder.canonicalize().unwrap()
}

fn build_folder() -> PathBuf {
    // <target>/<profile>/deps/<this test>
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(2).expect("a test is in the build folder").to_path_buf()
}

/// Runs `portolan` with these arguments until it ends. Returns its exit code, standard output and standard error.
pub fn run(arguments: &[&str], environment: &[(&str, &Path)]) -> (Option<i32>, String, String) {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(environment.iter().copied());
    output(command)
}

/// Runs `serve --check` with a config. Returns its exit code, standard output and standard error.
pub fn check(config: impl AsRef<Path>) -> (Option<i32>, String, String) {
    run(&["serve", "--check", "--config", config.as_ref().to_str().unwrap()], &[])
}

/// Runs [`check`] with the config of the node in `home`, on another thread. Returns the exit code and the errors.
pub async fn checked(home: &Path) -> (Option<i32>, String) {
    let config = home.join("node.yaml");
    let (code, _, errors) = tokio::task::spawn_blocking(move || check(config)).await.unwrap();
    (code, errors)
}

/// Runs a command to its end. A command that exceeds the time limit is killed, and the test fails.
pub fn output(mut command: Command) -> (Option<i32>, String, String) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let (sender, receiver) = mpsc::channel::<Output>();
    std::thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
    match receiver.recv_timeout(5 * TIMEOUT) {
        Ok(output) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        }
        Err(_) => {
            signal(pid, "KILL");
            panic!("{command:?} does not end");
        }
    }
}

/// Sends a signal by name.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "kill -{name} {pid}");
}

/// True if a process runs. A process that has ended but was not waited for does not run.
pub fn is_running(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X'])))
}

/// Returns the processor time that a process has used, in clock ticks.
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Returns the bytes that a process has read so far, of files above all.
pub fn bytes_read(pid: u32) -> u64 {
    let counts = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let line = counts.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.unwrap().trim().parse().unwrap()
}

/// True if a process uses almost no processor time for a second.
pub async fn is_idle(pid: u32) -> bool {
    let before = cpu_ticks(pid);
    tokio::time::sleep(Duration::from_secs(1)).await;
    cpu_ticks(pid) <= before + 10
}

/// A node. It is killed when this value is dropped, and ends with this process in any case.
#[derive(Debug)]
pub struct Node {
    home: PathBuf,
    config: Value,
    url: String,
    admin: Option<String>,
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Node {
    /// Starts a node with this config in `home`, which also has its log, and waits until the node listens. It listens
    /// on a free port of loopback, unless the config has another address. The server `files` of the tests' contracts may
    /// have its files anywhere, unless the config has another root.
    pub fn start(home: &Path, config: Value) -> Self {
        Self::spawn(home, config).ready()
    }

    /// As [`Node::start`], with limits of the process. These are arguments of the shell's `ulimit`, such as `-n 128`.
    pub fn start_limited(home: &Path, config: Value, limits: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit {limits} && exec \"$0\" \"$@\"")]).arg(program());
        Self::spawn_by(home, config, command).ready()
    }

    /// Starts a node without waiting for it; see [`Node::ready`].
    pub fn spawn(home: &Path, config: Value) -> Self {
        Self::spawn_by(home, config, Command::new(program()))
    }

    fn spawn_by(home: &Path, mut config: Value, command: Command) -> Self {
        fs::create_dir_all(home).unwrap();
        if config["listen"].is_null() {
            config["listen"] = "127.0.0.1:0".into();
        }
        if config["sources"]["files"]["root"].is_null() {
            config["sources"]["files"]["root"] = "/".into();
        }
        let child = serve_command(command, home, &config).unwrap().spawn().unwrap();
        let mut node = Self { home: home.into(), config, url: String::new(), admin: None, child, stdout: None };
        node.stdout = node.child.stdout.take().map(BufReader::new);
        node
    }

    /// Waits until the node listens.
    pub fn ready(mut self) -> Self {
        let mut stdout = self.stdout.take().expect("ready is called once");
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = stdout.read_line(&mut line);
            let _ = sender.send((read.map(|_| line), stdout));
        });
        let Ok((line, stdout)) = receiver.recv_timeout(TIMEOUT) else {
            panic!("no output from the node\n{}", self.log())
        };
        let ready: Value = serde_json::from_str(&line.unwrap())
            .unwrap_or_else(|_| panic!("the node in {} did not start\n{}", self.home.display(), self.log()));
        self.url = ready["url"].as_str().unwrap().to_owned();
        self.admin = ready["admin"].as_str().map(str::to_owned);
        self.stdout = Some(stdout);
        self
    }

    /// Restarts the node at the same address.
    pub fn restart(self) -> Self {
        let (home, mut config) = (self.home.clone(), self.config.clone());
        let address = self.url.rsplit_once('/').unwrap().1.to_owned();
        drop(self);
        config["listen"] = address.into();
        Self::start(&home, config)
    }

    /// Returns the URL of the node.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the URL of the node's listener for operators, which the config must have.
    pub fn admin(&self) -> &str {
        self.admin.as_deref().expect("a config with `admin`")
    }

    /// Returns the process of the node.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the largest memory that the process of the node has had, in KiB. Only Linux reports it.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Limits the memory that the process of the node may have, in bytes, where the system can. A test whose node takes
    /// too much then ends the node and not the machine.
    pub fn limit_memory(&self, bytes: u64) {
        let mut command = Command::new("prlimit");
        command.args(["--pid", &self.pid().to_string(), &format!("--data={bytes}")]).stdin(Stdio::null());
        if !command.status().is_ok_and(|status| status.success()) {
            eprintln!(
                "SKIPPED: without prlimit, the node runs WITHOUT a limit of memory, and only its peak is checked"
            );
        }
    }

    /// Returns the folder of the node.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Returns the log of the node.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    /// Sends a signal to the node, by name.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Kills the node, and waits for the end of the process.
    pub fn kill(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Waits until the node ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < TIMEOUT, "the node in {} does not end\n{}", self.home.display(), self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Opens an anonymous session on the node.
    pub async fn client(&self) -> Client {
        self.client_with(&ConnectOptions::default()).await
    }

    /// Opens a session on the node.
    pub async fn client_with(&self, options: &ConnectOptions) -> Client {
        Client::connect(&self.url, options).await.unwrap_or_else(|e| panic!("{}\n{}", e.chain(), self.log()))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
