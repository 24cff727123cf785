//! Reads the rows of a fragment as they arrive, decoded or as messages, and counts them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::{DataFusionError, Result};
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, Time};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use portolan_connectors::{FragmentItem, FragmentPlan, FragmentStream, lock};
use tokio::sync::{Notify, mpsc};

use super::edge_state::EdgeState;
use super::hashed::HashedColumns;
use super::start::{Start, Started};
use crate::execution::conform::conform;
use crate::execution::errors::{from_datafusion, into_datafusion};
use crate::execution::part::RowPart;
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
    let Some((mut stream, mut meter)) = request(start, &mut reading, &wanted).await? else { return Ok(()) };
    while let Some(part) = read_next(&mut stream, &mut meter, &mut reading).await? {
        let batch = part.into_batch().map_err(into_datafusion)?;
        let came = Instant::now();
        if rows.send(Ok(batch)).await.is_err() {
            break;
        }
        meter.waited(came.elapsed());
    }
    Ok(())
}

/// Requests the fragment, and returns its rows as they come, without a task or a channel of their own. Dropping the stream
/// stops the work at the site.
pub(super) fn relay_all(start: Start, mut reading: Reading) -> BoxStream<'static, crate::Result<RowPart>> {
    let requested = async move {
        // No join above may leave the rows unread.
        let requested = request(start, &mut reading, &Notify::new()).await?;
        let state = requested.map(|(stream, meter)| (stream, meter, reading, Instant::now()));
        Ok::<_, DataFusionError>(stream::try_unfold(state, |state| async move {
            let Some((mut stream, mut meter, mut reading, came)) = state else { return Ok(None) };
            meter.waited(came.elapsed());
            let part = read_next(&mut stream, &mut meter, &mut reading).await?;
            Ok::<_, DataFusionError>(part.map(|part| (part, Some((stream, meter, reading, Instant::now())))))
        }))
    };
    stream::once(requested).try_flatten().map_err(|e| from_datafusion(&e)).boxed()
}

/// Requests the fragment; `None` if no row can match.
async fn request(
    start: Start,
    reading: &mut Reading,
    wanted: &Notify,
) -> Result<Option<(FragmentStream, StreamMeter)>> {
    let started = start.start(wanted).await.inspect_err(|e| reading.work.end(Some(e.kind())));
    let started = started.map_err(|e| into_datafusion(of_fragment(e, &reading.edge.fragment)))?;
    if started.is_none() {
        reading.work.end(None);
        reading.edge.counters.finished.store(true, Ordering::Relaxed);
        reading.baseline.done();
    }
    Ok(started.map(|Started { rows, meter }| (rows, StreamMeter::new(meter))))
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
    /// The hashes in the plan that reads the rows.
    pub(super) hashed: Arc<HashedColumns>,
    pub(super) work: Arc<EdgeWork>,
}

impl Reading {
    /// Counts rows that have arrived.
    fn count(&mut self, rows: usize, wire_bytes: usize, meter: &mut StreamMeter) {
        if self.rows == 0 {
            self.first_batch.add_elapsed(self.started);
        }
        self.rows += rows as u64;
        self.baseline.record_output(rows);
        self.bytes.add(wire_bytes);
        meter.received(wire_bytes);
        self.work.received(rows, wire_bytes);
        self.edge.counters.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.edge.counters.bytes.fetch_add(wire_bytes as u64, Ordering::Relaxed);
    }
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
) -> Result<Option<RowPart>> {
    let mut item = stream.next().await;
    // A label comes first, then hashes.
    if let Some(Ok(FragmentItem::Label(label))) = &mut item {
        *lock(&reading.edge.counters.label) = std::mem::take(label);
        item = stream.next().await;
    }
    let mut hashes = vec![];
    if let Some(Ok(FragmentItem::Hashes(reported))) = &mut item {
        hashes = std::mem::take(reported);
        item = stream.next().await;
    }
    // The first item, of which no row is passed on before the check.
    if matches!(item, Some(Ok(_)))
        && reading.edge.hashes.set(hashes).is_ok()
        && let Err(refused) = reading.hashed.check()
    {
        reading.work.end(Some(refused.kind()));
        return Err(into_datafusion(refused));
    }
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
            reading.count(batch.num_rows(), wire_bytes, meter);
            Ok(Some(RowPart::Batch(batch)))
        }
        Some(Ok(FragmentItem::Relayed { message, wire_bytes })) => {
            reading.count(message.rows, wire_bytes, meter);
            Ok(Some(RowPart::Message(message)))
        }
        Some(Ok(FragmentItem::Finished(summary))) if summary.rows == reading.rows => {
            reading.edge.counters.finished.store(true, Ordering::Relaxed);
            meter.finish(&summary);
            reading.work.end(None);
            lock(&reading.edge.counters.pulled).clone_from(&summary.pulled);
            if let Some(label) = &summary.label {
                lock(&reading.edge.counters.label).clone_from(label);
            }
            *lock(&reading.edge.summary) = Some(summary);
            reading.baseline.done();
            Ok(None)
        }
        Some(Ok(FragmentItem::Finished(summary))) => fail(Error::new(
            ErrorKind::SiteUnavailable,
            format!("{} rows were sent and {} arrived", summary.rows, reading.rows),
        )),
        Some(Ok(FragmentItem::Label(_))) => {
            fail(Error::new(ErrorKind::SiteUnavailable, "a second label of the rows arrived"))
        }
        Some(Ok(FragmentItem::Hashes(_))) => {
            fail(Error::new(ErrorKind::SiteUnavailable, "the hashes of the columns were reported twice"))
        }
        Some(Err(error)) => fail(error),
        None => fail(Error::new(
            ErrorKind::SiteUnavailable,
            format!("the rows stopped after {} without an end", reading.rows),
        )),
    }
}
