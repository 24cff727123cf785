//! Pass 3, govern, and pass 5, enclose: the ports of this node as the principal may see them.
//!
//! Govern replaces each port of this node by a leaf, so that nothing of the statement gets between a port and its
//! policies while DataFusion's optimizer runs. Enclose then puts the policies in the place of the leaf, below a barrier:
//! first the filter, then the masks. Conditions that cannot reveal a hidden row stand beside the filter.
//!
//! Before: `Filter: note LIKE 'a%' AND region = 'EU' (scan sales.a)`.
//! After: `Filter: note LIKE 'a%' (Barrier (mask(note), region (Filter: tenant = 7 AND region = 'EU' (scan sales.a))))`.

mod account;
mod condition;
mod filters;
mod label;
mod port;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result as DataFusionResult, TableReference, plan_err};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Expr, Extension, Filter, LogicalPlan, LogicalPlanBuilder, Projection, TableScan, TableScanBuilder,
};
use portolan_catalog::PortRef;
use portolan_governance::{ColumnRule, Governed, Reasons};

pub(crate) use self::account::AccountedPort;
pub(crate) use self::filters::filter_errors;
pub(crate) use self::label::{Labelling, label_of_fragment};
use self::port::GovernedPort;
pub(crate) use self::rules::{PortRules, RuleAnswers};
use super::normalise::normalise;
use crate::execution::errors::from_datafusion;
use crate::masks::MaskFunction;
use crate::names::{Barrier, PortTable};
use crate::{Error, ErrorKind, Result};

/// Replaces each port of this node by what a principal may see of it.
///
/// # Errors
/// `PermissionDenied` if the principal may not read a port.
pub(super) fn govern(plan: &LogicalPlan, rules: &PortRules) -> Result<LogicalPlan> {
    let (mut refused, mut has_changed) = (None, false);
    let governed = plan.clone().transform_up_with_subqueries(|node| match governed(&node, rules) {
        Ok(Some(governed)) => {
            has_changed = true;
            Ok(Transformed::yes(governed))
        }
        // A masked column below may be NULL where the column itself may not.
        Ok(None) if has_changed => Ok(Transformed::yes(node.recompute_schema()?)),
        Ok(None) => Ok(Transformed::no(node)),
        Err(error) => {
            let text = error.context().to_owned();
            refused.get_or_insert(error);
            Err(datafusion::error::DataFusionError::Plan(text))
        }
    });
    match (governed, refused) {
        (_, Some(error)) => Err(error),
        (governed, None) => governed
            .and_then(|g| if has_changed { with_nullable_outer_columns(g.data) } else { Ok(g.data) })
            .map_err(|e| from_datafusion(&e)),
    }
}

/// Returns a plan whose subqueries expect NULL in each outer column: they have the columns as they were before the masks.
fn with_nullable_outer_columns(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let nullable = |expr: Expr| {
        expr.transform_up(|e| {
            Ok(match e {
                Expr::OuterReferenceColumn(field, column) if !field.is_nullable() => {
                    let field = Arc::new(field.as_ref().clone().with_nullable(true));
                    Transformed::yes(Expr::OuterReferenceColumn(field, column))
                }
                other => Transformed::no(other),
            })
        })
    };
    let mut has_changed = false;
    let changed = plan.transform_up_with_subqueries(|node| {
        let node = match node {
            LogicalPlan::Subquery(mut subquery) => {
                let outer = subquery.outer_ref_columns.into_iter().map(|column| nullable(column).map(|n| n.data));
                subquery.outer_ref_columns = outer.collect::<DataFusionResult<_>>()?;
                Transformed::no(LogicalPlan::Subquery(subquery))
            }
            other => other.map_expressions(nullable)?,
        };
        has_changed |= node.transformed;
        Ok(if has_changed { Transformed::yes(node.data.recompute_schema()?) } else { node })
    });
    changed.map(|plan| plan.data)
}

/// Returns what takes the place of an operator; `None` if it stays.
fn governed(node: &LogicalPlan, rules: &PortRules) -> Result<Option<LogicalPlan>> {
    if let Some(barrier) = Barrier::of(node) {
        // The query of a derived port reads its inputs on behalf of the owner.
        let rows = barrier.input.clone();
        let in_leaf = |decision| {
            let leaf = leaf(&barrier.port, &port_name(&barrier.port), rows.clone(), decision, rules.is_strict());
            leaf.map_err(|e| from_datafusion(&e))
        };
        return Ok(Some(match rules.decide(&barrier.port)? {
            // The plan would show names, values and numbers of rows that the principal may not see.
            None if rules.restricts_an_input(&barrier.port) => in_leaf(Arc::new(everything(&rows)))?,
            None => {
                // Nothing else in the plan names the port afterwards.
                if let Some(account) = &rules.account {
                    account.reads(&barrier.port, rows.schema().fields().iter().map(|field| field.name().clone()));
                }
                rows
            }
            Some(decision) => in_leaf(decision)?,
        }));
    }
    let LogicalPlan::TableScan(scan) = node else { return Ok(None) };
    let own = PortTable::with_scanned(scan, |port| (port.is_own() && !port.is_of_query).then(|| port.name.clone()));
    let Some(port) = own.flatten() else { return Ok(None) };
    let Some(decision) = rules.decide(&port)? else { return Ok(None) };
    leaf_of_scan(&port, scan, decision, rules.is_strict()).map(Some).map_err(|e| from_datafusion(&e))
}

/// Returns the leaf for a scan. The scan of a fragment may have columns, conditions and a limit of its own, which must
/// not come before the policies.
fn leaf_of_scan(
    port: &PortRef,
    scan: &TableScan,
    decision: Arc<Governed>,
    is_strict: bool,
) -> DataFusionResult<LogicalPlan> {
    let rows = TableScanBuilder::new(scan.table_name.clone(), scan.source.clone()).build()?;
    let mut plan = leaf(port, &scan.table_name, LogicalPlan::TableScan(rows), decision, is_strict)?;
    if let Some(predicate) = conjunction(scan.filters.clone()) {
        plan = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?);
    }
    if scan.projection.is_some() {
        let columns = scan.projected_schema.columns().into_iter().map(Expr::Column).collect();
        plan = LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?);
    }
    if let Some(fetch) = scan.fetch {
        plan = LogicalPlanBuilder::from(plan).limit(0, Some(fetch))?.build()?;
    }
    Ok(plan)
}

/// Returns the decision that permits all of these rows and columns.
fn everything(rows: &LogicalPlan) -> Governed {
    let (columns, reasons) = (BTreeMap::new(), Reasons::default());
    let known = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
    Governed { filter: None, columns, known, version: String::new(), valid_until: None, reasons }
}

fn port_name(port: &PortRef) -> TableReference {
    TableReference::full(port.domain.as_str(), port.product.as_str(), port.port.as_str())
}

fn leaf(
    port: &PortRef,
    name: &TableReference,
    rows: LogicalPlan,
    decision: Arc<Governed>,
    is_strict: bool,
) -> DataFusionResult<LogicalPlan> {
    let table = Arc::new(GovernedPort::new(port.clone(), rows, decision, is_strict));
    Ok(LogicalPlan::TableScan(TableScanBuilder::new(name.clone(), table).build()?))
}

/// Puts each governed port below its barrier, after the optimizer has narrowed its leaf.
///
/// # Errors
/// `PermissionDenied` if the plan reads a hidden column.
pub(super) fn enclose(state: &SessionState, plan: &LogicalPlan, rules: &PortRules) -> Result<LogicalPlan> {
    let mut refused = None;
    let enclosed = plan.clone().transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        match GovernedPort::with_scanned(scan, |port| enclosed(state, scan, port, rules)) {
            None => Ok(Transformed::no(node)),
            Some(Ok(plan)) => Ok(Transformed::yes(plan)),
            Some(Err(error)) => {
                let text = error.context().to_owned();
                refused.get_or_insert(error);
                Err(datafusion::error::DataFusionError::Plan(text))
            }
        }
    });
    match (enclosed, refused) {
        (_, Some(error)) => Err(error),
        (enclosed, None) => enclosed.map(|e| e.data).map_err(|e| from_datafusion(&e)),
    }
}

fn enclosed(state: &SessionState, scan: &TableScan, port: &GovernedPort, rules: &PortRules) -> Result<LogicalPlan> {
    let hidden: Vec<&str> = scan
        .projected_schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .filter(|name| port.decision.rule(name) == Some(ColumnRule::Hidden))
        .collect();
    if !hidden.is_empty() {
        return Err(hidden_columns(&port.name, &hidden));
    }
    // The reason may quote a policy.
    let input = below_barrier(state, scan, port, rules).map_err(|e| from_datafusion(&e));
    let input = input.and_then(|below| normalise(state, &below)).map_err(|e| {
        let shown =
            format!("the policies of {} cannot be applied: the log of its owner's node has the reason", port.name);
        tracing::error!(port = %port.name, "the policies cannot be applied: {}", e.owner_chain());
        Error::new(ErrorKind::SiteUnavailable, shown)
    })?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(Barrier { port: port.name.clone(), input }) }))
}

/// Returns the port's rows after the policies' filter and the statement's own conditions, with masks.
fn below_barrier(
    state: &SessionState,
    scan: &TableScan,
    port: &GovernedPort,
    rules: &PortRules,
) -> DataFusionResult<LogicalPlan> {
    let rows = &port.rows;
    let mut conditions = vec![];
    if let Some(condition) = &port.decision.filter {
        conditions.push(condition::expression(condition, rows.schema(), state)?);
    }
    let in_rows = |expr: Expr| -> DataFusionResult<Expr> {
        let renamed = expr.transform_up(|e| {
            Ok(match e {
                Expr::Column(column) => Transformed::yes(Expr::Column(column_of(rows.schema(), &column.name)?)),
                other => Transformed::no(other),
            })
        })?;
        Ok(renamed.data)
    };
    for filter in &scan.filters {
        conditions.push(in_rows(filter.clone())?);
    }
    let filtered = match conjunction(conditions) {
        Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(rows.clone()))?),
        None => rows.clone(),
    };
    let columns = scan.projected_schema.iter().map(|(qualifier, field)| {
        let column = Expr::Column(column_of(rows.schema(), field.name())?);
        let shown = match port.decision.rule(field.name()) {
            Some(ColumnRule::Masked(mask)) => {
                MaskFunction::call(mask, rules.secret(&port.name, mask).as_ref(), column)?
            }
            Some(ColumnRule::Hidden) => return plan_err!("the hidden column `{}` is read", field.name()),
            None => column,
        };
        Ok(shown.alias_qualified(qualifier.cloned(), field.name()))
    });
    let columns = columns.collect::<DataFusionResult<Vec<_>>>()?;
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(filtered))?))
}

fn column_of(schema: &DFSchema, name: &str) -> DataFusionResult<Column> {
    let (qualifier, field) = schema.qualified_field_with_unqualified_name(name)?;
    Ok(Column::new(qualifier.cloned(), field.name()))
}

fn hidden_columns(port: &PortRef, hidden: &[&str]) -> Error {
    let names = hidden.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let columns = if hidden.len() == 1 { "column" } else { "columns" };
    Error::new(
        ErrorKind::PermissionDenied,
        format!(
            "a policy of {port} hides the {columns} {names} from you: name the columns that you need, or write \
             `SELECT * EXCLUDE ({})`",
            hidden.join(", ")
        ),
    )
}

#[cfg(test)]
mod tests;
