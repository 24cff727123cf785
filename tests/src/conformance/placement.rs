//! The sites of a plan's operators, from `EXPLAIN (FORMAT JSON)`.

use serde_json::Value;

/// The site of the operators that the local node runs.
const HERE: &str = "here";

/// An operator of a plan, as EXPLAIN shows it.
#[derive(Clone, Debug)]
pub struct PlacedOperator {
    /// The operator, in one line.
    pub operator: String,
    /// The URL of the site, or `here`; `None` if the operator reads nothing.
    pub site: Option<String>,
    /// The reason why the local node runs the operator, although a site has an input.
    pub reason: Option<String>,
}

impl PlacedOperator {
    /// True if the local node runs the operator.
    pub fn is_here(&self) -> bool {
        self.site.as_deref() == Some(HERE)
    }

    /// True if the operator is of a kind, such as `Filter`.
    pub fn is(&self, kind: &str) -> bool {
        is_kind(&self.operator, kind)
    }
}

/// True if the operator that prints itself so is of a kind.
pub fn is_kind(operator: &str, kind: &str) -> bool {
    operator.split(':').next().is_some_and(|name| name.trim() == kind)
}

/// Returns the operators of a document of EXPLAIN, the root first.
pub fn placed_operators(document: &Value) -> Vec<PlacedOperator> {
    let mut found = vec![];
    collect(&document["plan"], &mut found);
    found
}

fn collect(operator: &Value, found: &mut Vec<PlacedOperator>) {
    let text = |key: &str| operator[key].as_str().map(str::to_owned);
    found.push(PlacedOperator {
        operator: text("operator").unwrap_or_default(),
        site: text("site"),
        reason: text("reason"),
    });
    let inputs = ["subqueries", "inputs"].into_iter().filter_map(|key| operator[key].as_array()).flatten();
    inputs.for_each(|input| collect(input, found));
}
