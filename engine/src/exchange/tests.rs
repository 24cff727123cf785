//! Joins across two owners that run in this process. They check the request to the second owner after the first has
//! answered, and that the rows are the same as without keys.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::Int64Type;
use arrow::util::pretty::pretty_format_batches;
use async_trait::async_trait;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::physical_plan::{collect, execute_stream};
use portolan_connectors::{FragmentHead, FragmentRequest, FragmentStream, Peer, PeerCatalog, Site, SiteId};

use super::{LiveEdges, Physical};
use crate::encode::decode;
use crate::fake_mesh::{OwnerPeer, analysed, rules_of, state_of};
use crate::mesh::Link;
use crate::metrics::Metrics;
use crate::plan::{Exchange, Fragment, KeyPlan};
use crate::state::QueryContext;
use crate::{Engine, Limits, Principal, Settings, StrategyChoice, planner};
use portolan_connectors::KeyForm;

/// The rows of the larger port: `k` runs through 0..1000 and is sometimes NULL, `t` is `k` in words, and `v` numbers
/// the rows.
const PROBE_ROWS: i64 = 5000;

fn table(rows: impl Iterator<Item = (Option<i64>, i64)>) -> RecordBatch {
    let (keys, values): (Vec<_>, Vec<_>) = rows.unzip();
    let words: StringViewArray = keys.iter().map(|k: &Option<i64>| k.map(|k| format!("word {}", k % 7))).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new(Int64Array::from(keys))),
        ("t", Arc::new(words)),
        ("v", Arc::new(Int64Array::from(values))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
}

fn probe() -> RecordBatch {
    table((0..PROBE_ROWS).map(|v| ((v % 50 != 0).then_some(v % 1000), v)))
}

/// Returns 100 scattered keys. Some occur twice, some are NULL, and some match nothing.
fn build() -> RecordBatch {
    table((0..120).map(|v| ((v % 40 != 0).then_some((v % 100) * 37 % 1500), v)))
}

/// Returns the number of rows of `probe` that have a key of `build`.
fn matching() -> u64 {
    let keys = |batch: RecordBatch| batch.column(0).as_primitive::<Int64Type>().iter().flatten().collect::<Vec<_>>();
    let wanted = keys(build());
    keys(probe()).into_iter().filter(|k| wanted.contains(k)).count() as u64
}

pub(super) struct Mesh {
    pub(super) gateway: Engine,
    small: Arc<OwnerPeer>,
    large: Arc<OwnerPeer>,
}

impl Mesh {
    pub(super) async fn new() -> Self {
        let small = OwnerPeer::new("small", &[("build", build()), ("none", build().slice(0, 0))]);
        let large = OwnerPeer::new("large", &[("probe", probe())]);
        let gateway = Engine::builder().cpu_threads(2).peer(small.clone()).peer(large.clone()).build().unwrap();
        gateway.refresh().await;
        Self { gateway, small, large }
    }

    /// Plans a query whose fragments at `large` have this key plan.
    pub(super) async fn plan(&self, sql: &str, keys: Option<KeyPlan>, rows_known: bool) -> Physical {
        plan(&self.gateway, sql, keys, rows_known, Limits::default().key_bytes).await
    }

    pub(super) async fn run(&self, sql: &str, keys: Option<KeyPlan>, rows_known: bool) -> QueryRun {
        let physical = self.plan(sql, keys, rows_known).await;
        let batches = collect(physical.plan.clone(), physical.state.task_ctx()).await.unwrap();
        QueryRun { rows: sorted(&batches), physical }
    }

    /// Returns the plan of the last request to `large`.
    pub(super) fn last_plan(&self) -> String {
        let request = self.large.requests().pop().expect("there was a request");
        let view = self.large.engine.inner().mesh.view();
        decode(request.plan.encoded().unwrap(), &view).unwrap().display_indent().to_string()
    }
}

pub(super) struct QueryRun {
    pub(super) rows: Vec<String>,
    physical: Physical,
}

/// Returns the lines of a table of the rows, sorted.
pub(super) fn sorted(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let mut rows: Vec<_> = text.lines().map(str::to_owned).collect();
    rows.sort();
    rows
}

impl QueryRun {
    /// Returns the number of rows that crossed the edge from `large`.
    fn crossed(&self) -> u64 {
        let edges = self.physical.edges.all();
        let edge = edges.iter().find(|e| e.fragment().site.as_str() == "grpc://large").unwrap();
        edge.counters().rows.load(Ordering::Relaxed)
    }

    fn report(&self) -> super::keys::KeyReport {
        self.physical.edges.all().iter().find_map(|e| e.key_report()).expect("there is a report")
    }
}

async fn plan(engine: &Engine, sql: &str, keys: Option<KeyPlan>, rows_known: bool, key_bytes: usize) -> Physical {
    let (state, view) = (state_of(engine), engine.inner().mesh.view());
    // The left side of each join is the build side, as written, and this node requests every fragment.
    let settings = Settings { join_order: false, strategy: vec![StrategyChoice::Gather], ..Settings::default() };
    let planned =
        planner::plan(&state, &analysed(engine, sql).await, &settings, &view, &rules_of(engine), false).unwrap();
    let with_keys = |fragment: &Fragment| {
        let mut edge = fragment.edge.clone();
        edge.keys = keys.clone().filter(|_| fragment.site.as_str() == "grpc://large");
        (edge.rows_whole, edge.row_bytes) = (PROBE_ROWS as f64, 100.0);
        edge.link = Link { latency: Duration::from_millis(1), bandwidth: 1e7 };
        Arc::new(Fragment { rows: fragment.rows.filter(|_| rows_known), edge, ..fragment.clone() })
    };
    let plan = planned.plan.transform_up_with_subqueries(|node| {
        Ok(match Exchange::of(&node) {
            Some(exchange) => Transformed::yes(LogicalPlan::Extension(Extension {
                node: Arc::new(Exchange { fragment: with_keys(&exchange.fragment), running: None }),
            })),
            None => Transformed::no(node),
        })
    });
    let query = QueryContext::new(head(), key_bytes, Metrics::new(None));
    Physical::of(&plan.unwrap().data, state, LiveEdges::new(view, Arc::new(query))).await.unwrap()
}

/// Returns the head of a query that starts here.
pub(super) fn head() -> FragmentHead {
    FragmentHead::new("q", Principal::anonymous(), Instant::now() + Duration::from_secs(60))
}

pub(super) fn keys(form: Option<KeyForm>) -> Option<KeyPlan> {
    Some(KeyPlan {
        wait: Duration::from_secs(20),
        form,
        keys: 100.0,
        probe_distinct: 1000.0,
        from: vec!["small".to_owned()],
        adapt_factor: 4.0,
    })
}

pub(super) const INNER: &str = "SELECT b.v, p.v, p.t FROM small.p.build b JOIN large.p.probe p ON b.k = p.k";
const COMPOSITE: &str = "SELECT b.v, p.v FROM small.p.build b JOIN large.p.probe p ON b.k = p.k AND b.t = p.t";

#[tokio::test]
async fn every_form_cuts_the_scan_and_keeps_the_result() {
    let mesh = Mesh::new().await;
    let exact = matching();
    for sql in [INNER, COMPOSITE] {
        let whole = mesh.run(sql, None, true).await;
        assert!(whole.crossed() > PROBE_ROWS as u64 * 9 / 10, "{}", whole.crossed());
        for (form, word) in [
            (KeyForm::Literals, "IN ("),
            (KeyForm::Batch, "portolan_in_keys("),
            (KeyForm::Bloom, "portolan_in_bloom("),
            (KeyForm::Range, ">="),
        ] {
            for rows_known in [true, false] {
                let ran = mesh.run(sql, keys(Some(form)), rows_known).await;
                assert_eq!(ran.rows, whole.rows, "{form:?}");
                let (report, sent) = (ran.report(), mesh.last_plan());
                if sql == COMPOSITE && form == KeyForm::Literals {
                    assert!(report.to_string().contains("do not fit"), "{report}");
                    continue;
                }
                assert!(sent.contains(word), "{form:?}: {sent}");
                assert_eq!(report.forms, [form], "{report}");
                let crossed = ran.crossed();
                match form {
                    KeyForm::Literals | KeyForm::Batch => assert_eq!(crossed, exact, "{form:?}"),
                    KeyForm::Bloom => assert!((exact..exact + 500).contains(&crossed), "{crossed}"),
                    // NULLs are dropped.
                    KeyForm::Range => assert!((exact..whole.crossed()).contains(&crossed), "{crossed}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn the_cheapest_form_is_chosen_and_reported() {
    let mesh = Mesh::new().await;
    let ran = mesh.run(INNER, keys(None), true).await;
    let report = ran.report();
    assert_eq!((report.forms.as_slice(), report.keys), (&[KeyForm::Batch][..], Some(98)), "{report}");
    assert!(!report.deviates && report.bytes > 0, "{report}");
    let edges = ran.physical.edges.all();
    let counters = edges.iter().find(|e| e.key_report().is_some()).unwrap().counters();
    assert_eq!(counters.bytes_sent.load(Ordering::Relaxed), report.bytes as u64);
    let surprised = KeyPlan { keys: 4.0, ..keys(None).unwrap() };
    let report = mesh.run(INNER, Some(surprised), true).await.report();
    assert!(report.deviates, "{report}");
    assert!(report.to_string().starts_with("98 keys (4 expected, far from the estimate), sent as "), "{report}");
}

#[tokio::test]
async fn nulls_mean_the_same_in_every_kind_of_join() {
    let mesh = Mesh::new().await;
    for sql in [
        INNER,
        COMPOSITE,
        "SELECT b.v, p.v FROM small.p.build b LEFT JOIN large.p.probe p ON b.k = p.k",
        "SELECT b.v, p.v FROM small.p.build b RIGHT JOIN large.p.probe p ON b.k = p.k",
        "SELECT b.v, p.v FROM small.p.build b FULL JOIN large.p.probe p ON b.k = p.k",
        "SELECT b.v, p.v FROM small.p.build b JOIN large.p.probe p ON b.k IS NOT DISTINCT FROM p.k",
        "SELECT b.v, p.v FROM small.p.build b JOIN large.p.probe p ON (b.k IS NOT DISTINCT FROM p.k) \
         AND (b.t IS NOT DISTINCT FROM p.t)",
        "SELECT v FROM small.p.build WHERE k IN (SELECT k FROM large.p.probe)",
        "SELECT v FROM small.p.build WHERE k NOT IN (SELECT k FROM large.p.probe)",
        "SELECT v FROM small.p.build WHERE k NOT IN (SELECT k FROM large.p.probe WHERE k IS NOT NULL)",
        "SELECT v FROM small.p.build b WHERE NOT EXISTS (SELECT 1 FROM large.p.probe p WHERE p.k = b.k)",
        "SELECT v FROM large.p.probe WHERE k IN (SELECT k FROM small.p.build)",
        "SELECT v FROM large.p.probe WHERE k NOT IN (SELECT k FROM small.p.build WHERE k IS NOT NULL)",
        "SELECT k FROM small.p.build INTERSECT SELECT k FROM large.p.probe",
        "SELECT k FROM small.p.build EXCEPT SELECT k FROM large.p.probe",
        "SELECT v FROM small.p.none WHERE k NOT IN (SELECT k FROM large.p.probe)",
        "SELECT n.v, p.v FROM small.p.none n RIGHT JOIN large.p.probe p ON n.k = p.k",
        // A semi join passes on the name of a key, which means another column on its other side.
        "SELECT d.v, q.v FROM small.p.build d JOIN (SELECT f.k, f.v FROM small.p.build f WHERE EXISTS \
         (SELECT 1 FROM large.p.probe r WHERE r.v = f.k AND r.k <> f.v)) q ON d.k = q.k",
        // So does the name that an aggregate gives a group.
        "SELECT b.v, g.s FROM small.p.build b JOIN (SELECT v AS k, sum(w) AS s FROM \
         (SELECT p.v, p.k, f.v AS w FROM large.p.probe p JOIN small.p.build f ON p.v = f.v) GROUP BY v) g ON b.v = g.k",
        "SELECT b.v, p.n FROM small.p.build b JOIN (SELECT k, count(*) AS n FROM large.p.probe GROUP BY k) p ON b.k = p.k",
        "SELECT b.v, p.v FROM small.p.build b JOIN (SELECT k, v FROM large.p.probe ORDER BY v DESC LIMIT 50) p ON b.k = p.k",
        "SELECT b.v, p.d FROM small.p.build b JOIN (SELECT 100 / k AS d, k FROM large.p.probe WHERE k > 0) p ON b.k = p.d",
    ] {
        for rows_known in [true, false] {
            let whole = mesh.run(sql, None, rows_known).await;
            for form in KeyForm::ALL {
                let ran = mesh.run(sql, keys(Some(form)), rows_known).await;
                assert_eq!(ran.rows, whole.rows, "{form:?}, rows known {rows_known}: {sql}\n{}", mesh.last_plan());
            }
        }
    }
}

#[tokio::test]
async fn an_owner_gets_no_request_if_no_row_can_match() {
    let mesh = Mesh::new().await;
    for rows_known in [true, false] {
        let sql = "SELECT n.v, p.v FROM small.p.none n JOIN large.p.probe p ON n.k = p.k";
        let ran = mesh.run(sql, keys(None), rows_known).await;
        assert_eq!((ran.crossed(), mesh.large.requests().len()), (0, 0), "{rows_known}");
        assert_eq!(mesh.small.requests().len(), 1 + usize::from(!rows_known));
    }
}

#[tokio::test]
async fn a_scan_does_not_wait_for_longer_than_it_may() {
    let mesh = Mesh::new().await;
    let whole = mesh.run(INNER, None, true).await;
    // This owner answers only after the other one has got its request, so there are no keys before.
    let large = OwnerPeer::new("large", &[("probe", probe())]);
    let small = Arc::new(Silent {
        inner: mesh.small.clone(),
        after: Some(large.clone()),
        requests: Mutex::default(),
        cancelled: Arc::default(),
    });
    let gateway = Engine::builder().cpu_threads(2).peer(small).peer(large.clone()).build().unwrap();
    gateway.refresh().await;
    let mesh = Mesh { gateway, small: mesh.small.clone(), large };
    let plan = KeyPlan { wait: Duration::from_millis(20), ..keys(None).unwrap() };
    let ran = mesh.run(INNER, Some(plan), true).await;
    assert_eq!((&ran.rows, ran.crossed()), (&whole.rows, whole.crossed()));
    assert!(ran.report().to_string().contains("did not come within 20 ms"), "{}", ran.report());
}

#[tokio::test]
async fn keys_are_not_sent_for_a_computed_column() {
    let mesh = Mesh::new().await;
    let sql = "SELECT b.v, p.d FROM small.p.build b \
               JOIN (SELECT 100 / k AS d FROM large.p.probe WHERE k > 0) p ON b.k = p.d";
    let ran = mesh.run(sql, keys(None), true).await;
    assert!(ran.report().to_string().contains("computed at its owner"), "{}", ran.report());
    assert!(!mesh.last_plan().contains("portolan_in"), "{}", mesh.last_plan());
}

#[tokio::test]
async fn keys_beyond_the_limit_stay_here() {
    let mesh = Mesh::new().await;
    let physical = plan(&mesh.gateway, INNER, keys(Some(KeyForm::Batch)), true, 10).await;
    collect(physical.plan.clone(), physical.state.task_ctx()).await.unwrap();
    let report = physical.edges.all().iter().find_map(|e| e.key_report()).unwrap();
    assert!(report.forms.is_empty() && report.to_string().contains("do not fit"), "{report}");
    assert!(mesh.large.requests().pop().unwrap().plan.encoded().unwrap().keys.is_empty());
}

/// A peer that answers after another peer has got a request, or never. It counts its requests, and records if a client
/// cancelled one.
#[derive(Debug)]
struct Silent {
    inner: Arc<OwnerPeer>,
    after: Option<Arc<OwnerPeer>>,
    requests: Mutex<usize>,
    cancelled: Arc<AtomicBool>,
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Site for Silent {
    fn id(&self) -> &SiteId {
        self.inner.id()
    }

    async fn execute(&self, request: FragmentRequest) -> crate::Result<FragmentStream> {
        *self.requests.lock().unwrap() += 1;
        let _cancelled = SetOnDrop(self.cancelled.clone());
        match &self.after {
            Some(other) => until(|| !other.requests().is_empty()).await,
            None => futures::future::pending().await,
        }
        self.inner.execute(request).await
    }
}

#[async_trait]
impl Peer for Silent {
    async fn catalog(&self, known: Option<&str>) -> crate::Result<PeerCatalog> {
        self.inner.catalog(known).await
    }
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the condition never became true");
}

#[tokio::test]
async fn both_sides_start_at_once_and_stop_when_dropped() {
    let small = Arc::new(Silent {
        inner: OwnerPeer::new("small", &[("build", build())]),
        after: None,
        requests: Mutex::default(),
        cancelled: Arc::default(),
    });
    let large = OwnerPeer::new("large", &[("probe", probe())]);
    let engine = Engine::builder().cpu_threads(2).peer(small.clone()).peer(large.clone()).build().unwrap();
    engine.refresh().await;
    let physical = plan(&engine, INNER, None, true, 0).await;
    let stream = execute_stream(physical.plan.clone(), physical.state.task_ctx()).unwrap();
    // Nobody reads yet.
    until(|| *small.requests.lock().unwrap() == 1 && large.requests().len() == 1).await;
    assert!(!small.cancelled.load(Ordering::Relaxed));
    // The plan keeps the state that its operators share.
    drop((stream, physical));
    until(|| small.cancelled.load(Ordering::Relaxed)).await;

    let physical = plan(&engine, INNER, keys(None), true, 0).await;
    let stream = execute_stream(physical.plan.clone(), physical.state.task_ctx()).unwrap();
    until(|| *small.requests.lock().unwrap() == 2).await;
    // The scan waits for keys that do not come.
    assert_eq!(large.requests().len(), 1);
    drop(stream);
}
