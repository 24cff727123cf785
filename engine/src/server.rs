//! The interface of an engine for servers and their clients: what `portolan-flight-server`, `portolan-node` and
//! `portolan-cli` need beyond the API for embedding. A program that embeds the engine needs none of it.
//!
//! This module follows the needs of these crates. It may change in each version, also in one that promises no change of
//! the API.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::execution::{SpillFile, TempFileFactory};
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionConfig;
use datafusion::scalar::ScalarValue;
use portolan_catalog::{DomainName, MeshSnapshot};
use portolan_connectors::{
    CatalogAnswer, DecisionRequest, FragmentHead, FragmentSummary, LocalDomain, OwnerKey, Peer, PortDecision,
    ReceivedFragment, SiteId, TraceContext,
};

use crate::derived::DerivedDomain;
use crate::dialect::SPELLINGS;
use crate::exchange::LiveEdges;
use crate::execution::spill::SpillFiles;
use crate::query::visible_ports;
use crate::state::QueryContext;
use crate::{Engine, Error, ErrorKind, Limits, PeerOptions, Prepared, Principal, QueryStream, Result, Session, query};

pub use crate::bounds::MOST_STATEMENT_BYTES;
pub use crate::exchange::{HashedColumns, RemoteScanCodec};
pub use crate::execution::disk::disk_error;
pub use crate::execution::part::RowPart;
pub use crate::mesh::CatalogReader;
pub use crate::metrics::SentEdge;
pub use crate::planner::resolve::files_of;
pub use crate::query::{EstimatedFragment, Relay, RowParts, rows_of};
pub use crate::state::RowAccess;

/// Returns the identity of an engine: each engine of each process has another one. A node recognises itself by it in its
/// own list of peers.
pub fn instance(engine: &Engine) -> String {
    engine.inner().mesh.instance().to_owned()
}

/// Returns the answer to `reader`, who requests the engine's catalog. `known` is the version that the reader has.
pub fn catalog(engine: &Engine, known: Option<&str>, reader: CatalogReader) -> CatalogAnswer {
    engine.inner().mesh.answer(known, reader)
}

/// Returns the answer of [`catalog`] for a principal. Only a trusted node gets the ports that the policies hide from the
/// principal.
pub fn catalog_for(
    engine: &Engine,
    principal: &Principal,
    known: Option<&str>,
    reader: CatalogReader,
) -> CatalogAnswer {
    match reader {
        CatalogReader::TrustedNode => catalog(engine, known, reader),
        CatalogReader::Node | CatalogReader::Other => {
            let answer = |known: Option<&str>| catalog(engine, known, reader);
            visible_ports::catalogs_for(&engine.inner(), principal, known, answer)
        }
    }
}

/// Decides about ports of this node, for the principal of a request that another node sent.
///
/// # Errors
/// `PermissionDenied` beyond the limit on hops; `InvalidQuery` for too many ports.
pub async fn decide_ports(
    engine: &Engine,
    sent: ReceivedFragment,
    asked: DecisionRequest,
) -> Result<Vec<PortDecision>> {
    query::decide_ports(&engine.inner(), sent, asked).await
}

/// Returns the mesh as the principal of a session sees it: without the ports that policies hide from the principal. May
/// ask the owners of ports.
pub async fn mesh_of(session: &Session) -> Arc<MeshSnapshot> {
    visible_ports::view_of(session.handle()).await.snapshot.clone()
}

/// Plans and starts a fragment that another node sent.
///
/// # Errors
/// `InvalidQuery` for bytes that are not a fragment, or for a fragment with anything but known plan nodes over ports;
/// `NotFound` for a port that this node does not have; `PermissionDenied` beyond the limit on hops; `ResourceExhausted`
/// for more bytes of keys than are accepted.
pub async fn run_fragment(engine: &Engine, fragment: ReceivedFragment) -> Result<QueryStream> {
    query::run_fragment(&engine.inner(), fragment).await
}

/// Returns the hashes in the plan of a fragment. Those of the result are known when the first rows or the end have come.
pub fn hashed_columns(rows: &QueryStream) -> Arc<HashedColumns> {
    rows.hashed()
}

/// Estimates a fragment that another node may send. The fragment is planned and not run.
///
/// # Errors
/// As for [`run_fragment`].
pub async fn estimate_fragment(engine: &Engine, fragment: ReceivedFragment) -> Result<EstimatedFragment> {
    query::estimate_fragment(&engine.inner(), fragment).await
}

/// Records that this node does not accept a fragment, because it is forged, was sent before, or came from a node that may
/// not send it. `sender` is the principal that has sent the fragment. Has no effect if the engine keeps no audit records.
pub fn record_unaccepted(engine: &Engine, sender: &Principal, query_id: &str, error: &Error) {
    query::record_unaccepted(&engine.inner(), sender, query_id, error);
}

/// A version of a local domain, with the plans of its derived ports. [`serve_local_domain`] puts it in the place of the
/// present version.
#[derive(Debug)]
pub struct PlannedDomain(DerivedDomain);

/// Plans the queries of a local domain's derived ports. This may take long.
pub fn plan_local_domain(engine: &Engine, domain: LocalDomain) -> PlannedDomain {
    PlannedDomain(engine.planned(domain))
}

/// Replaces a local domain. Peers get it with their next catalog request. Running queries keep the old version.
pub fn serve_local_domain(engine: &Engine, PlannedDomain(domain): PlannedDomain) {
    engine.serve(domain);
}

/// Keeps the present version of a local domain, and marks its products with the reason why the newest version was not
/// loaded.
pub fn report_load_error(engine: &Engine, domain: &DomainName, error: &str) {
    engine.inner().mesh.report_load_error(domain, error);
}

/// Adds a peer, and fetches its catalog in the background, at once and at every refresh interval. If there is a peer with
/// the same identity, the new one takes its place: its domains stay known until it answers.
pub fn add_peer(engine: &Engine, peer: Arc<dyn Peer>, options: PeerOptions) {
    engine.inner().mesh.add_peer(peer, options);
}

/// Removes a peer, and the peers that were learned from it. Running queries go on. Returns false if there is no such
/// peer.
pub fn remove_peer(engine: &Engine, id: &SiteId) -> bool {
    engine.inner().mesh.remove_peer(id)
}

/// Replaces the keys that domains of other nodes are pinned to, as
/// [`EngineBuilder::domain_keys`](crate::EngineBuilder::domain_keys) sets them.
pub fn set_domain_keys(engine: &Engine, keys: BTreeMap<DomainName, Vec<OwnerKey>>) {
    engine.inner().mesh.pin_domains(keys);
}

/// Changes the limits of later queries, and the shares of principals in later sessions. `memory`, `query_memory`,
/// `host_memory` and `spill_bytes` stay as they are.
pub fn set_limits(engine: &Engine, limits: &Limits) {
    engine.inner().set_limits(limits);
}

/// Returns when a thread that drives plans has run a task, which shows that a new principal's query can start. A
/// principal whose own query holds its threads does not keep others from theirs.
///
/// # Errors
/// `Internal` if the task ended abnormally.
pub async fn respond(engine: &Engine) -> Result<()> {
    engine.inner().cpu.run(&Principal::anonymous(), async { Ok(()) }).await
}

/// Returns the names of the scalar functions, each with its chapter in DataFusion's reference.
pub fn functions(engine: &Engine) -> Vec<(String, &'static str)> {
    let state = engine.inner();
    let chapter = |f: &ScalarUDF| f.documentation().map_or("Other Functions", |d| d.doc_section.label);
    let functions = state.base.scalar_functions();
    let spelled = SPELLINGS.iter().filter_map(|spelling| Some((spelling.name.to_owned(), spelling.chapter?)));
    let spelled = spelled.filter(|(name, _)| !functions.contains_key(name));
    functions.iter().map(|(name, function)| (name.clone(), chapter(function))).chain(spelled).collect()
}

/// Returns a configuration with what the remote scans of one query need: the peers of the engine, and the head of the
/// query at the node that plans it. Tasks with the configuration decode and run the parts of a plan that
/// [`RemoteScanCodec`] encoded. Each plan needs its own configuration. Joins of masked columns are checked only where a
/// query is planned, and not in such tasks.
#[must_use]
pub fn with_remote_scans(engine: &Engine, config: SessionConfig, head: FragmentHead) -> SessionConfig {
    let state = engine.inner();
    let query = QueryContext::new(head, state.limits().key_bytes, state.metrics.clone());
    config.with_extension(Arc::new(LiveEdges::new(state.mesh.view(), Arc::new(query))))
}

/// Opens a session for one call of a client that has no session. If the client is anonymous, all calls from its address
/// may see and stop what runs in the session.
pub fn brief_session(engine: &Engine, principal: Principal) -> Session {
    Session::new(engine, principal, true)
}

/// Keeps a [brief](brief_session) session beyond the call that opened it.
pub fn keep(session: &Session) {
    session.handle().shared.keep();
}

/// True if the session has tables or views or runs statements, which would be lost with it.
pub fn is_in_use(session: &Session) -> bool {
    let session = session.handle();
    let tables = &session.shared.tables;
    let has_names = !tables.snapshot().is_empty() || !tables.views().is_empty();
    has_names || session.engine.activity.queries_of(session.id()) > 0
}

/// Creates a file for a result that the client fetches later. Dropping the value removes the file. Its bytes count
/// towards `limits.spill_bytes` and the shares of the principal.
///
/// # Errors
/// `ResourceExhausted` if there is no room.
pub fn result_file(session: &Session) -> Result<Arc<dyn SpillFile>> {
    let session = session.handle();
    let (engine, account) = (&session.engine, &session.shared.account);
    let files = SpillFiles::new(engine.base.runtime_env().disk_manager.clone(), account.kept_results.clone());
    files.create_temp_file("a kept result").map_err(|e| {
        let what = "the spill folder accepts no more files";
        Error::new(ErrorKind::ResourceExhausted, what).for_owner(format!("{what}: {e}"))
    })
}

/// Returns the same statement, whose runs are a part of this span of a client.
#[must_use]
pub fn traced(statement: Prepared, trace: Option<TraceContext>) -> Prepared {
    statement.traced(trace)
}

/// True if the statement changes the session, so that it has no effect in a session that ends with it.
pub fn changes_session(statement: &Prepared) -> bool {
    statement.changes_session()
}

/// True if the statement orders its rows.
pub fn is_ordered(statement: &Prepared) -> bool {
    statement.is_ordered()
}

/// True if the names of the statement have the same meaning as when it was planned.
pub fn is_current(statement: &Prepared) -> bool {
    statement.is_current()
}

/// Returns the statement with the current meaning of its names. It is planned again if the mesh or the session's tables
/// have changed.
///
/// # Errors
/// As [`Session::prepare`].
pub async fn refreshed(statement: &Prepared) -> Result<Prepared> {
    statement.refreshed().await
}

/// Returns the statement with one deadline for all of its runs, which counts from now. Without it, each run has a
/// deadline of its own.
#[must_use]
pub fn with_one_deadline(statement: &Prepared) -> Prepared {
    statement.with_one_deadline()
}

/// Returns the statement with the permission to relay its rows. The rows of each run must then be read in [`parts`].
#[must_use]
pub fn relaying(statement: Prepared, relay: Relay) -> Prepared {
    statement.relaying(relay)
}

/// Returns the rows of a query in parts. If the statement may [relay](relaying) its rows, some parts may be messages of an
/// owner.
pub fn parts(rows: QueryStream) -> RowParts {
    RowParts::of(rows)
}

/// Runs the statement as [`Prepared::execute`] does, for rows that no client has requested yet. The query does not wait
/// for a slot, and leaves about half of the slots to other queries.
///
/// # Errors
/// As [`Prepared::execute`]; `ResourceExhausted` if there is no free slot.
pub async fn execute_speculatively(statement: &Prepared, parameters: &[ScalarValue]) -> Result<QueryStream> {
    statement.execute_speculatively(parameters).await
}

/// Returns the right of the principal to see the rows of a query, which also holds for copies of the rows. `None` for rows
/// that come from no plan, such as those of SHOW.
pub fn access(rows: &QueryStream) -> Option<Arc<RowAccess>> {
    rows.access()
}

/// Returns the counter of the rows that are sent to the node of this fragment.
pub fn edge(rows: &QueryStream) -> SentEdge {
    rows.edge()
}

/// Returns the summary of the query, which is complete when the stream has ended. It includes the metrics of the
/// operators if this is a [fragment](ReceivedFragment) whose sender requests them.
pub fn summary(rows: &QueryStream) -> FragmentSummary {
    rows.summary()
}
