//! Reads the rows of a fragment as they arrive, and counts them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, Time};
use futures::StreamExt;
use portolan_connectors::{FragmentItem, FragmentPlan, FragmentStream, lock};
use tokio::sync::{Notify, mpsc};

use super::edge_state::EdgeState;
use super::start::{Start, Started};
use crate::execution::conform::conform;
use crate::execution::errors::into_datafusion;
use crate::mesh::StreamMeter;
use crate::metrics::EdgeWork;
use crate::plan::Fragment;
use crate::{Error, ErrorKind};

/// Requests the fragment and passes its rows on.
pub(super) async fn read_all(
    start: Start,
    mut reading: Reading,
    wanted: Arc<Notify>,
    rows: mpsc::Sender<Result<RecordBatch>>,
) -> Result<()> {
    let started = start.start(&wanted).await.inspect_err(|e| reading.work.end(Some(e.kind())));
    let started = started.map_err(|e| into_datafusion(of_fragment(e, &reading.edge.fragment)))?;
    let Some(Started { rows: mut stream, meter }) = started else {
        reading.work.end(None);
        reading.edge.counters.finished.store(true, Ordering::Relaxed);
        reading.baseline.done();
        return Ok(());
    };
    let mut meter = StreamMeter::new(meter);
    while let Some(batch) = read_next(&mut stream, &mut meter, &mut reading).await? {
        let came = Instant::now();
        if rows.send(Ok(batch)).await.is_err() {
            break;
        }
        meter.waited(came.elapsed());
    }
    Ok(())
}

/// A fragment that is being read.
pub(super) struct Reading {
    pub(super) edge: EdgeState,
    pub(super) rows: u64,
    pub(super) schema: SchemaRef,
    pub(super) baseline: BaselineMetrics,
    pub(super) bytes: Count,
    pub(super) first_batch: Time,
    pub(super) started: Instant,
    pub(super) work: Arc<EdgeWork>,
}

/// Adds the domains of a fragment to its error, and the site unless the error already names it. A database does not know
/// the names of ports: they stand in the place of the domains.
fn of_fragment(error: Error, fragment: &Fragment) -> Error {
    if let FragmentPlan::Sql(_) = fragment.sent {
        return error.within(format!("{} at {}", fragment.port_list(), fragment.site));
    }
    let domains = fragment.domain_list();
    if error.chain().contains(fragment.site.as_str()) {
        return error.within(format!("domain {domains}"));
    }
    error.within(format!("domain {domains} at {}", fragment.site))
}

async fn read_next(
    stream: &mut FragmentStream,
    meter: &mut StreamMeter,
    reading: &mut Reading,
) -> Result<Option<RecordBatch>> {
    let item = stream.next().await;
    let (fragment, work) = (reading.edge.fragment.clone(), reading.work.clone());
    let fail = |error: Error| {
        work.end(Some(error.kind()));
        Err(into_datafusion(of_fragment(error, &fragment)))
    };
    match item {
        Some(Ok(FragmentItem::Batch { batch, wire_bytes })) => {
            let batch = match conform(&batch, &reading.schema) {
                Ok(batch) => batch,
                Err(e) => return fail(Error::new(ErrorKind::SiteUnavailable, e.chain())),
            };
            if reading.rows == 0 {
                reading.first_batch.add_elapsed(reading.started);
            }
            reading.rows += batch.num_rows() as u64;
            reading.baseline.record_output(batch.num_rows());
            reading.bytes.add(wire_bytes);
            meter.received(wire_bytes);
            reading.work.received(batch.num_rows(), wire_bytes);
            reading.edge.counters.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            reading.edge.counters.bytes.fetch_add(wire_bytes as u64, Ordering::Relaxed);
            Ok(Some(batch))
        }
        Some(Ok(FragmentItem::Finished(summary))) if summary.rows == reading.rows => {
            reading.edge.counters.finished.store(true, Ordering::Relaxed);
            meter.finish(&summary);
            reading.work.end(None);
            lock(&reading.edge.counters.pulled).clone_from(&summary.pulled);
            *lock(&reading.edge.summary) = Some(summary);
            reading.baseline.done();
            Ok(None)
        }
        Some(Ok(FragmentItem::Finished(summary))) => fail(Error::new(
            ErrorKind::SiteUnavailable,
            format!("{} rows were sent and {} arrived", summary.rows, reading.rows),
        )),
        Some(Err(error)) => fail(error),
        None => fail(Error::new(
            ErrorKind::SiteUnavailable,
            format!("the rows stopped after {} without an end", reading.rows),
        )),
    }
}
