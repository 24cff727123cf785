//! Rejects clauses that the parser accepts and DataFusion's planner ignores: the result would be that of another query.
//! The code names every field, so a field that a later parser adds does not compile until somebody has looked at it.

use std::fmt::Display;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use sqlparser::ast::{
    Expr, Function, FunctionArguments, GroupByExpr, Query, Select, TableFactor, TableFunctionArgs, Visitor,
};

use crate::visit::visit;
use crate::{Error, ErrorKind, Result};

/// Rejects a statement with such a clause.
///
/// # Errors
/// `Unsupported`, with the clause.
pub(super) fn check(statement: &Statement) -> Result<()> {
    let Statement::Statement(statement) = statement else { return Ok(()) };
    match visit(statement.as_ref(), &mut Clauses) {
        ControlFlow::Break(clause) => {
            let instead = match clause.as_str() {
                "PREWHERE" => ": write WHERE",
                "WITH ROLLUP" => ": write GROUP BY ROLLUP (…)",
                "WITH CUBE" => ": write GROUP BY CUBE (…)",
                "FOR UPDATE" | "FOR SHARE" => ": there are no transactions",
                top if top.starts_with("TOP") => ": write LIMIT 5 at the end of the query",
                "input_file_name()" => ": a port does not show in which file a row is stored",
                _ => "",
            };
            Err(Error::new(ErrorKind::Unsupported, format!("`{clause}` is not supported in a statement{instead}")))
        }
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Clauses;

impl Visitor for Clauses {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        let Query {
            with: _,
            body: _,
            order_by: _,
            limit_clause: _,
            fetch: _,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators: _,
        } = query;
        each(locks)?;
        each(for_clause)?;
        each(format_clause)?;
        when(settings.is_some(), "SETTINGS")
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        let Select {
            select_token: _,
            // Hints change no row.
            optimizer_hints: _,
            distinct: _,
            select_modifiers,
            top,
            // The position of a clause matters only with the clause itself, which is planned or rejected.
            top_before_distinct: _,
            projection: _,
            exclude,
            into: _,
            from: _,
            lateral_views: _,
            prewhere,
            selection: _,
            connect_by,
            group_by,
            cluster_by: _,
            distribute_by: _,
            sort_by: _,
            having: _,
            named_window: _,
            qualify: _,
            window_before_qualify: _,
            value_table_mode,
            flavor: _,
        } = select;
        when(select_modifiers.as_ref().is_some_and(|modifiers| modifiers.is_any_set()), "DISTINCTROW and the like")?;
        each(top)?;
        each(exclude)?;
        when(prewhere.is_some(), "PREWHERE")?;
        each(connect_by)?;
        each(value_table_mode)?;
        match group_by {
            GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => each(modifiers),
        }
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<String> {
        match table {
            TableFactor::Table {
                name: _,
                alias: _,
                args,
                // Hints change no row.
                with_hints: _,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints: _,
            } => {
                if let Some(TableFunctionArgs { args: _, settings }) = args {
                    when(settings.is_some(), "SETTINGS")?;
                }
                each(version)?;
                when(*with_ordinality, "WITH ORDINALITY")?;
                when(!partitions.is_empty(), "PARTITION")?;
                each(json_path)?;
                when(sample.is_some(), "TABLESAMPLE")
            }
            TableFactor::Derived { lateral: _, subquery: _, alias: _, sample } => when(sample.is_some(), "TABLESAMPLE"),
            TableFactor::Function { lateral: _, name: _, args: _, with_ordinality, alias: _ } => {
                when(*with_ordinality, "WITH ORDINALITY")
            }
            // DataFusion plans these or rejects them.
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let Function {
            name,
            uses_odbc_syntax: _,
            parameters,
            args: _,
            filter: _,
            null_treatment: _,
            over: _,
            within_group: _,
        } = function;
        when(name.to_string().eq_ignore_ascii_case("input_file_name"), "input_file_name()")?;
        match parameters {
            FunctionArguments::None => ControlFlow::Continue(()),
            given => ControlFlow::Break(format!("{name}{given}(…)")),
        }
    }
}

fn when(present: bool, clause: &str) -> ControlFlow<String> {
    if present { ControlFlow::Break(clause.to_owned()) } else { ControlFlow::Continue(()) }
}

/// Rejects the first of the clauses.
fn each<'a, T: Display + 'a>(clauses: impl IntoIterator<Item = &'a T>) -> ControlFlow<String> {
    match clauses.into_iter().next() {
        Some(clause) => ControlFlow::Break(clause.to_string()),
        None => ControlFlow::Continue(()),
    }
}
