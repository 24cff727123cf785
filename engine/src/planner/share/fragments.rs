//! Equal fragments: one of them is sent, and the exchanges of all read it. It is sent without join keys, because each
//! exchange has keys of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Extension, LogicalPlan, SubqueryAlias};

use super::CutPlan;
use crate::plan::{Edge, Exchange, Fragment, Placed, Strategy};
use crate::planner::same::{are_same, in_order, visit};
use crate::upstream::volatile::calls_volatile;

/// The fragment that stands for a fragment and for those that are equal to it, by the number of each of them.
pub(super) type Representatives = BTreeMap<usize, Arc<Fragment>>;

/// Replaces each of several equal fragments by one of them.
pub(super) fn send_once(cut: CutPlan, may_drop_keys: bool) -> Result<CutPlan> {
    let representatives = representatives(&cut.plan, may_drop_keys)?;
    cut.sending(&BTreeSet::new(), &representatives)
}

impl CutPlan {
    /// Returns the plan without the fragments that are not sent, and without those for which others stand. The remaining
    /// ones get new numbers.
    pub(super) fn sending(mut self, unsent: &BTreeSet<usize>, representatives: &Representatives) -> Result<Self> {
        if unsent.is_empty() && representatives.is_empty() {
            return Ok(self);
        }
        let (mut sent, mut by_number) = (vec![], BTreeMap::new());
        for fragment in self.fragments {
            let fragment = match representatives.get(&fragment.number) {
                _ if unsent.contains(&fragment.number) => continue,
                Some(other) if other.number != fragment.number => continue,
                Some(itself) => itself.clone(),
                None => fragment,
            };
            let renumbered = Arc::new(Fragment { number: sent.len() + 1, ..fragment.as_ref().clone() });
            by_number.insert(fragment.number, renumbered.clone());
            sent.push(renumbered);
        }
        let sent_for = |number: usize| by_number.get(&representatives.get(&number).map_or(number, |r| r.number));
        renumber(&mut self.placed, &|number| sent_for(number).map(|fragment| fragment.number));
        let plan = self.plan.transform_up_with_subqueries(|operator| {
            let Some(exchange) = Exchange::of(&operator) else { return Ok(Transformed::no(operator)) };
            let Some(fragment) = sent_for(exchange.fragment.number) else { return Ok(Transformed::no(operator)) };
            Ok(Transformed::yes(reading(fragment, exchange)?))
        })?;
        Ok(Self { plan: plan.data, placed: self.placed, fragments: sent })
    }
}

/// Returns the plan that reads `fragment` in the place of an exchange.
fn reading(fragment: &Arc<Fragment>, exchange: &Exchange) -> Result<LogicalPlan> {
    let node = Arc::new(Exchange { fragment: fragment.clone(), running: exchange.running.clone() });
    let read = LogicalPlan::Extension(Extension { node });
    match &exchange.fragment.plan {
        LogicalPlan::SubqueryAlias(alias) if exchange.fragment.schema != fragment.schema => {
            let renamed = SubqueryAlias::try_new(Arc::new(read), alias.alias.clone())?;
            Ok(LogicalPlan::SubqueryAlias(renamed))
        }
        _ => Ok(read),
    }
}

fn renumber(placed: &mut Placed, new_number: &impl Fn(usize) -> Option<usize>) {
    placed.fragment = placed.fragment.and_then(new_number);
    placed.inputs.iter_mut().chain(&mut placed.subqueries).for_each(|part| renumber(part, new_number));
}

/// Returns the representatives of the fragments of a plan that are equal to others.
fn representatives(plan: &LogicalPlan, may_drop_keys: bool) -> Result<Representatives> {
    let mut found = Representatives::new();
    for (members, representative) in
        equal_exchanges(plan, are_equal)?.iter().filter_map(|exchanges| merged(exchanges, may_drop_keys))
    {
        found.extend(members.into_iter().map(|number| (number, representative.clone())));
    }
    Ok(found)
}

/// Returns the first one of the fragments that are equal, under the number of each of them. Their columns have the same
/// names, and their keys may differ.
pub(super) fn equal(plan: &LogicalPlan) -> Result<Representatives> {
    let groups = equal_exchanges(plan, |a, b| a.fragment.schema == b.fragment.schema && are_equal(a, b))?;
    let of_group = |exchanges: Vec<Exchange>| {
        let first = exchanges.first().map(|exchange| exchange.fragment.clone());
        exchanges.into_iter().filter_map(move |exchange| Some((exchange.fragment.number, first.clone()?)))
    };
    Ok(groups.into_iter().flat_map(of_group).collect())
}

/// Returns the exchanges of a plan in groups of equal ones.
fn equal_exchanges(plan: &LogicalPlan, are_equal: impl Fn(&Exchange, &Exchange) -> bool) -> Result<Vec<Vec<Exchange>>> {
    let mut equal: Vec<Vec<Exchange>> = vec![];
    visit(plan, |operator| {
        let Some(exchange) = Exchange::of(operator) else { return Ok(()) };
        if calls_volatile(&exchange.fragment.plan)? {
            return Ok(());
        }
        match equal.iter_mut().find(|known| known.iter().all(|other| are_equal(other, exchange))) {
            Some(known) => known.push(exchange.clone()),
            None => equal.push(vec![exchange.clone()]),
        }
        Ok(())
    })?;
    Ok(equal)
}

/// True if two exchanges return the same rows, up to the alias above them.
fn are_equal(a: &Exchange, b: &Exchange) -> bool {
    let number = |exchange: &Exchange| exchange.running.as_ref().map(|running| running.number);
    if a.fragment.site != b.fragment.site || number(a) != number(b) {
        return false;
    }
    let (a, b) = (a.fragment.as_ref(), b.fragment.as_ref());
    if a.schema.as_arrow().fields() != b.schema.as_arrow().fields() {
        return false;
    }
    let is_alias = |fragment: &Fragment| matches!(fragment.plan, LogicalPlan::SubqueryAlias(_));
    match a.schema == b.schema {
        true => a.sent == b.sent || have_same_rows(&a.plan, &b.plan),
        false => is_alias(a) && is_alias(b) && have_same_rows(without_aliases(&a.plan), without_aliases(&b.plan)),
    }
}

/// True if two plans are equal up to the order of their conditions.
fn have_same_rows(a: &LogicalPlan, b: &LogicalPlan) -> bool {
    let ordered = |plan: &LogicalPlan| plan.clone().transform_up_with_subqueries(in_order);
    matches!((ordered(a), ordered(b)), (Ok(a), Ok(b)) if are_same(&a.data, &b.data))
}

/// Returns what is below the aliases at the top of a plan.
fn without_aliases(mut plan: &LogicalPlan) -> &LogicalPlan {
    while let LogicalPlan::SubqueryAlias(alias) = plan {
        plan = &alias.input;
    }
    plan
}

/// Returns the numbers of the equal fragments that one of them stands for; `None` if each is better sent with its own keys.
fn merged(exchanges: &[Exchange], may_drop_keys: bool) -> Option<(Vec<usize>, Arc<Fragment>)> {
    let fragments = || exchanges.iter().map(|exchange| &exchange.fragment);
    let (whole, keyed): (Vec<_>, Vec<_>) = fragments().partition(|fragment| fragment.edge.keys.is_none());
    let keyed_rows: f64 = keyed.iter().map(|fragment| fragment.edge.rows).sum();
    let first = whole.first().or(keyed.first())?;
    // If the whole rows cross for one reader, the others need no rows of their own.
    let drops_keys = may_drop_keys && (!whole.is_empty() || first.edge.rows_whole <= keyed_rows);
    let members: Vec<usize> = match drops_keys {
        true => fragments().map(|fragment| fragment.number).collect(),
        false => whole.iter().map(|fragment| fragment.number).collect(),
    };
    let representative = Fragment { edge: without_keys(&first.edge), ..Fragment::clone(first) };
    (members.len() > 1).then(|| (members, Arc::new(representative)))
}

/// Returns an edge over which all rows of its fragment cross.
fn without_keys(edge: &Edge) -> Edge {
    if edge.keys.is_none() {
        return edge.clone();
    }
    let strategy = if edge.strategy == Strategy::Keys { Strategy::Gather } else { edge.strategy };
    Edge { keys: None, rows: edge.rows_whole, strategy, ..edge.clone() }
}
