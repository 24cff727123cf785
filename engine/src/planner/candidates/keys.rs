//! Keys that one side of a join supplies to cut the edges of the other side.

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, Join, LogicalPlan};

use super::edges::OperatorEdge;
use super::tree::CandidateTree;
use crate::plan::{Cost, KeyPlan, Strategy, THIS_NODE};
use crate::planner::cost;
use crate::planner::lineage::{self, Guards};
use crate::planner::movement::KeyEstimate;
use crate::settings::{Pushdown, Settings, StrategyChoice};
use crate::upstream::unfiltered_keys::makes_filter;

/// A side of a join.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Side {
    Left,
    Right,
}

/// The keys of a join's build side for its probe side.
struct OperatorKeys {
    /// The join keys: pairs of an expression of the probe side and one of the build side.
    on: Vec<(Expr, Expr)>,
    estimate: KeyEstimate,
    /// The number of distinct keys of the probe side.
    probe_distinct: f64,
}

impl CandidateTree {
    /// Bars keys from the edges of a join's probe side to which the keys of the build side must not be sent. An edge
    /// accepts the keys of all joins above it, so it then accepts none. Returns the cost that keys have saved there.
    pub(super) fn bar_keys(&self, join: &Join, build_side: Side, edges: &mut [Vec<OperatorEdge>]) -> Cost {
        let guards = self.guards_of_keys(join, build_side);
        let built = if build_side == Side::Left { 0 } else { 1 };
        let probed = edges.iter_mut().enumerate().filter(|(i, _)| *i != built).flat_map(|(_, edges)| edges);
        let barred = probed.filter(|edge| guards.iter().any(|guard| !guard.may_be_key_for(&edge.of.domains)));
        barred.fold(Cost::default(), |lost, edge| lost + edge.bar_keys())
    }

    /// Returns the guarded columns whose values are in the keys of a join's build side.
    pub(super) fn guards_of_keys(&self, join: &Join, build_side: Side) -> Guards {
        let built = self.inputs.get(if build_side == Side::Left { 0 } else { 1 });
        let key = |(left, right): &(Expr, Expr)| if build_side == Side::Left { left.clone() } else { right.clone() };
        let of_key = |key: Expr| built.map(|built| lineage::of_expr(&key, built.plan.schema(), &built.guards));
        join.on.iter().map(key).filter_map(of_key).flatten().collect()
    }

    /// Cuts the edges of the probe side by keys of the build side. Returns a text for EXPLAIN and the saved cost;
    /// `None` if the keys cut no edge.
    pub(super) fn send_keys(
        &self,
        join: &Join,
        build_side: Side,
        edges: &mut [Vec<OperatorEdge>],
        settings: &Settings,
        forced: StrategyChoice,
    ) -> Option<(String, Cost)> {
        let preserved = join.join_type.on_lr_is_preserved();
        let (build, probe, given, edges, may_be_cut) = match (self.inputs.as_slice(), edges, build_side) {
            ([left, right], [given, edges, ..], Side::Left) => (left, right, given, edges, preserved.1),
            ([left, right], [edges, given, ..], Side::Right) => (right, left, given, edges, preserved.0),
            _ => return None,
        };
        let owners_test_keys = settings.placement && settings.pushdown == Pushdown::All;
        let makes_filter = |key: &(Expr, Expr)| makes_filter(key, join.left.schema(), join.right.schema());
        let has_filter = !join.on.is_empty() && join.on.iter().all(makes_filter);
        if !owners_test_keys || !has_filter || join.null_aware || !may_be_cut {
            return None;
        }
        let keys = OperatorKeys::of(join, build, probe, build_side);
        let domains: Vec<String> = build.domains.iter().map(ToString::to_string).collect();
        let from = if domains.is_empty() { vec![THIS_NODE.to_owned()] } else { domains };
        let is_forced = matches!(forced, StrategyChoice::KeysFromLeft | StrategyChoice::KeysFromRight);
        let mut total = Cost::default();
        let mut cut = vec![];
        for edge in edges.iter_mut() {
            let reads = |e: &Expr| e.column_refs().into_iter().all(|c| edge.of.columns.contains(c));
            let before = edge.rows;
            if !edge.of.is_barred
                && keys.on.iter().any(|(probed, _)| reads(probed))
                && let Some(saved) = keys.cut(edge, &from, settings, is_forced)
            {
                edge.of.keyed_by.extend(given.iter().map(|g| g.of.number));
                cut.push((edge.of.number, edge.rows / before.max(1.0)));
                total += saved;
            }
        }
        let any = !cut.is_empty();
        total += pass_on(edges, cut);
        any.then(|| (format!("keys from {} (about {})", from.join(", "), keys.estimate.count.round()), total))
    }
}

/// Returns the sources of both lists, each once.
fn both(mut sources: Vec<String>, more: &[String]) -> Vec<String> {
    for source in more {
        if !sources.contains(source) {
            sources.push(source.clone());
        }
    }
    sources
}

/// Cuts the edges further down a chain of keys: an edge that supplies fewer rows also supplies fewer keys. `cut` has
/// the number and the kept share of each edge that keys have cut. Returns the saved cost.
fn pass_on(edges: &mut [OperatorEdge], mut cut: Vec<(usize, f64)>) -> Cost {
    let mut saved = Cost::default();
    let mut done: Vec<usize> = cut.iter().map(|(number, _)| *number).collect();
    while let Some((number, kept)) = cut.pop() {
        for edge in edges.iter_mut().filter(|e| e.of.keyed_by.contains(&number)) {
            if done.contains(&edge.of.number) {
                continue;
            }
            let bytes = edge.bytes * (1.0 - kept);
            saved += cost::transfer(&edge.link, bytes) - cost::transfer(&edge.link, 0.0);
            edge.cut(kept);
            if let Some(keys) = &mut edge.of.keys {
                keys.keys *= kept;
            }
            done.push(edge.of.number);
            cut.push((edge.of.number, kept));
        }
    }
    saved
}

impl OperatorKeys {
    fn of(join: &Join, build: &CandidateTree, probe: &CandidateTree, build_side: Side) -> Self {
        let pair = |(l, r): &(Expr, Expr)| match build_side {
            Side::Left => (r.clone(), l.clone()),
            Side::Right => (l.clone(), r.clone()),
        };
        let on: Vec<(Expr, Expr)> = join.on.iter().map(pair).collect();
        let estimate = KeyEstimate::of_plans(&on, &build.rows, &probe.rows);
        let probe_distinct = probe.rows.distinct_keys(on.iter().map(|(probe, _)| probe));
        Self { on, estimate, probe_distinct }
    }

    /// Cuts an edge by the keys. Returns the saved cost; `None` if the keys do not pay and no setting forces them.
    fn cut(&self, edge: &mut OperatorEdge, from: &[String], settings: &Settings, is_forced: bool) -> Option<Cost> {
        let (kept, saved) = match self.estimate.applied_to(edge) {
            Some(keyed) => (keyed.kept, keyed.saved),
            None if is_forced => (self.estimate.matched, Cost::default()),
            None => return None,
        };
        edge.cut(kept);
        if edge.of.strategy == Strategy::Gather {
            edge.of.strategy = Strategy::Keys;
        }
        let wait = if is_forced { settings.key_wait } else { cost::wait(saved, settings.key_wait) };
        edge.of.keys = Some(match edge.of.keys.take() {
            Some(before) => KeyPlan {
                wait: before.wait.max(wait),
                keys: before.keys.min(self.estimate.count),
                from: both(before.from, from),
                ..before
            },
            None => KeyPlan {
                wait,
                form: settings.key_form,
                keys: self.estimate.count,
                probe_distinct: self.probe_distinct,
                from: from.to_owned(),
                adapt_factor: settings.adapt_factor,
            },
        });
        Some(saved)
    }
}

/// Returns the columns by which keys from above an operator may cut the edges below it, as the operator names them.
/// `columns` are their names in its inputs. An operator that would then return other rows, such as a limit, has none.
pub(super) fn carried(plan: &LogicalPlan, columns: &[Column]) -> Vec<Column> {
    let above = plan.schema().columns();
    let named = |index: usize, below: &Column| columns.contains(below).then(|| above.get(index).cloned()).flatten();
    let computed = |exprs: &[Expr]| {
        let column = |e: &Expr| if let Expr::Column(c) = e.clone().unalias() { Some(c) } else { None };
        exprs.iter().enumerate().filter_map(|(i, e)| named(i, &column(e)?)).collect()
    };
    match plan {
        LogicalPlan::Projection(p) => computed(&p.expr),
        LogicalPlan::Aggregate(a) => computed(&a.group_expr),
        LogicalPlan::SubqueryAlias(_) | LogicalPlan::Union(_) => {
            let inputs = plan.inputs().into_iter();
            let below = inputs.flat_map(|input| input.schema().columns().into_iter().enumerate());
            below.filter_map(|(i, column)| named(i, &column)).collect()
        }
        LogicalPlan::Filter(_) | LogicalPlan::Join(_) | LogicalPlan::Distinct(_) => columns.to_vec(),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => columns.to_vec(),
        _ => vec![],
    }
}
