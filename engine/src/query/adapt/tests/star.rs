//! A star schema: the calendar has 73,000 days, and the shop's tables use 1,800 of them. The tests filter days, and compare
//! the estimates of joins with their rows: with frequent values, NULL keys, ranges that do not overlap, and build sides
//! that change after the keys were counted.

use std::collections::BTreeMap;

use arrow::array::{Array, StringArray};
use arrow::datatypes::Int64Type;
use portolan_catalog::{ColumnStatistics, Port, PortRef, PortStatistics, StatisticValue};
use portolan_connectors::testing::{catalog, columns, local_domain};
use serde_json::Value;

use super::*;
use crate::planner::cardinality::q_error::q_error;

/// The days of the calendar, from day 1. A year has 365 of them, and the first one is 1900.
const DAYS: i64 = 73_000;
/// The first of the 1,800 days that the shop's tables use.
const FIRST: i64 = 35_001;
const USED: i64 = 1800;
/// The rows of each of the shop's large tables.
const VISITS: i64 = 36_000;
/// A day of 1998. Nine of ten stays begin on it.
const BUSY: i64 = 35_900;
/// The values of `portolan.adapt_factor`: no keys are counted, and the default.
const FACTORS: [&str; 2] = ["off", "4"];

/// The visits of a filtered part of the calendar.
const VISITED: &str = "SELECT v_item AS x, d_key AS y FROM shop.p.visits JOIN calendar.p.days ON v_day = d_key WHERE ";
const STAYED: &str = "SELECT s_item AS x, d_key AS y FROM shop.p.stays JOIN calendar.p.days ON s_day = d_key WHERE ";

type Table = (&'static str, Vec<(&'static str, ArrayRef)>);

fn numbers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn nullable(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from_iter(values))
}

fn texts(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn calendar() -> Vec<Table> {
    let days = || 1..=DAYS;
    // Every second plan has no day. The others have each of the 1,800 days.
    let planned = |i: i64| (i % 2 == 1).then_some(FIRST + i / 2 % USED);
    vec![
        (
            "days",
            vec![
                ("d_key", numbers(days())),
                ("d_year", numbers(days().map(|day| 1900 + (day - 1) / 365))),
                ("d_name", texts(days().map(|day| format!("day {day}")))),
            ],
        ),
        ("plans", vec![("p_day", nullable((0..4000).map(planned))), ("p_kind", numbers((0..4000).map(|i| i / 2 % 4)))]),
    ]
}

fn shop() -> Vec<Table> {
    let items = || numbers((0..VISITS).map(|i| i % 2000));
    let stayed = |i: i64| if i % 10 == 0 { FIRST + i / 10 % USED } else { BUSY };
    // Two of five notes have no day.
    let noted = |i: i64| (i % 5 >= 2).then(|| FIRST + (i / 5 * 3 + i % 5 - 2) % USED);
    vec![
        ("visits", vec![("v_day", numbers((0..VISITS).map(|i| FIRST + i % USED))), ("v_item", items())]),
        ("stays", vec![("s_day", numbers((0..VISITS).map(stayed))), ("s_item", items())]),
        ("notes", vec![("n_day", nullable((0..VISITS).map(noted))), ("n_item", items())]),
        ("picks", vec![("k_day", numbers((0..20_000).map(|i| 1 + 3 * i)))]),
    ]
}

fn goods() -> Vec<Table> {
    vec![("items", vec![("i_key", numbers(0..2000)), ("i_name", texts((0..2000).map(|i| format!("item {i}"))))])]
}

/// Returns the exact statistics of a column. A value of more than half of the rows is a frequent value.
fn statistics(column: &ArrayRef) -> ColumnStatistics {
    let Some(values) = column.as_primitive_opt::<Int64Type>() else {
        let distinct = Some(column.len() as u64);
        return ColumnStatistics { distinct, nulls: Some(0), width: Some(12.0), ..ColumnStatistics::default() };
    };
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for value in values.iter().flatten() {
        *counts.entry(value).or_default() += 1;
    }
    let number = |value: &i64| StatisticValue::Number(*value as f64);
    let shares = counts.iter().map(|(value, count)| (number(value), *count as f64 / values.len() as f64));
    ColumnStatistics {
        distinct: Some(counts.len() as u64),
        nulls: Some(values.null_count() as u64),
        min: counts.keys().next().map(number),
        max: counts.keys().next_back().map(number),
        width: Some(8.0),
        frequent: shares.filter(|(_, share)| *share > 0.5).collect(),
    }
}

fn owner(domain: &str, tables: Vec<Table>) -> Arc<OwnerPeer> {
    let batch = |(name, columns): Table| (name, RecordBatch::try_from_iter(columns).unwrap());
    let tables: Vec<(&str, RecordBatch)> = tables.into_iter().map(batch).collect();
    let ports = tables.iter().map(|(name, rows)| {
        let schema = rows.schema();
        let known =
            schema.fields().iter().zip(rows.columns()).map(|(f, column)| (f.name().clone(), statistics(column)));
        let known = known.collect();
        let mut port = Port::new(PortRef::new(domain, "p", *name)).with_columns(columns(&schema));
        port.statistics = Arc::new(PortStatistics {
            rows: Some(rows.num_rows() as u64),
            columns: known,
            ..PortStatistics::default()
        });
        port
    });
    OwnerPeer::of(local_domain(catalog(domain, ports), |port| {
        tables.iter().filter(|(name, _)| *name == port.port.as_str()).map(|(_, rows)| rows.clone()).collect()
    }))
}

async fn star() -> Mesh {
    let mesh = Mesh::of(vec![owner("calendar", calendar()), owner("shop", shop()), owner("goods", goods())]).await;
    // Every edge is counted to its end, even on a slow machine.
    mesh.session.set("portolan.key_wait", "240").unwrap();
    mesh
}

/// A query that ran.
struct Ran {
    /// The joins at the gateway, the uppermost first.
    joins: Vec<Value>,
    /// The reason why a part was planned again.
    adapted: Option<String>,
}

impl Ran {
    async fn of(mesh: &Mesh, factor: &str, sql: &str) -> Self {
        mesh.session.set("portolan.adapt_factor", factor).unwrap();
        let rows = mesh.rows(&format!("EXPLAIN (ANALYZE, FORMAT JSON) {sql}")).await;
        let document: Value = serde_json::from_str(rows[0].column(1).as_string::<i32>().value(0)).unwrap();
        let (mut joins, mut pending) = (vec![], vec![document["plan"].clone()]);
        while let Some(operator) = pending.pop() {
            pending.extend(operator["inputs"].as_array().into_iter().flatten().cloned());
            if operator["operator"].as_str().unwrap().contains("Join:") {
                joins.push(operator);
            }
        }
        assert!(!joins.is_empty(), "{document:#}");
        Self { joins, adapted: document["adapted"].as_str().map(str::to_owned) }
    }

    /// Returns the factor by which the estimate of the uppermost join is wrong.
    fn q_error(&self, rows: i64) -> f64 {
        q_error(self.joins[0]["rows"].as_f64().unwrap_or(0.0), rows as f64)
    }

    /// Returns the ports of the build side of the uppermost join, as text.
    fn build_side(&self) -> String {
        self.joins[0]["inputs"][0].to_string()
    }
}

/// Returns the rows that came from an operator. An operator that passes rows on may have no counter.
fn actual_rows(operator: &Value) -> u64 {
    assert!(operator.is_object(), "no operator below has a counter");
    operator["actual"]["rows"].as_u64().unwrap_or_else(|| actual_rows(&operator["inputs"][0]))
}

/// Checks that a query returns this number of rows, the same ones with and without counting.
async fn check_rows(mesh: &Mesh, sql: &str, rows: i64) {
    let sums = format!("SELECT count(*), sum(x), sum(y), sum(x * y % 1009) FROM ({sql}) AS t");
    let text = async || pretty_format_batches(&mesh.rows(&sums).await).unwrap().to_string();
    mesh.session.set("portolan.placement", "off").unwrap();
    let expected = text().await;
    mesh.session.set("portolan.placement", "on").unwrap();
    for factor in FACTORS {
        mesh.session.set("portolan.adapt_factor", factor).unwrap();
        assert_eq!(mesh.count(sql).await, rows, "{factor}: {sql}");
        assert_eq!(text().await, expected, "{factor}: {sql}");
    }
}

#[tokio::test]
async fn a_filtered_dimension_is_estimated_and_is_the_build_side() {
    let mesh = star().await;
    let sql = format!("{VISITED} d_year = 1998");
    check_rows(&mesh, &sql, 7300).await;
    for factor in FACTORS {
        let ran = Ran::of(&mesh, factor, &sql).await;
        assert!(ran.q_error(7300) < 2.0, "{factor}: {:#}", ran.joins[0]);
        assert!(ran.build_side().contains("calendar.p.days"), "{factor}: {:#}", ran.joins[0]);
        assert_eq!(ran.adapted, None, "{factor}: the days are as expected");
    }
}

#[tokio::test]
async fn no_join_above_a_filtered_dimension_builds_the_larger_side() {
    let mesh = star().await;
    let sql = "SELECT v_item AS x, d_key AS y, i_name FROM shop.p.visits JOIN calendar.p.days ON v_day = d_key \
               JOIN goods.p.items ON v_item = i_key WHERE d_year = 1998";
    check_rows(&mesh, sql, 7300).await;
    for factor in FACTORS {
        let ran = Ran::of(&mesh, factor, sql).await;
        assert!(ran.q_error(7300) < 2.0, "{factor}: {:#}", ran.joins[0]);
        assert_eq!(ran.joins.len(), 2, "{factor}");
        for join in &ran.joins {
            let (build, probe) = (actual_rows(&join["inputs"][0]), actual_rows(&join["inputs"][1]));
            assert!(build <= probe, "{factor}: {build} rows are built, and {probe} are looked up: {join:#}");
        }
    }
}

#[tokio::test]
async fn counted_keys_correct_what_no_statistics_show() {
    let mesh = star().await;
    let cases = [
        // The year with the day that most stays have, and another year.
        (format!("{STAYED} d_year = 1998"), 32_400 + 365 * 2),
        (format!("{STAYED} d_year = 1997"), 365 * 2),
        // 40 days of this year are among those of the visits.
        (format!("{VISITED} d_year = 1995"), 40 * 20),
        (format!("{VISITED} d_year = 2050"), 0),
    ];
    for (sql, rows) in cases {
        check_rows(&mesh, &sql, rows).await;
        let expected = Ran::of(&mesh, "off", &sql).await;
        assert!(expected.q_error(rows) > 4.0 && expected.adapted.is_none(), "{sql}: {:#}", expected.joins[0]);
        let counted = Ran::of(&mesh, "4", &sql).await;
        assert!(counted.q_error(rows) < 2.0, "{sql}: {:#}", counted.joins[0]);
        let reason = counted.adapted.unwrap_or_default();
        assert!(reason.starts_with("a join returns about"), "{sql}: {reason}");
    }
}

#[tokio::test]
async fn null_keys_and_ranges_that_do_not_overlap() {
    let mesh = star().await;
    let noted = "SELECT n_item AS x, d_key AS y FROM shop.p.notes";
    let cases = [
        (format!("{noted} JOIN calendar.p.days ON n_day = d_key WHERE d_year = 1998"), 365 * 12),
        // Each note is in the result, with or without a day.
        (
            format!("{noted} LEFT JOIN (SELECT d_key FROM calendar.p.days WHERE d_year = 1998) AS d ON n_day = d_key"),
            VISITS,
        ),
        // Half of the build side's keys are NULL.
        (
            "SELECT v_item AS x, p_day AS y FROM calendar.p.plans JOIN shop.p.visits ON p_day = v_day WHERE p_kind = 1"
                .to_owned(),
            500 * 20,
        ),
        (
            "SELECT v_item AS x, v_day AS y FROM shop.p.visits \
             WHERE v_day IN (SELECT d_key FROM calendar.p.days WHERE d_year = 1998)"
                .to_owned(),
            365 * 20,
        ),
        (format!("{VISITED} d_key <= 1000"), 0),
    ];
    for (sql, rows) in cases {
        check_rows(&mesh, &sql, rows).await;
        for factor in FACTORS {
            let ran = Ran::of(&mesh, factor, &sql).await;
            assert!(ran.q_error(rows) < 2.0, "{factor}: {sql}: {:#}", ran.joins[0]);
        }
    }
}

/// The pattern is expected to select a tenth of the days, but all of them match.
#[tokio::test]
async fn the_build_side_changes_if_its_count_is_the_larger_one() {
    let mesh = star().await;
    let sql = "SELECT k_day AS x, d_year AS y FROM calendar.p.days JOIN shop.p.picks ON d_key = k_day \
               WHERE d_name LIKE '%day%'";
    check_rows(&mesh, sql, 20_000).await;
    let first = Ran::of(&mesh, "off", sql).await;
    assert!(first.build_side().contains("calendar.p.days") && first.adapted.is_none(), "{:#}", first.joins[0]);
    // No estimate is wrong by this factor. Only the sides are.
    let turned = Ran::of(&mesh, "1000", sql).await;
    let reason = turned.adapted.as_deref().unwrap_or_default();
    assert!(reason.starts_with("the build side of a join has 73000 rows, and its other side about 20000"), "{reason}");
    assert!(turned.build_side().contains("shop.p.picks"), "{:#}", turned.joins[0]);
    assert!(turned.q_error(20_000) < 2.0, "{:#}", turned.joins[0]);
    assert_eq!(mesh.count(sql).await, 20_000);
}

#[tokio::test]
async fn a_session_shows_that_plans_do_not_change() {
    let mesh = Mesh::new().await;
    let shown = || mesh.session.settings().values().into_iter().find(|(name, _)| *name == "portolan.adapt_factor");
    mesh.session.set("portolan.adapt_factor", "OFF").unwrap();
    assert_eq!(shown().unwrap().1, "off");
    assert!(!mesh.explained(MORE).await.contains("planned again"));
    mesh.session.reset("portolan.adapt_factor").unwrap();
    assert_eq!(shown().unwrap().1, "4");
    assert!(mesh.explained(MORE).await.contains("planned again"));
    let error = mesh.session.set("portolan.adapt_factor", "inf").unwrap_err().to_string();
    assert!(error.contains("expected a number of at least 1, or `off`, got `inf`"), "{error}");
}
