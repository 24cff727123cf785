//! The ways to have an operator's rows at a site, each with its cost: the tables that placing chooses from.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, Join, LogicalPlan};
use portolan_catalog::DomainName;

use super::{SiteChoice, may_travel, port_of};
use crate::exchange::Exchange;
use crate::planner::cardinality::{self, Cardinality};
use crate::planner::cost;
use crate::planner::decision::{Alternative, Cost, Decision, Edge, KeyPlan, Link, Strategy};
use crate::planner::routes::Routes;
use crate::settings::{Pushdown, Settings, StrategyChoice};

/// An operator and every way to have its rows somewhere.
pub(super) struct Node {
    pub(super) plan: LogicalPlan,
    pub(super) inputs: Vec<Node>,
    pub(super) subqueries: Vec<Node>,
    pub(super) domains: BTreeSet<DomainName>,
    /// Where the ports are that it and everything below reads.
    homes: BTreeSet<SiteChoice>,
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
    /// What crosses to that site and may yet be cut by keys, in the order of the inputs.
    pub(super) edges: Vec<Crossing>,
    /// The site of each input, then of each subquery.
    pub(super) from: Vec<SiteChoice>,
    pub(super) decision: Option<Decision>,
    what: String,
}

/// An edge to the site of a way.
#[derive(Clone)]
pub(super) struct Crossing {
    pub(super) edge: Edge,
    /// The columns that cross, to tell whether keys may cut them.
    columns: Vec<datafusion::common::Column>,
}

/// The rows of an input where an operator is done.
struct Brought {
    cost: Cost,
    /// Where they were before.
    from: SiteChoice,
    edges: Vec<Crossing>,
}

/// What the ways are weighed by.
#[derive(Clone, Copy)]
pub(super) struct Scale<'a> {
    pub(super) settings: &'a Settings,
    pub(super) routes: Routes<'a>,
    /// The other nodes whose ports are read: each may be asked to do a part.
    pub(super) sites: &'a [SiteChoice],
}

/// Counts the joins across sites, in the order of the plan's printed form: a setting may force each.
#[derive(Default)]
pub(super) struct Joins(usize);

impl Joins {
    pub(super) fn next(&mut self, plan: &LogicalPlan, settings: &Settings) -> DataFusionResult<StrategyChoice> {
        let LogicalPlan::Join(join) = plan else { return Ok(StrategyChoice::Auto) };
        let (left, right) = (super::home(&join.left)?.0, super::home(&join.right)?.0);
        // `Here` is also where a side of several sites has its home: two such sides still meet across sites.
        let together = left == right && (left != SiteChoice::Here || peers(plan)?.is_empty());
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
            homes: inputs.iter().chain(&subqueries).flat_map(|i| i.homes.clone()).collect(),
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
        // A node is asked for rows of its own, or for what it joins with them: not to work for others alone.
        let asked = |way: &&Way| !matches!(way.site, SiteChoice::Peer(_)) || self.homes.contains(&way.site);
        let costs = self.ways.iter().filter(asked).map(|way| (way, way.cost + brought(way)));
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
        let mut crossing = self.edge(routes.view.link(peer));
        if self.native.as_ref() != Some(&way.site) {
            crossing.edge.strategy = Strategy::Delegate;
        }
        crossing
    }

    fn row_bytes(&self) -> f64 {
        self.rows.row_bytes(self.plan.schema()).max(1.0)
    }

    fn bytes(&self) -> f64 {
        self.rows.rows * self.row_bytes()
    }

    fn find_ways(&mut self, scale: Scale<'_>, forced: StrategyChoice) {
        if let Some(exchange) = Exchange::of(&self.plan) {
            // Its rows are on their way here.
            self.portable = Err("its rows come here already".into());
            self.domains = exchange.fragment.domain_names();
            self.native = Some(SiteChoice::Here);
            self.homes.insert(SiteChoice::Here);
            self.ways = vec![Way::leaf(SiteChoice::Here, Cost::default())];
            return;
        }
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
            self.homes.insert(site.clone());
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
        if scale.settings.placement && self.portable.is_ok() && self.is_pushed(scale.settings) {
            ways.extend(scale.sites.iter().filter_map(|site| self.way_at_peer(site, scale)));
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

    /// The operator at another node: all inputs are there, or are pulled there from their owners.
    fn way_at_peer(&self, site: &SiteChoice, scale: Scale<'_>) -> Option<Way> {
        let mut cost = self.work();
        let mut edges = vec![];
        let mut from = vec![];
        let mut pulled = vec![];
        let pulls_inputs = matches!(self.plan, LogicalPlan::Join(_));
        for (i, part) in self.inputs.iter().chain(&self.subqueries).enumerate() {
            let there =
                part.way(site).map(|way| Brought { cost: way.cost, from: way.site.clone(), edges: way.edges.clone() });
            let whole = if pulls_inputs || i >= self.inputs.len() { part.pulled_to(site, scale) } else { None };
            let is_pulled = match (&there, &whole) {
                (Some(there), Some(whole)) => whole.cost.milliseconds < there.cost.milliseconds,
                (there, _) => there.is_none(),
            };
            let brought = if is_pulled { whole? } else { there? };
            if is_pulled {
                pulled.extend(part.domains.iter().map(ToString::to_string));
            }
            cost += brought.cost;
            from.push(brought.from);
            edges.push(brought.edges);
        }
        // Its planner sends keys where they pay, whichever side is done first.
        if let LogicalPlan::Join(join) = &self.plan {
            let keyed = [Side::Left, Side::Right].map(|build| {
                let mut cut = edges.clone();
                let sent = self.send_keys(join, build, &mut cut, scale.settings, StrategyChoice::Auto);
                (sent.map_or_else(Cost::default, |(_, saved)| saved), cut)
            });
            let best = keyed.into_iter().max_by(|a, b| a.0.milliseconds.total_cmp(&b.0.milliseconds));
            if let Some((saved, cut)) = best {
                cost = cost - saved;
                edges = cut;
            }
        }
        let what = match pulled.is_empty() {
            true => format!("at {}", name(site)),
            false => format!("delegate to {}, which pulls from {}", name(site), pulled.join(", ")),
        };
        Some(Way { site: site.clone(), cost, edges: edges.concat(), from, decision: None, what })
    }

    /// Its rows at another node, which asks their owner for them: for what that has by itself, and never to pull in turn.
    fn pulled_to(&self, site: &SiteChoice, scale: Scale<'_>) -> Option<Brought> {
        let home = self.native.clone().filter(|home| home != site && !self.domains.is_empty())?;
        let link = scale.routes.link(&home, site, &self.domains)?;
        let cost = self.way(&home)?.cost + cost::transfer(&link, self.bytes()) + cost::delegation();
        Some(Brought { cost, from: home, edges: vec![self.edge(link)] })
    }

    /// The edge over which its rows go whole.
    fn edge(&self, link: Link) -> Crossing {
        let edge = Edge {
            strategy: Strategy::Gather,
            keys: None,
            link,
            rows_whole: self.rows.rows,
            rows: self.rows.rows,
            row_bytes: self.row_bytes(),
        };
        Crossing { edge, columns: self.plan.schema().columns() }
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
            && let Some((what, saved)) = self.send_keys(join, Side::Left, &mut edges, scale.settings, forced)
        {
            let cost = cost - saved;
            let keyed = Way { site: SiteChoice::Here, cost, edges: edges.concat(), from, decision: None, what };
            if matches!(forced, StrategyChoice::KeysFromLeft | StrategyChoice::KeysFromRight) {
                ways.clear();
            }
            ways.push(keyed);
        }
        ways
    }

    /// Lets the keys of one side cut the edges of the other. Gives it in words, with what it saves.
    fn send_keys(
        &self,
        join: &Join,
        build_side: Side,
        edges: &mut [Vec<Crossing>],
        settings: &Settings,
        forced: StrategyChoice,
    ) -> Option<(String, Cost)> {
        let preserved = join.join_type.on_lr_is_preserved();
        let (build, probe, edges, may_be_cut) = match (self.inputs.as_slice(), edges, build_side) {
            ([left, right], [_, edges, ..], Side::Left) => (left, right, edges, preserved.1),
            ([left, right], [edges, ..], Side::Right) => (right, left, edges, preserved.0),
            _ => return None,
        };
        let owners_test_keys = settings.placement && settings.pushdown == Pushdown::All;
        if !owners_test_keys || join.on.is_empty() || join.null_aware || !may_be_cut {
            return None;
        }
        let keys = Keys::of(join, build, probe, build_side);
        let domains: Vec<String> = build.domains.iter().map(ToString::to_string).collect();
        let from = if domains.is_empty() { "this node".to_owned() } else { domains.join(", ") };
        let mut total = Cost::default();
        let mut any = false;
        for crossing in edges.iter_mut() {
            let reads = |e: &Expr| e.column_refs().into_iter().all(|c| crossing.columns.contains(c));
            if !keys.on.iter().any(|(probed, _)| reads(probed)) {
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

/// A side of a join.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
}

/// The keys of one side of a join for the other.
struct Keys {
    /// What must be equal: expressions of the side that is cut and of the side that has the keys.
    on: Vec<(Expr, Expr)>,
    count: f64,
    bytes: f64,
    matched: f64,
    probe_distinct: f64,
}

impl Keys {
    fn of(join: &Join, build: &Node, probe: &Node, build_side: Side) -> Self {
        let pair = |(l, r): &(Expr, Expr)| match build_side {
            Side::Left => (r.clone(), l.clone()),
            Side::Right => (l.clone(), r.clone()),
        };
        let on: Vec<(Expr, Expr)> = join.on.iter().map(pair).collect();
        let distinct = |of: &Cardinality, exprs: Vec<&Expr>| {
            exprs.into_iter().map(|e| of.distinct(e)).product::<f64>().min(of.rows).max(1.0)
        };
        Self {
            count: distinct(&build.rows, on.iter().map(|(_, b)| b).collect()),
            bytes: 8.0 * on.len() as f64,
            matched: cardinality::matched_fraction(&probe.rows, &build.rows, &on).clamp(0.0, 1.0),
            probe_distinct: distinct(&probe.rows, on.iter().map(|(p, _)| p).collect()),
            on,
        }
    }
}

/// The other nodes whose ports a plan reads.
pub(super) fn peers(plan: &LogicalPlan) -> DataFusionResult<Vec<SiteChoice>> {
    let mut found = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some((_, site @ SiteChoice::Peer(_))) = port_of(scan)
        {
            found.insert(site);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found.into_iter().collect())
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
