//! Measures the errors of the planner's estimates in TPC-H's plans, from `EXPLAIN ANALYZE`.

use portolan_node::Result;
use portolan_testbed::mesh::LocalMesh;
use serde_json::json;

use crate::asked::session;
use crate::chosen;
use crate::explained::Explained;
use crate::table::{Table, percentile};

/// Measures the queries, and returns a table with one row for each query and the figures over all operators of all
/// queries.
///
/// # Errors
/// A query that fails.
pub async fn measure(mesh: &LocalMesh, queries: &[u32]) -> Result<Table> {
    let client = session(mesh, &[]).await?;
    let (mut rows, mut all) = (vec![], vec![]);
    for query in chosen(queries) {
        eprintln!("query {}", query.number);
        let errors = Explained::of(&client, query.sql, true).await?.q_errors();
        rows.push(vec![
            json!(query.number),
            json!(errors.len()),
            json!(percentile(&errors, 0.5)),
            json!(percentile(&errors, 0.95)),
            json!(percentile(&errors, 1.0)),
        ]);
        all.extend(errors);
    }
    Ok(Table {
        title: "q-errors of the estimates in TPC-H's plans".into(),
        columns: vec!["query", "estimates", "median", "95th percentile", "largest"],
        rows,
        summary: vec![
            ("estimates compared", json!(all.len())),
            ("median", json!(percentile(&all, 0.5))),
            ("95th percentile", json!(percentile(&all, 0.95))),
            ("largest", json!(percentile(&all, 1.0))),
        ],
        faults: vec![],
    })
}
