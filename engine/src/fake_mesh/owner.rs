//! A peer that runs what it is sent, in this process, and remembers it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::MemTable;
use futures::StreamExt;
use portolan_catalog::{
    Column, DomainCatalog, DomainName, Port, PortName, PortRef, PortStatistics, Product, ProductName,
};
use portolan_connectors::{
    CatalogAnswer, FragmentItem, FragmentRequest, FragmentStream, FragmentSummary, LocalDomain, OpenedPort, Peer, Site,
    SiteId,
};

use crate::{Engine, Principal, Result, SentFragment};

/// A peer that owns a domain and runs what it is sent, in this process.
#[derive(Debug)]
pub(crate) struct OwnerPeer {
    id: SiteId,
    pub(crate) engine: Engine,
    requests: Mutex<Vec<FragmentRequest>>,
}

impl OwnerPeer {
    /// The owner of `domain`, whose ports, all of product `p`, have these rows.
    pub(crate) fn new(domain: &str, ports: &[(&str, RecordBatch)]) -> Arc<Self> {
        let mut product = Product::new("p");
        let mut opened = vec![];
        for (name, rows) in ports {
            let mut port = Port::new(PortRef::new(domain, "p", *name));
            let of = |f: &Arc<arrow::datatypes::Field>| Column {
                name: f.name().clone(),
                data_type: Some(f.data_type().clone()),
                nullable: f.is_nullable(),
                logical_type: None,
                description: None,
                classification: None,
                unique: false,
                enumeration: vec![],
                tags: vec![],
            };
            port.columns = rows.schema().fields().iter().map(of).collect();
            port.statistics = Arc::new(PortStatistics { rows: Some(rows.num_rows() as u64), ..Default::default() });
            let provider = Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]).unwrap());
            opened.push(OpenedPort { name: port.name.clone(), provider, schema: rows.schema(), writer: None });
            product.ports.insert(PortName::new(*name), port);
        }
        let products = BTreeMap::from([(ProductName::new("p"), product)]);
        let catalog = DomainCatalog { domain: DomainName::new(domain), version: "1".into(), products };
        let local = LocalDomain { ports: opened, catalog: Arc::new(catalog) };
        let engine = Engine::builder().cpu_threads(2).local_domain(local).build().unwrap();
        Arc::new(Self { id: SiteId::new(format!("grpc://{domain}")), engine, requests: Mutex::default() })
    }

    /// What it was asked to run, in order.
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
        let rows = self.engine.fragment(SentFragment {
            principal: Principal::new(request.delegation.principal),
            via: request.delegation.via,
            query_id: request.query_id,
            plan: request.plan,
            keys: request.keys,
            hops: request.hops,
            remaining: request.deadline.saturating_duration_since(std::time::Instant::now()),
            measured: request.measured,
        });
        let rows = rows.await?;
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
    async fn catalog(&self, known: Option<&str>) -> Result<CatalogAnswer> {
        Ok(self.engine.catalog(known))
    }
}
