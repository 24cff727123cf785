//! Operators as SQL: each is a query over the derived tables of its inputs.

use std::cell::Cell;
use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, TableScan};

use super::aggregates::grouped;
use super::allowed::{Shape, SqlKind};
use super::dialect::SqlDialect;
use super::expressions::Scope;
pub(super) use super::queries::Input;
use super::queries::{Body, Query, QueryColumn, RANGE_MARK};
use super::rows::{has_one_row, is_ordered, is_row_wise};
use super::table::{ColumnUsage, SqlColumn, SqlQuery, SqlRanges, SqlTable};
use crate::refusal::Refusal;

type Result<T> = std::result::Result<T, Refusal>;

/// Returns the table of a scanned port in the database; `None` if it has none.
type Relation<'a> = dyn Fn(&TableScan) -> Option<Arc<SqlTable>> + 'a;

/// Returns a plan as a query in SQL. Its columns are `c0`, `c1`, … in the order of the plan's. A plan without columns has
/// one in SQL. `relation` returns the table of a scanned port.
///
/// # Errors
/// The first operator or expression that the dialect does not have.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use arrow::datatypes::{DataType, Field, Schema};
/// use datafusion::logical_expr::{col, lit, table_scan};
/// use portolan_connectors::sql::{ColumnUsage, POSTGRES, SqlColumn, SqlTable, query};
///
/// let schema = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
/// let plan = table_scan(Some("orders"), &schema, None)?.filter(col("id").gt(lit(5_i64)))?.build()?;
/// let id = SqlColumn { name: "id".into(), sql: r#"t."id""#.into(), usage: ColumnUsage::All };
/// let from = r#""shop"."orders""#.into();
/// let table = Arc::new(SqlTable { from, columns: vec![id], has_ranges: false, is_stored: true });
/// let sql = query(&plan, &POSTGRES, &|_| Some(table.clone())).map(|sql| sql.text).map_err(|r| r.to_string());
/// assert_eq!(
///     sql.as_deref(),
///     Ok("SELECT CAST(q1.c0 AS int8) AS c0 FROM (SELECT t.\"id\" AS c0 FROM \"shop\".\"orders\" AS t) AS q1 \
///         WHERE (q1.c0 > CAST('5' AS int8))")
/// );
/// # Ok::<_, datafusion::error::DataFusionError>(())
/// ```
pub fn query(plan: &LogicalPlan, dialect: &SqlDialect, relation: &Relation<'_>) -> Result<SqlQuery> {
    let writer = Writer::new(dialect, relation);
    let query = writer.query(plan)?;
    let text = writer.bounded(writer.finished(&query, plan.schema())?)?;
    let at = text.find(RANGE_MARK);
    let ranges = at.filter(|_| is_row_wise(plan) && text.matches(RANGE_MARK).count() == 1);
    let ranges = ranges.zip(writer.ranged.take()).map(|(at, from)| SqlRanges { at, from });
    Ok(SqlQuery { text: text.replace(RANGE_MARK, ""), ranges })
}

/// Returns the bytes of this one operator, whatever its inputs are.
///
/// # Errors
/// The operator or the expression that the dialect does not have.
pub(crate) fn admits(operator: &LogicalPlan, dialect: &SqlDialect) -> Result<usize> {
    let anywhere = |scan: &TableScan| Some(Arc::new(any_table(scan)));
    let writer = Writer::new(dialect, &anywhere);
    let unknown = QueryColumn { usage: ColumnUsage::All, is_stored: true };
    let input = |plan| writer.input(plan, String::new(), vec![unknown; plan.schema().fields().len()]);
    let inputs: Vec<Input<'_>> = operator.inputs().into_iter().map(input).collect();
    let query = writer.operator(operator, &inputs)?;
    writer.finished(&query, operator.schema()).map(|text| text.len())
}

/// Returns a table with the columns of a scan, for an operator whose inputs are not known.
fn any_table(scan: &TableScan) -> SqlTable {
    let column = |name: &String| SqlColumn { name: name.clone(), sql: "t".to_owned(), usage: ColumnUsage::All };
    let columns = scan.projected_schema.fields().iter().map(|field| column(field.name())).collect();
    SqlTable { from: String::new(), columns, has_ranges: false, is_stored: true }
}

pub(super) struct Writer<'a> {
    pub(super) dialect: &'a SqlDialect,
    relation: &'a Relation<'a>,
    aliases: Cell<usize>,
    /// The number of queries around the present one.
    depth: Cell<usize>,
    tables: Cell<usize>,
    /// The last scanned table that has ranges.
    ranged: Cell<Option<String>>,
}

impl<'a> Writer<'a> {
    fn new(dialect: &'a SqlDialect, relation: &'a Relation<'a>) -> Self {
        let (aliases, depth, tables, ranged) = Default::default();
        Self { dialect, relation, aliases, depth, tables, ranged }
    }

    fn query(&self, plan: &LogicalPlan) -> Result<Query> {
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

    fn nested(&self, plan: &LogicalPlan) -> Result<Query> {
        // The columns of an alias are those of its input.
        if let LogicalPlan::SubqueryAlias(alias) = plan {
            return self.nested(&alias.input);
        }
        // An order has an effect only in the query that has the limit.
        if let LogicalPlan::Limit(limit) = plan
            && let LogicalPlan::Sort(sort) = limit.input.as_ref()
        {
            let input = self.derived(&sort.input)?;
            return self.sorted(sort, &input, &self.bounds(limit, sort.fetch)?);
        }
        let inputs = plan.inputs().into_iter().map(|plan| self.derived(plan)).collect::<Result<Vec<_>>>()?;
        self.operator(plan, &inputs)
    }

    /// Returns a plan as an input of an operator.
    fn derived<'p>(&self, plan: &'p LogicalPlan) -> Result<Input<'p>> {
        let query = self.query(plan)?;
        Ok(self.input(plan, self.bounded(query.text())?, query.columns))
    }

    fn input<'p>(&self, plan: &'p LogicalPlan, sql: String, columns: Vec<QueryColumn>) -> Input<'p> {
        Input { plan, alias: self.alias(), sql, columns, is_exact: false }
    }

    /// Returns the name of another derived table.
    pub(super) fn alias(&self) -> String {
        self.aliases.set(self.aliases.get() + 1);
        format!("q{}", self.aliases.get())
    }

    fn operator(&self, plan: &LogicalPlan, inputs: &[Input<'_>]) -> Result<Query> {
        let schema = merge_schema(&plan.inputs());
        let scope = Scope::new(self, &schema, inputs.iter().collect());
        match (plan, inputs) {
            (LogicalPlan::TableScan(scan), []) => self.scan(scan),
            (LogicalPlan::SubqueryAlias(_), [input]) => Ok(passed(input, format!("FROM {}", input.from()))),
            (LogicalPlan::Projection(projection), [input]) => {
                self.needs(Shape::Projection, || plan.display().to_string())?;
                let columns = projection.expr.iter().map(|expr| projected(expr, &scope)).collect::<Result<Vec<_>>>()?;
                let (columns, known) = columns.into_iter().unzip();
                let clauses = format!("FROM {}", input.from());
                Ok(Query { body: Body::Select { columns, clauses }, columns: known })
            }
            (LogicalPlan::Filter(filter), [input]) => {
                self.needs(Shape::Filter, || plan.display().to_string())?;
                let condition = scope.condition(&filter.predicate)?;
                Ok(passed(input, format!("FROM {} WHERE {condition}", input.from())))
            }
            (LogicalPlan::Aggregate(aggregate), [input]) => {
                self.needs(Shape::Aggregate, || plan.display().to_string())?;
                grouped(aggregate, &scope, input)
            }
            (LogicalPlan::Distinct(Distinct::All(_)), [input]) => {
                self.needs(Shape::Distinct, || plan.display().to_string())?;
                let columns = input.schema().columns().into_iter().map(Expr::Column);
                let columns = columns.map(|column| scope.key("DISTINCT", &column)).collect::<Result<Vec<_>>>()?;
                let text = format!("SELECT DISTINCT {} FROM {}", super::queries::named(&columns), input.from());
                Ok(Query { body: Body::Whole(text), columns: input.columns.clone() })
            }
            (LogicalPlan::Sort(sort), [input]) => match sort.fetch {
                Some(rows) => self.sorted(sort, input, &format!("LIMIT {rows}")),
                // Without a limit, an order has no effect on the rows of a derived table.
                None => Err(Refusal::SqlOperator(self.dialect.name, "a sort without a limit".to_owned())),
            },
            (LogicalPlan::Limit(limit), [input]) => match limit.input.as_ref() {
                // The query of both is written when the input is.
                LogicalPlan::Sort(sort) => {
                    let below = self.input(&sort.input, String::new(), input.columns.clone());
                    self.sorted(sort, &below, &self.bounds(limit, sort.fetch)?)
                }
                below if is_ordered(below) => Err(self.refused(plan)),
                _ => {
                    self.needs(Shape::Limit, || plan.display().to_string())?;
                    Ok(passed(input, format!("FROM {} {}", input.from(), self.bounds(limit, None)?)))
                }
            },
            (LogicalPlan::Join(join), [left, right]) => self.join(join, &scope, left, right),
            (LogicalPlan::Union(_), [_, ..]) => self.union(plan, inputs),
            _ => Err(self.refused(plan)),
        }
    }

    fn scan(&self, scan: &TableScan) -> Result<Query> {
        let no_table = || Refusal::NoTable(scan.table_name.to_string());
        let table = (self.relation)(scan).ok_or_else(no_table)?;
        if !scan.filters.is_empty() {
            return Err(Refusal::SqlOperator(self.dialect.name, "a scan with filters".to_owned()));
        }
        self.tables.set(self.tables.get() + 1);
        if self.tables.get() > self.dialect.max_tables {
            let many = format!("more than {} tables in a query", self.dialect.max_tables);
            return Err(Refusal::SqlOperator(self.dialect.name, many));
        }
        if table.has_ranges {
            self.ranged.set(Some(table.from.clone()));
        }
        let columns = scan.projected_schema.fields().iter().map(|field| {
            let column = table.columns.iter().find(|column| column.name == *field.name()).ok_or_else(no_table)?;
            Ok((column.sql.clone(), QueryColumn { usage: column.usage, is_stored: true }))
        });
        let (columns, known) = columns.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let mark = if table.has_ranges { RANGE_MARK.to_string() } else { String::new() };
        let clauses = format!("FROM {} AS t{mark}", table.from);
        Ok(Query { body: Body::Select { columns, clauses }, columns: known })
    }

    fn union(&self, plan: &LogicalPlan, inputs: &[Input<'_>]) -> Result<Query> {
        self.needs(Shape::UnionAll, || plan.display().to_string())?;
        let mut columns = inputs[0].columns.clone();
        let mut parts = vec![];
        for input in inputs {
            for (i, column) in input.columns.iter().enumerate() {
                // Databases find a common type for the columns of several queries.
                let (own, whole) = (input.schema().field(i).data_type(), plan.schema().field(i).data_type());
                if own != whole && !(own.is_string() && whole.is_string()) {
                    return Err(self.refused(plan));
                }
                columns[i] = columns[i].merged(*column);
            }
            // Columns of strings may have collations that do not go together.
            let exact = |i: usize, column: String| match SqlKind::of(input.schema().field(i).data_type()) {
                Some(SqlKind::Text) => self.dialect.exact_text.replace("{0}", &column),
                _ => column,
            };
            let all: Vec<String> = input.all().into_iter().enumerate().map(|(i, column)| exact(i, column)).collect();
            parts.push(format!("SELECT {} FROM {}", super::queries::named(&all), input.from()));
        }
        for column in &mut columns {
            column.is_stored = false;
        }
        Ok(Query { body: Body::Whole(parts.join(" UNION ALL ")), columns })
    }

    /// Returns a subquery in an expression.
    pub(super) fn scalar_subquery(&self, plan: &LogicalPlan, refused: impl Fn() -> Refusal) -> Result<String> {
        if !has_one_row(plan) || plan.schema().fields().len() != 1 {
            return Err(refused());
        }
        let query = self.query(plan)?;
        match query.columns.as_slice() {
            [column] if column.usage == ColumnUsage::All => Ok(format!("({})", query.text())),
            _ => Err(refused()),
        }
    }

    /// Returns the text of the outermost query, which returns the columns as the reader expects them.
    fn finished(&self, query: &Query, schema: &DFSchema) -> Result<String> {
        let Some(wire_type) = self.dialect.wire_type else { return Ok(query.text()) };
        let cast = |(column, field): (String, &Arc<arrow::datatypes::Field>)| match wire_type(field.data_type()) {
            Some(name) => Ok(format!("CAST({column} AS {name})")),
            None => {
                let returned = format!("a column of type {}", field.data_type());
                Err(Refusal::SqlOperator(self.dialect.name, returned))
            }
        };
        let (columns, clauses) = match &query.body {
            Body::Select { columns, clauses } => (columns.clone(), clauses.clone()),
            Body::Whole(text) => {
                let alias = self.alias();
                let columns = (0..query.columns.len()).map(|i| format!("{alias}.c{i}")).collect();
                (columns, format!("FROM ({text}) AS {alias}"))
            }
        };
        let columns = columns.into_iter().zip(schema.fields()).map(cast).collect::<Result<Vec<_>>>()?;
        Ok(Query { body: Body::Select { columns, clauses }, columns: vec![] }.text())
    }

    /// Returns the scope of expressions that read one input.
    pub(super) fn scope_of<'s>(&'s self, input: &'s Input<'s>) -> Scope<'s> {
        Scope::new(self, input.schema(), vec![input])
    }

    /// Returns a text if it is not longer than a query may be.
    pub(super) fn bounded(&self, sql: String) -> Result<String> {
        match sql.len() > self.dialect.max_bytes {
            true => Err(Refusal::SqlLength(self.dialect.name, self.dialect.max_bytes)),
            false => Ok(sql),
        }
    }

    /// Checks that the dialect has an operator of plans.
    pub(super) fn needs(&self, shape: Shape, shown: impl Fn() -> String) -> Result<()> {
        match self.dialect.has(shape) {
            true => Ok(()),
            false => Err(Refusal::SqlOperator(self.dialect.name, shown())),
        }
    }

    fn refused(&self, plan: &LogicalPlan) -> Refusal {
        Refusal::SqlOperator(self.dialect.name, plan.display().to_string())
    }
}

/// Returns a query that returns the columns of its input.
fn passed(input: &Input<'_>, clauses: String) -> Query {
    Query { body: Body::Select { columns: input.all(), clauses }, columns: input.columns.clone() }
}

/// Returns a column of a projection. A column that is returned as it is stays what it was.
fn projected(expr: &Expr, scope: &Scope<'_>) -> Result<(String, QueryColumn)> {
    match scope.position(expr) {
        Some((input, index)) => Ok((input.column(index), input.columns[index])),
        None => Ok((scope.expression(expr)?, QueryColumn::COMPUTED)),
    }
}
