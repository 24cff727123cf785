//! A mesh in this process, without a network: the engines of two owners and of a gateway, each of which runs the
//! fragments of the others. A test replaces the governed domain as often as it needs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::TryStreamExt;
use portolan_catalog::{Port, PortRef};
use portolan_connectors::testing::{catalog, columns, fragment_items, local_domain};
use portolan_connectors::{
    DecisionRequest, EncodedPlan, Error, ErrorKind, FragmentHead, FragmentRequest, FragmentStream, LocalDomain, Peer,
    PeerCatalog, PortDecision, ReceivedFragment, Result, Site, SiteId,
};
use portolan_engine::server::{self, CatalogReader};
use portolan_engine::{Engine, LinkOverride, PeerOptions, Principal};
use portolan_governance::{MaskKey, PolicyFiles};

use super::outcomes::Outcome;

/// The time limit of a statement.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A peer that runs fragments in this process.
struct LocalPeer {
    id: SiteId,
    engine: OnceLock<Engine>,
}

impl LocalPeer {
    fn new(domain: &str) -> Arc<Self> {
        Arc::new(Self { id: SiteId::new(format!("local://{domain}")), engine: OnceLock::new() })
    }

    fn engine(&self) -> Result<&Engine> {
        self.engine.get().ok_or_else(|| Error::new(ErrorKind::SiteUnavailable, "the engine does not run yet"))
    }
}

impl fmt::Debug for LocalPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The engine has this peer's peers, which have this peer.
        write!(f, "LocalPeer({})", self.id)
    }
}

#[async_trait]
impl Site for LocalPeer {
    fn id(&self) -> &SiteId {
        &self.id
    }

    async fn execute(&self, request: FragmentRequest) -> Result<FragmentStream> {
        let fragment = ReceivedFragment::new(request.head, request.plan.encoded()?.clone());
        let rows = server::run_fragment(self.engine()?, fragment).await?;
        let hashed = server::hashed_columns(&rows);
        Ok(fragment_items(rows, move || hashed.of_result()))
    }

    async fn decisions(&self, head: &FragmentHead, asked: &DecisionRequest) -> Result<Vec<PortDecision>> {
        let sent = ReceivedFragment::new(head.clone(), EncodedPlan::default());
        server::decide_ports(self.engine()?, sent, asked.clone()).await
    }
}

#[async_trait]
impl Peer for LocalPeer {
    async fn catalog(&self, known: Option<&str>) -> Result<PeerCatalog> {
        let answer = server::catalog(self.engine()?, known, CatalogReader::TrustedNode);
        Ok(PeerCatalog::without_key(&self.id, answer))
    }
}

/// The engines of the owners `hr` and `shop`, and of a gateway.
#[derive(Debug)]
pub struct LocalMesh {
    /// The owner of the governed domain.
    pub hr: Engine,
    /// The gateway.
    pub gateway: Engine,
    shop: Engine,
}

impl LocalMesh {
    /// Starts the engines, each with so many partitions.
    pub async fn start(hr: LocalDomain, shop: LocalDomain, cpu_threads: usize) -> Self {
        let (to_hr, to_shop) = (LocalPeer::new("hr"), LocalPeer::new("shop"));
        // Measured links would change plans from run to run.
        let link = LinkOverride { latency: Some(Duration::from_millis(1)), bandwidth: Some(1e8) };
        let options = || PeerOptions { link, ..PeerOptions::default() };
        let builder = || Engine::builder().cpu_threads(cpu_threads).refresh_interval(Duration::from_secs(3600));
        let hr = builder().local_domain(hr).peer_with(to_shop.clone(), options()).build().unwrap();
        let shop = builder().local_domain(shop).peer_with(to_hr.clone(), options()).build().unwrap();
        to_hr.engine.set(hr.clone()).unwrap();
        to_shop.engine.set(shop.clone()).unwrap();
        hr.refresh().await;
        shop.refresh().await;
        let gateway = builder().peer_with(to_hr, options()).peer_with(to_shop, options()).build().unwrap();
        gateway.refresh().await;
        Self { hr, gateway, shop }
    }

    /// Replaces the governed domain.
    pub async fn replace(&self, domain: LocalDomain) {
        self.hr.replace_local_domain(domain);
        self.shop.refresh().await;
        self.gateway.refresh().await;
    }

    /// Returns what a principal observes of a statement, at the owner or at the gateway, after these statements.
    pub async fn observed(&self, at_owner: bool, principal: &Principal, settings: &[String], sql: &str) -> Outcome {
        self.observed_in_detail(at_owner, principal, settings, sql).await.0
    }

    /// As [`LocalMesh::observed`], with what the result is made of.
    pub async fn observed_in_detail(
        &self,
        at_owner: bool,
        principal: &Principal,
        settings: &[String],
        sql: &str,
    ) -> (Outcome, Option<ResultDetail>) {
        let engine = if at_owner { &self.hr } else { &self.gateway };
        let session = engine.session(principal.clone());
        let mut detail = None;
        let work = async {
            for setting in settings {
                session.sql(setting).await?.try_collect::<Vec<_>>().await?;
            }
            let stream = session.sql(sql).await?;
            let (schema, progress) = (stream.schema(), stream.progress());
            let rows: Vec<RecordBatch> = stream.try_collect().await?;
            let sizes: Vec<usize> = rows.iter().map(RecordBatch::num_rows).collect();
            let progress = progress.now();
            let edges = progress.edges.iter().map(|edge| format!("{:?} {} {}", edge.domains, edge.rows, edge.bytes));
            detail = Some(ResultDetail {
                label: format!("{:?}, batches of {sizes:?} rows", progress.label),
                edges: progress.edges.iter().all(|edge| edge.finished).then(|| edges.collect()),
            });
            Ok::<_, Error>((schema, rows))
        };
        let result = tokio::time::timeout(TIMEOUT, work).await;
        let outcome = Outcome::of(sql, result.unwrap_or_else(|_| panic!("{sql} takes too long")));
        (outcome, detail)
    }
}

/// What the result of a statement is made of.
#[derive(Debug)]
pub struct ResultDetail {
    /// The label, and the rows of each batch.
    pub label: String,
    /// The rows and the bytes of each edge; `None` if a reader stopped one of them early, which is a matter of time.
    pub edges: Option<Vec<String>>,
}

/// Returns a domain with one product `samples`, whose ports have these rows, and these policies.
pub fn domain(name: &str, ports: &[(&str, Vec<RecordBatch>)], policies: &str) -> LocalDomain {
    domain_with_key(name, ports, policies, None)
}

/// Returns a domain as [`domain`] does, at a node with this key for masks.
pub fn domain_with_key(
    name: &str,
    ports: &[(&str, Vec<RecordBatch>)],
    policies: &str,
    mask_key: Option<MaskKey>,
) -> LocalDomain {
    let described = ports
        .iter()
        .map(|(port, rows)| Port::new(PortRef::new(name, "samples", *port)).with_columns(columns(&rows[0].schema())));
    let rows_of = |port: &PortRef| {
        let found = ports.iter().find(|(name, _)| *name == port.port.as_str());
        found.map(|(_, rows)| rows.clone()).unwrap_or_default()
    };
    let domain = local_domain(catalog(name, described), rows_of);
    if policies.is_empty() {
        return domain;
    }
    domain.with_policies(PolicyFiles { mask_key, ..PolicyFiles::of_product("samples", policies) })
}
