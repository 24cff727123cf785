//! Metrics as the text that Prometheus reads (format version 0.0.4).

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::{METRICS, MetricKind, Value};
use crate::status::Snapshot;

/// The content type of the text.
pub(crate) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Returns the metrics of a node as text.
///
/// # Errors
/// The text cannot be written.
pub(crate) fn render(snapshot: Snapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(snapshot)));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Scrape(Snapshot);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for metric in METRICS {
            let samples = (metric.read)(&self.0);
            if samples.is_empty() {
                continue;
            }
            // The encoder adds the suffix of a counter.
            let (name, kind) = match metric.kind {
                MetricKind::Counter => (metric.name.strip_suffix("_total").unwrap_or(metric.name), MetricType::Counter),
                MetricKind::Gauge => (metric.name, MetricType::Gauge),
                MetricKind::Histogram => (metric.name, MetricType::Histogram),
            };
            let mut family = encoder.encode_descriptor(name, metric.help, None, kind)?;
            for sample in samples {
                let labels: Vec<(&str, String)> = metric.labels.iter().copied().zip(sample.labels).collect();
                let mut encoder = family.encode_family(&labels)?;
                match (metric.kind, sample.value) {
                    (MetricKind::Counter, Value::Number(value)) => {
                        encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
                    }
                    (_, Value::Number(value)) => encoder.encode_gauge(&value)?,
                    (_, Value::Histogram(times)) => {
                        encoder.encode_histogram::<NoLabelSet>(times.sum, times.count, &times.buckets, None)?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::{BTreeMap, BTreeSet};
    use std::time::{Duration, SystemTime};

    use portolan_catalog::{NodeEntry, NodeLocation, NodeState};
    use portolan_connectors::SourceMetrics;
    use portolan_engine::{EdgeMetrics, EngineMetrics, HistogramMetrics, Usage, WorkMetrics};

    use super::*;
    use crate::process::ProcessMetrics;

    fn peer() -> NodeEntry {
        NodeEntry {
            location: NodeLocation::Peer("grpc://a:1".to_owned()),
            state: NodeState::Up,
            last_seen: Some(SystemTime::now()),
            error: None,
            domains: vec![],
            key: None,
            refused: vec![],
            learned_from: None,
            latency: Some(Duration::from_millis(2)),
            bandwidth: Some(5e8),
        }
    }

    fn snapshot() -> Snapshot {
        let duration = HistogramMetrics { buckets: vec![(0.1, 2), (1.0, 1)], count: 4, sum: 7.5 };
        let mut queries = WorkMetrics::default();
        (queries.ended, queries.duration) = (BTreeMap::from([("ok", 3), ("not_found", 1)]), duration);
        let mut edge = EdgeMetrics::default();
        (edge.rows, edge.bytes, edge.keys, edge.key_bytes, edge.errors) = (10, 1 << 40, 5, 40, 1);
        let mut engine = EngineMetrics::default();
        engine.queries = queries;
        engine.memory = Usage { held: 1, limit: 2 };
        engine.host_memory = Some(Usage { held: 3, limit: 1 << 33 });
        engine.ended_for_memory = 6;
        engine.received = BTreeMap::from([("geo".to_owned(), edge)]);
        engine.sent = BTreeMap::from([("odd \"name\"\n".to_owned(), edge)]);
        let learned = NodeEntry {
            location: NodeLocation::Peer("grpc://learned:1".to_owned()),
            learned_from: Some("grpc://a:1".to_owned()),
            ..peer()
        };
        let process = ProcessMetrics { resident: Some(1 << 20), threads: Some(3), open_files: Some(9) };
        Snapshot {
            domain: "sales".to_owned(),
            host_memory: Some(1 << 33),
            is_ready: true,
            engine: Some(engine),
            nodes: vec![peer(), learned],
            sources: BTreeMap::from([("lake".to_owned(), SourceMetrics { opened: 2, not_opened: 0, not_read: 1 })]),
            connections: Some(4),
            process,
        }
    }

    #[test]
    fn the_text_has_every_metric_with_its_kind_and_labels() {
        let text = render(snapshot()).unwrap();
        for metric in METRICS {
            let described = format!("# HELP {0} {1}\n# TYPE {0} {2}\n", metric.name, metric.help, metric.kind.name());
            assert!(text.contains(&described), "{described}{text}");
            assert_eq!(metric.name.ends_with("_total"), metric.kind == MetricKind::Counter, "{}", metric.name);
        }
        let lines = [
            "portolan_ready 1.0",
            "portolan_queries_total{kind=\"query\",outcome=\"not_found\"} 1.0",
            "portolan_query_duration_seconds_bucket{kind=\"query\",le=\"0.1\"} 2",
            "portolan_query_duration_seconds_bucket{kind=\"query\",le=\"+Inf\"} 4",
            "portolan_query_duration_seconds_sum{kind=\"query\"} 7.5",
            "portolan_memory_limit_bytes{pool=\"queries\"} 2.0",
            "portolan_host_memory_bytes 3.0",
            "portolan_queries_ended_for_memory_total 6.0",
            "portolan_edge_received_bytes_total{from=\"geo\",to=\"sales\"} 1099511627776.0",
            "portolan_edge_keys_sent_total{from=\"sales\",to=\"geo\"} 5.0",
            "portolan_edge_sent_rows_total{from=\"sales\",to=\"odd \\\"name\\\"\\n\"} 10.0",
            "portolan_peer_up{peer=\"grpc://a:1\"} 1.0",
            "portolan_source_opens_total{source=\"lake\",outcome=\"ok\"} 2.0",
            "portolan_source_read_errors_total{source=\"lake\"} 1.0",
        ];
        for line in lines {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(!text.contains("grpc://learned:1"), "another node chooses this URL: {text}");
    }

    #[test]
    fn a_starting_node_has_the_metrics_of_its_process() {
        let starting = Snapshot {
            is_ready: false,
            engine: None,
            nodes: vec![],
            connections: None,
            sources: BTreeMap::new(),
            ..snapshot()
        };
        let text = render(starting).unwrap();
        assert!(text.contains("portolan_ready 0.0\n") && text.contains("process_threads 3.0\n"), "{text}");
        assert!(!text.contains("portolan_queries"), "{text}");
    }

    #[test]
    fn each_metric_has_a_name_of_its_own() {
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
    }
}
