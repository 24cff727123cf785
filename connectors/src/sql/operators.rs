//! Operators as SQL: each is a query over the derived tables of its inputs.

use std::cell::Cell;

use datafusion::common::NullEquality;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, FetchType, Join, JoinType, Limit, LogicalPlan, SkipType, Sort, TableScan,
};

use super::dialect::SqlDialect;
use super::expressions::Scope;
use super::literals::name;
use crate::refusal::Refusal;

type Result<T> = std::result::Result<T, Refusal>;

/// Returns the parts of the name of a scanned port's table in the database; `None` if it has none.
type Relation<'a> = dyn Fn(&TableScan) -> Option<Vec<String>> + 'a;

/// Returns a plan as a query in SQL. Its columns are `c0`, `c1`, … in the order of the plan's. A plan without columns has
/// one in SQL. `relation` returns the parts of the name of a scanned port's table.
///
/// # Errors
/// The first operator or expression that the dialect does not have.
///
/// # Examples
///
/// ```
/// use arrow::datatypes::{DataType, Field, Schema};
/// use datafusion::logical_expr::{col, lit, table_scan};
/// use portolan_connectors::sql::{SqlDialect, query};
///
/// static DIALECT: SqlDialect = SqlDialect {
///     name: "example SQL",
///     quote: '"',
///     joins: &[],
///     functions: &[],
///     aggregates: &[],
///     type_name: |data_type| (*data_type == DataType::Int64).then(|| "BIGINT".to_owned()),
///     compares: |data_type| *data_type == DataType::Int64,
///     computes: |_, _, _, _| false,
///     casts: |_, _| false,
///     max_depth: 10,
/// };
///
/// let schema = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
/// let plan = table_scan(Some("orders"), &schema, None)?.filter(col("id").gt(lit(5_i64)))?.build()?;
/// let sql = query(&plan, &DIALECT, &|_| Some(vec!["shop".into(), "orders".into()])).map_err(|r| r.to_string());
/// assert_eq!(
///     sql.as_deref(),
///     Ok(r#"SELECT q1.c0 FROM (SELECT t."id" AS c0 FROM "shop"."orders" AS t) AS q1 WHERE (q1.c0 > CAST('5' AS BIGINT))"#)
/// );
/// # Ok::<_, datafusion::error::DataFusionError>(())
/// ```
pub fn query(plan: &LogicalPlan, dialect: &SqlDialect, relation: &Relation<'_>) -> Result<String> {
    Writer::new(dialect, relation).query(plan)
}

/// Checks that this one operator can be written, whatever its inputs are.
///
/// # Errors
/// The operator or the expression that the dialect does not have.
pub(crate) fn admits(operator: &LogicalPlan, dialect: &SqlDialect) -> Result<()> {
    let anywhere = |_: &TableScan| Some(vec![]);
    let writer = Writer::new(dialect, &anywhere);
    let inputs = operator.inputs().into_iter().map(|plan| writer.input(plan, String::new())).collect();
    writer.operator(operator, inputs).map(drop)
}

struct Writer<'a> {
    dialect: &'a SqlDialect,
    relation: &'a Relation<'a>,
    aliases: Cell<usize>,
    /// How many queries are around the present one.
    depth: Cell<usize>,
}

/// An input of an operator, as a derived table.
struct Input<'a> {
    plan: &'a LogicalPlan,
    alias: String,
    sql: String,
}

impl Input<'_> {
    fn from(&self) -> String {
        format!("({}) AS {}", self.sql, self.alias)
    }

    /// The list of its columns, under the names that they have in it.
    fn columns(&self) -> String {
        list((0..self.plan.schema().fields().len()).map(|i| format!("{}.c{i}", self.alias)))
    }
}

impl<'a> Writer<'a> {
    fn new(dialect: &'a SqlDialect, relation: &'a Relation<'a>) -> Self {
        Self { dialect, relation, aliases: Cell::new(0), depth: Cell::new(0) }
    }

    fn query(&self, plan: &'a LogicalPlan) -> Result<String> {
        let depth = self.depth.get();
        if depth >= self.dialect.max_depth {
            let nested = format!("more than {} queries inside one another", self.dialect.max_depth);
            return Err(Refusal::SqlOperator(self.dialect.name, nested));
        }
        self.depth.set(depth + 1);
        let query = self.nested(plan);
        self.depth.set(depth);
        query
    }

    fn nested(&self, plan: &'a LogicalPlan) -> Result<String> {
        // An order has an effect only in the query that has the limit.
        if let LogicalPlan::Limit(limit) = plan
            && let LogicalPlan::Sort(sort) = limit.input.as_ref()
        {
            let input = self.input(&sort.input, self.query(&sort.input)?);
            return Ok(format!("{} {}", self.sorted(sort, &input)?, self.bounds(limit, sort.fetch)?));
        }
        let inputs = plan.inputs().into_iter().map(|plan| Ok(self.input(plan, self.query(plan)?)));
        self.operator(plan, inputs.collect::<Result<_>>()?)
    }

    fn input(&self, plan: &'a LogicalPlan, sql: String) -> Input<'a> {
        self.aliases.set(self.aliases.get() + 1);
        Input { plan, alias: format!("q{}", self.aliases.get()), sql }
    }

    fn operator(&self, plan: &LogicalPlan, mut inputs: Vec<Input<'_>>) -> Result<String> {
        let schema = merge_schema(&plan.inputs());
        let scope = Scope {
            dialect: self.dialect,
            schema: &schema,
            inputs: inputs.iter().map(|input| (input.plan.schema().as_ref(), input.alias.clone())).collect(),
        };
        match (plan, inputs.as_slice()) {
            (LogicalPlan::TableScan(scan), []) => self.scan(scan),
            // The columns of an alias are those of its input.
            (LogicalPlan::SubqueryAlias(_), [_]) => Ok(inputs.remove(0).sql),
            (LogicalPlan::Projection(projection), [input]) => {
                let columns = projection.expr.iter().map(|expr| scope.expression(expr));
                Ok(format!("SELECT {} FROM {}", named(columns.collect::<Result<Vec<_>>>()?), input.from()))
            }
            (LogicalPlan::Filter(filter), [input]) => {
                let condition = scope.expression(&filter.predicate)?;
                Ok(format!("SELECT {} FROM {} WHERE {condition}", input.columns(), input.from()))
            }
            (LogicalPlan::Aggregate(aggregate), [input]) => grouped(aggregate, &scope, input),
            (LogicalPlan::Distinct(Distinct::All(_)), [input]) => {
                let columns = plan.schema().columns().into_iter().map(Expr::Column);
                columns.map(|column| scope.compared(&column)).collect::<Result<Vec<_>>>()?;
                Ok(format!("SELECT DISTINCT {} FROM {}", input.columns(), input.from()))
            }
            (LogicalPlan::Sort(sort), [input]) => match sort.fetch {
                Some(rows) => Ok(format!("{} LIMIT {rows}", self.sorted(sort, input)?)),
                // Without a limit, an order has no effect on the rows of a derived table.
                None => Err(Refusal::SqlOperator(self.dialect.name, "a sort without a limit".to_owned())),
            },
            (LogicalPlan::Limit(limit), [input]) => {
                let fetch = match limit.input.as_ref() {
                    // The query of both is written when the input is.
                    LogicalPlan::Sort(sort) => self.sorted(sort, input).map(|_| sort.fetch)?,
                    below if is_ordered(below) => return Err(self.refused(plan)),
                    _ => None,
                };
                Ok(format!("SELECT {} FROM {} {}", input.columns(), input.from(), self.bounds(limit, fetch)?))
            }
            (LogicalPlan::Join(join), [left, right]) => self.join(join, &scope, left, right),
            (LogicalPlan::Union(_), inputs) if !inputs.is_empty() => {
                let parts = inputs.iter().map(|input| format!("SELECT {} FROM {}", input.columns(), input.from()));
                Ok(parts.collect::<Vec<_>>().join(" UNION ALL "))
            }
            _ => Err(self.refused(plan)),
        }
    }

    fn scan(&self, scan: &TableScan) -> Result<String> {
        let Some(parts) = (self.relation)(scan) else { return Err(Refusal::NoTable(scan.table_name.to_string())) };
        if !scan.filters.is_empty() {
            return Err(Refusal::SqlOperator(self.dialect.name, "a scan with filters".to_owned()));
        }
        let table = parts.iter().map(|part| name(part, self.dialect)).collect::<Vec<_>>().join(".");
        let fields = scan.projected_schema.fields().iter();
        let columns = fields.map(|field| format!("t.{}", name(field.name(), self.dialect)));
        Ok(format!("SELECT {} FROM {table} AS t", named(columns)))
    }

    /// A sorted query, without the bounds that the order is for.
    fn sorted(&self, sort: &Sort, input: &Input<'_>) -> Result<String> {
        let scope = self.scope_of(input);
        let key = |key: &datafusion::logical_expr::SortExpr| {
            let direction = if key.asc { "ASC" } else { "DESC" };
            let nulls = if key.nulls_first { "FIRST" } else { "LAST" };
            Ok(format!("{} {direction} NULLS {nulls}", scope.compared(&key.expr)?))
        };
        let keys = sort.expr.iter().map(key).collect::<Result<Vec<_>>>()?;
        Ok(format!("SELECT {} FROM {} ORDER BY {}", input.columns(), input.from(), keys.join(", ")))
    }

    /// The scope of expressions that read one input.
    fn scope_of<'b>(&'b self, input: &'b Input<'_>) -> Scope<'b> {
        let schema = input.plan.schema();
        Scope { dialect: self.dialect, schema, inputs: vec![(schema, input.alias.clone())] }
    }

    /// The bounds of a limit over at most `fetch` rows.
    fn bounds(&self, limit: &Limit, fetch: Option<usize>) -> Result<String> {
        let refused = || Refusal::SqlOperator(self.dialect.name, "a limit that is computed".to_owned());
        let SkipType::Literal(skip) = limit.get_skip_type().map_err(|_| refused())? else { return Err(refused()) };
        let FetchType::Literal(own) = limit.get_fetch_type().map_err(|_| refused())? else { return Err(refused()) };
        let below = fetch.map(|fetch| fetch.saturating_sub(skip));
        // The largest number stands for no end, in plans that were decoded.
        let rows = own.into_iter().chain(below).min().filter(|rows| *rows < i64::MAX as usize);
        Ok(match (rows, skip) {
            (Some(rows), 0) => format!("LIMIT {rows}"),
            (Some(rows), skip) => format!("LIMIT {rows} OFFSET {skip}"),
            (None, skip) => format!("OFFSET {skip}"),
        })
    }

    fn join(&self, join: &Join, scope: &Scope<'_>, left: &Input<'_>, right: &Input<'_>) -> Result<String> {
        // A right join is a left join with its sides exchanged.
        let (join_type, first, second) = match join.join_type {
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti => (join.join_type.swap(), right, left),
            other => (other, left, right),
        };
        let refused = || Refusal::SqlOperator(self.dialect.name, format!("{} Join", join.join_type));
        if !self.dialect.joins.contains(&join_type) || join.null_aware {
            return Err(refused());
        }
        let equal = match join.null_equality {
            NullEquality::NullEqualsNothing => "=",
            NullEquality::NullEqualsNull => "IS NOT DISTINCT FROM",
        };
        let mut conditions = vec![];
        // Each key belongs to its side, although the other side may have a column that answers to its name.
        let (of_left, of_right) = (self.scope_of(left), self.scope_of(right));
        for (left, right) in &join.on {
            conditions.push(format!("({} {equal} {})", of_left.compared(left)?, of_right.compared(right)?));
        }
        if let Some(filter) = &join.filter {
            conditions.push(scope.expression(filter)?);
        }
        let condition = if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") };
        let word = match join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => return Ok(exists(first, second, &condition, join_type)),
            JoinType::Inner => "INNER JOIN",
            JoinType::Left => "LEFT JOIN",
            JoinType::Full => "FULL JOIN",
            _ => return Err(refused()),
        };
        let columns = [left, right]
            .into_iter()
            .flat_map(|input| (0..input.plan.schema().fields().len()).map(|i| format!("{}.c{i}", input.alias)));
        Ok(format!("SELECT {} FROM {} {word} {} ON {condition}", named(columns), first.from(), second.from()))
    }

    fn refused(&self, plan: &LogicalPlan) -> Refusal {
        Refusal::SqlOperator(self.dialect.name, plan.display().to_string())
    }
}

/// The rows of one input with a match in the other, or without one.
fn exists(kept: &Input<'_>, other: &Input<'_>, condition: &str, join_type: JoinType) -> String {
    let not = if join_type == JoinType::LeftAnti { "NOT " } else { "" };
    let (columns, kept, other) = (kept.columns(), kept.from(), other.from());
    format!("SELECT {columns} FROM {kept} WHERE {not}EXISTS (SELECT 1 FROM {other} WHERE {condition})")
}

fn grouped(aggregate: &Aggregate, scope: &Scope<'_>, input: &Input<'_>) -> Result<String> {
    let keys = aggregate.group_expr.iter().map(|expr| scope.compared(expr)).collect::<Result<Vec<_>>>()?;
    let values = aggregate.aggr_expr.iter().map(|expr| scope.aggregate(expr)).collect::<Result<Vec<_>>>()?;
    let group = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(", ")) };
    Ok(format!("SELECT {} FROM {}{group}", named(keys.into_iter().chain(values)), input.from()))
}

/// Returns true if the rows of a plan come in an order that a limit above depends on.
fn is_ordered(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Filter(_) | LogicalPlan::Limit(_) => {
            plan.inputs().into_iter().any(is_ordered)
        }
        _ => false,
    }
}

/// The columns as `c0`, `c1`, …; a constant if there are none.
fn named(columns: impl IntoIterator<Item = String>) -> String {
    list(columns.into_iter().enumerate().map(|(i, column)| format!("{column} AS c{i}")))
}

fn list(columns: impl IntoIterator<Item = String>) -> String {
    let columns: Vec<String> = columns.into_iter().collect();
    if columns.is_empty() { "1 AS c0".to_owned() } else { columns.join(", ") }
}
