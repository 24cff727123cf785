//! The column statistics of a scanned port.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ScalarValue};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::TableScan;
use portolan_catalog::ColumnStatistics;

use super::expressions::range;
use super::origin::{Origin, Relation};
use super::{ASSUMED_ROWS, Cardinality, count, float, operators, sane, selectivity};
use crate::names::PortTable;
use portolan_connectors::statistic_value;

/// A column is a key if its number of values is at least this share of the rows. Sampled counts are not exact.
const KEY_SHARE: f64 = 0.95;

/// Returns the rows of a scan after its filters and its limit.
pub(super) fn scan(scan: &TableScan) -> Cardinality {
    let provider = source_as_provider(&scan.source).ok();
    let scanned = match &provider {
        Some(provider) => match provider.downcast_ref::<PortTable>() {
            Some(port) => of_port(scan, port),
            None => of_provider(scan, provider.as_ref()),
        },
        None => Cardinality::rows_only(ASSUMED_ROWS, false),
    };
    let filtered = selectivity::filter(scanned, &scan.filters);
    operators::limit(filtered, 0, scan.fetch)
}

/// Estimates a port from the statistics that its owner serves, and from the key of its contract.
fn of_port(scan: &TableScan, port: &PortTable) -> Cardinality {
    let known = &port.statistics;
    let key = match port.primary_key.as_slice() {
        [key] => Some(key.as_str()),
        _ => None,
    };
    // The statistics describe the whole port, and include columns that only a filter reads.
    let columns = columns_of(scan, |name| known.columns.get(name).cloned());
    with_origins(scan, columns, known.rows.map(float), key)
}

fn of_provider(scan: &TableScan, provider: &dyn TableProvider) -> Cardinality {
    let Some(known) = provider.statistics() else {
        return with_origins(scan, HashMap::new(), None, None);
    };
    let schema = scan.source.schema();
    let names = schema.fields().iter().map(|f| f.name().as_str());
    let by_name: BTreeMap<&str, _> = names.zip(&known.column_statistics).collect();
    let columns = columns_of(scan, |name| by_name.get(name).map(|c| from_datafusion(c)));
    let rows = known.num_rows.get_value().map(|rows| float(*rows as u64));
    with_origins(scan, columns, rows, None)
}

/// Returns the columns of the scan's result, and those that its filters read.
fn columns_of(scan: &TableScan, of: impl Fn(&str) -> Option<ColumnStatistics>) -> HashMap<Column, ColumnStatistics> {
    let filtered = scan.filters.iter().flat_map(|f| f.column_refs()).cloned();
    let columns = scan.projected_schema.columns().into_iter().chain(filtered);
    columns.filter_map(|column| of(&column.name).map(|statistics| (column, statistics))).collect()
}

fn with_origins(
    scan: &TableScan,
    mut columns: HashMap<Column, ColumnStatistics>,
    rows: Option<f64>,
    key: Option<&str>,
) -> Cardinality {
    let known = rows.is_some();
    let rows = sane(rows.unwrap_or(ASSUMED_ROWS));
    let relation = Arc::new(Relation { rows });
    let mut origins = HashMap::with_capacity(columns.len());
    for column in scan.projected_schema.columns() {
        if key == Some(column.name.as_str()) {
            let statistics = columns.entry(column.clone()).or_default();
            statistics.distinct = statistics.distinct.or(Some(count(rows)));
        }
        let distinct = columns.get_mut(&column).and_then(|statistics| {
            statistics.distinct = statistics.distinct.map(|d| d.min(count(rows)));
            statistics.distinct.map(float)
        });
        let unique = distinct.is_some_and(|d| known && rows > 1.0 && d >= rows * KEY_SHARE);
        let is_key = key == Some(column.name.as_str()) || unique;
        let origin = Origin {
            domain: distinct.unwrap_or(rows).max(1.0),
            assumed: distinct.is_none(),
            range: columns.get(&column).and_then(range),
            counted: false,
            relation: relation.clone(),
            determines: if is_key { vec![relation.clone()] } else { vec![] },
        };
        origins.insert(column, origin);
    }
    Cardinality { rows, known, columns, origins }
}

fn from_datafusion(column: &datafusion::common::ColumnStatistics) -> ColumnStatistics {
    let counted = |p: &Precision<usize>| p.get_value().map(|n| *n as u64);
    let value = |p: &Precision<ScalarValue>| p.get_value().and_then(statistic_value);
    ColumnStatistics {
        distinct: counted(&column.distinct_count),
        nulls: counted(&column.null_count),
        min: value(&column.min_value),
        max: value(&column.max_value),
        ..ColumnStatistics::default()
    }
}
