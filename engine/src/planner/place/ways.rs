//! The ways to have an operator's rows at a site, each with its cost: the tables that placing chooses from.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, Join, LogicalPlan};
use portolan_catalog::DomainName;

use super::{SiteChoice, may_travel, port_of};
use crate::planner::cardinality::{self, Cardinality};
use crate::planner::cost::{self, Keyed};
use crate::planner::decision::{Alternative, Cost, Decision, Edge, KeyPlan, Strategy};
use crate::planner::routes::Routes;
use crate::settings::{Pushdown, Settings, StrategyChoice};

/// An operator and every way to have its rows somewhere.
pub(super) struct Node {
    pub(super) plan: LogicalPlan,
    pub(super) inputs: Vec<Node>,
    pub(super) subqueries: Vec<Node>,
    pub(super) domains: BTreeSet<DomainName>,
    pub(super) rows: Cardinality,
    /// Whether it and everything below reads ports alone, and may be evaluated anywhere.
    portable: Result<(), String>,
    /// At most one a site, the cheapest.
    pub(super) ways: Vec<Way>,
    /// Whether every way that there was is to be had with one owner alone.
    pub(super) native: Option<SiteChoice>,
}

/// One way to have an operator's rows at a site.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) site: SiteChoice,
    pub(super) cost: Cost,
    /// What crosses to this process, in the order of the inputs.
    pub(super) edges: Vec<Crossing>,
    /// The site of each input, then of each subquery.
    pub(super) from: Vec<SiteChoice>,
    pub(super) decision: Option<Decision>,
    what: String,
}

/// An edge to this process.
#[derive(Clone)]
pub(super) struct Crossing {
    pub(super) edge: Edge,
    /// The columns that cross, to tell whether keys may cut them.
    columns: Vec<datafusion::common::Column>,
}

/// What the ways are weighed by.
#[derive(Clone, Copy)]
pub(super) struct Scale<'a> {
    pub(super) settings: &'a Settings,
    pub(super) routes: Routes<'a>,
}

/// Counts the joins across sites, in the order of the plan's printed form: a setting may force each.
#[derive(Default)]
pub(super) struct Joins(usize);

impl Joins {
    pub(super) fn next(&mut self, plan: &LogicalPlan, settings: &Settings) -> DataFusionResult<StrategyChoice> {
        let LogicalPlan::Join(join) = plan else { return Ok(StrategyChoice::Auto) };
        let (left, right) = (super::home(&join.left)?.0, super::home(&join.right)?.0);
        // `Here` is also where a side of several sites has its home: two such sides still meet across sites.
        let together = left == right && (left != SiteChoice::Here || !reads_peer(plan)?);
        if together || left == SiteChoice::Anywhere || right == SiteChoice::Anywhere {
            return Ok(StrategyChoice::Auto);
        }
        let index = self.0;
        self.0 += 1;
        Ok(match settings.strategy.as_slice() {
            [] => StrategyChoice::Auto,
            [all] => *all,
            each => each.get(index).copied().unwrap_or(StrategyChoice::Auto),
        })
    }
}

impl Node {
    pub(super) fn of(plan: &LogicalPlan, scale: Scale<'_>, joins: &mut Joins) -> DataFusionResult<Self> {
        let forced = joins.next(plan, scale.settings)?;
        let inputs: Vec<Self> =
            plan.inputs().into_iter().map(|i| Self::of(i, scale, joins)).collect::<DataFusionResult<_>>()?;
        let mut subqueries = vec![];
        // Only the subqueries of this operator's own expressions: their inputs come with the recursion.
        plan.apply_expressions(|expr| {
            expr.apply(|e| {
                let subquery = match e {
                    Expr::ScalarSubquery(s) => s,
                    Expr::InSubquery(s) => &s.subquery,
                    Expr::Exists(s) => &s.subquery,
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                subqueries.push(Self::of(&LogicalPlan::Subquery(subquery.clone()), scale, joins)?);
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        let below: Vec<Cardinality> = inputs.iter().map(|i| i.rows.clone()).collect();
        let mut node = Self {
            plan: plan.clone(),
            domains: inputs.iter().chain(&subqueries).flat_map(|i| i.domains.clone()).collect(),
            rows: cardinality::estimate_operator(plan, &below),
            portable: Ok(()),
            ways: vec![],
            native: None,
            inputs,
            subqueries,
        };
        node.find_ways(scale, forced);
        Ok(node)
    }

    /// The cheapest way to have the rows in this process, with its whole cost.
    pub(super) fn cheapest_here(&self, routes: Routes<'_>) -> Option<(&Way, Cost)> {
        let brought = |way: &Way| match &way.site {
            SiteChoice::Peer(peer) => cost::transfer(&routes.view.link(peer), self.bytes()),
            _ => Cost::default(),
        };
        let costs = self.ways.iter().map(|way| (way, way.cost + brought(way)));
        costs.min_by(|a, b| a.1.milliseconds.total_cmp(&b.1.milliseconds))
    }

    pub(super) fn way(&self, site: &SiteChoice) -> Option<&Way> {
        self.ways.iter().find(|w| w.site == *site || w.site == SiteChoice::Anywhere)
    }

    pub(super) fn may_travel(&self) -> &Result<(), String> {
        &self.portable
    }

    /// The edge over which its rows come here from `way`.
    pub(super) fn crossing(&self, way: &Way, routes: Routes<'_>) -> Crossing {
        let SiteChoice::Peer(peer) = &way.site else {
            return Crossing { edge: Edge::default(), columns: vec![] };
        };
        let pulls = !self.is_native_at(&way.site);
        Crossing {
            edge: Edge {
                strategy: if pulls { Strategy::Delegate } else { Strategy::Gather },
                keys: None,
                link: routes.view.link(peer),
                rows_whole: self.rows.rows,
                rows: self.rows.rows,
                row_bytes: self.row_bytes(),
            },
            columns: self.plan.schema().columns(),
        }
    }

    fn is_native_at(&self, site: &SiteChoice) -> bool {
        self.native.as_ref() == Some(site)
    }

    fn row_bytes(&self) -> f64 {
        self.rows.row_bytes(self.plan.schema()).max(1.0)
    }

    fn bytes(&self) -> f64 {
        self.rows.rows * self.row_bytes()
    }

    fn find_ways(&mut self, scale: Scale<'_>, forced: StrategyChoice) {
        if let LogicalPlan::TableScan(scan) = &self.plan {
            let site = match port_of(scan) {
                Some((domain, site)) => {
                    self.domains.insert(domain);
                    site
                }
                None => {
                    self.portable = Err("it reads a table of this node".into());
                    SiteChoice::Here
                }
            };
            self.native = Some(site.clone());
            self.ways = vec![Way::leaf(site, cost::scan(self.rows.rows))];
            return;
        }
        let parts = || self.inputs.iter().chain(&self.subqueries);
        self.portable = match parts().find_map(|p| p.portable.clone().err()) {
            Some(reason) => Err(reason),
            None => may_travel(&self.plan),
        };
        let mut homes = parts().filter(|p| p.native != Some(SiteChoice::Anywhere)).map(|p| p.native.clone());
        self.native = match homes.next() {
            None => Some(SiteChoice::Anywhere),
            Some(first) if homes.all(|h| h == first) => first,
            Some(_) => None,
        };
        if self.native == Some(SiteChoice::Anywhere) {
            self.ways = vec![Way::leaf(SiteChoice::Anywhere, Cost::default())];
            return;
        }
        let mut ways = vec![];
        let mut sites: Vec<SiteChoice> = parts().flat_map(|p| p.ways.iter().map(|w| w.site.clone())).collect();
        sites.retain(|s| matches!(s, SiteChoice::Peer(_)));
        sites.sort();
        sites.dedup();
        if scale.settings.placement && self.portable.is_ok() && self.is_pushed(scale.settings) {
            ways.extend(sites.iter().filter_map(|site| self.way_at_owner(site, scale)));
        }
        ways.extend(self.ways_here(scale, forced));
        if !matches!(self.plan, LogicalPlan::Join(_)) {
            self.ways = cheapest_each(ways);
            return;
        }
        if let Some(wanted) = self.forced_site(forced)
            && ways.iter().any(|w| w.site == wanted)
        {
            ways.retain(|w| w.site == wanted);
        }
        self.ways = cheapest_each(decided(ways, self.native.is_none()));
    }

    /// Whether a setting allows that an owner does it.
    pub(super) fn is_pushed(&self, settings: &Settings) -> bool {
        let of_a_port =
            matches!(self.plan, LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_));
        settings.pushdown == Pushdown::All || of_a_port && self.subqueries.is_empty()
    }

    /// The site that a setting asks for.
    fn forced_site(&self, forced: StrategyChoice) -> Option<SiteChoice> {
        let native = |i: usize| self.inputs.get(i).and_then(|n| n.native.clone());
        match forced {
            StrategyChoice::Auto => None,
            StrategyChoice::Gather | StrategyChoice::KeysFromLeft | StrategyChoice::KeysFromRight => {
                Some(SiteChoice::Here)
            }
            StrategyChoice::DelegateToLeft => native(0),
            StrategyChoice::DelegateToRight => native(1),
        }
    }

    /// All inputs are there, or are pulled there by their owner.
    fn way_at_owner(&self, site: &SiteChoice, scale: Scale<'_>) -> Option<Way> {
        let mut cost = self.work();
        let mut from = vec![];
        let mut pulled = vec![];
        let mut some_there = false;
        let is_join = matches!(self.plan, LogicalPlan::Join(_));
        for (i, input) in self.inputs.iter().enumerate() {
            if let Some(way) = input.way(site) {
                some_there |= way.site == *site;
                cost += way.cost;
                from.push(way.site.clone());
                continue;
            }
            let home = input.native.clone().filter(|h| is_join && *h != SiteChoice::Anywhere)?;
            let way = input.way(&home)?;
            let link = scale.routes.link(&home, site, &input.domains).filter(|_| !input.domains.is_empty())?;
            cost += way.cost;
            cost += cost::transfer(&link, input.bytes());
            // Its planner sends keys where they pay, whichever side is done first.
            if let Some(keyed) = self.keyed_side(i, &link) {
                cost.bytes -= keyed.saved.bytes;
                cost.milliseconds -= keyed.saved.milliseconds;
            }
            pulled.extend(input.domains.iter().map(ToString::to_string));
            from.push(home);
        }
        for subquery in &self.subqueries {
            let way = subquery.way(site)?;
            some_there |= way.site == *site;
            cost += way.cost;
            from.push(way.site.clone());
        }
        if !pulled.is_empty() {
            cost += cost::delegation();
        }
        let what = match pulled.is_empty() {
            true => format!("at {}", name(site)),
            false => format!("delegate to {}, which pulls from {}", name(site), pulled.join(", ")),
        };
        some_there.then(|| Way { site: site.clone(), cost, edges: vec![], from, decision: None, what })
    }

    /// What an edge for input `i` becomes by the keys of the other side.
    fn keyed_side(&self, i: usize, link: &crate::planner::decision::Link) -> Option<Keyed> {
        let LogicalPlan::Join(join) = &self.plan else { return None };
        let (probe, build) = (self.inputs.get(i)?, self.inputs.get(1 - i)?);
        let preserved = join.join_type.on_lr_is_preserved();
        if join.on.is_empty() || join.null_aware || !(if i == 1 { preserved.1 } else { preserved.0 }) {
            return None;
        }
        let keys = Keys::of(join, build, probe, i == 1);
        cost::keyed(link, probe.bytes(), keys.count, keys.bytes, keys.matched)
    }

    /// Inputs come here, or are here; with keys where that pays.
    fn ways_here(&self, scale: Scale<'_>, forced: StrategyChoice) -> Vec<Way> {
        let mut cost = self.work();
        let mut edges: Vec<Vec<Crossing>> = vec![];
        let mut from = vec![];
        for part in self.inputs.iter().chain(&self.subqueries) {
            let Some((way, cost_here)) = part.cheapest_here(scale.routes) else { return vec![] };
            cost += cost_here;
            from.push(way.site.clone());
            edges.push(match way.site {
                SiteChoice::Peer(_) => vec![part.crossing(way, scale.routes)],
                _ => way.edges.clone(),
            });
        }
        let gather = Way {
            site: SiteChoice::Here,
            cost,
            edges: edges.concat(),
            from: from.clone(),
            decision: None,
            what: "gather".into(),
        };
        let mut ways = vec![gather];
        if forced != StrategyChoice::Gather
            && let LogicalPlan::Join(join) = &self.plan
            && let Some((what, saved)) = self.send_keys(join, &mut edges[1], scale.settings, forced)
        {
            let cost = Cost { bytes: cost.bytes - saved.bytes, milliseconds: cost.milliseconds - saved.milliseconds };
            let keyed = Way { site: SiteChoice::Here, cost, edges: edges.concat(), from, decision: None, what };
            if matches!(forced, StrategyChoice::KeysFromLeft | StrategyChoice::KeysFromRight) {
                ways.clear();
            }
            ways.push(keyed);
        }
        ways
    }

    /// Lets the keys of the left side cut the edges of the right side. Gives it in words, with what it saves.
    fn send_keys(
        &self,
        join: &Join,
        edges: &mut [Crossing],
        settings: &Settings,
        forced: StrategyChoice,
    ) -> Option<(String, Cost)> {
        let [build, probe] = self.inputs.as_slice() else { return None };
        let owners_test_keys = settings.placement && settings.pushdown == Pushdown::All;
        if !owners_test_keys || join.on.is_empty() || join.null_aware || !join.join_type.on_lr_is_preserved().1 {
            return None;
        }
        let keys = Keys::of(join, build, probe, true);
        let domains: Vec<String> = build.domains.iter().map(ToString::to_string).collect();
        let from = if domains.is_empty() { "this node".to_owned() } else { domains.join(", ") };
        let mut total = Cost::default();
        let mut any = false;
        for crossing in edges.iter_mut() {
            let reads = |e: &Expr| e.column_refs().into_iter().all(|c| crossing.columns.contains(c));
            if !join.on.iter().any(|(_, right)| reads(right)) {
                continue;
            }
            let edge = &mut crossing.edge;
            let bytes = edge.rows * edge.row_bytes;
            let is_forced = matches!(forced, StrategyChoice::KeysFromLeft | StrategyChoice::KeysFromRight);
            let (kept, saved) = match cost::keyed(&edge.link, bytes, keys.count, keys.bytes, keys.matched) {
                Some(keyed) => (keyed.kept, keyed.saved),
                None if is_forced => (keys.matched, Cost::default()),
                None => continue,
            };
            any = true;
            total += saved;
            edge.rows *= kept;
            if edge.strategy == Strategy::Gather {
                edge.strategy = Strategy::Keys;
            }
            let wait = if is_forced { settings.key_wait } else { cost::wait(saved, settings.key_wait) };
            edge.keys = Some(match edge.keys.take() {
                Some(before) => KeyPlan {
                    wait: before.wait.max(wait),
                    keys: before.keys.min(keys.count),
                    from: format!("{}, {from}", before.from),
                    ..before
                },
                None => KeyPlan {
                    wait,
                    form: settings.key_form.map(Into::into),
                    keys: keys.count,
                    probe_distinct: keys.probe_distinct,
                    from: from.clone(),
                    adapt_factor: settings.adapt_factor,
                },
            });
        }
        any.then(|| (format!("keys from {from} (about {})", keys.count.round()), total))
    }

    /// The work of the operator itself, wherever it runs.
    fn work(&self) -> Cost {
        let input = |i: usize| self.inputs.get(i).map_or(0.0, |n| n.rows.rows);
        match &self.plan {
            LogicalPlan::Join(join) => cost::join(input(0), input(1), self.rows.rows, !join.on.is_empty()),
            LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => cost::group(input(0)),
            LogicalPlan::Sort(sort) => cost::sort(input(0), sort.fetch),
            LogicalPlan::Window(_) => cost::sort(input(0), None),
            LogicalPlan::Filter(_) => cost::scan(input(0)),
            _ => Cost::default(),
        }
    }
}

impl Way {
    fn leaf(site: SiteChoice, cost: Cost) -> Self {
        Self { site, cost, edges: vec![], from: vec![], decision: None, what: String::new() }
    }
}

/// The keys of one side of a join for the other.
struct Keys {
    count: f64,
    bytes: f64,
    matched: f64,
    probe_distinct: f64,
}

impl Keys {
    fn of(join: &Join, build: &Node, probe: &Node, build_is_left: bool) -> Self {
        let pairs: Vec<(Expr, Expr)> = join
            .on
            .iter()
            .map(|(l, r)| if build_is_left { (r, l) } else { (l, r) })
            .map(|(p, b)| (p.clone(), b.clone()))
            .collect();
        let distinct = |of: &Cardinality, exprs: Vec<&Expr>| {
            exprs.into_iter().map(|e| of.distinct(e)).product::<f64>().min(of.rows).max(1.0)
        };
        Self {
            count: distinct(&build.rows, pairs.iter().map(|(_, b)| b).collect()),
            bytes: 8.0 * pairs.len() as f64,
            matched: cardinality::matched_fraction(&probe.rows, &build.rows, &pairs).clamp(0.0, 1.0),
            probe_distinct: distinct(&probe.rows, pairs.iter().map(|(p, _)| p).collect()),
        }
    }
}

/// Whether a plan reads a port of another node.
fn reads_peer(plan: &LogicalPlan) -> DataFusionResult<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        let site = match node {
            LogicalPlan::TableScan(scan) => port_of(scan).map(|(_, site)| site),
            _ => None,
        };
        found |= matches!(site, Some(SiteChoice::Peer(_)));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Each way to join across sites with what else there was.
fn decided(ways: Vec<Way>, crosses: bool) -> Vec<Way> {
    if !crosses {
        return ways;
    }
    let mut all: Vec<Alternative> = ways.iter().map(|w| Alternative { what: w.what.clone(), cost: w.cost }).collect();
    all.sort_by(|a, b| a.cost.milliseconds.total_cmp(&b.cost.milliseconds));
    let decided = ways.into_iter().map(|way| {
        let chosen = Alternative { what: way.what.clone(), cost: way.cost };
        let runners_up = all.iter().filter(|a| **a != chosen).cloned().collect();
        Way { decision: Some(Decision { chosen, runners_up }), ..way }
    });
    decided.collect()
}

/// The cheapest way to each site.
fn cheapest_each(ways: Vec<Way>) -> Vec<Way> {
    let mut best: Vec<Way> = vec![];
    for way in ways {
        match best.iter_mut().find(|b| b.site == way.site) {
            Some(known) if known.cost.milliseconds <= way.cost.milliseconds => {}
            Some(known) => *known = way,
            None => best.push(way),
        }
    }
    best
}

fn name(site: &SiteChoice) -> String {
    match site {
        SiteChoice::Peer(site) => site.to_string(),
        SiteChoice::Here => "this node".into(),
        SiteChoice::Anywhere => "anywhere".into(),
    }
}
