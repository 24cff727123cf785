//! The values of metrics, from the state of a node.

use std::collections::BTreeMap;
use std::time::SystemTime;

use portolan_catalog::{NodeEntry, NodeLocation, NodeState};
use portolan_connectors::SourceMetrics;
use portolan_engine::{EdgeMetrics, EngineMetrics, HistogramMetrics, Usage, WorkMetrics};

use crate::status::Snapshot;

/// One value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// The values of the labels, in the order of the metric's labels.
    pub(crate) labels: Vec<String>,
    pub(crate) value: Value,
}

/// The value of a sample.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// The value of a counter or a gauge.
    Number(f64),
    /// The value of a histogram.
    Histogram(HistogramMetrics),
}

/// Returns the sample of a number.
fn number(labels: Vec<String>, value: f64) -> Sample {
    Sample { labels, value: Value::Number(value) }
}

/// Returns the one sample of a metric without labels, if its value is known.
pub(super) fn one(value: Option<f64>) -> Vec<Sample> {
    value.map(|value| number(vec![], value)).into_iter().collect()
}

/// Returns the one sample with a number of the engine.
pub(super) fn of_engine(now: &Snapshot, value: fn(&EngineMetrics) -> u64) -> Vec<Sample> {
    one(now.engine.as_ref().map(|engine| value(engine) as f64))
}

/// Returns the kinds of work and their counters.
fn work(now: &Snapshot) -> impl Iterator<Item = (&'static str, &WorkMetrics)> {
    now.engine.iter().flat_map(kinds)
}

fn kinds(engine: &EngineMetrics) -> [(&'static str, &WorkMetrics); 3] {
    [("query", &engine.queries), ("fragment", &engine.fragments), ("estimate", &engine.estimates)]
}

/// Returns a sample for each kind of work.
pub(super) fn by_work(now: &Snapshot, value: fn(&WorkMetrics) -> u64) -> Vec<Sample> {
    work(now).map(|(kind, counters)| number(vec![kind.to_owned()], value(counters) as f64)).collect()
}

/// Returns a sample for each kind of work and each outcome.
pub(super) fn by_outcome(now: &Snapshot) -> Vec<Sample> {
    let outcomes = work(now).flat_map(|(kind, counters)| counters.ended.iter().map(move |ended| (kind, ended)));
    outcomes.map(|(kind, (name, count))| number(vec![kind.to_owned(), (*name).to_owned()], *count as f64)).collect()
}

/// Returns a histogram for each kind of work.
pub(super) fn times(now: &Snapshot, histogram: fn(&WorkMetrics) -> &HistogramMetrics) -> Vec<Sample> {
    let times = work(now).map(|(kind, counters)| (kind, Value::Histogram(histogram(counters).clone())));
    times.map(|(kind, value)| Sample { labels: vec![kind.to_owned()], value }).collect()
}

/// Returns a sample for each pool of memory.
pub(super) fn by_pool(now: &Snapshot, value: fn(&Usage) -> u64) -> Vec<Sample> {
    let of = |engine: &EngineMetrics| [("queries", engine.memory), ("session_tables", engine.session_tables)];
    let pools = now.engine.iter().flat_map(of);
    pools.map(|(pool, usage)| number(vec![pool.to_owned()], value(&usage) as f64)).collect()
}

/// Returns a sample for each edge from another domain, with the labels `from` and `to`.
pub(super) fn received(now: &Snapshot, value: fn(&EdgeMetrics) -> u64) -> Vec<Sample> {
    edges(now, |engine| &engine.received, |other, own| vec![other, own], value)
}

/// Returns a sample of what was sent to the owners of rows for each such edge, with the labels `from` and `to`.
pub(super) fn requested(now: &Snapshot, value: fn(&EdgeMetrics) -> u64) -> Vec<Sample> {
    edges(now, |engine| &engine.received, |other, own| vec![own, other], value)
}

/// Returns a sample for each node that gets rows from this one, with the labels `from` and `to`.
pub(super) fn sent(now: &Snapshot, value: fn(&EdgeMetrics) -> u64) -> Vec<Sample> {
    edges(now, |engine| &engine.sent, |other, own| vec![own, other], value)
}

fn edges(
    now: &Snapshot,
    edges: fn(&EngineMetrics) -> &BTreeMap<String, EdgeMetrics>,
    labels: fn(String, String) -> Vec<String>,
    value: fn(&EdgeMetrics) -> u64,
) -> Vec<Sample> {
    let edges = now.engine.iter().flat_map(edges);
    edges.map(|(other, edge)| number(labels(other.clone(), now.domain.clone()), value(edge) as f64)).collect()
}

/// Returns a sample for each peer in the config whose value is known. Other nodes choose the URLs of learned peers, so
/// these are no labels.
pub(super) fn by_peer(now: &Snapshot, value: fn(&NodeEntry) -> Option<f64>) -> Vec<Sample> {
    let in_config = now.nodes.iter().filter(|node| node.learned_from.is_none());
    let peers = in_config.filter_map(|node| match &node.location {
        NodeLocation::Peer(url) => Some((url, value(node)?)),
        NodeLocation::Here => None,
    });
    peers.map(|(url, value)| number(vec![url.clone()], value)).collect()
}

/// Returns 1 if a peer is up, or else 0. The local node is up if its own URL is among its peers.
pub(super) fn is_up(node: &NodeEntry) -> Option<f64> {
    Some(f64::from(u8::from(matches!(node.state, NodeState::Up | NodeState::Itself))))
}

/// Returns the seconds since the last response of a peer, which confirmed or replaced its catalog.
pub(super) fn catalog_age(node: &NodeEntry) -> Option<f64> {
    let age = SystemTime::now().duration_since(node.last_seen?);
    Some(age.unwrap_or_default().as_secs_f64())
}

/// Returns a sample for each source and each outcome of opening a port.
pub(super) fn opens(now: &Snapshot) -> Vec<Sample> {
    let counts = now
        .sources
        .iter()
        .flat_map(|(source, counts)| [(source, "ok", counts.opened), (source, "error", counts.not_opened)]);
    counts.map(|(source, outcome, count)| number(vec![source.clone(), outcome.to_owned()], count as f64)).collect()
}

/// Returns a sample for each source.
pub(super) fn by_source(now: &Snapshot, value: fn(&SourceMetrics) -> u64) -> Vec<Sample> {
    now.sources.iter().map(|(source, counts)| number(vec![source.clone()], value(counts) as f64)).collect()
}
