//! The mesh as SQL sees it: domains as catalogs, products as schemas, ports as tables, and the `mesh` schema that
//! tells what there is.

mod catalogs;
mod mesh_tables;
mod port_table;

pub(crate) use catalogs::{MeshCatalogs, port_table};
pub(crate) use port_table::{PortSite, PortTable};

/// The catalog that every node has: it holds the `mesh` schema. No domain may be named so.
pub(crate) const RESERVED_CATALOG: &str = "portolan";
/// The schema that tells what there is, in every catalog.
pub(crate) const MESH_SCHEMA: &str = "mesh";
