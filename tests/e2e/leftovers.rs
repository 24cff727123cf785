//! What stays behind: spilled data of nodes that were killed, and memory that the tables of a session keep.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use portolan_engine::ErrorKind;
use portolan_testbed::descriptors;
use portolan_tests::mesh::{data, within};
use portolan_tests::node::Node;
use portolan_tests::rows::{assert_says, count};
use serde_json::json;

/// Returns the folders of nodes in a spill folder.
fn folders(spill: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(spill).unwrap().map(|entry| entry.unwrap());
    let of_nodes = entries.filter(|entry| {
        entry.file_type().unwrap().is_dir() && entry.file_name().to_str().unwrap().starts_with("portolan-spill-")
    });
    of_nodes.map(|entry| entry.path()).collect()
}

/// Returns the bytes of the files below a folder.
pub(crate) fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
        _ => entry.metadata().map_or(0, |metadata| metadata.len()),
    });
    bytes.sum()
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spilled_data_of_a_killed_node_is_removed_when_a_node_starts() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let spill = folder.path().join("spill");
        let start = |name: &str| {
            let home = folder.path().join(name);
            descriptors::write("sales", &data(), &home).unwrap();
            let limits = json!({ "query_memory": "36MiB" });
            Node::start(&home, json!({ "domain": "sales", "limits": limits, "cpu_threads": 2, "spill_folder": spill }))
        };
        let living = start("living");
        let kept = folders(&spill).pop().expect("a folder of the living node");
        let mut killed = start("killed");
        // What no node has created stays: other folders, and links, whatever their names.
        let precious = folder.path().join("precious");
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("file"), "rows").unwrap();
        let link = spill.join("portolan-spill-00000000000000000000000000000000");
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        fs::create_dir(spill.join("datafusion-x")).unwrap();

        let client = killed.client().await;
        let sql = "SELECT l.*, n FROM sales.orders.lineitem l CROSS JOIN (VALUES (0), (1), (2), (3)) AS v(n) \
                   ORDER BY l_comment, n, l_orderkey";
        let statement = client.prepare(sql).await.unwrap();
        let mut rows = client.rows(&statement);
        // The client reads no further, so that the node keeps what it has spilled.
        assert!(rows.next().await.unwrap().unwrap().num_rows() > 0);
        let mut left: Vec<_> = folders(&spill).into_iter().filter(|folder| *folder != kept).collect();
        let left = left.pop().expect("a folder of the other node");
        assert!(bytes_below(&left) > 1_000_000, "{} bytes in {}", bytes_below(&left), left.display());
        killed.kill();
        assert!(bytes_below(&left) > 1_000_000, "a killed process removes nothing");

        let restarted = killed.restart();
        assert!(!left.exists() && kept.exists());
        assert_eq!(folders(&spill).len(), 2);
        let log = restarted.log();
        assert!(log.contains("removed spilled data of a process that ended") && log.contains("bytes="), "{log}");
        assert!(fs::read_to_string(precious.join("file")).unwrap() == "rows" && fs::symlink_metadata(&link).is_ok());
        assert!(spill.join("datafusion-x").exists());
        let orders = "SELECT count(*) FROM sales.orders.orders";
        for node in [&living, &restarted] {
            assert_eq!(count(&node.client().await, orders).await, Ok(15_000));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_ends_by_itself_leaves_no_folder() {
    within(60, async {
        let folder = tempfile::tempdir().unwrap();
        let spill = folder.path().join("spill");
        let mut node = Node::start(folder.path(), json!({ "spill_folder": spill }));
        assert_eq!(folders(&spill).len(), 1);
        node.signal("TERM");
        assert!(node.wait().success(), "{}", node.log());
        assert_eq!(folders(&spill), [] as [PathBuf; 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_size_of_a_session_table_is_that_of_its_own_rows() {
    within(120, async {
        let folder = tempfile::tempdir().unwrap();
        descriptors::write("sales", &data(), folder.path()).unwrap();
        let limits = json!({ "session_tables": "24MiB" });
        let node = Node::start(folder.path(), json!({ "domain": "sales", "limits": limits }));
        let client = node.client().await;
        // About 4 MB: 60,175 strings of 27 bytes, and as many that fit into their view.
        let rows = "SELECT l_comment, l_shipmode FROM sales.orders.lineitem";
        for name in ["a", "b", "c"] {
            client.query(&format!("CREATE TABLE {name} AS {rows}")).await.unwrap_or_else(|e| panic!("{}", e.chain()));
        }
        // Rows of an aggregate come as slices of one batch.
        let grouped = "SELECT l_orderkey, count(*) AS n FROM sales.orders.lineitem GROUP BY l_orderkey";
        client.query(&format!("CREATE TABLE d AS {grouped}")).await.unwrap_or_else(|e| panic!("{}", e.chain()));
        assert_eq!(count(&client, "SELECT count(*) FROM c WHERE l_comment IS NOT NULL").await, Ok(60_175));
        client.query("DELETE FROM c WHERE l_shipmode <> 'AIR'").await.unwrap();
        // The limit still holds.
        let mut refused = None;
        for n in 0..8 {
            refused = client.query(&format!("CREATE TABLE t{n} AS {rows}")).await.err();
            if refused.is_some() {
                break;
            }
        }
        let refused = refused.expect("eight more tables do not fit");
        assert_says(&refused, ErrorKind::ResourceExhausted, &["limits.session_tables"]);
    })
    .await;
}
