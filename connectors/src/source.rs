//! The interface of a place where a port's data is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::stream::BoxStream;
use portolan_catalog::{Diagnostics, DomainCatalog, Port, PortRef, PortStatistics};
use portolan_governance::PolicyFiles;

use crate::data_fault::{CheckLimits, DataReport};
use crate::error::Result;
use crate::poison::lock;
use crate::site::Site;
use crate::sql::SqlTable;

/// An opener of the ports of a domain. Each kind of source has one.
///
/// # Examples
/// ```
/// use std::sync::Arc;
///
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use async_trait::async_trait;
/// use datafusion::catalog::MemTable;
/// use datafusion::execution::runtime_env::RuntimeEnv;
/// use portolan_catalog::{Column, DomainCatalog, Port, PortRef};
/// use portolan_connectors::{OpenError, OpenedPort, SourceOpener, open_domain};
///
/// /// Opens each port over the same three rows.
/// #[derive(Debug)]
/// struct Numbers;
///
/// #[async_trait]
/// impl SourceOpener for Numbers {
///     async fn open(&self, port: &Port, _: &Arc<RuntimeEnv>) -> Result<OpenedPort, OpenError> {
///         let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
///         let rows = RecordBatch::try_from_iter([("id", ids)]).unwrap();
///         let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
///         Ok(OpenedPort::new(port.name.clone(), Arc::new(table)))
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() {
/// let port = Port::new(PortRef::new("lab", "samples", "numbers")).with_columns([Column::new("id")]);
/// let domain = open_domain(DomainCatalog::new("lab", [port]), &Numbers, &Arc::default()).await.unwrap();
/// assert_eq!(domain.ports[0].schema.field(0).name(), "id");
/// # }
/// ```
#[async_trait]
pub trait SourceOpener: Debug + Send + Sync {
    /// Opens `port`: finds its data, reads its schema, and compares the schema with the contract. Object stores that
    /// the scan will need are registered with `runtime`.
    ///
    /// # Errors
    /// Every problem, with its place in the contract: data that does not exist, a column that the source lacks, a type
    /// that does not match; a source that does not respond.
    async fn open(&self, port: &Port, runtime: &Arc<RuntimeEnv>) -> Result<OpenedPort, OpenError>;

    /// Returns a footprint that distinguishes the present state of a port's data from others; `None` if the source has
    /// none without reading rows, or does not answer.
    async fn footprint(&self, _opened: &OpenedPort, _runtime: &Arc<RuntimeEnv>) -> Option<Footprint> {
        None
    }

    /// Returns an estimate of the number of rows, if the source can make one without reading them.
    async fn guess_rows(&self, _opened: &OpenedPort, _runtime: &Arc<RuntimeEnv>) -> Option<u64> {
        None
    }

    /// Returns the statistics that the source has of a port's data, such as those of a database; `None` if it has none, or
    /// does not answer. Without them, rows are sampled.
    async fn statistics(&self, _opened: &OpenedPort, _runtime: &Arc<RuntimeEnv>) -> Option<PortStatistics> {
        None
    }

    /// Reads the data of a port as queries read it, and returns the faults of its values and records. `None` if the
    /// source cannot check its data in this way: a query then reports the first fault.
    ///
    /// # Errors
    /// The source does not respond.
    async fn check_data(
        &self,
        _opened: &OpenedPort,
        _runtime: &Arc<RuntimeEnv>,
        _limits: CheckLimits,
    ) -> Option<Result<DataReport>> {
        None
    }
}

/// The description of a source that does not respond.
const NO_RESPONSE: &str = "its source did not respond, and the node tries again";
/// The largest number of a port's problems that a description has. The log has all of them.
const SHOWN_PROBLEMS: usize = 5;

/// The reason why a port cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The contract, the config or the data has faults, and somebody must fix them.
    Faulty(Diagnostics),
    /// The source does not respond. A later attempt may succeed.
    Unavailable(Diagnostics),
    /// One of the others, with a description for people who may not see where the data is stored.
    Described(Box<Self>, String),
}

impl OpenError {
    /// Returns the problems, as the owner of the data may see them.
    pub fn diagnostics(&self) -> &Diagnostics {
        match self {
            Self::Faulty(diagnostics) | Self::Unavailable(diagnostics) => diagnostics,
            Self::Described(error, _) => error.diagnostics(),
        }
    }

    /// True if the source does not respond.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Faulty(_) => false,
            Self::Unavailable(_) => true,
            Self::Described(error, _) => error.is_unavailable(),
        }
    }

    /// Returns all problems in one line, for the log of the owner.
    pub fn one_line(&self) -> String {
        self.to_string().replace('\n', "; ")
    }

    /// Returns the first problems in one line, for the owner of the data.
    pub fn owner_description(&self) -> String {
        let problems = in_one_line(self.diagnostics(), ToString::to_string);
        if self.is_unavailable() { format!("{NO_RESPONSE}: {problems}") } else { problems }
    }

    /// Returns the first problems in one line, for people who may not see where the data is stored.
    pub fn description(&self) -> String {
        match self {
            Self::Unavailable(_) => NO_RESPONSE.to_owned(),
            Self::Faulty(diagnostics) => in_one_line(diagnostics, Diagnostics::without_locations),
            Self::Described(error, _) if error.is_unavailable() => error.description(),
            Self::Described(_, description) => description.clone(),
        }
    }
}

/// Returns the first problems in one line.
fn in_one_line(problems: &Diagnostics, show: impl Fn(&Diagnostics) -> String) -> String {
    let Diagnostics(all) = problems;
    let first = Diagnostics(all.iter().take(SHOWN_PROBLEMS).cloned().collect());
    let text = show(&first).replace('\n', "; ");
    match all.len().saturating_sub(SHOWN_PROBLEMS) {
        0 => text,
        more => format!("{text}; and {more} more"),
    }
}

impl From<Diagnostics> for OpenError {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Faulty(diagnostics)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.diagnostics(), f)
    }
}

impl std::error::Error for OpenError {}

/// A state of a port's data, as far as its source can report it cheaply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes of the rows as they are stored.
    pub bytes: u64,
    /// A digest of what the source reports. If it changes, the data has changed.
    pub version: String,
}

/// Counts the uses of each source, by the name of a contract's server. Clones share the counters.
#[derive(Clone, Debug, Default)]
pub struct SourceCounters(Arc<Mutex<BTreeMap<String, Arc<SourceCounter>>>>);

/// The uses of one source.
#[derive(Debug, Default)]
pub struct SourceCounter {
    opened: AtomicU64,
    not_opened: AtomicU64,
    not_read: AtomicU64,
}

/// The uses of one source at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceMetrics {
    /// The number of times that a port was opened.
    pub opened: u64,
    /// The number of times that a port could not be opened.
    pub not_opened: u64,
    /// The number of times that data of an open port could not be listed or read.
    pub not_read: u64,
}

impl SourceCounters {
    /// Returns the counter of a source.
    pub fn of(&self, server: &str) -> Arc<SourceCounter> {
        lock(&self.0).entry(server.to_owned()).or_default().clone()
    }

    /// Returns the counts of all sources.
    pub fn read(&self) -> BTreeMap<String, SourceMetrics> {
        lock(&self.0).iter().map(|(server, counter)| (server.clone(), counter.read())).collect()
    }
}

impl SourceCounter {
    /// Counts an attempt to open a port.
    pub fn tried_to_open(&self, succeeded: bool) {
        let counter = if succeeded { &self.opened } else { &self.not_opened };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts data that could not be listed or read.
    pub fn failed_to_read(&self) {
        self.not_read.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> SourceMetrics {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SourceMetrics { opened: of(&self.opened), not_opened: of(&self.not_opened), not_read: of(&self.not_read) }
    }
}

/// A writer that adds rows to a port.
#[async_trait]
pub trait PortWriter: Debug + Send + Sync {
    /// True if the port accepts rows from a principal of that name, in these groups.
    fn takes_from(&self, name: &str, groups: &BTreeSet<String>) -> bool;

    /// Adds rows with the port's columns, in their order, and returns the number of rows. A reader sees all of them or
    /// none.
    ///
    /// # Errors
    /// `InvalidQuery` for a value that the port does not accept; `SiteUnavailable` if the rows cannot be stored; the
    /// error that `rows` ends with. Then no row is added.
    async fn append(&self, rows: BoxStream<'static, Result<RecordBatch>>) -> Result<u64>;
}

/// A port whose data was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenedPort {
    /// The name of the port.
    pub name: PortRef,
    /// The provider that reads the port's rows. Its schema is exactly `schema`.
    pub provider: Arc<dyn TableProvider>,
    /// The actual columns of the port, in the order of the contract.
    pub schema: SchemaRef,
    /// The writer that adds rows to the port, if its node accepts rows.
    pub writer: Option<Arc<dyn PortWriter>>,
    /// The site that has the port's rows, such as a database; `None` if this process reads them.
    pub site: Option<PortAtSite>,
}

/// The table of a port at a site.
#[derive(Clone, Debug)]
pub struct PortAtSite {
    /// The site.
    pub site: Arc<dyn Site>,
    /// The table as the site's queries read it.
    pub table: Arc<SqlTable>,
}

impl OpenedPort {
    /// Returns a port whose rows this process reads from `provider`, and that accepts no rows.
    pub fn new(name: PortRef, provider: Arc<dyn TableProvider>) -> Self {
        let schema = provider.schema();
        Self { name, provider, schema, writer: None, site: None }
    }
}

/// A domain whose ports were opened: the input of an engine that owns the domain. A port that cannot be opened is closed:
/// its scans fail, and [`Port::load_error`] has the reason.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LocalDomain {
    /// The catalog, with the columns' real types filled in.
    pub catalog: Arc<DomainCatalog>,
    /// The ports, in the order of their names. Derived ports need not be among them: the engine opens them.
    pub ports: Vec<OpenedPort>,
    /// The policies of the domain and of the mesh. `None` leaves those in effect that the domain had before.
    pub policies: Option<Arc<PolicyFiles>>,
}

impl LocalDomain {
    /// Returns a domain with these ports. The columns in the catalog get the types of the ports' providers.
    pub fn new(catalog: DomainCatalog, ports: impl IntoIterator<Item = OpenedPort>) -> Self {
        let mut ports: Vec<OpenedPort> = ports.into_iter().collect();
        ports.sort_by(|a, b| a.name.cmp(&b.name));
        let schema_of = |name: &PortRef| ports.iter().find(|port| port.name == *name).map(|port| port.schema.clone());
        Self { catalog: Arc::new(catalog.with_schemas(schema_of)), ports, policies: None }
    }

    /// Sets the policies.
    #[must_use]
    pub fn with_policies(self, policies: PolicyFiles) -> Self {
        Self { policies: Some(Arc::new(policies)), ..self }
    }
}

/// The number of ports of a domain that are opened at the same time.
pub(crate) const OPENINGS: usize = 8;

#[cfg(test)]
mod tests {
    use portolan_catalog::{Diagnostic, Place};

    use super::*;

    #[test]
    fn a_description_names_few_problems_and_no_location() {
        let problem = |i| {
            let place = Place { file: "/srv/orders.yaml".into(), line: Some(i), field: String::new() };
            Diagnostic::new(place, format!("problem {i}"))
        };
        let error = OpenError::Faulty(Diagnostics((0..8).map(problem).collect()));
        let shown = error.description();
        assert!(shown.starts_with("orders.yaml:0: problem 0; orders.yaml:1: ") && !shown.contains("srv"), "{shown}");
        assert!(shown.ends_with("problem 4; and 3 more"), "{shown}");
        assert!(error.owner_description().contains("/srv/orders.yaml:4: problem 4"));
        let described = OpenError::Described(Box::new(error), "it has faults".to_owned());
        assert_eq!((described.description(), described.is_unavailable()), ("it has faults".to_owned(), false));
    }
}
