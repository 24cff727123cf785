//! Exports traces and metrics to an OpenTelemetry collector, over OTLP with gRPC.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::metrics::{AsyncInstrument, Meter, MeterProvider};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind as OtelKind, Status as OtelStatus, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};
use portolan_connectors::lock;
use portolan_engine::{Span, SpanKind, SpanSink};
use tonic::transport::{Certificate, ClientTlsConfig};

use crate::config::TelemetryConfig;
use crate::metrics::{METRICS, Metric, MetricKind, Sample, Value};
use crate::status::{NodeStatus, Snapshot};
use crate::{Error, Result};

/// The name of the service, and of the code that makes the spans and metrics.
const NAME: &str = "portolan";
/// The default of `telemetry.interval`.
const INTERVAL: Duration = Duration::from_secs(15);
/// The time for one request to the collector.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The time for the last spans and metrics when the node stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// The exports of a node.
#[derive(Debug)]
pub(crate) struct Telemetry {
    meters: SdkMeterProvider,
    spans: Arc<Spans>,
}

/// The spans that wait for their export. If there are too many, further ones are dropped.
#[derive(Debug)]
struct Spans {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
}

impl Telemetry {
    /// Starts to export. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// A certificate that cannot be read, and an invalid URL.
    pub(crate) fn start(config: &TelemetryConfig, status: &Arc<NodeStatus>) -> Result<Self> {
        let invalid = |e: ExporterBuildError| {
            Error::config(format!("cannot send telemetry to {}", config.endpoint)).with_source(e)
        };
        let tls = tls(config)?;
        let mut spans = SpanExporter::builder().with_tonic().with_endpoint(&config.endpoint).with_timeout(TIMEOUT);
        let mut metrics = MetricExporter::builder().with_tonic().with_endpoint(&config.endpoint).with_timeout(TIMEOUT);
        if let Some(tls) = tls {
            spans = spans.with_tls_config(tls.clone());
            metrics = metrics.with_tls_config(tls);
        }
        let interval = config.interval.map_or(INTERVAL, |length| length.0);
        let version = env!("CARGO_PKG_VERSION");
        let attributes =
            [KeyValue::new("service.version", version), KeyValue::new("portolan.domain", status.domain().to_owned())];
        let resource = Resource::builder().with_service_name(NAME).with_attributes(attributes).build();
        let batches = BatchConfigBuilder::default().with_scheduled_delay(interval).build();
        let mut processor = BatchSpanProcessor::new(spans.build().map_err(invalid)?, batches);
        processor.set_resource(&resource);
        let reader = PeriodicReader::builder(metrics.build().map_err(invalid)?).with_interval(interval).build();
        let meters = SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build();
        let meter = meters.meter(NAME);
        observe_all(&meter, status);
        let scope = InstrumentationScope::builder(NAME).with_version(version).build();
        Ok(Self { meters, spans: Arc::new(Spans { processor, scope }) })
    }

    /// Returns the receiver of the engine's spans.
    pub(crate) fn spans(&self) -> Arc<dyn SpanSink> {
        self.spans.clone()
    }

    /// Exports the last spans and metrics, for at most [`FAREWELL`].
    pub(crate) async fn stop(&self) {
        let (meters, spans) = (self.meters.clone(), self.spans.clone());
        // The requests run on the present runtime, and this thread must not wait for them.
        let stopped = tokio::task::spawn_blocking(move || {
            let outcomes = [spans.processor.shutdown_with_timeout(FAREWELL), meters.shutdown()];
            outcomes.into_iter().find_map(Result::err)
        });
        match tokio::time::timeout(FAREWELL, stopped).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(e))) => tracing::warn!("the last spans and metrics were not exported: {e}"),
            Ok(Err(_)) | Err(_) => tracing::warn!("the last spans and metrics were not exported in time"),
        }
    }
}

fn tls(config: &TelemetryConfig) -> Result<Option<ClientTlsConfig>> {
    let Some(ca) = &config.ca else { return Ok(None) };
    let pem = std::fs::read(ca).map_err(|e| Error::config(format!("cannot read {}", ca.display())).with_source(e))?;
    Ok(Some(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))))
}

/// The state of the node in one export of metrics. The SDK calls the observers one after another, in the order in which
/// they were added. The first observer takes the snapshot, which all others read.
#[derive(Debug)]
struct Exported {
    status: Arc<NodeStatus>,
    snapshot: Mutex<Option<Arc<Snapshot>>>,
}

impl Exported {
    fn snapshot(&self, is_first: bool) -> Arc<Snapshot> {
        let mut snapshot = lock(&self.snapshot);
        if is_first {
            *snapshot = None;
        }
        snapshot.get_or_insert_with(|| Arc::new(self.status.snapshot())).clone()
    }
}

/// Exports every metric.
fn observe_all(meter: &Meter, status: &Arc<NodeStatus>) {
    let exported = Arc::new(Exported { status: status.clone(), snapshot: Mutex::default() });
    for (number, metric) in METRICS.iter().enumerate() {
        let exported = exported.clone();
        observe(meter, metric, Arc::new(move || (metric.read)(&exported.snapshot(number == 0))));
    }
}

/// Exports a metric. A histogram becomes counters, with the names of its series in Prometheus.
fn observe(meter: &Meter, metric: &'static Metric, samples: Arc<dyn Fn() -> Vec<Sample> + Send + Sync>) {
    match metric.kind {
        MetricKind::Gauge => {
            let read = move |to: &dyn AsyncInstrument<f64>| numbers(to, metric, samples());
            meter.f64_observable_gauge(metric.name).with_description(metric.help).with_callback(read).build();
        }
        MetricKind::Counter => {
            let read = move |to: &dyn AsyncInstrument<f64>| numbers(to, metric, samples());
            meter.f64_observable_counter(metric.name).with_description(metric.help).with_callback(read).build();
        }
        MetricKind::Histogram => {
            for series in ["bucket", "count", "sum"] {
                let samples = samples.clone();
                let read = move |to: &dyn AsyncInstrument<f64>| times(to, metric, series, samples());
                let counter = meter.f64_observable_counter(format!("{}_{series}", metric.name));
                counter.with_description(metric.help).with_callback(read).build();
            }
        }
    }
}

fn numbers(to: &dyn AsyncInstrument<f64>, metric: &Metric, samples: Vec<Sample>) {
    for sample in samples {
        if let Value::Number(value) = sample.value {
            to.observe(value, &attributes(metric, sample.labels));
        }
    }
}

fn times(to: &dyn AsyncInstrument<f64>, metric: &Metric, series: &str, samples: Vec<Sample>) {
    for sample in samples {
        let Value::Histogram(times) = sample.value else { continue };
        let mut attributes = attributes(metric, sample.labels);
        match series {
            "count" => to.observe(times.count as f64, &attributes),
            "sum" => to.observe(times.sum, &attributes),
            _ => {
                let mut below = 0;
                for (bound, count) in times.buckets {
                    below += count;
                    attributes.push(KeyValue::new("le", bound.to_string()));
                    to.observe(below as f64, &attributes);
                    attributes.pop();
                }
                attributes.push(KeyValue::new("le", "+Inf"));
                to.observe(times.count as f64, &attributes);
            }
        }
    }
}

fn attributes(metric: &Metric, labels: Vec<String>) -> Vec<KeyValue> {
    metric.labels.iter().zip(labels).map(|(name, value)| KeyValue::new(*name, value)).collect()
}

impl SpanSink for Spans {
    fn ended(&self, span: Span) {
        self.processor.on_end(data(span, &self.scope));
    }
}

/// Returns a span in the form of OpenTelemetry.
fn data(span: Span, scope: &InstrumentationScope) -> SpanData {
    let Span { trace, kind, query_id, started, ended, outcome } = span;
    let state: TraceState = trace.tracestate().and_then(|state| state.parse().ok()).unwrap_or_default();
    let (trace_id, span_id) = (trace.trace_id().to_be_bytes(), trace.span_id().to_be_bytes());
    let (trace_id, span_id) = (TraceId::from_bytes(trace_id), SpanId::from_bytes(span_id));
    let name = kind.name();
    let mut attributes = vec![KeyValue::new("portolan.query_id", query_id), KeyValue::new("portolan.outcome", outcome)];
    let (span_kind, is_remote) = match kind {
        SpanKind::Query | SpanKind::Fragment | SpanKind::Estimate => (OtelKind::Server, true),
        SpanKind::Edge { domains, site, rows, bytes } => {
            let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            attributes.extend([
                KeyValue::new("portolan.domains", domains.join(",")),
                KeyValue::new("portolan.site", site),
                KeyValue::new("portolan.rows", count(rows)),
                KeyValue::new("portolan.bytes", count(bytes)),
            ]);
            (OtelKind::Client, false)
        }
        _ => (OtelKind::Internal, false),
    };
    SpanData {
        span_context: SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, state),
        parent_span_id: trace.parent_id().map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.to_be_bytes())),
        parent_span_is_remote: is_remote && trace.parent_id().is_some(),
        span_kind,
        name: name.into(),
        start_time: started,
        end_time: ended,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if outcome == "ok" { OtelStatus::Unset } else { OtelStatus::error(outcome) },
        instrumentation_scope: scope.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::SystemTime;

    use portolan_connectors::SourceCounters;
    use portolan_engine::TraceContext;

    use super::*;

    #[test]
    fn the_metrics_of_one_export_read_one_snapshot() {
        let status = Arc::new(NodeStatus::new(None, None, SourceCounters::default()));
        let exported = Exported { status, snapshot: Mutex::default() };
        let first = exported.snapshot(true);
        assert!(Arc::ptr_eq(&first, &exported.snapshot(false)));
        assert!(!Arc::ptr_eq(&first, &exported.snapshot(true)));
    }

    #[test]
    fn a_span_keeps_its_place_in_the_trace() {
        let client =
            TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some("vendor=1")).unwrap();
        let (started, ended) = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(1));
        let scope = InstrumentationScope::builder(NAME).build();
        let of = |trace: &TraceContext, kind, outcome| {
            data(Span { trace: trace.clone(), kind, query_id: "q".to_owned(), started, ended, outcome }, &scope)
        };
        let own = client.child();
        let query = of(&own, SpanKind::Query, "ok");
        assert_eq!(query.span_context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(query.parent_span_id.to_string(), "00f067aa0ba902b7");
        assert_eq!(query.span_context.trace_state().get("vendor"), Some("1"));
        assert_eq!((query.status, query.parent_span_is_remote), (OtelStatus::Unset, true));
        let edge = SpanKind::Edge { domains: vec!["geo".to_owned()], site: "grpc://a:1".to_owned(), rows: 3, bytes: 9 };
        let edge = of(&own.child(), edge, "site_unavailable");
        assert_eq!(edge.parent_span_id, query.span_context.span_id());
        assert_eq!((edge.span_kind, &*edge.name), (OtelKind::Client, "edge"));
        assert_eq!(edge.status, OtelStatus::error("site_unavailable"));
        assert!(edge.attributes.contains(&KeyValue::new("portolan.rows", 3_i64)), "{:?}", edge.attributes);
        assert_eq!(of(&TraceContext::start(), SpanKind::Query, "ok").parent_span_id, SpanId::INVALID);
    }
}
