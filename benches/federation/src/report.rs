//! Renders the measurements as a table for the book.

use std::fmt::Write;
use std::time::Duration;

use crate::federation::RulePlace;
use crate::machine;
use crate::measure::{Measurement, Verdict};
use crate::tpch::DOMAINS;

/// The number of characters of an error that the table shows. The whole error is printed before.
const REASON_CHARS: usize = 100;

/// The contents of the report.
pub struct Report {
    /// The version of Portolan.
    pub version: String,
    /// The scale factor of TPC-H.
    pub scale: f64,
    /// The number of times that each query was measured on each side.
    pub runs: u32,
    /// The place of the rule of `datafusion-federation`.
    pub rule: RulePlace,
    /// The machine's load average before the benchmark started.
    pub load: Option<f64>,
    /// The measurements, one for each query.
    pub measurements: Vec<Measurement>,
}

impl Report {
    /// Returns a heading and a table. The sum is over the queries for which both sides return the same rows.
    pub fn to_markdown(&self) -> String {
        let load = self.load.map_or_else(|| "unknown".into(), |load| format!("{load:.1}"));
        let rule = match self.rule {
            RulePlace::Default => "its rule in its default place",
            RulePlace::Last => "its rule after DataFusion's rules",
        };
        let mut text = format!(
            "Portolan {} and datafusion-federation {} ({rule}), TPC-H at scale {}, medians of {} runs. Measured on: \
             {}; load before: {load}.\n\n",
            self.version,
            federation_version(),
            self.scale,
            self.runs,
            machine::describe(),
        );
        let from = DOMAINS.map(|domain| format!("from {domain}")).join(" | ");
        let _ = writeln!(text, "| query | rows | federation | {from} | mesh | {from} | ratio |");
        let _ = writeln!(text, "|---:|---:|---:|{0}---:|{0}---:|", "---:|".repeat(DOMAINS.len()));
        for m in &self.measurements {
            let (federation, ratio) = match (&m.verdict, m.federation) {
                (Verdict::Same, Some(time)) => (millis(time), format!("{:.2}", ratio(time, m.mesh))),
                (Verdict::Differs(why), Some(time)) => (format!("{}, wrong: {}", millis(time), short(why)), "–".into()),
                (Verdict::Fails(why), _) => (format!("fails: {}", short(why)), "–".into()),
                (_, None) => ("not measured".into(), "–".into()),
            };
            let rows = grouped(m.rows as u64);
            let (left, right) = (cells(&m.federation_bytes), cells(&m.mesh_bytes));
            let _ = writeln!(
                text,
                "| {} | {rows} | {federation} | {left} | {} | {right} | {ratio} |",
                m.query,
                millis(m.mesh)
            );
        }
        let alike: Vec<_> = self.measurements.iter().filter(|m| m.verdict == Verdict::Same).collect();
        let federation = alike.iter().filter_map(|m| m.federation).sum();
        let mesh = alike.iter().map(|m| m.mesh).sum();
        let bytes = |of: fn(&Measurement) -> &[u64]| -> Vec<u64> {
            (0..DOMAINS.len()).map(|i| alike.iter().map(|m| of(m)[i]).sum()).collect()
        };
        let (left, right) = (bytes(|m| &m.federation_bytes), bytes(|m| &m.mesh_bytes));
        let _ = writeln!(
            text,
            "| {} alike | | {} | {} | {} | {} | {:.2} |",
            alike.len(),
            millis(federation),
            cells(&left),
            millis(mesh),
            cells(&right),
            ratio(federation, mesh)
        );
        text
    }
}

/// Returns the version of `datafusion-federation` that this program was built with.
fn federation_version() -> &'static str {
    let package = include_str!("../Cargo.lock").split("name = \"datafusion-federation\"").nth(1);
    package.and_then(|package| package.split('"').nth(1)).unwrap_or("of unknown version")
}

fn cells(bytes: &[u64]) -> String {
    bytes.iter().map(|bytes| shown(*bytes)).collect::<Vec<_>>().join(" | ")
}

/// Returns the first line of a reason, truncated, with escapes for the table.
fn short(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default().replace('|', "\\|");
    match line.char_indices().nth(REASON_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn shown(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

fn millis(time: Duration) -> String {
    format!("{} ms", grouped(time.as_secs_f64().mul_add(1e3, 0.5) as u64))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

fn ratio(federation: Duration, mesh: Duration) -> f64 {
    federation.as_secs_f64() / mesh.as_secs_f64().max(1e-9)
}
