//! Joins of sides with different ranges, filtered dimensions, and keys that were counted. The calendar has 73,000 days.
//! The visits and the stays have 1,800 of them: 35,001 to 36,800.

use std::collections::BTreeMap;

use datafusion::common::{JoinType, NullEquality};

use super::*;
use crate::plan::Running;
use crate::planner::cardinality::{join, operators};

const VISITS: &str = "SELECT v_item FROM visits JOIN calendar ON v_day = y_key";

#[tokio::test]
async fn a_filtered_dimension_keeps_the_values_that_the_other_side_has() {
    check(&[
        (VISITS, 3.6e6),
        // 73,000 / 200 days are a year: 365 of 1,800 days, and not 365 of 73,000.
        (&format!("{VISITS} WHERE y_year = 2000"), 3.6e6 * 365.0 / 1800.0),
        (&format!("{VISITS} WHERE y_year BETWEEN 2000 AND 2001"), 3.6e6 * 730.0 / 1800.0),
        // More days than the visits have: all of these are among them, which overestimates this filter.
        (&format!("{VISITS} WHERE y_weekday = 3"), 3.6e6),
        // A filter of the visits is independent: a thousandth.
        (&format!("{VISITS} WHERE y_year = 2000 AND v_item = 5"), 3600.0 * 365.0 / 1800.0),
        // A filter of the key itself leaves 180 of 1,800 days.
        (&format!("{VISITS} WHERE y_key BETWEEN 35001 AND 35180 AND v_item = 5"), 360.0),
        // The second calendar adds nothing: it has one day for each visit.
        (
            "SELECT v_item FROM visits JOIN calendar AS a ON v_day = a.y_key JOIN calendar AS b ON v_day = b.y_key \
             WHERE a.y_year = 2000",
            3.6e6 * 365.0 / 1800.0,
        ),
    ])
    .await;
}

#[tokio::test]
async fn semi_and_anti_joins_with_a_dimension() {
    check(&[
        (
            "SELECT v_item FROM visits WHERE v_day IN (SELECT y_key FROM calendar WHERE y_year = 2000)",
            3.6e6 * 365.0 / 1800.0,
        ),
        ("SELECT y_year FROM calendar WHERE y_key IN (SELECT v_day FROM visits )", 1800.0),
        ("SELECT y_year FROM calendar WHERE NOT EXISTS (SELECT 1 FROM visits WHERE v_day = y_key)", 73_000.0 - 1800.0),
    ])
    .await;
}

#[tokio::test]
async fn only_values_within_both_ranges_match() {
    let join = "SELECT e_n FROM early JOIN late ON e_n = t_n";
    check(&[
        // 50 common values, each with 10 rows on either side.
        (join, 50.0 * 10.0 * 10.0),
        // 10 common values.
        (&format!("{join} WHERE t_n >= 90"), 10.0 * 10.0 * 10.0),
        ("SELECT e_n FROM early WHERE e_n IN (SELECT t_n FROM late )", 500.0),
        ("SELECT e_n FROM early LEFT JOIN late ON e_n = t_n", 5000.0 + 500.0),
    ])
    .await;
}

/// Returns the calendar's days as they are after these were counted. The values are listed, as the engine does it, if
/// there are at most 512.
async fn counted(engine: &Engine, days: impl Iterator<Item = i32>) -> Cardinality {
    let plan = planned(engine, "SELECT y_key FROM calendar WHERE y_year = 2000").await;
    let days: Vec<f64> = days.map(f64::from).collect();
    let rows = days.len() as f64;
    let listed = if days.len() <= 512 { days.as_slice() } else { &[] };
    let keys = ColumnStatistics {
        distinct: Some(days.len() as u64),
        nulls: Some(0),
        min: days.first().map(|day| StatisticValue::Number(*day)),
        max: days.last().map(|day| StatisticValue::Number(*day)),
        width: None,
        frequent: listed.iter().map(|day| (StatisticValue::Number(*day), 1.0 / rows)).collect(),
    };
    let running = Running { number: 1, rows: Some(rows), keys: Arc::new(BTreeMap::from([(0, keys)])) };
    operators::counted(estimate(&plan), &running, plan.schema())
}

#[tokio::test]
async fn counted_keys_select_by_number_range_and_frequent_values() {
    let engine = mesh().await;
    let stays = estimate(&planned(&engine, "SELECT s_day FROM stays ").await);
    let column = |c: &Cardinality| Expr::Column(c.columns.keys().next().unwrap().clone());
    // Day 35,010 has 40 % of the stays, and each of the other 1,799 days an equal part of the rest.
    let each = 0.6 / 1799.0;
    let cases = [
        ("a year with the frequent day", counted(&engine, 35_001..35_366).await, 0.4 + 364.0 * each),
        ("a year without it", counted(&engine, 36_001..36_366).await, 365.0 * each),
        ("few days without it", counted(&engine, 35_101..35_111).await, 10.0 * each),
        ("the frequent day", counted(&engine, 35_010..35_011).await, 0.4),
        // 257 of these days are within the range of the stays: a seventh.
        ("one day a week", counted(&engine, (1..73_001).step_by(7)).await, 1.0 / 7.0),
    ];
    for (what, days, expected) in cases {
        let keys = [(column(&stays), column(&days))];
        let matched = matched_fraction(&stays, &days, &keys);
        assert!(q_error(matched * 1e6, expected * 1e6) < 1.02, "{what}: {matched}, not {expected}");
        let joined = join(stays.clone(), days, &keys, None, JoinType::Inner, NullEquality::NullEqualsNothing).rows;
        assert!(q_error(joined, expected * 1e6) < 1.02, "{what}: {joined} rows, not {}", expected * 1e6);
    }
    let none = counted(&engine, 50_000..50_010).await;
    let keys = [(column(&stays), column(&none))];
    assert!(matched_fraction(&stays, &none, &keys) <= 1e-6, "these days are after all stays");
}

#[tokio::test]
async fn a_count_replaces_the_estimate() {
    let engine = mesh().await;
    let days = counted(&engine, 35_001..35_101).await;
    assert_eq!((days.rows, days.known), (100.0, true));
    let (column, statistics) = days.columns.iter().next().unwrap();
    assert_eq!(statistics.distinct, Some(100));
    let domain = days.origins[column].domain;
    assert!((domain - 100.0).abs() < 1e-6, "{domain} values: no other value can match");
}

#[tokio::test]
async fn more_rows_than_expected_have_more_values() {
    let engine = mesh().await;
    let plan = planned(&engine, "SELECT y_key FROM calendar WHERE y_year = 2000").await;
    let running = Running { number: 1, rows: Some(73_000.0), keys: Arc::default() };
    let days = operators::counted(estimate(&plan), &running, plan.schema());
    assert_eq!(days.columns.values().next().unwrap().distinct, Some(73_000), "all days, and not the 365 of a year");
}

#[tokio::test]
async fn a_test_for_keys_selects_as_the_keys_do() {
    let engine = mesh().await;
    let cases = [
        ("SELECT s_day FROM stays ", "s_day", (35_010..35_011).step_by(1), 400_000.0),
        ("SELECT s_day FROM stays ", "s_day", (35_101..35_111).step_by(1), 1e6 * 10.0 * 0.6 / 1799.0),
        ("SELECT s_day FROM stays ", "s_day", (1..1001).step_by(1), 1.0),
        // 2,000 keys, of which every second is compared: 900 of them are within the range, half of the days.
        ("SELECT v_day FROM visits ", "v_day", (34_001..38_001).step_by(2), 1.8e6),
    ];
    for (sql, column, keys, expected) in cases {
        let plan = planned(&engine, sql).await;
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(keys));
        let has_key = InKeys::call(SentKeys::batch(&[keys]).unwrap(), vec![col(column)]);
        let rows = estimate(&LogicalPlanBuilder::from(plan).filter(has_key).unwrap().build().unwrap()).rows;
        assert!(q_error(rows, expected) < 1.02, "{sql}: {rows}, not {expected}");
    }
}
