//! Applies changes while a node runs: changed descriptors and changed data.

use std::collections::BTreeSet;
use std::sync::Arc;

use portolan_catalog::{DomainCatalog, DomainName, Port, PortRef};
use portolan_connectors::{
    ChangedPorts, LocalDomain, RetriedPort, changed_ports, open_again, ports_with_errors, reopen_domain,
};
use portolan_engine::server::{plan_local_domain, report_load_error, serve_local_domain};
use tokio::sync::mpsc::unbounded_channel;

use crate::assemble::{Current, ServedDomain, load};
use crate::digest::{FileDigests, digest_now, digests_of_descriptors, has_same_descriptors};
use crate::open::apart;
use crate::policy_files::policy_files;
use crate::{Error, Node};

impl Node {
    /// Reads the descriptors and the policies again. Good descriptors replace the present ones. Bad ones are reported in
    /// `mesh.products`, and the present ones stay. Policies still apply then, as far as they are about these. A port that
    /// cannot be opened keeps its last good version, or is closed if it has none.
    pub async fn reload(&self) {
        let config = self.config();
        let Some(domain) = &config.domain else { return };
        let files = Arc::new(digest_now(config.products_folder(), digests_of_descriptors).await.unwrap_or_default());
        match load(&config).await {
            Ok(Some(descriptors)) => {
                config.unused_sources(&descriptors.servers).iter().for_each(|fault| tracing::warn!("{fault}"));
                if let Some(opened) = self.reopen(Arc::new(descriptors.catalog), files).await {
                    tracing::info!(%domain, version = %opened.catalog.version, "descriptors were reloaded");
                }
            }
            Ok(None) => {}
            Err(e) => {
                self.reopen_under_new_config().await;
                self.reload_policies(&files).await;
                self.keep_descriptors(domain, &e);
            }
        }
    }

    /// Opens the ports of the present descriptors again if the config has other sources by now: what the owner no longer
    /// permits ends, whatever the newest descriptors are.
    async fn reopen_under_new_config(&self) {
        let Current { config, served, .. } = self.current();
        if let Some(served) = served.filter(|served| !config.opens_ports_as(&served.config)) {
            self.reopen(served.declared, served.files).await;
        }
    }

    /// Opens the ports of descriptors with the sources in effect, and serves them. Returns the domain, or `None` for a
    /// gateway. A port keeps its last good version only if the config opens the port as it did before.
    async fn reopen(&self, declared: Arc<DomainCatalog>, files: Arc<FileDigests>) -> Option<LocalDomain> {
        let Current { config, sources, served } = self.current();
        let ServedDomain { domain: before, config: opened_under, .. } = served?;
        let (timeout, catalog) = (config.open_timeout(), DomainCatalog::clone(&declared));
        let may_stay = |port: &Port| config.opens_as(&opened_under, port);
        let opened = reopen_domain(catalog, &before, may_stay, &*sources, &self.runtime, timeout).await;
        let policies = policy_files(&config, &declared).await;
        let policies = policies.inspect_err(|e| tracing::error!("{}", e.owner_chain())).ok()?;
        let opened = opened.with_policies(policies);
        let (engine, domain) = (self.engine.clone(), opened.clone());
        let planned = apart(move || plan_local_domain(&engine, domain)).await;
        let planned = planned.inspect_err(|e| tracing::error!("{}", e.owner_chain())).ok()?;
        self.with_current(|current| {
            serve_local_domain(&self.engine, planned);
            current.served = Some(ServedDomain { declared, files, domain: opened.clone(), config: config.clone() });
        });
        Some(opened)
    }

    /// Applies changed policies while the newest descriptors have faults: an owner can still revoke access. The policies
    /// of a product whose descriptors have changed stay as they are, because they may be about columns and
    /// classifications that the present ones do not have.
    async fn reload_policies(&self, files: &FileDigests) {
        let Current { config, served, .. } = self.current();
        let Some(ServedDomain { declared, domain, files: loaded, .. }) = served else { return };
        let read = policy_files(&config, &declared).await.inspect_err(|e| tracing::error!("{}", e.owner_chain()));
        let Ok(mut policies) = read else { return };
        let before = domain.policies.unwrap_or_default();
        for (name, product) in &declared.products {
            let (kept, read) = (before.products.get(name), policies.products.get(name));
            if kept == read || has_same_descriptors(product, files, &loaded) {
                continue;
            }
            tracing::error!(
                domain = %declared.domain,
                "the policies of the product `{name}` were not reloaded: its descriptors have changed, and cannot be \
                 loaded while descriptors have faults. Whoever must lose access now needs a policy of the mesh"
            );
            match kept.cloned() {
                Some(kept) => drop(policies.products.insert(name.clone(), kept)),
                None => drop(policies.products.remove(name)),
            }
        }
        if policies == *before {
            return;
        }
        tracing::info!(domain = %declared.domain, "policies were reloaded, without the descriptors");
        self.replace(move |served| {
            let is_same = Arc::ptr_eq(&served.declared, &declared);
            is_same.then(|| served.domain.clone().with_policies(policies.clone()))
        })
        .await;
    }

    /// Replaces the domain by the one that `change` returns for the present one; `None` for no change. The queries of
    /// derived ports are planned before, on a thread that may wait: nothing else waits for them.
    async fn replace(&self, change: impl Fn(&ServedDomain) -> Option<LocalDomain> + Send + 'static) {
        let node = self.clone();
        let replaced = apart(move || while !node.try_replace(&change) {}).await;
        if let Err(e) = replaced {
            tracing::error!("{}", e.owner_chain());
        }
    }

    /// Replaces the domain. Returns false if something else has changed the domain in the meantime.
    fn try_replace(&self, change: &impl Fn(&ServedDomain) -> Option<LocalDomain>) -> bool {
        let Some(before) = self.current().served else { return true };
        let Some(domain) = change(&before) else { return true };
        let planned = plan_local_domain(&self.engine, domain.clone());
        self.with_current(|current| {
            let Some(served) = current.served.as_mut().filter(|served| served.is_same(&before)) else { return false };
            serve_local_domain(&self.engine, planned);
            served.domain = domain;
            true
        })
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
        let Some(ServedDomain { declared, domain, config: opened_under, .. }) = served else { return };
        let (wanted, timeout) = (wanted(&domain), config.open_timeout());
        // There are no more messages than ports.
        let (sender, mut receiver) = unbounded_channel::<Vec<RetriedPort>>();
        let publish = move |retried: &[RetriedPort]| drop(sender.send(retried.to_vec()));
        let opening = open_again(&declared, &domain, &wanted, &*sources, &self.runtime, timeout, publish);
        let publishing = async {
            while let Some(retried) = receiver.recv().await {
                let (declared, opened_under) = (declared.clone(), opened_under.clone());
                // All ports were opened again if the descriptors or the sources have changed in the meantime.
                self.replace(move |served| {
                    let has_same_ports = Arc::ptr_eq(&served.declared, &declared);
                    let is_same = has_same_ports && Arc::ptr_eq(&served.config, &opened_under);
                    is_same.then(|| served.domain.with_retried(&retried))
                })
                .await;
            }
        };
        tokio::join!(opening, publishing);
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
            // What has changed the domain in the meantime has looked at the ports too, or the next check does.
            self.replace(move |served| {
                let is_same = Arc::ptr_eq(&served.domain.catalog, &domain.catalog);
                is_same.then(|| {
                    let mut changed = domain.clone();
                    changed.catalog = Arc::new((*domain.catalog).clone().with_statistics(&statistics));
                    changed
                })
            })
            .await;
        }
        if !unreadable.is_empty() {
            self.open_ports_again(|_| unreadable.clone()).await;
        }
    }
}

impl ServedDomain {
    /// True if nothing has changed the domain since `other`.
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.declared, &other.declared)
            && Arc::ptr_eq(&self.config, &other.config)
            && Arc::ptr_eq(&self.domain.catalog, &other.domain.catalog)
    }
}
