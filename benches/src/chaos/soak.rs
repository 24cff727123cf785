//! The soak: hours of queries without faults. The memory, the open files and the threads of the nodes must stay flat.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use portolan_node::{Error, Result};
use serde_json::{Value, json};

use super::leftovers::sum;
use super::mesh::GATEWAY;
use super::{Field, on_mesh};
use crate::options::Format;
use crate::table::{Table, percentile};

/// The number of samples of the nodes' metrics. A quarter of them is at the start, where caches fill.
const SAMPLES: u32 = 120;
/// The table has one row for this many samples.
const SAMPLES_PER_ROW: usize = 10;
/// What is sampled: the name for the table, the metric, its unit, and the growth in that unit that is noise.
const SAMPLED: [(&str, &str, f64, f64); 3] = [
    ("resident MB", "process_resident_memory_bytes", 1e6, 64.0),
    ("open files", "process_open_fds", 1.0, 16.0),
    ("threads", "process_threads", 1.0, 32.0),
];
/// The growth from the second quarter to the last one that is noise.
const NOISE: f64 = 0.05;

/// The options of a soak.
#[derive(Args)]
pub struct SoakArgs {
    /// The length of the run
    #[arg(long, default_value_t = 120, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    minutes: u32,
    /// The seed of the queries. Default: a random one, which is printed
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// The longest pause of a client between two queries, in milliseconds
    #[arg(long, default_value_t = 500, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=60_000))]
    pause: u64,
    /// The output format
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    format: Format,
}

/// The metrics at a moment: for each of [`SAMPLED`], the sum over the gateway and the sum over the owners.
struct Sample {
    at: Duration,
    statements: u64,
    values: [[f64; 2]; SAMPLED.len()],
}

/// Runs the mesh and the clients, and prints a table of samples.
///
/// # Errors
/// Failed checks, with the folder of the nodes' logs; a node that ends by itself or does not start.
pub async fn run(args: &SoakArgs) -> Result<()> {
    let seed = args.seed.unwrap_or_else(rand::random);
    on_mesh(seed, 1, async |field| {
        let mut samples = vec![];
        let outcome =
            field.with_clients(seed, Duration::from_millis(args.pause), field.sample(args, &mut samples)).await;
        if let Some(what) = growth(&samples) {
            field.judge.failed(&what);
        }
        table(args.minutes, seed, &samples).print(args.format)?;
        outcome
    })
    .await
}

impl Field {
    /// Takes samples until the time is over.
    async fn sample(self: &Arc<Self>, args: &SoakArgs, samples: &mut Vec<Sample>) -> Result<()> {
        let (started, time) = (Instant::now(), Duration::from_secs(60) * args.minutes);
        for number in 0..=SAMPLES {
            let due = time.mul_f64(f64::from(number) / f64::from(SAMPLES));
            tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
            self.mesh.check().await?;
            let metrics = self.metrics().await.map_err(Error::failed)?;
            let (gateway, owners) = metrics.split_at(GATEWAY + 1);
            let values = SAMPLED.map(|(_, metric, unit, _)| {
                [gateway, owners].map(|nodes| nodes.iter().map(|text| sum(text, metric)).sum::<f64>() / unit)
            });
            let statements = self.judge.outcome().0.answers;
            samples.push(Sample { at: started.elapsed(), statements, values });
            eprintln!("{:>6} s  {statements} statements", started.elapsed().as_secs());
            if self.judge.has_enough() {
                break;
            }
        }
        Ok(())
    }
}

/// Returns what has grown from the second quarter of the run to the last one, by medians. `None` if nothing has.
fn growth(samples: &[Sample]) -> Option<String> {
    let quarter = samples.len() / 4;
    let (second, last) = (samples.get(quarter..2 * quarter)?, samples.get(3 * quarter..)?);
    let grown = SAMPLED.iter().enumerate().flat_map(|(i, (name, _, _, slack))| {
        ["gateway", "owners"].into_iter().enumerate().filter_map(move |(of, nodes)| {
            let median =
                |samples: &[Sample]| percentile(&samples.iter().map(|s| s.values[i][of]).collect::<Vec<_>>(), 0.5);
            let (before, after) = (median(second)?, median(last)?);
            let has_grown = after > before.mul_add(1.0 + NOISE, *slack);
            has_grown.then(|| format!("{name} of the {nodes} grew from {before:.0} to {after:.0}"))
        })
    });
    let grown: Vec<_> = grown.collect();
    (!grown.is_empty()).then(|| grown.join("; "))
}

fn table(minutes: u32, seed: u64, samples: &[Sample]) -> Table {
    let row = |sample: &Sample| {
        let numbers = sample.values.iter().flatten().map(|value| json!(value.round() as u64));
        let minute = format!("{:.0}", sample.at.as_secs_f64() / 60.0);
        [json!(minute), json!(sample.statements)].into_iter().chain(numbers).collect::<Vec<Value>>()
    };
    Table {
        title: format!("{minutes} min of queries without faults, seed {seed}"),
        columns: vec![
            "minute",
            "statements",
            "resident MB, gateway",
            "resident MB, owners",
            "open files, gateway",
            "open files, owners",
            "threads, gateway",
            "threads, owners",
        ],
        rows: samples.iter().step_by(SAMPLES_PER_ROW).map(row).collect(),
        summary: vec![(
            "growth from the second quarter to the last one",
            growth(samples).map_or(json!("none"), Value::from),
        )],
        faults: vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(resident: f64, files: f64) -> Sample {
        Sample { at: Duration::ZERO, statements: 0, values: [[resident, 400.0], [files, 300.0], [20.0, 80.0]] }
    }

    #[test]
    fn growth_beyond_noise_is_found() {
        let flat: Vec<_> =
            (0..120).map(|i| sample(if i < 20 { 80.0 } else { 200.0 + f64::from(i % 7) }, 100.0)).collect();
        assert_eq!(growth(&flat), None);
        let rising: Vec<_> = (0..120).map(|i| sample(f64::from(i).mul_add(2.0, 100.0), f64::from(100 + i))).collect();
        assert_eq!(
            growth(&rising).unwrap_or_default(),
            "resident MB of the gateway grew from 188 to 308; open files of the gateway grew from 144 to 204"
        );
    }
}
