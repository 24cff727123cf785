//! Statistics of a port's data: the number of rows, and for each column the number, the size and the range of its
//! values. The owner measures or samples them, and no query checks them. They guide cost, and never justify a rewrite.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The statistics of a port's data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PortStatistics {
    /// The number of rows.
    pub rows: Option<u64>,
    /// The size of the rows at their source, as stored, in bytes.
    pub bytes: Option<u64>,
    /// The statistics of each column, by name. Columns without statistics are absent.
    pub columns: BTreeMap<String, ColumnStatistics>,
    /// The version of the data that these statistics describe, as the source identifies it. `None` if the source does
    /// not identify versions, or if some statistics are not collected yet.
    #[serde(default)]
    pub data_version: Option<String>,
}

/// The statistics of a column's values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// The number of distinct values, without NULL.
    pub distinct: Option<u64>,
    /// The number of rows with NULL.
    pub nulls: Option<u64>,
    /// A lower bound of the values.
    pub min: Option<StatisticValue>,
    /// An upper bound of the values.
    pub max: Option<StatisticValue>,
    /// The average size of a value in the Arrow format, in bytes.
    pub width: Option<f64>,
    /// The most frequent values, each with its share of the rows (0 to 1), the most frequent first.
    pub frequent: Vec<(StatisticValue, f64)>,
}

/// A value in statistics: a number on a scale, or a string.
#[derive(Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StatisticValue {
    /// A number, with its fraction. Booleans are 0 and 1. Dates are days since 1970-01-01, and timestamps are seconds
    /// since then. Times and durations are seconds.
    Number(f64),
    /// A string.
    Text(String),
}
