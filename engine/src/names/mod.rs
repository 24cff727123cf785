//! The mesh as SQL sees it: domains as catalogs, products as schemas, ports as tables, and the `mesh` schema that
//! tells what there is.

mod activity_tables;
mod catalogs;
mod mesh_tables;
mod port_table;
mod session_names;
mod system_view;

pub(crate) use catalogs::{MeshCatalogs, port_table};
pub(crate) use port_table::{PortSite, PortTable};
pub(crate) use session_names::{SESSION_SCHEMA, SessionNames};

/// The catalog that every node has: it holds the `mesh` schema. No domain may be named so.
pub(crate) const RESERVED_CATALOG: &str = "portolan";
/// The schema that tells what there is, in every catalog.
pub(crate) const MESH_SCHEMA: &str = "mesh";
/// The schema that names of one part stand in. It cannot be written without quotes, and is listed nowhere.
pub(crate) const SEARCH_SCHEMA: &str = "#search";
