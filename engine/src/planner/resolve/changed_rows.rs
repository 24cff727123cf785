//! `DELETE` and `UPDATE`. They query the numbers of the rows for which their condition holds, so the condition means the
//! same as in a query:
//!
//! ```text
//! UPDATE t SET a = a + 1 WHERE b IN (SELECT …)
//! SELECT "#row", a + 1 AS a FROM portolan.session."t#rows" AS t WHERE b IN (SELECT …)
//! ```

use datafusion::common::utils::quote_identifier;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use portolan_catalog::nearest::nearest;
use portolan_connectors::Subject;
use sqlparser::ast::{
    AssignmentTarget, Delete, Expr, FromTable, Ident, ObjectName, ObjectNamePart, SelectItem, SetExpr,
    Statement as SqlStatement, TableAlias, TableFactor, TableWithJoins, Update,
};

use super::change::{Change, Scope};
use super::{parse_query, query, unsupported};
use crate::names::{RESERVED_CATALOG, SESSION_SCHEMA};
use crate::state::tables::{NUMBERED, ROW_NUMBER, unknown as unknown_table};
use crate::upstream::identifiers::normal;
use crate::{Error, ErrorKind, Result};

impl Scope<'_> {
    /// Returns the change of `DELETE`.
    pub(super) async fn delete(&self, delete: &Delete) -> Result<Change> {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let extras = !delete.tables.is_empty()
            || delete.using.is_some()
            || delete.returning.is_some()
            || delete.output.is_some()
            || !delete.order_by.is_empty()
            || delete.limit.is_some();
        let [from] = from.as_slice() else { return Err(unsupported("DELETE takes one table")) };
        if extras {
            return Err(unsupported("DELETE takes a table and a condition, and nothing else"));
        }
        let (table, from) = self.numbered(from, "DELETE")?;
        let rows = self.numbers(from, vec![], delete.selection.clone()).await?;
        Ok(Change::Delete { table, rows })
    }

    /// Returns the change of `UPDATE`.
    pub(super) async fn update(&self, update: &Update) -> Result<Change> {
        let extras = update.from.is_some()
            || update.returning.is_some()
            || update.output.is_some()
            || update.or.is_some()
            || !update.order_by.is_empty()
            || update.limit.is_some();
        if extras {
            return Err(unsupported("UPDATE takes a table, new values and a condition, and nothing else"));
        }
        let (table, from) = self.numbered(&update.table, "UPDATE")?;
        let schema =
            &self.session.tables.get(&table).ok_or_else(|| unknown_table(&table, &self.session.tables))?.schema;
        let (mut columns, mut values) = (vec![], vec![]);
        for assignment in &update.assignments {
            let AssignmentTarget::ColumnName(name) = &assignment.target else {
                return Err(unsupported("UPDATE sets one column at a time"));
            };
            let column = name.0.last().and_then(ObjectNamePart::as_ident).map(normal).unwrap_or_default();
            let position = schema.index_of(&column).map_err(|_| {
                let near = nearest(&column, schema.fields().iter().map(|f| f.name().as_str())).map(quote_identifier);
                let error = Error::new(ErrorKind::InvalidQuery, format!("`{table}` has no column `{column}`"));
                error.suggesting(near).about(Some(Subject::Name(column.clone())))
            })?;
            if columns.contains(&position) {
                return Err(Error::new(ErrorKind::InvalidQuery, format!("`{column}` is set twice")));
            }
            columns.push(position);
            let alias = Ident::with_quote('"', format!("#{}", values.len()));
            values.push(SelectItem::ExprWithAlias { expr: assignment.value.clone(), alias });
        }
        let rows = self.numbers(from, values, update.selection.clone()).await?;
        Ok(Change::Update { table, columns, rows })
    }

    /// Returns the table of the session that a statement changes, and the table as the query for its numbered rows
    /// reads it.
    fn numbered(&self, from: &TableWithJoins, verb: &str) -> Result<(String, TableWithJoins)> {
        let TableFactor::Table { name, alias, .. } = &from.relation else {
            return Err(unsupported(format!("{verb} takes the name of a table")));
        };
        if !from.joins.is_empty() {
            return Err(unsupported(format!("{verb} takes one table: read others in a subquery")));
        }
        let table = self.own_table(name, verb, false)?;
        let alias = alias.clone().unwrap_or_else(|| TableAlias {
            explicit: true,
            name: Ident::with_quote('"', &table),
            columns: vec![],
            at: None,
        });
        let parts =
            [RESERVED_CATALOG, SESSION_SCHEMA, &format!("{table}{NUMBERED}")].map(|p| Ident::with_quote('"', p));
        let mut relation = from.relation.clone();
        if let TableFactor::Table { name, alias: of, .. } = &mut relation {
            *name = ObjectName::from(parts.to_vec());
            *of = Some(alias);
        }
        Ok((table, TableWithJoins { relation, joins: vec![] }))
    }

    /// Returns the query for the numbers of the rows for which `condition` holds, with `values` next to each number.
    async fn numbers(
        &self,
        from: TableWithJoins,
        values: Vec<SelectItem>,
        condition: Option<Expr>,
    ) -> Result<LogicalPlan> {
        let number = SelectItem::UnnamedExpr(Expr::Identifier(Ident::with_quote('"', ROW_NUMBER)));
        // Parsing a query with the right shape is the safest way to get the parser's type.
        let mut statement = parse_query("SELECT 1")?;
        if let SqlStatement::Query(select) = &mut statement
            && let SetExpr::Select(body) = select.body.as_mut()
        {
            body.projection = [number].into_iter().chain(values).collect();
            body.from = vec![from];
            body.selection = condition;
        }
        query(Statement::Statement(Box::new(statement)), self.state, self.mesh).await
    }
}
