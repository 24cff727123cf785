//! Tests of relayed rows: when they are relayed, and what ends them. The owner sends words in the place of messages,
//! because the engine does not read messages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, UnionMode};
use futures::{StreamExt, TryStreamExt};
use portolan_catalog::DomainCatalog;

use super::*;
use crate::fake_mesh::{FakePeer, tpch_domain};
use crate::{Engine, Error, ErrorKind, Principal, Session, server};

const REGIONS: &str = "SELECT r_name FROM geo.places.region";
/// A query that the gateway completes, because nothing is placed at owners.
const COMPLETED_HERE: &str = "SELECT upper(r_name) AS r_name FROM geo.places.region";

fn announced(data_type: DataType, is_plain: bool) -> Relay {
    Relay { schema: Arc::new(Schema::new(vec![Field::new("r_name", data_type, true)])), is_plain }
}

fn plain() -> Relay {
    announced(DataType::Utf8, true)
}

/// Returns the domain `geo`, whose policies have this digest.
fn geo(policies: &str) -> DomainCatalog {
    let mut domain = tpch_domain("geo");
    domain.policies = Some(policies.to_owned());
    domain
}

/// Returns a gateway, and the owner of `geo`, which returns two regions.
async fn mesh() -> (Arc<FakePeer>, Engine) {
    let owner = FakePeer::new("grpc://geo", vec![geo("first")]);
    let names: ArrayRef = Arc::new(StringViewArray::from_iter_values(["ASIA", "EUROPE"]));
    owner.give(RecordBatch::try_from_iter([("r_name", names)]).unwrap());
    owner.relay();
    let gateway = Engine::builder().cpu_threads(1).peer(owner.clone()).build().unwrap();
    gateway.refresh().await;
    (owner, gateway)
}

async fn started(session: &Session, sql: &str, relay: Relay) -> QueryStream {
    let statement = session.prepare(sql).await.unwrap();
    server::relaying(statement, relay).execute(&[]).await.unwrap()
}

async fn refusal(parts: &mut RowParts) -> Error {
    loop {
        if let Err(error) = parts.next().await.expect("the rows end with an error") {
            return error;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_of_a_whole_query_are_relayed_and_counted() {
    let (owner, gateway) = mesh().await;
    for (relay, columns) in
        [(plain(), RelayedColumns::Plain), (announced(DataType::Utf8View, false), RelayedColumns::Unchanged)]
    {
        let rows = started(&gateway.session(Principal::anonymous()), REGIONS, relay.clone()).await;
        let progress = rows.progress();
        let parts: Vec<RowPart> = server::parts(rows).try_collect().await.unwrap();
        let [RowPart::Message(message)] = parts.as_slice() else { panic!("{parts:?}") };
        assert_eq!((message.header.as_ref(), message.body.as_ref(), message.rows), (&b"header"[..], &b"body"[..], 2));
        let sent = owner.requests().pop().unwrap();
        assert_eq!((sent.head.relayed, sent.schema), (Some(columns), relay.schema));
        let progress = progress.now();
        assert_eq!((progress.rows, progress.finished), (2, true));
        assert_eq!((progress.edges[0].rows, progress.edges[0].bytes, progress.edges[0].finished), (2, 77, true));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_not_the_clients_are_decoded() {
    let (owner, gateway) = mesh().await;
    let session = gateway.session(Principal::anonymous());
    let decoded = async |sql: &str, relay: Relay| {
        let rows = started(&session, sql, relay).await;
        let parts: Vec<RowPart> = server::parts(rows).try_collect().await.unwrap();
        assert!(parts.iter().all(|part| matches!(part, RowPart::Batch(_))), "{sql}: {parts:?}");
        assert_eq!(parts.iter().map(RowPart::rows).sum::<usize>(), 2, "{sql}");
        assert_eq!(owner.requests().pop().unwrap().head.relayed, None, "{sql}");
    };
    // The node would have to convert the rows.
    decoded(REGIONS, announced(DataType::Utf8, false)).await;
    // An operator is left to run here.
    session.set("portolan.placement", "off").unwrap();
    decoded(COMPLETED_HERE, plain()).await;
    session.reset("portolan.placement").unwrap();
    // Nobody has allowed it.
    let rows: Vec<RecordBatch> = session.sql(REGIONS).await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(owner.requests().pop().unwrap().head.relayed, None);
    // The statement keeps rows of its own.
    started(&session, &format!("CREATE TABLE kept AS {REGIONS}"), plain()).await;
    assert_eq!(owner.requests().pop().unwrap().head.relayed, None);

    let older = FakePeer::new("grpc://geo", vec![geo("first")]);
    let names: ArrayRef = Arc::new(StringViewArray::from_iter_values(["ASIA"]));
    older.give(RecordBatch::try_from_iter([("r_name", names)]).unwrap());
    let gateway = Engine::builder().cpu_threads(1).peer(older.clone()).build().unwrap();
    gateway.refresh().await;
    let rows = started(&gateway.session(Principal::anonymous()), REGIONS, plain()).await;
    let parts: Vec<RowPart> = server::parts(rows).try_collect().await.unwrap();
    assert!(matches!(parts.as_slice(), [RowPart::Batch(_)]), "the owner relays nothing: {parts:?}");
}

#[test]
fn unions_are_decoded() {
    let number = Arc::new(Field::new("n", DataType::Int64, true));
    let union = DataType::Union([(0, number)].into_iter().collect(), UnionMode::Sparse);
    let item = Arc::new(Field::new("item", union.clone(), true));
    for (column, relayed) in
        [(DataType::Int64, Some(RelayedColumns::Unchanged)), (union, None), (DataType::List(item), None)]
    {
        let columns = Schema::new(vec![Field::new("c", column, true)]);
        let relay = Relay { schema: Arc::new(columns.clone()), is_plain: true };
        assert_eq!(relay.columns(&columns, &columns), relayed, "{columns}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_the_owner_end_the_rows() {
    let (owner, gateway) = mesh().await;
    let session = gateway.session(Principal::anonymous());
    for after_rows in [false, true] {
        owner.break_streams(after_rows);
        let mut parts = server::parts(started(&session, REGIONS, plain()).await);
        if after_rows {
            assert!(matches!(parts.next().await, Some(Ok(RowPart::Message(_)))));
        }
        let error = parts.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
        let said = error.chain();
        assert!(said.contains("domain geo") && said.contains("node grpc://geo: the stream broke"), "{said}");
        assert!(parts.next().await.is_none(), "nothing follows the error");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_never_pass_for_batches() {
    let (_owner, gateway) = mesh().await;
    let rows = started(&gateway.session(Principal::anonymous()), REGIONS, plain()).await;
    assert_eq!(rows.collect().await.unwrap_err().kind(), ErrorKind::Internal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_query_relays_nothing_more() {
    let (owner, gateway) = mesh().await;
    // The owner sends nothing.
    owner.hang_after(usize::MAX);
    let rows = started(&gateway.session(Principal::anonymous()), REGIONS, plain()).await;
    let cancel = rows.cancel_handle();
    let mut parts = server::parts(rows);
    while owner.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    cancel.cancel();
    assert_eq!(refusal(&mut parts).await.kind(), ErrorKind::Cancelled);
    while owner.abandoned() == 0 {
        tokio::task::yield_now().await;
    }
}

/// The rows wait while their reader is slow. The reader gets none after a change of the owner's policies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relayed_rows_end_with_the_right_to_see_them() {
    let (owner, gateway) = mesh().await;
    let rows = started(&gateway.session(Principal::anonymous()), REGIONS, plain()).await;
    let (access, progress) = (rows.access().unwrap(), rows.progress());
    while !progress.now().finished {
        tokio::task::yield_now().await;
    }
    owner.publish("2", vec![geo("second")]);
    gateway.refresh().await;
    assert_eq!(access.ended().await.kind(), ErrorKind::PermissionDenied);
    let mut parts = server::parts(rows);
    assert_eq!(refusal(&mut parts).await.kind(), ErrorKind::PermissionDenied);
    assert!(parts.next().await.is_none());
}
