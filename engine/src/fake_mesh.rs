//! A mesh for tests that need no network: peers with canned catalogs, answers and rows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use async_trait::async_trait;
use datafusion::catalog::MemTable;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use portolan_catalog::{
    Column, DomainCatalog, DomainName, Port, PortName, PortRef, PortStatistics, Product, ProductName,
};
use portolan_connectors::{
    CatalogAnswer, FragmentItem, FragmentRequest, FragmentStream, FragmentSummary, LocalDomain, OpenedPort,
    OperatorMetrics, Peer, Reach, Site, SiteId,
};

use crate::names::MeshCatalogs;
use crate::planner::decision::Link;
use crate::planner::resolve::{Resolved, resolve};
use crate::{Engine, Error, ErrorKind, Result};

/// A peer that answers what it is told to.
#[derive(Debug)]
pub(crate) struct FakePeer {
    id: SiteId,
    state: Mutex<FakeState>,
}

#[derive(Debug)]
struct FakeState {
    /// `None`: the peer is down.
    catalog: Option<(String, Vec<DomainCatalog>)>,
    /// The domains of others that it says it reaches.
    reaches: Vec<Reach>,
    /// What it was asked with, in order.
    asked: Vec<Option<String>>,
    /// What every fragment gives.
    rows: Option<RecordBatch>,
}

impl FakePeer {
    /// A peer that is up and publishes these domains at version 1.
    pub(crate) fn new(url: &str, domains: Vec<DomainCatalog>) -> Arc<Self> {
        let state = FakeState { catalog: Some(("1".into(), domains)), reaches: vec![], asked: vec![], rows: None };
        Arc::new(Self { id: SiteId::new(url), state: Mutex::new(state) })
    }

    pub(crate) fn publish(&self, version: &str, domains: Vec<DomainCatalog>) {
        self.state.lock().unwrap().catalog = Some((version.to_owned(), domains));
    }

    /// Says from its next version on that it reaches these domains, over links as fast as by default.
    pub(crate) fn reach(&self, domains: &[&str]) {
        let Link { latency, bandwidth } = Link::default();
        let latency_ms = latency.as_secs_f64() * 1e3;
        let reach = |domain: &&str| Reach { domain: DomainName::new(*domain), latency_ms, bandwidth };
        self.reach_over(domains.iter().map(reach).collect());
    }

    /// As `reach`, over given links.
    pub(crate) fn reach_over(&self, reaches: Vec<Reach>) {
        self.state.lock().unwrap().reaches = reaches;
    }

    pub(crate) fn go_down(&self) {
        self.state.lock().unwrap().catalog = None;
    }

    /// Answers every fragment with these rows.
    pub(crate) fn give(&self, rows: RecordBatch) {
        self.state.lock().unwrap().rows = Some(rows);
    }

    pub(crate) fn asked(&self) -> Vec<Option<String>> {
        self.state.lock().unwrap().asked.clone()
    }
}

#[async_trait]
impl Site for FakePeer {
    fn id(&self) -> &SiteId {
        &self.id
    }

    async fn execute(&self, _: FragmentRequest) -> Result<FragmentStream> {
        let Some(batch) = self.state.lock().unwrap().rows.clone() else {
            return Err(Error::new(ErrorKind::SiteUnavailable, "the fake peer runs nothing"));
        };
        let operators = vec![OperatorMetrics {
            depth: 0,
            operator: "FakeExec".into(),
            metrics: "metrics=[]".into(),
            rows: Some(batch.num_rows() as u64),
            estimated_rows: None,
        }];
        let summary = FragmentSummary { rows: batch.num_rows() as u64, operators };
        let items = [FragmentItem::Batch { batch, wire_bytes: 77 }, FragmentItem::Finished(summary)];
        Ok(Box::pin(futures::stream::iter(items.map(Ok))))
    }
}

#[async_trait]
impl Peer for FakePeer {
    async fn catalog(&self, known: Option<&str>) -> Result<CatalogAnswer> {
        let mut state = self.state.lock().unwrap();
        state.asked.push(known.map(str::to_owned));
        let reaches = state.reaches.clone();
        match &state.catalog {
            None => Err(Error::new(ErrorKind::SiteUnavailable, "connection refused")),
            Some((version, _)) if known == Some(version) => Ok(CatalogAnswer::Unchanged),
            Some((version, domains)) => {
                Ok(CatalogAnswer::Changed { version: version.clone(), domains: domains.clone(), reaches })
            }
        }
    }
}

/// TPC-H's tables: domain, product, port, rows at scale 1, and columns as `name type`, where the type is `i` for Int64,
/// `j` for Int32, `m` for Decimal(15, 2), `t` for text and `d` for a date.
const TPCH: &[(&str, &str, &str, u64, &str)] = &[
    (
        "sales",
        "customers",
        "customer",
        150_000,
        "c_custkey i c_name t c_address t c_nationkey i c_phone t c_acctbal m c_mktsegment t c_comment t",
    ),
    (
        "sales",
        "orders",
        "orders",
        1_500_000,
        "o_orderkey i o_custkey i o_orderstatus t o_totalprice m o_orderdate d o_orderpriority t o_clerk t \
      o_shippriority j o_comment t",
    ),
    (
        "sales",
        "orders",
        "lineitem",
        6_000_000,
        "l_orderkey i l_partkey i l_suppkey i l_linenumber j l_quantity m l_extendedprice m l_discount m l_tax m \
      l_returnflag t l_linestatus t l_shipdate d l_commitdate d l_receiptdate d l_shipinstruct t l_shipmode t \
      l_comment t",
    ),
    (
        "supply",
        "parts",
        "part",
        200_000,
        "p_partkey i p_name t p_mfgr t p_brand t p_type t p_size j p_container t p_retailprice m p_comment t",
    ),
    ("supply", "parts", "partsupp", 800_000, "ps_partkey i ps_suppkey i ps_availqty j ps_supplycost m ps_comment t"),
    (
        "supply",
        "suppliers",
        "supplier",
        10_000,
        "s_suppkey i s_name t s_address t s_nationkey i s_phone t s_acctbal m s_comment t",
    ),
    ("geo", "places", "nation", 25, "n_nationkey i n_name t n_regionkey i n_comment t"),
    ("geo", "places", "region", 5, "r_regionkey i r_name t r_comment t"),
];

/// The catalog of one of TPC-H's domains.
pub(crate) fn tpch_domain(domain: &str) -> DomainCatalog {
    let mut products: BTreeMap<ProductName, Product> = BTreeMap::new();
    for (_, product, name, rows, columns) in TPCH.iter().filter(|t| t.0 == domain) {
        let mut port = Port::new(PortRef::new(domain, *product, *name));
        port.statistics = Arc::new(PortStatistics { rows: Some(*rows), ..PortStatistics::default() });
        let words: Vec<&str> = columns.split_whitespace().collect();
        port.columns = words.chunks(2).map(|c| column(c[0], c[1])).collect();
        let entry = products.entry(ProductName::new(*product)).or_insert_with(|| Product::new(*product));
        entry.ports.insert(PortName::new(*name), port);
    }
    DomainCatalog { domain: DomainName::new(domain), version: "1".into(), products }
}

fn column(name: &str, kind: &str) -> Column {
    let data_type = match kind {
        "i" => DataType::Int64,
        "j" => DataType::Int32,
        "m" => DataType::Decimal128(15, 2),
        "d" => DataType::Date32,
        _ => DataType::Utf8View,
    };
    Column {
        name: name.into(),
        data_type: Some(data_type),
        nullable: false,
        logical_type: None,
        description: None,
        classification: None,
        unique: false,
        tags: vec![],
    }
}

/// The same domain as one that this engine owns, without rows.
pub(crate) fn owned(catalog: DomainCatalog) -> LocalDomain {
    let ports = catalog.ports().map(|port| {
        let schema = port.schema().unwrap();
        let provider = Arc::new(MemTable::try_new(schema.clone(), vec![vec![]]).unwrap());
        OpenedPort { name: port.name.clone(), provider, schema }
    });
    LocalDomain { ports: ports.collect(), catalog: Arc::new(catalog) }
}

/// A gateway whose three peers publish TPC-H's domains and reach one another.
pub(crate) async fn gateway() -> Engine {
    let mut builder = Engine::builder().cpu_threads(2);
    let all = ["sales", "supply", "geo"];
    for domain in all {
        let peer = FakePeer::new(&format!("grpc://{domain}"), vec![tpch_domain(domain)]);
        let others: Vec<_> = all.into_iter().filter(|other| *other != domain).collect();
        peer.reach(&others);
        builder = builder.peer(peer);
    }
    let engine = builder.build().unwrap();
    engine.refresh().await;
    engine
}

/// What a query of that engine plans against.
pub(crate) fn state_of(engine: &Engine) -> SessionState {
    let inner = engine.inner();
    SessionStateBuilder::new_from_existing(inner.base.clone())
        .with_catalog_list(Arc::new(MeshCatalogs::new(inner.mesh.view())))
        .build()
}

/// A query's plan before the passes.
pub(crate) async fn resolved(engine: &Engine, sql: &str) -> LogicalPlan {
    match resolve(sql, &state_of(engine), &engine.mesh()).await.unwrap() {
        Resolved::Query(plan) => plan,
        other => panic!("no query: {other:?}"),
    }
}
