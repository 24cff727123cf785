//! Statistics from a source without reading rows: the footers of Parquet files, through the plan of a scan.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics as ScanStatistics, ScalarValue};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use portolan_catalog::StatisticValue;

use super::value::statistic_value;
use super::width::is_nested;
use crate::source::OpenedPort;
use crate::statistics::Estimating;

/// The statistics of a port from its footers.
#[derive(Clone, Debug, Default)]
pub(super) struct Footers {
    pub(super) rows: Option<u64>,
    /// The columns, in the order of the port.
    pub(super) columns: Vec<FooterColumn>,
}

/// The statistics of one column from the footers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FooterColumn {
    pub(super) nulls: Option<u64>,
    pub(super) min: Option<StatisticValue>,
    pub(super) max: Option<StatisticValue>,
    pub(super) bytes: Option<u64>,
}

impl Footers {
    /// Returns statistics without any known value.
    pub(super) fn unknown(schema: &SchemaRef) -> Self {
        Self { rows: None, columns: vec![FooterColumn::default(); schema.fields().len()] }
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
        let mut footers = Self::unknown(&port.schema);
        footers.rows = count(&statistics.num_rows);
        let columns = footers.columns.iter_mut().zip(&statistics.column_statistics);
        for ((footer, column), field) in columns.zip(port.schema.fields()) {
            *footer = FooterColumn::of(column);
            if is_nested(field.data_type()) {
                // Footers count the NULLs of the nested values.
                footer.nulls = None;
            }
        }
        Ok(footers)
    }
}

impl FooterColumn {
    fn of(column: &ScanStatistics) -> Self {
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
