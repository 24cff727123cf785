//! What a node knows of a port's data: how many rows, and per column how many values, of which size and range. It was
//! measured or sampled, and nobody checks it when a query runs: it guides cost and never licenses a rewrite.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is known of a port's data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PortStatistics {
    /// Rows.
    pub rows: Option<u64>,
    /// Bytes that the rows take at their source, as it stores them.
    pub bytes: Option<u64>,
    /// Per column, by its name; a column of which nothing is known is not in it.
    pub columns: BTreeMap<String, ColumnStatistics>,
    /// The state of the data that all this was taken from, as its source tells states apart; `None` where it does not,
    /// or where a part is still to be taken.
    #[serde(default)]
    pub data_version: Option<String>,
}

/// What is known of a column's values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// How many different values there are, NULL aside.
    pub distinct: Option<u64>,
    /// How many rows hold NULL.
    pub nulls: Option<u64>,
    /// A value that none is below.
    pub min: Option<StatisticValue>,
    /// A value that none is above.
    pub max: Option<StatisticValue>,
    /// Bytes of a value in Arrow's form, on average.
    pub width: Option<f64>,
    /// The values that occur most often, with the share of rows (0 to 1) that hold each, most frequent first.
    pub frequent: Vec<(StatisticValue, f64)>,
}

/// A value as statistics know it: on a scale, or as text.
#[derive(Clone, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StatisticValue {
    /// Numbers as they are, decimals with their fraction; booleans as 0 and 1; dates as days, timestamps, times and
    /// durations as seconds, dates and timestamps since 1970-01-01.
    Number(f64),
    /// Text.
    Text(String),
}
