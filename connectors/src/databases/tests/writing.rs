//! Adds rows to ports.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use futures::{StreamExt, stream};
use portolan_catalog::DatabaseRelation;

use super::fake::{Content, Mood, port, table};
use crate::source::{PortWriter, SourceOpener};
use crate::{Error, ErrorKind, Result, lock};

async fn writer(content: &Arc<Content>) -> Arc<dyn PortWriter> {
    let mut port = table("orders");
    port.columns[1].nullable = false;
    content.sources(&["ann", "group:loaders"]).open(&port, &Arc::default()).await.unwrap().writer.unwrap()
}

fn rows(ids: ArrayRef, names: Vec<Option<&str>>) -> RecordBatch {
    let names: ArrayRef = Arc::new(StringArray::from(names));
    RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("name", names, true)]).unwrap()
}

async fn append(writer: &Arc<dyn PortWriter>, rows: Vec<Result<RecordBatch>>) -> Result<u64> {
    writer.append(stream::iter(rows).boxed()).await
}

#[tokio::test]
async fn rows_are_added_with_the_types_of_the_port() {
    let content = Arc::new(Content::default());
    let writer = writer(&content).await;
    let groups = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert!(writer.takes_from("ann", &groups(&[])) && writer.takes_from("bob", &groups(&["loaders"])));
    assert!(!writer.takes_from("bob", &groups(&["ann"])) && !writer.takes_from("group:loaders", &groups(&[])));
    let narrow = rows(Arc::new(Int32Array::from(vec![4, 5])), vec![Some("d"), Some("")]);
    assert_eq!(append(&writer, vec![Ok(narrow)]).await.unwrap(), 2);
    assert_eq!(**lock(&content.added)[0].column(0), Int64Array::from(vec![4, 5]));
}

#[tokio::test]
async fn rows_that_fail_are_not_added() {
    let content = Arc::new(Content::default());
    let writer = writer(&content).await;
    let good = || Ok(rows(Arc::new(Int64Array::from(vec![4])), vec![Some("d")]));
    let lacking = rows(Arc::new(Int64Array::from(vec![5])), vec![None]);
    let error = append(&writer, vec![good(), Ok(lacking)]).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.chain().as_str()),
        (ErrorKind::InvalidQuery, "port sales.orders.orders: its contract requires a value of `name`")
    );
    let large = rows(Arc::new(StringArray::from(vec!["x"])), vec![Some("d")]);
    let error = append(&writer, vec![Ok(large)]).await.unwrap_err();
    assert!(
        error.chain().starts_with("port sales.orders.orders: a value does not fit its column"),
        "{}",
        error.chain()
    );
    let of_query = Error::new(ErrorKind::Cancelled, "the query was stopped");
    let error = append(&writer, vec![good(), Err(of_query)]).await.unwrap_err();
    assert_eq!((error.kind(), error.chain().as_str()), (ErrorKind::Cancelled, "the query was stopped"));
    content.set(Mood::Down);
    let error = append(&writer, vec![good()]).await.unwrap_err();
    assert_eq!(error.chain(), "port sales.orders.orders: PostgreSQL `shop` does not respond");
    assert!(lock(&content.added).is_empty());
}

#[tokio::test]
async fn views_and_queries_accept_no_rows() {
    let content = Arc::new(Content::default());
    lock(&content.views).push("recent".to_owned());
    let sources = content.sources(&["*"]);
    let query = DatabaseRelation::Query("SELECT 1 AS id, 'a' AS name".to_owned());
    for (port, why) in
        [(table("recent"), "it is over a view"), (port("q", "db", query), "its rows are the result of a query")]
    {
        let error = sources.open(&port, &Arc::default()).await.unwrap_err();
        assert!(!error.is_unavailable());
        assert!(error.to_string().ends_with(&format!("{} cannot have writers: {why}", port.name)), "{error}");
    }
}
