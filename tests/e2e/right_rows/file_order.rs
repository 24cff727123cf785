//! Arrow files whose columns are in another order than in the contract, or among other columns. DataFusion finds
//! columns by their position in the table, and so returns the values of another column.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use portolan_tests::mesh::within;
use portolan_tests::ways::table;

use super::folders::{Folders, write_arrow};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_are_matched_by_name() {
    within(300, async {
        let mut folders = Folders::new();
        let columns = [("a", "integer"), ("b", "integer"), ("t", "string")];
        let east = folders.port("east", "e", "arrow", &columns);
        let west = folders.port("west", "w", "arrow", &columns);
        let of = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
        let texts = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
        let more: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 0.25]));
        let first = table(vec![
            ("more", more),
            ("b", of(vec![10, 20])),
            ("t", texts(vec![Some("x"), None])),
            ("a", of(vec![1, 2])),
        ]);
        let second = table(vec![("a", of(vec![3])), ("t", texts(vec![Some("z")])), ("b", of(vec![30]))]);
        for data in [&east, &west] {
            write_arrow(&data.join("1.arrow"), &first);
            write_arrow(&data.join("2.arrow"), &second);
        }
        let ways = folders.start().await.unwrap();
        ways.gives("SELECT * FROM east.samples.e", &["1|10|x", "2|20|NULL", "3|30|z"]).await;
        ways.gives("SELECT b FROM east.samples.e WHERE a >= 2", &["20", "30"]).await;
        ways.gives("SELECT b, a FROM west.samples.w WHERE t IS NULL", &["20|2"]).await;
        ways.gives("SELECT count(*) FROM west.samples.w", &["3"]).await;
        ways.gives("SELECT sum(a), sum(b), max(t) FROM west.samples.w", &["6|60|z"]).await;
        let joined = "SELECT e.a, w.b, w.t FROM east.samples.e JOIN west.samples.w ON e.b = w.b";
        ways.gives(joined, &["1|10|x", "2|20|NULL", "3|30|z"]).await;
        ways.gives("SELECT a FROM east.samples.e WHERE b IN (SELECT b + 10 FROM west.samples.w)", &["2", "3"]).await;
    })
    .await;
}
