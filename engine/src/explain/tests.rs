//! Tests of EXPLAIN in every format, for a planned query and for one that ran.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use datafusion::physical_plan::empty::EmptyExec;
use futures::TryStreamExt;
use layout::gv::DotParser;
use portolan_catalog::DomainName;

use super::*;
use crate::fake_mesh::{FakePeer, analysed, gateway, owned, rules_of, state_of, tpch_domain};
use crate::mesh::Link;
use crate::plan::{Alternative, Cost, Decision, Edge, Fragment, KeyPlan, Placed, SiteChoice, Strategy};
use crate::{Engine, ErrorKind, Principal, Settings, planner};

/// Returns the rows of an EXPLAIN.
async fn explain(engine: &Engine, sql: &str) -> Vec<(String, String)> {
    let batches: Vec<RecordBatch> = engine.sql(sql).await.unwrap().try_collect().await.unwrap();
    let rows = batches.iter().flat_map(|b| {
        let (kinds, plans) = (b.column(0).as_string::<i32>(), b.column(1).as_string::<i32>());
        (0..b.num_rows()).map(|i| (kinds.value(i).to_owned(), plans.value(i).to_owned())).collect::<Vec<_>>()
    });
    rows.collect()
}

fn kinds(rows: &[(String, String)]) -> Vec<&str> {
    rows.iter().map(|(kind, _)| kind.as_str()).collect()
}

const ACROSS: &str = "SELECT c_name, n_name FROM sales.customers.customer JOIN geo.places.nation \
                      ON c_nationkey = n_nationkey WHERE c_acctbal > 0";

#[tokio::test]
async fn it_tells_sites_fragments_and_reasons() {
    let rows = explain(&gateway().await, &format!("EXPLAIN {ACROSS}")).await;
    assert_eq!(kinds(&rows), ["placement", "edges", "fragment 1", "fragment 2"]);
    let placement = &rows[0].1;
    assert!(placement.contains("here: combines geo at grpc://geo with sales at grpc://sales"), "{placement}");
    assert!(placement.contains("=> fragment 1 at geo"), "{placement}");
    assert!(placement.contains("=> fragment 2 at sales"), "{placement}");
    let edges: Vec<_> = rows[1].1.lines().collect();
    assert!(edges[0].starts_with("edge  from"), "{edges:?}");
    assert!(edges[2].starts_with("   2  sales (grpc://sales)  gather    "), "{edges:?}");
    let fragment = &rows[3].1;
    assert!(fragment.starts_with("at sales (grpc://sales), about 136363 rows\nSELECT"), "{fragment}");
    assert!(fragment.contains("c_acctbal"), "{fragment}");
}

#[tokio::test]
async fn verbose_shows_the_plan_after_every_pass() {
    let rows = explain(&gateway().await, &format!("EXPLAIN VERBOSE {ACROSS}")).await;
    let passes = ["analyse", "govern", "normalise", "enclose", "order", "widen", "split", "place", "cut", "share"];
    assert_eq!(kinds(&rows)[..10], passes.map(|p| format!("logical_plan after {p}")));
    assert_eq!(kinds(&rows)[10..], ["placement", "edges", "fragment 1", "fragment 2", "physical"]);
    let plan = |i: usize| rows[i].1.as_str();
    assert!(plan(0).contains("TableScan: sales.customers.customer\n"), "{}", plan(0));
    assert!([1, 3, 5, 6, 9].into_iter().all(|unchanged| plan(unchanged) == "same as above"));
    assert!(plan(2).contains("TableScan: geo.places.nation projection=[n_nationkey, n_name]"), "{}", plan(2));
    assert!(plan(4).contains("geo.places.nation.n_nationkey = sales.customers.customer.c_nationkey"), "{}", plan(4));
    assert!(plan(7).contains("[here: combines geo at grpc://geo with sales at grpc://sales]"), "{}", plan(7));
    assert!(plan(7).contains("n_name]  [at grpc://geo]\n"), "{}", plan(7));
    assert!(plan(8).contains("Exchange: fragment 1 at grpc://geo"), "{}", plan(8));
    assert!(plan(14).contains("RemoteScanExec: fragment=2, site=grpc://sales"), "{}", plan(13));
}

#[tokio::test]
async fn verbose_says_what_changes_nothing() {
    let rows = explain(&gateway().await, "EXPLAIN VERBOSE SELECT 1 AS one").await;
    let same: Vec<_> = rows.iter().filter(|(_, plan)| plan == "same as above").map(|(kind, _)| kind.as_str()).collect();
    let unchanged = ["govern", "normalise", "enclose", "order", "widen", "split", "place", "cut", "share"];
    assert_eq!(same, unchanged.map(|p| format!("logical_plan after {p}")));
}

#[tokio::test]
async fn verbose_is_text() {
    let sql = format!("EXPLAIN (VERBOSE, FORMAT JSON) {ACROSS}");
    let error = gateway().await.sql(&sql).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    assert!(error.context().contains("EXPLAIN VERBOSE writes text"), "{error}");
}

#[tokio::test]
async fn a_setting_is_a_reason() {
    let session = gateway().await.session(Principal::anonymous());
    session.set("portolan.placement", "off").unwrap();
    let batches: Vec<RecordBatch> =
        session.sql(&format!("EXPLAIN {ACROSS}")).await.unwrap().try_collect().await.unwrap();
    let text = batches[0].column(1).as_string::<i32>().value(0).to_owned();
    assert!(text.contains("here: portolan.placement is off"), "{text}");
}

#[tokio::test]
async fn it_asks_no_node() {
    let peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let engine = Engine::builder().cpu_threads(1).peer(peer.clone()).build().unwrap();
    engine.refresh().await;
    peer.go_down();
    let rows = explain(&engine, "EXPLAIN SELECT r_name FROM geo.places.region").await;
    assert_eq!(kinds(&rows), ["placement", "edges", "fragment 1"]);
}

#[tokio::test]
async fn analyze_tells_what_crossed_each_edge_and_what_was_done_there() {
    let peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let names: ArrayRef = Arc::new(StringViewArray::from_iter_values(["ASIA", "EUROPE"]));
    peer.give(RecordBatch::try_from_iter([("r_name", names)]).unwrap());
    let engine = Engine::builder().cpu_threads(1).peer(peer).build().unwrap();
    engine.refresh().await;
    let rows = explain(&engine, "EXPLAIN ANALYZE SELECT r_name FROM geo.places.region").await;
    assert_eq!(kinds(&rows), ["placement", "edges", "estimates", "fragment 1", "edge 1", "here"]);
    assert!(rows[0].1.starts_with("=> fragment 1 at geo  (2 rows, expected 5: q-error 2.5)"), "{}", rows[0].1);
    assert!(rows[1].1.lines().nth(1).unwrap().ends_with("       5     2      2.5     151 B   77 B"), "{}", rows[1].1);
    assert_eq!(rows[2].1, "q-error: median 2.5, largest 2.5 (edge 1), of 1 compared");
    let edge = &rows[4].1;
    assert!(edge.starts_with("from geo (grpc://geo): 2 rows, 77 bytes, first batch after "), "{edge}");
    assert!(edge.ends_with("FakeExec, metrics=[]"), "{edge}");
    assert!(rows[5].1.contains("RemoteScanExec"), "{}", rows[5].1);
    assert!(rows[5].1.contains("output_rows=2"), "{}", rows[5].1);
}

#[tokio::test]
async fn analyze_of_a_query_that_fails_fails() {
    let engine = gateway().await;
    let error = engine.sql("EXPLAIN ANALYZE SELECT r_name FROM geo.places.region").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
    assert!(error.chain().contains("domain geo at grpc://geo"), "{}", error.chain());
}

const THREE_DOMAINS: &str = "SELECT n_name, s_name, sum(l_extendedprice) AS sold FROM sales.orders.lineitem \
    JOIN supply.suppliers.supplier ON l_suppkey = s_suppkey JOIN geo.places.nation ON s_nationkey = n_nationkey \
    WHERE l_shipdate > DATE '1998-01-01' AND n_name < 'F' GROUP BY n_name, s_name ORDER BY sold DESC LIMIT 5";

/// Returns a possible result of the planner for that query. The planner does not decide it, so that changes in the
/// planner change nothing here.
async fn weighed() -> Planned {
    let engine = gateway().await;
    let plan = analysed(&engine, THREE_DOMAINS).await;
    let mut planned = planner::plan(
        &state_of(&engine),
        &plan,
        &Settings::default(),
        &engine.inner().mesh.view(),
        &rules_of(&engine),
        true,
    )
    .unwrap();
    let fragments = planned.fragments.iter().map(|f| {
        let (keys, strategy, rows_whole, rows) = match f.domain_list().as_str() {
            "sales" => (Some("supply"), Strategy::Keys, 120_000.0, 9_000.0),
            "geo" => (None, Strategy::Delegate, 25.0, 5.0),
            _ => (None, Strategy::Gather, 10_000.0, 10_000.0),
        };
        let keys = keys.map(|from| KeyPlan {
            probe_distinct: 0.0,
            wait: std::time::Duration::from_secs(2),
            form: None,
            keys: 750.0,
            from: vec![from.to_owned()],
            adapt_factor: 4.0,
        });
        Arc::new(Fragment {
            is_hidden: f.is_hidden,
            number: f.number,
            site: f.site.clone(),
            domains: f.domains.clone(),
            plan: f.plan.clone(),
            sent: f.sent.clone(),
            schema: f.schema.clone(),
            rows: Some(rows as usize),
            edge: Edge { strategy, keys, link: Link::default(), rows_whole, rows, row_bytes: 24.0 },
        })
    });
    planned.fragments = fragments.collect();
    decide(&mut planned.placed);
    planned
}

/// Sets a decision for joins, and the rows of every operator.
fn decide(placed: &mut Placed) {
    placed.rows = 9_000.0;
    if placed.site == SiteChoice::Here && matches!(placed.plan, LogicalPlan::Join(_)) {
        let way =
            |what: &str, bytes, milliseconds| Alternative { what: what.into(), cost: Cost { bytes, milliseconds } };
        placed.decision = Some(Decision {
            chosen: way("keys from supply", 216_000.0, 12.4),
            runners_up: vec![way("gather", 2.88e6, 31.0), way("delegate to sales", 3.1e6, 2_400.0)],
        });
    }
    placed.inputs.iter_mut().for_each(decide);
}

async fn written(format: Format) -> Vec<(String, String)> {
    let physical: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(schema()));
    rows(&weighed().await, &physical, ExplainOptions { format, ..ExplainOptions::default() }, None).unwrap()
}

#[tokio::test]
async fn it_tells_what_was_weighed() {
    let rows = written(Format::Text).await;
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!(format!("{}\n\n{}", rows[0].1, rows[1].1));
    });
}

#[tokio::test]
async fn json_is_one_document() {
    let rows = written(Format::Json).await;
    assert_eq!(kinds(&rows), ["json"]);
    let document: serde_json::Value = serde_json::from_str(&rows[0].1).unwrap();
    assert_eq!(document["sites"].as_array().unwrap().len(), 3);
    let sales = document["fragments"].as_array().unwrap().iter().find(|f| f["domains"][0] == "sales").unwrap();
    assert_eq!(sales["edge"]["strategy"], "keys");
    assert_eq!(sales["edge"]["keys"]["from"], "supply");
    assert_eq!((&sales["edge"]["rows"], &sales["edge"]["bytes"]), (&9_000.into(), &216_000.into()));
    assert_eq!(sales["decision"]["runners_up"][0]["what"], "gather");
    assert!(sales["sql"].as_str().unwrap().contains("l_shipdate"));
    assert!(sales.get("actual").is_none(), "it did not run");
    assert_eq!(document["plan"]["site"], "here");
}

#[tokio::test]
async fn graphviz_can_be_read_back() {
    let rows = written(Format::Graphviz).await;
    assert_eq!(kinds(&rows), ["graphviz"]);
    let dot = &rows[0].1;
    assert!(dot.contains("subgraph cluster_1 {\n    label=\"geo at grpc://geo\";"), "{dot}");
    assert!(dot.contains("keys from supply (about 750)\\n9.0 k rows, 216 kB\", penwidth=4"), "{dot}");
    DotParser::new(dot).process().unwrap();
}

#[tokio::test]
async fn svg_is_well_formed_and_shows_every_fragment() {
    let rows = written(Format::Svg).await;
    assert_eq!(kinds(&rows), ["svg"]);
    let svg = &rows[0].1;
    if let Ok(file) = std::env::var("PORTOLAN_KEEP_SVG") {
        std::fs::write(file, svg).unwrap();
    }
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && svg.ends_with("</svg>\n"), "{svg}");
    for text in ["fragment 1<", "fragment 2<", "fragment 3<", ">reads lineitem<", ">9.0 k rows, 216 kB<", ">result<"] {
        assert!(svg.contains(text), "{text}: {svg}");
    }
    // Elements without content are self-closing. Those with text contain no other element.
    for line in svg.lines().filter(|l| !l.starts_with("<svg") && !l.starts_with("</svg")) {
        let text = line.strip_prefix("<text ").and_then(|l| l.strip_suffix("</text>"));
        let text = text.and_then(|l| l.split_once('>')).map(|(_, text)| text);
        assert!(line.ends_with("/>") || text.is_some_and(|t| !t.contains(['<', '>'])), "{line}");
    }
}

#[tokio::test]
async fn names_cannot_break_out_of_a_picture() {
    let mut planned = weighed().await;
    let evil = "a\"]; x [label=\"<script>&\u{1b}\\";
    let fragments = planned.fragments.iter().map(|f| {
        let fragment =
            Fragment { domains: [DomainName::new(evil)].into(), rows: f.rows, edge: f.edge.clone(), ..copy(f) };
        Arc::new(fragment)
    });
    planned.fragments = fragments.collect();
    let physical: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(schema()));
    let text = |format| {
        let options = ExplainOptions { format, ..ExplainOptions::default() };
        rows(&planned, &physical, options, None).unwrap().remove(0).1
    };
    let (svg, dot) = (text(Format::Svg), text(Format::Graphviz));
    assert!(svg.contains("&lt;script&gt;&amp; ") && !svg.contains("<script>"), "{svg}");
    assert!(dot.contains("a\\\"]; x [label=\\\"<script>& \\\\\\n"), "{dot}");
    DotParser::new(&dot).process().unwrap();
}

fn copy(f: &Fragment) -> Fragment {
    Fragment {
        number: f.number,
        site: f.site.clone(),
        domains: f.domains.clone(),
        plan: f.plan.clone(),
        sent: f.sent.clone(),
        schema: f.schema.clone(),
        rows: f.rows,
        edge: f.edge.clone(),
        is_hidden: f.is_hidden,
    }
}

#[tokio::test]
async fn a_picture_of_too_much_is_refused() {
    let engine = gateway().await;
    let one = "SELECT c_name AS n FROM sales.customers.customer UNION ALL SELECT s_name FROM supply.suppliers.supplier";
    let sql = format!("EXPLAIN (FORMAT SVG) {}", vec![one; 80].join(" UNION ALL "));
    let error = engine.sql(&sql).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.context().contains("FORMAT JSON"), "{error}");
}

#[tokio::test]
async fn operators_here_are_compared_with_what_they_did() {
    let peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 2]));
    peer.give(RecordBatch::try_from_iter([("n_nationkey", keys)]).unwrap());
    let engine = Engine::builder().cpu_threads(1).peer(peer).local_domain(owned(tpch_domain("sales")));
    let engine = engine.build().unwrap();
    engine.refresh().await;
    let sql = "EXPLAIN (ANALYZE, FORMAT JSON) SELECT count(c_name) FROM sales.customers.customer \
               RIGHT JOIN geo.places.nation ON c_nationkey = n_nationkey";
    let rows = explain(&engine, sql).await;
    let document: serde_json::Value = serde_json::from_str(&rows[0].1).unwrap();
    let mut joins = vec![];
    fn find<'a>(operator: &'a serde_json::Value, joins: &mut Vec<&'a serde_json::Value>) {
        if operator["operator"].as_str().unwrap().contains("Join") {
            joins.push(operator);
        }
        operator["inputs"].as_array().unwrap().iter().for_each(|i| find(i, joins));
    }
    find(&document["plan"], &mut joins);
    assert_eq!(joins.len(), 1, "{}", rows[0].1);
    assert_eq!(joins[0]["actual"]["rows"], 3, "{}", rows[0].1);
    assert_eq!(document["fragments"][0]["actual"]["rows"], 3);
    assert_eq!(document["plan"]["actual"]["rows"], 1);
    assert!(document["q_error"]["compared"].as_u64().unwrap() >= 1);
}

#[tokio::test]
async fn an_explain_of_an_explain_is_refused() {
    let error = gateway().await.sql("EXPLAIN EXPLAIN SELECT 1").await.unwrap_err();
    assert!(error.context().contains("another EXPLAIN"), "{error}");
}
