//! Renders the measurements as a table for the book, or as JSON for programs.

use std::fmt::Write;
use std::time::Duration;

use portolan_cli::units::{show_bytes, show_count};
use portolan_testbed::tpch::DOMAINS;
use serde_json::{Map, Value, json};

use crate::machine;
use crate::measure::Measurement;

/// The contents of the report.
pub struct Report {
    /// The scale factor of TPC-H.
    pub scale: f64,
    /// The number of times that each query was measured on each side.
    pub runs: u32,
    /// The machine's load average before the benchmark started.
    pub load: Option<f64>,
    /// The measurements, one for each query.
    pub measurements: Vec<Measurement>,
}

impl Report {
    /// Returns a heading and a table.
    pub fn to_markdown(&self) -> String {
        let load = self.load.map_or_else(|| "unknown".into(), |load| format!("{load:.1}"));
        let mut text = format!(
            "Portolan {}{}, TPC-H at scale {}, medians of {} runs. Measured on: {}; load before: {load}.\n\n",
            env!("CARGO_PKG_VERSION"),
            if cfg!(debug_assertions) { " (a debug build: its times mean nothing)" } else { "" },
            self.scale,
            self.runs,
            machine::describe(),
        );
        let domains = DOMAINS.map(|domain| format!("from {domain}")).join(" | ");
        let _ = writeln!(text, "| query | rows | one process | mesh | ratio | {domains} |");
        let _ = writeln!(text, "|---:|---:|---:|---:|---:|{}", "---:|".repeat(DOMAINS.len()));
        for m in &self.measurements {
            let rows = show_count(m.rows as u64);
            let _ = writeln!(text, "| {} | {rows} | {}", m.query, cells(m.single, m.mesh, &m.bytes));
        }
        let (single, mesh, bytes) = self.sums();
        let _ = writeln!(text, "| all | | {}", cells(single, mesh, &bytes));
        text
    }

    /// Returns one object.
    pub fn to_json(&self) -> Value {
        let (single, mesh, bytes) = self.sums();
        let queries = self.measurements.iter().map(|m| {
            let mut query = numbers(m.single, m.mesh, &m.bytes);
            query.insert("query".into(), m.query.into());
            query.insert("rows".into(), m.rows.into());
            Value::Object(query)
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "optimised": !cfg!(debug_assertions),
            "machine": machine::describe(),
            "load_before": self.load,
            "scale": self.scale,
            "runs": self.runs,
            "queries": queries.collect::<Vec<_>>(),
            "sum": numbers(single, mesh, &bytes),
        })
    }

    fn sums(&self) -> (Duration, Duration, [u64; DOMAINS.len()]) {
        let mut bytes = [0; DOMAINS.len()];
        for m in &self.measurements {
            for (sum, more) in bytes.iter_mut().zip(m.bytes) {
                *sum += more;
            }
        }
        (self.measurements.iter().map(|m| m.single).sum(), self.measurements.iter().map(|m| m.mesh).sum(), bytes)
    }
}

fn cells(single: Duration, mesh: Duration, bytes: &[u64]) -> String {
    let bytes: Vec<_> = bytes.iter().map(|b| show_bytes(*b)).collect();
    format!("{} | {} | {:.2} | {} |", millis(single), millis(mesh), ratio(single, mesh), bytes.join(" | "))
}

fn numbers(single: Duration, mesh: Duration, bytes: &[u64]) -> Map<String, Value> {
    let bytes: Map<_, _> = DOMAINS.iter().zip(bytes).map(|(d, b)| ((*d).to_owned(), json!(b))).collect();
    let mut all = Map::new();
    all.insert("one_process_ms".into(), json!(single.as_secs_f64() * 1e3));
    all.insert("mesh_ms".into(), json!(mesh.as_secs_f64() * 1e3));
    all.insert("ratio".into(), json!(ratio(single, mesh)));
    all.insert("bytes".into(), Value::Object(bytes));
    all
}

fn millis(time: Duration) -> String {
    format!("{} ms", show_count(time.as_secs_f64().mul_add(1e3, 0.5) as u64))
}

fn ratio(single: Duration, mesh: Duration) -> f64 {
    mesh.as_secs_f64() / single.as_secs_f64().max(1e-9)
}
