//! The metrics of a node: one table with names, meanings and values, and the text that Prometheus reads.

mod samples;
mod table;
mod text;

pub(crate) use self::samples::{Sample, Value};
pub use self::table::METRICS;
pub(crate) use self::text::{CONTENT_TYPE, render};
use crate::status::Snapshot;

/// A metric of a node.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name in Prometheus.
    pub name: &'static str,
    /// The kind.
    pub kind: MetricKind,
    /// The names of the labels.
    pub labels: &'static [&'static str],
    /// The meaning.
    pub help: &'static str,
    /// Returns the values. There are none while the part of the node that has them is not started.
    pub(crate) read: fn(&Snapshot) -> Vec<Sample>,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that only grows while the process runs.
    Counter,
    /// A number that grows and shrinks.
    Gauge,
    /// A histogram of times in seconds.
    Histogram,
}

impl MetricKind {
    /// Returns the name of the kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}
