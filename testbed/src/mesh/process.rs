//! A process of a node: started from a config, killed or ended, and stopped in any case.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use portolan_node::{Error, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout};

use super::START_TIMEOUT;

/// The time that a node has to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The name of a node's log in its folder.
const LOG: &str = "log";
/// The number of lines of a node's log that an error shows.
const LOG_LINES: usize = 15;

/// A process of a node. It is killed on drop, and ends with this process in any case.
#[derive(Debug)]
pub struct NodeProcess {
    domain: Option<&'static str>,
    url: String,
    admin: Option<String>,
    pid: u32,
    child: Child,
    // Kept open, because the node may still print.
    _stdout: Option<BufReader<ChildStdout>>,
    log: PathBuf,
}

/// The error of a process that does not start.
pub(super) enum StartError {
    PortTaken,
    Other(Error),
}

impl From<Error> for StartError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl NodeProcess {
    /// Starts `program serve` with this config in `home`, which also has the log. Returns when the node is ready.
    ///
    /// # Errors
    /// A node that does not start in time, with the end of its log.
    pub async fn start(program: &Path, domain: Option<&'static str>, home: &Path, config: &Value) -> Result<Self> {
        let mut process = Self::spawn(program, domain, home, config)?;
        match process.wait_until_ready(Instant::now() + START_TIMEOUT).await {
            Ok(()) => Ok(process),
            Err(StartError::PortTaken) => Err(process.error("did not start")),
            Err(StartError::Other(error)) => Err(error),
        }
    }

    /// Returns the domain that the node serves; `None` for the gateway.
    pub fn domain(&self) -> Option<&'static str> {
        self.domain
    }

    /// Returns the URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the URL of the node's listener for operators, if its config has one.
    pub fn admin(&self) -> Option<&str> {
        self.admin.as_deref()
    }

    /// Returns the id of the process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the exit status if the process has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal by name, such as `TERM`.
    ///
    /// # Errors
    /// A signal that cannot be sent.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let arguments = [format!("-{name}"), self.pid.to_string()];
        match tokio::process::Command::new("kill").args(&arguments).status().await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(self.error(&format!("did not get the signal {name}: `kill` ended with {status}"))),
            Err(e) => Err(self.error(&format!("did not get the signal {name}")).with_source(e)),
        }
    }

    /// Kills the process, and waits until it has ended.
    ///
    /// # Errors
    /// A process that has ended before, or cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.map_err(|e| self.error("cannot be killed").with_source(e))
    }

    /// Ends the process with SIGTERM, as a service manager does.
    ///
    /// # Errors
    /// A process that does not end in time, or not with success.
    pub async fn end(&mut self, limit: Duration) -> Result<()> {
        self.signal("TERM").await?;
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(self.error(&format!("ended with {status} after SIGTERM"))),
            Ok(Err(e)) => Err(self.error("cannot be waited for").with_source(e)),
            Err(_) => Err(self.error(&format!("did not end within {} s after SIGTERM", limit.as_secs()))),
        }
    }

    /// Returns an error about the node, with the end of its log.
    pub fn error(&self, what: &str) -> Error {
        let name = self.domain.map_or_else(|| "the gateway".into(), |domain| format!("the node of domain `{domain}`"));
        Error::failed(format!("{name} {what}{}", self.log_tail()))
    }

    pub(super) fn spawn(program: &Path, domain: Option<&'static str>, home: &Path, config: &Value) -> Result<Self> {
        let mut command = tokio::process::Command::from(serve_command(Command::new(program), home, config)?);
        command.kill_on_drop(true);
        // Ctrl-C on the terminal is for the prompt, not for the nodes.
        #[cfg(unix)]
        command.process_group(0);
        let mut child =
            command.spawn().map_err(|e| Error::failed(format!("cannot start {}", program.display())).with_source(e))?;
        let stdout = child.stdout.take().map(BufReader::new);
        let pid = child.id().unwrap_or_default();
        Ok(Self { domain, url: String::new(), admin: None, pid, child, _stdout: stdout, log: home.join(LOG) })
    }

    pub(super) async fn wait_until_ready(&mut self, deadline: Instant) -> Result<(), StartError> {
        let mut line = String::new();
        if let Some(stdout) = &mut self._stdout {
            match tokio::time::timeout_at(deadline.into(), stdout.read_line(&mut line)).await {
                Ok(Ok(_)) => {}
                Ok(Err(e)) => return Err(self.error("has no readable output").with_source(e).into()),
                Err(_) => return Err(self.error("did not start in time").into()),
            }
        }
        let ready: Option<Value> = serde_json::from_str(&line).ok();
        if let Some(ready) = ready
            && let Some(url) = ready["url"].as_str()
        {
            self.url = url.into();
            self.admin = ready["admin"].as_str().map(str::to_owned);
            return Ok(());
        }
        // A node that prints nothing has ended, or is about to.
        let _ = tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await;
        if self.log_tail().contains("another process listens") {
            return Err(StartError::PortTaken);
        }
        Err(self.error("did not start").into())
    }

    /// Returns the end of the log, to be appended to an error.
    pub(super) fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        match &lines[lines.len().saturating_sub(LOG_LINES)..] {
            [] => "; its log is empty".into(),
            tail => format!("; its log ends with\n  {}", tail.join("\n  ")),
        }
    }

    pub(super) async fn stop(mut self) {
        drop(self.child.stdin.take());
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            tracing::warn!(pid = self.pid, "the node does not stop and is killed");
            if let Err(e) = self.child.kill().await {
                tracing::warn!(pid = self.pid, "the node cannot be killed: {e}");
            }
        }
    }
}

/// Adds the arguments to `command`, which starts `portolan`, that run a node with this config. Writes the config to
/// `home`. The node appends to `log` in `home`, reports its address on the standard output, and ends with its standard
/// input.
///
/// # Errors
/// Files that cannot be written.
pub fn serve_command(mut command: Command, home: &Path, config: &Value) -> Result<Command> {
    // JSON is YAML, too.
    let file = home.join("node.yaml");
    fs::write(&file, config.to_string()).map_err(|e| Error::output(file.display(), e))?;
    let log = home.join(LOG);
    let stderr = File::options().create(true).append(true).open(&log);
    let stderr = stderr.map_err(|e| Error::output(log.display(), e))?;
    command.args(["serve", "--exit-with-stdin", "--config"]).arg(file);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
    Ok(command)
}
