//! A join without equal keys is refused if its left input does not fit into the memory of the query.

use portolan_engine::ErrorKind;
use portolan_testbed::descriptors;
use portolan_tests::mesh::{data, within};
use portolan_tests::node::Node;
use portolan_tests::rows::{assert_says, drain, text};
use serde_json::json;

/// The numbers from 1 on, each with a text of at least 30 kB.
fn long(rows: usize) -> String {
    format!("(SELECT value AS id, repeat(CAST(value AS VARCHAR), 30000) AS s FROM generate_series(1, {rows}))")
}

/// A query that counts the rows of a join. For each `id` of the left, all smaller numbers of the right match.
fn joined(rows: usize, join: &str, columns: &str) -> String {
    let (left, right) = (long(rows), "(SELECT value AS id FROM generate_series(1, 2000))");
    format!("SELECT concat({columns}) AS v FROM {left} AS l {join} {right} AS r ON l.id > r.id AND length(l.s) > r.id")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_left_input_that_does_not_fit_into_memory_is_refused() {
    within(300, async {
        let folder = tempfile::tempdir().unwrap();
        descriptors::write("sales", &data(), folder.path()).unwrap();
        let config = json!({ "domain": "sales", "limits": { "query_memory": "36MiB" }, "cpu_threads": 2 });
        let node = Node::start(folder.path(), config);
        let client = node.client().await;
        // Of 10 rows on the left, one has no match, and 45 pairs match. 600 rows have 52 MB.
        for (join, columns, expected) in [
            ("JOIN", "count(*), ' ', count(DISTINCT l.id)", "| 45 9 |"),
            ("LEFT JOIN", "count(*), ' ', count(r.id)", "| 46 45 |"),
            ("LEFT SEMI JOIN", "count(*), ' ', min(l.id)", "| 9 2 |"),
            ("LEFT ANTI JOIN", "count(*), ' ', min(l.id)", "| 1 1 |"),
        ] {
            let rows = text(&client, &joined(10, join, columns)).await;
            assert!(rows.contains(expected), "{join}: {rows}");
            let error = drain(&client, &joined(600, join, columns)).await.expect_err(join);
            assert_says(&error, ErrorKind::ResourceExhausted, &["limits.query_memory", "a join without equal keys"]);
        }
    })
    .await;
}
