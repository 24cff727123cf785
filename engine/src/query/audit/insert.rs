//! An insert into a port of this node, with its audit record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use portolan_audit::{Action, Request, Store, Verdict};
use portolan_catalog::{Port, PortRef};
use portolan_connectors::{FragmentHead, PortWriter};

use super::{Ports, refusal, request};
use crate::execution::compact::array_bytes;
use crate::execution::recording::Recording;
use crate::mesh::MeshView;
use crate::planner::govern::PortRules;
use crate::query::change::writer as writer_of;
use crate::state::SessionHandle;
use crate::{ErrorKind, Result};

/// An insert into a port that accepts rows from the principal.
pub(in crate::query) struct Insert {
    writer: Arc<dyn PortWriter>,
    session: SessionHandle,
    head: FragmentHead,
    port: PortRef,
    /// The record to write, and its store; `None` if the engine keeps no records.
    record: Option<(Store, Request)>,
}

impl Insert {
    /// Returns the insert, if the port is at this node and accepts rows from the principal of the session. `head` is that
    /// of the statement. A refusal is recorded.
    ///
    /// # Errors
    /// `PermissionDenied` and others if the port does not accept rows.
    pub(in crate::query) fn permitted(
        session: &SessionHandle,
        head: &FragmentHead,
        view: &Arc<MeshView>,
        port: &PortRef,
    ) -> Result<Self> {
        let rules = PortRules::of(&session.engine, head, view);
        let writer = writer_of(session, view, port, &rules);
        let insert =
            |writer, record| Self { writer, session: session.clone(), head: head.clone(), port: port.clone(), record };
        let Some(audit) = &session.engine.audit else { return Ok(insert(writer?, None)) };
        let mut ports = rules.account.as_ref().map_or_else(Ports::new, |account| account.ports());
        let columns = view.snapshot.port(port).and_then(Port::schema);
        let columns = columns.iter().flat_map(|schema| schema.fields().iter().map(|field| field.name().clone()));
        ports.entry(port.clone()).or_default().columns = Some(columns.collect());
        let verdict = if writer.is_ok() { Verdict::Permit } else { Verdict::Deny };
        let request = Request { action: Action::Insert, ..request(head, &ports, verdict) };
        match writer {
            Ok(writer) => Ok(insert(writer, Some((audit.store.clone(), request)))),
            Err(error) => {
                // Another node owns the port, or nobody can add rows to it.
                if error.kind() != ErrorKind::Unsupported {
                    audit.store.refuse(refusal(request, &error));
                }
                Err(error)
            }
        }
    }

    /// Adds the rows, and returns their number. The record is durable before the first row is read.
    ///
    /// # Errors
    /// As [`Recording::durable`] and [`PortWriter::append`].
    pub(in crate::query) async fn append(self, rows: BoxStream<'static, Result<RecordBatch>>) -> Result<u64> {
        let Self { writer, session, head, port, record } = self;
        // The policies may have changed while the rows came. An error at the end of the rows stores none of them.
        let refusal = stream::once(async move {
            let view = session.engine.mesh.view();
            writer_of(&session, &view, &port, &PortRules::of(&session.engine, &head, &view)).err()
        });
        let rows = rows.chain(refusal.filter_map(|refusal| std::future::ready(refusal.map(Err)))).boxed();
        let Some((store, request)) = record else { return writer.append(rows).await };
        let mut recording = Recording::new(store.begin(request));
        recording.durable().await?;
        let read = Arc::new(AtomicU64::new(0));
        let bytes = read.clone();
        let rows = rows.inspect(move |batch| {
            if let Ok(batch) = batch {
                bytes.fetch_add(array_bytes(batch) as u64, Ordering::Relaxed);
            }
        });
        match writer.append(rows.boxed()).await {
            Ok(added) => {
                recording.count(added, read.load(Ordering::Relaxed));
                recording.complete();
                Ok(added)
            }
            Err(error) => {
                recording.fail(error.kind());
                Err(error)
            }
        }
    }
}
