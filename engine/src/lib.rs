//! The library to embed: sessions, the planner, execution, EXPLAIN.
//!
//! [`Engine::builder`] creates an engine, [`Engine::session`] opens a session, and [`Session::sql`] answers a query
//! with a stream of record batches.

mod bounds;
mod derived;
mod encode;
pub mod engine;
mod exchange;
mod execution;
mod explain;
#[cfg(test)]
mod fake_mesh;
mod functions;
pub mod limits;
mod mesh;
mod metrics;
mod names;
mod plan;
mod planner;
pub mod progress;
pub mod query;
pub mod session;
pub mod settings;
mod state;
mod upstream;
mod visit;

pub use bounds::MOST_STATEMENT_BYTES;
pub use engine::{Engine, EngineBuilder};
pub use exchange::RemoteScanCodec;
pub use execution::disk::disk_error;
pub use limits::{Limits, Share, Shares};
pub use mesh::{CatalogReader, LinkOverride, PeerOptions};
pub use metrics::{
    EdgeMetrics, EngineMetrics, HistogramMetrics, SentEdge, Span, SpanKind, SpanSink, Usage, WorkMetrics,
};
pub use portolan_connectors::{AccountKey, Error, ErrorKind, KeyForm, Principal, Result, TraceContext, principal};
pub use progress::{EdgeProgress, Progress, ProgressHandle};
pub use query::{
    EstimatedFragment, IngestMode, IngestTarget, Prepared, QueryStream, ReceivedFragment, StatementKind, rows_of,
};
pub use session::Session;
pub use settings::{Compression, Pushdown, SETTINGS, Settings, StrategyChoice};
