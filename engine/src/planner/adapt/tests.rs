//! What counted rows change in a plan of TPC-H's tables, whose owners are not there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use portolan_catalog::{ColumnStatistics, StatisticValue};

use super::*;
use crate::fake_mesh::{analysed, gateway, rules_of, state_of};
use crate::planner::plan;
use crate::settings::StrategyChoice;

/// One of 25 nations has 6,000 customers. They are joined with 10,000 suppliers, which wait for the keys of the customers.
const SQL: &str = "SELECT c_name, s_name FROM sales.customers.customer JOIN supply.suppliers.supplier
                   ON c_custkey = s_suppkey WHERE c_nationkey = 3";

/// Returns the reason to plan the suppliers again after `count` customers were counted, whose keys are in this range.
async fn reason(count: usize, keys: Option<(f64, f64)>, factor: f64) -> Option<String> {
    let engine = gateway().await;
    let (state, view, rules) = (state_of(&engine), engine.inner().mesh.view(), rules_of(&engine));
    let settings = Settings { strategy: vec![StrategyChoice::KeysFromLeft], ..Settings::default() };
    let planned = plan(&state, &analysed(&engine, SQL).await, &settings, &view, &rules, false).unwrap();
    let awaited: Vec<_> = awaited(&planned).unwrap().into_iter().collect();
    let [(number, positions)] = awaited.as_slice() else { panic!("{awaited:?} of {}", planned.plan.display_indent()) };
    let schema = planned.fragments.iter().find(|f| f.number == *number).unwrap().schema.clone();
    let key = schema.columns().iter().position(|c| c.name == "c_custkey").unwrap();
    assert_eq!(*positions, BTreeSet::from([key]));
    let statistics = keys.map(|(min, max)| ColumnStatistics {
        distinct: Some(count as u64),
        nulls: Some(0),
        min: Some(StatisticValue::Number(min)),
        max: Some(StatisticValue::Number(max)),
        ..ColumnStatistics::default()
    });
    let counted = Counted { rows: count, all: true, keys: statistics.map(|s| (key, s)).into_iter().collect() };
    let counted = BTreeMap::from([(*number, counted)]);
    let settings = Settings { adapt_factor: factor, ..Settings::default() };
    let adapted = adapt(&state, &planned, &counted, &settings, &view, false, &mut |_, _| {}).unwrap();
    adapted.map(|adapted| adapted.adapted.unwrap())
}

#[tokio::test]
async fn rows_that_are_as_expected_change_nothing() {
    assert_eq!(reason(6000, None, 4.0).await, None);
    assert_eq!(reason(14_000, None, 4.0).await, None, "1.4 times as many rows as on the other side");
    assert_eq!(reason(6000, Some((1.0, 10_000.0)), 4.0).await, None);
}

#[tokio::test]
async fn a_count_that_is_far_from_its_estimate_does() {
    let reason = reason(24_001, None, 4.0).await.unwrap();
    assert_eq!(reason, "sales gave 24001 rows where 6000 were expected: what had not started was planned again");
}

#[tokio::test]
async fn a_build_side_that_became_the_larger_one_does() {
    let reason = reason(16_000, None, 4.0).await.unwrap();
    assert!(reason.starts_with("the build side of a join has 16000 rows, and its other side about 10000"), "{reason}");
}

#[tokio::test]
async fn keys_that_match_few_rows_do() {
    // As many customers as expected, but hardly any of their keys is one of the suppliers', which end at 10,000.
    let few = reason(6000, Some((9_991.0, 150_000.0)), 4.0).await.unwrap();
    assert!(few.starts_with("a join returns about 1 rows for the counted keys, where 6000 were expected"), "{few}");
    assert_eq!(reason(6000, Some((9_991.0, 150_000.0)), 1e6).await, None, "the factor bounds this too");
}
