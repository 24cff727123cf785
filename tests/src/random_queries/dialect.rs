//! The constructs that mean something else in DuckDB's SQL than in Portolan's, and the treatment of each
//! ([`Treatment`]). All other constructs mean the same, and are compared.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Join, JoinOperator, Query, Select, SetExpr, TableFactor, TableWithJoins, Value, VisitMut, VisitorMut,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use super::RandomQuery;

/// The treatment of a difference.
#[derive(Clone, Copy, Debug)]
pub(super) enum Treatment {
    /// DuckDB has a setting.
    Set(&'static str),
    /// The query is written in another way for DuckDB; see [`for_duckdb`].
    Rewritten,
    /// The comparison tolerates the difference; see `duckdb/comparable.rs`.
    Tolerated,
    /// Queries of this kind are not compared.
    Skipped,
    /// The generator does not write the construct.
    NotWritten,
}

/// A construct, its treatment, and the reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct DialectDifference {
    /// The construct. For a skipped one, the generator's name of its kind, unless only the rows show the difference.
    pub(super) construct: &'static str,
    pub(super) treatment: Treatment,
    /// The reason for the difference.
    pub(super) reason: &'static str,
}

use Treatment::{NotWritten, Rewritten, Set, Skipped, Tolerated};

const fn differs(construct: &'static str, treatment: Treatment, reason: &'static str) -> DialectDifference {
    DialectDifference { construct, treatment, reason }
}

/// The reason why a query is not compared: DuckDB itself has two results.
pub(super) const DUCKDB_DISAGREES: &str = "DuckDB 2.0.0 returns Portolan's rows without its optimizer, and others with it: the \
                                           filter of `ORDER BY … LIMIT` below a left join makes NULL of rows that have a match";

/// The reason why a query is not compared: DuckDB merged rows that differ only in digits that it rounds away.
pub(super) const DUCKDB_ROUNDS: &str = "DuckDB rounds decimals that would need more than 38 digits. Rows that differ only in \
                                        the lost digits become one row of a `UNION` or a `GROUP BY`";

/// All differences.
pub(super) const DIFFERENCES: &[DialectDifference] = &[
    differs(
        "`/` of integers",
        Set("SET integer_division = true"),
        "DuckDB divides integers as floating-point numbers, Portolan cuts the fraction off as PostgreSQL does",
    ),
    differs(
        "`ORDER BY x DESC` without `NULLS FIRST` or `NULLS LAST`",
        Set("SET default_null_order = 'postgres'"),
        "DuckDB puts NULLs last in both directions, Portolan first where the order descends, as PostgreSQL does",
    ),
    differs(
        "`ORDER BY` of a constant that is no integer",
        Set("SET order_by_non_integer_literal = true"),
        "DuckDB refuses it, because it has no effect",
    ),
    differs("a query whose rows depend on DuckDB's optimizer", Skipped, DUCKDB_DISAGREES),
    differs("a query in which rounded decimals make rows equal", Skipped, DUCKDB_ROUNDS),
    differs("`LEFT SEMI JOIN`, `LEFT ANTI JOIN`", Rewritten, "DuckDB writes them without LEFT"),
    differs("`RIGHT SEMI JOIN`, `RIGHT ANTI JOIN`", Rewritten, "DuckDB has none: the sides are swapped"),
    differs("`LIKE` with a backslash and no ESCAPE", Rewritten, "DuckDB has no escape character unless one is named"),
    differs("`SIMILAR TO`", Rewritten, "DuckDB's pattern is a regular expression, not one of SQL"),
    differs("the width of integers", Tolerated, "a sum of DuckDB is a HUGEINT; narrow integers stay narrow"),
    differs("the scale of decimals", Tolerated, "products and sums have other scales; their values are equal"),
    differs(
        "decimals that need more than 38 digits together",
        Tolerated,
        "DuckDB rounds them to fewer digits behind the point, Portolan keeps the digits",
    ),
    differs("`avg` of decimals", Tolerated, "DuckDB's is a floating-point number, Portolan's a decimal, rounded"),
    differs("names of columns that have no alias", Tolerated, "each makes up its own"),
    differs("sums and averages of floating-point numbers", Tolerated, "they depend on the order of addition"),
    differs(
        "rounded decimals in a subquery",
        Skipped,
        "a rounded average that is compared, grouped or added again gives other rows than one that is not rounded",
    ),
    differs("division by 0", NotWritten, "an error of Portolan's for integers, infinity for floating-point numbers"),
    differs("arithmetic on narrow integers at their ends", NotWritten, "DuckDB computes INTEGER + INTEGER in 32 bits"),
    differs(
        "casts of numbers with a fraction to integers",
        NotWritten,
        "DuckDB rounds, Portolan cuts the fraction off",
    ),
    differs("casts of floating-point numbers and instants to text", NotWritten, "each prints them in its own way"),
    differs("`substr` from a position that is not positive", NotWritten, "DuckDB counts it from the end"),
    differs("differences of dates", NotWritten, "DuckDB's is a number of days, Portolan's an interval"),
    differs("quotients of decimals", NotWritten, "DuckDB's are floating-point numbers, Portolan's rounded decimals"),
    differs("`upper` of `ß`", NotWritten, "Unicode has two capital forms"),
];

/// Returns the settings for DuckDB.
pub fn settings() -> Vec<&'static str> {
    let set = |d: &DialectDifference| match d.treatment {
        Set(statement) => Some(statement),
        _ => None,
    };
    // The tests may have only two cores, and DuckDB shares them.
    DIFFERENCES.iter().filter_map(set).chain(["SET threads = 1", "SET memory_limit = '2GB'"]).collect()
}

/// Returns the reason why a query is not compared with DuckDB; `None` if it is compared.
pub(super) fn skipped(query: &RandomQuery) -> Option<&'static str> {
    let skips = |d: &&DialectDifference| matches!(d.treatment, Skipped) && query.kinds.contains(d.construct);
    DIFFERENCES.iter().find(skips).map(|d| d.reason)
}

/// Returns the query that means the same to DuckDB. A query that cannot be parsed stays as it is.
pub fn for_duckdb(sql: &str) -> String {
    let Ok(mut statements) = Parser::parse_sql(&GenericDialect {}, sql) else { return sql.to_owned() };
    let Some(mut statement) = statements.pop() else { return sql.to_owned() };
    // The visitor never breaks.
    let _ = VisitMut::visit(&mut statement, &mut Rewrite);
    statement.to_string()
}

struct Rewrite;

impl VisitorMut for Rewrite {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        rewrite_body(&mut query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Like { pattern, escape_char: escape_char @ None, .. } if pattern.to_string().contains('\\') => {
                *escape_char = Some(Value::SingleQuotedString("\\".into()).into());
            }
            Expr::SimilarTo { pattern, .. } => {
                if let Expr::Value(value) = &mut **pattern
                    && let Value::SingleQuotedString(text) = &mut value.value
                {
                    *text = text.replace('%', ".*").replace('_', ".");
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn rewrite_body(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => rewrite_joins(select),
        SetExpr::SetOperation { left, right, .. } => {
            rewrite_body(left);
            rewrite_body(right);
        }
        _ => {}
    }
}

fn rewrite_joins(select: &mut Select) {
    for table in &mut select.from {
        let joins = std::mem::take(&mut table.joins);
        for join in joins {
            let swapped = match join.join_operator {
                JoinOperator::LeftSemi(on) => Ok(JoinOperator::Semi(on)),
                JoinOperator::LeftAnti(on) => Ok(JoinOperator::Anti(on)),
                JoinOperator::RightSemi(on) => Err(JoinOperator::Semi(on)),
                JoinOperator::RightAnti(on) => Err(JoinOperator::Anti(on)),
                other => Ok(other),
            };
            match swapped {
                Ok(join_operator) => table.joins.push(Join { join_operator, ..join }),
                Err(join_operator) => {
                    let left =
                        std::mem::replace(table, TableWithJoins { relation: join.relation.clone(), joins: vec![] });
                    let relation = if left.joins.is_empty() {
                        left.relation
                    } else {
                        TableFactor::NestedJoin { table_with_joins: Box::new(left), alias: None }
                    };
                    table.joins.push(Join { relation, join_operator, ..join });
                }
            }
        }
    }
}
