//! The columns of ports whose values are in the columns of a plan. A value can also be in a column that a condition
//! compares with another one: in `a.x = b.y`, the rows that match have the same value in both. So all columns of one
//! condition count as having the values of all of them. The columns that may leave are followed, too: after `a.x = b.y`
//! here and `b.y = c.z` further up, `a.x` has the values of `c.z`.
//!
//! The result may name too many columns, and never too few: an operator that is not understood returns in each column the
//! values of all columns below.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, Join, LogicalPlan};

use super::residency::{PortColumn, PortRead};
use crate::mesh::MeshView;
use crate::plan::{Exchange, Shared};

/// The columns of ports whose values are in one column of a plan.
pub(super) type Guards = BTreeSet<PortColumn>;

/// Returns the guards of each column of a plan.
pub(super) fn of_plan(plan: &LogicalPlan, view: &MeshView) -> Vec<Guards> {
    let inputs: Vec<Vec<Guards>> = plan.inputs().into_iter().map(|input| of_plan(input, view)).collect();
    let inputs: Vec<&[Guards]> = inputs.iter().map(Vec::as_slice).collect();
    of_operator(plan, &inputs, view)
}

/// Returns the guards of each column of an operator, from those of its inputs.
pub(super) fn of_operator(plan: &LogicalPlan, inputs: &[&[Guards]], view: &MeshView) -> Vec<Guards> {
    let width = plan.schema().fields().len();
    let guards = match Exchange::of(plan) {
        Some(exchange) => of_plan(&exchange.fragment.plan, view),
        None => Below::of(plan, inputs, view).through(plan, view),
    };
    // Columns that cannot be told apart have the guards of all.
    if guards.len() == width { guards } else { vec![guards.into_iter().flatten().collect(); width] }
}

/// Returns the guards of an expression over columns with these guards.
pub(super) fn of_expr(expr: &Expr, schema: &DFSchema, columns: &[Guards]) -> Guards {
    let below = Below { schemas: vec![schema], columns: columns.to_vec(), subqueries: Guards::new() };
    below.of_expr(expr)
}

/// The columns below an operator.
struct Below<'a> {
    /// The schemas of the inputs.
    schemas: Vec<&'a DFSchema>,
    /// The guards of the columns of all inputs, in their order.
    columns: Vec<Guards>,
    /// The guards of the subqueries in the operator's expressions.
    subqueries: Guards,
}

impl<'a> Below<'a> {
    fn of(plan: &'a LogicalPlan, inputs: &[&[Guards]], view: &MeshView) -> Self {
        let mut subqueries = Guards::new();
        // The visit itself never fails.
        let _ = plan.apply_subqueries(|subquery| {
            subqueries.extend(of_plan(subquery, view).into_iter().flatten());
            Ok(TreeNodeRecursion::Continue)
        });
        let schemas = plan.inputs().into_iter().map(|input| input.schema().as_ref()).collect();
        Self { schemas, columns: inputs.concat(), subqueries }
    }

    /// Returns the guards of each column of the operator.
    fn through(mut self, plan: &LogicalPlan, view: &MeshView) -> Vec<Guards> {
        let width = plan.schema().fields().len();
        if let Some(read) = PortRead::of(plan) {
            return self.of_port(plan, &read, view);
        }
        if self.subqueries.is_empty() && self.columns.iter().all(Guards::is_empty) {
            return vec![Guards::new(); width];
        }
        match plan {
            LogicalPlan::Projection(projection) => self.of_exprs(&projection.expr),
            LogicalPlan::Filter(filter) => {
                self.share(split_conjunction(&filter.predicate).into_iter().map(|e| self.condition(e)).collect());
                self.columns
            }
            LogicalPlan::Aggregate(Aggregate { group_expr, aggr_expr, .. })
                if !group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_))) =>
            {
                [self.of_exprs(group_expr), self.of_exprs(aggr_expr)].concat()
            }
            LogicalPlan::Window(window) => {
                let computed = self.of_exprs(&window.window_expr);
                [self.columns, computed].concat()
            }
            LogicalPlan::Join(join) => self.joined(join),
            LogicalPlan::Union(_) => by_position(&self.columns, width),
            LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Distinct(Distinct::All(_)) => self.columns,
            _ if Shared::of(plan).is_some() => self.columns,
            _ => vec![self.all(); width],
        }
    }

    /// Returns the guards of a port's columns. Those of a barrier are also guarded if what is below it is.
    fn of_port(mut self, plan: &LogicalPlan, read: &PortRead, view: &MeshView) -> Vec<Guards> {
        let (known, by_queries) = (read.columns(view), read.guarded_by_queries(view));
        let own = |name: &String| known.get(name).into_iter().chain(&by_queries).cloned().collect::<Guards>();
        let fields = plan.schema().fields();
        let columns: Vec<Guards> = fields.iter().map(|field| own(field.name())).collect();
        let LogicalPlan::TableScan(scan) = plan else {
            let below = by_position(&self.columns, columns.len());
            let all = fields.iter().zip(columns).zip(below).map(|((field, mut own), below)| {
                own.extend(read.guard_of_hidden(field.name(), &below));
                own
            });
            return all.collect();
        };
        // A condition of the scan may also read columns that the scan does not return.
        let conditions = scan.filters.iter().map(|condition| {
            let (mut members, mut guards) = (BTreeSet::new(), Guards::new());
            for Column { name, .. } in condition.column_refs() {
                members.extend(fields.iter().position(|field| field.name() == name));
                guards.extend(known.get(name).cloned());
            }
            (members, guards)
        });
        self.columns = columns;
        self.share(conditions.collect());
        self.columns
    }

    /// Returns the guards of a join's columns.
    fn joined(mut self, join: &Join) -> Vec<Guards> {
        let on = join.on.iter().map(|(left, right)| {
            let (mut members, mut guards) = self.condition(left);
            let (others, more) = self.condition(right);
            members.extend(others);
            guards.extend(more);
            (members, guards)
        });
        let filter = join.filter.iter().flat_map(split_conjunction).map(|e| self.condition(e));
        let conditions = on.chain(filter).collect();
        self.share(conditions);
        let right = self.columns.split_off(join.left.schema().fields().len().min(self.columns.len()));
        let left = self.columns;
        let mark = |side: &[Guards]| side.iter().flatten().cloned().collect::<Guards>();
        match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => left,
            JoinType::RightSemi | JoinType::RightAnti => right,
            JoinType::LeftMark => [left.clone(), vec![mark(&left)]].concat(),
            JoinType::RightMark => [right.clone(), vec![mark(&right)]].concat(),
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => [left, right].concat(),
        }
    }

    /// Gives the columns of each condition the guards of all of its columns, and also all columns that have a guard in common
    /// with them: an earlier condition has compared these. A column can be in several conditions.
    fn share(&mut self, conditions: Vec<(BTreeSet<usize>, Guards)>) {
        let mut has_changed = true;
        while has_changed {
            has_changed = false;
            for (members, more) in &conditions {
                let compared: Guards = members.iter().filter_map(|i| self.columns.get(*i)).flatten().cloned().collect();
                let together: Guards = compared.iter().chain(more).cloned().collect();
                for (i, column) in self.columns.iter_mut().enumerate() {
                    let is_linked = members.contains(&i) || !column.is_disjoint(&compared);
                    if is_linked && !together.is_subset(column) {
                        column.extend(together.iter().cloned());
                        has_changed = true;
                    }
                }
            }
        }
    }

    /// Returns the columns that a condition reads, by position, and the guards of its subqueries.
    fn condition(&self, expr: &Expr) -> (BTreeSet<usize>, Guards) {
        let columns = expr.column_refs().into_iter().flat_map(|column| self.positions(column)).collect();
        (columns, if has_subquery(expr) { self.subqueries.clone() } else { Guards::new() })
    }

    fn of_exprs(&self, exprs: &[Expr]) -> Vec<Guards> {
        exprs.iter().map(|expr| self.of_expr(expr)).collect()
    }

    fn of_expr(&self, expr: &Expr) -> Guards {
        let (columns, subqueries) = self.condition(expr);
        let columns = columns.into_iter().filter_map(|i| self.columns.get(i)).flatten();
        columns.cloned().chain(subqueries).collect()
    }

    /// Returns the positions that a column may have. Both inputs of a join can have a column of one name.
    fn positions(&self, column: &Column) -> Vec<usize> {
        let (mut found, mut before) = (vec![], 0);
        for schema in &self.schemas {
            found.extend(schema.maybe_index_of_column(column).map(|i| before + i));
            before += schema.fields().len();
        }
        // A column that is not found may be any.
        if found.is_empty() { (0..self.columns.len()).collect() } else { found }
    }

    fn all(&self) -> Guards {
        self.columns.iter().flatten().chain(&self.subqueries).cloned().collect()
    }
}

/// Returns the guards of columns that have the same position in inputs of this width.
fn by_position(columns: &[Guards], width: usize) -> Vec<Guards> {
    let mut guards = vec![Guards::new(); width];
    for input in columns.chunks(width.max(1)) {
        guards.iter_mut().zip(input).for_each(|(all, own)| all.extend(own.iter().cloned()));
    }
    guards
}

pub(super) fn has_subquery(expr: &Expr) -> bool {
    let is_subquery = |e: &Expr| {
        matches!(e, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_))
    };
    expr.exists(|e| Ok(is_subquery(e))).unwrap_or(true)
}

#[cfg(test)]
mod tests;
