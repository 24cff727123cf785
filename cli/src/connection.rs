//! Where statements run: on a node that is reached over Flight SQL, or on one embedded in this process.

use std::path::PathBuf;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;
use portolan_engine::{Principal, Progress, ProgressHandle, Session};
use portolan_node::client::{Client, ConnectOptions, Statement};
use portolan_node::{Error, Node, NodeConfig, Result};

/// Which node to ask.
#[derive(Clone)]
pub enum Target {
    /// One that runs somewhere.
    Url {
        /// Its URL.
        url: String,
        /// How to log in there.
        options: ConnectOptions,
    },
    /// One that this process embeds, by its config file.
    Config(PathBuf),
}

impl Target {
    /// A node without a login.
    pub fn url(url: impl Into<String>) -> Self {
        Self::Url { url: url.into(), options: ConnectOptions::default() }
    }
}

/// A session on a node. Cheap to clone; clones share the session.
#[derive(Clone, Debug)]
pub enum Connection {
    /// On a node that runs somewhere.
    Remote(Client),
    /// On a node in this process.
    Embedded {
        /// The session.
        session: Session,
        /// What the node is called.
        name: String,
    },
}

/// A statement under way.
pub struct Running {
    /// The columns; none if it gives no rows.
    pub schema: SchemaRef,
    /// The rows. Dropping them stops the work.
    pub rows: BoxStream<'static, portolan_engine::Result<RecordBatch>>,
    /// Watches it and stops it.
    pub control: Control,
    /// How many rows it changed, where it changed some and gives none.
    pub changed: Option<u64>,
}

/// Watches a statement and stops it. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Control {
    /// On a node that runs somewhere.
    Remote(Client, Box<Statement>),
    /// On a node in this process.
    Embedded(ProgressHandle),
}

impl Connection {
    /// Opens a session.
    ///
    /// # Errors
    /// A node that does not answer or refuses the login; a config that is wrong.
    pub async fn open(target: &Target) -> Result<Self> {
        match target {
            Target::Url { url, options } => Ok(Self::Remote(Client::connect(url, options).await?)),
            Target::Config(file) => {
                let node = Node::builder().config(NodeConfig::load(file)?).build().await?;
                // Whoever asks first should see the whole mesh, as far as it can be reached.
                node.engine().refresh().await;
                let name = node.config().domain.as_ref().map_or_else(|| "gateway".into(), ToString::to_string);
                Ok(Self::Embedded { session: node.engine().session(Principal::anonymous()), name })
            }
        }
    }

    /// What the node is called, for people.
    pub fn name(&self) -> &str {
        match self {
            Self::Remote(client) => client.url(),
            Self::Embedded { name, .. } => name,
        }
    }

    /// Plans and starts a statement.
    ///
    /// # Errors
    /// What the node says about the statement.
    pub async fn start(&self, sql: &str) -> portolan_engine::Result<Running> {
        match self {
            Self::Remote(client) => {
                let statement = client.prepare(sql).await?;
                let rows = client.rows(&statement);
                let schema = statement.schema().clone();
                let changed = statement.changed().filter(|rows| *rows > 0);
                Ok(Running { schema, rows, changed, control: Control::Remote(client.clone(), Box::new(statement)) })
            }
            Self::Embedded { session, .. } => {
                let rows = session.sql(sql).await?;
                let control = Control::Embedded(rows.progress());
                Ok(Running { schema: rows.schema(), rows: rows.boxed(), changed: None, control })
            }
        }
    }

    /// Runs a statement and collects its rows, at most `limit` of them.
    ///
    /// # Errors
    /// What the node says about the statement, or about running it.
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
    /// How far it is, if the node still knows.
    pub async fn progress(&self) -> Option<Progress> {
        match self {
            Self::Remote(client, statement) => client.progress(statement).await,
            Self::Embedded(handle) => Some(handle.now()),
        }
    }

    /// Asks the node to stop it; the rows are to be dropped as well.
    pub async fn cancel(&self) {
        match self {
            Self::Remote(client, statement) => client.cancel(statement).await,
            Self::Embedded(_) => {}
        }
    }
}

/// The address of the node to ask when nobody names one.
///
/// # Errors
/// `PORTOLAN_URL` that is no text.
pub fn default_url() -> Result<String> {
    match std::env::var("PORTOLAN_URL") {
        Ok(url) => Ok(url),
        Err(std::env::VarError::NotPresent) => Ok("grpc://127.0.0.1:50051".into()),
        Err(e) => Err(Error::config("cannot read the variable PORTOLAN_URL").with_source(e)),
    }
}
