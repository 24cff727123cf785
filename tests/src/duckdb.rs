//! DuckDB as a second oracle: one Python process that holds the rows of ports under the ports' names and runs queries,
//! and the comparison of its results with Portolan's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod comparable;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use arrow::ipc::reader::StreamReader;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::ways::Rows;

pub use comparable::{compare_with_duckdb, has_rounded_column};

const SCRIPT: &str = include_str!("duckdb/oracle.py");
/// The time after which DuckDB cancels a query.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// The time after which a process without a response is broken.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// A running DuckDB, which is killed when this value is dropped.
#[derive(Debug)]
pub struct DuckDb {
    pipes: Mutex<Pipes>,
    _child: Child,
}

#[derive(Debug)]
struct Pipes {
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    last_id: u64,
}

/// The Parquet files of a port, under the port's full name.
#[derive(Clone, Debug)]
pub struct PortFiles {
    /// The full name: `<domain>.<product>.<port>`.
    pub name: String,
    /// The port's files.
    pub files: Vec<PathBuf>,
}

impl DuckDb {
    /// Starts the process with these settings and reads the ports.
    ///
    /// # Errors
    /// If the process does not start, DuckDB does not know a setting, or a file cannot be read.
    pub async fn start(python: &Path, settings: &[&str], ports: &[PortFiles]) -> Result<Self, String> {
        let mut command = Command::new(python);
        command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| format!("cannot start {}: {e}", python.display()))?;
        let (requests, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let duckdb = Self { pipes: Mutex::new(Pipes { requests, answers, last_id: 0 }), _child: child };
        let ports: Vec<_> = ports.iter().map(|p| json!({ "name": p.name, "files": p.files })).collect();
        duckdb.pipes.lock().await.ask(&json!({ "settings": settings, "ports": ports }), 0).await?;
        Ok(duckdb)
    }

    /// Runs a query.
    ///
    /// # Errors
    /// DuckDB's message, also if the query exceeds the time limit.
    pub async fn query(&self, sql: &str) -> Result<Rows, String> {
        self.run(sql, true).await
    }

    /// Runs a query without DuckDB's optimizer.
    ///
    /// # Errors
    /// As [`DuckDb::query`].
    pub async fn query_as_written(&self, sql: &str) -> Result<Rows, String> {
        self.run(sql, false).await
    }

    async fn run(&self, sql: &str, optimize: bool) -> Result<Rows, String> {
        let mut pipes = self.pipes.lock().await;
        pipes.last_id += 1;
        let id = pipes.last_id;
        let request = json!({ "id": id, "sql": sql, "seconds": TIME_LIMIT.as_secs(), "optimize": optimize });
        let answer = pipes.ask(&request, id).await?;
        let bytes = BASE64_STANDARD.decode(answer["rows"].as_str().unwrap()).unwrap();
        let reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
        let schema = reader.schema();
        Ok((schema, reader.map(Result::unwrap).collect()))
    }
}

impl Pipes {
    /// Sends a request and waits for the response with this identifier.
    async fn ask(&mut self, request: &Value, id: u64) -> Result<Value, String> {
        let exchange = async {
            let line = format!("{request}\n");
            self.requests.write_all(line.as_bytes()).await.expect("DuckDB's process accepts requests");
            self.requests.flush().await.expect("DuckDB's process accepts requests");
            loop {
                let mut line = String::new();
                let length = self.answers.read_line(&mut line).await.expect("DuckDB's process answers");
                assert!(length > 0, "DuckDB's process ended");
                // The response to a cancelled request, or the rest of one, may come first.
                let Ok(answer) = serde_json::from_str::<Value>(&line) else { continue };
                if answer["id"].as_u64() == Some(id) {
                    return answer;
                }
            }
        };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, exchange).await.expect("DuckDB answers in time");
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer),
        }
    }
}
