//! An OpenTelemetry collector that keeps what it receives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// The collector. It ends when this value is dropped.
#[derive(Debug)]
pub struct Collector {
    url: String,
    received: Received,
    _serving: JoinSet<()>,
}

#[derive(Clone, Debug, Default)]
struct Received {
    spans: Arc<Mutex<Vec<Span>>>,
    metrics: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    /// Starts the collector.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Received::default();
        let (traces, metrics) =
            (TraceServiceServer::new(received.clone()), MetricsServiceServer::new(received.clone()));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let router = Server::builder().add_service(traces).add_service(metrics);
            router.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        });
        Self { url, received, _serving: serving }
    }

    /// Returns the URL of the collector.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the spans with this name in a trace.
    pub fn spans(&self, trace: u128, name: &str) -> Vec<Span> {
        let spans = self.received.spans.lock().unwrap();
        spans.iter().filter(|span| span.trace_id == trace.to_be_bytes() && span.name == name).cloned().collect()
    }

    /// True if the collector has received a metric of this name.
    pub fn has_metric(&self, name: &str) -> bool {
        self.received.metrics.lock().unwrap().iter().any(|received| received == name)
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.spans.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let scopes = request.into_inner().resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        let names = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name);
        self.metrics.lock().unwrap().extend(names);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}
