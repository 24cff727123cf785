//! Rejects clauses that the parser accepts and DataFusion's planner ignores: the result would be that of another query.
//! The code names every field, so a field that a later parser adds does not compile until somebody has looked at it.
//! Some clauses that DataFusion rejects are here, too, for what to write instead.

use std::fmt::Display;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use sqlparser::ast::{
    Expr, Function, FunctionArguments, GroupByExpr, LimitClause, OrderByKind, Query, Select, SelectItem, TableFactor,
    TableFunctionArgs, Top, TopQuantity, Value, Visitor, WildcardAdditionalOptions,
};

use super::joins;
use crate::execution::errors::start_of;
use crate::visit::visit;
use crate::{Error, ErrorKind, Result};

/// What to write for the first rows of each group.
const FIRST_OF_GROUPS: &str = "write QUALIFY row_number() OVER (PARTITION BY …) <= n";
/// What to write for the first rows, and those that are equal to the last one.
const WITH_EQUAL_ROWS: &str = "write QUALIFY rank() OVER (ORDER BY …) <= n";
/// What to write for the items of a list and their numbers.
const NUMBERED_ITEMS: &str = "write SELECT unnest(list), unnest(generate_series(1, array_length(list)))";

/// What to write for a column for each value.
pub(super) const COLUMN_FOR_EACH_VALUE: &str =
    "write an aggregate for each value, as in `sum(x) FILTER (WHERE year = 2024) AS of_2024`";
/// What to write for a row for each column.
pub(super) const ROW_FOR_EACH_COLUMN: &str = "write a SELECT for each column, with UNION ALL between them";

/// Rejects a statement with such a clause.
///
/// # Errors
/// `Unsupported`, with the clause.
pub(super) fn check(statement: &Statement) -> Result<()> {
    let Statement::Statement(statement) = statement else { return Ok(()) };
    visit(statement.as_ref(), &mut Clauses).break_value().map_or(Ok(()), Err)
}

struct Clauses;

impl Visitor for Clauses {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let Query {
            with: _,
            body: _,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators: _,
        } = query;
        each(locks, "there are no transactions")?;
        each(for_clause, "")?;
        each(format_clause, "")?;
        when(settings.is_some(), "SETTINGS", "")?;
        let fetch = fetch.as_ref();
        when(fetch.is_some_and(|fetch| fetch.with_ties), "WITH TIES", WITH_EQUAL_ROWS)?;
        when(fetch.is_some_and(|fetch| fetch.percent), "FETCH … PERCENT", "count the rows first, and write LIMIT")?;
        if let Some(LimitClause::LimitOffset { limit: _, offset: _, limit_by }) = limit_clause {
            when(!limit_by.is_empty(), "LIMIT … BY", FIRST_OF_GROUPS)?;
        }
        match order_by.as_ref().map(|order| &order.kind) {
            Some(OrderByKind::Expressions(orders)) => orders.iter().try_for_each(|order| constant_order(&order.expr)),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        let Select {
            select_token: _,
            // Hints change no row.
            optimizer_hints: _,
            distinct: _,
            select_modifiers,
            top,
            // The position of a clause matters only with the clause itself, which is planned or rejected.
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection: _,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having: _,
            named_window: _,
            qualify: _,
            window_before_qualify: _,
            value_table_mode,
            flavor: _,
        } = select;
        if let Some(modifiers) = select_modifiers.as_ref().filter(|modifiers| modifiers.is_any_set()) {
            return refuse(modifiers.to_string().trim(), "");
        }
        if let Some(top) = top {
            return refuse(&top.to_string(), &instead_of_top(top));
        }
        projection.iter().try_for_each(|item| match item {
            SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => wildcard(options),
            _ => ControlFlow::Continue(()),
        })?;
        each(exclude, "")?;
        each(into, "write CREATE TABLE t AS SELECT …")?;
        from.iter().try_for_each(joins::check)?;
        when(!lateral_views.is_empty(), "LATERAL VIEW", "write CROSS JOIN UNNEST(…)")?;
        when(prewhere.is_some(), "PREWHERE", "write WHERE")?;
        each(connect_by, "write WITH RECURSIVE")?;
        when(!cluster_by.is_empty(), "CLUSTER BY", "write ORDER BY")?;
        when(!distribute_by.is_empty(), "DISTRIBUTE BY", "leave it out")?;
        when(!sort_by.is_empty(), "SORT BY", "write ORDER BY")?;
        each(value_table_mode, "")?;
        match group_by {
            GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => {
                modifiers.iter().try_for_each(|modifier| {
                    let clause = modifier.to_string();
                    let instead = match clause.as_str() {
                        "WITH ROLLUP" => "write GROUP BY ROLLUP (…)",
                        "WITH CUBE" => "write GROUP BY CUBE (…)",
                        _ => "",
                    };
                    refuse(&clause, instead)
                })
            }
        }
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<Error> {
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
                    when(settings.is_some(), "SETTINGS", "")?;
                }
                each(version, "")?;
                ordinality(*with_ordinality)?;
                when(!partitions.is_empty(), "PARTITION", "")?;
                each(json_path, "")?;
                sampled(sample.is_some())
            }
            TableFactor::Derived { lateral: _, subquery: _, alias: _, sample } => sampled(sample.is_some()),
            TableFactor::Function { lateral: _, name: _, args: _, with_ordinality, alias: _ } => {
                ordinality(*with_ordinality)
            }
            TableFactor::UNNEST { with_ordinality, with_offset, .. } => {
                ordinality(*with_ordinality)?;
                when(*with_offset, "WITH OFFSET", NUMBERED_ITEMS)
            }
            TableFactor::NestedJoin { table_with_joins, alias: _ } => joins::check(table_with_joins),
            TableFactor::Pivot { .. } => refuse("PIVOT", COLUMN_FOR_EACH_VALUE),
            TableFactor::Unpivot { .. } => refuse("UNPIVOT", ROW_FOR_EACH_COLUMN),
            // DataFusion plans these or rejects them.
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let Function {
            name,
            uses_odbc_syntax: _,
            parameters,
            args: _,
            // `scalar_calls` rejects these for functions that ignore them.
            filter: _,
            null_treatment: _,
            over: _,
            within_group: _,
        } = function;
        let is_file_name = name.to_string().eq_ignore_ascii_case("input_file_name");
        when(is_file_name, "input_file_name()", "a port does not show in which file a row is stored")?;
        match parameters {
            FunctionArguments::None => ControlFlow::Continue(()),
            given => refuse(&format!("{name}{given}(…)"), ""),
        }
    }
}

/// Rejects a clause. `instead` is what to write, and may be empty.
pub(super) fn refuse(clause: &str, instead: &str) -> ControlFlow<Error> {
    let colon = if instead.is_empty() { "" } else { ": " };
    let what = format!("`{clause}` is not supported in a statement{colon}{instead}");
    ControlFlow::Break(Error::new(ErrorKind::Unsupported, what))
}

fn when(present: bool, clause: &str, instead: &str) -> ControlFlow<Error> {
    if present { refuse(clause, instead) } else { ControlFlow::Continue(()) }
}

/// Rejects the first of the clauses.
fn each<'a, T: Display + 'a>(clauses: impl IntoIterator<Item = &'a T>, instead: &str) -> ControlFlow<Error> {
    match clauses.into_iter().next() {
        Some(clause) => refuse(&clause.to_string(), instead),
        None => ControlFlow::Continue(()),
    }
}

fn sampled(present: bool) -> ControlFlow<Error> {
    when(present, "TABLESAMPLE", "write WHERE random() < 0.1 for about a tenth of the rows")
}

fn ordinality(present: bool) -> ControlFlow<Error> {
    when(present, "WITH ORDINALITY", NUMBERED_ITEMS)
}

/// Rejects `ORDER BY 'name'`, which orders by a constant.
fn constant_order(order: &Expr) -> ControlFlow<Error> {
    let Expr::Value(value) = order else { return ControlFlow::Continue(()) };
    let Value::SingleQuotedString(name) = &value.value else { return ControlFlow::Continue(()) };
    let what = format!("ORDER BY {value} orders by a constant: for a column, write \"{name}\" in double quotes");
    ControlFlow::Break(Error::new(ErrorKind::InvalidQuery, what).at(start_of(value.span)))
}

/// Rejects options of `*`. DataFusion ignores ILIKE.
fn wildcard(options: &WildcardAdditionalOptions) -> ControlFlow<Error> {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude: _,
        opt_except: _,
        opt_replace: _,
        opt_rename,
        opt_alias,
    } = options;
    when(opt_ilike.is_some(), "* ILIKE", "write the columns, or those to leave out as `* EXCLUDE (a, b)`")?;
    when(opt_rename.is_some(), "* RENAME", "write `* EXCLUDE (a), a AS b`")?;
    when(opt_alias.is_some(), "* AS", "give each column its own name")
}

fn instead_of_top(top: &Top) -> String {
    match top {
        Top { with_ties: true, .. } => WITH_EQUAL_ROWS.to_owned(),
        Top { percent: true, .. } => "count the rows first, and write LIMIT at the end of the query".to_owned(),
        Top { quantity: Some(TopQuantity::Expr(rows)), .. } => format!("write LIMIT {rows} at the end of the query"),
        Top { quantity: Some(TopQuantity::Constant(rows)), .. } => {
            format!("write LIMIT {rows} at the end of the query")
        }
        Top { quantity: None, .. } => "write LIMIT at the end of the query".to_owned(),
    }
}
