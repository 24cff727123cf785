//! The output of the smaller benchmarks: a heading, a table, and figures below the table, as markdown or as JSON.

use portolan_cli::output::print;
use portolan_node::{Error, Result};
use serde_json::{Map, Value, json};

use crate::machine;
use crate::options::Format;

/// A table of measurements.
pub struct Table {
    /// The description of the measurement.
    pub title: String,
    /// The names of the columns.
    pub columns: Vec<&'static str>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// The figures below the table, by name.
    pub summary: Vec<(&'static str, Value)>,
    /// Errors that did not stop the measurement.
    pub faults: Vec<String>,
}

impl Table {
    /// Prints the table.
    ///
    /// # Errors
    /// Output that cannot be written, or the faults.
    pub fn print(&self, format: Format) -> Result<()> {
        match format {
            Format::Markdown => print(&self.to_markdown()),
            Format::Json => print(&format!("{}\n", self.to_json())),
        }?;
        match self.faults.as_slice() {
            [] => Ok(()),
            faults => Err(Error::failed(format!("{} faults:\n  {}", faults.len(), faults.join("\n  ")))),
        }
    }

    fn to_markdown(&self) -> String {
        let debug = if cfg!(debug_assertions) { " (a debug build: its times mean nothing)" } else { "" };
        let version = env!("CARGO_PKG_VERSION");
        let mut lines = vec![
            format!("Portolan {version}{debug}, {}. Measured on: {}.", self.title, machine::describe()),
            String::new(),
            format!("| {} |", self.columns.join(" | ")),
            format!("|{}", "---:|".repeat(self.columns.len())),
        ];
        lines.extend(self.rows.iter().map(|r| format!("| {} |", r.iter().map(cell).collect::<Vec<_>>().join(" | "))));
        lines.push(String::new());
        lines.extend(self.summary.iter().map(|(name, value)| format!("- {name}: {}", cell(value))));
        lines.join("\n") + "\n"
    }

    fn to_json(&self) -> Value {
        let object = |row: &Vec<Value>| {
            Value::Object(self.columns.iter().zip(row).map(|(c, v)| ((*c).to_owned(), v.clone())).collect())
        };
        let summary: Map<_, _> = self.summary.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "optimised": !cfg!(debug_assertions),
            "machine": machine::describe(),
            "title": self.title,
            "rows": self.rows.iter().map(object).collect::<Vec<_>>(),
            "summary": summary,
            "faults": self.faults,
        })
    }
}

/// Returns the geometric mean. `None` if there are no values.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    let logarithms: f64 = values.iter().map(|v| v.max(1e-9).ln()).sum();
    (!values.is_empty()).then(|| (logarithms / values.len() as f64).exp())
}

/// Returns the percentile for a share of `values`, by the nearest rank. `None` if there are no values.
pub fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => format!("{:.2}", number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_percentiles() {
        assert!((geometric_mean(&[1.0, 100.0]).unwrap_or_default() - 10.0).abs() < 1e-9);
        assert_eq!(geometric_mean(&[]), None);
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!((percentile(&hundred, 0.5), percentile(&hundred, 0.95)), (Some(50.0), Some(95.0)));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
