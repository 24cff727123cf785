//! Creates the document of a query from its placed plan and, if it ran, from the metrics of its operators.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use portolan_connectors::{FragmentPlan, SiteId};

use super::document::{
    AlternativeEntry, DecisionEntry, EdgeEntry, Errors, FragmentEntry, KeysEntry, OperatorActual, OperatorEntry,
    PlanDocument, SharedEntry, SiteEntry,
};
use super::match_operators::match_operators;
use super::measured::edge_actual;
use super::sql;
use crate::exchange::LiveEdge;
use crate::plan::{Alternative, Decision, Fragment, Placed, Planned, SharedMark, SiteChoice, Strategy};
use crate::planner::cardinality::q_error::q_error;
use portolan_connectors::KeyForm;

/// A query that ran.
#[derive(Clone, Copy)]
pub(crate) struct ExecutedPlan<'a> {
    pub(crate) edges: &'a [Arc<LiveEdge>],
    pub(crate) physical: &'a dyn ExecutionPlan,
}

/// Creates the document.
pub(super) fn document(planned: &Planned, ran: Option<ExecutedPlan<'_>>) -> PlanDocument {
    let mut writer = DocumentWriter::new(planned, ran);
    let plan = writer.operator(&planned.placed, None, false).0;
    let DocumentWriter { mut fragments, errors, .. } = writer;
    fragments.sort_by_key(|f| f.number);
    let mut sites: BTreeMap<String, Vec<String>> = BTreeMap::new();
    note_sites(&planned.placed, &mut sites);
    let sites = sites.into_iter().map(|(url, domains)| SiteEntry { url, domains }).collect();
    PlanDocument { sites, fragments, plan, adapted: planned.adapted.clone(), q_error: summarised(errors) }
}

/// Notes the owners of the ports that the plan reads, directly or through another owner.
fn note_sites(placed: &Placed, sites: &mut BTreeMap<String, Vec<String>>) {
    if let (LogicalPlan::TableScan(_), SiteChoice::Site(site)) = (&placed.plan, &placed.site) {
        let domains = sites.entry(site.to_string()).or_default();
        domains.extend(placed.domains.iter().map(ToString::to_string));
        domains.sort_unstable();
        domains.dedup();
    }
    placed.shown_inputs().iter().chain(&placed.subqueries).for_each(|input| note_sites(input, sites));
}

struct DocumentWriter<'a> {
    planned: &'a Planned,
    ran: Option<ExecutedPlan<'a>>,
    /// The measured rows and DataFusion's estimate of operators of the placed plan, by their places.
    measures: BTreeMap<usize, (u64, Option<f64>)>,
    place: usize,
    fragments: Vec<FragmentEntry>,
    errors: Vec<(f64, String)>,
}

impl<'a> DocumentWriter<'a> {
    fn new(planned: &'a Planned, ran: Option<ExecutedPlan<'a>>) -> Self {
        let mut measures = BTreeMap::new();
        if let Some(ran) = ran {
            let mut executed = vec![];
            note_rows(ran.physical, &StatisticsContext::new(), &mut executed);
            for (here, there) in match_operators(&planned.placed, ran.physical) {
                if let Some((Some(rows), estimate)) = executed.get(there) {
                    measures.insert(here, (*rows, *estimate));
                }
            }
        }
        Self { planned, ran, measures, place: 0, fragments: vec![], errors: vec![] }
    }

    /// Returns the operator, and true if all of its inputs ran to their end.
    fn operator(&mut self, placed: &Placed, above: Option<&DecisionEntry>, limited: bool) -> (OperatorEntry, bool) {
        let measure = self.measures.get(&self.place).copied();
        self.place += 1;
        let decision = placed.decision.as_ref().map(decided);
        let nearest = decision.as_ref().or(above).cloned();
        let limited = match placed.plan {
            LogicalPlan::Limit(_) => true,
            // These operators read all of their inputs.
            LogicalPlan::Aggregate(_) | LogicalPlan::Sort(_) | LogicalPlan::Window(_) => false,
            _ => limited,
        };
        let mut complete = true;
        let mut inputs = |writer: &mut Self, inputs: &[Placed]| -> Vec<OperatorEntry> {
            let written = inputs.iter().map(|input| writer.operator(input, nearest.as_ref(), limited));
            written.map(|(input, ended)| (input, complete &= ended).0).collect()
        };
        let (subqueries, inputs) = (inputs(self, &placed.subqueries), inputs(self, placed.shown_inputs()));
        let mut operator = OperatorEntry {
            operator: described(placed),
            site: site_name(&placed.site),
            domains: placed.domains.iter().map(ToString::to_string).collect(),
            port: if let LogicalPlan::TableScan(scan) = &placed.plan {
                Some(scan.table_name.to_string())
            } else {
                None
            },
            reason: placed.reason.as_ref().map(ToString::to_string),
            fragment: placed.fragment,
            shared: placed.shared.map(|mark| SharedEntry { part: mark.number, readers: mark.readers }),
            rows: known(placed.rows).map(whole),
            decision,
            actual: None,
            subqueries,
            inputs,
        };
        if let Some(number) = placed.fragment {
            complete = self.fragment(number, placed, nearest, &mut operator);
        } else if let Some((rows, fallback)) = measure {
            let is_estimated = complete && !limited && !placed.is_assumed();
            let estimate = known(placed.rows).or(fallback).filter(|_| is_estimated);
            operator.rows = operator.rows.or(fallback.map(whole));
            let what = || format!("here, {}", operator.operator);
            let q_error = estimate.map(|estimate| self.compare(estimate, rows, what));
            operator.actual = Some(OperatorActual { rows, q_error });
        }
        (operator, complete)
    }

    /// Adds a fragment with its edge. True if the fragment ran to its end.
    fn fragment(
        &mut self,
        number: usize,
        root: &Placed,
        decision: Option<DecisionEntry>,
        operator: &mut OperatorEntry,
    ) -> bool {
        let Some(fragment) = self.planned.fragments.iter().find(|f| f.number == number) else { return true };
        let edge = edge_entry(fragment, pulled(root, &fragment.site));
        let mut complete = true;
        let actual = self.ran.and_then(|ran| ran.edges.iter().find(|e| e.fragment().number == number)).map(|live| {
            let mut actual = edge_actual(live);
            complete = actual.complete;
            let estimate = rows_expected(fragment).filter(|_| complete);
            actual.q_error = estimate.map(|e| self.compare(e, actual.rows, || format!("edge {number}")));
            for there in &actual.operators {
                if let (Some(estimate), Some(rows)) = (there.estimated_rows, there.rows) {
                    self.compare(estimate, rows, || format!("at {}, {}", fragment.domain_list(), there.operator));
                }
            }
            operator.actual = Some(OperatorActual { rows: actual.rows, q_error: actual.q_error });
            actual
        });
        operator.rows = operator.rows.or(edge.rows);
        self.fragments.push(FragmentEntry {
            number,
            site: fragment.site.to_string(),
            domains: fragment.domains.iter().map(ToString::to_string).collect(),
            sql: match &fragment.sent {
                FragmentPlan::Sql(sql) => sql.text.clone(),
                FragmentPlan::Encoded(_) => sql(&fragment.plan),
            },
            edge,
            decision,
            actual,
        });
        complete
    }

    fn compare(&mut self, estimate: f64, actual: u64, what: impl Fn() -> String) -> f64 {
        let error = q_error(estimate, actual as f64);
        self.errors.push((error, what()));
        thousandths(error)
    }
}

/// Notes the rows and DataFusion's own estimate for every operator, in the order of the printed plan.
fn note_rows(plan: &dyn ExecutionPlan, statistics: &StatisticsContext, rows: &mut Vec<(Option<u64>, Option<f64>)>) {
    let actual = plan.metrics().and_then(|m| m.output_rows()).map(|r| r as u64);
    let expected = statistics.compute(plan, &StatisticsArgs::new()).ok();
    rows.push((actual, expected.and_then(|s| s.num_rows.get_value().map(|r| *r as f64))));
    plan.children().into_iter().for_each(|child| note_rows(child.as_ref(), statistics, rows));
}

/// Describes an operator in one line.
fn described(placed: &Placed) -> String {
    match placed.shared {
        Some(SharedMark { number, readers: None, .. }) => format!("shared part {number}"),
        _ => placed.plan.display().to_string(),
    }
}

fn summarised(mut errors: Vec<(f64, String)>) -> Option<Errors> {
    errors.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (max, worst) = errors.last().cloned()?;
    let middle = errors.len() / 2;
    let at = |i: usize| errors.get(i).map_or(1.0, |e| e.0);
    let median = if errors.len().is_multiple_of(2) { f64::midpoint(at(middle - 1), at(middle)) } else { at(middle) };
    Some(Errors { compared: errors.len(), median: thousandths(median), max: thousandths(max), worst })
}

fn site_name(site: &SiteChoice) -> Option<String> {
    match site {
        SiteChoice::Anywhere => None,
        SiteChoice::Here => Some("here".into()),
        SiteChoice::Site(site) => Some(site.to_string()),
    }
}

/// Returns the domains below a fragment's root whose rows come from another owner.
fn pulled(placed: &Placed, site: &SiteId) -> Vec<String> {
    let mut domains: Vec<String> = match &placed.site {
        SiteChoice::Site(other) if other != site => placed.domains.iter().map(ToString::to_string).collect(),
        _ => placed.inputs.iter().chain(&placed.subqueries).flat_map(|input| pulled(input, site)).collect(),
    };
    domains.sort_unstable();
    domains.dedup();
    domains
}

fn edge_entry(fragment: &Fragment, pulls_from: Vec<String>) -> EdgeEntry {
    let edge = &fragment.edge;
    let rows = rows_expected(fragment);
    EdgeEntry {
        strategy: match edge.strategy {
            Strategy::Gather => "gather",
            Strategy::Keys => "keys",
            Strategy::Delegate => "delegate",
        },
        keys: edge.keys.as_ref().map(|keys| KeysEntry {
            from: keys.from.join(", "),
            expected: whole(keys.keys),
            form: keys.form.map(KeyForm::name),
            wait_ms: keys.wait.as_secs_f64() * 1000.0,
        }),
        pulls_from,
        rows_whole: known(edge.rows_whole).map(whole),
        rows: rows.map(whole),
        bytes: rows.zip(known(edge.row_bytes)).map(|(rows, bytes)| whole(rows * bytes)),
        latency_ms: edge.link.latency.as_secs_f64() * 1000.0,
        bytes_per_second: edge.link.bandwidth,
    }
}

/// Returns the number of a fragment's rows that are expected to cross the edge.
fn rows_expected(fragment: &Fragment) -> Option<f64> {
    known(fragment.edge.rows).or(fragment.rows.map(|rows| rows as f64))
}

fn decided(decision: &Decision) -> DecisionEntry {
    let alternative = |a: &Alternative| AlternativeEntry {
        what: a.what.clone(),
        bytes: whole(a.cost.bytes),
        milliseconds: thousandths(a.cost.milliseconds),
    };
    DecisionEntry {
        chosen: alternative(&decision.chosen),
        runners_up: decision.runners_up.iter().map(alternative).collect(),
    }
}

/// Returns the estimate; `None` if it is 0, which means that no estimate was made.
fn known(estimate: f64) -> Option<f64> {
    (estimate > 0.0 && estimate.is_finite()).then_some(estimate)
}

fn whole(estimate: f64) -> u64 {
    estimate.round() as u64
}

/// Rounds to thousandths. Digits that no one reads would make every document differ.
fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
