//! Draws a plan as a tree: each operator with its site and rows, the reason why it stayed at the local node, and the
//! decision where sites are combined.

use std::fmt::Write;

use super::document::{AlternativeEntry, DecisionEntry, FragmentEntry, OperatorActual, OperatorEntry, SharedEntry};
use super::edges::strategy;
use super::figures::{bytes, count, milliseconds, table};

/// Draws the plan, with one operator in each line.
pub(super) fn draw(plan: &OperatorEntry, fragments: &[FragmentEntry]) -> String {
    let mut text = String::new();
    operator(plan, fragments, 0, &mut text);
    text.truncate(text.trim_end().len());
    text
}

fn operator(plan: &OperatorEntry, fragments: &[FragmentEntry], depth: usize, text: &mut String) {
    let mut depth = depth;
    let mut indent = "  ".repeat(depth);
    if let Some(SharedEntry { part, readers }) = &plan.shared {
        // Writing to a string does not fail.
        let Some(readers) = readers else {
            let _ = writeln!(text, "{indent}= shared part {part}");
            return;
        };
        let _ = writeln!(text, "{indent}= shared part {part} for {readers} readers");
        depth += 1;
        indent.push_str("  ");
    }
    if let Some(number) = plan.fragment {
        let entry = fragments.iter().find(|f| f.number == number);
        // Gathering is the default, which is not shown.
        let how = entry.filter(|e| e.edge.strategy != "gather").map(|e| format!(": {}", strategy(&e.edge)));
        let how = how.unwrap_or_default();
        let crossed = plan.actual.as_ref().map(|a| did(a, plan.rows)).unwrap_or_default();
        let _ = writeln!(text, "{indent}=> fragment {number} at {}{how}{crossed}", plan.domains.join(", "));
        depth += 1;
        indent.push_str("  ");
    }
    let line = &plan.operator;
    let rows = rows(plan);
    let _ = match (plan.site.as_deref(), &plan.reason) {
        (Some("here") | None, Some(reason)) => writeln!(text, "{indent}{line}  [here: {reason}]{rows}"),
        (Some("here") | None, None) => writeln!(text, "{indent}{line}  [here]{rows}"),
        _ => writeln!(text, "{indent}{line}{rows}"),
    };
    if let Some(decision) = &plan.decision {
        for line in weighed(decision).lines() {
            let _ = writeln!(text, "{indent}    {line}");
        }
    }
    for input in plan.subqueries.iter().chain(&plan.inputs) {
        operator(input, fragments, depth + 1, text);
    }
}

/// Describes the rows of an operator. A fragment shows its rows with its edge, and an operator that passes rows on
/// unchanged shows them below.
fn rows(plan: &OperatorEntry) -> String {
    match (plan.fragment, &plan.actual, plan.rows) {
        (Some(_), ..) | (None, None, None) => String::new(),
        (None, Some(actual), estimate) => did(actual, estimate),
        (None, None, Some(estimate)) => match plan.inputs.as_slice() {
            [only] if only.rows == plan.rows => String::new(),
            _ => format!("  ({} rows)", count(estimate as f64)),
        },
    }
}

/// Returns ` (1.9 k rows, expected 2.0 k: q-error 1.1)`.
fn did(actual: &OperatorActual, estimate: Option<u64>) -> String {
    let rows = count(actual.rows as f64);
    match (estimate, actual.q_error) {
        (Some(estimate), Some(error)) => {
            format!("  ({rows} rows, expected {}: q-error {error:.1})", count(estimate as f64))
        }
        (Some(estimate), None) => format!("  ({rows} rows, expected {})", count(estimate as f64)),
        (None, _) => format!("  ({rows} rows)"),
    }
}

/// Returns the chosen alternative, and the others below it.
fn weighed(decision: &DecisionEntry) -> String {
    let row = |word: &str, a: &AlternativeEntry| {
        vec![word.to_owned(), a.what.clone(), bytes(a.bytes as f64), milliseconds(a.milliseconds)]
    };
    let mut rows = vec![row("by", &decision.chosen)];
    rows.extend(decision.runners_up.iter().map(|a| row("not", a)));
    table(&rows, &[false, false, true, true])
}
