//! A site that fails. It stands in front of a real site, and changes what comes back for a fragment.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use futures::{StreamExt, future, stream};
use portolan_connectors::{
    Capabilities, Error, ErrorKind, FragmentEstimate, FragmentItem, FragmentPlan, FragmentRequest, FragmentStream,
    Peer, PeerCatalog, Result, Site, SiteId, lock,
};

/// The error of the site. It does not name the site, so the engine must.
pub const DISK_IS_FULL: &str = "the disk is full";

/// The ways in which a site fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// The site works.
    #[default]
    None,
    /// The site refuses the fragment with an error.
    Refusal,
    /// The stream has all rows, and an error in the place of the end.
    BrokenStream,
    /// The stream has all rows, and no end.
    NoEnd,
    /// The stream has no rows, and an end that counts them.
    FewerRows,
    /// The rows have one column more than the fragment.
    OneMoreColumn,
    /// The rows have strings that are no values of the columns' types.
    OtherTypes,
}

/// The fault of a site, which a test changes while the site is in use, and the SQL that the site got.
#[derive(Clone, Debug, Default)]
pub struct FaultSwitch {
    fault: Arc<Mutex<Fault>>,
    queries: Arc<Mutex<Vec<String>>>,
}

impl FaultSwitch {
    /// Makes the site fail in this way from now on.
    pub fn set(&self, fault: Fault) {
        *lock(&self.fault) = fault;
    }

    /// Returns the SQL that the site got, in order. A node gets none.
    pub fn queries(&self) -> Vec<String> {
        lock(&self.queries).clone()
    }

    fn get(&self) -> Fault {
        *lock(&self.fault)
    }
}

/// A site, or a peer, that fails if its switch says so.
#[derive(Debug)]
pub struct FaultySite<S: ?Sized> {
    inner: Arc<S>,
    fault: FaultSwitch,
}

impl<S: ?Sized> FaultySite<S> {
    /// Returns a site that stands in front of `inner`.
    pub fn in_front_of(inner: Arc<S>, fault: FaultSwitch) -> Arc<Self> {
        Arc::new(Self { inner, fault })
    }
}

#[async_trait]
impl<S: Site + ?Sized> Site for FaultySite<S> {
    fn id(&self) -> &SiteId {
        self.inner.id()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn execute(&self, request: FragmentRequest) -> Result<FragmentStream> {
        if let FragmentPlan::Sql(sql) = &request.plan {
            lock(&self.fault.queries).push(sql.text.clone());
        }
        let fault = self.fault.get();
        if fault == Fault::Refusal {
            return Err(disk_is_full());
        }
        Ok(spoilt(self.inner.execute(request).await?, fault))
    }

    async fn estimate(&self, request: FragmentRequest) -> Result<FragmentEstimate> {
        self.inner.estimate(request).await
    }
}

#[async_trait]
impl<P: Peer> Peer for FaultySite<P> {
    async fn catalog(&self, known: Option<&str>) -> Result<PeerCatalog> {
        self.inner.catalog(known).await
    }

    fn takes_fragments(&self) -> Option<bool> {
        self.inner.takes_fragments()
    }
}

fn disk_is_full() -> Error {
    Error::new(ErrorKind::SiteUnavailable, DISK_IS_FULL)
}

/// Returns the stream of a fragment as the fault changes it.
fn spoilt(items: FragmentStream, fault: Fault) -> FragmentStream {
    match fault {
        Fault::None | Fault::Refusal => items,
        Fault::NoEnd => items.filter(|item| future::ready(!is_end(item))).boxed(),
        Fault::BrokenStream => {
            let rows = items.filter(|item| future::ready(!is_end(item)));
            rows.chain(stream::iter([Err(disk_is_full())])).boxed()
        }
        Fault::FewerRows => items.filter(|item| future::ready(is_end(item))).boxed(),
        Fault::OneMoreColumn => items.map(|item| with_rows(item, one_more_column)).boxed(),
        Fault::OtherTypes => items.map(|item| with_rows(item, other_types)).boxed(),
    }
}

fn is_end(item: &Result<FragmentItem>) -> bool {
    matches!(item, Ok(FragmentItem::Finished(_)))
}

fn with_rows(item: Result<FragmentItem>, change: fn(&RecordBatch) -> RecordBatch) -> Result<FragmentItem> {
    item.map(|item| match item {
        FragmentItem::Batch { batch, wire_bytes } => FragmentItem::Batch { batch: change(&batch), wire_bytes },
        other @ (FragmentItem::Label(_)
        | FragmentItem::Hashes(_)
        | FragmentItem::Relayed { .. }
        | FragmentItem::Finished(_)) => other,
    })
}

fn one_more_column(batch: &RecordBatch) -> RecordBatch {
    let mut columns = columns(batch);
    columns.push(("more".to_owned(), Arc::new(Int64Array::from(vec![0; batch.num_rows()]))));
    RecordBatch::try_from_iter(columns).unwrap()
}

fn other_types(batch: &RecordBatch) -> RecordBatch {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["no value"; batch.num_rows()]));
    let columns = columns(batch).into_iter().map(|(name, _)| (name, text.clone()));
    RecordBatch::try_from_iter(columns).unwrap()
}

fn columns(batch: &RecordBatch) -> Vec<(String, ArrayRef)> {
    let names = batch.schema_ref().fields().iter().map(|field| field.name().clone());
    names.zip(batch.columns().iter().cloned()).collect()
}
