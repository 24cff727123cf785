//! A mesh for tests that needs no network: the fake peers of `connectors` with TPC-H's catalogs, and owners that run
//! fragments in this process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod owner;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::DataType;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use portolan_catalog::{
    Column, ColumnStatistics, DomainCatalog, DomainName, Port, PortRef, PortStatistics, StatisticValue,
};
use portolan_connectors::testing::{catalog, column, local_domain};
use portolan_connectors::{FragmentHead, LocalDomain, OwnerKey, Reach};

use crate::mesh::Link;
use crate::names::{MeshCatalogs, SessionNames};
use crate::planner::analyse;
use crate::planner::govern::PortRules;
use crate::planner::resolve::{Resolved, resolve};
use crate::state::SessionHandle;
use crate::{Engine, Principal, Session};

pub(crate) use owner::OwnerPeer;
pub(crate) use portolan_connectors::testing::FakePeer;

/// TPC-H's tables: domain, product, port, rows at scale 1, and a column a line as `name type distinct min..max`. The
/// type is `i` for Int64, `j` for Int32, `m` for Decimal(15, 2), `t` for strings and `d` for dates. Dates are days
/// since 1970-01-01.
const TPCH: &[(&str, &str, &str, u64, &str)] = &[
    (
        "sales",
        "customers",
        "customer",
        150_000,
        "c_custkey i 150000 1..150000
        c_name t 150000
        c_address t 150000
        c_nationkey i 25 0..24
        c_phone t 150000
        c_acctbal m 140187 -999.99..9999.99
        c_mktsegment t 5
        c_comment t 149968",
    ),
    (
        "sales",
        "orders",
        "orders",
        1_500_000,
        "o_orderkey i 1500000 1..6000000
        o_custkey i 99996 1..149999
        o_orderstatus t 3
        o_totalprice m 1464556 857.71..555285.16
        o_orderdate d 2406 8035..10440
        o_orderpriority t 5
        o_clerk t 1000
        o_shippriority j 1 0..0
        o_comment t 1482071",
    ),
    (
        "sales",
        "orders",
        "lineitem",
        6_000_000,
        "l_orderkey i 1500000 1..6000000
        l_partkey i 200000 1..200000
        l_suppkey i 10000 1..10000
        l_linenumber j 7 1..7
        l_quantity m 50 1..50
        l_extendedprice m 933900 901..104949.5
        l_discount m 11 0..0.1
        l_tax m 9 0..0.08
        l_returnflag t 3
        l_linestatus t 2
        l_shipdate d 2526 8036..10561
        l_commitdate d 2466 8065..10530
        l_receiptdate d 2554 8038..10591
        l_shipinstruct t 4
        l_shipmode t 7
        l_comment t 4580667",
    ),
    (
        "supply",
        "parts",
        "part",
        200_000,
        "p_partkey i 200000 1..200000
        p_name t 199997
        p_mfgr t 5
        p_brand t 25
        p_type t 150
        p_size j 50 1..50
        p_container t 40
        p_retailprice m 20899 901..2098.99
        p_comment t 131753",
    ),
    (
        "supply",
        "parts",
        "partsupp",
        800_000,
        "ps_partkey i 200000 1..200000
        ps_suppkey i 10000 1..10000
        ps_availqty j 9999 1..9999
        ps_supplycost m 99865 1..1000
        ps_comment t 799124",
    ),
    (
        "supply",
        "suppliers",
        "supplier",
        10_000,
        "s_suppkey i 10000 1..10000
        s_name t 10000
        s_address t 10000
        s_nationkey i 25 0..24
        s_phone t 10000
        s_acctbal m 9955 -998.22..9999.72
        s_comment t 10000",
    ),
    (
        "geo",
        "places",
        "nation",
        25,
        "n_nationkey i 25 0..24
        n_name t 25
        n_regionkey i 5 0..4
        n_comment t 25",
    ),
    (
        "geo",
        "places",
        "region",
        5,
        "r_regionkey i 5 0..4
        r_name t 5
        r_comment t 5",
    ),
];

/// Bytes of a string without a known width.
const TEXT_WIDTH: f64 = 30.0;

/// Returns a session at a gateway whose peers are these owners.
pub(crate) async fn session_over<'a>(owners: impl IntoIterator<Item = &'a Arc<OwnerPeer>>) -> Session {
    let builder = Engine::builder().cpu_threads(2);
    let builder = owners.into_iter().fold(builder, |builder, owner| builder.peer(owner.clone()));
    let engine = builder.build().unwrap();
    engine.refresh().await;
    engine.session(Principal::anonymous())
}

/// Returns the catalog of one of TPC-H's domains.
pub(crate) fn tpch_domain(domain: &str) -> DomainCatalog {
    let ports = TPCH.iter().filter(|t| t.0 == domain).map(|(_, product, name, rows, columns)| {
        let mut port = Port::new(PortRef::new(domain, *product, *name));
        let mut statistics = PortStatistics { rows: Some(*rows), ..PortStatistics::default() };
        for line in columns.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let column = column(words[0], data_type(words[1]));
            statistics.columns.insert(column.name.clone(), column_statistics(&column, &words[2..]));
            port.columns.push(column);
        }
        port.statistics = Arc::new(statistics);
        port
    });
    catalog(domain, ports)
}

fn data_type(kind: &str) -> DataType {
    match kind {
        "i" => DataType::Int64,
        "j" => DataType::Int32,
        "m" => DataType::Decimal128(15, 2),
        "d" => DataType::Date32,
        _ => DataType::Utf8View,
    }
}

/// Returns the statistics of a column. `known` has the distinct count, and the range if there is one.
fn column_statistics(column: &Column, known: &[&str]) -> ColumnStatistics {
    let ends = known.get(1).and_then(|range| range.split_once(".."));
    let number = |text: &str| StatisticValue::Number(text.parse().unwrap());
    let width = column.data_type.as_ref().and_then(DataType::primitive_width).map_or(TEXT_WIDTH, |w| w as f64);
    ColumnStatistics {
        distinct: Some(known[0].parse().unwrap()),
        nulls: Some(0),
        min: ends.map(|(min, _)| number(min)),
        max: ends.map(|(_, max)| number(max)),
        width: Some(width),
        frequent: vec![],
    }
}

/// Returns the same domain as one that this engine owns, without rows.
pub(crate) fn owned(catalog: DomainCatalog) -> LocalDomain {
    local_domain(catalog, |_| vec![])
}

/// Returns a gateway whose three peers publish TPC-H's domains and reach one another, over links of the default speed.
pub(crate) async fn gateway() -> Engine {
    gateway_of(tpch_domain).await
}

/// As [`gateway`], with other catalogs of the domains.
pub(crate) async fn gateway_of(catalog: impl Fn(&str) -> DomainCatalog) -> Engine {
    let mut builder = Engine::builder().cpu_threads(2);
    let all = ["sales", "supply", "geo"];
    let Link { latency, bandwidth } = Link::default();
    let latency_ms = latency.as_secs_f64() * 1e3;
    for domain in all {
        let peer = FakePeer::new(&format!("grpc://{domain}"), vec![catalog(domain)]);
        let others = all.into_iter().filter(|other| *other != domain);
        let owner = |other: &str| OwnerKey::new(format!("grpc://{other}"));
        let reach = |other: &str| Reach { domain: DomainName::new(other), owner: owner(other), latency_ms, bandwidth };
        peer.reach(others.map(reach).collect());
        builder = builder.peer(peer);
    }
    let engine = builder.build().unwrap();
    engine.refresh().await;
    engine
}

/// Returns the rules for a principal that is not authenticated.
pub(crate) fn rules_of(engine: &Engine) -> PortRules {
    let deadline = Instant::now() + Duration::from_secs(60);
    let inner = engine.inner();
    PortRules::of(&inner, &FragmentHead::new("q", Principal::anonymous(), deadline), &inner.mesh.view())
}

/// Returns the session state that plans a query of that engine.
pub(crate) fn state_of(engine: &Engine) -> SessionState {
    let inner = engine.inner();
    SessionStateBuilder::new_from_existing(inner.base.clone())
        .with_catalog_list(Arc::new(MeshCatalogs::new(inner.mesh.view(), None)))
        .build()
}

/// Returns the analysed plan of a query.
pub(crate) async fn analysed(engine: &Engine, sql: &str) -> LogicalPlan {
    let names = SessionNames::of(&SessionHandle::open(engine.inner(), Principal::anonymous(), false));
    let state = state_of(engine);
    match resolve(sql, &state, &engine.mesh(), &names).await.unwrap() {
        Resolved::Query(plan, _) => analyse(&state, plan).unwrap(),
        other => panic!("no query: {other:?}"),
    }
}
