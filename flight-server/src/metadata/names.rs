//! The names in tables about the catalog: table types, and the catalog and schema that every node has.

/// The type of output ports. Clients request `TABLE` and know no other type.
pub(super) const TABLE: &str = "TABLE";
/// The type of the node's own tables, and of a session's views.
pub(super) const VIEW: &str = "VIEW";
/// The type of a session's tables.
pub(super) const LOCAL_TEMPORARY: &str = "LOCAL TEMPORARY";
/// The catalog that every node has.
pub(super) const SYSTEM_CATALOG: &str = "portolan";
/// The schema of a session's tables and views.
pub(super) const SESSION_SCHEMA: &str = "session";
