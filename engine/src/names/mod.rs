//! The mesh as SQL names: domains as catalogs, products as schemas, ports as tables, and the `mesh` schema that
//! describes them.

mod activity_tables;
mod audit_table;
mod barrier;
mod catalogs;
mod derived_table;
mod mesh_tables;
mod opened;
mod port_table;
mod session_names;
mod system_view;
mod view_table;

pub(crate) use barrier::{Barrier, SealedBarrier, sealed};
pub(crate) use catalogs::{MeshCatalogs, port_table, set_names};
pub(crate) use derived_table::DerivedTable;
pub(crate) use port_table::{PortSite, PortTable, reads_for_query};
pub(crate) use session_names::{SESSION_SCHEMA, SessionNames};
pub(crate) use system_view::reads_only_views;
pub(crate) use view_table::is_view;

/// The catalog that every node has, with the `mesh` schema. No domain may have this name.
pub(crate) const RESERVED_CATALOG: &str = "portolan";
/// The schema that describes the mesh, in every catalog.
pub(crate) const MESH_SCHEMA: &str = "mesh";
/// The schema of unqualified names. It cannot be written without quotes, and is not listed.
pub(crate) const SEARCH_SCHEMA: &str = "#search";
