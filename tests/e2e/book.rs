//! The tables of the book that list names: the settings, and the tables and columns of the schema `mesh`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use portolan_engine::{Engine, Principal, SETTINGS};
use portolan_tests::ways::{lines, rows};

/// Returns the cells of the rows of a page's tables, without their heads.
fn cells(page: &str) -> Vec<Vec<String>> {
    let path = format!("{}/../docs/src/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let rows = text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// Returns the names in code font of a cell.
fn names(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

#[test]
fn the_book_lists_every_setting() {
    let listed: Vec<String> = cells("settings.md").iter().flat_map(|row| names(&row[0]).collect::<Vec<_>>()).collect();
    let mut sorted = listed.clone();
    sorted.sort_by(|a, b| a.contains('.').cmp(&b.contains('.')).then(a.cmp(b)));
    assert_eq!(listed, sorted, "the settings are in order");
    sorted.sort();
    assert_eq!(sorted, SETTINGS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_book_lists_every_table_and_column_of_the_mesh() {
    let mut listed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut table = String::new();
    for row in cells("mesh-schema.md") {
        if let Some(name) = names(&row[0]).next() {
            table = name.strip_prefix("mesh.").expect("a table of the mesh").to_owned();
        }
        if !table.is_empty() {
            listed.entry(table.clone()).or_default().extend(names(&row[1]));
        }
    }
    let session = Engine::builder().build().unwrap().session(Principal::anonymous());
    let all = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'mesh' ORDER BY 1";
    let (_, batches) = rows(&session, all).await.unwrap();
    assert_eq!(listed.keys().cloned().collect::<Vec<_>>(), lines(&batches));
    for (table, columns) in &listed {
        let (schema, _) = rows(&session, &format!("SELECT * FROM mesh.{table}")).await.unwrap();
        // The book puts columns with one meaning into one row.
        let real: BTreeSet<_> = schema.fields().iter().map(|field| field.name()).collect();
        assert_eq!(columns.iter().collect::<BTreeSet<_>>(), real, "mesh.{table}");
    }
}
