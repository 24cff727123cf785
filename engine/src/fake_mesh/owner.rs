//! A peer that runs fragments in this process, and records the requests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt;
use portolan_catalog::{Port, PortRef, PortStatistics};
use portolan_connectors::testing::{catalog, columns, local_domain};
use portolan_connectors::{
    FragmentItem, FragmentRequest, FragmentStream, FragmentSummary, LocalDomain, Peer, PeerCatalog, ReceivedFragment,
    Site, SiteId,
};

use crate::server::CatalogReader;
use crate::{Engine, Result, server};

/// A peer that owns a domain, runs fragments in this process, and records the requests.
#[derive(Debug)]
pub(crate) struct OwnerPeer {
    id: SiteId,
    pub(crate) engine: Engine,
    requests: Mutex<Vec<FragmentRequest>>,
}

impl OwnerPeer {
    /// Returns the owner of `domain`. Its ports, all of product `p`, have these rows.
    pub(crate) fn new(domain: &str, ports: &[(&str, RecordBatch)]) -> Arc<Self> {
        let described = ports.iter().map(|(name, rows)| {
            let mut port = Port::new(PortRef::new(domain, "p", *name)).with_columns(columns(&rows.schema()));
            port.statistics = Arc::new(PortStatistics { rows: Some(rows.num_rows() as u64), ..Default::default() });
            port
        });
        let local = local_domain(catalog(domain, described), |name| {
            ports.iter().filter(|port| port.0 == name.port.as_str()).map(|port| port.1.clone()).collect()
        });
        Self::of(local)
    }

    /// Returns the owner of a domain.
    pub(crate) fn of(domain: LocalDomain) -> Arc<Self> {
        let id = SiteId::new(format!("grpc://{}", domain.catalog.domain));
        let engine = Engine::builder().cpu_threads(2).local_domain(domain).build().unwrap();
        Arc::new(Self { id, engine, requests: Mutex::default() })
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
        let fragment = ReceivedFragment { head: request.head, encoded: request.plan.encoded()?.clone() };
        let rows = server::run_fragment(&self.engine, fragment).await?;
        let state = (rows, 0_u64, false);
        Ok(Box::pin(futures::stream::try_unfold(state, |(mut rows, count, ended)| async move {
            if ended {
                return Ok(None);
            }
            Ok(Some(match rows.next().await.transpose()? {
                Some(batch) => {
                    let count = count + batch.num_rows() as u64;
                    (FragmentItem::Batch { batch, wire_bytes: 1 }, (rows, count, false))
                }
                None => {
                    let summary = FragmentSummary { rows: count, ..FragmentSummary::default() };
                    (FragmentItem::Finished(summary), (rows, count, true))
                }
            }))
        })))
    }
}

#[async_trait]
impl Peer for OwnerPeer {
    async fn catalog(&self, known: Option<&str>) -> Result<PeerCatalog> {
        Ok(PeerCatalog::without_key(&self.id, server::catalog(&self.engine, known, CatalogReader::TrustedNode)))
    }
}
