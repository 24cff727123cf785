//! `WITH` queries that run once for all of their readings, because another run could return other rows: they call a volatile
//! function, or have a limit without a full order. Each reading becomes a reader of one shared part.
//!
//! DataFusion 55.2 plans such a query again for each reading. Its optimizer then changes each copy for its own reader.
//!
//! Before: `Join(SubqueryAlias: r (Limit …), SubqueryAlias: r (Limit …))`.
//! After: `Join(Shared: part 1 (SubqueryAlias: r (Limit …)), Shared: part 1 (…))`.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, TableReference, not_impl_err};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::logical_plan::SubqueryAlias;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};
use sqlparser::ast::{
    Ident, ObjectName, ObjectNamePart, Query, SetExpr, Statement, TableAlias, TableFactor, Visitor, VisitorMut,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use super::full_order::is_fully_ordered;
use crate::names::{Barrier, is_view};
use crate::plan::Shared;
use crate::upstream::identifiers::normal;
use crate::upstream::volatile::calls_volatile;
use crate::visit::{visit, visit_mut};

/// The `WITH` queries of a statement, by the alias of their plans.
#[derive(Default)]
pub(super) struct CommonTables {
    queries: HashMap<String, CommonTable>,
}

struct CommonTable {
    /// Its name in the statement.
    name: String,
    /// False if another relation can have the alias, so that a reading of one cannot be told from a reading of the other.
    is_unique: bool,
}

impl CommonTables {
    /// Finds the `WITH` queries of a statement, and changes those whose names other relations have too.
    ///
    /// Before: `WITH r AS (SELECT 1 …), … FROM s AS r`.
    /// After: `WITH r AS (SELECT * FROM (SELECT 1 …) AS "WITH r 1"), … FROM s AS r`.
    pub(super) fn of(statement: &mut Statement) -> Self {
        let mut names = Names::default();
        // DataFusion gives these to the sides of INTERSECT and EXCEPT.
        names.aliases.extend(["left", "right"].map(str::to_owned));
        let _ = visit(statement, &mut names);
        let mut naming = Naming { names: &names, found: Self::default(), last: 0 };
        let _ = visit_mut(statement, &mut naming);
        naming.found
    }

    /// Makes the readings of each query that must run once readers of a shared part. `plan` comes from the SQL planner.
    ///
    /// # Errors
    /// `NotImplemented` if a query must run once and cannot: its readings cannot be told from those of another relation, it
    /// reads columns of the query around it, or it is read in each round of a recursive query.
    pub(super) fn run_once(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let readings = self.readings(&plan)?;
        if readings.values().all(|readings| readings.times < 2) && !reads_view(&plan)? {
            return Ok(plan);
        }
        let plan = Marker { tables: self, readings, last: 0 }.marked(plan, &mut KnownSubqueries::new())?;
        self.check_recursive(&plan)?;
        Ok(plan)
    }

    /// Counts the readings of each query.
    fn readings(&self, plan: &LogicalPlan) -> Result<HashMap<String, Readings>> {
        let mut readings: HashMap<String, Readings> = HashMap::new();
        if self.queries.is_empty() {
            return Ok(readings);
        }
        plan.apply_with_subqueries(|node| {
            if is_closed(node) {
                return Ok(TreeNodeRecursion::Jump);
            }
            let Some((name, _)) = self.read_by(node) else { return Ok(TreeNodeRecursion::Continue) };
            let known = readings.entry(name.to_owned()).or_default();
            known.times += 1;
            // The query runs once for all readings, and so do those that it reads.
            Ok(if known.times > 1 { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Continue })
        })?;
        Ok(readings)
    }

    /// Returns the query that an operator reads, with its alias.
    fn read_by<'p>(&self, operator: &'p LogicalPlan) -> Option<(&'p str, &'p SubqueryAlias)> {
        let LogicalPlan::SubqueryAlias(alias) = operator else { return None };
        let TableReference::Bare { table } = &alias.alias else { return None };
        if matches!(alias.input.as_ref(), LogicalPlan::SubqueryAlias(below) if below.alias == alias.alias) {
            // `FROM r AS r`: the query is below.
            return None;
        }
        (self.queries.contains_key(&**table) && !is_closed(&alias.input)).then_some((&**table, alias))
    }

    /// True if a query runs once for all readings, because another run could return other rows.
    fn runs_once(&self, alias: &str, query: &SubqueryAlias) -> Result<bool> {
        if !calls_volatile(&query.input)? && !has_limit(&query.input)? {
            return Ok(false);
        }
        let Some(CommonTable { name, is_unique }) = self.queries.get(alias) else { return Ok(false) };
        if *is_unique && query.input.all_out_ref_exprs().is_empty() {
            return Ok(true);
        }
        not_impl_err!(
            "`{name}` has a limit or calls a volatile function and is read several times, and it reads columns of the query \
             around it, or is recursive and another relation has its name: write CREATE TABLE {name} AS … first"
        )
    }

    /// Refuses a shared part in the rounds of a recursive query: each round would read it again.
    fn check_recursive(&self, plan: &LogicalPlan) -> Result<()> {
        let mut alias = None;
        plan.apply_with_subqueries(|node| {
            let LogicalPlan::RecursiveQuery(query) = node else { return Ok(TreeNodeRecursion::Continue) };
            query.recursive_term.apply_with_subqueries(|inner| {
                if let Some(LogicalPlan::SubqueryAlias(query)) = Shared::of(inner).map(|shared| shared.input.as_ref()) {
                    alias.get_or_insert_with(|| query.alias.table().to_owned());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        let Some(alias) = alias else { return Ok(()) };
        let name = self.queries.get(&alias).map_or(&alias, |query| &query.name);
        not_impl_err!(
            "`{name}` has a limit or calls a volatile function, and a recursive query reads it in each round: write CREATE \
             TABLE {name} AS … first"
        )
    }
}

/// The names of the relations of a statement.
#[derive(Default)]
struct Names {
    /// How many `WITH` queries have the name.
    queries: HashMap<String, usize>,
    /// The aliases of other relations.
    aliases: HashSet<String>,
}

impl Names {
    /// True if no other relation of the statement has the name of a query.
    fn is_unique(&self, query: &str) -> bool {
        self.queries.get(query) == Some(&1) && !self.aliases.contains(query)
    }
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for query in query.with.iter().flat_map(|with| &with.cte_tables) {
            *self.queries.entry(normal(&query.alias.name)).or_default() += 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, relation: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::NestedJoin { alias, .. } = relation
        {
            // `FROM r AS r` gives no other relation the name.
            let own = match relation {
                TableFactor::Table { name, .. } => own_name(name),
                _ => None,
            };
            let renames = |alias: &&TableAlias| !alias.columns.is_empty() || own != Some(normal(&alias.name));
            self.aliases.extend(alias.iter().filter(renames).map(|alias| normal(&alias.name)));
        }
        ControlFlow::Continue(())
    }
}

/// Gives each query whose name another relation has a relation inside, with an alias that nothing else has.
struct Naming<'a> {
    names: &'a Names,
    found: CommonTables,
    /// The number of the last alias.
    last: usize,
}

impl VisitorMut for Naming<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let Some(with) = &mut query.with else { return ControlFlow::Continue(()) };
        for query in &mut with.cte_tables {
            let name = normal(&query.alias.name);
            let is_unique = self.names.is_unique(&name);
            // DataFusion takes the union of a recursive query apart.
            let is_recursive = with.recursive && matches!(*query.query.body, SetExpr::SetOperation { .. });
            if is_unique || is_recursive {
                self.found.queries.insert(name.clone(), CommonTable { name, is_unique });
                continue;
            }
            let alias = self.free_alias(&name);
            let table = match enclosed(&query.query, &alias) {
                Some(outer) => {
                    *query.query = outer;
                    (alias, CommonTable { name, is_unique: true })
                }
                None => (name.clone(), CommonTable { name, is_unique: false }),
            };
            self.found.queries.extend([table]);
        }
        ControlFlow::Continue(())
    }
}

impl Naming<'_> {
    /// Returns an alias that no relation of the statement has.
    fn free_alias(&mut self, name: &str) -> String {
        loop {
            self.last += 1;
            let alias = format!("WITH {name} {}", self.last);
            if !self.names.queries.contains_key(&alias) && !self.names.aliases.contains(&alias) {
                return alias;
            }
        }
    }
}

/// Returns a query that reads all columns of another query, which gets an alias.
fn enclosed(query: &Query, alias: &str) -> Option<Query> {
    let text = format!("SELECT * FROM (SELECT 1) AS {}", Ident::with_quote('"', alias));
    let mut outer =
        Parser::new(&GenericDialect {}).try_with_sql(&text).and_then(|mut parser| parser.parse_query()).ok()?;
    let SetExpr::Select(select) = outer.body.as_mut() else { return None };
    let TableFactor::Derived { subquery, .. } = &mut select.from.first_mut()?.relation else { return None };
    **subquery = query.clone();
    Some(*outer)
}

/// Returns the name of a relation, if it has no qualifier.
fn own_name(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Some(normal(ident)),
        _ => None,
    }
}

/// True for the rows of a view, whose own statement is marked already, and for those of a derived port, whose query is the
/// matter of its owner.
fn is_closed(operator: &LogicalPlan) -> bool {
    let is_view = matches!(operator, LogicalPlan::SubqueryAlias(alias) if is_view(alias));
    is_view || Barrier::of(operator).is_some()
}

/// The readings of a query.
#[derive(Default)]
struct Readings {
    times: usize,
    /// The number of the shared part and the plan of the query, once the first reading is marked.
    part: Option<(usize, Arc<LogicalPlan>)>,
}

struct Marker<'a> {
    tables: &'a CommonTables,
    readings: HashMap<String, Readings>,
    last: usize,
}

impl Marker<'_> {
    fn marked(&mut self, plan: LogicalPlan, known: &mut KnownSubqueries) -> Result<LogicalPlan> {
        if let LogicalPlan::SubqueryAlias(alias) = &plan
            && is_view(alias)
        {
            let view = alias.input.as_ref().clone();
            return self.numbered_apart(view, &mut HashMap::new(), &mut KnownSubqueries::new());
        }
        if is_closed(&plan) {
            return Ok(plan);
        }
        if let Some((alias, query)) = self.tables.read_by(&plan)
            && self.readings.get(alias).is_some_and(|readings| readings.times > 1)
            && self.tables.runs_once(alias, query)?
        {
            return self.reader(alias.to_owned(), query, known);
        }
        map_below(plan, known, &mut |part, known| self.marked(part, known))
    }

    /// Returns a reading of a query as a reader of its shared part.
    fn reader(&mut self, name: String, query: &SubqueryAlias, known: &mut KnownSubqueries) -> Result<LogicalPlan> {
        let part = self.readings.get(&name).and_then(|readings| readings.part.clone());
        let (number, written) = part.unwrap_or_else(|| {
            self.last += 1;
            (self.last, query.input.clone())
        });
        if written != query.input {
            let name = self.tables.queries.get(&name).map_or(&name, |query| &query.name);
            return not_impl_err!("`{name}` has several meanings in the statement: give one of them another name");
        }
        self.readings.entry(name).or_default().part = Some((number, written));
        let input = self.marked(query.input.as_ref().clone(), known)?;
        let part = SubqueryAlias::try_new(Arc::new(input), query.alias.clone())?;
        Ok(Shared::once(number, Arc::new(LogicalPlan::SubqueryAlias(part))))
    }

    /// Returns the plan of a view with other numbers for its shared parts: each reading of a view is evaluated on its own.
    fn numbered_apart(
        &mut self,
        view: LogicalPlan,
        numbers: &mut HashMap<usize, usize>,
        known: &mut KnownSubqueries,
    ) -> Result<LogicalPlan> {
        let Some(shared) = Shared::of(&view) else {
            return map_below(view, known, &mut |part, known| self.numbered_apart(part, numbers, known));
        };
        let number = *numbers.entry(shared.number).or_insert_with(|| {
            self.last += 1;
            self.last
        });
        let input = self.numbered_apart(shared.input.as_ref().clone(), numbers, known)?;
        Ok(Shared::once(number, Arc::new(input)))
    }
}

/// The subqueries that are changed already, by their plans in memory. Each has its plan as it was, so that no other plan gets
/// its place in memory, and the changed plan.
type KnownSubqueries = HashMap<*const LogicalPlan, (Arc<LogicalPlan>, Arc<LogicalPlan>)>;

/// Returns an operator with the inputs and subqueries that `change` returns. Copies of one subquery stay one plan in memory, by
/// which [`apart`](crate::upstream::volatile::apart) finds the copies that have one value.
fn map_below(
    plan: LogicalPlan,
    known: &mut KnownSubqueries,
    change: &mut dyn FnMut(LogicalPlan, &mut KnownSubqueries) -> Result<LogicalPlan>,
) -> Result<LogicalPlan> {
    let plan = plan.map_expressions(|expr| {
        expr.transform_down(|mut expr| {
            let subquery = match &mut expr {
                Expr::ScalarSubquery(subquery) => subquery,
                Expr::Exists(Exists { subquery, .. })
                | Expr::InSubquery(InSubquery { subquery, .. })
                | Expr::SetComparison(SetComparison { subquery, .. }) => subquery,
                _ => return Ok(Transformed::no(expr)),
            };
            let before = Arc::clone(&subquery.subquery);
            let place = Arc::as_ptr(&before);
            let after = known.get(&place).map(|(_, after)| Arc::clone(after));
            let after = match after {
                Some(after) => after,
                None => Arc::new(change(before.as_ref().clone(), &mut *known)?),
            };
            known.insert(place, (before, Arc::clone(&after)));
            subquery.subquery = after;
            Ok(Transformed::yes(expr))
        })
    })?;
    let plan = plan.data.map_children(|input| change(input, &mut *known).map(Transformed::yes))?;
    Ok(plan.data)
}

/// True if a plan reads a view, which may have shared parts already.
fn reads_view(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found = matches!(node, LogicalPlan::SubqueryAlias(alias) if is_view(alias));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// True if a plan has a limit whose rows are a matter of chance.
fn has_limit(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found = match node {
            LogicalPlan::Limit(limit) => !is_fully_ordered(&limit.input),
            LogicalPlan::Distinct(Distinct::On(_)) => true,
            LogicalPlan::Sort(sort) => sort.fetch.is_some(),
            _ => false,
        };
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests;
