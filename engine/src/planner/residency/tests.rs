//! Tests of the rules about the places of values: in plans, in the requests that owners get, and at an owner whose rows
//! another node wants.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;
use portolan_catalog::{DomainCatalog, DomainName, KeyUse, Port, PortRef, PortStatistics, ProcessedAt, ProductName};
use portolan_connectors::testing::{catalog, columns, local_domain};
use portolan_connectors::{ErrorKind, FragmentHead, LocalDomain, ReceivedFragment};
use portolan_governance::{LayerFiles, PolicyFiles, SourceFile};

use crate::encode::decode;
use crate::fake_mesh::{FakePeer, OwnerPeer, analysed, gateway_of, rules_of, session_over, state_of, tpch_domain};
use crate::plan::{Planned, Strategy};
use crate::planner::plan;
use crate::settings::StrategyChoice;
use crate::{Engine, Principal, Settings, server};

/// The first side is the build side, and so supplies the keys.
const JOIN: &str = "SELECT s_name, c_name FROM supply.suppliers.supplier
                    JOIN sales.customers.customer ON s_suppkey = c_custkey WHERE s_acctbal > 9000";

/// Returns TPC-H's catalog of a domain after `change` of each port.
fn changed(domain: &str, change: impl Fn(&mut Port)) -> DomainCatalog {
    let mut catalog = tpch_domain(domain);
    catalog.products.values_mut().flat_map(|product| product.ports.values_mut()).for_each(change);
    catalog
}

fn declare(port: &mut Port, column: &str, keys: Option<KeyUse>) {
    port.columns.iter_mut().filter(|c| c.name == column).for_each(|c| c.key_use = keys);
}

/// Plans the join with a forced strategy at a gateway whose peers publish changed catalogs. Returns the plan, and the
/// placed operators as text.
async fn planned(strategy: StrategyChoice, change: impl Fn(&mut Port)) -> (Planned, String) {
    let engine = gateway_of(|domain| changed(domain, &change)).await;
    let settings = Settings { join_order: false, strategy: vec![strategy], ..Settings::default() };
    let (state, view, rules) = (state_of(&engine), engine.inner().mesh.view(), rules_of(&engine));
    let planned = plan(&state, &analysed(&engine, JOIN).await, &settings, &view, &rules, false).unwrap();
    let shown = planned.placed.to_string();
    (planned, shown)
}

#[tokio::test]
async fn keys_of_a_guarded_column_are_not_planned() {
    for keys in [None, Some(KeyUse::Ship), Some(KeyUse::Hash), Some(KeyUse::Never)] {
        let (planned, shown) = planned(StrategyChoice::KeysFromLeft, |port| declare(port, "s_suppkey", keys)).await;
        let is_sent = planned.fragments.iter().any(|fragment| fragment.edge.keys.is_some());
        let is_open = keys.is_none_or(|keys| keys == KeyUse::Ship);
        assert_eq!(is_sent, is_open, "{keys:?}: {shown}");
        let reason = "keys not sent: `s_suppkey` of supply.suppliers.supplier may not leave as a key";
        assert_eq!(shown.contains(reason), !is_open, "{keys:?}: {shown}");
        assert_eq!(shown.contains("no encoding of keys hides it"), keys == Some(KeyUse::Hash), "{shown}");
    }
    // A column that is not a key does not matter.
    let (planned, shown) =
        planned(StrategyChoice::KeysFromLeft, |port| declare(port, "s_name", Some(KeyUse::Never))).await;
    assert!(planned.fragments.iter().any(|fragment| fragment.edge.keys.is_some()), "{shown}");
}

#[tokio::test]
async fn a_delegation_that_a_port_does_not_allow_is_never_chosen() {
    let listed = |domain: &str| ProcessedAt::Domains([DomainName::new(domain)].into());
    for (rule, is_allowed) in [
        (ProcessedAt::Any, true),
        (ProcessedAt::Mesh, true),
        (listed("supply"), true),
        (listed("geo"), false),
        (ProcessedAt::Own, false),
    ] {
        let (planned, shown) = planned(StrategyChoice::DelegateToLeft, |port| {
            if port.name.port.as_str() == "customer" {
                port.processed_at = rule.clone();
            }
        })
        .await;
        let is_delegated = planned.fragments.iter().any(|fragment| fragment.edge.strategy == Strategy::Delegate);
        assert_eq!(is_delegated, is_allowed, "{rule}: {shown}");
        let reason = format!(
            "not delegated to grpc://supply: the rows of sales.customers.customer may be processed only \
                              where `portolan.processedAt` allows it: {rule}"
        );
        assert_eq!(shown.contains(&reason), !is_allowed, "{rule}: {shown}");
    }
}

#[tokio::test]
async fn rows_with_a_guarded_column_are_not_delegated() {
    for (column, is_delegated) in [("c_name", false), ("c_custkey", false), ("c_phone", true)] {
        let (planned, shown) =
            planned(StrategyChoice::DelegateToLeft, |port| declare(port, column, Some(KeyUse::Hash))).await;
        let delegated = planned.fragments.iter().any(|fragment| fragment.edge.strategy == Strategy::Delegate);
        assert_eq!(delegated, is_delegated, "{column}: {shown}");
        let reason = format!("`{column}` of sales.customers.customer may not leave with its rows");
        assert_eq!(shown.contains(&reason), !is_delegated, "{column}: {shown}");
    }
}

/// Returns a domain with one port, whose only column has the integers below `end`.
fn domain(name: &str, column: &str, end: i64, keys: Option<KeyUse>, processed_at: ProcessedAt) -> LocalDomain {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..end));
    let rows = RecordBatch::try_from_iter([(column, values.clone()), ("other", values)]).unwrap();
    let mut port = Port::new(PortRef::new(name, "p", "t")).with_columns(columns(&rows.schema()));
    port.statistics = Arc::new(PortStatistics { rows: Some(end as u64), ..PortStatistics::default() });
    port.processed_at = processed_at;
    declare(&mut port, column, keys);
    local_domain(catalog(name, [port]), |_| vec![rows.clone()])
}

fn owner(name: &str, column: &str, end: i64, keys: Option<KeyUse>) -> Arc<OwnerPeer> {
    OwnerPeer::of(domain(name, column, end, keys, ProcessedAt::Any))
}

/// Runs a count at a gateway of these owners, with keys from the left side of each join in a form.
async fn counted(owners: &[&Arc<OwnerPeer>], form: &str, sql: &str) -> i64 {
    let session = session_over(owners.iter().copied()).await;
    for (setting, value) in [("strategy", "keys_from_left"), ("join_order", "off"), ("key_form", form)] {
        session.set(&format!("portolan.{setting}"), value).unwrap();
    }
    let batches: Vec<RecordBatch> = session.sql(sql).await.unwrap().try_collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// True if the last request to an owner has keys, in any form.
fn got_keys(owner: &OwnerPeer) -> bool {
    let request = owner.requests().pop().expect("there was a request");
    let encoded = request.plan.encoded().unwrap();
    let plan = decode(encoded, &owner.engine.inner().mesh.view()).unwrap().display_indent().to_string();
    assert!(encoded.keys.is_empty() || plan.contains("Filter"), "{plan}");
    plan.contains("Filter")
}

#[tokio::test]
async fn an_owner_gets_no_keys_of_a_guarded_column_in_any_form() {
    let sql = "SELECT count(*) FROM one.p.t AS l JOIN two.p.t AS r ON l.x = r.y";
    for keys in [None, Some(KeyUse::Hash), Some(KeyUse::Never)] {
        for form in ["literals", "batch", "bloom", "range"] {
            let (one, two) = (owner("one", "x", 50, keys), owner("two", "y", 5000, None));
            assert_eq!(counted(&[&one, &two], form, sql).await, 50);
            assert_eq!(got_keys(&two), keys.is_none(), "{keys:?} as {form}");
        }
    }
    // The same values under another name.
    let renamed = "SELECT count(*) FROM (SELECT x + 0 AS k FROM one.p.t WHERE other < 9999) AS l \
                   JOIN two.p.t AS r ON l.k = r.y";
    let (one, two) = (owner("one", "x", 50, Some(KeyUse::Never)), owner("two", "y", 5000, None));
    assert_eq!(counted(&[&one, &two], "literals", renamed).await, 50);
    assert!(!got_keys(&two));
}

#[tokio::test]
async fn a_scan_below_several_joins_gets_no_keys_of_the_guarded_one() {
    // A scan accepts the keys of all joins above it.
    let sql = "SELECT count(*) FROM one.p.t AS a JOIN (SELECT r.y FROM three.p.t AS b JOIN two.p.t AS r ON b.z = r.y) \
               AS c ON a.x = c.y";
    for (keys, is_sent) in [(None, true), (Some(KeyUse::Never), false)] {
        let (one, two, three) =
            (owner("one", "x", 20, keys), owner("two", "y", 5000, None), owner("three", "z", 40, None));
        assert_eq!(counted(&[&one, &two, &three], "literals", sql).await, 20);
        assert_eq!(got_keys(&two), is_sent, "{keys:?}");
    }
}

#[tokio::test]
async fn keys_that_equal_guarded_values_are_not_sent_either() {
    // The keys for `two` are those of `three` that are also in `one`.
    let sql = "SELECT count(*) FROM (SELECT b.z FROM one.p.t AS a JOIN three.p.t AS b ON a.x = b.z) AS l \
               JOIN two.p.t AS r ON l.z = r.y";
    for (keys, is_sent) in [(None, true), (Some(KeyUse::Never), false)] {
        let (one, two, three) =
            (owner("one", "x", 20, keys), owner("two", "y", 5000, None), owner("three", "z", 400, None));
        assert_eq!(counted(&[&one, &two, &three], "literals", sql).await, 20);
        assert_eq!(got_keys(&two), is_sent, "{keys:?}");
    }
}

/// The path of a fragment: the number of nodes, the names that the owner knows, and those that it trusts.
type Path = (u32, &'static [&'static str], &'static [&'static str]);

/// Returns the outcome at an owner with this rule, of a fragment that came on this path. The owner knows `grpc://shop` as
/// the key of the domain `shop`.
async fn outcome(keys: Option<KeyUse>, rule: ProcessedAt, sql: &str, path: Path) -> Result<(), (ErrorKind, String)> {
    let peer = OwnerPeer::of(domain("hr", "x", 10, keys, rule.clone()));
    let gateway = Engine::builder().cpu_threads(2).peer(peer.clone()).build().unwrap();
    gateway.refresh().await;
    let session = gateway.session(Principal::anonymous());
    session.sql(sql).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
    let request = peer.requests().remove(0);
    let shop = FakePeer::new("grpc://shop", vec![catalog("shop", [])]);
    let own = domain("hr", "x", 10, keys, rule);
    let engine = Engine::builder().cpu_threads(2).local_domain(own).peer(shop).build().unwrap();
    engine.refresh().await;
    let (hops, via, trusted) = path;
    let via = via.iter().map(|name| (*name).to_owned()).collect();
    let head = FragmentHead { hops, via, ..request.head };
    let node_keys: BTreeMap<_, _> =
        trusted.iter().map(|name| ((*name).to_owned(), vec![format!("grpc://{name}")])).collect();
    let fragment =
        ReceivedFragment { node_keys, ..ReceivedFragment::new(head, request.plan.encoded().unwrap().clone()) };
    match server::run_fragment(&engine, fragment).await {
        Ok(_) => Ok(()),
        Err(error) => Err((error.kind(), error.chain())),
    }
}

#[tokio::test]
async fn an_owner_refuses_nodes_that_may_not_process_its_rows() {
    let listed = |domain: &str| ProcessedAt::Domains([DomainName::new(domain)].into());
    let rules = || [ProcessedAt::Any, ProcessedAt::Mesh, listed("shop"), listed("geo"), ProcessedAt::Own];
    let sql = "SELECT other FROM hr.p.t";
    let paths: [(Path, [bool; 5]); 6] = [
        // The node that the client queries.
        ((1, &["gateway"], &["gateway"]), [true; 5]),
        ((1, &[], &[]), [true; 5]),
        ((2, &["gateway", "shop"], &["gateway", "shop"]), [true, true, true, false, false]),
        ((2, &["gateway", "other"], &["gateway", "other"]), [true, true, false, false, false]),
        // Without signatures, no node is known.
        ((2, &["shop"], &[]), [true, false, false, false, false]),
        ((3, &["other", "shop"], &["shop"]), [true, false, false, false, false]),
    ];
    for (path, allowed) in paths {
        for (rule, is_allowed) in rules().into_iter().zip(allowed) {
            match outcome(None, rule.clone(), sql, path).await {
                Ok(()) => assert!(is_allowed, "{rule} on {path:?}"),
                Err((kind, text)) => {
                    assert!(!is_allowed, "{rule} on {path:?}: {text}");
                    assert_eq!(kind, ErrorKind::PermissionDenied, "{text}");
                    assert!(text.contains("may not fetch these rows for another node"), "{text}");
                    assert!(text.contains("the rows of hr.p.t") && text.contains(&rule.to_string()), "{text}");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_owner_sends_guarded_columns_to_the_node_that_the_client_queries_alone() {
    let relayed: Path = (2, &["gateway", "shop"], &["gateway", "shop"]);
    let (guarded, other) = ("SELECT x FROM hr.p.t", "SELECT other FROM hr.p.t");
    for keys in [KeyUse::Hash, KeyUse::Never] {
        assert_eq!(outcome(Some(keys), ProcessedAt::Any, guarded, (1, &["gateway"], &["gateway"])).await, Ok(()));
        assert_eq!(outcome(Some(keys), ProcessedAt::Any, other, relayed).await, Ok(()));
        for sql in [guarded, "SELECT other FROM hr.p.t WHERE x > 3", "SELECT count(x) FROM hr.p.t"] {
            let (kind, text) = outcome(Some(keys), ProcessedAt::Any, sql, relayed).await.unwrap_err();
            assert_eq!(kind, ErrorKind::PermissionDenied, "{text}");
            assert!(text.contains("node `shop`") && text.contains("`x` of hr.p.t may not leave"), "{sql}: {text}");
        }
    }
    assert_eq!(outcome(Some(KeyUse::Ship), ProcessedAt::Any, guarded, relayed).await, Ok(()));
}

/// The reason why rows are not delegated must not show which columns a policy reads.
#[tokio::test]
async fn a_plan_names_no_column_that_only_a_policy_reads() {
    const POLICY: &str = r#"
permit(principal, action == Action::"read", resource is hr::p::t) when { resource has x && resource.x < 5 };
"#;
    let layer = LayerFiles { policies: vec![SourceFile::new("p.cedar", POLICY)], ..LayerFiles::default() };
    let products = BTreeMap::from([(ProductName::new("p"), layer)]);
    let own = domain("hr", "x", 10, Some(KeyUse::Never), ProcessedAt::Any);
    let own = own.with_policies(PolicyFiles { products, ..PolicyFiles::default() });
    let engine = Engine::builder().cpu_threads(2).local_domain(own).peer(owner("shop", "y", 10, None)).build().unwrap();
    engine.refresh().await;
    let session = engine.session(Principal::new("ann"));
    for (column, is_named) in [("other", false), ("x", true)] {
        let sql = format!("EXPLAIN SELECT count(*) FROM hr.p.t h JOIN shop.p.t s ON h.{column} = s.y");
        let batches: Vec<RecordBatch> = session.sql(&sql).await.unwrap().try_collect().await.unwrap();
        let text = pretty_format_batches(&batches).unwrap().to_string();
        assert_eq!(text.contains("`x` of hr.p.t"), is_named, "{text}");
    }
}
