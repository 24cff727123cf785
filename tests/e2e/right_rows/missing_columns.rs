//! A file that lacks columns of its port is refused if the contract requires one of them, or if the file has none of
//! them. DataFusion reads it as rows of NULLs.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use portolan_engine::ErrorKind;
use portolan_tests::mesh::within;
use portolan_tests::ways::{table, write_parquet};

use super::folders::{Folders, write_arrow};

fn numbers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_with_other_columns_is_refused() {
    within(600, async {
        let mut folders = Folders::new();
        let columns = [("id", "integer"), ("note", "string")];
        let parquet = folders.port("east", "p", "parquet", &columns);
        let arrow = folders.port("west", "a", "arrow", &columns);
        let json = folders.port("west", "j", "json", &columns);
        folders.require("p", "id");
        folders.require("a", "id");
        folders.require("j", "id");
        let notes: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
        let both = table(vec![("id", numbers(&[1, 2])), ("note", notes.clone())]);
        write_parquet(&parquet.join("a.parquet"), &both);
        write_arrow(&arrow.join("a.arrow"), &both);
        fs::write(json.join("a.json"), "{\"id\":1,\"note\":\"x\"}\n{\"id\":2,\"note\":\"y\"}\n").unwrap();
        let ways = folders.start().await.unwrap();
        ways.gives("SELECT p.id, a.note FROM east.samples.p JOIN west.samples.a USING (id)", &["1|x", "2|y"]).await;

        let other = table(vec![("price", numbers(&[9]))]);
        let no_key = table(vec![("note", notes)]);
        write_parquet(&parquet.join("b.parquet"), &other);
        write_arrow(&arrow.join("b.arrow"), &other);
        fs::write(json.join("b.json"), "{\"price\":9}\n").unwrap();
        let unavailable = ErrorKind::SiteUnavailable;
        for sql in [
            "SELECT * FROM east.samples.p",
            "SELECT count(*) FROM east.samples.p",
            "SELECT max(id) FROM east.samples.p",
        ] {
            ways.refuses(sql, unavailable, &["east.samples.p", "b.parquet", "none of the port's columns", "`price`"])
                .await;
        }
        let joined = "SELECT p.id FROM west.samples.a AS p JOIN west.samples.a USING (id)";
        ways.refuses(joined, unavailable, &["west.samples.a", "b.arrow", "none of the port's columns"]).await;
        let invalid = ErrorKind::InvalidData;
        ways.refuses("SELECT id FROM west.samples.j", invalid, &["west.samples.j", "b.json", "none of"]).await;

        write_parquet(&parquet.join("b.parquet"), &no_key);
        write_arrow(&arrow.join("b.arrow"), &no_key);
        fs::write(json.join("b.json"), "{\"note\":\"z\"}\n{\"note\":\"w\"}\n").unwrap();
        let says = |port, file| ["lacks `id`, which the contract requires", port, file];
        ways.refuses("SELECT note FROM east.samples.p", unavailable, &says("east.samples.p", "b.parquet")).await;
        ways.refuses("SELECT count(*) FROM west.samples.a", unavailable, &says("west.samples.a", "b.arrow")).await;
        ways.refuses("SELECT note FROM west.samples.j", invalid, &says("west.samples.j", "b.json")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_start_with_a_file_with_other_columns() {
    within(120, async {
        for (second, says) in [
            (table(vec![("price", numbers(&[9]))]), "b.parquet: it has none of the port's columns, only `price`"),
            (table(vec![("note", numbers(&[9]))]), "b.parquet: it lacks `id`, which the contract requires"),
        ] {
            let mut folders = Folders::new();
            let data = folders.port("east", "p", "parquet", &[("id", "integer"), ("note", "integer")]);
            folders.require("p", "id");
            write_parquet(&data.join("a.parquet"), &table(vec![("id", numbers(&[1])), ("note", numbers(&[1]))]));
            write_parquet(&data.join("b.parquet"), &second);
            let refused = folders.start().await.err().unwrap();
            assert!(refused.contains(says) && refused.contains("p.odcs.yaml"), "{refused}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_was_added_later_is_null_in_older_files() {
    within(300, async {
        let mut folders = Folders::new();
        let columns = [("id", "integer"), ("note", "string")];
        let east = folders.port("east", "p", "parquet", &columns);
        let west = folders.port("west", "a", "arrow", &columns);
        for data in [&east, &west] {
            let notes: ArrayRef = Arc::new(StringArray::from(vec![None, Some("x")]));
            let (old, new) =
                (table(vec![("id", numbers(&[1, 2]))]), table(vec![("note", notes), ("id", numbers(&[3, 4]))]));
            write_parquet(&data.join("1.parquet"), &old);
            write_parquet(&data.join("2.parquet"), &new);
            write_arrow(&data.join("1.arrow"), &old);
            write_arrow(&data.join("2.arrow"), &new);
        }
        let ways = folders.start().await.unwrap();
        for port in ["east.samples.p", "west.samples.a"] {
            ways.gives(&format!("SELECT id, note FROM {port}"), &["1|NULL", "2|NULL", "3|NULL", "4|x"]).await;
            ways.gives(&format!("SELECT count(note), count(*), min(note) FROM {port}"), &["1|4|x"]).await;
            ways.gives(&format!("SELECT id FROM {port} WHERE note IS NULL"), &["1", "2", "3"]).await;
            ways.gives(&format!("SELECT id FROM {port} WHERE note <> 'y'"), &["4"]).await;
        }
        let sql = "SELECT p.id, a.note FROM east.samples.p JOIN west.samples.a USING (id) WHERE p.note IS NULL";
        ways.gives(sql, &["1|NULL", "2|NULL", "3|NULL"]).await;
        // The same holds later: the old file is written again.
        write_parquet(&east.join("3.parquet"), &table(vec![("id", numbers(&[5]))]));
        ways.gives("SELECT id FROM east.samples.p WHERE note IS NULL", &["1", "2", "3", "5"]).await;
        ways.gives("SELECT count(note), max(id) FROM east.samples.p", &["1|5"]).await;
    })
    .await;
}
