//! A domain with a table of days, as warehouses have one: 200 years, of which TPC-H's orders use seven. A filter of its
//! year or month chooses among days that have orders, which a planner has to know.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array};
use arrow::compute::{DatePart, date_part};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use portolan_node::{Error, Result};

use crate::descriptors;

/// The name of the domain. Its only port is `calendar.periods.days`.
pub const DOMAIN: &str = "calendar";
/// The number of days.
pub const DAYS: i32 = 73_049;
/// The first day, 1900-01-01, in days since 1970-01-01.
const FIRST: i32 = -25_567;

/// Writes the table and the descriptors of the domain to a folder that exists. Returns the folder of the descriptors.
///
/// # Errors
/// A folder that cannot be written.
pub fn write(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("days.parquet");
    let failed = |e: ParquetError| Error::output(path.display(), e);
    let days = days()?;
    let file = File::create(&path).map_err(|e| Error::output(path.display(), e))?;
    let mut writer = ArrowWriter::try_new(file, days.schema(), None).map_err(failed)?;
    writer.write(&days).map_err(failed)?;
    writer.close().map_err(failed)?;
    descriptors::write(DOMAIN, folder, folder)
}

fn days() -> Result<RecordBatch> {
    let failed = |e: ArrowError| Error::failed("cannot generate the calendar").with_source(e);
    let days: ArrayRef = Arc::new(Date32Array::from_iter_values(FIRST..FIRST + DAYS));
    let part = |part: DatePart| date_part(&days, part).map_err(failed);
    let columns = [
        ("d_day", days.clone()),
        ("d_year", part(DatePart::Year)?),
        ("d_quarter", part(DatePart::Quarter)?),
        ("d_month", part(DatePart::Month)?),
        ("d_weekday", part(DatePart::DayOfWeekSunday0)?),
    ];
    RecordBatch::try_from_iter(columns).map_err(failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::AsArray;
    use arrow::datatypes::Int32Type;
    use portolan_catalog::{DomainName, load_domain};

    use super::*;

    #[test]
    fn the_calendar_has_every_day_of_two_centuries() {
        let folder = tempfile::tempdir().unwrap();
        let products = write(folder.path()).unwrap();
        let catalog = load_domain(&DomainName::new(DOMAIN), &products).unwrap();
        let port = catalog.ports().next().unwrap();
        assert_eq!(port.name.to_string(), "calendar.periods.days");
        let days = days().unwrap();
        let schema = days.schema();
        let generated: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(port.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), generated);
        let row = |row: usize| -> Vec<i32> {
            days.columns().iter().skip(1).map(|column| column.as_primitive::<Int32Type>().value(row)).collect()
        };
        assert_eq!((days.num_rows(), row(0)), (DAYS as usize, vec![1900, 1, 1, 1]), "a Monday");
        assert_eq!(row(DAYS as usize - 1), [2099, 4, 12, 4], "a Thursday");
    }
}
