//! Readers that panic: the error names the port and the file, and no other port is affected.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch};
use arrow::datatypes::Int32Type;
use async_trait::async_trait;
use datafusion::execution::runtime_env::RuntimeEnv;
use portolan_catalog::{FileFormat, Port};

use super::{COLUMNS, Fixture, batch, ours, rows};
use crate::error::ErrorKind;
use crate::files::FileSources;
use crate::source::{OpenError, OpenedPort, SourceOpener};

fn with_dictionary(values: &[&str]) -> RecordBatch {
    let dictionary: DictionaryArray<Int32Type> = values.iter().copied().collect();
    let ids = Int64Array::from_iter_values(0..values.len() as i64);
    let columns: Vec<(&str, ArrayRef)> = vec![("id", Arc::new(ids)), ("kind", Arc::new(dictionary))];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[tokio::test]
async fn a_port_without_rows_may_have_a_dictionary() {
    let fixture = Fixture::new(FileFormat::Parquet, "a.parquet", &[("id", "integer"), ("kind", "string")]);
    fixture.parquet("a.parquet", &with_dictionary(&[]));
    let domain = super::statistics::opened(&fixture, &Arc::default()).await;
    assert_eq!(domain.catalog.ports().next().unwrap().statistics.rows, Some(0));
    assert_eq!(fixture.query("SELECT count(*), max(kind) FROM t").await, "| 0        |             |");

    fixture.parquet("a.parquet", &with_dictionary(&["x", "y", "x"]));
    let domain = super::statistics::opened(&fixture, &Arc::default()).await;
    assert_eq!(domain.catalog.ports().next().unwrap().statistics.columns["kind"].distinct, Some(2));
}

/// Opens ports as files do, but panics at ports of one name.
#[derive(Debug)]
struct Panicking(&'static str);

#[async_trait]
impl SourceOpener for Panicking {
    async fn open(&self, port: &Port, runtime: &Arc<RuntimeEnv>) -> Result<OpenedPort, OpenError> {
        assert!(self.0 != "opening", "index 7 is out of bounds");
        FileSources::default().open(port, runtime).await
    }

    async fn guess_rows(&self, _: &OpenedPort, _: &Arc<RuntimeEnv>) -> Option<u64> {
        panic!("index 7 is out of bounds")
    }
}

#[tokio::test]
async fn a_panic_while_a_port_is_opened_is_wrong_with_that_port() {
    let fixture = Fixture::new(FileFormat::Csv, "o.csv", COLUMNS);
    fixture.write("o.csv", "id,name,price\n1,a,0.5\n".to_owned() + &"2,b,1.5\n".repeat(200_000));
    let refused = super::statistics::opened_by(&fixture, &Panicking("opening"), &Arc::default()).await.unwrap_err();
    let refused = refused.to_string();
    assert!(refused.contains("port sales.orders.orders cannot be opened"), "{refused}");
    assert!(refused.contains("orders.odcs.yaml") && refused.contains("index 7 is out of bounds"), "{refused}");

    // A port without statistics is still a port.
    let domain = super::statistics::opened_by(&fixture, &Panicking("statistics"), &Arc::default()).await.unwrap();
    assert_eq!(domain.ports.len(), 1);
    assert_eq!(domain.catalog.ports().next().unwrap().statistics.rows, None);
}

#[tokio::test]
async fn every_corrupt_byte_is_an_error_or_a_value() {
    let fixture = Fixture::new(FileFormat::Parquet, ".", COLUMNS);
    for i in 0..2 {
        fixture.parquet(&format!("{i}.parquet"), &batch(&[i, i + 10, i + 20]));
    }
    let (_, context) = fixture.open().await.unwrap();
    let whole = fs::read(fixture.path("1.parquet")).unwrap();
    let (mut errors, mut panics) = (0, 0);
    for position in (4..whole.len() - 8).step_by(3) {
        let mut bytes = whole.clone();
        bytes[position] ^= 0x7f;
        fixture.write("1.parquet", &bytes);
        let Err(error) = rows(&context, "SELECT id, name, price FROM t WHERE id > 0").await else { continue };
        errors += 1;
        let text = error.to_string();
        if !text.contains("External") && !text.contains("port sales") {
            continue;
        }
        let error = ours(&error);
        let text = error.owner_chain();
        assert_eq!(error.kind(), ErrorKind::SiteUnavailable, "{text}");
        assert!(text.contains("port sales.orders.orders") && text.contains("1.parquet"), "{text}");
        panics += usize::from(text.contains("its reader panicked"));
    }
    assert!(errors > 20 && panics > 0, "{errors} errors, {panics} panics");
}
