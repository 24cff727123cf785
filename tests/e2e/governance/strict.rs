//! `policy_strict`: the bytes that an owner reads of its files do not depend on the conditions of a statement.

use portolan_node::client::Client;
use portolan_tests::governance::meshes::{ANALYST, login, policies, start_owner_with};
use portolan_tests::governance::outcomes::observed;
use portolan_tests::mesh::within;
use portolan_tests::node::{Node, bytes_read};

/// The same columns of all rows, of those in the first row group, and of no row.
const STATEMENTS: [&str; 3] = [
    "SELECT max(note) FROM hr.samples.people WHERE id >= 0",
    "SELECT max(note) FROM hr.samples.people WHERE id < 100",
    "SELECT max(note) FROM hr.samples.people WHERE id > 1000000",
];
/// The bytes that a node may read for other reasons, such as the wake-ups of its threads.
const OTHER_BYTES: u64 = 8 << 10;

/// Returns the bytes that a node reads for a statement: the least of several runs, because the node also looks for changed
/// files.
async fn bytes_of(node: &Node, client: &Client, sql: &str) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..5 {
        let before = bytes_read(node.pid());
        client.query(sql).await.unwrap();
        least = least.min(bytes_read(node.pid()) - before);
    }
    least
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_do_not_change_what_a_strict_owner_reads() {
    within(240, async {
        let mut outcomes = vec![];
        for is_strict in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let node = start_owner_with(folder.path(), &policies(), is_strict);
            let client = login(&node, ANALYST).await;
            let mut bytes = vec![];
            for sql in STATEMENTS {
                outcomes.push(observed(&client, sql).await);
                bytes.push(bytes_of(&node, &client, sql).await);
            }
            let all = bytes[0];
            assert!(all > 10 * OTHER_BYTES, "the file is too small to see a difference: {bytes:?}");
            let differ: Vec<bool> = bytes.iter().map(|bytes| all.abs_diff(*bytes) > OTHER_BYTES).collect();
            assert_eq!(differ, [false, !is_strict, !is_strict], "strict: {is_strict}, {bytes:?}");
        }
        let (open, strict) = outcomes.split_at(STATEMENTS.len());
        assert_eq!(open, strict, "the rows are the same");
    })
    .await;
}
