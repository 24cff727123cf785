//! Applies changes while a node runs: changed descriptors and changed data.

use std::collections::BTreeSet;
use std::sync::Arc;

use portolan_catalog::{DomainCatalog, DomainName, Port, PortRef};
use portolan_connectors::{
    ChangedPorts, LocalDomain, RetriedPort, changed_ports, open_again, ports_with_errors, reopen_domain,
};
use portolan_engine::Engine;
use portolan_engine::server::{report_load_error, update_statistics};

use crate::assemble::{Current, ServedDomain, load};
use crate::{Error, Node};

impl Node {
    /// Reads the descriptors again. Good descriptors replace the present ones. Bad ones are reported in `mesh.products`,
    /// and the present ones stay. A port that cannot be opened keeps its last good version, or is closed if it has none.
    pub async fn reload(&self) {
        let config = self.config();
        let Some(domain) = &config.domain else { return };
        match load(&config).await {
            Ok(Some(descriptors)) => {
                config.unused_sources(&descriptors.servers).iter().for_each(|fault| tracing::warn!("{fault}"));
                if let Some(opened) = self.reopen(Arc::new(descriptors.catalog)).await {
                    tracing::info!(%domain, version = %opened.catalog.version, "descriptors were reloaded");
                }
            }
            Ok(None) => {}
            Err(e) => {
                self.reopen_under_new_config().await;
                self.keep_descriptors(domain, &e);
            }
        }
    }

    /// Opens the ports of the present descriptors again if the config has other sources by now: what the owner no longer
    /// permits ends, whatever the newest descriptors are.
    async fn reopen_under_new_config(&self) {
        let Current { config, served, .. } = self.current();
        if let Some(served) = served.filter(|served| !config.opens_ports_as(&served.config)) {
            self.reopen(served.declared).await;
        }
    }

    /// Opens the ports of descriptors with the sources in effect, and serves them. Returns the domain, or `None` for a
    /// gateway. A port keeps its last good version only if the config opens the port as it did before.
    async fn reopen(&self, declared: Arc<DomainCatalog>) -> Option<LocalDomain> {
        let Current { config, sources, served } = self.current();
        let ServedDomain { domain: before, config: opened_under, .. } = served?;
        let (timeout, catalog) = (config.open_timeout(), DomainCatalog::clone(&declared));
        let may_stay = |port: &Port| config.opens_as(&opened_under, port);
        let opened = reopen_domain(catalog, &before, may_stay, &*sources, &self.runtime, timeout).await;
        self.with_current(|current| {
            self.engine.replace_local_domain(opened.clone());
            current.served = Some(ServedDomain { declared, domain: opened.clone(), config: config.clone() });
        });
        Some(opened)
    }

    /// Keeps the present descriptors, and reports why the newest ones are not in use.
    fn keep_descriptors(&self, domain: &DomainName, error: &Error) {
        for fault in error.owner_chain().lines() {
            tracing::error!(%domain, "descriptors were not reloaded, the last good version stays: {fault}");
        }
        // Every principal and every peer can read this error.
        let public = error.public();
        report_load_error(&self.engine, domain, public);
        self.with_current(|current| {
            if let Some(served) = &mut current.served {
                // A port that opens later does not remove the error.
                let catalog = Arc::make_mut(&mut served.domain.catalog);
                catalog.products.values_mut().for_each(|product| product.load_error = Some(public.to_owned()));
            }
        });
    }

    /// Tries to open the ports that `wanted` returns for the present domain.
    async fn open_ports_again(&self, wanted: impl Fn(&LocalDomain) -> BTreeSet<PortRef>) {
        let Current { config, sources, served } = self.current();
        let Some(tried) = served else { return };
        let wanted = wanted(&tried.domain);
        let publish = |retried: &[RetriedPort]| {
            self.with_current(|current| {
                // All ports were opened again if the descriptors or the sources have changed in the meantime.
                let is_same = |served: &&mut ServedDomain| {
                    Arc::ptr_eq(&served.declared, &tried.declared) && Arc::ptr_eq(&served.config, &tried.config)
                };
                if let Some(served) = current.served.as_mut().filter(is_same) {
                    served.domain = served.domain.with_retried(retried);
                    self.engine.replace_local_domain(served.domain.clone());
                }
            });
        };
        let ServedDomain { declared, domain, .. } = &tried;
        let timeout = config.open_timeout();
        open_again(declared, domain, &wanted, &*sources, &self.runtime, timeout, publish).await;
    }

    /// Tries to open the ports that could not be opened.
    pub async fn open_closed_ports(&self) {
        self.open_ports_again(ports_with_errors).await;
    }

    /// Checks the ports for changed data: collects their statistics, and opens the ports again that the data no longer
    /// fits.
    pub async fn check_data(&self) {
        let Current { sources, served, .. } = self.current();
        let Some(ServedDomain { domain, .. }) = served else { return };
        let ChangedPorts { statistics, unreadable } = changed_ports(&domain, &*sources, &self.runtime).await;
        if !statistics.is_empty() {
            tracing::debug!(domain = %domain.catalog.domain, ports = statistics.len(), "statistics were collected again");
            let catalog = Arc::new((*domain.catalog).clone().with_statistics(&statistics));
            let mut changed = domain.clone();
            changed.catalog = catalog;
            self.replace(&domain, changed, |engine, changed| {
                update_statistics(engine, &changed.catalog.domain, &statistics);
            });
        }
        if !unreadable.is_empty() {
            self.open_ports_again(|_| unreadable.clone()).await;
        }
    }

    /// Replaces the domain by `changed`, unless it is no longer `before`: what has changed it in the meantime has looked
    /// at the ports too, or the next check does.
    fn replace(&self, before: &LocalDomain, changed: LocalDomain, publish: impl FnOnce(&Engine, &LocalDomain)) {
        self.with_current(|current| {
            let served = current.served.as_mut();
            let Some(served) = served.filter(|served| Arc::ptr_eq(&served.domain.catalog, &before.catalog)) else {
                return;
            };
            publish(&self.engine, &changed);
            served.domain = changed;
        });
    }
}
