//! Collects the statistics of ports: from their source, from the plan of a scan, from a bounded sample of rows, and from
//! the contracts, as
//! [`PortStatistics`]. Collecting never fails: statistics that cannot be determined are omitted.

mod columns;
mod distinct;
mod own;
mod sample;
mod scan;
#[cfg(test)]
mod tests;
mod value;
mod width;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use futures::{StreamExt, stream};
use portolan_catalog::{
    Column, ColumnStatistics, DomainCatalog, FileFormat, Port, PortRef, PortSource, PortStatistics, StatisticValue,
};
use tokio::time::{Instant, timeout};

use self::columns::Sampled;
use self::sample::{Bounds, RUNS, Sample};
use self::scan::{ScanColumn, ScanStatistics};
pub use self::value::{SECONDS_A_DAY, statistic_value};
use self::width::{fixed_width, is_nested};
use crate::closed::is_open;
use crate::panics::caught_async;
use crate::source::{Footprint, LocalDomain, OPENINGS, OpenedPort, SourceOpener};

/// The time limit for a source to list its data, to plan a scan, or to guess its rows.
const SOURCE_TIMEOUT: Duration = Duration::from_secs(10);
/// The time for sampling when a domain is opened. Ports that are not sampled by then are sampled after the node has
/// started.
const SAMPLING_BUDGET: Duration = Duration::from_secs(5);
/// The number of ports whose statistics are collected at once while queries run.
const REFRESHES: usize = 2;
/// The rows of a batch of a sample. There are few, so that a batch of wide rows stays small.
const BATCH_ROWS: usize = 1024;
/// Files of at least this size, in bytes, are sampled in several places.
const DIVIDED_BYTES: usize = 1 << 20;
/// Columns whose values are wider than this on average, in bytes, are not sampled.
const MAX_WIDTH: u64 = 16 << 10;

/// A marker for a session that plans a scan only for its statistics, and never runs it. In such a session, bounds may
/// disregard some rows.
#[derive(Debug)]
pub(crate) struct Estimating;

/// Collects the statistics of every port of a domain that is being opened.
pub(crate) async fn of_domain(
    catalog: &DomainCatalog,
    ports: &[OpenedPort],
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
) -> BTreeMap<PortRef, Arc<PortStatistics>> {
    let session = session(runtime);
    let sampled_until = Instant::now() + SAMPLING_BUDGET;
    let collector = |(port, opened)| PortCollector { port, opened, opener, runtime, session: &session };
    let collected: Vec<_> = pairs(catalog, ports).map(|pair| collector(pair).first(sampled_until)).collect();
    stream::iter(collected).buffered(OPENINGS).collect().await
}

/// The ports whose data has changed.
#[derive(Clone, Debug, Default)]
pub struct ChangedPorts {
    /// The new statistics of ports.
    pub statistics: BTreeMap<PortRef, Arc<PortStatistics>>,
    /// The ports whose data no longer fits them, or cannot be found: they must be opened again.
    pub unreadable: BTreeSet<PortRef>,
}

/// Checks the open ports of a domain for changed data. Collects the statistics of the ports whose data has changed since
/// the last collection, or that have not been sampled yet. If there are many such ports, one call returns some of them,
/// and the next calls return the rest.
pub async fn changed_ports(domain: &LocalDomain, opener: &dyn SourceOpener, runtime: &Arc<RuntimeEnv>) -> ChangedPorts {
    let session = session(runtime);
    let sampled_until = Instant::now() + SAMPLING_BUDGET;
    let collector = |(port, opened)| PortCollector { port, opened, opener, runtime, session: &session };
    let pairs = pairs(&domain.catalog, &domain.ports).filter(|(_, opened)| is_open(opened));
    let checked: Vec<_> = pairs.map(|pair| collector(pair).again(sampled_until)).collect();
    let checked: Vec<Checked> = stream::iter(checked).buffered(REFRESHES).collect().await;
    let mut changed = ChangedPorts::default();
    for port in checked {
        match port {
            Checked::Same => {}
            Checked::Changed((name, statistics)) => drop(changed.statistics.insert(name, statistics)),
            Checked::Unreadable(name) => drop(changed.unreadable.insert(name)),
        }
    }
    changed
}

fn pairs<'a>(catalog: &'a DomainCatalog, ports: &'a [OpenedPort]) -> impl Iterator<Item = (&'a Port, &'a OpenedPort)> {
    catalog.ports().filter_map(|port| Some((port, ports.iter().find(|o| o.name == port.name)?)))
}

fn session(runtime: &Arc<RuntimeEnv>) -> SessionState {
    let mut config = SessionConfig::new().with_target_partitions(RUNS).with_batch_size(BATCH_ROWS);
    config.options_mut().optimizer.repartition_file_min_size = DIVIDED_BYTES;
    SessionStateBuilder::new().with_config(config).with_runtime_env(runtime.clone()).build()
}

/// A collector of the statistics of one port.
struct PortCollector<'a> {
    port: &'a Port,
    opened: &'a OpenedPort,
    opener: &'a dyn SourceOpener,
    runtime: &'a Arc<RuntimeEnv>,
    session: &'a SessionState,
}

type Collected = (PortRef, Arc<PortStatistics>);

/// The data of an open port, compared with the last collection.
enum Checked {
    /// The data is the same, or there was no time.
    Same,
    Changed(Collected),
    /// No scan of the data can be planned.
    Unreadable(PortRef),
}

/// The plan of a scan.
enum Planned {
    Known(ScanStatistics),
    /// Planning takes too long.
    Slow,
    Failed,
}

impl PortCollector<'_> {
    /// Collects the statistics, with a sample if there is still time for one.
    async fn first(self, sampled_until: Instant) -> Collected {
        let footprint = self.footprint().await;
        let bounds = (Instant::now() < sampled_until).then(Bounds::default);
        let known = known_of(footprint.as_ref(), bounds);
        (self.port.name.clone(), Arc::new(self.caught(self.statistics(footprint, bounds), known).await))
    }

    /// Collects the statistics if the data has changed and there is still time.
    async fn again(self, sampled_until: Instant) -> Checked {
        let footprint = self.footprint().await;
        let version = footprint.as_ref().map(|footprint| footprint.version.as_str());
        let is_known = version.is_some() && self.port.statistics.data_version.as_deref() == version;
        if is_known || Instant::now() >= sampled_until {
            return Checked::Same;
        }
        let scan = match caught_async(self.plan()).await {
            Ok(Planned::Known(scan)) => scan,
            Ok(Planned::Slow) => ScanStatistics::unknown(&self.opened.schema),
            Ok(Planned::Failed) => return Checked::Unreadable(self.port.name.clone()),
            Err(panic) => {
                tracing::warn!(port = %self.port.name, %panic, "a scan cannot be planned");
                return Checked::Unreadable(self.port.name.clone());
            }
        };
        // Without a footprint, nothing shows that the data has changed.
        if footprint.is_none() {
            return Checked::Same;
        }
        let bounds = Some(Bounds::default());
        let known = known_of(footprint.as_ref(), bounds);
        let statistics = self.caught(self.statistics_of(scan, footprint, bounds), known).await;
        Checked::Changed((self.port.name.clone(), Arc::new(statistics)))
    }

    async fn footprint(&self) -> Option<Footprint> {
        let footprint = timeout(SOURCE_TIMEOUT, self.opener.footprint(self.opened, self.runtime));
        match caught_async(footprint).await {
            Ok(footprint) => footprint.ok().flatten(),
            Err(panic) => {
                tracing::warn!(port = %self.port.name, %panic, "the port's files cannot be listed");
                None
            }
        }
    }

    /// Computes statistics. After a panic, only what the footprint has is `known`, so that the node does not try the
    /// port again before its data changes. The statistics of other ports are not affected.
    async fn caught(&self, computed: impl Future<Output = PortStatistics>, known: PortStatistics) -> PortStatistics {
        caught_async(computed).await.unwrap_or_else(|panic| {
            tracing::warn!(port = %self.port.name, %panic, "no statistics");
            known
        })
    }

    async fn statistics(&self, footprint: Option<Footprint>, bounds: Option<Bounds>) -> PortStatistics {
        let scan = match self.plan().await {
            Planned::Known(scan) => scan,
            Planned::Slow | Planned::Failed => ScanStatistics::unknown(&self.opened.schema),
        };
        self.statistics_of(scan, footprint, bounds).await
    }

    /// Returns the statistics from the plan of a scan, the footprint and a sample.
    async fn statistics_of(
        &self,
        scan: ScanStatistics,
        footprint: Option<Footprint>,
        bounds: Option<Bounds>,
    ) -> PortStatistics {
        if let Some(own) = self.own_statistics().await {
            return own::completed(own, self.port, &self.opened.schema, footprint);
        }
        let wanted = self.sampled_columns(&scan);
        let sample = match bounds {
            Some(bounds) => self.sample(&wanted, bounds).await,
            None => None,
        };
        let sampled = sample.as_ref().map(|s| self.sampled(s, &wanted)).unwrap_or_default();
        let bytes = footprint.as_ref().map(|f| f.bytes);
        let rows = match (scan.rows, &sample) {
            (Some(rows), _) => Some(rows),
            (None, Some(sample)) if sample.complete => Some(sample.rows() as u64),
            (None, _) => self.guessed_rows(bytes, &sampled).await,
        };
        let is_complete = sample.as_ref().is_some_and(|s| s.complete);
        let mut columns = BTreeMap::new();
        for (i, field) in self.opened.schema.fields().iter().enumerate() {
            let Some(declared) = self.port.columns.iter().find(|c| c.name == *field.name()) else { continue };
            let scanned = scan.columns.get(i).cloned().unwrap_or_default();
            let facts = ColumnFacts { rows, is_complete, field, declared, scanned, sampled: sampled.get(&i) };
            let statistics = facts.statistics();
            if statistics != ColumnStatistics::default() {
                columns.insert(field.name().clone(), statistics);
            }
        }
        let data_version = bounds.and(footprint).map(|f| f.version);
        PortStatistics { rows, bytes, columns, data_version }
    }

    /// Returns the statistics that the source has itself.
    async fn own_statistics(&self) -> Option<PortStatistics> {
        timeout(SOURCE_TIMEOUT, self.opener.statistics(self.opened, self.runtime)).await.ok().flatten()
    }

    /// Plans a scan of the port.
    async fn plan(&self) -> Planned {
        match timeout(SOURCE_TIMEOUT, ScanStatistics::read(self.opened, self.session)).await {
            Ok(Ok(scan)) => Planned::Known(scan),
            Ok(Err(error)) => {
                tracing::debug!(port = %self.port.name, %error, "a scan cannot be planned");
                Planned::Failed
            }
            Err(_) => {
                tracing::debug!(port = %self.port.name, "planning a scan takes too long");
                Planned::Slow
            }
        }
    }

    /// Returns the columns to sample: those that are neither nested nor too wide.
    fn sampled_columns(&self, scan: &ScanStatistics) -> Vec<usize> {
        let fields = self.opened.schema.fields().iter().enumerate();
        let is_wide = |i: usize| {
            let bytes = scan.columns.get(i).and_then(|c| c.bytes);
            bytes.zip(scan.rows).is_some_and(|(bytes, rows)| bytes / rows.max(1) > MAX_WIDTH)
        };
        fields.filter(|(i, field)| !is_nested(field.data_type()) && !is_wide(*i)).map(|(i, _)| i).collect()
    }

    async fn sample(&self, columns: &[usize], bounds: Bounds) -> Option<Sample> {
        if columns.is_empty() {
            return None;
        }
        // Planning the scan lists files. The time limit in `bounds` does not include it.
        match timeout(SOURCE_TIMEOUT, Sample::read(self.opened, columns, self.session, bounds)).await {
            Ok(Ok(sample)) => return Some(sample),
            Ok(Err(error)) => tracing::debug!(port = %self.port.name, %error, "no sample"),
            Err(_) => tracing::debug!(port = %self.port.name, "a sample takes too long"),
        }
        None
    }

    /// Returns the statistics of the sample's columns, by their positions in the port.
    fn sampled(&self, sample: &Sample, columns: &[usize]) -> BTreeMap<usize, Sampled> {
        let mut sampled = BTreeMap::new();
        for (position, i) in columns.iter().enumerate() {
            match Sampled::new(sample, position, &self.opened.schema.fields()[*i]) {
                Ok(column) => drop(sampled.insert(*i, column)),
                Err(error) => tracing::debug!(port = %self.port.name, column = i, %error, "not counted"),
            }
        }
        sampled
    }

    /// Estimates the number of rows if nothing counts them: by the source's guess, or from the width of a row for Arrow
    /// files, which store values in their memory layout.
    async fn guessed_rows(&self, bytes: Option<u64>, sampled: &BTreeMap<usize, Sampled>) -> Option<u64> {
        let guess = timeout(SOURCE_TIMEOUT, self.opener.guess_rows(self.opened, self.runtime)).await.ok().flatten();
        if guess.is_some() {
            return guess;
        }
        let files = self.port.source.as_ref().and_then(PortSource::files);
        let is_arrow = files.is_some_and(|files| files.format == FileFormat::Arrow);
        if !is_arrow || sampled.len() < self.opened.schema.fields().len() {
            return None;
        }
        let width: f64 = sampled.values().map(|s| Some(s.bytes? as f64 / s.rows.max(1) as f64)).sum::<Option<f64>>()?;
        (width > 0.0).then(|| (bytes.unwrap_or_default() as f64 / width) as u64).filter(|rows| *rows > 0)
    }
}

/// Returns the statistics that a footprint has. The data was not sampled if there are no bounds, and its version does not count then.
fn known_of(footprint: Option<&Footprint>, bounds: Option<Bounds>) -> PortStatistics {
    let (bytes, data_version) = (footprint.map(|f| f.bytes), bounds.and(footprint).map(|f| f.version.clone()));
    PortStatistics { bytes, data_version, ..PortStatistics::default() }
}

/// The inputs for the statistics of one column.
struct ColumnFacts<'a> {
    /// The number of rows of the port.
    rows: Option<u64>,
    /// True if the sample has all rows.
    is_complete: bool,
    field: &'a FieldRef,
    declared: &'a Column,
    scanned: ScanColumn,
    sampled: Option<&'a Sampled>,
}

impl ColumnFacts<'_> {
    fn statistics(&self) -> ColumnStatistics {
        let min = self.scanned.min.clone().or_else(|| self.sampled.and_then(|s| s.min.clone()));
        let max = self.scanned.max.clone().or_else(|| self.sampled.and_then(|s| s.max.clone()));
        let nulls = self.nulls();
        let distinct = self.distinct(nulls, min.as_ref(), max.as_ref());
        let width = self.width();
        let frequent = self.sampled.map(|s| s.frequent.clone()).unwrap_or_default();
        own::published(self.declared, ColumnStatistics { distinct, nulls, min, max, width, frequent })
    }

    fn nulls(&self) -> Option<u64> {
        let in_sample = || {
            let sampled = self.sampled.filter(|s| s.rows > 0 || self.is_complete)?;
            let share = sampled.nulls as f64 / sampled.rows.max(1) as f64;
            Some((share * self.rows? as f64).round() as u64)
        };
        self.scanned.nulls.or_else(in_sample)
    }

    /// Estimates the number of distinct values. A declared key has as many values as rows. For any other column, the
    /// sample gives the estimate, limited by the type, the range and the contract.
    fn distinct(&self, nulls: Option<u64>, min: Option<&StatisticValue>, max: Option<&StatisticValue>) -> Option<u64> {
        let values = self.rows.map(|rows| rows.saturating_sub(nulls.unwrap_or_default()));
        if self.declared.unique {
            return values;
        }
        let sampled = self.sampled?;
        let estimate = match values {
            _ if self.is_complete => sampled.distinct.whole.1,
            Some(0) => 0,
            // The port has rows, but the sample has none.
            Some(_) if sampled.rows == 0 => return None,
            Some(values) => sampled.distinct.extrapolate(values),
            None => return None,
        };
        let declared = self.declared.enumeration.len() as u64;
        let declared = (declared > 0).then_some(declared);
        let room = range_size(self.field.data_type(), min, max);
        Some([values, declared, room].into_iter().flatten().fold(estimate, u64::min))
    }

    fn width(&self) -> Option<f64> {
        if let Some(width) = fixed_width(self.field.data_type()) {
            return Some(width as f64);
        }
        if let Some(sampled) = self.sampled {
            let values = sampled.rows - sampled.nulls;
            return (values > 0).then_some(sampled.bytes? as f64 / values as f64);
        }
        let rows = self.rows.filter(|rows| *rows > 0)?;
        Some(self.scanned.bytes? as f64 / rows as f64)
    }
}

/// Returns the number of values in a range, for types whose values can be counted: integers, dates, decimals and
/// Booleans.
fn range_size(data_type: &DataType, min: Option<&StatisticValue>, max: Option<&StatisticValue>) -> Option<u64> {
    let steps = match data_type {
        DataType::Boolean => return Some(2),
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => 10f64.powi(i32::from(*scale)),
        DataType::Date32 | DataType::Date64 => 1.0,
        other if other.is_integer() => 1.0,
        _ => return None,
    };
    let (StatisticValue::Number(min), StatisticValue::Number(max)) = (min?, max?) else { return None };
    // Above 2^53, floats cannot distinguish neighbouring integers, so such a range is not a useful bound.
    let size = (max - min) * steps + 1.0;
    (1.0..9e15).contains(&size).then_some(size.round() as u64)
}
