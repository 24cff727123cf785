//! `WITH` queries that run once for all of their readings, because another run could return other rows: they call a volatile
//! function, or have a limit. Each reading becomes a reader of one shared part.
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
use sqlparser::ast::{ObjectName, ObjectNamePart, Query, Statement, TableAlias, TableFactor, Visitor};

use crate::names::{Barrier, is_view};
use crate::plan::Shared;
use crate::upstream::identifiers::normal;
use crate::upstream::volatile::calls_volatile;
use crate::visit::visit;

/// The names of the `WITH` queries of a statement.
#[derive(Default)]
pub(super) struct CommonTables {
    /// How many queries have the name.
    names: HashMap<String, usize>,
    /// The aliases of other relations.
    aliases: HashSet<String>,
}

impl CommonTables {
    pub(super) fn of(statement: &Statement) -> Self {
        let mut found = Self::default();
        let _ = visit(statement, &mut found);
        found
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
        check_recursive(&plan)?;
        Ok(plan)
    }

    /// Counts the readings of each query.
    fn readings(&self, plan: &LogicalPlan) -> Result<HashMap<String, Readings>> {
        let mut readings: HashMap<String, Readings> = HashMap::new();
        if self.names.is_empty() {
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

    /// Returns the query that an operator reads, with its name.
    fn read_by<'p>(&self, operator: &'p LogicalPlan) -> Option<(&'p str, &'p SubqueryAlias)> {
        let LogicalPlan::SubqueryAlias(alias) = operator else { return None };
        let TableReference::Bare { table } = &alias.alias else { return None };
        if matches!(alias.input.as_ref(), LogicalPlan::SubqueryAlias(below) if below.alias == alias.alias) {
            // `FROM r AS r`: the query is below.
            return None;
        }
        (self.names.contains_key(&**table) && !is_closed(&alias.input)).then_some((&**table, alias))
    }

    /// True if no other relation of the statement has the name of a query.
    fn is_unique(&self, name: &str) -> bool {
        self.names.get(name) == Some(&1) && !self.aliases.contains(name)
    }
}

impl Visitor for CommonTables {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for query in query.with.iter().flat_map(|with| &with.cte_tables) {
            *self.names.entry(normal(&query.alias.name)).or_default() += 1;
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
        if let Some((name, query)) = self.tables.read_by(&plan)
            && self.readings.get(name).is_some_and(|readings| readings.times > 1)
            && runs_once(query, self.tables.is_unique(name))?
        {
            return self.reader(name.to_owned(), query, known);
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

/// True if a query runs once for all readings, because another run could return other rows.
fn runs_once(query: &SubqueryAlias, is_unique: bool) -> Result<bool> {
    let is_volatile = calls_volatile(&query.input)?;
    if !is_volatile && !has_limit(&query.input)? {
        return Ok(false);
    }
    // The limit of a query that reads columns of the query around it counts the rows of each outer row.
    let name = &query.alias;
    let is_independent = query.input.all_out_ref_exprs().is_empty();
    match is_volatile && !(is_unique && is_independent) {
        true => not_impl_err!(
            "`{name}` calls a volatile function and is read several times, and another relation has its name or it reads \
             columns of the query around it: write CREATE TABLE {name} AS … first"
        ),
        false => Ok(is_unique && is_independent),
    }
}

fn has_limit(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found = match node {
            LogicalPlan::Limit(_) | LogicalPlan::Distinct(Distinct::On(_)) => true,
            LogicalPlan::Sort(sort) => sort.fetch.is_some(),
            _ => false,
        };
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Refuses a shared part in the rounds of a recursive query: each round would read it again.
fn check_recursive(plan: &LogicalPlan) -> Result<()> {
    let mut name = None;
    plan.apply_with_subqueries(|node| {
        let LogicalPlan::RecursiveQuery(query) = node else { return Ok(TreeNodeRecursion::Continue) };
        query.recursive_term.apply_with_subqueries(|inner| {
            if let Some(LogicalPlan::SubqueryAlias(alias)) = Shared::of(inner).map(|shared| shared.input.as_ref()) {
                name.get_or_insert_with(|| alias.alias.to_string());
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    match name {
        Some(name) => not_impl_err!(
            "`{name}` has a limit or calls a volatile function, and a recursive query reads it in each round: write CREATE \
             TABLE {name} AS … first"
        ),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
