//! Sources that fail below a barrier, and policies that compare instants of different units.

use std::task::Poll;

use arrow::array::{TimestampMicrosecondArray, TimestampMillisecondArray};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result as DataFusionResult, exec_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;

use super::*;

/// A source that fails with a value of a hidden row when a query is planned.
#[derive(Debug)]
struct Failing(SchemaRef);

#[async_trait]
impl TableProvider for Failing {
    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        exec_err!("the value '000000003' is too long")
    }
}

/// A source that panics with a value of a hidden row when it is read.
#[derive(Debug)]
struct Panicking(SchemaRef);

impl PartitionStream for Panicking {
    fn schema(&self) -> &SchemaRef {
        &self.0
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = stream::poll_fn(|_| -> Poll<Option<DataFusionResult<RecordBatch>>> {
            panic!("the value '000000003' is too long")
        });
        Box::pin(RecordBatchStreamAdapter::new(self.0.clone(), rows))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panics_below_a_barrier_have_no_words() {
    let mut panicking = domain(POLICIES, false);
    for port in &mut panicking.ports {
        let rows: Arc<dyn PartitionStream> = Arc::new(Panicking(port.schema.clone()));
        port.provider = Arc::new(StreamingTable::try_new(port.schema.clone(), vec![rows]).unwrap());
    }
    let owner = Engine::builder().cpu_threads(2).local_domain(panicking).build().unwrap();
    let error = failed(&owner, analyst(), "SELECT count(*) FROM sales.p.people").await;
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.chain().contains("the governed port sales.p.people cannot be read"), "{}", error.chain());
    assert!(!error.chain().contains("000000003"), "{}", error.chain());
}

#[tokio::test]
async fn errors_of_planning_below_a_barrier_have_no_words() {
    let mut failing = domain(POLICIES, false);
    failing.ports.iter_mut().for_each(|port| port.provider = Arc::new(Failing(port.schema.clone())));
    let owner = OwnerPeer::of(failing);
    let gateway = Engine::builder().cpu_threads(2).peer(owner.clone()).build().unwrap();
    gateway.refresh().await;
    for (sql, port) in [
        ("SELECT id FROM sales.p.people", "people"),
        ("SELECT count(*) FROM sales.p.elders", "elders"),
        ("SELECT max(e.id) FROM sales.p.elders e WHERE id > (SELECT min(id) FROM sales.p.elders)", "elders"),
        ("SELECT id FROM sales.p.people WHERE EXISTS (SELECT 1 FROM sales.p.people WHERE id = 2)", "people"),
        ("EXPLAIN SELECT id FROM sales.p.people", "people"),
    ] {
        let error = failed(&owner.engine, analyst(), sql).await;
        let shown =
            format!("the governed port sales.p.{port} cannot be read: the log of its owner's node has the reason");
        assert_eq!(error.kind(), ErrorKind::Internal, "{sql}");
        assert!(error.chain().contains(&shown) && !error.chain().contains("000000003"), "{sql}: {}", error.chain());
        assert!(error.owner_chain().contains("000000003"), "{sql}: {}", error.owner_chain());
        if !sql.starts_with("EXPLAIN") {
            let error = failed(&gateway, analyst(), sql).await;
            assert!(!error.chain().contains("000000003"), "{sql}: {}", error.chain());
        }
    }
    // Who sees everything sees the error.
    let error = failed(&owner.engine, boss(), "SELECT id FROM sales.p.people").await;
    assert!(error.chain().contains("000000003"), "{}", error.chain());
}

/// Returns an engine with the port `people`, whose rows have an id, two instants and a day.
fn instants(policy: &str) -> Engine {
    const HUGE: i64 = i64::MAX / 2;
    let zone = "UTC";
    let rows = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values(0..6)) as ArrayRef),
        ("ms", Arc::new(TimestampMillisecondArray::from(vec![1000, 1001, HUGE, -HUGE, 0, 0]).with_timezone(zone))),
        (
            "us",
            Arc::new(TimestampMicrosecondArray::from(vec![1_000_000, 1_000_999, 1, 1, HUGE, 0]).with_timezone(zone)),
        ),
        ("day", Arc::new(Date32Array::from(vec![0, 0, 0, 0, i32::MAX, 1]))),
    ]);
    let rows = rows.unwrap();
    let port = Port::new(name("people")).with_columns(columns(&rows.schema()));
    let local = local_domain(catalog("sales", [port]), |_| vec![rows.clone()]);
    let local = local.with_policies(PolicyFiles::of_product("p", policy));
    Engine::builder().cpu_threads(2).local_domain(local).build().unwrap()
}

#[tokio::test]
async fn instants_of_two_units_are_compared_exactly() {
    for (condition, ids) in [
        ("resource.ms <= resource.us", &["0", "3", "4", "5"][..]),
        ("resource.ms == resource.us", &["0", "5"]),
        ("resource.us < resource.ms", &["1", "2"]),
        ("resource.ms < datetime(\"9999-12-31\")", &["0", "1", "3", "4", "5"]),
        ("resource.day < datetime(\"1970-01-01T00:00:00.001Z\")", &["0", "1", "2", "3"]),
    ] {
        let policy = format!(
            "permit(principal, action == Action::\"read\", resource is sales::p::people)\n\
             when {{ resource has ms && resource has us && resource has day && {condition} }};"
        );
        let shown = lines(&instants(&policy), analyst(), "SELECT id FROM sales.p.people ORDER BY id").await;
        assert_eq!(shown, ids, "{condition}");
    }
}
