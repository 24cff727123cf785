//! A peer that runs fragments in this process, and records the requests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use async_trait::async_trait;
use portolan_audit::Store;
use portolan_catalog::{Port, PortRef, PortStatistics};
use portolan_connectors::testing::{catalog, columns, fragment_items, local_domain};
use portolan_connectors::{
    CatalogAnswer, DecisionRequest, EncodedPlan, FragmentHead, FragmentRequest, FragmentStream, LocalDomain, Peer,
    PeerCatalog, PortDecision, ReceivedFragment, Site, SiteId,
};
use portolan_governance::PolicyFiles;

use crate::server::CatalogReader;
use crate::{Engine, EngineBuilder, Error, ErrorKind, Result, server};

/// A peer that owns a domain, runs fragments in this process, and records the requests.
#[derive(Debug)]
pub(crate) struct OwnerPeer {
    id: SiteId,
    pub(crate) engine: Engine,
    requests: Mutex<Vec<FragmentRequest>>,
    /// True if the owner does not answer requests for decisions.
    pub(crate) is_silent: AtomicBool,
    /// True if the owner publishes no marks of ports that its policies can hide, as older nodes do.
    pub(crate) is_older: AtomicBool,
}

impl OwnerPeer {
    /// Returns the owner of `domain`. Its ports, all of product `p`, have these rows.
    pub(crate) fn new(domain: &str, ports: &[(&str, RecordBatch)]) -> Arc<Self> {
        Self::of(Self::domain(domain, ports, ""))
    }

    /// Returns the owner of `domain`, whose port `t` has two columns with the numbers from 0.
    pub(crate) fn numbered(domain: &str, columns: [&str; 2], rows: i64) -> Arc<Self> {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let table = RecordBatch::try_from_iter(columns.map(|name| (name, values.clone()))).unwrap();
        Self::new(domain, &[("t", table)])
    }

    /// Returns a domain whose product `p` has these ports and these policies.
    pub(crate) fn domain(domain: &str, ports: &[(&str, RecordBatch)], policies: &str) -> LocalDomain {
        let described = ports.iter().map(|(name, rows)| {
            let mut port = Port::new(PortRef::new(domain, "p", *name)).with_columns(columns(&rows.schema()));
            port.statistics = Arc::new(PortStatistics { rows: Some(rows.num_rows() as u64), ..Default::default() });
            port
        });
        let local = local_domain(catalog(domain, described), |name| {
            ports.iter().filter(|port| port.0 == name.port.as_str()).map(|port| port.1.clone()).collect()
        });
        if policies.is_empty() {
            return local;
        }
        local.with_policies(PolicyFiles::of_product("p", policies))
    }

    /// Returns the owner of a domain.
    pub(crate) fn of(domain: LocalDomain) -> Arc<Self> {
        Self::built(domain, Engine::builder())
    }

    /// Returns the owner of a domain, which records its reads.
    pub(crate) fn audited(domain: LocalDomain, store: Store) -> Arc<Self> {
        Self::built(domain, Engine::builder().audit(store, [""; 0]))
    }

    fn built(domain: LocalDomain, builder: EngineBuilder) -> Arc<Self> {
        let id = SiteId::new(format!("grpc://{}", domain.catalog.domain));
        let engine = builder.cpu_threads(2).local_domain(domain).build().unwrap();
        let (is_silent, is_older) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { id, engine, requests: Mutex::default(), is_silent, is_older })
    }

    /// Returns the requests to run fragments, in order.
    pub(crate) fn requests(&self) -> Vec<FragmentRequest> {
        self.requests.lock().unwrap().clone()
    }
}

#[async_trait]
impl Site for OwnerPeer {
    fn id(&self) -> &SiteId {
        &self.id
    }

    async fn execute(&self, request: FragmentRequest) -> Result<FragmentStream> {
        self.requests.lock().unwrap().push(request.clone());
        let fragment = ReceivedFragment::new(request.head, request.plan.encoded()?.clone());
        let rows = server::run_fragment(&self.engine, fragment).await?;
        let hashed = server::hashed_columns(&rows);
        Ok(fragment_items(rows, move || hashed.of_result()))
    }

    async fn decisions(&self, head: &FragmentHead, asked: &DecisionRequest) -> Result<Vec<PortDecision>> {
        if self.is_silent.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::SiteUnavailable, format!("node {}: it is silent", self.id)));
        }
        let sent = ReceivedFragment::new(head.clone(), EncodedPlan::default());
        server::decide_ports(&self.engine, sent, asked.clone()).await
    }
}

#[async_trait]
impl Peer for OwnerPeer {
    async fn catalog(&self, known: Option<&str>) -> Result<PeerCatalog> {
        let mut answer = server::catalog(&self.engine, known, CatalogReader::TrustedNode);
        if let (true, CatalogAnswer::Changed { domains, .. }) = (self.is_older.load(Ordering::Relaxed), &mut answer) {
            *domains = domains.iter().map(|domain| domain.clone().with_hidden_from_some(|_| false)).collect();
        }
        Ok(PeerCatalog::without_key(&self.id, answer))
    }
}
