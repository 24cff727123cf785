//! Applies changes while a node runs: changed descriptors and changed data.

use std::sync::{Arc, MutexGuard};

use portolan_connectors::{LocalDomain, changed_statistics, lock, open_again};
use portolan_engine::server::{report_load_error, update_statistics};

use crate::Node;
use crate::assemble::open;

impl Node {
    /// Reads the descriptors again. A good version replaces the present one. A bad version is reported in
    /// `mesh.products`, and the present one stays. The port of a source that does not respond is closed in the new
    /// version.
    pub async fn reload(&self) {
        let Some(domain) = &self.config.domain else { return };
        match open(&self.config, &self.sources, &self.runtime, false).await {
            Ok(Some(opened)) => {
                tracing::info!(%domain, version = %opened.catalog.version, "descriptors were reloaded");
                let mut current = self.opened();
                self.engine.replace_local_domain(opened.clone());
                *current = Some(opened);
            }
            Ok(None) => {}
            Err(e) => {
                let reason = e.owner_chain();
                tracing::error!(%domain, "descriptors were not reloaded, the last good version stays: {reason}");
                // Every principal and every peer can read this error.
                let error = e.public();
                report_load_error(&self.engine, domain, error);
                if let Some(current) = self.opened().as_mut() {
                    // A port that opens later does not remove the error.
                    let catalog = Arc::make_mut(&mut current.catalog);
                    catalog.products.values_mut().for_each(|product| product.load_error = Some(error.to_owned()));
                }
            }
        }
    }

    /// Tries to open the ports whose sources did not respond.
    pub async fn open_closed_ports(&self) {
        let Some(domain) = self.opened().clone() else { return };
        let timeout = self.config.open_timeout();
        let Some(changed) = open_again(&domain, &*self.sources, &self.runtime, timeout).await else { return };
        let mut opened = self.opened();
        // If the domain was reloaded in the meantime, the next attempt opens the ports.
        let Some(current) = opened.as_mut().filter(|d| Arc::ptr_eq(&d.catalog, &domain.catalog)) else { return };
        self.engine.replace_local_domain(changed.clone());
        *current = changed;
    }

    /// Collects the statistics of the ports whose data has changed.
    pub async fn refresh_statistics(&self) {
        let Some(domain) = self.opened().clone() else { return };
        let changed = changed_statistics(&domain, &*self.sources, &self.runtime).await;
        if changed.is_empty() {
            return;
        }
        let mut opened = self.opened();
        // If the domain was reloaded in the meantime, the reload has collected the statistics.
        let Some(current) = opened.as_mut().filter(|d| Arc::ptr_eq(&d.catalog, &domain.catalog)) else { return };
        tracing::debug!(domain = %domain.catalog.domain, ports = changed.len(), "statistics were collected again");
        update_statistics(&self.engine, &domain.catalog.domain, &changed);
        current.catalog = Arc::new((*domain.catalog).clone().with_statistics(&changed));
    }

    fn opened(&self) -> MutexGuard<'_, Option<LocalDomain>> {
        lock(&self.opened)
    }
}
