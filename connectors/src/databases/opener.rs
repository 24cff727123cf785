//! Opens ports over databases. The ports of one database share its connections and its site.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use async_trait::async_trait;
use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_catalog::{DatabaseKind, DatabaseSource, Diagnostics, Place, Port, PortSource, PortStatistics};

use super::client::DatabaseClient;
use super::connect::{connect, feature};
use super::database::{Database, Origin};
use super::fit::{fit, wanted_types};
use super::site::DatabaseSite;
use super::table::DatabaseTable;
use super::target::Target;
use super::writer::DatabaseWriter;
use crate::error::{Error, ErrorKind, Result};
use crate::fence::LocalBounds;
use crate::file_calls::PortCalls;
use crate::poison::lock;
use crate::source::{Footprint, OpenError, OpenedPort, PortAtSite, PortWriter, SourceCounters, SourceOpener};
use crate::source_options::DatabaseOptions;
use crate::source_options::SourceOptions;

/// The description of an address or an account that cannot be used, for people who may not see it.
const UNUSABLE: &str = "its database, or the account there, has faults: the log of the node has the reason";

/// Returns a database of a kind; `None` if the build does not have the kind.
type Connect =
    dyn Fn(DatabaseKind, Origin, &Target, &DatabaseOptions) -> Result<Option<Arc<dyn Database>>> + Send + Sync;

/// The drivers of databases.
#[derive(Clone)]
struct Drivers(Arc<Connect>);

impl fmt::Debug for Drivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drivers")
    }
}

/// Opens ports over databases.
#[derive(Clone, Debug)]
pub struct DatabaseSources {
    options: Arc<HashMap<String, SourceOptions>>,
    bounds: Arc<LocalBounds>,
    calls: PortCalls,
    counters: SourceCounters,
    sites: Arc<Mutex<BTreeMap<SiteKey, Weak<DatabaseSite>>>>,
    drivers: Drivers,
}

/// The name of a contract's server, and the database.
type SiteKey = (String, DatabaseKind, Target);

impl Default for DatabaseSources {
    fn default() -> Self {
        Self::new(HashMap::new())
    }
}

impl DatabaseSources {
    /// Returns an opener with the options that do not belong in a contract, by the name of a contract's server. A file
    /// may be in any folder, unless [`DatabaseSources::within`] or an option bounds it.
    pub fn new(options: HashMap<String, SourceOptions>) -> Self {
        Self {
            options: Arc::new(options),
            bounds: Arc::default(),
            calls: PortCalls::default(),
            counters: SourceCounters::default(),
            sites: Arc::default(),
            drivers: Drivers(Arc::new(connect)),
        }
    }

    /// Bounds files: they must be in one of `folders`, unless their source has a `root` of its own. The files and folders
    /// of `private` are never data, such as the keys of a node.
    #[must_use]
    pub fn within(self, folders: Vec<PathBuf>, private: Vec<PathBuf>) -> Self {
        Self { bounds: Arc::new(LocalBounds { folders: Some(folders), private, setting: None }), ..self }
    }

    /// Returns the same opener, which counts faults of its ports in `counters`.
    #[must_use]
    pub fn counted(self, counters: SourceCounters) -> Self {
        Self { counters, ..self }
    }

    /// Returns the same opener, whose databases come from `connect`.
    #[cfg(test)]
    pub(super) fn with_drivers(self, connect: Arc<Connect>) -> Self {
        Self { drivers: Drivers(connect), ..self }
    }

    /// Opens a port over a database. The first error is about an address or an account, which not everybody may see.
    async fn open_port(
        &self,
        port: &Port,
        source: &PortSource,
        database: &DatabaseSource,
    ) -> Result<OpenedPort, OpenError> {
        let wrong = |message: String| Diagnostics::one(source.place.clone(), message);
        let default = SourceOptions::default();
        let options = self.options.get(&source.server).unwrap_or(&default);
        let calls = self.calls.of(&port.name);
        let target = Target::of(&source.server, database.kind, &database.address, options, &self.bounds, &calls).await;
        let target = target.map_err(|message| {
            let public = OpenError::from(wrong(UNUSABLE.to_owned())).description();
            OpenError::Described(Box::new(wrong(message).into()), public)
        })?;
        let failed = |error: Error| failed(&source.place, &error);
        let site = self.site(&source.server, database.kind, target, &options.database).map_err(failed)?;
        let client = site.client();
        let wanted = wanted_types(port, source, database);
        let described_at = Instant::now();
        let described = client.describe(&database.relation, &wanted).await.map_err(failed)?;
        let from = client.database().clause_of(&database.relation);
        let fit = fit(port, source, database, &described, (from, client.database().dialect()))?;
        let writer: Option<Arc<dyn PortWriter>> = match options.writers.as_slice() {
            [] => None,
            writers => {
                let writer = DatabaseWriter::new(port, client, &database.relation, &fit, writers).await;
                Some(Arc::new(writer.map_err(failed)?))
            }
        };
        let (schema, table) = (fit.schema.clone(), fit.table.clone());
        let (client, relation) = (client.clone(), database.relation.clone());
        let (port, checked) = (port.name.clone(), Mutex::new(described_at));
        let provider = DatabaseTable { port: port.clone(), client, relation, wanted, described, fit, checked };
        let site = Some(PortAtSite { site, table });
        Ok(OpenedPort { name: port, provider: Arc::new(provider), schema, writer, site })
    }

    /// Returns the site of a database. It exists as long as an open port is there.
    fn site(
        &self,
        server: &str,
        kind: DatabaseKind,
        target: Target,
        options: &DatabaseOptions,
    ) -> Result<Arc<DatabaseSite>> {
        let key = (server.to_owned(), kind, target);
        if let Some(site) = lock(&self.sites).get(&key).and_then(Weak::upgrade) {
            return Ok(site);
        }
        let target = &key.2;
        let origin = target.origin(kind, server);
        let Some(database) = (self.drivers.0)(kind, origin, target, options)? else {
            let (product, feature) = (kind.product(), feature(kind));
            let what = format!("this program was built without {product}: build it with the cargo feature `{feature}`");
            return Err(Error::new(ErrorKind::Unsupported, what));
        };
        let client = Arc::new(DatabaseClient::new(database, self.counters.of(server))?);
        let site = Arc::new(DatabaseSite::new(server, kind, target, client));
        // The certificates of a driver come from files: other ports do not wait for them.
        let mut sites = lock(&self.sites);
        if let Some(site) = sites.get(&key).and_then(Weak::upgrade) {
            return Ok(site);
        }
        sites.retain(|_, site| site.strong_count() > 0);
        sites.insert(key, Arc::downgrade(&site));
        Ok(site)
    }
}

#[async_trait]
impl SourceOpener for DatabaseSources {
    async fn open(&self, port: &Port, _: &Arc<RuntimeEnv>) -> Result<OpenedPort, OpenError> {
        let Some(source) = &port.source else {
            let message = format!("port {} has no source on this node", port.name);
            return Err(Diagnostics::one(Place::default(), message).into());
        };
        match source.database() {
            Some(database) => self.open_port(port, source, database).await,
            None => {
                let (port, kind) = (&port.name, source.kind.name());
                let message = format!("port {port}: expected a database, got a source of kind `{kind}`");
                Err(Diagnostics::one(source.place.clone(), message).into())
            }
        }
    }

    async fn footprint(&self, opened: &OpenedPort, _: &Arc<RuntimeEnv>) -> Option<Footprint> {
        opened.provider.downcast_ref::<DatabaseTable>()?.footprint().await
    }

    async fn guess_rows(&self, opened: &OpenedPort, _: &Arc<RuntimeEnv>) -> Option<u64> {
        opened.provider.downcast_ref::<DatabaseTable>()?.guess_rows().await
    }

    async fn statistics(&self, opened: &OpenedPort, _: &Arc<RuntimeEnv>) -> Option<PortStatistics> {
        opened.provider.downcast_ref::<DatabaseTable>()?.statistics().await
    }
}

/// Returns the reason why a database does not open a port. Others than the owner see the name of its server, and not its
/// address.
fn failed(place: &Place, error: &Error) -> OpenError {
    let owner = Diagnostics::one(place.clone(), error.owner_chain());
    let is_unanswered =
        matches!(error.kind(), ErrorKind::SiteUnavailable | ErrorKind::DeadlineExceeded | ErrorKind::ResourceExhausted);
    let reason = if is_unanswered { OpenError::Unavailable(owner) } else { OpenError::Faulty(owner) };
    let public = OpenError::from(Diagnostics::one(place.clone(), error.chain())).description();
    OpenError::Described(Box::new(reason), public)
}
