//! Statistics that the plan of a scan has, so that no row is read. For Parquet files, they come from footers.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use portolan_catalog::StatisticValue;

use super::value::statistic_value;
use super::width::is_nested;
use crate::source::OpenedPort;
use crate::statistics::Estimating;

/// The statistics of a port from the plan of a scan.
#[derive(Clone, Debug, Default)]
pub(super) struct ScanStatistics {
    pub(super) rows: Option<u64>,
    /// The columns, in the order of the port.
    pub(super) columns: Vec<ScanColumn>,
}

/// The statistics of one column from the plan of a scan.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ScanColumn {
    pub(super) nulls: Option<u64>,
    pub(super) min: Option<StatisticValue>,
    pub(super) max: Option<StatisticValue>,
    pub(super) bytes: Option<u64>,
}

impl ScanStatistics {
    /// Returns statistics without any known value.
    pub(super) fn unknown(schema: &SchemaRef) -> Self {
        Self { rows: None, columns: vec![ScanColumn::default(); schema.fields().len()] }
    }

    /// Plans a scan of every column, and reads the statistics of the plan.
    ///
    /// # Errors
    /// The error of the source.
    pub(super) async fn read(port: &OpenedPort, session: &SessionState) -> Result<Self> {
        let mut session = session.clone();
        session.config_mut().set_extension(Arc::new(Estimating));
        let scan = port.provider.scan(&session, None, &[], None).await?;
        let statistics = StatisticsContext::new().compute(scan.as_ref(), &StatisticsArgs::new())?;
        let mut known = Self::unknown(&port.schema);
        known.rows = count(&statistics.num_rows);
        let columns = known.columns.iter_mut().zip(&statistics.column_statistics);
        for ((scanned, column), field) in columns.zip(port.schema.fields()) {
            *scanned = ScanColumn::of(column);
            if is_nested(field.data_type()) {
                // The footers of Parquet files count the NULLs of the nested values.
                scanned.nulls = None;
            }
        }
        Ok(known)
    }
}

impl ScanColumn {
    fn of(column: &ColumnStatistics) -> Self {
        Self {
            nulls: count(&column.null_count),
            min: value(&column.min_value),
            max: value(&column.max_value),
            bytes: count(&column.byte_size),
        }
    }
}

/// Returns a count, exact or not. The footers of some files may lack values that others have. An inexact count can
/// still guide cost.
fn count(figure: &Precision<usize>) -> Option<u64> {
    figure.get_value().and_then(|n| u64::try_from(*n).ok())
}

/// Returns a bound, exact or not. A string that is truncated in the file is still a bound.
fn value(figure: &Precision<ScalarValue>) -> Option<StatisticValue> {
    figure.get_value().and_then(statistic_value)
}
