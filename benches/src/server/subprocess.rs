//! A process of this program that serves until its standard input ends. It prints its address when it is ready.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use portolan_node::{Error, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The time limit for the start. The bare service fetches its rows in this time.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A process that serves. It ends on drop.
pub struct Subprocess {
    /// The host and the port that it listens on.
    pub address: String,
    _child: Child,
}

impl Subprocess {
    /// Starts `program` with these arguments. Errors name the process `name`.
    ///
    /// # Errors
    /// A process that does not start, or does not report its address.
    pub async fn start(program: &Path, name: &str, arguments: &[&str]) -> Result<Self> {
        let broken = |what: &str| Error::failed(format!("{name} {what}"));
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| broken("cannot be started").with_source(e))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let mut stdout = BufReader::new(stdout);
            let said = tokio::time::timeout(START_TIMEOUT, stdout.read_line(&mut line)).await;
            said.map_err(|_| broken("did not start in time"))?
                .map_err(|e| broken("has no readable output").with_source(e))?;
        }
        let ready: Value = serde_json::from_str(&line).map_err(|e| broken("did not start").with_source(e))?;
        let address = ready["address"].as_str().map(ToOwned::to_owned);
        Ok(Self { address: address.ok_or_else(|| broken("does not report its address"))?, _child: child })
    }
}
