//! Runs a query four ways, on the gateway of a mesh placed freely, placed in one forced way and unplaced, and in one
//! process that owns everything, and compares what comes.

use std::fmt::Write;
use std::path::Path;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use portolan_cli::compare::{Order, compare};
use portolan_cli::demo::descriptors;
use portolan_cli::tpch::DOMAINS;
use portolan_engine::Result as EngineResult;
use serde_json::Value;

use crate::crossed::strategies_in;
use crate::forced::{FORCED, Forced};
use crate::ways::{Rows, UNPLACED, Ways};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The mesh, and the process that it is compared with.
pub struct Trial(Ways);

/// How a query went.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Every way gave the same rows; so many.
    Equal(usize),
    /// Every way failed in the same manner.
    Refused(String),
    /// The ways differ: how.
    Different(String),
}

impl Trial {
    /// Starts the mesh over the tables in `data`.
    ///
    /// # Errors
    /// Data that is not there; nodes that do not start or do not learn of one another.
    pub async fn start(data: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut homes = vec![];
        for domain in DOMAINS {
            homes.push((domain, descriptors::write(domain, data, &folder.path().join(domain))?));
        }
        Ok(Self(Ways::start(&homes).await?))
    }

    /// Runs the query every way and compares. `forced` is the way that is forced.
    pub async fn run(&self, sql: &str, order: &Order, forced: &Forced) -> Outcome {
        let unplaced = self.0.at_gateway(sql, UNPLACED).await;
        let single = self.0.in_one_process(sql).await;
        let mut outcome = match agree(&single, &unplaced, order) {
            Outcome::Different(how) => return Outcome::Different(format!("one process (-) and unplaced (+): {how}")),
            same => same,
        };
        for (name, settings) in [("placed", &[][..]), (forced.name, forced.settings)] {
            let placed = self.0.at_gateway(sql, settings).await;
            match agree(&unplaced, &placed, order) {
                Outcome::Different(how) => {
                    return Outcome::Different(format!("unplaced (-) and {name} (+): {how}"));
                }
                Outcome::Refused(why) => outcome = Outcome::Refused(why),
                Outcome::Equal(_) => {}
            }
        }
        outcome
    }

    /// The strategies of the edges that the query has where this way is forced; none for a query that cannot be
    /// planned.
    pub async fn strategies(&self, sql: &str, forced: &Forced) -> Vec<String> {
        let explained = self.0.at_gateway(&format!("EXPLAIN (FORMAT JSON) {sql}"), forced.settings).await;
        let document = explained.ok().and_then(|(_, batches)| document(&batches));
        document.map(|d| strategies_in(&d)).unwrap_or_default()
    }

    /// How the gateway runs the query, and what each way gives.
    ///
    /// # Errors
    /// A query that cannot be planned.
    pub async fn show(&self, sql: &str) -> Result<String> {
        let mut text = String::new();
        let single = self.0.in_one_process(sql).await;
        let mut ways = vec![("one process", single), ("unplaced", self.0.at_gateway(sql, UNPLACED).await)];
        for Forced { name, settings } in [Forced { name: "placed", settings: &[] }].iter().chain(FORCED) {
            let (_, plan) = self.0.at_gateway(&format!("EXPLAIN VERBOSE {sql}"), settings).await?;
            write!(text, "\n{name}:\n{}", pretty_format_batches(&plan)?)?;
            ways.push((name, self.0.at_gateway(sql, settings).await));
        }
        for (way, result) in ways {
            match result {
                Ok((_, batches)) => write!(text, "\n{way}:\n{}", pretty_format_batches(&batches)?)?,
                Err(e) => write!(text, "\n{way}: {}", e.chain())?,
            }
        }
        Ok(text)
    }
}

fn document(batches: &[RecordBatch]) -> Option<Value> {
    let batch = batches.iter().find(|b| b.num_rows() > 0)?;
    let text = cast(batch.column(1), &DataType::Utf8).ok()?;
    serde_json::from_str(text.as_string::<i32>().value(0)).ok()
}

fn agree(expected: &EngineResult<Rows>, actual: &EngineResult<Rows>, order: &Order) -> Outcome {
    if let Some(error) = [expected, actual].into_iter().filter_map(|r| r.as_ref().err()).find(|e| is_planner_gap(e)) {
        return Outcome::Refused(error.chain());
    }
    match (expected, actual) {
        (Ok(expected), Ok(actual)) => match compare((&expected.0, &expected.1), (&actual.0, &actual.1), order) {
            Ok(()) => Outcome::Equal(actual.1.iter().map(RecordBatch::num_rows).sum()),
            Err(difference) => Outcome::Different(difference.to_string()),
        },
        (Err(a), Err(b)) if a.kind() == b.kind() => Outcome::Refused(a.chain()),
        (Err(a), Err(b)) => Outcome::Different(format!("the errors differ\n  - {}\n  + {}", a.chain(), b.chain())),
        (Ok(_), Err(e)) => Outcome::Different(format!("rows against an error\n  + {}", e.chain())),
        (Err(e), Ok(_)) => Outcome::Different(format!("an error against rows\n  - {}", e.chain())),
    }
}

/// DataFusion 55.2 loses a sort where a filter fixes an expression below a join, and notices: whether a query meets
/// that hangs on the sizes that it sees. An error, and never a wrong row.
fn is_planner_gap(error: &portolan_engine::Error) -> bool {
    error.chain().contains("SanityCheckPlan")
}
