//! Faults: nodes that are killed while rows leave, records that are changed or cut off, and a disk that takes no records.

use std::fs;
use std::path::Path;

use futures::TryStreamExt;
use portolan_audit::{Account, Entry, Outcome, newest_first, verify};
use portolan_engine::ErrorKind;
use portolan_tests::mesh::within;
use portolan_tests::node::{Node, run};
use portolan_tests::rows::{assert_says, count};
use serde_json::json;

use super::{EVENTS, accounts, end, is_completed, records, write_lab};

/// A statement with more rows than a client reads in this test.
const MANY_ROWS: &str = "SELECT a.id FROM lab.samples.events AS a CROSS JOIN lab.samples.events AS b";

fn is_unknown(account: &Account) -> bool {
    end(account).is_some_and(|end| end.outcome == Outcome::Unknown)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_row_of_a_killed_node_is_without_a_record() {
    within(300, async {
        let folder = tempfile::tempdir().unwrap();
        write_lab(folder.path(), 20_000);
        let mut node = Node::start(folder.path(), json!({ "domain": "lab" }));
        let mut arrived = 0;
        for readers in [1, 4, 8] {
            let mut streams = vec![];
            for _ in 0..readers {
                let client = node.client().await;
                let statement = client.prepare(MANY_ROWS).await.unwrap();
                let mut rows = client.rows(&statement);
                let batch = rows.try_next().await.unwrap().expect("a batch");
                assert!(batch.num_rows() > 0);
                streams.push(rows);
            }
            arrived += readers;
            node.kill();
            drop(streams);
            node = node.restart();
            let all = accounts(&node, |_| true).await;
            let unknown: Vec<_> = all.iter().filter(|account| is_unknown(account)).collect();
            assert!(unknown.len() >= arrived, "{arrived} clients got rows, got {all:?}");
            assert!(unknown.iter().all(|account| account.request.ports[0].port == EVENTS), "{unknown:?}");
        }
        assert!(node.log().contains("the audit store was not closed"), "{}", node.log());
        // A node that ends by itself closes its records.
        node.signal("TERM");
        node.wait();
        let last = newest_first(&records(&node)).unwrap().next().unwrap().unwrap();
        assert_eq!(last.entry, Entry::Closed);
        verify(&records(&node), None).unwrap();
    })
    .await;
}

/// Runs `portolan audit verify`. Returns the exit code and all output.
fn verified(folder: &Path, mark: Option<&str>) -> (Option<i32>, String) {
    let mut arguments = vec!["audit", "verify", folder.to_str().unwrap()];
    arguments.extend(mark.map(|_| "--mark"));
    arguments.extend(mark);
    let (code, out, err) = run(&arguments, &[]);
    (code, out + &err)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_or_cut_chain_is_found() {
    within(120, async {
        let folder = tempfile::tempdir().unwrap();
        write_lab(folder.path(), 10);
        let mut node = Node::start(folder.path(), json!({ "domain": "lab" }));
        let client = node.client().await;
        for _ in 0..3 {
            assert_eq!(count(&client, "SELECT count(*) FROM lab.samples.events").await, Ok(10));
        }
        // The node may run meanwhile.
        accounts(&node, |all| all.iter().filter(|account| is_completed(account)).count() >= 3).await;
        assert_eq!(verified(&records(&node), None).0, Some(0));
        let (code, shown, _) = run(&["audit", "show", records(&node).to_str().unwrap(), "--port", EVENTS], &[]);
        assert!(code == Some(0) && shown.contains("read completed with 1 row"), "{shown}");
        node.signal("TERM");
        node.wait();

        let (code, said) = verified(&records(&node), None);
        assert!(code == Some(0) && said.contains("no faults"), "{said}");
        let mark = said.lines().find_map(|line| line.strip_prefix("last record: ")?.split_whitespace().next()).unwrap();
        let (code, said) = verified(&records(&node), Some(mark));
        assert!(code == Some(0) && said.contains("contains the given mark"), "{said}");

        let segment = records(&node).join("audit-00000000000000000001.jsonl");
        let text = fs::read_to_string(&segment).unwrap();
        // A shorter chain is a valid one: only the mark shows that its end is missing.
        let end: usize = text.lines().rev().take(2).map(|line| line.len() + 1).sum();
        fs::write(&segment, &text[..text.len() - end]).unwrap();
        assert_eq!(verified(&records(&node), None).0, Some(0));
        let (code, said) = verified(&records(&node), Some(mark));
        assert!(code == Some(1) && said.contains("the end of the chain was cut"), "{said}");

        fs::write(&segment, text.replacen(EVENTS, "lab.samples.nothing", 1)).unwrap();
        let (code, said) = verified(&records(&node), None);
        assert!(code == Some(1) && said.contains("its content was changed"), "{said}");
        let config = folder.path().join("node.yaml");
        let (code, _, said) = run(&["serve", "--config", config.to_str().unwrap()], &[]);
        assert!(code == Some(1) && said.contains("cannot keep audit records"), "{code:?}: {said}");
    })
    .await;
}

/// A limit on the size of files stands for a full disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_takes_no_records_refuses_reads() {
    within(300, async {
        let folder = tempfile::tempdir().unwrap();
        write_lab(folder.path(), 10);
        let config = json!({ "domain": "lab", "log": "warn" });
        // Without the trap, the signal would end the process.
        let node = Node::start_limited(folder.path(), config, "-f 128 && trap '' XFSZ");
        let client = node.client().await;
        let sql = "SELECT id, kind FROM lab.samples.events WHERE id < 5";
        let mut answered = 0;
        let error = loop {
            match client.query(sql).await {
                Ok(_) => answered += 1,
                Err(error) => break error,
            }
            assert!(answered < 5000, "the disk does not get full");
        };
        assert!(answered > 0, "{}", error.chain());
        assert_says(&error, ErrorKind::ResourceExhausted, &["its audit record cannot be written"]);
        assert!(!error.chain().contains("node.state"), "{}", error.chain());
        assert!(node.log().contains("reads are refused until a record can be written"), "{}", node.log());
        assert_eq!(count(&client, "SELECT count(*) FROM mesh.ports").await, Ok(2), "the node itself answers");

        // Each answer has its record, and the node reads again when the disk takes records.
        let node = node.restart();
        let all = accounts(&node, |_| true).await;
        let read = all.iter().filter(|account| is_completed(account) || is_unknown(account)).count();
        assert!(read >= answered, "{answered} answers, {read} records");
        let client = node.client().await;
        assert_eq!(count(&client, "SELECT count(*) FROM lab.samples.events").await, Ok(10));
        verify(&records(&node), None).unwrap();
    })
    .await;
}
