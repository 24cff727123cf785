//! Ports whose contracts lead out of the root, or to something that is no file: they are not opened, and an open port
//! does not follow a link that comes later.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use portolan_catalog::FileFormat;

use super::{COLUMNS, Fixture, ours, rows};
use crate::files::{FileSources, SourceOptions};

const ROW: &str = "id,name,price\n1,a,2\n";

/// Returns a port over `location`. The root is the folder `root`.
fn fixture(location: &str) -> (Fixture, FileSources) {
    let fixture = Fixture::new(FileFormat::Csv, location, COLUMNS);
    fixture.write("root/data/a.csv", ROW);
    fixture.write("secret.csv", ROW);
    let sources = FileSources::default().within(vec![fixture.path("root")], vec![fixture.path("root/own.csv")]);
    (fixture, sources)
}

#[tokio::test]
async fn a_contract_does_not_lead_out_of_the_root() {
    for location in ["secret.csv", "root/data/../../secret.csv", "*.csv", "root/data/../../*.csv", "/etc/passwd"] {
        let (fixture, sources) = fixture(location);
        let refused = fixture.open_with(&sources).await.err().expect(location).to_string();
        assert!(refused.contains(location) && refused.contains("`sources.lake.root`"), "{refused}");
    }
    let (fixture, sources) = fixture("root/data/a.csv");
    fixture.open_with(&sources).await.unwrap();
    // The option of the source comes first.
    for (root, is_inside) in [("root/data", true), ("elsewhere", false)] {
        fixture.write("elsewhere/c.csv", ROW);
        let options = SourceOptions { root: Some(fixture.path(root)), ..SourceOptions::default() };
        let sources =
            FileSources::new([("lake".to_owned(), options)].into()).within(vec![fixture.path("root")], vec![]);
        assert_eq!(fixture.open_with(&sources).await.is_ok(), is_inside, "{root}");
    }
}

#[tokio::test]
async fn a_link_that_leads_out_is_not_followed_while_the_port_is_open() {
    for link in ["root/data/b.csv", "root/data/folder"] {
        let (fixture, sources) = fixture("root/data/");
        let (_, context) = fixture.open_with(&sources).await.unwrap();
        assert_eq!(rows(&context, "SELECT id FROM t").await.unwrap(), "| 1  |");
        fixture.write("elsewhere/c.csv", ROW);
        let target = if link.ends_with(".csv") { "secret.csv" } else { "elsewhere" };
        symlink(fixture.path(target), fixture.path(link)).unwrap();
        let error = rows(&context, "SELECT id FROM t").await.unwrap_err();
        let said = ours(&error).chain();
        assert!(said.contains("port sales.orders.orders") && said.contains("`sources.lake.root`"), "{said}");
        fs::remove_file(fixture.path(link)).unwrap();
        assert_eq!(rows(&context, "SELECT id FROM t").await.unwrap(), "| 1  |");
    }
}

#[tokio::test]
async fn a_single_file_that_becomes_a_link_is_not_followed() {
    let (fixture, sources) = fixture("root/data/a.csv");
    let (_, context) = fixture.open_with(&sources).await.unwrap();
    fs::remove_file(fixture.path("root/data/a.csv")).unwrap();
    symlink(fixture.path("secret.csv"), fixture.path("root/data/a.csv")).unwrap();
    let error = rows(&context, "SELECT id FROM t").await.unwrap_err();
    assert!(ours(&error).chain().contains("`sources.lake.root`"), "{error}");
}

#[tokio::test]
async fn a_file_of_the_node_is_no_data() {
    let (fixture, sources) = fixture("root/own.csv");
    fixture.write("root/own.csv", ROW);
    let refused = fixture.open_with(&sources).await.err().unwrap().to_string();
    assert!(refused.contains("root/own.csv leads to a file of the node itself"), "{refused}");
}

#[tokio::test]
async fn a_pipe_is_refused_and_does_not_block() {
    let (fixture, sources) = fixture("root/pipe.csv");
    let made = Command::new("mkfifo").arg(fixture.path("root/pipe.csv")).status().unwrap();
    assert!(made.success());
    let refused = tokio::time::timeout(Duration::from_secs(60), fixture.open_with(&sources)).await.unwrap();
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("root/pipe.csv is neither a regular file nor a folder"), "{refused}");
}

#[tokio::test]
async fn a_pipe_in_the_place_of_a_file_does_not_block_a_scan() {
    let (fixture, sources) = fixture("root/data/a.csv");
    let (_, context) = fixture.open_with(&sources).await.unwrap();
    fs::remove_file(fixture.path("root/data/a.csv")).unwrap();
    assert!(Command::new("mkfifo").arg(fixture.path("root/data/a.csv")).status().unwrap().success());
    let read = tokio::time::timeout(Duration::from_secs(60), rows(&context, "SELECT id FROM t")).await.unwrap();
    let said = ours(&read.unwrap_err()).chain();
    assert!(said.contains("is neither a regular file nor a folder"), "{said}");
}
