//! What the time of a query tells of hidden rows: the same query with a value that only hidden rows have, and with one that
//! no row has.

use std::path::Path;
use std::time::Duration;

use arrow::util::display::array_value_to_string;
use futures::TryStreamExt;
use portolan_engine::Engine;
use portolan_node::{Error, Result};
use portolan_testbed::single::single_process;
use serde_json::json;

use super::mesh::{Mesh, Place};
use super::sides::LINEITEM;
use crate::asked::Answer;
use crate::measure::median;
use crate::table::Table;

/// The description of the measurement.
pub const TITLE: &str = "times at the owner of queries with a hidden match and without one";

/// A price that only rows have that the policies hide, and one between the prices that no row has.
struct Prices {
    hidden: String,
    missing: String,
}

/// A query with a hidden match, and the same without one.
struct Probe {
    what: &'static str,
    hidden: String,
    missing: String,
}

/// Sends both queries of each probe `rounds` times in turns, and returns a table with one row for each probe.
///
/// # Errors
/// A query that fails, or whose answer depends on the hidden match.
pub async fn measure(mesh: &Mesh, data: &Path, rounds: u32) -> Result<Table> {
    let prices = Prices::of(&single_process(data).await?).await?;
    let client = mesh.client(Place::Owner).await?;
    let mut rows = vec![];
    for Probe { what, hidden, missing } in probes(&prices) {
        eprintln!("{what}: {rounds} rounds");
        let texts = [hidden, missing];
        let (first, second) = (Answer::of(&client, &texts[0]).await?, Answer::of(&client, &texts[1]).await?);
        if first.batches != second.batches {
            return Err(Error::failed(format!("the answer depends on a hidden row: {what}")));
        }
        let mut times: [Vec<Duration>; 2] = [vec![], vec![]];
        for round in 0..rounds as usize {
            for turn in 0..texts.len() {
                let side = (round + turn) % texts.len();
                times[side].push(Answer::of(&client, &texts[side]).await?.time);
            }
        }
        let effect = effect_size(&times[0], &times[1]);
        let [hidden, missing] = times.map(|times| median(times).as_secs_f64() * 1e6);
        let difference = (hidden - missing) / missing.max(1e-9) * 100.0;
        rows.push(vec![json!(what), json!(rounds), json!(hidden), json!(missing), json!(difference), json!(effect)]);
    }
    Ok(Table {
        title: TITLE.to_owned(),
        columns: vec![
            "probe",
            "rounds",
            "hidden match, median µs",
            "no match, median µs",
            "difference of medians, %",
            "effect size (Cohen's d)",
        ],
        rows,
        summary: vec![],
        faults: vec![],
    })
}

fn probes(prices: &Prices) -> Vec<Probe> {
    let price = |price: &str| format!("CAST('{price}' AS DECIMAL(15, 2))");
    let probe = |what, query: &dyn Fn(&str) -> String| Probe {
        what,
        hidden: query(&price(&prices.hidden)),
        missing: query(&price(&prices.missing)),
    };
    let mode = |mode: &str| format!("SELECT count(*) FROM {LINEITEM} WHERE l_shipmode = '{mode}'");
    vec![
        probe("a comparison beside the policies", &|value| {
            format!("SELECT count(*) FROM {LINEITEM} WHERE l_extendedprice = {value}")
        }),
        // True for every visible row: prices have two decimal places.
        probe("a division above the policies", &|value| {
            format!("SELECT count(*) FROM {LINEITEM} WHERE 1 / (l_extendedprice - {value}) > -1000")
        }),
        // All rows with this mode show a masked one.
        Probe { what: "a raw value of a masked column", hidden: mode("TRUCK"), missing: mode("TRUNK") },
    ]
}

impl Prices {
    async fn of(engine: &Engine) -> Result<Self> {
        let hidden = format!(
            "SELECT min(l_extendedprice) FROM {LINEITEM} WHERE l_linenumber > 3 AND l_extendedprice > 20000 \
             AND l_extendedprice NOT IN (SELECT l_extendedprice FROM {LINEITEM} WHERE l_linenumber <= 3)"
        );
        let missing = format!(
            "SELECT min(p) FROM (SELECT CAST(l_extendedprice + 0.01 AS DECIMAL(15, 2)) AS p FROM {LINEITEM} \
             WHERE l_extendedprice > 20000) WHERE p NOT IN (SELECT l_extendedprice FROM {LINEITEM})"
        );
        Ok(Self { hidden: value(engine, &hidden).await?, missing: value(engine, &missing).await? })
    }
}

/// Returns the only value of a query, as text.
async fn value(engine: &Engine, sql: &str) -> Result<String> {
    let batches: Vec<_> = engine.sql(sql).await?.try_collect().await?;
    let first = batches.iter().find(|batch| batch.num_rows() > 0);
    let batch = first.ok_or_else(|| Error::failed("expected a price, got no rows"))?;
    array_value_to_string(batch.column(0), 0).map_err(|e| Error::failed("a price has no text").with_source(e))
}

/// Returns the difference of the means in standard deviations: 0.2 is small, and 0.8 is large.
fn effect_size(first: &[Duration], second: &[Duration]) -> f64 {
    let (one, other) = (Sample::of(first), Sample::of(second));
    let deviation = ((one.variance + other.variance) / 2.0).sqrt();
    (one.mean - other.mean) / deviation.max(1e-12)
}

struct Sample {
    mean: f64,
    variance: f64,
}

impl Sample {
    fn of(times: &[Duration]) -> Self {
        let count = times.len().max(1) as f64;
        let mean = times.iter().map(Duration::as_secs_f64).sum::<f64>() / count;
        let squares = times.iter().map(|time| (time.as_secs_f64() - mean).powi(2)).sum::<f64>();
        Self { mean, variance: squares / (count - 1.0).max(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_measured_in_deviations() {
        let millis = |times: &[u64]| times.iter().copied().map(Duration::from_millis).collect::<Vec<_>>();
        assert!(effect_size(&millis(&[9, 10, 11]), &millis(&[9, 10, 11])).abs() < 1e-9);
        assert!((effect_size(&millis(&[11, 12, 13]), &millis(&[9, 10, 11])) - 2.0).abs() < 1e-6);
    }
}
