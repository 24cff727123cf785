//! The statistics that a node collects from files.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use datafusion::common::ScalarValue;
use datafusion::common::stats::Precision;
use datafusion::execution::SessionState;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use portolan_catalog::{Diagnostics, DomainCatalog, FileFormat, PortStatistics, StatisticValue};

use super::{COLUMNS, FileSources, Fixture, batch};
use crate::open::open_domain;
use crate::source::{LocalDomain, SourceOpener};
use crate::statistics::{Estimating, changed_statistics};

/// Returns a domain with the fixture's port.
pub(super) async fn opened(fixture: &Fixture, runtime: &Arc<RuntimeEnv>) -> LocalDomain {
    opened_by(fixture, &FileSources::default(), runtime).await.unwrap()
}

pub(super) async fn opened_by(
    fixture: &Fixture,
    opener: &dyn SourceOpener,
    runtime: &Arc<RuntimeEnv>,
) -> Result<LocalDomain, Diagnostics> {
    open_domain(DomainCatalog::new("sales", [fixture.port.clone()]), opener, runtime).await
}

async fn statistics(fixture: &Fixture) -> PortStatistics {
    let domain = opened(fixture, &Arc::new(RuntimeEnv::default())).await;
    let port = domain.catalog.ports().next().unwrap();
    (*port.statistics).clone()
}

fn number(value: f64) -> Option<StatisticValue> {
    Some(StatisticValue::Number(value))
}

/// Returns rows of a fact table: a key, a clustered foreign key, a random foreign key, a date, and a string of few
/// values.
fn facts(rows: i64) -> RecordBatch {
    let scattered = |i: i64| (i.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) >> 33) & 0x7fff_ffff;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..rows))),
        ("parent", Arc::new(Int64Array::from_iter_values((0..rows).map(|i| i / 4)))),
        ("buyer", Arc::new(Int64Array::from_iter_values((0..rows).map(|i| scattered(i) % 1000)))),
        ("day", Arc::new(Date32Array::from_iter_values((0..rows).map(|i| (scattered(i + 7) % 365) as i32)))),
        (
            "kind",
            Arc::new(StringArray::from_iter_values((0..rows).map(|i| ["a", "b", "c"][scattered(i) as usize % 3]))),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

const FACTS: &[(&str, &str)] =
    &[("id", "integer"), ("parent", "integer"), ("buyer", "integer"), ("day", "date"), ("kind", "string")];

fn near(estimate: Option<u64>, truth: u64, factor: f64) {
    let estimate = estimate.unwrap();
    let ratio = estimate as f64 / truth as f64;
    assert!(ratio <= factor && ratio >= 1.0 / factor, "{estimate} for {truth}");
}

#[tokio::test]
async fn parquet_is_counted_by_its_footers_and_sampled_in_many_places() {
    let fixture = Fixture::new(FileFormat::Parquet, "data", FACTS);
    let rows = 200_000;
    let path = fixture.write("data/a.parquet", []);
    let all = facts(rows);
    let options = WriterProperties::builder().set_max_row_group_row_count(Some(20_000)).build();
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, all.schema(), Some(options)).unwrap();
    writer.write(&all).unwrap();
    writer.close().unwrap();

    let known = statistics(&fixture).await;
    assert_eq!(known.rows, Some(200_000));
    assert_eq!(known.bytes, Some(std::fs::metadata(&path).unwrap().len()));
    let column = |name: &str| known.columns.get(name).unwrap();
    assert_eq!((column("id").min.clone(), column("id").max.clone()), (number(0.0), number(199_999.0)));
    assert_eq!(column("id").nulls, Some(0));
    near(column("id").distinct, 200_000, 1.05);
    near(column("parent").distinct, 50_000, 1.15);
    near(column("buyer").distinct, 1000, 1.1);
    near(column("day").distinct, 365, 1.02);
    assert!(column("day").distinct <= Some(365), "no more than the range of the footers has");
    assert_eq!(column("kind").distinct, Some(3));
    let shares: f64 = column("kind").frequent.iter().map(|(_, share)| share).sum();
    assert!((shares - 1.0).abs() < 1e-9 && column("kind").frequent.len() == 3);
    assert_eq!(column("kind").width, Some(16.0), "a view of a text of one byte");
}

#[tokio::test]
async fn a_file_of_one_row_group_is_sampled_from_its_beginning() {
    let fixture = Fixture::new(FileFormat::Parquet, "a.parquet", FACTS);
    fixture.parquet("a.parquet", &facts(100_000));
    let known = statistics(&fixture).await;
    assert_eq!(known.rows, Some(100_000));
    near(known.columns["id"].distinct, 100_000, 1.05);
    near(known.columns["buyer"].distinct, 1000, 1.1);
}

#[tokio::test]
async fn a_declared_key_is_as_large_as_its_port() {
    let mut fixture = Fixture::new(FileFormat::Parquet, "a.parquet", FACTS);
    fixture.parquet("a.parquet", &facts(100_000));
    fixture.port.columns[0].unique = true;
    assert_eq!(statistics(&fixture).await.columns["id"].distinct, Some(100_000));
}

fn lines(rows: usize, line: impl Fn(usize) -> String) -> String {
    (0..rows).map(|i| line(i) + "\n").collect()
}

#[tokio::test]
async fn small_text_is_counted() {
    let fixture = Fixture::new(FileFormat::Csv, "o.csv", COLUMNS);
    fixture.write("o.csv", "id,name,price\n1,a,0.5\n2,,1.5\n3,b,\n");
    let known = statistics(&fixture).await;
    assert_eq!((known.rows, known.bytes), (Some(3), Some(34)));
    let id = &known.columns["id"];
    assert_eq!((id.distinct, id.nulls, id.min.clone(), id.max.clone()), (Some(3), Some(0), number(1.0), number(3.0)));
    assert_eq!(known.columns["price"].nulls, Some(1));

    let fixture = Fixture::new(FileFormat::Json, "o.json", COLUMNS);
    fixture.write("o.json", r#"{"id":1,"name":"a","price":1.5}"#);
    assert_eq!(statistics(&fixture).await.rows, Some(1));
}

#[tokio::test]
async fn rows_of_large_text_are_guessed_by_its_lines() {
    let rows = 150_000;
    let csv = Fixture::new(FileFormat::Csv, "o.csv", COLUMNS);
    csv.write("o.csv", "id,name,price\n".to_owned() + &lines(rows, |i| format!("{i},n{},{}.5", i % 7, i % 100)));
    let json = Fixture::new(FileFormat::Json, "o.json", COLUMNS);
    json.write("o.json", lines(rows, |i| format!(r#"{{"id":{i},"name":"n{}","price":{}.5}}"#, i % 7, i % 100)));
    for fixture in [csv, json] {
        let known = statistics(&fixture).await;
        near(known.rows, rows as u64, 1.2);
        near(known.columns["id"].distinct, rows as u64, 1.3);
        assert_eq!(known.columns["name"].distinct, Some(7));
        assert_eq!(known.columns["id"].max, None, "nothing bounds what was not read");
    }
}

#[tokio::test]
async fn bounds_of_floats_serve_estimates_alone() {
    let fixture = Fixture::new(FileFormat::Parquet, "a.parquet", COLUMNS);
    fixture.parquet("a.parquet", &batch(&[2, 8, 4]));
    let (opened, context) = fixture.open().await.unwrap();
    let price = async |session: &SessionState| {
        let scan = opened.provider.scan(session, None, &[], None).await.unwrap();
        let known = StatisticsContext::new().compute(scan.as_ref(), &StatisticsArgs::new()).unwrap();
        let price = known.column_statistics[2].clone();
        (price.min_value, price.max_value)
    };
    let mut session = context.state();
    assert_eq!(price(&session).await, (Precision::Absent, Precision::Absent));
    session.config_mut().set_extension(Arc::new(Estimating));
    let bound = |value: f64| Precision::Inexact(ScalarValue::Float64(Some(value)));
    assert_eq!(price(&session).await, (bound(1.0), bound(4.0)));
    session = context.state();
    assert_eq!(price(&session).await, (Precision::Absent, Precision::Absent), "what is cached is not for estimates");
}

#[tokio::test]
async fn an_empty_port() {
    let fixture = Fixture::new(FileFormat::Parquet, "a.parquet", FACTS);
    fixture.parquet("a.parquet", &facts(0));
    let known = statistics(&fixture).await;
    assert_eq!((known.rows, known.columns["id"].distinct, known.columns["id"].nulls), (Some(0), Some(0), Some(0)));
}

#[tokio::test]
async fn changed_files_change_what_is_told() {
    let fixture = Fixture::new(FileFormat::Parquet, "data", COLUMNS);
    fixture.parquet("data/a.parquet", &batch(&[1, 2]));
    let runtime = Arc::new(RuntimeEnv::default());
    let mut domain = opened(&fixture, &runtime).await;
    let sources = FileSources::default();
    assert!(changed_statistics(&domain, &sources, &runtime).await.is_empty(), "nothing has changed");

    fixture.parquet("data/b.parquet", &batch(&[3, 4, 5]));
    let changed = changed_statistics(&domain, &sources, &runtime).await;
    let before = domain.catalog.version.clone();
    domain.catalog = Arc::new((*domain.catalog).clone().with_statistics(&changed));
    let known = domain.catalog.ports().next().unwrap().statistics.clone();
    assert_eq!(
        (known.rows, known.columns["id"].distinct, known.columns["id"].max.clone()),
        (Some(5), Some(5), number(5.0))
    );
    assert_ne!(domain.catalog.version, before, "peers learn it");
    assert!(changed_statistics(&domain, &sources, &runtime).await.is_empty(), "it is known now");

    std::fs::remove_file(fixture.path("data/a.parquet")).unwrap();
    std::fs::remove_file(fixture.path("data/b.parquet")).unwrap();
    assert!(changed_statistics(&domain, &sources, &runtime).await.is_empty(), "files that are gone have no statistics");
}
