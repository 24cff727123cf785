//! An edge as bytes: the planner's decision and its estimates.

use std::time::Duration;

use datafusion::common::{Result, plan_err};
use prost::Message;

use crate::mesh::Link;
use crate::plan::{Edge, KeyPlan, Strategy};
use portolan_connectors::KeyForm;

/// An edge.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WireEdge {
    #[prost(uint32, tag = "1")]
    strategy: u32,
    #[prost(message, optional, tag = "2")]
    keys: Option<WireKeys>,
    #[prost(uint64, tag = "3")]
    latency_ns: u64,
    #[prost(double, tag = "4")]
    bandwidth: f64,
    #[prost(double, tag = "5")]
    rows_whole: f64,
    #[prost(double, tag = "6")]
    rows: f64,
    #[prost(double, tag = "7")]
    row_bytes: f64,
}

/// The keys that an edge waits for.
#[derive(Clone, PartialEq, Message)]
struct WireKeys {
    #[prost(uint64, tag = "1")]
    wait_ns: u64,
    #[prost(uint32, optional, tag = "2")]
    form: Option<u32>,
    #[prost(double, tag = "3")]
    keys: f64,
    #[prost(double, tag = "4")]
    probe_distinct: f64,
    #[prost(string, repeated, tag = "5")]
    from: Vec<String>,
    #[prost(double, tag = "6")]
    adapt_factor: f64,
}

impl WireEdge {
    pub(super) fn of(edge: &Edge) -> Self {
        let Edge { strategy, keys, link: Link { latency, bandwidth }, rows_whole, rows, row_bytes } = edge;
        Self {
            strategy: match strategy {
                Strategy::Gather => 0,
                Strategy::Keys => 1,
                Strategy::Delegate => 2,
            },
            keys: keys.as_ref().map(WireKeys::of),
            latency_ns: nanoseconds(*latency),
            bandwidth: *bandwidth,
            rows_whole: *rows_whole,
            rows: *rows,
            row_bytes: *row_bytes,
        }
    }

    pub(super) fn edge(self) -> Result<Edge> {
        let Self { strategy, keys, latency_ns, bandwidth, rows_whole, rows, row_bytes } = self;
        let strategy = match strategy {
            0 => Strategy::Gather,
            1 => Strategy::Keys,
            2 => Strategy::Delegate,
            other => return plan_err!("a remote scan came with strategy {other}, which is not known here"),
        };
        let keys = keys.map(WireKeys::plan).transpose()?;
        let link = Link { latency: Duration::from_nanos(latency_ns), bandwidth };
        Ok(Edge { strategy, keys, link, rows_whole, rows, row_bytes })
    }
}

impl WireKeys {
    fn of(plan: &KeyPlan) -> Self {
        let KeyPlan { wait, form, keys, probe_distinct, from, adapt_factor } = plan;
        Self {
            wait_ns: nanoseconds(*wait),
            form: form.map(|form| form as u32),
            keys: *keys,
            probe_distinct: *probe_distinct,
            from: from.clone(),
            adapt_factor: *adapt_factor,
        }
    }

    fn plan(self) -> Result<KeyPlan> {
        let Self { wait_ns, form, keys, probe_distinct, from, adapt_factor } = self;
        let form = match form {
            None => None,
            Some(number) => match KeyForm::ALL.get(number as usize) {
                Some(form) => Some(*form),
                None => return plan_err!("a remote scan came with form {number} of keys, which is not known here"),
            },
        };
        Ok(KeyPlan { wait: Duration::from_nanos(wait_ns), form, keys, probe_distinct, from, adapt_factor })
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_edge_is_the_same_after_decoding() {
        let link = Link { latency: Duration::from_micros(1500), bandwidth: 1e7 };
        for form in KeyForm::ALL.into_iter().map(Some).chain([None]) {
            let keys = KeyPlan {
                wait: Duration::from_millis(250),
                form,
                keys: 100.0,
                probe_distinct: 0.0,
                from: vec!["sales".to_owned(), "supply".to_owned()],
                adapt_factor: f64::INFINITY,
            };
            for strategy in [Strategy::Gather, Strategy::Keys, Strategy::Delegate] {
                for keys in [None, Some(keys.clone())] {
                    let edge = Edge { strategy, keys, link, rows_whole: 5e6, rows: 0.5, row_bytes: 24.0 };
                    let bytes = WireEdge::of(&edge).encode_to_vec();
                    assert_eq!(WireEdge::decode(bytes.as_slice()).unwrap().edge().unwrap(), edge);
                }
            }
        }
        assert_eq!(WireEdge::of(&Edge::default()).edge().unwrap(), Edge::default());
    }

    #[test]
    fn unknown_numbers_are_refused() {
        let edge = WireEdge::of(&Edge::default());
        assert!(WireEdge { strategy: 3, ..edge.clone() }.edge().is_err());
        let keys = Some(WireKeys { form: Some(4), ..WireKeys::default() });
        assert!(WireEdge { keys, ..edge }.edge().is_err());
    }
}
