//! `mesh.audit`: the audit records of this node. Administrators and readers of records see all of them. Other principals
//! see their own ones, without the numbers of records and the rules that decided. The files are read when the table is
//! read.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, ListBuilder, RecordBatch, StringBuilder};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use portolan_audit::{Account, Action, End, Fate, Filter, KeySet, Outcome, PortRead, Request, Verdict, reads_while};

use super::SessionNames;
use super::activity_tables::{batch, numbers, strings, times};
use crate::{Error, ErrorKind};

/// The name of the table.
pub(super) const NAME: &str = "audit";
/// The largest number of rows, the newest ones.
const MOST_ROWS: usize = 10_000;

/// Returns the table as this session sees it.
pub(super) fn table(viewer: &SessionNames) -> Result<Arc<dyn TableProvider>> {
    let schema = rows(&[], true)?.schema();
    let principal = &viewer.client.principal;
    let records = viewer.audit.as_ref().and_then(|audit| {
        let shows_all = audit.shows_all_to(principal);
        // Anonymous clients share a name.
        let is_known = shows_all || !principal.is_anonymous();
        let name = (!shows_all).then(|| principal.name().to_owned());
        is_known.then(|| ShownRecords { folder: audit.store.folder().to_owned(), principal: name })
    });
    let partition: Arc<dyn PartitionStream> = Arc::new(AuditRecords { records, schema: schema.clone() });
    Ok(Arc::new(StreamingTable::try_new(schema, vec![partition])?))
}

/// The records that a principal may see.
#[derive(Clone, Debug)]
struct ShownRecords {
    /// The folder of the store.
    folder: PathBuf,
    /// The principal whose records alone are shown; `None` for all.
    principal: Option<String>,
}

impl ShownRecords {
    /// Returns the newest rows. Stops before a record for which `goes_on` is false.
    fn newest(&self, goes_on: impl FnMut() -> bool) -> Result<RecordBatch> {
        let filter = Filter { principal: self.principal.clone(), limit: MOST_ROWS, ..Filter::default() };
        let page = reads_while(&self.folder, &filter, goes_on).map_err(unreadable)?;
        if page.damaged > 0 {
            tracing::warn!(folder = %self.folder.display(), lines = page.damaged, "audit records are damaged");
        }
        rows(&page.accounts, self.principal.is_none())
    }
}

/// The one partition of the table.
#[derive(Debug)]
struct AuditRecords {
    /// `None` if the node keeps no records, or the principal sees none.
    records: Option<ShownRecords>,
    schema: SchemaRef,
}

impl PartitionStream for AuditRecords {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let records = self.records.clone();
        let read = async move {
            let Some(records) = records else { return rows(&[], true) };
            let guard = StopOnDrop(Arc::default());
            let stopped = guard.0.clone();
            let read = tokio::task::spawn_blocking(move || records.newest(|| !stopped.load(Ordering::Relaxed)));
            let batch = read.await.map_err(|e| DataFusionError::External(Box::new(e)))?;
            drop(guard);
            batch
        };
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::once(read)))
    }
}

/// Stops the search in the files if the query ends before it.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn unreadable(error: portolan_audit::Error) -> DataFusionError {
    let shown = "the audit records of this node cannot be read: the log of the node has the reason";
    DataFusionError::External(Box::new(Error::new(ErrorKind::Internal, shown).for_owner(error.to_string())))
}

/// Returns the rows of these reads. `shows_all` is true for readers of all records: other principals learn nothing of
/// policies, and nothing of the reads of others, which the numbers of records count.
fn rows(accounts: &[Account], shows_all: bool) -> Result<RecordBatch> {
    let requests = || accounts.iter().map(|account| &account.request);
    let ends = || accounts.iter().map(|account| end(&account.fate));
    let rules = |request: &Request| if shows_all { request.decision.rules.clone() } else { vec![] };
    let versions = requests().map(|request| Some(request.decision.version.as_str()));
    let versions = versions.map(|version| version.filter(|version| shows_all && !version.is_empty()));
    batch(vec![
        ("time", times(accounts.iter().map(|account| account.time))),
        ("sequence", numbers(accounts.iter().map(|account| shows_all.then_some(account.sequence)))),
        ("principal", strings(requests().map(|request| Some(request.principal.as_str())))),
        ("action", strings(requests().map(|request| Some(action(request.action))))),
        ("via", lists(requests().map(|request| request.via.clone()))),
        ("purpose", strings(requests().map(|request| request.purpose.as_deref()))),
        ("query_id", strings(requests().map(|request| Some(request.query.as_str())))),
        ("fragment", strings(requests().map(|request| request.fragment.as_deref()))),
        ("ports", lists(requests().map(ports))),
        ("columns", lists(requests().map(columns))),
        ("decision", strings(requests().map(|request| Some(decision(request))))),
        ("rules", lists(requests().map(rules))),
        ("policy_version", strings(versions)),
        ("keys", lists(requests().map(|request| request.keys.iter().map(key_set).collect::<Vec<_>>()))),
        ("rows", numbers(ends().map(|end| Some(end?.rows)))),
        ("bytes", numbers(ends().map(|end| Some(end?.bytes)))),
        ("duration_ms", numbers(ends().map(|end| Some(end?.duration_us / 1000)))),
        ("outcome", strings(accounts.iter().map(|account| Some(outcome(&account.fate))))),
        ("error", strings(accounts.iter().map(|account| error(&account.fate)))),
    ])
}

/// Returns the end of a read, if its numbers are known.
fn end(fate: &Fate) -> Option<&End> {
    match fate {
        Fate::Ended(end) if end.outcome != Outcome::Unknown => Some(end),
        _ => None,
    }
}

/// Returns the columns with their ports.
fn columns(request: &Request) -> Vec<String> {
    let of_port =
        |read: &PortRead| read.columns.iter().map(|column| format!("{}.{column}", read.port)).collect::<Vec<_>>();
    request.ports.iter().flat_map(of_port).collect()
}

/// Returns the ports, each once.
fn ports(request: &Request) -> Vec<String> {
    request.ports.iter().map(|read| read.port.clone()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Returns the decision in a word: `open` if no policy is about the ports.
fn decision(request: &Request) -> &'static str {
    match request.decision.verdict {
        Verdict::Deny => "denied",
        Verdict::Permit if request.decision.version.is_empty() => "open",
        Verdict::Permit => "governed",
    }
}

fn action(action: Action) -> &'static str {
    match action {
        Action::Read => "read",
        Action::Insert => "insert",
        _ => "unknown",
    }
}

fn outcome(fate: &Fate) -> &'static str {
    match fate {
        Fate::Open => "open",
        Fate::Refused { .. } => "refused",
        Fate::Ended(end) => match end.outcome {
            Outcome::Completed => "completed",
            Outcome::Cancelled => "cancelled",
            Outcome::Failed { .. } => "failed",
            Outcome::Dropped => "dropped",
            _ => "unknown",
        },
    }
}

/// Returns the text of a refusal, or the kind of an error.
fn error(fate: &Fate) -> Option<&str> {
    match fate {
        Fate::Refused { detail, .. } => Some(detail),
        Fate::Ended(End { outcome: Outcome::Failed { error }, .. }) => Some(error),
        Fate::Open | Fate::Ended(_) => None,
    }
}

/// Describes join keys, such as `o_custkey: 500 keys (batch 1f0c…)`.
fn key_set(set: &KeySet) -> String {
    let KeySet { column, count, form, digest } = set;
    match count {
        0 => format!("{column}: keys ({form} {digest})"),
        count => format!("{column}: {count} keys ({form} {digest})"),
    }
}

fn lists(rows: impl Iterator<Item = Vec<String>>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in rows {
        row.iter().for_each(|value| lists.values().append_value(value));
        lists.append(true);
    }
    Arc::new(lists.finish())
}
