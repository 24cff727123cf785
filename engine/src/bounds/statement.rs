//! The limits on the size of a parsed statement, with its common table expressions written out at each use. Planning
//! takes time and memory for each of these places before the size of a plan is known.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use sqlparser::ast::{
    Expr, GroupByExpr, GroupByWithModifier, ObjectName, Query, Select, SetExpr, TableFactor, Visitor,
};

use super::definitions::{size_in_order, size_in_select};
use super::too_much;
use crate::Result;
use crate::visit::visit;

/// The largest number of tables and subqueries that a statement may read from. Each join nests one level deeper.
const MOST_TABLES: usize = 500;
/// The largest number of tables, with the tables of a common table expression counted at each use of its name.
const MOST_TABLES_EXPANDED: u64 = 2_000;
/// The largest number of columns in a select list. Planning time grows with the square of this number.
const MOST_COLUMNS: usize = 4_000;
/// The largest number of grouping sets of a select, as in PostgreSQL.
const MOST_GROUPING_SETS: u64 = 4_096;
/// The largest number of values in a list of rows.
const MOST_VALUES: usize = 100_000;
/// The largest number of expressions that take the places of names.
const MOST_REPLACEMENTS: u64 = 100_000;

/// Refuses a statement that reads from too many tables, lists too many columns or values, or has too many grouping sets.
///
/// # Errors
/// `InvalidQuery`.
pub(crate) fn check_statement(statement: &Statement) -> Result<()> {
    let Statement::Statement(statement) = statement else { return Ok(()) };
    match visit(statement.as_ref(), &mut SizeVisitor::default()) {
        ControlFlow::Break(what) => Err(too_much(what)),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The size of the part of a statement that was visited.
#[derive(Default)]
struct SizeVisitor {
    /// The tables and subqueries as they are written.
    tables: usize,
    /// The expressions that take the places of names.
    replacements: u64,
    /// The queries around the current place, the innermost last.
    open: Vec<OpenQuery>,
}

/// A query that is being visited.
#[derive(Default)]
struct OpenQuery {
    /// The queries of common table expressions, by address, and their names. The statement does not move meanwhile.
    named: HashMap<*const Query, String>,
    /// The sizes of the common table expressions that are complete.
    sizes: HashMap<String, u64>,
    tables: u64,
}

impl SizeVisitor {
    /// Returns the number of tables that a name stands for.
    fn size_of(&self, name: &ObjectName) -> u64 {
        let [part] = name.0.as_slice() else { return 1 };
        let Some(name) = part.as_ident().map(|ident| ident.value.to_lowercase()) else { return 1 };
        self.open.iter().rev().find_map(|query| query.sizes.get(&name).copied()).unwrap_or(1)
    }

    fn replace(&mut self, size: u64) -> ControlFlow<String> {
        self.replacements = self.replacements.saturating_add(size);
        match self.replacements > MOST_REPLACEMENTS {
            true => ControlFlow::Break(format!(
                "has more than {MOST_REPLACEMENTS} further expressions when names of columns and windows are replaced with \
                 their definitions: define them in a subquery"
            )),
            false => ControlFlow::Continue(()),
        }
    }
}

impl Visitor for SizeVisitor {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        let named = tables.map(|cte| (std::ptr::from_ref(cte.query.as_ref()), cte.alias.name.value.to_lowercase()));
        self.open.push(OpenQuery { named: named.collect(), ..OpenQuery::default() });
        self.replace(size_in_order(query))?;
        match query.body.as_ref() {
            SetExpr::Values(values) if values.rows.iter().map(|row| row.content.len()).sum::<usize>() > MOST_VALUES => {
                ControlFlow::Break(format!(
                    "lists more than {MOST_VALUES} values: put long lists into a table of the session, or bind them as \
                     parameters"
                ))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        let Some(OpenQuery { tables, .. }) = self.open.pop() else { return ControlFlow::Continue(()) };
        if let Some(outer) = self.open.last_mut() {
            match outer.named.get(&std::ptr::from_ref(query)) {
                Some(name) => {
                    outer.sizes.insert(name.clone(), tables.max(1));
                }
                None => outer.tables = outer.tables.saturating_add(tables),
            }
        }
        match tables > MOST_TABLES_EXPANDED {
            true => ControlFlow::Break(format!(
                "reads from more than {MOST_TABLES_EXPANDED} tables, counting those of a common table expression at each \
                 use"
            )),
            false => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<String> {
        let size = self.size_of(name);
        if let Some(query) = self.open.last_mut() {
            query.tables = query.tables.saturating_add(size);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, _: &TableFactor) -> ControlFlow<String> {
        self.tables += 1;
        match self.tables > MOST_TABLES {
            true => ControlFlow::Break(format!("reads from more than {MOST_TABLES} tables and subqueries")),
            false => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        if select.projection.len() > MOST_COLUMNS {
            return ControlFlow::Break(format!("lists more than {MOST_COLUMNS} columns"));
        }
        match grouping_sets(&select.group_by) > MOST_GROUPING_SETS {
            true => ControlFlow::Break(format!("has more than {MOST_GROUPING_SETS} grouping sets")),
            false => self.replace(size_in_select(select)),
        }
    }
}

/// Returns the number of grouping sets.
fn grouping_sets(group_by: &GroupByExpr) -> u64 {
    let (expressions, modifiers): (&[Expr], _) = match group_by {
        GroupByExpr::All(modifiers) => (&[], modifiers),
        GroupByExpr::Expressions(expressions, modifiers) => (expressions, modifiers),
    };
    let sets = expressions.iter().map(sets_of).fold(1, u64::saturating_mul);
    let columns = expressions.len();
    let modified = modifiers.iter().map(|modifier| match modifier {
        GroupByWithModifier::Cube => power_of_two(columns),
        GroupByWithModifier::Rollup | GroupByWithModifier::Totals => columns as u64 + 1,
        GroupByWithModifier::GroupingSets(sets) => sets_of(sets),
    });
    modified.fold(sets, u64::saturating_mul)
}

fn sets_of(expression: &Expr) -> u64 {
    match expression {
        Expr::Cube(columns) => power_of_two(columns.len()),
        Expr::Rollup(columns) => columns.len() as u64 + 1,
        Expr::GroupingSets(sets) => (sets.len() as u64).max(1),
        _ => 1,
    }
}

fn power_of_two(columns: usize) -> u64 {
    u32::try_from(columns).ok().and_then(|n| 1_u64.checked_shl(n)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use datafusion::sql::parser::DFParser;

    use super::*;
    use crate::ErrorKind;

    fn check(sql: &str) -> Result<()> {
        check_statement(&DFParser::parse_sql(sql).unwrap()[0])
    }

    fn is_refused(sql: &str, why: &str) {
        let error = check(sql).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidQuery);
        assert!(error.context().contains(why), "{error}");
    }

    /// Each common table expression reads from the one before twice.
    fn doubling(levels: usize) -> String {
        let next =
            |level: usize| format!("c{} AS (SELECT a.x FROM c{level} a JOIN C{level} b ON a.x = b.x)", level + 1);
        let ctes = (0..levels).map(next).collect::<Vec<_>>().join(", ");
        format!("WITH c0 AS (SELECT 1 AS x FROM t), {ctes} SELECT * FROM c{levels}")
    }

    #[test]
    fn common_table_expressions_count_at_each_use() {
        check(&doubling(10)).unwrap();
        is_refused(&doubling(11), "2000 tables");
        is_refused(&doubling(200), "2000 tables");
        // A name of another query, and one that is qualified, are tables.
        check(&format!("SELECT * FROM ({}) JOIN c10 ON true JOIN s.c10 ON true", doubling(10))).unwrap();
        // Inner queries see the names of outer ones.
        let ten = doubling(10);
        let inner =
            ten.replace("SELECT * FROM c10", "SELECT (SELECT max(x) FROM c10), (SELECT min(x) FROM c10) FROM t");
        is_refused(&inner, "2000 tables");
    }

    #[test]
    fn grouping_sets_are_bounded() {
        let columns = |n: usize| (0..n).map(|i| format!("c{i}")).collect::<Vec<_>>().join(", ");
        check(&format!("SELECT 1 FROM t GROUP BY CUBE({})", columns(12))).unwrap();
        is_refused(&format!("SELECT 1 FROM t GROUP BY CUBE({})", columns(13)), "grouping sets");
        is_refused(&format!("SELECT 1 FROM t GROUP BY CUBE({0}), ROLLUP({0})", columns(12)), "grouping sets");
        is_refused(&format!("SELECT 1 FROM t GROUP BY CUBE({})", columns(70)), "grouping sets");
        check(&format!("SELECT 1 FROM t GROUP BY ROLLUP({})", columns(70))).unwrap();
    }

    #[test]
    fn definitions_in_the_places_of_names_are_bounded() {
        let list = |what: &str, n: usize| vec![what; n].join(", ");
        // The definition has 200 expressions.
        let select = format!("SELECT f({}) AS x, count(*) AS n FROM t", list("a", 199));
        for (clause, name) in [
            ("GROUP BY a HAVING g(…) > 1", "X"),
            ("QUALIFY g(…) > 1", "x"),
            ("GROUP BY …", "x"),
            ("GROUP BY …", "1"),
            ("GROUP BY a ORDER BY …", "x"),
            ("GROUP BY a ORDER BY …", "1"),
        ] {
            let sql = |n: usize| format!("{select} {}", clause.replace('…', &list(name, n)));
            check(&sql(500)).unwrap();
            is_refused(&sql(501), "names of columns");
        }
        let windows = |n: usize| {
            format!("SELECT {} FROM t WINDOW w AS (PARTITION BY {})", list("sum(a) OVER w", n), list("a", 200))
        };
        check(&windows(500)).unwrap();
        is_refused(&windows(501), "names of columns and windows");
        // Other names, and other numbers.
        let case = format!("CASE {} END", "WHEN a = 1 THEN 2 ".repeat(1_000));
        check(&format!("SELECT {case} AS x FROM t WHERE x > 1 GROUP BY {case} ORDER BY {case}")).unwrap();
    }

    #[test]
    fn values_are_bounded() {
        let rows = |n: usize| format!("VALUES (1, 2){}", ", (3, 4)".repeat(n - 1));
        check(&rows(MOST_VALUES / 2)).unwrap();
        is_refused(&rows(MOST_VALUES / 2 + 1), "values");
        is_refused(&format!("INSERT INTO t {}", rows(MOST_VALUES)), "values");
    }
}
