//! The library to embed: sessions, the planner, execution, EXPLAIN.
//!
//! [`Engine::builder`] creates an engine, [`Engine::session`] opens a session, and [`Session::sql`] answers a query
//! with a stream of record batches. `Engine::connect` does the first step for a program that owns no domain.
//! The book's chapter *As a library* (`docs/src/library.md`) is the introduction.
//!
//! # What a program needs besides
//!
//! The crates whose types are in the API are re-exported, so that a program has their versions: [`arrow`],
//! [`datafusion`], [`connectors`] (sites, sources, nodes, files), [`catalog`] (domains, products, ports), [`governance`]
//! (policies) and [`audit`] (records of reads).
//!
//! # Changes
//!
//! Structs and enums that will grow are `non_exhaustive`: set the public fields of a default value. The module
//! [`server`] is for servers and their clients, and no part of the API for embedding.

mod bounds;
#[cfg(feature = "node")]
mod connect;
mod derived;
mod dialect;
mod encode;
mod engine;
mod exchange;
mod execution;
mod explain;
#[cfg(test)]
mod fake_database;
#[cfg(test)]
mod fake_mesh;
mod functions;
mod limits;
mod masks;
mod mesh;
mod metrics;
mod names;
mod plan;
mod planner;
mod progress;
mod query;
pub mod server;
mod session;
mod settings;
mod state;
mod upstream;
mod visit;

pub use arrow;
pub use arrow::array::RecordBatch;
pub use arrow::datatypes::SchemaRef;
pub use datafusion;
pub use datafusion::scalar::ScalarValue;
pub use engine::{Engine, EngineBuilder};
pub use limits::{Limits, Share, Shares};
pub use mesh::{LinkOverride, PeerOptions, Refreshed};
pub use metrics::{EdgeMetrics, EngineMetrics, HistogramMetrics, Span, SpanKind, SpanSink, Usage, WorkMetrics};
pub use portolan_audit as audit;
pub use portolan_catalog as catalog;
pub use portolan_connectors as connectors;
pub use portolan_connectors::{
    Error, ErrorKind, KeyForm, LabelledPort, Position, Principal, Result, ResultLabel, Subject, TraceContext,
};
pub use portolan_governance as governance;
pub use progress::{EdgeProgress, Progress, ProgressHandle};
pub use query::{CancelHandle, IngestMode, IngestTarget, Prepared, QueryStream, StatementKind};
pub use session::Session;
pub use settings::{Compression, Pushdown, SETTINGS, Settings, StrategyChoice};
