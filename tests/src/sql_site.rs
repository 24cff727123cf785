//! A database for tests: an engine in this process that accepts SQL and has fewer capabilities than a node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use portolan_connectors::sql::{
    ColumnUsage, Shape, SqlColumn, SqlCondition, SqlDialect, SqlKind, SqlShape, SqlSpelling, SqlTable, quoted_name,
};
use portolan_connectors::{
    Capabilities, Error, ErrorKind, FragmentItem, FragmentPlan, FragmentRequest, FragmentStream, FragmentSummary,
    LocalDomain, PortAtSite, Result, Site, SiteCosts, SiteId, lock,
};
use portolan_engine::{Engine, Principal};

/// The largest precision of a sum that cannot overflow.
const MAX_SUMMED_PRECISION: u8 = 24;

const COMPARED: &[SqlKind] = &[SqlKind::Boolean, SqlKind::Integer, SqlKind::Date, SqlKind::Text, SqlKind::Decimal];
const COUNTED: &[SqlKind] =
    &[SqlKind::Boolean, SqlKind::Integer, SqlKind::Date, SqlKind::Text, SqlKind::Decimal, SqlKind::Double];
const BOOLEAN: &[SqlKind] = &[SqlKind::Boolean];
const DECIMAL: &[SqlKind] = &[SqlKind::Decimal];
const TEXT: &[SqlKind] = &[SqlKind::Text];

/// The SQL of the database.
pub static DIALECT: SqlDialect = SqlDialect {
    name: "the test database",
    shapes: &[
        shape(Shape::Filter),
        shape(Shape::Projection),
        shape(Shape::Aggregate),
        shape(Shape::Distinct),
        shape(Shape::TopN),
        shape(Shape::Limit),
        shape(Shape::UnionAll),
        shape(Shape::InnerJoin),
        shape(Shape::LeftJoin),
        shape(Shape::SemiJoin),
        shape(Shape::AntiJoin),
    ],
    operators: &[
        row("AND", "", BOOLEAN),
        row("OR", "", BOOLEAN),
        row("NOT", "(NOT {0})", BOOLEAN),
        row("IS NULL", "({0} IS NULL)", COUNTED),
        row("IS NOT NULL", "({0} IS NOT NULL)", COUNTED),
        row("IS TRUE", "({0} IS TRUE)", BOOLEAN),
        row("IS NOT TRUE", "({0} IS NOT TRUE)", BOOLEAN),
        row("IS FALSE", "({0} IS FALSE)", BOOLEAN),
        row("IS NOT FALSE", "({0} IS NOT FALSE)", BOOLEAN),
        row("=", "({0} = {1})", COMPARED),
        row("<>", "({0} <> {1})", COMPARED),
        row("<", "({0} < {1})", COMPARED),
        row("<=", "({0} <= {1})", COMPARED),
        row(">", "({0} > {1})", COMPARED),
        row(">=", "({0} >= {1})", COMPARED),
        row("BETWEEN", "({0} BETWEEN {1} AND {2})", COMPARED),
        row("IS DISTINCT FROM", "({0} IS DISTINCT FROM {1})", COMPARED),
        row("IS NOT DISTINCT FROM", "({0} IS NOT DISTINCT FROM {1})", COMPARED),
        row("IN", "({0} IN ({1..}))", COMPARED),
        row("LIKE", "({0} LIKE {1})", TEXT),
        row("CASE", "", COUNTED),
        SqlSpelling { only: Some(FITS), ..row("+", "({0} + {1})", DECIMAL) },
        SqlSpelling { only: Some(FITS), ..row("-", "({0} - {1})", DECIMAL) },
        SqlSpelling { only: Some(FITS), ..row("*", "({0} * {1})", DECIMAL) },
        row("GROUP BY", "{0}", COMPARED),
        row("DISTINCT", "{0}", COMPARED),
        row("ORDER BY", "{0}", COMPARED),
    ],
    functions: &[row("upper", "upper({0})", TEXT), row("character_length", "length({0})", TEXT)],
    aggregates: &[
        row("count", "count({0}){filter}", COUNTED),
        row("count distinct", "count(DISTINCT {0}){filter}", COMPARED),
        row("min", "min({0}){filter}", COMPARED),
        row("max", "max({0}){filter}", COMPARED),
        SqlSpelling { only: Some(SUM_FITS), ..row("sum", "sum({0}){filter}", DECIMAL) },
    ],
    casts: &[
        SqlSpelling { only: Some(WIDENS), ..row("integer", "CAST({0} AS {type})", &[SqlKind::Integer]) },
        SqlSpelling { only: Some(DIGITS_FIT), ..row("decimal", "CAST({0} AS {type})", &[SqlKind::Integer]) },
    ],
    type_name,
    // The parser of the database follows 50 levels, and a query takes several.
    max_depth: 12,
    ..SqlDialect::NOTHING
};

const fn shape(shape: Shape) -> SqlShape {
    SqlShape { shape, sql: "", reason: "", test: "" }
}

const fn row(name: &'static str, sql: &'static str, kinds: &'static [SqlKind]) -> SqlSpelling {
    SqlSpelling { name, sql, kinds, only: None, reason: "", test: "" }
}

const FITS: SqlCondition = SqlCondition {
    words: "the result has less than the maximum precision",
    holds: |_, result| matches!(result, DataType::Decimal128(precision, _) if *precision < 38),
};

const SUM_FITS: SqlCondition = SqlCondition {
    words: "the sum does not overflow",
    holds: |operands, _| {
        operands
            .iter()
            .all(|o| matches!(o.data_type, DataType::Decimal128(precision, _) if precision <= MAX_SUMMED_PRECISION))
    },
};

const WIDENS: SqlCondition =
    SqlCondition { words: "the type has 64 bits", holds: |_, result| *result == DataType::Int64 };

const DIGITS_FIT: SqlCondition = SqlCondition {
    words: "every integer of 64 bits fits",
    holds: |_, result| matches!(result, DataType::Decimal128(precision, scale) if i16::from(*precision) - i16::from(*scale) >= 19),
};

fn type_name(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "VARCHAR".into(),
        DataType::Decimal128(precision, scale) if *scale >= 0 => format!("DECIMAL({precision}, {scale})"),
        _ => return None,
    })
}

/// A database in this process.
#[derive(Debug)]
pub struct SqlSite {
    id: SiteId,
    engine: Engine,
    queries: Mutex<Vec<String>>,
}

impl SqlSite {
    /// Returns a database with the tables of an engine's own domains.
    pub fn new(id: &str, engine: Engine) -> Arc<Self> {
        Arc::new(Self { id: SiteId::new(id), engine, queries: Mutex::default() })
    }

    /// Returns the queries that it ran, in order.
    pub fn queries(&self) -> Vec<String> {
        lock(&self.queries).clone()
    }

    /// Puts the ports of a domain, which the engine has as well, behind the database.
    pub fn before(self: &Arc<Self>, mut domain: LocalDomain) -> LocalDomain {
        for port in &mut domain.ports {
            let name = [port.name.domain.as_str(), port.name.product.as_str(), port.name.port.as_str()];
            let quoted = |name: &str| quoted_name(name, &DIALECT);
            let column = |name: &String| SqlColumn {
                name: name.clone(),
                sql: format!("t.{}", quoted(name)),
                usage: ColumnUsage::All,
            };
            let columns = port.schema.fields().iter().map(|field| column(field.name())).collect();
            let table = SqlTable { from: name.map(quoted).join("."), columns, has_ranges: false, is_stored: true };
            port.site = Some(PortAtSite { site: self.clone(), table: Arc::new(table) });
        }
        domain
    }

    fn error(&self, error: Error) -> Error {
        Error::new(error.kind(), format!("database {}: {}", self.id, error.context())).with_source(error)
    }
}

#[async_trait]
impl Site for SqlSite {
    fn id(&self) -> &SiteId {
        &self.id
    }

    fn capabilities(&self) -> Capabilities {
        let latency = Some(Duration::from_micros(200));
        Capabilities::database(&DIALECT).with_costs(SiteCosts { work: 1.5, latency, bandwidth: Some(200e6) })
    }

    async fn execute(&self, request: FragmentRequest) -> Result<FragmentStream> {
        let FragmentPlan::Sql(sql) = &request.plan else {
            return Err(Error::new(ErrorKind::Unsupported, format!("database {}: expected SQL, got a plan", self.id)));
        };
        let sql = &sql.text;
        lock(&self.queries).push(sql.clone());
        let rows = self.engine.session(Principal::anonymous()).sql(sql).await.map_err(|e| self.error(e))?;
        let (id, schema, mut count) = (self.id.clone(), request.schema.clone(), 0);
        let batches = rows.map(move |batch| {
            let batch = batch.and_then(|batch| as_columns(&batch, &schema));
            batch.map_err(|e| Error::new(e.kind(), format!("database {id}: {}", e.context())).with_source(e))
        });
        let batches: Vec<RecordBatch> = batches.try_collect().await?;
        let items =
            batches.into_iter().map(|batch| FragmentItem::Batch { wire_bytes: batch.get_array_memory_size(), batch });
        let items: Vec<_> = items
            .inspect(|item| {
                if let FragmentItem::Batch { batch, .. } = item {
                    count += batch.num_rows() as u64;
                }
            })
            .collect();
        let end = FragmentItem::Finished(FragmentSummary { rows: count, ..FragmentSummary::default() });
        Ok(futures::stream::iter(items.into_iter().chain([end]).map(Ok)).boxed())
    }
}

/// Returns the batch with the columns of a schema, by their positions.
fn as_columns(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        cast_with_options(column, field.data_type(), &exact).map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))
}
