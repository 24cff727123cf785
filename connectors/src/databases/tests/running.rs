//! Reads ports through their site, and through the node's own scans.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::prelude::{SessionContext, col};
use futures::{StreamExt, TryStreamExt};

use super::fake::{Content, Mood, table};
use crate::sql::SqlQuery;
use crate::{
    Error, ErrorKind, FragmentHead, FragmentItem, FragmentPlan, FragmentRequest, FragmentStream, KeyForm, OpenedPort,
    Principal, Result, SourceOpener, lock,
};

async fn opened(content: &Arc<Content>) -> OpenedPort {
    content.sources(&[]).open(&table("orders"), &Arc::default()).await.unwrap()
}

async fn execute(opened: &OpenedPort, schema: SchemaRef, time: Duration) -> Result<FragmentStream> {
    let head = FragmentHead::new("q", Principal::anonymous(), Instant::now() + time);
    let plan = FragmentPlan::Sql(SqlQuery::whole("SELECT c0, c1 FROM t"));
    opened.site.as_ref().unwrap().site.execute(FragmentRequest { head, plan, schema }).await
}

/// Returns the rows of a fragment, and whether it has an end.
async fn read(mut items: FragmentStream) -> (usize, bool, Option<Error>) {
    let mut rows = 0;
    while let Some(item) = items.next().await {
        match item {
            Ok(FragmentItem::Batch { batch, .. }) => rows += batch.num_rows(),
            Ok(FragmentItem::Finished(summary)) => {
                assert_eq!(summary.rows, rows as u64);
                assert!(items.next().await.is_none());
                return (rows, true, None);
            }
            Ok(item @ (FragmentItem::Label(_) | FragmentItem::Hashes(_) | FragmentItem::Relayed { .. })) => {
                panic!("not of a database: {item:?}")
            }
            Err(error) => return (rows, false, Some(error)),
        }
    }
    (rows, false, None)
}

#[tokio::test]
async fn a_fragment_has_its_rows_and_an_end() {
    let content = Arc::new(Content::default());
    let opened = opened(&content).await;
    let minute = Duration::from_secs(60);
    let mut items = execute(&opened, opened.schema.clone(), minute).await.unwrap();
    let Some(Ok(FragmentItem::Batch { batch, wire_bytes })) = items.next().await else { panic!("no rows") };
    // Three numbers of 8 bytes, four offsets of 4 bytes, two letters and the bits of NULLs.
    assert_eq!((batch.num_rows(), wire_bytes), (3, 24 + 16 + 2 + 1));
    assert!(matches!(items.next().await, Some(Ok(FragmentItem::Finished(_)))));
    // Rows without columns are counted.
    let items = execute(&opened, Arc::new(Schema::empty()), minute).await.unwrap();
    assert!(matches!(read(items).await, (3, true, None)));
    let capabilities = opened.site.as_ref().unwrap().site.capabilities();
    assert!(!capabilities.runs_everything());
    assert_eq!(capabilities.key_forms, [KeyForm::Literals, KeyForm::Range]);
}

#[tokio::test]
async fn a_database_that_fails_ends_its_queries_and_works_again() {
    let content = Arc::new(Content::default());
    let opened = opened(&content).await;
    let (schema, minute) = (opened.schema.clone(), Duration::from_secs(60));
    content.set(Mood::Down);
    let error = execute(&opened, schema.clone(), minute).await.err().unwrap();
    assert_eq!(
        (error.kind(), error.chain().as_str()),
        (ErrorKind::SiteUnavailable, "PostgreSQL `shop` does not respond")
    );
    content.set(Mood::Dies);
    let (rows, has_end, error) = read(execute(&opened, schema.clone(), minute).await.unwrap()).await;
    assert_eq!((rows, has_end, error.unwrap().kind()), (3, false, ErrorKind::SiteUnavailable));
    content.set(Mood::Panics);
    let (_, has_end, error) = read(execute(&opened, schema.clone(), minute).await.unwrap()).await;
    let error = error.unwrap();
    assert_eq!((has_end, error.kind()), (false, ErrorKind::Internal));
    assert!(error.chain().starts_with("PostgreSQL `shop`: its reader panicked"), "{}", error.chain());
    // Who reads a port has neither written the query nor has the account.
    for (mood, kind, text) in [
        (
            Mood::Altered,
            ErrorKind::InvalidData,
            "PostgreSQL `shop`: there is no column `id`: was a table altered after its port was opened?",
        ),
        (Mood::Locked, ErrorKind::SiteUnavailable, "PostgreSQL `shop` refuses the account"),
    ] {
        content.set(mood);
        let error = execute(&opened, schema.clone(), minute).await.err().unwrap();
        assert_eq!((error.kind(), error.chain().as_str()), (kind, text));
    }
    content.set(Mood::Works);
    assert!(matches!(read(execute(&opened, schema, minute).await.unwrap()).await, (3, true, None)));
    assert_eq!(content.running.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_query_ends_with_its_deadline_and_with_its_reader() {
    let content = Arc::new(Content::default());
    let opened = opened(&content).await;
    content.set(Mood::Hangs);
    let (rows, has_end, error) =
        read(execute(&opened, opened.schema.clone(), Duration::from_millis(100)).await.unwrap()).await;
    assert_eq!((rows, has_end, error.unwrap().kind()), (3, false, ErrorKind::DeadlineExceeded));
    assert_eq!(content.running.load(Ordering::Relaxed), 0);
    let mut items = execute(&opened, opened.schema.clone(), Duration::from_secs(60)).await.unwrap();
    items.next().await.unwrap().unwrap();
    assert_eq!(content.running.load(Ordering::Relaxed), 1);
    drop(items);
    assert_eq!(content.running.load(Ordering::Relaxed), 0);
}

#[test]
fn another_runtime_may_read_the_rows() {
    let content = Arc::new(Content::default());
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let opened = io.block_on(opened(&content));
    // Like the runtime of queries: it has no timers.
    let cpu = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let rows = cpu.block_on(async {
        read(execute(&opened, opened.schema.clone(), Duration::from_secs(60)).await.unwrap()).await
    });
    assert!(matches!(rows, (3, true, None)));
}

#[tokio::test]
async fn the_node_scans_a_port() {
    let content = Arc::new(Content::default());
    let opened = opened(&content).await;
    let context = SessionContext::new();
    let table = context.read_table(opened.provider.clone()).unwrap();
    let batches = table.clone().collect().await.unwrap();
    assert_eq!(batches[0].num_columns(), 2);
    let names = table.clone().select([col("name")]).unwrap().limit(0, Some(2)).unwrap().collect().await.unwrap();
    let count: usize = names.iter().map(RecordBatch::num_rows).sum();
    assert_eq!((count, names[0].column(0).null_count()), (2, 1));
    assert_eq!(table.count().await.unwrap(), 3);
    let queries = lock(&content.queries).clone();
    assert!(queries[0].contains("FROM \"public\".\"orders\" AS t"), "{queries:?}");
    assert!(queries[1].contains("t.\"name\"") && queries[1].ends_with("LIMIT 2"), "{queries:?}");
    assert!(!queries[1].contains("t.\"id\"") && !queries[2].contains("t.\"name\""), "{queries:?}");

    content.set(Mood::Down);
    let error = context.read_table(opened.provider).unwrap().collect().await.unwrap_err();
    let datafusion::error::DataFusionError::External(cause) = error.find_root() else { panic!("{error}") };
    let cause = cause.downcast_ref::<Error>().unwrap();
    assert_eq!(
        (cause.kind(), cause.chain().as_str()),
        (ErrorKind::SiteUnavailable, "port sales.orders.orders: PostgreSQL `shop` does not respond")
    );
}

#[tokio::test]
async fn a_plan_is_refused() {
    let content = Arc::new(Content::default());
    let opened = opened(&content).await;
    let site = opened.site.unwrap().site;
    let head = FragmentHead::new("q", Principal::anonymous(), Instant::now() + Duration::from_secs(9));
    let plan = FragmentPlan::Encoded(Default::default());
    let request = FragmentRequest { head, plan, schema: Arc::new(Schema::empty()) };
    assert_eq!(site.execute(request.clone()).await.err().unwrap().kind(), ErrorKind::Unsupported);
    let estimate = site.estimate(FragmentRequest { plan: FragmentPlan::Sql(SqlQuery::whole("SELECT 1")), ..request });
    assert_eq!(estimate.await.unwrap(), Default::default());
    let empty: Vec<FragmentItem> = futures::stream::empty().try_collect().await.map_err(|e: Error| e).unwrap();
    assert!(empty.is_empty());
}
