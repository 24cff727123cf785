//! What the engine asks of a place where a port's rows lie.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::stream::BoxStream;
use portolan_catalog::{Diagnostics, DomainCatalog, Port, PortRef};

use crate::error::Result;
use crate::site::{Site, SiteId};

/// Opens the ports of a domain. One per kind of source.
#[async_trait]
pub trait SourceOpener: Debug + Send + Sync {
    /// Opens `port`: finds its data, reads its schema, compares that with what its contract declares.
    /// Object stores that the scan will need are registered with `runtime`.
    ///
    /// # Errors
    /// What is wrong, pointing into the contract: data that is not there, a column that the source lacks,
    /// a type that does not fit.
    async fn open(&self, port: &Port, runtime: &Arc<RuntimeEnv>) -> Result<OpenedPort, Diagnostics>;

    /// What tells the present state of a port's data from others; `None` where the source cannot tell without reading
    /// rows, or does not answer.
    async fn footprint(&self, _opened: &OpenedPort, _runtime: &Arc<RuntimeEnv>) -> Option<Footprint> {
        None
    }

    /// About how many rows there are, where the source has a way to guess that without reading them.
    async fn guess_rows(&self, _opened: &OpenedPort, _runtime: &Arc<RuntimeEnv>) -> Option<u64> {
        None
    }
}

/// A state of a port's data, as cheaply as its source tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes that the rows take as they are stored.
    pub bytes: u64,
    /// A digest of what the source tells. Another one means that the data has changed.
    pub version: String,
}

/// Adds rows to a port.
#[async_trait]
pub trait PortWriter: Debug + Send + Sync {
    /// Whether rows are taken from a principal of that name, in these groups.
    fn takes_from(&self, name: &str, groups: &BTreeSet<String>) -> bool;

    /// Adds rows of the port's columns, in their order; gives how many there were. A reader sees all of them or none.
    ///
    /// # Errors
    /// `InvalidQuery` for a value that the port does not take; `SiteUnavailable` where they cannot be stored; what `rows`
    /// ends with. Then none is added.
    async fn append(&self, rows: BoxStream<'static, Result<RecordBatch>>) -> Result<u64>;
}

/// A port whose data was found.
#[derive(Clone, Debug)]
pub struct OpenedPort {
    /// Its name.
    pub name: PortRef,
    /// Reads its rows. Its schema is exactly `schema`.
    pub provider: Arc<dyn TableProvider>,
    /// Its columns as they really are, in the order of the contract.
    pub schema: SchemaRef,
    /// Adds rows to it, if its node accepts some.
    pub writer: Option<Arc<dyn PortWriter>>,
    /// The site that has its rows, such as a database; `None` if this process reads them.
    pub site: Option<PortAtSite>,
}

/// The table of a port at a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortAtSite {
    /// The site. The domain of the port has it in its list.
    pub site: SiteId,
    /// The parts of the table's name there, such as its schema and its name.
    pub table: Vec<String>,
}

/// A domain whose ports are all open: what an engine that owns the domain is given.
#[derive(Clone, Debug)]
pub struct LocalDomain {
    /// The catalog, with the columns' real types filled in.
    pub catalog: Arc<DomainCatalog>,
    /// The ports, in the order of their names.
    pub ports: Vec<OpenedPort>,
    /// The sites that have rows of the ports, such as databases.
    pub sites: Vec<Arc<dyn Site>>,
}

/// How many ports of a domain are opened at once.
pub(crate) const OPENINGS: usize = 8;
