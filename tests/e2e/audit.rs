//! Audit records at the owners of ports: reads, inserts and refusals, through every path; and nodes that are killed, whose
//! disk is full, or whose records are changed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod faults;
mod reads;
mod refusals;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use portolan_audit::{Account, End, Fate, Filter, Outcome};
use portolan_tests::mesh::until;
use portolan_tests::node::Node;
use portolan_tests::products::{self, PortFile};
use portolan_tests::ways::{table, write_parquet};

const SOON: Duration = Duration::from_secs(60);
const EVENTS: &str = "lab.samples.events";

/// Returns the folder with the records of a node.
fn records(node: &Node) -> PathBuf {
    node.home().join("node.state/audit")
}

/// Returns the records of a node, the oldest first, once `complete` holds and each read has an end.
async fn accounts(node: &Node, complete: impl Fn(&[Account]) -> bool) -> Vec<Account> {
    let read = || {
        let mut accounts = portolan_audit::reads(&records(node), &Filter::default()).unwrap().accounts;
        accounts.reverse();
        accounts
    };
    let is_open = |account: &Account| account.fate == Fate::Open;
    let mut found = vec![];
    until("the records are complete", SOON, async || {
        found = read();
        complete(&found) && !found.iter().any(is_open)
    })
    .await;
    found
}

/// Returns the end of a read that has ended.
fn end(account: &Account) -> Option<&End> {
    match &account.fate {
        Fate::Ended(end) => Some(end),
        _ => None,
    }
}

fn is_completed(account: &Account) -> bool {
    end(account).is_some_and(|end| end.outcome == Outcome::Completed)
}

/// Writes the domain `lab`: the port `events` with this number of rows, and the derived port `kinds`.
fn write_lab(home: &Path, rows: i64) {
    let data = home.join("events");
    fs::create_dir_all(&data).unwrap();
    let events = table(vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef),
        ("kind", Arc::new(StringArray::from_iter_values((0..rows).map(|id| format!("kind {}", id % 3))))),
    ]);
    write_parquet(&data.join("first.parquet"), &events);
    let ports = [
        PortFile::local("events", &data, "parquet", &[("id", "integer"), ("kind", "string")]),
        PortFile::derived(
            "kinds",
            "SELECT id AS number, kind FROM samples.events",
            &[("number", "integer"), ("kind", "string")],
        ),
    ];
    products::write(home, &ports);
}
