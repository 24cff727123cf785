//! Ports over the tables of real databases: the rows, the work that goes to the database, faults, writes, and TPC-H. A
//! test of a database whose programs are missing is skipped with a message, and fails under CI.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod demo;
mod down;
mod explain;
mod fault_rows;
mod faults;
mod joins;
mod limits;
mod own_types;
mod pushdown;
mod query_ports;
mod random;
mod stored_rows;
mod tpch;
mod writes;

use portolan_catalog::DatabaseKind;
use portolan_tests::database_ports::{DatabasePort, config, write_ports};
use portolan_tests::node::Node;
use portolan_tests::products::DOMAIN;
use portolan_tests::servers::{PASSWORD, TestDatabase};
use serde_json::Value;
use tempfile::TempDir;

/// A node as a process, over a database of its own.
struct Warehouse {
    database: TestDatabase,
    node: Node,
    _folder: TempDir,
}

impl Warehouse {
    /// Creates a database with this name, runs the owner's statements, and starts a node with these ports and these additions
    /// to its config. Returns `None` without the programs of the database.
    async fn start(
        kind: DatabaseKind,
        name: &str,
        statements: &[&str],
        ports: &[DatabasePort],
        more: &Value,
    ) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("node");
        let database = TestDatabase::create(kind, name, &home).await?;
        database.execute(statements).await;
        write_ports(DOMAIN, &home, &database.server(), ports);
        let node = Node::start(&home, config(DOMAIN, &database, more));
        Some(Self { database, node, _folder: folder })
    }

    /// Asserts that no text has a part of a password.
    #[track_caller]
    fn has_no_secret(&self, texts: &[&str]) {
        let log = self.node.log();
        for text in texts.iter().chain([&log.as_str()]) {
            assert!(!text.contains(PASSWORD), "{text}");
        }
    }
}

/// Returns the name of a test's database of a kind, which needs no quotes.
fn name(kind: DatabaseKind, test: &str) -> String {
    format!("{test}_{}", kind.type_name())
}
