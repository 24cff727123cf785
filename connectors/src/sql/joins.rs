//! Joins as SQL. A right join is a left join with its sides exchanged, and semi and anti joins are written with `EXISTS`.

use datafusion::common::NullEquality;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, Join, JoinType, Operator, binary_expr};

use super::allowed::{Shape, SqlKind};
use super::expressions::Scope;
use super::operators::Writer;
use super::queries::{Body, Input, Query, QueryColumn, named};
use super::table::ColumnUsage;
use super::templates::exact;
use crate::refusal::Refusal;

type Result<T> = std::result::Result<T, Refusal>;

impl Writer<'_> {
    pub(super) fn join(&self, join: &Join, scope: &Scope<'_>, left: &Input<'_>, right: &Input<'_>) -> Result<Query> {
        let (join_type, first, second) = match Shape::of_join(join.join_type) {
            Some(_) => (join.join_type, left, right),
            None => (join.join_type.swap(), right, left),
        };
        let refused = || Refusal::SqlOperator(self.dialect.name, format!("{} Join", join.join_type));
        let shape = match (Shape::of_join(join_type), join.null_aware) {
            (Some(Shape::AntiJoin), true) => Shape::NullAwareAntiJoin,
            (Some(shape), false) => shape,
            _ => return Err(refused()),
        };
        if !self.dialect.has(shape) {
            return Err(refused());
        }
        if shape == Shape::NullAwareAntiJoin {
            return self.not_in(join, first, second).and_then(|query| query.ok_or_else(refused));
        }
        let is_exists = matches!(shape, Shape::SemiJoin | Shape::AntiJoin | Shape::MarkJoin);
        if is_exists && self.dialect.hashes_in && !join.on.is_empty() {
            match self.hashed(join, shape, first, second, std::ptr::eq(first, right))? {
                Hashed::Query(query) => return Ok(query),
                Hashed::Unchanged => {}
                Hashed::Impossible => return Err(refused()),
            }
        }
        if is_exists && self.dialect.caches_subqueries && !first.is_exact {
            let exact = self.with_exact_text(first);
            let (left, right) = if std::ptr::eq(first, left) { (&exact, right) } else { (left, &exact) };
            let scope = Scope::new(self, scope.schema, vec![left, right]);
            return self.join(join, &scope, left, right);
        }
        let condition = self.join_condition(join, scope, left, right)?;
        match shape {
            Shape::SemiJoin | Shape::AntiJoin => {
                let not = if shape == Shape::AntiJoin { "NOT " } else { "" };
                let clauses = format!("FROM {} WHERE {not}{}", first.from(), exists(second, &condition));
                Ok(Query { body: Body::Select { columns: first.all(), clauses }, columns: first.columns.clone() })
            }
            Shape::MarkJoin => {
                let mut query_columns = first.columns.clone();
                query_columns.push(QueryColumn::COMPUTED);
                let mut columns = first.all();
                columns.push(exists(second, &condition));
                let clauses = format!("FROM {}", first.from());
                Ok(Query { body: Body::Select { columns, clauses }, columns: query_columns })
            }
            Shape::FullJoin if !self.is_of_stored_keys(join, left, right) => Err(refused()),
            _ => {
                let word = match shape {
                    Shape::InnerJoin => "INNER JOIN",
                    Shape::LeftJoin => "LEFT JOIN",
                    Shape::FullJoin => "FULL JOIN",
                    _ => return Err(refused()),
                };
                let columns = [left.all(), right.all()].concat();
                let clauses = format!("FROM {} {word} {} ON {condition}", first.from(), second.from());
                let query_columns = [left.columns.clone(), right.columns.clone()].concat();
                Ok(Query { body: Body::Select { columns, clauses }, columns: query_columns })
            }
        }
    }

    /// Returns an input whose strings compare by their bytes wherever they are read.
    fn with_exact_text<'p>(&self, input: &Input<'p>) -> Input<'p> {
        let exact = |index: usize| {
            let (column, known) = (input.column(index), input.columns[index]);
            let is_text = input.schema().field(index).data_type().is_string();
            match is_text && known.usage == ColumnUsage::All {
                true => self.dialect.exact_text.replace("{0}", &column),
                false => column,
            }
        };
        let columns: Vec<String> = (0..input.columns.len()).map(exact).collect();
        let sql = format!("SELECT {} FROM {}", named(&columns), input.from());
        Input { plan: input.plan, alias: self.alias(), sql, columns: input.columns.clone(), is_exact: true }
    }

    fn join_condition(&self, join: &Join, scope: &Scope<'_>, left: &Input<'_>, right: &Input<'_>) -> Result<String> {
        let (operator, name) = match join.null_equality {
            NullEquality::NullEqualsNothing => (Operator::Eq, "="),
            NullEquality::NullEqualsNull => (Operator::IsNotDistinctFrom, "IS NOT DISTINCT FROM"),
        };
        // Each key belongs to its side, although the other side may have a column that answers to its name.
        let (of_left, of_right) = (self.scope_of(left), self.scope_of(right));
        let mut conditions = vec![];
        for (left, right) in &join.on {
            let operands = [of_left.operand(left)?, of_right.operand(right)?];
            let shown = binary_expr(left.clone(), operator, right.clone());
            conditions.push(scope.comparison(name, operands, &shown)?);
        }
        if let Some(filter) = &join.filter {
            conditions.push(scope.condition(filter)?);
        }
        Ok(match conditions.is_empty() {
            true => "TRUE".to_owned(),
            false => conditions.join(" AND "),
        })
    }

    /// Returns a semi, an anti or a mark join in a form whose keys the database hashes. `is_swapped` says that the kept side
    /// is the right one.
    fn hashed(
        &self,
        join: &Join,
        shape: Shape,
        first: &Input<'_>,
        second: &Input<'_>,
        is_swapped: bool,
    ) -> Result<Hashed> {
        let is_null_safe = join.null_equality == NullEquality::NullEqualsNull;
        let (of_first, of_second) = (self.scope_of(first), self.scope_of(second));
        let (mut kept, mut others, mut not_null) = (vec![], vec![], vec![]);
        let mut has_text = false;
        for (left, right) in &join.on {
            let (own, other) = if is_swapped { (right, left) } else { (left, right) };
            let operands = [of_first.operand(own)?, of_second.operand(other)?];
            // A comparison of these operands must be allowed.
            let name = if is_null_safe { "IS NOT DISTINCT FROM" } else { "=" };
            let shown = binary_expr(left.clone(), Operator::Eq, right.clone());
            of_first.comparison(name, operands.clone(), &shown)?;
            let kind = SqlKind::of(&operands[0].data_type);
            has_text |= kind == Some(SqlKind::Text);
            let [own, other] = operands.map(|operand| exact(&operand, self.dialect));
            match kind {
                // A key that is NULL on both sides matches: the second value tells NULL from the value in its place.
                kind if is_null_safe => {
                    let instead = instead_of_null(kind);
                    kept.extend([format!("({own} IS NULL)"), format!("COALESCE({own}, {instead})")]);
                    others.extend([format!("({other} IS NULL)"), format!("COALESCE({other}, {instead})")]);
                }
                // The database would look `own` up in an index of `other`, cut to the digits of that column.
                Some(SqlKind::Decimal | SqlKind::Timestamp | SqlKind::Instant) => {
                    not_null.push(format!("({other} IS NOT NULL)"));
                    kept.push(own);
                    others.push(format!("COALESCE({other})"));
                }
                _ => {
                    not_null.push(format!("({other} IS NOT NULL)"));
                    kept.push(own);
                    others.push(other);
                }
            }
        }
        if join.filter.is_some() {
            return match shape {
                Shape::AntiJoin if !has_text && !is_null_safe => self.unmatched(join, first, second, is_swapped),
                Shape::SemiJoin => Ok(Hashed::Unchanged),
                _ => Ok(Hashed::Impossible),
            };
        }
        let kept = if kept.len() == 1 { kept.concat() } else { format!("({})", kept.join(", ")) };
        // Without NULL among the keys, the server has no need to search for partial matches.
        let only = if not_null.is_empty() { String::new() } else { format!(" WHERE {}", not_null.join(" AND ")) };
        let found = format!("({kept} IN (SELECT {} FROM {}{only}))", others.join(", "), second.from());
        let (mut columns, mut known, from) = (first.all(), first.columns.clone(), first.from());
        let clauses = match shape {
            Shape::SemiJoin => format!("FROM {from} WHERE {found}"),
            Shape::AntiJoin => format!("FROM {from} WHERE ({found} IS NOT TRUE)"),
            _ => {
                columns.push(format!("({found} IS TRUE)"));
                known.push(QueryColumn::COMPUTED);
                format!("FROM {from}")
            }
        };
        Ok(Hashed::Query(Query { body: Body::Select { columns, clauses }, columns: known }))
    }

    /// Returns an anti join as the rows of a left join without a match. A row with a match has a key that is not NULL.
    fn unmatched(&self, join: &Join, first: &Input<'_>, second: &Input<'_>, is_swapped: bool) -> Result<Hashed> {
        let (left, right) = if is_swapped { (second, first) } else { (first, second) };
        let schema = merge_schema(&[left.plan, right.plan]);
        let condition = self.join_condition(join, &Scope::new(self, &schema, vec![left, right]), left, right)?;
        let Some((of_left, of_right)) = join.on.first() else { return Ok(Hashed::Impossible) };
        let key = self.scope_of(second).operand(if is_swapped { of_left } else { of_right })?.sql;
        let joined = format!("FROM {} LEFT JOIN {} ON {condition}", first.from(), second.from());
        let clauses = format!("{joined} WHERE ({key} IS NULL)");
        let body = Body::Select { columns: first.all(), clauses };
        Ok(Hashed::Query(Query { body, columns: first.columns.clone() }))
    }

    /// Returns the anti join of `x NOT IN (SELECT y …)`, which SQL defines by three-valued logic: a NULL on the right side
    /// excludes every row.
    fn not_in(&self, join: &Join, first: &Input<'_>, second: &Input<'_>) -> Result<Option<Query>> {
        let ([(left, right)], None, NullEquality::NullEqualsNothing) =
            (join.on.as_slice(), &join.filter, join.null_equality)
        else {
            return Ok(None);
        };
        let (of_left, of_right) = (self.scope_of(first), self.scope_of(second));
        let (kept, other) = (of_left.operand(left)?, of_right.operand(right)?);
        // A comparison of these operands must be allowed.
        let shown = binary_expr(left.clone(), Operator::Eq, right.clone());
        of_left.comparison("=", [kept.clone(), other.clone()], &shown)?;
        let [kept, other] = [kept, other].map(|operand| exact(&operand, self.dialect));
        // MariaDB would look `kept` up in an index of `other`, cut to the digits of that column.
        let other = if self.dialect.caches_subqueries { format!("COALESCE({other})") } else { other };
        let clauses = format!("FROM {} WHERE ({kept} NOT IN (SELECT {other} FROM {}))", first.from(), second.from());
        let body = Body::Select { columns: first.all(), clauses };
        Ok(Some(Query { body, columns: first.columns.clone() }))
    }

    /// Returns true if a full join has keys only, and each is a column of a table: PostgreSQL runs no other, and may turn
    /// a computed column into a constant.
    fn is_of_stored_keys(&self, join: &Join, left: &Input<'_>, right: &Input<'_>) -> bool {
        let is_stored = |input: &Input<'_>, key: &Expr| {
            let scope = self.scope_of(input);
            scope.position(key).is_some_and(|(input, index)| input.columns[index].is_stored)
        };
        join.filter.is_none()
            && !join.on.is_empty()
            && join.null_equality == NullEquality::NullEqualsNothing
            && join.join_type == JoinType::Full
            && join.on.iter().all(|(of_left, of_right)| is_stored(left, of_left) && is_stored(right, of_right))
    }
}

/// A join in a form whose keys the database hashes.
enum Hashed {
    Query(Query),
    /// No such form is known, and `EXISTS` has the rows.
    Unchanged,
    /// The database would compare every row with every other.
    Impossible,
}

/// Returns a literal of a kind of values that stands in the place of NULL.
fn instead_of_null(kind: Option<SqlKind>) -> &'static str {
    match kind {
        Some(SqlKind::Text) => "''",
        Some(SqlKind::Date) => "DATE'1970-01-01'",
        Some(SqlKind::Timestamp | SqlKind::Instant) => "TIMESTAMP'1970-01-01 00:00:00'",
        _ => "0",
    }
}

/// Returns a condition that is true if the input has a row that fulfils another condition.
fn exists(input: &Input<'_>, condition: &str) -> String {
    format!("EXISTS (SELECT 1 FROM {} WHERE {condition})", input.from())
}
