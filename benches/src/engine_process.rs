//! Another engine in a process of its own, which reads queries from its input, one JSON object a line:
//! `databases/rivals.py`, or `over_postgres` of `federation`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use portolan_node::{Error, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The program that runs DuckDB and Trino.
const RIVALS: &str = include_str!("../databases/rivals.py");
/// The time limit for an engine to start.
const START_TIMEOUT: Duration = Duration::from_secs(180);

/// The outcome of a query.
pub struct Ran {
    /// The number of rows.
    pub rows: usize,
    /// The time from the text to the last row.
    pub time: Duration,
}

/// An engine that has started.
pub struct EngineProcess {
    engine: &'static str,
    version: String,
    timeout: u64,
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _folder: TempDir,
}

/// Creates the folder for the config, the log and the spilled data of an engine.
///
/// # Errors
/// A temporary folder that cannot be created.
pub fn work_folder() -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("portolan-rival-").tempdir();
    folder.map_err(|e| Error::output("the temporary folder", e))
}

/// Returns the command of `rivals.py` for an engine.
///
/// # Errors
/// A folder that cannot be written.
pub fn rivals(python: &Path, engine: &str, folder: &Path) -> Result<Command> {
    let script = folder.join("rivals.py");
    std::fs::write(&script, RIVALS).map_err(|e| Error::output(script.display(), e))?;
    let mut command = Command::new(python);
    command.arg(script).arg(engine).arg("--folder").arg(folder);
    Ok(command)
}

impl EngineProcess {
    /// Starts an engine over these databases or files: its first line. `timeout` is the time limit of a query in seconds.
    ///
    /// # Errors
    /// A command that cannot be started, or the error of the engine.
    pub async fn start(
        engine: &'static str,
        mut command: Command,
        folder: TempDir,
        sources: &Value,
        timeout: u64,
    ) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process =
            command.spawn().map_err(|e| Error::failed(format!("cannot start {engine}")).with_source(e))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(Error::failed(format!("{engine} has no input or output")));
        };
        let output = BufReader::new(output).lines();
        let mut started = Self { engine, version: String::new(), timeout, process, input, output, _folder: folder };
        eprintln!("{engine}: starting");
        let ready = started.ask(sources, START_TIMEOUT).await?;
        started.version = ready["ready"].as_str().unwrap_or_default().into();
        Ok(started)
    }

    /// Returns the engine and its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Runs a query to its last row.
    ///
    /// # Errors
    /// The error of the engine.
    pub async fn run(&mut self, sql: &str) -> Result<Ran> {
        let answer = self.query(&json!({ "sql": sql, "timeout": self.timeout })).await?;
        match (answer["rows"].as_u64(), answer["seconds"].as_f64()) {
            (Some(rows), Some(seconds)) => Ok(Ran { rows: rows as usize, time: Duration::from_secs_f64(seconds) }),
            _ => Err(Error::failed(format!("{} answered {answer}", self.engine))),
        }
    }

    /// Runs a query, and returns the values of its rows as text. `None` is NULL.
    ///
    /// # Errors
    /// The error of the engine.
    pub async fn values(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let mut answer = self.query(&json!({ "sql": sql, "timeout": self.timeout, "values": true })).await?;
        serde_json::from_value(answer["values"].take())
            .map_err(|e| Error::failed(format!("{} sent no rows", self.engine)).with_source(e))
    }

    async fn query(&mut self, question: &Value) -> Result<Value> {
        // The program cancels the query at its time limit. This limit is for a program that is stuck.
        self.ask(question, Duration::from_secs(self.timeout + 30)).await
    }

    /// Sends one line, and returns the answer to it.
    async fn ask(&mut self, question: &Value, timeout: Duration) -> Result<Value> {
        let ended = |e| Error::failed("the program of another engine has ended").with_source(e);
        self.input.write_all(format!("{question}\n").as_bytes()).await.map_err(ended)?;
        self.input.flush().await.map_err(ended)?;
        let line = tokio::time::timeout(timeout, self.output.next_line()).await;
        let line = line.map_err(|e| Error::failed(format!("{} does not answer", self.engine)).with_source(e))?;
        let line = line.map_err(ended)?;
        let line = line.ok_or_else(|| Error::failed(format!("the program of {} has ended", self.engine)))?;
        let answer: Value =
            serde_json::from_str(&line).map_err(|e| Error::failed(format!("not an answer: {line}")).with_source(e))?;
        match answer["error"].as_str() {
            Some(error) => Err(Error::failed(format!("{}: {error}", self.engine))),
            None => Ok(answer),
        }
    }

    /// Stops the engine.
    pub async fn stop(self) {
        let Self { engine, mut process, input, .. } = self;
        // The program ends with its input.
        drop(input);
        if tokio::time::timeout(Duration::from_secs(60), process.wait()).await.is_err() {
            eprintln!("{engine} does not end; it is killed");
        }
    }
}
