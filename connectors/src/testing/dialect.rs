//! The SQL of a database for tests, which an engine in the same process runs.

use arrow::datatypes::DataType;

use crate::sql::{Shape, SqlDialect, SqlKind, SqlShape, SqlSpelling};

const KINDS: &[SqlKind] = &[SqlKind::Boolean, SqlKind::Integer, SqlKind::Date, SqlKind::Text];
const BOOLEAN: &[SqlKind] = &[SqlKind::Boolean];

/// The SQL of a database that has few types and aggregates.
pub static TEST_SQL: SqlDialect = SqlDialect {
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
        row("IS NULL", "({0} IS NULL)", KINDS),
        row("IS NOT NULL", "({0} IS NOT NULL)", KINDS),
        row("=", "({0} = {1})", KINDS),
        row("<>", "({0} <> {1})", KINDS),
        row("<", "({0} < {1})", KINDS),
        row("<=", "({0} <= {1})", KINDS),
        row(">", "({0} > {1})", KINDS),
        row(">=", "({0} >= {1})", KINDS),
        row("BETWEEN", "({0} BETWEEN {1} AND {2})", KINDS),
        row("IS NOT DISTINCT FROM", "({0} IS NOT DISTINCT FROM {1})", KINDS),
        row("IN", "({0} IN ({1..}))", KINDS),
        row("GROUP BY", "{0}", KINDS),
        row("DISTINCT", "{0}", KINDS),
        row("ORDER BY", "{0}", KINDS),
    ],
    aggregates: &[row("count", "count({0}){filter}", KINDS), row("max", "max({0}){filter}", KINDS)],
    type_name,
    max_depth: 12,
    ..SqlDialect::NOTHING
};

const fn shape(shape: Shape) -> SqlShape {
    SqlShape { shape, sql: "", reason: "", test: "" }
}

const fn row(name: &'static str, sql: &'static str, kinds: &'static [SqlKind]) -> SqlSpelling {
    SqlSpelling { name, sql, kinds, only: None, reason: "", test: "" }
}

fn type_name(data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::Boolean => Some("BOOLEAN".to_owned()),
        DataType::Int64 => Some("BIGINT".to_owned()),
        DataType::Date32 => Some("DATE".to_owned()),
        DataType::Utf8 => Some("VARCHAR".to_owned()),
        _ => None,
    }
}
