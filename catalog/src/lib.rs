//! Domains, data products and contracts: parses, validates and finds them. No query engine, no network.

mod diagnostic;
mod lint;
mod load;
pub mod logical_type;
mod mesh;
mod model;
mod names;
pub mod nearest;
mod odcs;
mod odps;
mod printable;
mod received;
pub mod rules;
mod schema;
mod server_rules;
mod source;
mod sql_string;
mod sql_type;
mod statistics;
mod text_format;
pub mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics, Place, names_location};
pub use lint::{Warning, lint};
pub use load::{Descriptors, check_domain_name, descriptor_files, domain_of, load_descriptors, load_domain};
pub use mesh::{DomainEntry, MeshSnapshot, NodeEntry, NodeLocation, NodeState, RefusedClaim, ServedBy};
pub use model::{
    Column, DatabaseAddress, DatabaseKind, DatabaseRelation, DatabaseSource, DomainCatalog, FileFormat, FileSource,
    KeyUse, Port, PortSource, ProcessedAt, Product, QuerySource, Reference, SourceKind,
};
pub use names::{DomainName, MAX_NAME_LENGTH, PortName, PortRef, ProductName};
pub use printable::{is_printable, printable, printable_json, printable_lines, printable_with};
pub use received::{MAX_DOMAINS, MAX_INPUTS, check_received};
pub use sql_string::sql_string;
pub use sql_type::sql_type;
pub use statistics::{ColumnStatistics, PortStatistics, StatisticValue};
pub use text_format::{ColumnFormat, TextFormat, TimePattern};
