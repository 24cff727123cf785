//! Connections that run statements: to a remote node over Flight SQL, or to a node embedded in this process.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Schema, SchemaRef, UInt64Type};
use arrow::record_batch::RecordBatch;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use portolan_engine::server::files_of;
use portolan_engine::{
    ErrorKind, IngestMode, IngestTarget, Principal, Progress, ProgressHandle, QueryStream, Session, StatementKind,
};
use portolan_node::client::{Client, ConnectOptions, Statement};
use portolan_node::{Error, Node, NodeConfig, Result};

use crate::local_files::LocalFiles;

/// The node to connect to.
#[derive(Clone)]
pub enum Target {
    /// A node in another process.
    Url {
        /// The URL of the node.
        url: String,
        /// The credentials and the trusted certificates.
        options: ConnectOptions,
    },
    /// A node that this process embeds, with this config file.
    Config(PathBuf),
}

impl Target {
    /// Returns the target for a node that needs no login.
    pub fn url(url: impl Into<String>) -> Self {
        Self::Url { url: url.into(), options: ConnectOptions::default() }
    }
}

/// A session on a node, and the files of this machine that its statements name. Cheap to clone. Clones share the
/// session.
#[derive(Clone, Debug)]
pub struct Connection {
    node: ConnectedNode,
    files: LocalFiles,
}

#[derive(Clone, Debug)]
enum ConnectedNode {
    /// A node in another process.
    Remote(Client),
    /// A session on a node in this process, and the name of the node.
    Embedded(Session, String),
}

/// A running statement.
pub struct Running {
    /// The columns. None if the statement returns no rows.
    pub schema: SchemaRef,
    /// The rows. Dropping the stream stops the statement.
    pub rows: BoxStream<'static, portolan_engine::Result<RecordBatch>>,
    /// The handle that reports progress and cancels the statement.
    pub control: Control,
    /// The number of rows that the statement changed, if it changed some and returns none.
    pub changed: Option<u64>,
}

/// A handle that reports the progress of a statement and cancels it. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Control {
    /// On a node in another process.
    Remote(Client, Box<Statement>),
    /// On a node in this process.
    Embedded(ProgressHandle),
    /// The upload of files, before the statement that names them starts.
    Upload(LocalFiles),
}

impl Connection {
    /// Opens a session.
    ///
    /// # Errors
    /// A node that does not answer or rejects the login, or an invalid config.
    pub async fn open(target: &Target) -> Result<Self> {
        match target {
            Target::Url { url, options } => {
                let node = ConnectedNode::Remote(Client::connect(url, options).await?);
                Ok(Self { node, files: LocalFiles::default() })
            }
            Target::Config(file) => {
                let builder = Node::builder().config(NodeConfig::load(file)?).without_services().with_local_files();
                let node = builder.build().await?;
                // The first statement should see every peer that can be reached.
                node.engine().refresh().await;
                let name = node.config().domain.as_ref().map_or_else(|| "gateway".into(), ToString::to_string);
                Ok(Self::embedded(node.engine().session(Principal::anonymous()), name))
            }
        }
    }

    /// Returns a connection to the node `name` in this process.
    pub(crate) fn embedded(session: Session, name: String) -> Self {
        Self { node: ConnectedNode::Embedded(session, name), files: LocalFiles::default() }
    }

    /// Returns the name of the node for messages.
    pub fn name(&self) -> &str {
        match &self.node {
            ConnectedNode::Remote(client) => client.url(),
            ConnectedNode::Embedded(_, name) => name,
        }
    }

    /// Returns the files of this machine.
    pub fn files(&self) -> &LocalFiles {
        &self.files
    }

    /// Returns the handle of the uploads that come before a statement.
    pub fn uploads(&self) -> Control {
        Control::Upload(self.files.clone())
    }

    /// True if a statement names files, which are uploaded before the statement starts.
    pub fn has_uploads(&self, sql: &str) -> bool {
        matches!(self.node, ConnectedNode::Remote(_)) && files_of(sql).is_ok_and(|files| !files.is_empty())
    }

    /// Plans and starts a statement. If the node is in another process, uploads the files that the statement names.
    ///
    /// # Errors
    /// The node's error about the statement, or an error of an upload.
    pub async fn start(&self, sql: &str) -> portolan_engine::Result<Running> {
        match &self.node {
            ConnectedNode::Remote(client) => {
                let sent = async {
                    self.files.upload_files_of(client, sql).await?;
                    client.prepare(sql).await
                };
                let statement = sent.await.map_err(with_advice)?;
                let rows = client.rows(&statement);
                let schema = statement.schema().clone();
                let changed = statement.changed().filter(|rows| *rows > 0);
                Ok(Running { schema, rows, changed, control: Control::Remote(client.clone(), Box::new(statement)) })
            }
            ConnectedNode::Embedded(session, _) => {
                let prepared = Box::pin(session.prepare(sql)).await?;
                let rows = prepared.execute(&[]).await?;
                let control = Control::Embedded(rows.progress());
                if prepared.kind() != StatementKind::Change {
                    return Ok(Running { schema: rows.schema(), rows: rows.boxed(), changed: None, control });
                }
                // As from a node in another process, the number of changed rows is no row.
                let counts: Vec<RecordBatch> = rows.try_collect().await?;
                let changed = counts.first().and_then(count).filter(|rows| *rows > 0);
                Ok(Running { schema: Arc::new(Schema::empty()), rows: stream::empty().boxed(), changed, control })
            }
        }
    }

    /// Stores rows of this machine in a table of the session or in a port, and returns their number. `what` names the
    /// rows for the progress.
    ///
    /// # Errors
    /// The error that `rows` ends with, or the node's error.
    pub async fn ingest(
        &self,
        target: &IngestTarget,
        mode: IngestMode,
        what: &str,
        rows: QueryStream,
    ) -> portolan_engine::Result<u64> {
        let (columns, rows) = (rows.schema(), self.files.reported(what, rows));
        match &self.node {
            ConnectedNode::Remote(client) => client.ingest(target, mode, columns, rows).await,
            ConnectedNode::Embedded(session, _) => session.ingest(target, mode, columns, rows).await,
        }
    }

    /// Runs a statement and collects its rows, at most `limit` of them.
    ///
    /// # Errors
    /// The node's error about the statement, or an error of its execution.
    pub async fn query(&self, sql: &str, limit: usize) -> portolan_engine::Result<(SchemaRef, Vec<RecordBatch>)> {
        let mut running = self.start(sql).await?;
        let (mut batches, mut left) = (vec![], limit);
        while left > 0
            && let Some(batch) = running.rows.next().await
        {
            let batch = batch?;
            let batch = batch.slice(0, left.min(batch.num_rows()));
            left -= batch.num_rows();
            batches.push(batch);
        }
        Ok((running.schema, batches))
    }
}

impl Control {
    /// Returns the progress of the statement, if the node still keeps it.
    pub async fn progress(&self) -> Option<Progress> {
        match self {
            Self::Remote(client, statement) => client.progress(statement).await,
            Self::Embedded(handle) => Some(handle.now()),
            Self::Upload(_) => None,
        }
    }

    /// Returns the progress of an upload, as text for people.
    pub fn upload(&self) -> Option<String> {
        match self {
            Self::Upload(files) => files.progress(),
            Self::Remote(..) | Self::Embedded(_) => None,
        }
    }

    /// Sends the node a request to cancel the statement. The caller must also drop the rows.
    pub async fn cancel(&self) {
        match self {
            Self::Remote(client, statement) => client.cancel(statement).await,
            Self::Embedded(_) | Self::Upload(_) => {}
        }
    }
}

/// Returns the number in the first row and column.
fn count(batch: &RecordBatch) -> Option<u64> {
    let counts = batch.columns().first()?.as_primitive_opt::<UInt64Type>()?;
    counts.iter().next()?
}

/// Adds what helps if the node has closed the session, which was idle for too long.
fn with_advice(error: portolan_engine::Error) -> portolan_engine::Error {
    if error.kind() != ErrorKind::Unauthenticated {
        return error;
    }
    portolan_engine::Error::new(error.kind(), format!("{}; `\\c` opens a new session", error.chain()))
}

/// Returns the URL of the node to connect to if no argument names one.
///
/// # Errors
/// The variable `PORTOLAN_URL` is not valid Unicode.
pub fn default_url() -> Result<String> {
    match std::env::var("PORTOLAN_URL") {
        Ok(url) => Ok(url),
        Err(std::env::VarError::NotPresent) => Ok("grpc://127.0.0.1:50051".into()),
        Err(e) => Err(Error::config("cannot read the variable PORTOLAN_URL").with_source(e)),
    }
}
