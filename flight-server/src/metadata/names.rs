//! The names in tables about the catalog: kinds of tables, and the catalog and schema that every node has.

/// The kind of output ports: clients ask for `TABLE` and know no other word.
pub(super) const TABLE: &str = "TABLE";
/// The kind of the node's own tables.
pub(super) const VIEW: &str = "VIEW";
/// The kind of the tables of a session.
pub(super) const LOCAL_TEMPORARY: &str = "LOCAL TEMPORARY";
/// The catalog that every node has.
pub(super) const SYSTEM_CATALOG: &str = "portolan";
/// The schema of the tables of a session.
pub(super) const SESSION_SCHEMA: &str = "session";
