//! Describes edges: how rows cross each one, how many were expected, and how many crossed.

use std::fmt::Write;

use super::document::{EdgeEntry, FragmentEntry, PlanDocument, Pulled};
use super::figures::{bytes, count, milliseconds, table};
use super::measured::lines;

/// Describes how rows cross an edge: `gather`, `keys from sales (about 25)`, `delegate: pulls from supply`.
pub(super) fn strategy(edge: &EdgeEntry) -> String {
    match (edge.strategy, &edge.keys) {
        ("keys", Some(keys)) => {
            let form = keys.form.map(|form| format!(" as {form}")).unwrap_or_default();
            format!("keys from {} (about {}{form})", keys.from, count(keys.expected as f64))
        }
        ("delegate", _) if !edge.pulls_from.is_empty() => {
            format!("delegate: pulls from {}", edge.pulls_from.join(", "))
        }
        (other, _) => other.to_owned(),
    }
}

/// Returns a table of the edges; `None` if there are none.
pub(super) fn overview(document: &PlanDocument) -> Option<String> {
    if document.fragments.is_empty() {
        return None;
    }
    let ran = document.fragments.iter().any(|f| f.actual.is_some());
    let (names, right): (&[&str], &[bool]) = if ran {
        (
            &["edge", "from", "strategy", "expected", "rows", "q-error", "expected", "bytes"],
            &[true, false, false, true, true, true, true, true],
        )
    } else {
        (&["edge", "from", "strategy", "rows", "bytes", "link"], &[true, false, false, true, true, false])
    };
    let mut rows = vec![names.iter().map(ToString::to_string).collect()];
    for fragment in &document.fragments {
        rows.push(if ran { measured_row(fragment) } else { expected_row(fragment) });
        rows.extend(fragment.actual.iter().flat_map(|a| &a.pulled).map(|p| pulled_row(fragment, p)));
    }
    Some(table(&rows, right))
}

fn named(fragment: &FragmentEntry) -> Vec<String> {
    let from = format!("{} ({})", fragment.domains.join(", "), fragment.site);
    vec![fragment.number.to_string(), from, strategy(&fragment.edge)]
}

fn expected_row(fragment: &FragmentEntry) -> Vec<String> {
    let edge = &fragment.edge;
    let rows = match (edge.rows, edge.rows_whole) {
        (Some(rows), Some(all)) if all > rows => format!("{} of {}", count(rows as f64), count(all as f64)),
        (rows, _) => figure(rows, count),
    };
    let link = format!("{}, {}/s", milliseconds(edge.latency_ms), bytes(edge.bytes_per_second));
    [named(fragment), vec![rows, figure(edge.bytes, bytes), link]].concat()
}

fn measured_row(fragment: &FragmentEntry) -> Vec<String> {
    let actual = fragment.actual.as_ref();
    let (rows, carried) = (actual.map(|a| a.rows), actual.map(|a| a.bytes));
    let error = match actual {
        Some(a) if !a.complete => "stopped".into(),
        a => a.and_then(|a| a.q_error).map_or_else(|| "?".into(), |e| format!("{e:.1}")),
    };
    let told = vec![figure(fragment.edge.rows, count), figure(rows, count), error];
    [named(fragment), told, vec![figure(fragment.edge.bytes, bytes), figure(carried, bytes)]].concat()
}

/// Returns the row of an edge between two owners, which is below the edge that needs its rows.
fn pulled_row(fragment: &FragmentEntry, pulled: &Pulled) -> Vec<String> {
    let from = format!("  {} ({})", pulled.domains.join(", "), pulled.site);
    let keys =
        if pulled.key_bytes > 0 { format!(", for {} of keys", bytes(pulled.key_bytes as f64)) } else { String::new() };
    let how = format!("  pulled by {}{keys}", fragment.site);
    let none = String::new;
    vec![none(), from, how, none(), count(pulled.rows as f64), none(), none(), bytes(pulled.bytes as f64)]
}

fn figure(value: Option<u64>, show: fn(f64) -> String) -> String {
    value.map_or_else(|| "?".into(), |v| show(v as f64))
}

/// Describes the rows that crossed an edge, and the metrics of the owner's operators.
pub(super) fn crossed(fragment: &FragmentEntry) -> String {
    let Some(actual) = &fragment.actual else { return "the edge was not read".into() };
    let mut text = format!(
        "from {} ({}): {} rows, {} bytes, first batch after {}",
        fragment.domains.join(", "),
        fragment.site,
        actual.rows,
        actual.bytes,
        actual.first_batch_ms.map_or_else(|| "none".to_owned(), milliseconds),
    );
    // Writing to a string does not fail.
    if let Some(keys) = &actual.keys {
        let _ = write!(text, "\n{keys}");
    }
    if actual.complete {
        let _ = write!(text, "\n{}", lines(&actual.operators));
    } else {
        text.push_str("\nthe fragment was stopped before its end, so its operators have no metrics");
    }
    text
}
