//! `mesh.sessions` and `mesh.queries`: the current activity of this node, as far as the principal may see it. Their
//! rows are computed when they are read. `mesh.audit` depends on the principal too, and has a file of its own.

use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::catalog::TableProvider;
use datafusion::common::Result;

use super::system_view::SystemView;
use super::{SessionNames, audit_table};

/// The names of the tables.
pub(super) const NAMES: &[&str] = &[audit_table::NAME, "queries", "sessions"];

/// Returns the table with this name.
pub(super) fn table(name: &str, viewer: &Arc<SessionNames>) -> Result<Option<Arc<dyn TableProvider>>> {
    let rows: fn(&SessionNames) -> Result<RecordBatch> = match name {
        audit_table::NAME => return audit_table::table(viewer).map(Some),
        "queries" => queries,
        "sessions" => sessions,
        _ => return Ok(None),
    };
    let viewer = viewer.clone();
    Ok(Some(SystemView::new(move || rows(&viewer))?))
}

fn queries(viewer: &SessionNames) -> Result<RecordBatch> {
    let rows = viewer.activity.queries(&viewer.client);
    let progress: Vec<_> = rows.iter().map(|q| q.progress.get().map(|p| p.now())).collect();
    let crossed = |p: &crate::Progress| p.edges.iter().map(|e| e.bytes).sum::<u64>();
    batch(vec![
        ("query_id", strings(rows.iter().map(|q| Some(q.id.as_str())))),
        ("session_id", strings(rows.iter().map(|q| q.client.session.as_deref()))),
        ("principal", strings(rows.iter().map(|q| Some(q.client.principal.name())))),
        ("statement", strings(rows.iter().map(|q| q.sql.as_deref()))),
        ("state", strings(progress.iter().map(|p| Some(if p.is_some() { "running" } else { "planning" })))),
        ("started", times(rows.iter().map(|q| q.started))),
        ("elapsed_ms", numbers(rows.iter().map(|q| q.started.elapsed().ok().map(|d| d.as_millis() as u64)))),
        ("rows", numbers(progress.iter().map(|p| p.as_ref().map(|p| p.rows)))),
        ("bytes_received", numbers(progress.iter().map(|p| p.as_ref().map(crossed)))),
        ("fragment", Arc::new(BooleanArray::from_iter(rows.iter().map(|q| Some(q.client.session.is_none()))))),
    ])
}

fn sessions(viewer: &SessionNames) -> Result<RecordBatch> {
    let rows = viewer.activity.sessions(&viewer.client);
    let running = rows.iter().map(|s| Some(viewer.activity.queries_of(&s.id) as u64));
    batch(vec![
        ("session_id", strings(rows.iter().map(|s| Some(s.id.as_str())))),
        ("principal", strings(rows.iter().map(|s| Some(s.principal.name())))),
        ("opened", times(rows.iter().map(|s| s.opened))),
        ("queries", numbers(running)),
        ("tables", numbers(rows.iter().map(|s| Some(s.tables.snapshot().len() as u64)))),
    ])
}

pub(super) fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))?)
}

pub(super) fn strings<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

pub(super) fn numbers(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    Arc::new(values.map(|v| v.and_then(|v| i64::try_from(v).ok())).collect::<Int64Array>())
}

pub(super) fn times(values: impl Iterator<Item = SystemTime>) -> ArrayRef {
    let micros = |t: SystemTime| t.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_micros().try_into().ok();
    Arc::new(values.map(micros).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}
