//! Tests of derived ports over rows in memory: at their owner and at a gateway, and the faults of their queries.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use portolan_catalog::{Column, Place, Port, PortRef, PortSource, PortStatistics, QuerySource, SourceKind};
use portolan_connectors::testing::{catalog, columns, local_domain};
use portolan_connectors::{FragmentHead, ReceivedFragment};

use super::*;
use crate::bounds::MOST_NESTED;
use crate::fake_mesh::OwnerPeer;
use crate::server::{plan_local_domain, run_fragment, serve_local_domain};
use crate::{Engine, ErrorKind, Principal};

const TOTALS: &str = "SELECT c.region, count(*) AS orders, sum(o.amount) AS total FROM p.orders AS o \
                      JOIN sales.p.customers AS c ON o.customer = c.id GROUP BY c.region";

fn name(port: &str) -> PortRef {
    PortRef::new("sales", "p", port)
}

fn integers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// Returns the rows of the ports over data.
fn data() -> [(&'static str, RecordBatch); 2] {
    let orders = [
        ("id", integers(&[1, 2, 3, 4, 5])),
        ("customer", integers(&[1, 1, 2, 3, 9])),
        ("amount", integers(&[10, 20, 5, 7, 100])),
    ];
    let regions: ArrayRef = Arc::new(StringArray::from(vec!["north", "south", "north"]));
    let customers = [("id", integers(&[1, 2, 3])), ("region", regions)];
    [
        ("orders", RecordBatch::try_from_iter(orders).unwrap()),
        ("customers", RecordBatch::try_from_iter(customers).unwrap()),
    ]
}

/// Returns a derived port with columns of these logical types.
fn derived(port: &str, text: &str, columns: &[(&str, &str)]) -> Port {
    let mut port = Port::new(name(port));
    port.columns = columns
        .iter()
        .map(|(name, logical)| {
            let mut column = Column::new(*name);
            column.logical_type = Some((*logical).to_owned());
            column
        })
        .collect();
    let place = Place { file: "c.yaml".into(), line: Some(7), field: "q".to_owned() };
    let kind = SourceKind::Query(QuerySource::new(text));
    port.source = Some(PortSource { server: String::new(), kind, declared_at: BTreeMap::new(), place });
    port
}

/// Returns the derived port `d` with the column `id`.
fn ids(text: &str) -> Port {
    derived("d", text, &[("id", "integer")])
}

fn totals() -> Port {
    // The contract has another order than the query.
    derived("totals", TOTALS, &[("total", "number"), ("region", "string"), ("orders", "integer")])
}

/// Returns a domain with these ports beside those over data. The derived ones are not open yet.
fn domain(ports: impl IntoIterator<Item = Port>) -> LocalDomain {
    let data = data();
    let over_data = data.iter().map(|(port, rows)| {
        let mut port = Port::new(name(port));
        port.columns = columns(&rows.schema());
        port.statistics = Arc::new(PortStatistics { rows: Some(rows.num_rows() as u64), ..PortStatistics::default() });
        port
    });
    local_domain(catalog("sales", over_data.chain(ports)), |name| {
        data.iter().filter(|(port, _)| *port == name.port.as_str()).map(|(_, rows)| rows.clone()).collect()
    })
}

fn owner(ports: impl IntoIterator<Item = Port>) -> Engine {
    Engine::builder().cpu_threads(2).local_domain(domain(ports)).build().unwrap()
}

/// Returns the rows of a query, with `|` between values.
async fn lines(engine: &Engine, sql: &str) -> Vec<String> {
    let rows = engine.sql(sql).await.unwrap_or_else(|e| panic!("{sql}: {}", e.chain()));
    let batches: Vec<RecordBatch> = rows.try_collect().await.unwrap_or_else(|e| panic!("{sql}: {}", e.chain()));
    let options = FormatOptions::default();
    let mut lines = vec![];
    for batch in &batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap());
        let columns: Vec<_> = columns.collect();
        for row in 0..batch.num_rows() {
            lines.push(columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    lines
}

fn load_error(engine: &Engine, port: &str) -> Option<String> {
    engine.mesh().port(&name(port)).unwrap().load_error.clone()
}

/// Returns the faults of a domain with these ports, a line for each.
fn faults(ports: impl IntoIterator<Item = Port>) -> String {
    Engine::check_derived_ports(&domain(ports)).map_or_else(|faults| faults.to_string(), |()| String::new())
}

fn ports() -> Vec<Port> {
    vec![
        totals(),
        derived("large", "SELECT region FROM p.totals WHERE total > 10", &[("region", "string")]),
        derived("others", "SELECT id FROM p.orders EXCEPT SELECT id FROM p.customers", &[("id", "integer")]),
        derived(
            "strangers",
            "SELECT id FROM p.orders WHERE customer NOT IN (SELECT id FROM p.customers)",
            &[("id", "integer")],
        ),
        derived("mixed", "SELECT id FROM p.orders UNION ALL SELECT CAST(1.5 AS DOUBLE)", &[("id", "number")]),
        derived(
            "plain",
            "SELECT id AS \"Order Id\", amount + 1 AS more FROM p.orders",
            &[("Order Id", "integer"), ("more", "integer")],
        ),
    ]
}

/// Queries with their rows.
const ROWS: &[(&str, &[&str])] = &[
    ("SELECT region, orders, total FROM sales.p.totals ORDER BY region", &["north|3|37", "south|1|5"]),
    ("SELECT total FROM sales.p.totals WHERE region = 'south'", &["5"]),
    ("SELECT * FROM sales.p.totals AS t WHERE t.orders > 1", &["37|north|3"]),
    ("SELECT region FROM sales.p.large", &["north"]),
    ("SELECT id FROM sales.p.others ORDER BY id", &["4", "5"]),
    ("SELECT id FROM sales.p.strangers", &["5"]),
    ("SELECT count(*) FROM sales.p.mixed WHERE id > 1.2", &["5"]),
    ("SELECT \"Order Id\", more FROM sales.p.plain WHERE more < 10 ORDER BY 1", &["3|6", "4|8"]),
    ("SELECT a.region FROM sales.p.totals a JOIN sales.p.totals b ON a.total > b.total", &["north"]),
    (
        "SELECT c.id, t.total FROM sales.p.customers c JOIN sales.p.totals t ON c.region = t.region ORDER BY 1",
        &["1|37", "2|5", "3|37"],
    ),
    ("SELECT id FROM sales.p.orders WHERE id IN (SELECT id FROM sales.p.others) ORDER BY 1 LIMIT 1", &["4"]),
];

#[tokio::test]
async fn a_derived_port_has_the_rows_of_its_query_at_the_owner_and_at_a_gateway() {
    let owner = OwnerPeer::of(domain(ports()));
    let gateway = Engine::builder().cpu_threads(2).peer(owner.clone()).build().unwrap();
    gateway.refresh().await;
    for (sql, rows) in ROWS {
        assert_eq!(lines(&owner.engine, sql).await, *rows, "at the owner: {sql}");
        assert_eq!(lines(&gateway, sql).await, *rows, "at a gateway: {sql}");
    }
}

#[tokio::test]
async fn a_limited_with_query_in_the_query_of_a_port_is_read_several_times() {
    let best = |port: &str, order: &str| {
        let text = format!(
            "WITH r AS (SELECT id FROM p.orders ORDER BY amount {order} LIMIT 2) SELECT a.id FROM r a JOIN r b ON a.id = b.id"
        );
        derived(port, &text, &[("id", "integer")])
    };
    let owner = OwnerPeer::of(domain([best("most", "DESC"), best("least", "ASC")]));
    assert_eq!([load_error(&owner.engine, "most"), load_error(&owner.engine, "least")], [None, None]);
    let gateway = Engine::builder().cpu_threads(2).peer(owner.clone()).build().unwrap();
    gateway.refresh().await;
    for engine in [&owner.engine, &gateway] {
        // The ports and the statement have queries of one name and with the same columns.
        let sql = "WITH r AS (SELECT id FROM sales.p.customers WHERE id = 1 LIMIT 2) SELECT 'm', id FROM sales.p.most UNION ALL \
                   SELECT 'l', id FROM sales.p.least UNION ALL SELECT 'r', a.id FROM r a JOIN r b ON a.id = b.id ORDER BY 1, 2";
        assert_eq!(lines(engine, sql).await, ["l|3", "l|4", "m|2", "m|5", "r|1"]);
    }
}

#[tokio::test]
async fn the_query_stays_with_the_owner() {
    let owner = OwnerPeer::of(domain([totals()]));
    let gateway = Engine::builder().cpu_threads(2).peer(owner.clone()).build().unwrap();
    gateway.refresh().await;
    let sql = "SELECT total FROM sales.p.totals WHERE region = 'south'";
    assert_eq!(lines(&gateway, sql).await, ["5"]);
    let requests = owner.requests();
    let sent = String::from_utf8_lossy(&requests[0].plan.encoded().unwrap().plan).into_owned();
    assert!(sent.contains("totals") && !sent.contains("customers"), "{sent}");

    let explain = format!("EXPLAIN {sql}");
    let here = lines(&owner.engine, &explain).await.join("\n");
    assert!(here.contains("TableScan: sales.p.customers") && here.contains("TableScan: p.orders"), "{here}");
    // The filter is below the aggregate.
    assert!(here.contains("Filter: c.region = ") || here.contains("sales.p.customers.region = "), "{here}");
    let there = lines(&gateway, &explain).await.join("\n");
    assert!(there.contains("TableScan: sales.p.totals") && !there.contains("customers"), "{there}");

    for engine in [&owner.engine, &gateway] {
        let inputs = "SELECT array_to_string(derived_from, ', ') FROM mesh.ports WHERE port = 'totals'";
        assert_eq!(lines(engine, inputs).await, ["sales.p.customers, sales.p.orders"]);
        let port = engine.mesh().port(&name("totals")).unwrap().clone();
        assert!(port.is_derived() && port.statistics.rows.is_some());
    }
    let snapshot = owner.engine.mesh();
    let described = serde_json::to_string(snapshot.port(&name("totals")).unwrap()).unwrap();
    assert!(described.contains("customers"), "{described}");
    assert!(!described.contains("SELECT"), "{described}");
    assert!(!snapshot.port(&name("orders")).unwrap().is_derived());
}

/// Returns the error of a query.
async fn failed(engine: &Engine, sql: &str) -> Error {
    let run = async { engine.sql(sql).await?.try_collect::<Vec<_>>().await };
    match run.await {
        Ok(rows) => panic!("{sql}: {rows:?}"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn an_error_for_another_node_has_no_value_that_the_query_reads() {
    let numbers = |text: &str| derived("d", text, &[("id", "integer")]);
    for (query, sql, here, there) in [
        (
            "SELECT id FROM p.customers WHERE CAST(region AS INT) > 5",
            "SELECT id FROM sales.p.d",
            "cannot convert 'north' to INTEGER",
            "a value cannot be converted to INTEGER (the fragment reads a derived port, so only the log of the owner",
        ),
        (
            "SELECT amount * 1000000000000000000 AS id FROM p.orders WHERE amount = 100",
            "SELECT id FROM sales.p.d",
            "overflow",
            "an expression cannot be computed for a value (the fragment reads a derived port",
        ),
        ("SELECT 1 / (id - 1) AS id FROM p.orders", "SELECT id FROM sales.p.d", "division by zero", "division by zero"),
    ] {
        let owner = OwnerPeer::of(domain([numbers(query)]));
        let gateway = Engine::builder().cpu_threads(2).peer(owner.clone()).build().unwrap();
        gateway.refresh().await;
        let (at_owner, at_gateway) = (failed(&owner.engine, sql).await, failed(&gateway, sql).await);
        assert!(at_owner.chain().contains(here), "{query}: {at_owner}");
        assert_eq!((at_owner.kind(), at_gateway.kind()), (ErrorKind::InvalidQuery, ErrorKind::InvalidQuery));
        let shown = at_gateway.chain();
        assert!(shown.contains(there) && !shown.contains("north") && !shown.contains("100"), "{query}: {shown}");
    }
}

#[tokio::test]
async fn metrics_for_another_node_have_no_constants_of_a_query_without_scans() {
    // The optimizer removes the scan.
    let query = "SELECT count(*) + 4711 AS id FROM p.orders WHERE 1 = 2";
    let owner = OwnerPeer::of(domain([ids(query)]));
    let gateway = Engine::builder().cpu_threads(2).peer(owner.clone()).build().unwrap();
    gateway.refresh().await;
    let sql = "SELECT id FROM sales.p.d";
    assert_eq!(lines(&gateway, sql).await, ["4711"]);
    let request = owner.requests().remove(0);
    let head = FragmentHead { measured: true, ..request.head };
    let fragment = ReceivedFragment::new(head, request.plan.encoded().unwrap().clone());
    let mut rows = run_fragment(&owner.engine, fragment).await.unwrap();
    while rows.try_next().await.unwrap().is_some() {}
    let operators = rows.summary().operators;
    assert!(!operators.is_empty());
    for operator in &operators {
        assert!(!operator.operator.contains("4711") && !operator.operator.contains(':'), "{}", operator.operator);
    }
    // The owner shows the whole plan to its own clients.
    let explained = lines(&owner.engine, &format!("EXPLAIN {sql}")).await.join("\n");
    assert!(explained.contains("4711"), "{explained}");
}

#[test]
fn each_fault_of_a_query_is_reported_with_its_place() {
    for (text, expected) in [
        ("SELEC id FROM p.orders", "the query cannot be planned: syntax error"),
        ("DELETE FROM p.orders", "the query cannot be planned: expected a SELECT"),
        (
            "SELECT id FROM orders",
            "the query reads `orders`, and a name in it is `product.port`; did you mean `p.orders`?",
        ),
        (
            "SELECT id FROM geo.p.orders",
            "the query reads `geo.p.orders`, and a derived port reads only ports of its domain",
        ),
        ("SELECT id FROM portolan.session.t", "the query reads `portolan.session.t`, and a derived port reads only"),
        ("SELECT port AS id FROM mesh.ports", "the domain has no port `mesh.ports`, which the query reads"),
        ("SELECT id FROM p.oders", "the domain has no port `p.oders`, which the query reads; did you mean `p.orders`?"),
        ("SELECT value AS id FROM generate_series(1, 3)", "the query reads `generate_series`"),
        ("SELECT 1 AS id", "the query reads no port of the domain"),
        ("SELECT id FROM p.orders WHERE amount > random()", "the query calls `random`, whose value differs"),
        ("SELECT id FROM p.orders WHERE current_user = 'a'", "the query calls `current_user`, which differs"),
        ("SELECT id FROM p.orders WHERE version() = 'a'", "the query calls `version`, which differs"),
        ("SELECT id FROM p.orders WHERE id = $1", "the query has a parameter `$1`: write its value"),
        (
            "WITH RECURSIVE t AS (SELECT id FROM p.orders UNION ALL SELECT id + 1 FROM t WHERE id < 3) SELECT id FROM t",
            "the query is recursive",
        ),
        ("SELECT nothing AS id FROM p.orders", "the query cannot be planned: "),
        ("SELECT amount FROM p.orders", "the query returns no column `id`, which the contract has"),
        ("SELECT id, amount FROM p.orders", "the query returns a column `amount`, which the contract does not have"),
        (
            "SELECT region AS id FROM p.customers",
            "in the query, and `integer` in the contract: CAST it in the query, or",
        ),
        ("SELECT id AS \"ID\" FROM p.orders", "the query returns `ID`, and the contract has `id`: write AS \"id\""),
        ("SELECT id, amount AS id FROM p.orders", "the query returns several columns `id`"),
        (
            "SELECT id, amount AS \"Id\" FROM p.orders",
            "the query returns a column `Id`, which the contract does not have",
        ),
    ] {
        let found = faults([ids(text)]);
        assert!(found.starts_with("c.yaml:7: q: ") && found.contains(expected), "{text}: {found}");
    }
    let quoted = faults([ids("SELECT id FROM p.old"), derived("Old", "SELECT id FROM p.orders", &[("id", "integer")])]);
    assert!(
        quoted.ends_with("the domain has no port `p.old`, which the query reads; did you mean `p.\"Old\"`?"),
        "{quoted}"
    );
    // All faults of the columns are reported at once.
    let both = faults([ids("SELECT amount FROM p.orders")]);
    assert_eq!(both.lines().count(), 2, "{both}");
    for text in ["SELECT id FROM p.orders WHERE now() IS NOT NULL", "SELECT id FROM sales.p.orders"] {
        assert_eq!(faults([ids(text)]), "");
    }
}

#[tokio::test]
async fn a_port_with_faults_is_closed_and_others_are_not() {
    let engine = owner([ids("SELECT nothing AS id FROM p.orders"), totals()]);
    let closed = "port sales.p.d is not open: its query cannot be planned, and the log of the node has the reason";
    assert_eq!(load_error(&engine, "d").as_deref(), Some(closed), "others do not see parts of the query");
    let refused = engine.sql("SELECT id FROM sales.p.d").await.err();
    let refused = match refused {
        Some(error) => error,
        None => panic!("a closed port has no rows"),
    };
    assert_eq!((refused.kind(), refused.chain().contains(closed)), (ErrorKind::SiteUnavailable, true));
    assert_eq!(lines(&engine, "SELECT total FROM sales.p.totals WHERE region = 'south'").await, ["5"]);
}

#[tokio::test]
async fn ports_that_read_themselves_are_closed() {
    let named = |port: &str, of: &str| derived(port, &format!("SELECT id FROM p.{of}"), &[("id", "integer")]);
    let ports = || [named("a", "b"), named("b", "c"), named("c", "a"), named("d", "a"), named("e", "e")];
    let found = faults(ports());
    for expected in [
        "the query reads its own port: sales.p.a → sales.p.b → sales.p.c → sales.p.a",
        "the query reads its own port: sales.p.b → sales.p.c → sales.p.a → sales.p.b",
        "the query reads its own port: sales.p.e → sales.p.e",
        "the query reads port sales.p.a, which is not open",
    ] {
        assert!(found.contains(expected), "{expected}: {found}");
    }
    let engine = owner(ports());
    let marked = load_error(&engine, "d").unwrap();
    assert!(marked.starts_with("port sales.p.d is not open: c.yaml:7: q: the query reads port sales.p.a"), "{marked}");
    assert_eq!(lines(&engine, "SELECT count(*) FROM sales.p.orders").await, ["5"]);
}

#[tokio::test]
async fn ports_that_cannot_be_planned_at_all_are_reported() {
    let (base, domain) = (owner([]).inner().base.clone(), domain([totals()]));
    let error = Error::new(ErrorKind::Internal, "there is no thread");
    let closed = DerivedOpening::new(&base, &domain, None).close_all(&error);
    assert_eq!(Diagnostics(closed.faults).to_string(), "c.yaml:7: q: there is no thread");
    assert!(!is_open(closed.domain.ports.iter().find(|port| port.name == name("totals")).unwrap()));
    // A panic of the planner closes its port, and no other.
    let panicked = caught(&totals(), || -> Result<(), OpenError> { panic!("a fault of the planner") });
    assert_eq!(panicked.unwrap_err().to_string(), "c.yaml:7: q: planning the query ended abnormally");
}

#[tokio::test]
async fn derived_ports_are_nested_up_to_a_limit() {
    let nested = (1..=MOST_NESTED + 1).map(|level| {
        let below = if level == 1 { "orders".to_owned() } else { format!("d{}", level - 1) };
        derived(&format!("d{level}"), &format!("SELECT id FROM p.{below}"), &[("id", "integer")])
    });
    let nested: Vec<_> = nested.collect();
    let found = faults(nested.clone());
    assert_eq!(found, "c.yaml:7: q: derived ports are nested more than 16 levels deep");
    assert_eq!(lines(&owner(nested), "SELECT count(*) FROM sales.p.d16 WHERE id < 3").await, ["2"]);
}

#[test]
fn the_levels_of_nested_queries_count_together() {
    let sums = |port: &str, below: &str| {
        derived(port, &format!("SELECT id{} AS id FROM p.{below}", " + 1".repeat(700)), &[("id", "integer")])
    };
    let found = faults([sums("a", "orders"), sums("b", "a"), sums("c", "b")]);
    assert!(found.ends_with("is nested more than 2000 levels deep") && found.lines().count() == 1, "{found}");
}

#[test]
fn a_decimal_type_in_the_contract_is_the_type_in_the_query() {
    let money = |value: &str| {
        let mut port = derived("d", &format!("SELECT {value} AS total FROM p.orders"), &[("total", "number")]);
        if let Some(PortSource { kind: SourceKind::Query(query), .. }) = &mut port.source {
            query.types.insert("total".to_owned(), DataType::Decimal128(10, 2));
        }
        port
    };
    assert_eq!(faults([money("CAST(amount AS DECIMAL(10, 2))")]), "");
    for (value, is) in [
        ("amount", "BIGINT"),
        ("CAST(amount AS DECIMAL(12, 2))", "DECIMAL(12,2)"),
        ("CAST(amount AS DOUBLE)", "DOUBLE"),
    ] {
        let found = faults([money(value)]);
        let expected = format!("column `total` is {is} in the query, and `DECIMAL(10,2)` in the contract");
        assert!(found.contains(&expected), "{found}");
    }
}

/// Returns a domain with these ports, whose port `customers` is closed.
fn without_customers(ports: impl IntoIterator<Item = Port>) -> LocalDomain {
    let mut closed = domain(ports);
    let error = OpenError::Unavailable(Diagnostics(vec![]));
    let customers = closed.catalog.port(&name("customers").product, &name("customers").port).unwrap();
    let (entry, table) = close_port(customers, &error);
    let mut changed = (*closed.catalog).clone();
    changed.products.get_mut(&entry.name.product).unwrap().ports.insert(entry.name.port.clone(), entry);
    closed.catalog = Arc::new(changed);
    *closed.ports.iter_mut().find(|port| port.name == name("customers")).unwrap() = table;
    closed
}

#[tokio::test]
async fn a_port_is_closed_with_its_input_and_opens_with_it() {
    let engine = owner([totals()]);
    engine.replace_local_domain(without_customers([totals()]));
    let marked = load_error(&engine, "totals").unwrap();
    assert!(marked.ends_with("the query reads port sales.p.customers, which is not open"), "{marked}");
    let error = engine.sql("SELECT region FROM sales.p.totals").await.err().map(|e| (e.kind(), e.chain()));
    let (kind, said) = error.unwrap();
    assert!(kind == ErrorKind::SiteUnavailable && said.contains(&marked), "{said}");

    engine.replace_local_domain(domain([totals()]));
    assert_eq!(load_error(&engine, "totals"), None);
    assert_eq!(lines(&engine, "SELECT total FROM sales.p.totals WHERE region = 'south'").await, ["5"]);
}

#[tokio::test]
async fn a_query_with_faults_keeps_the_last_good_version() {
    let engine = owner([ids("SELECT id FROM p.orders WHERE id < 3")]);
    let rows = "SELECT id FROM sales.p.d ORDER BY id";
    assert_eq!(lines(&engine, rows).await, ["1", "2"]);
    engine.replace_local_domain(domain([ids("SELECT region AS id FROM p.customers")]));
    let marked = load_error(&engine, "d").unwrap();
    let says =
        ["port sales.p.d: the last good version is in use: c.yaml:7: q: column `id` is ", "`integer` in the contract"];
    assert!(says.iter().all(|part| marked.contains(part)), "{marked}");
    assert_eq!(lines(&engine, rows).await, ["1", "2"]);

    // New statistics of an input change the estimate, and not the mark.
    let mut counted = domain([ids("SELECT region AS id FROM p.customers")]);
    let statistics = Arc::new(PortStatistics { rows: Some(5_000), ..PortStatistics::default() });
    let statistics = BTreeMap::from([(name("orders"), statistics)]);
    counted.catalog = Arc::new((*counted.catalog).clone().with_statistics(&statistics));
    let planned = plan_local_domain(&engine, counted);
    let before = engine.mesh().port(&name("d")).unwrap().statistics.rows;
    assert!(before.is_some_and(|rows| rows <= 5), "a plan changes nothing: {before:?}");
    serve_local_domain(&engine, planned);
    assert_eq!(load_error(&engine, "d"), Some(marked));
    let estimate = engine.mesh().port(&name("d")).unwrap().statistics.rows.unwrap();
    assert!(estimate > 5, "{estimate}");
    assert_eq!(lines(&engine, rows).await, ["1", "2"]);

    // The newest query reads a port that is not open.
    engine.replace_local_domain(without_customers([ids("SELECT id FROM p.customers")]));
    let marked = load_error(&engine, "d").unwrap();
    assert!(marked.contains("the last good version is in use") && marked.contains("sales.p.customers"), "{marked}");
    assert_eq!(lines(&engine, rows).await, ["1", "2"]);

    engine.replace_local_domain(domain([ids("SELECT id FROM p.orders WHERE id > 3")]));
    assert_eq!(load_error(&engine, "d"), None);
    assert_eq!(lines(&engine, rows).await, ["4", "5"]);
}

#[tokio::test]
async fn the_statistics_of_classified_inputs_are_not_passed_on() {
    let distinct = |is_classified: bool| {
        let mut data = domain([ids("SELECT customer AS id FROM p.orders")]);
        let mut changed = (*data.catalog).clone();
        let product = changed.products.values_mut().next().unwrap();
        let orders = product.ports.get_mut(&name("orders").port).unwrap();
        let known = portolan_catalog::ColumnStatistics { distinct: Some(4), ..Default::default() };
        Arc::make_mut(&mut orders.statistics).columns.insert("customer".to_owned(), known);
        orders.columns[0].classification = is_classified.then(|| "restricted".to_owned());
        data.catalog = Arc::new(changed);
        let engine = Engine::builder().cpu_threads(1).local_domain(data).build().unwrap();
        engine.mesh().port(&name("d")).unwrap().statistics.columns.get("id").and_then(|known| known.distinct)
    };
    assert_eq!((distinct(false), distinct(true)), (Some(4), None));
}

#[tokio::test]
async fn a_derived_port_accepts_no_rows() {
    let session = owner([ids("SELECT id FROM p.orders")]).session(Principal::new("ann"));
    let insert = session.prepare("INSERT INTO sales.p.d VALUES (7)").await.unwrap();
    let refused = insert.apply(&[]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.chain().contains("port `sales.p.d` accepts no rows: its rows are the result of a query"));
}
