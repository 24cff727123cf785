//! What a source tells of its rows without being read: the footers of Parquet files, by way of the plan of a scan.

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

/// What is known without reading a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Footers {
    pub(super) rows: Option<u64>,
    /// In the order of the port's columns.
    pub(super) columns: Vec<FooterColumn>,
}

/// What is known of one column.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FooterColumn {
    pub(super) nulls: Option<u64>,
    pub(super) min: Option<StatisticValue>,
    pub(super) max: Option<StatisticValue>,
    pub(super) bytes: Option<u64>,
}

impl Footers {
    /// Nothing is known.
    pub(super) fn unknown(schema: &SchemaRef) -> Self {
        Self { rows: None, columns: vec![FooterColumn::default(); schema.fields().len()] }
    }

    /// Plans a scan of every column and takes down what the plan knows.
    ///
    /// # Errors
    /// Whatever the source says.
    pub(super) async fn read(port: &OpenedPort, session: &SessionState) -> Result<Self> {
        let mut session = session.clone();
        session.config_mut().set_extension(Arc::new(Estimating));
        let scan = port.provider.scan(&session, None, &[], None).await?;
        let told = StatisticsContext::new().compute(scan.as_ref(), &StatisticsArgs::new())?;
        let mut footers = Self::unknown(&port.schema);
        footers.rows = count(&told.num_rows);
        for ((footer, told), field) in footers.columns.iter_mut().zip(&told.column_statistics).zip(port.schema.fields())
        {
            *footer = FooterColumn::of(told);
            if is_nested(field.data_type()) {
                // Footers count the NULLs of what lies within.
                footer.nulls = None;
            }
        }
        Ok(footers)
    }
}

impl FooterColumn {
    fn of(told: &ScanStatistics) -> Self {
        Self {
            nulls: count(&told.null_count),
            min: value(&told.min_value),
            max: value(&told.max_value),
            bytes: count(&told.byte_size),
        }
    }
}

/// A count, exact or not: footers of some files may lack what those of others give, and what is off guides cost all
/// the same.
fn count(told: &Precision<usize>) -> Option<u64> {
    told.get_value().and_then(|n| u64::try_from(*n).ok())
}

/// A bound. One that is not exact, such as a text that its file cuts short, is a bound nevertheless.
fn value(told: &Precision<ScalarValue>) -> Option<StatisticValue> {
    told.get_value().and_then(statistic_value)
}
