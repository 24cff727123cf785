//! The decisions per second of one thread, by number of policies: computed, and from the cache of a node.

use std::time::{Duration, Instant, SystemTime};

use arrow::datatypes::DataType;
use portolan_catalog::{Column, DomainCatalog, Port, PortRef};
use portolan_governance::{Action, Caller, Decision, DecisionCache, Policies, PolicyFiles};
use portolan_node::{Error, Result};
use serde_json::json;

use crate::measure::median;
use crate::table::Table;

/// The time of a run, at least.
const RUN: Duration = Duration::from_millis(300);
/// The number of decisions between two looks at the clock.
const BLOCK: u32 = 5;
/// The decisions that a node keeps.
const CACHED: usize = 1000;

/// Measures decisions, and returns a table with one row for each number of policies.
///
/// # Errors
/// Policies with errors, or a decision that shows no rows.
pub fn measure(numbers: &[u32], runs: u32) -> Result<Table> {
    let mut rows = vec![];
    for number in numbers {
        eprintln!("{number} policies: {runs} runs");
        let started = Instant::now();
        let policies = resolved(*number)?;
        let load = started.elapsed();
        let cache = DecisionCache::new(CACHED);
        let caller = Caller::new("ann").with_groups(["g1", "g2", "g3"]).with_attribute("region", ["eu"]);
        let (port, now) = (port(), SystemTime::now());
        let computed = median_of(runs, || policies.decide(&caller, &port, Action::Read, now))?;
        let cached = median_of(runs, || cache.decide(&policies, &caller, &port, Action::Read, now))?;
        let per_second = |time: Duration| (1.0 / time.as_secs_f64().max(1e-12)).round();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        rows.push(vec![
            json!(number),
            json!(load.as_secs_f64() * 1e3),
            json!(micros(computed)),
            json!(per_second(computed)),
            json!(micros(cached)),
            json!(per_second(cached)),
        ]);
    }
    Ok(Table {
        title: format!("decisions of one thread, medians of {runs} runs"),
        columns: vec!["policies", "load ms", "decision µs", "decisions/s", "cached decision µs", "cached decisions/s"],
        rows,
        summary: vec![],
        faults: vec![],
    })
}

/// Returns the median time of a decision.
fn median_of(runs: u32, decide: impl Fn() -> Decision) -> Result<Duration> {
    if !matches!(decide(), Decision::Governed(_)) {
        return Err(Error::failed("expected a decision that shows some rows"));
    }
    let run = |_| {
        let (started, mut count) = (Instant::now(), 0);
        while started.elapsed() < RUN {
            for _ in 0..BLOCK {
                std::hint::black_box(decide());
            }
            count += BLOCK;
        }
        started.elapsed() / count
    };
    Ok(median((0..runs).map(run).collect()))
}

fn port() -> PortRef {
    PortRef::new("sales", "orders", "orders")
}

/// Returns this number of policies: row filters of groups, one by an attribute, and two masks.
fn resolved(number: u32) -> Result<Policies> {
    let column = |name: &str, data_type: DataType| Column::new(name).with_type(data_type);
    let columns = [
        column("id", DataType::Int64),
        column("region", DataType::Utf8),
        column("email", DataType::Utf8),
        column("phone", DataType::Utf8),
    ];
    let catalog = DomainCatalog::new("sales", [Port::new(port()).with_columns(columns)]);
    let permit = |who: &str, condition: &str| {
        format!(
            "permit({who}, action == Action::\"read\", resource is sales::orders::orders)\n\
             when {{ resource has region && {condition} }};\n"
        )
    };
    let mask = |column: &str, mask: &str| {
        format!(
            "@mask(\"{mask}\")\nforbid(principal, action == Action::\"read\", \
             resource == Column::\"sales.orders.orders.{column}\")\nunless {{ principal in Group::\"owners\" }};\n"
        )
    };
    let of_groups = (0..number.saturating_sub(3))
        .map(|i| permit(&format!("principal in Group::\"g{i}\""), &format!("resource.region == \"r{i}\"")));
    let by_attribute = "principal.hasTag(\"region\") && principal.getTag(\"region\").contains(resource.region)";
    let others = [permit("principal", by_attribute), mask("email", "show-last-4"), mask("phone", "mask-alphanum")];
    let text: String = of_groups.chain(others).collect();
    let (policies, report) = Policies::new(&catalog, &PolicyFiles::of_product("orders", text));
    match report.errors.first() {
        None => Ok(policies),
        Some(error) => Err(Error::failed(format!("the policies of the benchmark have errors: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_policies_show_some_rows() {
        for number in [3, 16] {
            let policies = resolved(number).unwrap();
            let caller = Caller::new("ann").with_groups(["g1"]).with_attribute("region", ["eu"]);
            let decision = policies.decide(&caller, &port(), Action::Read, SystemTime::now());
            assert!(matches!(decision, Decision::Governed(_)), "{decision:?}");
        }
    }
}
