//! What a node tells of its ports' data: what footers say, what a bounded sample of rows shows, and what contracts
//! declare, as [`PortStatistics`]. Nothing here fails: what cannot be found out is left out.

mod columns;
mod distinct;
mod footers;
mod sample;
#[cfg(test)]
mod tests;
mod value;
mod width;

use std::collections::BTreeMap;
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
use self::footers::{FooterColumn, Footers};
use self::sample::{Bounds, RUNS, Sample};
pub use self::value::statistic_value;
use self::width::{fixed_width, is_nested};
use crate::panics::caught_async;
use crate::source::{Footprint, LocalDomain, OPENINGS, OpenedPort, SourceOpener};

/// A source that takes longer to list its data, to give its footers or to guess its rows is not waited for.
const SOURCE_TIMEOUT: Duration = Duration::from_secs(10);
/// Ports that are not sampled by then, when a domain is opened, are sampled once the node is up.
const SAMPLING_BUDGET: Duration = Duration::from_secs(5);
/// How many ports are looked at at once while queries run.
const REFRESHES: usize = 2;
/// Rows of a batch of a sample: few, so that a batch of wide rows stays small.
const BATCH_ROWS: usize = 1024;
/// Files from this size on are sampled in several places.
const DIVIDED_BYTES: usize = 1 << 20;
/// Columns of wider values are not sampled.
const MAX_WIDTH: u64 = 16 << 10;

/// Marks a session that plans a scan to estimate by its statistics, and never runs it: bounds may leave out some rows.
#[derive(Debug)]
pub(crate) struct Estimating;

/// The statistics of every port of a domain that is being opened.
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

/// The statistics of those ports whose data has changed since theirs were taken, or that have not been sampled yet.
/// Where there are many it gives some: the rest comes with the next call.
pub async fn changed_statistics(
    domain: &LocalDomain,
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
) -> BTreeMap<PortRef, Arc<PortStatistics>> {
    let session = session(runtime);
    let sampled_until = Instant::now() + SAMPLING_BUDGET;
    let collector = |(port, opened)| PortCollector { port, opened, opener, runtime, session: &session };
    let pairs = pairs(&domain.catalog, &domain.ports);
    let collected: Vec<_> = pairs.map(|pair| collector(pair).again(sampled_until)).collect();
    let collected: Vec<Option<_>> = stream::iter(collected).buffered(REFRESHES).collect().await;
    collected.into_iter().flatten().collect()
}

fn pairs<'a>(catalog: &'a DomainCatalog, ports: &'a [OpenedPort]) -> impl Iterator<Item = (&'a Port, &'a OpenedPort)> {
    catalog.ports().filter_map(|port| Some((port, ports.iter().find(|o| o.name == port.name)?)))
}

fn session(runtime: &Arc<RuntimeEnv>) -> SessionState {
    let mut config = SessionConfig::new().with_target_partitions(RUNS).with_batch_size(BATCH_ROWS);
    config.options_mut().optimizer.repartition_file_min_size = DIVIDED_BYTES;
    SessionStateBuilder::new().with_config(config).with_runtime_env(runtime.clone()).build()
}

/// Collects the statistics of one port.
struct PortCollector<'a> {
    port: &'a Port,
    opened: &'a OpenedPort,
    opener: &'a dyn SourceOpener,
    runtime: &'a Arc<RuntimeEnv>,
    session: &'a SessionState,
}

type Collected = (PortRef, Arc<PortStatistics>);

impl PortCollector<'_> {
    /// Collects them, with a sample unless it is too late for one.
    async fn first(self, sampled_until: Instant) -> Collected {
        let footprint = self.footprint().await;
        let bounds = (Instant::now() < sampled_until).then(Bounds::default);
        (self.port.name.clone(), Arc::new(self.caught(footprint, bounds).await))
    }

    /// Collects them if the data has changed, and it is not too late.
    async fn again(self, sampled_until: Instant) -> Option<Collected> {
        let footprint = self.footprint().await?;
        let is_known = self.port.statistics.data_version.as_deref() == Some(footprint.version.as_str());
        if is_known || Instant::now() >= sampled_until {
            return None;
        }
        let statistics = self.caught(Some(footprint), Some(Bounds::default())).await;
        Some((self.port.name.clone(), Arc::new(statistics)))
    }

    async fn footprint(&self) -> Option<Footprint> {
        let footprint = timeout(SOURCE_TIMEOUT, self.opener.footprint(self.opened, self.runtime));
        match caught_async(footprint).await {
            Ok(footprint) => footprint.ok().flatten(),
            Err(panic) => {
                tracing::warn!(port = %self.port.name, %panic, "its files cannot be listed");
                None
            }
        }
    }

    /// Computes the statistics. After a panic, only the footprint is known, so that the node does not try the port
    /// again before its data changes. The statistics of other ports are not affected.
    async fn caught(&self, footprint: Option<Footprint>, bounds: Option<Bounds>) -> PortStatistics {
        let known = (footprint.as_ref().map(|f| f.bytes), bounds.and(footprint.as_ref()).map(|f| f.version.clone()));
        caught_async(self.statistics(footprint, bounds)).await.unwrap_or_else(|panic| {
            tracing::warn!(port = %self.port.name, %panic, "no statistics");
            let (bytes, data_version) = known;
            PortStatistics { bytes, data_version, ..PortStatistics::default() }
        })
    }

    async fn statistics(&self, footprint: Option<Footprint>, bounds: Option<Bounds>) -> PortStatistics {
        let footers = self.footers().await;
        let wanted = self.sampled_columns(&footers);
        let sample = match bounds {
            Some(bounds) => self.sample(&wanted, bounds).await,
            None => None,
        };
        let sampled = sample.as_ref().map(|s| self.sampled(s, &wanted)).unwrap_or_default();
        let bytes = footprint.as_ref().map(|f| f.bytes);
        let rows = match (footers.rows, &sample) {
            (Some(rows), _) => Some(rows),
            (None, Some(sample)) if sample.complete => Some(sample.rows() as u64),
            (None, _) => self.guessed_rows(bytes, &sampled).await,
        };
        let is_complete = sample.as_ref().is_some_and(|s| s.complete);
        let mut columns = BTreeMap::new();
        for (i, field) in self.opened.schema.fields().iter().enumerate() {
            let Some(declared) = self.port.columns.iter().find(|c| c.name == *field.name()) else { continue };
            let footer = footers.columns.get(i).cloned().unwrap_or_default();
            let facts = ColumnFacts { rows, is_complete, field, declared, footer, sampled: sampled.get(&i) };
            let statistics = facts.statistics();
            if statistics != ColumnStatistics::default() {
                columns.insert(field.name().clone(), statistics);
            }
        }
        let data_version = bounds.and(footprint).map(|f| f.version);
        PortStatistics { rows, bytes, columns, data_version }
    }

    async fn footers(&self) -> Footers {
        match timeout(SOURCE_TIMEOUT, Footers::read(self.opened, self.session)).await {
            Ok(Ok(footers)) => return footers,
            Ok(Err(error)) => tracing::debug!(port = %self.port.name, %error, "no footers"),
            Err(_) => tracing::debug!(port = %self.port.name, "footers take too long"),
        }
        Footers::unknown(&self.opened.schema)
    }

    /// The columns that are worth reading, and fit to be.
    fn sampled_columns(&self, footers: &Footers) -> Vec<usize> {
        let fields = self.opened.schema.fields().iter().enumerate();
        let is_wide = |i: usize| {
            let bytes = footers.columns.get(i).and_then(|c| c.bytes);
            bytes.zip(footers.rows).is_some_and(|(bytes, rows)| bytes / rows.max(1) > MAX_WIDTH)
        };
        fields.filter(|(i, field)| !is_nested(field.data_type()) && !is_wide(*i)).map(|(i, _)| i).collect()
    }

    async fn sample(&self, columns: &[usize], bounds: Bounds) -> Option<Sample> {
        if columns.is_empty() {
            return None;
        }
        // Planning the scan lists files and is not part of what `bounds` times.
        match timeout(SOURCE_TIMEOUT, Sample::read(self.opened, columns, self.session, bounds)).await {
            Ok(Ok(sample)) => return Some(sample),
            Ok(Err(error)) => tracing::debug!(port = %self.port.name, %error, "no sample"),
            Err(_) => tracing::debug!(port = %self.port.name, "a sample takes too long"),
        }
        None
    }

    /// What the sample shows, by the columns' positions in the port.
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

    /// Rows where nothing counts them: as the source guesses, or for Arrow files, which store values as they are, by the
    /// width of a row.
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

/// All that is known of one column.
struct ColumnFacts<'a> {
    /// Rows of the port.
    rows: Option<u64>,
    /// Whether the sample has all of them.
    is_complete: bool,
    field: &'a FieldRef,
    declared: &'a Column,
    footer: FooterColumn,
    sampled: Option<&'a Sampled>,
}

impl ColumnFacts<'_> {
    fn statistics(&self) -> ColumnStatistics {
        let min = self.footer.min.clone().or_else(|| self.sampled.and_then(|s| s.min.clone()));
        let max = self.footer.max.clone().or_else(|| self.sampled.and_then(|s| s.max.clone()));
        let nulls = self.nulls();
        let distinct = self.distinct(nulls, min.as_ref(), max.as_ref());
        let width = self.width();
        // What somebody wrote does not leave its port by way of statistics. Ends of scales do, since much depends on them,
        // and `mesh.columns` does not show them.
        if !self.declared.is_open() {
            let scale = |value: Option<StatisticValue>| value.filter(|v| matches!(v, StatisticValue::Number(_)));
            return ColumnStatistics { distinct, nulls, min: scale(min), max: scale(max), width, frequent: vec![] };
        }
        let frequent = self.sampled.map(|s| s.frequent.clone()).unwrap_or_default();
        ColumnStatistics { distinct, nulls, min, max, width, frequent }
    }

    fn nulls(&self) -> Option<u64> {
        let in_sample = || {
            let sampled = self.sampled.filter(|s| s.rows > 0 || self.is_complete)?;
            let share = sampled.nulls as f64 / sampled.rows.max(1) as f64;
            Some((share * self.rows? as f64).round() as u64)
        };
        self.footer.nulls.or_else(in_sample)
    }

    /// A declared key has as many values as rows. Any other column has what the sample tells, within what its type, its
    /// range and its contract leave room for.
    fn distinct(&self, nulls: Option<u64>, min: Option<&StatisticValue>, max: Option<&StatisticValue>) -> Option<u64> {
        let values = self.rows.map(|rows| rows.saturating_sub(nulls.unwrap_or_default()));
        if self.declared.unique {
            return values;
        }
        let sampled = self.sampled?;
        let estimate = match values {
            _ if self.is_complete => sampled.distinct.whole.1,
            Some(0) => 0,
            // Rows and not one of them was read.
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
        Some(self.footer.bytes? as f64 / rows as f64)
    }
}

/// How many values of a type lie in a range, where they can be counted: whole numbers, dates, decimals, Booleans.
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
    // Beyond 2^53 neighbours cannot be told apart, and such a range bounds nothing.
    let size = (max - min) * steps + 1.0;
    (1.0..9e15).contains(&size).then_some(size.round() as u64)
}
