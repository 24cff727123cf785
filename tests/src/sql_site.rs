//! A database for tests: an engine in this process that accepts SQL and has fewer capabilities than a node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::common::JoinType;
use datafusion::logical_expr::Operator;
use futures::{StreamExt, TryStreamExt};
use portolan_connectors::sql::{SqlAggregate, SqlDialect, SqlFunction};
use portolan_connectors::{
    Capabilities, Error, ErrorKind, FragmentItem, FragmentPlan, FragmentRequest, FragmentStream, FragmentSummary,
    LocalDomain, PortAtSite, Result, Site, SiteCosts, SiteId, lock,
};
use portolan_engine::{Engine, Principal};

/// The largest precision of a sum that cannot overflow.
const MAX_SUMMED_PRECISION: u8 = 24;

/// The SQL of the database.
pub static DIALECT: SqlDialect = SqlDialect {
    name: "the test database",
    quote: '"',
    joins: &[JoinType::Inner, JoinType::Left, JoinType::LeftSemi, JoinType::LeftAnti],
    functions: &[
        SqlFunction { name: "upper", spelled: "upper", takes: is_text },
        SqlFunction { name: "character_length", spelled: "length", takes: is_text },
    ],
    aggregates: &[
        SqlAggregate { name: "count", takes: |_| true },
        SqlAggregate { name: "min", takes: |types| types.iter().all(compares) },
        SqlAggregate { name: "max", takes: |types| types.iter().all(compares) },
        SqlAggregate {
            name: "sum",
            takes: |types| matches!(types, [DataType::Decimal128(precision, _)] if *precision <= MAX_SUMMED_PRECISION),
        },
    ],
    type_name,
    compares,
    computes: |op, left, right, result| {
        let decimals = [left, right, result].into_iter().all(|t| matches!(t, DataType::Decimal128(..)));
        let fits = matches!(result, DataType::Decimal128(precision, _) if *precision < 38);
        matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply) && decimals && fits
    },
    casts: |from, to| match (from, to) {
        (DataType::Int32, DataType::Int64) => true,
        (DataType::Int32 | DataType::Int64, DataType::Decimal128(precision, scale)) => {
            i16::from(*precision) - i16::from(*scale) >= 19
        }
        _ => false,
    },
    // The parser of the database follows 50 levels, and a query takes several.
    max_depth: 12,
};

fn is_text(types: &[DataType]) -> bool {
    matches!(types, [data_type] if data_type.is_string())
}

fn compares(data_type: &DataType) -> bool {
    type_name(data_type).is_some()
}

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
            let table = name.map(str::to_owned).to_vec();
            port.site = Some(PortAtSite { site: self.clone(), table });
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
