//! Reads a bounded sample of a port's rows. The sample is spread over the data if the source can be read in parts.

use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::width::bytes_of;
use crate::source::OpenedPort;

/// The bounds of a sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The rows of one port.
    pub(super) rows: usize,
    /// The size of one port's rows in the Arrow format, in bytes.
    pub(super) bytes: u64,
    /// The time for one port. The sample has the rows that were read within this time.
    pub(super) time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { rows: 64 * 1024, bytes: 32 << 20, time: Duration::from_secs(2) }
    }
}

/// The number of places in the data that a sample reads.
pub(super) const RUNS: usize = 16;

/// A sample of a port's rows.
#[derive(Debug, Default)]
pub(super) struct Sample {
    /// The consecutive rows of each place.
    pub(super) runs: Vec<Vec<RecordBatch>>,
    /// True if the sample has all rows of the port.
    pub(super) complete: bool,
}

impl Sample {
    pub(super) fn rows(&self) -> usize {
        self.runs.iter().flatten().map(RecordBatch::num_rows).sum()
    }

    /// Reads the columns at these positions.
    ///
    /// Each run has an equal share of the rows. If most places have fewer rows than that, as in a file that cannot be
    /// divided, the places with more rows are read a second time, with a larger share.
    ///
    /// # Errors
    /// The error of the source.
    pub(super) async fn read(
        port: &OpenedPort,
        columns: &[usize],
        session: &SessionState,
        bounds: Bounds,
    ) -> Result<Self> {
        let reading =
            SampleReader { port, columns, session, bytes: bounds.bytes, deadline: Instant::now() + bounds.time };
        let share = (bounds.rows / RUNS).max(1);
        let mut places = reading.runs(share, None).await?;
        let longer: Vec<usize> = (0..places.len()).filter(|i| places[*i].end == End::Rows).collect();
        let rows: usize = places.iter().map(SampleRun::rows).sum();
        if rows < bounds.rows / 2 && !longer.is_empty() && places.iter().all(|p| p.end != End::Spent) {
            let short: usize = places.iter().filter(|p| p.end == End::Data).map(SampleRun::rows).sum();
            let share = (bounds.rows.saturating_sub(short) / longer.len()).max(1);
            let again = reading.runs(share, Some(&longer)).await?;
            if again.iter().map(SampleRun::rows).sum::<usize>() > rows - short {
                places.retain(|p| p.end == End::Data);
                places.extend(again);
            }
        }
        let complete = places.iter().all(|p| p.end == End::Data);
        Ok(Self { runs: places.into_iter().map(|p| p.batches).filter(|b| !b.is_empty()).collect(), complete })
    }
}

/// The reason why a run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// There are no more rows.
    Data,
    /// The run has its share of the rows.
    Rows,
    /// The bytes or the time are used up.
    Spent,
}

#[derive(Debug)]
struct SampleRun {
    batches: Vec<RecordBatch>,
    end: End,
}

impl SampleRun {
    fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

struct SampleReader<'a> {
    port: &'a OpenedPort,
    columns: &'a [usize],
    session: &'a SessionState,
    bytes: u64,
    deadline: Instant,
}

impl SampleReader<'_> {
    /// Reads up to `rows` rows of each part of the data, or only of the parts in `only`.
    async fn runs(&self, rows: usize, only: Option<&[usize]>) -> Result<Vec<SampleRun>> {
        let plan = self.plan(rows).await?;
        let partitions = plan.output_partitioning().partition_count();
        let wanted: Vec<usize> = match only {
            Some(only) => only.iter().copied().filter(|p| *p < partitions).collect(),
            None => (0..partitions).collect(),
        };
        let bytes = self.bytes / wanted.len().max(1) as u64;
        // A source may have more parts than a sample has runs.
        let rows = if partitions > RUNS { (rows * RUNS / partitions).max(1) } else { rows };
        let mut runs = Vec::with_capacity(wanted.len());
        for partition in wanted {
            runs.push(self.run(&plan, partition, rows, bytes).await?);
        }
        Ok(runs)
    }

    /// Plans a scan with as many parts as a sample has runs. With its limit, readers fetch only the first rows of each
    /// part.
    async fn plan(&self, rows: usize) -> Result<Arc<dyn ExecutionPlan>> {
        let scan = self.port.provider.scan(self.session, Some(&self.columns.to_vec()), &[], Some(rows)).await?;
        let parts = match scan.output_partitioning().partition_count() < RUNS {
            true => scan.repartitioned(RUNS, self.session.config_options())?.unwrap_or(scan),
            false => scan,
        };
        // Otherwise, parts that end early would continue with the files of other parts.
        Ok(parts.with_preserve_order(true).unwrap_or(parts))
    }

    async fn run(&self, plan: &Arc<dyn ExecutionPlan>, partition: usize, rows: usize, bytes: u64) -> Result<SampleRun> {
        let mut stream = plan.execute(partition, self.session.task_ctx())?;
        let (mut batches, mut left, mut spent) = (vec![], rows, 0);
        while left > 0 {
            if spent >= bytes {
                return Ok(SampleRun { batches, end: End::Spent });
            }
            let batch = match timeout_at(self.deadline, stream.next()).await {
                Err(_) => return Ok(SampleRun { batches, end: End::Spent }),
                Ok(None) => return Ok(SampleRun { batches, end: End::Data }),
                Ok(Some(batch)) => batch?,
            };
            let batch = batch.slice(0, batch.num_rows().min(left));
            left -= batch.num_rows();
            spent += batch.columns().iter().filter_map(|c| bytes_of(c)).sum::<u64>();
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
        }
        Ok(SampleRun { batches, end: End::Rows })
    }
}
