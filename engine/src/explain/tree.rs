//! Draws a placed plan as a tree: each operator with its site, and with the reason where it stayed here.

use std::fmt::Write;

use crate::planner::{Placed, SiteChoice};

/// Draws the plan, one operator a line.
pub(super) fn draw(placed: &Placed) -> String {
    let mut text = String::new();
    operator(placed, 0, &mut text);
    text.truncate(text.trim_end().len());
    text
}

fn operator(placed: &Placed, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let mut depth = depth;
    let mut indent = indent;
    if let Some(number) = placed.fragment {
        let domains: Vec<&str> = placed.domains.iter().map(|d| d.as_str()).collect();
        // Writing to a string does not fail.
        let _ = writeln!(text, "{indent}=> fragment {number} at {}", domains.join(", "));
        depth += 1;
        indent.push_str("  ");
    }
    let line = placed.plan.display().to_string();
    let _ = match (&placed.site, &placed.reason) {
        (SiteChoice::Peer(_), _) => writeln!(text, "{indent}{line}"),
        (_, Some(reason)) => writeln!(text, "{indent}{line}  [here: {reason}]"),
        (_, None) => writeln!(text, "{indent}{line}  [here]"),
    };
    for subquery in &placed.subqueries {
        operator(subquery, depth + 1, text);
    }
    for input in &placed.inputs {
        operator(input, depth + 1, text);
    }
}
