//! `WITH` queries that run once for all of their readings, because another run could return other rows: they call a volatile
//! function, or have a limit without a full order. Each reading becomes a reader of one shared part.
//!
//! DataFusion 55.2 plans such a query again for each reading. Its optimizer then changes each copy for its own reader.
//!
//! Before: `Join(SubqueryAlias: r (Limit …), SubqueryAlias: r (Limit …))`.
//! After: `Join(Shared: part 1 (SubqueryAlias: r (Limit …)), Shared: part 1 (…))`.

mod naming;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, TableReference, not_impl_err};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::logical_plan::SubqueryAlias;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};

use super::full_order::is_fully_ordered;
use crate::names::{Barrier, is_view};
use crate::plan::Shared;
use crate::upstream::volatile::calls_volatile;

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
    /// The shared part, once the first reading is marked.
    part: Option<Part>,
}

/// The shared part of a query.
struct Part {
    /// The plan of the query before its own readings were marked.
    written: Arc<LogicalPlan>,
    reader: Shared,
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
            return self.reader(alias, query, known);
        }
        map_below(plan, known, &mut |part, known| self.marked(part, known))
    }

    /// Returns a reading of a query as a reader of its shared part.
    fn reader(&mut self, name: &str, query: &SubqueryAlias, known: &mut KnownSubqueries) -> Result<LogicalPlan> {
        if let Some(part) = self.readings.get(name).and_then(|readings| readings.part.as_ref()) {
            if part.written == query.input {
                return Ok(part.reader.clone().into_plan());
            }
            let name = self.tables.queries.get(name).map_or(name, |query| &query.name);
            return not_impl_err!("`{name}` has several meanings in the statement: give one of them another name");
        }
        self.last += 1;
        let number = self.last;
        let input = self.marked(query.input.as_ref().clone(), known)?;
        let plan = SubqueryAlias::try_new(Arc::new(input), query.alias.clone())?;
        let reader = Shared::required(number, Arc::new(LogicalPlan::SubqueryAlias(plan)));
        let part = Part { written: query.input.clone(), reader: reader.clone() };
        self.readings.entry(name.to_owned()).or_default().part = Some(part);
        Ok(reader.into_plan())
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
        Ok(Shared::required(number, Arc::new(input)).into_plan())
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
