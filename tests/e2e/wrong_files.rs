//! A file of a wrong shape comes into the folder of a port while the node runs. The queries on the port fail as a fault
//! of its source, and name the port. No row of NULLs stands for a column that the contract requires.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use portolan_engine::ErrorKind;
use portolan_node::client::Client;
use portolan_tests::mesh::{Mesh, within};
use portolan_tests::node::checked;
use portolan_tests::products::{self, DOMAIN, PortFile};
use portolan_tests::rows::{assert_says, count, failure, text};
use portolan_tests::ways::{table, write_parquet};
use serde_json::{Value, json};

const PORT: &str = "lab.samples.events";

fn ids(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// Writes a port with a key `id` and an optional column `note` over a folder with one good file. Returns the folder.
fn write_port(home: &Path) -> PathBuf {
    let data = home.join("data");
    fs::create_dir_all(&data).unwrap();
    write_parquet(&data.join("a.parquet"), &table(vec![("id", ids(&[1, 2])), ("note", texts(&["x", "y"]))]));
    let port = PortFile::local("events", &data.join(""), "parquet", &[("id", "integer"), ("note", "string")]);
    let contract = products::write(home, &[port]).remove(0);
    let mut document: Value = serde_json::from_str(&fs::read_to_string(&contract).unwrap()).unwrap();
    document["schema"][0]["properties"][0]["primaryKey"] = true.into();
    document["schema"][0]["properties"][0]["primaryKeyPosition"] = 1.into();
    fs::write(&contract, document.to_string()).unwrap();
    data
}

/// Asserts that each statement on the port fails as a fault of the source, and that the owner's log names the file.
async fn assert_faulty(client: &Client, mesh: &Mesh, file: &str) {
    for sql in [
        format!("SELECT * FROM {PORT}"),
        format!("SELECT count(*) FROM {PORT}"),
        format!("SELECT max(id) FROM {PORT} WHERE id IS NOT NULL"),
        format!("SELECT count(note) FROM {PORT} WHERE note <> 'z'"),
        format!("SELECT a.id FROM {PORT} AS a JOIN {PORT} AS b ON a.id = b.id"),
    ] {
        assert_says(&failure(client, &sql).await, ErrorKind::SiteUnavailable, &[PORT]);
    }
    let log = mesh.node(DOMAIN).log();
    assert!(log.contains(&format!("{file}.parquet")), "{file}: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_with_wrong_columns_is_an_error_of_the_port() {
    within(240, async {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(DOMAIN);
        let data = write_port(&home);
        let mesh = Mesh::of_homes(folder, vec![(DOMAIN, home.clone(), json!({}))], json!({})).await;
        let client = mesh.client().await;
        let whole = format!("SELECT count(*) FROM {PORT} WHERE id > 0");
        assert_eq!(count(&client, &whole).await, Ok(2));
        for (name, columns) in [
            ("other", vec![("price", ids(&[9]))]),
            ("keyless", vec![("note", texts(&["z"]))]),
            ("digits", vec![("id", texts(&["7"])), ("note", texts(&["z"]))]),
            ("letters", vec![("id", texts(&["x"])), ("note", texts(&["z"]))]),
            ("numbers", vec![("id", ids(&[3])), ("note", ids(&[4]))]),
        ] {
            let file = data.join(format!("{name}.parquet"));
            write_parquet(&file, &table(columns));
            assert_faulty(&client, &mesh, name).await;
            fs::remove_file(&file).unwrap();
            assert_eq!(count(&client, &whole).await, Ok(2), "{name}");
        }
        for (name, garbage) in [
            ("garbage", "PAR1garbagePAR1"),
            ("magic", "PAR1"),
            ("empty", ""),
            ("text", "no Parquet at all, but long enough for a footer"),
        ] {
            let file = data.join(format!("{name}.parquet"));
            fs::write(&file, garbage).unwrap();
            assert_faulty(&client, &mesh, name).await;
            fs::remove_file(&file).unwrap();
        }
        // A column that the contract does not require may be missing.
        write_parquet(&data.join("optional.parquet"), &table(vec![("id", ids(&[3]))]));
        assert_eq!(count(&client, &whole).await, Ok(3));
        let nulls = text(&client, &format!("SELECT id FROM {PORT} WHERE note IS NULL")).await;
        assert!(nulls.contains("| 3  |"), "{nulls}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_start_with_wrong_columns_in_a_file() {
    within(120, async {
        let home = tempfile::tempdir().unwrap();
        let data = write_port(home.path());
        fs::write(home.path().join("node.yaml"), json!({ "domain": DOMAIN }).to_string()).unwrap();
        assert_eq!(checked(home.path()).await.0, Some(0));
        let later = data.join("later.parquet");
        for (columns, says) in [
            (vec![("price", ids(&[9]))], "none of the port's columns"),
            (vec![("note", texts(&["z"]))], "lacks `id`, which the contract requires"),
            (vec![("id", texts(&["x"])), ("note", texts(&["z"]))], "column `id` is "),
        ] {
            write_parquet(&later, &table(columns));
            let (code, errors) = checked(home.path()).await;
            assert_eq!(code, Some(2), "{errors}");
            assert!(errors.contains("events.odcs.yaml") && errors.contains("later.parquet"), "{errors}");
            assert!(errors.contains(says), "{errors}");
        }
        fs::write(&later, b"PAR1garbagePAR1").unwrap();
        let (code, errors) = checked(home.path()).await;
        assert_eq!(code, Some(2), "{errors}");
        assert!(errors.contains("events.odcs.yaml") && errors.contains("later.parquet"), "{errors}");
    })
    .await;
}
