//! Domains, data products and contracts: parses, validates and finds them. No query engine, no network.

pub mod diagnostic;
pub mod lint;
pub mod load;
pub mod logical_type;
pub mod mesh;
pub mod model;
pub mod names;
pub mod nearest;
mod odcs;
mod odps;
pub mod printable;
pub mod received;
mod schema;
mod source;
pub mod statistics;
pub mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics, Place, names_location};
pub use lint::{Warning, lint};
pub use load::load_domain;
pub use mesh::{DomainEntry, MeshSnapshot, NodeEntry, NodeLocation, NodeState, RefusedClaim, ServedBy};
pub use model::{
    Column, DomainCatalog, FileFormat, FileSource, Port, PortSource, Product, QuerySource, Reference, SourceKind,
};
pub use names::{DomainName, PortName, PortRef, ProductName};
pub use printable::{is_printable, printable, printable_json, printable_lines};
pub use received::{MAX_INPUTS, check_received};
pub use statistics::{ColumnStatistics, PortStatistics, StatisticValue};
