//! Tests of plans as bytes: a plan is the same after decoding, and only known operators over ports are admitted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use datafusion::datasource::file_format::format_as_file_type;
use datafusion::datasource::file_format::parquet::{ParquetFormat, ParquetFormatFactory};
use datafusion::datasource::listing::ListingOptions;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::SessionContext;
use datafusion_proto::bytes::logical_plan_to_bytes;
use datafusion_proto::protobuf::logical_plan_node::LogicalPlanType;
use datafusion_proto::protobuf::{LimitNode, LogicalPlanNode};
use portolan_catalog::{DomainCatalog, PortName, ProductName};
use portolan_connectors::EncodedPlan;
use prost::Message;

use super::{MAX_PLAN_BYTES, MAX_UNION_INPUTS, encode};
use crate::execution::runtime::on_large_stack;
use crate::fake_mesh::{FakePeer, analysed, gateway, owned, state_of, tpch_domain};
use crate::upstream::functional_dependencies::without_dependencies;
use crate::{Engine, Error, ErrorKind};

/// Returns a node that owns this domain.
fn owner(catalog: DomainCatalog) -> Engine {
    Engine::builder().cpu_threads(1).local_domain(owned(catalog)).build().unwrap()
}

/// Returns the optimized plan of a query, and its bytes.
async fn sent(sql: &str) -> (LogicalPlan, Bytes) {
    let engine = gateway().await;
    let state = state_of(&engine);
    let plan = state.optimize(&analysed(&engine, sql).await).unwrap();
    let encoded = encode(&plan, &engine.inner().mesh.view()).unwrap();
    assert!(encoded.keys.is_empty());
    (plan, encoded.plan)
}

/// Decodes a plan without keys.
fn decode(plan: &[u8], engine: &Engine) -> Result<LogicalPlan, Error> {
    let encoded = EncodedPlan { plan: Bytes::copy_from_slice(plan), keys: vec![] };
    super::decode(&encoded, &engine.inner().mesh.view())
}

const QUERY: &str = "SELECT n_name, count(*) AS n FROM geo.places.nation JOIN geo.places.region \
                     ON n_regionkey = r_regionkey WHERE r_name <> 'ASIA' GROUP BY n_name";

fn refused(bytes: &[u8], engine: &Engine) -> Error {
    decode(bytes, engine).unwrap_err()
}

#[tokio::test]
async fn a_plan_is_the_same_after_decoding() {
    for sql in [
        QUERY,
        "SELECT count(*) FROM geo.places.nation",
        "SELECT n_name FROM geo.places.nation WHERE n_regionkey NOT IN (SELECT r_regionkey FROM geo.places.region)",
        "SELECT n_name FROM geo.places.nation ORDER BY n_name DESC NULLS LAST LIMIT 3",
        "SELECT string_agg(n_name, ',' ORDER BY n_name) FILTER (WHERE n_nationkey > 3) FROM geo.places.nation",
        "SELECT rank() OVER (PARTITION BY n_regionkey ORDER BY n_name) FROM geo.places.nation",
        "SELECT n_nationkey FROM geo.places.nation INTERSECT SELECT r_regionkey FROM geo.places.region",
        "SELECT n_name FROM geo.places.nation OFFSET 2",
        "SELECT repeat(n_name, n_nationkey), range(0, n_nationkey) FROM geo.places.nation WHERE lpad(n_name, 9) > 'B'",
        "SELECT r_name, k FROM geo.places.region LEFT JOIN (VALUES (1, NULL)) AS v (k, l) ON r_regionkey = k",
    ] {
        let (plan, encoded) = sent(sql).await;
        let decoded = decode(&encoded, &gateway().await).unwrap();
        assert_eq!(decoded.display_indent_schema().to_string(), plan.display_indent_schema().to_string(), "{sql}");
    }
}

#[test]
fn a_union_of_several_inputs_travels_up_to_a_bound() {
    // The parsed statement and the decoded plan have a level for each input.
    let tested = on_large_stack(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(assert_unions_travel());
    });
    tested.unwrap();
}

async fn assert_unions_travel() {
    let engine = gateway().await;
    let part = |number: usize| format!("SELECT n_name AS name, {number} AS n FROM geo.places.nation");
    let of = |inputs: usize| (1..=inputs).map(part).collect::<Vec<_>>().join(" UNION ALL ");
    for inputs in [3, MAX_UNION_INPUTS] {
        let (plan, encoded) = sent(&of(inputs)).await;
        assert!(matches!(&plan, LogicalPlan::Union(union) if union.inputs.len() == inputs), "{plan}");
        let decoded = decode(&encoded, &engine).unwrap();
        assert!(decoded.schema().iter().eq(plan.schema().iter()));
        let optimized = state_of(&engine).optimize(&decoded).unwrap();
        assert_eq!(optimized.display_indent().to_string(), plan.display_indent().to_string());
    }
    let plan = state_of(&engine).optimize(&analysed(&engine, &of(MAX_UNION_INPUTS + 1)).await).unwrap();
    let error = encode(&plan, &engine.inner().mesh.view()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[tokio::test]
async fn a_plan_with_older_dependencies_can_be_encoded() {
    let engine = gateway().await;
    let grouped = "SELECT n_regionkey, count(*) AS n FROM geo.places.nation GROUP BY n_regionkey";
    let LogicalPlan::Projection(mut plan) = state_of(&engine).optimize(&analysed(&engine, grouped).await).unwrap()
    else {
        panic!("the query has a projection")
    };
    assert!(!plan.schema.functional_dependencies().is_empty());
    plan.schema = without_dependencies(&plan.schema).unwrap();
    encode(&LogicalPlan::Projection(plan), &engine.inner().mesh.view()).unwrap();
}

#[tokio::test]
async fn the_owner_reads_its_own_port() {
    let (_, encoded) = sent(QUERY).await;
    let decoded = decode(&encoded, &owner(tpch_domain("geo"))).unwrap();
    let text = decoded.display_indent().to_string();
    assert!(text.contains("TableScan: geo.places.nation"), "{text}");
}

#[tokio::test]
async fn garbage_is_no_fragment() {
    let engine = owner(tpch_domain("geo"));
    let mut noise = 1_u64;
    for length in 0..400 {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                noise.to_be_bytes()[0]
            })
            .collect();
        let error = refused(&bytes, &engine);
        assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{}", error.chain());
    }
}

#[tokio::test]
async fn a_truncated_or_changed_plan_is_refused_or_harmless() {
    let (_, encoded) = sent(QUERY).await;
    let engine = owner(tpch_domain("geo"));
    for end in 0..encoded.len() {
        let error = decode(&encoded[..end], &engine).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{end}: {}", error.chain());
    }
    // A flipped bit may make another valid plan. That plan must then still be admitted.
    for place in 0..encoded.len() {
        let mut bent = encoded.to_vec();
        bent[place] ^= 1 << (place % 8);
        if let Ok(plan) = decode(&bent, &engine) {
            super::admit::plan(&plan).unwrap();
        }
    }
}

#[tokio::test]
async fn an_unknown_port_is_not_found() {
    let (_, encoded) = sent(QUERY).await;
    let error = refused(&encoded, &owner(tpch_domain("sales")));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.chain().contains("`geo.places."), "{}", error.chain());
}

#[tokio::test]
async fn changed_columns_ask_to_try_again() {
    let (_, encoded) = sent(QUERY).await;
    let mut changed = tpch_domain("geo");
    let places = changed.products.get_mut(&ProductName::new("places")).unwrap();
    places.ports.get_mut(&PortName::new("nation")).unwrap().columns[0].data_type = Some(DataType::Utf8);
    let error = refused(&encoded, &owner(changed));
    assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
    assert!(error.chain().contains("changed"), "{}", error.chain());
}

#[tokio::test]
async fn only_operators_on_the_list_are_admitted() {
    let engine = owner(tpch_domain("geo"));
    let context = SessionContext::new();
    let schema = Arc::new(Schema::new(vec![Field::new("secret", DataType::Int64, true)]));
    let options = ListingOptions::new(Arc::new(ParquetFormat::default()));
    context.register_listing_table("files", "/etc/", options, Some(schema), None).await.unwrap();
    let scan = context.table("files").await.unwrap().into_unoptimized_plan();
    let rows = LogicalPlanBuilder::empty(true).build().unwrap();
    let parquet = format_as_file_type(Arc::new(ParquetFormatFactory::new()));
    let copy = LogicalPlanBuilder::copy_to(rows, "/tmp/stolen".into(), parquet, Default::default(), vec![]).unwrap();
    let copy = copy.build().unwrap();
    let view = context.state().create_logical_plan("CREATE VIEW v AS SELECT 1").await.unwrap();
    let repartition = context.sql("SELECT 1 AS a").await.unwrap();
    let repartition = repartition.repartition(datafusion::logical_expr::Partitioning::RoundRobinBatch(9)).unwrap();
    for plan in [scan, copy, view, repartition.into_unoptimized_plan()] {
        let encoded = logical_plan_to_bytes(&plan).unwrap();
        let error = refused(&encoded, &engine);
        assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{plan}: {}", error.chain());
    }
}

#[tokio::test]
async fn a_forbidden_operator_in_a_subquery_is_found() {
    let engine = owner(tpch_domain("geo"));
    let context = SessionContext::new();
    let table = datafusion::datasource::empty::EmptyTable::new(Arc::new(Schema::new(vec![Field::new(
        "secret",
        DataType::Int64,
        true,
    )])));
    context.register_table("here", Arc::new(table)).unwrap();
    let plan = context.state().create_logical_plan("SELECT 1 WHERE 1 IN (SELECT secret FROM here)").await.unwrap();
    let error = super::admit::plan(&plan).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidQuery);
    assert!(error.chain().contains("`here` is a table of this node"), "{}", error.chain());
    drop(engine);
}

#[tokio::test]
async fn nesting_is_bounded() {
    let engine = owner(tpch_domain("geo"));
    let mut node = LogicalPlanNode { logical_plan_type: None };
    for _ in 0..1000 {
        let limit = LimitNode { input: Some(Box::new(node)), skip: 0, fetch: 1 };
        node = LogicalPlanNode { logical_plan_type: Some(LogicalPlanType::Limit(Box::new(limit))) };
    }
    let error = refused(&node.encode_to_vec(), &engine);
    assert_eq!(error.kind(), ErrorKind::InvalidQuery, "{}", error.chain());
}

#[tokio::test]
async fn size_is_bounded_on_both_sides() {
    let engine = gateway().await;
    let long = "x".repeat(MAX_PLAN_BYTES);
    let plan = analysed(&engine, "SELECT n_name FROM geo.places.nation WHERE n_name <> $1").await;
    let plan = plan.with_param_values(vec![datafusion::scalar::ScalarValue::from(long)]).unwrap();
    let error = encode(&plan, &engine.inner().mesh.view()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.chain().contains("bytes"), "{}", error.chain());
    let error = refused(&vec![0; MAX_PLAN_BYTES + 1], &engine);
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
}

#[tokio::test]
async fn a_table_of_this_node_does_not_travel() {
    let peer = FakePeer::new("grpc://geo", vec![tpch_domain("geo")]);
    let engine = Engine::builder().cpu_threads(1).peer(peer).build().unwrap();
    engine.refresh().await;
    let plan = analysed(&engine, "SELECT * FROM mesh.domains").await;
    let error = encode(&plan, &engine.inner().mesh.view()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
