//! The server's estimate of the rows of a query, from `EXPLAIN`.

use serde_json::Value as Json;

use super::session::Session;
use super::values::text;
use crate::error::Result;
use crate::fragment::FragmentEstimate;

/// Words of queries whose number of rows the server's plan does not show: it counts the rows before this work.
const NOT_ESTIMATED: [&str; 9] = ["group", "count", "sum", "min", "max", "distinct", "union", "exists", "limit"];

/// True if the plan of a query shows the number of its rows.
pub(super) fn is_estimated(query: &str) -> bool {
    let mut quote = None;
    let mut word = String::new();
    for c in query.chars().chain([' ']) {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c.is_ascii_alphanumeric() || c == '_' => word.push(c.to_ascii_lowercase()),
            None => {
                if NOT_ESTIMATED.contains(&word.as_str()) {
                    return false;
                }
                word.clear();
                quote = Some(c).filter(|c| ['\'', '"', '`'].contains(c));
            }
        }
    }
    true
}

/// Returns the server's estimate of a query without aggregates.
pub(super) async fn estimate(session: &mut Session, query: &str) -> Result<FragmentEstimate> {
    let rows = session.rows(&format!("EXPLAIN FORMAT=JSON {query}"), vec![]).await?;
    let plan = rows.first().and_then(|row| text(row, 0)).and_then(|plan| serde_json::from_str(&plan).ok());
    Ok(FragmentEstimate { rows: plan.as_ref().and_then(plan_rows), bytes: None })
}

/// Returns the number of rows of a plan: the product of what each table adds.
fn plan_rows(plan: &Json) -> Option<u64> {
    let block = plan.get("query_block")?;
    let rows = match (block.get("nested_loop").and_then(Json::as_array), block.get("table")) {
        (Some(tables), _) => tables.iter().map(table_rows).try_fold(1.0, |rows, more| Some(rows * more?)),
        (None, Some(_)) => table_rows(block),
        (None, None) => None,
    }?;
    // The server rounds to 0, but it does not know that there are no rows.
    rows.is_finite().then(|| rows.round().max(1.0) as u64)
}

/// Returns the number of rows that a table adds for each row before it.
fn table_rows(step: &Json) -> Option<f64> {
    let table = step.get("table").or_else(|| step.get("block-nl-join")?.get("table"))?;
    if table.get("materialized").is_some() || table.get("materialized_from_subquery").is_some() {
        return None;
    }
    let number = |name: &str| {
        let value = table.get(name)?;
        value.as_f64().or_else(|| value.as_str()?.parse().ok())
    };
    // MariaDB has the first name, MySQL the second.
    let rows = number("rows").or_else(|| number("rows_examined_per_scan"))?;
    Some(rows * number("filtered").unwrap_or(100.0) / 100.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn words_in_quotes_are_no_aggregates() {
        assert!(is_estimated(
            r#"SELECT q1.c0 FROM (SELECT t."count" AS c0 FROM "group" AS t) AS q1 WHERE (q1.c0 = 'max')"#
        ));
        assert!(is_estimated("SELECT t.`min` FROM `a``b count` AS t"));
        assert!(!is_estimated("SELECT count(*) AS c0 FROM x"));
        assert!(!is_estimated("SELECT c0 FROM x GROUP BY c0"));
        assert!(!is_estimated("SELECT c0 FROM x LIMIT 5"));
    }

    #[test]
    fn rows_are_the_product_of_the_tables() {
        let plan: Json = serde_json::from_str(
            r#"{"query_block": {"select_id": 1, "nested_loop": [
                {"table": {"table_name": "a", "rows": 1000, "filtered": 10}},
                {"block-nl-join": {"table": {"table_name": "b", "rows": 4, "filtered": 100}}}]}}"#,
        )
        .unwrap();
        assert_eq!(plan_rows(&plan), Some(400));
        let plan: Json = serde_json::from_str(
            r#"{"query_block": {"table": {"table_name": "a", "rows_examined_per_scan": 7, "filtered": "50.00"}}}"#,
        )
        .unwrap();
        assert_eq!(plan_rows(&plan), Some(4));
        let plan: Json = serde_json::from_str(r#"{"query_block": {"filesort": {}}}"#).unwrap();
        assert_eq!(plan_rows(&plan), None);
    }
}
