//! Aggregates as SQL.

use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr};

use super::expressions::Scope;
use super::queries::{Body, Input, Query, QueryColumn, named};
use super::templates::{Parts, filled};
use crate::refusal::Refusal;

type Result<T> = std::result::Result<T, Refusal>;

/// Returns a query of groups, or of one row.
pub(super) fn grouped(aggregate: &Aggregate, scope: &Scope<'_>, input: &Input<'_>) -> Result<Query> {
    let keys = aggregate.group_expr.iter().map(|expr| scope.key("GROUP BY", expr)).collect::<Result<Vec<_>>>()?;
    if keys.iter().all(|key| input.all().contains(key)) {
        return query(aggregate, keys, scope, input);
    }
    // MariaDB does not recognise an expression of `GROUP BY` among the columns. So a query below computes the keys.
    let known = input.columns.len();
    let mut columns = input.all();
    columns.extend(keys);
    let below = Input {
        plan: input.plan,
        alias: scope.writer.alias(),
        sql: format!("SELECT {} FROM {}", named(&columns), input.from()),
        columns: input.columns.clone(),
        is_exact: false,
    };
    let keys = (known..columns.len()).map(|index| below.column(index)).collect();
    query(aggregate, keys, &Scope::new(scope.writer, scope.schema, vec![&below]), &below)
}

fn query(aggregate: &Aggregate, keys: Vec<String>, scope: &Scope<'_>, input: &Input<'_>) -> Result<Query> {
    let values = aggregate.aggr_expr.iter().map(|expr| scope.aggregate(expr)).collect::<Result<Vec<_>>>()?;
    let mut groups = keys.clone();
    for (expr, key) in aggregate.group_expr.iter().zip(&keys) {
        groups.extend(scope.tie(expr, key)?);
    }
    let group = if groups.is_empty() { String::new() } else { format!(" GROUP BY {}", groups.join(", ")) };
    let columns: Vec<String> = keys.into_iter().chain(values).collect();
    let known = vec![QueryColumn::COMPUTED; columns.len()];
    Ok(Query { body: Body::Select { columns, clauses: format!("FROM {}{group}", input.from()) }, columns: known })
}

impl Scope<'_> {
    /// Returns a second key, which distinguishes strings that the database sorts as equal. `key` is the key of `expr`.
    pub(super) fn tie(&self, expr: &Expr, key: &str) -> Result<Option<String>> {
        let Some(tie) = self.dialect().text_tie else { return Ok(None) };
        Ok(self.type_of(expr)?.is_string().then(|| tie.replace("{0}", key)))
    }

    /// Returns an aggregate as SQL.
    fn aggregate(&self, expr: &Expr) -> Result<String> {
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr.clone().unalias() else {
            return Err(self.refused(expr));
        };
        let ([argument], true, None) = (params.args.as_slice(), params.order_by.is_empty(), params.null_treatment)
        else {
            return Err(self.refused(expr));
        };
        let mut operand = self.operand(argument)?;
        let result = self.type_of(expr)?;
        let name = if params.distinct { format!("{} distinct", func.name()) } else { func.name().to_owned() };
        let mut parts = Parts { result: Some(result.clone()), ..Parts::default() };
        if let Some(filter) = &params.filter {
            let condition = self.condition(filter)?;
            match self.dialect().has_filter {
                true => parts.filter = format!(" FILTER (WHERE {condition})"),
                // An aggregate does not see NULL, except for `count(*)`, which is a count of a constant here.
                false => operand.sql = format!("(CASE WHEN {condition} THEN {} END)", operand.sql),
            }
        }
        let operands = [operand];
        let row = self.dialect().aggregate(&name, &operands, &result).ok_or_else(|| self.refused(expr))?;
        filled(row.sql, &operands, &parts, self.dialect()).ok_or_else(|| self.refused(expr))
    }
}
