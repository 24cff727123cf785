//! The operators that choose rows or columns of one input, or read a table.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::expr_rewriter::replace_col;
use datafusion::logical_expr::utils::{conjunction, disjunction, split_conjunction};
use datafusion::logical_expr::{
    Expr, Filter, Limit, LogicalPlan, Projection, Sort, SubqueryAlias, TableScan, TableScanBuilder,
};

use super::expr_list::ExprList;
use super::{Compensation, Differences, Fused, have_same_items};
use crate::planner::infallible::never_fails;
use crate::planner::same::is_same_table;

/// Fuses projections. A plan that has none needs all columns.
pub(super) fn projections(plans: &[&LogicalPlan], differences: Differences) -> Option<Fused> {
    let (original, inputs): (Vec<Vec<Expr>>, Vec<&LogicalPlan>) = plans
        .iter()
        .map(|plan| match plan {
            LogicalPlan::Projection(projection) => (projection.expr.clone(), projection.input.as_ref()),
            whole => (whole.schema().columns().into_iter().map(Expr::Column).collect(), *whole),
        })
        .unzip();
    let original: Vec<&[Expr]> = original.iter().map(Vec::as_slice).collect();
    let mut fused = Fused::of(&inputs, differences)?;
    let mut list = ExprList::of(fused.exprs(&original)?);
    for compensation in &mut fused.compensations {
        compensation.renamed = HashMap::new();
        if let Some(filter) = compensation.filter.take() {
            compensation.filter = Some(list.lifted(filter)?);
        }
    }
    list.rename(&mut fused.compensations, &original);
    fused.under(|input| Projection::try_new(list.exprs, input).map(LogicalPlan::Projection))
}

/// Fuses filters. A plan that has none has no conditions.
pub(super) fn filters(plans: &[&LogicalPlan], differences: Differences) -> Option<Fused> {
    let (conditions, inputs): (Vec<Vec<Expr>>, Vec<&LogicalPlan>) = plans
        .iter()
        .map(|plan| match plan {
            LogicalPlan::Filter(filter) => {
                (split_conjunction(&filter.predicate).into_iter().cloned().collect(), filter.input.as_ref())
            }
            whole => (vec![], *whole),
        })
        .unzip();
    let conditions: Vec<&[Expr]> = conditions.iter().map(Vec::as_slice).collect();
    let inputs: Vec<LogicalPlan> =
        inputs.into_iter().zip(&conditions).map(|(input, own)| without_hints(input, own, &conditions)).collect();
    let mut fused = Fused::of(&inputs.iter().collect::<Vec<_>>(), differences)?;
    let conditions = fused.exprs(&conditions)?;
    let is_common = |condition: &&Expr| conditions.iter().all(|of_plan| of_plan.contains(condition));
    let mut all: Vec<Expr> = conditions.first()?.iter().filter(is_common).cloned().collect();
    let own: Vec<Option<Expr>> = conditions
        .iter()
        .map(|of_plan| conjunction(of_plan.iter().filter(|condition| !is_common(condition)).cloned()))
        .collect();
    let have_own = own.iter().any(Option::is_some);
    if have_own {
        let are_safe = own.iter().flatten().all(|condition| never_fails(condition, fused.plan.schema()));
        (differences == Differences::Conditions && are_safe).then_some(())?;
    }
    for (compensation, own) in fused.compensations.iter_mut().zip(own) {
        compensation.filter = conjunction(compensation.filter.take().into_iter().chain(own));
    }
    let filters: Option<Vec<&Expr>> = fused.compensations.iter().map(|c| c.filter.as_ref()).collect();
    if have_own && let Some(filters) = filters {
        // Each row that is left is one of some plan, so that an expression that all plans have fails for no other row.
        let mut any: Vec<Expr> = vec![];
        for filter in filters {
            if !any.contains(filter) {
                any.push(filter.clone());
            }
        }
        all.extend(disjunction(any));
    }
    match conjunction(all) {
        Some(predicate) => fused.under(|input| Filter::try_new(predicate, input).map(LogicalPlan::Filter)),
        None => Some(fused),
    }
}

/// Returns the input of a filter. If it is a scan, it loses those of the conditions by which the table leaves out rows early, and
/// that not all plans have. The filter above tests them in any case.
fn without_hints(input: &LogicalPlan, conditions: &[Expr], of_plans: &[&[Expr]]) -> LogicalPlan {
    let LogicalPlan::TableScan(scan) = input else { return input.clone() };
    let stays = |filter: &Expr| !conditions.contains(filter) || of_plans.iter().all(|all| all.contains(filter));
    let mut scan = scan.clone();
    scan.filters.retain(stays);
    LogicalPlan::TableScan(scan)
}

pub(super) fn aliases(plans: &[&SubqueryAlias], mut fused: Fused) -> Option<Fused> {
    let alias = &plans.first()?.alias;
    // An alias gives columns with one name different names, by their order.
    let is_same = |plan: &&SubqueryAlias| plan.alias == *alias && has_unique_names(plan.input.schema());
    (plans.iter().all(is_same) && has_unique_names(fused.plan.schema())).then_some(())?;
    let aliased = |column: &Column| Column::new(Some(alias.clone()), column.name.clone());
    for compensation in &mut fused.compensations {
        let Compensation { filter, renamed } = compensation;
        *renamed = renamed.iter().map(|(from, to)| (aliased(from), aliased(to))).collect();
        if let Some(below) = filter.take() {
            let names: HashMap<Column, Column> =
                below.column_refs().into_iter().map(|c| (c.clone(), aliased(c))).collect();
            *filter = Some(replace_col(below, &names.iter().collect()).ok()?);
        }
    }
    fused.under(|input| SubqueryAlias::try_new(input, alias.clone()).map(LogicalPlan::SubqueryAlias))
}

pub(super) fn sorts(plans: &[&Sort], fused: Fused) -> Option<Fused> {
    let first = *plans.first()?;
    let keys = |sort: &Sort| sort.expr.iter().map(|key| key.expr.clone()).collect::<Vec<_>>();
    let keys: Vec<Vec<Expr>> = plans.iter().map(|plan| keys(plan)).collect();
    let keys = fused.same_exprs(&keys.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    let orders = |sort: &Sort| sort.expr.iter().map(|key| (key.asc, key.nulls_first)).collect::<Vec<_>>();
    let is_same = plans.iter().all(|plan| orders(plan) == orders(first) && plan.fetch == first.fetch);
    // The first rows of all plans together are not the first rows of each.
    (is_same && (first.fetch.is_none() || !fused.has_different_rows())).then_some(())?;
    let expr = keys.into_iter().zip(&first.expr).map(|(key, sort)| sort.with_expr(key)).collect();
    fused.under(|input| Ok(LogicalPlan::Sort(Sort { expr, input, fetch: first.fetch })))
}

pub(super) fn limits(plans: &[&Limit], fused: Fused) -> Option<Fused> {
    let first = *plans.first()?;
    let is_same = plans.iter().all(|plan| plan.skip == first.skip && plan.fetch == first.fetch);
    // The first rows of all plans together are not the first rows of each.
    (is_same && !fused.has_different_rows()).then_some(())?;
    fused.under(|input| Ok(LogicalPlan::Limit(Limit { input, ..first.clone() })))
}

pub(super) fn scans(plans: &[&TableScan]) -> Option<Fused> {
    let first = *plans.first()?;
    let is_same_scan = |scan: &&TableScan| {
        is_same_table(first, scan)
            && first.table_name == scan.table_name
            && have_same_items(&first.filters, &scan.filters)
            && first.fetch == scan.fetch
            && first.statistics_requests == scan.statistics_requests
    };
    plans.iter().all(is_same_scan).then_some(())?;
    let projections: Option<Vec<&Vec<usize>>> = plans.iter().map(|scan| scan.projection.as_ref()).collect();
    let projection = projections.map(|projections| {
        let mut columns: Vec<usize> = projections.into_iter().flatten().copied().collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    });
    let scan = TableScanBuilder::new(first.table_name.clone(), Arc::clone(&first.source))
        .with_projection(projection)
        .with_filters(first.filters.clone())
        .with_fetch(first.fetch)
        .with_statistics_requests(first.statistics_requests.clone());
    let plan = scan.build().ok().map(LogicalPlan::TableScan)?;
    Some(Fused { plan, compensations: vec![Compensation::default(); plans.len()] })
}

fn has_unique_names(schema: &DFSchema) -> bool {
    let mut names: Vec<_> = schema.fields().iter().map(|field| field.name()).collect();
    let columns = names.len();
    names.sort_unstable();
    names.dedup();
    names.len() == columns
}
