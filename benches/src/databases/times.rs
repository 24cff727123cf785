//! The time of each query through each engine.

use std::time::Duration;

use portolan_node::Result;
use serde_json::{Value, json};

use super::sides::{Labels, Side};
use crate::chosen;
use crate::measure::{median, turns};
use crate::planning::millis;
use crate::table::Table;

/// Measures the queries, and returns a table with one row for each. The first run of each query compares the numbers of
/// rows, warms the caches, and is not counted. The engines take turns to go first.
///
/// # Errors
/// A query that Portolan does not answer. Errors of other engines are in the table.
pub async fn measure(sides: &mut [Side], queries: &[u32], runs: u32) -> Result<Table> {
    let labels: Vec<_> = sides.iter().map(Side::labels).collect();
    let (mut rows, mut faults) = (vec![], vec![]);
    let mut medians: Vec<Vec<Option<Duration>>> = vec![vec![]; sides.len()];
    for query in chosen(queries) {
        eprintln!("query {}: one run to compare the rows, then {runs} measured runs", query.number);
        let mut expected = None;
        let mut times: Vec<Option<Vec<Duration>>> = vec![];
        for side in sides.iter_mut() {
            let outcome = side.run(query).await;
            if matches!(side, Side::Mesh(..)) {
                expected = Some(outcome?.rows);
                times.push(Some(vec![]));
                continue;
            }
            let fault = match outcome {
                Ok(ran) if Some(ran.rows) == expected => None,
                Ok(ran) => Some(format!("{} rows instead of {}", ran.rows, expected.unwrap_or_default())),
                Err(e) => Some(e.owner_chain()),
            };
            times.push(fault.is_none().then(Vec::new));
            faults.extend(fault.map(|fault| format!("query {}, {}: {fault}", query.number, side.labels().engine)));
        }
        for side in turns(runs, sides.len()) {
            if let Some(times) = &mut times[side] {
                times.push(sides[side].run(query).await?.time);
            }
        }
        let query_medians: Vec<_> = times.into_iter().map(|times| times.map(median)).collect();
        let mut row = vec![json!(query.number), json!(expected)];
        row.extend(query_medians.iter().map(|time| time.map_or(Value::Null, |time| json!(millis(time)))));
        row.extend(query_medians[1..].iter().map(|time| ratio(*time, query_medians[0])));
        rows.push(row);
        for (all, time) in medians.iter_mut().zip(query_medians) {
            all.push(time);
        }
    }
    let versions: Vec<_> =
        sides.iter().filter_map(|side| side.version()).map(|version| format!(", {version}")).collect();
    Ok(Table {
        title: format!("medians of {runs} runs{}", versions.concat()),
        columns: ["query", "rows"]
            .into_iter()
            .chain(labels.iter().map(|labels| labels.time))
            .chain(labels[1..].iter().map(|labels| labels.ratio))
            .collect(),
        rows,
        summary: summary(&labels, &medians),
        faults,
    })
}

/// Returns the sums. A ratio is over the queries that both engines answered.
fn summary(labels: &[&'static Labels], medians: &[Vec<Option<Duration>>]) -> Vec<(&'static str, Value)> {
    let mut summary = vec![];
    for (i, (labels, times)) in labels.iter().zip(medians).enumerate() {
        let both: Vec<_> = times.iter().zip(&medians[0]).filter_map(|(time, first)| time.zip(*first)).collect();
        let (sum, first): (Duration, Duration) = (both.iter().map(|b| b.0).sum(), both.iter().map(|b| b.1).sum());
        summary.push((labels.sum, json!(millis(sum))));
        if i > 0 {
            summary.push((labels.ratio_of_sums, ratio(Some(sum), Some(first))));
        }
        if both.len() < times.len() {
            summary.push((labels.unanswered, json!(times.len() - both.len())));
        }
    }
    summary
}

fn ratio(time: Option<Duration>, first: Option<Duration>) -> Value {
    time.zip(first).map_or(Value::Null, |(time, first)| json!(time.as_secs_f64() / first.as_secs_f64().max(1e-9)))
}

#[cfg(test)]
mod tests {
    use super::super::sides::labels;
    use super::*;

    #[test]
    fn ratios_are_over_the_queries_that_both_answered() {
        let times = |times: &[Option<u64>]| times.iter().map(|t| t.map(Duration::from_millis)).collect::<Vec<_>>();
        let medians = [times(&[Some(10), Some(20)]), times(&[Some(30), None])];
        let summary = summary(&[labels!("Portolan"), labels!("other")], &medians);
        let expected = [
            ("Portolan ms, sum", json!(30.0)),
            ("other ms, sum", json!(30.0)),
            ("other / Portolan, sums of the queries that both answered", json!(3.0)),
            ("queries without an answer of other", json!(1)),
        ];
        assert_eq!(summary, expected);
    }
}
