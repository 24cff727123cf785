//! Reads the JSON output of `EXPLAIN`: the fragments of each owner, the joins across sites, and the errors of
//! estimates.

use std::collections::BTreeSet;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use portolan_node::client::Client;
use portolan_node::{Error, Result};
use serde_json::{Value, json};

/// A document of `EXPLAIN (FORMAT JSON)`.
pub struct Explained(Value);

impl Explained {
    /// Plans a query, and runs it if `analyze` is true.
    ///
    /// # Errors
    /// A query that fails, or an answer in another format.
    pub async fn of(client: &Client, sql: &str, analyze: bool) -> Result<Self> {
        let options = if analyze { "ANALYZE, FORMAT JSON" } else { "FORMAT JSON" };
        let (_, batches) = client.query(&format!("EXPLAIN ({options}) {sql}")).await?;
        let unreadable = || Error::failed("EXPLAIN did not answer with JSON");
        let batch = batches.iter().find(|b| b.num_rows() > 0).ok_or_else(unreadable)?;
        let column = batch.columns().last().ok_or_else(unreadable)?;
        let options = FormatOptions::default();
        let text = ArrayFormatter::try_new(column, &options).map_err(|e| unreadable().with_source(e))?;
        let text = text.value(0).to_string();
        serde_json::from_str(&text).map(Self).map_err(|e| unreadable().with_source(e))
    }

    /// Returns the domains that rows come from.
    pub fn domains(&self) -> BTreeSet<String> {
        let fragments = list(&self.0["fragments"]).iter();
        fragments.flat_map(|f| list(&f["domains"])).filter_map(|d| Some(d.as_str()?.to_owned())).collect()
    }

    /// Returns the number of ports in the query. A port that the query names twice counts twice.
    pub fn relations(&self) -> usize {
        count(&self.0["plan"], &|operator| operator["port"].is_string())
    }

    /// Returns the number of joins across sites.
    pub fn joins_across(&self) -> usize {
        let crosses = |operator: &Value| {
            operator["decision"].is_object() && operator["operator"].as_str().is_some_and(|o| o.contains("Join"))
        };
        count(&self.0["plan"], &crosses)
    }

    /// Returns a string that identifies a plan: the fragments, their sites and edges, and the shape of the plan.
    pub fn fingerprint(&self) -> String {
        let fragments = list(&self.0["fragments"]).iter().map(|f| {
            let edge = &f["edge"];
            json!([f["site"], f["sql"], edge["strategy"], edge["keys"]["from"], edge["pulls_from"]])
        });
        // Plans also differ in the part at the gateway: the sides of a join decide which side sends keys.
        json!([fragments.collect::<Vec<_>>(), shape(&self.0["plan"])]).to_string()
    }

    /// True if a part was planned again while the query ran.
    pub fn is_adapted(&self) -> bool {
        self.0["adapted"].is_string()
    }

    /// Returns the q-errors of all estimates that can be compared: of edges, and of operators at the gateway and at
    /// owners.
    pub fn q_errors(&self) -> Vec<f64> {
        let edges = list(&self.0["fragments"]).iter().filter_map(|fragment| fragment["actual"]["q_error"].as_f64());
        edges.chain(self.operator_errors(&|_| true)).collect()
    }

    /// Returns the q-errors of the joins whose estimates can be compared, at the gateway and at owners.
    pub fn join_errors(&self) -> Vec<f64> {
        self.operator_errors(&|operator| operator["operator"].as_str().is_some_and(|name| name.contains("Join")))
    }

    /// Returns the q-errors of the operators for which the test holds.
    fn operator_errors(&self, test: &dyn Fn(&Value) -> bool) -> Vec<f64> {
        let mut errors = vec![];
        note_errors(&self.0["plan"], test, &mut errors);
        for fragment in list(&self.0["fragments"]) {
            for operator in list(&fragment["actual"]["operators"]).iter().filter(|operator| test(operator)) {
                if let (Some(rows), Some(expected)) = (operator["rows"].as_f64(), operator["estimated_rows"].as_f64()) {
                    // Like the planner, counts no rows as one row.
                    let (rows, expected) = (rows.max(1.0), expected.max(1.0));
                    errors.push((rows / expected).max(expected / rows));
                }
            }
        }
        errors
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn below(operator: &Value) -> impl Iterator<Item = &Value> {
    list(&operator["subqueries"]).iter().chain(list(&operator["inputs"]))
}

fn count(operator: &Value, test: &impl Fn(&Value) -> bool) -> usize {
    usize::from(test(operator)) + below(operator).map(|o| count(o, test)).sum::<usize>()
}

fn shape(operator: &Value) -> Value {
    json!([
        operator["operator"],
        operator["site"],
        operator["fragment"],
        below(operator).map(shape).collect::<Vec<_>>()
    ])
}

/// Adds the q-errors of the operators at the gateway. Skips roots of fragments, whose q-error is that of the edge.
fn note_errors(operator: &Value, test: &dyn Fn(&Value) -> bool, errors: &mut Vec<f64>) {
    if operator["fragment"].is_null() && test(operator) {
        errors.extend(operator["actual"]["q_error"].as_f64());
    }
    below(operator).for_each(|o| note_errors(o, test, errors));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_of_operators_everywhere_and_of_each_edge_once() {
        let edge = json!({ "fragment": 1, "actual": { "q_error": 3.0 } });
        let plan = json!({ "actual": { "q_error": 2.0 }, "inputs": [{ "actual": { "q_error": null } }, edge] });
        let operators = json!([{ "rows": 10, "estimated_rows": 40.0 }, { "rows": 10, "estimated_rows": null }]);
        let fragments = json!([{ "actual": { "q_error": 3.0, "operators": operators } }]);
        assert_eq!(Explained(json!({ "plan": plan, "fragments": fragments })).q_errors(), [3.0, 2.0, 4.0]);
    }

    #[test]
    fn errors_of_joins_are_those_here_and_at_owners() {
        let here = json!({ "operator": "Inner Join: a = b", "actual": { "q_error": 2.0 } });
        // The error of a join that is the root of a fragment is that of the owner's operator.
        let root = json!({ "operator": "Inner Join: a = c", "fragment": 1, "actual": { "q_error": 7.0 } });
        let plan = json!({ "operator": "Sort: a", "actual": { "q_error": 5.0 }, "inputs": [here, root] });
        let operators = json!([
            { "operator": "HashJoinExec: mode=Partitioned", "rows": 10, "estimated_rows": 70.0 },
            { "operator": "FilterExec: a > 1", "rows": 10, "estimated_rows": 90.0 },
        ]);
        let fragments = json!([{ "actual": { "q_error": 7.0, "operators": operators } }]);
        let explained = Explained(json!({ "plan": plan, "fragments": fragments, "adapted": "a reason" }));
        assert_eq!(explained.join_errors(), [2.0, 7.0]);
        assert!(explained.is_adapted());
    }

    #[test]
    fn joins_count_where_something_was_decided() {
        let scan = |port: &str| json!({ "operator": "TableScan", "port": port });
        let within = json!({ "operator": "Inner Join: a = b", "inputs": [scan("a"), scan("b")] });
        let plan = json!({ "operator": "LeftSemi Join: a = c", "decision": {}, "inputs": [within, scan("c")] });
        let explained = Explained(json!({ "plan": plan }));
        assert_eq!((explained.joins_across(), explained.relations()), (1, 3));
    }
}
