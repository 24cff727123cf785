//! The opener of a node's ports: hands each port to the opener for the kind of its source.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_catalog::{DatabaseKind, Diagnostics, Place, Port, PortStatistics, SourceKind};

#[cfg(feature = "databases")]
use crate::crypto::install_crypto_provider;
use crate::data_fault::{CheckLimits, DataReport};
#[cfg(feature = "databases")]
use crate::databases::DatabaseSources;
use crate::error::Result;
#[cfg(feature = "files")]
use crate::files::FileSources;
use crate::source::{Footprint, OpenError, OpenedPort, SourceCounter, SourceCounters, SourceOpener};

/// The openers of all kinds of sources that this build has.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    counters: SourceCounters,
    #[cfg(feature = "files")]
    files: FileSources,
    #[cfg(feature = "databases")]
    databases: DatabaseSources,
}

impl Sources {
    /// Replaces the opener of files. The default one has no options.
    #[cfg(feature = "files")]
    #[must_use]
    pub fn with_files(mut self, files: FileSources) -> Self {
        self.files = files.counted(self.counters.clone());
        self
    }

    /// Replaces the opener of databases. The default one has no options. [Installs](install_crypto_provider) the
    /// cryptography of TLS, which the connections to databases need.
    #[cfg(feature = "databases")]
    #[must_use]
    pub fn with_databases(mut self, databases: DatabaseSources) -> Self {
        install_crypto_provider();
        self.databases = databases.counted(self.counters.clone());
        self
    }

    /// Returns the counters of the sources.
    pub fn counters(&self) -> &SourceCounters {
        &self.counters
    }

    /// Returns the opener for a kind of source, or `None` if this build has none.
    fn opener(&self, kind: &SourceKind) -> Option<&dyn SourceOpener> {
        match kind {
            #[cfg(feature = "files")]
            SourceKind::Files(_) => Some(&self.files),
            #[cfg(feature = "databases")]
            SourceKind::Database(_) => Some(&self.databases),
            _ => None,
        }
    }

    /// Returns every opener. An opener recognizes its ports by their provider, and returns `None` for all others.
    fn openers(&self) -> Vec<&dyn SourceOpener> {
        let openers = std::iter::empty::<&dyn SourceOpener>();
        #[cfg(feature = "files")]
        let openers = openers.chain(std::iter::once(&self.files as &dyn SourceOpener));
        #[cfg(feature = "databases")]
        let openers = openers.chain(std::iter::once(&self.databases as &dyn SourceOpener));
        openers.collect()
    }
}

#[async_trait]
impl SourceOpener for Sources {
    async fn open(&self, port: &Port, runtime: &Arc<RuntimeEnv>) -> Result<OpenedPort, OpenError> {
        let Some(source) = &port.source else {
            let message = format!("port {} has no source on this node", port.name);
            return Err(Diagnostics::one(Place::default(), message).into());
        };
        let mut attempt = OpenAttempt { counter: self.counters.of(&source.server), succeeded: false };
        let opened = match self.opener(&source.kind) {
            Some(opener) => opener.open(port, runtime).await,
            None => {
                let (port, kind) = (&port.name, source.kind.name());
                let built =
                    feature(&source.kind).map(|feature| format!(": it was built without the feature `{feature}`"));
                let built = built.unwrap_or_default();
                let message = format!("port {port}: this program has no opener for a source of kind `{kind}`{built}");
                Err(Diagnostics::one(source.place.clone(), message).into())
            }
        };
        attempt.succeeded = opened.is_ok();
        opened
    }

    async fn footprint(&self, opened: &OpenedPort, runtime: &Arc<RuntimeEnv>) -> Option<Footprint> {
        for opener in self.openers() {
            if let Some(footprint) = opener.footprint(opened, runtime).await {
                return Some(footprint);
            }
        }
        None
    }

    async fn guess_rows(&self, opened: &OpenedPort, runtime: &Arc<RuntimeEnv>) -> Option<u64> {
        for opener in self.openers() {
            if let Some(rows) = opener.guess_rows(opened, runtime).await {
                return Some(rows);
            }
        }
        None
    }

    async fn statistics(&self, opened: &OpenedPort, runtime: &Arc<RuntimeEnv>) -> Option<PortStatistics> {
        for opener in self.openers() {
            if let Some(statistics) = opener.statistics(opened, runtime).await {
                return Some(statistics);
            }
        }
        None
    }

    async fn check_data(
        &self,
        opened: &OpenedPort,
        runtime: &Arc<RuntimeEnv>,
        limits: CheckLimits,
    ) -> Option<Result<DataReport>> {
        for opener in self.openers() {
            if let Some(report) = opener.check_data(opened, runtime, limits).await {
                return Some(report);
            }
        }
        None
    }
}

/// Returns the cargo feature that has the opener for a kind of source.
fn feature(kind: &SourceKind) -> Option<&'static str> {
    match kind {
        SourceKind::Files(_) => Some("files"),
        SourceKind::Database(database) => Some(match database.kind {
            DatabaseKind::Postgres => "postgres",
            DatabaseKind::MariaDb | DatabaseKind::MySql => "mysql",
            DatabaseKind::Sqlite => "sqlite",
        }),
        _ => None,
    }
}

/// An attempt to open a port. It is counted when it is dropped, also if the caller no longer waits for the source.
struct OpenAttempt {
    counter: Arc<SourceCounter>,
    succeeded: bool,
}

impl Drop for OpenAttempt {
    fn drop(&mut self) {
        self.counter.tried_to_open(self.succeeded);
    }
}

#[cfg(all(test, feature = "files"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use futures::FutureExt;
    use portolan_catalog::{Column, FileFormat, FileSource, PortRef, PortSource};

    use super::*;
    use crate::source::SourceMetrics;

    #[tokio::test]
    async fn the_opener_of_the_kind_opens_a_port() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("o.csv"), "id\n1\n2\n").unwrap();
        let mut port = Port::new(PortRef::new("sales", "orders", "orders"));
        port.columns.push(Column::new("id"));
        let sources = Sources::default().with_files(FileSources::default());
        let runtime = Arc::new(RuntimeEnv::default());
        let refused = sources.open(&port, &runtime).await.unwrap_err().to_string();
        assert!(refused.ends_with("port sales.orders.orders has no source on this node"), "{refused}");

        port.source = Some(PortSource {
            server: "lake".to_owned(),
            kind: SourceKind::Files(FileSource::new("o.csv", folder.path(), FileFormat::Csv)),
            declared_at: BTreeMap::new(),
            place: Place::default(),
        });
        let opened = sources.open(&port, &runtime).await.unwrap();
        assert_eq!(opened.name, port.name);
        assert_eq!(sources.footprint(&opened, &runtime).await.unwrap().bytes, 7);
        assert_eq!(sources.guess_rows(&opened, &runtime).await, Some(2));

        std::fs::remove_file(folder.path().join("o.csv")).unwrap();
        sources.open(&port, &runtime).await.unwrap_err();
        assert!(sources.open(&port, &runtime).now_or_never().is_none(), "nobody waits for this attempt");
        let context = datafusion::prelude::SessionContext::new_with_config_rt(Default::default(), runtime.clone());
        context.read_table(opened.provider).unwrap().collect().await.unwrap_err();
        let counted = sources.counters().read();
        let SourceMetrics { opened, not_opened, not_read } = counted["lake"];
        assert_eq!((counted.len(), opened, not_opened, not_read > 0), (1, 1, 2, true));
    }
}
